#!/usr/bin/env python3
"""Our reader of .env files against python-dotenv, on awkward files and on random ones.

    env_compare.py [build/release/env_dump [ROUNDS]]

The program may be in ENV_DUMP instead. Wants python-dotenv; without it, it makes a virtual
environment with pip (in build/dotenv), and where that fails too, it prints "skipped". Where
python-dotenv warns of a line, ours must refuse the file."""

import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent.parent / "build" / "dotenv"

# Older ones differ in "A= #c" and take a BOM for a part of the name.
OLDEST = (1, 2, 4)
WANTED = "python-dotenv>=" + ".".join(map(str, OLDEST))
REAL = {"REAL": "real", "EMPTY": "", "HOME": "/home/u"}

TEXTS = r"""
A=1
A = 1
 A=1
\tA\t=\t1\t
A=
A
A #c
A# c
A=b #c #d
A=b#c
A=#c
A= #c
A=\t#c
A=#c #d
A =#c
A= b c  d  # e
A="x"
A='x'
A="x" #c
A="x"#c
A="x" y
A='' x
A="x"y\nB=1
A="x
A='x
A="a\nb"\nB=1
A='a\r\nb' # z\r\n\r\nB
A="a\rb"\rB=2
A=1\r\nB=2\r\n
A=1\rB=2
A=a\\nb
A='a\\nb'
A="a\\nb\\t\\a\\b\\f\\r\\v"
A="a\\q\\$\\0\\x41\\u0041"
A="a\\"b"
A="a\\\\"
A='a\\\\'
A='a\\'b'
A='a\\"b'
A="a\\'b"
A="a\\
A=\\
A=a\\
A="\\\n"
A='\\é'
export A=1
export\tA=1
 export  A = 1
export A
export
export=1
export #c
export \nB=1
exportA=1
export export A=1
'A'=1
'a b'=1
'a=b' = 1
'A=1
''=1
'a\nb'=1
"A"=1
a.b-c=1
1=2
é=ü
A B
A B=1
=1
= 1
=
A==1
A=b=c
#
# A=1
  # A=1\nB=2
#A=1\rB=2
\n\n\n
\n\nA B\n
A=1\n\n\n bad line \nB=2
A=1;B=2
A=${REAL}
A="${REAL}"
A='${REAL}'
A=$REAL
A=\\${REAL}
A="\\${REAL}"
A=${NONE}
A=${NONE:-x}
A=${NONE:-}
A=${EMPTY:-x}
A=${REAL:-x}
A=${NONE:-${REAL}}
A=${NONE:-a b # c}
A=${NONE-x}
A=${NONE:x}
A=${REAL
A=${
A=${}
A=${:-x}
A=${ REAL }
A=${a${REAL}
A=$${REAL}$
A=x${REAL}y${REAL}z
A="${NONE:-a\nb}"
A="${NONE:-\\"q\\"}"
A=1\nB=${A}
B=${A}\nA=1
REAL=file\nB=${REAL}
EMPTY=file\nB=${EMPTY}
A=1\nA=2\nB=${A}
A=1\nA\nB=x${A}y
A\nB=${A:-x}
A=$${A}\nB=${A}
A=${A}
A='${B'\nC=${A}}
\ufeffA=1
\ufeff\ufeffA=1
A=\ufeff
\u00a0A\u00a0=\u00a0x\u00a0\u00a0#c
A=x\u2028#c\nB=2
A\u2028B
A=x\u3000
A=x\x0b#c\x0c
A=x\x1c#y
A=x\x85
\x0cA=1
A=😀 😀
HF_TOKEN=hf_abc
HF_TOKEN="hf_abc"   # mine
HF_TOKEN=“hf_abc”
HF_TOKEN: hf_abc
set HF_TOKEN=hf_abc
{"HF_TOKEN": "hf_abc"}
[section]
PATH=C:\\new\\table
A=`x`
A=`x y` z
A=1 B=2
A="b" "c"
A="b"'c'
A=b"c"
A=b'c' # d
A=it's
A=" x "
A=' x '
A=x'\nB='y
KEY="-----BEGIN-----\nabc\ndef\n-----END-----"\nB=1
""".strip("\n").split("\n")


def find_dotenv():
    """Goes on in a Python that has python-dotenv, if there can be one."""
    python = VENV / "bin" / "python3"
    if os.environ.get("ENV_COMPARE"):
        return
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 120}
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, **quiet)
        if subprocess.run([str(python), "-c", "import dotenv"], **quiet).returncode:
            subprocess.run([str(python), "-m", "pip", "install", WANTED], check=True, **quiet)
    except (OSError, subprocess.SubprocessError):
        return
    os.environ["ENV_COMPARE"] = "1"
    os.execv(str(python), [str(python), *sys.argv])


def unescape(text):
    for name, char in (("\\\\", "\0"), ("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t")):
        text = text.replace(name, char)
    for hexa in ("\\ufeff", "\\u00a0", "\\u2028", "\\u3000", "\\x0b", "\\x0c", "\\x1c", "\\x85"):
        text = text.replace(hexa, chr(int(hexa[2:], 16)))
    return text.replace("\0", "\\")


PIECES = list("AB=#'\"\\ \t\n\r${}:-n") + ["export ", "${A}", "${REAL:-", "\u00a0", "\u2029", "é", "=", "'", '"']


def made_up(seed):
    rng = random.Random(seed)
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 24)))


class Count(logging.Handler):
    warnings = 0

    def emit(self, record):
        self.warnings += 1


def theirs(path, count):
    from dotenv.main import DotEnv
    count.warnings = 0
    values = dict(DotEnv(path, encoding="utf-8", override=False).dict())
    return None if count.warnings else values


def ours(dump, path):
    out = subprocess.run([dump, path], env=REAL, stdout=subprocess.PIPE, check=True).stdout
    value = json.loads(out)
    return None if isinstance(value, str) else value


def have_dotenv():
    try:
        from dotenv.version import __version__
        return tuple(map(int, __version__.split(".")[:3])) >= OLDEST
    except (ImportError, ValueError):
        return False


def main():
    if not have_dotenv():
        find_dotenv()
        print(f"skipped: no {WANTED}, and pip cannot install it")
        return 0
    dump = sys.argv[1] if len(sys.argv) > 1 else os.environ["ENV_DUMP"]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    os.environ.clear()
    os.environ.update(REAL)
    count = Count()
    log = logging.getLogger("dotenv.main")
    log.addHandler(count)
    log.propagate = False
    passed = failed = 0
    texts = [unescape(text) for text in TEXTS] + [made_up(i) for i in range(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "env")
        for text in texts:
            with open(path, "wb") as f:
                f.write(text.encode())
            want, got = theirs(path, count), ours(dump, path)
            if want == got:
                passed += 1
                continue
            failed += 1
            print(f"{text!r}: python-dotenv has {want}, ours {got}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
