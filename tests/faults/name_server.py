"""A name server of our own, over UDP and TCP (RFC 1035), that may answer anything."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress

_A = 1
_RESPONSE, _RECURSION = 0x8400, 0x0080
_TRUNCATED = 0x0200
NO_ERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


class NameServer:
    """Answers every name with `addresses` (IPv4), or with the error `code`; not at all while it `hangs`.

    With `is_garbled` the answers are noise. All may be changed at any time from any thread.
    """

    def __init__(self, udp: socket.socket, tcp: socket.socket, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.code = NO_ERROR
        self.hangs = self.is_garbled = False
        self.questions = 0
        for serve, listening in ((self._serve_udp, udp), (self._serve_tcp, tcp)):
            threading.Thread(target=serve, args=(listening,), daemon=True).start()

    def answer(self, query: bytes, *, most: int) -> bytes | None:
        self.questions += 1
        if self.hangs:
            return None
        if self.is_garbled:
            return query[:2] + b"\xff" * 40
        end = query.index(0, 12) + 5
        [kind] = struct.unpack("!H", query[end - 4 : end - 2])
        found = self.addresses if kind == _A and self.code == NO_ERROR else ()
        # A pointer to the name in the question, class IN, no time to live.
        rows = [struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(one) for one in found]
        flags = _RESPONSE | _RECURSION | self.code
        if end + sum(map(len, rows)) > most:
            flags, rows = flags | _TRUNCATED, []
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(rows), 0, 0) + query[12:end] + b"".join(rows)

    def _serve_udp(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                query, whence = listening.recvfrom(4096)
                if not query:  # what listened was shut down
                    return
                answer = self.answer(query, most=512)
                if answer is not None:
                    listening.sendto(answer, whence)

    def _serve_tcp(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=self._answer_tcp, args=(connection,), daemon=True).start()

    def _answer_tcp(self, connection: socket.socket) -> None:
        with suppress(OSError, struct.error), connection, connection.makefile("rb") as reading:
            while True:
                [length] = struct.unpack("!H", reading.read(2))
                answer = self.answer(reading.read(length), most=65535)
                if answer is not None:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)
