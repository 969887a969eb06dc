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


def one_kind(seed, size):
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "little")


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


def by_plain_http(k, size):
    """Not an equality where there are several connections: one may take over what is on its way to
    another."""
    assert size <= k.from_cdn() <= 2 * size, "%d of %d bytes by plain HTTP" % (k.from_cdn(), size)


def test_several_files(k):
    """Of several xorbs; a small file, and one that is not there, come by plain HTTP."""
    files = {"%d.bin" % n: k.hub.cas.store(mixed(n, (3 + 4 * n) * MB), xorb_size=2 * MB)
             for n in range(3)}
    repo = k.hub.add_repo(ID, {**files, "small.bin": k.hub.cas.store(mixed(9, MB // 2)),
                               "plain.bin": Generated(1, 2 * MB), "config.json": "{}\n"})
    # With several, one may take over what is on its way to another.
    get(k, repo, "-j", "1", token="read")
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
    repo = stored(k, mixed(3, 12 * MB), xorb_size=10 * MB)
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


def test_standard_output(k):
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
    (dict(origin="cas", json={"xorbs.*.0.ranges.0.chunks.end": 8000,
                              "xorbs.*.0.ranges.0.bytes.end": 99999999}), "much longer"),
    (dict(origin="cas", endless=True, filler=" "), ""),
    (dict(origin="xorb", status=403), "403"),
    (dict(origin="xorb", status=404), "404"),
    (dict(origin="xorb", status=302, headers={"Location": "/elsewhere"}), "302"),
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


def test_hub_gives_no_access(k):
    """One worker makes the retries, for all of them; then all comes by plain HTTP."""
    repo = stored(k, one_kind(18, 24 * MB))
    k.hub.fault(origin="hub", path="xet-read-token", status=503, count=None)
    r = get(k, repo, "-j", "8", "--retries", "1")
    assert len(k.hub.asked("hub", path="xet-read-token")) == 2
    assert "503" in r.err
    by_plain_http(k, 24 * MB)


def test_storage_asks_for_a_long_wait(k):
    """Plain HTTP is there at once."""
    repo = stored(k, one_kind(19, 4 * MB))
    k.hub.fault(origin="cas", status=429, headers={"Retry-After": "30"}, count=None)
    r = get(k, repo, "-j", "1")
    assert len(k.hub.asked("cas")) == 1, "asked again after the wait"
    assert "429" in r.err and k.from_cdn() == 4 * MB


def test_storage_asks_for_a_short_wait(k):
    """Only what comes from there waits: meanwhile the rest comes over the same connections."""
    repo = k.hub.add_repo(ID, {NAME: k.hub.cas.store(one_kind(20, 2 * MB)),
                               "z.bin": Generated(2, 2 * MB)})
    k.hub.fault(origin="cas", status=503, headers={"Retry-After": "2"})
    get(k, repo, "-j", "1")
    assert k.from_cdn() == 2 * MB
    order = [e["origin"] for e in k.hub.log if e["origin"] in ("cas", "cdn")]
    assert order[:2] == ["cas", "cdn"], order


def test_wrong_bytes(k):
    """They look right, and the hash of the file is wrong: all of it comes by plain HTTP."""
    repo = stored(k, one_kind(1, 3 * MB), scheme=0)
    k.hub.fault(origin="xorb", corrupt_at=1000001, count=None)
    r = get(k, repo)
    assert "wrong hash" in r.err and "plain HTTP" in r.err
    by_plain_http(k, 3 * MB)


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
    repo = stored(k, one_kind(13, 40 * MB), scheme=0, xorb_size=6 * MB)
    for n in 1, 6, 9:
        k.hub.fault(origin="xorb", skip=n, call=lambda: (k.hub.expire_urls(),
                                                         k.hub.cas.expire_tokens()))
    get(k, repo, "-j", "4")
    by_xet_alone(k)
    assert len(k.hub.asked("hub", path="xet-read-token")) > 1


def test_stalled(k):
    """A server of xorbs that stands still loses the range to another connection."""
    repo = stored(k, one_kind(14, 20 * MB), scheme=0, xorb_size=4 * MB)
    k.hub.fault(origin="xorb", stall_after=700001, stall=60)
    get(k, repo, "-j", "2", timeout=40)
    by_xet_alone(k)


def test_resumed(k):
    """What is here after a kill is not fetched again."""
    repo = stored(k, one_kind(15, 24 * MB), scheme=0, xorb_size=4 * MB)
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


@limit(900 if LONG else 60)
def test_killed_at_random(k):
    """At the end it is right, and little came twice."""
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
    repo = stored(k, mixed(16, 18 * MB), xorb_size=4 * MB)
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


# --from


def changed(data, pieces, size, dice):
    """The same with so many pieces of that size replaced."""
    out = bytearray(data)
    for _ in range(pieces):
        at = dice.randrange(len(data) - size)
        out[at:at + size] = one_kind(dice.random(), size)
    return bytes(out)


def on_disk(k, name, data):
    path = k.work / name
    path.write_bytes(data)
    return path


def test_from_an_older_version(k):
    """One in a hundred bytes differs, and a piece is new in the middle."""
    dice = random.Random(SEED)
    old = one_kind(1, 16 * MB)
    new = changed(old, 2, 60000, dice)
    new = new[:9000001] + one_kind(2, 100003) + new[9000001:]
    k.hub.cas.store(old, xorb_size=7 * MB)
    repo = stored(k, new)
    r = get(k, repo, "--from", on_disk(k, "old.bin", old), "-j", "1")
    by_xet_alone(k)
    assert from_xorbs(k) < 0.05 * len(new), "%d bytes" % from_xorbs(k)
    assert "not used" not in r.err


def test_from_several_files(k):
    """Halves of two others, one of them with another length; not trimmed."""
    k.hub.trim = False
    a, b = one_kind(3, 10 * MB), one_kind(4, 6 * MB + 5)
    k.hub.cas.store(a, xorb_size=3 * MB)
    k.hub.cas.store(b, xorb_size=3 * MB)
    repo = stored(k, b[2 * MB:] + a[:7 * MB] + one_kind(5, 2 * MB))
    get(k, repo, "--from", on_disk(k, "a", a), "--from", on_disk(k, "b", b), "-j", "1")
    by_xet_alone(k)
    assert from_xorbs(k) < 6 * MB


def test_from_what_is_of_no_use(k):
    """Unknown to the storage, cut, empty: all is fetched, and said why with -v."""
    content = one_kind(6, 3 * MB)
    repo = stored(k, content)
    for data in one_kind(7, 2 * MB), content[:2 * MB], b"", b"x":
        r = get(k, repo, "--force", "--from", on_disk(k, "old", data))
        by_xet_alone(k)
        assert not data or "not used: the xet storage answered with status 404" in r.err.lower()
    k.hub.fault(origin="cas", status=403)
    r = get(k, repo, "--force", "--from", on_disk(k, "old", content))
    assert "status 403" in r.err


def test_from_when_the_storage_fails_once(k):
    content = one_kind(22, 4 * MB)
    repo = stored(k, content)
    path = on_disk(k, "old", content)
    for rule in dict(status=503, headers={"Retry-After": "1"}), dict(drop_after=1):
        k.hub.forget()
        k.hub.fault(origin="cas", **rule)
        r = get(k, repo, "--force", "--from", path)
        by_xet_alone(k)
        assert "not used" not in r.err and from_xorbs(k) == 0, from_xorbs(k)


def test_from_without_access(k):
    """The Hub is asked once for all files."""
    repo = stored(k, one_kind(23, 2 * MB))
    k.hub.fault(origin="hub", path="xet-read-token", status=404, count=None)
    for name in "a", "b":
        on_disk(k, name, one_kind(24, MB))
    r = get(k, repo, "--from", k.work / "a", "--from", k.work / "b")
    assert len(k.hub.asked("hub", path="xet-read-token")) == 1
    assert "not used" in r.err and "404" in r.err and not k.hub.asked("cas")


def test_from_a_file_that_changes(k):
    """It becomes shorter, or other bytes come into it, after it was read: those are fetched."""
    content = one_kind(8, 6 * MB)
    repo = stored(k, content, xorb_size=2 * MB)
    for change in (lambda p: os.truncate(p, 700001),
                   lambda p: p.write_bytes(bytes(len(content)))):
        path = on_disk(k, "old", content)
        k.hub.forget()
        # The second answer is about the wanted file.
        k.hub.fault(origin="cas", skip=1, call=lambda: change(path))
        r = get(k, repo, "--force", "--from", path)
        by_xet_alone(k)
        assert "wrong hash" not in r.err


def test_from_a_file_that_changes_after_a_kill(k):
    """What an earlier run has fetched is not lost by that."""
    content = one_kind(21, 16 * MB)
    repo = stored(k, content, xorb_size=2 * MB)
    k.hub.fault(origin="xorb", rate=8 * MB, count=None)
    process = k.start("download", "-r", ID, "-p", k.dir, "-q", "-j", "1")
    k.wait_for(lambda: from_xorbs(k) >= 6 * MB)
    process.kill()
    k.finish(process)
    k.hub.forget()
    path = on_disk(k, "old", content)

    def change():
        with open(path, "r+b") as f:
            f.seek(11000001)
            f.write(bytes(100))
    k.hub.fault(origin="cas", skip=1, call=change)
    r = get(k, repo, "-d", "-j", "1", "--from", path)
    by_xet_alone(k)
    assert "wrong hash" not in r.err and from_xorbs(k) < 8 * MB, from_xorbs(k)


def test_from_mistakes(k):
    repo = stored(k, mixed(17, 2 * MB))
    k.ok(k.download(repo, "--from", "missing"), 7, err="--from: cannot open 'missing'")
    k.ok(k.download(repo, "--from", k.work), 2, err="is not a file")
    k.ok(k.download(repo, "--from", "x", "--no-xet"), 2, err="cannot be used together")
    assert not k.hub.asked("cas")
