"""The formats of Xet: hashes, chunks, xorbs, shards. Hashes are text here, as in addresses, which
is not the hex of their bytes. BLAKE3, the borders of chunks and LZ4 are too slow in Python:
tests/check/xet_dump, a C program, does them, asked through a pipe.

Chunks smaller than 8192 bytes are taken, since some writers make them. Wrong is raised when
something from outside breaks the format."""

import atexit
import bisect
import os
import random
import struct
import subprocess
import threading
from collections import namedtuple
from pathlib import Path

from .content import Content

XORB_MAX = 64 << 20
XORB_CHUNKS_MAX = 8192
SHARD_MAX = 64 << 20
CHUNK_MAX = 131072
HEADER = 8  # of an entry
STORED, LZ4, BG4 = 0, 1, 2

NO_HASH = "0" * 64
CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")


class Wrong(Exception):
    """Breaks the format."""


# --- The program that does the work. ---

def program():
    """Where xet_dump is: as the environment says, beside the binary under test, or where make
    puts it."""
    binary = os.environ.get("HUB_BIN")
    places = [os.environ.get("XET_DUMP"), binary and Path(binary).parent / "xet_dump",
              Path(__file__).resolve().parents[3] / "build/release/xet_dump"]
    for path in places:
        if path and os.access(path, os.X_OK):
            return str(path)
    raise FileNotFoundError("no xet_dump: make build/release/xet_dump")


