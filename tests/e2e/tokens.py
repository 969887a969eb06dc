"""The token: nobody but the endpoint gets it, and nobody gets to see it. Each test_* takes a Kit
(kit.py), which looks for tokens in all output and in all files that are left."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess

from fakehub import Generated, Lfs, Proxy, Regular, Trap
from kit import MB, Skip, hub_with

ID = "acme-lab/secret"
FILES = {"config.json": '{"a": 1}\n', "m.bin": Generated(1, 2 * MB)}


def secret(k, files=None, **options):
    return k.hub.add_repo(ID, FILES if files is None else files, private=True, **options)


def get(k, *args, token="read", **how):
    return k.download(ID, "--retries", "0", "-v", *args, token=token, **how)


def put(k, *args, env=None, **how):
    return k.run("upload", "-r", "acme-lab/up", "-p", k.top / "source", "--retries", "0", "-v", *args,
                 env={"HF_TOKEN": k.tokens["write"], **(env or {})}, **how)


def source(k):
    folder = k.top / "source"
    folder.mkdir()
    (folder / "a.txt").write_text("small")
    (folder / "m.bin").write_bytes(Generated(1, 3 * MB).read())


def sent(k, **what):
    """Whether a token came with such requests: {True}, {False}, both, or neither."""
    return {e["authorization"] for e in k.hub.asked(**what)}


def nothing_in(k, *texts):
    """No token, as it is or as a login, in what was sent elsewhere."""
    for text in texts:
        data = bytes(text) if isinstance(text, (bytes, bytearray)) else str(text).encode()
        assert b"authorization: bearer" not in data.lower(), "a token was sent"
        for token in k.tokens.values():
            assert token.encode() not in data, "a token was sent"


# to whom

def test_only_to_the_endpoint(k):
    repo = secret(k)
    k.ok(get(k))
    k.same(repo)
    assert sent(k, origin="hub") == {True} and sent(k, origin="cdn") == {False}
    source(k)
    k.hub.forget()
    k.hub.chunk = MB
    k.ok(put(k))
    assert sent(k, origin="upload") == {False}
    assert {e["path"].split("?")[0] for e in k.hub.asked("hub") if not e["authorization"]} == {
        "/api/complete_multipart"}


def elsewhere(k, trap):
    """Addresses that are not the endpoint's origin, though some look like it."""
    port = k.hub.endpoint.rsplit(":", 1)[1]
    return [trap.url, trap.url.replace("localhost", "127.0.0.1"), "https://localhost:" + port,
            "https://LOCALHOST:" + port, k.hub.cdn_url]


def test_not_after_a_redirect(k):
    """To another host, another port, or back from there."""
    secret(k)
    with Trap(tls=k.hub) as trap:
        for path in ("/revision/", "/tree/", "/resolve/", "/paths-info/"):
            for url in elsewhere(k, trap):
                for status in (301, 302, 303, 307, 308):
                    k.hub.forget()
                    k.hub.fault(path=path, status=status, headers={"Location": url + "/x"})
                    get(k, "config.json", "--force")
                    assert True not in sent(k, path="/x"), "%s, from %s" % (url, path)
            nothing_in(k, *trap.seen)
        assert len(trap.seen) >= 24  # a POST is not followed by 301, 302 and 303
    k.hub.violations.clear()


def test_not_when_led_back(k):
    """From the endpoint elsewhere, and from there to the endpoint again."""
    secret(k)
    k.hub.fault(path="/tree/", status=302, headers={"Location": k.hub.cdn_url + "/x"})
    k.hub.fault(origin="cdn", status=302, headers={"Location": k.hub.endpoint + "/api/back"})
    k.ok(get(k), (3, 4))
    assert sent(k, path="/api/back") == {False}
    k.hub.violations.clear()


def test_not_when_led_back_for_a_part(k):
    """The same with a file: neither the first part of it nor a later one has the token."""
    repo = k.hub.add_repo(ID, {"big.txt": Regular(b"0123456789abcdef" * (1 << 20))})
    place = "/%s/resolve/%s/big.txt" % (ID, repo.head().oid)
    k.hub.fault(path=place + "$", count=None, status=302, headers={"Location": k.hub.cdn_url + "/x"})
    k.hub.fault(origin="cdn", count=None, status=302,
                headers={"Location": k.hub.endpoint + place + "?back=1"})
    k.hub.fault(origin="hub", path="/resolve-cache/.*/big.txt", count=2, drop_after=700001)
    k.ok(get(k, "big.txt", "-j", "4", "--retries", "9"))
    k.same(repo, only=lambda p: p == "big.txt")
    assert len(k.hub.asked("hub", path="/resolve-cache/")) > 2
    assert sent(k, path="back=1") == {False} and sent(k, path="/resolve-cache/") == {False}
    assert {e["authorization"] for e in k.hub.asked() if e["path"] == place} == {True}


