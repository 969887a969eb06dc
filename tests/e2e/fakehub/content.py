"""What files consist of: bytes in memory, a file on the disk, or bytes that are computed when
they are asked for. None of them is ever held in memory as a whole when it is large."""

import hashlib
import os
import random

BLOCK = 1 << 20


class Content:
    """Bytes with a length, readable from any place. Subclasses have size and blocks()."""

    size = 0
    xet = None  # its hash in Xet, if it is stored there

    def __init__(self):
        self._sha256 = None
        self._git_sha1 = None

    def blocks(self, start, end):
        """The bytes from start to before end, in pieces of at most BLOCK."""
        raise NotImplementedError

    def read(self, start=0, end=None):
        end = self.size if end is None else min(end, self.size)
        return b"".join(bytes(b) for b in self.blocks(start, end))

    def sha256(self):
        if self._sha256 is None:
            self._sha256 = self._digest(hashlib.sha256())
        return self._sha256

    def git_sha1(self):
        if self._git_sha1 is None:
            self._git_sha1 = self._digest(hashlib.sha1(b"blob %d\0" % self.size))
        return self._git_sha1

    def _digest(self, h):
        for block in self.blocks(0, self.size):
            h.update(block)
        return h.hexdigest()


class Bytes(Content):
    def __init__(self, data):
        super().__init__()
        self.data = data
        self.size = len(data)

    def blocks(self, start, end):
        view = memoryview(self.data)
        for at in range(start, end, BLOCK):
            yield view[at:min(at + BLOCK, end)]


class File(Content):
    def __init__(self, path, sha256=None):
        super().__init__()
        self.path = str(path)
        self.size = os.stat(self.path).st_size
        self._sha256 = sha256

    def blocks(self, start, end):
        with open(self.path, "rb") as f:
            f.seek(start)
            while start < end:
                block = f.read(min(BLOCK, end - start))
                if not block:
                    raise OSError("file became shorter: " + self.path)
                start += len(block)
                yield block


class Generated(Content):
    """Bytes that follow from seed and size. Each block of 1 MiB is the same random block turned
    by another distance, so that a piece in the wrong place shows and any range costs nothing."""

    STEP = 4099  # odd: the first repetition comes after 2^20 blocks

    def __init__(self, seed, size):
        super().__init__()
        self.seed = seed
        self.size = size
        block = random.Random(seed).getrandbits(8 * BLOCK).to_bytes(BLOCK, "little")
        self._twice = memoryview(block + block)

    def blocks(self, start, end):
        while start < end:
            number, within = divmod(start, BLOCK)
            n = min(BLOCK - within, end - start)
            at = number * self.STEP % BLOCK + within
            yield self._twice[at:at + n]
            start += n


def content_of(value):
    """Content from bytes, text, a path, or Content itself."""
    if isinstance(value, Content):
        return value
    if isinstance(value, (bytes, bytearray)):
        return Bytes(bytes(value))
    if isinstance(value, str):
        return Bytes(value.encode())
    if isinstance(value, os.PathLike):
        return File(value)
    raise TypeError("no content: %r" % (value,))


def looks_binary(sample):
    """Whether the first bytes of a file are those of something else than text."""
    if b"\0" in sample:
        return True
    try:
        sample.decode()
    except UnicodeDecodeError as e:
        return e.start < len(sample) - 4  # a character may be cut at the end
    return any(c < 9 or 13 < c < 27 or 27 < c < 32 for c in sample)
