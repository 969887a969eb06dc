#!/usr/bin/env python3
"""The Xet part of the test Hub: what it stores comes back by each way, and what has to be refused
is. That it answers as the real one does is shown by the official client: tests/e2e/interop.py."""

import hashlib
import json
import struct
import sys
from pathlib import Path

from hubd_check import ID, LFS, commit, run_tests

from fakehub import mixed, xet
from fakehub.content import Bytes

SHARDS = Path(__file__).resolve().parent.parent / "fuzz/corpus/shard"
SIZE = 3_000_001
CONTENT = mixed(1, SIZE)


def token(k, write=False, at=ID):
    kind = "write" if write else "read"
    r = k.ask("GET", "/api/models/%s/xet-%s-token/main" % (at, kind), token=kind)
    assert r.status == 200 and r.json()["casUrl"] == k.hub.cas_url, r.body
    assert r.json()["accessToken"] == r.headers["X-Xet-Access-Token"]
    return r.json()["accessToken"]


def cas(k, method, path, body=None, with_token=None, **headers):
    with_token = with_token or token(k, method == "POST")
    return k.ask(method, k.hub.cas_url + path, body, Authorization="Bearer " + with_token,
                 **headers)


def window(k, hash, start=None, end=None, version=2):
    headers = {"Range": "bytes=%d-%d" % (start, end - 1)} if start is not None else {}
    return cas(k, "GET", "/v%d/reconstructions/%s" % (version, hash), **headers)


def fetched(k, answer):
    """(xorb, first chunk) -> the content of a range, packed, and its end."""
    found = {}
    for xorb, entries in answer.get("xorbs", {}).items():
        for entry in entries:
            for r in entry["ranges"]:
                found[xorb, r["chunks"]["start"]] = (r["chunks"]["end"], entry["url"], r["bytes"])
    for xorb, infos in answer.get("fetch_info", {}).items():
        for info in infos:
            found[xorb, info["range"]["start"]] = (info["range"]["end"], info["url"],
                                                   info["url_range"])
    for key, (end, url, span) in found.items():
        r = k.ask("GET", url, Range="bytes=%(start)d-%(end)d" % span)
        assert r.status == 206 and len(r.body) == span["end"] - span["start"] + 1
        found[key] = end, r.body
    return found


def rebuilt(k, hash, start, end, version=2):
    """What a reader makes of a window."""
    answer = window(k, hash, start, end, version).json()
    ranges, out = fetched(k, answer), b""
    for term in answer["terms"]:
        first, last = term["range"]["start"], term["range"]["end"]
        (_, begin), (_, packed) = next(r for r in ranges.items()
                                       if r[0][0] == term["hash"] and r[0][1] <= first
                                       and last <= r[1][0])
        sizes = [int(n) for _, n, _, _ in xet.TOOL.lines("entries", packed)]
        data = xet.TOOL.bytes("content", packed)
        skip = sum(sizes[:first - begin])
        size = sum(sizes[first - begin:last - begin])
        assert size == term["unpacked_length"]
        out += data[skip:skip + size]
    skip = answer["offset_into_first_range"]
    return out[skip:skip + end - start]


def store(k, content=CONTENT, **how):
    stored = k.hub.cas.store(content, **how)
    k.repo.commit({"m.bin": stored})
    return stored


def test_contents_come_back(k):
    """As a whole, by the bridge, and in windows of both versions."""
    stored = store(k, xorb_size=700_000)
    schemes = {s for x in k.hub.cas.xorbs.values()
               for _, _, s, _ in xet.TOOL.lines("entries", x.content.read())}
    assert schemes == {"0", "1", "2"} and len(k.hub.cas.xorbs) > 3
    assert len(stored.terms) > len(k.hub.cas.xorbs), "nothing came again"
    assert stored.sha256() == hashlib.sha256(CONTENT).hexdigest()
    assert stored.read() == CONTENT and stored.read(99_999, 1_234_567) == CONTENT[99_999:1_234_567]
    url = k.cdn("m.bin")
    assert stored.xet in url
    assert k.ask("GET", url, Range="bytes=1234567-1234999").body == CONTENT[1234567:1235000]
    for version in (1, 2):
        for start, end in ((0, SIZE), (0, 1), (SIZE - 1, SIZE), (700_001, 1_000_000)):
            for trim in (True, False):
                k.hub.trim = trim
                assert rebuilt(k, stored.xet, start, end, version) == CONTENT[start:end]


