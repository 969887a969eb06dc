"""End-to-end tests of uploads by Xet: what is sent, what is not sent again, and what can go wrong
there. HUB_LONG=1: more kills. The random numbers follow from HUB_SEED, which a failure tells."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter

from fakehub import mixed, xet
from fakehub.content import Bytes
from kit import MB, Skip, bounded, hub_with, is_checked, limit
from upload import ID, commits, peak_kib, puts, same, start, there, up, write
from upload_truth import SETTLED, falsify

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
    write(k.dir, {"m.bin": data(2, MB) + data(3, 65 * MB)})
    by_xet(k, k.ok(up(k)))
    assert len(k.hub.asked("cas", "POST", "/xorbs/")) == 2
    to = k.top / "back"
    k.ok(k.download(ID, to=to))
    assert (to / "m.bin").read_bytes() == (k.dir / "m.bin").read_bytes()
    assert k.from_cdn() == 0


def weights(seed, size):
    """Numbers of four bytes, which BG4 packs and LZ4 alone does not."""
    made = bytearray(data(seed, size))
    made[2::4] = made[2::4].translate(bytes(b % 8 for b in range(256)))
    made[3::4] = b"\x3f" * len(made[3::4])
    return bytes(made)


def text(seed, size):
    words = [b"%x" % n for n in range(900)]
    return b" ".join(random.Random(seed).choices(words, k=size // 3))[:size]


def schemes(xorbs):
    """How many entries of each scheme they have."""
    return Counter(int(scheme) for x in xorbs
                   for _, _, scheme, _ in xet.TOOL.lines("entries", x.content.read()))


@hub_with(xet=True)
def test_packed(k):
    """What becomes smaller is packed, in small xorbs; noise is sent as it is, in large ones. Each
    can be had again by Xet."""
    files = {"w.bin": weights(50, 5 * MB + 1), "t.bin": text(51, 1000001), "n.bin": data(52, 5 * MB),
             "m.bin": mixed(53, 2 * MB), "z.bin": bytes(70000), "one.bin": b"1"}
    write(k.dir, files)
    by_xet(k, k.ok(up(k)))
    found = [(schemes([x]), x.starts[-1]) for x in k.hub.cas.xorbs.values()]
    whole = sum((entries for entries, _ in found), Counter())
    assert whole[xet.BG4] > 40 and whole[xet.LZ4] > 8 and whole[xet.STORED] > 40, whole
    assert max(size for entries, size in found if len(entries) > 1 or 0 not in entries) < 4 * MB
    assert max(size for _, size in found) == 5 * MB
    assert sent(k) < 0.85 * sum(map(len, files.values())), sent(k)
    to = k.top / "back"
    k.ok(k.download(ID, to=to))
    for name, content in files.items():
        assert (to / name).read_bytes() == content, name


@hub_with(xet=True)
def test_packed_in_trouble(k):
    """A second try packs the xorb again; a third run has nothing to send."""
    write(k.dir, {"w.bin": weights(54, 6 * MB)})
    for fault in (dict(hang_up_after=1), dict(hang_up_after=700001, reset=True),
                  dict(lose_answer=True)):
        k.hub.fault(origin="cas", path="/xorbs/", **fault)
    by_xet(k, k.ok(up(k, "-j", "2")))
    k.hub.forget()
    write(k.dir, {"w.bin": weights(54, 6 * MB) + b"more"})
    by_xet(k, k.ok(up(k)))
    assert sent(k) < 300000


@hub_with(xet=True)
def test_packed_and_interrupted(k):
    """The journal knows packed xorbs, too."""
    write(k.dir, {"w.bin": weights(55, 9 * MB)})
    k.hub.fault(origin="cas", path="/xorbs/", skip=1, hang_up=True, count=None)
    k.ok(up(k, "--retries", "0", "-j", "1"), status=5)
    first = set(k.hub.cas.xorbs)
    assert len(first) == 1
    k.hub.forget()
    by_xet(k, k.ok(up(k, "-j", "8")))
    again = [e["path"] for e in k.hub.asked("cas", "POST", "/xorbs/")]
    assert len(again) == len(k.hub.cas.xorbs) - 1 == 2
    assert not any(hash in path for hash in first for path in again)


@hub_with(xet=True)
def test_memory_of_packing(k):
    """With eight connections and a storage that takes its time, it is bounded; and what is not packed
    takes none of it."""
    for content, most, delay in ((weights, 32 * MB, 0.2), (data, 12 * MB, 0)):
        write(k.dir, {"%d.bin" % n: content(57 + n, 8 * MB) for n in range(2)})
        k.hub.fault(origin="cas", path="/xorbs/", delay=delay, count=None)
        process, peak = start(k, "-q", "-j", "8"), 0
        while process.poll() is None:
            peak = max(peak, peak_kib(process.pid))
            time.sleep(0.02)
        by_xet(k, k.ok(k.finish(process)))
        if not is_checked():
            assert 0 < peak * 1024 < most, "%d KiB of memory" % peak


@hub_with(xet=True)
def test_little_memory(k):
    """There nothing is packed. All that the journal can have is read, even there."""
    if is_checked():
        raise Skip("a sanitizer wants address space without end")
    write(k.dir, {"w.bin": weights(56, 3 * MB)})
    by_xet(k, k.ok(up(k, "-j", "2", wrap=bounded(18))))
    assert set(schemes(k.hub.cas.xorbs.values())) == {xet.STORED}
    chunks, = (k.dir / ".cache/huggingface/upload").glob("*.chunks")
    piece = chunks.read_bytes()
    chunks.write_bytes(piece * (6 * MB // len(piece)))
    write(k.dir, {"w.bin": weights(56, 3 * MB) + b"more"})
    k.hub.dedupe = False
    by_xet(k, k.ok(up(k, "-j", "2", wrap=bounded(10)), err="of it new"))


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


@hub_with(xet=True)
def test_inserted(k):
    """The Hub knows the file, but for the chunks that another beginning makes. It may be asked again
    for chunk 157, and the answer counts for the chunks before it, too. Of a file that was changed in
    some places it knows the first chunk."""
    content = data(67, 9 * MB)
    write(k.dir, {"m.bin": content})
    by_xet(k, k.ok(up(k)))
    for change, answers, most in ((b"12345" + content, [404, 200], 150000),
                                  (content[:4 * MB] + data(68, 90000) + content[4 * MB + 90000:],
                                   [200], 300000)):
        k.hub.forget()
        shutil.rmtree(str(k.dir / ".cache"))
        write(k.dir, {"m.bin": change})
        by_xet(k, k.ok(up(k)))
        assert [e["status"] for e in k.hub.asked("cas", "GET", "/chunks/")] == answers
        assert 0 < sent(k) < most, sent(k)


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
def test_storage_that_never_does_well(k):
    """It answers, but always so: after the retries LFS takes over."""
    for n, fault in enumerate([dict(status=503), dict(status=401), dict(status=429)]):
        k.hub.forget()
        k.hub.fault(origin="cas", path="/xorbs/", count=None, **fault)
        write(k.dir, {"m%d.bin" % n: data(110 + n, 300000)})
        k.ok(up(k, "-v", "--retries", "1"), err="sending by LFS")
        assert len(puts(k)) == 1 and len(k.hub.asked("cas", "POST", "/xorbs/")) >= 2, fault
    same(k)


@hub_with(xet=True)
def test_storage_that_does_badly_for_a_while(k):
    """It has a part of the file: the next run goes on."""
    content = data(115, 3 * MB)
    write(k.dir, {"m.bin": content})
    by_xet(k, k.ok(up(k)))
    k.hub.fault(origin="cas", path="/xorbs/", status=503, count=None)
    write(k.dir, {"m.bin": content + data(116, MB)})
    k.ok(up(k, "--retries", "1"), status=5)
    k.hub.forget()
    by_xet(k, k.ok(up(k)))
    assert sent(k) < 1.2 * MB


@hub_with(xet=True)
def test_redirect_gets_no_token(k):
    """The storage leads elsewhere: nothing goes there."""
    for path in ("/xorbs/", "/shards", "/chunks/"):
        k.hub.forget()
        k.hub.fault(origin="cas", path=path, status=307, count=None,
                    headers={"Location": k.hub.cdn_url + "/stolen"})
        write(k.dir, {"m.bin": data(len(path), 300000)})
        k.ok(up(k))
        assert not k.hub.asked(path="stolen"), path
    same(k)


@hub_with(xet=True)
def test_events_without_end(k):
    """The storage never says what becomes of the shard: in many lines, in one, or slowly."""
    for n, line in enumerate(['{"type":"committing"}\n' * 1000, "x"]):
        k.hub.forget()
        k.hub.fault(origin="cas", path="/shards", count=None, status=200, body="", endless=True,
                    filler=line)
        write(k.dir, {"m%d.bin" % n: data(400 + n, 300000)})
        k.ok(up(k, "-v"), err="does not say whether it takes the file; sending by LFS")
        same(k)
    k.hub.forget()
    k.hub.heartbeats, k.hub.heartbeat = 10 ** 9, 0.01
    write(k.dir, {"m.bin": data(41, 300000)})
    process = start(k)
    k.wait_for(lambda: k.hub.asked("cas", path="/shards"), what="the shard")
    process.send_signal(signal.SIGINT)
    k.ok(k.finish(process, timeout=5), 130)


@hub_with(xet=True)
def test_sentence_of_the_storage(k):
    """It may have anything in it."""
    k.hub.fault(origin="cas", path="/shards", count=None, edit=lambda body: json.dumps(
        {"type": "error", "message": "no\x1b[31m\n" + list(k.hub.cas.tokens)[-1] + "x" * 9999}).encode())
    write(k.dir, {"m.bin": data(42, 300000)})
    r = k.ok(up(k, "-v"), err="refuses the file: no")
    assert "\x1b" not in r.err and len(r.err) < 4000
    same(k)


@hub_with(xet=True)
def test_events_of_odd_forms(k):
    """Unknown ones do not count, and the last one may lack its end; without one it is no answer."""
    k.hub.fault(origin="cas", path="/shards", edit=lambda body:
                b'{"type":"odd"}\n\nno JSON\n{"a":1}\n{"type":"result"}')
    write(k.dir, {"m.bin": data(44, 300000)})
    by_xet(k, k.ok(up(k)))
    assert len(k.hub.asked("cas", path="/shards")) == 1
    k.hub.forget()
    k.hub.fault(origin="cas", path="/shards", edit=lambda body: b'{"type":"validating"}\n')
    write(k.dir, {"m.bin": data(441, 300000)})
    by_xet(k, k.ok(up(k)))
    assert len(k.hub.asked("cas", path="/shards")) == 2, "an answer without a result is believed"


@hub_with(xet=True)
def test_questions_about_chunks(k):
    """A few for a file of many; none any more if they are never answered."""
    write(k.dir, {"m.bin": data(45, 18 * MB)})
    by_xet(k, k.ok(up(k)))
    assert 1 <= len(k.hub.asked("cas", path="/chunks/")) <= 2
    k.hub.forget()
    k.hub.fault(origin="cas", path="/chunks/", status=500, count=None)
    write(k.dir, {"%d.bin" % n: data(450 + n, 100000) for n in range(6)})
    by_xet(k, k.ok(up(k, "-j", "1")))
    assert len(k.hub.asked("cas", path="/chunks/")) == 3


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
def test_wait_for_the_shard(k):
    """A long wait that the storage asks for is said."""
    if not LONG:
        raise Skip("waits for 7 s: HUB_LONG=1")
    k.hub.fault(origin="cas", path="/shards", status=503, headers={"Retry-After": "7"})
    write(k.dir, {"m.bin": data(46, 300000)})
    by_xet(k, k.ok(up(k), err="the Xet storage answered with status 503"))


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


@hub_with(xet=True)
def test_becomes_shorter_while_it_is_read(k):
    path = k.dir / "m.bin"
    write(k.dir, {"m.bin": data(43, 6 * MB)})
    k.hub.fault(origin="cas", path="/chunks/", call=lambda: os.truncate(str(path), 700001))
    k.ok(up(k), status=(1, 6), err="changed")
    k.hub.forget()
    by_xet(k, k.ok(up(k)))


# interrupted

def whole(k):
    """Requests of xorbs that came in whole."""
    return [e for e in k.hub.asked("cas", "POST", "/xorbs/") if e["status"] == 200]


JOBS = 2
PIECE = 1500001


@hub_with(xet=True)
@limit(900 if LONG else 120)
def test_killed_at_random(k):
    """What was stored is not sent again, and nothing is committed twice. Every other file is
    packed, in two xorbs or so."""
    dice = random.Random(SEED)
    kills, count = (100, 150) if LONG else (20, 30)
    for n in range(count):
        made = weights(dice.random(), 3 * PIECE) if n % 2 else dice.randbytes(PIECE)
        write(k.dir, {"%02d.bin" % n: made})
    met = 0
    for _ in range(kills):
        process = start(k, "-q", "-j", str(JOBS))
        time.sleep(dice.uniform(0, 0.4))
        process.kill()
        met += k.finish(process).status == 137
    assert met >= kills // 2, "only %d kills met it" % met
    by_xet(k, k.ok(up(k)))
    made = [e for e in commits(k) if e["status"] == 200]
    assert len(made) == 1, "%d commits" % len(made)
    # Those that were stored when the kill came before the answer.
    stored = [k.hub.cas.xorbs[e["path"].split("/")[-1]] for e in whole(k)]
    again = sum(x.starts[-1] for x in stored) - 2 * count * PIECE
    assert schemes(stored)[xet.BG4] > 3 * count
    assert again <= met * JOBS * 3 * PIECE, "%d bytes again after %d kills" % (again, met)


@hub_with(xet=True)
def test_killed_inside_a_file(k):
    write(k.dir, {"m.bin": data(58, 68 * MB)})
    k.hub.fault(origin="cas", path="/xorbs/", skip=1, delay=60, count=None)
    process = start(k, "-q")
    k.wait_for(lambda: whole(k), what="the first xorb")
    time.sleep(0.3)
    process.kill()
    k.finish(process)
    k.hub.forget()
    by_xet(k, k.ok(up(k), err="of it new"))
    assert 0 < sent(k) < 6 * MB, sent(k)


def global_after(content, first):
    """Whether the storage knows some chunk from that number on when it is stored."""
    chunks = [c for c, _ in xet.cut(Bytes(content))]
    return any(xet.is_global(c.hash) for c in chunks[first:])


@hub_with(xet=True)
def test_continues_where_chunks_are_known(k):
    """The storage knows some chunks of what an interrupted run has sent: nothing is sent again."""
    content = data(18, 22 * MB)
    assert global_after(content, 256), "another seed is needed"
    write(k.dir, {"m.bin": content})
    k.hub.fault(origin="cas", path="/shards", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0"), status=5)
    k.hub.forget()
    by_xet(k, k.ok(up(k), err="(23.1 MB, 0 B of it new)"))
    assert not sent(k), sent(k)


@hub_with(xet=True)
def test_continues_beside_others(k):
    """Which file has the chunks that two share is not what it was in the run before."""
    shared = data(50, 3 * MB)
    write(k.dir, {"a.bin": data(51, MB) + shared + data(52, MB),
                  "b.bin": data(53, MB) + shared + data(54, MB)})
    k.hub.fault(origin="cas", path="/shards", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0", "-j", "1"), status=5)
    k.hub.forget()
    write(k.dir, {"0.bin": shared[:2 * MB]})
    by_xet(k, k.ok(up(k, "-j", "1")))
    assert sent(k) < 2.2 * MB, sent(k)  # 0.bin, which was not known


@hub_with(xet=True)
def test_only_the_commit_is_missing(k):
    """The Hub has all contents: none of it is new."""
    write(k.dir, {"m.bin": data(55, 2 * MB)})
    k.hub.fault(origin="hub", path="/commit/", status=500, count=None)
    k.ok(up(k, "--retries", "0"), status=5)
    k.hub.forget()
    r = by_xet(k, k.ok(up(k, "--json"), err="(2.10 MB, 0 B of it new)"))
    assert json.loads(r.out)["new"] == 0 and json.loads(r.out)["bytes"] == 2 * MB
    assert not k.hub.asked("cas") and len(commits(k)) == 1


@hub_with(xet=True)
def test_wrong_hash_in_the_journal(k):
    """The storage is not told of a file under a hash that it does not have."""
    write(k.dir, {"m.bin": data(60, 700001)})
    time.sleep(SETTLED)
    k.hub.fault(origin="cas", path="/xorbs/", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0"), status=5)
    falsify(k)
    k.hub.forget()
    by_xet(k, k.ok(up(k)))
    assert len(k.hub.asked("cas", path="/shards")) == 1


@hub_with(xet=True)
def test_no_room_for_the_journal(k):
    """It costs what would have been saved."""
    content = data(59, 3 * MB)
    full = ("sh", "-c", 'ulimit -f 1; exec "$@"', "sh")
    write(k.dir, {"m.bin": content})
    k.hub.fault(origin="cas", path="/shards", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0", wrap=full), status=5)
    assert sum(p.stat().st_size for p in (k.dir / ".cache/huggingface/upload").iterdir()) < 3000
    k.hub.forget()
    by_xet(k, k.ok(up(k, wrap=full)))
    k.hub.forget()
    k.hub.dedupe = False
    write(k.dir, {"n.bin": content + b"more"})
    by_xet(k, k.ok(up(k)))
    k.hub.forget()
    write(k.dir, {"o.bin": content + b"and more"})
    by_xet(k, k.ok(up(k), err="of it new"))
    assert sent(k) < MB


@hub_with(xet=True)
def test_two_at_once(k):
    """The second one may find the branch moved; nothing is wrong after it."""
    write(k.dir, {"a.bin": data(56, 3 * MB), "b.bin": data(57, MB)})
    both = [start(k, "-j", "2") for _ in range(2)]
    for process in both:
        k.ok(k.finish(process), status=(0, 8))
    k.ok(up(k))
    same(k)
    assert not puts(k) and not k.hub.violations


@hub_with(xet=True)
def test_stored_xorbs_are_lost(k):
    """What the journal says to be stored is not there any more, of two files; a third one was not
    sent before."""
    write(k.dir, {"m.bin": data(18, 3 * MB), "n.bin": data(20, MB)})
    k.hub.fault(origin="cas", path="/shards", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0"), status=5)
    k.hub.forget()
    k.hub.cas.xorbs.clear()
    write(k.dir, {"new.bin": data(21, MB)})
    k.ok(up(k))
    assert sent(k) >= 5 * MB and not puts(k)
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
