"""End-to-end tests of what `hub upload` says and does: what is unchanged, what is never sent, what
the Hub has, what is reported. Each test_* takes a Kit (kit.py). HUB_LONG=1: more kills."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
import zlib

from faults import need_strace
from upload import ID, commits, folder, noise, puts, same, start, there, up, write
from kit import MB, Skip, limit

LONG = bool(os.environ.get("HUB_LONG"))
SETTLED = 0.2  # seconds, after which a file's hash is remembered


def history(k):
    repo = k.hub.find_repo("model", ID)
    return list(repo.history(repo.head()))


def arrived(k):
    return [p for p in puts(k) if p["status"] == 200]


def content(k, path):
    return there(k)[path].content.read()


# 1: unchanged

def change_kept(path, data):
    """Other bytes with the same size, inode and time, as tar, unzip -o and rsync -t leave them."""
    before = path.stat()
    with open(str(path), "r+b") as f:
        f.write(data)
    os.utime(str(path), ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (
        before.st_size, before.st_ino, before.st_mtime_ns)


def test_changed_with_the_old_time(k):
    folder(k, {"w.safetensors": noise(1, 700001), "a.txt": "old\n"})
    time.sleep(SETTLED)
    k.ok(up(k))
    change_kept(k.dir / "w.safetensors", noise(2, 700001))
    change_kept(k.dir / "a.txt", b"new\n")
    k.ok(up(k), err="sent 2 files")
    same(k)


def test_the_right_one_is_not_replaced_by_the_old(k):
    folder(k, {"w.safetensors": noise(1, 700001)})
    time.sleep(SETTLED)
    k.ok(up(k))
    change_kept(k.dir / "w.safetensors", noise(2, 700001))
    k.hub.find_repo("model", ID).commit({"w.safetensors": noise(2, 700001)})
    k.ok(up(k), err="nothing to do")
    same(k)


def test_replaced_with_the_old_time(k):
    folder(k, {"w.safetensors": noise(1, 1000000)})
    time.sleep(SETTLED)
    k.ok(up(k))
    old = (k.dir / "w.safetensors").stat()
    write(k.dir, {"x": noise(2, 1000000)})
    os.utime(str(k.dir / "x"), ns=(old.st_atime_ns, old.st_mtime_ns))
    os.replace(str(k.dir / "x"), str(k.dir / "w.safetensors"))
    k.ok(up(k))
    same(k)


def test_unchanged_is_not_hashed_again(k):
    folder(k, {"w.safetensors": noise(1, 700001)})
    time.sleep(SETTLED)
    k.ok(up(k))
    k.ok(up(k), err=("in place: w.safetensors", "nothing to do"))


# 2: what the Hub has, it says itself

def test_repository_made_anew(k):
    folder(k)
    k.ok(up(k))
    k.hub.repos.clear()
    k.ok(up(k))
    same(k)


def test_storage_lost_it_before_the_commit(k):
    folder(k)
    k.hub.fault(path="/commit/", method="POST", status=422, body='{"error":"no"}')
    k.ok(up(k), 8)
    k.hub.find_repo("model", ID).objects.clear()
    k.ok(up(k))
    same(k)


def test_storage_lost_it_during_the_run(k):
    """The commit is refused for the missing object: asked, sent, and tried once more."""
    folder(k, {"w.bin": noise(1, 700001), "a.txt": "a"})
    k.hub.fault(path="/commit/", method="POST",
                call=lambda: k.hub.find_repo("model", ID).objects.clear())
    k.ok(up(k))
    same(k)
    assert len(commits(k)) == 2 and len(puts(k)) == 2
    assert len(history(k)) == 2


def test_a_refusal_that_lasts_is_told_once(k):
    folder(k, {"w.bin": noise(1, 700001)})
    k.hub.fault(path="/commit/", method="POST", status=422, count=None, body='{"error":"bad name"}')
    k.ok(up(k), 8, err="bad name")
    assert len(commits(k)) == 1


def test_made_anew_while_half_was_sent(k):
    """Parts of an upload to a repository that is gone are not parts of the new one's."""
    folder(k, {"big.bin": noise(9, 30 * MB + 1)})
    k.hub.fault(origin="upload", path="partNumber=[4-7]&", hang_up=True, count=None)
    k.ok(up(k, "--retries", "0"), 5)
    assert arrived(k)
    k.hub.repos.clear()
    k.hub.forget()
    k.ok(up(k))
    same(k)
    assert len(arrived(k)) == 7, len(arrived(k))


