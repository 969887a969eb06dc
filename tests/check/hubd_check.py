#!/usr/bin/env python3
"""The test Hub itself: its faults strike as their rules say, and what has to be refused is.
What the official client can show is in hubd_official.py."""

import base64
import hashlib
import http.client
import json
import sys
import traceback
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

from fakehub import Generated, Hub

ID = "acme-lab/tiny"
BIG = Generated(1, 3 << 20)
NDJSON = "application/x-ndjson"
LFS = "application/vnd.git-lfs+json"


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = b""
        self.broken = False
        try:
            self.body = response.read()
        except http.client.IncompleteRead as e:
            self.body, self.broken = e.partial, True
        except (OSError, ValueError):
            self.broken = True

    def json(self):
        return json.loads(self.body)


class Client:
    def __init__(self, hub):
        self.hub = hub
        self.token = None

    def ask(self, method, url, body=None, token=None, timeout=10, **headers):
        """One request on a connection of its own; no redirects."""
        u = urllib.parse.urlsplit(url if "://" in url else self.hub.endpoint + url)
        c = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            headers["Authorization"] = "Bearer " + self.hub.tokens[token].text
        if isinstance(body, (dict, list)):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        try:
            c.putrequest(method, u.path + ("?" + u.query if u.query else ""),
                         skip_accept_encoding=True)
            if body is not None and "Transfer-Encoding" not in headers:
                headers.setdefault("Content-Length", str(len(body)))
            for name, value in headers.items():
                c.putheader(name, value)
            c.endheaders(body)
            return Reply(c.getresponse())
        finally:
            c.close()

    def cdn(self, path="big.bin"):
        return self.ask("GET", "/%s/resolve/main/%s" % (ID, path)).headers["Location"]


def hangs_up(function, *args, **kw):
    try:
        function(*args, **kw)
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_drop_and_length(k):
    url = k.cdn()
    k.hub.fault(origin="cdn", drop_after=1000)
    k.hub.fault(origin="cdn", add_length=-5)
    r = k.ask("GET", url)
    assert r.broken and r.body == BIG.read(0, 1000)
    assert len(k.ask("GET", url).body) == BIG.size - 5
    assert k.ask("GET", url).body == BIG.read()


def test_hang_up_reset_lose(k):
    for rule in ({"hang_up": True}, {"hang_up": True, "reset": True}, {"lose_answer": True}):
        k.hub.fault(path="whoami", **rule)
        assert hangs_up(k.ask, "GET", "/api/whoami-v2", token="read"), rule


def test_status_headers_delay(k):
    k.hub.fault(path="whoami", status=503, headers={"Retry-After": "7"}, body="no", skip=1)
    assert k.ask("GET", "/api/whoami-v2", token="read").status == 200
    r = k.ask("GET", "/api/whoami-v2", token="read")
    assert (r.status, r.headers["Retry-After"], r.body) == (503, "7", b"no")
    assert k.ask("GET", "/api/whoami-v2", token="read").status == 200


def test_ranges(k):
    url = k.cdn()
    for asked, status, span in (("bytes=5-9", 206, (5, 10)), ("bytes=-3", 206, (-3, None)),
                                ("bytes=3145727-", 206, (3145727, None)),
                                ("bytes=3145728-", 416, None), ("bytes=9-5", 200, (0, None)),
                                ("lines=1-2", 200, (0, None)),
                                ("bytes=0-99999999", 206, (0, None))):
        r = k.ask("GET", url, Range=asked)
        assert r.status == status, (asked, r.status)
        assert span is None or r.body == BIG.read()[slice(*span)], asked
    assert k.ask("GET", url, Range="bytes=3145728-").headers["Content-Range"] == "bytes */3145728"


def test_wrong_ranges(k):
    url = k.cdn()
    k.hub.fault(origin="cdn", ignore_range=True)
    k.hub.fault(origin="cdn", add_range=10)
    k.hub.fault(origin="cdn", use_range="bytes=0-9")
    assert k.ask("GET", url, Range="bytes=7-").status == 200
    assert k.ask("GET", url, Range="bytes=7-8").headers["Content-Range"].startswith("bytes 17-8/")
    assert k.ask("GET", url, Range="bytes=7-").headers["Content-Range"].startswith("bytes 0-9/")


