"""hub serve: a Hub for others. It serves what the binary has downloaded from the test Hub; then the
test Hub is asked for nothing more."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import names
from fakehub import Generated
from kit import EMULATOR, MB, Skip, is_checked, limit, tree

ID = "acme-lab/tiny"
FILES = {
    "README.md": "# tiny\n",
    "config.json": '{"a": 1}\n',
    "empty.txt": b"",
    "sub dir/100% über.txt": "odd\n",
    "weights/model.safetensors": Generated(7, 3 * MB + 1),
}
OTHER = "1" * 40


class Box:
    """hub serve, running."""

    def __init__(self, k, *args, **how):
        self.k = k
        self.process = k.start("serve", "--listen", "127.0.0.1:0", *args, **how)
        self.url = self.process.stdout.readline().decode().strip()
        if not self.url:
            raise AssertionError(self.process.communicate()[1].decode())
        parts = urllib.parse.urlsplit(self.url)
        self.secure = parts.scheme == "https"
        self.port = parts.port

    def env(self, **more):
        return {"HF_ENDPOINT": self.url, "HF_HOME": self.k.top / "far-home", **more}

    def get(self, path, method="GET", body=None, **fields):
        """Status, fields and body."""
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        with contextlib.closing(self.connection()) as c:
            c.request(method, path, body=body, headers=fields)
            r = c.getresponse()
            return r.status, r.headers, r.read()

    def connection(self):
        if self.secure:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trusting())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def wait(self, path="/api/models/" + ID):
        """Until all is hashed."""
        self.k.wait_for(lambda: self.get(path)[0] != 503)

    def socket(self, data=b"", client="127.0.0.1", room=None):
        """room: bytes that may wait for this client in its own machine."""
        s = socket.socket()
        s.settimeout(30)
        if room:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        s.bind((client, 0))
        s.connect(("127.0.0.1", self.port))
        s.sendall(data)
        return s

    def session(self, data=b""):
        """A socket with TLS, if this is with TLS."""
        s = self.socket()
        if self.secure:
            s = trusting().wrap_socket(s)
        s.sendall(data)
        return s

    def raw(self, data):
        """All that comes back for these bytes."""
        with self.socket(data) as s:
            got = b""
            with contextlib.suppress(ConnectionError):
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    got += more
            return got

    def end(self, status=0, number=signal.SIGTERM):
        self.process.send_signal(number)
        r = self.k.finish(self.process)
        self.k.ok(r, status)
        return r


def trusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def noted(k, files, commit=OTHER, at=None):
    """A folder as the official client leaves it: no stamp of ours."""
    at = at or k.top / "noted"
    for path, data in files.items():
        file = at / path
        note = at / ".cache/huggingface/download" / (path + ".metadata")
        for p in (file, note):
            p.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        note.write_text("%s\n%s\n%f\n" % (commit, hashlib.sha256(data).hexdigest(), time.time()))
    return at


def fetched(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    k.hub.forget()
    return repo


def test_folder(k):
    """A download from it is one from the Hub: the same files, commit and hashes, to be verified."""
    repo = fetched(k)
    box = Box(k, "-p", ID + "=" + str(k.dir))
    far = k.top / "far"
    r = k.ok(k.run("download", "-r", ID, "-p", far, env=box.env()))
    k.same(repo, folder=far)
    k.ok(k.run("verify", "-p", far, env=box.env()))
    k.ok(k.run("download", "-r", ID, "-p", far, "--revision", repo.head().oid, env=box.env()))
    k.ok(k.run("ls", ID, "-R", env=box.env()), out=tuple(FILES))
    k.ok(k.run("ls", ID, "--refs", env=box.env()), out="main")
    k.ok(k.run("download", ID, env=box.env()), out=repo.head().oid)
    k.ok(k.run("download", "-r", ID, "-o", "-", "README.md", env=box.env()), out="# tiny\n")
    # What broke there is repaired from here.
    with open(str(far / "weights/model.safetensors"), "r+b") as f:
        f.seek(1000000)
        f.write(b"broken")
    k.ok(k.run("verify", "-p", far, env=box.env()), 6)
    k.ok(k.run("verify", "-p", far, "--repair", "-r", ID, env=box.env()))
    k.same(repo, folder=far)
    r = k.run("download", "-r", ID, "-p", far, "none.txt", env=box.env())
    k.ok(r, 3, err="none.txt")
    k.ok(k.run("download", "-r", ID, "-p", far, "--revision", "v9", env=box.env()), 3, err="v9")
    k.ok(k.run("download", "-r", "acme-lab/none", "-p", far, env=box.env()), 3)
    assert not k.hub.asked()
    r = box.end()
    assert "HF_ENDPOINT=" + box.url in r.err and "serving 6 files of 1 repository" in r.err


def test_cache(k):
    repo = k.hub.add_repo(ID, FILES)
    data = k.hub.add_repo("acme-lab/rows", {"a.csv": "1\n"}, type="dataset")
    k.ok(k.run("download", ID))
    k.ok(k.run("download", "-r", data.id, "-t", "dataset", "--cache"))
    k.hub.forget()
    box = Box(k, "--cache")
    box.wait()
    box.wait("/api/datasets/acme-lab/rows")
    k.ok(k.run("download", "-r", ID, "-p", k.top / "far", env=box.env()))
    k.same(repo, folder=k.top / "far")
    k.ok(k.run("verify", "-p", k.top / "far"))
    k.ok(k.run("download", "-r", data.id, "-t", "dataset", "-p", k.top / "rows", env=box.env()))
    assert tree(k.top / "rows").keys() == {".gitattributes", "a.csv"}
    assert not k.hub.asked()
    # A content that broke in the cache is left out.
    for blob in (k.home / ".cache/huggingface/hub").glob("models--*/blobs/*"):
        if blob.stat().st_size > MB:
            blob.chmod(0o644)
            with open(str(blob), "r+b") as f:
                f.seek(700001)
                f.write(b"broken")
    box.end()
    box = Box(k, "--cache")
    box.wait()
    assert box.get("/%s/resolve/main/weights/model.safetensors" % ID)[0] == 404
    assert box.get("/%s/resolve/main/README.md" % ID)[2] == b"# tiny\n"
    assert "left out" in box.end().err


def test_cache_with_plain_files(k):
    """Files that are no links, in one snapshot, hide no file of another one."""
    repo = k.hub.add_repo("acme-lab/rows", {"%d.csv" % i: "row %d\n" % i for i in range(40)}, type="dataset")
    first = repo.head().oid
    second = repo.commit({"0.csv": "other\n"}).oid
    for commit in (first, second):
        k.ok(k.run("download", "-r", repo.id, "-t", "dataset", "--cache", "--revision", commit))
    folder = next((k.home / ".cache/huggingface/hub").glob("datasets--*"))
    for link in folder.glob("snapshots/*/1?.csv"):
        data = link.read_bytes()
        link.unlink()
        link.write_bytes(data)
    box = Box(k, "--cache")
    for commit in (first, second):
        path = "/api/datasets/%s/tree/%s" % (repo.id, commit)
        box.wait(path)
        found = json.loads(box.get(path)[2])
        assert {e["path"] for e in found} >= {"%d.csv" % i for i in range(40)}, found
    box.end()


def test_only_what_is_proved(k):
    at = noted(k, {"a.bin": b"a" * 100001, "b.bin": b"b", "c.bin": b"c"})
    (at / "b.bin").write_bytes(b"B")
    (at / "d.bin").write_bytes(b"not recorded")
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    assert [e["path"] for e in json.loads(box.get("/api/models/%s/tree/main" % ID)[2])] == \
        ["a.bin", "c.bin"]
    for name, status in (("a", 200), ("b", 404), ("c", 200), ("d", 404)):
        assert box.get("/%s/resolve/main/%s.bin" % (ID, name))[0] == status, name
    # One that changes is offered no more, until it is right again.
    (at / "c.bin").write_bytes(b"C")
    k.wait_for(lambda: box.get("/%s/resolve/main/c.bin" % ID)[0] == 404)
    # Nor need it look again for one that was wrong.
    (at / "b.bin").write_bytes(b"b")
    k.wait_for(lambda: box.get("/%s/resolve/main/b.bin" % ID)[0] == 200)
    (at / "c.bin").write_bytes(b"c")
    noted(k, {"e.bin": b"e"}, at=at)
    box.process.send_signal(signal.SIGHUP)
    for name in "ce":
        k.wait_for(lambda: box.get("/%s/resolve/main/%s.bin" % (ID, name))[0] == 200)
    assert "b.bin" in box.end().err


def test_looks_again_often(k):
    """Looking again does not drop what is being hashed, however often it is asked for."""
    at = noted(k, {"a.bin": os.urandom(32 * MB), "b.bin": b"b"})
    box = Box(k, "-p", ID + "=" + str(at))
    path = "/%s/resolve/main/a.bin" % ID
    for _ in range(400):
        box.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
        if box.get(path, "HEAD")[0] == 200:
            break
    assert box.get(path, "HEAD")[0] == 200
    assert "looked again: " in box.end().err


def test_siblings_in_pieces(k):
    """The list of many files goes out in pieces, and takes no memory for each client that reads it slowly."""
    names = ["%0240d.txt" % i for i in range(400)]
    box = Box(k, "-p", ID + "=" + str(noted(k, {name: b"a" for name in names})), "--log")
    path = "/api/models/%s?blobs=true" % ID
    box.wait(path)
    status, h, body = box.get(path)
    assert [e["rfilename"] for e in json.loads(body)["siblings"]] == names
    assert status == 200 and "Content-Length" not in h
    assert box.get(path, "HEAD")[2] == b"" and box.get(path)[2] == body
    # Another request behind it; and a client that knows no chunks.
    got = box.raw(ask(path) + ask("/none", "Connection: close"))
    assert got.count(b"\r\n0\r\n\r\nHTTP/1.1 404 ") == 1, got[-300:]
    old = box.raw(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
    assert old.split(b"\r\n\r\n", 1)[1] == body and b"chunked" not in old[:1000]
    before = status_of(box)["VmRSS"]
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(box.socket(ask(path) * 40, room=1 << 17)).recv(1)
        for _ in range(4):
            assert box.get(path)[2] == body
        after = status_of(box)["VmRSS"]
        assert is_checked() or after < before + 3200, (before, after)
    lines = [line.split() for line in box.end().out.splitlines()]
    assert [line[3] for line in lines if line[2] == "200"][0] == str(len(body)), lines[:9]


def test_headers(k):
    repo = fetched(k)
    box = Box(k, "-p", str(k.dir))  # the metadata says which repository it is
    commit = repo.head().oid
    path = "/%s/resolve/main/weights/model.safetensors" % ID
    data = (k.dir / "weights/model.safetensors").read_bytes()
    etag = '"%s"' % hashlib.sha256(data).hexdigest()
    status, h, body = box.get(path, "HEAD")
    assert status == 200 and not body and h["X-Linked-Size"] == h["Content-Length"] == str(len(data))
    assert h["ETag"] == h["X-Linked-ETag"] == etag and h["X-Repo-Commit"] == commit
    assert h["Accept-Ranges"] == "bytes" and "filename=\"model.safetensors\"" in h["Content-Disposition"]
    assert "xet" not in str(h).lower() and "Date" in h
    assert h["X-Content-Type-Options"] == "nosniff"
    for value, first, end in (("bytes=0-0", 0, 1), ("bytes=1000000-1000004", 1000000, 1000005),
                              ("bytes=700001-", 700001, len(data)), ("bytes=-1", len(data) - 1, len(data))):
        status, h, body = box.get(path, Range=value)
        assert status == 206 and body == data[first:end]
        assert h["Content-Range"] == "bytes %d-%d/%d" % (first, end - 1, len(data))
    assert box.get(path, Range="bytes=%d-" % len(data))[0] == 416
    assert box.get(path, Range="bytes=0-1,4-5")[2] == data
    status, h, body = box.get(path, If_None_Match=etag)
    assert status == 304 and not body and h["ETag"] == etag
    body = json.dumps({"paths": ["README.md", "weights", "none"], "expand": False})
    status, h, found = box.get("/api/models/%s/paths-info/%s" % (ID, commit), "POST", body,
                               Content_Type="application/json")
    assert [(e["type"], e["path"]) for e in json.loads(found)] == \
        [("file", "README.md"), ("directory", "weights")]
    for entry in json.loads(box.get("/api/models/%s/tree/main?recursive=true" % ID)[2]):
        assert "xetHash" not in entry
    assert box.get("/%s/resolve/main/README.md" % ID, "PUT", b"x")[0] == 405
    box.end()


# Hostile clients.

def ask(path="/api/models/" + ID, *fields):
    return "\r\n".join(["GET %s HTTP/1.1" % path, "Host: localhost", *fields, "", ""]).encode()


def test_hostile_requests(k):
    at = noted(k, {"a.bin": b"a" * 1000})
    (k.top / "secret").write_text("secret")
    (at / "link").symlink_to(k.top / "secret")
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    for data, status in (
            (b"\x16\x03\x01\x02\x00\x01\n\r\n\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505), (b"GET /\r\n\r\n", 400),
            (b"GET / HTTP/1.1\nHost: a\n\n", 400),
            (ask("/" + "x" * 20000), (414, 431)), (b"GET /" + b"x" * 100000, 431),
            (ask("/", *["A%d: b" % i for i in range(5000)]), 431),
            (ask("/", "A : b"), 400), (ask("/", "Host: y"), 400),
            (ask("/", "Content-Length: 5", "Transfer-Encoding: chunked"), 400),
            (ask("/", "Content-Length: 5", "Content-Length: 6") + b"abcdef", 400),
            (ask("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 411),
            (ask("/", "Content-Length: 999999999"), 413)):
        got = box.raw(data)
        wanted = status if isinstance(status, tuple) else (status,)
        assert any(got.startswith(b"HTTP/1.1 %d " % s) for s in wanted), (data[:60], got[:100])
        assert got.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in got
    up = "/%s/resolve/main/" % ID
    for path in ("../../../../secret", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret", "/etc/passwd",
                 "%2fetc%2fpasswd", "link", ".cache/huggingface/download/a.bin.metadata", "a.bin%00",
                 "a.bin/", "./a.bin", "a.bin/../a.bin", "..\\secret"):
        got = box.raw(ask(up + path, "Connection: close"))
        assert got.startswith(b"HTTP/1.1 404 "), (path, got[:80])
        assert b"secret" not in got.split(b"\r\n\r\n", 1)[1]
    got = box.raw(ask("http://a.localhost:1" + up + "a.bin", "Connection: close"))
    assert got.startswith(b"HTTP/1.1 200 ")
    # Two at once, and one byte after the other.
    got = box.raw(ask(up + "a.bin") + ask(up + "a.bin", "Connection: close"))
    assert got.count(b"HTTP/1.1 200 ") == 2
    with box.socket() as s:
        for byte in ask(up + "a.bin", "Connection: close"):
            s.sendall(bytes([byte]))
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    # A body in pieces, and the next request behind it.
    body = json.dumps({"paths": ["a.bin"] + ["none"] * 900}).encode()
    post = ask("/api/models/%s/paths-info/main" % ID, "Content-Type: application/json",
               "Content-Length: %d" % len(body)).replace(b"GET", b"POST")
    with box.socket(post) as s:
        for i in range(0, len(body), 701):
            s.sendall(body[i:i + 701])
        s.sendall(ask(up + "a.bin", "Connection: close"))
        got = b"".join(iter(lambda: s.recv(65536), b""))
    (_, info), (_, data) = answers(got)
    assert [e["path"] for e in json.loads(info)] == ["a.bin"] and data == b"a" * 1000
    assert sorted(p.name for p in at.iterdir()) == [".cache", "a.bin", "link"]
    box.end()


def answers(got):
    """Status and body of each answer: nothing is between them."""
    while got:
        head, got = got.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 "), head
        length = int(re.search(rb"\r\nContent-Length: (\d+)", head).group(1))
        assert length <= len(got), (head, got)
        yield int(head[9:12]), got[:length]
        got = got[length:]


def test_refusals_are_framed(k):
    """A body is as long as its head says, so that the next answer is taken for what it is."""
    at = noted(k, {"a.bin": b"a"})
    (k.top / "token").write_text("hf_" + "x" * 34 + "\n")
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    last = ask("/%s/resolve/main/a.bin" % ID, "Connection: close")
    put = ask().replace(b"GET", b"PUT")
    for data, statuses in (
            (put + last, [405, 200]), (put + put + last, [405, 405, 200]),
            (ask("/none") + last, [404, 200]),
            (put + ask("/", "A : b"), [405, 400]), (ask("/", "Content-Length: 999999999"), [413]),
            (ask("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [411]),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", [505])):
        got = list(answers(box.raw(data)))
        assert [status for status, _ in got] == statuses, got
        assert all("error" in json.loads(body) for status, body in got if status != 200), got
        assert statuses[-1] != 200 or got[-1][1] == b"a"
    box.end()
    box = Box(k, "-p", ID + "=" + str(at), "--token-file", k.top / "token")
    got = list(answers(box.raw(ask() + last)))
    assert [status for status, _ in got] == [401, 401] and all(body for _, body in got)
    box.end()


def flood(s, data):
    """Sends until the other side closes."""
    def run():
        with contextlib.suppress(OSError):
            while True:
                s.sendall(data)
    t = threading.Thread(target=run, daemon=True)
    t.start()
    return t


def unhurried(s):
    """All that comes; at first slowly, so that the box has long closed."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while True:
            more = s.recv(4096)
            if not more:
                break
            got += more
            time.sleep(0.01 if len(got) < 100000 else 0)
    return got


