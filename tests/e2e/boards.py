"""Small and bare machines, end to end: nothing around the binary, no clock, little memory, flash.
Each test_* takes a Kit (kit.py)."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from fakehub import Generated, Regular, tlsca
from fakehub.names import Names
from fakehub.wire import http_date
from kit import BINARY, MB, Skip, hub_with, limit

ID = "acme-lab/small"
FILES = {"config.json": "{}\n", "sub/weights.bin": Generated(3, 3 * MB)}
DAY = 86400


def is_static():
    """Without a program interpreter, and so without a library or a sanitizer."""
    head = subprocess.run(["readelf", "-l", BINARY], stdout=subprocess.PIPE, check=True).stdout
    return b"INTERP" not in head


# Nothing around it: a root folder that holds the binary, its target, and the certificate that it
# is to trust; a user that nobody knows; no variable at all.

NOBODY = 65534


class Jail:
    def __init__(self, k):
        if os.getuid() != 0:
            raise Skip("only root can make an empty root folder")
        if not is_static():
            raise Skip("this build needs libraries, and so no empty root folder can hold it")
        self.k = k
        self.root = k.top / "jail"
        self.target = self.root / "target"
        self.target.mkdir(parents=True)
        shutil.copy(BINARY, str(self.root / "hub"))
        shutil.copy(k.hub.ca_file, str(self.root / "ca.pem"))
        for path, mode in ((self.root / "hub", 0o555), (self.root / "ca.pem", 0o444),
                           (self.target, 0o755), (self.root, 0o555)):
            os.chmod(str(path), mode)
        os.chown(str(self.target), NOBODY, NOBODY)
        self.held = {p.name for p in self.root.iterdir()}

    def enter(self):
        """In the child."""
        os.chroot(str(self.root))
        os.chdir("/")
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    def start(self, *args, endpoint=None, ca=("--ca-file", "/ca.pem"), token=None):
        """With pipes for all standard streams, and nothing else open."""
        nothing = dict.fromkeys(self.k.environment())
        args = args if not args or args[0].startswith("-") else (
            *args, *ca, "--endpoint", endpoint or self.k.hub.endpoint)
        process = self.k.start(*args, binary="/hub", preexec_fn=self.enter, stdin=subprocess.PIPE,
                               env={**nothing, "HF_TOKEN": token})
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, *args, **how):
        result = self.k.finish(self.start(*args, **how), args)
        assert {p.name for p in self.root.iterdir()} == self.held, "something was left beside it"
        return result

    def download(self, *args, **how):
        return self.run("download", "-r", ID, "-p", "/target", *args, **how)

    def same(self, repo):
        self.k.same(repo, folder=self.target)


def test_nothing_around_download(k):
    repo = k.hub.add_repo(ID, FILES)
    jail = Jail(k)
    assert k.ok(jail.download(), out="/target\n").err.count("done:") == 3
    jail.same(repo)
    # The second time all is in place.
    k.hub.forget()
    k.ok(jail.download("--json"), out='"outcome":"kept"')
    assert not k.content_requests()
    # One file, below a target that is all that can be written.
    k.ok(jail.run("download", "-r", ID, "-p", "/target/one.json", "-f", "config.json"))
    assert (jail.target / "one.json").read_text() == "{}\n"
    r = k.ok(jail.run("download", "-r", ID, "-p", "/elsewhere"), 7)
    assert "/elsewhere" in r.err


def test_nothing_around_resume(k):
    """No /proc tells whether the machine was started anew, and so only what was synced is believed:
    when it is asked to end, that is all."""
    repo = k.hub.add_repo(ID, {"big.bin": Generated(5, 24 * MB)})
    jail = Jail(k)
    k.hub.fault(origin="cdn", count=None, stall_after=10 * MB)
    process = jail.start("download", "-r", ID, "-p", "/target", "-j", "1")
    part = jail.target / ".cache/huggingface/download"
    k.wait_for(lambda: any(p.stat().st_blocks * 512 >= 10 * MB for p in part.glob("*.part")),
               what="10 MB on the disk")
    k.kill_after(process, 10 * MB, signal.SIGTERM)
    assert k.finish(process).status == 128 + signal.SIGTERM
    k.hub.forget()
    k.ok(jail.download("-d"), err="continuing: ")
    assert k.from_cdn() <= 16 * MB, "fetched %d bytes again" % k.from_cdn()
    jail.same(repo)


def test_nothing_around_upload(k):
    jail = Jail(k)
    source = jail.target / "model"
    source.mkdir()
    (source / "config.json").write_text("{}")
    (source / "weights.bin").write_bytes(os.urandom(3 * MB))
    for path in (source, *source.iterdir()):
        os.chown(str(path), NOBODY, NOBODY)
    up = ("upload", "-r", ID, "-p", "/target/model")
    k.ok(jail.run(*up, token=k.tokens["write"]), out="/commit/")
    k.same(k.hub.find_repo("model", ID), only=lambda p: p != ".gitattributes", folder=source)
    k.hub.forget()
    k.ok(jail.run(*up, "--json", token=k.tokens["write"]), out='"commits":0')
    # A source that cannot be written, and nowhere to remember anything.
    shutil.rmtree(str(source / ".cache"))
    os.chown(str(source), 0, 0)
    (source / "more.bin").write_bytes(os.urandom(MB))
    os.chmod(str(source / "more.bin"), 0o444)
    k.ok(jail.run(*up, "-v", token=k.tokens["write"]), err="progress cannot be saved for a later run")


def test_nothing_around_roots(k):
    """The roots of trust are in the binary: enough to refuse one that is unknown."""
    k.hub.add_repo(ID, FILES)
    jail = Jail(k)
    found = int(re.search(r"(\d+) built-in roots", k.ok(jail.run("--version")).out).group(1))
    assert found > 50
    k.ok(jail.download(ca=()), 1, ("Throw-away test CA", "is not trusted", "--ca-file"))
    assert not k.hub.asked()
    k.ok(jail.download(ca=("--ca-file", "/none.pem")), 2, "/none.pem")


def test_nothing_around_localhost(k):
    """No /etc/hosts is needed to know this machine."""
    repo = k.hub.add_repo(ID, FILES)
    jail = Jail(k)
    k.ok(jail.download(endpoint=k.hub.endpoint.replace("127.0.0.1", "localhost")))
    jail.same(repo)


@hub_with(host="::1")
def test_nothing_around_ipv6(k):
    repo = k.hub.add_repo(ID, FILES)
    jail = Jail(k)
    assert "[::1]" in k.hub.endpoint
    k.ok(jail.download())
    jail.same(repo)


def named(k, host):
    return k.hub.endpoint.replace("127.0.0.1", host)


@hub_with(cdn_host="cdn.hub.test")
def test_nothing_around_names(k):
    """Without /etc/resolv.conf this machine itself is asked."""
    repo = k.hub.add_repo(ID, FILES)
    jail = Jail(k)
    try:
        names = Names()
    except OSError as e:
        raise Skip("no name server can be run here: %s" % e) from e
    with names:
        k.ok(jail.download(endpoint=named(k, "hub.test")))
        jail.same(repo)
        assert {n for n, _ in names.asked} == {"hub.test", "cdn.hub.test"}
        k.ok(jail.download("--retries", "1", endpoint=named(k, "nowhere.test")), 5,
             "cannot find the address of 'nowhere.test': there is no such name")
    # Nor is there anybody to ask: that is said, and in time.
    r = k.ok(jail.download("--retries", "0", "--timeout", "3", endpoint=named(k, "nowhere.test")), 5,
             "'nowhere.test'")
    assert "no name server answers" in r.err, r.err


# No clock. This build is from 2040: to it, the clock of today's machine is wrong.

FUTURE = str(Path(BINARY).with_name("hub_future"))
BUILT = 2208988800
WRONG = "this machine's clock is wrong"


def future(k):
    if not os.access(FUTURE, os.X_OK):
        raise Skip("no %s: make test builds it" % FUTURE)
    return {"binary": FUTURE}


def to_build():
    """Days from today to the day of that build."""
    return (BUILT - time.time()) / DAY


def certify(k, origin, first, last):
    """That origin's certificate is valid from that day to that day, from today on."""
    pem = k.hub.authority.issue(label=origin, days=(first, last))
    server = next(o for o in k.hub.origins if o.name == origin)
    server.tls = tlsca.server_context(pem)


