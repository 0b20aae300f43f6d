"""The worker's way: the same database through `rediss://`. The only file that knows redis-py.

redis-py takes the URL apart, logs in and speaks Redis. The line below it is laid here: redis-py's own looks up on
threads that outlast every deadline, reads without end, and parts with a farewell that may hang.
What an answer means is decided in `core.classify`; what else is tried when it fails, in `worker_rung`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING

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
from monitor.checks.credentials import inspect_for_worker, worker_url
from monitor.checks.network import Stopwatch
from monitor.checks.observation import Observation, ProbeFault

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection
    from redis.exceptions import RedisError

_READ_LIMIT_BYTES = 64 * 1024
_REDIS_PORT = 6379  # a slash at the end of the REST URL hides the port behind it, and redis-py takes its own


class WorkerProbe:
    """Looks at one database the way a worker does. Making one reads redis-py in: 10 MB, a tenth of a second.

    `mistake` says why no worker can use the two values; then there is nothing to `ping`.
    The TLS context is redis-py's own kind: it trusts the system's list, or what `SSL_CERT_FILE` or `SSL_CERT_DIR`
    names. The one that checks share would announce HTTP in the handshake.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        port: int,
        scrub: Callable[[str], str],
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        read_in()
        self.url, self.token, self.port = url, token, port
        self.mistake = inspect_for_worker(url, token, port)
        self._scrub = scrub
        self._tls = tls or ssl.create_default_context()
        self._resolver = resolver or Resolver()

    async def ping(
        self,
        *,
        timeout: timedelta,
        port: int | None = None,
        user: str = "default",
    ) -> Observation:
        """Log in with the worker's URL, send `PING` with a nonce and wait for it, at most `timeout` in all.

        Another `port` or `user` than the worker's may be tried. `phases.tls` is set once the line stood.
        Raises nothing for whatever the network or the other side does.
        """
        url = worker_url(self.url, self.token, port or self.port, user=user)
        stopwatch = Stopwatch()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._ping(url, stopwatch)
        except TimeoutError:
            fault = stopwatch.fault_at_deadline()
            return _fault(stopwatch, fault, f"{_missing(stopwatch)} within {timeout.total_seconds():g} s")
        except ProbeError as error:
            return _fault(stopwatch, error.fault, error.description)

    async def _ping(self, url: str, stopwatch: Stopwatch) -> Observation:
        from redis.asyncio.connection import parse_url
        from redis.exceptions import InvalidResponse, RedisError

        found = parse_url(url)
        sock, reader, writer = await self._lay_line(found["host"], found.get("port", _REDIS_PORT), stopwatch)
        connection = _connection_class()(reader, writer, found.get("username"), found.get("password"))
        nonce = secrets.token_hex(16)
        try:
            stopwatch.sent = perf_counter()
            await connection.connect()  # type: ignore[no-untyped-call]  # logs in
            stopwatch.sent = perf_counter()
            await connection.send_command("PING", nonce)
            stopwatch.sent = sock.sent_at or stopwatch.sent
            answer = await connection.read_response()
        except (InvalidResponse, ValueError, RecursionError) as error:
            # The other side's bytes stand in the texts of these.
            raise ProbeError(ProbeFault.NOT_HTTP, "the answer is not Redis's protocol") from error
        except RedisError as error:
            stopwatch.first_byte = stopwatch.last_byte = sock.arrived_at or perf_counter()
            return Observation(phases=stopwatch.phases(complete=True), error_text=self._scrub(_error_text(error)))
        finally:
            await connection.disconnect(nowait=True)
            writer.close()
        stopwatch.first_byte = stopwatch.last_byte = sock.arrived_at or perf_counter()
        description = "" if answer == nonce.encode() else "PING was not answered with what was sent"
        return Observation(
            phases=stopwatch.phases(complete=True), as_expected=not description, description=description
        )

    async def _lay_line(
        self, host: str, port: int, stopwatch: Stopwatch
    ) -> tuple[StampedSocket, asyncio.StreamReader, asyncio.StreamWriter]:
        """Look up, connect, encrypt; raises `ProbeError`."""
        stopwatch.resolving = perf_counter()
        try:
            addresses = await self._resolver.resolve(host, port)
        except socket.gaierror as error:
            raise lookup_error(error) from error
        stopwatch.resolved = perf_counter()
        try:
            sock = await connect(addresses)
        except OSError as error:
            raise connection_error(error) from error
        stopwatch.connected = stopwatch.encrypting = perf_counter()
        loop = asyncio.get_running_loop()
        reader = _Reader(limit=_READ_LIMIT_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, sock=sock, ssl=self._tls, server_hostname=host
            )
        except ssl.SSLError as error:
            raise tls_error(error) from error
        except OSError as error:
            raise lost_connection_error(error, "the connection was cut during the TLS handshake") from error
        stopwatch.encrypted = perf_counter()
        return sock, reader, _Writer(transport, protocol, reader, loop)


class _Reader(asyncio.StreamReader):
    """A reader that takes no more than an answer to a login or a `PING` can be long."""

    _taken = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        self._taken += len(data)
        if self._taken > _READ_LIMIT_BYTES:
            self.set_exception(ProbeError(ProbeFault.OVERSIZED, "the answer is larger than 64 KiB"))
        else:
            super().feed_data(data)


class _Writer(asyncio.StreamWriter):
    """A writer that hangs up at once; redis-py waits for a farewell when a login fails, and that could hang."""

    def close(self) -> None:
        self.transport.abort()


def read_in() -> None:
    """redis-py is heavy, so it is imported only where it is used, and once."""
    _connection_class()


@cache
def _connection_class() -> Callable[..., Connection]:
    """redis-py's connection over a line that stands already."""
    from redis.asyncio.connection import Connection

    class OverALine(Connection):
        """No retry is set, which is this class's default. Telling its name and version would cost two commands."""

        def __init__(
            self,
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            username: str | None,
            password: str | None,
        ) -> None:
            super().__init__(username=username, password=password, driver_info=None)
            self._line = (reader, writer)

        async def _connect(self) -> None:
            self._reader, self._writer = self._line

    return OverALine


def _error_text(error: RedisError) -> str:
    """The server's own text, put together again; raises `ProbeError` for what the server never said."""
    from redis.exceptions import AuthenticationError, ResponseError

    if error.status_code:
        return f"{error.status_code} {error}"
    if isinstance(error, ResponseError):
        return str(error)
    if isinstance(error, AuthenticationError):
        raise ProbeError(ProbeFault.NOT_HTTP, "the login was answered with something else than OK") from error
    raise ProbeError(ProbeFault.LOST, "the connection was closed before the answer was complete") from error


def _fault(stopwatch: Stopwatch, fault: ProbeFault, description: str) -> Observation:
    return Observation(phases=stopwatch.phases(complete=False), fault=fault, description=description)


def _missing(stopwatch: Stopwatch) -> str:
    """What was still missing when the time was up."""
    if stopwatch.resolved is None:
        return "no answer from the resolver"
    if stopwatch.connected is None:
        return "no connection"
    return "no answer" if stopwatch.encrypted else "no TLS handshake"
