"""A server on loopback with a thread for each connection, for what is no Hub."""

import socketserver
import threading


class Loopback:
    """Use as a context. handler: a BaseRequestHandler, which has this as self.server.owner. url
    and port are there inside; scheme and host are only named in url."""

    def __init__(self, handler, scheme="http", host="127.0.0.1"):
        self._handler, self._address = handler, "%s://%s:%%d" % (scheme, host)

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), self._handler)
        self._server.owner = self
        self.port = self._server.server_address[1]
        self.url = self._address % self.port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a client that went away
