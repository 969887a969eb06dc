"""Least privilege, end to end: what a taken-over process cannot do (tests/e2e/escape.c), and what must
work nevertheless. Each test_* takes a Kit (kit.py)."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from fakehub import Generated
from kit import BINARY, MB, Skip, tmpfs

ID = "acme-lab/small"
FILES = {"README.md": "# hello\n", "empty": b"", "deep/er/weights.bin": Generated(3, 20 * MB)}
ESCAPE = str(Path(BINARY).with_name("hub_escape"))


def box(k):
    """A folder as escape_prepare() of tests/e2e/escape.h makes it."""
    top = k.top / "box"
    for folder in ("in", "out/folder"):
        (top / folder).mkdir(parents=True)
    for name in ("in/file", "in/second", "out/file", "out/second", "out/third", "out/fourth"):
        (top / name).write_text(name)
    return top


def snapshot(folder):
    return {str(p.relative_to(folder)): (p.stat().st_mode, p.read_text() if p.is_file() else None)
            for p in folder.rglob("*")}


def taken_over(k, top, *args, free=False, env=None):
    """Runs the broken build; (Landlock's version, {name: set of endings})."""
    if not os.access(ESCAPE, os.X_OK):
        raise Skip("no %s: make test builds it" % ESCAPE)
    env = {"HUB_TEST_BOX": top, "HF_TOKEN": k.tokens["write"], **({"HUB_TEST_FREE": "1"} if free else {}),
           **(env or {})}
    outside = snapshot(top / "out")
    wrap = ("sh", "-c", 'shift; exec "$0" "$@"', ESCAPE)
    r = k.run(*args, "-v", env=env, wrap=wrap)
    said = r.err
    tried = {}
    for version, end, name in re.findall(r"^escape: (\d+) (\w+) (.*)$", said, re.M):
        tried.setdefault((int(version), name), set()).add(end)
    landlock = re.search(r"sandbox: Landlock (\d+)", said)
    assert len(tried) > 25, "too little was tried"
    # Without Landlock what is moved is missed.
    if landlock and not free:
        k.ok(r)
        assert snapshot(top / "out") == outside, "changed outside"
    return int(landlock.group(1)) if landlock else 0, "seccomp" in said, tried


def all_refused(k, top, *args, but=(), env=None):
    landlock, seccomp, tried = taken_over(k, top, *args, env=env)
    for (version, name), ends in tried.items():
        if name in but:
            continue
        if version <= landlock if version else seccomp:
            assert ends == {"refused"}, "%s: %s" % (name, ends)
    if not landlock:
        raise Skip("no Landlock here: only system calls were tested" if seccomp
                   else "neither Landlock nor seccomp")


def test_taken_over_without_confinement(k):
    """All that is tried would work: else the tests below would show nothing."""
    k.hub.add_repo(ID, FILES)
    _, _, tried = taken_over(k, box(k), "download", "-r", ID, "-p", k.dir, free=True)
    for (_, name), ends in tried.items():
        assert "worked" in ends, "%s: %s" % (name, ends)


def test_taken_over_download(k):
    k.hub.add_repo(ID, FILES)
    top = box(k)
    all_refused(k, top, "download", "-r", ID, "-p", top / "in", "-j", "4")


def test_taken_over_download_to_a_folder_that_is_not_there(k):
    k.hub.add_repo(ID, FILES)
    top = box(k)
    for args in ((), ("README.md",), ("deep/",)):
        all_refused(k, top, "download", "-r", ID, "-p", top / "in/a/b", *args)
        ends = re.findall(r"^escape: \d+ (\w+) create beside$", k.results[-1].err, re.M)
        assert set(ends) == {"refused"}, "not confined from the first answer on: %s" % ends
        shutil.rmtree(top / "in/a")


def test_taken_over_download_of_one_file(k):
    k.hub.add_repo(ID, FILES)
    top = box(k)
    all_refused(k, top, "download", "-r", ID, "-p", top / "in/got", "-f", "README.md")


def test_taken_over_download_to_a_pipe(k):
    k.hub.add_repo(ID, FILES)
    all_refused(k, box(k), "download", "-r", ID, "-o", "-", "README.md")


def test_taken_over_download_to_the_cache(k):
    k.hub.add_repo(ID, FILES)
    top = box(k)
    all_refused(k, top, "download", ID, "--cache-dir", top / "in", but=("symlink",))  # that is in it


def test_taken_over_cache_without_symbolic_links(k):
    k.hub.add_repo(ID, FILES)
    top = box(k)
    all_refused(k, top, "download", ID, "--cache-dir", top / "in", env={"HF_HUB_DISABLE_SYMLINKS": "1"})
    all_refused(k, top, "download", ID, "--cache-dir", top / "in", "--force", "--dry-run")


def test_taken_over_dry_run_writes_nothing(k):
    k.hub.add_repo(ID, FILES)
    top = box(k)
    before = snapshot(top / "in")
    all_refused(k, top, "download", "-r", ID, "-p", top / "in", "--dry-run")
    assert snapshot(top / "in") == before


def test_taken_over_upload(k):
    top = box(k)
    all_refused(k, top, "upload", "-r", "acme-lab/up", "-p", top / "in")


def test_taken_over_upload_of_one_file(k):
    top = box(k)
    (top / "out/one").write_text("one")
    all_refused(k, top, "upload", "-r", "acme-lab/up", "-p", top / "in/file")


# what must work

def test_said_with_v_only(k):
    k.hub.add_repo(ID, FILES)
    assert "sandbox" not in k.ok(k.download(ID)).err
    assert k.ok(k.download(ID, "-v")).err.count("sandbox") == 1


def test_upload_through_links(k):
    """Links to files lead out of the source; links to folders are not followed."""
    blobs = k.top / "blobs"
    blobs.mkdir()
    k.dir.mkdir()
    (blobs / "1").write_bytes(b"one")
    (blobs / "2").write_bytes(bytes(range(256)) * 8000)
    (k.dir / "sub").mkdir()
    (k.dir / "a.txt").symlink_to(blobs / "1")
    (k.dir / "sub/b.bin").symlink_to("../../blobs/2")
    env = {"HF_TOKEN": k.tokens["write"]}
    k.ok(k.run("upload", "-r", ID, "-p", k.dir, env=env))
    assert set(k.hub.find_repo("model", ID).find("main").files) >= {"a.txt", "sub/b.bin"}
    (k.top / "link").symlink_to(blobs / "2")
    k.ok(k.run("upload", "-r", ID, "-p", k.top / "link", env=env))


def test_journal_in_a_state_folder_that_is_not_there(k):
    """The source cannot be written: the journal is elsewhere, and goes on there."""
    k.dir.mkdir()
    (k.dir / "a.bin").write_bytes(bytes(range(256)) * 9000)
    (k.dir / ".cache").write_text("in the way")
    time.sleep(0.2)  # hashes of young files are not remembered
    state = k.home / "x/y/state"
    env = {"HF_TOKEN": k.tokens["write"], "XDG_STATE_HOME": state}
    k.ok(k.run("upload", "-r", ID, "-p", k.dir, "--exclude", ".cache", env=env))
    journal, = state.glob("hub/upload-*")
    assert journal.stat().st_size > 100, "nothing was remembered"


def test_target_through_links_and_upwards(k):
    repo = k.hub.add_repo(ID, FILES)
    real = k.top / "real"
    real.mkdir()
    k.dir.symlink_to(real)
    k.ok(k.download(repo, to=k.dir / "new/x"))
    k.same(repo, folder=real / "new/x")
    k.ok(k.download(repo, to="a/../../rel"))
    k.same(repo, folder=k.top / "rel")
    k.ok(k.download(repo, to="./b/../c/"))
    k.same(repo, folder=k.work / "c")


def test_other_file_system(k):
    repo = k.hub.add_repo(ID, FILES)
    small = k.top / "small"
    small.mkdir()
    r = k.ok(k.download(repo, to=small / "a/b", wrap=tmpfs(64 * MB), env={"HUB_SMALL": small}))
    assert "LEFT %s/a/b/deep/er/weights.bin" % small in r.err


NAME_SERVER = r"""
import fcntl, os, socket, struct, subprocess, sys
with socket.socket() as s:  # loopback up
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.2", 53))
child = subprocess.Popen(sys.argv[1:])
asked = set()
server.settimeout(0.1)
while child.poll() is None:
    try:
        data, peer = server.recvfrom(512)
    except socket.timeout:
        continue
    asked.add(data[13:13 + data[12]].decode())
    server.sendto(data[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + data[12:], peer)
print("asked:", *sorted(asked), file=sys.stderr)
sys.exit(child.returncode)
"""


def test_names_are_looked_up(k):
    """The resolver reads its file and asks, where the file is a link into another folder."""
    run = k.top / "run"
    run.mkdir()
    k.dir.mkdir()  # else all that is beside it can be read
    (run / "resolv.conf").write_text("nameserver 127.0.0.2\n")
    etc = k.top / "etc"
    etc.mkdir()
    (etc / "resolv.conf").symlink_to(run / "resolv.conf")
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    words = ("unshare", "-r", "-m", "-n", "sh", "-c",
             'mount --bind "$0" /etc && exec python3 -c "$@"', str(etc), NAME_SERVER)
    if subprocess.run(
            [*words, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        raise Skip("no user namespaces")
    r = k.run("download", "-r", ID, "-p", k.dir, "--retries", "0", wrap=words,
              env={"HF_ENDPOINT": "https://hub-somewhere.test", "SSL_CERT_FILE": None})
    k.ok(r, 5, err="hub-somewhere.test")
    assert re.search(r"^asked:.* ?hub-somewhere", r.err, re.M), "no name server was asked"
