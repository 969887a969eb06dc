"""End-to-end tests of the commands that only look, hub ls and hub whoami, and of downloads by
quantization. Each test_* takes a Kit (kit.py)."""

import json
import re

from fakehub import Generated, Lfs
from kit import MB, hub_with, tree

FILES = {"a.txt": "a\n", "w/model.safetensors": Generated(1, 3 * MB), "w/x/deep.json": "{}",
         "ünï.txt": "u", "w/b.bin": Lfs("b")}


def sample(k):
    repo = k.hub.add_repo("acme-lab/see", FILES)
    repo.commit({".gitattributes": None}, "no attributes")
    k.hub.xet = True
    return repo


def added(repo):
    """The commit that brought the files."""
    return next(c.oid for c in repo.history(repo.head()) if c.title == "Add files")


def gguf(k, more=()):
    names = ["a-Q2_K.gguf", "a-Q4_K_M.gguf", "a-Q8_0-00001-of-00002.gguf",
             "a-Q8_0-00002-of-00002.gguf", "mmproj-F16.gguf", "README.md", *more]
    return k.hub.add_repo("acme-lab/a-GGUF", {n: n * 10 for n in names})


# ls

def test_ls_in_a_pipe(k):
    """One path a line, sorted, nothing else."""
    repo = sample(k)
    for words, lines in (([], ["a.txt", "w/", "ünï.txt"]),
                         (["w"], ["w/b.bin", "w/model.safetensors", "w/x/"]),
                         (["./w/"], ["w/b.bin", "w/model.safetensors", "w/x/"]),
                         (["w/x/deep.json"], ["w/x/deep.json"]),
                         (["a.txt"], ["a.txt"]),
                         (["-R"], ["a.txt", "w/b.bin", "w/model.safetensors", "w/x/deep.json",
                                   "ünï.txt"]),
                         (["w", "-R"], ["w/b.bin", "w/model.safetensors", "w/x/deep.json"]),
                         (["*.json"], ["w/x/deep.json"]),
                         (["--include", "*.b?n", "--include", "a*"], ["a.txt", "w/b.bin"]),
                         (["--exclude", "w/*"], ["a.txt", "ünï.txt"])):
        r = k.ok(k.run("ls", repo.id, *words))
        assert r.out.splitlines() == lines and not r.err, (words, r.out)
    r = k.ok(k.run("ls", "-r", "hf://%s@main/w/x" % repo.id))
    assert r.out == "w/x/deep.json\n"


def test_ls_at_a_terminal(k):
    """Sizes for people, how each is kept, and a total; narrow or wide."""
    repo = sample(k)
    for columns in (40, 100):
        r = k.ok(k.terminal("ls", repo.id, "w", size=(24, columns)))
        assert r.out.splitlines() == ["     1 B  xet  w/b.bin", " 3.15 MB  xet  w/model.safetensors",
                                      "       -  -    w/x/", "2 files, 3.15 MB; 1 folder, not counted"], r.out
    repo.xet = False
    assert " lfs  w/b.bin" in k.ok(k.terminal("ls", repo.id, "w")).out
    assert re.search(r"^ +2 B  git  a.txt\r$", k.ok(k.terminal("ls", repo.id)).out, re.M)


def test_ls_long(k):
    """The hash, and the commit that changed the file last."""
    repo = sample(k)
    first = added(repo)
    second = repo.commit({"a.txt": "new"}, "change a").oid
    r = k.ok(k.run("ls", repo.id, "-l", "w/model.safetensors"))
    size, kind, sha, commit, day, path = r.out.split()
    assert (size, kind, path) == (str(3 * MB), "xet", "w/model.safetensors")
    assert sha == repo.head().files["w/model.safetensors"].sha256 and commit == first[:8]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
    assert second[:8] in k.ok(k.run("ls", repo.id, "--long", "a.txt")).out


@hub_with(expand_page=2)
def test_ls_json(k):
    repo = sample(k)
    r = k.ok(k.run("ls", repo.id, "-R", "--long", "--json"))
    made = json.loads(r.out)
    assert made["commit"] == repo.head().oid and made["repo_id"] == repo.id
    assert [f["path"] for f in made["files"]] == sorted(FILES)
    by = {f["path"]: f for f in made["files"]}
    assert by["a.txt"]["kind"] == "git" and by["a.txt"]["git_oid"] == repo.head().files["a.txt"].oid
    assert by["w/b.bin"]["sha256"] == repo.head().files["w/b.bin"].sha256
    assert by["a.txt"]["last_commit"]["id"] == added(repo) != repo.head().oid
    r = k.ok(k.run("ls", repo.id, "--json"))
    assert {"path": "w", "size": 0, "kind": "folder"} in json.loads(r.out)["files"]


