"""The network below one HTTP request: a fresh connection, the moments of its bytes, a cap on what is read.

`Backend` and `Stream` are httpcore's network backend, `Transport` is httpx's. Errors are raised as `ProbeError`.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

import httpcore
import httpx

from monitor.checks.connection import (
    ProbeError,
    Resolver,
    StampedSocket,
    Stopwatch,
    connection_error,
    look_up_and_connect,
    lost_connection_error,
)
from monitor.checks.observation import ProbeFault

READ_LIMIT_BYTES = 1024 * 1024
_HTTP = b"HTTP/"
_CUT_DURING_HANDSHAKE = "the connection was cut during the TLS handshake"


class Backend(httpcore.AsyncNetworkBackend):
    """Opens one connection for one check and notes the moments on its stopwatch."""

    def __init__(self, resolver: Resolver, stopwatch: Stopwatch) -> None:
        self._resolver = resolver
        self._stopwatch = stopwatch
        self._connection: _Connection | None = None

    def abort(self) -> None:
        """Close the connection at once, wherever it is; an orderly end of TLS could hang."""
        if self._connection is not None:
            self._connection.abort()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `ProbeError` with the fault of the lookup or of the connection."""
        sock = await look_up_and_connect(self._resolver, host.strip("[]"), port, self._stopwatch)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(sock, self._stopwatch), sock=sock
            )
        except OSError as error:
            raise connection_error(error) from error
        self._connection = connection
        return Stream(connection, self._stopwatch)


class _Connection(asyncio.Protocol):
    """Receives bytes, notes when they came, and closes when they are too many or no HTTP."""

    def __init__(self, sock: StampedSocket, stopwatch: Stopwatch) -> None:
        self._sock = sock
        self._stopwatch = stopwatch
        self._count = 0
        self._head = b""
        self._changed = asyncio.Event()
        self._received = bytearray()
        self._ended = False
        self._error: ProbeError | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._stopwatch.last_byte = self._sock.arrived_at or perf_counter()
        if self._stopwatch.first_byte is None:
            self._stopwatch.first_byte = self._stopwatch.last_byte
        self._count += len(data)
        if self._count > READ_LIMIT_BYTES:
            self._fail(ProbeError(ProbeFault.OVERSIZED, "the answer is larger than 1 MiB"))
            return
        # The first bytes tell a Redis or SSH server at once, not at the deadline. They may come one by one.
        self._head += data[: len(_HTTP) - len(self._head)]
        if not _HTTP.startswith(self._head):
            self._fail(ProbeError(ProbeFault.NOT_HTTP, "the answer is not HTTP"))
            return
        self._received += data
        self._changed.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._changed.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._error is None and not self._ended:
            self._error = lost_connection_error(exc)
        self._ended = True
        self._changed.set()

    async def read(self, max_bytes: int) -> bytes:
        """What has arrived, once there is something; nothing at the end. Raises `ProbeError`."""
        while not self._received and self._error is None and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        return data

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)
        self._stopwatch.sent = self._sock.sent_at or perf_counter()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, error: ProbeError) -> None:
        self._error = error
        self._received.clear()
        self._changed.set()
        self.abort()


class Stream(httpcore.AsyncNetworkStream):
    """One connection as httpcore wants it. Its timeouts are ignored: the deadline is around the whole check."""

    def __init__(self, connection: _Connection, stopwatch: Stopwatch) -> None:
        self._connection = connection
        self._stopwatch = stopwatch

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._connection.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._connection.write(buffer)

    async def aclose(self) -> None:
        self._connection.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `ProbeError` when the handshake fails."""
        connection, loop = self._connection, asyncio.get_running_loop()
        self._stopwatch.encrypting = perf_counter()
        if connection.transport is not None:
            try:
                connection.transport = await loop.start_tls(
                    connection.transport,
                    connection,
                    ssl_context,
                    server_hostname=(server_hostname or "").strip("[]"),
                )
            except OSError as error:
                raise lost_connection_error(error, _CUT_DURING_HANDSHAKE) from error
        if connection.transport is None:
            raise ProbeError(ProbeFault.LOST, _CUT_DURING_HANDSHAKE)
        self._stopwatch.encrypted = perf_counter()
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and self._connection.transport is not None:
            return self._connection.transport.get_extra_info("ssl_object")
        return None


@dataclass(kw_only=True, slots=True)
class Exchange:
    """What one request met on its way; filled in by the transport."""

    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    status: int | None = None
    content_type: str = ""
    sync_token: str = ""
    body: bytes = b""
    complete: bool = False


# The client hands nothing through to its transport, so the exchange of the request under way is kept here.
current_exchange: ContextVar[Exchange] = ContextVar("exchange")


class Transport(httpx.AsyncBaseTransport):
    """A fresh connection for each request, a cap on what is read, the exchange noted."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = current_exchange.get()
        backend = Backend(self._resolver, exchange.stopwatch)
        connection = httpcore.AsyncHTTPConnection(
            origin=httpcore.Origin(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port or (443 if request.url.scheme == "https" else 80),
            ),
            ssl_context=self._tls,
            network_backend=backend,
        )
        try:
            response = await connection.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.content,
                )
            )
            exchange.status = response.status
            headers = httpx.Headers(response.headers)
            exchange.content_type = headers.get("content-type", "")
            exchange.sync_token = headers.get("upstash-sync-token", "").encode("ascii", "ignore").decode("ascii")
            raw = b"".join([chunk async for chunk in response.aiter_stream()])
        except httpcore.RemoteProtocolError as error:
            raise _protocol_error(error) from error
        finally:
            backend.abort()
        exchange.body = _unpack(raw, headers.get("content-encoding", ""))
        exchange.complete = True
        # Already unpacked, so httpx must not do it again, without a limit.
        kept = [(name, value) for name, value in response.headers if name.lower() != b"content-encoding"]
        return httpx.Response(exchange.status, headers=kept, content=exchange.body)


def _protocol_error(error: httpcore.RemoteProtocolError) -> ProbeError:
    """Of what h11 calls a protocol error, tell an early end from an answer that is not HTTP, by its wording."""
    if "closed connection" in str(error) or "disconnected" in str(error):
        return ProbeError(ProbeFault.LOST, "the connection was closed before the answer was complete")
    return ProbeError(ProbeFault.NOT_HTTP, "the answer is not valid HTTP")


def _unpack(raw: bytes, encoding: str) -> bytes:
    """Undo gzip or deflate up to the limit; raises `ProbeError`."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ProbeError(ProbeFault.NOT_HTTP, "the answer is in an encoding that was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(raw, READ_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise ProbeError(ProbeFault.NOT_HTTP, "the answer is not validly compressed") from error
    if len(body) > READ_LIMIT_BYTES:
        raise ProbeError(ProbeFault.OVERSIZED, "the answer is larger than 1 MiB when unpacked")
    if not unpacker.eof:
        raise ProbeError(ProbeFault.LOST, "the compressed answer was cut short")
    return body