# 3: a hash that the storage contradicts

def falsify(k):
    """The journal's hashes become others."""
    path = k.dir / ".cache/huggingface/upload/journal"
    lines = []
    for line in path.read_text().splitlines():
        text = line[9:]
        text = text[:-8] + "".join("%x" % (15 - int(c, 16)) for c in text[-8:])
        lines.append("%08x %s\n" % (zlib.crc32(text.encode()), text))
    with open(str(path), "r+") as f:
        f.write("".join(lines))


def test_wrong_hash_in_the_journal(k):
    for size in (700001, 12 * MB + 5):
        shutil.rmtree(str(k.dir), ignore_errors=True)
        folder(k, {"w.bin": noise(1, size), "ok.bin": noise(2, 1000)})
        time.sleep(SETTLED)
        k.hub.fault(origin="upload", status=503, count=None)
        k.ok(up(k, "--retries", "0"), (5, 9))
        falsify(k)
        k.hub.forget()
        k.ok(up(k))
        del k.hub.violations[:]  # it did announce something else than it sent
        same(k)
        k.ok(up(k), err="nothing to do")


def test_bad_digest_makes_it_hash_again(k):
    folder(k, {"w.bin": noise(1, 700001)})
    time.sleep(SETTLED)
    k.hub.fault(origin="upload", status=400, body="<Error><Code>BadDigest</Code></Error>")
    k.ok(up(k), 6, err="BadDigest")
    k.ok(up(k), err="done: w.bin")
    same(k)


def test_storage_answers_before_it_has_all(k):
    """Such a part is sent again before anything is said about it to the Hub."""
    folder(k, {"w.bin": noise(1, 9 * MB + 1)})
    k.hub.fault(origin="upload", status=200, headers={"ETag": '"0"'})
    k.ok(up(k))
    same(k)
    assert len(puts(k)) > 1 and all(e["status"] < 300 for e in k.hub.asked(method="POST"))


# 4: secrets

def source(k, files):
    """Not k.dir, where no test may leave a token."""
    at = k.top / "source"
    write(at, files)
    return at


def secret(k):
    return "HF_TOKEN=%s\n" % k.tokens["write"]


def test_the_tokens_own_file(k):
    at = source(k, {"a.txt": "a", ".env": secret(k)})
    r = k.ok(k.run("upload", "-r", ID, "-p", ".", cwd=at), err=("never sent: 1 file with a token", ".env"))
    assert set(there(k)) == {".gitattributes", "a.txt"}, r.err
    k.ok(k.run("upload", "-r", ID, "-p", ".", "--include", ".env", cwd=at), 2, err="never sent")
    k.ok(k.run("upload", "-r", ID, "-p", ".env", cwd=at), 2, err="never sent")
    (at / "soft").symlink_to(".env")
    os.link(str(at / ".env"), str(at / "hard"))
    k.ok(k.run("upload", "-r", ID, "-p", ".", cwd=at), err="never sent: 3 files with tokens")
    assert set(there(k)) == {".gitattributes", "a.txt"}


def test_the_configurations_env(k):
    at = source(k, {"a.txt": "a", "keys.txt": secret(k), "config.json": '{"app": {"env": "keys.txt"}}'})
    k.ok(k.run("upload", "-r", ID, "-p", ".", "-c", "config.json", cwd=at), err="keys.txt")
    assert set(there(k)) == {".gitattributes", "a.txt", "config.json"}
    # The token is another's, and the file is still one of tokens.
    k.ok(up(k, "-c", "config.json", path=".", cwd=at), err="keys.txt")
    assert set(there(k)) == {".gitattributes", "a.txt", "config.json"}


