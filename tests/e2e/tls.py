"""End-to-end tests of TLS, against servers that run OpenSSL: certificates that must be refused and
those that must not, versions, ciphers, renegotiation, streams that are cut, and interception."""

import atexit
import functools
import os
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

from fakehub import Generated, Proxy, tlsca
from kit import BINARY, MB, Skip

ID = "acme-lab/tiny"
FILES = {"config.json": "{}\n", "sub/notes.txt": "notes\n"}
HERE = "127.0.0.1"
NAMES = ("DNS:hub.test", "DNS:*.wild.test", "IP:" + HERE)

# Old and weak things too: what a server may do is not the question here.
ANYTHING = "ALL:@SECLEVEL=0"


# certificates

class Lab:
    """Authorities, and what they have signed; made when asked for, once."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="e2e-tls-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.issued = 0

    @functools.lru_cache(maxsize=None)
    def authority(self, name):
        folder, make = self.folder, tlsca.Authority
        constraint = "permitted;DNS:elsewhere.test"
        options = {
            "root": {"name": "/CN=Test root/O=Tests"},
            "rsa": {"key": 2048},
            "corporate": {"name": "/CN=Inspection CA/O=Example Corp"},
            "below": {"parent": "root", "name": "/CN=Test issuer"},
            "rsa below": {"parent": "rsa", "key": 2048, "digest": "sha384"},
            "short": {"parent": "root", "key": 1024, "name": "/CN=Short issuer"},
            "sha1": {"parent": "root", "digest": "sha1", "name": "/CN=Old issuer"},
            "old": {"parent": "root", "days": (-40, -20)},
            "no authority": {"parent": "root", "extensions": ["basicConstraints=CA:FALSE"]},
            "not for signing": {"parent": "root", "extensions": [
                "basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature"]},
            "constrained": {"parent": "root", "extensions": tlsca.AUTHORITY + (
                "nameConstraints=critical," + constraint,)},
            "constrained in vain": {"parent": "root", "extensions": tlsca.AUTHORITY + (
                "nameConstraints=" + constraint,)},
            "not for servers": {"parent": "root", "extensions": tlsca.AUTHORITY + (
                "extendedKeyUsage=emailProtection",)},
            "expired root": {"days": (-40, -20)},
            "last": {"parent": "root", "name": "/CN=Last issuer", "extensions": [
                "basicConstraints=critical,CA:TRUE,pathlen:0"]},
            "too deep": {"parent": "last", "name": "/CN=Deep issuer"},
            "odd curve": {"parent": "root", "key": "brainpoolP256r1"},
            "short root": {"key": 1024},
            "sha1 root": {"digest": "sha1", "name": "/CN=Old root"},
        }[name]
        parent = options.pop("parent", None)
        options.setdefault("name", "/CN=" + name)
        return make(folder, parent=self.authority(parent) if parent else None,
                    label=name.replace(" ", "-"), **options)

    def issue(self, by="root", send=None, **options):
        """PEM with chain and key. send: names of the authorities behind the first one."""
        self.issued += 1
        files = None if send is None else [self.authority(name).file for name in send]
        options = {"names": NAMES, **options}
        return self.authority(by).issue("leaf%d" % self.issued, send=files, **options)

    def self_signed(self):
        base = self.folder + "/alone"
        tlsca.make(base, "/CN=My own box", base + ".crt", None,
                   extensions=("subjectAltName=IP:" + HERE,))
        return tlsca.join(base + ".pem", base + ".crt", base + ".key"), base + ".crt"


lab = functools.lru_cache(maxsize=None)(Lab)


class Context(ssl.SSLContext):
    """Counts the connections and keeps their ciphers."""

    def wrap_socket(self, *args, **options):
        self.tries = getattr(self, "tries", 0) + 1
        sock = super().wrap_socket(*args, **options)
        self.ciphers = getattr(self, "ciphers", []) + [sock.cipher()[0]]
        return sock


def serve(k, pem, ciphers=ANYTHING):
    """From now on the Hub's first origin shows this certificate."""
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    context.load_cert_chain(pem)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    k.hub.origins[0].tls = context
    return context


# runs

