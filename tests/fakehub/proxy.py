"""A forward proxy on loopback: absolute-form requests and CONNECT, with a log."""

import base64
import select
import socket
import socketserver
import threading
import urllib.parse


class Proxy:
    """Use as a context. login: "user:password" that is asked for. hosts: {name: address} for
    names that no resolver knows."""

    def __init__(self, login=None, hosts=None, refuse=None):
        self.login = login
        self.hosts = hosts or {}
        self.refuse = refuse  # a status that every request gets
        self.log = []  # {"line", "headers"} of each request

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), _Client)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()

    def lets_in(self, headers):
        if self.login is None:
            return True
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        return headers.get("proxy-authorization") == wanted

    def connect(self, host, port):
        return socket.create_connection((self.hosts.get(host, host), port), 10)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a client that went away


class _Client(socketserver.BaseRequestHandler):
    def handle(self):
        head = self._read_head()
        if not head:
            return
        proxy = self.server.proxy
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
        with self.server.proxy.connect(host.strip("[]"), int(port)) as up:
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
        with self.server.proxy.connect(url.hostname, url.port or 80) as up:
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
