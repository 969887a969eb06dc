"""The binary beside other clients, on one cache: the official Python client with and without its
Xet library, what stands on it, and the official JavaScript client. tests/check/interop installs
them and sets HUB_INTEROP to where they are; without it nothing of this runs."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import names
from cache import Cache
from fakehub import Generated
from kit import MB, Skip, limit, sha256, tree
from serve import Box, pull_cable

ID = "acme-lab/tiny"
FILES = {
    "README.md": "# tiny\n",
    "config.json": '{"a": 1}\n',
    "empty.txt": b"",
    "sub dir/100% über.txt": "odd\n",
    "weights/model.safetensors": Generated(7, 3 * MB + 1),
}
ALL = len(FILES) + 1  # with .gitattributes


def place():
    at = os.environ.get("HUB_INTEROP")
    if not at:
        raise Skip("HUB_INTEROP is not set: see tests/check/interop")
    return at


def environment(k, xet=False, **more):
    return k.environment({
        "HF_HUB_DISABLE_XET": None if xet else "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "NODE_EXTRA_CA_CERTS": k.hub.ca_file, **more})


def start(k, words, **how):
    process = subprocess.Popen([str(w) for w in words], env=environment(k, **how), cwd=str(k.work),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    k.running.append(process)
    return process


def end(process):
    said = process.communicate(timeout=100)[0].decode(errors="replace")
    assert process.returncode == 0, said[-3000:]
    return said


def python(k, code, *args, **how):
    return end(start(k, [place() + "/bin/python3", "-c", code, *args], **how))


def hf(k, *args, **how):
    return end(start(k, [place() + "/bin/hf", *args], **how))


SNAPSHOT = "import sys, huggingface_hub as h; print(h.snapshot_download(sys.argv[1]))"
LOCAL = "import sys, huggingface_hub as h; h.snapshot_download(sys.argv[1], local_dir=sys.argv[2])"


def theirs(k, xet=False):
    return python(k, SNAPSHOT, ID, xet=xet).splitlines()[-1]


def forgive(k):
    """What hf asks beside its work."""
    k.hub.violations[:] = [v for v in k.hub.violations if "/api/agent-harnesses" not in v["path"]]


@limit(120)
def test_python_takes_our_cache(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.run("download", ID))
    cache = Cache(k, repo)
    for xet in (False, True):
        k.hub.forget()
        assert theirs(k, xet) == str(cache.snapshot)
        assert not k.content_requests(), k.content_requests()
    cache.check()
    code = ("import huggingface_hub as h; c = h.scan_cache_dir(); assert not c.warnings, c.warnings;"
            "r, = c.repos; v, = r.revisions; print(r.repo_id, v.commit_hash, len(v.files), *v.refs)")
    assert python(k, code).split() == [ID, cache.commit, str(ALL), "main"]
    assert "erified" in hf(k, "cache", "verify", ID)
    forgive(k)


@limit(120)
def test_we_take_their_cache(k):
    repo = k.hub.add_repo(ID, FILES)
    for xet in (False, True):
        at = theirs(k, xet)
        k.hub.forget()
        r = k.ok(k.run("download", ID), err="%d of %d files are cached, not hashed" % (ALL, ALL))
        assert r.out == at + "\n" and len(k.hub.asked()) == 1
        k.ok(k.run("download", ID, "--offline"), err="cached, not hashed")
        k.ok(k.run("download", ID, "--revision", repo.head().oid, "config.json"))
        Cache(k, repo).check()
        subprocess.run(["rm", "-r", str(Cache(k, repo).top)], check=True)


@limit(120)
def test_their_offline_is_ours_and_the_reverse(k):
    """By the listing that the other has written, and for a directory, too."""
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    python(k, LOCAL, ID, k.top / "dir")
    k.hub.forget()
    commit = repo.head().oid
    k.ok(k.download(repo, "--offline", "--revision", commit, to=k.top / "dir"), err="verified now")
    code = ("import sys, huggingface_hub as h;"
            "h.snapshot_download(sys.argv[1], local_dir=sys.argv[2], revision=sys.argv[3])")
    python(k, code, ID, k.dir, commit, HF_HUB_OFFLINE="1")
    k.ok(k.run("download", ID))
    k.hub.forget()
    python(k, SNAPSHOT, ID, HF_HUB_OFFLINE="1")
    assert not k.hub.asked()


@limit(120)
def test_both_at_once(k):
    """The content comes once: who is second waits for the lock of the first."""
    files = {"model.safetensors": Generated(3, 20 * MB), **FILES}
    repo = k.hub.add_repo(ID, files)
    k.hub.fault(origin="cdn", rate=4 * MB, count=None)
    first = start(k, [place() + "/bin/python3", "-c", SNAPSHOT, ID])
    k.wait_for(lambda: k.from_cdn() > 1000, 60)
    k.ok(k.run("download", ID))
    end(first)
    cache = Cache(k, repo)
    cache.check()
    assert k.from_cdn() < 30 * MB, k.from_cdn()


@limit(120)
def test_each_killed_the_other_goes_on(k):
    files = {"model.safetensors": Generated(3, 20 * MB), **FILES}
    repo = k.hub.add_repo(ID, files)
    cache = Cache(k, repo)
    k.hub.fault(origin="cdn", rate=6 * MB, count=None)
    process = k.start("download", ID)
    k.kill_after(process, 3000001)
    k.finish(process)
    process = start(k, [place() + "/bin/python3", "-c", SNAPSHOT, ID])
    before = k.from_cdn()
    k.wait_for(lambda: k.from_cdn() > before + 2000000, 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    k.hub.forget()
    k.ok(k.run("download", ID, "-d"))
    for left in (cache.at / "blobs").glob("*.incomplete"):  # theirs, which we leave alone
        left.unlink()
    cache.check()
    assert theirs(k) == str(cache.snapshot)


MODEL = """
import sys, numpy, tokenizers, transformers
from safetensors.numpy import save_file
at = sys.argv[1]
transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                        vocab_size=4, intermediate_size=8).save_pretrained(at)
words = {"[UNK]": 0, "hello": 1, "small": 2, "world": 3}
t = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
t.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
transformers.PreTrainedTokenizerFast(tokenizer_object=t, unk_token="[UNK]").save_pretrained(at)
save_file({"w": numpy.arange(600000, dtype="float32").reshape(600, 1000)}, at + "/model.safetensors")
"""

LOAD = """
import sys, transformers
from huggingface_hub import hf_hub_download
from safetensors.numpy import load_file
c = transformers.AutoConfig.from_pretrained(sys.argv[1])
t = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
w = load_file(hf_hub_download(sys.argv[1], "model.safetensors"))["w"]
print("read", c.hidden_size, t("hello small world")["input_ids"], w.shape, float(w[1, 2]))
"""


@limit(200)
def test_transformers_load_our_cache_offline(k):
    """A tiny model that we have sent."""
    at = k.top / "model"
    at.mkdir()
    python(k, MODEL, at)
    k.ok(k.run("upload", ID, at, env={"HF_TOKEN": k.tokens["write"]}))
    k.ok(k.run("download", ID))
    k.hub.forget()
    said = python(k, LOAD, ID, HF_HUB_OFFLINE="1")
    assert "read 8 [1, 2, 3] (600, 1000) 1002.0" in said, said
    assert not k.hub.asked()


JS = """
const hub = await import("@huggingface/hub");
const how = {repo: "%s", hubUrl: process.env.HF_ENDPOINT, cacheDir: process.argv[1]};
console.log(await hub.snapshotDownload(how));
"""

JS_UPLOAD = """
const hub = await import("@huggingface/hub");
const url = await import("node:url");
await hub.uploadFiles({repo: "%s", hubUrl: process.env.HF_ENDPOINT, accessToken: process.argv[1],
    useXet: false, files: [url.pathToFileURL(process.argv[2] + "/config.json"),
    {path: "model.safetensors", content: url.pathToFileURL(process.argv[2] + "/model.safetensors")}]});
