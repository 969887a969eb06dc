"""A name server for tests, by UDP and TCP, which answers as it is told."""

import errno
import select
import socket
import threading
import time

A, AAAA = 1, 28

# Words for how a question is answered. "silent" gives no answer; "cut" none by UDP, but says that
# TCP has it; "old" fails if the question has EDNS.
CODES = {"servfail": 2, "nxdomain": 3, "notimp": 4, "refused": 5}


class Names:
    """Use as a context. It knows what ends in known: 127.0.0.1, and no other address.
    words: {AAAA: "servfail"} for how types are answered; by default rightly."""

    def __init__(self, known=".hub.test", words=None, address=("127.0.0.1", 53)):
        self.known, self.words, self.asked = known, words or {}, []
        self.udp, self.tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        end = time.monotonic() + 30
        while True:
            try:
                self.udp.bind(address)
                self.tcp.bind(address)
                break
            except OSError as e:
                # Another run of this test may have it for a moment.
                self.udp.close()
                self.tcp.close()
                if e.errno != errno.EADDRINUSE or time.monotonic() > end:
                    raise
                time.sleep(0.2)
                self.udp, self.tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self.tcp.listen()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.udp.close()
        self.tcp.close()

    def _serve(self):
        while not self.over.is_set():
            ready = select.select([self.udp, self.tcp], [], [], 0.05)[0]
            if self.udp in ready:
                query, peer = self.udp.recvfrom(4096)
                answer = self._answer(query, False)
                if answer:
                    self.udp.sendto(answer, peer)
            if self.tcp in ready:
                with self.tcp.accept()[0] as c:
                    c.settimeout(5)
                    size = int.from_bytes(c.recv(2), "big")
                    answer = self._answer(c.recv(size), True)
                    c.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, query, tcp):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, name, kind = query[12:at + 5], ".".join(labels), query[at + 2]
        self.asked.append((name, kind))
        word, edns = self.words.get(kind, ""), query[11]
        known = ("." + name).endswith(self.known)
        flags, answer = 0x8180 | (0 if known else 3), b""
        if word == "silent":
            return b""
        if word == "old" and edns:
            return query[:2] + b"\x81\x81" + bytes(8)
        if word in CODES:
            flags = 0x8180 | CODES[word]
        elif word == "cut" and not tcp:
            flags |= 0x200
        elif known and kind == A:
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        return (query[:2] + flags.to_bytes(2, "big") + b"\0\1\0%c\0\0\0\0" % bool(answer) + question
                + answer)