def test_more_than_a_request(k):
    """Bytes behind the last request do not cost the client the end of its answer."""
    data = os.urandom(300001)
    at = noted(k, {"a.bin": data})
    cert, key = key_pair(k, "ec")
    more = ask("/%s/resolve/main/a.bin" % ID, "Connection: close") + b"x" * 20000
    for how in ((), ("--cert", cert, "--key", key)):
        box = Box(k, "-p", ID + "=" + str(at), *how)
        box.wait()
        s = box.socket(room=1 << 15)
        with trusting().wrap_socket(s) if how else s as s:
            s.sendall(more)
            got = unhurried(s)
        assert got.partition(b"\r\n\r\n")[2] == data, (how, len(got))
        box.end()


def test_endless_requests(k):
    """A client that never stops sending gets no thread for itself, and does not hold up the end."""
    at = noted(k, {"a.bin": b"a"})
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    last = ask("/%s/resolve/main/a.bin" % ID, "Connection: close")
    assert [s for s, _ in answers(box.raw(b"\r\n" * 4 + last))] == [200]
    assert [s for s, _ in answers(box.raw(b"\r\n" * 5 + last))] == [400]
    for data in (b"\r\n" * 4096, b"GET / HTTP/1.1\r\nA: " + b"x" * 65536):
        for t in [flood(box.socket(), data) for _ in range(20)]:
            t.join(30)
            assert not t.is_alive()
    assert box.get("/%s/resolve/main/a.bin" % ID)[0] == 200
    box.end()