def test_not_to_pages_named_elsewhere(k):
    """A page of a listing that another host sent names the next one, at the endpoint."""
    k.hub.add_repo(ID, FILES)
    page = '[{"type":"file","oid":"%s","size":9,"path":"config.json"}]' % ("a" * 40)
    k.hub.fault(path="/tree/", status=302, headers={"Location": k.hub.cdn_url + "/x"})
    k.hub.fault(origin="cdn", path="^/x", status=200, body=page, headers={
        "Content-Type": "application/json", "Link": '<%s/api/secret>; rel="next"' % k.hub.endpoint})
    get(k)
    assert sent(k, path="/api/secret") == {False}
    k.hub.violations.clear()


def test_not_to_pages_elsewhere(k):
    secret(k)
    with Trap(tls=k.hub) as trap:
        for url in elsewhere(k, trap):
            k.hub.forget()
            k.hub.fault(path="/tree/", headers={"Link": '<%s/more>; rel="next"' % url})
            assert get(k).status
            assert True not in sent(k, path="/more"), url
        assert len(trap.seen) == 2
        nothing_in(k, *trap.seen)
    k.hub.violations.clear()


def test_not_to_the_addresses_of_an_upload(k):
    """Whatever the batch says of them, fields with the token's name included."""
    source(k)
    k.ok(put(k))
    with Trap(tls=k.hub) as trap:
        for url in elsewhere(k, trap):
            for action in ("upload", "verify"):
                k.hub.forget()
                k.hub.repos.clear()
                shutil.rmtree(str(k.top / "source" / ".cache"))
                k.hub.fault(path="/batch", replace=[[
                    '"%s": {"href": "[^"]*"' % action, '"%s": {"href": "%s/lfs", "header": {'
                    '"Authorization": "Bearer evil"}, "x": "y"' % (action, url)]])
                put(k)
                assert True not in sent(k, path="/lfs?") | sent(k, origin="cdn"), url
        nothing_in(k, *trap.seen)
        assert trap.seen
    k.hub.violations.clear()


def test_not_to_what_another_host_says_of_an_upload(k):
    """It could name any address of the endpoint for the token to go to."""
    source(k)
    data = (k.top / "source" / "m.bin").read_bytes()
    action = {"upload": {"href": k.hub.cdn_url + "/put"}, "verify": {"href": k.hub.endpoint + "/api/evil"}}
    answer = {"transfer": "basic", "objects": [
        {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "actions": action}]}
    k.hub.fault(origin="hub", path="/batch", status=307, count=None,
                headers={"Location": k.hub.cdn_url + "/batch"})
    k.hub.fault(origin="cdn", status=200, body=json.dumps(answer), count=None)
    k.ok(put(k), 1, err="a host other than the endpoint")
    assert not k.hub.asked(path="/api/evil") and not k.hub.asked(path="/put")
    k.hub.violations.clear()


def test_not_with_contents_at_the_endpoint(k):
    """A signed address may be on the endpoint's own host: the storage's login is in it."""
    source(k)
    k.hub.fault(path="/batch", replace=[['"upload": {"href": "[^"]*"', '"upload": {"href": "%s/put"'
                                         % k.hub.endpoint]])
    put(k)
    assert sent(k, method="PUT") == {False}
    k.hub.violations.clear()


def test_not_with_a_repository_that_moved(k):
    """A redirect within the endpoint keeps it; one that begins elsewhere does not have it."""
    repo = secret(k, aliases=["acme-lab/old"])
    k.ok(k.download("acme-lab/old", token="read"))
    k.same(repo)
    assert sent(k, origin="hub") == {True}


# in clear text

@hub_with(tls=False)
def test_not_in_clear_text_off_loopback(k):
    """0.0.0.0 leads to this machine, but that is the system's business: it is no loopback address,
    and neither is a name."""
    repo = k.hub.add_repo(ID, FILES)
    port = k.hub.endpoint.rsplit(":", 1)[1]
    k.ok(get(k, env={"HF_ENDPOINT": "http://0.0.0.0:" + port}))
    k.same(repo)
    assert sent(k, origin="hub") == {False}
    for host, with_token in (("127.0.0.1", True), ("localhost", True)):
        k.hub.forget()
        k.ok(get(k, "--force", env={"HF_ENDPOINT": "http://%s:%s" % (host, port)}))
        assert sent(k, origin="hub") == {with_token}, host
    source(k)
    k.hub.forget()
    k.ok(put(k, env={"HF_ENDPOINT": "http://0.0.0.0:" + port}), (3, 4))
    assert sent(k, origin="hub") == {False}


