"""Faults of the machine: system calls that fail, one after another (strace), full disks, closed
streams, signals at any moment. Each test_* takes a Kit (kit.py). HUB_LONG=1 injects at every call
instead of at some."""

import errno
import os
import re
import shutil
import subprocess
import zlib

from fakehub import Generated
from kit import BINARY, MB, Skip, hub_with, limit, sha256, tree

ID = "acme-lab/faulty"
FILES = {"a.txt": "hello\n", "empty": b"", "d/big.bin": Generated(1, 3 * MB), "c.bin": Generated(2, 40000)}
LONG = bool(os.environ.get("HUB_LONG"))
# Who waits between two tries waits half a second at the most. A reset that did not happen is waited
# out, while the server waits for the rest.
FEW = ("-j", "2", "--retries", "1", "--stall-timeout", "3")

with open(BINARY, "rb") as program:
    SANITIZED = b"__asan_init" in (text := program.read()) or b"__tsan_init" in text

DISK = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
ACCESS = ("EACCES", "EPERM", "EIO")
FULL = ("EMFILE", "ENFILE", "ENOMEM")
FILE_FAULTS = {
    "openat": ("ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "ENOENT"),
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
MEMORY = ("mmap", "brk", "mprotect", "madvise")


def traced(*words):
    if not shutil.which("strace"):
        raise Skip("no strace")
    return ("strace", "-f", "-qq", *words)


def environment(**more):
    # A leak cannot be looked for under strace; that is for the other tests.
    return {"ASAN_OPTIONS": "detect_leaks=0", **more}


def counts(path):
    """name -> (calls before the run proper, most calls in one thread) of a trace."""
    calls, before, started = {}, {}, False
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(\d+) +(\w+)\(", line)
        if not found:
            continue
        calls.setdefault(found.group(2), {}).setdefault(found.group(1), 0)
        calls[found.group(2)][found.group(1)] += 1
        if not started:
            before[found.group(2)] = before.get(found.group(2), 0) + 1
            started = "RLIMIT_CORE" in line
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
        if SANITIZED and name in MEMORY:
            continue
        first = before + 1 if SANITIZED else 1
        for error in errors if last >= first else ():
            for at in places(name, error, first, last):
                yield name, error, at


def sentence(result, name):
    """What is wrong with how it ended. (The C library writes messages with writev.)"""
    if result.status not in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
        return "status %d" % result.status
    lines = result.err.splitlines()
    if result.status and name != "writev" and not any(line.startswith("hub: ") for line in lines[-3:]):
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
        names = {p.name for p in (self.k.dir / ".cache").rglob("*") if p.is_file()}
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
    trace = way.k.top / "trace"
    way.prepare()
    way.k.ok(way.run(wrap=traced("-o", str(trace))))
    found, count = [], 0
    for inject in injections(faults, counts(trace)):
        found += problems(way, inject, status)
        count += 1
    assert count, "nothing was injected"
    print("%d injected" % count)
    assert not found, "%d of %d:\n%s" % (len(found), count, "\n".join(found))


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_with_failing_files(k):
    inject_all(Download(k), FILE_FAULTS)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_with_a_failing_network(k):
    inject_all(Download(k), NET_FAULTS)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_with_a_failing_system(k):
    inject_all(Download(k), SYSTEM_FAULTS)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_download_without_confinement(k):
    """Whatever it says, the kernel cannot keep a download from its end."""
    inject_all(Download(k), CONFINE_FAULTS, status=0)


@hub_with(quotas=QUOTAS)
@limit(3000 if LONG else 120)
def test_upload_with_failing_calls(k):
    inject_all(Upload(k), {**FILE_FAULTS, **NET_FAULTS, **SYSTEM_FAULTS})