def test_token_files(k):
    at = source(k, {"a.txt": "a", "my-token": k.tokens["write"] + "\n"})
    k.ok(k.run("upload", "-r", ID, "-p", at, "--token-file", at / "my-token"), err="my-token")
    assert set(there(k)) == {".gitattributes", "a.txt"}
    home = source(k, {"a.txt": "a", "token": k.tokens["write"], "stored_tokens": "[x]\nhf_token = y\n"})
    (at / "my-token").unlink()
    k.ok(k.run("upload", "-r", ID, "-p", at, env={"HF_HOME": home}), err=("token", "stored_tokens"))
    assert set(there(k)) == {".gitattributes", "a.txt"}
    # They are in the way of nobody who brings the token otherwise.
    k.ok(up(k, path=at, env={"HF_HOME": home}), err="never sent: 2 files")
    assert set(there(k)) == {".gitattributes", "a.txt"}


def test_env_files_that_nobody_named(k):
    folder(k, {"a.txt": "a", ".env": "X=1\n", "sub/.env.local": "Y=2\n", ".envrc": "Z=3\n"})
    (k.dir / "link").symlink_to("sub/.env.local")
    r = k.ok(up(k, "--json"), err=("not sent unless named: 3 files", "'.env'", "'sub/.env.local'"))
    assert set(there(k)) == {".gitattributes", "a.txt", ".envrc"}
    assert {s["path"] for s in json.loads(r.out)["skipped"]} == {".env", "sub/.env.local", "link"}
    k.ok(up(k, "--include", "*.env*"), (0, 2))
    assert set(there(k)) == {".gitattributes", "a.txt", ".envrc"}
    k.ok(up(k, "--include", "sub/.env.local"))
    assert set(there(k)) == {".gitattributes", "a.txt", ".envrc", "sub/.env.local"}
    k.ok(up(k, path=k.dir / ".env"))
    assert ".env" in there(k)


# 5: the token in a file

def test_token_in_a_file(k):
    token = k.tokens["write"]
    at = source(k, {"a.txt": "a", "run.log": "x" * 65530 + token + "y", "end.txt": token,
                    "w.bin": noise(1, 700001) + token.encode() + b"z", "almost.txt": token[:-1],
                    "head.txt": "x" * 511 + token + "y", ".gitignore": "# " + token + "\n"})
    r = k.ok(up(k, path=at), 9, err=("5 of 7 files", "run.log", "end.txt", "w.bin", "contains the token"))
    assert token not in r.err
    assert set(there(k)) == {".gitattributes", "a.txt", "almost.txt"}
    assert not puts(k)
    k.ok(up(k, path=at / "end.txt"), 2, err="contains the token")
    r = k.ok(up(k, "--dry-run", "--json", path=at), 9)
    assert {f["path"] for f in json.loads(r.out)["files"] if f["outcome"] == "failed"} == {
        "run.log", "end.txt", "w.bin", "head.txt", ".gitignore"}


def test_token_in_a_large_file(k):
    """What is larger than 10 MiB is not searched."""
    at = source(k, {"w.bin": k.tokens["write"].encode() + noise(1, 10 * MB)})
    k.ok(up(k, path=at))


# 6: links

def test_links_that_lead_out(k):
    """As in the snapshot of a cache."""
    blobs = k.top / "blobs"
    write(blobs, {"1": "one", "2": "two"})
    folder(k, {"c.txt": "c"})
    (k.dir / "a.txt").symlink_to("../blobs/1")
    (k.dir / "b.txt").symlink_to(str(blobs / "2"))
    (k.dir / "d.txt").symlink_to("c.txt")
    r = k.ok(up(k), err="2 links lead out of")
    assert r.err.count("out of") == 1
    same(k)