def run(k, repo, host=HERE, *args, port=None, proxy=None, trust="root", env=None):
    """A download from that host, which a proxy finds if it is a name. trust: an authority, or a
    path."""
    port = port or k.hub.origins[0].server_address[1]
    file = trust if trust is None or "/" in trust else lab().authority(trust).file
    env = {"HF_ENDPOINT": "https://%s:%d" % (host, port), "SSL_CERT_FILE": file, **(env or {})}
    if host in (HERE, "localhost") or proxy:
        return k.download(repo, *args, token="read", env={"https_proxy": proxy, **env})
    with Proxy(hosts={host: HERE}) as finder:
        return k.download(repo, *args, token="read", env={"https_proxy": finder.url, **env})


def told(k, r, status, says, hint=None):
    """One sentence, what to do if there is something, and nothing else anywhere."""
    k.ok(r, status, err=says)
    lines = r.err.splitlines()
    assert lines[0].startswith("hub: cannot download '%s': " % ID), "not first: " + lines[0]
    if hint:
        assert lines[1].startswith("try: ") and hint in lines[1], "no hint: " + r.err
    assert len(lines) == (2 if hint else 1), "more is said"
    assert not r.out, "said on stdout"
    left = [p for p in k.top.rglob("*") if not p.is_dir()]
    assert not left and not k.dir.exists(), "written: %s" % left
    return r


def each(rows, test):
    """Names the row that fails."""
    for row in rows:
        try:
            test(*row)
        except AssertionError as why:
            raise AssertionError("%s: %s" % (row, why))


# what must be refused

RENEW = "ask the operator of the server"
CA_FILE = "use --ca-file FILE with the certificate of that issuer"
CLOCK = "set this machine's clock"


def wrong(host, subject="hub.test"):
    return "the certificate is not for '%s' but for '%s'" % (host, subject)


# options of the certificate; the host; what is said; what is to be tried
REFUSED = [
    ({"days": (-40, -20)}, HERE, "has expired on", None),
    ({"days": (20, 40)}, HERE, "is valid only from", CLOCK),
    ({"by": "old"}, HERE, "has expired on", None),

    ({"names": ("DNS:other.test",)}, "hub.test", wrong("hub.test", "other.test"), None),
    ({"names": ("DNS:hub.test.evil.test",)}, "hub.test", "is not for 'hub.test'", None),
    ({"names": ("DNS:hub.test",)}, "hub.test.evil.test", wrong("hub.test.evil.test"), None),
    ({"names": ("DNS:*.wild.test",)}, "wild.test", "is not for 'wild.test'", None),
    ({"names": ("DNS:*.wild.test",)}, "a.b.wild.test", "is not for 'a.b.wild.test'", None),
    ({"names": ("DNS:f*.wild.test",)}, "foo.wild.test", "is not for", None),
    ({"names": ("DNS:*oo.wild.test",)}, "foo.wild.test", "is not for", None),
    ({"names": ("DNS:foo.*.test",)}, "foo.wild.test", "is not for", None),
    ({"names": ("DNS:*.*.test",)}, "foo.wild.test", "is not for", None),
    ({"names": ("DNS:*",)}, "localhost", "is not for", None),
    ({"names": ("DNS:" + HERE,)}, HERE, "is not for '127.0.0.1'", None),
    ({"names": ("DNS:*.0.0.1",)}, HERE, "is not for '127.0.0.1'", None),
    ({"names": ("IP:127.0.0.2",)}, HERE, "is not for '127.0.0.1'", None),
    ({"names": ("IP:" + HERE,)}, "localhost", "is not for 'localhost'", None),
    ({"names": (), "subject": "/CN=" + HERE}, HERE, wrong(HERE, HERE), None),
    ({"names": ("IP:127.0.0.2",), "subject": "/CN=other.test"}, HERE, wrong(HERE, "127.0.0.2"), None),
    ({"names": ("DNS:*.wild.test",)}, ".wild.test", wrong(".wild.test", "*.wild.test"), None),
    ({"names": ("DNS:a.test", "IP:fd00::1", "DNS:*.b.test", "DNS:c.test", "IP:1.2.3.4"),
      "subject": "/CN=hub.test"}, "hub.test",
     "is not for 'hub.test' but for 'a.test', 'fd00::1', '*.b.test' and 2 more", None),
    # The common name does not count where there are names.
    ({"names": ("IP:127.0.0.2",), "subject": "/CN=hub.test"}, "hub.test", wrong("hub.test", "127.0.0.2"), None),
    ({"names": ("DNS:other.test",), "subject": "/CN=hub.test"}, "hub.test", "is not for", None),

    ({"by": "corporate"}, HERE, "issued by 'Inspection CA, Example Corp', which is not trusted",
     CA_FILE),
    ({"by": "corporate", "send": ()}, HERE, "is not trusted; the server sends no other", CA_FILE),
    ({"by": "below", "send": ()}, HERE, "is issued by 'Test issuer', which is not trusted; "
     "the server sends no other certificate", CA_FILE),
    ({"by": "below", "send": ("root",)}, HERE, "that the server sent are not its issuers", None),
    ({"by": "sha1 root"}, HERE, "issued by 'Old root', which is not trusted", CA_FILE),

    ({"digest": "sha1"}, HERE, "'hub.test' is signed with SHA-1, which can be forged", RENEW),
    ({"by": "rsa", "digest": "sha1"}, HERE, "signed with SHA-1, which can be forged", RENEW),
    ({"by": "sha1"}, HERE, "'Old issuer' is signed with SHA-1", RENEW),
    ({"key": 1024}, HERE, "the RSA key of 'hub.test' has 1024 bits, not 2048", RENEW),
    ({"key": 2032}, HERE, "the RSA key of 'hub.test' has 2032 bits, not 2048", RENEW),
    ({"by": "short"}, HERE, "the RSA key of 'Short issuer' has 1024 bits, not 2048", RENEW),

    ({"by": "no authority"}, HERE, "its issuer is not allowed to sign certificates", None),
    ({"by": "not for signing"}, HERE, "it is not meant for", None),
    ({"by": "too deep"}, HERE, "its issuer is not allowed to sign certificates", None),
    ({"by": "constrained"}, HERE, "a critical extension that hub does not know", None),
    ({"extensions": ("extendedKeyUsage=clientAuth,emailProtection",)}, HERE,
     "it is not meant for servers", None),
    ({"by": "odd curve"}, HERE, "it uses what hub does not know", None),
]


