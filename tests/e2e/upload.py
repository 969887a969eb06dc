"""End-to-end tests of `hub upload`. Each test_* takes a Kit (kit.py)."""

import hashlib
import json
import os
import shutil
import signal
import threading
import time

from kit import MB, hub_with, limit, tree

ID = "acme-lab/up"


def up(k, *args, token="write", path=None, repo=ID, env=None, **how):
    env = {**({"HF_TOKEN": k.tokens[token]} if token else {}), **(env or {})}
    return k.run("upload", "-r", repo, "-p", path or k.dir, *args, env=env, **how)


def start(k, *args, path=None):
    return k.start("upload", "-r", ID, "-p", path or k.dir, *args,
                   env={"HF_TOKEN": k.tokens["write"]})


def noise(seed, size):
    """The same bytes for the same seed."""
    block = b"".join(hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(1024))
    return (block * (size // len(block) + 1))[:size]


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)


FILES = {
    "README.md": "---\nlicense: mit\n---\n# up\n",
    "config.json": '{"a": 1}\n',
    "empty.txt": b"",
    "odd dir/100% ü #1?+.txt": "odd\n",
    ".hidden": "hidden\n",
    "weights/model.safetensors": noise(1, 12 * MB + 5),
    "weights/copy.safetensors": noise(1, 12 * MB + 5),
    "vocab.bin": bytes(range(256)) * 100,
}


def folder(k, files=None):
    write(k.dir, FILES if files is None else files)


def there(k, revision="main", id=ID, type="model"):
    return k.hub.find_repo(type, id).find(revision).files


def same(k, revision="main", prefix="", also=()):
    """The repository holds what the folder does, below the prefix, and .gitattributes."""
    have = there(k, revision)
    local = {prefix + name: path for name, path in tree(k.dir).items()}
    assert set(have) == set(local) | {".gitattributes"} | set(also), set(have) ^ set(local)
    for name, path in local.items():
        data = path.read_bytes()
        assert have[name].content.sha256() == hashlib.sha256(data).hexdigest(), name


def puts(k):
    return k.hub.asked("upload", "PUT")


def commits(k):
    return k.hub.asked("hub", "POST", "/commit/")


# what arrives

def test_folder(k):
    folder(k)
    r = k.ok(up(k), err="created the model")
    same(k)
    assert "/commit/" in r.out and r.out.count("\n") == 1
    # One object of three parts, one of one; the copy is not sent.
    assert len(puts(k)) == 4, len(puts(k))


def test_again_sends_nothing(k):
    folder(k)
    k.ok(up(k))
    k.hub.forget()
    r = k.ok(up(k))
    assert not puts(k) and not commits(k) and "/commit/" in r.out


def test_one_file_changed(k):
    folder(k)
    k.ok(up(k))
    k.hub.forget()
    write(k.dir, {"config.json": '{"a": 2}\n', "vocab.bin": noise(3, 30000)})
    k.ok(up(k))
    assert len(puts(k)) == 1 and len(commits(k)) == 1
    same(k)


def test_round_trip(k):
    folder(k)
    k.ok(up(k))
    to = k.top / "back"
    k.ok(k.download(ID, to=to))
    assert {n: p.read_bytes() for n, p in tree(to).items() if n != ".gitattributes"} == \
        {n: p.read_bytes() for n, p in tree(k.dir).items()}


def test_one_file(k):
    write(k.top, {"model.bin": noise(2, 100000)})
    k.ok(up(k, path=k.top / "model.bin"))
    assert set(there(k)) == {".gitattributes", "model.bin"}
    k.ok(up(k, "--path-in-repo", "sub/other.bin", path=k.top / "model.bin"))
    k.ok(up(k, "--path-in-repo", "dir/", path=k.top / "model.bin"))
    assert set(there(k)) == {".gitattributes", "model.bin", "sub/other.bin", "dir/model.bin"}


def test_positional(k):
    folder(k)
    env = {"HF_TOKEN": k.tokens["write"]}
    k.ok(k.run("upload", ID, k.dir, "in/side", env=env))
    same(k, prefix="in/side/")
    k.ok(k.run("upload", ID, k.dir, "a", "b", env=env), 2, err="unexpected argument 'b'")


def test_dataset_and_space(k):
    folder(k)
    for type in ("dataset", "space", "kernel"):
        k.ok(up(k, "-t", type))
        assert "README.md" in there(k, type=type)


def test_private(k):
    folder(k)
    k.ok(up(k, "--private"))
    assert k.hub.find_repo("model", ID).private
    k.ok(up(k, "--private"), err="nothing to do")


def test_private_and_there_in_public(k):
    """Nothing that was meant to be private is published."""
    folder(k)
    k.hub.add_repo(ID, {"README.md": "x"})
    for words in ([], ["--dry-run"]):
        k.ok(up(k, "--private", *words), 2, err="it is public")
    assert not k.hub.asked(method="POST")
    k.hub.fault(path="expand=private", status=404, headers={"X-Error-Code": "RepoNotFound"})
    k.ok(up(k, "--private"), 2, err="it is public")  # somebody else was faster
    assert not k.hub.asked(path="/preupload/")
    k.ok(up(k))


def test_include_exclude(k):
    folder(k)
    k.ok(up(k, "--include", "*.json", "--include", "*.txt", "--exclude", "odd*"))
    assert set(there(k)) == {".gitattributes", "config.json", "empty.txt"}


def test_what_is_passed_over(k):
    folder(k, {"a.txt": "a", ".git/config": "x", "sub/.git": "y",
               ".cache/huggingface/upload/x": "z"})
    (k.dir / "link.txt").symlink_to("a.txt")
    (k.dir / "loop").symlink_to(".")
    os.mkfifo(str(k.dir / "pipe"))
    k.ok(up(k), err=("skipped 1 link to a directory: 'loop'",
                     "skipped 1 pipe, socket or device: 'pipe'"))
    assert set(there(k)) == {".gitattributes", "a.txt", "link.txt"}


def test_gitignore_of_the_upload(k):
    folder(k, {".gitignore": "*.tmp\n", "a.txt": "a", "b.tmp": "b"})
    k.ok(up(k))
    assert set(there(k)) == {".gitattributes", ".gitignore", "a.txt"}


def test_branch_is_made(k):
    folder(k)
    k.ok(up(k, "--revision", "feat/x"), err="created the branch")
    same(k, revision="feat/x")
    assert "README.md" not in there(k)


def test_pull_request(k):
    folder(k)
    k.ok(up(k))
    write(k.dir, {"new.txt": "new"})
    r = k.ok(up(k, "--create-pr", "-m", "A title", "--commit-description", "why"))
    assert "/discussions/1" in r.out, r.out
    assert "new.txt" in there(k, "refs/pr/1") and "new.txt" not in there(k)
    k.ok(up(k, "--create-pr", "--revision", "x"), 2, err="--create-pr")


def test_pull_request_is_continued(k):
    """Killed, and run again with its name instead of --create-pr: there is no second one."""
    k.ok(up(k, path=seed(k)))
    write(k.dir, {"%03d.txt" % n: "%d" % n for n in range(260)})
    k.hub.forget()
    k.hub.fault(path="/commit/refs%2Fpr%2F1", method="POST", skip=1, count=None, hang_up=True)
    process = start(k, "--create-pr")
    k.wait_for(lambda: len(commits(k)) == 2, what="the second commit")
    process.kill()
    k.finish(process)
    assert 250 < len(there(k, "refs/pr/1")) < 260
    k.hub.forget()
    r = k.ok(up(k, "--revision", "refs/pr/1"))
    repo = k.hub.find_repo("model", ID)
    assert list(repo.pulls) == [1] and "/commit/" in r.out
    assert {"%03d.txt" % n for n in range(260)} <= set(there(k, "refs/pr/1"))
    assert "000.txt" not in there(k)


def test_interrupted_pull_request_says_how_to_continue(k):
    k.ok(up(k, path=seed(k)))
    write(k.dir, {"a.txt": "a"})
    k.hub.fault(path="/commit/", method="POST", delay=60)
    process = start(k, "--create-pr")
    # Only then does the program know its number: the Hub knows it earlier.
    k.wait_for(lambda: k.hub.asked("hub", "POST", "/commit/refs%2Fpr%2F1"), what="the commit")
    process.send_signal(signal.SIGINT)
    k.ok(k.finish(process), 130, err="try: run again with --revision refs/pr/1 instead of --create-pr")


def seed(k):
    """A folder of one file, so that there is a repository."""
    write(k.top / "seed", {"README.md": "# up\n"})
    return k.top / "seed"


def test_long_title_of_a_pull_request(k):
    folder(k)
    k.ok(up(k))
    write(k.dir, {"new.txt": "new"})
    k.ok(up(k, "--create-pr", "-m", "\u00e4" * 300))
    assert "new.txt" in there(k, "refs/pr/1")


def test_message(k):
    folder(k)
    k.ok(up(k, "-m", 'A "title" ä', "--commit-description", "two\nlines"))
    head = k.hub.find_repo("model", ID).head()
    assert head.title == 'A "title" ä' and head.message == "two\nlines"


def test_delete(k):
    folder(k, {"a.txt": "a", "old/1.bin": "1", "old/2.bin": "2", "keep.bin": "k"})
    k.ok(up(k))
    for name in ("old/1.bin", "old/2.bin"):
        (k.dir / name).unlink()
    k.ok(up(k, "--delete", "*.bin"))
    assert set(there(k)) == {".gitattributes", "a.txt", "keep.bin"}
    (k.dir / "keep.bin").unlink()
    k.ok(up(k, "--delete", "*"))
    assert set(there(k)) == {".gitattributes", "a.txt"}


def test_dry_run(k):
    folder(k)
    r = k.ok(up(k, "--dry-run"), out="to send")
    told = json.loads(k.ok(up(k, "--dry-run", "--json")).out)
    assert told["commit"] is None and told["url"] is None
    assert k.hub.find_repo("model", ID) is None
    k.ok(up(k))
    k.hub.forget()
    write(k.dir, {"new.txt": "new"})
    r = k.ok(up(k, "--dry-run"))
    assert r.out.count("\nto send ") == 1 and r.out.count("unchanged ") == len(FILES)
    assert not puts(k) and not commits(k)


def test_json(k):
    folder(k)
    r = k.ok(up(k, "--json"))
    told = json.loads(r.out)
    assert told["command"] == "upload" and told["commits"] == 1
    assert {f["path"] for f in told["files"]} == set(FILES)
    assert {f["outcome"] for f in told["files"]} == {"committed"}
    assert told["url"].endswith(told["commit"])
    assert {f["outcome"] for f in json.loads(k.ok(up(k, "--json")).out)["files"]} == {"unchanged"}


# many files

def peak_kib(pid):
    """The most memory that it had so far. (What wait4() says counts the time before exec, too.)"""
    try:
        with open("/proc/%d/status" % pid) as f:
            return max([int(line.split()[1]) for line in f if line.startswith("VmHWM")] + [0])
    except OSError:
        return 0


@limit(200)
def test_2000_files(k):
    files = {"d%d/f%d.txt" % (n % 7, n): "file %d\n" % n for n in range(1900)}
    files.update({"b/%d.bin" % n: noise(n, 2000) for n in range(100)})
    files["big.bin"] = noise(7, 60 * MB)
    folder(k, files)
    process = start(k, "-q")
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_kib(process.pid))
        time.sleep(0.02)
    assert k.finish(process).status == 0
    same(k)
    titles = [c.title for c in k.hub.find_repo("model", ID).history(
        k.hub.find_repo("model", ID).head())]
    assert any("(part 2)" in t for t in titles), titles
    k.hub.forget()
    k.ok(up(k, timeout=100))
    assert not puts(k) and not commits(k)
    if not any(word in os.environ.get("HUB_BIN", "") for word in ("asan", "tsan")):
        assert 0 < peak < 16 * 1024, "%d KiB of memory" % peak


