"""The shared Hugging Face cache, end to end: its layout, hits, offline, hostile and broken caches.
Each test_* takes a Kit (kit.py)."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

from fakehub import Generated
from kit import MB, Skip, bounded, limit, sha256, tree
from oddfs import OddFs

ID = "acme-lab/tiny"
FOLDER = "models--acme-lab--tiny"
FILES = {
    "README.md": "# tiny\n",
    "config.json": '{"a": 1}\n',
    "empty.txt": b"",
    "other/empty.txt": b"",
    "sub dir/100% über.txt": "odd\n",
    "weights/copy.safetensors": Generated(7, 3 * MB + 1),
    "weights/model.safetensors": Generated(7, 3 * MB + 1),
}


class Cache:
    """What lies in the cache of one repository."""

    def __init__(self, k, repo, revision="main", top=None):
        self.k, self.repo = k, repo
        self.top = top or k.home / ".cache/huggingface/hub"
        self.at = self.top / ("%ss--%s" % (repo.type, repo.id.replace("/", "--")))
        self.commit = repo.find(revision).oid
        self.files = repo.find(revision).files
        self.snapshot = self.at / "snapshots" / self.commit

    def blob(self, path):
        return self.at / "blobs" / self.files[path].etag

    def check(self, links=True):
        """Each file of the snapshot is the one link that belongs there, and its content is right."""
        assert set(tree(self.snapshot)) == set(self.files), set(tree(self.snapshot)) ^ set(self.files)
        for path, entry in self.files.items():
            at = self.snapshot / path
            if links:
                right = "../" * (2 + path.count("/")) + "blobs/" + entry.etag
                assert os.readlink(at) == right, os.readlink(at)
            else:
                assert not at.is_symlink()
            assert sha256(at) == entry.content.sha256(), path
        assert (self.top / "CACHEDIR.TAG").read_text().startswith(
            "Signature: 8a477f597d28d172789f06886806bc55\n")
        if links:
            blobs = {p.name for p in (self.at / "blobs").iterdir()}
            assert blobs == {e.etag for e in self.files.values()}, blobs
        left = [p for p in self.at.rglob("*") if "hub-download" in p.name or p.name.endswith(".tmp")]
        assert not left, left


def fill(k, files=FILES, **how):
    repo = k.hub.add_repo(ID, files, **how)
    cache = Cache(k, repo)
    r = k.ok(k.run("download", "-r", ID, "--cache"))
    assert r.out == "%s\n" % cache.snapshot
    k.hub.forget()
    return cache


def test_layout(k):
    cache = fill(k)
    cache.check()
    assert (cache.at / "refs/main").read_bytes() == cache.commit.encode()
    listing = json.loads((cache.at / "trees" / (cache.commit + ".json")).read_text())
    assert listing["format_version"] == 1 and set(listing["files"]) == {*FILES, ".gitattributes"}
    big = listing["files"]["weights/model.safetensors"]
    assert big["lfs_sha256"] == cache.files["weights/model.safetensors"].etag
    assert big["size"] == big["lfs_size"] == 3 * MB + 1 and len(big["blob_id"]) == 40


def test_each_content_comes_once(k):
    k.hub.add_repo(ID, FILES)
    k.ok(k.run("download", ID))
    asked = [e["path"] for e in k.hub.asked() if "/resolve/" in e["path"] and "cache" not in e["path"]]
    assert len([p for p in asked if "safetensors" in p]) == 1 and len(asked) <= 6, asked
    assert k.from_cdn() < 4 * MB


def test_repository_alone_goes_to_the_cache(k):
    repo = k.hub.add_repo(ID, FILES)
    cache = Cache(k, repo)
    r = k.ok(k.run("download", ID))
    assert r.out == "%s\n" % cache.snapshot
    cache.check()
    r = k.ok(k.run("download", ID, "config.json", "other/empty.txt"))
    assert r.out == "%s\n%s\n" % (cache.snapshot / "config.json", cache.snapshot / "other/empty.txt")
    r = k.run("download", "-r", ID)
    k.ok(r, 2, err="no local path given")


def test_types_and_places(k):
    repo = k.hub.add_repo("acme-lab/data", {"a.txt": "a"}, type="dataset")
    for args, env, top in (
            (["--cache"], {}, k.home / ".cache/huggingface/hub"),
            (["--cache"], {"XDG_CACHE_HOME": k.top / "xdg"}, k.top / "xdg/huggingface/hub"),
            (["--cache"], {"HF_HOME": k.top / "hf"}, k.top / "hf/hub"),
            (["--cache"], {"HF_HOME": k.top / "no", "HUGGINGFACE_HUB_CACHE": "~/old"}, k.home / "old"),
            (["--cache"], {"HUGGINGFACE_HUB_CACHE": k.top / "no", "HF_HUB_CACHE": "$HOME/c"}, k.home / "c"),
            (["--cache-dir", k.top / "dir"], {"HF_HUB_CACHE": k.top / "no"}, k.top / "dir")):
        r = k.ok(k.run("download", "-r", repo.id, "--repo-type", "dataset", *args, env=env))
        cache = Cache(k, repo, top=top)
        assert cache.at.name == "datasets--acme-lab--data"
        assert r.out == "%s\n" % cache.snapshot
        cache.check()
    assert not (k.top / "no").exists()
    r = k.run("download", repo.id, "--type", "dataset", env={"HOME": None})
    k.ok(r, 2, err="there is no cache")


def test_hit(k):
    """The commit is asked for, and nothing else; nothing is written."""
    cache = fill(k)
    before = {p: p.lstat().st_mtime_ns for p in cache.top.rglob("*")}
    r = k.ok(k.run("download", ID), err="8 of 8 files are cached, not hashed")
    assert r.out == "%s\n" % cache.snapshot
    assert [e["path"] for e in k.hub.asked()] == ["/api/models/%s/revision/main?expand=sha" % ID], k.hub.asked()
    assert before == {p: p.lstat().st_mtime_ns for p in cache.top.rglob("*")}
    k.hub.forget()
    k.ok(k.run("download", ID, "--revision", cache.commit), err="cached, not hashed")
    assert not k.hub.asked()
    r = k.ok(k.run("download", ID, "--json", "--revision", cache.commit))
    report = json.loads(r.out)
    assert report["path"] == str(cache.snapshot) and not k.hub.asked()
    for file in report["files"]:
        assert file["outcome"] == "cached" and file["verified"] == "not hashed", file
    k.ok(k.run("download", ID, "--dry-run"), out="0 of 8 files, 0 B to fetch; 6.29 MB cached, not hashed")


def test_json_says_what_was_verified(k):
    cache = fill(k)
    cache.blob("config.json").unlink()
    report = json.loads(k.ok(k.run("download", ID, "--json")).out)
    for file in report["files"]:
        wanted = ("downloaded", "now") if file["path"] == "config.json" else ("cached", "not hashed")
        assert (file["outcome"], file["verified"]) == wanted, file


def test_other_revision_shares_contents(k):
    cache = fill(k)
    cache.repo.commit({"README.md": "# two\n", "more/model.safetensors": Generated(7, 3 * MB + 1)})
    k.ok(k.run("download", ID), err="8 of 9 files are cached, not hashed")
    assert not k.from_cdn()
    second = Cache(k, cache.repo)
    assert second.commit != cache.commit and len(tree(cache.snapshot)) == 8
    assert (cache.at / "refs/main").read_text() == second.commit
    assert set(tree(second.snapshot)) == set(second.files)


def test_names_of_revisions(k):
    cache = fill(k)
    cache.repo.branch("feature/x")
    cache.repo.branch("a")
    for name in ("feature/x", "a"):
        k.ok(k.run("download", ID, "--revision", name))
        assert (cache.at / "refs" / name).read_text() == cache.commit
        k.ok(k.run("download", ID, "--revision", name, "--offline"))
    for name in ("../../../x", "/x", "a/b"):
        assert k.run("download", ID, "--revision", name).status == 3
        assert k.run("download", ID, "--revision", name, "--offline").status in (3, 7)
    assert not (cache.top.parent / "x").exists()


def test_patterns_then_all(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.run("download", ID, "--include", "*.json"))
    cache = Cache(k, repo)
    assert set(tree(cache.snapshot)) == {"config.json"}
    k.ok(k.run("download", ID), err="1 of 8 files is cached, not hashed")
    cache.check()


def test_absent_file_is_noted(k):
    cache = fill(k)
    k.ok(k.run("download", ID, "generation_config.json"), 3, err="there is no file")
    mark = cache.at / ".no_exist" / cache.commit / "generation_config.json"
    assert mark.stat().st_size == 0
    k.ok(k.run("download", ID, "generation_config.json", "--offline"), 3, err="there is no file")
    shutil.rmtree(cache.at / "trees")
    k.ok(k.run("download", ID, "generation_config.json", "--offline"), 3, err="there is no file")


def test_absent_is_what_a_listing_does_not_have(k):
    """An answer that a whole repository is not there says nothing of its files."""
    repo = k.hub.add_repo(ID, FILES)
    at = Cache(k, repo).at
    for status in (401, 404):
        k.hub.fault(path="/tree/|/paths-info/", status=status, count=None)
        k.ok(k.run("download", ID, "config.json"), (3, 4))
        k.hub.rules.clear()
        assert not (at / ".no_exist").exists(), status
    k.ok(k.run("download", ID, "config.json"))


def test_force(k):
    cache = fill(k)
    k.ok(k.run("download", ID, "--force", "config.json"))
    assert {e["path"].split("?")[0][-11:] for e in k.content_requests()} == {"config.json"}
    cache.check()


def test_resume_after_a_kill(k):
    files = {"model.bin": Generated(3, 30 * MB)}
    repo = k.hub.add_repo(ID, files)
    for cut in (1, 700001, 10000001):
        p = k.start("download", ID, "-j", "2", "-d")
        k.kill_after(p, k.from_cdn() + cut)
        k.finish(p)
    before = k.from_cdn()
    k.ok(k.run("download", ID, "-d", "-j", "2"))
    assert k.from_cdn() - before < 30 * MB
    Cache(k, repo).check()


def test_wrong_content_is_not_published(k):
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 3 * MB), "a.txt": "a"})
    k.hub.fault(origin="cdn", corrupt_at=1000000, count=None)
    k.ok(k.run("download", ID, "--retries", "1"), 9, err="model.bin")
    cache = Cache(k, repo)
    assert not cache.blob("model.bin").exists() and not (cache.snapshot / "model.bin").is_symlink()
    assert not (cache.at / "refs/main").exists()


def test_every_file_fails(k):
    """There is no folder of contents then, which is not the error to report."""
    k.hub.add_repo(ID, {"a.txt": "a", "model.bin": Generated(3, 3 * MB)})
    k.hub.fault(path="/resolve/", status=404, count=None)
    r = k.ok(k.run("download", ID, "--retries", "0"), 3)
    assert "blobs" not in r.err, r.err


def test_hard_links(k):
    repo = k.hub.add_repo(ID, FILES)
    env = {"HF_HUB_DISABLE_SYMLINKS": "1"}
    k.ok(k.run("download", ID, env=env))
    cache = Cache(k, repo)
    cache.check(links=False)
    assert cache.blob("config.json").stat().st_ino == (cache.snapshot / "config.json").stat().st_ino
    k.hub.forget()
    k.ok(k.run("download", ID, env=env), err="8 of 8 files are cached, not hashed")
    assert len(k.hub.asked()) == 1


@limit(90)
def test_hard_links_of_two_at_once(k):
    """Another run publishes and links first, and a third has replaced its contents meanwhile."""
    files = {**FILES, "a.txt": "one", "b.txt": "one", "c.txt": "two"}
    repo = k.hub.add_repo(ID, files)
    cache = Cache(k, repo)
    env = {"HF_HUB_DISABLE_SYMLINKS": "1"}

    def come():
        k.ok(k.run("download", ID, env=env))
        for path in ("a.txt", "weights/model.safetensors"):
            copy = cache.blob(path).with_name("copy")
            shutil.copy(cache.blob(path), copy)
            copy.rename(cache.blob(path))
    k.hub.fault(origin="hub", path="/resolve/", call=come)
    k.ok(k.run("download", ID, "-j", "1", env=env))
    cache.check(links=False)


def test_plain_files(k):
    """As the official client leaves them where there are no symbolic links: nothing says that they are
    what they should be, but their path and size."""
    cache = fill(k)
    for path in ("config.json", "weights/model.safetensors"):
        (cache.snapshot / path).unlink()
        shutil.move(cache.blob(path), cache.snapshot / path)
    (cache.snapshot / "weights/copy.safetensors").unlink()
    shutil.copy(cache.snapshot / "weights/model.safetensors", cache.snapshot / "weights/copy.safetensors")
    said = "8 of 8 files are cached, not hashed; 3 of them are known by path and size alone"
    for args in ((), ("--offline",), ("--revision", cache.commit)):
        k.ok(k.run("download", ID, *args), err=said)
    assert not k.content_requests()
    report = json.loads(k.ok(k.run("download", ID, "--json")).out)
    for file in report["files"]:
        plain = file["path"] in ("config.json", "weights/model.safetensors", "weights/copy.safetensors")
        assert file["verified"] == ("size only" if plain else "not hashed"), file
        assert file["outcome"] == "cached" and plain == (not {"sha256", "git_oid"} & set(file)), file
    (cache.snapshot / "config.json").write_text("another size")
    k.ok(k.run("download", ID, "--offline"), 3, err="config.json")
    k.ok(k.run("download", ID, "--force"))
    cache.check()


def odd(k, **how):
    top = k.top / "odd"
    top.mkdir()
    try:
        return top, OddFs(top, **how).__enter__()
    except PermissionError as e:
        raise Skip(str(e))


def test_without_links(k):
    """A file system that has none, as FAT: the snapshot holds the files."""
    repo = k.hub.add_repo(ID, FILES)
    top, fs = odd(k)
    try:
        r = k.ok(k.run("download", ID, "--cache-dir", top), err="this file system has no symbolic links")
        assert r.err.count("symbolic links") == 1 and "6 of 6 files" in r.err
        cache = Cache(k, repo, top=top)
        cache.check(links=False)
        k.hub.forget()
        k.ok(k.run("download", ID, "--cache-dir", top),
             err="8 of 8 files are cached, not hashed; 8 of them are known by path and size alone")
        assert not k.content_requests()
    finally:
        fs.__exit__()


def test_two_names_that_are_one_without_links(k):
    """One of them fails: it does not get the content of the other."""
    files = {"a.txt": "one", "A.txt": "another"}
    repo = k.hub.add_repo(ID, files)
    top, fs = odd(k, fold=str.casefold)
    try:
        k.ok(k.run("download", ID, "--cache-dir", top), 9, err="does not tell the two names apart")
        at = Cache(k, repo, top=top).snapshot
        assert (at / "a.txt").read_text() in files.values()
    finally:
        fs.__exit__()


def test_name_of_a_trial_folder(k):
    """A file system that refuses names is asked in a folder of ours, however long that is called."""
    name = "acme-lab-of-many-words-and-more-words/a-name-that-is-longer-than-most-names"
    k.hub.add_repo(name, FILES)
    top, fs = odd(k)
    made = set()
    act = fs.act

    def watch(code, node, body):
        if code == 9 and node is fs.root:  # MKDIR
            made.add(body[8:].rstrip(b"\0").decode())
        return act(code, node, body)
    fs.act = watch
    try:
        k.ok(k.run("download", name, "--cache-dir", top))
    finally:
        fs.__exit__()
    assert made == {"models--" + name.replace("/", "--")}, made


WRITES = {4, 9, 11, 12, 16, 35, 45, 10}  # SETATTR, MKDIR, RMDIR, RENAME, WRITE, CREATE, RENAME2, UNLINK


def watched(fs):
    """The codes of the calls that write, as they come."""
    act, written = fs.act, []

    def watch(code, node, body):
        written.extend([code] if code in WRITES else [])
        return act(code, node, body)
    fs.act = watch
    return written


def test_nothing_is_written_where_all_is_there(k):
    """Also on a network file system, whose properties only a file would show; nor in a dry run."""
    repo = k.hub.add_repo(ID, FILES)
    top, fs = odd(k, modes=True)
    written = watched(fs)
    try:
        for where in (("--cache-dir", top / "cache"), ("-p", top / "folder")):
            how = ("download", *(("-r",) if where[0] == "-p" else ()), ID, *where)
            (top / where[1].name).mkdir()
            for args in (("--dry-run",), ()):
                written.clear()
                k.ok(k.run(*how, *args))
                assert bool(written) == (not args), (where, args, written)
            for args in ((), ("--offline",), ("--dry-run",), ("--revision", repo.head().oid)):
                written.clear()
                k.ok(k.run(*how, *args))
                assert not written, (where, args, written)
    finally:
        fs.__exit__()


def test_server_that_decides_about_owners(k):
    """As one that takes root for nobody: which files are ours, a file shows, where that decides."""
    repo = k.hub.add_repo(ID, FILES)
    top, fs = odd(k, modes=True, owner=65534)
    written = watched(fs)
    try:
        k.ok(k.download(repo, to=top))
        for args in ((), ("--offline",)):
            written.clear()
            k.ok(k.download(repo, *args, to=top), err="8 of 8 files are in place, unchanged since they were verified")
            assert written and set(written) <= {4, 35, 10}, written  # SETATTR, CREATE, UNLINK
        written.clear()
        k.ok(k.download(repo, "--dry-run", to=top), out="0 of 8 files")
        k.ok(k.download(repo, "--dry-run", "--offline", to=top), 3, err="the list of its files")
        assert not written, written
    finally:
        fs.__exit__()


def test_link_that_fails(k):
    """Its content is published all the same, with the mode of such a file, and is there for the next run."""
    repo = k.hub.add_repo(ID, {"a.json": "{}", "sub/a.txt": "a", "weights/model.bin": Generated(7, 3 * MB + 1)})
    for path in ("sub/a.txt", "weights/model.bin"):
        cache = Cache(k, repo, top=k.top / path.split("/")[0])
        way = cache.snapshot / path.split("/")[0]

        def get_in_the_way():
            cache.snapshot.mkdir(parents=True, exist_ok=True)
            way.write_text("in the way")
        k.hub.fault(path="/resolve/.*" + path, call=get_in_the_way)
        k.ok(k.run("download", ID, "-j", "1", "--cache-dir", cache.top), 9, err=(path, "a file, not a folder"))
        assert cache.blob(path).stat().st_mode == cache.blob("a.json").stat().st_mode, path
        assert sha256(cache.blob(path)) == cache.files[path].content.sha256()
        way.unlink()
        k.hub.forget()
        k.ok(k.run("download", ID, "--cache-dir", cache.top))
        assert not [e for e in k.content_requests() if path in e["path"]], k.content_requests()
        cache.check()


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def test_read_only(k):
    """Another user's cache, which we may read."""
    if os.getuid() != 0:
        raise Skip("only root can run as another user")
    cache = fill(k)
    for at in (k.top, k.home, k.home / ".cache", k.work, Path(k.hub.ca_file).parent, Path(k.hub.ca_file)):
        at.chmod(0o755)
    for at in [cache.top, *cache.top.rglob("*")]:
        if not at.is_symlink():
            at.chmod(0o755 if at.is_dir() else 0o644)
    how = {"preexec_fn": as_nobody, "env": {"HF_HUB_CACHE": cache.top, "HOME": "/nonexistent"}}
    k.ok(k.run("download", ID, **how), err="cached, not hashed")
    k.ok(k.run("download", ID, "--offline", **how), err="cached, not hashed")
    cache.blob("config.json").unlink()
    r = k.ok(k.run("download", ID, **how), (7, 9), err="permission denied")
    assert r.out == "" or "config.json" not in r.out


