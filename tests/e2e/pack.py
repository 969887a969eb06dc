"""End-to-end tests of what stands around the program: completion, installing, the Debian package,
what it says of itself. Each test_* takes a Kit (kit.py)."""

import fcntl
import gzip
import json
import os
import pty
import re
import select
import shutil
import subprocess
import time

from kit import BINARY, ROOT, Skip, limit

CTRL_U = "\x15"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shell:
    """An interactive shell at a terminal, in which "hub" is the binary."""

    def __init__(self, k, *words, env=None):
        if not shutil.which(words[0]):
            raise Skip(words[0] + " is not installed")
        master, slave = pty.openpty()
        place = k.top / "bin"
        place.mkdir(exist_ok=True)
        (place / "hub").symlink_to(os.path.abspath(BINARY))
        env = {**k.environment(env), "TERM": "xterm", "PS1": "ready$ ", "HISTFILE": "/dev/null"}
        env["PATH"] = "%s:%s" % (place, env["PATH"])
        self.process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        cwd=str(k.work), start_new_session=True)
        k.running.append(self.process)
        os.close(slave)
        self.master = master
        self.see("ready$ ")

    def see(self, *wanted, seconds=30):
        """What it says until all of that is in it, in this order."""
        said, end = "", time.monotonic() + seconds
        while not in_order(said, wanted):
            assert time.monotonic() < end, "no %s in %r" % (wanted, said)
            if select.select([self.master], [], [], 0.2)[0]:
                said = ESCAPE.sub("", said + os.read(self.master, 65536).decode("utf-8", "replace"))
        return said

    def type(self, text):
        os.write(self.master, text.encode())

    def do(self, line):
        """A line, and the prompt behind it."""
        self.type(line + (line and "; ") + "echo do''ne\n")
        self.see("done\r", "ready$ ")

    def tab(self, typed, *wanted, tabs="\t"):
        """Types and asks for completion; then the line is given up."""
        self.type(typed + tabs)
        said = self.see(*wanted)
        self.type(CTRL_U)
        self.do("")
        return said


def in_order(text, words):
    at = 0
    for word in words:
        at = text.find(word, at)
        if at < 0:
            return False
    return True


def sample(k):
    (k.work / "weights dir").mkdir()
    (k.work / "weights.bin").write_text("x")


def tell_tale(shell):
    """What bash and zsh do alike."""
    shell.tab("hub downl", "hub download ")
    shell.tab("hub completion b", "completion bash ")
    shell.tab("hub help upl", "help upload ")
    shell.tab("hub download --loc", "--local_path")
    shell.tab("hub upload --create", "--create-pr ")
    shell.tab("hub version --j", "version --json ")
    shell.tab("hub download -t mo", "-t model ")
    shell.tab("hub download --repo_type d", "--repo_type dataset ")
    shell.tab("hub download --progress=js", "--progress=json ")
    shell.tab("hub download a/b -p weights.", "-p weights.bin ")
    shell.tab("hub upload a/b weights\\ d", "weights\\ dir/")
    said = shell.tab("hub download -t ", "dataset", "kernel", "model", "space", tabs="\t\t")
    assert "weights" not in said, said


def test_bash_completion(k):
    sample(k)
    shell = Shell(k, "bash", "--norc", "--noprofile", "-i")
    shell.do("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'")
    shell.do('eval "$(hub completion bash)"')
    tell_tale(shell)
    shell.tab("hub upload -p weights\\ d", "-p weights\\ dir/")
    # Names with '_' are written with '-', too, and other tools' names complete values as well.
    shell.tab("hub download --repo-type spa", "--repo-type space ")
    shell.tab("hub download --local-dir weights.", "weights.bin ")


def test_zsh_completion(k):
    sample(k)
    shell = Shell(k, "zsh", "-f", "-i")
    shell.do("unsetopt prompt_sp prompt_cr beep; unset zle_bracketed_paste; zle_highlight=(none)")
    shell.do("autoload -U compinit; compinit -u -d " + str(k.top / "dump"))
    shell.do('eval "$(hub completion zsh)"')
    tell_tale(shell)
    # It says what options mean, and takes no option twice.
    shell.tab("hub download --", "connections in total, 1 to 64", "continue what an earlier run left")
    shell.tab("hub upload --", "open a pull request", "what to send: a file, or a directory's")


def test_zsh_completion_installed(k):
    """As a file in a folder of $fpath, as "make install" leaves it."""
    sample(k)
    place = k.top / "site"
    place.mkdir()
    (place / "_hub").write_text(k.ok(k.run("completion", "zsh")).out)
    shell = Shell(k, "zsh", "-f", "-i")
    shell.do("unsetopt prompt_sp prompt_cr beep; unset zle_bracketed_paste; zle_highlight=(none)")
    shell.do("fpath=(%s $fpath)" % place)
    shell.do("autoload -U compinit; compinit -u -d " + str(k.top / "dump"))
    shell.tab("hub download -t mo", "-t model ")
    shell.tab("hub downl", "hub download ")