def says(k, days, origin="hub"):
    """All answers of that origin say that it is then."""
    when = http_date(time.time() + days * DAY)
    k.hub.fault(origin=origin, count=None, headers={"Date": when})


def test_clock_before_the_build(k):
    """Certificates are checked for the day of the build; and that is said once."""
    repo = k.hub.add_repo(ID, FILES)
    for origin in ("hub", "cdn"):
        certify(k, origin, -1, to_build() + 100)
    r = k.ok(k.download(repo, **future(k)), err="before hub was built (2040-01-01)")
    assert r.err.count(WRONG) == 1, "not said once"
    assert "it says %s" % time.strftime("%Y-%m-%d", time.gmtime()) in r.err
    k.same(repo)
    # To the build of today nothing is wrong.
    r = k.ok(k.download(repo, "--force"))
    assert "clock" not in r.err


def test_clock_before_the_build_and_an_old_certificate(k):
    repo = k.hub.add_repo(ID, FILES)
    certify(k, "hub", -1, to_build() - 100)
    k.ok(k.download(repo, **future(k)), 1,
         ("has expired on 2039-", "but it is 2040-01-01 or later", "set this machine's clock"))
    assert not k.dir.exists() or not list(k.dir.glob("*.json"))


def test_clock_before_the_build_and_a_newer_certificate(k):
    """Who issued it knew the day; and then the endpoint tells what time it is."""
    repo = k.hub.add_repo(ID, FILES)
    begin = to_build()
    certify(k, "hub", begin + 400, begin + 500)
    certify(k, "cdn", begin + 400, begin + 500)
    says(k, begin + 450)
    k.ok(k.download(repo, **future(k)), err=WRONG)
    k.same(repo)
    # The endpoint's word, not the certificate's first day.
    certify(k, "cdn", begin + 400, begin + 440)
    k.ok(k.download(repo, "--force", **future(k)), 9, ("has expired on 2041-", "or later"))
    # An issuer that is not trusted knows nothing.
    k.ok(k.download(repo, env={"SSL_CERT_FILE": None}, **future(k)), 1, "the certificate of")


