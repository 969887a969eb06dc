"""What the end-to-end tests stand on: running the binary as a person would, with a test Hub."""

import fcntl
import functools
import hashlib
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from fakehub import Hub

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("HUB_BIN") or str(ROOT / "hub")
EMULATOR = os.environ.get("EMULATOR", "").split()
MB = 1 << 20


class Skip(Exception):
    """The test cannot be done here."""


class Timeout(Exception):
    pass


class Result:
    def __init__(self, args, status, out, err, seconds):
        self.args = args
        self.status = status  # 128+N when signal N ended it
        self.out = out.decode("utf-8", "replace")
        self.err = err.decode("utf-8", "replace")
        self.raw = out
        self.seconds = seconds

    def __str__(self):
        return "$ hub %s\n[status %d, %.1f s]\n--- stdout\n%s--- stderr\n%s" % (
            " ".join(self.args), self.status, self.seconds, self.out[-3000:], self.err[-3000:])


def hub_with(**options):
    """The test wants a Hub with these options."""
    def mark(test):
        test.options = options
        return test
    return mark


def limit(seconds):
    """The test may take so long."""
    def mark(test):
        test.limit = seconds
        return test
    return mark


class Kit:
    """A Hub, folders, and the binary; one for each test."""

    def __init__(self, options):
        self.hub = Hub(**options)
        self.results = []
        self.running = []

    def __enter__(self):
        self.top = Path(tempfile.mkdtemp(prefix="e2e-"))
        self.dir = self.top / "target"
        self.work = self.top / "work"
        self.home = self.top / "home"
        self.work.mkdir()
        self.home.mkdir()
        self.hub.start()
        self.tokens = {name: t.text for name, t in self.hub.tokens.items()}
        return self

    def __exit__(self, *exc):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.hub.stop()
        shutil.rmtree(self.top, ignore_errors=True)

    # running

    def environment(self, changes=None):
        """Nothing of the developer's but PATH. A change to None takes a variable away."""
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.home),
               "HF_ENDPOINT": self.hub.endpoint, "LC_ALL": "C.UTF-8"}
        if self.hub.ca_file:
            env["SSL_CERT_FILE"] = self.hub.ca_file
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(changes or {})
        return {k: str(v) for k, v in env.items() if v is not None}

    def start(self, *args, env=None, cwd=None, wrap=(), binary=BINARY, **streams):
        """Starts the binary and does not wait."""
        if any("s390x" in word for word in EMULATOR):
            self.round_times()
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **streams}
        process = subprocess.Popen([*wrap, *EMULATOR, binary, *map(str, args)],
                                   env=self.environment(env),
                                   cwd=str(cwd or self.work), **streams)
        self.running.append(process)
        return process

    def round_times(self):
        """To whole seconds: qemu 7.2 tells a program for s390x nanoseconds by fstatat(), but none by
        fstat(), so that all others look changed."""
        for at, _, names in os.walk(str(self.top)):
            for path in (Path(at, n) for n in names):
                when = path.lstat().st_mtime_ns // 10**9 * 10**9
                os.utime(str(path), ns=(when, when), follow_symlinks=False)

    def run(self, *args, stdin=None, env=None, cwd=None, timeout=60, wrap=(), binary=BINARY,
            **more):
        began = time.monotonic()
        feed = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
        process = self.start(*args, env=env, cwd=cwd, wrap=wrap, binary=binary, stdin=feed, **more)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = self._communicate(process, data, timeout)
        return self._keep(args, process, out, err, began)

    def finish(self, process, args=("(started)",), timeout=60):
        """Waits for what start() started."""
        began = time.monotonic()
        out, err = self._communicate(process, None, timeout)
        return self._keep(args, process, out, err, began)

    def _communicate(self, process, data, timeout):
        try:
            return process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self._keep(("(hung)",), process, out, err, time.monotonic())
            raise AssertionError("still running after %d s" % timeout)

    def _keep(self, args, process, out, err, began):
        code = process.returncode
        result = Result([str(a) for a in args], code if code >= 0 else 128 - code,
                        out or b"", err or b"", time.monotonic() - began)
        self.results.append(result)
        self.check_secrets(result)
        assert "Sanitizer" not in result.err, "a sanitizer spoke"
        return result

    def check_secrets(self, result):
        for text in [*self.tokens.values(), *self.hub.cas.tokens]:
            assert text not in result.out + result.err, "a token in the output"
        assert "Signature=" not in result.out + result.err, "a signed query in the output"

    def check_files(self):
        """No token in what it left on the disk, and a signed URL only in the state file of an upload
        (journal.h), which nobody else can read."""
        tokens = [t.encode() for t in [*self.tokens.values(), *self.hub.cas.tokens]]
        for folder in (self.dir, self.home / ".cache"):
            for at, _, names in os.walk(str(folder)):
                for path in (Path(at, n) for n in names if n != "token"):
                    if path.is_file() and path.stat().st_size < MB:
                        data = path.read_bytes()
                        private = path.suffix == ".parts" and path.stat().st_mode & 0o77 == 0
                        secrets = tokens + ([] if private else [b"Signature="])
                        assert not any(s in data for s in secrets), "a secret in %s" % path

    def terminal(self, *args, answers=(), env=None, timeout=30, size=(24, 80)):
        """Runs it at a terminal. answers: (text to wait for, what is typed then). out and err
        are one."""
        began = time.monotonic()
        master, slave = pty.openpty()
        set_size(slave, size)
        env = {"TERM": "xterm", **(env or {})}
        process = self.start(*args, env=env, stdin=slave, stdout=slave, stderr=slave,
                             start_new_session=True, preexec_fn=take_terminal)
        os.close(slave)
        out = self._talk(process, master, list(answers), began + timeout)
        process.wait()
        return self._keep(args, process, out, b"", began)

    def _talk(self, process, master, answers, end):
        out, seen = b"", 0
        try:
            while time.monotonic() < end:
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        more = os.read(master, 65536)
                    except OSError:  # the other side is closed
                        more = b""
                    if not more:
                        return out
                    out += more
                if answers and answers[0][0].encode() in out[seen:]:
                    seen = len(out)
                    os.write(master, answers.pop(0)[1].encode())
        finally:
            os.close(master)
        process.kill()
        raise AssertionError("terminal: no end; %r" % out[-300:])

    def download(self, repo, *args, token=None, to=None, **how):
        """hub download -r REPO -p TARGET ARGS, with a token in the environment."""
        env = {**({"HF_TOKEN": self.tokens[token]} if token else {}), **(how.pop("env", {}))}
        return self.run("download", "-r", repo if isinstance(repo, str) else repo.id,
                        "-p", to or self.dir, *args, env=env, **how)

    # looking

    def ok(self, result, status=0, err=None, out=None):
        """The status is this (or one of these), and the texts are in the output."""
        wanted = status if isinstance(status, tuple) else (status,)
        assert result.status in wanted, "status %d, not %s" % (result.status, status)
        if result.status not in (0,) and result.status < 128:
            assert result.err.startswith("hub: ") or "\nhub: " in result.err, "no error sentence"
        for text in texts(err):
            assert text.lower() in result.err.lower(), "not said on stderr: " + text
        for text in texts(out):
            assert text in result.out, "not in stdout: " + text
        return result

    def content_requests(self):
        """What was asked for files: not listings, not whether they are there."""
        return [e for e in self.hub.asked()
                if e["origin"] in ("cdn", "cas", "xorb") or "/resolve" in e["path"]]

    def from_cdn(self):
        """Bytes that the CDN sent."""
        return self.sent_by("cdn")

    def sent_by(self, origin):
        """Bytes of bodies."""
        return sum(e["sent"] for e in self.hub.asked(origin))

    def same(self, repo, revision="main", only=None, folder=None):
        """The folder holds what the repository does, and nothing else outside .cache."""
        files = repo.find(revision).files
        wanted = {p: e for p, e in files.items() if only is None or only(p)}
        have = tree(folder or self.dir)
        assert set(have) == set(wanted), "files differ: %s" % sorted(set(have) ^ set(wanted))[:9]
        for path, entry in wanted.items():
            assert have[path].stat().st_size == entry.size, "size of " + path
            assert sha256(have[path]) == entry.content.sha256(), "content of " + path

    def wait_for(self, test, seconds=20, what="what was waited for"):
        end = time.monotonic() + seconds
        while not test():
            assert time.monotonic() < end, what + " did not come"
            time.sleep(0.01)

    def kill_after(self, process, count, number=signal.SIGKILL):
        """Ends a running binary once the CDN has sent so many bytes."""
        self.wait_for(lambda: self.from_cdn() >= count, what="%d bytes" % count)
        process.send_signal(number)