def test_shared_store(k):
    """What hf_xet fetches lies in a folder for all repositories: two links to it."""
    cache = fill(k)
    path = "weights/model.safetensors"
    store = cache.top / "blobs/ab" / ("ab" + "0" * 62)
    store.parent.mkdir(parents=True)
    shutil.move(cache.blob(path), store)
    store.chmod(0o444)
    cache.blob(path).symlink_to("../../blobs/ab/ab" + "0" * 62)
    # without its mark it is no store
    k.ok(k.run("download", ID, "--offline"), 3, err="safetensors")
    (cache.top / "blobs/.huggingface-shared-blobs").write_text("1\n")
    k.ok(k.run("download", ID, "--offline"), err="8 of 8 files are cached, not hashed")
    assert cache.blob(path).is_symlink()
    # a content of another size is not written through the link
    store.chmod(0o644)
    store.write_bytes(b"short")
    k.ok(k.run("download", ID))
    assert store.read_bytes() == b"short" and not cache.blob(path).is_symlink()
    cache.check()


# Offline.

def strace(k, *args, env=None, log):
    if not shutil.which("strace"):
        raise Skip("no strace")
    # Leaks cannot be looked for at the same time.
    env = {"ASAN_OPTIONS": "detect_leaks=0", **(env or {})}
    r = k.run(*args, env=env, wrap=("strace", "-f", "-qq", "-o", log))
    if "strace" in r.err and r.status == 1:
        raise Skip("strace may not trace here")
    return r, Path(log).read_text()