def test_log(k):
    """Each line has its own request, and what was sent of the body."""
    data = os.urandom(20 * MB)
    at = noted(k, {"a.bin": data})
    box = Box(k, "-p", ID + "=" + str(at), "--log")
    box.wait()
    path = "/%s/resolve/main/a.bin" % ID
    etag = '"%s"' % hashlib.sha256(data).hexdigest()
    first = ask(path, "Range: bytes=0-9")
    for more in (ask("/", "A : b"), ask("/long", "Content-Length: 999999999"),
                 ask("/304", "Connection: close"),
                 ask(path + "?secret", "If-None-Match: " + etag, "Connection: close"),
                 ask(path, "Connection: close").replace(b"GET", b"HEAD")):
        box.raw(first + more)
    with box.socket(ask(path)) as s:
        s.recv(1)
    k.wait_for(lambda: box.get(path, Range="bytes=1-1")[0] == 206)
    lines = [line.split(maxsplit=5) for line in box.end().out.splitlines()]
    got = [(int(status), int(n), what) for _, _, status, n, _, what in lines if "/api/" not in what]
    ten = (206, 10, "GET " + path)
    failed = [len('{"error":"%s"}' % text) for text in ("no request that hub answers", "Repository not found")]
    assert got[:10] == [ten, (400, failed[0], "-"), ten, (413, failed[0], "GET /long"),
                        ten, (404, failed[1], "GET /304"), ten, (304, 0, "GET " + path),
                        ten, (200, 0, "HEAD " + path)], got
    assert all(n < len(data) for status, n, _ in got if status == 200), got
    assert "secret" not in str(got)


