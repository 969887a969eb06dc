"""The Hub's own origin: the requests that read. What writes is in receive.py."""

import base64
import json
import os
import urllib.parse

from . import access, store
from .access import Refused, json_of, no_revision, reply
from .receive import API_WRITES, Receiver
from .wire import Answer, part, zipped

VERBS = set("revision tree paths-info refs commits auth-check preupload commit branch tag settings"
            " xet-read-token xet-write-token treesize discussions resolve raw".split())

EXPAND = {
    "model": "author baseModels cardData childrenModelCount config createdAt disabled downloads"
             " downloadsAllTime evalResults gated gguf inference inferenceProviderMapping"
             " lastModified library_name likes mask_token model-index pipeline_tag private"
             " resourceGroup safetensors sha siblings spaces tags transformersInfo"
             " trendingScore usedStorage widgetData",
    "dataset": "author cardData citation createdAt description disabled downloads"
               " downloadsAllTime gated lastModified likes mainSize paperswithcode_id private"
               " resourceGroup sha siblings tags trendingScore usedStorage",
    "space": "author cardData createdAt datasets disabled lastModified likes models private"
             " region resourceGroup runtime sdk sha siblings subdomain tags trendingScore"
             " usedStorage",
    "kernel": "author createdAt disabled gated lastModified likes private sha siblings tags",
}

STARS = "*" * 64
TEXT = (".txt", ".md", ".json", ".py", ".csv", ".yaml", ".yml", ".jsonl", ".html", ".xml",
        ".gitattributes", ".gitignore", "LICENSE")


class Call:
    """One request about one repository."""

    def __init__(self, hub, request, token, repo, rest):
        self.hub = hub
        self.request = request
        self.token = token
        self.repo = repo
        self.rest = rest  # the segments after the verb, still quoted

    @property
    def revision(self):
        return urllib.parse.unquote(self.rest[0]) if self.rest else "main"

    @property
    def path(self):
        return urllib.parse.unquote("/".join(self.rest[1:]), errors="surrogateescape").rstrip("/")

    def commit(self):
        found = self.repo.find(self.revision)
        if found is None:
            raise no_revision(self.revision)
        return found

    def json(self, types=("application/json",)):
        return json_of(self.hub, self.request, types)


def no_entry(commit, plain=False):
    return Refused(404, "Entry not found", "EntryNotFound", [("X-Repo-Commit", commit.oid)], plain)


