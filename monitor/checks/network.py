"""The wire of one check: lookup, connection, encryption and bytes, with the time each of them took.

It plugs into httpcore as a network backend; which request is sent and what the answer means is not known here.
Foreign errors are renamed in `faults`.
"""

from __future__ import annotations

import asyncio
import socket
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
    connect,
    connection_error,
    lookup_error,
    lost_connection_error,
    tls_error,
)
from monitor.checks.observation import Phases, ProbeFault

READ_LIMIT_BYTES = 1024 * 1024
_HTTP = b"HTTP/"


class Stopwatch:
    """The moments of one check, in seconds of `perf_counter`; phases are their differences."""

    def __init__(self) -> None:
        self.started = perf_counter()
        self.resolving: float | None = None
        self.resolved: float | None = None
        self.connected: float | None = None
        self.encrypting: float | None = None
        self.encrypted: float | None = None
        self.sent: float | None = None
        self.first_byte: float | None = None
        self.last_byte: float | None = None

    def fault_at_deadline(self) -> ProbeFault:
        """Which fault it is when the time is up now."""
        if self.resolved is None:
            return ProbeFault.DNS_FAILED
        if self.connected is None or (self.encrypting is not None and self.encrypted is None):
            return ProbeFault.CONNECT_TIMEOUT
        return ProbeFault.RESPONSE_TIMEOUT

    def phases(self, *, complete: bool) -> Phases:
        """The phases in milliseconds; `read` only when the whole answer arrived."""
        return Phases(
            dns=_ms(self.resolving, self.resolved),
            connect=_ms(self.resolved, self.connected),
            tls=_ms(self.encrypting, self.encrypted),
            wait=_ms(self.sent, self.first_byte),
            read=_ms(self.first_byte, self.last_byte) if complete else None,
            total=_ms(self.started, self.last_byte if complete else perf_counter()),
        )


def _ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start) * 1000)


class Backend(httpcore.AsyncNetworkBackend):
    """Opens one connection for one check and notes the moments on its stopwatch."""

    def __init__(self, resolver: Resolver, stopwatch: Stopwatch) -> None:
        self._resolver = resolver
        self._stopwatch = stopwatch
        self._line: _Line | None = None

    def abort(self) -> None:
        """Cut the connection at once, wherever it is; a farewell could hang."""
        if self._line is not None and self._line.transport is not None:
            self._line.transport.abort()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raise `ProbeError` with the fault of the lookup or of the connection."""
        self._stopwatch.resolving = perf_counter()
        try:
            addresses = await self._resolver.resolve(host.strip("[]"), port)
        except socket.gaierror as error:
            raise lookup_error(error) from error
        self._stopwatch.resolved = perf_counter()
        try:
            sock = await connect(addresses)
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: _Line(sock, self._stopwatch), sock=sock
            )
        except OSError as error:
            raise connection_error(error) from error
        self._stopwatch.connected = perf_counter()
        self._line = line
        return Stream(line, self._stopwatch)


class _Line(asyncio.Protocol):
    """Receives bytes, notes when they came, and hangs up when there are too many of them."""

    def __init__(self, sock: StampedSocket, stopwatch: Stopwatch) -> None:
        self._sock = sock
        self._stopwatch = stopwatch
        self._count = 0
        self._head = b""
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.ended = False
        self.trouble: ProbeError | None = None
        self.news = asyncio.Event()

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
        self.received += data
        self.news.set()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)
        self._stopwatch.sent = self._sock.sent_at or perf_counter()

    def eof_received(self) -> bool:
        self.ended = True
        self.news.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.trouble is None and not self.ended:
            self.trouble = lost_connection_error(exc)
        self.ended = True
        self.news.set()

    def _fail(self, trouble: ProbeError) -> None:
        self.trouble = trouble
        self.received.clear()
        self.news.set()
        if self.transport is not None:
            self.transport.abort()


class Stream(httpcore.AsyncNetworkStream):
    """One connection as httpcore wants it. Timeouts are not looked at: the deadline is around the whole check."""

    def __init__(self, line: _Line, stopwatch: Stopwatch) -> None:
        self._line = line
        self._stopwatch = stopwatch

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        line = self._line
        while not line.received and line.trouble is None and not line.ended:
            line.news.clear()
            await line.news.wait()
        if line.trouble is not None:
            raise line.trouble
        data = bytes(line.received[:max_bytes])
        del line.received[:max_bytes]
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._line.write(buffer)

    async def aclose(self) -> None:
        if self._line.transport is not None:
            self._line.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raise `ProbeError` when the handshake fails."""
        line = self._line
        if line.transport is None:
            raise ProbeError(ProbeFault.LOST, "the connection was cut before the TLS handshake")
        self._stopwatch.encrypting = perf_counter()
        try:
            line.transport = await asyncio.get_running_loop().start_tls(
                line.transport, line, ssl_context, server_hostname=(server_hostname or "").strip("[]")
            )
        except ssl.SSLError as error:
            raise tls_error(error) from error
        except OSError as error:
            raise lost_connection_error(error, "the connection was cut during the TLS handshake") from error
        if line.transport is None:
            raise ProbeError(ProbeFault.LOST, "the connection was cut during the TLS handshake")
        self._stopwatch.encrypted = perf_counter()
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and self._line.transport is not None:
            return self._line.transport.get_extra_info("ssl_object")
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


# The client hands nothing through to its transport, so the exchange of the request under way lies here.
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