def test_ls_refs(k):
    repo = sample(k)
    repo.tag("v1.0")
    repo.pulls[3] = repo.head().oid
    repo.commits[repo.head().oid] = repo.head()
    r = k.ok(k.run("ls", repo.id, "--refs"))
    assert r.out.split() == ["main", "v1.0", "refs/pr/3"]
    for name in r.out.split():
        k.ok(k.run("ls", repo.id, "--revision", name), out="a.txt")
    r = k.ok(k.run("ls", repo.id, "--refs", "--json"))
    assert json.loads(r.out)["refs"][2] == {"kind": "pull request", "name": "refs/pr/3",
                                            "commit": repo.head().oid}
    r = k.ok(k.terminal("ls", repo.id, "--refs", size=(24, 40)))
    assert "tag           %s  v1.0\r\n" % repo.head().oid[:8] in r.out


def test_ls_offline(k):
    """From the listing that a download left, in the cache or in a directory: the same as the Hub says."""
    repo = sample(k)
    k.ok(k.run("ls", repo.id, "--offline"), 3, err="hub is offline")
    k.ok(k.run("download", "-r", repo.id, "--cache"))
    k.ok(k.download(repo))
    asks = ([], ["w"], ["w/"], ["w/x/deep.json"], ["-R"], ["w", "-R"], ["*.json"], ["--include", "*.b?n"],
            ["--exclude", "w/*"], ["-R", "--json"], ["--json"], ["--revision", repo.head().oid])
    told = [k.ok(k.run("ls", repo.id, *words)).out for words in asks]
    shown = k.ok(k.terminal("ls", repo.id, "w", size=(24, 40))).out
    k.hub.forget()
    for where in (["--offline"], ["--offline", "-p", k.dir], ["--offline", "--cache-dir", k.home / ".cache/huggingface/hub"]):
        for words, out in zip(asks, told):
            assert k.ok(k.run("ls", repo.id, *words, *where)).out == out, (words, where)
        assert k.ok(k.terminal("ls", repo.id, "w", *where, size=(24, 40))).out == shown
        for words in (["nothing"], ["a.txt/x"], ["w/b"], ["*.none"], ["--include", "*.none"]):
            assert not k.ok(k.run("ls", repo.id, *words, *where), 3, err="cannot list").out
        k.ok(k.run("ls", repo.id, "--revision", "other", *where), 3, err="which commit 'other' is")
        k.ok(k.run("ls", repo.id, "--revision", "a" * 40, *where), 3, err="the list of files at commit")
    assert k.ok(k.run("ls", repo.id, env={"HF_HUB_OFFLINE": "1"})).out == told[0]
    assert not k.hub.asked()
    k.ok(k.run("ls", repo.id, "--refs", "--offline"), 2, err="cannot be used together")
    k.ok(k.run("ls", repo.id, "-p", k.dir), 2, err="try: --offline")
    kept = k.dir / ".cache/huggingface/trees" / (repo.head().oid + ".json")
    listing = json.loads(kept.read_text())
    names = sorted(listing["files"])  # of one folder, not together
    listing["files"] = {n: listing["files"][n] for n in names[::2] + names[1::2]}
    kept.write_text(json.dumps(listing))
    assert k.ok(k.run("ls", repo.id, "--offline", "-p", k.dir)).out == told[0]
    kept.write_text('{"format_version": 1, "files": {')
    k.ok(k.run("ls", repo.id, "--offline", "-p", k.dir), 6, err="the listing is broken")


def test_quants_offline(k):
    repo = gguf(k)
    k.ok(k.download(repo))
    r = k.ok(k.run("ls", repo.id, "--quants"))
    assert k.ok(k.run("ls", repo.id, "--quants", "--offline", "-p", k.dir)).out == r.out


def test_ls_what_is_not_there(k):
    repo = sample(k)
    for words in (["nothing"], ["w/nothing"], ["a.txt/x"], ["*.none"], ["--include", "*.none"]):
        r = k.ok(k.run("ls", repo.id, *words), 3, err="cannot list 'acme-lab/see'")
        assert not r.out
    k.ok(k.run("ls", "acme-lab/none"), 3, err="there is no model 'acme-lab/none'")
    k.ok(k.run("ls", repo.id, "--revision", "none"), 3, err="no revision 'none'")
    k.ok(k.run("ls"), 2, err="no repository given")
    k.ok(k.run("ls", repo.id, "a", "b"), 2, err="unexpected argument 'b'")
    k.ok(k.run("ls", repo.id, "--refs", "a"), 2, err="--refs lists no files")
    k.ok(k.run("ls", repo.id, "--quants"), 3, err="there is no GGUF file")


