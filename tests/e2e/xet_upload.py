"""End-to-end tests of uploads by Xet: what is sent, what is not sent again, and what can go wrong
there. HUB_LONG=1: more kills. The random numbers follow from HUB_SEED, which a failure tells."""

import os
import random
import shutil
import time

from kit import MB, hub_with, limit
from upload import ID, commits, noise, puts, same, there, up, write

LONG = bool(os.environ.get("HUB_LONG"))
SEED = int(os.environ.get("HUB_SEED", "4"))


def data(seed, size):
    return random.Random(seed).randbytes(size)


def sent(k):
    """Bytes of xorbs that were sent."""
    return sum(e["length"] or 0 for e in k.hub.asked("cas", "POST", "/xorbs/"))


def by_xet(k, r=None):
    """All that the folder has is there, and nothing came by LFS."""
    same(k)
    assert not puts(k), "sent by LFS"
    assert not k.hub.violations, k.hub.violations
    k.check_files()
    return r


@hub_with(xet=True)
def test_all_of_a_folder(k):
    """Files of one chunk and of many, a copy, and what is no LFS file."""
    write(k.dir, {"a.bin": data(1, 5 * MB + 77), "copy.bin": data(1, 5 * MB + 77), "b.bin": b"x",
                  "c.bin": data(2, 700001), "config.json": "{}\n", "empty.bin": b""})
    by_xet(k, k.ok(up(k)))
    assert len(commits(k)) == 1
    assert len(k.hub.asked("hub", path="xet-write-token")) == 1
    for name in ("a.bin", "b.bin", "c.bin"):
        assert len(there(k)[name].content.xet) == 64, name
    assert sent(k) < 6 * MB
    k.hub.forget()
    by_xet(k, k.ok(up(k)))
    assert not k.hub.asked("cas")


@hub_with(xet=True)
def test_several_xorbs(k):
    """The file of 66 MiB needs two; it can be had again by Xet."""
    write(k.dir, {"m.bin": noise(1, MB) + data(3, 65 * MB)})
    by_xet(k, k.ok(up(k)))
    assert len(k.hub.asked("cas", "POST", "/xorbs/")) == 2
    to = k.top / "back"
    k.ok(k.download(ID, to=to))
    assert (to / "m.bin").read_bytes() == (k.dir / "m.bin").read_bytes()
    assert k.from_cdn() == 0


@hub_with(xet=True)
def test_chunks_once(k):
    """What a file has several times, and what files share, is sent once."""
    a, b = data(4, 3 * MB), data(5, 2 * MB)
    write(k.dir, {"twice.bin": a + b + a + a, "zeros.bin": bytes(9 * MB + 1),
                  "other.bin": b + a})
    by_xet(k, k.ok(up(k)))
    # Of each piece the chunks at its ends are others.
    assert sent(k) < 6.6 * MB, sent(k)


@hub_with(xet=True)
def test_only_what_is_new(k):
    """The Hub says which chunks it has: a file of which a part was changed costs that part."""
    content = data(6, 12 * MB)
    write(k.dir, {"m.bin": content})
    by_xet(k, k.ok(up(k)))
    k.hub.forget()
    shutil.rmtree(str(k.dir / ".cache"))
    write(k.dir, {"m.bin": content[:5 * MB] + b"changed" + content[5 * MB + 7:],
                  "next.bin": b"first" + content})
    by_xet(k, k.ok(up(k, "-j", "1"), err="kB of it new"))
    # The first chunk of next.bin is another, so nothing is known of it but what m.bin has found.
    assert 0 < sent(k) < MB, sent(k)


@hub_with(xet=True, dedupe=False)
def test_next_version(k):
    """What this directory has sent before is known, also if the Hub does not tell. If it is lost
    there, all is sent."""
    content = data(30, 6 * MB)
    write(k.dir, {"m.bin": content})
    by_xet(k, k.ok(up(k)))
    k.hub.forget()
    write(k.dir, {"m.bin": b"in front" + content[:3 * MB] + b"inserted" + content[3 * MB:]})
    by_xet(k, k.ok(up(k), err="of it new"))
    assert 0 < sent(k) < MB, sent(k)
    k.hub.forget()
    k.hub.cas.xorbs.clear()
    write(k.dir, {"m.bin": content + b"more"})
    k.ok(up(k))
    same(k)
    assert sent(k) > 6 * MB and not puts(k)
    k.hub.violations.clear()