"""


def node(k, code, *args):
    words = ["node", "--input-type=module", "-e", code % ID, *args]
    process = subprocess.Popen([str(w) for w in words], env=environment(k), cwd=place() + "/js",
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    k.running.append(process)
    return end(process)


@limit(120)
def test_javascript_takes_our_cache(k):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.run("download", ID))
    cache = Cache(k, repo)
    k.hub.forget()
    assert node(k, JS, cache.top).split() == [str(cache.snapshot)]
    assert not k.hub.asked("cdn"), k.hub.asked("cdn")
    cache.check()


@limit(120)
def test_we_take_their_cache_of_javascript(k):
    # It asks for the first byte of a file, which an empty one has not.
    repo = k.hub.add_repo(ID, {p: c for p, c in FILES.items() if c})
    cache = Cache(k, repo)
    node(k, JS, cache.top)
    k.hub.forget()
    k.ok(k.run("download", ID), err="5 of 5 files are cached, not hashed")
    assert not k.hub.asked("cdn")
    assert set(tree(cache.snapshot)) == set(cache.files)


@limit(120)
def test_javascript_sends_what_we_fetch(k):
    source = k.top / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    (source / "model.safetensors").write_bytes(os.urandom(2 * MB + 1))
    repo = k.hub.add_repo(ID, {"README.md": "r"})
    node(k, JS_UPLOAD, k.tokens["write"], source)
    k.hub.violations.clear()  # its last line has no end
    k.ok(k.run("download", ID))
    Cache(k, repo).check()
    assert (Cache(k, repo).snapshot / "model.safetensors").read_bytes() == \
        (source / "model.safetensors").read_bytes()


# What llama.cpp does without a network, by its common/hf-cache.cpp and common/download.cpp of 2026.

def llama_cache(env):
    """LLAMA_CACHE, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME."""
    for name, below in (("LLAMA_CACHE", ""), ("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""),
                        ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub"),
                        ("HOME", ".cache/huggingface/hub")):
        if env.get(name):
            return Path(env[name]) / below
    raise AssertionError("no cache")


def llama_commit(repo):
    """The first line of refs/main, else of another file at the top of refs."""
    fallback = None
    for path in (repo / "refs").iterdir() if (repo / "refs").is_dir() else ():
        lines = path.read_text().splitlines() if path.is_file() else []
        if lines and re.fullmatch("[0-9A-Fa-f]{40}", lines[0]):
            if path.name == "main":
                return lines[0]
            fallback = fallback or lines[0]
    return fallback


def llama_files(top, repo_id):
    """{path in the repository: path on the disk}."""
    found = {}
    for repo in top.iterdir():
        name = repo.name[len("models--"):].replace("--", "/")
        if not repo.name.startswith("models--") or name != repo_id or not (repo / "snapshots").exists():
            continue
        assert re.fullmatch(r"\w+([.-]\w+)*/\w+([.-]\w+)*", name, re.A), "no name to llama.cpp"
        commit = llama_commit(repo)
        at = repo / "snapshots" / (commit or "")
        if commit and at.is_dir():
            for path in at.rglob("*"):
                if path.is_file() or path.is_symlink():
                    found[str(path.relative_to(at))] = path
    return found


def llama_model(files, tag=""):
    """The file of a tag, else Q4_K_M, Q8_0, any; with all its parts, and the projector."""
    def is_model(path):
        name = path.rsplit("/", 1)[-1]
        return path.endswith(".gguf") and not re.search("mmproj|imatrix|mtp-|eagle3-|dflash-|dspark-", name)

    def parts(path):
        return re.fullmatch(r"(.+)-(\d{5})-of-(\d{5})\.gguf", path, re.I)

    for want in ([tag] if tag else ["Q4_K_M", "Q8_0", ""]):
        for path in files:
            split = parts(path)
            if (is_model(path) and (not want or re.search(want + "[.-]", path, re.I))
                    and not (split and int(split[2]) != 1)):
                model = {p for p in files if split and parts(p) and parts(p)[1] == split[1]} or {path}
                assert not split or len(model) == int(split[3]), "parts are missing"
                return model | {p for p in files if p.endswith(".gguf") and "mmproj" in p}
    return set()


def test_llama_cpp_finds_it(k):
    files = {"tiny-Q4_K_M.gguf": Generated(1, MB), "mmproj-f16.gguf": Generated(2, MB), "README.md": "r",
             "Q8_0/tiny-Q8_0-00001-of-00002.gguf": Generated(3, MB),
             "Q8_0/tiny-Q8_0-00002-of-00002.gguf": Generated(4, MB), "imatrix-Q8_0.gguf": "i"}
    repo = k.hub.add_repo(ID, files)
    repo.branch("dev")
    for env in ({}, {"HF_HOME": k.top / "hf"}, {"XDG_CACHE_HOME": k.top / "xdg"},
                {"HF_HUB_CACHE": k.top / "c", "HF_HOME": k.top / "no"},
                {"HUGGINGFACE_HUB_CACHE": k.top / "old", "HF_HOME": k.top / "no"}):
        k.ok(k.run("download", ID + ":", env=env))
        top = llama_cache(k.environment(env))
        have = llama_files(top, ID)
        assert llama_model(have) == {"tiny-Q4_K_M.gguf", "mmproj-f16.gguf"} == set(have)
        for path, at in have.items():
            assert at.resolve().parent == Cache(k, repo, top=top).at / "blobs"
            assert at.read_bytes() == files[path].read()
    # A quantization in parts; and by a branch alone.
    k.ok(k.run("download", ID + ":Q8_0", "--revision", "dev", "--cache-dir", k.top / "dev"))
    have = llama_files(k.top / "dev", ID)
    assert llama_model(have, "Q8_0") == llama_model(have) == set(have) and len(have) == 3
    assert not llama_model(have, "Q4_K_M") and not llama_files(k.top / "dev", "acme-lab/other")


# Each flag of the official client is taken, or its counterpart is named.

def flags(text):
    """{flag: whether it takes a value}, of a text of help."""
    found = {}
    for line in text.split("\nExamples")[0].splitlines():
        if re.match(r"\s{1,4}-", line):
            head = re.split(r"\s{2,}", line.strip())[0]
            for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", head):
                found[flag] = bool(re.search(r" ([A-Z]+|\[.*\])$", head))
    return found


@limit(120)
def test_each_flag_of_hf(k):
    k.hub.add_repo(ID, FILES)
    (k.work / "a.txt").write_text("a")
    values = {"--type": "model", "--repo-type": "model", "--revision": "main", "--max-workers": "2",
              "--format": "json", "--token": k.tokens["write"]}
    for command, least in (("download", 17), ("upload", 20)):
        listed = flags(hf(k, command, "--help"))
        assert len(listed) >= least and listed["--revision"] and not listed["--no-truncate"], listed
        for flag, has_value in sorted(listed.items()):
            words = [ID] if command == "download" else ["acme-lab/up" + flag.replace("--", "-"), "a.txt"]
            r = k.run(command, *words, flag, *([values.get(flag, "x*")] if has_value else []),
                      env={"HF_TOKEN": k.tokens["write"]})
            assert r.status in (0, 3) or "unknown option" in r.err, r
            assert r.status in (0, 3) or ("try: " in r.err and "try: hub help" not in r.err), r
    forgive(k)


# hub serve is their Hub.

CLIENT = """
import sys, huggingface_hub as h
repo, at = sys.argv[1:]
h.snapshot_download(repo, local_dir=at)
h.snapshot_download(repo, local_dir=at)
print(h.snapshot_download(repo))
print(h.hf_hub_download(repo, "config.json"))
assert sorted(h.list_repo_files(repo)) == sorted(f.rfilename for f in h.model_info(repo).siblings)
info = h.get_paths_info(repo, ["README.md", "weights", "none"])
assert [i.path for i in info] == ["README.md", "weights"], info
assert h.list_repo_refs(repo).branches[0].name == "main" and h.file_exists(repo, "README.md")
assert not h.file_exists(repo, "none") and not h.repo_exists("acme-lab/none")
assert not h.revision_exists(repo, "v9")
fs = h.HfFileSystem()
found = fs.find(repo)
assert sorted(found) == sorted(repo + "/" + f for f in h.list_repo_files(repo)), found
assert fs.ls(repo + "/weights", detail=False) == [repo + "/weights/model.safetensors"]
assert fs.read_text(repo + "/README.md") == "# tiny\\n" and fs.glob(repo + "/**/*.json")
with fs.open(repo + "/weights/model.safetensors") as f:
    f.seek(1000000)
    assert f.read(10) == open(at + "/weights/model.safetensors", "rb").read()[1000000:1000010]
