"""Signed URLs, and the two origins that only they open: the CDN, and the storage that takes
uploads. Neither may ever see a token."""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.parse

from . import content
from .wire import Answer, part


class Signer:
    """Puts an end and a signature on a path, and checks both."""

    def __init__(self, lifetime):
        self._lifetime = lifetime  # a function: seconds
        self._secret = os.urandom(16)
        self._not_before = 0.0

    def expire_all(self):
        """All URLs signed until now are worthless."""
        self._not_before = time.time()

    def _mac(self, text):
        return hmac.new(self._secret, text.encode(), hashlib.sha256)

    def sign(self, path, pairs):
        """The path with a query in the manner of CloudFront."""
        now = time.time()
        end = now + self._lifetime()
        policy = base64.urlsafe_b64encode(json.dumps(
            {"path": path, "from": now, "to": end}).encode()).decode().rstrip("=")
        query = pairs + [("Expires", "%d" % end), ("Policy", policy)]
        text = path + "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        mac = base64.urlsafe_b64encode(self._mac(text).digest()).decode().replace("=", "_")
        return text + "&Signature=%s&Key-Pair-Id=KTESTHUBKEY0" % mac

    def sign_s3(self, path, pairs):
        """The path with a query in the manner of S3."""
        now = time.time()
        query = [("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
                 ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
                 ("X-Amz-Credential", "AKIATESTHUB/20260823/us-east-1/s3/aws4_request"),
                 ("X-Amz-Date", time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))),
                 ("X-Amz-Expires", "%d" % self._lifetime()), ("X-Test-From", repr(now))] + pairs
        text = path + "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
        return text + "&X-Amz-Signature=" + self._mac(text).hexdigest()

    def check(self, request):
        """None, or why a request is refused: "signature" or "expired"."""
        if request.arg("X-Amz-Signature"):
            signed, _, mac = request.target.rpartition("&X-Amz-Signature=")
            good = self._mac(signed).hexdigest()
            begin = float(request.arg("X-Test-From", "0"))
            end = begin + float(request.arg("X-Amz-Expires", "0"))
        else:
            signed, _, rest = request.target.rpartition("&Signature=")
            mac = rest.split("&")[0]
            good = base64.urlsafe_b64encode(self._mac(signed).digest()).decode().replace("=", "_")
            policy = request.arg("Policy", "e30")
            policy = json.loads(base64.urlsafe_b64decode(policy + "=" * (-len(policy) % 4)))
            begin, end = policy.get("from", 0), policy.get("to", 0)
        if not hmac.compare_digest(mac, good):
            return "signature"
        return "expired" if time.time() >= end or begin < self._not_before else None


def xml_error(status, code, message):
    body = ('<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message>'
            "</Error>" % (code, message))
    answer = Answer(status, body, type="application/xml")
    answer.close = status == 400
    return answer.set("X-Amz-Cf-Id", "test-" + os.urandom(6).hex())


def refusal(hub, signer, request):
    """What both origins have in common."""
    if request.header("authorization") is not None:
        hub.violation("Authorization sent to " + request.origin, request.origin, request.target)
        return xml_error(400, "InvalidArgument", "Only one auth mechanism allowed")
    why = signer.check(request)
    if why == "expired":
        return xml_error(403, "AccessDenied", "Request has expired")
    if why:
        hub.violation("wrong signature", request.origin, request.target)
        return xml_error(403, "SignatureDoesNotMatch", "The signature does not match")
    return None


class Cdn:
    """GET and HEAD of contents by their key."""

    def __init__(self, hub):
        self.hub = hub
        self.contents = {}  # path -> (Content, etag)

    def url(self, repo, entry, name):
        key = self.hub.xet_hash(repo, entry) or entry.sha256
        path = "/xet-bridge-us/%s/%s" % (repo.hex_id, key)
        self.contents[path] = (entry.content, key)
        shown = "inline; filename*=UTF-8''%s; filename=\"%s\";" % (
            urllib.parse.quote(name), urllib.parse.quote(name))
        pairs = [("X-Xet-Cas-Uid", "public"), ("response-content-disposition", shown)]
        return self.hub.cdn_url + self.hub.cdn_signer.sign(path, pairs)

    def __call__(self, request):
        if request.method not in ("GET", "HEAD"):
            return xml_error(405, "MethodNotAllowed", "Not allowed")
        answer = refusal(self.hub, self.hub.cdn_signer, request)
        if answer:
            return answer
        of, etag = self.contents[request.path]
        limit = self.hub.cdn_limit
        if limit is not None and of.size > limit and request.header("range") is None:
            return xml_error(400, "InvalidRequest", "Too large without a range")
        headers = [("ETag", '"%s"' % etag), ("Content-Type", "application/octet-stream"),
                   ("X-Cache", "Hit from test"), ("Cache-Control", "public, max-age=31536000"),
                   ("Content-Disposition", request.arg("response-content-disposition", "inline"))]
        return part(request, of, headers)


