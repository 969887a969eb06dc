"""The storage behind Xet: the CAS, which takes tokens of its own, and the origin of the xorbs,
which only signed URLs open. How tests use it:

    file = hub.cas.store(mixed(1, 20 << 20), xorb_size=5 << 20)
    hub.add_repo("acme-lab/tiny", {"m.bin": file})
    hub.fault(origin="xorb", status=403)

With the Hub's option xet="store" all LFS files that tests add are stored so. With xet=True the Hub
takes uploads by Xet, and other LFS files look as if they were stored so: the CAS answers 404 for
them, and only the bridge has them. A client that sends something wrong (xorbs, shards, ranges that
were not listed, a token of the Hub) is refused, and that is a violation.

Faults are rules (faults.py) with the origins "cas" and "xorb", or options of the Hub (hub.py):

    a token lapses          hub.cas.expire_tokens(); hub.xet_lifetime = 1
    an address lapses       hub.expire_urls(); hub.url_lifetime = 1; origin="xorb", status=403
    the CAS has no such     origin="cas", path="/v2/recon", status=404 (501, 503, 416)
    a stall, a cut          origin="xorb", stall_after=700001; drop_after=1
    bytes of another file   origin="xorb", corrupt_at=5: in the entries of each xorb, or of path
    an entry is cut         origin="xorb", truncate=-3
    its lengths lie         origin="xorb", entry={"number": 1, "size": -1}
    terms lie               origin="cas", json={"terms.0.range.end": 9999}
    ranges lie              the same with "xorbs.*.0.ranges.0.bytes.end"; hub.exact_ranges = False
    another host            origin="cas", json={"xorbs.*.0.url": "http://10.0.0.1/x"}
    one range at a time     hub.multirange = False

How much was asked for: hub.asked("xorb"), whose entries have "range" and "sent".

A file of any size, as far as windows go, whose hashes are not its own:

    huge = Rebuilt(file.terms * 6400, sha256="1" * 64, hash="2" * 64)
    hub.cas.add_file(huge)"""

import bisect
import json
import os
import re
import time

from . import xet
from .access import Refused, json_object, reply
from .cdn import refusal, xml_error
from .content import Bytes, Content, File, content_of
from .wire import Answer, parse_range
from .xet import Rebuilt, Term, Wrong, Xorb

HEX64 = re.compile("[0-9a-f]{64}")
RANGES = re.compile(r"bytes=(\d+-\d+(?:, ?\d+-\d+)*)")
PREFIXES = ("default", "default-merkledb")


class Token:
    """What the Hub gives to clients for the CAS."""

    def __init__(self, repo, write, end):
        self.text = "xet_" + os.urandom(200).hex()
        self.repo = repo
        self.write = write
        self.end = end


class Grant:
    """The right to upload one xorb to a signed URL."""

    def __init__(self, hash, length, crc):
        self.id = os.urandom(8).hex()
        self.hash = hash
        self.length = length
        self.crc = crc
        self.content = None  # once it arrived


