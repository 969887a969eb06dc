"""The official clients and the Xet part of the test Hub (fakehub/cas.py): they send to it and fetch
from it, and it agrees with them on every hash. Run by tests/check/interop, as interop.py is."""

import os
import re
import struct
import tempfile

from fakehub import mixed, xet
from interop import ID, node, place, python
from kit import MB, ROOT, hub_with, limit, tree

UPLOAD = """
import sys, huggingface_hub as h
api = h.HfApi(token=sys.argv[1])
api.create_repo(sys.argv[2], exist_ok=True)
api.upload_folder(repo_id=sys.argv[2], folder_path=sys.argv[3])
"""
LOCAL = "import sys, huggingface_hub as h; h.snapshot_download(sys.argv[1], local_dir=sys.argv[2])"


def upload(k, id, folder, **how):
    python(k, UPLOAD, k.tokens["write"], id, folder, xet=True, **how)
    return k.hub.find_repo("model", id)


def fetch(k, id=ID, **how):
    """What came: path -> content."""
    to = tempfile.mkdtemp(dir=k.top)
    python(k, LOCAL, id, to, xet=True, **how)
    return {path: there.read_bytes() for path, there in tree(to).items()}


def by_xet(k):
    """Content came from the CAS alone."""
    assert k.hub.asked("cas", "GET", "/reconstructions/") and k.hub.asked("xorb", "GET")
    assert not k.hub.asked("cdn"), k.hub.asked("cdn")


def xorbs_sent(k):
    return k.hub.asked("cas", "POST", "/v1/xorbs/") + k.hub.asked("xorb", "PUT")


# The published vectors, as the unit tests have them.