def test_ls_hostile(k):
    """Names that steer a terminal are made harmless, and stay what they are in JSON."""
    repo = sample(k)
    bad = "x\x1b[2Jy\nz"
    k.hub.rules.add(path="/tree/", count=None, status=200, headers={"Content-Type": "application/json"},
                    body=json.dumps([{"type": "file", "path": bad, "size": 7, "oid": "a" * 40,
                                      "lastCommit": {"id": "\x1b", "date": "\x1b[2J--------", "title": bad}}]))
    assert k.ok(k.run("ls", repo.id)).out == "x?[2Jy?z\n"
    r = k.ok(k.run("ls", repo.id, "--long"))
    assert r.out == "7  git  %s  -  -  x?[2Jy?z\n" % ("a" * 40), r.out
    assert json.loads(k.ok(k.run("ls", repo.id, "--json")).out)["files"][0]["path"] == bad
    k.hub.rules.clear()
    for body, status in (("[", 5), ("{}", 6), ('[{"type":"file"}]', 6), ('[{"type":"directory"}]', 3)):
        k.hub.rules.add(path="/tree/", count=None, status=200, body=body,
                        headers={"Content-Type": "application/json"})
        k.ok(k.run("ls", repo.id, "--include", "*", "--retries=0"), status)
        k.hub.rules.clear()
    for body in ("{}", '{"branches":[{"name":"a"}]}', '{"branches":[{"name":"a","targetCommit":"x"}]}'):
        k.hub.rules.add(path="/refs", count=1, status=200, body=body,
                        headers={"Content-Type": "application/json"})
        r = k.ok(k.run("ls", repo.id, "--refs", "--json"), 6)
        assert not r.out


# quantizations

def test_ls_quants(k):
    repo = gguf(k)
    r = k.ok(k.run("ls", repo.id, "--quants"))
    assert r.out.split() == ["Q2_K", "Q4_K_M", "Q8_0"]
    for columns in (40, 100):
        r = k.ok(k.terminal("ls", repo.id, "--quants", size=(24, columns)))
        assert r.out.splitlines() == [
            "Q2_K           110 B  a-Q2_K.gguf", "Q4_K_M         130 B  a-Q4_K_M.gguf (default)",
            "Q8_0           520 B  a-Q8_0-00001-of-00002.gguf (2 parts)",
            "mmproj         150 B  mmproj-F16.gguf"], r.out
    r = json.loads(k.ok(k.run("ls", repo.id, "--quants", "--json")).out)
    assert [q["quantization"] for q in r["quants"]] == ["Q2_K", "Q4_K_M", "Q8_0", "F16"]
    assert r["quants"][2]["parts"] == 2 and r["quants"][3]["kind"] == "projector"


def test_ls_quants_hostile(k):
    """What a terminal would obey does not reach it from a file's name."""
    repo = k.hub.add_repo("acme-lab/odd-GGUF", {"model-a.gguf": "a", "model-b.gguf": "b"})
    for name in ("m-Q4_K\x1b]0;x\x07.gguf", "m-\x1b[31mred.gguf", "mmproj-Q4_\x1b[2J.gguf", "m-Q4_\u009b2J.gguf"):
        k.hub.rules.add(path="/tree/", edit=lambda body, to=json.dumps(name)[1:-1].encode():
                        body.replace(b"model-a.gguf", to), count=None)
        for args in ((), ("-l",), ("-q",)):
            r = k.run("ls", repo.id, "--quants", *args)
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", r.out + r.err), (r.out, r.err)
        k.hub.rules.clear()


def test_download_a_quantization(k):
    repo = gguf(k)
    for quant, names in (("Q8_0", ["a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf"]),
                         ("q2_k", ["a-Q2_K.gguf"]), ("", ["a-Q4_K_M.gguf"])):
        to = k.top / ("to" + quant)
        k.ok(k.download(repo.id + ":" + quant, to=to))
        k.same(repo, folder=to, only=lambda p: p in names + ["mmproj-F16.gguf"])
    k.ok(k.download("hf.co/%s:Q2_K" % repo.id, "--exclude", "mmproj*"))
    assert list(tree(k.dir)) == ["a-Q2_K.gguf"]


