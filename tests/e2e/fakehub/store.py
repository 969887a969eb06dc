"""Repositories: commits, branches, tags, pull requests, and the files in them."""

import fnmatch
import hashlib
import itertools
import os
import re
import time
from pathlib import Path

from .content import content_of, looks_binary

SEGMENTS = {"model": "models", "dataset": "datasets", "space": "spaces", "kernel": "kernels"}
TYPES = {v: k for k, v in SEGMENTS.items()}
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/",
            "kernel": "kernels/"}

ATTRIBUTES = "".join(
    "%s filter=lfs diff=lfs merge=lfs -text\n" % p
    for p in ("*.7z *.arrow *.bin *.gguf *.gz *.h5 *.npy *.npz *.onnx *.parquet *.pickle *.pkl"
              " *.pt *.pth *.safetensors *.tar *.zip *.zst *tfevents*").split())

MADE = itertools.count(1)

IS_COMMIT = re.compile(r"[0-9a-f]{40}")


class Exists(Exception):
    pass


class Lfs:
    """Says that the content is to be an LFS file, whatever its name and size."""

    def __init__(self, value):
        self.content = content_of(value)


class Regular:
    """Says that the content is to be a regular file, whatever its name and size."""

    def __init__(self, value):
        self.content = content_of(value)


class Entry:
    """A file of a commit."""

    def __init__(self, content, lfs):
        self.content = content
        self.lfs = lfs
        self.size = content.size
        if lfs:
            self.sha256 = content.sha256()
            self.oid = blob_sha1(self.pointer())
            self.etag = self.sha256
            self.xet = hashlib.sha256(b"xet" + self.sha256.encode()).hexdigest()
        else:
            self.oid = self.etag = content.git_sha1()

    def pointer(self):
        text = "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"
        return (text % (self.sha256, self.size)).encode()


class Commit:
    def __init__(self, oid, files, parent, title, message, user):
        self.oid = oid
        self.files = files  # path -> Entry
        self.parent = parent
        self.title = title
        self.message = message
        self.user = user
        self.date = timestamp()
        self.listings = {}  # what was listed before, by folder and depth


class Repo:
    def __init__(self, type, id, **options):
        self.type = type
        self.id = id
        self.private = options.pop("private", False)
        self.gated = options.pop("gated", False)  # False, "auto" or "manual"
        self.access = set(options.pop("access", ()))  # users who may read a gated one
        self.disabled = options.pop("disabled", False)
        self.sdk = options.pop("sdk", None)
        self.aliases = tuple(options.pop("aliases", ()))  # earlier names
        self.xet = options.pop("xet", None)  # None: as the Hub's option says
        if options:
            raise TypeError("unknown options: %s" % ", ".join(options))
        # One that is made anew under the same name is another.
        self.hex_id = hashlib.sha1(("%s%s%d" % (type, id, next(MADE))).encode()).hexdigest()[:24]
        self.created = timestamp()
        self.commits = {}
        self.branches = {}
        self.tags = {}
        self.pulls = {}  # number -> commit id
        self.pull_status = {}
        self.pull_title = {}
        self.objects = {}  # sha256 -> Content of LFS files that arrived
        self.keep = None   # a function: Content of an LFS file to another, the same stored in Xet
        self.count = itertools.count(1)

    @property
    def owner(self):
        return self.id.split("/")[0] if "/" in self.id else None

    @property
    def path(self):
        """The part of a web URL that names it."""
        return PREFIXES[self.type] + self.id

    @property
    def api_path(self):
        return "/api/%s/%s" % (SEGMENTS[self.type], self.id)

    def find(self, revision):
        """The commit that a revision means, or None. Short hashes count, too."""
        if revision.startswith("refs/pr/") and revision[8:].isdigit():
            return self.commits.get(self.pulls.get(int(revision[8:])))
        for place in (self.branches, self.tags):
            for name in (revision, revision.replace("refs/heads/", "", 1),
                         revision.replace("refs/tags/", "", 1)):
                if name in place:
                    return self.commits[place[name]]
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            hits = [c for c in self.commits if c.startswith(revision)]
            if len(hits) == 1:
                return self.commits[hits[0]]
        return None

    def head(self, branch="main"):
        return self.find(branch)

    def is_movable(self, revision):
        """Whether one can commit to it: a branch or a pull request."""
        return revision in self.branches or bool(
            revision.startswith("refs/pr/") and self.find(revision))

    def set_ref(self, revision, oid):
        if revision.startswith("refs/pr/"):
            self.pulls[int(revision[8:])] = oid
        else:
            self.branches[revision] = oid

    def add_commit(self, files, parent, title, message="", user="rosa"):
        """A commit with exactly these files; no branch points to it yet."""
        h = hashlib.sha1(("%s %s %s %d\n" % (self.id, parent, title, next(self.count))).encode())
        for path in sorted(files):
            h.update(("%s %s\n" % (files[path].oid, path)).encode("utf-8", "surrogateescape"))
        commit = Commit(h.hexdigest(), files, parent, title, message, user)
        self.commits[commit.oid] = commit
        return commit

    def commit(self, changes, title="Add files", branch="main", user="rosa"):
        """Adds, replaces and (None) removes files on a branch; for tests."""
        head = self.head(branch)
        files = dict(head.files) if head else {}
        for path, value in changes.items():
            if value is None:
                files.pop(path)
            else:
                files[path] = self.entry(path, value, files)
        commit = self.add_commit(files, head.oid if head else None, title, user=user)
        self.set_ref(branch, commit.oid)
        return commit

    def entry(self, path, value, files):
        if isinstance(value, Lfs):
            lfs, content = True, value.content
        elif isinstance(value, Regular):
            lfs, content = False, value.content
        else:
            content = content_of(value)
            lfs = self.wants_lfs(path, content.size, content.read(0, 512), attributes_of(files))
        if lfs and self.keep:
            content = self.keep(content)
        entry = Entry(content, lfs)
        if lfs:
            self.objects[entry.sha256] = content
        return entry

    def wants_lfs(self, path, size, sample, attributes, limit=10_000_000):
        """The Hub's choice between a git blob and an LFS file."""
        if size == 0 or path.rsplit("/", 1)[-1] in (".gitattributes", ".gitignore"):
            return False
        return size > limit or is_lfs_by(attributes, path) or looks_binary(sample)

    def branch(self, name, start="main"):
        if name in self.branches:
            raise Exists(name)
        self.branches[name] = self.find(start).oid

    def tag(self, name, revision="main"):
        if name in self.tags:
            raise Exists(name)
        self.tags[name] = self.find(revision).oid

    def open_pull(self, start="main", title=""):
        number = max(self.pulls, default=0) + 1
        self.pulls[number] = self.find(start).oid
        self.pull_status[number] = "draft"
        self.pull_title[number] = title
        return number

    def history(self, commit):
        while commit:
            yield commit
            commit = self.commits.get(commit.parent)

    def used(self):
        seen = {e.oid: e.size for c in self.commits.values() for e in c.files.values()}
        return sum(seen.values())