def test_chunks_of_any_size(k):
    stored = store(k, sizes=[1, 8128, 131072, 12, 8192], scheme=xet.LZ4)
    assert [c.size for c in stored.terms[0].chunks][:5] == [1, 8128, 131072, 12, 8192]
    assert rebuilt(k, stored.xet, 0, SIZE) == CONTENT
    assert rebuilt(k, stored.xet, 8100, 8200) == CONTENT[8100:8200]


def test_windows_are_trimmed(k):
    stored = store(k)
    answer = window(k, stored.xet, 1_000_000, 1_000_001).json()
    term, = answer["terms"]
    assert term["range"]["end"] - term["range"]["start"] == 1
    assert answer["offset_into_first_range"] < term["unpacked_length"] <= xet.CHUNK_MAX
    k.hub.trim = False
    answer = window(k, stored.xet, 1_000_000, 1_000_001).json()
    assert answer["terms"][0]["unpacked_length"] == stored.terms[0].size


def test_windows_beyond_the_end(k):
    stored = store(k)
    for version in (1, 2):
        assert window(k, stored.xet, SIZE, SIZE + 1, version).status == 416
        assert window(k, stored.xet, SIZE - 1, SIZE + 99, version).status == 200
        assert window(k, "1" * 64, 0, 1, version).status == 404
    whole = window(k, stored.xet).json()
    assert sum(t["unpacked_length"] for t in whole["terms"]) == SIZE
    assert cas(k, "HEAD", "/v1/files/" + stored.xet).headers["Content-Length"] == str(SIZE)


def test_only_listed_ranges(k):
    stored = store(k, xorb_size=400_000)
    k.hub.url_ranges = 1
    answer = window(k, stored.xet).json()
    entry = next(iter(answer["xorbs"].values()))[0]
    url, span = entry["url"], entry["ranges"][0]["bytes"]
    for asked in (None, "bytes=0-", "bytes=%d-%d" % (span["start"] + 1, span["end"]),
                  "bytes=%d-%d" % (span["start"], span["end"] + 1)):
        r = k.ask("GET", url, **({"Range": asked} if asked else {}))
        assert r.status == 403 and k.hub.violations.pop(), asked
    listed = "bytes=%(start)d-%(end)d" % span
    assert k.ask("GET", url, Range=listed).status == 206
    assert k.ask("GET", url, Range=listed, token="read").status == 400
    assert k.ask("GET", url.replace("Expires=", "Expires=1"), Range=listed).status == 403
    assert len(k.hub.violations) == 2
    k.hub.violations.clear()
    k.hub.exact_ranges = False
    assert k.ask("GET", url, Range="bytes=%d-%d" % (span["start"] + 1, span["end"])).status == 206
    k.hub.expire_urls()
    assert k.ask("GET", url, Range=listed).status == 403


def test_several_ranges_at_once(k):
    """Where a file needs two parts of a xorb."""
    noise = k.big.read(0, 1_000_000)
    k.hub.cas.store(noise, sizes=[50_000])
    stored = store(k, noise[:200_000] + b"new" * 9999 + noise[500_000:], sizes=[50_000] * 4 + [29997] +
                   [50_000] * 10)
    found = window(k, stored.xet).json()["xorbs"]
    entry = next(e for e, in found.values() if len(e["ranges"]) == 2)
    text = ",".join("%(start)d-%(end)d" % r["bytes"] for r in entry["ranges"])
    r = k.ask("GET", entry["url"], Range="bytes=" + text)
    assert r.status == 206 and r.headers["Content-Type"].startswith("multipart/byteranges")
    k.hub.multirange = False
    assert k.ask("GET", entry["url"], Range="bytes=" + text).status == 403
    assert rebuilt(k, stored.xet, 0, stored.size) == stored.read()


