"""A server that misbehaves in one way at a time, over real sockets and TLS; tests say what must come of it."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import trustme

# What is done with one connection, after its request was read where there is one to read.
Behaviour = Callable[["ServerConnection"], None]


class FaultyServer:
    """Listens on loopback; every connection is treated in the same way until `behaviour` is changed."""

    def __init__(
        self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET
    ) -> None:
        self.behaviour = behaviour
        self.connections = 0
        self.requests: list[bytes] = []
        self.was_visited = threading.Event()
        self.closing = threading.Event()
        self._tls = tls
        self._open: list[socket.socket] = []
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self._socket = socket.create_server((host, 0), family=family, backlog=512)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def close(self) -> None:
        self.closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self.was_visited.set()
            self._open.append(connection)
            # Else Nagle's algorithm holds an answer back until the client's kernel has acknowledged the session
            # tickets of TLS before it, which takes 40 ms while nobody reads them: `send` would return long before.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self.behaviour(ServerConnection(connection, self))
            connection.close()


@dataclass
class ServerConnection:
    """One connection and the ways to treat it."""

    connection: socket.socket
    server: FaultyServer

    def read_request(self) -> list[Any]:
        """Read one whole request; return its command."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        while length and len(body) < int(length.group(1)):
            body += self._more()
        self.server.requests.append(head + b"\r\n\r\n" + body)
        command: list[Any] = json.loads(body)
        return command

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def drip(self, data: bytes) -> None:
        """A byte now and then, never all of it before the test is over."""
        for byte in data:
            if self.server.closing.wait(0.05):
                return
            self.send(bytes([byte]))

    def flood(self, data: bytes) -> None:
        """The same again and again, until the other side hangs up."""
        while not self.server.closing.is_set():
            self.send(data)

    def wait(self) -> None:
        self.server.closing.wait()

    def reset(self) -> None:
        """RST in place of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _more(self) -> bytes:
        data = self.connection.recv(65536)
        if not data:
            raise OSError("gone")
        return data


@contextmanager
def faulty_server(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET
) -> Iterator[FaultyServer]:
    server = FaultyServer(behaviour, tls=tls, family=family)
    try:
        yield server
    finally:
        server.close()


def answer(body: bytes | str, status: int = 200, *, kind: str = "application/json", head: str = "") -> Behaviour:
    """Listen, then say a whole HTTP answer."""

    def behaviour(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(http(body, status, kind=kind, head=head))

    return behaviour


def echo(connection: ServerConnection) -> None:
    """What a database does: answer PING with what was sent, in base64."""
    connection.send(echo_of(connection.read_request()))


def echo_of(command: list[Any]) -> bytes:
    """The answer to that PING."""
    return http(json.dumps({"result": base64.b64encode(command[1].encode()).decode()}))


def http(body: bytes | str, status: int = 200, *, kind: str = "application/json", head: str = "") -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    lines = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\n{head}Content-Length: {len(raw)}\r\n\r\n"
    return lines.encode() + raw


class Certificates:
    """Two authorities of our own: one that the client trusts, and one that it does not."""

    def __init__(self, trusted: trustme.CA | None = None) -> None:
        self._trusted, self._stranger = trusted or trustme.CA(), trustme.CA()

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._trusted.configure_trust(context)
        return context

    def save(self, path: str) -> None:
        self._trusted.cert_pem.write_to_path(path)

    def server(
        self, name: str = "localhost", *, is_trusted: bool = True, starts: float = -1, ends: float = 30
    ) -> ssl.SSLContext:
        """A certificate valid from `starts` to `ends` days from now."""
        now = datetime.now(UTC)
        leaf = (self._trusted if is_trusted else self._stranger).issue_cert(
            name, not_before=now + timedelta(days=starts), not_after=now + timedelta(days=ends)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        return context