class Cas:
    """The origin "cas", and all that is stored."""

    def __init__(self, hub):
        self.hub = hub
        self.tokens = {}  # text -> Token
        self.xorbs = {}   # hash -> Xorb
        self.files = {}   # hash -> Rebuilt
        self.places = {}  # hash of a chunk -> (Xorb, its number), of all chunks
        self.known = {}   # hash of a chunk that may be asked for -> Xorb
        self.beside = {}  # hash of a xorb -> the xorbs of the shard that named it first
        self.grants = {}
        self.key = os.urandom(32)  # of the names of chunks in answers

    # for tests

    def store(self, content, scheme=None, xorb_size=xet.XORB_MAX, sizes=None, share=True):
        """Stores a content as a client would. What it returns goes into a repository.
        scheme: of all entries; None: the one that is smallest
        xorb_size: bytes of content of a xorb
        sizes: of the chunks, over and over; None: as writers cut
        share: a chunk that is there already is not stored again"""
        content = content_of(content)
        if content.xet or not content.size:
            return content
        with self.hub.lock:
            writer = Writer(self, scheme, xorb_size, share)
            places = [writer.place(chunk, data) for chunk, data in
                      (xet.cut_at(content, sizes) if sizes else xet.cut(content))]
            writer.close()
            file = Rebuilt(xet.terms_of(places), content.sha256())
            self.add_file(file)
        return file

    def add_file(self, file):
        self.files[file.xet] = file
        self.known[file.terms[0].chunks[0].hash] = file.terms[0].xorb

    def add_xorb(self, xorb):
        self.xorbs[xorb.hash] = xorb
        for number, chunk in enumerate(xorb.chunks):
            self.places.setdefault(chunk.hash, (xorb, number))
            if xet.is_global(chunk.hash):
                self.known.setdefault(chunk.hash, xorb)

    def issue(self, repo, write):
        """A token, as JSON and as headers."""
        token = Token(repo, write, int(time.time() + self.hub.xet_lifetime))
        self.tokens[token.text] = token
        return ({"casUrl": self.hub.cas_url, "exp": token.end, "accessToken": token.text},
                {"X-Xet-Cas-Url": self.hub.cas_url, "X-Xet-Access-Token": token.text,
                 "X-Xet-Token-Expiration": str(token.end)})

    def expire_tokens(self):
        """All tokens given until now are worthless."""
        for token in list(self.tokens.values()):
            token.end = 0

    # requests

    def __call__(self, request):
        try:
            answer = self._route(request)
        except Wrong as e:
            self.hub.violation(str(e), "cas", request.target)
            answer = Refused(400, str(e)).answer()
        except Refused as refused:
            answer = refused.answer()
        return answer.set("X-Request-Id", os.urandom(8).hex())

    def _route(self, request):
        version, _, rest = request.path[1:].partition("/")
        what, _, rest = rest.partition("/")
        handler = {
            ("GET", "v1", "reconstructions"): self._reconstruct,
            ("GET", "v2", "reconstructions"): self._reconstruct,
            ("HEAD", "v1", "files"): self._size,
            ("GET", "v1", "chunks"): self._chunk,
            ("HEAD", "v1", "xorbs"): self._has_xorb,
            ("POST", "v1", "xorbs"): self._xorb,
            ("POST", "v1", "xorb-grants"): self._grant,
            ("POST", "v1", "xorb-commits"): self._commit,
            ("POST", "v1", "shards"): self._shard,
            ("POST", "v2", "shards"): self._shard,
            ("POST", "v1", "telemetry"): self._telemetry,
        }.get((request.method, version, what))
        if handler is None:
            self.hub.violation("unknown request", "cas", request.method + " " + request.target)
            raise Refused(404, "Not found")
        return handler(request, self._token(request, what), rest)

    def _token(self, request, what):
        scheme, _, text = (request.header("authorization") or "").partition(" ")
        if any(text == t.text for t in self.hub.tokens.values()):
            self.hub.violation("a token of the Hub", "cas", request.target)
        token = self.tokens.get(text)
        if scheme.lower() != "bearer" or token is None or time.time() >= token.end:
            raise Refused(401, "The token is missing, unknown or has expired")
        writes = request.method == "POST" and what != "telemetry"
        if writes and not token.write:
            raise Refused(403, "This token can only read")
        return token

    def _hash(self, text, prefixes=()):
        """The hash in an address, and what comes after it."""
        if prefixes:
            prefix, _, text = text.partition("/")
            if prefix not in prefixes:
                raise Refused(400, "Unknown prefix")
        hash, _, rest = text.partition("/")
        if not HEX64.fullmatch(hash):
            raise Refused(400, "Not a hash")
        return hash, rest

    # downloads

    def _file(self, token, text):
        file = self.files.get(self._hash(text)[0])
        if file is None:
            raise Refused(404, "File not found")
        if self.hub.cas_scoped and all(e.content.xet != file.xet for c in token.repo.commits.values()
                                       for e in c.files.values()):
            raise Refused(403, "This token is not for the file")
        return file

    def _size(self, request, token, rest):
        return Answer(200, self._file(token, rest))

    def _reconstruct(self, request, token, rest):
        file = self._file(token, rest)
        start, end = 0, file.size
        asked = request.header("range")
        if asked is not None and file.size:
            span = parse_range(asked, file.size)
            if span is None:
                raise Refused(400, "Not a range")
            if not span:
                raise Refused(416, "The range begins after the end of the file")
            start, end = span
        skip, terms = self._window(file, start, end)
        made = {"offset_into_first_range": skip, "terms": [
            {"hash": t.xorb.hash, "unpacked_length": t.size,
             "range": {"start": t.first, "end": t.end}} for t in terms]}
        if request.path.startswith("/v2/"):
            made["xorbs"] = {x.hash: self._entries(x, ranges) for x, ranges in merged(terms)}
        else:
            made["fetch_info"] = {x.hash: [self._fetch_info(x, *r) for r in ranges]
                                  for x, ranges in merged(terms)}
        return reply(made)

    def _window(self, file, start, end):
        """Bytes before the range in the first term, and the terms: of the first and the last one
        only the chunks that are needed."""
        found, skip = [], 0
        for at, (xorb, first, last) in file.between(start, end):
            low, high = xorb.starts[first] + start - at, xorb.starts[first] + end - at
            if self.hub.trim:
                first = max(first, bisect.bisect_right(xorb.starts, low) - 1)
                last = min(last, bisect.bisect_left(xorb.starts, high))
            if not found:
                skip = low - xorb.starts[first]
            found.append(Term(xorb, first, last))
        return skip, found

    def _entries(self, xorb, ranges):
        size = self.hub.url_ranges
        groups = [ranges[at:at + size] for at in range(0, len(ranges), size)]
        return [{"url": self._url(xorb, group), "ranges": [
            {"chunks": {"start": first, "end": end}, "bytes": bytes_of(xorb, first, end)}
            for first, end in group]} for group in groups]

    def _fetch_info(self, xorb, first, end):
        return {"range": {"start": first, "end": end}, "url": self._url(xorb, [(first, end)]),
                "url_range": bytes_of(xorb, first, end)}

    def _url(self, xorb, ranges):
        text = ",".join("%(start)d-%(end)d" % bytes_of(xorb, *r) for r in ranges)
        path = "/xorbs/default/" + xorb.hash
        return self.hub.xorb_url + self.hub.xorb_signer.sign(path, [
            ("X-Xet-Signed-Range", "bytes=" + text)])

    # uploads

    def _chunk(self, request, token, rest):
        hash, _ = self._hash(rest, PREFIXES)
        xorb = self.known.get(hash) if self.hub.dedupe else None
        if xorb is None:
            raise Refused(404, "Chunk not found")
        expires = int(time.time()) + 7 * 86400
        xorbs = self.beside.get(xorb.hash, [xorb])
        return Answer(200, xet.dedupe_shard(xorbs, self.known.__contains__, self.key, expires),
                      type="application/octet-stream")

    def _has_xorb(self, request, token, rest):
        xorb = self.xorbs.get(self._hash(rest, PREFIXES[:1])[0])
        if xorb is None:
            raise Refused(404, "Xorb not found")
        return Answer(200, xorb.content)

    def _xorb(self, request, token, rest):
        hash, _ = self._hash(rest, PREFIXES[:1])
        if request.left is None:
            raise Refused(411, "Content-Length is needed")
        if request.left > self.hub.xorb_max:
            raise Wrong("a xorb of %d bytes" % request.left)
        return reply({"was_inserted": self._keep(hash, self.receive(request))})

    def receive(self, request):
        """The body as a Content."""
        path = self.hub.new_path()
        with open(path, "wb") as f:
            for block in request.blocks():
                f.write(block)
        return File(path)

    def _keep(self, hash, content):
        """Whether it is new."""
        xorb = Xorb.of(content)
        if xorb.hash != hash:
            raise Wrong("the xorb has another hash: " + xorb.hash)
        with self.hub.lock:
            if hash in self.xorbs:
                return False
            self.add_xorb(xorb)
            return True

    def _grant(self, request, token, rest):
        hash, _ = self._hash(rest, PREFIXES[:1])
        if not self.hub.grants:
            raise Refused(404, "Not found")
        asked = json_object(request.read())
        length, sum = asked.get("length"), asked.get("checksum") or {}
        if not isinstance(length, int) or sum.get("algo") != "crc64nvme":
            raise Wrong("no length or checksum")
        if length > self.hub.xorb_max:
            raise Wrong("a xorb of %d bytes" % length)
        if hash in self.xorbs:
            return reply({})
        grant = Grant(hash, length, sum.get("value"))
        self.grants[grant.id] = grant
        url = self.hub.xorb_url + self.hub.xorb_signer.sign("/grants/" + grant.id, [])
        return reply({"id": grant.id, "method": "PUT", "url": url,
                      "headers": {"x-test-grant": grant.id, "if-none-match": "*"}}, 201)

    def _commit(self, request, token, rest):
        hash, rest = self._hash(rest, PREFIXES[:1])
        grant = self.grants.get(rest[6:]) if rest.startswith("grant/") else None
        if grant is None or grant.hash != hash or grant.content is None:
            raise Refused(404, "Nothing was uploaded by this grant")
        self._keep(hash, grant.content)
        return reply({})

    def _shard(self, request, token, rest):
        if rest:
            raise Refused(404, "Not found")
        data = request.read()
        if request.path.startswith("/v1/"):
            return reply({"result": int(self._register(token, data))})
        answer = Answer(200, Events(lambda: self._events(request, token, data)),
                        type="application/x-ndjson")
        answer.chunked = True
        return answer

    def _events(self, request, token, data):
        """What happens to a shard, one object a line; the last one is repeated meanwhile."""
        yield {"type": "validating", "verified": 0, "total": 1}
        try:
            is_new = self._register(token, data)
        except Wrong as e:
            self.hub.violation(str(e), "cas", request.target)
            yield {"type": "error", "message": str(e), "retryable": False}
            return
        for _ in range(1 + self.hub.heartbeats):
            yield {"type": "committing", "stage": "syncing"}
            self.hub.stopping.wait(self.hub.heartbeat)
        yield {"type": "result", "result": int(is_new)}

    def _register(self, token, data):
        """Whether it has something new."""
        shard = xet.parse_shard(data)
        with self.hub.lock:
            for xorb in shard.xorbs:
                self._check_xorb(xorb)
            beside = [self.xorbs[xorb.hash] for xorb in shard.xorbs]
            for xorb in beside:
                self.beside.setdefault(xorb.hash, beside)
            files = [self._checked_file(f) for f in shard.files]
            is_new = any(f.xet not in self.files for f in files)
            for file in files:
                self.add_file(file)
                token.repo.objects.setdefault(file.sha256(), file)
        return is_new

    def _check_xorb(self, said):
        xorb = self.xorbs.get(said.hash)
        if xorb is None:
            raise Wrong("a shard names a xorb that is not stored: " + said.hash)
        chunks = [(c.hash, at, c.size) for c, at in zip(xorb.chunks, xorb.starts)]
        if [c[:3] for c in said.chunks] != chunks or said.size != xorb.starts[-1] \
                or said.packed not in (0, xorb.ends[-1]):
            raise Wrong("a shard says something else of a xorb than is in it: " + said.hash)

    def _checked_file(self, said):
        if not said.terms or said.sha256 is None or len(said.ranges) != len(said.terms):
            raise Wrong("a file without terms, verification or SHA-256: " + said.hash)
        terms = []
        for term, proof in zip(said.terms, said.ranges):
            xorb = self.xorbs.get(term.xorb)
            if xorb is None:
                raise Wrong("a term names a xorb that is not stored: " + term.xorb)
            if not term.first < term.end <= len(xorb.chunks):
                raise Wrong("a term with chunks %d to %d" % (term.first, term.end))
            terms.append(Term(xorb, term.first, term.end))
            if terms[-1].size != term.size:
                raise Wrong("a term of %d bytes, not %d" % (term.size, terms[-1].size))
            if xet.range_hash(terms[-1].chunks) != proof:
                raise Wrong("the verification of a term is wrong")
        file = Rebuilt(terms)
        if file.xet != said.hash:
            raise Wrong("the file has another hash: " + file.xet)
        if file.sha256() != said.sha256:
            raise Wrong("the file has another SHA-256: " + file.sha256())
        return file

    def _telemetry(self, request, token, rest):
        json_object(request.read())
        return reply({})


