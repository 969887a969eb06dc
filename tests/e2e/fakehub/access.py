"""Who asks, what they may do, and the words of every refusal."""

import json
import time

from .wire import Answer


class Refused(Exception):
    """An answer that says no. The body is JSON unless plain is asked for."""

    def __init__(self, status, message, code=None, headers=(), plain=False, body=None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = list(headers)
        self.plain = plain
        self.body = body

    def answer(self):
        if self.plain:
            answer = Answer(self.status, self.message, self.headers, "text/plain; charset=utf-8")
        else:
            body = self.body or {"error": self.message}
            answer = Answer(self.status, json.dumps(body), self.headers,
                            "application/json; charset=utf-8")
        if self.code:
            answer.set("X-Error-Code", self.code)
        return answer.set("X-Error-Message", self.message)


class Token:
    def __init__(self, text, user, role, orgs=None, scopes=None, can_pay=False):
        self.text = text
        self.user = user
        self.role = role  # "read", "write" or "fineGrained"
        self.orgs = dict(orgs or {})  # name -> role there
        self.scopes = dict(scopes or {})  # fine-grained: repo id or owner -> permissions
        self.can_pay = can_pay

    def belongs(self, owner):
        return owner == self.user or owner in self.orgs

    def may_read(self, repo):
        if not self.belongs(repo.owner):
            return False
        return self.role != "fineGrained" or bool(self._scope(repo.id))

    def may_write(self, repo):
        return self.may_write_in(repo.owner, repo.id)

    def may_write_in(self, owner, id=None):
        if self.role == "read" or not self.belongs(owner):
            return False
        if self.role == "fineGrained":
            return "repo.write" in self._scope(id or owner)
        return owner == self.user or self.orgs[owner] in ("write", "admin")

    def _scope(self, id):
        return self.scopes.get(id) or self.scopes.get(id.split("/")[0]) or ()


def default_tokens():
    orgs = {"acme-lab": "write"}
    made = {
        "read": Token("hf_readreadreadreadreadreadreadread00", "rosa", "read", orgs),
        "write": Token("hf_writewritewritewritewritewrite000", "rosa", "write", orgs),
        "fine": Token("hf_finefinefinefinefinefinefinefin00", "rosa", "fineGrained", orgs,
                      {"acme-lab/fine": ["repo.content.read", "repo.write"]}),
        "other": Token("hf_otherotherotherotherotherother000", "otto", "write"),
    }
    return made


INVALID = "Invalid credentials in Authorization header"
WHO = "Invalid username or password."
CHALLENGE = ("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')


def identify(hub, request):
    """The token that was sent, or None. An unknown one is refused."""
    sent = request.header("authorization")
    if sent is None:
        return None
    scheme, _, text = sent.partition(" ")
    for token in hub.tokens.values():
        if scheme.lower() == "bearer" and text == token.text:
            return token
    raise Refused(401, INVALID, headers=[CHALLENGE], plain="/resolve/" in request.path)


def need_token(token):
    if token is None:
        raise Refused(401, WHO, headers=[CHALLENGE])


def hidden(token, plain=False):
    """What is said about a repository that is not there or must not be seen."""
    if token is None:
        return Refused(401, WHO, headers=[CHALLENGE], plain=plain)
    return Refused(404, "Repository not found", "RepoNotFound")


def no_revision(name):
    return Refused(404, "Invalid rev id: " + name, "RevisionNotFound")


def reply(value, status=200, headers=()):
    return Answer(status, json.dumps(value), headers, "application/json; charset=utf-8")


def json_of(hub, request, types=("application/json",)):
    """The body of a request, which has to be an object."""
    kind = (request.header("content-type") or "").split(";")[0].strip().lower()
    if kind not in types:
        hub.violation("Content-Type %r" % kind, "hub", request.target)
        raise Refused(415, "Unsupported content type")
    return json_object(request.read())


def json_object(data):
    try:
        value = json.loads(data)
    except ValueError:
        raise Refused(400, "Not JSON")
    if not isinstance(value, dict):
        raise Refused(400, "Not an object")
    return value


def check_visible(repo, token, plain=False):
    if repo.disabled:
        raise Refused(403, "Access to this resource is disabled.", plain=plain)
    if repo.private and not (token and token.may_read(repo)):
        raise hidden(token, plain)


def has_access(repo, token):
    """Whether the contents of a repository that may be gated can be had."""
    if not repo.gated:
        return True
    return token is not None and (token.user in repo.access or token.may_read(repo))


def check_gate(hub, repo, token, plain=False):
    if has_access(repo, token):
        return
    url = "%s/%s" % (hub.public, repo.path)
    if token is None:
        raise Refused(401, "Access to %s %s is restricted. You must have access to it and be "
                      "authenticated to access it. Please log in." % (repo.type, repo.id),
                      "GatedRepo", plain=plain)
    raise Refused(403, "Access to %s %s is restricted and you are not in the authorized list. "
                  "Visit %s to ask for access." % (repo.type, repo.id, url),
                  "GatedRepo", plain=plain)


def check_write(repo, token):
    need_token(token)
    if not token.may_write(repo):
        raise Refused(403, "Forbidden: pass a token of a user with write access to %s" % repo.id)


class Throttle:
    """Fixed windows of requests, by who asks: the RateLimit headers and the 429."""

    def __init__(self, window=300, quotas=None):
        self.window = window
        self.quotas = {"api": 1000, "resolvers": 5000, "pages": 200}
        self.quotas.update(quotas or {})
        self._begin = time.monotonic()
        self._used = {}

    def count(self, bucket, who):
        """Headers for the answer, and whether the quota is used up."""
        now = time.monotonic()
        if now - self._begin >= self.window:
            self._begin = now
            self._used = {}
        used = self._used[bucket, who] = self._used.get((bucket, who), 0) + 1
        quota = self.quotas[bucket]
        left = max(0, quota - used)
        seconds = max(1, int(self.window - (now - self._begin)))
        headers = [("RateLimit", '"%s";r=%d;t=%d' % (bucket, left, seconds)),
                   ("RateLimit-Policy", '"fixed window";"%s";q=%d;w=%d'
                    % (bucket, quota, self.window))]
        return headers, used > quota