class Api:
    def __init__(self, hub):
        self.hub = hub
        self.receiver = Receiver(hub)
        self.verbs = {
            ("GET", "revision"): self.info, ("GET", ""): self.info, ("GET", "tree"): self.tree,
            ("POST", "paths-info"): self.paths_info, ("GET", "refs"): self.refs,
            ("GET", "commits"): self.commits, ("GET", "auth-check"): self.auth_check,
            ("GET", "treesize"): self.treesize,
            ("GET", "xet-read-token"): self.xet_token, ("GET", "xet-write-token"): self.xet_token,
        }
        for key, name in API_WRITES.items():
            self.verbs[key] = getattr(self.receiver, name)

    def __call__(self, request):
        headers = [("X-Request-Id", request_id(request)), ("X-Powered-By", "huggingface-moon"),
                   ("Access-Control-Expose-Headers", "X-Repo-Commit,X-Request-Id,X-Error-Code,"
                    "X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,"
                    "X-Linked-Size,X-Linked-ETag,X-Xet-Hash")]
        token = None
        try:
            token = access.identify(self.hub, request)
            headers += self._throttle(request, token)
            answer = self._route(request, token)
        except Refused as refused:
            answer = refused.answer()
        if token is None:
            headers.append(("X-HF-Warning", "unauthenticated; You are sending unauthenticated "
                            "requests to the HF Hub. Please set a HF_TOKEN."))
        answer.headers += [h for h in headers if answer.get(h[0]) is None]
        return answer

    def _throttle(self, request, token):
        path = request.path
        bucket = ("resolvers" if "/resolve/" in path or "/resolve-cache/" in path
                  else "api" if "/api/" in path or ".git/" in path else "pages")
        headers, used_up = self.hub.throttle.count(bucket, token.user if token else None)
        if used_up:
            raise Refused(429, "Too many requests: you have reached your '%s' rate limit." % bucket,
                          headers=headers + [("Retry-After", headers[0][1].rsplit("=", 1)[1])])
        return headers

    def _route(self, request, token):
        if not request.path.startswith(self.hub.prefix + "/"):
            return self._unknown(request)
        segments = request.path[len(self.hub.prefix) + 1:].split("/")
        if segments[0] == "api":
            return self._api(request, token, segments[1:])
        return self._files(request, token, segments)

    def _api(self, request, token, segments):
        plain = self.receiver.plain(request, token, "/".join(segments))
        if plain:
            return plain
        if segments == ["whoami-v2"] and request.method == "GET":
            return self._whoami(token)
        if segments[0] == "resolve-cache" and len(segments) > 3:
            return self._resolve_cache(request, token, segments[1:])
        if segments[0] not in store.TYPES or len(segments) < 2:
            return self._unknown(request)
        id, rest = split_id(segments[1:])
        verb = rest[0] if rest else ""
        handler = self.verbs.get((request.method, verb))
        if handler is None:
            return self._unknown(request)
        repo = self._repo(store.TYPES[segments[0]], id, request, token)
        if isinstance(repo, Answer):
            return repo
        return handler(Call(self.hub, request, token, repo, rest[1:]))

    def _files(self, request, token, segments):
        type = "model"
        if segments[0] in ("datasets", "spaces", "kernels"):
            type = store.TYPES[segments.pop(0)]
        id, rest = split_id(segments)
        if id.endswith(".git") and rest[:3] == ["info", "lfs", "objects"]:
            repo = self._repo(type, id[:-4], request, token)
            if isinstance(repo, Answer):
                return repo
            return self.receiver.lfs(Call(self.hub, request, token, repo, rest[3:]))
        if not rest or rest[0] not in ("resolve", "raw") or len(rest) < 3 \
                or request.method not in ("GET", "HEAD"):
            return self._unknown(request)
        repo = self._repo(type, id, request, token, plain=True)
        if isinstance(repo, Answer):
            return repo
        access.check_gate(self.hub, repo, token, plain=True)
        call = Call(self.hub, request, token, repo, rest[1:])
        return self._resolve(call) if rest[0] == "resolve" else self._raw(call)

    def _repo(self, type, id, request, token, plain=False):
        """The repository, or the redirect to its right name."""
        name = urllib.parse.unquote(id)
        repo = self.hub.find_repo(type, name)
        if repo is None:
            raise access.hidden(token, plain)
        access.check_visible(repo, token, plain)
        if repo.id != name:
            target = request.target.replace(id, repo.id, 1)
            return Answer(307, "Temporary Redirect. Redirecting to " + target,
                          [("Location", target)], "text/plain; charset=utf-8")
        return repo

    def _unknown(self, request):
        self.hub.violation("unknown request", "hub", request.method + " " + request.target)
        raise Refused(404, "Sorry, we can't find the page you are looking for.")

    def _whoami(self, token):
        access.need_token(token)
        orgs = [{"type": "org", "id": "0" * 24, "name": name, "fullname": name, "email": None,
                 "canPay": True, "periodEnd": None, "roleInOrg": role}
                for name, role in token.orgs.items()]
        made = {"displayName": "test", "role": token.role, "createdAt": store.timestamp()}
        if token.role == "fineGrained":
            made["fineGrained"] = {"canReadGatedRepos": True, "global": ["discussion.write"],
                                   "scoped": [{"entity": {"_id": "2" * 24, "name": name,
                                                          "type": "model" if "/" in name
                                                          else "org"},
                                               "permissions": list(rights)}
                                              for name, rights in token.scopes.items()]}
        return reply({"type": "user", "id": "1" * 24, "name": token.user,
                      "fullname": token.user.title() + " Ito", "email": "who@example.org",
                      "emailVerified": True, "canPay": token.can_pay, "isPro": False,
                      "billingMode": "prepaid", "periodEnd": None, "orgs": orgs,
                      "auth": {"type": "access_token", "accessToken": made}})

    # about one repository

    def info(self, call):
        commit = call.commit()
        expand = call.request.args("expand")
        unknown = [e for e in expand if e not in EXPAND[call.repo.type].split()]
        if unknown:
            raise Refused(400, "\"expand\" must be one of [%s]" % EXPAND[call.repo.type])
        info = self._all_info(call, commit)
        if expand:
            info = {k: info.get(k) for k in ["_id", "id"] + expand}
        return reply(info, headers=[("ETag", 'W/"%s"' % commit.oid)])

    def _all_info(self, call, commit):
        repo = call.repo
        blobs = call.request.is_true("blobs")
        info = {"_id": repo.hex_id, "id": repo.id, "author": repo.owner, "sha": commit.oid,
                "lastModified": commit.date, "createdAt": repo.created, "private": repo.private,
                "gated": repo.gated, "disabled": repo.disabled, "downloads": 0, "likes": 0,
                "tags": ["region:us"], "usedStorage": repo.used(),
                "siblings": [sibling(p, e, blobs) for p, e in sorted(commit.files.items())]}
        if repo.type == "model":
            info.update(modelId=repo.id, spaces=[])
        if repo.type == "space":
            info.update(sdk=repo.sdk, models=[], datasets=[])
        return info

    def tree(self, call):
        commit, request = call.commit(), call.request
        found = store.listing(commit, call.path, request.is_true("recursive"))
        if found is None:
            raise no_entry(commit)
        expand = request.is_true("expand")
        size = self.hub.expand_page if expand else self.hub.page
        limit = request.arg("limit", "")
        if limit.isdigit() and int(limit) > 0:
            size = min(int(limit), size)
        at = self._place(request.arg("cursor"))
        page = [self._entry(call, commit, p, e, expand) for p, e in found[at:at + size]]
        headers = []
        if at + size < len(found):
            headers.append(("Link", '<%s>; rel="next"' % self._next(request, at + size, size)))
        return reply(page, headers=headers)

    def _place(self, cursor):
        if cursor is None:
            return 0
        try:
            return int(json.loads(base64.b64decode(base64.b64decode(cursor)))["at"])
        except (ValueError, KeyError, TypeError):
            raise Refused(400, "Invalid cursor")

    def _next(self, request, at, size):
        text = base64.b64encode(json.dumps({"at": at}).encode())
        query = [(k, v) for k, v in request.query if k not in ("cursor", "limit")]
        query += [("limit", str(size)), ("cursor", base64.b64encode(text).decode())]
        path = request.path[len(self.hub.prefix):]
        return self.hub.page_host + path + "?" + urllib.parse.urlencode(query)

    def _entry(self, call, commit, path, entry, expand):
        if entry is None:
            return {"type": "directory", "oid": store.blob_sha1(path.encode("utf-8", "replace")),
                    "size": 0, "path": path}
        made = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
        if entry.lfs:
            made["lfs"] = {"oid": entry.sha256, "size": entry.size,
                           "pointerSize": len(entry.pointer())}
            hash = self.hub.xet_hash(call.repo, entry)
            if hash:
                seen = access.has_access(call.repo, call.token)
                made["xetHash"] = hash if seen else STARS
        if expand:
            last = last_change(call.repo, commit, path)
            made["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
            made["securityFileStatus"] = {
                "status": "safe", "avScan": {"status": "safe", "version": "1.4.2/27730"},
                "pickleImportScan": {"status": "unscanned", "pickleImports": [],
                                     "version": "0.0.0"}}
        return made

    def paths_info(self, call):
        commit = call.commit()
        paths, expand = self._asked_paths(call)
        if len(paths) > 1000:
            raise Refused(413, "too many parameters")
        found = []
        for path in paths:
            path = path.rstrip("/")
            if path in commit.files:
                found.append(self._entry(call, commit, path, commit.files[path], expand))
            elif path and store.listing(commit, path, False):
                found.append(self._entry(call, commit, path, None, expand))
        return reply(found)

    def _asked_paths(self, call):
        kind = (call.request.header("content-type") or "").split(";")[0]
        if kind == "application/x-www-form-urlencoded":
            pairs = urllib.parse.parse_qsl(call.request.read().decode(), keep_blank_values=True)
            return ([v for k, v in pairs if k == "paths"],
                    ("expand", "true") in [(k, v.lower()) for k, v in pairs])
        body = call.json()
        if not isinstance(body.get("paths"), list) or not isinstance(body.get("expand"), bool):
            raise Refused(400, "\"paths\" and \"expand\" are needed")
        return body["paths"], body["expand"]

    def refs(self, call):
        repo = call.repo
        made = {"tags": [ref(n, "refs/tags/" + n, c) for n, c in repo.tags.items()],
                "branches": [ref(n, "refs/heads/" + n, c) for n, c in repo.branches.items()],
                "converts": []}
        if call.request.is_true("include_prs"):
            made["pullRequests"] = [ref(str(n), "refs/pr/%d" % n, c)
                                    for n, c in repo.pulls.items()]
        return reply(made)

    def commits(self, call):
        all = list(call.repo.history(call.commit()))
        limit = call.request.arg("limit", "50")
        size = min(int(limit), 1000) if limit.isdigit() and int(limit) else 50
        at = self._place(call.request.arg("cursor"))
        headers = [("X-Total-Count", str(len(all)))]
        if at + size < len(all):
            headers.append(("Link", '<%s>; rel="next"' % self._next(call.request, at + size, size)))
        return reply([{"id": c.oid, "title": c.title, "message": c.message, "date": c.date,
                       "authors": [{"user": c.user, "avatar": "/avatars/0.svg"}]}
                      for c in all[at:at + size]], headers=headers)

    def auth_check(self, call):
        access.check_gate(self.hub, call.repo, call.token)
        if call.rest == ["write"]:
            access.check_write(call.repo, call.token)
        return reply({})

    def treesize(self, call):
        commit = call.commit()
        if call.path and store.listing(commit, call.path, False) is None:
            raise no_entry(commit)
        start = call.path + "/" if call.path else ""
        size = sum(e.size for p, e in commit.files.items() if p.startswith(start))
        return reply({"path": "/" + call.path, "size": size})

    def xet_token(self, call):
        if not self.hub.has_xet(call.repo):
            raise Refused(404, "Not found")
        write = "/xet-write-token/" in call.request.path
        create_pr = write and call.request.is_true("create_pr")
        if not create_pr:  # else it may be any word
            call.commit()
        access.check_gate(self.hub, call.repo, call.token)
        if write:
            self.receiver.may_upload(call, create_pr)
        made, headers = self.hub.cas.issue(call.repo, write)
        return reply(made, headers=headers.items())

    # contents

    def _wanted(self, call):
        commit = call.commit()
        entry = commit.files.get(call.path)
        if entry is None:
            raise no_entry(commit, plain=True)
        return commit, entry, call.path.rsplit("/", 1)[-1]

    def _resolve(self, call):
        commit, entry, name = self._wanted(call)
        headers = [("X-Repo-Commit", commit.oid), ("Accept-Ranges", "bytes"),
                   ("X-Linked-ETag", '"%s"' % entry.etag),
                   ("Content-Disposition", disposition(name)), ("Cache-Control", "no-store")]
        if call.request.header("if-none-match") == '"%s"' % entry.etag:
            return Answer(304, b"", headers)
        if entry.lfs:
            return self._resolve_lfs(call, commit, entry, name, headers)
        own = urllib.parse.quote(call.request.path, safe="")
        location = "%s/api/resolve-cache/%s/%s/%s/%s?%s=&etag=%s" % (
            self.hub.prefix, store.SEGMENTS[call.repo.type], call.repo.id, commit.oid,
            "/".join(call.rest[1:]), own, urllib.parse.quote('"%s"' % entry.etag))
        return redirect(307, location, headers)

    def _resolve_lfs(self, call, commit, entry, name, headers):
        headers += [("X-Linked-Size", str(entry.size))]
        hash = self.hub.xet_hash(call.repo, entry)
        if hash:
            route = "%s%s/xet-read-token/%s" % (self.hub.public, call.repo.api_path, commit.oid)
            rebuild = "%s/v1/reconstructions/%s" % (self.hub.cas_url, hash)
            headers += [("X-Xet-Hash", hash), (
                "Link", '<%s>; rel="xet-auth", <%s>; rel="xet-reconstruction-info"'
                % (route, rebuild))]
            if "application/vnd.xet-fileinfo+json" in (call.request.header("accept") or ""):
                return Answer(200, json.dumps({
                    "hash": hash, "refreshUrl": route, "reconstructionUrl": rebuild,
                    "etag": '"%s"' % entry.sha256, "size": entry.size}), headers,
                    "application/vnd.xet-fileinfo+json")
        return redirect(302, self.hub.cdn.url(call.repo, entry, name), headers)

    def _resolve_cache(self, request, token, segments):
        """segments: models, the id in one or two, commit, path."""
        at = next((n for n, s in enumerate(segments) if store.IS_COMMIT.fullmatch(s)), None)
        if at is None or segments[0] not in store.TYPES or request.method not in ("GET", "HEAD"):
            return self._unknown(request)
        id = "/".join(segments[1:at])
        repo = self._repo(store.TYPES[segments[0]], id, request, token, plain=True)
        if isinstance(repo, Answer):
            return repo
        access.check_gate(self.hub, repo, token, plain=True)
        call = Call(self.hub, request, token, repo, segments[at:])
        commit, entry, name = self._wanted(call)
        text = name.endswith(TEXT)
        headers = [("ETag", '"%s"' % entry.oid), ("X-Repo-Commit", commit.oid),
                   ("Content-Disposition", disposition(name)),
                   ("Content-Type", "text/plain; charset=utf-8" if text
                    else "application/octet-stream")]
        zips = (self.hub.gzip and text and 0 < entry.size < 1_000_000
                and "gzip" in (request.header("accept-encoding") or ""))
        answer = part(request, entry.content, headers, honour=not zips)
        return zipped(answer) if zips and answer.status == 200 else answer

    def _raw(self, call):
        commit, entry, name = self._wanted(call)
        body = entry.pointer() if entry.lfs else entry.content
        headers = [("ETag", '"%s"' % entry.oid), ("X-Repo-Commit", commit.oid),
                   ("Content-Type", "text/plain; charset=utf-8")]
        return part(call.request, Answer(body=body).content, headers)


def last_change(repo, commit, path):
    """The newest commit in which the file is another one than before."""
    last = commit
    for older in repo.history(commit):
        if path not in older.files or older.files[path].oid != commit.files[path].oid:
            break
        last = older
    return last


def split_id(segments):
    """The repository's id, still quoted, and what comes after it."""
    two = len(segments) > 1 and segments[1] not in VERBS and segments[1] != "info"
    n = 2 if two else 1
    return "/".join(segments[:n]), segments[n:]


def sibling(path, entry, blobs):
    if not blobs:
        return {"rfilename": path}
    made = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
    if entry.lfs:
        made["lfs"] = {"sha256": entry.sha256, "size": entry.size,
                       "pointerSize": len(entry.pointer())}
    return made


def ref(name, full, commit):
    return {"name": name, "ref": full, "targetCommit": commit}


def disposition(name):
    quoted = urllib.parse.quote(name, errors="surrogateescape")
    return "inline; filename*=UTF-8''%s; filename=\"%s\";" % (quoted, quoted)


def redirect(status, location, headers):
    words = {302: "Found", 307: "Temporary Redirect"}[status]
    return Answer(status, "%s. Redirecting to %s" % (words, location),
                  headers + [("Location", location), ("Vary", "Origin, Accept")],
                  "text/plain; charset=utf-8")


def request_id(request):
    sent = request.header("x-amzn-trace-id") or "-".join(
        os.urandom(n).hex() for n in (4, 2, 2, 2, 6))
    return "Root=1-%s-%s;%s" % (os.urandom(4).hex(), os.urandom(12).hex(), sent)