def status_for(stack, box, data, client="127.0.0.1"):
    """The status that this client gets; the connection stays open."""
    s = stack.enter_context(box.socket(data, client=client))
    with contextlib.suppress(ConnectionError):
        return int(s.recv(12)[9:])
    return None


def test_many_connections(k):
    """Those that only wait cannot lock out those that ask, and slow readers hold up nobody."""
    at = noted(k, {"a.bin": os.urandom(8 * MB)})
    box = Box(k, "-p", ID + "=" + str(at), "--log",
              wrap=FEW)
    box.wait()
    path = "/%s/resolve/main/a.bin" % ID
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(box.socket(ask(path))) for _ in range(30)]
        for s in slow:
            s.recv(1000)
        for _ in range(100):
            stack.enter_context(box.socket(b"GET / HT"))
        # While all that it has is busy, the box may turn somebody away: who asks again gets in.
        for _ in range(20):
            k.wait_for(lambda: status_for(stack, box, ask(path, "Range: bytes=1000000-1000000")) == 206)
        box.process.send_signal(signal.SIGUSR1)
        # Those that had begun are finished.
        left = 8 * MB - 1000
        while left > 0:
            more = slow[0].recv(1 << 20)
            assert more
            left -= len(more)
    out = box.end()
    assert " 206 1 " in out.out and "connections, " in out.err
    assert "GET %s" % path in out.out