def test_clock_behind_what_the_endpoint_says(k):
    """The machine's clock is behind, but not so far that it is known to be wrong."""
    repo = k.hub.add_repo(ID, FILES)
    certify(k, "hub", -1, 1000)
    certify(k, "cdn", -1, 20)
    says(k, 30)
    r = k.ok(k.download(repo), 9, ("has expired on", "or later"))
    assert WRONG not in r.err
    certify(k, "cdn", -1, 40)
    k.ok(k.download(repo))
    k.same(repo)


def test_clock_and_an_endpoint_that_is_wrong(k):
    """It cannot say more than its own certificate vouches for, nor turn the clock back."""
    repo = k.hub.add_repo(ID, FILES)
    for origin in ("hub", "cdn"):
        certify(k, origin, -1, 20)
    for days in (30, 2000, -10000):
        k.hub.forget()
        says(k, days)
        k.ok(k.download(repo, "--force"))
        k.same(repo)


def test_clock_and_signed_addresses(k):
    """By the endpoint's word an address has lapsed, and so the next piece asks for a new one."""
    repo = k.hub.add_repo(ID, {"a.bin": Generated(1, 24 * MB), "b.bin": Generated(2, 2 * MB)})
    certify(k, "hub", -1, 1000)
    certify(k, "cdn", -1, 1000)
    for later, asked in ((0, 1), (3580, 2)):
        k.hub.forget()
        key = repo.find("main").files["a.bin"].sha256
        k.hub.fault(origin="cdn", path=key, stall_after=4 * MB, stall=3, drop_after=5 * MB)
        k.hub.fault(path="/resolve/.*b.bin", delay=1, headers={"Date": http_date(time.time() + later)})
        # Over a session that was resumed, too.
        k.hub.fault(origin="hub", path="/tree/", close=True)
        k.ok(k.download(repo, "--force", "-j", "2"))
        k.same(repo)
        found = len(k.hub.asked("hub", path="a.bin"))
        assert found == asked, "asked %d times, not %d" % (found, asked)


# Little memory. The limit is of address space: more than the process can ever have in memory, with
# its code and the stacks of its threads, and asking for a byte more ends it. Two cores, since there
# is a thread for hashing for each (four at the most).

def within(size, cores=2):
    """Words before the command: it gets so many bytes."""
    if not is_static():
        raise Skip("this build needs libraries, which are larger than that")
    some = sorted(os.sched_getaffinity(0))[:cores]
    return ("taskset", "-c", ",".join(map(str, some)), "prlimit", "--as=%d" % size)


def connections(result):
    """The most that were used at once."""
    lines = (json.loads(x) for x in result.err.splitlines() if x.startswith("{"))
    return max(x.get("connections", 0) for x in lines)