def test_offline_opens_no_socket(k):
    cache = fill(k)
    k.ok(k.download(ID))
    k.hub.forget()
    log = k.top / "log"
    for args, env in ((["download", ID, "--offline"], {}), (["download", ID], {"HF_HUB_OFFLINE": "1"}),
                      (["download", ID, "--offline", "config.json"], {}),
                      (["download", ID, "--revision", cache.commit], {}),
                      (["download", "-r", ID, "-p", k.dir, "--offline"], {}),
                      (["download", "-r", ID, "-p", k.dir], {"TRANSFORMERS_OFFLINE": "1"})):
        r, calls = strace(k, *args, env=env, log=log)
        k.ok(r)
        assert not re.search(r"\b(socket|connect|socketpair)\(", calls), calls
    for args in (["nothing/here"], ["-r", "nothing/here", "-p", k.dir / "x"], [ID, "nothing.txt"]):
        r, calls = strace(k, "download", *args, "--offline", log=log)
        k.ok(r, 3, err="offline" if "nothing.txt" not in args else "no file")
        assert not re.search(r"\b(socket|connect|socketpair)\(", calls), calls
    assert not k.hub.asked() and not (k.dir / "x").exists()


def test_offline_asks_nothing_where_nothing_is(k):
    """No folder, no cache, or --force: nothing is sent, and what is missing is named."""
    repo = k.hub.add_repo(ID, FILES)
    revision = ("--offline", "--revision", repo.head().oid)
    there = k.top / "there"
    k.ok(k.download(repo, to=there))
    k.hub.forget()
    none = k.top / "none"
    for args in ((ID, "-p", none), (ID, "-p", none, "--dry-run"), (ID, "config.json", "-p", none),
                 (ID, "config.json", "-f", "-p", none / "config.json"), (ID, "--cache", "--dry-run"),
                 (ID, "--cache"), (ID, "config.json", "--cache")):
        r = k.ok(k.run("download", *args, *revision), 3, err=("offline", "run again without --offline"))
        assert not k.hub.asked() and not none.exists(), (args, r.err)
    for env in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        for args in (("-p", there, "--force"), ("-p", none, "--force"), ("--cache", "--force"),
                     ("config.json", "-o", "-")):
            k.ok(k.run("download", ID, *args, env={env: "1"}), 1, err="not connecting")
            assert not k.hub.asked(), args