FEW = ("sh", "-c", 'ulimit -n 200; exec "$@"', "sh")  # some 60 connections


def test_slow_readers(k):
    """Those of one machine that take all places and do not read keep no other machine out."""
    at = noted(k, {"a.bin": os.urandom(8 * MB)})
    box = Box(k, "-p", ID + "=" + str(at), "--log", wrap=FEW)
    box.wait()
    path = "/%s/resolve/main/a.bin" % ID
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(box.socket(ask(path), room=1 << 17)) for _ in range(90)]
        got = 0
        for s in slow:
            with contextlib.suppress(ConnectionError):
                got += s.recv(12) == b"HTTP/1.1 200"
        assert 20 < got < 90, got
        for _ in range(20):
            k.wait_for(lambda: status_for(stack, box, ask(path, "Range: bytes=5-6"), "127.0.0.2") == 206)
    # An answer that was given up has its line, too.
    lines = [line for line in box.end().out.splitlines() if " 200 " in line and path in line]
    assert len(lines) >= got, (len(lines), got)


@limit(300)
def test_pace(k):
    """A client that takes next to nothing is closed in the end, a slow one is not, whatever waits for it here."""
    if not os.environ.get("HUB_LONG"):
        raise Skip("HUB_LONG is not set")
    box = Box(k, "-p", ID + "=" + str(noted(k, {"a.bin": os.urandom(12 * MB)})))
    box.wait()
    data = ask("/%s/resolve/main/a.bin" % ID)
    with box.socket(data, room=1 << 17) as stuck, box.socket(data, room=1 << 17) as slow:
        got = 0
        for i in range(480):
            got += len(slow.recv(8192))
            if i % 4 == 0:
                assert len(stuck.recv(1)) == 1 or i > 100
            time.sleep(0.25)
        assert got > 3 * MB
        rest = 0
        with contextlib.suppress(ConnectionError):
            rest = sum(map(len, iter(lambda: stuck.recv(1 << 20), b"")))
        assert rest < 12 * MB
        while got < 12 * MB:
            more = slow.recv(1 << 20)
            assert more
            got += len(more)
    box.end()


def test_long_requests(k):
    """Bodies that come slowly take a bounded memory, and keep no other machine out."""
    at = noted(k, {"a.bin": b"a"})
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    body = json.dumps({"paths": ["a.bin"]}).encode().ljust(250000)
    post = ask("/api/models/%s/paths-info/main" % ID, "Content-Type: application/json",
               "Content-Length: %d" % len(body), "Connection: close").replace(b"GET", b"POST")
    before = status_of(box)["VmRSS"]
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(box.socket()) for _ in range(100)]
        for s in slow:
            with contextlib.suppress(ConnectionError):
                s.sendall(post + body[:-1])
        # Of the same machine another one is refused, of another machine it is not.
        assert list(answers(box.raw(post)))[0][0] == 503
        with box.socket(post + body, client="127.0.0.3") as s:
            assert s.recv(12) == b"HTTP/1.1 200"
        after = status_of(box)["VmRSS"]
        slow[0].sendall(body[-1:])
        assert slow[0].recv(12) == b"HTTP/1.1 200"
    assert is_checked() or after < before + 14000, (before, after)
    assert b"HTTP/1.1 200 " in box.raw(post + body)
    # A body that is answered takes none, also if the next request has begun behind it.
    post = post.replace(b"Connection: close", b"Connection: keep")
    before = status_of(box)["VmRSS"]
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            s = stack.enter_context(box.socket(post + body + b"G"))
            assert s.recv(12) == b"HTTP/1.1 200"
        after = status_of(box)["VmRSS"]
    assert is_checked() or after < before + 8000, (before, after)
    box.end()


def test_stops_when_done(k):
    """SIGTERM: what runs is finished, what is idle is closed, and nobody gets in."""
    at = noted(k, {"a.bin": os.urandom(20 * MB)})
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    idle = box.socket()
    path = "/%s/resolve/main/a.bin" % ID
    # Another request waits behind it, unread: what runs is finished all the same.
    first = ask(path, "A: " + "a" * (4096 - len(ask(path, "A: "))))
    with box.socket(first + ask(path), room=1 << 15) as s:
        assert s.recv(1)
        box.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        k.wait_for(lambda: refused(box), what="the end of listening")
        got = 0
        with contextlib.suppress(ConnectionError):
            while True:
                more = s.recv(1 << 20)
                if not more:
                    break
                got += len(more)
        assert got > 20 * MB, got
    k.ok(k.finish(box.process))
    if not os.environ.get("HUB_LONG"):
        return
    # A client that does not read is not waited for longer than 10 s.
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    with box.socket(ask("/%s/resolve/main/a.bin" % ID)) as s:
        s.recv(1)
        began = time.monotonic()
        box.process.send_signal(signal.SIGINT)
        k.ok(k.finish(box.process))
        assert 5 < time.monotonic() - began < 50


def refused(box):
    try:
        box.socket().close()
    except ConnectionError:
        return True
    return False