def eight_files(k):
    # Slow enough that more connections are of use, and all of them stay for a while.
    repo = k.hub.add_repo(ID, {"part-%d.bin" % i: Generated(i, 8 * MB) for i in range(8)})
    k.hub.fault(origin="cdn", count=None, rate=3 * MB)
    return repo


def test_memory_of_one_connection(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo, "-j", "1", wrap=within(3 * MB)))
    k.same(repo)


@limit(120)
def test_memory_of_eight_connections(k):
    repo = eight_files(k)
    r = k.ok(k.download(repo, "-j", "8", "--progress", "json", wrap=within(6 * MB)))
    assert connections(r) == 8, "only %d connections" % connections(r)
    k.same(repo)


def test_memory_of_uploads(k):
    source = k.top / "model"
    source.mkdir()
    for i in range(8):
        (source / ("part-%d.bin" % i)).write_bytes(os.urandom(6 * MB))
    for jobs, size in ((8, 6 * MB), (1, 3 * MB)):
        k.hub.repos.clear()
        k.ok(k.run("upload", "-r", ID, "-p", source, "-j", jobs, wrap=within(size),
                   env={"HF_TOKEN": k.tokens["write"]}))
        k.same(k.hub.find_repo("model", ID), only=lambda p: p != ".gitattributes", folder=source)
        shutil.rmtree(str(source / ".cache"))


@limit(200)
def test_memory_of_a_long_listing(k):
    """A hundred thousand files: the plan, and the report of it."""
    count = 100000
    small = Regular(b"{}")
    repo = k.hub.add_repo(ID, {"train/part-%03d/sample-%06d.json" % (i // 1000, i): small
                               for i in range(count)}, type="dataset")
    run = ("-t", "dataset", "--dry-run")
    r = k.ok(k.download(repo, *run, wrap=within(24 * MB), timeout=120))
    assert r.out.count("sample-") == count
    assert "%d of %d files" % (count + 1, count + 1) in r.out
    r = k.ok(k.download(repo, *run, "--json", wrap=within(24 * MB), timeout=120))
    assert len(json.loads(r.out)["files"]) == count + 1
    for more, lines in (([], count + 1), (["--json"], 1)):
        r = k.ok(k.run("ls", repo.id, "-t", "dataset", "-R", *more, wrap=within(24 * MB), timeout=120))
        assert len(r.out.splitlines()) == lines


@limit(300)
def test_memory_of_a_large_cache(k):
    """A hundred thousand links to one content: made, and found again offline."""
    count = 100000
    small = Regular(b"{}")
    k.hub.add_repo(ID, {"train/part-%03d/sample-%06d.json" % (i // 1000, i): small
                        for i in range(count)}, type="dataset")
    run = ("download", ID, "-t", "dataset", "--cache-dir", k.dir)
    k.ok(k.run(*run, wrap=within(26 * MB), timeout=200))
    r = k.ok(k.run(*run, "--offline", "--json", wrap=within(26 * MB), timeout=60))
    assert r.out.count('"cached"') == count + 1


def test_memory_is_too_little(k):
    """It ends with one sentence; and the limit above is one."""
    repo = k.hub.add_repo(ID, FILES)
    r = k.download(repo, "-j", "1", wrap=within(MB))
    assert r.status not in (0, 128 + signal.SIGSEGV) and not list(k.dir.glob("*.bin"))
    repo = eight_files(k)
    r = k.download(repo, "-j", "16", "--progress", "json", wrap=within(4 * MB))
    assert r.status == 1 and "hub: out of memory" in r.err


# How many connections, where nobody says.

def test_jobs_by_memory(k):
    repo = k.hub.add_repo(ID, FILES)
    for size, said in ((3 * MB, "up to 2 connections: the memory limit of the process"),
                       (5 * MB // 2, "up to 1 connection: the memory limit of the process")):
        k.ok(k.download(repo, "-v", "--force", wrap=within(size)), err=said)
        k.same(repo)
    k.ok(k.download(repo, "-v", "--force", "-j", "3", wrap=within(6 * MB)),
         err="up to 3 connections: -j")


def test_jobs_by_cores(k):
    repo = k.hub.add_repo(ID, FILES)
    wrap = within(64 * MB, cores=1)
    k.ok(k.download(repo, "-v", wrap=wrap), err="up to 4 connections: a single core")


def test_jobs_by_open_files(k):
    """They are enough, also for small files that wait for the disk."""
    if not is_static():
        raise Skip("this build, or what runs it, opens more files itself")
    repo = k.hub.add_repo(ID, {**FILES, **{"small/%d" % n: "%d" % n for n in range(150)}})
    for files, jobs in ((24, "1 connection"), (40, "2 connections"), (64, "5 connections")):
        few = ("sh", "-c", 'ulimit -n %d; exec "$@"' % files, "sh")
        k.ok(k.download(repo, "-v", "--force", wrap=few), err="up to %s: the limit of open files" % jobs)
        k.same(repo)


GROUPS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))


def test_jobs_by_group(k):
    """Half of what a control group may have: the other half is for the page cache."""
    if not is_static():
        raise Skip("this build needs more memory than that")
    repo = k.hub.add_repo(ID, FILES)
    for top, name in GROUPS:
        group = Path(top, "hub-test-%d" % os.getpid())
        try:
            group.mkdir()
            (group / name).write_text(str(11 * MB))
            break
        except OSError:
            if group.exists():
                group.rmdir()
    else:
        raise Skip("no control group for memory can be made here")
    try:
        enter = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group))
        k.ok(k.download(repo, "-v", wrap=enter),
             err="up to 7 connections: the memory limit of the control group")
        k.same(repo)
    finally:
        group.rmdir()


