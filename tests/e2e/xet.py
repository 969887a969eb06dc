"""End-to-end tests of downloads from the Xet storage: plain, resumed, with what can go wrong there.
HUB_LONG=1: more kills. The random numbers follow from HUB_SEED, which a failure tells."""

import os
import random
import signal
import time

from fakehub import Generated, mixed
from kit import MB, bounded, hub_with, limit, sha256

LONG = bool(os.environ.get("HUB_LONG"))
SEED = int(os.environ.get("HUB_SEED", "4"))
ID = "acme-lab/large"
NAME = "m.bin"


def stored(k, content, **how):
    """A repository with that content in the storage."""
    return k.hub.add_repo(ID, {NAME: k.hub.cas.store(content, **how)})


def from_xorbs(k):
    return sum(e["sent"] for e in k.hub.asked("xorb"))


def get(k, repo, *args, **how):
    """A download that must be right, and its output."""
    r = k.ok(k.download(repo, "-v", *args, **how))
    k.same(repo)
    assert not k.hub.violations, k.hub.violations
    k.check_files()
    return r


def by_xet_alone(k):
    assert k.from_cdn() == 0, "%d bytes by plain HTTP" % k.from_cdn()


def test_several_files(k):
    """Of several xorbs; a small file, and one that is not there, come by plain HTTP."""
    files = {"%d.bin" % n: k.hub.cas.store(mixed(n, (3 + 4 * n) * MB), xorb_size=2 * MB)
             for n in range(3)}
    repo = k.hub.add_repo(ID, {**files, "small.bin": k.hub.cas.store(mixed(9, MB // 2)),
                               "plain.bin": Generated(1, 2 * MB), "config.json": "{}\n"})
    get(k, repo, token="read")
    assert k.from_cdn() == 2 * MB + MB // 2
    size = sum(x.content.size for f in files.values() for x in {t.xorb for t in f.terms})
    assert size * 0.99 <= from_xorbs(k) <= size * 1.01, "%d of %d bytes" % (from_xorbs(k), size)
    assert len(k.hub.asked("hub", path="xet-read-token")) == 1
    # The Hub is not asked where each file is.
    assert len(k.hub.asked("hub", path="/resolve/")) == 4


def test_each_range_once(k):
    """A file of two pieces in all orders: what came before is not fetched again."""
    a, b = mixed(1, 3 * MB), mixed(2, 2 * MB + 77)
    repo = stored(k, a + b + a + a + b, xorb_size=4 * MB)
    get(k, repo, "-j", "1")
    by_xet_alone(k)
    asked = [(e["path"], e["range"]) for e in k.hub.asked("xorb")]
    assert len(asked) == len(set(asked)), asked
    assert from_xorbs(k) < len(a + b) * 1.1


@hub_with(trim=False)
def test_whole_terms(k):
    """A storage that does not cut terms where a window begins."""
    repo = stored(k, mixed(3, 24 * MB), xorb_size=20 * MB)
    get(k, repo, "-j", "2")
    by_xet_alone(k)


def test_small_chunks(k):
    """Some writers make them: more in a range than a window has bytes of most others."""
    repo = stored(k, mixed(4, 3 * MB), sizes=(1, 131072, 8128, 700, 65537))
    get(k, repo)
    by_xet_alone(k)


@hub_with(tls=False)
def test_plain_http_on_loopback(k):
    get(k, stored(k, mixed(5, 3 * MB)))
    by_xet_alone(k)


def test_switched_off(k):
    repo = stored(k, mixed(6, 2 * MB))
    for args, env in (["--no-xet"], {}), ([], {"HF_HUB_DISABLE_XET": "1"}), (["--no_xet"], {}):
        get(k, repo, "--force", *args, env=env)
        assert not k.hub.asked("cas") and not k.hub.asked("hub", path="xet-read-token")
    get(k, repo, "--force", env={"HF_HUB_DISABLE_XET": "0"})
    assert k.hub.asked("cas")


def test_to_standard_output(k):
    content = mixed(7, 3 * MB)
    repo = stored(k, content)
    r = k.ok(k.run("download", repo.id, "-o", "-", NAME))
    assert r.raw == content


def test_from_the_cache(k):
    repo = stored(k, mixed(8, 3 * MB))
    k.ok(k.run("download", repo.id))
    by_xet_alone(k)
    k.ok(k.run("download", repo.id, NAME, "--force"))
    by_xet_alone(k)


# What goes wrong, and what is mended by asking again. Then nothing comes by plain HTTP.
MENDED = [
    dict(origin="cas", status=401),
    dict(origin="cas", status=503),
    dict(origin="cas", drop_after=1),
    dict(origin="cas", path="/v2/", status=404, count=None),
    dict(origin="cas", path="/v2/", status=501, count=None),
    dict(origin="xorb", status=403),
    dict(origin="xorb", status=503, headers={"Retry-After": "1"}),
    dict(origin="xorb", drop_after=700001),
    dict(origin="xorb", drop_after=1),
    dict(origin="xorb", hang_up=True),
    dict(origin="xorb", reset=True, drop_after=1000000),
    dict(origin="xorb", chunked=True, drop_after=700001),
    dict(origin="xorb", add_range=1),
    dict(origin="xorb", entry={"version": 1}),
    dict(origin="xorb", entry={"scheme": 3}),
    dict(origin="xorb", entry={"size": 1}),
    dict(origin="xorb", truncate=-3),
    dict(origin="hub", path="xet-read-token", status=503),
]


@limit(180)
def test_mended(k):
    repo = stored(k, mixed(10, 3 * MB), xorb_size=2 * MB)
    for rule in some(MENDED, 4):
        k.hub.forget()
        hit = k.hub.fault(**rule)
        get(k, repo, "--force")
        assert hit.hits, rule
        assert k.from_cdn() == 0, rule


# What asking again does not mend: the file comes by plain HTTP, in the same run.
LEFT = [
    (dict(origin="hub", path="xet-read-token", status=404), "404"),
    (dict(origin="hub", path="xet-read-token", status=403), ""),
    (dict(origin="hub", path="xet-read-token", body="[]", status=200), ""),
    (dict(origin="hub", path="xet-read-token", json={"casUrl": "ftp://x"}), ""),
    (dict(origin="hub", path="xet-read-token", json={"casUrl": "http://10.0.0.1/"}), "http"),
    (dict(origin="hub", path="xet-read-token", json={"accessToken": "a\r\nb: c"}), ""),
    (dict(origin="cas", status=401), "401"),
    (dict(origin="cas", status=404), "404"),
    (dict(origin="cas", status=501), "501"),
    (dict(origin="cas", status=503), "503"),
    (dict(origin="cas", status=416), "416"),
    (dict(origin="cas", status=302, headers={"Location": "https://localhost/"}), "302"),
    (dict(origin="cas", hang_up=True), ""),
    (dict(origin="cas", body="<html>", status=200), "a value is missing"),
    (dict(origin="cas", json={"terms": []}), "0 bytes"),
    (dict(origin="cas", json={"terms.0.range.end": 9999}), ""),
    (dict(origin="cas", json={"terms.0.unpacked_length": 7}), ""),
    (dict(origin="cas", json={"xorbs.*.0.url": "http://10.0.0.1/x"}), "http"),
    (dict(origin="cas", json={"xorbs.*.0.url": "https://u:p@127.0.0.1/x"}), ""),
    (dict(origin="cas", endless=True, filler=" "), ""),
    (dict(origin="xorb", status=403), "403"),
    (dict(origin="xorb", status=404), "404"),
    (dict(origin="xorb", ignore_range=True, status=200), "different range"),
    (dict(origin="xorb", add_range=1), "different range"),
    (dict(origin="xorb", entry={"size": -1}), ""),
    (dict(origin="xorb", entry={"packed": 99999}), ""),
    (dict(origin="xorb", truncate=5), ""),
    (dict(origin="xorb", hang_up=True), ""),
]


def some(cases, n):
    """All in the long tests, else every nth."""
    return cases if LONG else cases[SEED % n::n]


@limit(180)
def test_left_for_plain_http(k):
    repo = stored(k, mixed(11, 2 * MB), xorb_size=MB)
    for rule, said in some(LEFT, 5):
        k.hub.forget()
        k.hub.fault(count=None, **rule)
        r = k.ok(k.download(repo, "-v", "--force"))
        k.same(repo)
        assert k.from_cdn() > 0, rule
        assert "plain HTTP" in r.err and said.lower() in r.err.lower(), (rule, r.err)


def test_wrong_bytes(k):
    """They look right, and the hash of the file is wrong: all of it comes by plain HTTP."""
    content = random.Random(1).getrandbits(8 * 3 * MB).to_bytes(3 * MB, "little")
    repo = stored(k, content, scheme=0)
    k.hub.fault(origin="xorb", corrupt_at=1000001, count=None)
    r = get(k, repo)
    assert "wrong hash" in r.err and "plain HTTP" in r.err
    assert k.from_cdn() == 3 * MB


def test_broken_in_the_middle(k):
    """The storage fails for good after some bytes: the rest, and only that, comes by plain HTTP."""
    repo = stored(k, mixed(12, 12 * MB), xorb_size=2 * MB)
    k.hub.fault(origin="xorb", skip=3, status=403, count=None)
    get(k, repo, "-j", "1")
    assert 4 * MB <= k.from_cdn() <= 11 * MB, k.from_cdn()


def test_many_files_without_storage(k):
    """After three files in a row it is asked no more."""
    repo = k.hub.add_repo(ID, {"%d.bin" % n: k.hub.cas.store(mixed(n, 2 * MB)) for n in range(8)})
    k.hub.fault(origin="cas", status=404, count=None)
    get(k, repo, "-j", "1")
    assert len(k.hub.asked("cas")) == 6  # of both versions


@hub_with(url_lifetime=3600)
def test_all_lapses(k):
    """Tokens and addresses lapse while it runs, again and again."""
    repo = stored(k, mixed(13, 40 * MB), xorb_size=6 * MB)
    for n in 1, 6, 9:
        k.hub.fault(origin="xorb", skip=n, call=lambda: (k.hub.expire_urls(),
                                                         k.hub.cas.expire_tokens()))
    get(k, repo, "-j", "4")
    by_xet_alone(k)
    assert len(k.hub.asked("hub", path="xet-read-token")) > 1


def test_stalled(k):
    """A server of xorbs that stands still loses the range to another connection."""
    repo = stored(k, mixed(14, 20 * MB), xorb_size=4 * MB)
    k.hub.fault(origin="xorb", stall_after=700001, stall=60)
    get(k, repo, "-j", "2", timeout=40)
    by_xet_alone(k)


def test_resumed(k):
    """What is here after a kill is not fetched again."""
    repo = stored(k, mixed(15, 24 * MB), xorb_size=4 * MB)
    k.hub.fault(origin="xorb", rate=4 * MB, count=None)
    process = k.start("download", "-r", ID, "-p", k.dir, "-q", "-j", "2")
    k.wait_for(lambda: from_xorbs(k) >= 8 * MB)
    process.send_signal(signal.SIGKILL)
    k.finish(process)
    before = from_xorbs(k)
    k.hub.rules.clear()
    get(k, repo, "-d", "-j", "2")
    by_xet_alone(k)
    whole = sum(x.content.size for x in k.hub.cas.xorbs.values())
    again = from_xorbs(k) - whole
    assert before > 7 * MB and again <= 2 * 2 * MB, "%d bytes again" % again


def one_kind(seed, size):
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "little")


@limit(900 if LONG else 60)
def test_killed_at_random(k):
    """Of content that repeats; at the end it is right, and little came twice."""
    size, jobs, rate, dice = (160 if LONG else 48) * MB, 4, 12 * MB, random.Random(SEED)
    repo = stored(k, one_kind(3, size), scheme=0, xorb_size=16 * MB)
    k.hub.fault(origin="xorb", rate=rate, count=None)
    met = 0
    for _ in range(20 if LONG else 3):
        process = k.start("download", "-r", ID, "-p", k.dir, "-d", "-q", "-j", jobs)
        time.sleep(dice.uniform(0.2, 0.8))
        process.kill()
        met += k.finish(process).status == 137
        path = k.dir / NAME
        assert not path.exists() or sha256(path) == repo.find("main").files[NAME].content.sha256()
    get(k, repo, "-d", "-j", jobs)
    by_xet_alone(k)
    again = from_xorbs(k) - size
    # The server sends a tenth of its rate ahead.
    assert again <= (met + 2) * jobs * (2 * MB + 2 * rate // 10), "%d bytes again" % again


def test_memory(k):
    """Eight connections, packed and repeated content, within 10 MiB of address space."""
    repo = stored(k, mixed(16, 40 * MB), xorb_size=6 * MB)
    r = k.ok(k.download(repo, "-j", "8", wrap=bounded(10)))
    k.same(repo)
    by_xet_alone(k)
    assert r.status == 0


def test_cut_before_the_window_is_known(k):
    """Another connection takes the second half while the storage is being asked: what is written
    ahead over the cut must not be lost before it."""
    a = mixed(1, MB)
    repo = stored(k, a + mixed(2, 2 * MB) + a + mixed(3, MB), scheme=1)
    k.hub.fault(origin="xorb", drop_after=700001)
    k.hub.fault(origin="cas", skip=1, delay=1)
    r = get(k, repo, "-j", "4")
    by_xet_alone(k)
    assert "wrong hash" not in r.err
