#!/usr/bin/env python3
"""Our BLAKE3 and LZ4 against the packages blake3 and lz4, on random contents.

    xet_compare.py [build/release/xet_dump [ROUNDS]]

The program may be in XET_DUMP instead. Wants blake3 and lz4; without them, it makes a virtual
environment with pip (in build/xet), and where that fails too, it prints "skipped". A round is
one content: its hash with and without a key, what lz4 packs and we unpack by random options,
and what we pack and lz4 unpacks."""

import importlib
import os
import random
import subprocess
import sys
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent.parent / "build" / "xet"
WANTED = ["blake3", "lz4"]


def find_packages():
    """Imports them, if need be from a virtual environment; False if there is no way."""
    for _ in range(2):
        try:
            for name in ("blake3", "lz4.frame"):
                importlib.import_module(name)
            return True
        except ImportError:
            pass
        python = VENV / "bin" / "python"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=False, **quiet)
        if python.exists():
            pip = [python, "-m", "pip", "install", "-q", *WANTED]
            subprocess.run(pip, check=False, timeout=300, **quiet)
        sys.path[:0] = [str(p) for p in VENV.glob("lib/python3*/site-packages")]
    return False


class Ours:
    def __init__(self, dump):
        self.process = subprocess.Popen([dump], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line, data):
        self.process.stdin.write(f"{line} {len(data)}\n".encode() + data)
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().rstrip("\n")

    def content(self, line, data):
        """Bytes, or a sentence."""
        answer = self.ask(line, data)
        if answer.startswith("-1 "):
            return answer[3:]
        return self.process.stdout.read(int(answer))


def content(rng):
    """Noise, runs, repetitions near and far, floats, and mixtures of them."""
    size = rng.choice([1, rng.randrange(1, 300), rng.randrange(1, 70000), rng.randrange(1, 262145)])
    out = bytearray()
    while len(out) < size:
        kind = rng.randrange(5)
        n = rng.choice([1, 7, 20, 300, 5000, 70000])
        if kind == 0:
            out += rng.randbytes(n)
        elif kind == 1:
            out += bytes([rng.randrange(256)]) * n
        elif kind == 2 and out:
            at = rng.randrange(len(out))
            out += out[at : at + n]
        elif kind == 3 and out:
            period = out[-rng.randrange(1, 9) :]
            out += period * (n // len(period) + 1)
        else:
            out += b"".join(bytes([rng.randrange(256), i & 255, 0x80, 0x3F]) for i in range(n // 4 + 1))
    return bytes(out[:size])


def frame(rng, data):
    """data as a frame by random options, and what they are."""
    import lz4.frame

    options = {
        "block_size": rng.choice([4, 5, 6, 7]),
        "block_linked": rng.random() < 0.5,
        "content_checksum": rng.random() < 0.5,
        "block_checksum": rng.random() < 0.5,
        "store_size": rng.random() < 0.5,
        "compression_level": rng.choice([-5, 0, 1, 9, 12]),
    }
    return lz4.frame.compress(data, **options), options


def round_of(ours, rng):
    """What differs, one line each."""
    import blake3
    import lz4.frame

    data, key = content(rng), rng.randbytes(32)
    if ours.ask("blake3 -", data) != blake3.blake3(data).hexdigest():
        yield f"BLAKE3 of {len(data)} bytes"
    if ours.ask(f"blake3 {key.hex()}", data) != blake3.blake3(data, key=key).hexdigest():
        yield f"keyed BLAKE3 of {len(data)} bytes"
    packed, options = frame(rng, data)
    got = ours.content(f"unpack {len(data)} {rng.choice([1, 13, 4093, 1 << 20])}", packed)
    if got != data:
        why = got if isinstance(got, str) else "other bytes"
        yield f"unpack {len(data)} bytes by {options}: {why}"
    packed = ours.content("pack", data)
    if lz4.frame.decompress(packed) != data:
        yield f"pack {len(data)} bytes"
    # A frame with one byte changed: it may be good by chance, but ours may not take what
    # theirs refuses.
    broken = bytearray(packed)
    broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
    got = ours.content(f"unpack {len(data)} 1000", bytes(broken))
    try:
        want = lz4.frame.decompress(bytes(broken))
    except (RuntimeError, ValueError, MemoryError):
        want = None
    if isinstance(got, bytes) and got != want:
        yield f"unpack {len(data)} bytes that were changed"


def main():
    if not find_packages():
        print(f"skipped: no {' and '.join(WANTED)}, and pip cannot install them")
        return 0
    dump = sys.argv[1] if len(sys.argv) > 1 else os.environ["XET_DUMP"]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 150
    ours = Ours(dump)
    failed = 0
    for i in range(rounds):
        for what in round_of(ours, random.Random(i)):
            print(f"round {i}: {what}")
            failed += 1
    print(f"{5 * rounds - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