def test_fish_completion(k):
    if not shutil.which("fish"):
        raise Skip("fish is not installed")
    sample(k)
    (k.top / "hub.fish").write_text(k.ok(k.run("completion", "fish")).out)

    def complete(line):
        done = subprocess.run(["fish", "--no-config", "-c", "source ../hub.fish; complete -C $argv[1]", line],
                              cwd=str(k.work), env=k.environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=50)
        assert done.returncode == 0 and not done.stderr, done
        return [row.split("\t") for row in done.stdout.decode().splitlines()]

    def words(line):
        return {row[0] for row in complete(line)}

    assert words("hub ") == {"download", "upload", "ls", "verify", "serve", "whoami", "help",
                             "completion", "version"}
    assert words("hub download -t ") == {"model", "dataset", "space", "kernel"}
    assert words("hub download --progress=j") == {"--progress=json"}
    assert words("hub download ") == set()
    assert words("hub upload a/b wei") == {"weights dir/", "weights.bin"}
    assert words("hub download -p wei") == {"weights dir/", "weights.bin"}
    assert words("hub download --revision wei") == set()
    assert words("hub completion ") == {"bash", "zsh", "fish"}
    assert words("hub help ") >= {"download", "upload", "version"}
    assert ["--local_path", "what to send: a file, or a directory's content"] in complete("hub upload --local")
    assert "--private" not in words("hub download --") and "--private" in words("hub upload --")


def test_completion_refused(k):
    k.ok(k.run("completion"), 2, err="no shell given")
    k.ok(k.run("completion", "csh"), 2, err=("'csh'", "bash, zsh or fish"))
    k.ok(k.run("completion", "bash", "zsh"), 2, err="unexpected argument 'zsh'")


# what it says of itself

def test_version(k):
    said = k.ok(k.run("version")).out
    assert said == k.ok(k.run("--version")).out and said.count("\n") == 2
    r = k.ok(k.run("version", "--json"))
    about = json.loads(r.out)
    assert r.out.count("\n") == 1 and said.startswith("hub %s\n" % about["version"])
    assert about["bearssl"] in said and "%d built-in" % about["roots"]["count"] in said
    assert about["roots"]["date"] in said and len(about["roots"]["sha256"]) == 64
    assert about["architecture"] == os.uname().machine or os.uname().machine != "x86_64"
    assert time.strptime(about["source_time"], "%Y-%m-%dT%H:%M:%SZ")
    assert about["commit"] is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", about["commit"])
    assert about["hosts"]["fixed"] == ["huggingface.co"] and about["hosts"]["upload"]
    k.ok(k.run("version", "--yaml"), 2, err="unknown option '--yaml'")
    k.ok(k.run("version", "--json", "x"), 2, err="unexpected argument 'x'")


def test_hosts_are_in_the_manual(k):
    """Those who approve the program read the manual or ask it: both say the same."""
    hosts = json.loads(k.ok(k.run("version", "--json")).out)["hosts"]
    manual = (ROOT / "hub.1").read_text()
    section = manual[manual.index(".Sh HOSTS"):]
    section = section[:section.index("\n.Sh", 1)]
    named = set(re.findall(r"[a-z0-9.*-]+\.(?:co|com)\b", section))
    assert named - {"hf.co", "amazonaws.com"} == {h for n in ("fixed", "download", "upload") for h in hosts[n]}, named


# make install

@limit(300)
def test_install_and_uninstall(k):
    """What make install brings, it takes away again; and it is what the program prints."""
    root = k.top / "root"
    make("install", "DESTDIR=%s" % root, "PREFIX=/usr")
    have = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    assert set(have) == INSTALLED, set(have) ^ INSTALLED
    for name, shell in COMPLETIONS.items():
        assert have[name].read_text() == k.ok(k.run("completion", shell)).out, name
    assert subprocess.run([str(have["usr/bin/hub"]), "--version"], stdout=subprocess.PIPE).returncode == 0
    make("uninstall", "DESTDIR=%s" % root, "PREFIX=/usr")
    assert not [p for p in root.rglob("*") if p.is_file()]


COMPLETIONS = {"usr/share/bash-completion/completions/hub": "bash",
               "usr/share/zsh/site-functions/_hub": "zsh",
               "usr/share/fish/vendor_completions.d/hub.fish": "fish"}
INSTALLED = {"usr/bin/hub", "usr/share/man/man1/hub.1", *COMPLETIONS}


