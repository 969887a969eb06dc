"""A Hub that attacks. Whatever it sends, there is one sentence, the right status, bounded memory
and time, and nothing outside the target. Each test_* takes a Kit (kit.py)."""

import ctypes
import gzip
import json
import os
import re
import shutil
import threading
from pathlib import Path

from fakehub import Generated, Lfs, Regular, Trap
from kit import BINARY, MB, bounded, hub_with, limit, tree

ID = "acme-lab/evil"
GOOD = {"config.json": '{"a": 1}\n', "sub/m.bin": Generated(1, 3 * MB + 1)}

# The broken build for confine.py, which can do without Landlock: a link that is followed, or
# a name that leads out, is to be refused by us and not by the kernel.
ESCAPE = str(Path(BINARY).with_name("hub_escape"))

# A run has a few threads and buffers; what a server sends adds at most 16 MiB of JSON, which
# grows by half each time and moves.
ROOM = 64

STEERS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
SENTENCE = re.compile(r"hub: [^\n]{10,800}\n(try: [^\n]+\n)?")


def snapshot(folder, but=None):
    """path -> content of all that is below a folder, but a part of it."""
    found = {}
    for at, folders, names in os.walk(str(folder)):
        folders[:] = [f for f in folders if Path(at, f) != but]
        for name in folders + names:
            path = Path(at, name)
            if path.is_symlink():
                found[str(path)] = os.readlink(str(path))
            else:
                found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


def sentence(k, r, status, why=None):
    """It failed with that status, and said so in one sentence, which cannot harm a terminal."""
    wanted = status if isinstance(status, tuple) else (status,)
    assert r.status in wanted, "status %d, not %s" % (r.status, status)
    assert "out of memory" not in r.err, "more memory than %d MiB" % ROOM
    assert SENTENCE.fullmatch(r.err), "not one sentence"
    assert not STEERS.search(r.err + r.out), "steers the terminal"
    assert why is None or re.search(why, r.err), "not said: " + why
    return r


def attack(k, status, *args, why=None, to=None, free=False, fresh=True, room=ROOM, timeout=40,
           id=ID, **how):
    """A download from a Hub that attacks. free: without Landlock, if the build for that is there.
    fresh: the target is empty at the end, but for files that are right."""
    to = to or k.dir
    to.parent.mkdir(exist_ok=True)
    before = snapshot(k.top, but=to)
    env = {"HUB_TEST_FREE": "1", **how.pop("env", {})} if free else how.pop("env", {})
    program = ESCAPE if free and os.access(ESCAPE, os.X_OK) else None
    r = k.download(id, "-q", "--retries", "0", *args, to=to, env=env, timeout=timeout,
                   wrap=bounded(room, program), **how)
    assert snapshot(k.top, but=to) == before, "something outside the target has changed"
    if fresh and to.is_dir():
        check_right(k, to)
    if r.status == 0 and status != 0 and 0 in status:
        return r
    return sentence(k, r, status, why)


def check_right(k, folder, id=ID):
    """Each file there is one of the repository's, with its content."""
    files = k.hub.find_repo("model", id).find("main").files
    for path, file in tree(folder).items():
        assert path in files, "%r is not in the repository" % path
        assert file.read_bytes() == files[path].content.read(), "content of " + path


def good(k, files=None, **options):
    return k.hub.add_repo(ID, GOOD if files is None else files, **options)


def each(k, rows, status, path, *args, **rule):
    """An attack for each row: a rule, or (rule, what is said of it)."""
    for row in rows:
        how, why = row if isinstance(row, tuple) else (row, None)
        k.hub.rules.clear()
        k.hub.fault(path=path, count=None, **{**rule, **how})
        try:
            attack(k, status, *args, why=why)
        except AssertionError as e:
            raise AssertionError("%s, after %.200s" % (e, how)) from None


# names

# As JSON has them, and what is said.
NAMES = [
    (b'"../evil"', "'..'"), (b'"a/../../evil"', "'..'"), (b'".."', "'..'"), (b'"."', "'.'"),
    (b'"./a"', "'.'"), (b'"a/./b"', "'.'"), (b'"a/.."', "'..'"), (b'"/evil"', "absolute"),
    (b'"//evil"', "absolute"), (b'"a//b"', "empty part"), (b'"a/"', "empty part"),
    (b'""', "is empty"),
    (b'".git/config"', "'.git'"), (b'"sub/.git/hooks/pre-commit"', "'.git'"),
    (b'".GIT/config"', "'.git'"), (b'"sub/.git"', "'.git'"), (b'"GIT~1/config"', "'.git'"),
    (b'"new\\nline"', "control"), (b'"esc\\u001b[31m"', "control"), (b'"del\\u007f"', "control"),
    (b'"c1\\u009b31m"', "control"), (b'"c1\xc2\x9b31m"', "control"), (b'"osc\\u009d0;x\\u009c"', "control"),
    (b'"' + b"x" * 256 + b'"', "255 bytes"), (b'"' + b"xy/" * 1400 + b'x"', "longer than 4096"),
    (b'"' + b"x" * 5000 + b'"', "longer than 4096"),
    (b'"' + "\u00e4".encode() * 128 + b'"', "255 bytes"),
    (b'".cache/huggingface/download/config.json.metadata"', "own files"),
    (b'".cache/huggingface"', "own files"), (b'".CACHE/HuggingFace/x"', "own files"),
    (b'".cache./huggingface/x"', "own files"), (b'".cache /huggingface /x"', "own files"),
    (b'".ca\\u200cche/huggingface/x"', "own files"), (b'"CACHE~1/HUGGIN~1/x"', "own files"),
    # The listing as a whole is not to be trusted.
    (b'"nul\\u0000"', "no usable path"), (b'"' + b"x/" * 5000 + b'x"', "no usable path"),
    (b'"\\ud800"', "not JSON"), (b'"\xff"', "not JSON"), (b'"raw\nline"', "not JSON"),
    (b'"raw\0nul"', "not JSON"), (b'"\xc0\xaf"', "not JSON"), (b'"\xed\xa0\x80"', "not JSON"),
]