def test_links_of_others(k):
    if os.geteuid() != 0:
        raise Skip("only root gives files away")
    folder(k, {"c.txt": "c"})
    for name in ("ours", "theirs"):
        (k.dir / name).symlink_to("c.txt")
    os.chown(str(k.dir / "theirs"), 12345, 12345, follow_symlinks=False)
    k.ok(up(k), 9, err=("theirs", "another user"))
    assert set(there(k)) == {".gitattributes", "c.txt", "ours"}


def test_proc_is_no_content(k):
    folder(k, {"a.txt": "a"})
    (k.dir / "version").symlink_to("/proc/version")
    k.ok(up(k), 9, err=("version", "not an ordinary file"))
    assert set(there(k)) == {".gitattributes", "a.txt"}
    k.ok(up(k, path="/proc/version"), 7, err="not an ordinary file")


# 7: what cannot be sent

def test_dangling_links(k):
    folder(k, {"a.txt": "a"})
    (k.dir / "gone").symlink_to("nowhere")
    (k.dir / "loop").symlink_to("loop")
    r = k.ok(up(k, "-q"), 9, err=("2 of 3 files", "gone", "leads nowhere", "--exclude"))
    assert set(there(k)) == {".gitattributes", "a.txt"}
    r = k.ok(up(k), 9, err=("failed: gone", "failed: loop"))
    r = k.ok(up(k, "--json"), 9)
    assert {f["path"]: f["outcome"] for f in json.loads(r.out)["files"]} == {
        "a.txt": "unchanged", "gone": "failed", "loop": "failed"}
    k.ok(up(k, "--dry-run"), 9, out=("failed ", "unchanged "))
    (k.dir / "a.txt").unlink()
    k.ok(up(k), 9)


# 8: what the Hub ignores

def test_ignored_by_the_repository(k):
    k.hub.add_repo(ID, {".gitignore": "*.tmp\n"})
    folder(k, {"a.txt": "a", "b.tmp": "b", "c.tmp": "c"})
    k.ok(up(k), err="leaves out 2 files: 'b.tmp', 'c.tmp'")
    assert "b.tmp" not in there(k)
    k.ok(up(k, path=k.dir / "b.tmp"), 9, err=("b.tmp", ".gitignore"))
    k.ok(up(k, "--include", "b.tmp"), 9, err=("b.tmp", ".gitignore"))


# 9: what changes on the way

def change_at(k, path, act, **more):
    k.hub.fault(path=path, method="POST", call=act, **more)


def test_replaced_while_it_was_sent(k):
    """Renamed over: what is open stays as it was."""
    folder(k, {"w.bin": noise(1, 700001), "a.txt": "a"})
    write(k.top, {"other": noise(2, 700001)})
    change_at(k, "/objects/verify", lambda: os.replace(str(k.top / "other"), str(k.dir / "w.bin")))
    k.ok(up(k), 9, err=("w.bin", "changed during the upload"))
    assert set(there(k)) == {".gitattributes", "a.txt"}
    k.ok(up(k))
    same(k)


def test_deleted_while_it_was_sent(k):
    for name in ("w.bin", "b.txt"):
        k.hub.repos.clear()
        folder(k, {"w.bin": noise(1, 700001), "a.txt": "a", "b.txt": "b"})
        change_at(k, "/objects/verify", (k.dir / name).unlink)
        k.ok(up(k), 9, err=(name, "was removed during the upload"))
        assert set(there(k)) == {".gitattributes", "a.txt", "b.txt", "w.bin"} - {name}
        shutil.rmtree(str(k.dir))


def test_shorter_while_it_was_committed(k):
    folder(k, {"a.txt": "a", "b.txt": "line of text\n" * 600000, "c.txt": "c"})
    change_at(k, "/commit/", lambda: os.truncate(str(k.dir / "b.txt"), 1000001))
    k.ok(up(k, "--limit-rate", "8M"), 9, err="b.txt")
    assert set(there(k)) == {".gitattributes", "a.txt", "c.txt"}
    k.ok(up(k))
    same(k)