def test_listings_and_headers(k):
    stored = store(k)
    entry = next(e for e in k.ask("GET", "/api/models/%s/tree/main" % ID).json()
                 if e["path"] == "m.bin")
    assert entry["xetHash"] == stored.xet and entry["lfs"]["oid"] == stored.sha256()
    r = k.ask("HEAD", "/%s/resolve/main/m.bin" % ID)
    assert r.headers["X-Xet-Hash"] == stored.xet and "xet-auth" in r.headers["Link"]
    assert "/xet-read-token/" in r.headers["Link"] and k.hub.cas_url in r.headers["Link"]
    k.repo.commit({"plain.bin": b"only in LFS"})
    for looks, hub_xet in ((True, True), (False, False)):
        k.hub.xet = hub_xet
        plain = k.ask("HEAD", "/%s/resolve/main/plain.bin" % ID)
        assert (plain.headers["X-Xet-Hash"] is not None) == looks
    assert k.ask("HEAD", "/%s/resolve/main/m.bin" % ID).headers["X-Xet-Hash"] == stored.xet


def test_tokens(k):
    stored = store(k)
    at = "/v2/reconstructions/" + stored.xet
    good, url = token(k), k.hub.cas_url + at
    assert k.ask("GET", url).status == 401
    assert k.ask("GET", url, Authorization="Bearer xet_no").status == 401
    assert k.ask("GET", url, token="read").status == 401
    assert k.hub.violations.pop()["what"] == "a token of the Hub"
    assert cas(k, "POST", "/v1/xorbs/default/" + "1" * 64, b"x", good).status == 403
    assert cas(k, "GET", at, with_token=token(k, write=True)).status == 200
    k.hub.cas.expire_tokens()
    assert cas(k, "GET", at, with_token=good).status == 401
    k.hub.xet_lifetime = -1
    assert cas(k, "GET", at).status == 401
    api = "/api/models/%s/xet-%s-token/%s"
    for kind, revision, by, status in (("read", "main", None, 200), ("write", "main", None, 401),
                                       ("write", "main", "read", 403), ("read", "no", "read", 404),
                                       ("write", "None?create_pr=1", "write", 200)):
        assert k.ask("GET", api % (ID, kind, revision), token=by).status == status
    k.hub.add_repo("acme-lab/off", {"a": "a"}, xet=False)
    assert k.ask("GET", api % ("acme-lab/off", "read", "main")).status == 404


def test_token_of_one_repository(k):
    stored = store(k)
    k.hub.add_repo("acme-lab/other", {"a": "a"})
    k.hub.cas_scoped = True
    at = "/v2/reconstructions/" + stored.xet
    assert cas(k, "GET", at).status == 200
    assert cas(k, "GET", at, with_token=token(k, at="acme-lab/other")).status == 403


def test_lies_on_demand(k):
    stored = store(k)
    for changes, what in (({"terms.0.range.end": 9999}, lambda a: a["terms"][0]["range"]["end"] == 9999),
                          ({"xorbs.*.0.url": "http://10.0.0.1/x"},
                           lambda a: "10.0.0.1" in str(a["xorbs"])),
                          ({"terms.0.hash": None}, lambda a: "hash" not in a["terms"][0])):
        k.hub.fault(origin="cas", path="/v2/", json=changes)
        assert what(window(k, stored.xet).json()), changes
    answer = window(k, stored.xet).json()
    entry = next(iter(answer["xorbs"].values()))[0]
    for rule, wrong in (({"entry": {"number": 1, "size": -1}}, "1"), ({"truncate": -5}, "cut"),
                        ({"entry": {"scheme": 3}}, ""), ({"entry": {"packed": 7}}, "")):
        k.hub.fault(origin="xorb", **rule)
        r = k.ask("GET", entry["url"], Range="bytes=%(start)d-%(end)d" % entry["ranges"][0]["bytes"])
        try:
            xet.TOOL.lines("entries", r.body)
            raise AssertionError("%s was not noticed" % rule)
        except xet.Wrong as e:
            assert wrong in str(e), e


# uploads