@limit(120)
def test_names(k):
    good(k, {"victim": Regular("evil"), "good.txt": "good"})
    for n, (name, why) in enumerate(NAMES):
        k.hub.forget()
        k.hub.fault(path="/tree/", count=None, edit=lambda body: body.replace(b'"victim"', name))
        whole = "JSON" not in why and "usable" not in why
        attack(k, 9 if whole else (5, 6), why=why, to=k.top / "in" / str(n), free=True)
        asked = {e["path"].rsplit("/", 1)[1] for e in k.content_requests()}
        assert all(a.startswith((".gitattributes", "good.txt")) for a in asked), asked


def test_names_that_look_like_others(k):
    """Marks that turn the direction may stand in a name, but not on a terminal."""
    name = "gpj\u202e.exe\u2066\u200f"
    repo = good(k, {name: "x", "a\u2028b": "y"})
    for args in ([], ["--dry-run"], ["--json"], ["--json", "--force"], ["--progress", "json"], ["-v"]):
        r = k.ok(k.download(repo, *args))
        assert not STEERS.search(r.out + r.err), args
    assert json.loads(k.ok(k.download(repo, "--json")).out)["files"][1]["path"] in (name, "a\u2028b")
    k.same(repo)
    r = k.terminal("download", "-r", repo.id, "-p", k.dir, "--force")
    assert not re.search("[\x80-\x9f\u202e\u2066\u200f\u2028]", k.ok(r).out)


def test_names_at_a_terminal(k):
    good(k, {"good.txt": "good", "victim": "evil"})
    k.hub.fault(path="/tree/", count=None, replace=[['"victim"', r'"\\u001b]0;evil\\u0007\\u009b2J"']])
    r = k.terminal("download", "-r", ID, "-p", k.dir)
    assert r.status == 9 and "\x1b]" not in r.out and "\x9b" not in r.out and "\x07" not in r.out
    r = k.download(ID, "--dry-run", "--json")
    assert not STEERS.search(r.out + r.err) and "u009b" in r.out


def test_names_that_differ_in_case(k):
    """Both are there where the file system can tell them apart, else one (folders.py)."""
    repo = good(k, {"A.txt": "upper", "a.txt": "lower", "d/x": "1", "D/x": "2"})
    (k.top / "case").mkdir()
    (k.top / "case" / "x").touch()
    if not (k.top / "case" / "X").exists():
        k.ok(k.download(repo))
        k.same(repo)
    else:
        attack(k, 9, why="apart")


def test_a_file_where_a_folder_must_be(k):
    """In the listing, and on the disk."""
    good(k, {"a": "file", "b/x": "below", "c/d": "c"})
    k.hub.fault(path="/tree/", replace=[['"b/x"', '"a/x"']], count=None)
    attack(k, 9, fresh=False)
    assert set(tree(k.dir)) - {"a/x"} <= {".gitattributes", "a", "c/d"}
    k.hub.forget()
    to = k.top / "second"
    (to / "b").mkdir(parents=True)
    (to / "b" / "x").mkdir()
    (to / "c").write_text("the user's")
    attack(k, (7, 9), to=to, fresh=False)
    assert (to / "c").read_text() == "the user's" and (to / "b" / "x").is_dir()


def test_our_own_folder_as_a_file(k):
    good(k, {"victim": "evil", "good.txt": "good"})
    for name in (".cache", ".Cache"):
        k.hub.forget()
        k.hub.fault(path="/tree/", count=None, replace=[["victim", name]])
        r = k.download(ID, "-q", "--retries", "0")
        assert r.status in (7, 9) and (k.dir / ".cache").is_dir() or name == ".Cache"


def test_names_twice(k):
    good(k, {"a.txt": "a", "b.txt": "b"})
    k.hub.fault(path="/tree/", count=None, replace=[["b.txt", "a.txt"]])
    attack(k, 9, why="twice", fresh=False)


# links

def outside(k):
    """A folder that must not change, with a file that must not change."""
    folder = k.top / "outside"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("precious")
    return folder


def test_links_in_the_target(k):
    """A folder behind a link is not entered; a link in place of a file is replaced itself."""
    repo = good(k)
    out = outside(k)
    meta = ".cache/huggingface/download/config.json.metadata"
    for n, (link, to, status) in enumerate([
            ("sub", out, 9), ("sub", "../outside", 9), ("sub", "/", 9), ("sub", "none", 9),
            (".cache", out, 7), (".cache/huggingface", out, 7),
            (".cache/huggingface/download", out, (7, 9)),
            ("config.json", out / "file", 0), ("config.json", out, 0), ("config.json", "none", 0),
            ("config.json", "config.json", 0), (".cache/huggingface/.gitignore", out / "file", 0),
            (".cache/huggingface/CACHEDIR.TAG", out / "new", 0), (meta, out / "file", 0),
            (meta, out / "new", 0)]):
        target = k.top / "in" / str(n)
        (target / link).parent.mkdir(parents=True)
        (target / link).symlink_to(to)
        if status:
            attack(k, status, to=target, free=True, fresh=False)
            assert (target / link).is_symlink()
            continue
        before = snapshot(k.top, but=target)
        k.ok(k.download(repo, to=target, env={"HUB_TEST_FREE": "1"}, wrap=bounded(
            ROOM, ESCAPE if os.access(ESCAPE, os.X_OK) else None)), err=())
        assert snapshot(k.top, but=target) == before, "written through the link " + link
        k.same(repo, folder=target)
        assert not (target / "config.json").is_symlink()


def test_hard_link_in_the_target(k):
    repo = good(k)
    out = outside(k)
    k.dir.mkdir()
    os.link(str(out / "file"), str(k.dir / "config.json"))
    k.ok(k.download(repo))
    k.same(repo)
    assert (out / "file").read_text() == "precious"


