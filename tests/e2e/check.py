"""End-to-end tests of hub verify, and of its --repair. Each test_* takes a Kit (kit.py)."""

import json
import os
import shutil
import signal
import subprocess

from fakehub import Generated
from kit import MB, Skip, hub_with, sha256, tree

BIG = 5 * MB + 700001  # of w/big.bin, in blocks of 1 MiB

BLOCK = 1 << 20


def sample(k):
    return k.hub.add_repo("acme-lab/check", {
        "a.txt": "a\n", "w/big.bin": Generated(1, BIG), "w/small.bin": Generated(2, 700001),
        "ünï.txt": "u", "empty": ""})


def downloaded(k):
    repo = sample(k)
    k.ok(k.download(repo))
    k.hub.forget()
    return repo


def flip(path, at):
    with open(str(path), "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 4]))


def notes(k):
    return k.dir / ".cache/huggingface/download"


def blocks_here(k):
    """The blocks that the state of the only partial file has."""
    data = b"".join(p.read_bytes()[128:] for p in notes(k).glob("*.state"))
    return sum(data[i:i + 4] != bytes(4) for i in range(0, len(data), 4))


def verify(k, *words, **how):
    return k.run("verify", "-p", k.dir, *words, **how)


def repair(k, *words, **how):
    return verify(k, "--repair", *words, **how)


# verify

def test_all_is_right(k):
    downloaded(k)
    r = k.ok(verify(k))
    assert r.out == "6 right\n" and not k.hub.asked()
    k.ok(k.run("verify", k.dir, env={"HF_HUB_OFFLINE": "1"}), out="6 right")
    assert k.ok(verify(k, "--include", "*.txt")).out == "2 right\n"
    assert k.ok(verify(k, "--exclude", "w/*")).out == "4 right\n"


def test_what_differs_is_told_apart(k):
    downloaded(k)
    flip(k.dir / "w/big.bin", 700001)
    (k.dir / "a.txt").write_text("longer\n")
    (k.dir / "ünï.txt").unlink()
    (k.dir / "w/new").write_text("n")
    (k.dir / ".git").mkdir()
    (k.dir / ".git/config").write_text("not ours")
    r = k.ok(verify(k), 6, err=("3 of 6 files in", "(2 changed, 1 missing, 0 unread)", "try: hub verify -p"))
    assert r.out.splitlines() == [
        "changed           2 B  a.txt: it has 7 bytes, and had 2",
        "changed       5.94 MB  w/big.bin: its hash is not the recorded one",
        "extra             1 B  w/new",
        "missing           1 B  ünï.txt",
        "3 right, 2 changed, 1 missing, 1 extra"], r.out
    (k.dir / "a.txt").write_text("a\n")
    k.ok(verify(k, "--exclude", "*.bin"), 3, err="1 missing")
    made = json.loads(k.ok(verify(k, "--json"), 6).out)
    by = {f["path"]: f for f in made["files"]}
    assert {p: f["outcome"] for p, f in by.items()} == {
        ".gitattributes": "right", "a.txt": "right", "empty": "right", "w/big.bin": "changed",
        "w/new": "extra", "w/small.bin": "right", "ünï.txt": "missing"}
    assert (made["right"], made["changed"], made["missing"], made["extra"]) == (4, 1, 1, 1)
    assert by["w/big.bin"]["sha256"] == k.hub.find_repo("model", "acme-lab/check").head().files["w/big.bin"].sha256


def test_a_link_or_a_folder_is_no_file(k):
    downloaded(k)
    (k.dir / "a.txt").unlink()
    (k.dir / "a.txt").symlink_to("empty")
    (k.dir / "empty").unlink()
    (k.dir / "empty").mkdir()
    os.unlink(str(k.dir / "ünï.txt"))
    os.mkfifo(str(k.dir / "ünï.txt"))
    r = k.ok(verify(k), 6)
    assert r.out.count("it is not a regular file") == 3, r.out


def test_sha256sums(k):
    downloaded(k)
    odd = k.dir / "w/new\nline\\"
    odd.write_text("x")
    meta = notes(k) / "w/new\nline\\.metadata"
    meta.write_text("%s\n%s\n1.0\n" % ("a" * 40, sha256(odd)))
    sums = k.ok(verify(k, "--sha256sums"))
    done = subprocess.run(["sha256sum", "-c", "--strict", "--quiet"], cwd=str(k.dir), input=sums.raw,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done
    assert len(sums.out.splitlines()) == 7
    flip(k.dir / "a.txt", 0)
    sums = k.ok(verify(k, "--sha256sums"), 6)
    assert len(sums.out.splitlines()) == 6 and "a.txt" not in sums.out


def test_of_the_official_client(k):
    """Three lines of metadata and locks, no checksums of blocks; the size is not recorded."""
    repo = downloaded(k)
    for path in notes(k).rglob("*"):
        if path.suffix == ".metadata":
            path.write_text("".join(path.read_text().splitlines(True)[:3]))
            path.with_suffix(".lock").write_text("")
        elif path.suffix == ".blocks":
            path.unlink()
    assert k.ok(verify(k)).out == "6 right\n"
    flip(k.dir / "w/big.bin", BIG - 1)
    (k.dir / "w/small.bin").unlink()
    k.ok(verify(k), 6)
    k.ok(repair(k), 2, err=("its repository is not recorded", "--repair -r REPO"))
    r = k.ok(repair(k, "-r", repo.id), err="there are no checksums of its blocks, so all of it is fetched",
             out="4 right, 2 repaired")
    k.same(repo)
    flip(k.dir / "w/big.bin", 1)
    k.hub.forget()
    r = k.ok(repair(k), out="5 right, 1 repaired")
    assert k.from_cdn() == BLOCK, r.err


def test_no_record(k):
    k.ok(verify(k), 7)
    k.dir.mkdir()
    k.ok(verify(k), 3, err="has no record of a download")
    k.ok(k.run("verify"), 2, err="no local path given")
    k.ok(verify(k, "-r", "a/b"), 2, err="verify needs no repository")
    k.ok(verify(k, "--sha256sums", "--json"), 2, err="cannot be used together")
    k.ok(k.run("verify", "a", "b"), 2, err="unexpected argument 'b'")


def test_hostile_notes(k):
    """Whatever stands in the records: nothing is right that was not hashed, and nothing is lost."""
    repo = downloaded(k)
    meta = notes(k) / "a.txt.metadata"
    good = meta.read_text()
    lines = good.splitlines(True)
    for text in ("", "x", good[:60], "\0" * 200, "a" * 5000, lines[0] + "zz\n" + "".join(lines[2:])):
        meta.write_text(text)
        r = k.ok(verify(k), out="extra             2 B  a.txt: its metadata is damaged")
        assert "5 right, 1 extra" in r.out
    meta.write_text(lines[0] + "0" * 40 + "\n" + "".join(lines[2:]))
    k.ok(verify(k), 6, out="a.txt: its hash is not the recorded one")
    r = k.ok(repair(k), 6, err="not repaired")
    assert (k.dir / "a.txt").read_text() == "a\n"
    # The size that the record has, and the stamp that says that it is unchanged.
    meta.write_text(good.replace("hub 2 ", "hub 99999999999999999999 "))
    k.ok(verify(k))
    for size in (3, 9007199254740992, 9007199254740993):
        meta.write_text(good.replace("hub 2 ", "hub %d " % size))
        k.ok(verify(k), out="6 right")
        k.ok(repair(k), out="6 right")
    for source in ("models/../etc", "models/a/b/c", "x", "/", "spaces/", "models/hf_" + "x" * 40, "models/a b/\x1b[2J"):
        meta.write_text(good.replace("models/acme-lab/check", source))
        (k.dir / "a.txt").write_text("b\n")
        r = k.ok(repair(k), (2, 3))
        assert "\x1b" not in r.out + r.err
    meta.write_text(good.replace("acme-lab/check", "acme-lab/none"))
    k.ok(repair(k), 3, err="not repaired: there is no model 'acme-lab/none'")
    k.ok(repair(k, "-r", repo.id), out="1 repaired")
    k.same(repo)
    os.unlink(str(meta))
    os.mkfifo(str(meta))
    k.ok(verify(k), out="extra             2 B  a.txt")


def test_a_recorded_path_that_is_none(k):
    """A repair writes to no name that a download would refuse."""
    repo = downloaded(k)
    good = (notes(k) / "a.txt.metadata").read_text()
    for path in (".git/config", ".cache/huggingface/x", "w/.GIT/hooks/x"):
        meta = notes(k) / (path + ".metadata")
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_text(good)
        k.ok(repair(k), 6, err=("not repaired", path), out="6 right, 1 missing")
        assert not (k.dir / path).exists()
        meta.unlink()
    k.same(repo)


def test_metadata_of_another_user(k):
    """It decides nothing about what a repair writes."""
    if os.getuid() != 0:
        raise Skip("only root can give files away")
    repo = downloaded(k)
    other = k.hub.add_repo("acme-lab/other", {"a.txt": "other\n", "w/big.bin": Generated(9, BIG)})
    k.ok(k.download(other, to=k.top / "other"))
    for path in ("a.txt", "w/big.bin"):
        meta = notes(k) / (path + ".metadata")
        shutil.copy(str(k.top / "other/.cache/huggingface/download" / (path + ".metadata")), str(meta))
        os.chown(str(meta), 12345, 12345)
    k.ok(verify(k), 6, err="2 changed")
    r = k.ok(repair(k), 7, err="its metadata belongs to another user", out="4 right, 2 changed")
    assert r.out.count("not repaired: its metadata belongs to another user") == 2
    k.same(repo)


# repair

def test_one_bit(k):
    """Wherever it is: one block is fetched, no more, and the file never has another content."""
    repo = downloaded(k)
    for at in (0, 1, 700001, 1000000, BLOCK - 1, BLOCK, 3 * BLOCK + 7, BIG - 1):
        k.hub.forget()
        flip(k.dir / "w/big.bin", at)
        k.ok(verify(k), 6)
        k.ok(repair(k), out=("repaired      5.94 MB  w/big.bin", "5 right, 1 repaired"))
        assert 0 < k.from_cdn() <= BLOCK, (at, k.from_cdn())
        k.same(repo)
    k.hub.forget()
    k.ok(repair(k), out="6 right")
    assert not k.hub.asked()
    assert k.ok(k.download(repo), err="6 of 6 files are in place, unchanged")


def test_cut_short_and_empty(k):
    """As a copy to a stick that was pulled out; and with zeros where blocks were."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    for length in (3 * BLOCK + 1000000, BLOCK, 1, 0):
        k.hub.forget()
        os.truncate(str(path), length)
        k.ok(repair(k, "-j1"), out="1 repaired")
        k.same(repo)
        assert k.from_cdn() <= BIG - length // BLOCK * BLOCK
    with open(str(path), "r+b") as f:
        f.seek(BLOCK + 1)
        f.write(bytes(2 * BLOCK))
    k.hub.forget()
    k.ok(repair(k), out="1 repaired")
    k.same(repo)
    assert k.from_cdn() <= 3 * BLOCK
    with open(str(path), "ab") as f:
        f.write(b"more")
    k.ok(repair(k), err="it has become longer, so all of it is fetched", out="1 repaired")
    k.same(repo)


def test_missing_and_small(k):
    repo = downloaded(k)
    flip(k.dir / "w/small.bin", 1)
    flip(k.dir / "a.txt", 0)
    (k.dir / "empty").unlink()
    shutil.rmtree(str(k.dir / "w"))
    k.ok(repair(k), out="2 right, 4 repaired")
    k.same(repo)


def test_two_links(k):
    """The other name keeps its bytes."""
    repo = downloaded(k)
    path, other = k.dir / "w/big.bin", k.top / "other"
    flip(path, 4000000)
    os.link(str(path), str(other))
    broken = sha256(path)
    k.ok(repair(k), out="1 repaired")
    assert k.from_cdn() <= BLOCK and sha256(other) == broken
    k.same(repo)


def test_another_program_takes_the_name(k):
    """What it put there during the repair stays: of a file that was renamed away, missing, or copied."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"

    def take():
        k.wait_for(lambda: list(notes(k).glob("*.part")), what="the partial file")
        if path.exists():
            path.unlink()
        path.write_bytes(b"the user's new work")

    def link():
        flip(path, 1)
        os.link(str(path), str(k.top / "other"))

    for spoil in (lambda: flip(path, 3 * BLOCK + 100000), path.unlink, link):
        spoil()
        k.hub.rules.add(origin="cdn", count=1, drop_after=700001)
        k.hub.rules.add(origin="cdn", count=1, call=take)
        k.ok(repair(k, "-j1"), 6, err="another program has made 'w/big.bin' meanwhile")
        assert path.read_bytes() == b"the user's new work"
        path.unlink()
        k.ok(repair(k), out="1 repaired")
        k.same(repo)


def test_another_program_writes_to_it(k):
    """A byte that changes behind the hash is not published as right."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    flip(path, BIG - 1)
    k.hub.rules.add(origin="cdn", count=1, call=lambda: flip(path, 1000))
    k.ok(repair(k, "-j1"), 6, err="another program is writing to 'w/big.bin'", out="5 right")
    assert path.stat().st_size == BIG
    k.ok(repair(k), out="1 repaired")
    k.same(repo)


def test_what_is_in_the_way_of_one_file(k):
    """It concerns no other."""
    repo = k.hub.add_repo("acme-lab/check", {"%d.bin" % i: Generated(i, 2 * MB + i) for i in range(4)})
    k.ok(k.download(repo))
    for i in range(4):
        flip(k.dir / ("%d.bin" % i), i)
    way = notes(k) / (repo.head().files["1.bin"].sha256 + ".part")
    way.mkdir()
    k.ok(repair(k), 7, out=("3 repaired, 1 changed", "1.bin: not repaired"))
    assert (k.dir / "1.bin").stat().st_size == 2 * MB + 1
    way.rmdir()
    k.ok(repair(k), out="1 repaired")
    k.same(repo)


def test_the_same_content_twice(k):
    """Two broken copies of one content need one partial file, one after the other."""
    repo = k.hub.add_repo("acme-lab/two", {"a.bin": Generated(1, BIG), "b.bin": Generated(1, BIG),
                                           "c.bin": Generated(1, BIG)})
    k.ok(k.download(repo))
    k.hub.forget()
    flip(k.dir / "a.bin", 1)
    flip(k.dir / "b.bin", 5000000)
    k.ok(verify(k), 6)
    k.ok(repair(k), out="2 repaired")
    k.same(repo)
    assert k.from_cdn() <= 2 * BLOCK


def test_notes_that_lie(k):
    """Checksums of blocks that are wrong cost bytes, never the content."""
    repo = downloaded(k)
    blocks = next(notes(k).glob("*.blocks"))
    good = blocks.read_bytes()
    for make in (lambda: bytes(len(good)), lambda: good[:-1], lambda: b"", lambda: good + b"x",
                 lambda: good[:128] + bytes(len(good) - 128), lambda: good[:130] + b"\x55" + good[131:],
                 lambda: good[:3] + b"x" + good[4:], lambda: os.urandom(len(good))):
        blocks.write_bytes(make())
        k.ok(repair(k), out=("right",))
        blocks.write_bytes(make())
        flip(k.dir / "w/big.bin", 2 * BLOCK + 1)
        k.ok(verify(k), 6)
        k.ok(repair(k), out="1 repaired")
        k.same(repo)
        blocks = next(notes(k).glob("*.blocks"))


def lie(k, *blocks):
    """Wrong checksums, in a file that looks as it should."""
    path = next(notes(k).glob("*.blocks"))
    data = bytearray(path.read_bytes())
    for i in blocks or range((len(data) - 128) // 4):
        data[128 + 4 * i] ^= 1
    path.write_bytes(bytes(data))


def test_lying_checksums_of_a_right_file(k):
    """It is left alone, with a network and without one, and the next repair need not ask."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    was = path.stat()
    lie(k)
    k.ok(repair(k, "--endpoint", "http://127.0.0.1:1", "--retries=0"), out="6 right")
    k.hub.rules.add(origin="cdn", count=1, drop_after=700001)
    k.hub.rules.add(origin="cdn", count=None, hang_up=True)
    k.ok(repair(k, "--retries=0"), out="6 right")
    k.hub.rules.clear()
    k.ok(repair(k), out="6 right")
    assert path.stat().st_ino == was.st_ino
    k.hub.forget()
    k.ok(repair(k), out="6 right")
    assert not k.hub.asked()
    k.same(repo)


def test_the_name_comes_back(k):
    """When the network fails during a repair; what was fetched is not fetched again."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    for i in (1, 2, 3):
        flip(path, i * BLOCK + 700001)
    path.chmod(0o640)
    k.hub.rules.add(origin="cdn", count=1)
    k.hub.rules.add(origin="cdn", count=None, hang_up=True)
    k.ok(repair(k, "-j1", "--retries=0"), 5, out="w/big.bin: not repaired", err="1 changed, 0 missing")
    assert path.stat().st_size == BIG and path.stat().st_mode & 0o777 == 0o640
    assert [p.suffix for p in notes(k).glob("*") if p.suffix in (".part", ".state")] == []
    k.hub.rules.clear()
    k.hub.forget()
    k.ok(repair(k, "-j1"), out="1 repaired")
    assert 0 < k.from_cdn() <= 2 * BLOCK
    k.same(repo)
    assert path.stat().st_mode & 0o777 == 0o640


@hub_with(tls=False)
def test_read_only(k):
    """By its owner's mode, also where that is not root."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    path.chmod(0o444)
    flip(path, 1)
    as_user = ()
    if os.getuid() == 0:
        for at, folders, names in os.walk(str(k.top)):
            for name in [at, *(os.path.join(at, n) for n in names)]:
                os.chown(name, 12345, 12345)
        as_user = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")
    k.ok(repair(k, wrap=as_user), out="1 repaired")
    assert 0 < k.from_cdn() <= BLOCK and path.stat().st_mode & 0o777 == 0o444
    k.same(repo)


def test_the_mode_stays(k):
    """Also of a file that is fetched as a whole; but not the right of others to write."""
    repo = downloaded(k)
    modes = {"a.txt": (0o755, 0o755), "w/small.bin": (0o600, 0o600), "w/big.bin": (0o640, 0o640),
             "ünï.txt": (0o666, 0o644)}
    next(notes(k).glob("*.blocks")).unlink()
    for name, (mode, _) in modes.items():
        flip(k.dir / name, 0)
        (k.dir / name).chmod(mode)
    k.ok(repair(k), out="4 repaired")
    k.same(repo)
    for name, (_, mode) in modes.items():
        assert (k.dir / name).stat().st_mode & 0o777 == mode, name


def test_the_group_may_write(k):
    """As umask 002 says of each file."""
    old = os.umask(0o002)
    try:
        repo = downloaded(k)
        flip(k.dir / "w/big.bin", 1)
        k.ok(repair(k), out="1 repaired")
    finally:
        os.umask(old)
    assert 0 < k.from_cdn() <= BLOCK
    assert (k.dir / "w/big.bin").stat().st_mode & 0o777 == 0o664
    k.same(repo)


def test_two_repairs_at_once(k):
    """The second one waits for nothing and fetches nothing."""
    repo = downloaded(k)
    flip(k.dir / "w/big.bin", 700001)
    flip(k.dir / "a.txt", 0)
    k.hub.rules.add(origin="cdn", count=None, stall_after=70001, stall=60)
    first = k.start("verify", "-p", k.dir, "--repair", "--include", "*.bin")
    k.wait_for(lambda: k.from_cdn() >= 70001, what="bytes")
    k.ok(repair(k), 7, out=("w/big.bin: not repaired: another process", "1 repaired", "; 2 B received"))
    k.hub.rules.clear()
    first.send_signal(signal.SIGTERM)
    k.finish(first)
    k.ok(repair(k), out="1 repaired")
    k.same(repo)


def test_what_patterns_leave_out(k):
    """Its part and its checksums stay, also beside a right file with the same content."""
    repo = k.hub.add_repo("acme-lab/two", {"a.bin": Generated(1, BIG), "b.bin": Generated(1, BIG)})
    k.ok(k.download(repo))
    (k.dir / "b.bin").unlink()
    k.hub.forget()
    k.hub.rules.add(origin="cdn", count=1, stall_after=3 * BLOCK + 70000, stall=60)
    first = k.start("verify", "-p", k.dir, "--repair", "-j1")
    k.wait_for(lambda: blocks_here(k) == 3, what="three blocks")
    first.kill()
    k.finish(first)
    k.hub.rules.clear()
    k.ok(repair(k, "--include", "a.bin"), out="1 right")
    assert len(list(notes(k).glob("*.part"))) == len(list(notes(k).glob("*.blocks"))) == 1
    k.hub.forget()
    k.ok(repair(k, "-j1"), out="1 repaired")
    assert k.from_cdn() <= BIG - 3 * BLOCK
    k.same(repo)


def test_killed_while_a_copy_is_repaired(k):
    """The name is still there, and what was fetched is not thrown away."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    for i in range(5):
        flip(path, i * BLOCK + 1)
    os.link(str(path), str(k.top / "other"))
    k.hub.rules.add(origin="cdn", count=3)
    k.hub.rules.add(origin="cdn", count=None, stall_after=70000, stall=60)
    process = k.start("verify", "-p", k.dir, "--repair", "-j1")
    k.wait_for(lambda: k.from_cdn() >= 3 * BLOCK + 70000, what="three blocks")
    process.kill()
    k.finish(process)
    k.hub.rules.clear()
    k.hub.forget()
    k.ok(repair(k, "-j1"), out="1 repaired")
    assert k.from_cdn() <= 2 * BLOCK
    k.same(repo)


def test_killed_at_any_moment(k):
    """It goes on where it was, and what was fetched is not fetched again."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    for stop in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with open(str(path), "r+b") as f:
            f.seek(BLOCK)
            f.write(bytes(4 * BLOCK))
        k.hub.forget()
        k.hub.rules.add(origin="cdn", count=None, stall_after=2 * BLOCK + 70000, stall=60)
        process = k.start("verify", "-p", k.dir, "--repair", "-j1", "--limit-rate", "50M")
        k.wait_for(lambda: k.from_cdn() >= BLOCK + 70000, what="bytes")
        process.send_signal(stop)
        k.finish(process)
        k.hub.rules.clear()
        before = k.from_cdn()
        k.ok(repair(k), out="1 repaired")
        k.same(repo)
        assert before + k.from_cdn() <= 2 * 5 * BLOCK
    assert [p.name for p in notes(k).glob("*") if p.suffix in (".part", ".state", ".tmp")] == []


def test_without_a_network(k):
    """What is right is told; what is broken keeps its name, and can be repaired later."""
    repo = downloaded(k)
    k.ok(repair(k, "--endpoint", "http://127.0.0.1:1", "--retries=0"), out="6 right")
    flip(k.dir / "w/big.bin", 1)
    flip(k.dir / "a.txt", 0)
    k.ok(repair(k, "--endpoint", "http://127.0.0.1:1", "--retries=0"), 5, err="not repaired")
    assert (k.dir / "w/big.bin").stat().st_size == BIG and (k.dir / "a.txt").exists()
    k.ok(verify(k), 6, err="2 changed")
    k.ok(repair(k), out="4 right, 2 repaired")
    k.same(repo)


def test_others_can_write_to_it(k):
    """Then its bytes are not taken up: they could change after the hash."""
    repo = downloaded(k)
    path = k.dir / "w/big.bin"
    path.chmod(0o666)
    k.ok(repair(k), out="6 right")
    flip(path, 1)
    k.ok(repair(k), err="others can write to it, so all of it is fetched", out="1 repaired")
    k.same(repo)


def test_checksums_of_old_versions(k):
    """They stay while a file has that content, and then until the next repair."""
    repo = k.hub.add_repo("acme-lab/two", {"a.bin": Generated(1, BIG), "b.bin": Generated(1, BIG)})
    k.ok(k.download(repo))
    old = repo.head().files["a.bin"].sha256
    repo.commit({"a.bin": Generated(3, BIG)})
    k.ok(k.download(repo))
    flip(k.dir / "b.bin", 1)
    k.hub.forget()
    k.ok(repair(k), out="1 repaired")
    assert 0 < k.from_cdn() <= BLOCK
    repo.commit({"b.bin": Generated(3, BIG)})
    k.ok(k.download(repo))
    meta = notes(k) / "b.bin.metadata"
    good = meta.read_text()
    for words, text, left in ((["--include", "a.bin"], good, 2), ([], "damaged", 2), ([], good, 1)):
        meta.write_text(text)
        k.ok(repair(k, *words))
        assert len(list(notes(k).glob("*.blocks"))) == left
    assert not list(notes(k).glob(old + "*"))
    k.same(repo)


def test_one_file_keeps_no_checksums(k):
    repo = sample(k)
    k.ok(k.run("download", "-r", repo.id, "-p", k.top / "one.bin", "-f", "w/big.bin"))
    assert not list(k.top.rglob("*.blocks"))


def test_narrow_and_wide(k):
    downloaded(k)
    flip(k.dir / "w/big.bin", 1)
    for columns in (40, 100):
        r = k.terminal("verify", "-p", k.dir, size=(24, columns))
        assert r.status == 6 and "5 right, 1 changed\r\n" in r.out and "changed       5.94 MB  w/big.bin" in r.out


def test_terminated(k):
    downloaded(k)
    process = k.start("verify", "-p", k.dir)
    process.send_signal(signal.SIGTERM)
    r = k.finish(process)
    assert r.status in (0, 143), r
    assert tree(k.dir)


# verify --cache

def cached(k, id="acme-lab/check", **how):
    repo = k.hub.add_repo(id, {"a.txt": "a\n", "w/big.bin": Generated(1, BIG), "w/twin.bin": Generated(1, BIG),
                               "ünï.txt": "u"}, **how)
    k.ok(k.run("download", "-r", id, "--cache", *(("-t", how["type"]) if how else ())))
    k.hub.forget()
    top = k.home / ".cache/huggingface/hub" / ("%ss--%s" % (repo.type, id.replace("/", "--")))
    return repo, top, top / "snapshots" / repo.head().oid


def test_cache(k):
    """Each content once, by the first of its names."""
    repo, top, snapshot = cached(k)
    other, _, _ = cached(k, "acme-lab/data", type="dataset")
    assert k.ok(k.run("verify", "--cache")).out == "8 right\n" and not k.hub.asked()
    for words in (["--cache", "-r", repo.id], ["--cache", repo.id], ["--cache-dir", top.parent, "-r", repo.id]):
        assert k.ok(k.run("verify", *words)).out == "4 right\n", words
    assert k.ok(k.run("verify", "--cache", "-r", other.id, "-t", "dataset", "--include", "w/*")).out == "1 right\n"
    flip((snapshot / "w/big.bin").resolve(), 1000000)
    (snapshot / "a.txt").resolve().unlink()
    at = "%s/snapshots/%s/" % (top.name, repo.head().oid)
    r = k.ok(k.run("verify", "--cache"), 6, err=("2 of 8 files in", "try: hub download -r REPO --cache --force"))
    assert r.out.splitlines() == [
        "missing                %sa.txt" % at,
        "changed       5.94 MB  %sw/big.bin: its hash is not the recorded one" % at,
        "6 right, 1 changed, 1 missing"], r.out
    made = json.loads(k.ok(k.run("verify", "--cache", "-r", repo.id, "--json"), 6).out)
    assert (made["right"], made["changed"], made["missing"]) == (2, 1, 1)
    k.ok(k.run("download", "-r", repo.id, "--cache", "--force"))
    assert k.ok(k.run("verify", "--cache")).out == "8 right\n"


def test_cache_without_links(k):
    """The listing has the hashes of the contents in the snapshot."""
    repo, top, snapshot = cached(k)
    for path in list(snapshot.rglob("*")):
        if path.is_symlink():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    shutil.rmtree(str(top / "blobs"))
    assert k.ok(k.run("verify", "--cache")).out == "5 right\n"
    flip(snapshot / "w/twin.bin", 1)
    (snapshot / "new").write_text("n")
    k.ok(k.run("verify", "--cache"), 6, out="4 right, 1 changed, 1 extra")
    sums = k.ok(k.run("verify", "--cache", "--sha256sums", "-r", repo.id), 6)
    done = subprocess.run(["sha256sum", "-c", "--strict", "--quiet"], cwd=str(top.parent), input=sums.raw,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0 and len(sums.out.splitlines()) == 4, done
    (top / "trees" / (repo.head().oid + ".json")).write_text("{")
    k.ok(k.run("verify", "--cache"), out="extra")


def test_hostile_cache(k):
    """Links that lead out, blobs that are none, names that are none."""
    repo, top, snapshot = cached(k)
    (k.top / "secret").write_text("s")
    blob = (snapshot / "a.txt").resolve()
    blob.unlink()
    blob.symlink_to(k.top / "secret")
    (snapshot / "out").symlink_to(k.top / "secret")
    (snapshot / "folder").symlink_to("/etc")
    os.mkfifo(str(snapshot / "pipe"))
    os.mkfifo(str(top / "blobs" / ("a" * 40)))
    (top / "blobs" / "x.incomplete").write_text("x")
    (top / "snapshots" / ("b" * 200)).mkdir()
    r = k.ok(k.run("verify", "--cache"), 6, out="it is a link to something else")
    assert "secret" not in r.out


def test_no_cache(k):
    k.ok(k.run("verify", "--cache"), 7)
    _, top, _ = cached(k)
    k.ok(k.run("verify", "--cache", "-r", "acme-lab/none"), 3, err="there is nothing of 'acme-lab/none'")
    k.ok(k.run("verify", "--cache", "--repair"), 2, err="cannot be used together")
    k.ok(k.run("verify", "--cache", "-p", k.dir), 2, err="cannot be used together")
    k.ok(k.run("verify", "--cache", "-r", "a/b/c/../d"), 2)
    for columns in (40, 100):
        r = k.ok(k.terminal("verify", "--cache", size=(24, columns)))
        assert "4 right\r\n" in r.out
