"""Names and name servers, end to end. Each test_* takes a Kit (kit.py)."""

import ctypes
import os
import socket
import struct
import fcntl
import sys
import traceback

from fakehub import Generated
from fakehub.names import A, AAAA, Names
from kit import Kit, Skip

ID = "acme-lab/small"
FILES = {"config.json": "{}\n", "sub/weights.bin": Generated(3, 3 << 20)}

NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
BIND, REC, PRIVATE = 0x1000, 0x4000, 0x40000
SIOCGIFFLAGS, SIOCSIFFLAGS, UP = 0x8913, 0x8914, 1


def check(rv):
    if rv:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, how):
    check(ctypes.CDLL(None, use_errno=True).mount(os.fsencode(str(source)), target, None, how, None))


def enter():
    """A network of this process alone, with loopback only, and mounts of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(NEWUSER | NEWNS | NEWNET))
    for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + name, "w") as f:
            f.write(text)
    mount("none", b"/", REC | PRIVATE)
    set_loopback(True)


def set_loopback(up):
    """Plugs the only cable of this network in, or pulls it out."""
    with socket.socket() as s:
        flags = fcntl.ioctl(s, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", flags)[1] & ~UP | (UP if up else 0)
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))


def inside(k, test, resolv="nameserver 127.0.0.1\n", hosts="127.0.0.1 localhost\n"):
    """test(kit) in a process with a network of its own and these files; a text of None: it is not
    there."""
    etc = k.top / "etc"
    etc.mkdir()
    for name, text in (("resolv.conf", resolv), ("hosts", hosts)):
        if text is not None:
            (etc / name).write_text(text)
    pid = os.fork()
    if not pid:
        os._exit(in_child(etc, test))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 2:
        raise Skip("no network and mount namespaces")
    assert status == 0, "see above"


def in_child(etc, test):
    try:
        enter()
    except OSError:
        return 2
    kit = Kit({"cdn_host": "cdn.hub.test"})
    try:
        with kit:
            mount(etc, b"/etc", BIND)
            test(kit, kit.hub.add_repo(ID, FILES))
        return 0
    except BaseException:
        traceback.print_exc()
        print("\n".join(map(str, kit.results)), file=sys.stderr, flush=True)
        return 1


def fetch(k, *args, host="hub.test"):
    # Less than the five seconds after which a silent server is asked again.
    return k.download(ID, "--retries", "0", "--timeout", "4", *args,
                      env={"HF_ENDPOINT": k.hub.endpoint.replace("127.0.0.1", host)})


def answers(k, **words):
    def test(kit, repo):
        words_of = {AAAA: words.get("six", ""), A: words.get("four", "")}
        with Names(words=words_of) as names:
            kit.ok(fetch(kit))
            kit.same(repo)
            assert {n for n, _ in names.asked} == {"hub.test", "cdn.hub.test"}
    inside(k, test)


def test_aaaa_servfail(k):
    answers(k, six="servfail")


def test_aaaa_refused(k):
    answers(k, six="refused")


def test_aaaa_notimp(k):
    answers(k, six="notimp")


def test_aaaa_nxdomain(k):
    answers(k, six="nxdomain")


def test_aaaa_silent(k):
    answers(k, six="silent")


def test_answer_by_tcp(k):
    answers(k, six="cut", four="cut")


def test_server_without_edns(k):
    answers(k, six="old", four="old")


def test_no_resolv_conf(k):
    def test(kit, repo):
        with Names():
            kit.ok(fetch(kit))
            kit.same(repo)
    inside(k, test, resolv=None, hosts=None)


def test_hosts_only(k):
    """Nobody is asked."""
    def test(kit, repo):
        kit.ok(fetch(kit))
        kit.same(repo)
        kit.ok(fetch(kit, "-6"), 5, "the name has no IPv6 address")
        kit.ok(fetch(kit, host="localhost"))
    inside(k, test, hosts="127.0.0.1 hub.test cdn.hub.test # x\n")


def test_second_server(k):
    def test(kit, repo):
        with Names(words={A: "servfail", AAAA: "servfail"}), Names(address=("127.0.0.3", 53)):
            kit.ok(fetch(kit))
            kit.same(repo)
    inside(k, test, resolv="nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n")


def test_search_list(k):
    def test(kit, repo):
        kit.hub.cdn_host = None
        with Names() as names:
            kit.ok(fetch(kit, host="own"), (5, 1), "own")  # the certificate is for hub.test
            assert ("own.hub.test", A) in names.asked and ("own.x.test", A) in names.asked
            assert ("own", A) not in names.asked
    inside(k, test, resolv="nameserver 127.0.0.1\nsearch x.test hub.test\n")


def test_no_such_name(k):
    def test(kit, _):
        with Names():
            kit.ok(fetch(kit, host="nowhere.test"), 5,
                   "cannot find the address of 'nowhere.test': there is no such name")
        kit.ok(fetch(kit), 5, "no name server answers")
        with Names(words={A: "servfail", AAAA: "refused"}):
            kit.ok(fetch(kit), 5, "the name server reports a failure")
        with Names(words={A: "silent", AAAA: "silent"}):
            kit.ok(fetch(kit), 5, "no name server has answered in time")
    inside(k, test)
