"""Faults on demand. A rule says which requests it matches and what goes wrong with them.

Which requests (all given must hold):
    origin      "hub", "cdn", "upload", "cas", "xorb" or None for all
    method      "GET", "HEAD", ... or None
    path        a regular expression searched in the path with query, as it was sent
    ranged      True: only with a Range header; False: only without
    min_from    only when the Range starts at this byte or later
    skip        the first so many matching requests pass (0)
    count       how many requests are hit after that (1); None: all

What happens:
    delay           seconds before the answer
    status          answer this status instead of doing the work; with body, and headers
    body            text for status
    headers         {name: value} to set in the answer; value None takes the header away
    add_headers     [[name, value], ...] to add, also a second time
    hang_up         close the connection without an answer
    hang_up_after   the same after so many bytes of the request's body were read
    lose_answer     do the work, then close without an answer
    drop_after      close after so many bytes of the answer's body
    stall_after     send so many bytes of the body, then nothing for stall seconds, then go on
    stall           seconds for stall_after (3600)
    reset           a drop or hang-up is a reset (RST) instead of an orderly end
    rate            bytes of body a second
    head_rate       bytes of the head a second
    length          Content-Length says this; add_length: this much more or less
    content_range   Content-Range says this; add_range: its start is this much off
    use_range       the request's Range is taken for this one ("bytes=0-99"), told honestly
    ignore_range    the request's Range is not seen
    corrupt_at      the byte at this place of the file is wrong
    replace         [[pattern, text], ...]: regular expressions to replace in the answer's body
    edit            a function: the answer's body (bytes) to another one
    truncate        the body has only so many bytes, and is complete; negative: so many less
    json            {path: value} to set in a body of JSON, such as {"terms.0.range.end": 9}; "*"
                    in a path is the first there, a value None takes it away
    entry           {"number": 0, "packed": +5, "size": -1, "scheme": 3, "version": 1}: in the
                    header of an entry of a xorb lengths are that much off, and the rest is that
    call            a function without arguments, called when the request is here
    endless         the body never ends (no Content-Length); filler ("\\0") is what comes then
    no_length       neither Content-Length nor chunks: the connection's end ends the body
    chunked         send the body in chunks
    many_headers    so many headers more
    huge_header     a header of so many bytes
    early           so many answers "103 Early Hints" before the answer
    raw             exactly this text (or these bytes) as the whole answer
    close           the connection is closed after the answer
"""

import json
import re
import threading

MATCH = {"origin": None, "method": None, "path": "", "ranged": None, "min_from": None,
         "skip": 0, "count": 1}
ACT = ("delay status body headers add_headers hang_up hang_up_after lose_answer drop_after"
       " stall_after stall reset rate head_rate length add_length content_range add_range"
       " use_range ignore_range corrupt_at endless no_length chunked many_headers huge_header"
       " early raw close replace filler edit call truncate json entry").split()


class Rule:
    def __init__(self, **given):
        unknown = [k for k in given if k not in MATCH and k not in ACT]
        if unknown:
            raise ValueError("unknown in a rule: " + ", ".join(unknown))
        self.match = {**MATCH, **{k: v for k, v in given.items() if k in MATCH}}
        self.act = {k: v for k, v in given.items() if k in ACT}
        self.hits = 0
        self._pattern = re.compile(self.match["path"])
        self._skip = self.match["skip"]

    def __getattr__(self, name):
        if name in ACT:
            return self.act.get(name)
        raise AttributeError(name)

    def fits(self, request):
        m = self.match
        ranged = request.header("range")
        return ((m["origin"] in (None, request.origin))
                and (m["method"] in (None, request.method))
                and (m["ranged"] is None or m["ranged"] == bool(ranged))
                and (m["min_from"] is None or first_byte(ranged) >= m["min_from"])
                and self._pattern.search(request.target) is not None)

    def take(self):
        """Whether it is this request's turn."""
        if self._skip > 0:
            self._skip -= 1
            return False
        if self.match["count"] is not None and self.hits >= self.match["count"]:
            return False
        self.hits += 1
        return True


NOTHING = Rule()


class Rules:
    def __init__(self):
        self._lock = threading.Lock()
        self._rules = []

    def add(self, **given):
        rule = Rule(**given)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self):
        with self._lock:
            self._rules.clear()

    def of(self, request):
        """The first rule that wants this request, or NOTHING."""
        with self._lock:
            for rule in self._rules:
                if rule.fits(request) and rule.take():
                    return rule
        return NOTHING


def first_byte(ranged):
    m = re.match(r"bytes=(\d+)-", ranged or "")
    return int(m.group(1)) if m else -1


def with_json(body, changes):
    """The same text of JSON with other values."""
    value = json.loads(body)
    for path, new in changes.items():
        *above, last = path.split(".")
        at = value
        for step in above:
            at = at[_step(at, step)]
        if new is None:
            del at[_step(at, last)]
        else:
            at[_step(at, last)] = new
    return json.dumps(value).encode()


def _step(at, step):
    if isinstance(at, list):
        return 0 if step == "*" else int(step)
    return next(iter(at)) if step == "*" else step


def with_entry(body, number=0, packed=0, size=0, scheme=None, version=None):
    """The same entries of a xorb with another header of one of them."""
    at = 0
    for _ in range(number):
        at += 8 + int.from_bytes(body[at + 1:at + 4], "little")
    out = bytearray(body)
    for place, change in ((1, packed), (5, size)):
        old = int.from_bytes(body[at + place:at + place + 3], "little")
        out[at + place:at + place + 3] = ((old + change) % (1 << 24)).to_bytes(3, "little")
    for place, new in ((0, version), (4, scheme)):
        if new is not None:
            out[at + place] = new
    return bytes(out)
