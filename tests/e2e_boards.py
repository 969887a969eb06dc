"""Small and bare machines, end to end: nothing around the binary, no clock, little memory, flash.
Each test_* takes a Kit (kit.py)."""

import os
import re
import time
from pathlib import Path

from fakehub import Generated, tlsca
from fakehub.wire import http_date
from kit import BINARY, MB, Skip

ID = "acme-lab/small"
FILES = {"config.json": "{}\n", "sub/weights.bin": Generated(3, 3 * MB)}
DAY = 86400

# No clock. This build is from 2040: to it, the clock of today's machine is wrong.

FUTURE = str(Path(BINARY).with_name("hub_future"))
BUILT = 2208988800
WRONG = "this machine's clock is wrong"


def future(k):
    if not os.access(FUTURE, os.X_OK):
        raise Skip("no %s: make test builds it" % FUTURE)
    return {"binary": FUTURE}


def to_build():
    """Days from today to the day of that build."""
    return (BUILT - time.time()) / DAY


def certify(k, origin, first, last):
    """That origin's certificate is valid from that day to that day, from today on."""
    pem = k.hub.authority.issue(label=origin, days=(first, last))
    server = next(o for o in k.hub.origins if o.name == origin)
    server.tls = tlsca.server_context(pem)


def says(k, days, origin="hub"):
    """All answers of that origin say that it is then."""
    when = http_date(time.time() + days * DAY)
    k.hub.fault(origin=origin, count=None, headers={"Date": when})


def test_clock_before_the_build(k):
    """Certificates are checked for the day of the build; and that is said once."""
    repo = k.hub.add_repo(ID, FILES)
    for origin in ("hub", "cdn"):
        certify(k, origin, -1, to_build() + 100)
    r = k.ok(k.download(repo, **future(k)), err="built on 2040-01-01")
    assert r.err.count(WRONG) == 1, "not said once"
    assert "it says %s" % time.strftime("%Y-%m-%d", time.gmtime()) in r.err
    k.same(repo)
    # To the build of today nothing is wrong.
    r = k.ok(k.download(repo, "--force"))
    assert "clock" not in r.err


def test_clock_before_the_build_and_an_old_certificate(k):
    repo = k.hub.add_repo(ID, FILES)
    certify(k, "hub", -1, to_build() - 100)
    k.ok(k.download(repo, **future(k)), 1,
         ("has expired on 2039-", "but it is 2040-01-01 or later", "setting this machine's clock"))
    assert not k.dir.exists() or not list(k.dir.glob("*.json"))


def test_clock_before_the_build_and_a_newer_certificate(k):
    """Who issued it knew the day; and then the endpoint tells what time it is."""
    repo = k.hub.add_repo(ID, FILES)
    begin = to_build()
    certify(k, "hub", begin + 400, begin + 500)
    certify(k, "cdn", begin + 400, begin + 500)
    says(k, begin + 450)
    k.ok(k.download(repo, **future(k)), err=WRONG)
    k.same(repo)
    # The endpoint's word, not the certificate's first day.
    certify(k, "cdn", begin + 400, begin + 440)
    k.ok(k.download(repo, "--force", **future(k)), 9, ("has expired on 2041-", "or later"))
    # An issuer that is not trusted knows nothing.
    k.ok(k.download(repo, env={"SSL_CERT_FILE": None}, **future(k)), 1, "the certificate of")


def test_clock_behind_what_the_endpoint_says(k):
    """The machine's clock is behind, but not so far that it is known to be wrong."""
    repo = k.hub.add_repo(ID, FILES)
    certify(k, "hub", -1, 1000)
    certify(k, "cdn", -1, 20)
    says(k, 30)
    r = k.ok(k.download(repo), 9, ("has expired on", "or later"))
    assert WRONG not in r.err
    certify(k, "cdn", -1, 40)
    k.ok(k.download(repo))
    k.same(repo)


def test_clock_and_an_endpoint_that_is_wrong(k):
    """It cannot say more than its own certificate vouches for, nor turn the clock back."""
    repo = k.hub.add_repo(ID, FILES)
    for origin in ("hub", "cdn"):
        certify(k, origin, -1, 20)
    for days in (30, 2000, -10000):
        k.hub.forget()
        says(k, days)
        k.ok(k.download(repo, "--force"))
        k.same(repo)


def test_clock_and_signed_addresses(k):
    """By the endpoint's word an address has lapsed, and so the next piece asks for a new one."""
    repo = k.hub.add_repo(ID, {"a.bin": Generated(1, 24 * MB), "b.bin": Generated(2, 2 * MB)})
    certify(k, "hub", -1, 1000)
    certify(k, "cdn", -1, 1000)
    for later, asked in ((0, 1), (3580, 2)):
        k.hub.forget()
        key = repo.find("main").files["a.bin"].sha256
        k.hub.fault(origin="cdn", path=key, stall_after=4 * MB, stall=3, drop_after=5 * MB)
        k.hub.fault(path="/resolve/.*b.bin", delay=1, headers={"Date": http_date(time.time() + later)})
        # Over a session that was resumed, too.
        k.hub.fault(origin="hub", path="/tree/", close=True)
        k.ok(k.download(repo, "--force", "-j", "2"))
        k.same(repo)
        found = len(k.hub.asked("hub", path="a.bin"))
        assert found == asked, "asked %d times, not %d" % (found, asked)