class Tool:
    """One process for all threads, started when it is needed."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process = None

    def line(self, words, data=b""):
        """The line that it answers."""
        return self._ask(words, data, lambda line, _: line)

    def bytes(self, words, data):
        """The bytes that it answers, or Wrong."""
        def read(line, stream):
            if line.startswith("-1 "):
                raise Wrong(line[3:])
            return stream.read(int(line))
        return self._ask(words, data, read)

    def lines(self, words, data):
        return [line.split() for line in self.bytes(words, data).decode().splitlines()]

    def _ask(self, words, data, read):
        with self._lock:
            if self._process is None:
                self._process = self._start()
            try:
                to, back = self._process.stdin, self._process.stdout
                to.write(b"%s %d\n" % (words.encode(), len(data)))
                to.write(data)
                to.flush()
                return read(back.readline().decode().rstrip("\n"), back)
            except Wrong:
                raise
            except BaseException:  # a test that ran out of time, too: an answer may be left in it
                self.stop()
                raise

    def _start(self):
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        try:
            return subprocess.Popen([program()], **how)
        except OSError:  # for another CPU
            return subprocess.Popen([*os.environ.get("EMULATOR", "").split(), program()], **how)

    def stop(self):
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


TOOL = Tool()
atexit.register(TOOL.stop)


# --- Hashes. ---

def turned(raw):
    """Each group of eight bytes the other way round: its own inverse."""
    return b"".join(raw[at:at + 8][::-1] for at in range(0, 32, 8))


def text_of(raw):
    return turned(raw).hex()


def raw_of(text):
    return turned(bytes.fromhex(text))


def keyed(key, data):
    return text_of(bytes.fromhex(TOOL.line("blake3 " + key.hex(), data)))


def hidden(hash, key):
    """The name of a chunk in a shard with that key."""
    return keyed(key, raw_of(hash)) if any(key) else hash


def range_hash(chunks):
    """The proof that a writer has the chunks of a term."""
    return keyed(RANGE_KEY, b"".join(raw_of(c.hash) for c in chunks))


def tree(chunks):
    """The hashes of a xorb and of a file of these chunks."""
    text = "".join("%s %d\n" % c for c in chunks)
    return TOOL.line("tree", text.encode()).split()


def is_global(hash):
    """Whether a chunk with this hash can be asked for wherever it is in a file."""
    return struct.unpack("<Q", raw_of(hash)[24:])[0] % 1024 == 0


# --- Chunks and xorbs. ---

Chunk = namedtuple("Chunk", "hash size")


def cut(content):
    """The chunks of a content as every writer cuts it, each with its bytes."""
    at, step = 0, 16 << 20
    while at < content.size:
        data = content.read(at, at + step)
        found = [Chunk(h, int(n)) for h, n in TOOL.lines("cut", data)]
        if at + len(data) < content.size:
            found.pop()  # it may go on
        start = 0
        for chunk in found:
            yield chunk, data[start:start + chunk.size]
            start += chunk.size
        at += start


def cut_at(content, sizes):
    """The same with chunks of these sizes, over and over: legal for readers."""
    at = number = 0
    while at < content.size:
        data = content.read(at, at + sizes[number % len(sizes)])
        yield Chunk(keyed(CHUNK_KEY, data), len(data)), data
        at += len(data)
        number += 1


def make_entry(data, scheme=None):
    """An entry; None: of the scheme that makes it smallest."""
    if scheme is None:
        return min((TOOL.bytes("entry %d" % s, data) for s in (LZ4, BG4)), key=len)
    return TOOL.bytes("entry %d" % scheme, data)


class Xorb:
    """Chunks, and a Content with their entries. Made in two ways: add() and close(), or of()."""

    def __init__(self):
        self.hash = None
        self.content = None
        self.chunks = []
        self.starts = [0]  # of the chunks in their content; the last is its size
        self.ends = [0]    # of the entries; the first is where they begin

    def add(self, chunk, length):
        """One more chunk, whose entry has that length. Its number."""
        self.chunks.append(chunk)
        self.starts.append(self.starts[-1] + chunk.size)
        self.ends.append(self.ends[-1] + length)
        return len(self.chunks) - 1

    def close(self, content):
        self.content = content
        self.hash = tree(self.chunks)[0]
        return self

    @classmethod
    def of(cls, content):
        """A xorb that arrived: every entry of it is looked at."""
        if content.size == 0:
            raise Wrong("a xorb without chunks")
        made = cls()
        data = content.read()
        for hash, size, _, packed in TOOL.lines("entries", data):
            made.add(Chunk(hash, int(size)), HEADER + int(packed))
        if len(made.chunks) > XORB_CHUNKS_MAX:
            raise Wrong("a xorb of %d chunks" % len(made.chunks))
        return made.close(content)

    def size(self, first, end):
        return self.starts[end] - self.starts[first]

    def blocks(self, start, end):
        """The content from byte start to before byte end, unpacked."""
        number = bisect.bisect_right(self.starts, start) - 1
        while start < end:
            last = min(number + 16, len(self.chunks))
            packed = self.content.read(self.ends[number], self.ends[last])
            base, number = self.starts[number], last
            piece = TOOL.bytes("content", packed)[start - base:end - base]
            start += len(piece)
            yield piece


# --- Files. ---

class Term(namedtuple("Term", "xorb first end")):
    """Some chunks of a xorb, end exclusive."""

    @property
    def size(self):
        return self.xorb.starts[self.end] - self.xorb.starts[self.first]

    @property
    def chunks(self):
        return self.xorb.chunks[self.first:self.end]


class Rebuilt(Content):
    """The content that terms say. Its xet is the file's hash, which is given where there are too
    many chunks to compute it."""

    def __init__(self, terms, sha256=None, hash=None):
        super().__init__()
        self.terms = terms
        self.starts = [0]
        for term in terms:
            self.starts.append(self.starts[-1] + term.size)
        self.size = self.starts[-1]
        self.xet = hash or tree([c for t in terms for c in t.chunks])[1]
        self._sha256 = sha256

    def between(self, start, end):
        """(place in the file, term) of those that these bytes are in."""
        at = bisect.bisect_right(self.starts, start) - 1
        while at < len(self.terms) and self.starts[at] < end:
            yield self.starts[at], self.terms[at]
            at += 1

    def blocks(self, start, end):
        for at, (xorb, first, last) in self.between(start, end):
            base = xorb.starts[first]
            yield from xorb.blocks(base + max(0, start - at),
                                   min(xorb.starts[last], base + end - at))


def terms_of(places):
    """Terms from (xorb, number of a chunk) in the order of the file: one for each run."""
    found = []
    for xorb, number in places:
        if found and found[-1].xorb is xorb and found[-1].end == number:
            found[-1] = found[-1]._replace(end=number + 1)
        else:
            found.append(Term(xorb, number, number + 1))
    return found


# --- Shards. ---

RECORD = 48
MAGIC = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
END = b"\xff" * 32 + bytes(16)
FOOTER = 200
HAS_RANGES, HAS_SHA256, IS_GLOBAL = 0x80000000, 0x40000000, 0x80000000

ShardTerm = namedtuple("ShardTerm", "xorb size first end")
ShardFile = namedtuple("ShardFile", "hash terms ranges sha256")
ShardChunk = namedtuple("ShardChunk", "hash at size flags")
ShardXorb = namedtuple("ShardXorb", "hash size packed chunks")
Shard = namedtuple("Shard", "files xorbs footer")


class Records:
    def __init__(self, data):
        self.data = data
        self.at = RECORD

    def next(self):
        """The hash or magic at the start, and the other 16 bytes as four numbers."""
        record = self.data[self.at:self.at + RECORD]
        if len(record) < RECORD:
            raise Wrong("the shard is cut")
        self.at += RECORD
        return record[:32], struct.unpack("<4I", record[32:])

    def hash(self):
        """Of a record with nothing else."""
        raw, numbers = self.next()
        if any(numbers):
            raise Wrong("a record of a shard is not zero where it has to be")
        return text_of(raw)


def parse_shard(data):
    if len(data) > SHARD_MAX:
        raise Wrong("the shard is too large")
    if data[:32] != MAGIC or len(data) < RECORD:
        raise Wrong("not the magic of a shard")
    version, footer = struct.unpack("<QQ", data[32:RECORD])
    if version != 2 or footer not in (0, FOOTER):
        raise Wrong("version %d, footer of %d bytes" % (version, footer))
    records = Records(data)
    files = list(_read(records, _read_file))
    xorbs = list(_read(records, _read_xorb))
    rest = data[records.at:]
    if len(rest) < footer or (footer == 0 and rest):
        raise Wrong("%d bytes after the records of a shard" % len(rest))
    return Shard(files, xorbs, rest[len(rest) - footer:])


def _read(records, one):
    while True:
        raw, numbers = records.next()
        if raw == END[:32]:
            if any(numbers):
                raise Wrong("no end of a shard's part")
            return
        yield one(records, text_of(raw), numbers)


def _read_file(records, hash, numbers):
    flags, count = numbers[:2]
    if flags & ~(HAS_RANGES | HAS_SHA256) or any(numbers[2:]):
        raise Wrong("unknown flags of a file")
    terms, ranges = [], []
    for _ in range(count):
        raw, (zero, size, first, end) = records.next()
        if zero:
            raise Wrong("flags of a term")
        terms.append(ShardTerm(text_of(raw), size, first, end))
    if flags & HAS_RANGES:
        ranges = [records.hash() for _ in range(count)]
    # It is the digest turned as if its digits were the text of a hash: the text is the digits.
    sha256 = records.hash() if flags & HAS_SHA256 else None
    return ShardFile(hash, terms, ranges, sha256)


def _read_xorb(records, hash, numbers):
    flags, count, size, packed = numbers
    if flags:
        raise Wrong("flags of a xorb")
    chunks = []
    for _ in range(count):
        raw, (at, length, chunk_flags, zero) = records.next()
        if zero:
            raise Wrong("a chunk's record is not zero where it has to be")
        chunks.append(ShardChunk(text_of(raw), at, length, chunk_flags))
    return ShardXorb(hash, size, packed, chunks)


def dedupe_shard(xorbs, is_known, key, expires):
    """The answer to a question for a chunk: no files, and the xorbs with hidden names."""
    out = bytearray(MAGIC + struct.pack("<QQ", 2, FOOTER) + END)
    start = len(out)
    for xorb in xorbs:
        out += raw_of(xorb.hash) + struct.pack("<4I", 0, len(xorb.chunks), xorb.starts[-1],
                                               xorb.ends[-1])
        for chunk, at in zip(xorb.chunks, xorb.starts):
            flags = IS_GLOBAL if is_known(chunk.hash) else 0
            out += raw_of(hidden(chunk.hash, key)) + struct.pack("<4I", at, chunk.size, flags, 0)
    out += END
    at = len(out)
    out += struct.pack("<3Q", 1, RECORD, start) + struct.pack("<6Q", at, 0, at, 0, at, 0)
    out += key + struct.pack("<2Q", 0, expires) + bytes(48)
    packed, size = sum(x.ends[-1] for x in xorbs), sum(x.starts[-1] for x in xorbs)
    return bytes(out + struct.pack("<4Q", packed, size, size, at))


# --- Contents to test with. ---

def mixed(seed, size):
    """Bytes of all kinds: noise, which is stored; text for LZ4; numbers for BG4; and parts that
    came before, at other places."""
    rng = random.Random(seed)
    out = bytearray()
    while len(out) < size:
        n = rng.randrange(100000, 400000)
        kind = rng.choice(("noise", "text", "numbers", "again"))
        if kind == "again" and len(out) > 2 * n:
            at = rng.randrange(len(out) - n)
            out += out[at:at + n]
        elif kind == "text":
            words = [b"%x" % rng.getrandbits(24) for _ in range(500)]
            out += b" ".join(rng.choices(words, k=n // 7))
        elif kind == "numbers":
            piece = bytearray(rng.getrandbits(8 * n).to_bytes(n, "little"))
            piece[2::4] = bytes(rng.choices(range(8), k=len(piece[2::4])))
            piece[3::4] = b"\x3f" * len(piece[3::4])
            out += piece
        else:
            out += rng.getrandbits(8 * n).to_bytes(n, "little")
    return bytes(out[:size])
