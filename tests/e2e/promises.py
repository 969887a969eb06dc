"""End-to-end tests of the first promise: whatever stands on the disk, and whatever comes late, a
file gets its name only with its content. Faults are at odd offsets."""

import os
import re
import shutil
import signal
import subprocess
import time

from fakehub import Generated
from faults import environment
from kit import MB, Skip, limit, tree

ID = "acme-lab/large"
NAME = "big.bin"
RATE = 6 * MB
HEAD = 128  # of a state file, state.h


def large(k, size, rate=None):
    repo = k.hub.add_repo(ID, {NAME: Generated(7, size)})
    if rate:
        k.hub.fault(origin="cdn", rate=rate, count=None)
    return repo


def download(k, repo, *args, **how):
    if "wrap" in how:
        how.setdefault("env", environment())
    return k.download(repo, "-d", *args, NAME, **how)


def ours(k, suffix, folder=None):
    return sorted(((folder or k.dir) / ".cache/huggingface/download").glob("*" + suffix))


def end(k, repo, *args, **how):
    r = k.ok(download(k, repo, *args, **how))
    k.same(repo, only=lambda path: path == NAME, folder=how.get("to"))
    left = ours(k, ".part", how.get("to")) + ours(k, ".state", how.get("to"))
    assert not left, "left: %s" % left
    return r


def stopped(k, repo, size, *args):
    """A run that was killed after it had got that much; then a Hub without faults. What the CDN
    sent until then."""
    k.hub.fault(origin="cdn", rate=RATE, count=None)
    process = k.start("download", "-r", repo.id, "-p", k.dir, "-d", "-q", *args, NAME)
    k.kill_after(process, size)
    k.finish(process)
    k.hub.rules.clear()
    return sent(k)


def sent(k):
    """Bytes that the CDN has sent, once it has noticed the end of each connection."""
    count = None
    while count != k.from_cdn():
        count = k.from_cdn()
        time.sleep(0.3)
    return count