@hub_with(xet=True)
def test_switched_off(k):
    write(k.dir, {"m.bin": data(7, MB)})
    k.ok(up(k, "--no-xet"))
    write(k.dir, {"m.bin": data(8, MB)})
    k.ok(up(k, env={"HF_HUB_DISABLE_XET": "1"}))
    same(k)
    assert len(puts(k)) == 2 and not k.hub.asked("cas")


@hub_with(xet=True)
def test_pull_request(k):
    k.hub.add_repo(ID)
    write(k.dir, {"m.bin": data(9, MB)})
    k.ok(up(k, "--create-pr"))
    same(k, "refs/pr/1")
    assert not puts(k)
    assert k.hub.asked("hub", path="xet-write-token/main?create_pr=1")


# what can go wrong

@hub_with(xet=True)
def test_falls_back(k):
    """Where the storage cannot be used, the same run sends by LFS."""
    for n, fault in enumerate([
            dict(origin="cas", path="/xorbs/", status=404),
            dict(origin="cas", path="/xorbs/", status=501),
            dict(origin="cas", path="/xorbs/", status=400),
            dict(origin="cas", path="/shards", status=400),
            dict(origin="cas", path="/shards", status=404),
            dict(origin="cas", path="/v2/shards", raw='HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n'
                 '{"type":"error"}\n'),
            dict(origin="hub", path="xet-write-token", status=404),
            dict(origin="hub", path="xet-write-token", json={"casUrl": "http://10.0.0.1"}),
            dict(origin="hub", path="xet-write-token", json={"casUrl": "https://10.0.0.1"})]):
        k.hub.forget()
        k.hub.fault(**{"count": None, **fault})
        write(k.dir, {"m%d.bin" % n: data(100 + n, 300000)})
        k.ok(up(k, "-v"), err="LFS")
        assert len(puts(k)) == 1, fault
    same(k)


@hub_with(xet=True)
def test_older_storage(k):
    """It has only version 1 of the shards."""
    k.hub.fault(origin="cas", path="/v2/shards", status=404, count=None)
    write(k.dir, {"a.bin": data(10, MB), "b.bin": data(11, MB)})
    by_xet(k, k.ok(up(k, "-j", "1")))
    assert len(k.hub.asked("cas", path="/v2/shards")) == 1


FAULTS = [
    dict(path="/xorbs/", status=503), dict(path="/xorbs/", hang_up=True),
    dict(path="/xorbs/", hang_up_after=1), dict(path="/xorbs/", hang_up_after=700001, reset=True),
    dict(path="/xorbs/", hang_up_after=1000000), dict(path="/xorbs/", lose_answer=True),
    dict(path="/xorbs/", status=401), dict(path="/xorbs/", status=429, headers={"Retry-After": "1"}),
    dict(path="/shards", status=500), dict(path="/shards", lose_answer=True),
    dict(path="/shards", drop_after=1), dict(path="/shards", drop_after=60),
    dict(path="/shards", status=401), dict(path="/shards", edit=lambda body: b""),
    dict(path="/shards", edit=lambda body: b'{"type":"odd"}\n{"type":"result"}'),
    dict(path="/shards", edit=lambda body: b'{"type":"error","retryable":true}\n'),
    dict(path="/chunks/", status=500, count=None), dict(path="/chunks/", truncate=-3),
    dict(path="/chunks/", lose_answer=True),
]


@hub_with(xet=True, heartbeats=3)
def test_passing_faults(k):
    """Each is survived, and all that goes by Xet."""
    cases = FAULTS if LONG else random.Random(SEED).sample(FAULTS, 4)
    for n, fault in enumerate(cases):
        k.hub.forget()
        k.hub.fault(origin="cas", **fault)
        write(k.dir, {"m.bin": data(200 + n, 1500000)})
        k.ok(up(k, env={"HUB_SEED": str(SEED)}))
        assert not puts(k) and len(commits(k)) == 1, fault
        assert there(k)["m.bin"].content.size == 1500000
    same(k)