def texts(value):
    return () if value is None else (value,) if isinstance(value, str) else value


def tree(folder):
    """path -> Path of all files, without the tool's own folder."""
    folder = Path(folder)
    found = {}
    for at, folders, names in os.walk(str(folder)):
        if Path(at) == folder and ".cache" in folders:
            folders.remove(".cache")
        for name in names:
            path = Path(at, name)
            found[str(path.relative_to(folder))] = path
    return found


def sha256(path):
    h = hashlib.sha256()
    with open(str(path), "rb") as f:
        for block in iter(lambda: f.read(MB), b""):
            h.update(block)
    return h.hexdigest()


def take_terminal():
    """In the child: standard input is its controlling terminal, so that Ctrl-C is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def set_size(fd, size):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[0], size[1], 0, 0))


@functools.lru_cache(maxsize=None)
def is_checked():
    """Built with a sanitizer, which wants address space without end."""
    text = Path(BINARY).read_bytes()
    return b"__asan_init" in text or b"__tsan_init" in text


def bounded(mib, program=None):
    """Words before a command that give it so much address space; it is program if that is
    given."""
    limit = "" if is_checked() else "ulimit -v %d; " % (mib * 1024)
    if program:
        return ("sh", "-c", limit + 'shift; exec "$0" "$@"', program)
    return ("sh", "-c", limit + 'exec "$@"', "sh")


def tmpfs(size):
    """Words before a command that give it an empty file system of so many bytes at $HUB_SMALL,
    or Skip."""
    words = ["unshare", "-r", "-m", "sh", "-c",
             'mount -t tmpfs -o size=%s none "$HUB_SMALL" && "$@"; s=$?; '
             'find "$HUB_SMALL" -type f | sed "s/^/LEFT /" >&2; exit $s' % size, "sh"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words + ["true"], env={**os.environ, "HUB_SMALL": folder},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Skip("no user namespaces")
    return words