def test_corrupt(k):
    url = k.cdn()
    k.hub.fault(origin="cdn", corrupt_at=2 << 20, count=None)
    body = k.ask("GET", url).body
    assert [n for n in range(0, BIG.size, 4096) if body[n:n + 4096] != BIG.read(n, n + 4096)] \
        == [2 << 20]
    tail = k.ask("GET", url, Range="bytes=%d-" % (2 << 20)).body
    assert tail[0] != BIG.read(2 << 20, (2 << 20) + 1)[0] and tail[1:] == BIG.read()[2 ** 21 + 1:]


def test_stall_and_rate(k):
    url = k.cdn()
    k.hub.fault(origin="cdn", stall_after=500)
    assert k.ask("GET", url, timeout=0.5).broken
    k.hub.fault(origin="cdn", rate=1000)
    assert k.ask("GET", url, Range="bytes=0-499").body == BIG.read(0, 500)


def test_framings(k):
    url = k.cdn()
    k.hub.fault(origin="cdn", chunked=True)
    k.hub.fault(origin="cdn", no_length=True)
    r = k.ask("GET", url)
    assert r.body == BIG.read() and r.headers["Transfer-Encoding"] == "chunked"
    r = k.ask("GET", url)
    assert r.body == BIG.read() and r.headers["Content-Length"] is None


def test_replaced_and_endless(k):
    k.hub.fault(path="/tree/", replace=[['"size": 5', '"size": -5']])
    k.hub.fault(path="/tree/", status=200, body='["', endless=True, filler="a", drop_after=99999)
    url = "/api/models/%s/tree/main" % ID
    assert b'"size": -5' in k.ask("GET", url).body
    assert k.ask("GET", url).body == b'["' + b"a" * 99997


def test_hang_up_within_a_body(k):
    _, made = begin_upload(k, b"x" * 100000)
    k.hub.fault(origin="upload", hang_up_after=50000)
    assert hangs_up(k.ask, "PUT", made["actions"]["upload"]["href"], b"x" * 100000)
    assert k.ask("PUT", made["actions"]["upload"]["href"], b"x" * 100000).status == 200


def test_lifetime(k):
    ask = k.hub.control_url + "/options"
    assert k.ask("POST", ask, {"url_lifetime": -1}).status == 200
    assert k.ask("GET", k.cdn()).status == 403
    assert k.ask("POST", ask, {"folder": "/"}).status == 400


def test_gzip_for_those_who_take_it(k):
    at = k.ask("GET", "/%s/resolve/main/a.txt" % ID).headers["Location"]
    r = k.ask("GET", at, Accept_Encoding="gzip", Range="bytes=1-")
    assert (r.status, r.headers["Content-Encoding"]) == (200, "gzip")
    assert k.ask("GET", at, Accept_Encoding="identity").body == b"hello"


def test_not_modified(k):
    r = k.ask("HEAD", "/%s/resolve/main/a.txt" % ID)
    assert r.status == 307 and int(r.headers["Content-Length"]) > 50 and not r.body
    at, etag = r.headers["Location"], r.headers["X-Linked-ETag"]
    assert at.startswith("/api/resolve-cache/models/") and "etag=" in at
    for url in (at, "/%s/resolve/main/a.txt" % ID):
        assert k.ask("GET", url, If_None_Match=etag).status == 304


def test_cdn_refusals(k):
    url = k.cdn()
    assert k.ask("GET", url, token="read").status == 400
    assert k.hub.violations.pop()["what"].startswith("Authorization")
    assert k.ask("GET", url.replace("Expires=", "Expires=1")).status == 403
    k.hub.violations.clear()
    k.hub.expire_urls()
    r = k.ask("GET", url)
    assert r.status == 403 and b"<Code>AccessDenied</Code>" in r.body
    k.hub.cdn_limit = 1 << 20
    assert k.ask("GET", k.cdn()).status == 400
    assert k.ask("GET", k.cdn(), Range="bytes=0-").status == 206