def test_partial_that_is_a_link(k):
    good(k)
    out = outside(k)
    k.hub.fault(origin="cdn", drop_after=2 * MB)
    k.hub.fault(origin="cdn", status=503, count=None)
    attack(k, 9)
    ours = k.dir / ".cache" / "huggingface" / "download"
    parts = [p for p in ours.iterdir() if p.suffix in (".part", ".state")]
    assert len(parts) == 2, parts
    for path in parts:
        path.unlink()
        path.symlink_to(out / ("file" if path.suffix == ".part" else "new"))
    before = snapshot(out)
    k.hub.forget()
    k.download(ID, "-d", env={"HUB_TEST_FREE": "1"}, wrap=bounded(
        ROOM, ESCAPE if os.access(ESCAPE, os.X_OK) else None))
    assert snapshot(out) == before
    check_right(k, k.dir)


def test_one_file_beside_a_link(k):
    repo = good(k)
    out = outside(k)
    at = k.top / "at"
    at.mkdir()
    (at / "config.json").symlink_to(out / "file")
    (at / ".hub-download").symlink_to(out)
    attack(k, 7, "-f", to=at / "config.json", fresh=False)
    (at / ".hub-download").unlink()
    k.ok(k.download(repo, "-f", to=at / "config.json"))
    assert not (at / "config.json").is_symlink()
    assert snapshot(out) == {str(out / "file"): b"precious"}


def test_link_swapped_in(k):
    """A folder becomes a link while files for it are on their way."""
    for n, name in enumerate(("sub", ".cache", ".cache/huggingface/download")):
        id = "acme-lab/evil%d" % n
        k.hub.add_repo(id, {"sub/small.txt": "s", "sub/m.bin": Generated(1, 3 * MB)})
        out, to = k.top / ("outside%d" % n), k.top / ("in%d" % n)
        out.mkdir()

        def swap():
            path = to / name
            path.mkdir(parents=True, exist_ok=True)
            path.rename(to / "moved")
            path.symlink_to(out)

        k.hub.fault(origin="cdn", stall_after=MB, stall=0.3, call=swap, count=1)
        k.hub.fault(origin="cdn", status=403, count=None)
        attack(k, (7, 9), to=to, free=True, fresh=False, id=id)
        assert not snapshot(out), "written through the link"


RENAME_EXCHANGE = 2


def test_link_swapped_all_the_time(k):
    """Somebody exchanges a folder and a link as fast as can be."""
    good(k, {"sub/%03d.txt" % n: "%d" % n for n in range(150)})
    out = outside(k)
    (k.dir / "sub").mkdir(parents=True)
    (k.dir / "link").symlink_to(out)
    libc = ctypes.CDLL(None, use_errno=True)
    a, b = (str(k.dir / name).encode() for name in ("sub", "link"))
    end = threading.Event()
    count = [0]

    def swap():
        while not end.is_set():
            count[0] += libc.renameat2(-100, a, -100, b, RENAME_EXCHANGE) == 0
            end.wait(0.0005)

    thread = threading.Thread(target=swap)
    before = snapshot(out)
    thread.start()
    try:
        k.download(ID, "-q", "--retries", "0", env={"HUB_TEST_FREE": "1"}, wrap=bounded(
            ROOM, ESCAPE if os.access(ESCAPE, os.X_OK) else None))
    finally:
        end.set()
        thread.join()
    assert snapshot(out) == before, "written through the link"
    assert count[0] > 3, "nothing was exchanged"


# sizes and hashes

HUGE = [(text, "impossible size") for text in (
    "-1", "-0", "1e400", "9223372036854775808", "18446744073709551616", "9" * 400, "1.5",
    "9007199254740993", '"3145729"', "null", "true", "[3145729]", "{}", "1e-1")]


@limit(120)
def test_sizes_in_the_listing(k):
    good(k)
    rows = [({"replace": [[r'"size": 3145729', '"size": ' + text]]}, why) for text, why in HUGE]
    each(k, rows, 6, "/tree/|/paths-info/")
    each(k, [({"replace": [["3145729", str(1 << 53)]]}, "free|file system holds")], 7,
         "/tree/|/paths-info/")
    assert not k.hub.asked("cdn")
    rows = [({"replace": [["3145729", size]]}, "size|hash") for size in
            ("3145728", "3145730", "0", "1")]
    each(k, rows, (6, 9), "/tree/|/paths-info/")
    # Two sizes: the LFS pointer's counts, so the other is no lie that matters.
    k.hub.rules.clear()
    k.hub.fault(path="/tree/", count=None, replace=[['^(.*?)"size": 3145729', r'\1"size": 1']])
    k.ok(k.download(ID))


def test_sizes_in_heads(k):
    good(k, {"m.bin": Generated(1, 3 * MB)})
    each(k, [({"headers": {"X-Linked-Size": text}}, "another size") for text in
             ("-1", "0", "3145727", "9223372036854775808", "1" * 400, "x", "")], 6, "/resolve/", "m.bin")
    rows = [{"content_range": "bytes 0-3145727/" + total} for total in
            ("3145729", "0", "-1", "9223372036854775808", "9" * 400, "x")]
    rows += [{"content_range": text} for text in
             ("bytes 0-9223372036854775807/*", "bytes -1-3/9", "bytes 5-2/3145728", "", "bytes")]
    rows += [{"length": n} for n in (0, -1, 1 << 63, 1 << 64, 10 ** 30, 100)]
    each(k, rows, (5, 6), "", "m.bin", "--stall-timeout", "1", origin="cdn")