def large_cache(k, n):
    """A cache of so many files, as a client leaves it; its commit."""
    at = k.home / ".cache/huggingface/hub" / FOLDER
    commit, files = "8" * 40, {}
    for folder in ("blobs", "refs", "trees"):
        (at / folder).mkdir(parents=True)
    (at / "refs/main").write_text(commit)
    for i in range(n):
        data = b"%d" % i
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        path = "part-%03d/file-%06d.json" % (i // 500, i)
        if i % 500 == 0:
            (at / "snapshots" / commit / path).parent.mkdir(parents=True)
        (at / "blobs" / oid).write_bytes(data)
        os.symlink("../../../blobs/" + oid, at / "snapshots" / commit / path)
        files[path] = {"size": len(data), "blob_id": oid}
    (at / "trees" / (commit + ".json")).write_text(json.dumps({"format_version": 1, "files": files}, indent=1))
    return commit


def test_system_calls_of_a_hit(k):
    """At most three a file, and no request."""
    n = 600
    commit = large_cache(k, n)
    for args in (("--offline",), ("--revision", commit)):
        counts = []
        for some in ((), ("part-000/file-000000.json",)):
            r, calls = strace(k, "download", ID, *args, *some, log=k.top / "log")
            k.ok(r, err="%d of %d file" % ((1, 1) if some else (n, n)))
            counts.append(len(calls.splitlines()))
        assert counts[0] - counts[1] <= 3 * n, counts
        assert counts[1] < 1000, counts  # a sanitizer makes some hundred itself
    assert not k.hub.asked()


@limit(300)
def test_memory_of_a_large_cache(k):
    """Of 100,000 files 24 MiB of address space (HUB_LONG=1: with so many)."""
    n = 100000 if os.environ.get("HUB_LONG") else 1500
    commit = large_cache(k, n)
    for args in (("--offline",), ("--revision", commit), ("--offline", "--json"), ("--offline", "--dry-run")):
        k.ok(k.run("download", ID, *args, wrap=bounded(2 + n // 5000)))
    assert not k.hub.asked()


def test_offline_status_is_of_what_is_missing(k):
    """Whatever else is wrong, and in whatever order."""
    cache = fill(k)
    for broken, gone in (("README.md", "config.json"), ("config.json", "README.md")):
        blobs = {p: cache.blob(p).read_bytes() for p in (broken, gone)}
        for path in blobs:
            cache.blob(path).unlink()
        cache.blob(broken).mkdir()
        k.ok(k.run("download", ID, "--offline"), 3, err=(
            "1 of 8 files of 'acme-lab/tiny' is missing, and hub is offline; the first: '%s'" % gone,
            "refused: '%s'" % broken))
        cache.blob(broken).rmdir()
        for path, data in blobs.items():
            cache.blob(path).write_bytes(data)


def test_offline_names_the_setting(k):
    """What it was, and so what is to be changed."""
    cache = fill(k)
    k.ok(k.download(ID))
    cache.blob("config.json").unlink()
    for args, env, setting in ((["--offline"], {}, "--offline"),
                               ([], {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
                               ([], {"TRANSFORMERS_OFFLINE": "1"}, "TRANSFORMERS_OFFLINE"),
                               ([], {"HF_HUB_OFFLINE": "yes", "TRANSFORMERS_OFFLINE": "1"}, "HF_HUB_OFFLINE")):
        others = {"--offline", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} - {setting}
        for more, status in (((ID,), 3), ((ID, "--revision", "dev"), 3), ((ID, "--revision", "0" * 40), 3),
                             ((ID, "nothing"), 3), (("a/b", "-p", k.top / "no"), 3),
                             ((ID, "-p", k.dir, "--revision", "0" * 40), 3),
                             ((ID, "-o", "-", "config.json"), 1), ((ID, "--force"), 1)):
            if setting == "--offline" and status == 1:
                continue
            r = k.ok(k.run("download", *more, *args, env=env), status)
            assert "nothing" in more or setting in r.err.split("try:")[1], r
            assert not any(o in r.err for o in others), r
        if args:
            continue
        for command in (("whoami",), ("upload", ID, k.work)):
            r = k.ok(k.run(*command, env={**env, "HF_TOKEN": k.tokens["write"]}), 1, err=setting + " is set: not connecting")
            assert not any(o in r.err for o in others), r


def test_offline_names_what_is_missing(k):
    cache = fill(k)
    cache.blob("config.json").unlink()
    r = k.ok(k.run("download", ID, "--offline"), 3, err=(
        "missing: 'config.json'", "1 of 8 files", "run again without --offline"))
    assert not k.hub.asked() and "README" not in r.err
    k.ok(k.run("download", ID, "--offline", "README.md"))
    k.ok(k.run("download", ID, "--offline", "--revision", "dev"), 3, err="which commit 'dev' is")
    k.ok(k.run("download", ID, "--offline", "--revision", "0" * 40), 3, err="0000 is not in")
    k.ok(k.run("download", ID, "-o", "-", "README.md", env={"HF_HUB_OFFLINE": "1"}), 1,
         err="HF_HUB_OFFLINE is set")


def test_ref_with_more_after_a_zero_byte(k):
    cache = fill(k)
    (cache.at / "refs/main").write_bytes(cache.commit.encode() + b"\0rest")
    k.ok(k.run("download", ID, "--offline"), 6, err="does not hold a commit")


def test_offline_without_a_listing(k):
    """As after a client that fetches single files: those that are named can be found."""
    cache = fill(k)
    shutil.rmtree(cache.at / "trees")
    k.ok(k.run("download", ID, "--offline"), 3, err=("the list of its files", "or name the files"))
    r = k.ok(k.run("download", ID, "--offline", "config.json", "weights/model.safetensors", "--json"))
    assert {f["size"] for f in json.loads(r.out)["files"]} == {9, 3 * MB + 1}
    k.ok(k.run("download", ID, "--offline", "nothing"), 3, err="'nothing' of 'acme-lab/tiny' is not in the cache")


def test_offline_folder(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    commit = repo.head().oid
    listing = json.loads((k.dir / ".cache/huggingface/trees" / (commit + ".json")).read_text())
    assert set(listing["files"]) == {*FILES, ".gitattributes"}
    k.hub.forget()
    k.ok(k.download(repo, "--offline"), err="8 of 8 files are in place, unchanged since")
    k.ok(k.download(repo, env={"HF_HUB_OFFLINE": "1"}))
    path = k.dir / "weights/model.safetensors"
    path.write_bytes(b"x" * path.stat().st_size)
    k.ok(k.download(repo, "--offline"), 3, err=("missing: 'weights/model.safetensors'", "or differs"))
    path.unlink()
    k.ok(k.download(repo, "--offline"), 3, err="1 of 8 files")
    k.ok(k.download(repo, "--offline", "--include", "*.json"))
    assert not k.hub.asked()


def test_offline_folder_of_another_repository(k):
    """What was fetched from one repository is not taken for another, of the same branch."""
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    k.hub.forget()
    for args in (("acme-lab/other",), (ID, "-t", "dataset")):
        k.ok(k.run("download", *args, "-p", k.dir, "--offline"), 3, err="which commit 'main' is")
    k.ok(k.download(repo, "--offline"), err="8 of 8 files are in place")
    assert not k.hub.asked()


def test_offline_folder_of_another_repository_by_commit(k):
    """A listing of ours says whose it is. One of the official client's does not: there the commit alone,
    which is a hash over all contents, says what the files are."""
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    k.hub.forget()
    commit = repo.head().oid
    how = ("--offline", "--revision", commit)
    for args in (("acme-lab/other",), (ID, "-t", "dataset")):
        k.ok(k.run("download", *args, "-p", k.dir, *how), 3, err="the list of its files")
    k.ok(k.download(repo, *how), err="8 of 8 files are in place")
    at = k.dir / ".cache/huggingface/trees" / (commit + ".json")
    listing = json.loads(at.read_text())
    assert listing.pop("repo") == "models/" + ID
    at.write_text(json.dumps(listing, indent=1))
    for name in (ID, "acme-lab/other"):
        k.ok(k.run("download", name, "-p", k.dir, *how), err="8 of 8 files are in place")
    assert not k.hub.asked()
    k.hub.add_repo("acme-lab/fork", FILES)  # which has another commit
    k.ok(k.download("acme-lab/fork"))
    k.ok(k.download("acme-lab/fork", "--offline"), err="8 of 8 files are in place")


def test_listing_of_others_says_nothing_of_a_folder(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    (k.dir / ".cache/huggingface/trees" / (repo.head().oid + ".json")).chmod(0o666)
    k.ok(k.download(repo, "--offline"), 3, err="the list of its files")
    k.ok(k.download(repo))
    k.ok(k.download(repo, "--offline"))


def test_no_folder_for_nothing(k):
    repo = k.hub.add_repo(ID, FILES)
    (k.top / "there").mkdir()
    for args in (("-r", ID, "--include", "*.nothing"), ("-r", ID, "nothing.txt"), ("-r", ID, "nothing/"),
                 ("-r", "acme-lab/nothing"), ("-r", ID, "--revision", "nothing"), ("-r", ID, "-f", "nothing")):
        for to in (k.dir, k.top / "a/b/c", k.top / "there/x", "rel/a//b/"):
            k.ok(k.run("download", *args, "-p", str(to) + ("/f" if "-f" in args else "")), 3)
            assert os.listdir(k.top / "there") == [] and os.listdir(k.work) == [], args
            assert not k.dir.exists() and not (k.top / "a").exists(), args
    cache = k.home / ".cache"
    k.ok(k.run("download", "acme-lab/nothing"), 3)
    assert not cache.exists()
    k.ok(k.download(repo, "--dry-run", to=k.top / "dry"))
    assert not (k.top / "dry").exists()


# Hostile and broken caches.

BAD_REFS = ("", "\n", "main", "../../../../etc", "87f3", "0" * 41, "G" * 40, "x" * 100000)


def test_broken_refs(k):
    cache = fill(k)
    ref = cache.at / "refs/main"
    for text in (*BAD_REFS, cache.commit + "\n", " " + cache.commit):
        ref.write_text(text)
        r = k.run("download", ID, "--offline")
        k.ok(r, (3, 6, 7))
        assert r.err.count("hub: ") == 1, r.err
        k.ok(k.run("download", ID))
        assert ref.read_text() == cache.commit
    ref.unlink()
    ref.symlink_to("/etc/hostname")
    k.ok(k.run("download", ID, "--offline"), 7, err="symbolic link")
    k.ok(k.run("download", ID))
    assert not ref.is_symlink()


def test_refs_that_are_no_small_files(k):
    """A pipe is not waited for, and a huge file not read."""
    cache = fill(k)
    ref = cache.at / "refs/main"
    for make in (os.mkfifo, os.mkdir, lambda p: os.truncate(os.open(p, os.O_CREAT | os.O_RDWR), 1 << 40)):
        ref.unlink()
        make(ref)
        k.ok(k.run("download", ID, "--offline"), (6, 7))
        r = k.run("download", ID)
        k.ok(r)
        if ref.is_dir():
            ref.rmdir()
            ref.write_text(cache.commit)
        assert ref.is_file() and ref.read_text() == cache.commit


def test_wrong_links(k):
    """They are replaced by the right ones; what they lead to is left alone."""
    cache = fill(k)
    victim = k.top / "victim"
    victim.write_text("mine")
    for path, text in (("config.json", str(victim)), ("config.json", os.path.relpath(victim, cache.snapshot)),
                       ("config.json", str(cache.blob("config.json"))),
                       ("weights/model.safetensors", "../../../blobs/" + cache.blob("README.md").name),
                       ("weights/model.safetensors", "../../blobs/x"), ("config.json", "config.json")):
        at = cache.snapshot / path
        at.unlink()
        at.symlink_to(text)
        k.ok(k.run("download", ID))
        cache.check()
        assert victim.read_text() == "mine" and not k.content_requests()


def test_wrong_link_offline(k):
    """The content is there: its link is put right."""
    cache = fill(k)
    at = cache.snapshot / "config.json"
    at.unlink()
    at.symlink_to("/etc/hostname")
    k.ok(k.run("download", ID, "--offline"), err="cached, not hashed")
    cache.check()


def test_folders_that_are_links(k):
    """Nothing is read or written through them."""
    out = k.top / "out"
    for name in ("blobs", "snapshots", "snapshots/COMMIT", "snapshots/COMMIT/weights", "refs", ""):
        shutil.rmtree(k.home / ".cache", ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        k.hub.repos.clear()
        cache = fill(k)
        at = cache.at / name.replace("COMMIT", cache.commit)
        shutil.move(at, out)
        at.symlink_to(out)
        before = {p: p.lstat().st_mtime_ns for p in out.rglob("*")}
        cache.repo.commit({"weights/new.txt": "new", "new.txt": "n2"})
        r = k.run("download", ID)
        assert r.status in (0, 7, 9), r
        assert r.status == 0 or "symbolic link" in r.err, r
        assert before == {p: p.lstat().st_mtime_ns for p in out.rglob("*")}, name


def test_folders_that_are_links_are_refused_at_once(k):
    """Before the first byte of a content."""
    repo = k.hub.add_repo(ID, FILES)
    cache = Cache(k, repo)
    out = k.top / "out"
    out.mkdir()
    for name in ("blobs", ".hub-download"):
        for what in (out, "nothing", "/dev/null"):
            cache.at.mkdir(parents=True, exist_ok=True)
            (cache.at / name).symlink_to(what)
            r = k.ok(k.run("download", ID), 7, err="'%s' is a symbolic link, which is not followed" % name)
            assert not k.content_requests() and not os.listdir(out) and len(r.err.splitlines()) <= 3, r
            (cache.at / name).unlink()
    k.ok(k.run("download", ID))
    cache.check()
    k.work.joinpath(".hub-download").symlink_to(out)
    k.hub.forget()
    k.ok(k.run("download", "-r", ID, "-f", "-p", "new.bin", "weights/model.safetensors"), 7,
         err="'.hub-download' is a symbolic link")
    assert not k.hub.asked("cdn") and not os.listdir(out)


def test_blobs_that_are_no_files(k):
    cache = fill(k)
    blob = cache.blob("config.json")
    blob.unlink()
    blob.mkdir()
    k.ok(k.run("download", ID), (7, 9), err="is not a file")
    k.ok(k.run("download", ID, "--offline"), (7, 9), err="is not a file")
    blob.rmdir()
    os.mkfifo(blob)
    k.ok(k.run("download", ID), (7, 9), err="is not a file")
    blob.unlink()
    at = cache.snapshot / "config.json"
    at.unlink()
    at.mkdir()
    k.ok(k.run("download", ID), (7, 9))
    at.rmdir()
    k.ok(k.run("download", ID))
    cache.check()


def test_short_blob(k):
    cache = fill(k)
    cache.blob("weights/model.safetensors").write_bytes(b"short")
    k.ok(k.run("download", ID, "--offline"), 3, err="weights/model.safetensors")
    k.ok(k.run("download", ID))
    cache.check()


LYING = (
    lambda t: t["files"].update({"../../../x": t["files"]["config.json"]}),
    lambda t: t["files"].update({"/etc/x": t["files"]["config.json"]}),
    lambda t: t["files"]["config.json"].update(size=10),
    lambda t: t["files"]["config.json"].update(blob_id="0" * 40),
    lambda t: t["files"]["config.json"].update(blob_id="../../x"),
    lambda t: t["files"]["config.json"].pop("size"),
    lambda t: t["files"].update({"evil.txt": {"size": 4, "blob_id": "1" * 40}}),
    lambda t: t.pop("files"),
    lambda t: t.update(files=[]),
    lambda t: t.update(files={}),
)


def test_listing_that_lies(k):
    """What it says is compared with the Hub's before anything is fetched."""
    cache = fill(k)
    at = cache.at / "trees" / (cache.commit + ".json")
    good = at.read_text()
    for change in LYING[:-1]:
        listing = json.loads(good)
        change(listing)
        at.write_text(json.dumps(listing, indent=1))
        r = k.run("download", ID, "--offline")
        assert r.status in (3, 6, 9), r
        k.ok(k.run("download", ID))
        cache.check()
        assert not k.content_requests() and not (cache.top / "x").exists()
        k.ok(k.run("download", ID, "--offline"))
    for text in ("", "{", "[]", "null", good[:-1], good + "}", good.replace(":", "", 1), "\0" * 100, "[" * 100000,
                 '{"files": {' + '"a": {"size": 1, "blob_id": "%s"},' % ("0" * 40) * 3, good.replace("{", "{,", 1)):
        at.write_text(text)
        k.ok(k.run("download", ID, "--offline"), 3, err="ignoring the list of files")
        k.ok(k.run("download", ID))
        assert "ignoring" not in k.ok(k.run("download", ID, "--offline")).err


def test_listing_that_is_left_alone(k):
    """A broken one where nothing may be written, or no better one comes; and that of a newer client."""
    cache = fill(k)
    at = cache.at / "trees" / (cache.commit + ".json")
    good = at.read_text()
    for text, args, status in (("{", ("--offline",), 3), ("{", ("--dry-run",), 0),
                               ('{"format_version": 2}', ("--offline",), 3),
                               ('{"format_version": 2}', ("--dry-run",), 0),
                               ('{"format_version": 2}', (), 0),
                               ('{"format_version": 2}', ("--force",), 0)):
        at.write_text(text)
        r = k.ok(k.run("download", ID, *args), status)
        assert at.read_text() == text, args
        assert "--force" in args or "ignoring the list" in r.err
    at.write_text("{")
    k.ok(k.run("download", ID))
    assert at.read_text() == good
    folder = k.dir / ".cache/huggingface/trees" / (cache.commit + ".json")
    k.ok(k.download(ID))
    for text, after in (("{", True), ('{"format_version": 2}', False)):
        folder.write_text(text)
        k.ok(k.download(ID, "--offline"), 3)
        k.ok(k.download(ID))
        assert (folder.read_text() != text) == after


def test_lock_of_another(k):
    """As the official client holds it while it fetches."""
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 3 * MB), "a.txt": "a"})
    cache = Cache(k, repo)
    lock = cache.top / ".locks" / FOLDER / (cache.blob("model.bin").name + ".lock")
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        p = k.start("download", ID)
        k.wait_for(lambda: (cache.snapshot / "a.txt").exists())
        time.sleep(0.5)
        assert p.poll() is None and not k.hub.asked("cdn")
        other = k.top / "other"
        k.ok(k.run("download", ID, "--cache-dir", other))
        k.hub.forget()
        shutil.copy(Cache(k, repo, top=other).blob("model.bin"), cache.blob("model.bin"))
    k.ok(k.finish(p), err="another program is downloading it")
    cache.check()
    assert not k.hub.asked("cdn")


def test_force_after_a_lock(k):
    """--force does not trust what was there, also if another program had the lock."""
    cache = fill(k, {"model.bin": Generated(3, 3 * MB), "a.txt": "a"})
    blob = cache.blob("model.bin")
    size = blob.stat().st_size
    blob.chmod(0o600)
    blob.write_bytes(b"x" * size)
    lock = cache.top / ".locks" / FOLDER / (blob.name + ".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        p = k.start("download", ID, "--force")
        k.wait_for(lambda: k.hub.asked("hub"))
        time.sleep(1)
        assert p.poll() is None
    k.ok(k.finish(p), err="another program is downloading it")
    cache.check()


def test_lock_that_is_another_file(k):
    """The mode of what a hard link in the place of the lock leads to stays."""
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 3 * MB)})
    cache = Cache(k, repo)
    secret = cache.top / "secret"
    lock = cache.top / ".locks" / FOLDER / (cache.blob("model.bin").name + ".lock")
    lock.parent.mkdir(parents=True)
    for text in ("secret", ""):
        secret.write_text(text)
        secret.chmod(0o600)
        lock.unlink(missing_ok=True)
        os.link(secret, lock)
        k.ok(k.run("download", ID, "--force"))
        assert secret.stat().st_mode & 0o777 == 0o600, text


def test_content_that_came_before_the_lock(k):
    """Another program put it in place after our look, and its lock was free again."""
    files = {"a.bin": Generated(3, 3 * MB), "b.bin": Generated(4, 3 * MB)}
    repo = k.hub.add_repo(ID, files)
    cache, other = Cache(k, repo), Cache(k, repo, top=k.top / "other")
    k.ok(k.run("download", ID, "--cache-dir", other.top))
    k.hub.forget()

    def come():
        cache.blob("a.bin").parent.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copy(other.blob(path), cache.blob(path))
    k.hub.fault(origin="hub", path="/resolve/", call=come)
    k.ok(k.run("download", ID, "-j", "1"))
    assert len(k.hub.asked("cdn")) == 1, k.hub.asked("cdn")
    cache.check()


@limit(60)
def test_wait_for_another_hub(k):
    """What it has in its partial file has nothing to do with ours: it is waited for, and the content comes
    once. How long, tests/unit/lock_wait.c says."""
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 3 * MB)})
    gate = threading.Event()
    k.hub.fault(origin="cdn", call=gate.wait)
    first = k.start("download", ID, "-j", "1")
    k.wait_for(lambda: k.hub.asked("hub") and list(Cache(k, repo).top.glob(".locks/*/*.lock")))
    second = k.start("download", ID, stderr=open(k.top / "said", "wb"))
    k.wait_for(lambda: b"another program is downloading it" in (k.top / "said").read_bytes())
    gate.set()
    k.ok(k.finish(first))
    k.ok(k.finish(second))
    assert "no progress" not in (k.top / "said").read_text()
    assert k.from_cdn() < 4 * MB
    Cache(k, repo).check()


@limit(90)
def test_lock_that_is_never_let_go(k):
    """It makes no progress: the content is fetched all the same."""
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 3 * MB)})
    cache = Cache(k, repo)
    lock = cache.top / ".locks" / FOLDER / (cache.blob("model.bin").name + ".lock")
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        k.ok(k.run("download", ID, "--stall-timeout", "1"), err="makes no progress")
    cache.check()


