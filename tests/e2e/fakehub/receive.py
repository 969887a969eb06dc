"""The requests that change something: repositories, branches, preupload, LFS, commits."""

import base64
import binascii
import itertools
import json
import os
import re
import time
import urllib.parse

from . import access, store
from .access import Refused, json_object, json_of, no_revision, reply
from .content import Bytes, File
from .wire import Answer, http_date

API_WRITES = {
    ("PUT", "settings"): "settings", ("POST", "branch"): "add_branch",
    ("DELETE", "branch"): "drop_branch", ("POST", "tag"): "add_tag",
    ("DELETE", "tag"): "drop_tag", ("POST", "preupload"): "preupload",
    ("POST", "commit"): "commit", ("POST", "discussions"): "discussions",
    ("GET", "discussions"): "list_discussions",
}

LFS_TYPE = "application/vnd.git-lfs+json"
LICENSES = ("mit", "apache-2.0", "other", "cc-by-4.0", "openrail", "gpl-3.0")
NAME = re.compile(r"(?!.*(--|\.\.))(?!.*\.git$)\w([\w.-]{0,94}\w)?", re.ASCII)
HEX64 = re.compile(r"[0-9a-f]{64}")
DELETES = ("deletedFile", "deletedFolder", "deletedEntry")
REGULAR_MAX = 10 << 20