def make(*words, cwd=ROOT):
    """One at a time: they share the folder build/."""
    env = {n: v for n, v in os.environ.items() if not n.startswith("MAKE") and n not in ("MFLAGS", "O")}
    with open(str(ROOT / "Makefile")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", *words], cwd=str(cwd), env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()[-600:]
    return done.stdout.decode()


# the Debian package

@limit(300)
def test_deb(k):
    """It is the same bytes when made twice, pleases lintian, installs, runs, and goes without a
    trace. The system is not touched: dpkg works below a folder."""
    for name in ("one.deb", "two.deb"):
        make("deb", "DEB=%s" % (k.top / name))
    assert (k.top / "one.deb").read_bytes() == (k.top / "two.deb").read_bytes()
    root = k.top / "root"
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    dpkg(root, "-i", k.top / "one.deb")
    assert packaged(root) == DEB_FILES, packaged(root) ^ DEB_FILES
    modes = {str(p): oct(p.stat().st_mode) for p in (root / "usr").rglob("*")}
    wrong = [n for n, m in modes.items() if m not in ("0o40755", "0o100644") and not n.endswith("/bin/hub")]
    assert not wrong, wrong
    r = as_root("chroot", root, "/usr/bin/hub", "--version")
    assert r == k.run("--version").out, r
    text = gzip.open(str(root / "usr/share/man/man1/hub.1.gz")).read()
    assert text == (ROOT / "hub.1").read_bytes()
    assert "Status: install ok installed" in dpkg(root, "-s", "hf-hub")
    dpkg(root, "-P", "hf-hub")
    assert not packaged(root) and not (root / "usr").exists()


@limit(300)
def test_deb_pleases_lintian(k):
    if not shutil.which("lintian"):
        raise Skip("lintian is not installed")
    make("deb", "DEB=%s" % (k.top / "hub.deb"))
    done = subprocess.run(["lintian", "--allow-root", "--pedantic", "--fail-on", "error,warning,pedantic",
                           str(k.top / "hub.deb")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()


DEB_FILES = (INSTALLED - {"usr/share/man/man1/hub.1", "usr/share/zsh/site-functions/_hub"}) | {
    "usr/share/man/man1/hub.1.gz", "usr/share/zsh/vendor-completions/_hub",
    "usr/share/doc/hf-hub/copyright", "usr/share/doc/hf-hub/changelog.gz",
    "usr/share/doc/hf-hub/CHANGELOG.md", "usr/share/lintian/overrides/hf-hub"}


def packaged(root):
    return {str(p.relative_to(root)) for p in (root / "usr").rglob("*") if p.is_file()}


def dpkg(root, *words):
    return as_root("dpkg", "--force-not-root", "--root=%s" % root, "--log=/dev/null", *words)


def as_root(*words):
    """Runs a command as root, or as who believes to be."""
    words = [str(w) for w in words]
    if os.geteuid():
        words = ["unshare", "-r"] + words
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.decode()


# the container

@limit(300)
def test_dockerfile(k):
    """Without docker: its steps are what the README says, what it copies is enough for make, and
    the root that it makes runs."""
    steps = [line.split(None, 1) for line in (ROOT / "Dockerfile").read_text().splitlines()
             if line and not line.startswith("#")]
    runs = [rest for word, rest in steps if word == "RUN"]
    readme = (ROOT / "README.md").read_text().replace("\\\n", " ")
    first = re.search(r"^    apt-get install .*recommends (.*)$", readme, re.M)[1].split()
    assert first == runs[0].split("--no-install-recommends ")[1].split()
    source = k.top / "src"
    ignored = (ROOT / ".dockerignore").read_text().split()
    shutil.copytree(str(ROOT), str(source), ignore=lambda at, names: [
        n for n in names if at == str(ROOT) and n in ignored])
    said = make("-n", *runs[1].replace('="$COMMIT"', "=0123456789").split()[1:], cwd=source)
    assert said.rstrip().endswith("cp build/release/hub hub") and "HUB_COMMIT='\"0123456789\"'" in said
    # The second stage, from here on.
    assert steps[-4:] == [["FROM", "scratch"], ["COPY", "--from=build /src/hub /hub"],
                          ["WORKDIR", "/data"], ["ENTRYPOINT", '["/hub"]']]
    root = k.top / "image"
    (root / "data").mkdir(parents=True)
    make("all")
    shutil.copy(str(ROOT / "hub"), str(root / "hub"))
    repo = k.hub.add_repo("acme-lab/tiny", {"a.txt": "a\n", "b.bin": b"b" * 100000})
    env = k.environment({"SSL_CERT_FILE": "/data/ca.pem"})
    shutil.copy(k.hub.ca_file, str(root / "data/ca.pem"))
    words = [] if os.geteuid() == 0 else ["unshare", "-r"]
    done = subprocess.run(words + ["chroot", str(root), "/hub", "download", "-r", repo.id, "-p", "/data/out"],
                          env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    k.same(repo, folder=root / "data/out")
