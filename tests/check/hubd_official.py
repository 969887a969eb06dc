#!/usr/bin/env python3
"""The official client against the test Hub: shows that the Hub answers as the real one does, and
not only as our own client happens to ask. Wants huggingface_hub; without it, it makes a virtual
environment with pip (in build/official), and where that fails too, it says so and passes."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

from fakehub import Generated, Hub, Lfs

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / "build" / "official"
MB = 1 << 20

FILES = {
    "README.md": "---\nlicense: mit\n---\n# tiny\n",
    "config.json": '{"a": 1}\n',
    "empty.txt": b"",
    "sub dir/100% #1?+ über.txt": "odd\n",
    "weights/model.safetensors": Generated(7, 12 * MB + 5),
    "weights/copy.safetensors": Generated(7, 12 * MB + 5),
    "vocab.bin": bytes(range(256)) * 100,
}


def have_client():
    return importlib.util.find_spec("huggingface_hub") is not None


def find_client():
    """Goes on in a Python that has the official client, if there can be one."""
    python = VENV / "bin" / "python3"
    if os.environ.get("HUBD_OFFICIAL"):
        return False
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 300}
        if subprocess.run([str(python), "-c", "import huggingface_hub"], **quiet).returncode:
            subprocess.run([str(python), "-m", "pip", "install", "huggingface_hub"], check=True,
                           **quiet)
    except (OSError, subprocess.SubprocessError):
        return False
    os.environ["HUBD_OFFICIAL"] = "1"
    os.execv(str(python), [str(python), *sys.argv])


def set_environment(hub, home):
    """Before the client is imported, for it reads all this then."""
    for name in [n for n in os.environ if n.startswith(("HF_", "HUGGING"))]:
        del os.environ[name]
    os.environ.update(HF_ENDPOINT=hub.endpoint, HF_HOME=home, SSL_CERT_FILE=hub.ca_file,
                      REQUESTS_CA_BUNDLE=hub.ca_file, HF_HUB_DISABLE_XET="1", NO_PROXY="*",
                      HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1",
                      HF_HUB_VERBOSITY="error",
                      HF_HUB_DISABLE_UPDATE_CHECK="1")


class Kit:
    """What every test gets: the Hub, the client, a folder, tokens."""

    def __init__(self, hub, folder):
        import huggingface_hub
        self.hub = hub
        self.hf = huggingface_hub
        self.folder = Path(folder)
        self.read = hub.tokens["read"].text
        self.write = hub.tokens["write"].text
        self.api = huggingface_hub.HfApi(endpoint=hub.endpoint, token=self.write)

    def error(self, name):
        import huggingface_hub.errors
        return getattr(huggingface_hub.errors, name)

    def fails(self, name, function, *args, **kw):
        try:
            function(*args, **kw)
        except self.error(name) as e:
            assert type(e).__name__ == name, type(e).__name__
            return e
        raise AssertionError("no " + name)


def check_files(folder, repo, revision="main", only=None):
    files = repo.find(revision).files
    wanted = {p: e for p, e in files.items() if only is None or only(p)}
    have = {str(p.relative_to(folder)) for p in Path(folder).rglob("*")
            if p.is_file() and ".cache" not in p.relative_to(folder).parts}
    assert have == set(wanted), have ^ set(wanted)
    for path, entry in wanted.items():
        h = hashlib.sha256()
        with open(os.path.join(folder, path), "rb") as f:
            for block in iter(lambda: f.read(MB), b""):
                h.update(block)
        assert h.hexdigest() == entry.content.sha256(), path


def test_snapshot_to_local_dir(k):
    repo = k.hub.add_repo("acme-lab/snap", FILES)
    k.hf.snapshot_download("acme-lab/snap", local_dir=k.folder, token=False)
    check_files(k.folder, repo)
    k.hub.forget()
    k.hf.snapshot_download("acme-lab/snap", local_dir=k.folder, token=False)
    assert not k.hub.asked(path="/resolve")


def test_snapshot_to_cache(k):
    repo = k.hub.add_repo("acme-lab/cached", FILES, type="dataset")
    at = k.hf.snapshot_download("acme-lab/cached", repo_type="dataset", cache_dir=k.folder,
                                token=k.read)
    check_files(at, repo)


def test_pages_and_patterns(k):
    repo = k.hub.add_repo("acme-lab/many", {"d%d/f%d.txt" % (n % 7, n): "%d\n" % n
                                            for n in range(120)})
    k.hub.page = 50
    k.hf.snapshot_download("acme-lab/many", local_dir=k.folder, allow_patterns="d3/*",
                           token=False)
    k.hub.page = 1000
    check_files(k.folder, repo, only=lambda p: p.startswith("d3/"))
    assert len(k.hub.asked(path="cursor=")) == 2


def test_single_files(k):
    k.hub.add_repo("acme-lab/single", FILES)
    for path in FILES:
        at = k.hf.hf_hub_download("acme-lab/single", path, cache_dir=k.folder, token=False)
        assert os.path.getsize(at) == len(FILES[path].encode() if isinstance(FILES[path], str)
                                          else FILES[path].read()
                                          if isinstance(FILES[path], Generated) else FILES[path])


def test_file_metadata(k):
    repo = k.hub.add_repo("acme-lab/meta", FILES)
    for path in ("config.json", "weights/model.safetensors"):
        entry = repo.head().files[path]
        m = k.hf.get_hf_file_metadata(k.hf.hf_hub_url("acme-lab/meta", path), token=False)
        assert (m.commit_hash, m.etag, m.size) == (repo.head().oid, entry.etag, entry.size)


def test_xet_headers(k):
    repo = k.hub.add_repo("acme-lab/xet", FILES, xet=True)
    entry = repo.head().files["vocab.bin"]
    url = k.hf.hf_hub_url("acme-lab/xet", "vocab.bin")
    m = k.hf.get_hf_file_metadata(url, token=False)
    assert m.xet_file_data.file_hash == entry.xet
    assert "/xet-read-token/" in m.xet_file_data.refresh_route
    k.hf.hf_hub_download("acme-lab/xet", "vocab.bin", local_dir=k.folder, token=False)


def test_revisions(k):
    repo = k.hub.add_repo("acme-lab/revs", {"a.txt": "one"})
    first = repo.head().oid
    repo.tag("v1.0")
    repo.branch("feat/x")
    repo.commit({"a.txt": "two"})
    repo.open_pull()
    for revision, text in ((first, "one"), ("v1.0", "one"), ("feat/x", "one"), ("main", "two"),
                           ("refs/pr/1", "two")):
        at = k.hf.hf_hub_download("acme-lab/revs", "a.txt", revision=revision,
                                  cache_dir=k.folder, token=False)
        assert Path(at).read_text() == text, revision
    refs = k.api.list_repo_refs("acme-lab/revs", include_pull_requests=True)
    assert {b.name for b in refs.branches} == {"main", "feat/x"}
    assert [p.ref for p in refs.pull_requests] == ["refs/pr/1"]
    assert len(k.api.list_repo_commits("acme-lab/revs")) == 3


def test_listing_calls(k):
    repo = k.hub.add_repo("acme-lab/list", FILES)
    info = k.api.model_info("acme-lab/list", files_metadata=True)
    sizes = {s.rfilename: s.size for s in info.siblings}
    assert sizes == {p: e.size for p, e in repo.head().files.items()}
    found = k.api.get_paths_info("acme-lab/list", ["config.json", "weights", "nope"])
    assert sorted(type(f).__name__ for f in found) == ["RepoFile", "RepoFolder"]
    tree = list(k.api.list_repo_tree("acme-lab/list", "weights", expand=True))
    assert [t.path for t in tree] == ["weights/copy.safetensors", "weights/model.safetensors"]
    assert k.api.list_repo_files("acme-lab/list")
    assert k.api.whoami()["name"] == "rosa"
    assert k.api.model_info("acme-lab/list", expand=["sha"]).sha == repo.head().oid


def test_renamed(k):
    k.hub.add_repo("acme-lab/new-name", FILES, aliases=["acme-lab/old-name", "legacy"])
    for id in ("acme-lab/old-name", "legacy", "Acme-Lab/New-Name"):
        assert k.api.model_info(id).id == "acme-lab/new-name"
        for path in ("config.json", "vocab.bin"):
            k.hf.hf_hub_download(id, path, cache_dir=k.folder, token=False)


def test_missing_errors(k):
    k.hub.add_repo("acme-lab/there", FILES)
    get = k.hf.hf_hub_download
    args = {"cache_dir": k.folder, "token": k.read}
    k.fails("RepositoryNotFoundError", get, "acme-lab/nope", "a", **args)
    k.fails("RevisionNotFoundError", get, "acme-lab/there", "a", revision="nope", **args)
    missing = [n for n in ("RemoteEntryNotFoundError", "EntryNotFoundError")
               if hasattr(sys.modules["huggingface_hub.errors"], n)][0]
    k.fails(missing, get, "acme-lab/there", "nope", **args)
    k.fails("RepositoryNotFoundError", k.api.model_info, "acme-lab/nope", token=False)
    k.fails("RevisionNotFoundError", k.api.model_info, "acme-lab/there", revision="nope")


def test_private_errors(k):
    k.hub.add_repo("acme-lab/private", FILES, private=True)
    get = k.hf.hf_hub_download
    k.fails("RepositoryNotFoundError", get, "acme-lab/private", "vocab.bin", token=False,
            cache_dir=k.folder)
    k.fails("RepositoryNotFoundError", get, "acme-lab/private", "vocab.bin",
            token=k.hub.tokens["other"].text, cache_dir=k.folder)
    e = k.fails("HfHubHTTPError", k.api.whoami, token="hf_wrongwrongwrongwrongwrong")
    assert "Invalid" in str(e)
    get("acme-lab/private", "vocab.bin", token=k.read, cache_dir=k.folder)


def test_gated_errors(k):
    k.hub.add_repo("big-corp/gated", FILES, gated="manual", access=["rosa"])
    get = k.hf.hf_hub_download
    for token in (False, k.hub.tokens["other"].text):
        k.fails("GatedRepoError", get, "big-corp/gated", "vocab.bin", token=token,
                cache_dir=k.folder)
        k.fails("GatedRepoError", k.api.auth_check, "big-corp/gated", token=token)
    k.api.auth_check("big-corp/gated", token=k.read)
    get("big-corp/gated", "vocab.bin", token=k.read, cache_dir=k.folder)


def test_disabled_error(k):
    k.hub.add_repo("acme-lab/disabled", FILES, disabled=True)
    k.fails("DisabledRepoError", k.api.model_info, "acme-lab/disabled")


def test_faults_survived(k):
    repo = k.hub.add_repo("acme-lab/faulty", {"m.bin": Generated(3, 30 * MB)})
    k.hub.fault(origin="cdn", drop_after=22 * MB)
    k.hub.fault(origin="cdn", status=429, headers={"Retry-After": "0"}, ranged=True)
    k.hf.snapshot_download("acme-lab/faulty", local_dir=k.folder, token=k.read)
    check_files(k.folder, repo)
    assert k.hub.asked("cdn", path="")[-1]["range"]


def write_tree(folder):
    for path, data in FILES.items():
        at = folder / path
        at.parent.mkdir(parents=True, exist_ok=True)
        data = data.encode() if isinstance(data, str) else data
        at.write_bytes(data.read() if isinstance(data, Generated) else data)


def test_upload_folder(k):
    write_tree(k.folder)
    k.api.create_repo("acme-lab/up", private=True)
    k.api.create_repo("acme-lab/up", exist_ok=True)
    k.fails("HfHubHTTPError", k.api.create_repo, "acme-lab/up")
    k.hub.forget()
    k.api.upload_folder(repo_id="acme-lab/up", folder_path=k.folder)
    repo = k.hub.find_repo("model", "acme-lab/up")
    check_files(k.folder, repo, only=lambda p: p != ".gitattributes")
    puts = [e["path"] for e in k.hub.asked("upload", "PUT")]
    assert len([p for p in puts if "partNumber" in p]) in (3, 6), puts  # the same content twice
    assert len([p for p in puts if "partNumber" not in p]) == 1, puts
    assert k.hub.asked(path="complete_multipart") and k.hub.asked(path="objects/verify")
    head = repo.head().oid
    k.hub.forget()
    k.api.upload_folder(repo_id="acme-lab/up", folder_path=k.folder)
    assert repo.head().oid == head and not k.hub.asked("upload")


def test_upload_to_pull_request(k):
    write_tree(k.folder)
    repo = k.hub.add_repo("acme-lab/pulled", {"old.txt": "old"})
    info = k.api.upload_folder(repo_id="acme-lab/pulled", folder_path=k.folder, create_pr=True)
    assert info.pr_revision == "refs/pr/1", info
    assert "config.json" in repo.find("refs/pr/1").files
    assert "config.json" not in repo.head().files


def test_upload_deletes(k):
    (k.folder / "new.txt").write_text("new")
    repo = k.hub.add_repo("acme-lab/trimmed", {"a.txt": "a", "b.md": "b", "c/d.txt": "d"})
    k.api.upload_folder(repo_id="acme-lab/trimmed", folder_path=k.folder,
                        delete_patterns="*.txt")
    assert set(repo.head().files) == {".gitattributes", "b.md", "new.txt"}
    k.api.delete_file("b.md", "acme-lab/trimmed")
    assert set(repo.head().files) == {".gitattributes", "new.txt"}


def test_upload_errors(k):
    repo = k.hub.add_repo("acme-lab/strict", {"a.txt": "a"})
    first = repo.head().oid
    repo.commit({"a.txt": "b"})
    up = k.api.upload_file
    args = {"path_or_fileobj": b"x", "path_in_repo": "x.txt", "repo_id": "acme-lab/strict"}
    e = k.fails("HfHubHTTPError", up, **args, parent_commit=first)
    assert e.response.status_code == 412
    e = k.fails("HfHubHTTPError", up, **args, token=k.read)
    assert e.response.status_code == 403
    k.fails("RevisionNotFoundError", up, **args, revision="nope")
    e = k.fails("HfHubHTTPError", k.api.create_repo, "big-corp/x")
    assert e.response.status_code == 403
    args["path_in_repo"] = "..\\x"
    assert k.fails("HfHubHTTPError", up, **args).response.status_code == 422


def test_branches_and_tags(k):
    k.hub.add_repo("acme-lab/branchy", {"a.txt": "a"})
    k.api.create_branch("acme-lab/branchy", branch="dev")
    k.api.create_branch("acme-lab/branchy", branch="dev", exist_ok=True)
    k.api.create_tag("acme-lab/branchy", tag="v1")
    k.api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="acme-lab/branchy",
                      revision="dev")
    k.api.delete_branch("acme-lab/branchy", branch="dev")
    k.api.delete_tag("acme-lab/branchy", tag="v1")
    k.api.delete_repo("acme-lab/branchy")
    k.fails("RepositoryNotFoundError", k.api.model_info, "acme-lab/branchy")


def test_lfs_attributes_kept(k):
    k.hub.add_repo("acme-lab/attrs", {"a.dat": Lfs(b"a")})
    k.api.upload_file(path_or_fileobj=b"\0\1\2" * 900, path_in_repo="some name",
                      repo_id="acme-lab/attrs")
    files = k.hub.find_repo("model", "acme-lab/attrs").head().files
    assert files["some name"].lfs
    assert "some[[:space:]]name filter=lfs" in files[".gitattributes"].content.read().decode()


def run(hub, wanted):
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or not any(w in name for w in wanted or [""]):
            continue
        hub.forget()
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Kit(hub, folder))
                assert not hub.violations, hub.violations
                passed += 1
            except Exception:
                failed += 1
                print("%s (%.1f s):\n%s" % (name, time.monotonic() - began,
                                            traceback.format_exc()))
    return passed, failed


def main():
    if not have_client() and not find_client():
        print("skipped: no huggingface_hub, and pip cannot install it")
        return 0
    with Hub(quotas={"api": 100000, "resolvers": 100000}) as hub, \
            tempfile.TemporaryDirectory() as home:
        set_environment(hub, home)
        passed, failed = run(hub, sys.argv[1:])
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