def tiny():
    """The two xorbs of the vector whose shard is in the fuzzers' corpus."""
    both = [[b"Hello World!", bytes(8192)], [b"external chunk 0", b"external chunk 1"]]
    return [Bytes(b"".join(xet.make_entry(c) for c in chunks)) for chunks in both]


def put_xorb(k, content, hash=None):
    return cas(k, "POST", "/v1/xorbs/default/" + (hash or xet.Xorb.of(content).hash),
               content.read())


def put_shard(k, data, version=2):
    """What it says at the end; None: refused."""
    r = cas(k, "POST", "/v%d/shards" % version, data)
    if version == 1:
        return r.json()["result"] if r.status == 200 else None
    assert r.status == 200 and r.headers["Transfer-Encoding"] == "chunked"
    *before, last = [json.loads(line) for line in r.body.splitlines()]
    assert before[0]["type"] == "validating"
    if last["type"] == "error":
        return None
    assert [e["type"] for e in before].count("committing") == 1 + k.hub.heartbeats
    return last["result"]


def test_upload(k):
    """The vector: three files, of which one has terms in two xorbs."""
    data = (SHARDS / "upload").read_bytes()
    assert put_shard(k, data) is None and "not stored" in k.hub.violations.pop()["what"]
    for xorb in tiny():
        assert put_xorb(k, xorb).json() == {"was_inserted": True}
        assert put_xorb(k, xorb).json() == {"was_inserted": False}
        hash = xet.Xorb.of(xorb).hash
        assert cas(k, "HEAD", "/v1/xorbs/default/" + hash).headers["Content-Length"] == str(xorb.size)
    k.hub.heartbeats = 3
    assert [put_shard(k, data, v) for v in (2, 2, 1)] == [1, 0, 0]
    whole = b"Hello World!" + bytes(8192) + b"external chunk 1"
    hash = "f15be5f7ff678cf47be9c63b9fab0823752c15554721bbdc506fa88533325879"
    assert k.hub.cas.files[hash].read() == whole
    r = commit(k, {"key": "lfsFile", "value": {
        "path": "up.bin", "algo": "sha256", "oid": hashlib.sha256(whole).hexdigest(),
        "size": len(whole)}})
    assert r.status == 200 and k.repo.head().files["up.bin"].content.xet == hash
    assert rebuilt(k, hash, 0, len(whole)) == whole


def test_shard_with_a_footer(k):
    """As the JavaScript client sends it."""
    assert put_xorb(k, Bytes(xet.make_entry(b"Hello World!"))).status == 200
    assert put_shard(k, (SHARDS / "js").read_bytes()) == 1


def test_each_record_of_a_shard_counts(k):
    """A bit is changed in each of its records, and each is cut off."""
    for xorb in tiny():
        put_xorb(k, xorb)
    data = (SHARDS / "upload").read_bytes()
    for at in range(0, len(data), 16):
        if data[at:at + 16] == bytes(16):
            continue
        wrong = bytearray(data)
        wrong[at] ^= 1
        assert put_shard(k, bytes(wrong)) is None, at
    for at in (0, 1, 47, 48, 500, len(data) - 1):
        assert put_shard(k, data[:at], 1) is None, at
    assert put_shard(k, data + b"x") is None
    k.hub.violations.clear()
    assert put_shard(k, data) == 1


def test_wrong_xorbs(k):
    good, other = tiny()
    data = good.read()
    right = xet.Xorb.of(good).hash
    for wrong, hash in ((data, xet.Xorb.of(other).hash), (data[:-1], right), (b"", right),
                        (b"\1" + data[1:], right), (data + b"XETBLOB\1" + bytes(100), right),
                        (data[:4] + b"\3" + data[5:], right), (data + data, right)):
        r = put_xorb(k, Bytes(wrong), hash)
        assert r.status == 400 and k.hub.violations.pop(), wrong[:20]
    assert put_xorb(k, good, "no-hash").status == 400
    k.hub.xorb_max = 10
    assert put_xorb(k, good, right).status == 400
    assert len(k.hub.violations) == 1 and not k.hub.cas.xorbs
    k.hub.violations.clear()