# what is refused before anything is asked

def test_no_token_is_4(k):
    folder(k)
    k.ok(up(k, token=None), 4, err=("HUGGINGFACE_WRITE_API", "HF_TOKEN"))
    assert not k.hub.asked()


def test_bad_sources_are_2(k):
    k.ok(up(k, path=k.top / "none"), 2, err="none")
    k.dir.mkdir()
    k.ok(up(k), 2, err="nothing to upload")
    folder(k, {"a/.cache/x": "x"})
    k.ok(up(k), 2, err=("a/.cache/x", "--exclude"))
    k.ok(up(k, "--exclude", "*/.cache/*"), 2, err="nothing to upload")
    write(k.dir, {"new\nline": "x"})
    k.ok(up(k, "--exclude", "*/.cache/*"), 2, err="control character")
    assert not k.hub.asked("hub", "POST")


def test_too_many_entries(k):
    k.dir.mkdir()
    for n in range(10001):
        (k.dir / ("%d" % n)).touch()
    k.ok(up(k), 2, err="10,000")
    assert not k.hub.asked("hub", "POST")


def test_bad_target_is_2(k):
    folder(k)
    for to in ("../x", "a/../b", "a//b", ".git", "a/.cache/b", "/".join(["d" * 249] * 4)):
        k.ok(up(k, "--path-in-repo", to), 2, err="--path-in-repo")
    assert not k.hub.asked("hub", "POST")


