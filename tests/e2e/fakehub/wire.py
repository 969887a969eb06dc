"""HTTP/1.1 on sockets: one thread a connection, keep-alive, bodies as streams, faults."""

import gzip
import re
import socket
import socketserver
import ssl
import struct
import tempfile
import time
import traceback
import urllib.parse

from . import content, faults

LINE_MAX = 65536
SMALL = 1 << 20
IDLE = 120

REASONS = {200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 302: "Found",
           304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request",
           401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 411: "Length Required",
           412: "Precondition Failed",
           413: "Payload Too Large", 416: "Range Not Satisfiable",
           422: "Unprocessable Entity", 429: "Too Many Requests",
           500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable"}


class Gone(Exception):
    """The connection is to be closed now."""


class Malformed(Exception):
    """Not HTTP."""


class Request:
    def __init__(self, origin, method, target, headers, conn):
        self.origin = origin
        self.method = method
        self.target = target  # as sent: path and query
        self.headers = headers  # [(name, value)]
        path, _, query = target.partition("?")
        self.path = path  # still quoted
        self.query_text = query
        self.query = urllib.parse.parse_qsl(query, keep_blank_values=True)
        self._conn = conn
        self.left = None  # bytes of the body not yet read; None: chunked
        self._limit = None

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    def drop_header(self, name):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name]

    def arg(self, name, default=None):
        return next((v for k, v in self.query if k == name), default)

    def args(self, name):
        return [v for k, v in self.query if k in (name, name + "[]")]

    def is_true(self, name):
        return self.arg(name, "").lower() in ("true", "1")

    def limit_body(self, n):
        """Reading more than n bytes of the body is the end of the connection."""
        self._limit = n

    def blocks(self):
        """The body, in pieces."""
        if self._expects():
            self._conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        for block in self._conn.body_blocks(self):
            if self._limit is not None:
                self._limit -= len(block)
                if self._limit < 0:
                    raise Gone
            yield block

    def _expects(self):
        return (self.header("expect") or "").lower() == "100-continue"

    def read(self, limit=64 << 20):
        data = bytearray()
        for block in self.blocks():
            data += block
            if len(data) > limit:
                raise Gone
        return bytes(data)

    def spool(self):
        """The body in a temporary file, at its start."""
        f = tempfile.SpooledTemporaryFile(max_size=8 << 20)
        for block in self.blocks():
            f.write(block)
        f.seek(0)
        return f