@hub_with(tls=False)
def test_that_it_is_not_sent_is_said(k):
    """Before the first request, and not as if no token had been given."""
    secret(k)
    port = k.hub.endpoint.rsplit(":", 1)[1]
    open_endpoint = "http://0.0.0.0:" + port
    source(k)
    for run in (get, put):
        r = k.ok(run(k, env={"HF_ENDPOINT": open_endpoint}), (3, 4), (
            "the token is not sent to '%s'" % open_endpoint, "no token was sent",
            "try: use an https:// address as --endpoint"))
        assert r.err.index("is not sent to") < r.err.index("http://0.0.0.0:%s/api" % port)
        assert "HF_TOKEN" not in r.err.split("try:")[1]
    with Proxy() as proxy:
        k.ok(get(k, env={"http_proxy": proxy.url}), (3, 4), "the token is not sent to '%s'" % k.hub.endpoint)
        r = k.ok(k.download(ID, env={"http_proxy": proxy.url}), (3, 4), "no token was given")
        assert "is not sent" not in r.err
    assert "is not sent" not in k.ok(get(k)).err


@hub_with(tls=False)
def test_not_to_a_plain_proxy(k):
    """In absolute form the proxy sees every field; loopback or not."""
    k.hub.add_repo(ID, FILES)
    # "localhost", too: the proxy of the tests cannot find it where there is no hosts file.
    hosts = {name: "127.0.0.1" for name in ("localhost", "hub.example", "127.evil.example",
                                            "localhost.example")}
    port = k.hub.endpoint.rsplit(":", 1)[1]
    with Proxy(hosts=hosts) as proxy:
        for host in ["127.0.0.1", *hosts]:
            k.hub.forget()
            env = {"HF_ENDPOINT": "http://%s:%s" % (host, port), "http_proxy": proxy.url}
            k.ok(get(k, "config.json", "--force", env=env))
            assert sent(k, origin="hub") == {False}, host
        assert len(proxy.log) > 10
        nothing_in(k, *(e["line"] + str(e["headers"]) for e in proxy.log))
        assert not any("authorization" in e["headers"] for e in proxy.log)


def test_not_to_a_tunnel(k):
    """CONNECT, with and without a login of the proxy's own; and when it says no."""
    secret(k)
    with Proxy(login="me:pass") as proxy:
        url = proxy.url.replace("//", "//me:pass@")
        r = k.ok(get(k, env={"https_proxy": url}))
        assert sent(k, origin="hub") == {True} and "pass@" not in r.err
        get(k, "--force", env={"https_proxy": proxy.url})
        assert len(proxy.log) > 2 and all(e["line"].startswith("CONNECT ") for e in proxy.log)
        assert not any("authorization" in e["headers"] for e in proxy.log)
        nothing_in(k, *(e["line"] + str(e["headers"]) for e in proxy.log))


def test_not_to_a_false_certificate(k):
    secret(k)
    k.ok(get(k, env={"SSL_CERT_FILE": None}), (1, 5), err="certificate")
    assert not k.hub.asked()


def test_not_to_http_from_https(k):
    """Nor is a server on this machine asked at all, when the Hub is elsewhere."""
    secret(k)
    source(k)
    with Trap() as trap:
        for url in (trap.url, trap.url.replace("localhost", "127.0.0.1")):
            for rule in ({"path": "/tree/", "status": 302, "headers": {"Location": url}},
                         {"path": "/tree/", "headers": {"Link": '<%s>; rel="next"' % url}},
                         {"path": "/resolve/", "status": 302, "headers": {"Location": url}}):
                k.hub.forget()
                k.hub.fault(count=None, **rule)
                assert get(k, "--force").status
            k.hub.forget()
            k.hub.fault(path="/batch", replace=[['"href": "[^"]*"', '"href": "%s"' % url]])
            k.ok(put(k), (1, 8, 9), err="https")
        assert not trap.seen
    k.hub.violations.clear()


# .env

NOT_FROM_DOTENV = ["HF_ENDPOINT", "https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY",
                   "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"]