# Flash: what is written, and how often it has to be on the disk.

CALLS = ("openat,write,pwrite64,writev,pwritev,fsync,fdatasync,sync,syncfs,connect,copy_file_range,"
         "sendfile,splice")


def traced(k, *args):
    """The calls of a run, as whole() has them; Skip if it cannot be looked at."""
    log = k.top / "calls"
    wrap = ("strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", "trace=" + CALLS)
    if not shutil.which("strace") or subprocess.run([*wrap, "true"], stdout=subprocess.DEVNULL,
                                                    stderr=subprocess.DEVNULL).returncode:
        raise Skip("system calls cannot be watched here")
    # Leaks cannot be looked for at the same time.
    k.ok(k.run(*args, wrap=wrap, env={"ASAN_OPTIONS": "detect_leaks=0"}))
    return whole(log.read_text().splitlines())


def whole(lines):
    """[name, text] of each call; what another thread has cut in two is put together, in the place
    where it began."""
    began, found = {}, []
    for line in lines:
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        m = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
        if m:
            found[began.pop(thread)][1] += m.group(1)
            continue
        m = re.match(r"(\w+)(\(.*)", rest)
        if not m:
            continue
        name, text = m.groups()
        if text.endswith(" <unfinished ...>"):
            began[thread] = len(found)
            text = text[:-len(" <unfinished ...>")]
        found.append([name, text])
    return found


def writes(calls, to):
    """(offset, length) of what was written to the files whose path ends so."""
    found = []
    for name, text in calls:
        m = re.match(r"\(\d+<([^>]*)>, .*, (\d+), (\d+)\) += (\d+)$", text)
        if name == "pwrite64" and m and m.group(1).endswith(to):
            found.append((int(m.group(3)), int(m.group(4))))
    return found


def written(calls):
    """Bytes to files, of all kinds."""
    return sum(int(re.search(r"= (\d+)$", text).group(1)) for name, text in calls
               if "write" in name and re.match(r"\(\d+</", text) and re.search(r"= \d+$", text))


def test_flash_one_connection_in_order(k):
    size = 24 * MB
    repo = k.hub.add_repo(ID, {"big.bin": Generated(4, size)})
    calls = traced(k, "download", "-r", ID, "-p", k.dir, "-j", "1")
    k.same(repo)
    at = 0
    for offset, length in writes(calls, ".part"):
        if length != 818:  # .gitattributes
            assert offset == at, "not in order: %d after %d" % (offset, at)
            at += length
    assert at == size, "%d bytes were written to the file" % at
    # No second copy, and little beside it: states and metadata.
    assert written(calls) < size + 65536, written(calls)
    names = [name for name, _ in calls]
    assert not {"copy_file_range", "sendfile", "splice", "sync", "syncfs"} & set(names)
    # Each file and each folder once, and the state now and then.
    syncs = names.count("fsync") + names.count("fdatasync")
    assert syncs <= 10, "%d syncs" % syncs
    port = k.hub.cdn_url.rsplit(":", 1)[1]
    assert sum("htons(%s)" % port in text for name, text in calls if name == "connect") == 1