def test_refused(k):
    """With eight more tries allowed, and none made; the token stays here."""
    repo = k.hub.add_repo(ID, FILES)

    def one(options, host, says, hint):
        context = serve(k, lab().issue(**options))
        told(k, run(k, repo, host), 1, says, hint)
        assert context.tries == 1, "tried again"
        assert not k.hub.asked(), "asked"
    each(REFUSED, one)


def test_self_signed(k):
    repo = k.hub.add_repo(ID, FILES)
    pem, certificate = lab().self_signed()
    serve(k, pem)
    told(k, run(k, repo), 1, "is signed by itself, 'My own box', and not trusted",
         "trust it with --ca-file FILE")
    k.ok(run(k, repo, HERE, "--ca-file", certificate))
    k.same(repo)


def test_trusted_too_weak(k):
    """A short key is not taken as a root either."""
    repo = k.hub.add_repo(ID, FILES)
    short = lab().authority("short root").file
    k.ok(run(k, repo, HERE, "--ca-file", short), 2, err=("contains no usable", "2048 bits"))
    assert not k.hub.asked() and not k.dir.exists()


# where certificates are looked for

def test_places_that_block(k):
    """Nothing is waited for: pipes to which nobody writes, devices, files of the kernel."""
    repo = k.hub.add_repo(ID, FILES)
    fifo, folder = k.top / "fifo", k.top / "certs"
    os.mkfifo(str(fifo))
    folder.mkdir()
    os.mkfifo(str(folder / "fifo"))
    (folder / "big").write_bytes(b"x" * (3 * MB))
    shutil.copy(k.hub.ca_file, str(folder / "ca.pem"))
    for name in ("SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        env = {"SSL_CERT_FILE": None, name: folder}
        k.ok(k.download(repo, to=k.top / name, env=env))
    for path in ("/proc", "/dev"):
        k.ok(k.download(repo, to=k.top / path[1:], env={"SSL_CERT_DIR": path, "REQUESTS_CA_BUNDLE": path},
                        timeout=20))
    # What the environment names is passed over with a note, what an option names is an error.
    for name, path, why in (("REQUESTS_CA_BUNDLE", fifo, "contains no usable"),
                            ("SSL_CERT_DIR", fifo, "not a directory"),
                            ("REQUESTS_CA_BUNDLE", "/dev/zero", "larger than 16 MiB")):
        k.ok(k.download(repo, env={name: path}), err=why)
    k.ok(k.download(repo, "--ca-file", fifo), 2, "contains no usable")
    k.ok(k.download(repo, "--ca-file", "/dev/zero"), 2, "larger than 16 MiB")
    # A pipe to which somebody writes, as a shell makes it of <(...).
    reading, writing = os.pipe()
    late = threading.Timer(0.3, lambda: (os.write(writing, Path(k.hub.ca_file).read_bytes()), os.close(writing)))
    late.start()
    k.ok(k.download(repo, env={"SSL_CERT_FILE": "/dev/fd/%d" % reading}, pass_fds=[reading]))
    late.join()
    os.close(reading)


# what must be taken

TAKEN = [
    ({}, HERE, "root"),
    ({}, "hub.test", "root"),
    ({}, "HUB.test", "root"),
    ({}, "hub.test.", "root"),
    ({}, "a.wild.test", "root"),
    ({"names": (), "subject": "/CN=hub.test"}, "hub.test", "root"),
    ({"names": ("DNS:localhost", "IP:::1")}, "localhost", "root"),
    ({"by": "below"}, HERE, "root"),
    ({"by": "below", "send": ("below",)}, HERE, "root"),
    ({"by": "below", "send": ()}, HERE, "below"),  # the issuer alone, as the hint says
    ({"by": "rsa", "key": 2048}, HERE, "rsa"),
    ({"by": "rsa below", "key": 3072}, HERE, "rsa"),
    ({"by": "rsa"}, HERE, "rsa"),  # an RSA key signs an EC key
    ({"key": 2048}, HERE, "root"),  # and the other way round
    ({"key": "secp384r1", "digest": "sha384"}, HERE, "root"),
    ({"key": "secp521r1", "digest": "sha512"}, HERE, "root"),
    ({"by": "sha1 root"}, HERE, "sha1 root"),  # a root's own signature is nobody's business
    ({"by": "last"}, HERE, "root"),
    ({"extensions": ("extendedKeyUsage=clientAuth,serverAuth",)}, HERE, "root"),
    ({"extensions": ()}, HERE, "root"),
]


# What BearSSL does not check, as SECURITY.md says: once it does, that page is to be changed.
UNCHECKED = [
    ({"by": "expired root"}, HERE, "expired root"),
    ({"by": "constrained in vain"}, HERE, "root"),
    ({"by": "not for servers"}, HERE, "root"),
    ({"names": ("DNS:*.test",)}, "hub.test", "root"),
]


def taken(k, rows):
    repo = k.hub.add_repo(ID, FILES)

    def one(options, host, trust):
        k.dir = k.top / ("taken%d" % len(k.results))
        serve(k, lab().issue(**options))
        k.ok(run(k, repo, host, trust=trust))
        k.same(repo)
    each(rows, one)


def test_taken(k):
    taken(k, TAKEN)


def test_not_checked(k):
    taken(k, UNCHECKED)


def test_chacha_first_without_aes(k):
    """The server leaves the choice to the client."""
    repo = k.hub.add_repo(ID, FILES)
    context = serve(k, lab().issue())
    k.ok(run(k, repo))
    wanted = "ECDHE-ECDSA-AES128-GCM-SHA256" if has_aes() else "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert set(context.ciphers) == {wanted}, context.ciphers


def has_aes():
    """Whether BearSSL finds instructions for AES: it looks on x86 (and POWER8) only."""
    with open(BINARY, "rb") as f:
        head = f.read(20)
    if head[:4] != b"\x7fELF":
        raise Skip("the CPU that runs this is not known")
    if int.from_bytes(head[18:20], "little") not in (3, 62):  # 386, x86-64
        return False
    with open("/proc/cpuinfo") as f:
        return re.search(r"^flags\s*:.* aes( |$)", f.read(), re.M) is not None


def test_each_cipher(k):
    repo = k.hub.add_repo(ID, FILES)
    ciphers = [c + s for c in ("ECDHE-ECDSA-", "ECDHE-RSA-") for s in
               ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")]
    for n, cipher in enumerate(ciphers):
        k.dir = k.top / ("cipher%d" % n)
        context = serve(k, lab().issue(key=2048 if "RSA" in cipher else "ec"), cipher)
        k.ok(run(k, repo))
        k.same(repo)
        assert set(context.ciphers) == {cipher}, context.ciphers


# versions, ciphers, certificates of the client, renegotiation: openssl s_server

class Server:
    """openssl s_server on loopback."""

    def __init__(self, *options):
        pem = lab().issue()
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", HERE + ":0", "-cert", pem, "-key", pem, "-msg",
             *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        line = self.read_until("ACCEPT")
        self.port = int(line.rpartition(":")[2])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.communicate()

    def read_until(self, text):
        """The line that has this."""
        while True:
            line = self.process.stdout.readline().decode(errors="replace")
            assert line, "s_server ended before it said " + text
            if text in line:
                return line

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


SERVERS = [
    (("-tls1", "-cipher", ANYTHING), "no cipher or version in common (hub speaks TLS 1.2 with"),
    (("-tls1_1", "-cipher", ANYTHING), "no cipher or version in common (hub speaks TLS 1.2 with"),
    (("-tls1_3",), "the server refuses TLS 1.2, and hub speaks no other version"),
    (("-tls1_2", "-cipher", "AES128-SHA:" + ANYTHING.partition(":")[2]),
     "no cipher or version in common (hub speaks TLS 1.2 with ECDHE"),
    (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"), "no cipher or version in common"),
    (("-tls1_2", "-Verify", "1"), "or it requires a client certificate"),
]


def test_versions_and_ciphers(k):
    repo = k.hub.add_repo(ID, FILES)

    def one(options, says):
        with Server(*options) as server:
            told(k, run(k, repo, port=server.port), 1, says)
    each(SERVERS, one)


def test_certificate_of_client_not_needed(k):
    """A server that asks for one and goes on without: s_server's page is no answer."""
    repo = k.hub.add_repo(ID, FILES)
    with Server("-tls1_2", "-verify", "1", "-www") as server:
        told(k, run(k, repo, port=server.port), 5, "the server sent a web page instead of the Hub's answer",
             "login page or a proxy")


def test_renegotiation_in_an_answer(k):
    """s_server asks for it before a page of its own and goes on: so does hub, and reads all."""
    repo = k.hub.add_repo(ID, FILES)
    with Server("-tls1_2", "-www") as server:
        env = {"HF_ENDPOINT": "https://%s:%d/reneg" % (HERE, server.port)}
        told(k, run(k, repo, env=env), 5, "the server sent a web page instead of the Hub's answer",
             "login page or a proxy")
        server.read_until("HelloRequest")
        server.read_until("no_renegotiation")


def test_renegotiation_demanded(k):
    """Here it does not go on."""
    k.hub.add_repo(ID, FILES)
    with Server("-tls1_2") as server:
        process = k.start("download", "-r", ID, "-p", k.dir, env={
            "HF_ENDPOINT": "https://%s:%d" % (HERE, server.port),
            "SSL_CERT_FILE": lab().authority("root").file})
        server.read_until("GET /api/models/" + ID)
        server.write("R\n")
        told(k, k.finish(process), 1, "the server wants another handshake, which hub refuses")
        server.read_until("no_renegotiation")


def test_no_tls_at_all(k):
    repo = k.hub.add_repo(ID, FILES)
    k.hub.origins[0].tls = None
    told(k, run(k, repo), 1, "what the server sends is not TLS")
    k.hub.violations.clear()  # the ClientHello was no HTTP


# cuts of the handshake

class Cutter:
    """Forwards to a port on loopback. At each connection the next cut is taken: (side, records,
    bytes, reset): once so many TLS records and bytes of the next have gone from that side ("server"
    or "client"), both connections end. None: no cut."""

    def __init__(self, port, *cuts):
        self.to = port
        self.cuts = list(cuts)
        self.made = 0
        self.listener = socket.create_server((HERE, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        try:
            while True:
                client = self.listener.accept()[0]
                cut = self.cuts.pop(0) if self.cuts else None
                threading.Thread(target=self._serve, args=(client, cut), daemon=True).start()
        except OSError:
            pass  # closed

    def _serve(self, client, cut):
        with client, socket.create_connection((HERE, self.to)) as server:
            try:
                self._forward(client, server, cut)
            except OSError:
                pass

    def _forward(self, client, server, cut):
        seen = {client: b"", server: b""}
        watched = {"client": client, "server": server}.get(cut and cut[0])
        other = {client: server, server: client}
        while True:
            if watched is client and seen[client] == b"" and cut[1:3] == (0, 0):
                return self._cut(client, cut)
            for sock in select.select([client, server], [], [], 60)[0]:
                data = sock.recv(65536)
                if not data:
                    return
                place = cut_place(seen[sock] + data, *cut[1:3]) if sock is watched else None
                if place is not None:
                    other[sock].sendall(data[:max(0, place - len(seen[sock]))])
                    return self._cut(client, cut)
                seen[sock] += data
                other[sock].sendall(data)

    def _cut(self, client, cut):
        self.made += 1
        if cut[3]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass  # else what is unread makes a reset of it


def cut_place(stream, records, extra):
    """Where it is to be cut, None if that is not there yet."""
    at = 0
    for _ in range(records):
        if len(stream) < at + 5:
            return None
        at += 5 + int.from_bytes(stream[at + 3:at + 5], "big")
    return at + extra if len(stream) >= at + extra else None


# ServerHello, Certificate, ServerKeyExchange, ServerHelloDone, ChangeCipherSpec, Finished; and
# ClientHello, ClientKeyExchange, ChangeCipherSpec, Finished.
CUTS = ([("server", n, extra) for n in range(6) for extra in (0, 3, 5)]
        + [("client", n, extra) for n in range(4) for extra in (0, 3)] + [("client", 4, 0)])


def test_handshake_cut_everywhere(k):
    repo = k.hub.add_repo(ID, FILES)
    serve(k, lab().issue())

    def one(side, records, extra, reset):
        with Cutter(k.hub.origins[0].server_address[1], (side, records, extra, reset)) as cutter:
            r = run(k, repo, HERE, "--retries", "0", port=cutter.port)
            told(k, r, 5, "cannot download", "check the network")
            # A reset at once can come before the connection is known to be there.
            places = ("TLS handshake",) + ("cannot connect",) * (side == "client" and not records)
            says = ("Connection reset", "Broken pipe") if reset else ("closed the connection",)
            assert any(s in r.err for s in places) and any(s in r.err for s in says), r.err
            assert cutter.made == 1, "not cut"
    each([cut + (reset,) for cut in CUTS for reset in (False, True)], one)
    assert not k.hub.asked(), "asked"


def test_cut_once_is_mended(k):
    repo = k.hub.add_repo(ID, FILES)
    serve(k, lab().issue())
    cuts = [("server", 1, 3, True), ("server", 4, 0, False)]
    with Cutter(k.hub.origins[0].server_address[1], *cuts) as cutter:
        k.ok(run(k, repo, HERE, "-j", "1", port=cutter.port))
        assert cutter.made == 2, "not cut"
    k.same(repo)


# streams that end without close_notify

FRAMINGS = [{}, {"chunked": True}, {"no_length": True}]


def length(k, repo, framing, origin, path):
    """Bytes of an answer's body with such a framing, honestly ended."""
    k.hub.fault(origin=origin, path=path, **framing)
    k.ok(k.download(repo, "--retries", "0"))
    k.same(repo)
    sent = k.hub.asked(origin, path=path)[0]["sent"]
    fresh(k)
    return sent


def fresh(k):
    """Nothing is there, and the Hub has no faults."""
    shutil.rmtree(str(k.dir), ignore_errors=True)
    k.hub.forget()


def test_listing_cut(k):
    """A half is never taken for a whole. Where the end of the stream is the only end, that needs
    close_notify; where a length or a last chunk was seen, it does not."""
    repo = k.hub.add_repo(ID, {"%d.txt" % n: "%d\n" % n for n in range(20)})
    for framing in FRAMINGS:
        whole = length(k, repo, framing, "hub", "/tree/")
        ends = [0, 1, whole // 2, whole - 1] + [whole] * ("no_length" in framing)
        for at in ends:
            k.hub.fault(path="/tree/", drop_after=at, **framing)
            told(k, k.download(repo, "--retries", "0"), 5,
                 "the connection was closed before the end of the content", "check the network")
            fresh(k)
        if whole not in ends:
            k.hub.fault(path="/tree/", drop_after=whole, **framing)
            k.ok(k.download(repo, "--retries", "0"))
            k.same(repo)
            fresh(k)


def test_content_cut(k):
    """A content in ranges, from another host: what came is kept, and the rest comes again."""
    repo = k.hub.add_repo(ID, {"big.bin": Generated(3, 3 * MB)})
    for framing in FRAMINGS:
        for at in (0, 1, MB, 2 * MB):
            k.hub.fault(origin="cdn", drop_after=at, **framing)
            k.ok(k.download(repo))
            k.same(repo)
            fresh(k)
        k.hub.fault(origin="cdn", drop_after=0, count=None, **framing)
        k.ok(k.download(repo, "--retries", "0", "big.bin"), 5,
             err="the connection was closed before the end of the content")
        assert not (k.dir / "big.bin").exists(), "published"
        k.hub.forget()
        k.ok(k.download(repo, "-d"))
        k.same(repo)
        fresh(k)


def test_content_whole_without_goodbye(k):
    """Its length is known, and its hash is checked: it needs no close_notify."""
    repo = k.hub.add_repo(ID, {"big.bin": Generated(3, MB)})
    for framing in FRAMINGS:
        whole = length(k, repo, framing, "cdn", "")
        k.hub.fault(origin="cdn", drop_after=whole, **framing)
        k.ok(k.download(repo, "--retries", "0"))
        k.same(repo)
        fresh(k)


# interception

class Interceptor(Proxy):
    """Opens the TLS of everybody: whatever host is asked for, the same one answers."""

    def connect(self, host, port):
        return super().connect(HERE, self.hub_port)


def test_intercepting_proxy(k):
    repo = k.hub.add_repo(ID, FILES)
    serve(k, lab().issue("corporate", names=("DNS:hub.example",)))
    with Interceptor() as proxy:
        proxy.hub_port = k.hub.origins[0].server_address[1]
        r = run(k, repo, "hub.example", port=443, proxy=proxy.url, trust=None)
        told(k, r, 1, "the certificate of 'hub.example' is issued by 'Inspection CA, Example Corp', "
             "which is not trusted", CA_FILE)
        assert not k.hub.asked(), "asked"
        authority = lab().authority("corporate").file
        r = run(k, repo, "hub.example", "--ca-file", authority, port=443, proxy=proxy.url,
                trust=None)
        k.ok(r)
        k.same(repo)


# bundles

def test_bundles_as_they_come(k):
    """What copying, editors and concatenation make of PEM; a bundle that the environment names is a
    note where it cannot be used, since the built-in roots are there."""
    repo = k.hub.add_repo("acme-lab/bundle", {"a.txt": "a"})
    good = Path(k.hub.ca_file).read_text()
    bad = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    other = Path(lab().authority("root").file).read_text()
    file = k.top / "bundle.pem"
    for text in (good.rstrip() + other, other.rstrip() + good, "\ufeff" + good, good.replace("\n", " \n   "),
                 good.replace("\n", "\r"), "Subject: x\n" + good.replace("\n", "\r\n")):
        file.write_bytes(text.encode())
        for n, how in enumerate(({"env": {"SSL_CERT_FILE": file}}, {"env": {"SSL_CERT_FILE": None}})):
            r = k.ok(k.download(repo, "--force", *(["--ca-file", file] if n else []), **how))
            assert "bundle" not in r.err.replace("acme-lab/bundle", ""), r.err
    file.write_text(other + "# mine\n" + bad + good)
    line = len(other.splitlines()) + 2
    for how in ({"env": {"REQUESTS_CA_BUNDLE": file, "SSL_CERT_FILE": None}}, {"env": {"SSL_CERT_FILE": None}}):
        option = ["--ca-file", file] if len(how["env"]) == 1 else []
        r = k.ok(k.download(repo, "--force", *option, **how), err="line %d: broken certificate; skipping it" % line)
        assert r.err.count("skipping it") == 1
    none = k.top / "none.pem"
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        env = {"SSL_CERT_FILE": None, name: none}
        k.ok(k.download(repo, "--force", "--ca-file", k.hub.ca_file, env=env), err="%s: cannot read '%s'" % (name, none))
    k.hub.forget()
    k.ok(k.download(repo, "--ca-file", none), 2, err="--ca-file: cannot read")
    file.write_text(bad)
    k.ok(k.download(repo, "--ca-file", file), 2, err="line 1: broken certificate")
    assert not k.hub.asked()
