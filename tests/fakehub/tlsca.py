"""A certificate authority for one test run, made with the openssl command."""

import os
import ssl
import subprocess

NAMES = ("DNS:localhost", "IP:127.0.0.1", "IP:::1", "DNS:hub.test", "DNS:*.hub.test")


class Authority:
    """Lives in a folder; file is what clients have to trust."""

    def __init__(self, folder, name="Throw-away test CA", key="ec"):
        self.folder = str(folder)
        self.file = os.path.join(self.folder, "ca.pem")
        self._key = os.path.join(self.folder, "ca.key")
        openssl("req", "-x509", *key_options(key), "-nodes", "-keyout", self._key,
                "-out", self.file, "-days", "30", "-sha256", "-subj", "/CN=" + name,
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, label="server", names=NAMES, key="ec", days=("-days", "20"), digest="sha256"):
        """A certificate for a server: the path of a PEM file with chain and key in it. days are
        options of `openssl x509`, e.g. ("-days", "-1") for one that has expired."""
        base = os.path.join(self.folder, label)
        openssl("req", "-new", *key_options(key), "-nodes", "-keyout", base + ".key",
                "-out", base + ".csr", "-subj", "/CN=" + names[0].split(":", 1)[1])
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=%s\nbasicConstraints=CA:FALSE\n"
                    "keyUsage=critical,digitalSignature,keyEncipherment\n"
                    "extendedKeyUsage=serverAuth\n" % ",".join(names))
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.file, "-CAkey", self._key,
                "-CAcreateserial", "-out", base + ".crt", "-" + digest,
                "-extfile", base + ".ext", *days)
        with open(base + ".pem", "w") as out:
            for name in (base + ".crt", self.file, base + ".key"):
                with open(name) as f:
                    out.write(f.read())
        return base + ".pem"


def server_context(pem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


def key_options(key):
    if key == "ec":
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return ("-newkey", "rsa:%d" % int(key))  # a number: bits of RSA


def openssl(*args):
    done = subprocess.run(("openssl",) + args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (args[0], done.stdout.decode(errors="replace")))