for no in ("none.txt", "weights"):
    try:
        h.hf_hub_download(repo, no)
        raise SystemExit("no error")
    except h.errors.EntryNotFoundError:
        pass
"""


def far(k, box):
    return {"HF_ENDPOINT": box.url, "HF_HOME": k.top / "far"}


def fetched(k, *how):
    repo = k.hub.add_repo(ID, FILES)
    k.ok(k.download(repo))
    k.hub.forget()
    return repo, Box(k, "-p", ID + "=" + str(k.dir), *how)


@limit(200)
def test_python_takes_it_from_our_hub(k):
    repo, box = fetched(k)
    for xet in (False, True):
        at = k.top / ("their%d" % xet)
        where = python(k, CLIENT, ID, at, xet=xet, **far(k, box)).split()[-2]
        k.same(repo, folder=at)
        assert set(tree(where)) == set(tree(k.dir))
    # Offline afterwards, and by our own record.
    assert python(k, SNAPSHOT, ID, **far(k, box), HF_HUB_OFFLINE="1").split()[-1] == where
    k.ok(k.run("verify", "-p", at))
    hf(k, "download", ID, "--local-dir", k.top / "cli", **far(k, box))
    hf(k, "download", ID, "config.json", **far(k, box))
    k.same(repo, folder=k.top / "cli")
    # A cache of theirs is served as well.
    box.end()
    box = Box(k, "--cache", env={"HF_HOME": k.top / "far"})
    box.wait()
    python(k, LOCAL, ID, k.top / "again", HF_ENDPOINT=box.url, HF_HOME=k.top / "farther")
    k.same(repo, folder=k.top / "again")
    assert not k.hub.asked()
    box.end()


@limit(200)
def test_their_cable_is_pulled(k):
    """The official client goes on where it was."""
    hf = place() + "/bin/hf"

    def test(kit, _):
        def begin(box):
            return start(kit, [hf, "download", ID, "a.bin", "--local-dir", kit.dir],
                         HF_HUB_DOWNLOAD_TIMEOUT="2", **far(kit, box))
        box, data, process = pull_cable(kit, begin, copies=10)
        end(process)
        assert (kit.dir / "a.bin").read_bytes() == data
        box.end()
    if not os.environ.get("HUB_LONG"):
        raise Skip("HUB_LONG is not set")
    names.inside(k, test)


@limit(200)
def test_transformers_load_from_our_hub(k):
    at = k.top / "model"
    at.mkdir()
    python(k, MODEL, at)
    k.ok(k.run("upload", ID, at, env={"HF_TOKEN": k.tokens["write"]}))
    k.ok(k.run("download", ID))
    k.hub.forget()
    box = Box(k, "--cache")
    box.wait()
    said = python(k, LOAD, ID, **far(k, box))
    assert "read 8 [1, 2, 3] (600, 1000) 1002.0" in said, said
    assert not k.hub.asked()
    box.end()


JS_CLIENT = """
const hub = await import("@huggingface/hub");
const how = {repo: "%s", hubUrl: process.argv[1]};
const files = [];
for await (const f of hub.listFiles({...how, recursive: true})) files.push(f.path);
console.log(files.length);
const info = await hub.pathsInfo({...how, paths: ["README.md"]});
console.log(info[0].size);
const blob = await hub.downloadFile({...how, path: "weights/model.safetensors"});
console.log((await blob.arrayBuffer()).byteLength);
console.log(await (await blob.slice(0, 4)).arrayBuffer().then(b => b.byteLength));
console.log(await hub.fileExists({...how, path: "none"}));
console.log((await hub.modelInfo({name: how.repo, hubUrl: how.hubUrl})).name);
await hub.snapshotDownload({...how, cacheDir: process.argv[2]});
"""


@limit(120)
def test_javascript_takes_it_from_our_hub(k):
    # It does not quote a '%'.
    repo = k.hub.add_repo(ID, {p: c for p, c in FILES.items() if c and "%" not in p})
    k.ok(k.download(repo))
    box = Box(k, "-p", ID + "=" + str(k.dir))
    said = node(k, JS_CLIENT, box.url, k.top / "js").split()
    files = tree(k.dir)
    assert said[:6] == [str(len(files) + 1), "7", str(3 * MB + 1), "4", "false", ID], said  # a folder
    snapshot, = (k.top / "js").glob("models--*/snapshots/*")
    assert set(tree(snapshot)) == set(files)
    box.end()


@limit(120)
def test_curl_and_aria2_take_it_from_our_hub(k):
    _, box = fetched(k)
    url = "%s/%s/resolve/main/weights/model.safetensors" % (box.url, ID)
    right = sha256(k.dir / "weights/model.safetensors")
    if not shutil.which("curl") or not shutil.which("aria2c"):
        raise Skip("no curl or no aria2c")
    out = k.top / "curl"
    for args in (["-r", "0-700000"], ["-C", "-"]):
        subprocess.run(["curl", "-sSf", "-L", *args, "-o", str(out), url], check=True)
    assert sha256(out) == right
    subprocess.run(["aria2c", "-q", "-x16", "-s16", "-k1M", "-d", str(k.top), "-o", "aria2", url],
                   check=True)
    assert sha256(k.top / "aria2") == right
    box.end()
