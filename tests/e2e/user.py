"""End-to-end tests of what somebody new to it stumbles over: what is said, and how often. Each
test_* takes a Kit (kit.py)."""

import errno
import os
import re
import signal
import stat
import threading
import time

from pathlib import Path

from fakehub import Generated
from kit import MB, Skip, limit, tmpfs
from oddfs import OddFs


def tiny(k):
    return k.hub.add_repo("acme-lab/tiny", {"a.txt": "a\n", "d/b.bin": b"b" * 100000, "c.txt": "c"})


def test_dry_run_without_room(k):
    """It lists what it would fetch, and then says that there is no room."""
    words = tmpfs(1 * MB)
    repo = k.hub.add_repo("acme-lab/big", {"big.bin": Generated(1, 5 * MB), "small.txt": "x"})
    small = k.top / "small"
    small.mkdir()
    r = k.ok(k.run("download", "-r", repo.id, "-p", small, "--dry-run", wrap=words,
                   env={"HUB_SMALL": small}), 7, err=("the download needs", "are free"))
    assert re.search(r"^fetch +5.24 MB  big.bin$", r.out, re.M), r.out
    assert "3 of 3 files, 5.24 MB to fetch" in r.out
    assert "LEFT" not in r.err and not k.content_requests()


def test_gated_is_told_once(k):
    """The files of a gated repository fail for one reason, which is not said for each."""
    repo = tiny(k)
    repo.gated = "manual"
    r = k.ok(k.download(repo), 4, err=("is gated", "for the same reason"))
    assert r.err.count("is restricted") == 2, r.err  # of the first file, and at the end


def test_reasons_that_differ_are_told(k):
    repo = tiny(k)
    for name in ("a.txt", "c.txt"):
        k.hub.rules.add(path="/" + name, status=404, count=None, headers={"X-Error-Code": "EntryNotFound"})
    r = k.ok(k.download(repo), 9)
    assert r.err.count("failed: ") == 2 and "same reason" not in r.err, r.err


def test_name_that_is_not_there_suggests_one(k):
    repo = k.hub.add_repo("acme-lab/names", {"test/c.parquet": "c", "config.json": "{}", "d/e.bin": "e"})
    for words, hint in ((["-f", "-p", k.top / "c.parquet"], "-f test/c.parquet"),
                        (["-p", k.dir, "C.parquet"], "test/c.parquet"),
                        (["-p", k.dir, "config.jsn", "d/e.bin"], "config.json"),
                        (["-o", "-", "confg.json"], "-o - config.json"),
                        (["-p", k.dir, "d/*.bin"], "--include 'd/*.bin'")):
        r = k.ok(k.run("download", "-r", repo.id, *words), 3, err="there is no file '")
        assert r.err.endswith("\ntry: %s\n" % hint), r.err
    r = k.ok(k.run("download", "-r", repo.id, "-p", k.dir, "nothing.like.it"), 3)
    assert "try:" not in r.err, r.err


def test_upload_takes_options_of_a_download(k):
    k.hub.add_repo("acme-lab/up", {"a": "1"})
    env = {"HF_TOKEN": k.tokens["write"]}
    (k.top / "one.bin").write_text("1")
    k.ok(k.run("upload", "-r", "acme-lab/up", "-p", k.top / "one.bin", "-fd", env=env),
         err=("-d is not needed", "-f is not needed"))
    r = k.ok(k.run("upload", "acme-lab/up", k.top / "*.bin", env=env), 2, err="with --include '")
    assert r.err.count("try: ") == 1, r.err


def test_network_failure_says_what_to_do(k):
    repo = tiny(k)
    (k.top / "one.bin").write_text("1")
    for endpoint in ("http://127.0.0.1:1", "http://no-such-host.invalid"):
        for words in (["download", "-r", repo.id, "-p", k.dir],
                      ["download", "-r", repo.id, "-o", "-", "a.txt"],
                      ["upload", "-r", repo.id, "-p", k.top / "one.bin"]):
            r = k.ok(k.run(*words, "--retries=0", env={"HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_x"}), 5)
            assert "\ntry: " in r.err, r.err
    for rule in ({"status": 503}, {"status": 429}):
        k.hub.rules.add(path="/resolve/", count=None, **rule)
        for words in (["-p", k.dir], ["-o", "-", "d/b.bin"]):
            r = k.ok(k.run("download", "-r", repo.id, *words, "--retries=0"), (5, 9))
            assert "\ntry: " in r.err, r.err
        k.hub.rules.clear()