def noted(k):
    """The blocks that the state names."""
    sums = ours(k, ".state")[0].read_bytes()[HEAD:]
    return [n for n in range(len(sums) // 4) if any(sums[4 * n:4 * n + 4])]


def flip(path, offset):
    with open(str(path), "r+b") as f:
        f.seek(offset)
        c = f.read(1)
        f.seek(offset)
        f.write(bytes([c[0] ^ 0x40]))


def strace(log, *words):
    wrap = ("strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log), *words)
    if not shutil.which("strace") or subprocess.run(
            [*wrap, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        raise Skip("no strace, or it may not trace here")
    return wrap


def written(log):
    """The ranges that were written to HASH.part, in order."""
    found = re.findall(r"pwrite64\(\d+<[^>]*\.part>, [^,]*, (\d+), (\d+)", log.read_text())
    return sorted((int(at), int(n)) for n, at in found)


# bytes that come late, and whole answers

@limit(60)
def test_late_bytes_are_dropped(k):
    """A connection stands still, another takes over its range; then wrong bytes come."""
    repo = large(k, 40 * MB)
    k.hub.fault(origin="cdn", min_from=1, stall_after=700001, stall=4.4, corrupt_at=9 * MB + 5)
    log = k.top / "trace"
    end(k, repo, "-j", "4", wrap=strace(log, "-e", "trace=pwrite64"))
    done = written(log)
    for (at, n), (after, _) in zip(done, done[1:]):
        assert at + n <= after, "bytes %d to %d were written twice" % (after, at + n)
    assert sum(n for _, n in done) == 40 * MB, "not all was written"
    assert "again" not in k.results[-1].err


def test_whole_answer_to_a_later_range(k):
    """What is here is dropped, not written over: with a wrong byte in it, all the same."""
    repo = large(k, 40 * MB)
    k.hub.fault(origin="cdn", min_from=1, skip=1, ignore_range=True, corrupt_at=1000000)
    log = k.top / "trace"
    end(k, repo, "-j", "4", wrap=strace(log, "-e", "trace=pwrite64"))
    done = written(log)
    for (at, n), (after, _) in zip(done, done[1:]):
        assert at + n <= after, "bytes %d to %d were written twice" % (after, at + n)


@limit(120)
def test_whole_answer_between_pick_and_visit(k):
    """Other connections are at other ranges, or about to be; threads are slowed."""
    for n in range(6):
        k.dir = k.top / ("t%d" % n)
        k.hub.forget()
        repo = k.hub.add_repo("acme-lab/r%d" % n, {NAME: Generated(n + 1, 36 * MB + n)})
        k.hub.fault(origin="cdn", min_from=1, skip=n % 3, ignore_range=True, count=n % 2 + 1)
        end(k, repo, "-j", "6",
            wrap=strace(k.top / "trace", "-e", "inject=futex:delay_exit=3000:when=1+3"))


def test_whole_answers_only(k):
    """A server without ranges that cuts: each try gets further, nothing is written twice."""
    size = 12 * MB + 7
    repo = large(k, size)
    for cut in (1, 700001, 1000000, 5000001):
        k.hub.fault(origin="cdn", ignore_range=True, drop_after=cut)
    k.hub.fault(origin="cdn", ignore_range=True, count=None)
    end(k, repo)
    assert k.from_cdn() < size + 8 * MB, "%d bytes" % k.from_cdn()


LOGIN = {"status": 200, "body": "Please log in", "no_length": True,
         "headers": {"Content-Type": "text/plain", "Content-Length": None}}


def test_login_page_instead_of_content(k):
    """In the run that resumes: neither what is here nor what comes is damaged by it."""
    size = 40 * MB
    repo = large(k, size)
    first = stopped(k, repo, 14 * MB, "-j", "4")
    k.hub.fault(origin="cdn", count=3, **LOGIN)
    r = end(k, repo, "-j", "4")
    assert "hash" not in r.err, "the text was taken for content"
    assert sent(k) - first < size - 6 * MB, "what was here came again"


def test_login_page_at_first(k):
    """It is taken back before anything follows it."""
    for size in (700001, 20 * MB):
        repo = k.hub.add_repo("acme-lab/r%d" % size, {NAME: Generated(3, size)})
        k.hub.fault(origin="cdn", **LOGIN)
        k.dir = k.top / str(size)
        r = end(k, repo)
        assert "hash" not in r.err, "the text was taken for content"


def test_right_bytes_that_are_in_doubt_come_again_wrong(k):
    """A whole answer without a length ends early: its bytes were right and are hashed. They come
    again, and one of them is wrong then: what decides is the hash of what is on the disk."""
    for size, cut, wrong in ((3 * MB, 2500001, 5), (20 * MB + 1, 9000001, 1000000)):
        repo = k.hub.add_repo("acme-lab/doubt%d" % size, {NAME: Generated(5, size)})
        k.hub.rules.clear()
        k.hub.fault(origin="cdn", ignore_range=True, headers={"Content-Length": None},
                    no_length=True, edit=lambda body, n=cut: body[:n])
        k.hub.fault(origin="cdn", corrupt_at=wrong)
        k.dir = k.top / str(size)
        end(k, repo, "-j", "1")


def test_login_page_between_two_runs(k):
    repo = large(k, 30 * MB)
    stopped(k, repo, 9 * MB, "-j", "3")
    k.hub.fault(origin="cdn", count=None, **LOGIN)
    r = download(k, repo, "--retries", "1")
    assert r.status == 5 and not tree(k.dir), r
    k.hub.rules.clear()
    end(k, repo)


# notes on the disk

def test_flipped_byte_between_two_runs(k):
    """Only the block that has it comes again."""
    size = 40 * MB
    for where, jobs in ((4096, "1"), (700001, "4"), (None, "4")):
        k.dir = k.top / ("flip%s%s" % (where, jobs))
        k.hub.forget()
        repo = k.hub.add_repo("acme-lab/f%s%s" % (where, jobs), {NAME: Generated(8, size)})
        before = sent(k)
        stopped(k, repo, before + 16 * MB, "-j", jobs)
        blocks = noted(k)
        at = blocks[-1] * MB + MB - 1 if where is None else where
        flip(ours(k, ".part")[0], at)
        before = sent(k)
        r = end(k, repo)
        assert "damaged" in r.err, "not said"
        came = sent(k) - before
        assert came == size - (len(blocks) - 1) * MB, "%d bytes came" % came


def test_flipped_note(k):
    size = 30 * MB
    repo = large(k, size)
    stopped(k, repo, 12 * MB, "-j", "2")
    state, = ours(k, ".state")
    blocks = noted(k)
    flip(state, HEAD + 4 * blocks[1] + 1)
    before = sent(k)
    end(k, repo)
    assert sent(k) - before == size - (len(blocks) - 1) * MB


def test_planted_state(k):
    """It claims everything, over zeros."""
    size = 20 * MB + 1
    repo = large(k, size)
    stopped(k, repo, 6 * MB, "-j", "1")
    state, = ours(k, ".state")
    part, = ours(k, ".part")
    head = state.read_bytes()[:HEAD]
    state.write_bytes(head + b"\x01\0\0\0" * 21)
    with open(str(part), "r+b") as f:
        f.truncate(0)
        f.truncate(size)
    before = sent(k)
    end(k, repo)
    assert sent(k) - before == size


def test_wrong_bytes_of_an_earlier_run(k):
    """Their note is right, since they came wrong: in the same run they come again, and what is
    new does not."""
    size = 40 * MB
    repo = large(k, size)
    k.hub.fault(origin="cdn", corrupt_at=1000000)
    first = stopped(k, repo, 10 * MB, "-j", "1")
    had = len(noted(k)) * MB
    r = end(k, repo)
    assert "earlier runs left" in r.err
    assert sent(k) - first == size, "%d came, %d were here" % (sent(k) - first, had)


def test_copied_while_it_ran(k):
    """A copy of partial and state continues, with what is right in it."""
    size = 60 * MB
    repo = large(k, size, rate=RATE)
    process = k.start("download", "-r", repo.id, "-p", k.dir, "-d", "-q", "-j", "4", NAME)
    k.wait_for(lambda: k.from_cdn() >= 12 * MB)
    copy = k.top / "copy"
    shutil.copytree(str(k.dir), str(copy))
    k.ok(k.finish(process))
    before = sent(k)
    end(k, repo, to=copy)
    assert sent(k) - before < size - 4 * MB, "the copy was not used"


# a sync that fails

def syncs(k, how):
    return strace(k.top / "trace", "-e", "trace=fdatasync",
                  "-e", "inject=fdatasync:error=%s" % how)


def test_sync_that_failed(k):
    """The kernel says so once, and shows the bytes all the same."""
    size = 20 * MB
    repo = large(k, size)
    for error in ("ENOSPC", "EIO"):
        k.dir = k.top / error
        r = k.ok(download(k, repo, wrap=syncs(k, error + ":when=1")), 7)
        assert not tree(k.dir) and "try:" in r.err
        assert not ours(k, ".state") or not noted(k), "what was not synced is noted"
        before = sent(k)
        end(k, repo)
        assert sent(k) - before == size, "bytes that never reached the disk were used"


@limit(60)
def test_sync_that_failed_after_a_good_one(k):
    """What the good one covered stays."""
    size = 40 * MB
    repo = large(k, size, rate=4 * MB)
    k.ok(download(k, repo, "-j", "1", wrap=syncs(k, "EIO:when=3")), 7)
    blocks = noted(k)
    assert 3 <= len(blocks) < 40, blocks
    k.hub.rules.clear()
    before = sent(k)
    end(k, repo)
    assert sent(k) - before == size - len(blocks) * MB


def test_old_blocks_are_synced_by_the_run_that_uses_them(k):
    """They may still wait in the page cache, and so may the news that they cannot be written."""
    size = 20 * MB
    repo = large(k, size)
    stopped(k, repo, 10 * MB, "-j", "1")
    k.ok(download(k, repo, wrap=syncs(k, "EIO:when=1")), 7)
    assert not ours(k, ".state") or not noted(k)
    before = sent(k)
    end(k, repo)
    assert sent(k) - before == size


# other users

def test_another_users_partial(k):
    """Neither filled nor published: it would still be theirs to change."""
    if os.geteuid():
        raise Skip("needs root, to be another user")
    size = 12 * MB
    repo = large(k, size)
    for kind in (".part", ".state"):
        k.dir = k.top / kind
        stopped(k, repo, sent(k) + 4 * MB, "-j", "1")
        path, = ours(k, kind)
        os.chown(str(path), 12345, 12345)
        os.link(str(path), str(k.top / ("link" + kind)))
        text, inode = path.read_bytes(), path.stat().st_ino
        with open(str(path), "r+b") as theirs:
            r = k.ok(download(k, repo), err="belongs to another user")
            theirs.write(b"x" * 4096)
        k.same(repo, only=lambda name: name == NAME)
        assert path.stat().st_ino == inode and path.read_bytes()[4096:] == text[4096:]
        assert ours(k, ".part") + ours(k, ".state") == [path], "what was ours is left"
        assert "belongs to another user" in r.err


def test_partial_that_others_may_write_to(k):
    size = 12 * MB
    repo = large(k, size)
    stopped(k, repo, 4 * MB, "-j", "1")
    path, = ours(k, ".part")
    assert path.stat().st_mode & 0o777 == 0o600, "mode while it arrives"
    path.chmod(0o666)
    inode = path.stat().st_ino
    k.ok(download(k, repo, wrap=("sh", "-c", 'umask 0; exec "$@"', "sh")), err="others can write to it")
    assert inode != (k.dir / NAME).stat().st_ino
    assert (k.dir / NAME).stat().st_mode & 0o777 == 0o666, "mode of what was published"


# stalls

@limit(90)
def test_stall_within_a_block(k):
    """Default options; the rescue takes the range over as it is."""
    size = 100 * MB
    for n, offset in enumerate((1, 700001, 1000000)):
        k.dir = k.top / ("s%d" % n)
        k.hub.forget()
        repo = k.hub.add_repo("acme-lab/s%d" % n, {NAME: Generated(n + 3, size)})
        asked, before = len(k.hub.asked("cdn")), sent(k)
        k.hub.fault(origin="cdn", stall_after=offset)
        end(k, repo)
        assert len(k.hub.asked("cdn")) - asked < 40, "too many requests"
        assert sent(k) - before < size + 24 * MB, "%d bytes" % (sent(k) - before)


@limit(25)
def test_nobody_waits_for_a_connection_that_was_rescued(k):
    """Its own time-out is 30 s and more away."""
    repo = large(k, 40 * MB)
    k.hub.fault(origin="cdn", min_from=1, stall_after=1000000)
    end(k, repo, "-j", "4", "--stall-timeout", "100")


@limit(40)
def test_rescue_after_the_rate_collapsed(k):
    """The first four connections stall, so fewer are allowed; others take over all the same."""
    repo = large(k, 100 * MB)
    k.hub.fault(origin="cdn", stall_after=700001, count=4)
    end(k, repo, "-j", "8", "--stall-timeout", "100")


@limit(60)
def test_server_that_answers_late(k):
    """Each request waits longer for its first byte than a rescue does at first."""
    repo = large(k, 40 * MB)
    k.hub.fault(origin="cdn", delay=5, count=None)
    end(k, repo, "-j", "8")
    assert len(k.hub.asked("cdn")) < 25, "too many requests"


@limit(40)
def test_stopped_and_continued(k):
    size = 60 * MB
    repo = large(k, size, rate=RATE)
    process = k.start("download", "-r", repo.id, "-p", k.dir, "-q", NAME)
    k.wait_for(lambda: k.from_cdn() >= 7 * MB)
    process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    process.send_signal(signal.SIGCONT)
    k.ok(k.finish(process))
    k.same(repo, only=lambda name: name == NAME)


def test_files_broken_at_the_server_do_not_stop_the_others(k):
    names = ["%d.bin" % n for n in range(7)]
    repo = k.hub.add_repo(ID, {name: Generated(n, 2 * MB + n) for n, name in enumerate(names)})
    for name in ("6.bin", "5.bin", "4.bin"):  # large ones come first
        etag = repo.find("main").files[name].content.sha256()
        k.hub.fault(origin="cdn", path=etag, status=404, count=None)
    k.ok(k.download(repo, "-j", "1", "--retries", "1"), 9)
    assert sorted(tree(k.dir)) == [".gitattributes", *names[:4]]


@limit(60)
def test_separate_copy_is_not_said_to_be_kept(k):
    repo = large(k, 40 * MB, rate=2 * MB)
    first = k.start("download", "-r", repo.id, "-p", k.dir, "-q", NAME)
    k.wait_for(lambda: k.from_cdn() >= 3 * MB)
    second = k.start("download", "-r", repo.id, "-p", k.dir, NAME)
    k.wait_for(lambda: len(ours(k, ".part")) == 2)
    time.sleep(0.5)
    second.send_signal(signal.SIGINT)
    r = k.finish(second)
    assert r.status == 130, r
    assert "except the separate copy of 'big.bin'" in r.err, r.err
    first.send_signal(signal.SIGINT)
    r = k.finish(first)
    assert "partial files are kept" in r.err and "except" not in r.err