def test_quantization_that_is_not_there(k):
    repo = gguf(k, ["b-F16-00001-of-00003.gguf", "b-F16-00003-of-00003.gguf"])
    r = k.ok(k.download(repo.id + ":Q5_K_M"), 3, err="there is no quantization 'Q5_K_M' in 'acme-lab/a-GGUF'; "
             "there are Q2_K (110 B), Q4_K_M (130 B), Q8_0 (520 B), F16 (500 B)")
    assert "try: hub ls acme-lab/a-GGUF --quants" in r.err
    k.ok(k.download(repo.id + ":F16"), 3, err="part 2 of 3 of 'b-F16' is missing")
    assert not k.content_requests() and not k.dir.exists()
    r = k.ok(k.terminal("ls", repo.id, "--quants"), out="b-F16-00001-of-00003.gguf: part 2 of 3 is missing")
    plain = sample(k)
    k.ok(k.download(plain.id + ":Q4_K_M"), 3, err="no model in a GGUF file")
    for words in (["a-Q2_K.gguf"], ["-f"]):
        k.ok(k.download(repo.id + ":Q2_K", *words), 2, err="cannot be used together")
    k.ok(k.run("download", repo.id + ":Q2_K", "-o", "-", "x"), 2, err="cannot be used together")
    (k.top / "f").write_text("x")
    k.ok(k.run("upload", "-r", repo.id + ":Q2_K", "-p", k.top / "f", env={"HF_TOKEN": k.tokens["write"]}), 2,
         err="names a quantization")
    k.ok(k.download(repo.id + ":a b"), 2, err="no quantization")


# whoami

def test_whoami(k):
    r = k.ok(k.run("whoami", env={"HF_TOKEN": k.tokens["write"]}))
    assert r.out == ("account:      rosa\nname:         Rosa Ito\ntype:         user\n"
                     "organisation: acme-lab (write)\ntoken:        test\nkind:         write\n"
                     "from:         HF_TOKEN\nendpoint:     %s\n" % k.hub.endpoint), r.out
    r = k.ok(k.run("whoami", "--json", env={"HF_TOKEN": k.tokens["fine"]}))
    made = json.loads(r.out)
    assert made["account"] == "rosa" and made["token_role"] == "fineGrained"
    assert made["rights"] == [{"name": "everywhere", "permissions": "discussion.write"},
                              {"name": "model acme-lab/fine", "permissions": "repo.content.read, repo.write"}]
    assert made["source"] == "HF_TOKEN" and made["endpoint"] == k.hub.endpoint
    r = k.ok(k.run("whoami", env={"HF_TOKEN": k.tokens["fine"]}))
    assert ("rights:       everywhere (discussion.write)\n"
            "              model acme-lab/fine (repo.content.read, repo.write)\n") in r.out


def test_whoami_of_uploads(k):
    """The token of uploads may be another one."""
    env = {"HUGGINGFACE_READ_API": k.tokens["read"], "HUGGINGFACE_WRITE_API": k.tokens["other"]}
    k.ok(k.run("whoami", env=env), out=("account:      rosa", "from:         HUGGINGFACE_READ_API"))
    k.ok(k.run("whoami", "--upload", env=env), out=("account:      otto", "from:         HUGGINGFACE_WRITE_API"))


def test_whoami_is_refused(k):
    r = k.ok(k.run("whoami"), 4, err=("there is no token", "HUGGINGFACE_READ_API", "HF_TOKEN"))
    assert not k.hub.asked()
    k.ok(k.run("whoami", "--upload"), 4, err="HUGGINGFACE_WRITE_API")
    r = k.ok(k.run("whoami", env={"HF_TOKEN": "hf_" + "x" * 34}), 4,
             err=("the token from HF_TOKEN: the Hub does not accept the token", "Access Tokens"))
    assert not r.out and "hf_x" not in r.err
    k.ok(k.run("whoami", "me"), 2, err="unexpected argument 'me'")
    k.hub.rules.add(path="/whoami-v2", count=1, status=404)
    k.ok(k.run("whoami", env={"HF_TOKEN": k.tokens["read"]}), 3, err="does not know whose a token is")


def test_whoami_hostile(k):
    """A server that sends the token back, or controls a terminal, does neither."""
    token = k.tokens["write"]
    odd = "\x1b[31mrosa " + token
    for body, status in (
            ({"name": odd, "fullname": odd, "type": odd, "orgs": [{"name": odd, "roleInOrg": odd}, 7, {}],
              "auth": {"type": odd, "expiresAt": odd, "accessToken": {
                  "displayName": odd, "role": odd, "fineGrained": {
                      "scoped": [{"entity": {"type": odd, "name": odd}, "permissions": [odd, 7]}, {}, 8]}}}}, 0),
            ({"name": "x" * 5000}, 6), ({"name": 7}, 6), ([], 6), ("", 6)):
        k.hub.rules.add(path="/whoami-v2", count=2, status=200, body=json.dumps(body),
                        headers={"Content-Type": "application/json"})
        for words in ([], ["--json"]):
            r = k.ok(k.run("whoami", *words, env={"HF_TOKEN": token}), status)
            assert "\x1b" not in r.out + r.err
        k.hub.rules.clear()