def test_hashes_that_do_not_match(k):
    good(k, {"m.bin": Generated(1, 3 * MB), "a.txt": "right"})
    zeros = "0" * 64
    each(k, [({"headers": {"X-Linked-ETag": '"%s"' % zeros}}, "hash differs from the listing"),
             ({"headers": {"X-Linked-ETag": 'W/"%s"' % zeros}}, "hash differs from the listing")],
         6, "/resolve/", "m.bin")
    each(k, [({"replace": [['"[0-9a-f]{64}"', text]]}, "no hash") for text in
             ('"../../../evil"', "null", '"%s"' % zeros[1:], '"%s0"' % zeros, '"%s"' % ("G" * 64), "7")], 6, "/tree/|/paths-info/")
    each(k, [({"replace": [['"oid": "[0-9a-f]{40}"', '"oid": "%s"' % zeros[:n]]]}, "no hash")
             for n in (0, 39, 41, 64)], 6, "/tree/")
    each(k, [({"corrupt_at": 0}, "wrong hash"),
             ({"corrupt_at": 3 * MB - 1}, "wrong hash")], 6, "", "m.bin", origin="cdn")
    each(k, [({"corrupt_at": 4}, "wrong hash")], 6, "resolve-cache", "a.txt")
    each(k, [({"replace": [['"oid": "([0-9a-f]{64})"', '"oid": "%s"' % text]]}, None)
             for text in (zeros, "A" * 64)], 6,
         "/tree/|/paths-info/", "m.bin")
    assert set(tree(k.dir)) <= {".gitattributes", "a.txt"}


# redirects

def redirects(k, trap):
    """Location, and what is said of it."""
    return [
        ("file:///etc/passwd", "not an http"), ("ftp://127.0.0.1/x", "not an http"), ("data:,x", "not an http"),
        ("javascript:alert(1)", "not an http"), ("gopher://x/", "not an http"), ("https:/x", "not an http"),
        (trap.url + "/x", "only https|https to http"), ("//" + trap.url[7:] + "/x", None),
        ("http://127.0.0.1:%d/x" % trap.port, "only https|https to http"),
        ("https://user:secret@127.0.0.1:9/", "login"), ("https://user@127.0.0.1:9/", "login"),
        (k.hub.endpoint.replace("//", "//@127.0.0.1:%d@" % trap.port), "login"),
        ("https://127.0.0.1:0/", "port"), ("https://127.0.0.1:99999/", "port"),
        ("https://127.0.0.1:-1/", "port"), ("https://[::1/", "IPv6"), ("https:///x", "host"),
        ("https://a b/", "host"), ("https://ex\u00e4mple/", "host"), ("https://%31/", "host"),
        ("https://" + "h" * 300 + "/", "host"), ("", "no Location"), (None, "no Location"),
        ("/" + "x" * 16000, None), ("/" + "x" * 20000, "too long|larger"),
        ("/" + "\u00e4" * 8000, "too long"), ("/x" + "/.." * 3000, None), ("\x01", "no field|broken"),
        ("/a\x1b[31m", "no field|broken")]


def test_redirects(k):
    good(k, {"m.bin": Generated(1, 2 * MB)}, private=True)
    with Trap() as trap:
        for path in ("/tree/", "/resolve/"):
            rows = [({"status": 302 if location else 307, "headers": {"Location": location}}, why)
                    for location, why in redirects(k, trap)]
            for row in rows:
                k.hub.rules.clear()
                k.hub.fault(path=path, count=None, **row[0])
                try:
                    attack(k, (1, 3, 5, 6), "m.bin" if path == "/resolve/" else "--include=m*",
                           why=row[1], token="read")
                except AssertionError as e:
                    raise AssertionError("%s, after %.200s" % (e, row[0])) from None
        assert not any(b"HTTP/1.1" in bytes(s) for s in trap.seen), "a request went to the trap"
    # Paths of nonsense at the Hub, and one name for the root of the trap.
    k.hub.violations.clear()


def test_redirect_loops(k):
    good(k)
    at = "/api/models/%s/tree/main" % ID
    for target, status in ((at, 307), (at, 302), ("?", 301), (at + "?n=%d", 308), ("/api/models/x", 303)):
        k.hub.forget()
        k.hub.fault(path="/api/models/", count=None, status=status,
                    headers={"Location": k.hub.endpoint + target if "/" in target else target})
        attack(k, 1, why="more than 10 redirects")
        assert len(k.hub.asked()) <= 11
    k.hub.forget()
    here = "/%s/resolve/main/config.json" % ID
    k.hub.fault(path="/resolve/", count=None, status=302, headers={"Location": k.hub.cdn_url + here})
    k.hub.fault(origin="cdn", count=None, status=302, headers={"Location": k.hub.endpoint + here})
    attack(k, 1, "config.json", why="more than 10 redirects")
    assert len(k.hub.asked(path="/resolve/")) <= 11


# heads