def test_errors_of_section_6(k):
    k.hub.add_repo("big-corp/gated", {"a.txt": "a"}, gated="auto")
    api, file = "/api/models/%s", "/%s/resolve/main/a.txt"
    for url, token, status, code, text in (
            (api % "x/y", None, 401, None, "Invalid username or password."),
            (api % "x/y", "read", 404, "RepoNotFound", "Repository not found"),
            (file % "x/y", None, 401, None, "Invalid username or password."),
            (file % "big-corp/gated", None, 401, "GatedRepo", "log in"),
            (file % "big-corp/gated", "read", 403, "GatedRepo", "authorized list"),
            ("/%s/resolve/main/nope" % ID, None, 404, "EntryNotFound", "Entry not found"),
            ("/%s/resolve/nope/a.txt" % ID, None, 404, "RevisionNotFound", "Invalid rev id: nope"),
            (api % ID + "/tree/main/nope", None, 404, "EntryNotFound", "Entry not found"),
            (api % ID + "/tree/main/a.txt", None, 404, "EntryNotFound", "Entry not found")):
        r = k.ask("GET", url, token=token)
        assert (r.status, r.headers["X-Error-Code"]) == (status, code), (url, r.status)
        assert text in r.headers["X-Error-Message"] and text in r.body.decode(), url
        assert r.headers["X-Request-Id"] and r.headers["RateLimit"]
    r = k.ask("GET", api % ID, Authorization="Bearer hf_no")
    assert (r.status, r.headers["X-Error-Message"]) == (
        401, "Invalid credentials in Authorization header")


def test_rate_limit(k):
    k.hub.throttle.quotas["api"] = 2
    for left in (1, 0):
        r = k.ask("GET", "/api/whoami-v2", token="other")
        assert r.status == 200 and ";r=%d;" % left in r.headers["RateLimit"]
    r = k.ask("GET", "/api/whoami-v2", token="other")
    assert r.status == 429 and '"api";r=0;t=' in r.headers["RateLimit"]
    assert r.headers["Retry-After"].isdigit()


def begin_upload(k, data, multipart=True):
    oid = hashlib.sha256(data).hexdigest()
    r = k.ask("POST", "/%s.git/info/lfs/objects/batch" % ID, json.dumps({
        "operation": "upload", "transfers": ["basic"] + ["multipart"] * multipart,
        "objects": [{"oid": oid, "size": len(data)}]}).encode(), token="write", Accept=LFS,
        Content_Type=LFS)
    assert r.status == 200, r.body
    return oid, r.json()["objects"][0]


def test_single_put(k):
    data = b"single" * 100
    oid, made = begin_upload(k, data)
    url = made["actions"]["upload"]["href"]
    for headers, status in (({"token": "write"}, 400), ({"Content_Type": "x/y"}, 403),
                            ({"Transfer_Encoding": "chunked"}, 501)):
        body = b"0\r\n\r\n" if "Transfer_Encoding" in headers else data
        assert k.ask("PUT", url, body, **headers).status == status, headers
    assert k.ask("PUT", url, data[1:]).status == 400
    assert k.ask("PUT", url, data[::-1]).status == 400
    assert len(k.hub.violations) == 5
    k.hub.violations.clear()
    assert "actions" in begin_upload(k, data)[1]
    r = k.ask("PUT", url, data)
    assert r.status == 200 and r.headers["ETag"].startswith('"')
    assert "actions" not in begin_upload(k, data)[1]
    verify = made["actions"]["verify"]["href"]
    for size, token, status in ((len(data), "write", 200), (1, "write", 422), (600, None, 401)):
        assert k.ask("POST", verify, {"oid": oid, "size": size}, token).status == status


