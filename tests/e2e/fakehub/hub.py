"""The test Hub as a whole: five origins, a control port, its repositories and its log."""

import json
import os
import shutil
import tempfile
import threading
import time

from . import access, store, tlsca
from .api import Api
from .cas import Cas, XorbStorage
from .cdn import Cdn, Signer, Storage
from .faults import Rules
from .wire import Answer, Origin

DEFAULTS = {
    "tls": True,            # https with a certificate of ca_file
    "key": "ec",            # of the certificates: "ec", or bits of RSA
    "names": tlsca.NAMES,   # in the server's certificate
    "host": "127.0.0.1",    # what all origins listen on
    "cdn_host": None,       # name in CDN URLs, where it is not host
    "port": 0,
    "prefix": "",           # path before everything at the Hub's origin
    "xet": False,           # True: LFS files look like Xet files, and Xet uploads are taken;
                            # "store": those that tests add are stored so (see cas.py)
    "xet_lifetime": 900,    # seconds that tokens for the CAS are good for
    "trim": True,           # the first and last term of a window are no longer than needed
    "url_ranges": 350,      # of one xorb that one URL is signed for
    "exact_ranges": True,   # ranges are to be asked for as they were listed, not in parts
    "multirange": True,     # several in one request
    "dedupe": True,         # questions for chunks are answered
    "grants": True,         # xorbs may go to signed URLs
    "xorb_max": (64 << 20) + (64 << 10),  # bytes; the official client counts without headers
    "heartbeats": 1,        # lines of a shard's answer that are repeated
    "heartbeat": 0,         # seconds before each
    "cas_scoped": False,    # a token is for the files of its repository alone: 403
    "gzip": True,           # small text is compressed for those who take it
    "page": 1000,           # entries of a page of a listing
    "expand_page": 50,
    "lfs_from": 10_000_000,  # text of more bytes goes to LFS
    "cdn_limit": None,      # the CDN refuses larger files without a Range
    "url_lifetime": 3600,   # seconds that signed URLs are good for
    "upload_lifetime": 900,
    "chunk": 5 << 20,       # of multipart uploads
    "chunk_as_number": False,
    "verify": True,         # LFS batch answers ask for it
    "preupload_max": 1000,
    "paid_spaces": False,   # Spaces with an SDK cost money: 402
    "public_urls": False,   # URLs in answers name the public Hub, not this one
    "window": 300,          # seconds of the rate limits
    "quotas": None,         # {"api": 500, "resolvers": 3000}
    "folder": None,         # for contents; else a temporary one
}

# What may be changed while it runs.
LIVE = ("xet xet_lifetime trim url_ranges exact_ranges multirange dedupe grants xorb_max"
        " heartbeats heartbeat cas_scoped gzip page expand_page lfs_from cdn_limit url_lifetime upload_lifetime chunk"
        " chunk_as_number verify preupload_max paid_spaces").split()