HEADS = [
    ({"huge_header": 10 * MB}, "larger than"), ({"many_headers": 100000}, "larger than"),
    ({"many_headers": 250}, "too many fields"), ({"huge_header": 17000}, "too long"),
    ({"huge_header": 66000}, "larger than"),
    ({"add_headers": [["X-A", "b\r\n folded"]]}, "no field"),
    ({"add_headers": [["X-A", "b\r\n\tfolded"]]}, "no field"),
    ({"add_headers": [["X-A ", "blank before the colon"]]}, "no field"),
    ({"add_headers": [["", "no name"]]}, "no field"), ({"add_headers": [["X\0A", "x"]]}, "no field"),
    ({"add_headers": [["X-A", "bare \r CR"]]}, "no field"),
    ({"add_headers": [["X-A", "nul \0"]]}, "no field"),
    ({"add_headers": [["Content-Length", "7"]]}, "two ways"),
    ({"add_headers": [["content-length", "7, 8"]]}, "two ways"),
    ({"add_headers": [["Content-Length", "-1"]]}, "two ways"),
    ({"add_headers": [["Content-Length", "+5"]]}, "two ways"),
    ({"add_headers": [["Content-Length", "0x10"]]}, "two ways"),
    ({"add_headers": [["Content-Length", ""]]}, "two ways"),
    ({"add_headers": [["Transfer-Encoding", "chunked"]]}, "both a length"),
    ({"add_headers": [["Transfer-Encoding", "gzip, chunked"]], "no_length": True}, "coding"),
    ({"add_headers": [["Transfer-Encoding", "chunked"]] * 2, "no_length": True}, "coding"),
    ({"add_headers": [["Transfer-Encoding", "identity"]], "no_length": True}, "coding"),
    ({"headers": {"Content-Encoding": "gzip"}}, "encoded"),
    ({"headers": {"Content-Encoding": "br"}}, "encoded"),
    ({"headers": {"Content-Encoding": "identity, deflate"}}, "encoded"),
    ({"early": 1000}, "interim"), ({"raw": "\0" * 1000}, None), ({"raw": ""}, "closed"),
    ({"raw": "HTTP/1.1 101 Switch\r\n\r\n"}, "protocol"), ({"raw": "HTTP/2 200\r\n\r\n"}, "status"),
    ({"raw": "HTTP/1.1 999 x\r\n\r\n"}, "status"), ({"raw": "HTTP/1.1 -20 x\r\n\r\n"}, "status"),
    ({"raw": "HTTP/1.1 200 \x1b[31m\r\n\r\n"}, "status"), ({"raw": "ICY 200 OK\r\n\r\n"}, "status"),
    ({"raw": "x" * 200000}, "larger than"), ({"raw": "HTTP/1.1 200 OK\r\n" + "\n" * 99}, None),
    ({"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + "x" * 99999}, "endless"),
    ({"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + "X: y\r\n" * 9999}, "endless"),
    ({"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + "f" * 17 + "\r\nx"}, "chunk"),
    ({"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx"}, "chunk"),
    ({"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"}, "chunk"),
]


@limit(120)
def test_heads_of_a_listing(k):
    good(k)
    each(k, HEADS, (1, 5, 6), "/tree/")


@limit(120)
def test_heads_of_a_content(k):
    good(k, {"m.bin": Generated(1, 2 * MB)})
    each(k, [rule for rule, _ in HEADS if "raw" not in rule], (1, 5, 6), "", "m.bin", origin="cdn")
    each(k, [rule for rule, _ in HEADS if "raw" in rule], (1, 5, 6), "", "m.bin", origin="cdn")
    assert not tree(k.dir)


@limit(120)
def test_heads_of_a_redirect(k):
    """What comes after a head that is not for a body does not count, but the head does."""
    good(k, {"m.bin": Generated(1, 2 * MB)})
    rows = [rule for rule, _ in HEADS if "headers" not in rule]
    each(k, rows, (1, 5, 6), "/resolve/", "m.bin", "--stall-timeout", "1")
    assert not tree(k.dir)


# bodies

def test_bodies_of_a_content(k):
    good(k, {"m.bin": Generated(1, 2 * MB), "a.txt": "right\n" * 100})
    zipped = gzip.compress(b"\0" * MB)
    each(k, [
        {"endless": True, "corrupt_at": 5}, {"endless": True, "status": 200, "body": "x"},
        {"endless": True, "status": 200, "body": "", "add_headers": [["Content-Length", "2097152"]]},
        {"no_length": True, "drop_after": 700001}, {"drop_after": 700001}, {"drop_after": 0},
        {"length": 1 << 60, "ignore_range": True}, {"add_length": -1},
        {"chunked": True, "drop_after": 700001}, {"chunked": True, "length": 3, "corrupt_at": 9},
        {"status": 200, "body": "<html>Please log in</html>", "headers": {"Content-Type": "text/html"}},
        {"headers": {"Content-Encoding": "gzip"}}, {"edit": lambda body: zipped},
        {"edit": lambda body: body[:-1]}, {"edit": lambda body: b""},
        {"status": 204}, {"status": 304}, {"status": 206}, {"status": 200, "body": ""},
        {"status": 599}, {"status": 100}], (1, 5, 6), "", "m.bin", "--stall-timeout", "1", "--timeout", "2",
         origin="cdn")
    each(k, [{"edit": lambda body: body[1:]},
             {"headers": {"Content-Encoding": "gzip"}, "chunked": True}, {"status": 200, "body": "x"},
             {"status": 200, "body": "<!doctype html>", "headers": {"Content-Type": "text/html"}}],
         (1, 5, 6), "resolve-cache", "a.txt", "--stall-timeout", "1")
    assert not tree(k.dir)
    # What comes behind what was asked for is not read.
    k.hub.forget()
    k.hub.fault(path="xet-bridge", count=None, edit=lambda body: body + b"x")
    k.hub.fault(path="resolve-cache", count=None, endless=True)
    k.ok(k.download(ID))
    k.same(k.hub.find_repo("model", ID))


def test_one_byte_now_and_then(k):
    """A server that gives a byte each time is not asked for ever, nor is it waited for."""
    good(k, {"m.bin": Generated(1, 2 * MB), "small.txt": "small\n" * 100})
    for path in ("xet-bridge", "resolve-cache", "/tree/", "/revision/"):
        k.hub.forget()
        k.hub.fault(path=path, count=None, rate=0.5)
        attack(k, (5, 9), "--force", "--retries", "1", "--stall-timeout", "1", "--timeout", "2")
        assert len(k.hub.asked(path=path)) <= 12, "%d tries" % len(k.hub.asked(path=path))


def test_pieces_without_end(k):
    """Answers that are right as far as they go, but never get further, or hardly."""
    good(k, {"m.bin": Generated(1, 2 * MB)})
    for rule in ({"ignore_range": True, "drop_after": MB}, {"ignore_range": True, "no_length": True, "drop_after": 9},
                 {"raw": "HTTP/1.1 200 OK\r\n\r\n" + "x" * 99}, {"drop_after": 100}, {"use_range": "bytes=0-0"},
                 {"raw": "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-0/2097152\r\nContent-Length: 1\r\n\r\nx"}):
        for args in ([], ["-o", "-"]):
            k.hub.forget()
            k.hub.fault(origin="cdn", count=None, **rule)
            r = k.run("download", "-q", "--retries", "1", "-r", ID, *(args or ["-p", k.dir]), "m.bin", timeout=30,
                      wrap=bounded(ROOM))
            assert r.status in (5, 6) and SENTENCE.fullmatch(r.err), "status %d after %s" % (r.status, rule)
            assert len(k.hub.asked("cdn")) <= 8, len(k.hub.asked("cdn"))


def test_a_body_that_moves_but_never_ends(k):
    good(k)
    k.hub.fault(path="/tree/", count=None, status=200, body="[", endless=True, filler=" ", rate=200)
    attack(k, 5, "--stall-timeout", "1", why="too slow")


def test_standard_output(k):
    """What is wrong or ends early is not success, whatever was written."""
    good(k, {"m.bin": Generated(1, 2 * MB)})
    for rule, status in (({"corrupt_at": MB}, 6), ({"drop_after": 1000}, 5), ({"endless": True, "corrupt_at": 1}, 6),
                         ({"rate": 0.5}, 5)):
        k.hub.forget()
        k.hub.fault(origin="cdn", count=None, **rule)
        r = k.run("download", "-q", "--retries", "1", "--stall-timeout", "1", "-r", ID, "-o", "-", "m.bin",
                  wrap=bounded(ROOM), timeout=30)
        assert r.status == status and len(r.raw) <= 2 * MB and SENTENCE.fullmatch(r.err), r
        assert len(k.hub.asked("cdn")) <= 3


# JSON

def test_json_that_is_none(k):
    good(k)
    rows = [({"status": 200, "body": body}, why) for body, why in (
        ("[" * 100000, "deep"), ('{"a":' * 100000, "deep"), ("[" * 65 + "]" * 65, "deep"),
        ("", "not JSON"), ("<html>log in</html>", "not JSON"), ("[", "not JSON"), ("]", "not JSON"), ("[1,]", "not JSON"), ("[] []", "not JSON"),
        ("\ufeff[]", "not JSON"), ("[NaN]", "not JSON"), ("[01]", "not JSON"), ('["\\u12"]', "not JSON"),
        ("[\0]", "not JSON"), ("\0", "not JSON"), ("[" + "1" * MB + "]", "is no object"),
        ("null", "no list"), ("{}", "no list"), ('"[]"', "no list"), ("0", "no list"), ("[[]]", "no object"),
        ("[{}]", "what it is"), ('[{"type":"file"}]', "no usable path"),
        ('[{"type":"file","path":"a","path":"b","oid":"%s"}]' % ("0" * 40), "no usable path"),
        ('[{"type":"file","type":"directory","path":"a"}]', "what it is"),
        ('[{"type":"fi\\u0000le","path":"a"}, 1]', "is no object"))]
    each(k, rows, (5, 6), "/tree/")


def test_json_without_end(k):
    """A string of 1 GB, as a stream: 16 MiB of it are read."""
    good(k)
    for body, filler in (('[{"path":"', "a"), ("[", " "), ("[", "[],"), ("[1", "1")):
        for headers in ([], [["Content-Length", str(1 << 30)]]):
            k.hub.forget()
            k.hub.fault(path="/tree/", count=None, status=200, body=body, endless=True, filler=filler,
                        add_headers=headers)
            attack(k, 1, why="larger than expected")
            assert k.hub.asked(path="/tree/")[0]["sent"] < 48 * MB
    k.hub.forget()
    k.hub.fault(path="/tree/", count=None, status=404, body='{"error":"', endless=True, filler="a")
    attack(k, 3)


WRONG = [None, True, -1, 1 << 64, "", "x\0", "\x1b[31m\u009b", "x" * 20000, [[]], {"a": 1}]
ABSENT = object()


def mutations(value, wrong):
    """Every value in a document with each wrong one in its place, or left out:
    (where, the new document)."""
    for new in wrong:
        yield "all=%.20r" % (new,), new
    yield from inside(value, value, wrong)


def inside(whole, value, wrong, where=""):
    if not isinstance(value, (dict, list)):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        old = value[key]
        for new in wrong + [ABSENT]:
            if new is ABSENT and isinstance(value, list):
                continue
            if new is ABSENT:
                del value[key]
            else:
                value[key] = new
            yield "%s/%.20s=%.20r" % (where, key, "absent" if new is ABSENT else new), whole
            value[key] = old
        yield from inside(whole, old, wrong, "%s/%.20s" % (where, key))


def documents(k, run, wrong, **match):
    """The answer to such a request as it should be, then each document made of it."""
    seen = []

    def keep(body):
        seen.append(body)
        return body

    k.hub.fault(edit=keep, count=1, **match)
    run()
    for where, new in mutations(json.loads(seen[0]), wrong):
        yield where, json.dumps(new).encode()


def mutate(k, run, check, wrong=WRONG, **match):
    """A run for each document that such an answer could be made to. How many."""
    n = 0
    k.hub.forget()
    for n, (where, text) in enumerate(documents(k, run, wrong, **match), 1):
        k.hub.forget()
        k.hub.throttle.quotas.update(api=10 ** 6, resolvers=10 ** 6)
        k.hub.fault(edit=lambda body: text, count=None, **match)
        try:
            check(run())
        except AssertionError as e:
            raise AssertionError("%s, after %s of %s" % (e, where, match)) from None
    return n


@limit(180)
@hub_with(tls=False, xet=True)
def test_each_field_of_the_answers(k):
    """Of a description, a listing, a description of paths, and an error."""
    k.hub.add_repo(ID, {"m.bin": Lfs(b"large"), "d/a.txt": "small"})

    def run(*args):
        return k.download(ID, "-q", "--retries", "0", *args, wrap=bounded(ROOM))

    def check(r):
        assert r.status in (0, 1, 3, 4, 5, 6, 9), "status %d" % r.status
        if r.status:
            sentence(k, r, r.status)
        check_right(k, k.dir)

    n = mutate(k, run, check, path="/revision/")
    n += mutate(k, lambda: run("--force"), check, path="/tree/")
    n += mutate(k, lambda: run("d/a.txt"), check, path="/paths-info/")
    n += mutate(k, lambda: run("--revision", "nope"), check, path="/revision/nope")
    assert n > 250, "only %d documents" % n


# pages

def pages(k, target, **rule):
    k.hub.throttle.quotas["api"] = 10 ** 6
    k.hub.fault(path="/tree/", count=None, headers={"Link": '<%s>; rel="next"' % target}, **rule)


def test_pages_in_circles(k):
    good(k)
    tree_url = "%s/api/models/%s/tree/main?recursive=true" % (k.hub.endpoint, ID)
    pages(k, tree_url)
    attack(k, 6, why="repeats a page")
    assert len(k.hub.asked(path="/tree/")) <= 4
    for length in (2, 3, 7):
        k.hub.forget()
        urls = ["%s&at=%d" % (tree_url, n) for n in range(length)]
        for n, url in enumerate(urls):
            k.hub.fault(path="at=%d$" % n, count=None,
                        headers={"Link": '<%s>; rel="next"' % urls[(n + 1) % length]})
        pages(k, urls[0])
        attack(k, 6, why="repeats a page")
        assert len(k.hub.asked(path="/tree/")) <= 4 * length + 4


class Endless:
    """Each page leads to another that was never there."""

    def __init__(self, k, body):
        self.k, self.n, self.body = k, 0, body
        self.at = "%s/api/models/%s/tree/main?n=" % (k.hub.endpoint, ID)
        self.rule = k.hub.fault(path="/tree/", count=None, call=self.next, edit=lambda _: body)
        k.hub.throttle.quotas["api"] = 10 ** 6

    def next(self):
        self.n += 1
        self.rule.act["headers"] = {"Link": '<%s%d>; rel="next"' % (self.at, self.n)}


@limit(120)
@hub_with(tls=False)
def test_pages_without_end(k):
    good(k)
    many = Endless(k, b"[]")
    attack(k, 6, why="does not end", timeout=100)
    assert many.n == 10000


@limit(120)
@hub_with(tls=False)
def test_pages_that_are_large_and_without_end(k):
    """512 MiB of listing are read, and no more."""
    good(k)
    large = Endless(k, b'[{"type":"directory"}' + b" " * (15 * MB) + b"]")
    attack(k, 6, why="does not end", timeout=100)
    assert 30 < large.n < 40


def test_pages_elsewhere(k):
    good(k, private=True)
    rows = [("http://127.0.0.1:9/", "only https"), ("file:///etc/passwd", "not an http"),
            ("https://u:p@127.0.0.1:9/", "login"), ("https://" + "x" * 17000, None),
            ("https://[", None), ("//127.0.0.1:99999/", "port"), ("http:x", None)]
    for target, why in rows:
        k.hub.forget()
        pages(k, target)
        attack(k, (1, 5, 6), why=why, token="read")
        assert len(k.hub.asked(path="/tree/")) <= 1


# words

WORDS = "\x1b[2J\x1b]0;evil\x07\x9b31m\u009b\u202egnp\u2066 \x7f\b\r\n hub: all is well"


def test_words_of_the_hub(k):
    """Messages, reasons, request ids: shown, but as text only."""
    good(k)
    header = "".join(c for c in WORDS if c >= " " and c != "\x7f")
    for rule in ({"status": 400, "body": json.dumps({"error": WORDS})},
                 {"status": 400, "body": json.dumps({"errors": [{"message": WORDS}] * 99})},
                 {"status": 400, "body": json.dumps({"error": [WORDS], "error_description": WORDS})},
                 {"status": 400, "body": WORDS}, {"status": 500, "body": WORDS * 1000},
                 {"status": 403, "headers": {"X-Error-Message": header, "X-Request-Id": header}},
                 {"status": 404, "headers": {"X-Error-Code": "EntryNotFound", "X-Error-Message": header}},
                 {"status": 503, "headers": {"X-Request-Id": header * 100}},
                 {"status": 302, "headers": {"Location": "/" + header}},
                 {"raw": "HTTP/1.1 503 %s\r\nContent-Length: 0\r\n\r\n" % header},
                 {"raw": "HTTP/1.1 400 %s\r\nContent-Length: 0\r\n\r\n" % WORDS}):
        for path in ("/revision/", "/tree/", "/resolve/"):
            k.hub.forget()
            k.hub.fault(path=path, count=None, **rule)
            attack(k, (1, 3, 4, 5, 6, 9))


# uploads

def up(k, *args, **how):
    env = {"HF_TOKEN": k.tokens["write"], "XDG_STATE_HOME": str(k.top / "state")}
    return k.run("upload", "-r", "acme-lab/up", "-p", k.top / "source", "-q", "--retries", "0", *args,
                 env=env, wrap=bounded(ROOM), **how)


def source(k, size=3 * MB):
    folder = k.top / "source"
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("small")
    (folder / "m.bin").write_bytes(Generated(1, size).read())


def forget_upload(k):
    """As if nothing had been uploaded ever."""
    k.hub.repos.clear()
    for folder in (k.top / "state", k.top / "source" / ".cache"):
        shutil.rmtree(str(folder), ignore_errors=True)


def check_upload(k, r):
    """It ended as it may; success means that all is there."""
    assert r.status in (0, 1, 3, 4, 5, 6, 8, 9), "status %d" % r.status
    assert not STEERS.search(r.out + r.err), "steers the terminal"
    assert "(null)" not in r.out + r.err
    if r.status:
        assert SENTENCE.fullmatch(r.err), "not one sentence"
        return
    assert re.fullmatch(r"https?://[!-~]+\n", r.out), "no address: %r" % r.out
    repo = k.hub.find_repo("model", "acme-lab/up")
    for at in ("main",):
        for path, entry in repo.find(at).files.items():
            if path != ".gitattributes":
                assert entry.content.read() == (k.top / "source" / path).read_bytes(), path


FEWER = [None, -1, 1 << 64, "\x1b[31m\u009b\0", [[]], {"a": 1}]

UPLOAD_ANSWERS = ["/api/models/acme-lab/up$|expand=private", "/repos/create", "/preupload/", "/objects/batch",
                  "/complete_multipart", "/commit/"]


@limit(240)
@hub_with(tls=False, chunk=MB, verify=True)
def test_each_field_of_the_answers_to_an_upload(k):
    source(k, size=MB + 5)
    n = 0

    def run():
        forget_upload(k)
        return up(k)

    for path in UPLOAD_ANSWERS:
        n += mutate(k, run, lambda r: check_upload(k, r), FEWER, path=path)
    assert n > 250, "only %d documents" % n


def test_addresses_of_an_upload(k):
    """Where the batch says that contents go, and what belongs to them."""
    source(k)
    k.hub.chunk = 64 * MB
    with Trap() as plain, Trap(tls=k.hub) as other:
        for href in ("file:///etc/passwd", "ftp://127.0.0.1/", "", "x", "/relative", "https://u:p@127.0.0.1:9/",
                     plain.url + "/x", "http://127.0.0.1:%d/" % plain.port, "https://127.0.0.1:9/\u001b[31m",
                     "https://" + "h" * 20000, "https://127.0.0.1:9/\r\nX: y", other.url + "/x"):
            forget_upload(k)
            k.hub.forget()
            k.hub.fault(path="/batch", count=None, edit=lambda body: with_href(body, "upload", href))
            r = up(k)
            check_upload(k, r)
            assert r.status, "success with " + href
        for href in (plain.url + "/verify", other.url + "/verify", "file:///x", k.hub.cdn_url + "/x"):
            forget_upload(k)
            k.hub.forget()
            k.hub.fault(path="/batch", count=None, edit=lambda body: with_href(body, "verify", href))
            check_upload(k, up(k))
        assert not plain.seen, "a request in clear text"
        assert other.seen and not any(b"uthorization" in bytes(s) for s in other.seen)
    assert not any(e["authorization"] for e in k.hub.asked("cdn") + k.hub.asked("upload"))
    k.hub.violations.clear()


def with_href(body, action, href):
    value = json.loads(body)
    for o in value["objects"]:
        if "actions" in o:
            o["actions"][action] = {"href": href, "header": {"Authorization": "Bearer evil", "X\r\nY": "z"}}
    return json.dumps(value).encode()


def test_parts_of_an_upload(k):
    source(k)
    k.hub.chunk = MB
    for change in ({"chunk_size": "0"}, {"chunk_size": "1"}, {"chunk_size": "-1"}, {"chunk_size": 1 << 63},
                   {"chunk_size": "9" * 400}, {"chunk_size": "1048577"}, {"chunk_size": 1 << 60},
                   {"00000": "x"}, {"00009": "x"}, {"18446744073709551617": "x"}, {"1": "x"},
                   {"00001": None}, {"00002": ["x"]}, {"00001": "file:///x"}, {"4294967297": "x"}):
        forget_upload(k)
        k.hub.forget()

        def edit(body):
            value = json.loads(body)
            for o in value["objects"]:
                o["actions"]["upload"]["header"].update(change)
            return json.dumps(value).encode()

        k.hub.fault(path="/batch", count=None, edit=edit)
        check_upload(k, up(k))
        k.hub.violations.clear()


def test_an_answer_to_an_upload_with_others_objects(k):
    """Twice the same, ones that were not asked for, and very many."""
    source(k)
    stranger = {"oid": "0" * 64, "size": 5, "actions": {"upload": {"href": "https://127.0.0.1:9/"}}}

    def edit(body):
        value = json.loads(body)
        value["objects"] = [stranger] * 20000 + value["objects"] * 3 + [stranger]
        return json.dumps(value).encode()

    k.hub.fault(path="/batch", count=None, edit=edit)
    r = up(k)
    check_upload(k, r)
    assert r.status == 0 and not any("0" * 64 in e["path"] for e in k.hub.asked())


def test_words_of_the_storage(k):
    source(k)
    xml = "<Error><Code>%s</Code><Message>%s</Message></Error>" % (WORDS, WORDS)
    for rule in ({"status": 400, "body": xml}, {"status": 501, "body": xml * 5000}, {"status": 400, "body": "<Code>" * 9999},
                 {"status": 400, "body": "<", "endless": True, "filler": "<"},
                 {"status": 200, "headers": {"ETag": "\x9b" * 300}}):
        forget_upload(k)
        k.hub.forget()
        k.hub.fault(origin="upload", count=None, **rule)
        check_upload(k, up(k))
    for key in ("commitUrl", "pullRequestUrl", "url", "hookOutput"):
        forget_upload(k)
        k.hub.forget()
        k.hub.fault(path="/commit/|/discussions", count=None, edit=lambda body: json.dumps(
            {**json.loads(body), key: "https://x/" + WORDS}).encode())
        check_upload(k, up(k))
    forget_upload(k)
    k.hub.forget()
    k.hub.fault(path="/batch", count=None, edit=lambda body: json.dumps({"objects": [
        {**o, "error": {"code": 422, "message": WORDS * 9}} for o in json.loads(body)["objects"]]}).encode())
    r = up(k)
    check_upload(k, r)
    assert r.status


def test_upload_of_a_Hub_that_never_ends(k):
    source(k)
    for path in ("/preupload/", "/batch", "/commit/", "/repos/create"):
        forget_upload(k)
        k.hub.forget()
        k.hub.fault(path=path, count=None, status=200, body='{"files":["', endless=True, filler="a")
        r = up(k, timeout=40)
        check_upload(k, r)
        assert r.status == 1 and "larger than expected" in r.err