def test_multipart(k):
    k.hub.chunk = 1000
    data = bytes(range(250)) * 13
    oid, made = begin_upload(k, data)
    header = made["actions"]["upload"]["header"]
    urls = {int(n): u for n, u in header.items() if n.isdigit()}
    assert header["chunk_size"] == "1000" and sorted(urls) == [1, 2, 3, 4]
    assert list(urls) != sorted(urls), "parts should come unsorted"
    parts = [{"partNumber": n, "etag": k.ask("PUT", urls[n], data[n * 1000 - 1000:n * 1000])
              .headers["ETag"]} for n in sorted(urls)]
    href = made["actions"]["upload"]["href"]
    post = {"Content_Type": LFS, "Accept": LFS}
    for body, status, token in (
            ({"oid": oid, "parts": parts}, 400, "write"),
            ({"oid": oid, "parts": parts[:3]}, 400, None),
            ({"oid": oid, "parts": parts[::-1]}, 400, None),
            ({"oid": "0" * 64, "parts": parts}, 400, None),
            ({"oid": oid, "parts": [{**p, "etag": p["etag"][1:-1]} for p in parts]}, 400, None),
            ({"oid": oid, "parts": parts}, 200, None)):
        r = k.ask("POST", href, json.dumps(body).encode(), token, **post)
        assert r.status == status, (r.status, r.body)
    assert k.hub.violations.pop()["what"] == "Authorization on a completion"
    assert "actions" not in begin_upload(k, data)[1]


def test_lapsed_upload(k):
    _, made = begin_upload(k, b"late")
    k.hub.expire_urls()
    r = k.ask("PUT", made["actions"]["upload"]["href"], b"late")
    assert r.status == 403 and b"<Error>" in r.body


def commit(k, *lines, token="write", query="", rev="main", header=None, id=ID):
    lines = [{"key": "header", "value": {"summary": "s", **(header or {})}}] + list(lines)
    body = "".join(json.dumps(v) + "\n" for v in lines).encode()
    return k.ask("POST", "/api/models/%s/commit/%s%s" % (id, rev, query), body, token,
                 Content_Type=NDJSON)


def file(path, data=b"x"):
    return {"key": "file", "value": {"path": path, "encoding": "base64",
                                     "content": base64.b64encode(data).decode()}}


def test_commit(k):
    old = k.repo.head().oid
    r = commit(k, file("b/c.txt", b"new"), {"key": "deletedFile", "value": {"path": "a.txt"}},
               header={"parentCommit": old})
    assert r.status == 200 and r.json()["commitOid"] == k.repo.head().oid
    assert k.repo.head().files["b/c.txt"].content.read() == b"new"
    assert "a.txt" not in k.repo.head().files
    r = commit(k, {"key": "deletedFolder", "value": {"path": "b/"}}, query="?create_pr=1")
    assert r.json()["pullRequestUrl"].endswith("/discussions/1")
    assert "b/c.txt" not in k.repo.find("refs/pr/1").files
    assert commit(k, file("d"), rev="refs%2Fpr%2F1").status == 200


def test_commit_refusals(k):
    old = k.repo.head().oid
    lfs = {"path": "m.bin", "algo": "sha256", "oid": "1" * 64, "size": 5}
    card = file("README.md", b"---\nlicense: bogus\n---\n")
    for status, lines, more in (
            (412, [file("x")], {"header": {"parentCommit": "0" * 40}}),
            (404, [file("x")], {"rev": "nope"}), (404, [file("x")], {"rev": old}),
            (401, [file("x")], {"token": None}), (403, [file("x")], {"token": "read"}),
            (403, [file("x")], {"token": "other"}), (404, [file("x")], {"id": "no/repo"}),
            (422, [file("../x")], {}), (422, [file("a\\b")], {}), (422, [file("/x")], {}),
            (422, [file("a/.git/x")], {}), (422, [file("a.txt/x")], {}), (400, [card], {}),
            (400, [{"key": "lfsFile", "value": lfs}], {}),
            (400, [{"key": "what", "value": {}}], {}),
            (404, [{"key": "deletedFile", "value": {"path": "nope"}}], {}),
            (400, [file("x")], {"header": {"summary": ""}})):
        r = commit(k, *lines, **more)
        assert r.status == status, (status, r.status, r.body, lines)
        assert k.repo.head().oid == old


def test_lost_commit_is_made(k):
    old = k.repo.head().oid
    k.hub.fault(path="/commit/", lose_answer=True)
    assert hangs_up(commit, k, file("x"))
    assert k.repo.head().parent == old


