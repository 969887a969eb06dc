"""hub serve against nginx: the same files, the same core for the server, the same tool on another
core for the load, A B A B. A part of bench."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

MB = 1_000_000
REPO = "o/served"
CIPHER = "ECDHE-RSA-AES128-GCM-SHA256"
SECONDS = 3        # of a run with small files
IDLE, BUSY = 1000, 64

CONF = """
worker_processes 1; daemon off; pid %(top)s/served.pid; error_log %(top)s/error.log;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  client_body_temp_path %(top)s/t1; proxy_temp_path %(top)s/t2; fastcgi_temp_path %(top)s/t3;
  uwsgi_temp_path %(top)s/t4; scgi_temp_path %(top)s/t5;
  server { listen 127.0.0.1:%(plain)d; root %(www)s; }
  server { listen 127.0.0.1:%(tls)d ssl; root %(www)s; ssl_certificate %(pem)s;
    ssl_certificate_key %(pem)s; ssl_protocols TLSv1.2; ssl_ciphers %(cipher)s; }
}"""


class Failed(Exception):
    pass


def pinned(core):
    """Words before a command that give it this core alone, where there are two."""
    return ["taskset", "-c", str(core)] if os.cpu_count() > 1 else []


class Folder:
    """What both serve: for nginx a root, for hub a download."""

    def __init__(self, top, size):
        self.www = top / "served"
        self.at = self.www / REPO / "resolve/main"
        self.size = size
        for name, n in (("big.bin", size), ("small.bin", 4096)):
            self._add(name, n)

    def _add(self, name, size):
        digest = hashlib.sha256()
        note = self.at / ".cache/huggingface/download" / (name + ".metadata")
        note.parent.mkdir(parents=True, exist_ok=True)
        with open(self.at / name, "wb") as f:
            for at in range(0, size, MB):
                block = os.urandom(min(MB, size - at))
                f.write(block)
                digest.update(block)
        note.write_text("%s\n%s\n%f\n" % ("1" * 40, digest.hexdigest(), time.time()))


class Nginx:
    def __init__(self, top, folder, pem, ports):
        self.ports = dict(zip(("http", "https"), ports))
        conf = top / "served.conf"
        conf.write_text(CONF % {"top": top, "www": folder.www, "pem": pem, "cipher": CIPHER,
                                "plain": ports[0], "tls": ports[1]})
        self.process = subprocess.Popen([*pinned(0), "nginx", "-e", str(top / "error.log"),
                                         "-c", str(conf)])

    def url(self, scheme, name):
        return "%s://127.0.0.1:%d/%s/resolve/main/%s" % (scheme, self.ports[scheme], REPO, name)

    def cpu(self, _):
        """Seconds of CPU of the worker."""
        children = Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid))
        return sum(cpu_of(pid) for pid in children.read_text().split())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Hub:
    """Two processes, since one has either plain HTTP or TLS."""

    def __init__(self, binary, folder, pem):
        self.of = {}
        for scheme, more in (("http", []), ("https", ["--cert", pem, "--key", pem])):
            self.of[scheme] = subprocess.Popen(
                [*pinned(0), binary, "serve", "-q", "-p", REPO + "=" + str(folder.at),
                 "--listen", "127.0.0.1:0", *more], stdout=subprocess.PIPE)
        self.ports = {scheme: urlsplit(p.stdout.readline().decode().strip()).port
                      for scheme, p in self.of.items()}

    url = Nginx.url

    def cpu(self, scheme):
        return cpu_of(self.of[scheme].pid)

    def peak(self, scheme):
        """MiB."""
        text = Path("/proc/%d/status" % self.of[scheme].pid).read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) / 1024

    def stop(self):
        for process in self.of.values():
            process.send_signal(signal.SIGTERM)
            process.wait()


def cpu_of(pid):
    """Seconds of CPU of all threads."""
    tasks = Path("/proc/%s/task" % pid).glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def wait_hashed(server):
    """What hub has not downloaded itself is hashed first, and what nginx sends is in memory."""
    for scheme in ("http", "https"):
        for _ in range(600):
            if all(fetch(server, scheme, name, "-sf").returncode == 0
                   for name in ("big.bin", "small.bin")):
                break
            time.sleep(0.2)
        else:
            raise Failed("it does not answer")


def fetch(server, scheme, name, *more):
    return subprocess.run([*pinned(1), "curl", "-k", "-o", "/dev/null", "--tls-max", "1.2",
                           "--ciphers", CIPHER, *more, server.url(scheme, name)])


# the loads: each gives how much a second, and seconds of the server's CPU for that many things

def bulk(server, scheme, folder):
    """MB a second, and CPU for a GB."""
    cpu, began = server.cpu(scheme), time.monotonic()
    if fetch(server, scheme, "big.bin", "-sSf").returncode != 0:
        raise Failed("curl failed")
    took, cpu = time.monotonic() - began, server.cpu(scheme) - cpu
    return folder.size / MB / took, cpu / (folder.size / 1e9)


def small(server, scheme, _):
    """Requests a second on 32 connections that stay open, and CPU for 100,000."""
    cpu = server.cpu(scheme)
    done = subprocess.run([*pinned(1), "wrk", "-t1", "-c32", "-d%ds" % SECONDS,
                           server.url(scheme, "small.bin")], stdout=subprocess.PIPE, text=True)
    cpu = server.cpu(scheme) - cpu
    count = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
    if not count or not rate or re.search("Non-2xx|Socket errors", done.stdout):
        raise Failed("wrk: " + done.stdout)
    return float(rate.group(1)), cpu / int(count.group(1)) * 100_000


LOADS = [("one file by plain HTTP", "MB/s", "GB", bulk, "http", "curl", 0.9),
         ("one file by TLS", "MB/s", "GB", bulk, "https", "curl", 0.7),
         ("32 connections kept alive, files of 4 kB", "requests/s", "100,000", small, "http", "wrk",
          0.9)]


def compare(top, binary, pem, ports, size, runs, tell, say):
    """A table for the README; returns what was to be reached, and what was."""
    folder = Folder(top, size)
    hub, nginx = Hub(binary, folder, pem), Nginx(top, folder, pem, ports)
    rows = []
    try:
        for server in (nginx, hub):
            wait_hashed(server)
        begin_table(folder, tell)
        for what, unit, per, load, scheme, tool, target in LOADS:
            if not shutil.which(tool):
                continue
            costs = {server: [] for server in (hub, nginx)}
            for n in range(runs):
                for server, had in costs.items():
                    had.append(load(server, scheme, folder))
                    say("serve %d %s %s: %.0f %s" % (n, what, type(server).__name__, had[-1][0], unit))
            ours, theirs = ([statistics.median(c[i] for c in had) for i in range(2)]
                            for had in costs.values())
            tell("| %s: %s; CPU s per %s | %s | %s | %.2f | %.2f | %.2f | %.2f |" % (
                what, unit, per, *("{:,.0f}".format(x[0]) for x in (ours, theirs)),
                ours[0] / theirs[0], ours[1], theirs[1], ours[1] / theirs[1]))
            rows.append(("serve, " + what, "rate ≥ %.1f" % target, "rate %.2f, CPU %.2f" % (
                ours[0] / theirs[0], ours[1] / theirs[1])))
        rows += memory(Hub(binary, folder, pem), tell)
    finally:
        hub.stop()
        nginx.stop()
        shutil.rmtree(str(folder.www))
    return rows


def begin_table(folder, tell):
    version = subprocess.run(["nginx", "-v"], stderr=subprocess.PIPE, text=True).stderr
    tell("\n`hub serve` against nginx %s (sendfile, one worker), the server on one core and curl or "
         "wrk on\nanother; a file of %d MB; TLS 1.2 with %s:\n" % (
             version.rpartition("/")[2].strip(), folder.size // MB, CIPHER))
    tell("| | hub | nginx | × | hub, CPU s | nginx, CPU s | × |")
    tell("| --- | --: | --: | --: | --: | --: | --: |")


# memory

def memory(hub, tell):
    """The peak with connections that had an answer and wait, and some that are sent a file."""
    rows = []
    try:
        wait_hashed(hub)
        peaks = []
        for scheme in ("http", "https"):
            with contextlib.ExitStack() as stack:
                idle = [stack.enter_context(connected(hub, scheme)) for _ in range(IDLE)]
                for s in idle:
                    ask(hub, s, scheme, "small.bin")
                    take(s, 4096)
                busy = [stack.enter_context(connected(hub, scheme)) for _ in range(BUSY)]
                for s in busy:
                    ask(hub, s, scheme, "big.bin")
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    for s in busy:
                        s.recv(1 << 16)
            peaks.append(hub.peak(scheme))
    finally:
        hub.stop()
    tell("\nIts peak memory with {:,} connections that wait and {} that are sent a file: "
         "**{:.1f} MiB**,\nwith TLS {:.0f} MiB.".format(IDLE, BUSY, *peaks))
    rows.append(("serve, peak memory, plain", "≤ 8 MiB", "%.1f MiB" % peaks[0]))
    return rows


def connected(hub, scheme):
    s = socket.create_connection(("127.0.0.1", hub.ports[scheme]))
    if scheme == "http":
        return s
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(s)


def ask(hub, s, scheme, name):
    path = urlsplit(hub.url(scheme, name)).path
    s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())


def take(s, size):
    got = b""
    while len(got.partition(b"\r\n\r\n")[2]) < size:
        got += s.recv(65536)