class Writer:
    """Puts chunks into new xorbs."""

    def __init__(self, cas, scheme, xorb_size, share):
        self.cas = cas
        self.scheme = scheme
        self.xorb_size = xorb_size
        self.share = share
        self.xorb = None

    def place(self, chunk, data):
        """Where the chunk is then."""
        if self.share and chunk.hash in self.cas.places:
            return self.cas.places[chunk.hash]
        if self.xorb and (len(self.xorb.chunks) == xet.XORB_CHUNKS_MAX
                          or self.xorb.starts[-1] + chunk.size > self.xorb_size):
            self.close()
        if self.xorb is None:
            self.xorb, self.path = Xorb(), self.cas.hub.new_path()
            self.out = open(self.path, "wb")
        entry = xet.make_entry(data, self.scheme)
        self.out.write(entry)
        place = self.xorb, self.xorb.add(chunk, len(entry))
        self.cas.places.setdefault(chunk.hash, place)
        return place

    def close(self):
        if self.xorb:
            self.out.close()
            self.cas.add_xorb(self.xorb.close(File(self.path)))
            self.xorb = None


class Events(Content):
    """Lines of JSON that are made while they are sent."""

    def __init__(self, make):
        super().__init__()
        self._make = make

    def blocks(self, start, end):
        for event in self._make():
            yield json.dumps(event).encode() + b"\n"