def test_unreadable_while_it_was_committed(k):
    """A disk that fails in one file does not end the others."""
    need_strace()
    folder(k, {"a.txt": "a", "b.txt": "b" * 1000, "c.txt": "c"})
    wrap = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", k.dir / "b.txt",
            "-e", "inject=pread64:error=EIO:when=2")
    k.ok(up(k, wrap=tuple(map(str, wrap)), env={"ASAN_OPTIONS": "detect_leaks=0"}), 9,
         err=("b.txt", "error"))
    assert set(there(k)) == {".gitattributes", "a.txt", "c.txt"}


# 10: answers that say "later"

def busy(oid):
    def edit(body):
        said = json.loads(body)
        for o in said["objects"]:
            if o["oid"] == oid:
                o.pop("actions", None)
                o["error"] = {"code": 503, "message": "try again"}
        return json.dumps(said).encode()
    return edit


def test_one_object_of_a_batch_later(k):
    folder(k, {"w.bin": noise(1, 700001), "v.bin": noise(2, 1000001)})
    oid = hashlib.sha256(noise(1, 700001)).hexdigest()
    k.hub.fault(path="/objects/batch", edit=busy(oid), count=2)
    k.ok(up(k))
    same(k)
    assert len(k.hub.asked("hub", "POST", "/batch")) == 3


def test_one_object_of_a_batch_never(k):
    folder(k, {"w.bin": noise(1, 700001), "v.bin": noise(2, 1000001)})
    oid = hashlib.sha256(noise(1, 700001)).hexdigest()
    k.hub.fault(path="/objects/batch", edit=busy(oid), count=None)
    k.ok(up(k, "--retries", "1"), 9, err=("w.bin", "try again"))
    assert set(there(k)) == {".gitattributes", "v.bin"}


def test_many_objects_of_a_batch_never(k):
    """An answer is no dead line: each of the others is sent."""
    names = ["%d.bin" % i for i in range(6)]
    folder(k, {n: noise(i, 700001) for i, n in enumerate(names)})
    oids = [hashlib.sha256(noise(i, 700001)).hexdigest() for i in range(5)]

    def edit(body):
        for oid in oids:
            body = busy(oid)(body)
        return body

    k.hub.fault(path="/objects/batch", edit=edit, count=None)
    r = k.ok(up(k, "--retries", "0"), 9, err="try again")
    assert all(n in r.err for n in names[:5]), r.err
    assert set(there(k)) == {".gitattributes", "5.bin"}


def test_many_parts_answered_503(k):
    """The same of parts."""
    folder(k, {"%d.bin" % i: noise(i, 700001) for i in range(6)})
    k.hub.fault(origin="upload", status=503, count=5)
    k.ok(up(k, "-j1", "--retries", "0"), 9)
    assert len(there(k)) == 2


NONE = "HTTP/1.1 %d Unknown\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_commit_answered_520(k):
    """Done, or not done: it is there once."""
    for fault in ({"raw": NONE % 520}, {"status": 520}, {"raw": NONE % 599}):
        k.hub.repos.clear()
        folder(k, {"a.txt": "a"})
        k.hub.fault(path="/commit/", method="POST", **fault)
        k.ok(up(k))
        same(k)
        assert len(history(k)) == 2


# 11: what is not repeated blindly

def test_lost_answer_to_a_pull_request(k):
    for fault in ({"lose_answer": True}, {"raw": NONE % 502}, {"hang_up": True}, {"status": 503}):
        k.hub.repos.clear()
        k.hub.add_repo(ID, {"x": "x"})
        folder(k, {"a.txt": "a"})
        k.hub.find_repo("model", ID).open_pull(title="Upload folder with hub")
        k.hub.fault(path="/discussions$", method="POST", **fault)
        r = k.ok(up(k, "--create-pr"))
        repo = k.hub.find_repo("model", ID)
        assert list(repo.pulls) == [1, 2] and "/discussions/2" in r.out, fault
        assert "a.txt" in there(k, "refs/pr/2") and "a.txt" not in there(k, "refs/pr/1")
        assert repo.pull_status[2] == "open"