@hub_with(xet=True)
def test_token_lapses(k):
    k.hub.fault(origin="cas", path="/xorbs/", skip=1, call=k.hub.cas.expire_tokens)
    write(k.dir, {"a.bin": data(12, 2 * MB), "b.bin": data(13, 2 * MB)})
    by_xet(k, k.ok(up(k, "-j", "1")))
    assert len(k.hub.asked("hub", path="xet-write-token")) == 2


@hub_with(xet=True)
def test_lies_about_chunks(k):
    """What the storage says to have is not there: all is sent."""
    content = data(14, 3 * MB)
    write(k.dir, {"m.bin": content})
    by_xet(k, k.ok(up(k)))
    old = dict(k.hub.cas.xorbs)
    k.hub.forget()
    shutil.rmtree(str(k.dir / ".cache"))
    k.hub.fault(origin="cas", path="/chunks/", count=None, call=k.hub.cas.xorbs.clear)
    write(k.dir, {"m.bin": content[:2 * MB]})
    k.ok(up(k))
    assert len(k.hub.asked("cas", path="/shards")) == 2 and not puts(k)
    assert sent(k) >= 2 * MB and len(k.hub.violations) == 1
    k.hub.violations.clear()
    k.hub.cas.xorbs.update(old)
    same(k)


@hub_with(xet=True)
def test_changes_while_it_is_sent(k):
    """It is not committed, and the other file is."""
    path = k.dir / "m.bin"
    write(k.dir, {"m.bin": data(15, 6 * MB), "b.bin": data(16, MB)})
    k.hub.fault(origin="cas", path="/xorbs/", rate=1, delay=0.1,
                call=lambda: path.write_bytes(data(17, 6 * MB)))
    r = k.ok(up(k, "-j", "1"), status=(1, 2, 3, 4, 5, 6, 7, 8, 9), err="changed")
    assert "m.bin" not in there(k) or "b.bin" in there(k)
    assert r.err.count("changed")
    assert there(k).get("m.bin") is None
    k.hub.forget()
    by_xet(k, k.ok(up(k)))


# interrupted

def kill_at(k, count):
    """Ends an upload once so many bytes of xorbs were stored or are on their way."""
    process = k.start("upload", "-r", ID, "-p", k.dir, env={"HF_TOKEN": k.tokens["write"]})
    k.wait_for(lambda: len(k.hub.asked("cas", "POST", "/xorbs/")) >= count or
               process.poll() is not None, what="%d xorbs" % count)
    time.sleep(random.random() / 20)
    process.kill()
    process.wait()


@hub_with(xet=True)
@limit(600 if LONG else 120)
def test_killed(k):
    """What was stored is not sent again, and nothing is committed twice."""
    random.seed(SEED)
    size = (400 if LONG else 100) * MB
    write(k.dir, {"m.bin": noise(SEED, size), "small.bin": data(1, MB)})
    with open(k.dir / "m.bin", "r+b") as f:
        for at in range(0, size, 1 << 15):
            f.seek(at)
            f.write(at.to_bytes(8, "little"))
    kills = 100 if LONG else 3
    for n in range(kills):
        kill_at(k, random.randint(1, 2))
    by_xet(k, k.ok(up(k)))
    assert len(commits(k)) <= 2
    stored = sum(x.content.size for x in k.hub.cas.xorbs.values())
    whole = [e for e in k.hub.asked("cas", "POST", "/xorbs/") if e["status"] == 200]
    # A xorb is stored twice only where the answer came too late for the journal.
    assert len(whole) <= len(k.hub.cas.xorbs) + kills, len(whole)
    assert stored < 1.02 * (size + MB)


@hub_with(xet=True)
def test_stored_xorbs_are_lost(k):
    """What the journal says to be stored is not there any more."""
    write(k.dir, {"m.bin": data(18, 3 * MB)})
    k.hub.fault(origin="cas", path="/shards", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0"), status=5)
    k.hub.forget()
    k.hub.cas.xorbs.clear()
    k.ok(up(k))
    assert sent(k) >= 3 * MB and not puts(k)
    k.hub.violations.clear()
    same(k)


@hub_with(xet=True)
def test_continues(k):
    """Only the shard was missing."""
    write(k.dir, {"m.bin": data(19, 3 * MB)})
    k.hub.fault(origin="cas", path="/shards", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0"), status=5)
    k.hub.forget()
    by_xet(k, k.ok(up(k)))
    assert not sent(k)
