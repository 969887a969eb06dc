"""The binary beside the official client, on the same folders. Wants a Python that has
huggingface_hub: OFFICIAL_PYTHON, or the environment that hubd_official.py makes."""

import os
import subprocess

from fakehub import Generated
from kit import MB, ROOT, Skip, limit

ID = "acme-lab/both"

FILES = {
    "README.md": "# both\n",
    "empty.txt": b"",
    "sub dir/100% über.txt": "odd\n",
    "weights/model.safetensors": Generated(1, 3 * MB + 1),
}

DOWNLOAD = ("import sys, huggingface_hub as h;"
            "h.snapshot_download(sys.argv[1], local_dir=sys.argv[2])")


def official(k, code, *args):
    """Runs Python code that uses the official client; what it prints."""
    python = os.environ.get("OFFICIAL_PYTHON") or str(ROOT / "build/official/bin/python3")
    probe = [python, "-c", "import huggingface_hub"]
    if not os.access(python, os.X_OK) or subprocess.run(probe, stderr=subprocess.DEVNULL).returncode:
        raise Skip("no huggingface_hub here")
    env = k.environment({"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                         "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": k.home / "hf"})
    done = subprocess.run([python, "-c", code, *map(str, args)], env=env, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    return said


READ = """
import sys, pathlib
from huggingface_hub._local_folder import read_download_metadata as read
at = pathlib.Path(sys.argv[1])
for path in sys.argv[3:]:
    m = read(at, path)
    assert m and m.commit_hash == sys.argv[2], (path, m)
    print(path, m.etag, sep="\\t")
"""


def test_official_reads_our_metadata(k):
    """Its fourth line is for us alone."""
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    said = official(k, READ, k.dir, repo.head().oid, *FILES)
    assert said.splitlines() == ["%s\t%s" % (p, repo.head().files[p].etag) for p in FILES], said


@limit(90)
def test_official_takes_our_folder(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    k.hub.forget()
    official(k, DOWNLOAD, ID, k.dir)
    assert not k.hub.asked("cdn") and not k.hub.asked(path="resolve-cache")
    k.same(repo)


@limit(90)
def test_we_take_the_official_folder(k):
    repo = k.hub.add_repo(ID, FILES)
    official(k, DOWNLOAD, ID, k.dir)
    k.same(repo)
    k.hub.forget()
    k.ok(k.download(repo), err="in place, verified now")
    k.ok(k.download(repo), err="in place, unchanged since")
    assert not k.content_requests()
    k.same(repo)


@limit(90)
def test_a_wrong_file_in_the_official_folder(k):
    """Of the size and with an older time: its own metadata takes it for the one that it wrote."""
    repo = k.hub.add_repo(ID, FILES)
    official(k, DOWNLOAD, ID, k.dir)
    path = k.dir / "weights/model.safetensors"
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(str(path), (1600000000, 1600000000))
    k.ok(k.download(repo))
    k.same(repo)


@limit(90)
def test_in_turn_while_the_branch_moves(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    repo.commit({"README.md": "# two\n", "weights/model.safetensors": Generated(2, 2 * MB)})
    official(k, DOWNLOAD, ID, k.dir)
    k.same(repo)
    repo.commit({"README.md": "# three\n"})
    k.hub.forget()
    k.ok(k.download(repo))
    k.same(repo)
    assert not k.hub.asked("cdn")


@limit(120)
def test_official_reads_what_we_sent(k):
    at = k.top / "source"
    files = {**FILES, "weights/big.safetensors": Generated(3, 12 * MB + 5), ".hidden": "h\n"}
    k.hub.add_repo("acme-lab/seed", files)
    k.ok(k.download("acme-lab/seed", to=at))
    env = {"HF_TOKEN": k.tokens["write"]}
    k.ok(k.run("upload", "-r", ID, "-p", at, env=env), err="sent %d files" % (len(files)))
    official(k, DOWNLOAD, ID, k.dir)
    k.same(k.hub.find_repo("model", ID))
    assert set(k.hub.find_repo("model", ID).head().files) == set(files) | {".gitattributes"}


UPLOAD = ("import sys, huggingface_hub as h; a = h.HfApi(token=sys.argv[3]);"
          "a.create_repo(sys.argv[1], exist_ok=True);"
          "a.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])")


@limit(120)
def test_what_official_sent_is_unchanged(k):
    k.hub.add_repo("acme-lab/seed", FILES)
    k.ok(k.download("acme-lab/seed"))
    official(k, UPLOAD, ID, k.dir, k.tokens["write"])
    r = k.ok(k.run("upload", "-r", ID, "-p", k.dir, env={"HF_TOKEN": k.tokens["write"]}),
             err="nothing to do")
    assert "uploading" not in r.err