class XorbStorage:
    """The origin "xorb": ranges of xorbs, exactly as they were listed, and uploads by grants."""

    def __init__(self, hub):
        self.hub = hub

    def __call__(self, request):
        if request.method not in ("GET", "PUT"):
            return xml_error(405, "MethodNotAllowed", "Not allowed")
        answer = refusal(self.hub, self.hub.xorb_signer, request)
        if answer:
            return answer
        key = request.path.rpartition("/")[2]
        if request.method == "PUT":
            return self._put(request, self.hub.cas.grants[key])
        return self._get(request, self.hub.cas.xorbs[key])

    def _get(self, request, xorb):
        m = RANGES.fullmatch(request.header("range") or "")
        asked = spans(m.group(1)) if m else []
        signed = spans(request.arg("X-Xet-Signed-Range")[len("bytes="):])
        if self.hub.exact_ranges:
            good = all(a in signed for a in asked)
        else:
            good = all(any(s[0] <= a[0] <= a[1] <= s[1] for s in signed) for a in asked)
        if not asked or not good:
            self.hub.violation("range %s is not listed" % request.header("range"), "xorb",
                               request.target)
            return xml_error(403, "AccessDenied", "invalid range")
        if len(asked) > 1:
            return self._several(xorb, asked)
        first, last = asked[0]
        answer = Answer(206, xorb.content, type="application/octet-stream")
        answer.start, answer.end = first, last + 1
        return answer.set("Content-Range", "bytes %d-%d/%d" % (first, last, xorb.content.size))

    def _several(self, xorb, asked):
        if not self.hub.multirange:
            return xml_error(403, "AccessDenied", "one range only")
        out, boundary = b"", os.urandom(8).hex()
        for first, last in asked:
            head = "--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %d-%d/%d" \
                % (boundary, first, last, xorb.content.size)
            out += head.encode() + b"\r\n\r\n" + xorb.content.read(first, last + 1) + b"\r\n"
        return Answer(206, Bytes(out + b"--%s--\r\n" % boundary.encode()),
                      type="multipart/byteranges; boundary=" + boundary)

    def _put(self, request, grant):
        if request.header("x-test-grant") != grant.id or request.header("if-none-match") != "*":
            self.hub.violation("not the headers of the grant", "xorb", request.target)
            return xml_error(403, "SignatureDoesNotMatch", "The headers do not match")
        if request.left != grant.length:
            self.hub.violation("PUT of %s bytes, not %d" % (request.left, grant.length), "xorb",
                               request.target)
            return xml_error(400, "IncompleteBody", "Not the number of bytes expected")
        if grant.content or grant.hash in self.hub.cas.xorbs:
            return xml_error(412, "PreconditionFailed", "It is there already")
        content = self.hub.cas.receive(request)
        if xet.TOOL.line("crc64", content.read()) != grant.crc:
            self.hub.violation("PUT with another checksum", "xorb", request.target)
            return xml_error(400, "BadDigest", "The content is not what was announced")
        grant.content = content
        return Answer(200)


def merged(terms):
    """(xorb, [(first, end), ...]): what is needed of each, without overlaps or neighbours."""
    found = {}
    for term in terms:
        found.setdefault(term.xorb.hash, (term.xorb, []))[1].append((term.first, term.end))
    for xorb, needed in found.values():
        ranges = []
        for first, end in sorted(needed):
            if ranges and first <= ranges[-1][1]:
                ranges[-1] = ranges[-1][0], max(end, ranges[-1][1])
            else:
                ranges.append((first, end))
        yield xorb, ranges


def bytes_of(xorb, first, end):
    """The last byte is counted in."""
    return {"start": xorb.ends[first], "end": xorb.ends[end] - 1}


def spans(text):
    return [tuple(int(n) for n in span.split("-")) for span in text.replace(" ", "").split(",")]
