"""End-to-end tests of `hub download`. Each test_* takes a Kit (kit.py)."""

import json
import os
import shutil
import signal
import stat
import subprocess
import time

from fakehub import Generated, Lfs, Proxy, Regular
from kit import EMULATOR, MB, Skip, hub_with, limit, sha256, tmpfs, tree

ID = "acme-lab/tiny"

SAMPLE = {
    "README.md": "---\nlicense: mit\n---\n# tiny\n",
    "config.json": '{"a": 1}\n',
    "empty.txt": b"",
    "empty.bin": b"",
    "a/b/c/d/deep.txt": "deep\n",
    "weights/model.safetensors": Generated(1, 9 * MB + 7),
    "weights/copy.safetensors": Generated(1, 9 * MB + 7),
    "vocab.bin": bytes(range(256)) * 100,
}

MODEL = "weights/model.safetensors"

ODD = ["with space.txt", "100%.txt", "%2e%2e.txt", "a#b.txt", "a?b.txt", "a+b.txt", "über.txt",
       "日本/語.txt", "-dash", "--", "&amp;", "quote'\".txt", "a;b=c", "[x].txt", "{y}", "~",
       "dir with space/#/?/file", ".hidden", "trailing dot.", "e\u0301.txt", "*", "x" * 200]


def sample(k, files=None, **options):
    return k.hub.add_repo(ID, SAMPLE if files is None else files, **options)


def large(k, size=24 * MB, rate=None, **options):
    """A repository with one large file, which the CDN sends at so many bytes a second."""
    repo = k.hub.add_repo(ID, {"big.bin": Generated(5, size)}, **options)
    if rate:
        k.hub.fault(origin="cdn", rate=rate, count=None)
    return repo


# what arrives

def test_whole_repository(k):
    repo = sample(k)
    r = k.ok(k.download(repo))
    k.same(repo)
    assert r.out.strip() == str(k.dir), "stdout is not the path"


def test_odd_names(k):
    repo = sample(k, {name: "of %d\n" % n for n, name in enumerate(ODD)})
    repo.commit({"lfs " + name: Lfs(b"lfs %d" % n) for n, name in enumerate(ODD[:12])})
    k.ok(k.download(repo))
    k.same(repo)


def test_only_empty_files(k):
    repo = sample(k, {"a": b"", "b/c": b""})
    k.ok(k.download(repo))
    k.same(repo)


def test_second_run_asks_for_no_content(k):
    repo = sample(k)
    k.ok(k.download(repo))
    k.hub.forget()
    k.ok(k.download(repo))
    assert not k.content_requests(), "content was asked for"
    k.same(repo)


def test_second_run_without_metadata(k):
    """Files that are there and right are not fetched again, whoever put them there."""
    repo = sample(k)
    k.ok(k.download(repo))
    os.rename(str(k.dir / ".cache"), str(k.top / "gone"))
    k.hub.forget()
    k.ok(k.download(repo))
    assert k.from_cdn() == 0
    k.same(repo)


def test_changed_file_is_mended(k):
    repo = sample(k)
    k.ok(k.download(repo))
    (k.dir / "config.json").write_text("mine")
    time.sleep(1.1)
    (k.dir / "config.json").write_text("mine!")
    k.ok(k.download(repo))
    k.same(repo)


def test_force(k):
    repo = sample(k)
    k.ok(k.download(repo))
    k.hub.forget()
    k.ok(k.download(repo, "--force"))
    assert k.from_cdn() > 9 * MB
    k.same(repo)


def test_revisions(k):
    repo = sample(k, {"a.txt": "one"})
    first = repo.head().oid
    repo.branch("feat/x")
    repo.tag("v1.0")
    repo.commit({"a.txt": "two", "b.bin": Lfs(b"b")})
    repo.open_pull()
    for n, revision in enumerate([first, "feat/x", "v1.0", "main", "refs/pr/1"]):
        to = k.top / str(n)
        k.ok(k.download(repo, "--revision", revision, to=to))
        k.same(repo, revision, folder=to)


def test_one_commit_for_all(k):
    repo = sample(k)
    head = repo.head().oid
    k.ok(k.download(repo))
    asked = [e["path"] for e in k.hub.asked("hub") if "/resolve" in e["path"]]
    assert asked and all(head in p for p in asked), asked


def test_update_takes_only_what_changed(k):
    repo = sample(k)
    k.ok(k.download(repo))
    repo.commit({"config.json": '{"a": 2}\n', "new.txt": "new"})
    k.hub.forget()
    k.ok(k.download(repo))
    assert k.from_cdn() == 0
    k.same(repo)


def test_types(k):
    for type in ("model", "dataset", "space", "kernel"):
        repo = k.hub.add_repo("acme-lab/" + type, SAMPLE, type=type)
        to = k.top / type
        k.ok(k.download(repo, "-t", type, to=to))
        k.same(repo, folder=to)
    k.ok(k.download("acme-lab/model", "--repo-type", "dataset"), (3, 4))


def test_counts_as_a_download(k):
    """The field goes with all requests to the endpoint, and with none elsewhere, nor with uploads."""
    def counted(origin):
        return {e["headers"].get("x-hf-download-counter") for e in k.hub.asked(origin)}
    repo = sample(k)
    k.ok(k.download(repo))
    assert counted("hub") == {"1"} and counted("cdn") == {None}
    k.hub.forget()
    k.ok(k.run("upload", "-r", "acme-lab/up", "-p", k.dir, env={"HF_TOKEN": k.tokens["write"]}))
    assert counted("hub") == {None}


@hub_with(page=7)
def test_pages(k):
    repo = sample(k, {"d%d/f%d" % (n % 5, n): "%d" % n for n in range(60)})
    k.ok(k.download(repo))
    k.same(repo)
    assert len(k.hub.asked(path="cursor=")) >= 8


@limit(240)
def test_large_and_many(k):
    files = {"many/%02d/%d.txt" % (n % 30, n): "file %d\n" % n for n in range(3000)}
    repo = sample(k, {**files, "m.bin": Generated(9, (30 if EMULATOR else 300) * MB)})
    k.hub.throttle.quotas.update(api=10 ** 6, resolvers=10 ** 6)
    k.ok(k.download(repo, timeout=200))
    k.same(repo)
    k.hub.forget()
    k.ok(k.download(repo, timeout=60))
    assert not k.content_requests()


