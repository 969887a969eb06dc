#!/usr/bin/env python3
"""End-to-end tests: the binary (HUB_BIN, else ./hub) against the test Hub.

    run.py [-v] [-l] [-jN] [PART-OF-A-NAME...]     -v: name each; -l: list them

Runs every function test_* of the modules beside it, N at a time (two more than there are
cores: half of the time is waiting), each with a Hub of its own; prints only what fails.

HUB_ONCE=1, for a machine that runs them with the plain binary and with AddressSanitizer: a test that
may take longer than LIMIT runs with one of the two, see runs_here()."""

import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from kit import BINARY, Kit, Skip, Timeout, is_checked

LIMIT = 60


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    tests = [t for t in discover() if not words or any(w in t.__module__ + "." + t.__name__ for w in words)]
    if os.environ.get("HUB_ONCE"):
        tests = [t for t in tests if runs_here(t)]
    if "-l" in sys.argv:
        print("\n".join(t.__name__ for t in tests))
        return 0
    if not os.access(BINARY, os.X_OK):
        sys.exit("e2e: no binary at " + BINARY)
    count = {"passed": 0, "FAILED": 0, "skipped": 0}
    # Those that may take long begin first, so that none runs alone at the end.
    tests.sort(key=lambda t: -getattr(t, "limit", LIMIT))
    names = [(t.__module__, t.__name__) for t in tests]
    with multiprocessing.Pool(jobs(), get_ready) as pool:
        for name, word, said, seconds in pool.imap(run_named, names):
            count[word] += 1
            if word == "skipped":
                print("skipped %s: %s" % (name, said.replace("\n", " ")), flush=True)
            elif word != "passed" or "-v" in sys.argv:
                print("%s %s (%.1f s)" % (word, name, seconds))
                print(indent(said), end="", flush=True)
    print("%d passed, %d failed" % (count["passed"], count["FAILED"]))
    return count["FAILED"] != 0


def runs_here(test):
    """A short test; of the long ones those of memory and packages with the plain binary, all others,
    which provoke faults, with the sanitizer."""
    plain = test.__module__ == "pack" or "memory" in test.__name__
    return getattr(test, "limit", LIMIT) <= LIMIT or plain != is_checked()


def jobs():
    for arg in sys.argv[1:]:
        if arg.startswith("-j"):
            return int(arg[2:])
    return os.cpu_count() + 2


def get_ready():
    """A process that runs tests, one after the other."""
    signal.signal(signal.SIGALRM, on_alarm)
    # Who runs this in the background has them ignored, and the binary would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run_named(name):
    module, function = name
    began = time.monotonic()
    word, said = run_one(getattr(importlib.import_module(module), function))
    return function, word, said, time.monotonic() - began


def discover():
    folder = Path(__file__).resolve().parent
    for path in sorted(folder.glob("*.py")):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value):
                yield value


def run_one(test):
    """How it went, and what is to be said about it."""
    kit = Kit(getattr(test, "options", {}))
    try:
        with kit:
            signal.alarm(getattr(test, "limit", LIMIT))
            try:
                test(kit)
                assert not kit.hub.violations, "violations: %s" % kit.hub.violations
                kit.check_files()
            finally:
                signal.alarm(0)
    except Skip as why:
        return "skipped", str(why)
    except (Exception, Timeout):
        return "FAILED", report(kit)
    return "passed", ""


def report(kit):
    log = ["%(origin)s %(method)s %(status)s %(sent)s %(range)s %(path).150s" % e
           for e in kit.hub.log[-20:]]
    return "\n".join([traceback.format_exc(limit=-3)] + [str(r) for r in kit.results[-3:]]
                     + ["--- asked"] + log)


def on_alarm(*_):
    raise Timeout("the test's time is over")


def indent(text):
    return "".join("    %s\n" % line for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