def test_lost_answer_where_nobody_can_look(k):
    k.hub.add_repo(ID, {"x": "x"})
    folder(k, {"a.txt": "a"})
    k.hub.fault(path="/discussions[?]", method="GET", status=404, count=None)
    k.hub.fault(path="/discussions$", method="POST", lose_answer=True)
    k.ok(up(k, "--create-pr"), 5, err=("may have been opened", "refs/pr/NUMBER"))
    assert list(k.hub.find_repo("model", ID).pulls) == [1]


def test_redirects_that_lose_a_post(k):
    folder(k, {"a.txt": "a", "w.bin": noise(1, 1000)})
    for path in ("/preupload/", "/objects/batch", "/commit/", "/repos/create"):
        for status in (301, 303):
            k.hub.repos.clear()
            k.hub.forget()
            k.hub.fault(path=path, method="POST", status=status, headers={
                "Location": "%s/api/models/x/y" % k.hub.endpoint})
            k.ok(up(k), (1, 5, 8), err="turn a POST into a GET")
            repo = k.hub.find_repo("model", ID)
            assert not repo or len(history(k)) == 1
    k.hub.forget()
    k.ok(up(k))


def test_missing_pull_request_is_no_branch(k):
    k.hub.add_repo(ID, {"x": "x"})
    folder(k, {"a.txt": "a"})
    k.ok(up(k, "--revision", "refs/pr/7"), 3, err=("refs/pr/7", "--create-pr"))
    assert not k.hub.asked("hub", "POST")


# 12: a slow line

@limit(90)
def test_interrupted_on_a_slow_line(k):
    """What is half sent is little: 12 parts, few of them at a time."""
    folder(k, {"big.bin": noise(9, 60 * MB)})
    time.sleep(SETTLED)
    process = start(k, "--limit-rate", "10M")
    k.wait_for(lambda: len(arrived(k)) >= 5, seconds=40, what="the fifth part")
    process.send_signal(signal.SIGINT)
    k.ok(k.finish(process), 130, err="complete parts are kept")
    kept, begun = len(arrived(k)), len(puts(k))
    assert begun - kept <= 4, "%d begun, %d kept" % (begun, kept)
    k.hub.forget()
    k.ok(up(k))
    same(k)
    assert len(arrived(k)) <= 12 - kept + 1, "%d after %d" % (len(arrived(k)), kept)


# 13: the report

def test_report(k):
    folder(k, {"a.txt": "a", "b.txt": "b", "old.txt": "o", "w.bin": noise(1, 700001)})
    r = k.ok(up(k), err=("committing", "sent 4 files (700 kB) to '%s' (main)" % ID))
    write(k.dir, {"a.txt": "aa"})
    (k.dir / "old.txt").unlink()
    r = k.ok(up(k, "--delete", "*"), err="sent 1 file (2 B) to '%s' (main), 2 unchanged, 1 deleted" % ID)
    r = k.ok(up(k, "--delete", "*"), err="nothing to do for '%s' (main), 3 unchanged" % ID)
    assert "committing" not in r.err and "uploading" not in r.err
    assert r.err.rstrip().split("\n")[-1].startswith("hub: nothing to do"), r.err
    r = k.ok(up(k, "-q"))
    assert r.err == ""


def test_report_as_json(k):
    folder(k, {"a.txt": "a", "w.bin": noise(1, 700001)})
    k.ok(up(k))
    write(k.dir, {"a.txt": "aa", "v.bin": noise(2, 1000)})
    (k.dir / "gone").symlink_to("nowhere")
    told = json.loads(k.ok(up(k, "--json"), 9).out)
    files = {f["path"]: f for f in told["files"]}
    assert {p: f["outcome"] for p, f in files.items()} == {
        "a.txt": "committed", "v.bin": "committed", "w.bin": "unchanged", "gone": "failed"}
    assert files["w.bin"]["sha256"] == hashlib.sha256(noise(1, 700001)).hexdigest()
    assert files["v.bin"]["sha256"] == hashlib.sha256(noise(2, 1000)).hexdigest()
    assert "nowhere" in files["gone"]["error"]


