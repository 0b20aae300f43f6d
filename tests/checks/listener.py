"""A loopback server that does to each connection what a test wants; and a port that drops everything."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

# What is done with a connection; it is closed afterwards.
Conduct = Callable[[socket.socket], object]

UNAUTHORIZED = '{"error":"WRONGPASS invalid or missing auth token"}'


def has_ipv6() -> bool:
    """Whether this machine has IPv6 on loopback, which many a container has not."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def family_of(host: str) -> socket.AddressFamily:
    """Of an address on loopback; skips the test where this machine has none of that family."""
    if ":" not in host:
        return socket.AF_INET
    if not has_ipv6():
        pytest.skip("wanted IPv6 on loopback, found none")
    return socket.AF_INET6


class Listener:
    """Listens until the block is left; connections are held for as long as their conduct lasts."""

    def __init__(
        self, conduct: Conduct, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.closing = threading.Event()
        self.connections = 0
        self._conduct = conduct
        self._tls = tls
        self._server = socket.create_server((host, port), family=family_of(host))
        self._open: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        # A thread that is waiting in accept or recv is woken by this, and by nothing else.
        for each in (self._server, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # The other side hangs up when it has seen enough; that is what most of these tests are about.
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._conduct(connection)
        connection.close()


def hang(connection: socket.socket) -> None:
    """Take everything and say nothing, until the other side gives up."""
    while connection.recv(4096):
        pass


def close_at_once(_connection: socket.socket) -> None:
    """Accept, and close at once."""


def say(text: bytes) -> Conduct:
    """Read what comes first, answer with these bytes, then wait for the other side to hang up."""

    def conduct(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text)
        hang(connection)

    return conduct


def http(status: int, body: str, kind: str = "application/json", *, headers: str = "") -> bytes:
    """One HTTP answer, whole."""
    head = f"HTTP/1.1 {status} Some Reason\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n"
    return (head + headers + "\r\n" + body).encode()


@contextmanager
def port_that_drops(host: str = "127.0.0.1") -> Iterator[int]:
    """A port where no connection comes about and none is refused: its queue is full and nobody accepts."""
    family = family_of(host)
    with socket.socket(family) as server, contextlib.ExitStack() as held:
        server.bind((host, 0))
        server.listen(0)
        for _ in range(3):
            filler = held.enter_context(socket.socket(family))
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(server.getsockname())
        yield server.getsockname()[1]


def port_that_refuses(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, and that no other program is given as long as this process lives."""
    bound = socket.socket(family_of(host))
    bound.bind((host, 0))
    port: int = bound.getsockname()[1]
    bound.detach()
    return port