def test_renamed(k):
    repo = sample(k, aliases=["acme-lab/old", "legacy"])
    for n, id in enumerate(["acme-lab/old", "legacy", "ACME-lab/Tiny"]):
        to = k.top / str(n)
        k.ok(k.download(id, to=to))
        k.same(repo, folder=to)


@hub_with(xet=True)
def test_xet_files_by_the_bridge(k):
    repo = sample(k)
    k.ok(k.download(repo))
    k.same(repo)


@hub_with(tls=False)
def test_plain_http_on_loopback(k):
    repo = sample(k)
    k.ok(k.download(repo, token="read"))
    k.same(repo)


@hub_with(prefix="/mirror/hf")
def test_endpoint_with_path(k):
    repo = sample(k)
    k.ok(k.download(repo))
    k.same(repo)


@hub_with(key=2048)
def test_rsa_certificate(k):
    repo = sample(k)
    k.ok(k.download(repo))
    k.same(repo)


# what is asked for

def test_file_by_its_name(k):
    repo = sample(k)
    to = k.top / "config.json"
    r = k.ok(k.download(repo, "-f", to=to))
    assert to.read_text() == SAMPLE["config.json"]
    assert r.out.strip() == str(to)
    assert not (k.top / "README.md").exists()


def test_file_under_another_name(k):
    repo = sample(k)
    to = k.top / "out" / "m.bin"
    k.ok(k.download(repo, "weights/model.safetensors", "--file", to=to))
    assert sha256(to) == SAMPLE["weights/model.safetensors"].sha256()


def test_file_bundled_and_joined_options(k):
    repo = sample(k)
    to = k.top / "config.json"
    k.ok(k.run("download", "-fd", "--repo_id=" + repo.id, "-p" + str(to)))
    assert to.read_text() == SAMPLE["config.json"]


def test_some_files(k):
    repo = sample(k)
    k.ok(k.download(repo, "config.json", "a/b/c/d/deep.txt"))
    k.same(repo, only=lambda p: p in ("config.json", "a/b/c/d/deep.txt"))


def test_include_exclude(k):
    repo = sample(k)
    k.ok(k.download(repo, "--include", "*.txt", "--include", "weights/*", "--exclude", "*copy*"))
    k.same(repo, only=lambda p: (p.endswith(".txt") or p.startswith("weights/"))
           and "copy" not in p)


def test_repository_as_argument_and_address(k):
    repo = sample(k, type="dataset")
    repo.tag("v1")
    for n, words in enumerate([["hf://datasets/acme-lab/tiny@v1"],
                               ["https://huggingface.co/datasets/acme-lab/tiny/tree/v1"],
                               [ID, "-t", "dataset"]]):
        to = k.top / str(n)
        k.ok(k.run("download", *words, "--local-dir", to))
        k.same(repo, folder=to)


def test_to_standard_output(k):
    repo = sample(k)
    r = k.ok(k.run("download", "-r", repo.id, "-o", "-", "weights/model.safetensors"))
    assert r.raw == SAMPLE["weights/model.safetensors"].read()


def test_standard_output_with_wrong_content(k):
    repo = sample(k)
    k.hub.fault(origin="cdn", corrupt_at=5 * MB, count=None)
    k.ok(k.run("download", "-r", repo.id, "-o", "-", "weights/model.safetensors"), 6)


def to_output(k, *more, status=0, **how):
    """What -o - writes of MODEL is its beginning at least, and all of it if it succeeds."""
    r = k.ok(k.run("download", "-r", ID, "-o", "-", MODEL, *more), status, **how)
    want = SAMPLE[MODEL].read()
    assert r.raw == want[:len(r.raw)] and (status or len(r.raw) == len(want)), "wrong bytes"
    return r


def test_standard_output_from_a_server_without_ranges(k):
    """After a cut it begins at 0 again: what was written is dropped."""
    sample(k)
    for cut in (1, 700001, 1000000, 9 * MB + 6):
        k.hub.forget()
        k.hub.fault(origin="cdn", drop_after=cut)
        k.hub.fault(origin="cdn", ignore_range=True, count=None)
        r = to_output(k)
        assert len(k.hub.asked("cdn")) == 2 and r.seconds < 20
    k.hub.forget()
    for n in range(1, 6):
        k.hub.fault(origin="cdn", ignore_range=True, count=1 if n == 1 else 2, drop_after=n * 700001)
    k.hub.fault(origin="cdn", ignore_range=True, count=None)
    to_output(k)


def test_standard_output_never_gets_past_a_cut(k):
    sample(k)
    k.hub.fault(origin="cdn", ignore_range=True, count=None, drop_after=700001)
    r = to_output(k, "--retries", "1", status=5)
    assert len(r.raw) <= 700001


def test_standard_output_drops_only_what_it_has_written(k):
    """An answer that begins with other bytes is not gone on with, nor a page that is none."""
    repo = sample(k)
    for lie in ({"corrupt_at": 5}, {"corrupt_at": 699999}, {"filler": "x", "endless": True},
                {"status": 200, "body": "Please log in\n"},
                {"status": 200, "body": "Please log in\n", "chunked": True}):
        k.hub.forget()
        k.hub.fault(origin="cdn", drop_after=700001)
        k.hub.fault(origin="cdn", ignore_range=True, count=2, **lie)
        to_output(k)
    # What was written is what is wrong: then nothing that comes fits.
    k.hub.forget()
    k.hub.fault(origin="cdn", drop_after=700001, corrupt_at=5)
    k.hub.fault(origin="cdn", ignore_range=True, count=None)
    r = k.run("download", "-r", repo.id, "-o", "-", MODEL, "--retries", "1")
    k.ok(r, 6, err="different bytes than before")
    assert len(r.raw) <= 700001


def test_dry_run(k):
    repo = sample(k)
    k.ok(k.download(repo, "--dry-run"))
    assert not k.content_requests() and not k.dir.exists()


# breaking off and going on

def test_resume_after_kill(k):
    # No faster than it can read: what is sent and was not read is fetched again.
    repo = large(k, rate=MB if EMULATOR else 6 * MB)
    process = k.start("download", "-r", repo.id, "-p", k.dir, "-j", "2")
    k.kill_after(process, 9 * MB)
    k.finish(process)
    assert "big.bin" not in tree(k.dir), "an unfinished file under its name"
    ours = k.dir / ".cache" / "huggingface"
    assert {p.name for p in ours.iterdir()} == {".gitignore", "CACHEDIR.TAG", "download",
                                                 "trees"}
    assert {p.suffix for p in (ours / "download").iterdir()} == {".metadata", ".part", ".state"}
    first = k.from_cdn()
    k.hub.forget()
    k.ok(k.download(repo, "-d", "-j", "2"))
    k.same(repo)
    assert k.from_cdn() <= 24 * MB - first + 4 * MB, "too much was fetched again"