def test_dotenv_cannot_redirect_it(k):
    """Found in the working directory, or named by the user."""
    repo = secret(k)
    here, free = ["--endpoint", k.hub.endpoint, "--ca-file", k.hub.ca_file], {
        "HF_ENDPOINT": None, "SSL_CERT_FILE": None}
    with Trap(tls=k.hub) as tls, Trap() as plain:
        for n, name in enumerate(NOT_FROM_DOTENV):
            value = tls.url if name == "HF_ENDPOINT" else plain.url if "roxy" in name.lower() else "/nonexistent"
            text = "%s=%s\nHF_TOKEN=%s\n" % (name, value, k.tokens["read"])
            (k.work / ".env").write_text(text)
            k.hub.forget()
            to = k.top / str(n)
            r = k.ok(k.download(repo, *here, to=to, env=free), err=(name, "is ignored"))
            assert value not in r.err
            k.same(repo, folder=to)
            assert sent(k, origin="hub") == {True}
            (k.work / ".env").unlink()
            (k.top / "mine.env").write_text(text)
            (k.work / "c.json").write_text('{"app": {"env": "../mine.env"}}')
            k.ok(k.download(repo, *here, "-c", "c.json", to=to, env=free), err=(name, "is ignored"))
        assert not tls.seen and not plain.seen


def test_dotenv_of_another_host(k):
    """What decides is the real environment, also where .env would lead to a host that answers."""
    repo = secret(k)
    (k.work / ".env").write_text("export HF_ENDPOINT='%s'\nHF_TOKEN=%s\n" % (k.hub.cdn_url, k.tokens["read"]))
    k.ok(k.download(repo))
    k.same(repo)
    assert sent(k, origin="cdn") == {False}


def test_dotenv_does_not_send_another_variable(k):
    """What lies in the working directory may be of somebody who wants to know AWS_SECRET."""
    repo = k.hub.add_repo(ID, FILES)
    (k.work / ".env").write_text("HF_TOKEN=${SECRET}\n")
    r = k.ok(k.download(repo, env={"SECRET": k.tokens["read"]}), err="HF_TOKEN in '.env' names a variable")
    assert r.err.count("names a variable") == 1 and sent(k) == {False}
    (k.work / "c.json").write_text('{"app": {"env": ".env"}}')
    k.hub.forget()
    k.ok(k.download(repo, "-c", "c.json", "--force", env={"SECRET": k.tokens["read"]}))
    assert sent(k, origin="hub") == {True}


def test_dotenv_that_cannot_be_parsed(k):
    """Nobody named it: it is ignored, and that is said with its line."""
    repo = k.hub.add_repo(ID, FILES)
    (k.work / ".env").write_text("A=1\n\nHF_TOKEN='%s\n" % k.tokens["read"])
    r = k.ok(k.download(repo), err="'.env' is ignored: line 3: unterminated quote in the value")
    assert r.err.count(".env") == 1 and sent(k) == {False}
    source(k)
    k.ok(k.run("upload", "-r", "acme-lab/up", "-p", k.top / "source"), 4, err=("line 3", "needs a token"))
    (k.work / "c.json").write_text('{"app": {"env": ".env"}}')
    k.ok(k.download(repo, "-c", "c.json"), 2, err="line 3")


def test_quotes_and_marks_around_it(k):
    """As editors, shells and containers leave them."""
    secret(k)
    read = k.tokens["read"]
    for text in ('"%s"', "'%s'", " %s\t", "\ufeff%s", '\ufeff "%s" ', '"%s"\r\n'):
        k.hub.forget()
        k.ok(k.download(ID, "--force", env={"HF_TOKEN": text % read}))
        (k.work / "token").write_text(text % read, encoding="utf-8")
        k.ok(k.download(ID, "--force", "--token-file", "token"))
        assert sent(k, origin="hub") == {True}
    for text, why in (("\u201c%s\u201d", "not ASCII"), ('"%s', "a quote"), ("Bearer %s", "a blank")):
        k.hub.forget()
        k.ok(k.download(ID, env={"HF_TOKEN": text % read}), 2, err=("HF_TOKEN: ", why))
        assert not k.hub.asked()


# who could look

