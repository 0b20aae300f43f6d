"""One probe of a database as a worker reaches it: through `rediss://`, with redis-py.

redis-py takes the URL apart, logs in and speaks Redis. The connection below it is made here: redis-py's own looks
up on threads that outlast every deadline, reads without end, and waits for an orderly end of TLS that may hang.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING

from monitor.checks.answer import ERROR_LENGTH
from monitor.checks.connection import (
    CLOSED_EARLY,
    CUT_DURING_HANDSHAKE,
    REDIS_IN_PLAIN,
    ProbeError,
    Resolver,
    StampedSocket,
    Stopwatch,
    look_up_and_connect,
    lost_connection_error,
    unless_in_plain,
)
from monitor.checks.credentials import inspect_for_worker, worker_url
from monitor.checks.observation import Fact, Observation, ProbeFault

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection
    from redis.exceptions import RedisError

_READ_LIMIT_BYTES = 8 * 1024  # Redis's longest error, of protected mode, has one
_FULL = "ERR max number of clients reached"
_REDIS_PORT = 6379  # a slash at the end of the REST URL hides the port behind it, and redis-py takes its own


class _FullError(Exception):
    """A Redis at its limit of connections, which it tells unencrypted before anything was said to it."""


class WorkerProbe:
    """Checks one database as a worker reaches it. Making one imports redis-py: 10 MB, a tenth of a second.

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
        import_redis()
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

        Another `port` or `user` than the worker's may be tried. `phases.connect` is set once a connection stood,
        `phases.tls` once it was encrypted.
        Raises nothing for whatever the network or the other side does.
        """
        url = worker_url(self.url, self.token, port or self.port, user=user)
        stopwatch = Stopwatch()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._ping(url, stopwatch)
        except TimeoutError:
            error = stopwatch.error_at_deadline(timeout)
        except ProbeError as caught:
            error = caught
        except _FullError as full:
            return Observation(phases=stopwatch.phases(complete=False), error_text=self._scrub(str(full)))
        error = stopwatch.explain(error)
        return Observation(
            phases=stopwatch.phases(complete=False),
            fault=error.fault,
            description=error.description,
            facts=error.facts,
        )

    async def _ping(self, url: str, stopwatch: Stopwatch) -> Observation:
        from redis.asyncio.connection import parse_url
        from redis.exceptions import InvalidResponse, RedisError

        found = parse_url(url)
        sock, reader, writer = await self._connect(found["host"], found.get("port", _REDIS_PORT), stopwatch)
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
            raise ProbeError(ProbeFault.NOT_HTTP, "not Redis's protocol") from error
        except RedisError as error:
            stopwatch.first_byte = stopwatch.last_byte = sock.arrived_at or perf_counter()
            return Observation(phases=stopwatch.phases(complete=True), error_text=self._scrub(_error_text(error)))
        finally:
            await connection.disconnect(nowait=True)
            writer.close()
        stopwatch.first_byte = stopwatch.last_byte = sock.arrived_at or perf_counter()
        description = "" if answer == nonce.encode() else "PING brought back something else than was sent"
        return Observation(
            phases=stopwatch.phases(complete=True), as_expected=not description, description=description
        )

    async def _connect(
        self, host: str, port: int, stopwatch: Stopwatch
    ) -> tuple[StampedSocket, asyncio.StreamReader, asyncio.StreamWriter]:
        """Look up, connect, encrypt; raises `ProbeError`."""
        sock = await look_up_and_connect(self._resolver, host, port, stopwatch)
        stopwatch.encrypting = perf_counter()
        loop = asyncio.get_running_loop()
        reader = _Reader(limit=_READ_LIMIT_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        handshake = loop.create_connection(lambda: protocol, sock=sock, ssl=self._tls, server_hostname=host)
        try:
            transport, _ = await unless_in_plain(asyncio.ensure_future(handshake), sock.getpeername())
        except OSError as error:
            text = _error_in_plain(sock.head)
            if text.startswith(_FULL):
                raise _FullError(text) from error
            if text:
                raise ProbeError(ProbeFault.TLS, REDIS_IN_PLAIN, Fact.NOT_TLS) from error
            raise lost_connection_error(error, CUT_DURING_HANDSHAKE) from error
        stopwatch.encrypted = perf_counter()
        return sock, reader, _Writer(transport, protocol, reader, loop)


class _Reader(asyncio.StreamReader):
    """A reader that takes no more than an answer to a login or a `PING` can be long."""

    _taken = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # the base class takes any buffer
        self._taken += len(data)
        if self._taken > _READ_LIMIT_BYTES:
            self.set_exception(ProbeError(ProbeFault.OVERSIZED, "larger than 8 KiB"))
        else:
            super().feed_data(data)


class _Writer(asyncio.StreamWriter):
    """A writer that closes at once; redis-py waits for an orderly end when a login fails, and that could hang."""

    def close(self) -> None:
        self.transport.abort()


def import_redis() -> None:
    """Import redis-py, which is heavy, now and not at the first probe."""
    _connection_class()


@cache
def _connection_class() -> Callable[..., Connection]:
    """redis-py's connection over one that stands already."""
    from redis.asyncio.connection import Connection

    class OverConnection(Connection):
        """No retry is set, which is this class's default. Telling its name and version would cost two commands."""

        def __init__(
            self,
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            username: str | None,
            password: str | None,
        ) -> None:
            super().__init__(username=username, password=password, driver_info=None)
            self._streams = (reader, writer)

        async def _connect(self) -> None:
            self._reader, self._writer = self._streams

    return OverConnection


def _error_in_plain(head: bytes) -> str:
    """The error of a Redis that answered a TLS handshake in its own protocol; empty for anything else.

    A Redis at its limit of clients answers each new one with an error and closes, before anything was sent.
    """
    return head[1:].decode("ascii", "replace").strip() if head.startswith(b"-") else ""


def _error_text(error: RedisError) -> str:
    """The server's own text, put together again; raises `ProbeError` for what is not the server's."""
    from redis.exceptions import AuthenticationError, ResponseError

    if error.status_code:
        return f"{error.status_code} {error}"[:ERROR_LENGTH]
    if isinstance(error, ResponseError):
        return str(error)[:ERROR_LENGTH]
    if isinstance(error, AuthenticationError):
        raise ProbeError(ProbeFault.NOT_HTTP, "the login brought something else than OK") from error
    raise ProbeError(ProbeFault.LOST, CLOSED_EARLY) from error
