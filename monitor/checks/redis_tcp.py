"""One probe of a database as a worker reaches it: through `rediss://`, with AUTH and PING.

The URL is taken apart as clients do it. The two commands and their answers are written and read here, by RESP2
(redis.io/docs/latest/develop/reference/protocol-spec): redis-py would take 4 to 8 MB for good, looks up on threads
that outlast every deadline, reads without end, and waits for an orderly end of TLS that may hang.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from urllib.parse import unquote, urlparse

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

_READ_LIMIT_BYTES = 8 * 1024  # Redis's longest error, of protected mode, has one
_FULL = "ERR max number of clients reached"
_REDIS_PORT = 6379  # a slash at the end of the REST URL hides the port behind it, and clients take Redis's own
# Of a Redis before 6.0, which knows no users.
_WRONG_NUMBER = "ERR wrong number of arguments for 'auth' command"

Answer = str | None


class _FullError(Exception):
    """A Redis at its limit of connections, which it tells unencrypted before anything was said to it."""


class _RefusedError(Exception):
    """An error that Redis itself answered, in its own text."""


class WorkerProbe:
    """Checks one database as a worker reaches it.

    `mistake` says why no worker can use the two values; then there is nothing to `ping`.
    The TLS context is the kind that clients make: it trusts the system's list, or what `SSL_CERT_FILE` or
    `SSL_CERT_DIR` names. The one that checks share would announce HTTP in the handshake.
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
        found = urlparse(url)
        sock, reader, writer = await self._connect(
            unquote(found.hostname or ""), found.port or _REDIS_PORT, stopwatch
        )
        nonce = secrets.token_hex(16)
        try:
            stopwatch.sent = perf_counter()
            await _log_in(reader, writer, unquote(found.username or ""), unquote(found.password or ""))
            stopwatch.sent = perf_counter()
            answer = await _ask(reader, writer, "PING", nonce)
            stopwatch.sent = sock.sent_at or stopwatch.sent
        except _RefusedError as refused:
            stopwatch.first_byte = stopwatch.last_byte = sock.arrived_at or perf_counter()
            text = str(refused)[:ERROR_LENGTH]
            return Observation(phases=stopwatch.phases(complete=True), error_text=self._scrub(text))
        except ValueError as error:
            # The other side's bytes stand in the texts of these.
            raise ProbeError(ProbeFault.NOT_HTTP, "not Redis's protocol") from error
        except (EOFError, OSError) as error:
            raise ProbeError(ProbeFault.LOST, CLOSED_EARLY) from error
        finally:
            # At once: an orderly end could hang.
            writer.transport.abort()
        stopwatch.first_byte = stopwatch.last_byte = sock.arrived_at or perf_counter()
        description = "" if answer == nonce else "PING brought back something else than was sent"
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
        return sock, reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Reader(asyncio.StreamReader):
    """A reader that takes no more than an answer to a login or a `PING` can be long."""

    _taken = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # the base class takes any buffer
        self._taken += len(data)
        if self._taken > _READ_LIMIT_BYTES:
            self.set_exception(ProbeError(ProbeFault.OVERSIZED, "larger than 8 KiB"))
        else:
            super().feed_data(data)


async def _log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str, password: str) -> None:
    """Raises as `_ask` does."""
    try:
        answer = await _ask(reader, writer, "AUTH", user, password)
    except _RefusedError as refused:
        if str(refused).lower() != _WRONG_NUMBER.lower():
            raise
        answer = await _ask(reader, writer, "AUTH", password)
    if answer != "OK":
        raise ProbeError(ProbeFault.NOT_HTTP, "the login brought something else than OK")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> Answer:
    """Send a command, return its answer.

    Raises `_RefusedError` for an error, `ValueError` for what is not Redis's protocol, `EOFError` or `OSError`
    where the connection ends.
    """
    # What is no text in the environment goes out as it came in.
    parts = [word.encode("utf-8", "surrogateescape") for word in words]
    writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    await writer.drain()
    line = await reader.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2].decode("utf-8", "replace")
    if kind == b"-":
        raise _RefusedError(rest)
    if kind in (b"+", b":"):
        return rest
    if kind != b"$":
        raise ValueError("a kind of answer that these commands do not have")
    length = int(rest)
    return None if length < 0 else (await reader.readexactly(length + 2))[:-2].decode("utf-8", "replace")


def _error_in_plain(head: bytes) -> str:
    """The error of a Redis that answered a TLS handshake in its own protocol; empty for anything else.

    A Redis at its limit of clients answers each new one with an error and closes, before anything was sent.
    """
    return head[1:].decode("ascii", "replace").strip() if head.startswith(b"-") else ""
