"""A small HTTP server on loopback that can stop and start on the same port, and can answer a byte at a time.

What is answered is decided by whoever makes it.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, whatever its method; header names in lower case."""

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The content type."""
        return self.headers.get("content-type", "")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP answer. With `drip_seconds` it comes a byte at a time with that pause between, and never ends."""

    status: int
    body: str | bytes
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    drip_seconds: float | None = None


class Listener:
    """Listens on loopback, from `start` to `stop`, as often as wanted, always on the same port.

    `answer(request)` is called on a thread per connection; `None` hangs up without a word. Speaks TLS with `tls`.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Request], Reply | None],
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.stopped = threading.Event()
        self.tls = tls
        self._name = name
        self._port = port
        self._server: _Server | None = None
        self.start()

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://{self.address}"

    def start(self) -> None:
        if self._server is not None:
            return
        self.stopped.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and cut those that stand."""
        self.stopped.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], listener: Listener) -> None:
        self.listener = listener
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the name lookup of `http.server`, which would ask a resolver who we are."""
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        """With TLS the handshake comes with the first read, on the connection's own thread."""
        connection, address = super().get_request()
        if self.listener.tls is not None:
            connection = self.listener.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is an everyday thing; a fault of ours is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut_connections(self) -> None:
        for connection in self._connections.copy():
            with suppress(OSError):  # it may be gone already
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        """`do_GET` and its like: which methods there are is decided by whoever answers."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _BODY_LIMIT)
        request = Request(
            method=self.command,
            target=self.path,
            body=self.rfile.read(length),
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        reply = self.server.listener.answer(request)
        if reply is None:
            self.close_connection = True
            return
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        head = {"Content-Type": reply.kind, "Content-Length": str(len(body)), **reply.headers}
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            *(f"{k}: {v}" for k, v in head.items()),
        ]
        raw = "\r\n".join([*lines, "", ""]).encode() + (b"" if self.command == "HEAD" else body)
        with suppress(OSError):  # a client that hangs up in the middle is an everyday thing
            if reply.drip_seconds is None:
                self.wfile.write(raw)
            else:
                self._drip(raw, reply.drip_seconds)

    def _drip(self, raw: bytes, pause: float) -> None:
        self.close_connection = True
        for byte in raw:
            self.wfile.write(bytes((byte,)))
            if self.server.listener.stopped.wait(pause):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads an access log here."""
