"""A server where nothing of ours should come: it keeps every byte that it gets."""

import socketserver
import threading

from . import tlsca


class Trap:
    """Use as a context. tls: the Hub whose authority vouches for it; None: plain. answer: what
    each request gets. seen: the bytes of each connection."""

    def __init__(self, tls=None, answer=None):
        self.answer = answer or b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        self.seen = []
        self._context = None
        if tls:
            self._context = tlsca.server_context(tls.authority.issue(label="trap"))

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), _Client)
        self._server.trap = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = "%s://localhost:%d" % ("https" if self._context else "http", self.port)
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()

    def begin(self, sock):
        return self._context.wrap_socket(sock, server_side=True) if self._context else sock


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a client that went away


class _Client(socketserver.BaseRequestHandler):
    def handle(self):
        trap = self.server.trap
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