def test_file_that_changes(k):
    """An answer that is whole has the bytes that were proved."""
    data = os.urandom(40 * MB)
    at = noted(k, {"a.bin": data})
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    path = "/%s/resolve/main/a.bin" % ID
    for first in (0, 20 * MB + 1, 40 * MB - 16384, 40 * MB - 16385, 40 * MB - 1):
        assert box.get(path, Range="bytes=%d-" % first)[2] == data[first:], first
    with box.socket(ask(path, "Connection: close")) as s:
        got = s.recv(1000)
        with open(str(at / "a.bin"), "r+b") as f:
            f.seek(39 * MB)
            f.write(b"other" * 100)
        while True:
            more = s.recv(1 << 20)
            if not more:
                break
            got += more
    assert got.startswith(b"HTTP/1.1 200 ")
    body = got.split(b"\r\n\r\n", 1)[1]
    assert len(body) < len(data) and data.startswith(body)
    assert box.get(path)[0] in (503, 404)
    box.end()


def test_file_that_changes_in_the_socket(k):
    """Nor has it bytes that were overwritten before they left the box."""
    for n in (1000001, 12 * MB):
        data = os.urandom(n)
        at = noted(k, {"a.bin": data}, at=k.top / str(n))
        box = Box(k, "-p", ID + "=" + str(at))
        box.wait()
        with box.socket(ask("/%s/resolve/main/a.bin" % ID, "Connection: close"), room=1 << 15) as s:
            got = s.recv(1000)
            time.sleep(0.2)
            with open(str(at / "a.bin"), "r+b") as f:
                f.seek(700001)
                f.write(b"other" * 100)
            got += unhurried(s)
        body = got.partition(b"\r\n\r\n")[2]
        assert len(body) < n or body == data
        box.end()


# TLS and tokens.

def key_pair(k, kind):
    """A certificate of an authority of the test, and its key, in files."""
    at = k.top / kind
    at.mkdir()
    new = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *new, "-nodes", "-keyout", str(at / "key.pem"), "-out",
         str(at / "cert.pem"), "-days", "30", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1"], stderr=subprocess.PIPE)
    if run.returncode:
        raise Skip("no openssl")
    return at / "cert.pem", at / "key.pem"