def listing(commit, folder, recursive):
    """(path, Entry or None for a folder) of what is in a folder, or None if there is no such
    folder. In the order of names, folders before what is in them."""
    key = (folder, recursive)
    if key not in commit.listings:
        commit.listings[key] = _listing(commit.files, folder, recursive)
    return commit.listings[key]


def _listing(files, folder, recursive):
    start = folder + "/" if folder else ""
    found = {}
    for path in files:
        if not path.startswith(start):
            continue
        parts = path[len(start):].split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            found[start + "/".join(parts[:depth])] = None
        if recursive or len(parts) == 1:
            found[path] = files[path]
    if not found and folder:
        return None
    return sorted(found.items(), key=lambda item: item[0].split("/"))


def attributes_of(files):
    entry = files.get(".gitattributes")
    return entry.content.read().decode("utf-8", "replace") if entry else ""


def is_lfs_by(attributes, path):
    """Whether .gitattributes says that path goes to LFS; the last matching line decides."""
    answer = False
    for line in attributes.splitlines():
        words = line.split()
        if len(words) > 1 and not line.startswith("#") and git_match(words[0], path):
            if "filter=lfs" in words:
                answer = True
            elif "-filter" in words or "!filter" in words:
                answer = False
    return answer


def is_ignored_by(ignore, path):
    """Whether .gitignore leaves path out: the common forms, "!" and trailing "/" among them."""
    answer = False
    for line in ignore.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        keep = line.startswith("!")
        pattern = line[1:] if keep else line
        if any(git_match(pattern.rstrip("/"), p) for p in candidates(path, pattern)):
            answer = not keep
    return answer


def candidates(path, pattern):
    """What a pattern is held against: the file, and the folders that it is in."""
    parts = path.split("/")
    folders = ["/".join(parts[:n]) for n in range(1, len(parts))]
    return folders if pattern.endswith("/") else folders + [path]


def git_match(pattern, path):
    pattern = re.sub(r"\[\[:space:\]\]", " ", pattern)
    if "/" not in pattern:
        return fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    return fnmatch.fnmatchcase(path, pattern.lstrip("/").replace("**/", "*"))


def files_of(folder):
    """The files of a folder as changes for Repo.commit()."""
    found = {}
    for at, folders, names in os.walk(os.fspath(folder)):
        folders[:] = sorted(f for f in folders if f not in (".git", ".cache"))
        for name in sorted(names):
            path = os.path.join(at, name)
            found[os.path.relpath(path, folder).replace(os.sep, "/")] = Path(path)
    return found


def blob_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def timestamp(when=None):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))
