"""File systems and names as the world has them, end to end. Each test_* takes a Kit (kit.py)."""

import contextlib
import errno
import hashlib
import shutil
import subprocess
import unicodedata

from fakehub import Generated, Lfs, Regular
from kit import MB, Skip, tmpfs, tree
from oddfs import OddFs

ID = "acme-lab/names"


def folded(name):
    """As exFAT, and the ext4 that folds: without case, and NFC like NFD."""
    return unicodedata.normalize("NFD", name).casefold()


@contextlib.contextmanager
def odd(k, **how):
    """k.dir is an odd file system."""
    k.dir.mkdir()
    fs = OddFs(k.dir, **how)
    try:
        fs.__enter__()
    except PermissionError as why:
        raise Skip(str(why)) from None
    try:
        yield fs
    finally:
        fs.__exit__()


@contextlib.contextmanager
def image(k, make, options="loop", fold=False):
    """k.dir is on a file system of the kernel's, in a file."""
    file, top = k.top / "image", k.top / "mounted"
    top.mkdir()
    with open(str(file), "wb") as f:
        f.truncate(128 * MB)
    if not shutil.which(make[0]):
        raise Skip("no " + make[0])
    subprocess.run([*make, str(file)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = subprocess.run(["mount", "-o", options, str(file), str(top)], stderr=subprocess.PIPE)
    if done.returncode:
        raise Skip("no mount for what %s makes" % make[0])
    try:
        k.dir = top / "target"
        k.dir.mkdir()
        if fold:
            subprocess.run(["chattr", "+F", str(k.dir)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(top)], check=True)


# names that are one file

# In each pair one of the two can be there. Sizes differ, or do not.
SAME = {"README.md": "upper", "readme.md": "lower", "caf\u00e9.txt": "composed", "cafe\u0301.txt": "decomposed, and longer",
        "A/x.bin": Generated(1, 2 * MB + 1), "a/X.bin": Generated(2, 2 * MB + 1), "a/only": "lower folder",
        "A/mine": "upper folder", "\u00c4": "big", "\u00e4": "sml"}
PAIRS = [("README.md", "readme.md"), ("caf\u00e9.txt", "cafe\u0301.txt"), ("A/x.bin", "a/X.bin"), ("\u00c4", "\u00e4")]


def one_of_two(k, r, repo, pairs=PAIRS):
    """Of each pair one failed, with a sentence, and the other is there and right."""
    k.ok(r, 9, err="does not tell the two names apart")
    files = repo.find("main").files
    for pair in pairs:
        there = (k.dir / pair[0]).read_bytes()
        right = [name for name in pair if files[name].content.read() == there]
        assert len(right) == 1, "content of %s" % (pair,)
        assert r.err.count("would replace '%s'" % right[0]) >= 1, "%s: not said" % (pair,)
    for name in set(files) - {n for p in pairs for n in p}:
        assert (k.dir / name).read_bytes() == files[name].content.read(), name


def same_names(k, pairs=PAIRS):
    repo = k.hub.add_repo(ID, {n: SAME[n] for n in SAME if not any(n in p for p in PAIRS if p not in pairs)})
    one_of_two(k, k.download(repo), repo, pairs)
    # A second run knows before the first byte; so does one that is to fetch all.
    k.hub.forget()
    one_of_two(k, k.download(repo), repo, pairs)
    assert not k.content_requests(), "fetched again"
    one_of_two(k, k.download(repo, "--force", "-j", "1"), repo, pairs)


def test_names_that_fold(k):
    with odd(k, fold=folded):
        same_names(k)


def test_names_that_fold_on_ext4(k):
    with image(k, ["mkfs.ext4", "-q", "-O", "casefold"], fold=True):
        same_names(k)


def test_names_that_fold_on_fat(k):
    with image(k, ["mkfs.vfat"], "loop,utf8,iocharset=utf8"):
        same_names(k, [p for p in PAIRS if p[0].isascii()])


def test_names_that_fold_on_exfat(k):
    with image(k, ["mkfs.exfat"]):
        same_names(k, [p for p in PAIRS if "cafe" not in p[1]])


def test_copies_onto_names_that_fold(k):
    """The same content twice, which comes once over the wire."""
    repo = k.hub.add_repo(ID, {"a.bin": Generated(1, 3 * MB), "A.bin": Generated(1, 3 * MB), "b": "b"})
    with odd(k, fold=folded):
        k.ok(k.download(repo), 9, err="apart")
        assert (k.dir / "a.bin").read_bytes() == repo.head().files["a.bin"].content.read()


def test_a_file_and_a_folder_that_fold(k):
    repo = k.hub.add_repo(ID, {"Data": "a file", "data/x": "below a folder", "z": "z"})
    with odd(k, fold=folded):
        k.ok(k.download(repo), 9)
        assert (k.dir / "z").read_text() == "z"


def test_another_run_is_no_other_name(k):
    """A file that appears while another run fetches it is replaced, as ever."""
    repo = k.hub.add_repo(ID, {"a.txt": "right", "b.txt": "right"})
    k.dir.mkdir()
    k.hub.fault(path="resolve.*/a.txt", call=lambda: (k.dir / "a.txt").write_text("other"))
    k.ok(k.download(repo))
    k.same(repo)


# names that a file system does not take

def test_names_that_are_refused(k):
    """Before the first byte, and only those."""
    repo = k.hub.add_repo(ID, {"what?.bin": Generated(1, 3 * MB), "fine.bin": Generated(2, 3 * MB), "dir:/x": "x",
                               "dir:/y": "y", "dir/a:b": "z", "sp ace": "s"})
    with odd(k, refuse=lambda name: errno.EINVAL if set(name) & set('?:*"<>|') else 0):
        r = k.ok(k.download(repo), 9)
        for name in ("what?.bin", "dir:", "a:b"):
            assert "does not accept the name '%s'" % name in r.err
        assert set(tree(k.dir)) == {"fine.bin", "sp ace", ".gitattributes"} & set(tree(k.dir)) | {"fine.bin", "sp ace"}
        asked = [e["path"] for e in k.content_requests()]
        assert not any("what" in a or "dir" in a for a in asked), asked
        assert not [p for p in (k.dir / ".cache/huggingface/download").iterdir() if p.name.startswith("names-")]
        k.hub.forget()
        k.ok(k.download(repo, "-f", "fine.bin", to=k.dir / "a?b"), 7, err="name 'a?b'")
        assert not k.content_requests() and not (k.dir / ".hub-download").exists()


def test_backslashes(k):
    files = {"a\\b": "a", "..\\c": "c", "c:d": "d"}
    repo = k.hub.add_repo(ID, files)
    k.ok(k.download(repo))
    k.same(repo)
    k.ok(k.download(repo, "-f", "a\\b", to=k.top / "one"))
    assert (k.top / "one").read_text() == "a"


def test_long_names(k):
    """With .metadata behind them they would be too long: a note, and no more."""
    names = ["x" * n for n in (246, 247, 250, 255)] + ["d" * 255 + "/" + "e" * 255]
    repo = k.hub.add_repo(ID, {name: "of " + name[:1] + str(len(name)) for name in names})
    r = k.ok(k.download(repo))
    assert r.err.count("metadata cannot be written") == 1, "said once"
    k.same(repo)
    k.hub.forget()
    k.ok(k.download(repo))
    assert not k.content_requests(), "fetched again"


def test_names_like_our_own_files(k):
    """Metadata of one that stands where that of another is to be; folders named like partial files."""
    big = Generated(1, 3 * MB)
    hash = hashlib.sha256(big.read()).hexdigest()
    repo = k.hub.add_repo(ID, {"a": "a", "a.metadata/b": "b", "a.metadata/c.bin": Generated(2, 3 * MB), "z.bin": big,
                               hash + ".part/x": "x", hash + ".state/y": "y"})
    for _ in range(2):
        k.ok(k.download(repo))
        k.same(repo)
        (k.dir / "z.bin").unlink()
    k.hub.forget()
    k.ok(k.download(repo))
    assert k.from_cdn() <= 3 * MB, "more than the file that was missing"


# targets that cannot be replaced

def test_link_to_a_stream(k):
    """/dev/stdout is of the machine."""
    repo = k.hub.add_repo(ID, {"a.txt": "a"})
    for name, leads in (("pipe", "/dev/stdout"), ("null", "/dev/null"), ("fd", "/proc/self/fd/1")):
        link = k.top / name
        link.symlink_to(leads)
        with open(str(k.top / "out"), "w") as out:
            r = k.run("download", "-r", repo.id, "-p", link, "-f", "a.txt", stdout=out)
        k.ok(r, 7, err="try: -o -")
        k.ok(k.run("download", "-r", repo.id, "-p", link, "-f", "a.txt"), 7, err="try: -o -")
        assert link.is_symlink() and not k.hub.asked(), "replaced, or asked for"
    (k.top / "mine").write_text("mine")
    (k.top / "link").symlink_to("mine")
    k.ok(k.run("download", "-r", repo.id, "-p", k.top / "link", "-f", "a.txt"))
    assert not (k.top / "link").is_symlink() and (k.top / "mine").read_text() == "mine"


def test_targets_that_cannot_be_replaced(k):
    """Known before the first byte."""
    big = Generated(1, 3 * MB)
    repo = k.hub.add_repo(ID, {"folder": big, "file/below": big, "link/below": big, "good": "good"})
    for name in ("folder", "elsewhere"):
        (k.dir / name).mkdir(parents=True)
    (k.dir / "file").write_text("mine")
    (k.dir / "link").symlink_to("elsewhere")
    r = k.ok(k.download(repo), 9)
    for text in ("the target is a folder", "a file, not a folder", "a symbolic link"):
        assert text in r.err, text
    assert k.from_cdn() == 0 and (k.dir / "good").read_text() == "good"


def test_mounts_in_the_target(k):
    """What is mounted onto a file, or a folder below the target."""
    repo = k.hub.add_repo(ID, {"file": Generated(1, 3 * MB), "sub/x": Generated(2, 3 * MB), "good": "good"})
    (k.dir / "sub").mkdir(parents=True)
    (k.dir / "file").write_text("mine")
    (k.top / "other").write_text("other")
    words = ["unshare", "-r", "-m", "sh", "-c", 'mount --bind "$0" "$1/file" && mount -t tmpfs t "$1/sub" && shift && exec "$@"',
             str(k.top / "other"), str(k.dir)]
    if subprocess.run(words + ["true"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("no user namespaces")
    r = k.ok(k.download(repo, wrap=words), 9)
    assert r.err.count("refused: ") == 2, "not both refused"
    assert k.from_cdn() == 0 and (k.dir / "file").read_text() == "mine"
    k.ok(k.download(repo, "-f", "file", to=k.dir / "file", wrap=words), 7, err="unmount")
    assert k.from_cdn() == 0


def test_no_free_inodes(k):
    repo = k.hub.add_repo(ID, {"f%d" % n: "%d" % n for n in range(60)})
    small = k.top / "small"
    small.mkdir()
    k.hub.forget()
    r = k.download(repo, to=small, wrap=tmpfs("64m,nr_inodes=40"), env={"HUB_SMALL": small})
    k.ok(r, 7, err="(inodes)")
    assert not k.content_requests()


def test_files_too_large_for_the_file_system(k):
    repo = k.hub.add_repo(ID, {"big": Generated(1, 3 * MB), "small": Generated(2, 2 * MB)})
    limit = ("sh", "-c", 'ulimit -f 5000; exec "$@"', "sh")
    k.ok(k.download(repo, wrap=limit), 7, err=("at most", "ulimit -f"))
    assert k.from_cdn() == 0


def test_git_is_not_written(k):
    repo = k.hub.add_repo(ID, {".git/config": Regular("[core]"), "sub/.GIT/hooks/x": Regular("x"), "good": "good",
                               "y": Lfs(b"y")})
    r = k.ok(k.download(repo), 9, err="part '.git'")
    assert r.err.count("refused: ") == 2 and {"good", "y"} <= set(tree(k.dir))
    assert not (k.dir / ".git").exists() and not (k.dir / "sub").exists()