def test_interrupted_says_how_many_files(k):
    repo = k.hub.add_repo("acme-lab/four", {"a": "1", "b": "2", "c": "3", "d.bin": Generated(1, 50 * MB)})
    process = k.start("download", "-r", repo.id, "-p", k.dir, "--limit-rate=2M")
    while not all((k.dir / name).exists() for name in "abc"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    k.ok(k.finish(process), 130, err=("stopped: 4 of 5 files; partial files are kept", "try: run again with -d"))


def test_empty_answer_says_what_is_expected(k):
    repo = tiny(k)
    r = k.terminal("download", answers=[("Hugging Face repository ID: ", "\r"),
                                        ("Please enter namespace/name, such as openai-community/gpt2.",
                                         repo.id + "\r"),
                                        ("Local path to download: ", "\r"),
                                        ("Please enter the path of a directory to download to.",
                                         str(k.dir) + "\r")])
    k.ok(r)
    k.same(repo)


def test_forgotten_f(k):
    repo = tiny(k)
    (k.top / "a.txt").write_text("old")
    k.ok(k.download(repo, "a.txt", to=k.top / "a.txt"), 7, err=("try: ", "-f"))
    assert (k.top / "a.txt").read_text() == "old"
    k.ok(k.download(repo, "c.txt", to=k.top / "c.txt"), err="creating '%s' as a folder; use -f" % (k.top / "c.txt"))
    assert (k.top / "c.txt/c.txt").read_text() == "c"
    # The second time it is one already, and a folder's own name is nothing special.
    for to, name in (("c.txt", "c.txt"), ("d", "d"), ("d", "d/")):
        r = k.ok(k.download(repo, name, to=k.top / to))
        assert "as a folder" not in r.err, r.err


def test_pipe_in_its_place(k):
    """What somebody made on purpose stays, with --force, too; the other files come."""
    repo = tiny(k)
    k.dir.mkdir()
    os.mkfifo(str(k.dir / "a.txt"))
    for more in ((), ("--force",)):
        k.ok(k.download(repo, *more), 9, err="the target is a pipe, a socket or a device")
        assert stat.S_ISFIFO((k.dir / "a.txt").stat().st_mode)
        assert (k.dir / "c.txt").read_text() == "c"


def test_address_without_scheme(k):
    repo = tiny(k)
    k.ok(k.run("download", "huggingface.co/acme-lab/tiny", "-p", k.dir))
    k.same(repo)
    k.ok(k.run("download", "hf.co/acme-lab/tiny/blob/main/d/b.bin", "-p", k.top / "b", "-f"))
    assert (k.top / "b").read_bytes() == b"b" * 100000


def test_wrong_family(k):
    """A retry would not help."""
    for flag, address in (("-6", "127.0.0.1"), ("-4", "[::1]")):
        r = k.ok(k.download("a/b", flag, env={"HF_ENDPOINT": "http://%s:9" % address}), 2,
                 err=("is an IPv", "is allowed"))
        assert "waiting" not in r.err


def test_closed_standard_input(k):
    k.ok(k.download("a/b", "--token-file", "-", wrap=("sh", "-c", '"$@" <&-', "sh")), 2,
         err="--token-file: cannot read standard input")


def test_one_file_is_singular(k):
    repo = tiny(k)
    k.ok(k.download(repo, "a.txt"), err=("downloading: 1 file, 2 B\n", "\ndownloaded: 1 of 1 file, 2 B in "))
    k.ok(k.download(repo, "a.txt"), err="1 of 1 file is in place, unchanged since it was verified")
    r = k.ok(k.download(repo), err="1 of 4 files is in place, unchanged since it was verified")
    assert "downloaded: 3 of 3 files, 101 kB in" in r.err, r.err


def test_content_at_a_terminal_stays(k):
    """The live display does not erase the content of -o - that stands on the same screen."""
    repo = tiny(k)
    r = k.ok(k.terminal("download", "-r", repo.id, "-o", "-", "a.txt"))
    assert r.err == "" and r.out == "a\r\n", r.out


def test_nothing_hashed_has_no_rate(k):
    """What the journal knows is not hashed again; "0 B in 0 s" would say nothing."""
    k.dir.mkdir()
    (k.dir / "m.bin").write_bytes(b"m" * 3000000)
    token = {"HF_TOKEN": k.tokens["write"]}
    k.ok(k.run("upload", "-r", "acme-lab/up", "-p", k.dir, env=token))
    r = k.ok(k.run("upload", "-r", "acme-lab/up", "-p", k.dir, env=token))
    assert "0 B in" not in r.err, r.err


def test_large_files_have_a_line(k):
    files = {"n%02d" % n: "%d" % n for n in range(40)}
    repo = k.hub.add_repo("acme-lab/mixed", {**files, "large.bin": Generated(1, 11 * MB)})
    k.ok(k.download(repo, "-j1"), err=("done: large.bin, 11.5 MB", "more files"))


def test_wait_is_told_in_words(k):
    repo = tiny(k)
    k.hub.rules.add(path="/revision/", status=429, headers={"Retry-After": "4000"})
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    said = b""
    while b"waiting" not in said:
        said += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    k.finish(process)
    assert re.search(rb"waiting 60 min, until \d\d:\d\d UTC: .*429 ", said), said


@limit(90)
def test_wait_is_said_once(k):
    """Not by each of the connections; while it lasts the display shows it."""
    repo = k.hub.add_repo("acme-lab/busy", {"f%d.bin" % n: Generated(n, 2 * MB) for n in range(6)})
    for run in (lambda: k.run("download", "-r", repo.id, "-p", k.dir, "-j", "4"),
                lambda: k.terminal("download", "-r", repo.id, "-p", k.dir, "-j", "4", "--force")):
        # All that are under way at that time, and none after the wait.
        k.hub.forget()
        k.hub.rules.add(path="/resolve/", status=429, count=None, delay=1, headers={"Retry-After": "7"})
        over = threading.Timer(3, k.hub.rules.clear)
        over.start()
        r = k.ok(run())
        over.join()
        assert len([e for e in k.hub.log if e["status"] == 429]) > 1, "one connection only"
        said = re.findall(r"hub: waiting \d+ s, until \d\d:\d\d UTC: ", r.err + r.out)
        assert len(said) == 1 and "asks to wait" not in r.err + r.out, said
    assert re.search(r"downloading  waiting \d s  ", r.out), "not in the display"


def test_files_of_ours_are_not_named(k):
    """What cannot be written is the user's folder."""
    repo = tiny(k)
    k.dir.mkdir()
    for refused, error, words in ((".cache", errno.EROFS, "Read-only file system"),
                                  (".part", errno.EACCES, "Permission denied"),
                                  (".cache", errno.EUCLEAN, "the file system is damaged"),
                                  (".part", errno.EBADMSG, "the file system is damaged")):
        try:
            with OddFs(k.dir, refuse=lambda name: error if name.endswith(refused) else 0):
                r = k.ok(k.download(repo, "-q", "a.txt"), 7, err="cannot create files in '%s': %s" % (k.dir, words))
                assert ".cache" not in r.err and "try: use another folder" in r.err, r.err
        except PermissionError as why:
            raise Skip(str(why)) from None


def test_stopped_while_it_starts(k):
    """A signal that ends the reading of a file is no bad file."""
    repo = tiny(k)
    os.mkfifo(str(k.top / "ca"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A writer all the time: without one there is an end to read, and no wait.
        writer = os.open(str(k.top / "ca"), os.O_RDWR)
        process = k.start("download", "-r", repo.id, "-p", k.dir, "--ca-file", k.top / "ca")
        k.wait_for(lambda: sleeps_with(process, k.top / "ca"), what="the reader")
        process.send_signal(number)
        k.ok(k.finish(process), 128 + number)
        os.close(writer)
        assert not k.hub.asked()


def sleeps_with(process, path):
    proc = Path("/proc/%d" % process.pid)
    try:
        return (any(os.path.realpath(str(fd)) == str(path) for fd in (proc / "fd").iterdir())
                and "\nState:\tS" in (proc / "status").read_text())
    except OSError:
        return False