class Receiver:
    def __init__(self, hub):
        self.hub = hub

    def plain(self, request, token, path):
        """Requests that are not about one repository that is there; None if it is no such."""
        handler = {("POST", "repos/create"): self.create, ("DELETE", "repos/delete"): self.delete,
                   ("POST", "repos/move"): self.move, ("POST", "validate-yaml"): self.validate,
                   ("POST", "complete_multipart"): self.complete}.get((request.method, path))
        return handler(request, token) if handler else None

    # repositories

    def create(self, request, token):
        access.need_token(token)
        body = json_of(self.hub, request)
        name, type = body.get("name"), body.get("type") or "model"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Refused(400, "Invalid repo name: %s" % name)
        if type not in store.SEGMENTS:
            raise Refused(400, "\"type\" must be one of [model, dataset, space, kernel]")
        if "private" in body and "visibility" in body:
            raise Refused(400, "\"private\" and \"visibility\" exclude each other")
        owner = body.get("organization") or token.user
        id = "%s/%s" % (owner, name)
        if not token.may_write_in(owner, id if token.role == "fineGrained" else None):
            raise Refused(403, "You don't have the rights to create a %s under the namespace "
                          "\"%s\"" % (type, owner))
        self._check_space(body, type, token)
        with self.hub.lock:
            old = self.hub.find_repo(type, id)
            if old:
                url = self.hub.public + "/" + old.path
                raise Refused(409, "You already created this %s repo" % type, body={
                    "error": "You already created this %s repo" % type, "url": url})
            private = body.get("private") or body.get("visibility") == "private"
            repo = self.hub.add_repo(id, {}, type=type, private=bool(private), sdk=body.get("sdk"))
        return reply({"url": self.hub.public + "/" + repo.path, "name": repo.id,
                      "id": repo.hex_id})

    def _check_space(self, body, type, token):
        if type != "space":
            return
        if body.get("sdk") not in ("gradio", "docker", "static", "streamlit"):
            raise Refused(400, "\"sdk\" must be one of [gradio, docker, static]")
        if self.hub.paid_spaces and body["sdk"] != "static" and not token.can_pay:
            raise Refused(402, "A paid plan is needed to create a Space with this SDK")

    def _named(self, body, token):
        type = body.get("type") or "model"
        id = "%s/%s" % (body.get("organization") or token.user, body.get("name"))
        repo = self.hub.find_repo(type, id)
        if repo is None:
            raise access.hidden(token)
        access.check_write(repo, token)
        return repo

    def delete(self, request, token):
        access.need_token(token)
        repo = self._named(json_of(self.hub, request), token)
        self.hub.repos.remove(repo)
        return Answer(200, "OK", type="text/plain")

    def move(self, request, token):
        access.need_token(token)
        body = json_of(self.hub, request)
        repo = self.hub.find_repo(body.get("type") or "model", body.get("fromRepo", ""))
        if repo is None:
            raise access.hidden(token)
        access.check_write(repo, token)
        repo.aliases += (repo.id,)
        repo.id = body["toRepo"]
        return Answer(200, "OK", type="text/plain")

    def settings(self, call):
        access.check_write(call.repo, call.token)
        body = call.json()
        if "visibility" in body or "private" in body:
            call.repo.private = body.get("private") or body.get("visibility") == "private"
        call.repo.gated = body.get("gated", call.repo.gated)
        return reply(body)

    # branches and tags

    def add_branch(self, call):
        access.check_write(call.repo, call.token)
        body = call.json() if call.request.left else {}
        start = body.get("startingPoint", "main")
        if call.repo.find(start) is None:
            raise no_revision(start)
        try:
            call.repo.branch(call.revision, start)
        except store.Exists:
            raise Refused(409, "Reference already exists: refs/heads/" + call.revision)
        return Answer(200, "OK", type="text/plain")

    def drop_branch(self, call):
        return self._drop(call, call.repo.branches)

    def add_tag(self, call):
        access.check_write(call.repo, call.token)
        if call.repo.find(call.revision) is None:
            raise no_revision(call.revision)
        try:
            call.repo.tag(call.json()["tag"], call.revision)
        except store.Exists:
            raise Refused(409, "Tag already exists")
        return Answer(200, "OK", type="text/plain")

    def drop_tag(self, call):
        return self._drop(call, call.repo.tags)

    def _drop(self, call, names):
        access.check_write(call.repo, call.token)
        if call.revision not in names:
            raise no_revision(call.revision)
        del names[call.revision]
        return Answer(200, "OK", type="text/plain")

    # discussions: POST /discussions, /discussions/N/status, /discussions/N/merge

    def discussions(self, call):
        access.need_token(call.token)
        if call.rest:
            return self._discussion(call, int(call.rest[0]), call.rest[1:])
        body = call.json()
        title = body.get("title")
        if not isinstance(title, str) or not 3 <= len(title) <= 200:
            raise Refused(400, "\"title\" must be 3 to 200 characters")
        check_role(call.token)
        number = call.repo.open_pull(title=title)
        return reply({"url": self._discussion_url(call.repo, number), "num": number,
                      "pullRequest": bool(body.get("pullRequest"))})

    def list_discussions(self, call):
        """Newest first; drafts are open, too."""
        repo = call.repo
        wanted = call.request.arg("status") or "open"
        found = [{"num": n, "title": repo.pull_title[n], "isPullRequest": True,
                  "status": repo.pull_status[n], "author": {"name": repo.owner}}
                 for n in sorted(repo.pulls, reverse=True)
                 if wanted == "all" or repo.pull_status[n] in ("draft", "open")]
        return reply({"discussions": found, "count": len(found), "start": 0})

    def _discussion_url(self, repo, number):
        return "%s/%s/discussions/%d" % (self.hub.public, repo.path, number)

    def _discussion(self, call, number, what):
        if number not in call.repo.pulls:
            raise Refused(404, "Discussion not found")
        if what == ["status"]:
            call.repo.pull_status[number] = call.json().get("status")
        elif what == ["merge"]:
            access.check_write(call.repo, call.token)
            call.repo.branches["main"] = call.repo.pulls[number]
            call.repo.pull_status[number] = "merged"
        return reply({"newStatus": {"id": os.urandom(8).hex(), "type": "status-change",
                                    "author": {"name": call.token.user},
                                    "createdAt": store.timestamp(), "data": {
                                        "status": call.repo.pull_status[number]}}})

    # README

    def validate(self, request, token):
        body = json_of(self.hub, request)
        problem = card_problem(body.get("content", ""))
        if problem:
            return reply({"errors": [{"message": problem}], "warnings": []}, 400)
        empty = not body.get("content", "").startswith("---")
        warnings = [{"message": "empty or missing yaml metadata in repo card"}] if empty else []
        return reply({"errors": [], "warnings": warnings})

    # preupload

    def preupload(self, call):
        create_pr = call.request.is_true("create_pr")
        commit = self._base(call, create_pr)
        body = call.json()
        files = body.get("files")
        if not isinstance(files, list) or not files:
            raise Refused(400, "\"files\" must contain at least 1 item")
        if len(files) > self.hub.preupload_max:
            raise Refused(400, "\"files\" must contain at most %d items" % self.hub.preupload_max)
        ignore = commit.files.get(".gitignore")
        ignore = ignore.content.read().decode("utf-8", "replace") if ignore else ""
        ignore = body.get("gitIgnore", ignore)
        attributes = body.get("gitAttributes", store.attributes_of(commit.files))
        answers = [self._plan(call.repo, commit, f, ignore, attributes) for f in files]
        answers.reverse()  # clients have to go by path
        return reply({"files": answers, "commitOid": commit.oid})

    def may_upload(self, call, create_pr):
        access.need_token(call.token)
        if create_pr:
            check_role(call.token)
        else:
            access.check_write(call.repo, call.token)

    def _base(self, call, create_pr):
        """The commit that a change is based on, if the caller may change it."""
        self.may_upload(call, create_pr)
        if not call.repo.is_movable(call.revision):
            raise no_revision(call.revision)
        return call.repo.find(call.revision)

    def _plan(self, repo, commit, file, ignore, attributes):
        path, size = file.get("path"), file.get("size")
        check_path(path)
        try:
            sample = base64.b64decode(file.get("sample", ""), validate=True)
        except (binascii.Error, TypeError):
            raise Refused(400, "\"sample\" is no base64: " + path)
        if not isinstance(size, int) or size < 0 or len(sample) != min(512, size):
            raise Refused(400, "size or sample of %s are wrong" % path)
        for text in (sample, (ignore or "").encode(), (attributes or "").encode()):
            if any(t.text.encode() in text for t in self.hub.tokens.values()) and size <= 10 << 20:
                self.hub.violation("a token in a question", "hub", path)
        lfs = repo.wants_lfs(path, size, sample, attributes, self.hub.lfs_from)
        answer = {"path": path, "uploadMode": "lfs" if lfs else "regular",
                  "shouldIgnore": store.is_ignored_by(ignore, path)}
        old = commit.files.get(path)
        if old:
            answer["oid"] = old.etag
        return answer

    # LFS

    def lfs(self, call):
        name = "/".join(call.rest)
        access.need_token(call.token)
        if name == "objects/batch" or name == "batch":
            return self._batch(call)
        if name == "verify":
            return self._verify(call)
        raise Refused(404, "Not found")

    def _batch(self, call):
        if LFS_TYPE not in (call.request.header("accept") or ""):
            self.hub.violation("LFS batch without its Accept", "hub", call.request.target)
            raise Refused(406, "Not acceptable")
        body = call.json((LFS_TYPE,))
        check_role(call.token)
        ref = (body.get("ref") or {}).get("name")
        if ref is not None:
            access.check_write(call.repo, call.token)
            if not call.repo.is_movable(ref):
                raise no_revision(ref)
        objects = body.get("objects")
        if body.get("operation") != "upload" or not objects or len(objects) > 1000:
            raise Refused(422, "\"operation\" and up to 1000 \"objects\" are needed")
        transfers = body.get("transfers") or ["basic"]
        by_xet = "xet" in transfers and self.hub.has_xet(call.repo)
        upload = self._xet_upload(call.repo, ref) if by_xet else None
        made = [self._object(call.repo, o, "multipart" in transfers, upload) for o in objects]
        made.reverse()  # clients have to go by oid
        if by_xet:
            return Answer(200, json.dumps({"transfer": "xet", "objects": made}), type=LFS_TYPE)
        several = any("chunk_size" in o.get("actions", {}).get("upload", {}).get("header", {})
                      for o in made)
        return Answer(200, json.dumps({"transfer": "multipart" if several else "basic",
                                       "objects": made}), type=LFS_TYPE)

    def _xet_upload(self, repo, ref):
        """What the answer says of every object that is to come by Xet."""
        _, headers = self.hub.cas.issue(repo, True)
        href = "%s%s/xet-write-token/%s" % (self.hub.public, repo.api_path,
                                            urllib.parse.quote(ref or "main", safe=""))
        return {"href": href, "header": {**headers, "X-Xet-Session-Id": os.urandom(16).hex()}}

    def _object(self, repo, asked, multipart, upload=None):
        oid, size = asked.get("oid"), asked.get("size")
        made = {"oid": oid, "size": size}
        if not isinstance(oid, str) or not HEX64.fullmatch(oid) or not isinstance(size, int):
            return {**made, "error": {"code": 422, "message": "Invalid oid or size"}}
        stored = repo.objects.get(oid)
        if stored is not None:
            if stored.size != size:
                return {**made, "error": {"code": 422, "message": "Size mismatch"}}
            return made
        if size == 0:
            return {**made, "error": {"code": 422, "message": "Empty object"}}
        chunk = self.hub.chunk
        if upload:
            return {**made, "authenticated": True, "actions": {"upload": upload}}
        several = multipart and size > chunk
        upload = self._multipart(repo, oid, size, chunk) if several else {
            "href": self.hub.storage.url(self.hub.storage.begin(repo, oid, size, None))}
        verify = "%s/%s.git/info/lfs/objects/verify" % (self.hub.public, repo.path)
        actions = {"upload": upload}
        if self.hub.verify:
            actions["verify"] = {"href": verify}
        return {**made, "authenticated": True, "actions": actions}

    def _multipart(self, repo, oid, size, chunk):
        storage = self.hub.storage
        id = storage.begin(repo, oid, size, chunk)
        count = storage.uploads[id].count()
        width = 5 if count > 1 else 1
        urls = [("%0*d" % (width, n), storage.url(id, n)) for n in range(count, 0, -1)]
        end = http_date(time.time() + self.hub.upload_lifetime)
        href = self.hub.upload_signer.sign_s3("/api/complete_multipart", [
            ("uploadId", id), ("bucket", "hf-hub-lfs-us-east-1"),
            ("prefix", "repos/" + repo.hex_id), ("expiration", end)])
        size_text = chunk if self.hub.chunk_as_number else str(chunk)
        return {"href": self.hub.public + href,
                "header": dict([("chunk_size", size_text)] + urls)}

    def complete(self, request, token):
        if request.header("authorization") is not None:
            self.hub.violation("Authorization on a completion", "hub", request.target)
            raise Refused(400, "Only one auth mechanism allowed")
        why = self.hub.upload_signer.check(request)
        if why:
            raise Refused(403, "The completion URL is not valid: " + why)
        body = json_of(self.hub, request, (LFS_TYPE, "application/json"))
        problem = self.hub.storage.complete(request.arg("uploadId"), body.get("oid"),
                                            body.get("parts") or [])
        if problem:
            raise Refused(400, problem)
        return reply({"success": True})

    def _verify(self, call):
        body = call.json((LFS_TYPE, "application/json"))
        stored = call.repo.objects.get(body.get("oid"))
        if stored is None:
            raise Refused(404, "Object not found")
        if stored.size != body.get("size"):
            raise Refused(422, "Size mismatch")
        return reply({})

    # commit

    def commit(self, call):
        create_pr = call.request.is_true("create_pr")
        kind = (call.request.header("content-type") or "").split(";")[0]
        if kind != "application/x-ndjson":
            self.hub.violation("commit as %r" % kind, "hub", call.request.target)
            raise Refused(415, "Unsupported content type")
        with call.request.spool() as body:
            with self.hub.lock:
                return self._commit(call, create_pr, body)

    def _commit(self, call, create_pr, body):
        base = self._base(call, create_pr)
        lines = self._lines(call, body)
        header = next(lines, (None, None))
        if header[0] != "header" or not header[1].get("summary"):
            raise Refused(400, "The first line must be a header with a summary")
        parent = header[1].get("parentCommit")
        base = self._parent(call, base, parent, create_pr)
        files = dict(base.files)
        changes = 0
        for key, value in lines:
            self._apply(call.repo, files, key, value)
            changes += 1
        if not changes:
            self.hub.violation("empty commit", "hub", call.request.target)
        return self._finish(call, create_pr, base, files, header[1])

    def _lines(self, call, body):
        for line in body:
            if not line.endswith(b"\n"):
                self.hub.violation("commit line without its end", "hub", call.request.target)
            if not line.strip():
                continue
            value = json_object(line)
            if set(value) != {"key", "value"} or not isinstance(value["value"], dict):
                raise Refused(400, "A line needs key and value")
            yield value["key"], value["value"]

    def _parent(self, call, base, parent, create_pr):
        if parent is None:
            return base
        if not store.IS_COMMIT.fullmatch(parent):
            raise Refused(400, "\"parentCommit\" is no commit")
        if create_pr:
            found = call.repo.find(parent)
            if found is None:
                raise no_revision(parent)
            return found
        if parent != base.oid:
            raise Refused(412, "The branch was updated since you opened this page. "
                               "A commit has happened since.")
        return base

    def _apply(self, repo, files, key, value):
        path = value.get("path")
        if key in DELETES:
            self._delete(files, path)
            return
        if key not in ("file", "lfsFile"):
            raise Refused(400, "unknown key: %s" % key)
        check_path(path)
        if key == "file":
            files[path] = self._regular(files, path, value)
        else:
            files[path] = self._large(repo, files, path, value)
        self._check_folders(files, path)

    def _check_folders(self, files, path):
        parts = path.split("/")
        for n in range(1, len(parts)):
            if "/".join(parts[:n]) in files:
                raise Refused(422, "A file is where a folder has to be: " + path)

    def _delete(self, files, path):
        if not isinstance(path, str):
            raise Refused(400, "\"path\" is needed")
        start = path.rstrip("/") + "/"
        gone = [p for p in files if p == path or p.startswith(start)]
        if not gone:
            raise Refused(404, "A file with this name doesn't exist: " + path, "EntryNotFound")
        for p in gone:
            del files[p]

    def _regular(self, files, path, value):
        if "oldPath" in value:
            if value["oldPath"] not in files:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            return files.pop(value["oldPath"])
        text = value.get("content")
        if not isinstance(text, str):
            raise Refused(400, "\"content\" is needed: " + path)
        try:
            data = (base64.b64decode(text, validate=True)
                    if value.get("encoding") == "base64" else text.encode())
        except binascii.Error:
            raise Refused(400, "\"content\" is no base64: " + path)
        if len(data) > max(REGULAR_MAX, self.hub.lfs_from):
            raise Refused(400, "Your push was rejected because it contains files larger than "
                          "10 MiB. Please use https://git-lfs.github.com/: " + path)
        problem = card_problem(data.decode("utf-8", "replace")) if path == "README.md" else None
        if problem:
            raise Refused(400, problem, body={"httpStatusCode": 400,
                                              "errors": [{"message": problem, "type": "error"}]})
        return store.Entry(self._kept(data), False)

    def _kept(self, data):
        if len(data) <= 1 << 16:
            return Bytes(data)
        path = self.hub.new_path()
        with open(path, "wb") as f:
            f.write(data)
        return File(path)

    def _large(self, repo, files, path, value):
        if "oldPath" in value and value["oldPath"] in files:
            return files.pop(value["oldPath"])
        oid = value.get("oid")
        if value.get("algo") != "sha256" or not isinstance(oid, str) or not HEX64.fullmatch(oid):
            raise Refused(400, "\"algo\" or \"oid\" is wrong: " + path)
        if len(path) > 1000:
            raise Refused(422, "The path is longer than 1000 characters")
        stored = repo.objects.get(oid)
        if stored is None:
            raise Refused(400, "LFS pointer pointed to a file that does not exist: " + path)
        if value.get("size", stored.size) != stored.size:
            raise Refused(400, "The size is not that of the object: " + path)
        attributes = store.attributes_of(files)
        if not store.is_lfs_by(attributes, path):
            if attributes and not attributes.endswith("\n"):
                attributes += "\n"
            line = "%s filter=lfs diff=lfs merge=lfs -text\n" % path.replace(" ", "[[:space:]]")
            files[".gitattributes"] = store.Entry(Bytes((attributes + line).encode()), False)
        return store.Entry(stored, True)

    def _finish(self, call, create_pr, base, files, header):
        repo = call.repo
        made = repo.add_commit(files, base.oid, header["summary"], header.get("description", ""),
                               call.token.user)
        answer = {"success": True, "commitOid": made.oid, "hookOutput": "",
                  "commitUrl": "%s/%s/commit/%s" % (self.hub.public, repo.path, made.oid)}
        if create_pr:
            number = repo.open_pull(base.oid)
            repo.pulls[number] = made.oid
            answer["pullRequestUrl"] = self._discussion_url(repo, number)
        else:
            repo.set_ref(call.revision, made.oid)
        return reply(answer)


def check_role(token):
    if token.role == "read":
        raise Refused(403, "Forbidden: this token can only read")


def check_path(path):
    """Refuses names that git or other systems cannot have."""
    if not isinstance(path, str) or not path:
        raise Refused(422, "\"path\" is needed")
    parts = path.split("/")
    if ("\\" in path or "\0" in path or any(p in ("", ".", "..", ".git") for p in parts)
            or re.search(r"[\x00-\x1f\x7f]", path)):
        raise Refused(422, "Invalid path: " + urllib.parse.quote(path))


def card_problem(text):
    """What is wrong with the metadata of a README, as far as tests need it."""
    lines = text.split("\n")
    if lines[0].strip() != "---":
        return None
    for line in itertools.takewhile(lambda s: s.strip() != "---", lines[1:]):
        m = re.fullmatch(r"license:\s*(\S+)\s*", line)
        if m and m.group(1) not in LICENSES:
            return "\"license\" must be one of [%s]" % ", ".join(LICENSES)
    return None