def test_no_resume_without_d(k):
    repo = large(k, rate=6 * MB)
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    k.kill_after(process, 9 * MB)
    k.finish(process)
    k.hub.forget()
    k.ok(k.download(repo), err="-d")
    k.same(repo)
    assert k.from_cdn() >= 24 * MB


def test_interrupt_keeps_state(k):
    repo = large(k, rate=6 * MB)
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    k.kill_after(process, 9 * MB, signal.SIGINT)
    r = k.ok(k.finish(process), 130, err="-d")
    assert r.seconds < 2, "took %.1f s to end" % r.seconds
    first = k.from_cdn()
    k.hub.forget()
    k.ok(k.download(repo, "-d"))
    k.same(repo)
    assert k.from_cdn() <= 24 * MB - first + 10 * MB


def test_ctrl_c_at_a_terminal(k):
    repo = large(k, rate=4 * MB)
    r = k.terminal("download", "-r", repo.id, "-p", k.dir, answers=[("big.bin", "\x03")])
    assert r.status == 130 and "-d" in r.out, "status %d" % r.status
    k.ok(k.download(repo, "-d"))
    k.same(repo)


def test_terminate_is_143(k):
    repo = large(k, rate=2 * MB)
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    k.kill_after(process, 2 * MB, signal.SIGTERM)
    k.ok(k.finish(process), 143)


def test_resume_with_another_content(k):
    """The branch moved in between: nothing of the old content may stay."""
    repo = large(k, rate=6 * MB)
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    k.kill_after(process, 6 * MB)
    k.finish(process)
    repo.commit({"big.bin": Generated(6, 20 * MB)})
    k.hub.forget()
    k.ok(k.download(repo, "-d"))
    k.same(repo)