def test_preupload(k):
    k.repo.commit({".gitignore": "*.tmp\nout/\n"})
    files = [{"path": p, "size": len(d), "sample": base64.b64encode(d[:512]).decode()}
             for p, d in (("a.txt", b"hello"), ("n.txt", b"n"), ("x.tmp", b"t"), ("out/y", b"y"),
                          ("m.safetensors", b"m"), ("raw", b"\0\1"), ("none.bin", b""))]
    url = "/api/models/%s/preupload/main" % ID
    r = k.ask("POST", url, {"files": files}, "write").json()
    got = {f["path"]: f for f in r["files"]}
    assert [f["path"] for f in r["files"]] != [f["path"] for f in files]
    assert got["a.txt"]["oid"] == k.repo.head().files["a.txt"].oid and "oid" not in got["n.txt"]
    assert [p for p in got if got[p]["shouldIgnore"]] == ["out/y", "x.tmp"]
    assert sorted(p for p in got if got[p]["uploadMode"] == "lfs") == ["m.safetensors", "raw"]
    for bad in ([], files * 150, [{**files[0], "sample": ""}], [{**files[0], "size": -1}]):
        assert k.ask("POST", url, {"files": bad}, "write").status == 400


def test_create(k):
    for body, token, status in (
            ({"name": "tiny", "organization": "acme-lab"}, "write", 409),
            ({"name": "a"}, "read", 403), ({"name": "a"}, None, 401),
            ({"name": "a", "organization": "big-corp"}, "write", 403),
            ({"name": "a--b"}, "write", 400), ({"name": "s", "type": "space"}, "write", 400),
            ({"name": "s", "type": "space", "sdk": "static"}, "write", 200),
            ({"name": "n", "visibility": "private"}, "write", 200)):
        r = k.ask("POST", "/api/repos/create", body, token)
        assert r.status == status, (body, r.status)
        assert status not in (200, 409) or r.json()["url"].startswith(k.hub.endpoint)
    assert k.hub.find_repo("model", "rosa/n").private
    k.hub.paid_spaces = True
    body = {"name": "g", "type": "space", "sdk": "gradio"}
    assert k.ask("POST", "/api/repos/create", body, "write").status == 402


def test_control_port(k):
    ask = k.hub.control_url
    assert k.ask("POST", ask + "/rules", [{"path": "whoami", "status": 418}]).status == 200
    assert k.ask("POST", ask + "/rules", {"what": 1}).status == 400
    assert k.ask("GET", "/api/whoami-v2", token="read").status == 418
    log = k.ask("GET", ask + "/log").json()
    assert log[-1]["status"] == 418 and log[-1]["authorization"]
    assert k.hub.tokens["read"].text not in json.dumps(log)


def test_folder_on_disk(k):
    here = Path(__file__).resolve().parent.parent / "e2e" / "fakehub"
    k.hub.add_folder("acme-lab/folder", str(here))
    there = k.ask("GET", "/acme-lab/folder/resolve/main/hub.py").headers["Location"]
    assert k.ask("GET", there).body == (here / "hub.py").read_bytes()
    paths = [e["path"] for e in k.ask("GET", "/api/models/acme-lab/folder/tree/main").json()]
    assert "hub.py" in paths and "store.py" in paths, paths


def test_unknown_and_malformed(k):
    assert k.ask("GET", "/api/nothing").status == 404
    assert k.ask("GET", "/%s/resolve/refs/pr/1/a.txt" % ID).status == 404
    assert k.ask("POST", "/api/models/%s/commit/main" % ID, b"x", "write").status == 415
    assert k.ask("GET", "/", Content_Length="1", Transfer_Encoding="chunked").status == 400
    assert len(k.hub.violations) == 3, k.hub.violations
    k.hub.violations.clear()


def run_tests(names, prepare, **options):
    """Those of a module that the command line names, each with a Hub and a client of its own."""
    passed = failed = 0
    for name, test in list(names.items()):
        if not name.startswith("test_") or not any(w in name for w in sys.argv[1:] or [""]):
            continue
        with Hub(tls=False, quotas={"api": 10 ** 6}, **options) as hub:
            client = Client(hub)
            prepare(client)
            try:
                test(client)
                assert not hub.violations, hub.violations
                passed += 1
            except Exception:
                failed += 1
                print("%s:\n%s" % (name, traceback.format_exc()))
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


def prepare(k):
    k.repo = k.hub.add_repo(ID, {"a.txt": "hello", "big.bin": BIG})


if __name__ == "__main__":
    sys.exit(run_tests(globals(), prepare))