def test_bad_arguments_are_2(k):
    folder(k, {"a.txt": "a"})
    k.ok(up(k, "--revision", "0123456789" * 4), 2, err="not to a commit")
    k.ok(up(k, "--create-pr", "-m", "ab"), 2, err="at least 3 characters")
    assert not k.hub.asked()


# what the Hub refuses

def test_read_only_token_is_4(k):
    folder(k)
    k.ok(up(k, token="read"), 4)
    k.hub.add_repo(ID, {"a": "a"})
    k.ok(up(k, token="read"), 4)
    assert not puts(k)


def test_foreign_organisation_is_4(k):
    folder(k)
    k.ok(up(k, token="other"), 4, err="cannot create")


def test_quota_is_told(k):
    folder(k)
    k.hub.fault(path="/info/lfs/objects/batch", count=None, status=403,
                headers={"X-Error-Message": "Private repository storage limit reached"})
    k.ok(up(k), 4, err="storage limit reached")


def test_branch_moved_is_8(k):
    folder(k, {"a.txt": "a"})
    k.ok(up(k))
    write(k.dir, {"a.txt": "b"})
    k.hub.fault(path="/commit/", status=412, count=None,
                headers={"X-Error-Message": "the branch was updated since"})
    k.ok(up(k, "--retries", "1"), 8, err="updated since")