def test_resume_is_not_fooled_by_a_damaged_partial(k):
    repo = large(k, size=12 * MB, rate=6 * MB)
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    k.kill_after(process, 8 * MB)
    k.finish(process)
    for at, _, names in os.walk(str(k.dir)):
        for name in names:
            path = os.path.join(at, name)
            if os.path.getsize(path) > MB:
                with open(path, "r+b") as f:
                    f.seek(MB // 2)
                    f.write(b"\xff\xfe damaged")
    k.hub.forget()
    k.ok(k.download(repo, "-d"))
    k.same(repo)


# faults that are got over

def survives(k, repo, *args, **how):
    k.ok(k.download(repo, *args, **how))
    k.same(repo)


def test_drop_goes_on_where_it_stopped(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=5 * MB)
    survives(k, repo, "-j", "1")
    starts = [int(e["range"].split("=")[1].split("-")[0]) for e in k.hub.asked("cdn")]
    assert starts.count(0) == 1 and min(s for s in starts if s) >= 4 * MB, starts


def test_reset(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=3 * MB, reset=True, count=2)
    k.hub.fault(origin="hub", hang_up=True, reset=True)
    survives(k, repo)


def test_stall(k):
    repo = large(k)
    k.hub.fault(origin="cdn", stall_after=2 * MB)
    survives(k, repo, "--stall-timeout", "1")


def test_no_first_byte(k):
    repo = sample(k)
    k.hub.fault(path="/tree/", delay=30)
    k.hub.fault(path="/resolve/", delay=30)
    k.hub.fault(origin="cdn", delay=30)
    survives(k, repo, "--timeout", "1")
    assert k.results[-1].seconds < 20, "waited for answers that do not come"


def test_server_errors(k):
    repo = sample(k)
    for path, status in (("/revision/|/tree/", 503), ("/resolve/", 500), ("/resolve-cache", 502)):
        k.hub.fault(path=path, status=status, body="<html>no</html>",
                    headers={"Content-Type": "text/html"})
    k.hub.fault(origin="cdn", status=503, count=2)
    survives(k, repo)


def test_errors_of_gateways(k):
    """What stands between us and the server says so in many ways; all pass."""
    repo = sample(k)
    for path, status in (("/revision/", 520), ("/tree/", 501), ("/resolve/", 599), ("/resolve-cache", 530)):
        k.hub.fault(path=path, status=status, body="<html>no</html>")
    for status in (505, 507, 525):
        k.hub.fault(origin="cdn", status=status)
    survives(k, repo)


def test_date_in_retry_after(k):
    """By the server's clock, which is years behind ours."""
    repo = sample(k)
    rule = k.hub.fault(path="/tree/", status=503, headers={
        "Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:49:39 GMT"})
    began = time.monotonic()
    survives(k, repo)
    assert rule.hits and time.monotonic() - began >= 2, "did not wait"


def test_rate_limit(k):
    repo = sample(k)
    k.hub.fault(path="/tree/", status=429, headers={"RateLimit": '"api";r=0;t=1'})
    k.hub.fault(path="/resolve/", status=429, headers={"Retry-After": "1"})
    began = time.monotonic()
    survives(k, repo)
    assert time.monotonic() - began >= 1, "did not wait"


def test_wait_is_for_all_files(k):
    """The quota is the address's: the next file would only use it up further."""
    repo = k.hub.add_repo(ID, {"f%d" % n: "file %d\n" % n for n in range(8)})
    k.hub.fault(path="/resolve/", status=429, skip=2, headers={"Retry-After": "2"})
    survives(k, repo, "-j", "1")
    times = [(e["status"], e["time"]) for e in k.hub.asked(path="/resolve/")]
    at = [status for status, _ in times].index(429)
    assert at == 2 and times[at + 1][1] - times[at][1] >= 2, "did not wait"


def test_other_quota_is_not_waited_for(k):
    repo = sample(k)
    k.hub.fault(path="/tree/", status=429, count=None, body="exceeded our hourly quotas",
                headers={"RateLimit": '"api";r=100;t=200'})
    r = k.ok(k.download(repo, "--retries", "1"), 1, err="quota")
    assert r.seconds < 20


def test_ignored_range(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=5 * MB)
    k.hub.fault(origin="cdn", ignore_range=True, ranged=True, count=None)
    survives(k, repo)


def test_wrong_range(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=5 * MB)
    k.hub.fault(origin="cdn", add_range=-4096, min_from=1)
    k.hub.fault(origin="cdn", use_range="bytes=0-99", min_from=1)
    k.hub.fault(origin="cdn", content_range="bytes 0-1/x", min_from=1)
    survives(k, repo)
    assert k.from_cdn() < 40 * MB, "what came from another place was taken"


def test_another_size_always(k):
    """No connection brings another one: not tried without end."""
    repo = large(k)
    k.hub.fault(origin="cdn", content_range="bytes 0-1048575/1048577", count=None)
    k.ok(k.download(repo, "--retries", "2", "big.bin"), 6, err="big.bin")
    assert len(k.hub.asked("cdn")) < 10, "tried too often"


def test_unsatisfiable_range(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=5 * MB)
    k.hub.fault(origin="cdn", status=416, headers={"Content-Range": "bytes */7"}, min_from=1)
    survives(k, repo)


def test_wrong_lengths(k):
    repo = sample(k)
    k.hub.fault(origin="cdn", add_length=-100)
    k.hub.fault(origin="cdn", add_length=100)
    k.hub.fault(path="resolve-cache", add_length=1)
    survives(k, repo, "--stall-timeout", "2")


def test_other_framings(k):
    repo = sample(k)
    k.hub.fault(origin="cdn", chunked=True)
    k.hub.fault(origin="cdn", no_length=True)
    k.hub.fault(path="resolve-cache", chunked=True, count=2)
    k.hub.fault(path="resolve-cache", no_length=True, count=2)
    k.hub.fault(path="/tree/", chunked=True, early=3)
    survives(k, repo)


def test_lapsed_urls(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=4 * MB)
    k.hub.url_lifetime = 0.05
    k.hub.fault(origin="cdn", delay=0.2, ranged=True)
    process = k.start("download", "-r", repo.id, "-p", k.dir)
    k.wait_for(lambda: any(e["status"] == 403 for e in k.hub.asked("cdn")), what="a 403")
    k.hub.url_lifetime = 3600
    k.ok(k.finish(process))
    k.same(repo)


def test_wrong_byte_once(k):
    repo = sample(k)
    k.hub.fault(origin="cdn", corrupt_at=4 * MB)
    k.hub.fault(path="resolve-cache.*config.json", corrupt_at=3)
    survives(k, repo)


@hub_with(cdn_limit=4 * MB)
def test_cdn_that_wants_ranges(k):
    """Above a size the bridge refuses requests without a Range."""
    repo = large(k)
    r = k.download(repo, "--retries", "1")
    k.ok(r, (0, 5, 1))
    if r.status == 0:
        k.same(repo)


# faults that are not

def test_wrong_content_is_6(k):
    repo = sample(k, {"m.bin": Generated(1, 2 * MB)})
    k.hub.fault(origin="cdn", corrupt_at=100, count=None)
    k.ok(k.download(repo, "--retries", "2", "m.bin"), 6, err="m.bin")
    assert "m.bin" not in tree(k.dir), "published although wrong"


def test_wrong_content_leaves_the_old_file(k):
    repo = sample(k, {"m.bin": Generated(1, 2 * MB), "r.txt": "old"})
    k.ok(k.download(repo))
    old = sha256(k.dir / "m.bin")
    repo.commit({"m.bin": Generated(2, 2 * MB), "r.txt": "new"})
    k.hub.fault(origin="cdn", corrupt_at=100, count=None)
    k.hub.fault(path="resolve-cache.*r.txt", corrupt_at=1, count=None)
    k.ok(k.download(repo, "--retries", "2"), (6, 9))
    assert sha256(k.dir / "m.bin") == old and (k.dir / "r.txt").read_text() == "old"


def test_tries_used_up_is_5(k):
    repo = sample(k)
    k.hub.fault(path="/tree/|/revision/", status=503, count=None)
    k.ok(k.download(repo, "--retries", "1"), 5, err="503")


def test_tries_used_up_keeps_state(k):
    repo = large(k)
    k.hub.fault(origin="cdn", drop_after=6 * MB)
    k.hub.fault(origin="cdn", status=503, count=None)
    k.ok(k.download(repo, "-j", "1", "--retries", "1"), 9)  # .gitattributes is there
    k.hub.forget()
    k.ok(k.download(repo, "-d"))
    assert k.from_cdn() <= 20 * MB, "what was there was fetched again"
    k.same(repo)


def test_nobody_there_is_5(k):
    env = {"HF_ENDPOINT": "https://127.0.0.1:9"}
    k.ok(k.download(ID, "--retries", "0", env=env), 5, err="127.0.0.1")


def test_unknown_issuer(k):
    repo = sample(k)
    r = k.ok(k.download(repo, "--retries", "0", env={"SSL_CERT_FILE": None}), (1, 5),
             err="certificate")
    assert "--ca-file" in r.err
    k.ok(k.download(repo, "--ca-file", k.hub.ca_file, env={"SSL_CERT_FILE": None}))


@hub_with(names=("DNS:other.test",))
def test_certificate_of_another_host(k):
    repo = sample(k)
    k.ok(k.download(repo, "--retries", "0", token="read"), (1, 5), err="certificate")
    assert not k.hub.asked()


def test_one_bad_file_is_9(k):
    repo = sample(k)
    k.hub.fault(path="resolve-cache.*config.json", status=404, count=None,
                headers={"X-Error-Code": "EntryNotFound"})
    k.hub.fault(path="/resolve/.*config.json", status=404, count=None,
                headers={"X-Error-Code": "EntryNotFound"})
    k.ok(k.download(repo, "--retries", "1"), 9, err="config.json")
    k.same(repo, only=lambda p: p != "config.json")


@limit(90)
def test_disk_full_is_7(k):
    wrap = tmpfs(6 * MB)
    repo = sample(k, {"m.bin": Generated(1, 16 * MB)})
    small = k.top / "small"
    small.mkdir()
    r = k.download(repo, to=small, wrap=wrap, env={"HUB_SMALL": str(small)})
    assert r.status == 7, "status %d" % r.status
    assert "LEFT %s/m.bin" % small not in r.err


def test_read_only_target_is_7(k):
    if os.geteuid() == 0:
        raise Skip("root may write everywhere")
    repo = sample(k)
    k.dir.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    k.ok(k.download(repo), 7)


def test_target_that_cannot_be_made_is_7(k):
    repo = sample(k)
    k.ok(k.download(repo, to="/proc/nope/target"), 7, err="/proc/nope")
    assert not k.content_requests()


def test_target_is_a_file_is_7(k):
    repo = sample(k)
    k.dir.write_text("I am a file")
    k.ok(k.download(repo), (2, 7))
    assert k.dir.read_text() == "I am a file"


# what is not there or not allowed

def test_missing(k):
    repo = sample(k)
    k.ok(k.download("acme-lab/nope", token="read"), 3, err="acme-lab/nope")
    k.ok(k.download("acme-lab/nope"), (3, 4), err="acme-lab/nope")
    k.ok(k.download(repo, "--revision", "nope"), 3, err="nope")
    k.ok(k.download(repo, "--revision", "0" * 40), 3)
    k.ok(k.download(repo, "nope.txt"), 3, err="nope.txt")
    k.ok(k.download(repo, "-f", to=k.top / "nope.txt"), 3, err="nope.txt")
    assert not tree(k.dir)


def test_missing_names_the_request(k):
    sample(k)
    k.ok(k.download("acme-lab/nope", token="read"), 3, err="Root=1-")


def test_private(k):
    repo = sample(k, private=True)
    k.ok(k.download(repo), (3, 4))
    k.ok(k.download(repo, token="other"), 3)
    k.ok(k.download(repo, token="read"))
    k.same(repo)


def test_gated(k):
    repo = k.hub.add_repo("big-corp/gated", SAMPLE, gated="manual", access=["rosa"])
    k.ok(k.download(repo), 4, err="big-corp/gated")
    k.ok(k.download(repo, token="other"), 4, err="big-corp/gated")
    assert not tree(k.dir)
    k.ok(k.download(repo, token="read"))
    k.same(repo)


def test_disabled(k):
    repo = sample(k, disabled=True)
    k.ok(k.download(repo, token="read"), (1, 4), err="disabled")


def test_invalid_token(k):
    repo = sample(k)
    k.tokens["wrong"] = "hf_wrongwrongwrongwrongwrongwrong"
    k.ok(k.download(repo, token="wrong"), 4, err="token")


# tokens and settings

def tokens_sent(k):
    return {e["authorization"] for e in k.hub.asked("hub")}


def test_token_sources(k):
    repo = sample(k, private=True)
    read = k.tokens["read"]
    (k.work / "token").write_text(read + "\n")
    (k.home / ".cache" / "huggingface").mkdir(parents=True)
    for n, (args, env) in enumerate([
            (["-a", read], {}), (["--api_token=" + read], {}), (["--token", read], {}),
            (["--token-file", "token"], {}), ([], {"HUGGINGFACE_READ_API": read}),
            ([], {"HF_TOKEN": read}), ([], {"HUGGING_FACE_HUB_TOKEN": read}),
            ([], {"HF_TOKEN_PATH": k.work / "token"})]):
        to = k.top / str(n)
        k.ok(k.download(repo, "config.json", *args, env=env, to=to))
        assert (to / "config.json").exists()
    (k.home / ".cache" / "huggingface" / "token").write_text(read)
    k.ok(k.download(repo, "config.json", to=k.top / "file"))
    k.ok(k.run("download", "-r", repo.id, "-p", k.dir, "--token-file", "-", stdin=read + "\n"))


def test_token_order(k):
    """A stronger source wins, also when it is wrong."""
    repo = sample(k, private=True)
    bad = k.tokens["bad"] = "hf_badbadbadbadbadbadbadbad"
    read = k.tokens["read"]
    k.ok(k.download(repo, "-a", bad, env={"HF_TOKEN": read}), 4)
    k.ok(k.download(repo, env={"HUGGINGFACE_READ_API": bad, "HF_TOKEN": read}), 4)
    (k.work / ".env").write_text("HF_TOKEN=%s\n" % bad)
    k.ok(k.download(repo, env={"HF_TOKEN": read}))
    k.same(repo)


def test_dotenv(k):
    repo = sample(k, private=True)
    (k.work / ".env").write_text("# mine\nexport HUGGINGFACE_READ_API='%s'  # x\n"
                                 % k.tokens["read"])
    k.ok(k.download(repo))
    k.same(repo)


def test_configuration_names_dotenv(k):
    repo = sample(k, private=True)
    (k.top / "secret.env").write_text("HUGGINGFACE_READ_API=%s\n" % k.tokens["read"])
    forms = [str(k.top / "secret.env"), {"path": "$WHERE/secret.env", "type": "file"},
             "~/../secret.env"]
    for n, form in enumerate(forms):
        (k.work / "c.json").write_text(json.dumps({"app": {"env": form}}))
        to = k.top / str(n)
        k.ok(k.download(repo, "-c", "c.json", to=to, env={"WHERE": k.top}))
        k.same(repo, folder=to)


def test_configuration_errors_are_2(k):
    repo = sample(k)
    k.ok(k.download(repo, "-c", "nope.json"), 2, err="nope.json")
    for text in ("{", '{"app": {"env": 1}}', '{"app": {"env": "nope.env"}}', "[1,]"):
        (k.work / "c.json").write_text(text)
        k.ok(k.download(repo, "-c", "c.json"), 2)
    assert not k.hub.asked()


def test_implicit_token_can_be_disabled(k):
    repo = sample(k)
    env = {"HF_TOKEN": k.tokens["read"], "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    k.ok(k.download(repo, env=env))
    assert tokens_sent(k) == {False}


def test_offline_asks_nothing(k):
    repo = sample(k)
    r = k.download(repo, env={"HF_HUB_OFFLINE": "1"})
    assert r.status != 0 and not k.hub.asked()


def test_works_without_home(k):
    repo = sample(k)
    k.ok(k.download(repo, env={"HOME": None}))
    k.same(repo)


def test_proxy_tunnel(k):
    repo = sample(k, private=True)
    with Proxy(login="me:secret") as proxy:
        url = proxy.url.replace("//", "//me:secret@")
        r = k.ok(k.download(repo, "-v", token="read", env={"https_proxy": url}))
        k.same(repo)
        assert proxy.log and all(e["line"].startswith("CONNECT ") for e in proxy.log)
        assert not any("authorization" in e["headers"] for e in proxy.log)
        assert "secret" not in r.err
        k.ok(k.download(repo, "--force", token="read", env={"https_proxy": proxy.url},
                        ), (1, 4, 5), err="407")


@hub_with(tls=False)
def test_proxy_plain(k):
    repo = sample(k)
    with Proxy() as proxy:
        k.ok(k.download(repo, env={"http_proxy": proxy.url}))
        k.same(repo)
        assert proxy.log and all(" http://" in e["line"] for e in proxy.log)


def test_no_proxy(k):
    repo = sample(k)
    for n, no in enumerate(("127.0.0.1", "10.0.0.0/8, 127.0.0.0/8")):
        to = k.top / str(n)
        env = {"https_proxy": "http://127.0.0.1:9", "no_proxy": no}
        k.ok(k.download(repo, env=env, to=to))
        k.same(repo, folder=to)
    env["no_proxy"] = "128.0.0.0/8"
    k.ok(k.download(repo, "--retries", "0", env=env), 5, "proxy")


@hub_with(tls=False)
def test_proxy_that_refuses_plain(k):
    """In absolute form its refusal looks like an answer of the Hub."""
    repo = sample(k)
    with Proxy(login="me:secret") as proxy:
        k.ok(k.download(repo, env={"http_proxy": proxy.url}), 4,
             ("proxy '%s': it refused with 407" % proxy.url, "try: give the proxy as http://USER:"))
        assert len(proxy.log) == 1
    with Proxy(refuse=403) as proxy:
        k.ok(k.download(repo, env={"http_proxy": proxy.url}), 1,
             "proxy '%s': it refused with 403" % proxy.url)
    # This one is the Hub's own.
    k.hub.fault(path="/revision/", status=403, headers={"X-Request-Id": "Root=1"})
    with Proxy() as proxy:
        r = k.ok(k.download(repo, env={"http_proxy": proxy.url}), 4, "the Hub denies access")
        assert "proxy" not in r.err


def test_proxy_that_refuses_a_tunnel(k):
    repo = sample(k)
    for status, ends, hint in ((407, 4, "try: give the proxy as"), (403, 1, "")):
        with Proxy(refuse=status) as proxy:
            k.ok(k.download(repo, env={"https_proxy": proxy.url}), ends,
                 ("proxy '%s': it refused with %d" % (proxy.url, status), hint))


# an endpoint that is none, or not all of it

def elsewhere(k):
    """The Hub by another name: another host."""
    return k.hub.endpoint.replace("127.0.0.1", "localhost")


def test_endpoint_moved(k):
    """What is public is found there; for the rest it is said which host wants the token."""
    repo = sample(k)
    for path in ("/revision/main", "/tree/" + repo.head().oid):
        k.hub.fault(path=path, status=308, headers={
            "Location": "%s/api/models/%s%s?recursive=true" % (elsewhere(k), repo.id, path)})
    k.ok(k.download(repo, token="read"))
    k.same(repo)


def test_endpoint_moved_private(k):
    repo = sample(k, private=True)
    k.hub.fault(path="/revision/main.expand", status=308, count=2, headers={
        "Location": "%s/api/models/%s/revision/main?x" % (elsewhere(k), repo.id)})
    said = "the endpoint redirects to '%s', and no token was sent there: " % elsewhere(k)
    hint = "try: use --endpoint %s, if that host may have the token" % elsewhere(k)
    k.ok(k.download(repo, token="read"), (3, 4), (said, hint))
    r = k.ok(k.download(repo), (3, 4), "the endpoint redirects to '%s': " % elsewhere(k))
    assert "there is no model" in r.err
    # As the sentence says.
    k.ok(k.download(repo, "--endpoint", elsewhere(k), token="read"))
    k.same(repo)


def test_endpoint_moved_to_a_page(k):
    repo = sample(k)
    k.hub.fault(path="/revision/main", status=302, count=None, headers={"Location": elsewhere(k) + "/login"})
    k.hub.fault(path="/login", status=200, count=None, body="<html>hello</html>",
                headers={"Content-Type": "text/html; charset=utf-8"})
    k.ok(k.download(repo), 5, ("the endpoint redirects to '%s'" % elsewhere(k), "a web page instead"))
    k.hub.violations.clear()


@hub_with(prefix="/hf", page=3)
def test_mirror_below_a_path(k):
    """It passes on redirects and links as they came from the Hub behind it: without its path."""
    repo = sample(k)
    root = k.hub.endpoint[:-len("/hf")]
    k.hub.page_host = root
    for path, entry in repo.head().files.items():
        if not entry.lfs:
            k.hub.fault(path="/resolve/.*/%s$" % path, headers={
                "Location": "/api/resolve-cache/models/%s/%s/%s" % (repo.id, repo.head().oid, path)})
    k.ok(k.download(repo))
    k.same(repo)
    assert any("/hf/api/resolve-cache" in e["path"] for e in k.hub.asked("hub"))
    # A redirect to elsewhere on the host is followed; if that is no good, it is said.
    k.hub.fault(path="/revision/", status=302, headers={"Location": "/other/place"})
    k.ok(k.download(repo, "--force"), 3,
         "the endpoint redirects to '%s/other/place', which is not below it" % root)
    k.hub.violations.clear()


def test_proxy_option(k):
    repo = sample(k)
    with Proxy() as proxy:
        k.ok(k.download(repo, "--proxy", proxy.url))
        assert proxy.log


def test_proxy_down_is_5(k):
    repo = sample(k)
    k.ok(k.download(repo, "--retries", "0", "--proxy", "http://127.0.0.1:9"), 5, err="proxy")


def test_limit_rate(k):
    repo = large(k, size=3 * MB)
    began = time.monotonic()
    k.ok(k.download(repo, "--limit-rate", "1M"))
    assert 2 <= time.monotonic() - began < 8, "took %.1f s" % (time.monotonic() - began)


def test_limit_rate_below_the_floor(k):
    """Slow by the user's will is not slow: no connection is given up, and none asked twice."""
    repo = sample(k, {"a.bin": Generated(1, 4001), "b.bin": Generated(2, 4001), ".gitattributes": "x"})
    rate = ["--limit-rate", "1500", "--stall-timeout", "1", "-j", "4"]
    k.ok(k.download(repo, *rate))
    k.same(repo)
    k.ok(k.download(repo, *rate, "-f", "a.bin", to=k.top / "one"))
    k.ok(k.run("download", "-r", ID, "-o", "-", *rate, "b.bin"))
    assert len(k.hub.asked("cdn")) == 4, "asked again"


def test_slow_server_is_left_also_with_a_limit(k):
    repo = sample(k, {"a.bin": Generated(1, 300001)})
    k.hub.fault(origin="cdn", rate=200)
    k.ok(k.download(repo, "--limit-rate", "1M", "--stall-timeout", "1"))
    k.same(repo)
    assert len(k.hub.asked("cdn")) == 2


def test_jobs(k):
    repo = sample(k)
    for jobs in ("1", "64"):
        to = k.top / jobs
        k.ok(k.download(repo, "-j", jobs, to=to))
        k.same(repo, folder=to)


# output

def test_quiet(k):
    repo = sample(k)
    r = k.ok(k.download(repo, "-q"))
    assert r.err == "" and r.out == "%s\n" % k.dir


def test_json(k):
    repo = sample(k)
    r = k.ok(k.download(repo, "--json"))
    value = json.loads(r.out)
    text = json.dumps(value)
    for path, entry in repo.head().files.items():
        assert path in text and entry.etag in text, path
    assert repo.head().oid in text


def test_json_of_a_failure(k):
    repo = sample(k)
    k.hub.fault(path="/resolve.*vocab.bin", status=403, count=None)
    r = k.ok(k.download(repo, "--json", "--retries", "0"), 9)
    assert "vocab.bin" in json.dumps(json.loads(r.out))


def test_lines(k):
    repo = sample(k)
    r = k.ok(k.download(repo))
    assert "weights/model.safetensors" in r.err
    assert "\r" not in r.err and "\033" not in r.err, "terminal codes in a pipe"


def test_progress_json(k):
    repo = sample(k)
    r = k.ok(k.download(repo, "--progress", "json"))
    assert r.err and all(json.loads(s) for s in r.err.splitlines())


def test_live_display(k):
    repo = large(k, size=6 * MB, rate=4 * MB)
    r = k.terminal("download", "-r", repo.id, "-p", k.dir, size=(24, 60))
    k.ok(r)
    k.same(repo)
    assert "\r" in r.out or "\033[" in r.out, "no live display"
    dumb = k.terminal("download", "-r", repo.id, "-p", k.dir, "--force", env={"TERM": "dumb"})
    assert "\033" not in dumb.out


def test_closed_stdout_is_an_error(k):
    repo = sample(k)
    with open("/dev/full", "w") as full:
        process = k.start("download", "-r", repo.id, "-p", k.dir, stdout=full)
        r = k.finish(process)
    assert r.status not in (0, 141), "status %d" % r.status


def test_prompts(k):
    repo = sample(k)
    r = k.terminal("download", answers=[("Hugging Face repository ID: ", repo.id + "\r"),
                                        ("Local path to download: ", str(k.dir) + "\r")])
    k.ok(r)
    k.same(repo)


def test_no_prompts_in_a_pipe(k):
    k.ok(k.run("download", "-p", k.dir, stdin="acme-lab/tiny\n"), 2, err="repo")
    k.ok(k.run("download", "-r", ID), 2, err="local")
    assert not k.hub.asked()


def test_usage_errors_are_2(k):
    base = ["download", "-r", ID, "-p", str(k.dir)]
    for words in ([], ["downlaod"], ["download", "-r"], base + ["--nope"], base + ["-t", "thing"],
                  base + ["-j", "0"], base + ["-j", "x"], base + ["--limit-rate", "fast"],
                  base + ["--retries", "-1"], base + ["--timeout", "0"],
                  base + ["--progress", "maybe"], ["download", "-r", "a/b/c", "-p", "x"],
                  ["download", "-r", "../x", "-p", "x"], base + ["--revsion", "main"],
                  base + ["--endpoint", "ftp://x"], base + ["--quiet=yes"], base + ["../x"]):
        r = k.run(*words)
        assert r.status == 2, "status %d of %s" % (r.status, words)
        assert r.out == "" and r.err
    assert not k.hub.asked() and not k.dir.exists()


def test_suggestions(k):
    k.ok(k.run("downlaod"), 2, err="download")
    k.ok(k.run("download", "-r", ID, "-p", k.dir, "--revsion", "x"), 2, err="--revision")


def test_help_and_version(k):
    k.ok(k.run("--version"), out="BearSSL")
    for words in (["help"], ["-h"], ["--help"]):
        k.ok(k.run(*words), out="download")
    for words in (["help", "download"], ["download", "--help"], ["download", "-h"]):
        k.ok(k.run(*words), out="--repo_id")
    assert not k.hub.asked()


# living with the official client

def test_metadata_as_of_the_official_client(k):
    repo = sample(k)
    began = time.time()
    k.ok(k.download(repo))
    at = k.dir / ".cache" / "huggingface"
    for path in ("config.json", "weights/model.safetensors", "empty.txt"):
        text = (at / "download" / (path + ".metadata")).read_text()
        commit, etag, when, stamp, source, rest = text.split("\n")
        assert source == "repo models/" + repo.id
        entry = repo.head().files[path]
        assert (commit, etag, rest) == (repo.head().oid, entry.etag, "")
        st = (k.dir / path).stat()
        assert stamp == "hub %d %d %d %d" % (
            st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)
        assert began - 2 < float(when) < time.time() + 2
        assert (k.dir / path).stat().st_mtime - 1 <= float(when)
    assert (at / ".gitignore").read_text() == "*"
    assert (at / "CACHEDIR.TAG").read_text().startswith(
        "Signature: 8a477f597d28d172789f06886806bc55")


def test_folder_of_the_official_client(k):
    repo = sample(k)
    head = repo.head()
    for path, entry in head.files.items():
        file = k.dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(entry.content.read())
        meta = k.dir / ".cache" / "huggingface" / "download" / (path + ".metadata")
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_text("%s\n%s\n%f\n" % (head.oid, entry.etag, time.time()))
    k.ok(k.download(repo))
    assert not k.content_requests()
    k.same(repo)


# in place

UNCHANGED = "in place, unchanged since"


def meta_of(k, path):
    return k.dir / ".cache" / "huggingface" / "download" / (path + ".metadata")


def of_report(r):
    """path -> what --json says of it."""
    return {f["path"]: f for f in json.loads(r.out)["files"]}


def set_line(path, number, text):
    lines = path.read_text().split("\n")
    lines[number] = text
    path.write_text("\n".join(lines))


def same_size(k, path):
    """Other bytes of the size of that file, as a file with an older time."""
    other = k.top / "other"
    other.write_bytes(b"x" * (k.dir / path).stat().st_size)
    os.utime(str(other), (1600000000, 1600000000))
    return other


def by_copy(k, path):
    subprocess.run(["cp", "-p", str(same_size(k, path)), str(k.dir / path)], check=True)


def by_move(k, path):
    os.replace(str(same_size(k, path)), str(k.dir / path))


def by_edit(k, path):
    """In place, and its time is put back."""
    st = (k.dir / path).stat()
    with open(str(k.dir / path), "r+b") as f:
        f.seek(st.st_size // 2 + 1)
        f.write(b"?")
    os.utime(str(k.dir / path), ns=(st.st_atime_ns, st.st_mtime_ns))


def by_future(k, path):
    by_copy(k, path)
    set_line(meta_of(k, path), 2, "%d.0" % (time.time() + 10**6))


def by_other_note(k, path):
    """As the official client notes it, which says nothing about what came since."""
    by_copy(k, path)
    text = meta_of(k, path).read_text().split("\n")
    meta_of(k, path).write_text("\n".join(text[:3]) + "\n")


SWAPS = (by_copy, by_move, by_edit, by_future, by_other_note)


def test_another_file_of_the_same_size_is_not_in_place(k):
    repo = sample(k)
    k.ok(k.download(repo))
    for swap in SWAPS:
        for path in (MODEL, "config.json"):
            swap(k, path)
        report = of_report(k.ok(k.download(repo, "--json")))
        k.same(repo)
        for path, f in report.items():
            replaced = path in (MODEL, "config.json")
            assert f["outcome"] == ("downloaded" if replaced else "kept"), (swap, f)
            assert f["verified"] == ("now" if replaced else "before"), (swap, f)


def test_unchanged_files_are_not_read_again(k):
    """What is in place is believed as long as nothing has touched it, and no longer."""
    repo = sample(k)
    count = len(repo.head().files)
    r = k.ok(k.download(repo, "--json"))
    assert {f["verified"] for f in of_report(r).values()} == {"now"}
    r = k.ok(k.download(repo, "--json"), err=UNCHANGED)
    assert {f["verified"] for f in of_report(r).values()} == {"before"}
    assert all(f.get("sha256") or f.get("git_oid") for f in of_report(r).values())
    (k.dir / MODEL).chmod(0o600)
    r = k.ok(k.download(repo, "--json"), err="in place: %d unchanged since they were verified, "
             "1 verified now" % (count - 1))
    assert of_report(r)[MODEL]["verified"] == "now"
    k.ok(k.download(repo), err=UNCHANGED)
    shutil.copytree(str(k.dir), str(k.top / "copy"))
    k.hub.forget()
    k.ok(k.download(repo, to=k.top / "copy"), err="in place, verified now")
    k.ok(k.download(repo, to=k.top / "copy"), err=UNCHANGED)
    assert not k.content_requests()


def test_large_file_is_shown_while_it_is_hashed(k):
    repo = sample(k, {"big.bin": Generated(1, 64 * MB + 1)})
    k.ok(k.download(repo))
    (k.dir / "big.bin").touch()
    k.ok(k.download(repo), err=["checking: 2 files", "in place: big.bin", "verified now"])
    assert "in place: " not in k.ok(k.download(repo), err=UNCHANGED).err


def test_note_of_another_user_is_not_believed(k):
    if os.geteuid():
        raise Skip("needs the right to give files away")
    repo = sample(k)
    k.ok(k.download(repo))
    meta = meta_of(k, MODEL)
    by_edit(k, MODEL)
    st = (k.dir / MODEL).stat()
    set_line(meta, 3, "hub %d %d %d %d" % (st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino))
    os.chown(str(meta), 12345, 12345)
    k.ok(k.download(repo))
    k.same(repo)
    assert meta.stat().st_uid == 0, "the note is ours again"


def test_times_without_fractions_are_not_believed(k):
    """A file system with coarse times shows no change within one of its ticks."""
    image, mount = k.top / "image", k.top / "mount"
    mount.mkdir()
    with open(str(image), "wb") as f:
        f.truncate(48 * MB)
    for words in ["mkfs.fat", str(image)], ["mount", "-o", "loop", str(image), str(mount)]:
        if not shutil.which(words[0]) or subprocess.run(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            raise Skip("no FAT here")
    try:
        repo = sample(k)
        for said in ("downloading", "in place, verified now", "in place, verified now"):
            k.ok(k.download(repo, to=mount), err=said)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_killed_between_the_name_and_its_note(k):
    """The old note says nothing about the new file, nor does none."""
    repo = sample(k, {"m.bin": Generated(1, 2 * MB + 1)})
    k.ok(k.download(repo))
    old = meta_of(k, "m.bin").read_text()
    repo.commit({"m.bin": Generated(2, 2 * MB + 1)})
    k.ok(k.download(repo))
    for text in (old, None, ""):
        if text is None:
            meta_of(k, "m.bin").unlink()
        else:
            meta_of(k, "m.bin").write_text(text)
        k.hub.forget()
        k.ok(k.download(repo), err="1 unchanged since it was verified, 1 verified now")
        assert not k.content_requests()
        k.ok(k.download(repo), err=UNCHANGED)


def test_report_has_no_hash_that_nobody_checked(k):
    repo = sample(k)
    k.hub.fault(path="/resolve.*vocab.bin", status=403, count=None)
    report = of_report(k.ok(k.download(repo, "--json", "--retries", "0"), 9))
    for path, f in report.items():
        hashed = "sha256" in f or "git_oid" in f
        assert hashed == (path != "vocab.bin") and hashed == ("verified" in f), f
    report = of_report(k.ok(k.download(repo, "--json", "--dry-run", to=k.top / "none")))
    assert not any("sha256" in f or "git_oid" in f for f in report.values())


# what a new user found

def test_folders_as_names(k):
    repo = sample(k)
    k.ok(k.download(repo, "weights"))
    k.same(repo, only=lambda p: p.startswith("weights/"))
    k.ok(k.download(repo, "a/b", "config.json", "config.json"))
    k.ok(k.download(repo, "weight"), 3, err="no file 'weight'")


def test_patterns_that_match_nothing_are_3(k):
    repo = sample(k)
    k.ok(k.download(repo, "--include", "*.zzz"), 3, err="matches --include")


def test_each_refused_name_is_told(k):
    repo = k.hub.add_repo(ID, {"../a": Regular("a"), "b//c": Regular("b"), "good": "good"})
    r = k.ok(k.download(repo), 9)
    assert r.err.count("refused: ") == 2


def test_only_regular_files_are_replaced(k):
    repo = sample(k)
    os.mkfifo(str(k.top / "config.json"))
    k.ok(k.download(repo, "-f", to=k.top / "config.json"), 7, err="not a regular file")
    assert stat.S_ISFIFO((k.top / "config.json").lstat().st_mode)
