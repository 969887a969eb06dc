"""A forward proxy on loopback: absolute-form requests and CONNECT, with a log."""

import base64
import select
import socket
import socketserver
import urllib.parse

from .loopback import Loopback


class Proxy(Loopback):
    """Use as a context. login: "user:password" that is asked for. hosts: {name: address} for
    names that no resolver knows."""

    def __init__(self, login=None, hosts=None, refuse=None):
        super().__init__(_Client)
        self.login = login
        self.hosts = hosts or {}
        self.refuse = refuse  # a status that every request gets
        self.log = []  # {"line", "headers"} of each request

    def lets_in(self, headers):
        if self.login is None:
            return True
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        return headers.get("proxy-authorization") == wanted

    def connect(self, host, port):
        return socket.create_connection((self.hosts.get(host, host), port), 10)


class _Client(socketserver.BaseRequestHandler):
    def handle(self):
        head = self._read_head()
        if not head:
            return
        proxy = self.server.owner
        lines = head.decode("latin-1").split("\r\n")
        headers = dict((k.lower(), v.strip()) for k, _, v in (s.partition(":") for s in lines[1:]))
        proxy.log.append({"line": lines[0], "headers": headers})
        if proxy.refuse:
            self._say(proxy.refuse, "Refused")
        elif not proxy.lets_in(headers):
            self._say(407, "Login", 'Proxy-Authenticate: Basic realm="test"\r\n')
        elif lines[0].startswith("CONNECT "):
            self._tunnel(lines[0].split(" ")[1])
        else:
            self._forward(lines)

    def _read_head(self):
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.request.recv(65536)
            if not more:
                return b""
            data += more
        head, self.rest = data.split(b"\r\n\r\n", 1)
        return head

    def _say(self, status, reason, extra=""):
        self.request.sendall(("HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n"
                              % (status, reason, extra)).encode())

    def _tunnel(self, target):
        host, _, port = target.rpartition(":")
        with self.server.owner.connect(host.strip("[]"), int(port)) as up:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            up.sendall(self.rest)
            self._pump(up)

    def _forward(self, lines):
        method, target, version = lines[0].split(" ")
        url = urllib.parse.urlsplit(target)
        path = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        kept = [s for s in lines[1:] if not s.lower().startswith(("proxy-", "connection:"))]
        head = "\r\n".join(["%s %s %s" % (method, path, version)] + kept
                           + ["Connection: close", "", ""])
        with self.server.owner.connect(url.hostname, url.port or 80) as up:
            up.sendall(head.encode("latin-1") + self.rest)
            self._pump(up)

    def _pump(self, up):
        pairs = {up: self.request, self.request: up}
        while True:
            for sock in select.select(list(pairs), [], [], 60)[0] or [None]:
                data = sock.recv(65536) if sock else b""
                if not data:
                    return
                pairs[sock].sendall(data)