class Answer:
    """Status, headers and a body: bytes, or a part of a content."""

    def __init__(self, status=200, body=b"", headers=(), type=None):
        self.status = status
        self.headers = list(headers)
        self.content = content.content_of(body)
        self.start, self.end = 0, self.content.size
        self.chunked = False
        self.close = False
        if type:
            self.set("Content-Type", type)

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, str(value)))
        return self

    def get(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


def part(request, of, headers, honour=True):
    """The answer to GET or HEAD for a content, with Range and If-None-Match."""
    answer = Answer(200, of, headers)
    answer.set("Accept-Ranges", "bytes")
    etag = answer.get("ETag")
    wanted = request.header("if-none-match")
    if wanted and etag and (wanted.strip() == "*" or etag in re.split(r"\s*,\s*", wanted)):
        return Answer(304, b"", answer.headers)
    asked = request.header("range") if honour else None
    if asked is None or request.header("if-range") not in (None, etag):
        return answer
    span = parse_range(asked, of.size)
    if span is None:
        return answer
    if not span:
        return Answer(416, b"Range Not Satisfiable",
                      [("Content-Range", "bytes */%d" % of.size)], "text/plain")
    answer.status = 206
    answer.start, answer.end = span
    answer.set("Content-Range", "bytes %d-%d/%d" % (span[0], span[1] - 1, of.size))
    return answer


def parse_range(text, size):
    """(start, end), () if it cannot be satisfied, None if it is to be ignored."""
    m = re.fullmatch(r"\s*bytes\s*=\s*(\d*)-(\d*)\s*", text)
    if not m or m.group(0).strip().endswith("=-"):
        return None
    first, last = m.groups()
    if not first:
        n = int(last)
        return (max(0, size - n), size) if n and size else ()
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    return (start, end) if start < size else ()


def zipped(answer):
    """The same answer as a CDN makes it for clients that take gzip: no length, in chunks."""
    data = gzip.compress(answer.content.read(answer.start, answer.end))
    new = Answer(200, data, answer.headers)
    new.set("Content-Encoding", "gzip").set("Content-Range", None).set("Vary", "Accept-Encoding")
    new.chunked = True
    return new


def edit(answer, change):
    body = change(answer.content.read(answer.start, answer.end))
    answer.content = content.Bytes(body)
    answer.start, answer.end = 0, len(body)


class Body:
    """Where the bytes of an answer's body go out; a fault may strike at any of them."""

    def __init__(self, conn, fault, base, entry):
        self.conn = conn
        self.fault = fault
        self.at = base  # place in the file of the next byte
        self.entry = entry
        self.sent = 0

    def write(self, data):
        view = memoryview(data)
        while len(view):
            piece = view[:self._room(len(view))]
            self._slow(self._wrong(piece))
            self.sent += len(piece)
            self.at += len(piece)
            self.entry["sent"] = self.sent
            view = view[len(piece):]
            self.strike()

    def strike(self):
        """Does what is due after the bytes sent so far."""
        if self.fault.stall_after == self.sent:
            self.conn.wait(self.fault.stall or 3600)
        if self.fault.drop_after == self.sent:
            self.conn.hang_up(self.fault.reset)

    def _room(self, n):
        for at in (self.fault.stall_after, self.fault.drop_after):
            if at is not None and at > self.sent:
                n = min(n, at - self.sent)
        if self.fault.rate:  # so that what is counted is what was sent
            n = min(n, max(1, int(self.fault.rate / 10)))
        return n

    def _wrong(self, piece):
        at = self.fault.corrupt_at
        if at is None or not self.at <= at < self.at + len(piece):
            return piece
        copy = bytearray(piece)
        copy[at - self.at] ^= 0x20
        return copy

    def _slow(self, piece):
        self.conn.send_slowly(piece, self.fault.rate)


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        self.hub = self.server.hub
        self.cut = False
        try:
            self._greet()
            self.input = self.sock.makefile("rb", 65536)
            while self._one():
                pass
        except (Gone, OSError, ssl.SSLError, ValueError):
            pass
        finally:
            self._close()

    def _greet(self):
        self.sock = self.request
        self.sock.settimeout(IDLE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.tls:
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        self.server.opened(self)

    def _close(self):
        self.server.closed(self)
        self._say_goodbye()
        if hasattr(self, "input"):
            self.input.close()
        try:
            self.sock.close()
        except OSError:
            pass

    def _say_goodbye(self):
        """The end of TLS, so that it differs from a cut; not after a hang-up."""
        if not self.server.tls or self.cut or not hasattr(self, "input"):
            return
        try:
            self.sock.settimeout(0.2)
            self.sock.unwrap()
        except (OSError, ValueError):
            pass

    def _one(self):
        """One request and its answer. False: the connection ends."""
        try:
            request = self._read_head()
        except Malformed as e:
            # One that our own cut met half-way is not the client's fault.
            if not self.cut:
                self.hub.violation("malformed request: %s" % e, self.server.name, "")
            self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        if request is None:
            return False
        entry = self.hub.record(request)
        fault = self.hub.rules.of(request)
        keep = "close" not in (request.header("connection") or "").lower()
        self._before(request, fault)
        answer = self._answer(request, fault)
        entry["status"] = answer.status
        self._after(answer, fault)
        unread = not self._drain(request)
        keep = keep and not unread and not fault.close and not answer.close
        if not keep:
            answer.set("Connection", "close")
        keep = self._send(request, answer, fault, entry) and keep
        entry["done"] = True
        return keep

    def _read_line(self):
        line = self.input.readline(LINE_MAX + 1)
        if len(line) > LINE_MAX:
            raise Malformed("line too long")
        if line and not line.endswith(b"\n"):
            raise Gone
        return line.rstrip(b"\r\n").decode("latin-1")

    def _read_head(self):
        first = self._read_line()
        if not first:
            return None
        words = first.split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise Malformed("request line")
        if not words[1].startswith("/"):
            raise Malformed("target is no path: " + words[1][:80])
        headers = []
        while True:
            line = self._read_line()
            if not line:
                break
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+", name):
                raise Malformed("header field")
            headers.append((name, value.strip(" \t")))
        request = Request(self.server.name, words[0], words[1], headers, self)
        self._frame(request, words[2])
        return request

    def _frame(self, request, version):
        lengths = {v for k, v in request.headers if k.lower() == "content-length"}
        coding = request.header("transfer-encoding")
        if len([1 for k, _ in request.headers if k.lower() == "host"]) != 1:
            raise Malformed("not one Host")
        if coding and lengths or len(lengths) > 1:
            raise Malformed("contradictory lengths")
        if coding:
            if coding.lower() != "chunked":
                raise Malformed("transfer coding")
            request.left = None
        else:
            text = lengths.pop() if lengths else "0"
            if not text.isdigit():
                raise Malformed("Content-Length")
            request.left = int(text)

    def body_blocks(self, request):
        if request.left is None:
            yield from self._chunks(request)
            return
        while request.left:
            block = self.input.read(min(SMALL, request.left))
            if not block:
                raise Gone
            request.left -= len(block)
            yield block

    def _chunks(self, request):
        while True:
            size = int(self._read_line().split(";")[0], 16)
            if size == 0:
                while self._read_line():
                    pass
                request.left = 0
                return
            yield self.input.read(size)
            self._read_line()

    def _before(self, request, fault):
        if fault.call:
            fault.call()
        if fault.delay:
            self.wait(fault.delay)
        if fault.hang_up:
            self.hang_up(fault.reset)
        if fault.hang_up_after is not None:
            self._hang_up_within(request, fault)
        if fault.use_range or fault.ignore_range:
            request.drop_header("range")
        if fault.use_range:
            request.headers.append(("Range", fault.use_range))

    def _hang_up_within(self, request, fault):
        left = fault.hang_up_after
        while left > 0 and request.left:
            block = self.input.read1(min(left, request.left))
            if not block:
                break
            left -= len(block)
            request.left -= len(block)
        self.hang_up(fault.reset)

    def _answer(self, request, fault):
        if fault.status:
            return Answer(fault.status, fault.body or "", type="text/plain; charset=utf-8")
        try:
            return self.server.app(request)
        except (Gone, OSError):
            raise
        except Exception:
            self.hub.violation("bug in the test hub:\n" + traceback.format_exc(),
                               request.origin, request.target)
            return Answer(500, "bug in the test hub", type="text/plain")

    def _after(self, answer, fault):
        if fault.lose_answer:
            self.hang_up(fault.reset)
        for name, value in (fault.headers or {}).items():
            answer.set(name, value)
        for pattern, text in fault.replace or ():
            edit(answer, lambda body: re.sub(pattern.encode(), text.encode(), body))
        if fault.edit:
            edit(answer, fault.edit)
        if fault.json and answer.status == 200:
            edit(answer, lambda body: faults.with_json(body, fault.json))
        if fault.entry and answer.status == 206:
            edit(answer, lambda body: faults.with_entry(body, **fault.entry))
        if fault.truncate is not None:
            edit(answer, lambda body: body[:fault.truncate])
        if fault.add_range is not None and answer.get("Content-Range"):
            m = re.match(r"bytes (\d+)(.*)", answer.get("Content-Range"))
            answer.set("Content-Range", "bytes %d%s"
                       % (max(0, int(m.group(1)) + fault.add_range), m.group(2)))
        if fault.content_range is not None:
            answer.set("Content-Range", fault.content_range)
        answer.headers += [("X-Filler-%d" % n, "x") for n in range(fault.many_headers or 0)]
        if fault.huge_header:
            answer.set("X-Huge", "x" * fault.huge_header)
        answer.chunked = answer.chunked or bool(fault.chunked)

    def _drain(self, request):
        """Reads what the application left of the body. False: too much to read."""
        if request.left == 0:
            return True
        if request.left is None or request.left > SMALL:
            return False
        for _ in self.body_blocks(request):
            pass
        return True

    def _send(self, request, answer, fault, entry):
        """False: the connection has to end, for the body has no other end."""
        if fault.raw is not None:
            self.send(fault.raw if isinstance(fault.raw, bytes)
                      else fault.raw.encode("utf-8", "surrogateescape"))
            return False
        for _ in range(fault.early or 0):
            self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
        unframed = bool(fault.endless or fault.no_length)
        self._send_head(answer, fault, unframed)
        body = Body(self, fault, answer.start, entry)
        body.strike()
        if request.method != "HEAD" and answer.status not in (204, 304):
            self._send_body(answer, body)
            if fault.endless:
                self._fill(body, fault.filler or "\0")
        return not unframed and fault.length is None and not fault.add_length

    def _send_head(self, answer, fault, unframed):
        length = answer.end - answer.start
        if fault.length is not None:
            length = fault.length
        length += fault.add_length or 0
        if unframed:
            answer.set("Connection", "close")
        elif answer.chunked:
            answer.set("Transfer-Encoding", "chunked")
        elif answer.status not in (204, 304):
            answer.set("Content-Length", length)
        # Last, so that they can contradict what was set.
        answer.headers += [(k, v) for k, v in fault.add_headers or ()]
        head = "HTTP/1.1 %d %s\r\n" % (answer.status, REASONS.get(answer.status, "Status"))
        head += "".join("%s: %s\r\n" % h for h in answer.headers) + "\r\n"
        self.send_slowly(head.encode("utf-8", "surrogateescape"), fault.head_rate)

    def _send_body(self, answer, body):
        for block in answer.content.blocks(answer.start, answer.end):
            if answer.chunked:
                body.write(b"%x\r\n" % len(block))
                body.write(block)
                body.write(b"\r\n")
            else:
                body.write(block)
        if answer.chunked:
            body.write(b"0\r\n\r\n")

    def _fill(self, body, filler):
        while not self.hub.stopping.is_set():
            body.write(filler.encode() * (65536 // len(filler)))

    def send(self, data):
        self.sock.sendall(data)

    def send_slowly(self, data, rate):
        """Sends all; with a rate, in ten pieces a second (or one byte at a time)."""
        if not rate:
            self.send(data)
            return
        step = max(1, int(rate / 10))
        view = memoryview(data)
        for at in range(0, len(view), step):
            self.send(view[at:at + step])
            self.wait(step / rate)

    def wait(self, seconds):
        if self.hub.stopping.wait(seconds):
            raise Gone

    def hang_up(self, reset):
        """Ends the connection now: with FIN, or with RST."""
        raw = self.sock
        self.cut = True
        if reset:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            try:
                raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        raise Gone


class Origin(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A server on a port of its own; app makes an Answer of a Request."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, hub, name, app, host, port=0, tls=None):
        self.hub, self.name, self.app, self.tls = hub, name, app, tls
        self._open = set()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Connection)
        shown = "[%s]" % host if ":" in host else host
        scheme = "https" if tls else "http"
        self.url = "%s://%s:%d" % (scheme, shown, self.server_address[1])

    def opened(self, connection):
        self._open.add(connection)

    def closed(self, connection):
        self._open.discard(connection)

    def cut_all(self):
        """Ends all connections that are open now."""
        for connection in list(self._open):
            connection.cut = True
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request, client_address):
        self.hub.violation("bug in the test hub:\n" + traceback.format_exc(), self.name, "")


def http_date(when=None):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(when))