def test_lock_that_cannot_be_opened(k):
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 3 * MB)})
    cache = Cache(k, repo)
    lock = cache.top / ".locks" / FOLDER / (cache.blob("model.bin").name + ".lock")
    lock.mkdir(parents=True)
    k.ok(k.run("download", ID))
    cache.check()


def test_two_at_once(k):
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 20 * MB), **FILES})
    first = [k.start("download", ID) for _ in range(3)]
    for p in first:
        k.ok(k.finish(p))
    Cache(k, repo).check()


def test_interrupt(k):
    repo = k.hub.add_repo(ID, {"model.bin": Generated(3, 30 * MB)})
    k.hub.fault(origin="cdn", stall_after=1000001)
    p = k.start("download", ID)
    k.kill_after(p, 1000000, signal.SIGINT)
    k.ok(k.finish(p), 130, err="run again with -d")
    k.hub.forget()
    k.ok(k.run("download", ID, "-d"))
    Cache(k, repo).check()


def test_cache_is_a_file(k):
    k.hub.add_repo(ID, FILES)
    (k.top / "file").write_text("x")
    k.ok(k.run("download", ID, "--cache-dir", k.top / "file"), 7)
    k.ok(k.run("download", ID, "--cache-dir", "/proc/nothing"), 7)


def test_lines_of_hf(k):
    """From the official client's documentation, with hub in place of hf."""
    repo = k.hub.add_repo(ID, FILES)
    data = k.hub.add_repo("acme-lab/data", {"data/a.csv": "a", "b.txt": "b"}, type="dataset")
    at = Cache(k, repo).snapshot
    for line, out in (("download acme-lab/tiny", [at]),
                      ("download acme-lab/tiny config.json", [at / "config.json"]),
                      ("download acme-lab/tiny config.json README.md --quiet", [at / "README.md", at / "config.json"]),
                      ("download acme-lab/tiny --include *.json --exclude x.*", [at]),
                      ("download acme-lab/tiny --revision main --max-workers 4 --force-download", [at]),
                      ("download acme-lab/tiny --format quiet --type model", [at]),
                      ("download acme-lab/tiny config.json --local-dir loc", ["loc/config.json"]),
                      ("download acme-lab/tiny --cache-dir path/to",
                       [Path("path/to") / Cache(k, repo).at.name / "snapshots" / at.name]),
                      ("download acme-lab/data data/a.csv --repo-type dataset",
                       [Cache(k, data).snapshot / "data/a.csv"]),
                      ("download acme-lab/data --type=dataset --include data/*", [Cache(k, data).snapshot])):
        r = k.ok(k.run(*line.split()))
        assert r.out.splitlines() == [str(p) for p in out], line
    r = k.ok(k.run("download", ID, "--format", "json"))
    assert json.loads(r.out)["path"] == str(at)