class Upload:
    """A multipart upload, or a single one, that has not come to its end."""

    def __init__(self, repo, oid, size, chunk):
        self.repo = repo
        self.oid = oid
        self.size = size
        self.chunk = chunk  # None: a single PUT
        self.parts = {}  # number -> (path, etag, length)

    def count(self):
        return -(-self.size // self.chunk)

    def length_of(self, number):
        if self.chunk is None:
            return self.size
        return min(self.chunk, self.size - (number - 1) * self.chunk)


class Storage:
    """Takes presigned PUTs, as S3 does."""

    def __init__(self, hub):
        self.hub = hub
        self.uploads = {}  # id -> Upload
        self.parts_taken = 0

    def begin(self, repo, oid, size, chunk):
        id = os.urandom(12).hex()
        self.uploads[id] = Upload(repo, oid, size, chunk)
        return id

    def url(self, id, number=None):
        up = self.uploads[id]
        path = "/repos/%s/%s/%s/%s" % (up.repo.hex_id[:2], up.repo.hex_id[2:4],
                                       up.repo.hex_id, up.oid)
        if number is None:
            pairs = [("X-Test-Upload", id), ("x-id", "PutObject")]
        else:
            pairs = [("partNumber", str(number)), ("uploadId", id), ("x-id", "UploadPart")]
        return self.hub.upload_url + self.hub.upload_signer.sign_s3(path, pairs)

    def __call__(self, request):
        answer = self._refusal(request)
        if answer:
            return answer
        number = request.arg("partNumber")
        up = self.uploads.get(request.arg("uploadId") or request.arg("X-Test-Upload"))
        if up is None:
            return xml_error(404, "NoSuchUpload", "The upload does not exist")
        path, sha256, md5, length = self._store(request)
        if length != up.length_of(int(number or 1)):
            self.hub.violation("PUT of %d bytes, not %d" % (length, up.length_of(int(number or 1))),
                               request.origin, request.target)
            os.unlink(path)
            return xml_error(400, "IncompleteBody", "Not the number of bytes expected")
        if number is None:
            return self._single(up, path, sha256, md5, request)
        if int(number) in up.parts and up.parts[int(number)][0] != path:
            os.unlink(up.parts[int(number)][0])
        up.parts[int(number)] = (path, '"%s"' % md5, length)
        return Answer(200, b"", [("ETag", '"%s"' % md5)])

    def _refusal(self, request):
        if request.method != "PUT":
            return xml_error(405, "MethodNotAllowed", "Not allowed")
        if request.left is None:
            self.hub.violation("chunked upload", request.origin, request.target)
            return xml_error(501, "NotImplemented", "Transfer-Encoding is not implemented")
        if request.header("content-length") is None:
            return xml_error(411, "MissingContentLength", "Content-Length is needed")
        if request.header("content-type") is not None:
            self.hub.violation("Content-Type on an upload", request.origin, request.target)
            return xml_error(403, "SignatureDoesNotMatch", "The signature does not match")
        if request.left == 0:
            return xml_error(501, "NotImplemented", "An object cannot be empty")
        return refusal(self.hub, self.hub.upload_signer, request)

    def _store(self, request):
        path = self.hub.new_path()
        sha256, md5, length = hashlib.sha256(), hashlib.md5(), 0
        with open(path, "wb") as f:
            for block in request.blocks():
                f.write(block)
                sha256.update(block)
                md5.update(block)
                length += len(block)
        return path, sha256.hexdigest(), md5.hexdigest(), length

    def _single(self, up, path, sha256, md5, request):
        if sha256 != up.oid:
            self.hub.violation("PUT of other content than announced", request.origin,
                               request.target)
            os.unlink(path)
            return xml_error(400, "BadDigest", "The content is not what was announced")
        up.repo.objects[up.oid] = content.File(path, sha256)
        return Answer(200, b"", [("ETag", '"%s"' % md5)])

    def complete(self, id, oid, parts):
        """Joins the parts. None, or why not."""
        up = self.uploads.get(id)
        if up is None or up.chunk is None:
            return "NoSuchUpload"
        if up.oid != oid:
            return "another oid than announced"
        numbers = [p.get("partNumber") for p in parts]
        if numbers != list(range(1, up.count() + 1)):
            return "InvalidPartOrder"
        for p in parts:
            if up.parts.get(p["partNumber"], (None, None))[1] != p.get("etag"):
                return "InvalidPart: etag of part %d" % p["partNumber"]
        path, sha256 = self._join(up)
        if sha256 != oid:
            os.unlink(path)
            return "the content has another sha256"
        up.repo.objects[oid] = content.File(path, sha256)
        for old, _, _ in up.parts.values():
            os.unlink(old)
        del self.uploads[id]
        return None

    def _join(self, up):
        path = self.hub.new_path()
        h = hashlib.sha256()
        with open(path, "wb") as out:
            for number in range(1, up.count() + 1):
                piece = content.File(up.parts[number][0])
                for block in piece.blocks(0, piece.size):
                    h.update(block)
                    out.write(block)
        return path, h.hexdigest()