class Hub:
    """Use as a context: `with Hub(page=10) as hub: hub.add_repo(...)`."""

    def __init__(self, **options):
        for name, value in {**DEFAULTS, **options}.items():
            if name not in DEFAULTS:
                raise TypeError("unknown option: " + name)
            setattr(self, name, value)
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.repos = []
        self.tokens = access.default_tokens()
        self.rules = Rules()
        self.throttle = access.Throttle(self.window, self.quotas)
        self.cdn_signer = Signer(lambda: self.url_lifetime)
        self.upload_signer = Signer(lambda: self.upload_lifetime)
        self.xorb_signer = Signer(lambda: self.url_lifetime)
        self.log = []
        self.violations = []
        self.origins = []

    # life

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        self._own_folder = self.folder is None
        self.folder = self.folder or tempfile.mkdtemp(prefix="testhub-")
        self.ca_file, context = self._tls()
        self.cdn, self.storage, self.cas = Cdn(self), Storage(self), Cas(self)
        hub = self._serve("hub", Api(self), context, self.port)
        cdn = self._serve("cdn", self.cdn, context)
        upload = self._serve("upload", self.storage, context)
        cas = self._serve("cas", self.cas, context)
        xorb = self._serve("xorb", XorbStorage(self), context)
        self.control_url = self._serve("control", self._control, None).url
        self.endpoint = hub.url + self.prefix
        self.cdn_url, self.upload_url = cdn.url, upload.url
        self.cas_url, self.xorb_url = cas.url, xorb.url
        if self.cdn_host:
            self.cdn_url = self.cdn_url.replace(self.host, self.cdn_host)
        self.public = "https://huggingface.co" if self.public_urls else self.endpoint
        self.page_host = self.endpoint
        return self

    def _tls(self):
        if not self.tls:
            return None, None
        authority = tlsca.Authority(self.folder, key=self.key)
        self.authority = authority
        return authority.file, tlsca.server_context(authority.issue(names=self.names,
                                                                    key=self.key))

    def _serve(self, name, app, context, port=0):
        origin = Origin(self, name, app, self.host, port, context)
        threading.Thread(target=origin.serve_forever, args=(0.02,), daemon=True,
                         name="testhub-" + name).start()
        self.origins.append(origin)
        return origin

    def stop(self):
        self.stopping.set()
        for origin in self.origins:
            origin.shutdown()
            origin.cut_all()
            origin.server_close()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # repositories

    def add_repo(self, id, files=None, title="initial commit", **options):
        """A repository with .gitattributes and then these files: {path: bytes, text, path of a
        file, Content, Lfs(...) or Regular(...)}. options: see store.Repo."""
        repo = store.Repo(options.pop("type", "model"), id, **options)
        if self.xet == "store":
            repo.keep = self.cas.store
        repo.commit({".gitattributes": store.ATTRIBUTES}, title)
        if files:
            repo.commit(files)
        with self.lock:
            self.repos.append(repo)
        return repo

    def add_folder(self, id, folder, **options):
        return self.add_repo(id, store.files_of(folder), **options)

    def find_repo(self, type, id):
        """By any spelling, and by earlier names."""
        lower = id.lower()
        for repo in list(self.repos):
            names = [n.lower() for n in (repo.id,) + repo.aliases]
            if repo.type == type and lower in names:
                return repo
        return None

    def has_xet(self, repo):
        return bool(self.xet or self.cas.files) if repo.xet is None else repo.xet

    def xet_hash(self, repo, entry):
        """Of an LFS file that is in Xet, or looks so; else None."""
        if not self.has_xet(repo):
            return None
        return entry.content.xet or (entry.xet if self.xet or repo.xet else None)

    def new_path(self):
        """A name for a file with contents that arrive."""
        return os.path.join(self.folder, "content-" + os.urandom(12).hex())

    # what happened, and what is to happen

    def fault(self, **rule):
        return self.rules.add(**rule)

    def expire_urls(self):
        self.cdn_signer.expire_all()
        self.upload_signer.expire_all()
        self.xorb_signer.expire_all()

    def cut_all(self):
        """Ends every connection that is open now."""
        for origin in self.origins:
            if origin.name != "control":
                origin.cut_all()

    def record(self, request):
        entry = {"time": time.time(), "origin": request.origin, "method": request.method,
                 "path": request.target, "range": request.header("range"),
                 "authorization": request.header("authorization") is not None,
                 "headers": {k.lower(): v for k, v in request.headers
                             if k.lower() != "authorization"},
                 "length": request.left, "status": None, "sent": 0, "done": False}
        if request.origin != "control":
            self.log.append(entry)
        return entry

    def violation(self, what, origin, target):
        self.violations.append({"what": what, "origin": origin, "path": target})

    def asked(self, origin=None, method=None, path=""):
        """The entries of the log that fit; path is a part of it."""
        return [e for e in list(self.log) if origin in (None, e["origin"])
                and method in (None, e["method"]) and path in e["path"]]

    def forget(self):
        """An empty log, no violations, no faults."""
        del self.log[:], self.violations[:]
        self.rules.clear()

    def describe(self):
        return {"endpoint": self.endpoint, "cdn": self.cdn_url, "upload": self.upload_url,
                "cas": self.cas_url, "xorb": self.xorb_url, "control": self.control_url, "ca_file": self.ca_file,
                "tokens": {k: t.text for k, t in self.tokens.items()},
                "repos": [{"type": r.type, "id": r.id, "sha": r.head().oid} for r in self.repos]}

    # the control port

    def _control(self, request):
        what = (request.method, request.path)
        if what == ("GET", "/"):
            return _json(self.describe())
        if what == ("GET", "/log"):
            return _json(list(self.log))
        if what == ("GET", "/violations"):
            return _json(list(self.violations))
        if what == ("DELETE", "/log"):
            del self.log[:], self.violations[:]
        elif what == ("DELETE", "/rules"):
            self.rules.clear()
        elif what == ("POST", "/expire"):
            self.expire_urls()
        elif what == ("POST", "/expire-tokens"):
            self.cas.expire_tokens()
        elif what == ("POST", "/cut"):
            self.cut_all()
        elif what == ("POST", "/options"):
            return self._set_options(json.loads(request.read()))
        elif what == ("POST", "/rules"):
            return self._add_rules(json.loads(request.read()))
        else:
            return Answer(404, "unknown\n", type="text/plain")
        return _json({"ok": True})

    def _set_options(self, options):
        unknown = [name for name in options if name not in LIVE]
        if unknown:
            return Answer(400, "cannot be set: %s\n" % ", ".join(unknown), type="text/plain")
        for name, value in options.items():
            setattr(self, name, value)
        return _json({"ok": True})

    def _add_rules(self, rules):
        try:
            for rule in rules if isinstance(rules, list) else [rules]:
                self.rules.add(**rule)
        except (ValueError, TypeError) as e:
            return Answer(400, "%s\n" % e, type="text/plain")
        return _json({"ok": True})


def _json(value):
    return Answer(200, json.dumps(value) + "\n", type="application/json")