def test_upload_lines_of_hf(k):
    k.hub.add_repo("acme-lab/data", {"a.txt": "a"}, type="dataset")
    for path in ("models/model.safetensors", "data/train.csv", "my-model/config.json"):
        (k.work / path).parent.mkdir()
        (k.work / path).write_text(path)
    for line, type, name, files in (
            ("upload acme-lab/my-model my-model .", "model", "acme-lab/my-model", {"config.json"}),
            ("upload acme-lab/one ./models/model.safetensors", "model", "acme-lab/one", {"model.safetensors"}),
            ("upload acme-lab/data ./data /train --repo-type=dataset", "dataset", "acme-lab/data",
             {"a.txt", "train/train.csv"}),
            ("upload acme-lab/four ./models . --commit-message=Epoch-34/50 --commit-description=68%", "model",
             "acme-lab/four", {"model.safetensors"}),
            ("upload acme-lab/five . . --type dataset --private --exclude data/* --format quiet", "dataset",
             "acme-lab/five", {"models/model.safetensors", "my-model/config.json"})):
        k.ok(k.run(*line.split(), env={"HF_TOKEN": k.tokens["write"]}))
        have = set(k.hub.find_repo(type, name).find("main").files) - {".gitattributes"}
        assert have == files, (line, have)


def test_options_that_exclude_each_other(k):
    for args, said in ((["--cache", "-p", "x"], "-p and --cache"), (["--cache", "-f"], "-f and --cache"),
                       (["--cache-dir", "d", "-o", "-", "f"], "-o and --cache"),
                       (["--offline", "--force"], "--force and --offline")):
        k.ok(k.run("download", "-r", ID, *args), 2, err=said)
