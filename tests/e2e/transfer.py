"""End-to-end tests of transfers that are killed, cut, stalled and lied to. HUB_LONG=1: several
hundred kills instead of forty. The random numbers follow from HUB_SEED, which a failure tells."""

import os
import random
import signal
import time

from fakehub import Generated
from kit import EMULATOR, MB, hub_with, limit, sha256, tmpfs, tree

LONG = bool(os.environ.get("HUB_LONG"))
SEED = int(os.environ.get("HUB_SEED", "4"))
ID = "acme-lab/large"
NAME = "big.bin"
RATE = 6 * MB
JOBS = 4

# What a kill may cost on each connection: a block that was not whole, the buffer before it was
# written, and what the server had sent and nobody had read. The server sends a tenth of its rate
# at once and waits, so that this is at most two such pieces.
LOSS = MB + MB // 8 + 2 * RATE // 10


def large(k, size, rate=RATE):
    repo = k.hub.add_repo(ID, {NAME: Generated(7, size)})
    if rate:
        k.hub.fault(origin="cdn", rate=rate, count=None)
    return repo


def begin(k, repo, *args):
    return k.start("download", "-r", repo.id, "-p", k.dir, "-d", "-q", *args, NAME)


def download(k, repo, *args, **how):
    return k.download(repo, "-d", *args, NAME, **how)


def end(k, repo, *args):
    k.ok(download(k, repo, *args))
    same(k, repo)
    assert not leftovers(k), "left: %s" % leftovers(k)


def same(k, repo):
    k.same(repo, only=lambda path: path == NAME)


def ours(k, suffix):
    return sorted((k.dir / ".cache/huggingface/download").glob("*" + suffix))


def leftovers(k):
    return ours(k, ".part") + ours(k, ".state")


def fresh(k, n):
    """Another target, and a Hub without faults."""
    k.dir = k.top / ("target%d" % n)
    k.hub.forget()


def no_lie(k, repo):
    """What stands under the name is right, or nothing does."""
    path = k.dir / NAME
    if path.exists():
        assert sha256(path) == repo.find("main").files[NAME].content.sha256(), "published"


# kills

def kills(k, repo, times, dice, before=lambda: None):
    """Starts and kills it so often; the number of kills that met it at work."""
    met = 0
    for _ in range(times):
        before()
        process = begin(k, repo, "-j", str(JOBS))
        time.sleep(dice.uniform(0, 0.3))
        process.kill()
        result = k.finish(process)
        no_lie(k, repo)
        met += result.status == 137
        assert result.status in (0, 137), "status %d" % result.status
        if result.status == 0:
            break
    return met


@limit(900 if LONG else 90)
def test_killed_at_random(k):
    size = (1200 if LONG else 192) * MB
    repo = large(k, size)
    met = kills(k, repo, 300 if LONG else 40, random.Random(SEED))
    assert met >= (200 if LONG else 25), "only %d kills met it" % met
    end(k, repo, "-j", str(JOBS))
    again = k.from_cdn() - size
    # The last run, too, leaves behind what a range had in flight that was taken over.
    assert again <= (met + 2) * JOBS * LOSS, "%d bytes again after %d kills" % (again, met)
    assert again > 0, "the count of what was sent is wrong"