def slow(k, *args, env=None, **how):
    """A run in the middle of a transfer."""
    k.hub.fault(origin="cdn", rate=MB // 4, count=None)
    process = k.start("download", "-r", ID, "-p", k.dir, *args, env=env, **how)
    k.wait_for(lambda: k.hub.asked("cdn"), what="the transfer")
    return process


def read_proc(process, name):
    with open("/proc/%d/%s" % (process.pid, name), "rb") as f:
        return f.read()


def test_not_in_the_arguments(k):
    """/proc/PID/cmdline is what ps shows."""
    secret(k)
    read = k.tokens["read"]
    for words in (["-a", read], ["-a" + read], ["--api_token", read], ["--api-token=" + read], ["--token", read],
                  ["--token=" + read], ["-qa", read]):
        process = slow(k, *words)
        line = read_proc(process, "cmdline")
        assert b"download" in line and b"hf_" not in line and read[3:].encode() not in line, line
        process.kill()
        k.finish(process)
        k.hub.forget()


def test_not_in_a_core(k):
    """Neither a file nor what core_pattern names gets one, whatever the limit was."""
    secret(k)

    def no_limit():
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        except ValueError:
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    process = slow(k, env={"HF_TOKEN": k.tokens["read"]}, preexec_fn=no_limit)
    soft = re.search(rb"Max core file size +(\d+)", read_proc(process, "limits")).group(1)
    assert soft in (b"0", b"1"), soft
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status), "a core was made"
    process.returncode = -signal.SIGABRT
    assert not [p for p in k.work.iterdir() if "core" in p.name]
    # The same without our care, so that the above shows something.
    other = subprocess.Popen(["sleep", "60"], cwd=str(k.work), preexec_fn=no_limit)
    k.wait_for(lambda: b"sleep" in read_proc(other, "cmdline"))
    other.send_signal(signal.SIGABRT)
    _, status = os.waitpid(other.pid, 0)
    other.returncode = -signal.SIGABRT
    for core in k.work.glob("*core*"):
        core.unlink()
    if not os.WCOREDUMP(status):
        raise Skip("no program leaves a core here")