def grant(k, content, crc=None):
    hash = xet.Xorb.of(content).hash
    crc = crc or xet.TOOL.line("crc64", content.read())
    r = cas(k, "POST", "/v1/xorb-grants/default/" + hash, {
        "length": content.size, "checksum": {"algo": "crc64nvme", "value": crc}})
    return r, "/v1/xorb-commits/default/%s/grant/" % hash


def test_grants(k):
    assert xet.TOOL.line("crc64", b"123456789") == str(0xae8b14860a799888)
    xorb = tiny()[0]
    r, commit_at = grant(k, xorb)
    made = r.json()
    assert r.status == 201 and made["method"] == "PUT"
    assert cas(k, "POST", commit_at + made["id"]).status == 404
    headers = {name.replace("-", "_"): v for name, v in made["headers"].items()}
    assert k.ask("PUT", made["url"], xorb.read()).status == 403
    assert k.ask("PUT", made["url"], xorb.read()[1:], **headers).status == 400
    assert k.ask("PUT", made["url"], xorb.read()[::-1], **headers).status == 400
    assert k.ask("PUT", made["url"], xorb.read(), token="write", **headers).status == 400
    assert len(k.hub.violations) == 4
    k.hub.violations.clear()
    assert k.ask("PUT", made["url"], xorb.read(), **headers).status == 200
    assert k.ask("PUT", made["url"], xorb.read(), **headers).status == 412
    assert cas(k, "POST", commit_at + made["id"]).status == 200
    assert grant(k, xorb)[0].status == 200
    k.hub.grants = False
    assert grant(k, tiny()[1])[0].status == 404


def test_questions_for_chunks(k):
    stored = store(k)
    first, second = [c.hash for c in stored.terms[0].chunks[:2]]
    assert cas(k, "GET", "/v1/chunks/default/" + "1" * 64).status == 404
    assert xet.is_global(second) or cas(k, "GET", "/v1/chunks/default/" + second).status == 404
    for prefix in ("default", "default-merkledb"):
        shard = xet.parse_shard(cas(k, "GET", "/v1/chunks/%s/%s" % (prefix, first)).body)
        assert not shard.files and len(shard.xorbs) == 1
        key = shard.footer[72:104]
        names = [c.hash for c in shard.xorbs[0].chunks]
        assert key == k.hub.cas.key and xet.hidden(first, key) in names and first not in names
        assert struct.unpack("<Q", shard.footer[-8:])[0] == len(
            cas(k, "GET", "/v1/chunks/default/" + first).body) - 200
    k.hub.dedupe = False
    assert cas(k, "GET", "/v1/chunks/default/" + first).status == 404


def test_batch_offers_xet(k):
    oid = hashlib.sha256(b"new").hexdigest()

    def ask(*transfers):
        return k.ask("POST", "/%s.git/info/lfs/objects/batch" % ID, json.dumps({
            "operation": "upload", "transfers": transfers, "objects": [{"oid": oid, "size": 3}]}
            ).encode(), token="write", Accept=LFS, Content_Type=LFS).json()

    made = ask("basic", "multipart", "xet")
    upload = made["objects"][0]["actions"]["upload"]
    assert made["transfer"] == "xet" and upload["href"].endswith("/xet-write-token/main")
    assert upload["header"]["X-Xet-Cas-Url"] == k.hub.cas_url
    assert k.hub.cas.tokens[upload["header"]["X-Xet-Access-Token"]].write
    assert ask("basic")["transfer"] == "basic"
    k.repo.xet = False
    assert ask("basic", "xet")["transfer"] == "basic"


def test_telemetry_and_unknown(k):
    assert cas(k, "POST", "/v1/telemetry", {"a": 1}, token(k)).status == 200
    assert cas(k, "GET", "/v3/reconstructions/" + "1" * 64).status == 404
    assert len(k.hub.violations) == 1
    k.hub.violations.clear()


def prepare(k):
    k.big = Bytes(mixed(7, 1_000_000))
    k.repo = k.hub.add_repo(ID, {"a.txt": "hello"})


def main():
    try:
        xet.program()
    except FileNotFoundError as e:
        print("skipped: %s" % e)
        return 0
    return run_tests(globals(), prepare, xet=True)


if __name__ == "__main__":
    sys.exit(main())