@hub_with(quotas={"api": 10 ** 6, "resolvers": 10 ** 6})
@limit(900 if LONG else 90)
def test_killed_at_random_with_small_files(k):
    """They wait for the disk some at a time; those come again."""
    count, kills, dice = 800, 200 if LONG else 12, random.Random(SEED + 3)
    repo = k.hub.add_repo(ID, {"%d/%03d" % (n % 7, n): Generated(n, 37 * n) for n in range(count)})
    want = repo.find("main").files
    for _ in range(kills):
        process = k.start("download", "-r", ID, "-p", k.dir, "-q", "-j", str(JOBS))
        time.sleep(dice.uniform(0, 0.4))
        process.send_signal(dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        assert k.finish(process).status in (0, 137, 143)
        for path, at in tree(k.dir).items():
            assert sha256(at) == want[path].content.sha256(), path
    k.ok(k.download(repo))
    k.same(repo)
    again = len(k.hub.asked("hub", "GET", "/resolve/")) - len(want)
    assert again <= kills * (3 * 64 + 4 * JOBS), "%d files again" % again


@limit(900 if LONG else 90)
def test_killed_at_random_with_faults(k):
    repo = large(k, (600 if LONG else 96) * MB, rate=None)
    dice = random.Random(SEED + 1)

    def faults():
        k.hub.rules.clear()
        for _ in range(2):
            what = dice.choice([
                {"drop_after": dice.randrange(1, 4 * MB)}, {"reset": True, "hang_up": True},
                {"drop_after": dice.randrange(1, MB), "reset": True}, {"status": 503},
                {"stall_after": dice.randrange(1, MB), "stall": 0.2}, {"add_range": -1},
                {"use_range": "bytes=5-99"}, {"add_length": 5}, {"chunked": True},
                {"status": 403}])
            k.hub.fault(origin="cdn", rate=RATE, skip=dice.randrange(6), **what)
        k.hub.fault(origin="cdn", rate=RATE, count=None)

    met = kills(k, repo, 300 if LONG else 40, dice, faults)
    assert met >= 10, "only %d kills met it" % met
    faults()
    end(k, repo, "-j", str(JOBS))


def test_killed_while_it_publishes(k):
    """Around the end: the state, the name and the metadata change then."""
    repo = large(k, 3 * MB, rate=None)
    dice = random.Random(SEED + 2)
    for n in range(100 if LONG else 25):
        fresh(k, n)
        process = begin(k, repo)
        k.wait_for(lambda: k.from_cdn() >= 2 * MB, what="bytes")
        time.sleep(dice.uniform(0, 0.02))
        process.kill()
        k.finish(process)
        no_lie(k, repo)
        end(k, repo)


# several processes

def test_two_at_once(k):
    repo = large(k, 24 * MB)
    both = [begin(k, repo) for _ in range(2)]
    for process in both:
        k.ok(k.finish(process))
    same(k, repo)
    assert not leftovers(k), "left: %s" % leftovers(k)


@limit(600 if LONG else 120)
def test_two_at_once_and_kills(k):
    repo = large(k, (384 if LONG else 64) * MB)
    dice = random.Random(SEED + 3)
    for _ in range(150 if LONG else 10):
        both = [begin(k, repo) for _ in range(2)]
        time.sleep(dice.uniform(0, 0.4))
        both[dice.randrange(2)].kill()
        time.sleep(dice.uniform(0, 0.2))
        for process in both:
            process.kill()
            k.finish(process)
        no_lie(k, repo)
    both = [begin(k, repo) for _ in range(2)]
    time.sleep(0.3)
    both[0].kill()
    k.finish(both[0])
    k.ok(k.finish(both[1]))
    same(k, repo)


# the link

def test_link_cut_again_and_again(k):
    size = 64 * MB
    repo = large(k, size)
    process = begin(k, repo, "-j", str(JOBS))
    cuts = 0
    while process.poll() is None and cuts < 6:
        seen = k.from_cdn()
        k.wait_for(lambda: k.from_cdn() >= seen + 4 * MB or process.poll() is not None)
        k.hub.cut_all()
        cuts += 1
    k.ok(k.finish(process))
    same(k, repo)
    # Nobody died: what was received is kept to the byte.
    again = k.from_cdn() - size
    assert again <= (cuts + 1) * JOBS * 2 * RATE // 10, "%d bytes again" % again


def test_stalled_and_slowed(k):
    repo = large(k, 32 * MB, rate=None)
    k.hub.fault(origin="cdn", rate=300)
    k.hub.fault(origin="cdn", stall_after=MB // 2)
    k.hub.fault(origin="cdn", stall_after=0)
    k.hub.fault(origin="cdn", rate=RATE, count=None)
    end(k, repo, "--stall-timeout", "1")
    assert k.results[-1].seconds < 20, "%.1f s" % k.results[-1].seconds


def test_stopped_and_continued(k):
    size = 48 * MB
    repo = large(k, size)
    process = begin(k, repo, "--stall-timeout", "1", "-j", str(JOBS))
    for at in (8, 20, 32):
        k.wait_for(lambda: k.from_cdn() >= at * MB, what="%d MB" % at)
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        process.send_signal(signal.SIGCONT)
    k.ok(k.finish(process))
    same(k, repo)


def test_address_lapses_half_way(k):
    size = 96 * MB
    repo = large(k, size)
    process = begin(k, repo, "-j", str(JOBS))
    for at in (16, 48):
        k.wait_for(lambda: k.from_cdn() >= at * MB, what="%d MB" % at)
        k.hub.expire_urls()
        k.hub.cut_all()
    k.ok(k.finish(process))
    same(k, repo)
    assert any(e["status"] == 403 for e in k.hub.asked("cdn")), "no address lapsed"
    asked = len(k.hub.asked("hub", path="/resolve"))
    assert asked <= 2 + 2 * JOBS, "%d resolves" % asked


def test_fresh_address_is_refused_once(k):
    """As storage does that is short of breath, or has not heard of its key yet."""
    repo = large(k, 8 * MB, rate=None)
    k.hub.fault(origin="cdn", status=403, count=1)
    end(k, repo, "-j", "1")


def test_fresh_address_is_always_refused(k):
    repo = large(k, 8 * MB, rate=None)
    k.hub.fault(origin="cdn", status=403, count=None)
    k.ok(download(k, repo, "--retries", "1"), 5, err="the signed address at '127.0.0.1' is not accepted (status 403)")
    assert len(k.hub.asked("cdn")) == 2


def test_renewed_address_names_another_content(k):
    repo = large(k, 48 * MB)
    process = begin(k, repo, "--retries", "2")
    k.wait_for(lambda: k.from_cdn() >= 8 * MB, what="8 MB")
    k.hub.fault(path="/resolve/", headers={"X-Linked-Etag": '"%s"' % ("0" * 64)}, count=None)
    k.hub.expire_urls()
    k.hub.cut_all()
    assert k.finish(process).status not in (0, 128 + 6, 128 + 11)
    assert not tree(k.dir), "published"


# lies

OTHER_LENGTH = [{"content_range": "bytes 0-9/10"}, {"status": 200, "body": "no"},
                {"corrupt_at": 12 * MB, "content_range": "bytes 5-6/7"}]

LIES = OTHER_LENGTH + [
    {"content_range": "bytes 1-9/*"}, {"headers": {"Content-Range": None}},
    {"content_range": "bytes */*"}, {"add_range": 1}, {"add_range": -MB},
    {"use_range": "bytes=0-99"}, {"use_range": "bytes=-100"}, {"ignore_range": True},
    {"ignore_range": True, "chunked": True}, {"ignore_range": True, "no_length": True},
    {"length": 0}, {"length": 7}, {"add_length": -1}, {"add_length": 1}, {"add_length": MB},
    {"no_length": True, "drop_after": MB}, {"chunked": True, "drop_after": MB + 1},
    {"endless": True}, {"status": 416},
    {"corrupt_at": 12 * MB},
    {"raw": ""}, {"raw": "HTTP/1.1 206 OK\r\n\r\n"}, {"raw": "HTTP/1.1 206 OK\r\nContent-Range: "
     "bytes 0-9/25165824\r\nContent-Length: 99\r\n\r\nx"},
]


@limit(120)
def test_lies_are_got_over(k):
    """A server that lies once at the beginning, or once in the middle, and is honest then."""
    repo = large(k, 24 * MB, rate=None)
    for n, lie in enumerate(LIES):
        for m, where in enumerate(({}, {"min_from": 1})):
            fresh(k, 2 * n + m)
            k.hub.fault(origin="cdn", **where, **lie)
            try:
                one_lie(k, repo, lie)
            except AssertionError as why:
                raise AssertionError("%s %s: %s" % (lie, where, why))


def one_lie(k, repo, lie):
    r = download(k, repo, "--stall-timeout", "2")
    # A content of another length is no case for another try.
    assert r.status == 0 or (r.status == 6 and lie in OTHER_LENGTH), "status %d" % r.status
    if r.status == 0:
        same(k, repo)
    else:
        assert not tree(k.dir), "published"


def test_wrong_byte_once_in_a_large_file(k):
    repo = large(k, 24 * MB, rate=None)
    k.hub.fault(origin="cdn", corrupt_at=5 * MB)
    end(k, repo)


def test_wrong_byte_always(k):
    repo = large(k, 12 * MB, rate=None)
    k.hub.fault(origin="cdn", corrupt_at=5 * MB, count=None)
    k.ok(download(k, repo), 6)
    assert not tree(k.dir), "published"
    k.hub.rules.clear()
    end(k, repo)


# power cuts and full disks

def power_cut(k, kept):
    """What a machine that went down leaves: of the blocks that the state names, only the first
    kept ones reached the disk. How many it names; the layout is that of state.h."""
    state, = ours(k, ".state")
    part, = ours(k, ".part")
    sums = state.read_bytes()[128:]
    named = [n for n in range(len(sums) // 4) if any(sums[4 * n:4 * n + 4])]
    with open(str(part), "r+b") as f:
        for n in named[kept:]:
            f.seek(n * MB)
            f.write(b"\xa5" * MB)
    return len(named)


def test_power_cut(k):
    size = 48 * MB
    repo = large(k, size)
    process = begin(k, repo, "-j", str(JOBS))
    k.kill_after(process, 24 * MB)
    k.finish(process)
    named = power_cut(k, 5)
    assert named >= 8, "only %d blocks are named" % named
    k.hub.forget()
    end(k, repo)
    # On a slow machine some bytes come twice near the end, when connections help each other.
    most = size + JOBS * LOSS if EMULATOR else size - 4 * MB
    assert size - 5 * MB <= k.from_cdn() <= most, "%d bytes" % k.from_cdn()


def test_power_cut_before_anything_was_synced(k):
    repo = large(k, 32 * MB)
    process = begin(k, repo)
    k.kill_after(process, 8 * MB)
    k.finish(process)
    power_cut(k, 0)
    end(k, repo)


def test_disk_full_and_room_again(k):
    """Somebody else fills the disk in the middle."""
    repo = large(k, 24 * MB, rate=2 * MB)
    small = k.top / "small"
    small.mkdir()
    words = tmpfs(40 * MB)
    script = ('"$@" & sleep 1; cat /dev/zero >"$HUB_SMALL/fill" 2>/dev/null; wait $!; '
              'echo STATUS $? >&2; ls "$HUB_SMALL" | grep -q big && echo LIE >&2; '
              'rm "$HUB_SMALL/fill"; "$@" && sha256sum "$HUB_SMALL/big.bin"')
    r = k.ok(download(k, repo, "-q", to=small, env={"HUB_SMALL": str(small)},
                        wrap=[*words, "sh", "-c", script, "sh"]), err="STATUS 7")
    assert "LIE" not in r.err
    assert repo.find("main").files[NAME].content.sha256() in r.out
    assert k.from_cdn() < 24 * MB + 8 * LOSS, "did not continue"


# numbers

def test_one_and_sixteen_connections(k):
    size = 64 * MB
    repo = large(k, size, rate=24 * MB)
    for n, jobs in enumerate(("1", "16")):
        k.dir = k.top / jobs
        before = k.from_cdn(), len(k.hub.asked("cdn"))
        end(k, repo, "-j", jobs)
        again = k.from_cdn() - before[0] - size
        assert again <= (0, 40 * MB)[n], "-j %s: %d bytes again" % (jobs, again)
        if jobs == "1":
            assert len(k.hub.asked("cdn")) - before[1] == 1, "more than one request"


def test_limit_rate_is_kept(k):
    """With one connection, whose request is one, so that nothing comes twice."""
    size = 12 * MB
    repo = large(k, size, rate=None)
    end(k, repo, "--limit-rate", "2M", "-j", "1")
    rate = k.from_cdn() / k.results[-1].seconds
    assert k.from_cdn() == size and 1.8e6 <= rate <= 2.2e6, "%d bytes a second" % rate