# 14: others

def test_mirror_answers_400(k):
    """The repository came between the look and its creation."""
    folder(k, {"a.txt": "a"})
    for status in (400, 403):
        k.hub.repos.clear()
        k.hub.fault(path="/repos/create", status=status, body='{"error":"exists"}',
                    call=lambda: k.hub.add_repo(ID, {}))
        k.ok(up(k))
        same(k)
    k.hub.repos.clear()
    k.hub.fault(path="/repos/create", status=400, count=None, body='{"error":"bad name"}')
    k.ok(up(k), (1, 2), err=("cannot create", "bad name"))


def test_token_without_the_right(k):
    k.hub.add_repo(ID, {"x": "x"})
    folder(k, {"a.txt": "a", "w.bin": noise(1, 1000)})
    r = k.ok(up(k, token="read"), 4)
    assert r.err.count("hub: ") == 1 and not puts(k)
    k.ok(up(k))


def test_moved_branch_and_the_next_run(k):
    folder(k, {"a.txt": "a", "w.bin": noise(1, 1000)})
    k.ok(up(k))
    write(k.dir, {"a.txt": "b"})
    repo = k.hub.find_repo("model", ID)
    change_at(k, "/preupload/", lambda: None)
    k.hub.fault(path="/commit/", method="POST", call=lambda: repo.commit({"other": "o"}))
    r = k.ok(up(k), 8)
    assert r.err.count("hub: cannot") == 1, r.err
    k.ok(up(k))
    same(k, also=("other",))


@limit(90)
def test_two_at_once(k):
    """Both end, with a status of their own; the next run finds nothing to do."""
    for seed in range(4):
        k.hub.repos.clear()
        shutil.rmtree(str(k.dir), ignore_errors=True)
        folder(k, {"a.txt": "a", "w.bin": noise(seed, 12 * MB + 1), "v.bin": noise(seed + 9, 700001)})
        both = [start(k, "--limit-rate", "30M") for _ in range(2)]
        ends = [k.finish(p).status for p in both]
        assert 0 in ends and set(ends) <= {0, 8}, ends
        k.ok(up(k), err="nothing to do")
        same(k)


# killed at any moment

@limit(600 if LONG else 120)
def test_killed_at_random(k):
    """Ends right, with nothing sent twice beyond a part a connection."""
    random.seed(LONG and time.time())
    killed, jobs = 0, 3
    for seed in range(100):
        k.hub.repos.clear()
        k.hub.forget()
        shutil.rmtree(str(k.dir), ignore_errors=True)
        folder(k, {"big.bin": noise(seed, 21 * MB + 1), "b/small.bin": noise(seed + 500, 700001),
                   "a.txt": "a%d" % seed, "c.txt": "line\n" * 100000, "z.bin": noise(seed + 900, 6 * MB)})
        time.sleep(SETTLED)
        times = 0
        while True:
            process = start(k, "-j", str(jobs), "--limit-rate", "40M")
            try:
                process.wait(random.random() * 1.2)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                times += 1
            r = k.finish(process)
            if r.status != 137:
                break
        killed += times
        # The last commit may have been done when the one who asked for it was killed.
        k.ok(r, (0, 8))
        if r.status == 8:
            k.ok(up(k))
        same(k)
        assert len(history(k)) == 2, "committed twice"
        # 5 and 2 parts of 5 MiB and less, and a single one.
        assert len(arrived(k)) <= 8 + times * jobs, (len(arrived(k)), times)
        k.ok(up(k), err="nothing to do")
        if killed >= (100 if LONG else 5):
            return
