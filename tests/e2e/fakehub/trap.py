"""A server where nothing of ours should come: it keeps every byte that it gets."""

import socketserver

from . import tlsca
from .loopback import Loopback


class Trap(Loopback):
    """Use as a context. tls: the Hub whose authority vouches for it; None: plain. answer: what
    each request gets. seen: the bytes of each connection."""

    def __init__(self, tls=None, answer=None):
        super().__init__(_Client, "https" if tls else "http", "localhost")
        self.answer = answer or b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        self.seen = []
        self._context = None
        if tls:
            self._context = tlsca.server_context(tls.authority.issue(label="trap"))

    def begin(self, sock):
        return self._context.wrap_socket(sock, server_side=True) if self._context else sock


class _Client(socketserver.BaseRequestHandler):
    def handle(self):
        trap = self.server.owner
        seen = bytearray()
        trap.seen.append(seen)
        self.request.settimeout(30)
        sock = trap.begin(self.request)
        while True:
            data = sock.recv(65536)
            if not data:
                return
            seen += data
            if data[:1] == b"\x16":  # a TLS client at a plain trap
                return
            if b"\r\n\r\n" in data:
                sock.sendall(trap.answer)
