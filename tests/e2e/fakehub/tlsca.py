"""Certificate authorities for one test run, made with the openssl command."""

import os
import ssl
import subprocess
import tempfile
import time

NAMES = ("DNS:localhost", "IP:127.0.0.1", "IP:::1", "DNS:hub.test", "DNS:*.hub.test")
DAY = 86400
AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
SERVER = ("basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature,keyEncipherment",
          "extendedKeyUsage=serverAuth")

# openssl ca, since openssl x509 of Debian 12 cannot set the first day.
CONFIG = """[ca]
default_ca = this
[this]
database = index
serial = serial
new_certs_dir = .
policy = any
unique_subject = no
[any]
commonName = optional
organizationName = optional
"""


class Authority:
    """Lives in a folder; file is its certificate, what clients have to trust if it is a root.
    parent: an authority that signs this one, which is no root then.

    Options of all certificates: key ("ec", the name of another curve, or bits of RSA); digest;
    days (first and last, from today); extensions, as openssl writes them."""

    def __init__(self, folder, name="/CN=Throw-away test CA", parent=None, label="ca", **options):
        self.folder = os.path.abspath(str(folder))
        base = os.path.join(self.folder, label)
        self.file, self._key = base + ".pem", base + ".key"
        self.parent = parent
        make(base, name, self.file, parent, **{"days": (-1, 30), "extensions": AUTHORITY, **options})

    def issue(self, label="server", names=NAMES, subject=None, send=None, **options):
        """A certificate for a server: the path of a PEM file with chain and key in it. send: files
        of the certificates behind the first; else all up to the root."""
        base = os.path.join(self.folder, label)
        extensions = tuple(options.pop("extensions", SERVER))
        if names:
            extensions += ("subjectAltName=" + ",".join(names),)
        subject = subject or "/CN=" + names[0].split(":", 1)[1]
        make(base, subject, base + ".crt", self,
             **{"days": (-1, 20), "extensions": extensions, **options})
        behind = self.chain() if send is None else send
        return join(base + ".pem", base + ".crt", *behind, base + ".key")

    def chain(self):
        return [self.file] + (self.parent.chain() if self.parent else [])


def make(base, subject, out, signer, key="ec", digest="sha256", days=(-1, 20), extensions=()):
    """base.key, and a certificate for it; without a signer it signs itself."""
    openssl("req", "-new", *key_options(key), "-nodes", "-keyout", base + ".key",
            "-out", base + ".csr", "-subj", subject)
    by = ("-cert", signer.file, "-keyfile", signer._key) if signer else (
        "-selfsign", "-keyfile", base + ".key")
    with tempfile.TemporaryDirectory(dir=os.path.dirname(base)) as folder:
        for name, text in (("index", ""), ("serial", "01" + os.urandom(15).hex() + "\n"),
                           ("config", CONFIG), ("ext", "\n".join(extensions) + "\n")):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        openssl("ca", "-batch", "-notext", "-config", "config", "-extfile", "ext",
                "-in", base + ".csr", "-out", out, "-md", digest, "-startdate", day(days[0]),
                "-enddate", day(days[1]), *by, cwd=folder)


def day(n):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + n * DAY))


def join(path, *parts):
    with open(path, "w") as out:
        for name in parts:
            with open(name) as f:
                out.write(f.read())
    return path


def server_context(pem, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:  # before the certificate: they bring the security level that it must have
        context.set_ciphers(ciphers)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


def key_options(key):
    if isinstance(key, int):
        return ("-newkey", "rsa:%d" % key)
    curve = "prime256v1" if key == "ec" else key
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:" + curve)


def openssl(*args, cwd=None):
    done = subprocess.run(("openssl",) + args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, cwd=cwd)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (args[0], done.stdout.decode(errors="replace")))