def test_not_for_another_process_of_the_user(k):
    """A process that can not be dumped belongs to root in /proc, so that nobody but root can read its
    memory and its environment."""
    secret(k)
    process = slow(k, env={"HF_TOKEN": k.tokens["read"]})
    assert os.stat("/proc/%d/environ" % process.pid).st_uid == 0
    if os.geteuid() == 0:
        wrap = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        raise_if_missing(wrap[0])
        for path in (k.top, k.work, k.home):
            path.chmod(0o777)
        (k.top / "ca.pem").write_bytes(open(k.hub.ca_file, "rb").read())
        (k.top / "ca.pem").chmod(0o644)
        process.kill()
        k.finish(process)
        k.hub.forget()
        shutil.rmtree(str(k.dir))
        process = slow(k, env={"HF_TOKEN": k.tokens["read"], "SSL_CERT_FILE": k.top / "ca.pem"}, wrap=wrap)
        look = subprocess.run([*wrap, "cat", "/proc/%d/environ" % process.pid], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert look.returncode != 0 and not look.stdout, "its environment can be read"
    else:
        try:
            read_proc(process, "environ")
            raise AssertionError("its environment can be read")
        except PermissionError:
            pass
    process.kill()
    k.finish(process)


def raise_if_missing(program):
    if subprocess.run(["sh", "-c", "command -v " + program], stdout=subprocess.DEVNULL).returncode:
        raise Skip("no " + program)


def test_not_in_messages(k):
    """A Hub, a CDN or a storage that sends it back in all that is shown."""
    secret(k)
    source(k)
    for name, run in (("read", lambda: get(k, "--force", "--json")), ("write", lambda: put(k, "--json"))):
        token = k.tokens[name]
        for rule in ({"status": 400, "body": '{"error": "no %s here"}' % token},
                     {"status": 401, "headers": {"X-Error-Message": "bad " + token, "X-Request-Id": token}},
                     {"status": 404, "body": "Bearer %s\n" % token}, {"status": 302, "headers": {"Location": "/" + token}},
                     {"status": 302, "headers": {"Location": "https://127.0.0.1:9/%s?x=%s" % (token, token)}},
                     {"status": 302, "headers": {"Location": "https://%s@127.0.0.1:9/" % token}},
                     {"raw": "HTTP/1.1 503 %s\r\nContent-Length: 0\r\n\r\n" % token}):
            for path in ("/revision/", "/tree/", "/resolve/", "/preupload/", "/batch", "/commit/", "/create"):
                k.hub.forget()
                k.hub.fault(path=path, count=None, **rule)
                run()  # the kit looks at the output
    k.hub.violations.clear()


def test_not_in_messages_whatever_its_shape(k):
    """Tokens of organizations, gateways, JWT; as they come back in all that is shown."""
    secret(k)
    for token in ("api_org_AbCdEfGhIjKl", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-bmF0_dXJl", "s3cr3t-8",
                  "AKIA/x+y=="):
        for rule in ({"status": 400, "body": '{"error": "no %s here"}' % token},
                     {"status": 401, "headers": {"X-Error-Message": "bad " + token, "X-Request-Id": token}},
                     {"status": 302, "headers": {"Location": "/" + token}},
                     {"raw": "HTTP/1.1 503 %s\r\nContent-Length: 0\r\n\r\n" % token}):
            for path in ("/revision/", "/resolve/"):
                for words in (["--json"], ["--progress", "json"], ["--progress", "lines"]):
                    k.hub.forget()
                    k.hub.fault(path=path, count=None, **rule)
                    r = k.download(ID, "--retries", "0", "-v", *words, env={"HF_TOKEN": token})
                    assert r.status and token not in r.out + r.err, token
    k.hub.violations.clear()


def test_not_in_messages_about_a_name(k):
    token = k.tokens["read"]
    secret(k, {token + ".txt": "x", "../" + token: Regular("y"), "sub/" + token: Lfs(b"z" * 5000)})
    k.hub.fault(path="resolve-cache|xet-bridge", status=404, count=None)
    k.ok(get(k), (1, 3, 5, 6, 9))
    assert "hf_***" in k.results[-1].err


def test_in_the_wrong_place(k):
    """A token that the user gave where something else belongs is not shown."""
    token = k.tokens["read"]
    base = ["-r", ID, "-p", str(k.dir)]
    for words in (["download", token, "-p", k.dir], ["download", "-r", token, "-p", k.dir],
                  ["download", "-r", "acme-lab/x/" + token, "-p", k.dir], ["upload", token, k.work],
                  ["download", *base, "--token-file", token], ["download", *base, "-c", token],
                  ["download", *base, "--revision", "a b" + token], ["download", *base, "-t", token],
                  ["download", *base, "-j", token], ["download", *base, "--endpoint", token],
                  ["download", *base, "--endpoint", "ftp://" + token], ["download", *base, "--proxy", "x://" + token],
                  ["download", *base, "--" + token], ["download", *base, "-x" + token], [token],
                  ["download", *base, "--ca-file", token], ["download", *base, "--limit-rate", token],
                  ["download", *base, "--progress", token], ["download", *base, "../" + token],
                  ["download", *base, "--force=" + token], ["help", token], ["download", "-r", ID, "-p", "/proc/" + token],
                  ["download", "hf://" + token + "/" + token + "@" + "\x01", "-p", k.dir],
                  ["upload", "-r", ID, "-p", k.work / token, "-a", token]):
        r = k.run(*words)
        assert r.status and r.err and token[3:] not in r.err + r.out, words
        if "*" not in r.err:
            assert "hf_" not in r.err, r.err
    # As an address it would be in the log of the server.
    assert not [e for e in k.hub.asked() if token in e["path"] and "acme-lab" not in e["path"]]


def test_of_a_shape_that_cannot_be_sent(k):
    """Line ends in it would be fields of their own."""
    for bad in ("hf_x\r\nX-Evil: 1", "hf_\x01", "hf_\x7f", "two\nlines", "hf_\u00e4"):
        r = k.download(ID, env={"HF_TOKEN": bad})
        assert not any("x-evil" in e["headers"] for e in k.hub.asked())
        assert "X-Evil" not in r.err and "two\nlines" not in r.err


def test_not_in_files(k):
    """What an interrupted run leaves, of both directions; the kit looks at the target and the home."""
    secret(k)
    (k.work / "mine").write_text(k.tokens["read"] + "\n")
    for words in (["-a", k.tokens["read"]], ["--token-file", "mine"]):
        process = slow(k, *words)
        process.send_signal(signal.SIGTERM)
        k.finish(process)
        k.hub.forget()
    (k.work / "mine").unlink()
    source(k)
    process = k.start("upload", "-r", "acme-lab/up", "-p", k.top / "source", "--limit-rate", "300K",
                      env={"HF_TOKEN": k.tokens["write"]})
    k.wait_for(lambda: k.hub.asked("upload"), what="a part")
    process.send_signal(signal.SIGTERM)
    k.finish(process)
    everything = [p for p in k.top.rglob("*") if p.is_file()]
    assert any(p.name == "journal" for p in everything)
    for path in everything:
        nothing_in(k, path.read_bytes())