def test_refused_commit_is_8(k):
    folder(k, {"a.txt": "a"})
    k.hub.fault(path="/commit/", status=422, count=None, body='{"error":"bad path"}')
    k.ok(up(k), 8, err="bad path")


# faults

@limit(120)
def test_faults_are_survived(k):
    folder(k)
    for path, origin in (("/api/models/", "hub"), ("/repos/create", "hub"), ("/preupload/", "hub"),
                         ("/objects/batch", "hub"), ("", "upload"), ("complete_multipart", "hub"),
                         ("/objects/verify", "hub"), ("/commit/", "hub")):
        for fault in ({"status": 503}, {"hang_up": True}, {"lose_answer": True},
                      {"status": 429, "headers": {"Retry-After": "0"}}):
            k.hub.fault(path=path, origin=origin, **fault)
    k.ok(up(k, timeout=110))
    same(k)
    repo = k.hub.find_repo("model", ID)
    assert len(list(repo.history(repo.head()))) == 2, "committed twice"


PLACES = (("/api/models/%s[?]expand" % ID, "hub"), ("/repos/create", "hub"), ("/revision/main[?]", "hub"),
          ("/preupload/", "hub"), ("/objects/batch", "hub"), ("", "upload"),
          ("complete_multipart", "hub"), ("/objects/verify", "hub"), ("/commit/", "hub"))