def test_tls(k):
    repo = fetched(k)
    for kind in ("rsa", "ec"):
        cert, key = key_pair(k, kind)
        box = Box(k, "-p", ID + "=" + str(k.dir), "--cert", cert, "--key", key)
        assert box.secure
        far = k.top / ("far-" + kind)
        k.ok(k.run("download", "-r", ID, "-p", far, env=box.env(SSL_CERT_FILE=cert)))
        k.same(repo, folder=far)
        context = ssl.create_default_context(cafile=str(cert))
        with socket.create_connection(("127.0.0.1", box.port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as s:
                assert s.version() == "TLSv1.2"
                s.sendall(ask("/%s/resolve/main/weights/model.safetensors" % ID) * 2)
                got = 0
                while got < 2 * (3 * MB + 1):
                    more = s.recv(1 << 20)
                    assert more
                    got += len(more)
        # What is not TLS.
        assert not box.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP")
        box.end()
    r = k.run("serve", "-p", ID + "=" + str(k.dir), "--cert", cert, "--key", k.top / "rsa/key.pem")
    k.ok(r, 2, err="does not belong")
    k.ok(k.run("serve", "-p", ID + "=" + str(k.dir), "--cert", cert), 2, err="--key")
    k.ok(k.run("serve", "-p", ID + "=" + str(k.dir), "--cert", key, "--key", key), 2, err="no certificate")
    k.ok(k.run("serve", "-p", ID + "=" + str(k.dir), "--cert", cert, "--key", cert), 2,
         err="no private key")


def test_endless_records(k):
    """Records without data hold no thread either: here alerts, which are warnings."""
    cert, key = key_pair(k, "ec")
    box = Box(k, "-p", ID + "=" + str(noted(k, {"a.bin": b"a"})), "--cert", cert, "--key", key)
    threads = [flood(box.socket(), b"\x15\x03\x03\x00\x02\x01\x5a" * 9000) for _ in range(20)]
    context = ssl.create_default_context(cafile=str(cert))
    with context.wrap_socket(box.socket(), server_hostname="localhost") as s:
        s.sendall(ask("/"))
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    assert any(t.is_alive() for t in threads)
    box.end()


def test_token(k):
    fetched(k)
    token = "hf_" + "x" * 34
    (k.top / "token").write_text(token + "\n")
    box = Box(k, "-p", ID + "=" + str(k.dir), "--token-file", k.top / "token")
    status, h, body = box.get("/api/models/" + ID)
    assert status == 401 and h["X-Error-Message"] == "Invalid username or password."
    assert "X-Error-Code" not in h and "Bearer" in h["WWW-Authenticate"]
    for wrong in ("Bearer " + token[:-1], "Bearer " + token + "x", "Bearer", "Basic " + token, token):
        status, h, body = box.get("/api/models/" + ID, Authorization=wrong)
        assert status == 401 and "Invalid credentials" in h["X-Error-Message"], wrong
    assert box.get("/api/models/" + ID, Authorization="Bearer " + token)[0] == 200
    k.ok(k.run("download", "-r", ID, "-p", k.top / "far", env=box.env()), 3, err="no token was given")
    k.ok(k.run("download", "-r", ID, "-p", k.top / "far", env=box.env(HF_TOKEN="hf_" + "y" * 34)), 4)
    k.ok(k.run("download", "-r", ID, "-p", k.top / "far", env=box.env(HF_TOKEN=token)))
    r = box.end()
    assert token not in r.out + r.err
    # Off this machine it would be readable on the way.
    r = k.run("serve", "--listen", "0.0.0.0:0", "-p", ID + "=" + str(k.dir), "--token-file", k.top / "token")
    k.ok(r, 2, err=("readable on the way", "--cert"))


def test_open_to_others(k):
    fetched(k)
    box = Box(k, "-p", ID + "=" + str(k.dir), "--listen", "0.0.0.0:0")
    assert box.get("/api/models/" + ID)[0] == 200
    r = box.end()
    assert "not encrypted" in r.err and "can read what is served" in r.err
    box = Box(k, "-p", ID + "=" + str(k.dir))
    assert "not encrypted" not in box.end().err


def test_names(k):
    """On this machine alone it has no other names: a browser was led here by a page of another site."""
    at = noted(k, {"a.bin": b"a"})
    (k.top / "token").write_text("hf_" + "x" * 34 + "\n")
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    path = "/%s/resolve/main/a.bin" % ID
    for host, status in (
            ("127.0.0.1", 200), ("127.0.0.1:8090", 200), ("[::1]", 200), ("[::1]:8090", 200),
            ("10.1.2.3", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("hub.localhost:8090", 200),
            ("evil.test", 421), ("evil.test:8090", 421), ("127.0.0.1.evil.test", 421),
            ("xlocalhost", 421), ("localhost.evil.test", 421), (".localhost", 421), ("[evil]", 421),
            ("[127.0.0.1]", 421), ("::1", 421)):
        assert box.get(path, Host=host)[0] == status, host
    assert box.raw(ask("http://evil.test" + path, "Connection: close")).startswith(b"HTTP/1.1 421 ")
    assert box.raw(b"GET %s HTTP/1.0\r\n\r\n" % path.encode()).startswith(b"HTTP/1.1 200 ")
    box.end()
    box = Box(k, "-p", ID + "=" + str(at), "--token-file", k.top / "token")
    assert box.get(path, Host="evil.test")[0] == 401
    box.end()


def test_refusals(k):
    fetched(k)
    for args, status, said in (
            (("-p", "a b=" + str(k.dir)), 2, "a b"), (("-p", k.top / "none"), 7, "none"),
            (("-p", "a/b=" + str(k.work)), 3, "no record"), (("argument",), 2, "try: -p ORG/NAME=argument"),
            (("-p", k.dir, "--listen", "host.test:1"), 2, "'host.test:1': it needs an IP address"),
            (("-p", k.dir, "--listen", "127.0.0.1:99999"), 2, "99999"),
            (("--cache-dir", k.top / "none"), 7, "none"),
            (("--cache",), 7, "try: -p ORG/NAME=DIR")):
        k.ok(k.run("serve", *args), status, err=said)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        r = k.run("serve", "-p", ID + "=" + str(k.dir), "--listen", "127.0.0.1:%d" % s.getsockname()[1])
        k.ok(r, 1, err=("in use", "another port"))


# Memory, a cable, and hours.

def test_memory(k):
    """1,000 connections that wait and 64 that are sent a file take at most 8 MiB."""
    if is_checked() or EMULATOR:
        raise Skip("not the plain binary on its own CPU")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        raise Skip("no 4096 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    at = noted(k, {"small.bin": os.urandom(4096), "big.bin": os.urandom(40 * MB)})
    box = Box(k, "-p", ID + "=" + str(at))
    box.wait()
    up = "/%s/resolve/main/" % ID
    try:
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(box.socket(ask(up + "small.bin"))) for _ in range(1000)]
            for s in idle:
                got = b""
                while len(got.partition(b"\r\n\r\n")[2]) < 4096:
                    got += s.recv(65536)
            busy = [stack.enter_context(box.socket(ask(up + "big.bin"))) for _ in range(64)]
            for _ in range(40):
                for s in busy:
                    assert s.recv(1 << 16)
            assert status_of(box)["VmHWM"] <= 8192, status_of(box)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    box.end()


def over_cable():
    """Bytes that have come over the only cable of this network."""
    text = Path("/proc/net/dev").read_text()
    return int(re.search(r"lo: *(\d+)", text).group(1))


def pull_cable(k, start, copies=1):
    """Serves a file, and pulls the cable for longer than the clients wait, in the middle of what
    start(box) has started. Returns the box, the file's data, and what start returned."""
    data = os.urandom(24 * MB + 1) * copies
    box = Box(k, "-p", ID + "=" + str(noted(k, {"a.bin": data})))
    box.wait()
    before = over_cable()
    started = start(box)
    k.wait_for(lambda: over_cable() > before + 6 * MB)
    names.set_loopback(False)
    time.sleep(3)
    names.set_loopback(True)
    return box, data, started


def test_cable_is_pulled(k):
    """hub goes on by itself, and what curl has got is continued from there."""
    def test(kit, _):
        def start(box):
            url = "%s/%s/resolve/main/a.bin" % (box.url, ID)
            curl = ["curl", "-sSf", "-C", "-", "-o", str(kit.top / "curl"), "--speed-time", "2", url]
            ours = kit.start("download", "-r", ID, "-p", kit.dir, "--timeout", "2", "--stall-timeout", "2",
                             "--limit-rate", "4M", env=box.env())
            theirs = subprocess.Popen([*curl, "--limit-rate", "4M"], stderr=subprocess.DEVNULL)
            return ours, theirs, curl
        before = over_cable()
        box, data, (ours, theirs, curl) = pull_cable(kit, start)
        kit.ok(kit.finish(ours))
        assert (kit.dir / "a.bin").read_bytes() == data
        if theirs.wait():
            subprocess.run(curl, check=True)
        assert (kit.top / "curl").read_bytes() == data
        assert over_cable() - before < 2.4 * len(data)
        box.end()
    if not os.environ.get("HUB_LONG"):
        raise Skip("HUB_LONG is not set")
    if not shutil.which("curl"):
        raise Skip("no curl")
    names.inside(k, test)


class Asker:
    """A client of the soak. Each of its requests is right if it returns True."""

    def __init__(self, box, data, seed):
        self.box = box
        self.data = data
        self.rnd = random.Random(seed)
        self.connection = box.connection()

    def some(self):
        kind = self.rnd.choices(list(self.KINDS), self.KINDS.values())[0]
        self.name = self.rnd.choice(sorted(self.data))
        self.path = "/%s/resolve/main/%s" % (ID, self.name)
        self.bytes = self.data[self.name]
        try:
            good = getattr(self, kind)()
        except (OSError, http.client.HTTPException) as e:
            self.connection.close()
            good = repr(e)
        if self.rnd.random() < 0.02:
            self.connection.close()
        return good is True or (kind, self.name, good)

    def ask(self, path, method="GET", **fields):
        self.connection.request(method, path, headers=fields)
        r = self.connection.getresponse()
        return r.status, r.headers, r.read()

    def whole(self):
        return self.ask(self.path)[::2] == (200, self.bytes)

    def part(self):
        if not self.bytes:
            return self.ask(self.path, Range="bytes=0-0")[0] in (200, 416)
        first = self.rnd.randrange(len(self.bytes))
        last = min(len(self.bytes) - 1, first + self.rnd.randrange(100000))
        return self.ask(self.path, Range="bytes=%d-%d" % (first, last))[::2] == (206, self.bytes[first:last + 1])

    def head(self):
        status, fields, body = self.ask(self.path, "HEAD")
        return status == 200 and not body and fields["X-Linked-Size"] == str(len(self.bytes))

    def listing(self):
        status, _, body = self.ask("/api/models/%s/tree/main?limit=7" % ID)
        return status == 200 and len(json.loads(body)) == 7

    def missing(self):
        return self.ask(self.rnd.choice((self.path + "x", "/api/models/none/none", "/none")))[0] == 404

    def no_such_part(self):
        return self.ask(self.path, Range="bytes=%d-" % len(self.bytes))[0] == 416

    def bad(self):
        """The connection ends with the answer."""
        with self.box.session(self.rnd.choice((b"GET / HTTP/1.1\r\n\r\n", ask("/", "A : b"),
                                               ask("/")[:-2] + b" folded\r\n\r\n"))) as s:
            got = b"".join(iter(lambda: s.recv(65536), b""))
        return got.startswith(b"HTTP/1.1 400 ")

    def cut(self):
        """The connection breaks, before or after the request is whole."""
        whole = self.rnd.random() < 0.6
        with self.box.session(ask(self.rnd.choice((self.path, "/../"))) if whole else b"GET / HT") as s:
            if whole:
                s.recv(self.rnd.randrange(1, 1000))
        return True

    def slow(self):
        """The request comes in pieces, and the answer is read in pieces."""
        request, got = ask(self.path, "Connection: close"), b""
        with self.box.session() as s:
            for at in range(0, len(request), 40):
                s.sendall(request[at:at + 40])
                time.sleep(0.01)
            for n in range(10**9):
                more = s.recv(100000)
                if not more:
                    break
                got += more
                if n < 10:
                    time.sleep(0.01)
        return got.partition(b"\r\n\r\n")[2] == self.bytes

    KINDS = {"whole": 5, "part": 50, "head": 12, "listing": 12, "missing": 7, "no_such_part": 3, "bad": 3,
             "cut": 6, "slow": 2}


REQUESTS = 100000


@limit(3600)
def test_soak(k):
    """100,000 requests of all kinds, with connections that break and signals in between, by plain
    HTTP and by TLS: nothing is wrong, and nothing leaks."""
    if not os.environ.get("HUB_LONG"):
        raise Skip("HUB_LONG is not set")
    rnd = random.Random(1)
    data = {"f%d.bin" % i: os.urandom(rnd.choice((0, 1, 1000, 100000, 3 * MB))) for i in range(40)}
    at = noted(k, data)
    cert, key = key_pair(k, "ec")
    boxes = [Box(k, "-p", ID + "=" + str(at), *how, stderr=subprocess.DEVNULL)
             for how in ((), (), ("--cert", cert, "--key", key))]
    wrong, lock, left = [], threading.Lock(), [REQUESTS]

    def client(box, seed):
        asker = Asker(box, data, seed)
        while left[0] > 0:
            good = asker.some()
            with lock:
                left[0] -= 1
                if good is not True:
                    wrong.append(good)
        asker.connection.close()
    for box in boxes:
        box.wait()
    fds = [open_files(box) for box in boxes]
    threads = [threading.Thread(target=client, args=(boxes[i % 3], i)) for i in range(24)]
    for t in threads:
        t.start()
    before = None
    while left[0] > 0:
        time.sleep(0.2)
        for box in boxes:
            box.process.send_signal(rnd.choice((signal.SIGHUP, signal.SIGUSR1)))
        if not before and left[0] < REQUESTS - 20000:
            before = [status_of(box) for box in boxes]
    for t in threads:
        t.join()
    after = [status_of(box) for box in boxes]
    assert not wrong, (len(wrong), wrong[:9])
    for was, now in zip(before, after):
        assert now["VmRSS"] < was["VmRSS"] + 2000, (was, now)
    k.wait_for(lambda: [open_files(box) for box in boxes] == fds)
    for box in boxes:
        box.end()


def open_files(box):
    return len(os.listdir("/proc/%d/fd" % box.process.pid))


def status_of(box):
    lines = open("/proc/%d/status" % box.process.pid).read().splitlines()
    return {l.split(":")[0]: int(l.split()[1]) for l in lines if l.endswith("kB")}