def noise(seed, size):
    """splitmix64"""
    out, state, mask = [], seed, 2 ** 64 - 1
    for _ in range(-(-size // 8)):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return struct.pack("<%dQ" % len(out), *out)[:size]


def vectors():
    """(name, content, hash of the file)"""
    place()
    text = (ROOT / "tests/unit/data/xet.h").read_text()
    for name, body in re.findall(r"/\* (\w+) \*/\s*\{(.*?)\n    \},", text, re.S):
        value = dict(re.findall(r'\.(\w+) =\s*("[^"]*"|[^,\s]+)', body))
        size, kind = int(value["size"]), value.get("kind", "NOISE")
        byte = value.get("byte", "0")
        byte = ord(byte[1]) if byte.startswith("'") else int(byte, 0)
        made = bytearray({
            "NOISE": lambda: noise(int(value.get("seed", 0)), size),
            "BYTE": lambda: bytes([byte]) * size,
            "RAMP": lambda: (bytes(range(256)) * (size // 256 + 1))[:size],
            "FLOATS": lambda: struct.pack("<%df" % (size // 4),
                                          *(1 + i / 65536 for i in range(size // 4))),
        }[kind]())
        if "patch" in value:
            patch = value["patch"].strip('"').encode().decode("unicode_escape").encode("latin-1")
            at = int(value.get("patch_at", 0))
            made[at:at + len(patch)] = patch
        assert len(made) == size, name
        yield name, bytes(made), value["file"].strip('"')


@limit(120)
@hub_with(xet=True)
def test_python_sends_the_vectors(k):
    """Each gets the published hash. What is known is not sent again."""
    at, wanted = k.top / "vectors", {}
    at.mkdir()
    for name, content, hash in vectors():
        if content:  # empty ones never go to Xet
            (at / (name + ".bin")).write_bytes(content)
            wanted[name + ".bin"] = hash
    assert len(wanted) > 18
    repo = upload(k, ID, at)
    files = repo.head().files
    assert {p: files[p].content.xet for p in wanted} == wanted
    assert xorbs_sent(k) and not k.hub.asked("upload")
    k.hub.forget()
    again = upload(k, "acme-lab/again", at).head().files
    assert {p: again[p].content.xet for p in wanted} == wanted
    assert not xorbs_sent(k) and k.hub.asked("cas", "POST", "/v2/shards")
    k.hub.forget()
    got = fetch(k)
    assert {p: got[p] for p in wanted} == {p: (at / p).read_bytes() for p in wanted}
    by_xet(k)


@limit(120)
@hub_with(xet=True, grants=False)
def test_python_asks_for_chunks(k):
    """By the old way for xorbs; another computer has nothing to send, by the answer for a chunk."""
    at = k.top / "source"
    at.mkdir()
    (at / "m.bin").write_bytes(os.urandom(3 * MB + 1))
    repo = upload(k, ID, at)
    assert k.hub.asked("cas", "POST", "/v1/xorbs/") and not k.hub.asked("xorb", "PUT")
    first = repo.head().files["m.bin"].content
    k.hub.forget()
    repo = upload(k, "acme-lab/again", at, HF_HOME=k.top / "elsewhere")
    assert [e["status"] for e in k.hub.asked("cas", "GET", "/v1/chunks/")][0] == 200
    assert not xorbs_sent(k), xorbs_sent(k)
    assert repo.head().files["m.bin"].content.xet == first.xet
    assert k.ok(k.run("download", ID, "m.bin")).out


def sample(k, size=20 * MB + 1):
    """Of several xorbs with entries of all schemes, in which chunks come again; and one with
    chunks that are smaller than any writer should make them."""
    place()
    files = {"large.bin": k.hub.cas.store(mixed(1, size), xorb_size=3 * MB),
             "small.bin": k.hub.cas.store(mixed(2, 2 * MB), sizes=[1, 8128, 131072, 12, 70000])}
    k.hub.add_repo(ID, files)
    return {path: content.read() for path, content in files.items()}


def same(got, wanted):
    for path, content in wanted.items():
        assert got[path] == content, path


@limit(120)
def test_python_fetches_what_is_stored(k):
    wanted = sample(k)
    same(fetch(k), wanted)
    by_xet(k)
    assert not k.hub.asked("cas", "GET", "/v1/reconstructions/")


@limit(120)
def test_python_with_an_old_storage(k):
    """Without the second version of reconstructions, and with terms longer than was asked for."""
    wanted = sample(k, 4 * MB)
    k.hub.trim = False
    k.hub.fault(origin="cas", path="/v2/reconstructions", status=404, count=None)
    same(fetch(k), wanted)
    by_xet(k)
    assert k.hub.asked("cas", "GET", "/v1/reconstructions/")


@limit(120)
def test_python_when_addresses_lapse(k):
    """It asks for the window again. Each range has an address of its own here."""
    wanted = sample(k, 4 * MB)
    k.hub.url_ranges = 1
    k.hub.fault(origin="xorb", status=403, count=2)
    same(fetch(k), wanted)
    assert len(k.hub.asked("cas", "GET", "/v2/reconstructions/")) > 2


JS_UPLOAD = """
const hub = await import("@huggingface/hub");
const url = await import("node:url");
await hub.uploadFiles({repo: "%s", hubUrl: process.env.HF_ENDPOINT, accessToken: process.argv[1],
    useXet: true, files: [{path: "m.bin", content: url.pathToFileURL(process.argv[2])}]});
"""

JS_DOWNLOAD = """
const hub = await import("@huggingface/hub");
const fs = await import("node:fs/promises");
const blob = await hub.downloadFile({repo: "%s", hubUrl: process.env.HF_ENDPOINT, path: "m.bin",
    xet: true});
await fs.writeFile(process.argv[1], Buffer.from(await blob.arrayBuffer()));
"""


@limit(120)
@hub_with(xet=True)
def test_javascript_by_xet(k):
    """It takes the token from the LFS batch, sends shards with a footer, and asks for several
    ranges at once."""
    source, back = k.top / "m.bin", k.top / "back.bin"
    source.write_bytes(mixed(3, 3 * MB + 1))
    repo = k.hub.add_repo(ID, {"README.md": "r"})
    node(k, JS_UPLOAD, k.tokens["write"], source)
    k.hub.violations.clear()  # its last line of a commit has no end
    assert repo.head().files["m.bin"].content.xet and xorbs_sent(k)
    k.hub.forget()
    node(k, JS_DOWNLOAD, back)
    assert back.read_bytes() == source.read_bytes()
    by_xet(k)


# hub beside them

def ours(k, id, folder):
    k.ok(k.run("upload", "-r", id, "-p", folder, env={"HF_TOKEN": k.tokens["write"]}))
    return k.hub.find_repo("model", id)


@limit(120)
@hub_with(xet=True)
def test_same_as_hub(k):
    """Both give a file the same hash, and the second one sends no xorb, whichever it is. Each
    fetches what the other has sent."""
    for n, (first, second) in enumerate(((upload, ours), (ours, upload))):
        folder = k.top / ("files%d" % n)
        folder.mkdir()
        (folder / "m.bin").write_bytes(mixed(20 + n, 5 * MB + 1))
        (folder / "t.bin").write_bytes(b"".join(b"%d " % (n + i * i) for i in range(99999)))
        before = set(k.hub.cas.xorbs)
        one = first(k, "acme-lab/first%d" % n, folder)
        assert xorbs_sent(k)
        schemes = {scheme for hash, x in k.hub.cas.xorbs.items() if hash not in before
                   for _, _, scheme, _ in xet.TOOL.lines("entries", x.content.read())}
        k.hub.forget()
        two = second(k, "acme-lab/second%d" % n, folder)
        assert not xorbs_sent(k) and k.hub.asked("cas", "POST", "/v2/shards")
        assert one.head().files["m.bin"].content.xet == two.head().files["m.bin"].content.xet
        k.hub.forget()
    assert schemes == {"0", "1", "2"}, schemes  # of ours
    wanted = (k.top / "files1" / "m.bin").read_bytes()
    assert fetch(k, "acme-lab/first1")["m.bin"] == wanted
    by_xet(k)
    k.hub.forget()
    k.ok(k.download("acme-lab/second1"))
    assert (k.dir / "m.bin").read_bytes() == wanted
    by_xet(k)