LASTING = ({"status": 500}, {"status": 404}, {"status": 403}, {"drop_after": 5},
           {"status": 200, "body": "<html>login</html>"}, {"status": 200, "body": "{}"},
           {"status": 200, "body": "[]"}, {"huge_header": 300000}, {"endless": True},
           {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
           {"raw": "HTTP/1.1 200 OK\r\n"}, {"raw": "220 ready\r\n\r\n"})


@limit(200)
def test_faults_that_last(k):
    """Whatever is wrong with a request: it is told, or all has arrived nevertheless."""
    folder(k, {"a.txt": "a", "m.bin": noise(1, 6 * MB), "s.bin": noise(2, 3000)})
    for path, origin in PLACES:
        for fault in LASTING:
            k.hub.repos.clear()
            shutil.rmtree(str(k.dir / ".cache"), ignore_errors=True)
            k.hub.forget()
            k.hub.fault(path=path, origin=origin, count=None, **fault)
            r = up(k, "-q", "--retries", "0")
            about = "%s %s: %d %s" % (path, fault, r.status, r.err)
            assert 0 <= r.status <= 9, about
            if r.status == 0:
                same(k)
            else:
                assert r.err.startswith("hub: "), about
            repo = k.hub.find_repo("model", ID)
            assert not repo or len(list(repo.history(repo.head()))) <= 2, about
    k.hub.forget()
    k.ok(up(k))
    same(k)


def test_lost_commit_is_found(k):
    folder(k, {"a.txt": "a"})
    k.hub.fault(path="/commit/", method="POST", lose_answer=True)
    r = k.ok(up(k))
    repo = k.hub.find_repo("model", ID)
    assert len(list(repo.history(repo.head()))) == 2 and repo.head().oid in r.out


def test_lost_commit_that_is_seen_late(k):
    """The first look does not show it, and the second try finds the branch moved: by ourselves."""
    folder(k, {"a.txt": "a"})
    k.hub.fault(path="/commit/", method="POST", lose_answer=True)
    k.hub.fault(path="/commits/", status=404)
    r = k.ok(up(k))
    repo = k.hub.find_repo("model", ID)
    assert len(list(repo.history(repo.head()))) == 2 and repo.head().oid in r.out


def test_last_answer_is_lost(k):
    """Nothing is left to try: it is looked up nevertheless."""
    folder(k, {"a.txt": "a"})
    k.hub.fault(path="/commit/", method="POST", lose_answer=True)
    r = k.ok(up(k, "--retries", "0"))
    assert k.hub.find_repo("model", ID).head().oid in r.out


def test_large_commit_is_split(k):
    """One that fails twice while the Hub answers all else is too large; once is a hiccup."""
    folder(k, {"%02d" % n: "%d" % n for n in range(60)})
    k.hub.fault(path="/commit/", method="POST", status=504, count=2)
    k.ok(up(k), err="a commit of 60 files failed; retrying with 20 files")
    same(k)
    assert sizes(k) == [20, 20, 20], sizes(k)


def test_hiccup_of_a_large_commit(k):
    folder(k, {"%02d" % n: "%d" % n for n in range(60)})
    k.hub.fault(path="/commit/", method="POST", status=504, count=1)
    k.ok(up(k))
    assert sizes(k) == [60], sizes(k)


def test_split_commit_that_arrived_late(k):
    """The Hub did it after all, while it was believed lost: nothing is lost or there twice."""
    folder(k, {"%02d" % n: "%d" % n for n in range(60)})
    k.hub.fault(path="/commit/", method="POST", status=504, count=2)
    k.hub.fault(path="/commit/", method="POST", lose_answer=True)
    k.ok(up(k))
    same(k)
    assert sizes(k) == [20, 20, 20], sizes(k)


def test_commit_that_never_gets_through(k):
    """It ends, with what can be committed there."""
    folder(k, {"%02d" % n: "%d" % n for n in range(30)})
    k.hub.fault(path="/commit/", method="POST", status=504, count=None)
    k.ok(up(k, "--retries", "2"), 5, err="retrying with 20 files")
    assert sizes(k) == []


def sizes(k):
    """How many files each of our commits added."""
    repo = k.hub.find_repo("model", ID)
    found = [len(c.files) for c in repo.history(repo.head())]
    return [a - b for a, b in zip(found, found[1:])][::-1]


def test_lost_second_commit(k):
    folder(k, {"%d" % n: "%d" % n for n in range(251)})
    k.hub.fault(path="/commit/", method="POST", skip=1, lose_answer=True)
    r = k.ok(up(k))
    repo = k.hub.find_repo("model", ID)
    assert len(list(repo.history(repo.head()))) == 3 and repo.head().oid in r.out
    same(k)


def test_somebody_elses_commit(k):
    """One with the same title is not taken for ours."""
    folder(k, {"a.txt": "a"})
    k.ok(up(k))
    write(k.dir, {"a.txt": "b"})
    k.hub.forget()
    k.hub.fault(path="/commit/", method="POST", delay=1, hang_up=True)
    process = start(k)
    k.wait_for(lambda: k.hub.asked("hub", "POST", "/preupload/"), what="the question")
    time.sleep(0.3)
    repo = k.hub.find_repo("model", ID)
    repo.commit({"a.txt": b"c"}, title="Upload folder with hub")
    k.ok(k.finish(process), 8)
    k.ok(up(k))
    same(k)


def test_busy_repository(k):
    folder(k, {"a.txt": "a"})
    k.hub.fault(path="/repos/create", status=409, count=2, body=json.dumps(
        {"error": "Cannot create repo: another conflicting operation is in progress"}))
    k.ok(up(k))
    same(k)


def test_silence_about_a_file(k):
    """What the Hub says nothing of is not sent on a guess."""
    folder(k, {"a.txt": "a", "b.txt": "b"})
    k.hub.fault(path="/preupload/", replace=[['"b.txt"', '"c.txt"']])
    k.ok(up(k), 9, err=("b.txt", "how to send"))
    assert set(there(k)) == {".gitattributes", "a.txt"}
    k.ok(up(k))
    same(k)


def test_broken_part(k):
    folder(k)
    k.hub.fault(origin="upload", hang_up_after=MB, count=3)
    k.ok(up(k))
    same(k)


def test_s3_says_again(k):
    folder(k)
    k.hub.fault(origin="upload", status=400, count=1, headers={"Content-Type": "application/xml"},
                body="<Error><Code>RequestTimeout</Code></Error>")
    k.hub.fault(origin="upload", status=503, count=1,
                body="<Error><Code>SlowDown</Code></Error>")
    k.ok(up(k))
    same(k)


def test_lapsed_address(k):
    folder(k)
    k.hub.fault(origin="upload", status=403, count=2,
                body="<Error><Code>AccessDenied</Code><Message>expired</Message></Error>")
    k.ok(up(k))
    same(k)


@hub_with(public_urls=True)
def test_addresses_of_the_public_hub(k):
    folder(k)
    k.ok(up(k))
    same(k)


@hub_with(verify=False, chunk_as_number=True, chunk=6 << 20)
def test_other_shapes_of_answers(k):
    folder(k)
    k.ok(up(k))
    same(k)


# breaking off and going on

def kill(k, process, when, number=signal.SIGKILL):
    k.wait_for(when, what="the moment")
    process.send_signal(number)
    return k.finish(process)


@limit(120)
def test_kill_while_hashing(k):
    """What was hashed is not read again."""
    folder(k, {"%d.bin" % n: noise(n, 3 * MB) for n in range(20)})
    time.sleep(0.2)  # hashes of young files are not remembered
    with open(str(k.dir / "z.bin"), "wb") as f:
        f.truncate(20 << 30)
    process = start(k)
    kill(k, process, lambda: k.hub.asked("hub", "POST", "/preupload/") and
         time.sleep(1.5) is None)
    assert not k.hub.asked("hub", "POST", "/batch")
    (k.dir / "z.bin").unlink()
    r = k.ok(up(k))
    assert "in place: 0.bin" in r.err, r.err
    same(k)


@limit(120)
def test_kill_while_sending(k):
    folder(k, {"big.bin": noise(9, 60 * MB), "a.txt": "a"})
    process = start(k, "-j", "2", "--limit-rate", "20M")
    kill(k, process, lambda: len([p for p in puts(k) if p["status"] == 200]) >= 4)
    arrived = {p["path"] for p in puts(k) if p["status"] == 200}
    k.ok(up(k))
    twice = [p for p in puts(k) if p["status"] == 200]
    same(k)
    # Each connection may have a part that arrived and whose answer was not yet noted.
    assert len(twice) <= 12 + 2 and len(arrived) >= 4, "%d parts, %d of them before" % (
        len(twice), len(arrived))


def test_kill_while_completing(k):
    folder(k, {"big.bin": noise(9, 12 * MB), "a.txt": "a"})
    completing = threading.Event()
    k.hub.fault(path="complete_multipart", delay=3, call=completing.set)
    kill(k, start(k), completing.is_set)
    sent = len(puts(k))
    k.ok(up(k))
    same(k)
    assert len(puts(k)) <= sent + 1


def test_kill_while_committing(k):
    folder(k)
    committing = threading.Event()
    k.hub.fault(path="/commit/", method="POST", delay=2, call=committing.set)
    kill(k, start(k), committing.is_set)
    sent = len(puts(k))
    k.ok(up(k))
    same(k)
    assert len(puts(k)) == sent, "sent again"
    repo = k.hub.find_repo("model", ID)
    assert len(list(repo.history(repo.head()))) == 2, "committed twice"


def test_interrupt(k):
    folder(k, {"big.bin": noise(9, 40 * MB)})
    process = start(k, "--limit-rate", "5M")
    r = kill(k, process, lambda: k.hub.asked("hub", "POST", "/batch"), signal.SIGINT)
    k.ok(r, 130, err="again")
    k.ok(up(k))
    same(k)


def changes(k, size, rate):
    k.hub.repos.clear()
    folder(k, {"big.bin": noise(9, size), "a.txt": "a"})
    asked = len(k.hub.asked("hub", "POST", "/batch"))
    process = start(k, "--limit-rate", rate)
    k.wait_for(lambda: len(k.hub.asked("hub", "POST", "/batch")) > asked, what="the batch")
    write(k.dir, {"big.bin": noise(10, size)})
    r = k.finish(process)
    k.ok(r, 9, err=("big.bin", "changed"))
    k.ok(up(k))
    same(k)


def test_a_file_that_changes(k):
    """In parts, and in one request, which is not sent to its end: that would be stored."""
    changes(k, 20 * MB, "10M")
    changes(k, 4 * MB, "3M")


def test_read_only_source(k):
    """The journal goes elsewhere, or nowhere; the upload works."""
    folder(k)
    k.ok(up(k, env={"XDG_STATE_HOME": str(k.top / "state"), "HOME": None}))
    same(k)


def test_prompt(k):
    folder(k)
    r = k.terminal("upload", env={"HF_TOKEN": k.tokens["write"]},
                   answers=[("repository ID: ", ID + "\n"),
                            ("Local path to upload: ", str(k.dir) + "\n")])
    k.ok(r)
    same(k)
