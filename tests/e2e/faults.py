"""Faults of the machine: system calls that fail, one after another (strace), full disks, closed
streams, signals at any moment. Each test_* takes a Kit (kit.py). HUB_LONG=1 injects at every call
instead of at some."""

import os
import re
import signal
import shutil
import subprocess
import zlib
from pathlib import Path

from fakehub import Generated
from kit import BINARY, MB, Skip, hub_with, is_checked, limit, sha256, tmpfs, tree

ID = "acme-lab/faulty"
FILES = {"a.txt": "hello\n", "empty": b"", "d/big.bin": Generated(1, 3 * MB), "c.bin": Generated(2, 40000)}
LONG = bool(os.environ.get("HUB_LONG"))
# Who waits between two tries waits half a second at the most. A reset that did not happen is waited
# out, while the server waits for the rest.
FEW = ("-j", "2", "--retries", "1", "--stall-timeout", "2")

DISK = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
ACCESS = ("EACCES", "EPERM", "EIO")
FULL = ("EMFILE", "ENFILE", "ENOMEM")
FILE_FAULTS = {
    "openat": ("ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "ENOENT"),
    "openat2": ("ENOSPC", "EIO", "EACCES", "EMFILE", "ENOMEM", "EINTR", "ENOSYS", "EPERM", "EAGAIN"),
    "open": ("EIO", "EACCES", "EMFILE", "ENOMEM", "ENOENT"),
    "mkdirat": ("ENOSPC", "EROFS", "EACCES", "EIO"),
    "mkdir": ("ENOSPC", "EROFS", "EACCES", "EIO"),
    "write": ("ENOSPC", "EIO", "EINTR", "EAGAIN"),
    "writev": ("EIO",),
    "pwrite64": DISK + ("EINTR", "EFBIG"),
    "pread64": ("EIO", "EINTR"),
    "read": ("EIO", "EINTR"),
    "fsync": DISK + ("EINVAL", "EINTR"),
    "fdatasync": DISK + ("EINVAL", "EINTR"),
    "renameat": ACCESS + ("ENOSPC", "EROFS", "EXDEV"),
    "renameat2": ACCESS + ("ENOSPC", "EROFS", "EXDEV", "EINVAL", "ENOSYS", "EEXIST"),
    "statx": ("ENOSYS", "EIO"),
    "faccessat": ("EIO", "EACCES"),
    "unlinkat": ACCESS + ("EBUSY", "EROFS"),
    "ftruncate": DISK + ("EINTR",),
    "fallocate": DISK + ("EOPNOTSUPP",),
    "fstat": ("EIO", "ENOMEM"),
    "newfstatat": ("EIO", "EACCES", "ENOMEM"),
    "stat": ("EIO", "EACCES"),
    "fstatfs": ("EIO", "ENOSYS"),
    "statfs": ("EIO", "ENOSYS"),
    "getdents64": ("EIO",),
    "readlink": ("EIO",),
    "access": ("EIO",),
    "close": ("EIO", "EINTR", "ENOSPC"),
    "flock": ("ENOLCK", "EINTR", "EAGAIN", "ENOSYS"),
    "fcntl": ("EINVAL", "EMFILE"),
    "utimensat": ("EACCES",),
}
NET_FAULTS = {
    "socket": FULL + ("EACCES", "EAFNOSUPPORT"),
    "setsockopt": ("ENOPROTOOPT",),
    "getsockopt": ("ENOBUFS",),
    "connect": ("ECONNREFUSED", "EACCES", "ENETUNREACH", "EINTR", "EADDRNOTAVAIL"),
    "sendto": ("ECONNRESET", "EPIPE", "EINTR", "ENOBUFS", "EAGAIN"),
    "recvfrom": ("ECONNRESET", "EINTR", "ETIMEDOUT", "ENOMEM", "EAGAIN"),
    "poll": ("EINTR", "ENOMEM"),
    "getrandom": ("EAGAIN", "EINTR", "ENOSYS"),
}
SYSTEM_FAULTS = {
    "clone": ("EAGAIN", "ENOMEM", "EPERM"),
    "sched_getaffinity": ("EPERM",),
    "prlimit64": ("EPERM",),
    "rt_sigaction": ("EINVAL",),
    "ioctl": ("EIO",),
    "mprotect": ("ENOMEM",),
    "brk": ("ENOMEM",),
    "mmap": ("ENOMEM",),
    "madvise": ("EINVAL",),
}
CONFINE_FAULTS = {
    "prctl": ("EINVAL", "EPERM"),
    "landlock_create_ruleset": ("ENOSYS", "EOPNOTSUPP", "ENOMEM", "EMFILE", "EPERM"),
    "landlock_add_rule": ("ENOMEM", "EINVAL", "EPERM"),
    "landlock_restrict_self": ("E2BIG", "EPERM", "ENOMEM"),
}
QUOTAS = {"api": 10 ** 6, "resolvers": 10 ** 6}
# What is over at once, or is looked at again: once is enough.
ONCE = ("EINTR", "EAGAIN")
# Without these a sanitizer ends the program by itself.
SANITIZERS_OWN = ("mmap", "brk", "mprotect", "madvise", "sched_getaffinity", "prlimit64", "rt_sigaction")


def traced(*words):
    return ("strace", "-f", "-qq", *words)


def need_strace():
    if not shutil.which("strace"):
        raise Skip("no strace")
    if subprocess.run(traced("-o", "/dev/null", "true"), stderr=subprocess.DEVNULL).returncode:
        raise Skip("strace may not trace here")


def environment(**more):
    # A leak cannot be looked for under strace; that is for the other tests. Who is told twice to
    # end leaves its threads behind.
    return {"ASAN_OPTIONS": "detect_leaks=0",
            "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + " report_thread_leaks=0", **more}


def counts(path, start="RLIMIT_CORE"):
    """name -> (calls up to start, most calls in one thread) of a trace."""
    calls, before, started = {}, {}, False
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(\d+) +(\w+)\(", line)
        if not found:
            continue
        calls.setdefault(found.group(2), {}).setdefault(found.group(1), 0)
        calls[found.group(2)][found.group(1)] += 1
        if not started:
            before[found.group(2)] = before.get(found.group(2), 0) + 1
            started = start in line
    return {name: (before.get(name, 0), max(each.values())) for name, each in calls.items()}


def pick(seed, first, last):
    """A number from first to last, the same each time."""
    return first + zlib.crc32(seed.encode()) % (last - first + 1)


def places(name, error, first, last):
    """At which calls it fails: "5" is the fifth, "5+" that and all that follow."""
    if LONG:
        for n in range(first, last + 1):
            yield "%d" % n
            if error not in ONCE and n in (first, (first + last) // 2, last):
                yield "%d+" % n
        return
    yield "%d" % pick(name + error, first, last)
    if error not in ONCE:
        yield "%d+" % pick(error + name, first, last)


def injections(faults, seen):
    for name, errors in faults.items():
        before, last = seen.get(name, (0, 0))
        if is_checked() and name in SANITIZERS_OWN:
            continue
        first = before + 1 if is_checked() else 1
        for error in errors if last >= first else ():
            for at in places(name, error, first, last):
                yield name, error, at


def sentence(result, name):
    """What is wrong with how it ended, after this call failed."""
    if result.status not in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
        return "status %d" % result.status
    lines = result.err.splitlines()
    # What a C library writes messages with.
    said_with = ("writev", "write") if is_checked() else ("writev",)
    if result.status and name not in said_with and not any(line.startswith("hub: ") for line in lines[-3:]):
        return "no sentence"
    return None


class Download:
    """One repository, fetched again and again."""

    command = "download"

    def __init__(self, k):
        self.k = k
        self.repo = k.hub.add_repo(ID, FILES)
        self.want = {p: e.content.sha256() for p, e in self.repo.find("main").files.items()}

    def prepare(self):
        shutil.rmtree(self.k.dir, ignore_errors=True)

    def run(self, *more, wrap=()):
        self.k.results.clear()
        return self.k.download(self.repo, *FEW, *more, wrap=wrap, env=environment(), timeout=30)

    def again(self):
        return self.run("-d")

    def faults(self, first):
        """What is wrong on the disk after the first run."""
        have = tree(self.k.dir)
        for path, at in have.items():
            if re.search(r"\.hub-\w+\.tmp$", path):
                yield "rubbish: " + path
            elif path not in self.want:
                yield "a file too many: " + path
            elif sha256(at) != self.want[path]:
                yield "wrong content: " + path
        if first.status == 0 and len(have) != len(self.want):
            yield "files are missing after status 0"

    def leftovers(self):
        """What is wrong after the second run."""
        if {p: sha256(at) for p, at in tree(self.k.dir).items()} != self.want:
            yield "the second run did not make it whole"
        own = self.k.dir / ".cache/huggingface/download"
        for path in own.rglob("*"):
            # The checksums of a file's blocks stay beside its metadata, for a repair.
            if path.suffix == ".blocks" and path.stem in self.want.values():
                continue
            if path.is_file() and path.suffix != ".metadata":
                yield "left behind: " + path.name


class Upload:
    command = "upload"

    def __init__(self, k):
        self.k = k
        self.number = 0
        k.dir.mkdir()
        for name, content in FILES.items():
            path = k.dir / name
            path.parent.mkdir(exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data if isinstance(data, bytes) else bytes(range(256)) * 4000)
        # Contents that were changed just now are hashed again.
        for path in tree(k.dir).values():
            os.utime(path, (10 ** 9, 10 ** 9))
        self.want = {p: sha256(at) for p, at in tree(k.dir).items()}

    def prepare(self):
        self.number += 1
        shutil.rmtree(self.k.dir / ".cache", ignore_errors=True)

    def run(self, *more, wrap=()):
        self.k.results.clear()
        return self.k.run("upload", "-r", "%s%d" % (ID, self.number), "-p", self.k.dir, *FEW, *more,
                          wrap=wrap, env=environment(HF_TOKEN=self.k.tokens["write"]), timeout=30)

    def again(self):
        return self.run()

    def there(self):
        repo = self.k.hub.find_repo("model", "%s%d" % (ID, self.number))
        files = repo.find("main").files if repo else {}
        return {p: e.content.sha256() for p, e in files.items() if p != ".gitattributes"}

    def faults(self, first):
        have = self.there()
        for path, digest in have.items():
            if self.want.get(path) != digest:
                yield "wrong content: " + path
        if first.status == 0 and have != self.want:
            yield "files are missing after status 0"

    def leftovers(self):
        if self.there() != self.want:
            yield "the second run did not make it whole"
        if {p: sha256(at) for p, at in tree(self.k.dir).items()} != self.want:
            yield "the source was changed"
        # An upload's state file that could not be removed goes after a week.
        names = {p.name for p in (self.k.dir / ".cache").rglob("*") if p.is_file() and p.suffix != ".parts"}
        if not names <= {"journal", ".gitignore"}:
            yield "left behind: %s" % names


def problems(way, inject, status=None):
    way.prepare()
    try:
        first = way.run(wrap=traced("-o", "/dev/null", "-e", "inject=%s:error=%s:when=%s" % inject))
    except AssertionError as why:
        return ["%s %s=%s at %s: %s" % (way.command, *inject, why)]
    end = sentence(first, inject[0])
    found = [end] if end else []
    if status is not None and first.status != status:
        found.append("status %d, not %d" % (first.status, status))
    found += way.faults(first)
    second = way.again()
    if second.status != 0:
        found.append("the second run ended with %d" % second.status)
    found += way.leftovers()
    return ["%s %s=%s at %s: %s\n%s" % (way.command, *inject, "; ".join(found),
                                        first.err + second.err)] if found else []


def inject_all(way, faults, status=None):
    need_strace()
    trace = way.k.top / "trace"
    way.prepare()
    way.k.ok(way.run(wrap=traced("-o", str(trace))))
    found, count = [], 0
    for inject in injections(faults, counts(trace)):
        found += problems(way, inject, status)
        count += 1
    assert count, "nothing was injected"
    assert not found, "%d of %d:\n%s" % (len(found), count, "\n".join(found))


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 240)
def test_download_with_failing_files(k):
    inject_all(Download(k), FILE_FAULTS)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_with_a_failing_network(k):
    inject_all(Download(k), NET_FAULTS)


def test_connect_that_cannot_wait(k):
    """It gives up; to ask again and again would last until the deadline, and burn the time."""
    need_strace()
    found = problems(Download(k), ("poll", "ENOMEM", "1+"))
    assert not found, found[0]


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_with_a_failing_system(k):
    inject_all(Download(k), SYSTEM_FAULTS)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_without_confinement(k):
    """Whatever it says, the kernel cannot keep a download from its end."""
    inject_all(Download(k), CONFINE_FAULTS, status=0)


# small files, which go to the disk some at a time

def many_small(k, count):
    return k.hub.add_repo(ID, {"f%03d" % n: "file %d\n" % n for n in range(count)})


def finished(trace, names="fdatasync|renameat2?"):
    """The calls of these names that are through, in their order, as (name, what follows)."""
    waiting = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, text = line.split(None, 1)
        if text.endswith("<unfinished ...>"):
            waiting[thread] = text
            continue
        text = waiting.pop(thread, "") + text
        found = re.match(r"(%s)\((.*)" % names, text)
        if found:
            yield found.groups()


@hub_with(quotas=QUOTAS)
def test_small_files_are_on_the_disk_before_they_have_names(k):
    """Some at a time: else each costs a sync of its own."""
    need_strace()
    repo, trace = many_small(k, 200), k.top / "trace"
    k.ok(k.download(repo, "-j", "1", env=environment(), wrap=traced(
        "-y", "-s", "200", "-e", "trace=fdatasync,renameat2", "-e", "signal=none", "-o", str(trace))))
    k.same(repo)
    synced, names, together, most = set(), 0, 0, 0
    for call, rest in finished(trace):
        if call == "fdatasync":
            synced.add(re.search(r"([^/]+\.part)", rest).group(1))
            together += 1
        elif ".part" in rest:
            assert re.search(r'"([^"]+\.part)"', rest).group(1) in synced, rest
            names, together, most = names + 1, 0, max(most, together)
    assert names == len(synced) == len(tree(k.dir)) > 200, (names, len(synced))
    assert most >= 16, "at most %d at a time" % most


@hub_with(quotas=QUOTAS)
def test_one_small_file_of_many_does_not_reach_the_disk(k):
    """It has no name then; all others have."""
    need_strace()
    repo = many_small(k, 100)
    r = k.download(repo, "-j", "2", env=environment(), wrap=traced(
        "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=20"))
    k.ok(r, 9, err="cannot write")
    failed = len(repo.find("main").files) - len(tree(k.dir))
    assert 1 <= failed <= 3, "%d failed" % failed  # in each thread its twentieth
    k.same(repo, only=lambda path: path in tree(k.dir))
    k.ok(k.download(repo))
    k.same(repo)
    assert not [p for p in (k.dir / ".cache").rglob("*.part")]


@hub_with(quotas=QUOTAS)
def test_killed_between_sync_and_name(k):
    """What has no name yet comes again, and what has one is right."""
    need_strace()
    repo = many_small(k, 100)
    r = k.download(repo, "-j", "1", env=environment(), wrap=traced(
        "-o", "/dev/null", "-e", "inject=renameat2:signal=SIGKILL:when=30"))
    assert r.status == 137, r.status
    named = tree(k.dir)
    assert 0 < len(named) < 100, len(named)
    k.same(repo, only=lambda path: path in named)
    k.hub.forget()
    k.ok(k.download(repo))
    k.same(repo)
    again = len(k.hub.asked("hub", "GET", "/resolve/"))
    assert again <= 101 - len(named), "%d asked for again" % again


@hub_with(quotas=QUOTAS)
def test_stopped_while_small_files_wait(k):
    """What is here and right gets its name before the program ends."""
    many_small(k, 40)
    k.hub.fault(path="/resolve/", method="GET", skip=10, count=None, delay=60)
    process = k.start("download", "-r", ID, "-p", k.dir, "-j", "1", env=environment())
    k.wait_for(lambda: len(k.hub.asked("hub", "GET", "/resolve/")) == 11, what="the eleventh")
    process.send_signal(signal.SIGTERM)
    k.ok(k.finish(process), 143)
    assert len(tree(k.dir)) == 10, len(tree(k.dir))


# copies of one content

def copies(k, count=3):
    """One content under several names, and a last file that is fetched before they are copied."""
    return k.hub.add_repo(ID, {**{"c%d.bin" % n: Generated(3, 3 * MB + 7) for n in range(count)},
                               "last.bin": Generated(4, 300001)})


def ours(k):
    """What stands in our own folder beside the layout."""
    at = k.dir / ".cache" / "huggingface"
    return sorted(p.name for p in at.rglob("*") if p.is_file() and p.suffix not in (".metadata", ".blocks")
                  and p.relative_to(at).parts[0] not in ("trees", "refs")
                  and p.name not in (".gitignore", "CACHEDIR.TAG"))


@hub_with(quotas=QUOTAS)
def test_killed_while_it_copies(k):
    """Nothing of it stays once a later run has succeeded."""
    need_strace()
    repo = copies(k)
    for n, at in enumerate((1, 2, 9, 24, 25, 26)):
        k.dir = k.top / ("target%d" % n)
        r = k.download(repo, "-j", "1", env=environment(), wrap=traced(
            "-P", str(k.dir / "c0.bin"), "-o", "/dev/null",
            "-e", "inject=pread64:signal=SIGKILL:when=%d" % at))
        assert r.status == 137, r.status
        k.same(repo, only=lambda path: path in tree(k.dir))
        k.ok(k.download(repo, *["-d"][:n % 2]))
        k.same(repo)
        assert not ours(k), ours(k)


@hub_with(quotas=QUOTAS)
def test_source_of_a_copy_is_changed(k):
    """A file that was right when it came is not believed to be when it is copied."""
    repo = copies(k, 2)
    last = k.hub.fault(origin="cdn", path="", skip=1, delay=2)
    process = k.start("download", "-r", ID, "-p", k.dir, "-j", "1", env=environment())
    k.wait_for(lambda: last.hits and (k.dir / "c0.bin").exists(), what="the last file")
    with open(str(k.dir / "c0.bin"), "r+b") as f:
        f.seek(1000001)
        f.write(b"?")
    k.ok(k.finish(process), 9, err="'c0.bin' changed while it was being copied")
    assert sorted(tree(k.dir)) == [".gitattributes", "c0.bin", "last.bin"]
    assert not ours(k), ours(k)
    k.ok(k.download(repo))
    k.same(repo)


@hub_with(quotas=QUOTAS)
def test_changed_while_it_is_hashed(k):
    """What was read of it before and after was right, and what it is now is not."""
    need_strace()
    repo, trace = k.hub.add_repo(ID, {"a.bin": Generated(9, 3 * MB + 1)}), k.top / "trace"
    k.ok(k.download(repo, env=environment()))
    (k.dir / ".cache/huggingface/download/a.bin.metadata").unlink()
    process = k.start("download", "-r", ID, "-p", k.dir, env=environment(), wrap=traced(
        "-y", "-e", "trace=pread64", "-e", "inject=pread64:signal=SIGSTOP:when=20", "-o", str(trace)))
    k.wait_for(lambda: trace.exists() and "stopped by SIGSTOP" in trace.read_text(), what="the 20th read")
    with open(str(k.dir / "a.bin"), "r+b") as f:
        f.write(b"??")
    os.kill(int(trace.read_text().split()[0]), signal.SIGCONT)
    k.ok(k.finish(process))
    k.same(repo)


@hub_with(quotas=QUOTAS)
def test_folders_are_on_the_disk_at_the_end(k):
    """A name is lasting once the folder that it is in is synced after it, and so is the folder's."""
    need_strace()
    repo, trace = k.hub.add_repo(ID, {"a/b/one": "1", "a/b/two": "2", "a/c/d/three": "3",
                                      "e/five": Generated(1, 2 * MB + 1)}), k.top / "trace"
    k.ok(k.download(repo, "-j", "2", "--exclude", ".*", env=environment(), wrap=traced(
        "-y", "-s", "300", "-e", "trace=fsync,renameat,renameat2", "-e", "signal=none", "-o", str(trace))))
    named, synced = {}, {}
    for n, (call, rest) in enumerate(finished(trace, "fsync|renameat2?")):
        if call != "fsync":
            named["/".join(re.search(r'.*<([^<>]*)>, "([^"]*)"', rest).groups())] = n
        else:
            synced[re.search(r"\d+<([^<>]*)>", rest).group(1)] = n
    for path in tree(k.dir):
        at = k.dir / path
        assert str(at) in named, path
        for folder in list(at.parents)[:path.count("/") + 1]:
            assert synced.get(str(folder), -1) > named[str(at)], "%s is not synced for %s" % (folder, path)


# what is left behind

HALF = "0123456789abcdef"

OTHERS = {  # Nobody's but their own: they stay.
    "%s.part" % (HALF * 4): "another file", "%s.state" % (HALF * 4): "its state",
    "BSxUR2h6SGqGvXfaUSpJOiMFuJE=.%s.incomplete" % (HALF * 4): "of the official client",
    "x.bin.lock": "",
}

LEFT = ["%s.%s.part" % (HALF * 4, HALF), "%s.%s.tmp" % (HALF * 4, HALF), ".hub-%s.tmp" % HALF,
        "%s.state" % ("9" * 64), "copy-" + HALF, "sub/.hub-%s.tmp" % HALF, "../.hub-%s.tmp" % HALF]


@hub_with(quotas=QUOTAS)
def test_nothing_is_left_behind(k):
    """Whatever dead runs have left goes, however young it is; what somebody can continue stays."""
    repo = k.hub.add_repo(ID, {"a.bin": Generated(1, 2 * MB + 1), "sub/b.bin": Generated(2, 5)})
    k.ok(k.download(repo))
    for again in ([], ["--force"], ["a.bin"]):
        at = k.dir / ".cache/huggingface/download"
        for name in LEFT:
            (at / name).write_text("left")
        for name, text in OTHERS.items():
            (at / name).write_text(text)
        k.ok(k.download(repo, *again))
        # The folder that this run had nothing to do with is no business of its own.
        stays = [".hub-%s.tmp" % HALF] if again == ["a.bin"] else []
        assert ours(k) == sorted([*OTHERS, *stays]), ours(k)
        assert all((at / name).read_text() == text for name, text in OTHERS.items())


@hub_with(quotas=QUOTAS)
def test_partial_of_a_file_that_is_in_place(k):
    """It came in another way meanwhile."""
    repo = k.hub.add_repo(ID, {"a.bin": Generated(1, 20 * MB + 1), "b.bin": Generated(2, 20 * MB + 1)})
    k.hub.fault(origin="cdn", rate=4 * MB, count=None)
    process = k.start("download", "-r", ID, "-p", k.dir)
    k.wait_for(lambda: len(list(k.dir.rglob("*.state"))) == 2, what="two partials")
    k.kill_after(process, 6 * MB)
    k.finish(process)
    assert len(ours(k)) >= 4, ours(k)
    (k.dir / "a.bin").write_bytes(repo.head().files["a.bin"].content.read())
    k.hub.rules.clear()
    k.ok(k.download(repo, "a.bin"), err="in place, verified now")
    digest = repo.head().files["b.bin"].content.sha256()
    assert ours(k) == [digest + ".part", digest + ".state"], ours(k)
    k.ok(k.download(repo, "-d"), err="continuing")
    k.same(repo)
    assert not ours(k), ours(k)


@hub_with(quotas=QUOTAS)
def test_small_files_that_were_killed_leave_nothing(k):
    need_strace()
    repo = many_small(k, 60)
    r = k.download(repo, "-j", "1", env=environment(), wrap=traced(
        "-o", "/dev/null", "-e", "inject=renameat2:signal=SIGKILL:when=20"))
    assert r.status == 137 and ours(k), r.status
    k.ok(k.download(repo))
    k.same(repo)
    assert not ours(k), ours(k)
    r = k.download(repo, "-f", "f001", to=k.top / "one", env=environment(), wrap=traced(
        "-o", "/dev/null", "-e", "inject=renameat2:signal=SIGKILL:when=1"))
    assert r.status == 137 and (k.top / ".hub-download").exists()
    k.ok(k.download(repo, "-f", "f001", to=k.top / "one"))
    assert not (k.top / ".hub-download").exists()


@hub_with(quotas=QUOTAS)
def test_partials_of_other_files_are_not_touched(k):
    """A run that resumes one would take a lock on it for somebody who is at it."""
    need_strace()
    repo, trace = k.hub.add_repo(ID, {"a.bin": Generated(1, 2 * MB + 1)}), k.top / "trace"
    at = k.dir / ".cache/huggingface/download"
    at.mkdir(parents=True)
    for name, text in OTHERS.items():
        (at / name).write_text(text)
    k.ok(k.download(repo, env=environment(), wrap=traced(
        "-y", "-s", "300", "-e", "trace=%file,flock,fcntl,unlinkat", "-e", "signal=none", "-o", str(trace))))
    lines = [line for line in trace.read_text(errors="replace").splitlines() if HALF in line]
    assert not [line for line in lines if "open" in line or "flock" in line or "unlink" in line], lines


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_upload_with_failing_calls(k):
    # Connecting is the same as for a download.
    net = {name: NET_FAULTS[name] for name in ("sendto", "recvfrom", "poll")}
    inject_all(Upload(k), {**FILE_FAULTS, **(NET_FAULTS if LONG else net), **SYSTEM_FAULTS})


# signals

def stopped(way, at, number, more):
    """A signal when a thread makes a call for the n-th time, or one at each from then on."""
    name = signal.Signals(number).name
    trace = way.k.top / "stopped"
    way.prepare()
    first = way.run(wrap=traced("-o", str(trace), "-e", "inject=%s:signal=%s:when=%s%s" % (
        at[0], name, at[1], "+" if more else "")))
    # Each thread has an n-th call of its own.
    twice = trace.read_text(errors="replace").count("--- %s {" % name) > 1
    found = []
    if first.status not in (0, 128 + number):
        found.append("status %d" % first.status)
    if first.status and not twice and "stopped" not in first.err and at[1] > way.early[at[0]]:
        found.append("no sentence")
    # Who is told twice has no time to tidy up.
    found += [f for f in way.faults(first) if not twice or "rubbish" not in f]
    if way.again().status != 0:
        found.append("the second run failed")
    found += [f for f in way.leftovers() if not twice or "left behind" not in f]
    return ["%s %s at %s %d%s: %s\n%s" % (way.command, name, *at, "+" if more else "",
                                         "; ".join(found), first.err)] if found else []


def stop_all(way, names, most):
    need_strace()
    trace = way.k.top / "trace"
    way.prepare()
    way.k.ok(way.run(wrap=traced("-o", str(trace))))
    # Before its handlers are there a signal ends it as it ends any program.
    seen = counts(trace, start="rt_sigaction(SIGTERM, {")
    way.early = {name: before for name, (before, _) in seen.items()}
    found, turn = [], 0
    for name in names:
        _, last = seen.get(name, (0, 0))
        step = 1 if LONG else max(1, last // most)
        for n in range(1, last + 1, step):
            turn += 1
            number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[turn % 3]
            found += stopped(way, (name, n), number, turn % 4 == 0)
    assert turn > 10, "too few signals"
    assert not found, "%d of %d:\n%s" % (len(found), turn, "\n".join(found))


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_stopped_at_any_call(k):
    stop_all(Download(k), ("openat", "mkdirat", "recvfrom", "pwrite64", "fdatasync", "renameat2",
                           "poll", "clone", "munmap", "connect"), 4)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_upload_stopped_at_any_call(k):
    stop_all(Upload(k), ("openat", "recvfrom", "pread64", "write", "sendto", "clone"), 4)


# disks

ROOM_AGAIN = r"""
mount -t tmpfs -o "$HUB_LIMIT" none "$HUB_SMALL" || exit 99
"$@"; echo "FIRST $?" >&2
cd "$HUB_SMALL" && find . -type f ! -path './*.cache/*' -exec sha256sum {} + | sed 's/^/HAD /' >&2
mount -o remount,size=64m,nr_inodes=1000 "$HUB_SMALL" || exit 99
"$@" -d; s=$?
find . -type f -exec sha256sum {} + | sed 's/^/HAS /' >&2
exit $s
"""


def listed(text, word):
    found = re.findall(r"^%s (\w+)  \./(?:to/)?(.*)$" % word, text, re.M)
    return {name: digest for digest, name in found}


def full_disk(way, mount):
    """On a file system of that size; then there is room."""
    small = way.k.top / "small"
    small.mkdir(exist_ok=True)
    way.k.results.clear()
    r = way.k.run("download", "-r", ID, "-p", small / "to", *FEW, timeout=30,
                  env=environment(HUB_SMALL=small, HUB_LIMIT=mount),
                  wrap=("unshare", "-r", "-m", "sh", "-c", ROOM_AGAIN, "sh"))
    first = int(re.search(r"^FIRST (\d+)$", r.err, re.M).group(1))
    found = []
    if first not in (0, 7, 9):
        found.append("status %d" % first)
    if first and not any(t in r.err for t in ("No space left", "disk is full", " are free", "(inodes)")):
        found.append("no sentence")
    for name, digest in listed(r.err, "HAD").items():
        if way.want.get(name) != digest:
            found.append("wrong: " + name)
    have = listed(r.err, "HAS")
    if r.status or {n: d for n, d in have.items() if not n.startswith(".cache/")} != way.want:
        found.append("the second run did not make it whole")
    found += ["left behind: " + n for n in have if re.search(r"\.(part|state|tmp)$", n)]
    return ["%s: %s\n%s" % (mount, "; ".join(found), r.err)] if found else []


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_disk_full_at_any_write(k):
    tmpfs(MB)
    way = Download(k)
    found = []
    # 3228 kB are there to fetch: with a little more it begins, and does not end.
    for kb in (4, 400, *range(3120, 3320, 4 if LONG else 25)):
        found += full_disk(way, "size=%dk" % kb)
    for files in range(2, 26, 1 if LONG else 4):
        found += full_disk(way, "nr_inodes=%d" % files)
    assert not found, "\n".join(found)


@hub_with(quotas=QUOTAS)
def test_limit_of_file_size(k):
    """SIGXFSZ would end it without a word."""
    way = Download(k)
    # ThreadSanitizer writes a file of its own at first.
    for kb in (1, 100, 2000) if is_checked() else (0, 1, 100, 2000):
        way.prepare()
        r = way.run(wrap=("bash", "-c", 'ulimit -f %d; exec "$@"' % kb, "bash"))
        assert r.status in (7, 9), "status %d at %d" % (r.status, kb)
        assert "hub: " in r.err
        assert not list(way.faults(r))
    out = k.top / "out"
    with open(str(out), "wb") as stdout:
        process = k.start("download", "-r", ID, "-o", "-", "d/big.bin", stdout=stdout,
                          wrap=("bash", "-c", 'ulimit -f 100; exec "$@"', "bash"))
        r = k.finish(process)
    k.ok(r, 7, err="file too large")
    assert out.stat().st_size == 100 << 10
    k.ok(way.again())
    assert not list(way.leftovers())


def as_nobody(k):
    """Words before a command that take root's rights away; the target is given away."""
    if os.geteuid() != 0:
        return ()
    k.top.chmod(0o755)
    Path(k.hub.folder).chmod(0o755)
    for folder in (k.top, k.home):
        os.chown(str(folder), 65534, 65534)
    words = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    if subprocess.run([*words, BINARY, "--version"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip("another user cannot run the binary here")
    return words


def half_way(k, spoil):
    """The target is spoiled while a file arrives; how that ended."""
    words = as_nobody(k)
    repo = k.hub.add_repo(ID, {"big.bin": Generated(7, 24 * MB), "a.txt": "a"})
    k.hub.fault(origin="cdn", rate=8 * MB, count=None)
    process = k.start("download", "-r", ID, "-p", k.dir, "-j", "2", "-d", env=environment(), wrap=words)
    k.wait_for(lambda: k.from_cdn() > 2 * MB, what="the middle")
    spoil()
    r = k.finish(process)
    k.hub.rules.clear()
    return repo, words, r


def test_target_is_removed(k):
    repo, words, r = half_way(k, lambda: shutil.rmtree(k.dir))
    k.ok(r, (7, 9), err="no such file")
    assert not k.dir.exists()
    k.ok(k.download(repo, "-d", wrap=words))
    k.same(repo)


def test_target_is_closed(k):
    repo, words, r = half_way(k, lambda: k.dir.chmod(0))
    k.ok(r, (7, 9), err="permission denied")
    k.dir.chmod(0o755)
    k.ok(k.download(repo, "-d", wrap=words))
    k.same(repo)


def test_target_becomes_read_only(k):
    def spoil():
        for at, _, _ in os.walk(str(k.dir)):
            os.chmod(at, 0o555)

    repo, words, r = half_way(k, spoil)
    k.ok(r, (7, 9), err="permission denied")
    for at, _, _ in os.walk(str(k.dir)):
        os.chmod(at, 0o755)
    k.ok(k.download(repo, "-d", wrap=words))
    k.same(repo)


# surroundings

def test_closed_streams(k):
    """Files and sockets must not take the place of a closed stream."""
    way = Download(k)
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"):
        way.prepare()
        r = way.run(wrap=("sh", "-c", 'exec "$@" ' + closed, "sh"))
        # The report was to go to standard output.
        k.ok(r, 7 if "1>" in closed else 0) if "2>" not in closed else None
        assert r.status == (7 if "1>" in closed else 0), "%s: status %d" % (closed, r.status)
        assert not list(way.leftovers()), closed
    for n, closed in enumerate(("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-")):
        up = k.top / "up"
        up.mkdir(exist_ok=True)
        (up / "a.txt").write_text("%d" % n)
        r = k.run("upload", "-r", "acme-lab/up", "-p", up, env={"HF_TOKEN": k.tokens["write"]},
                  wrap=("sh", "-c", 'exec "$@" ' + closed, "sh"))
        assert r.status == (7 if "1>" in closed else 0), "%s: status %d" % (closed, r.status)


def test_nobody_reads(k):
    """Who closes the pipe has seen enough: no word, and the status of SIGPIPE."""
    Download(k)
    for args in (("-o", "-", "d/big.bin"), ("-p", k.dir, "-q")):
        process = k.start("download", "-r", ID, *args, "-q")
        process.stdout.close()
        process.stdout = None
        r = k.finish(process)
        assert r.status == 141, "status %d" % r.status
        assert r.err == "", r.err
    assert sha256(k.dir / "d/big.bin"), "the report is lost, and the files are there"


def test_wall_clock_jumps(k):
    """Forth and back at each look (tests/e2e/escape.c); waits do not go by it."""
    odd = Path(BINARY).with_name("hub_escape")
    if not os.access(str(odd), os.X_OK):
        raise Skip("no %s: make test builds it" % odd)
    for jump in (60, 86400):
        env = {"HUB_TEST_CLOCK": jump, "HF_TOKEN": k.tokens["write"]}
        wrap = ("sh", "-c", 'shift; exec "$0" "$@"', str(odd))
        repo = k.hub.add_repo("acme-lab/jump%d" % jump, FILES)
        target = k.top / str(jump)
        k.hub.fault(origin="cdn", drop_after=MB)
        r = k.ok(k.download(repo, "-d", to=target, env=env, wrap=wrap))
        k.same(repo, folder=target)
        assert " h " not in r.err and r.seconds < 30, "a time that was none"
        for _ in range(2):
            k.ok(k.run("upload", "-r", "acme-lab/up%d" % jump, "-p", target, env=env, wrap=wrap))
        assert len(k.hub.asked("hub", "POST", "/up%d/commit/" % jump)) == 1


def test_no_tmp_no_home(k):
    """It needs neither, nor a terminal, nor a folder to work in."""
    tmpfs(MB)
    repo = k.hub.add_repo(ID, FILES)
    shutil.copy(k.hub.ca_file, str(k.top / "ca.pem"))
    binary = k.top / "hub"
    shutil.copy(BINARY, str(binary))
    words = ("unshare", "-r", "-m", "sh", "-c",
             'shift; mount --bind "$0" /mnt && mount -t tmpfs -o ro none /tmp &&'
             ' cd / && exec env -i /mnt/hub "$@"', str(k.top))
    endpoint = ("--endpoint", k.hub.endpoint, "--ca-file", "/mnt/ca.pem")
    k.ok(k.run("download", "-r", ID, "-p", "/mnt/target", *endpoint, wrap=words))
    k.same(repo)
    (k.top / "token").write_text(k.tokens["write"])
    k.ok(k.run("upload", "-r", "acme-lab/up", "-p", "/mnt/target", "--token-file", "/mnt/token",
               *endpoint, wrap=words))
    assert set(k.hub.find_repo("model", "acme-lab/up").find("main").files) >= set(FILES)
