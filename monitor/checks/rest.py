"""One probe of a database through Upstash's own REST client, and the network below that client.

The client has traps (no timeout, a hidden retry, a dropped status, telemetry, secrets in exceptions, a TLS context
for each object); docs/decisions/0002-the-rest-client.md tells how each is met. Below it each request has a fresh
connection, the moments of its bytes and a cap on what is read: `Transport` is httpx's, and speaks HTTP with h11
over a `TimedConnection` of ours. What goes wrong there is raised as `ProbeError`.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from time import perf_counter
from types import SimpleNamespace
from typing import cast

import h11
import httpx
import upstash_redis.http
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError

from monitor.checks.answer import (
    HTTPS_OF_THE_SAME_HOST,
    Exchange,
    describe,
    error_text,
    media_type,
    other_result,
    redirect_target,
)
from monitor.checks.connection import (
    CLOSED_EARLY,
    CUT_DURING_HANDSHAKE,
    NOT_TLS,
    REDIS_IN_PLAIN,
    ProbeError,
    Resolver,
    StampedSocket,
    Stopwatch,
    certificate_end,
    connection_error,
    keep_stamping,
    look_up_and_connect,
    lost_connection_error,
    unless_in_plain,
)
from monitor.checks.error_texts import known_error
from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.lib.times import Deadline

# What the client raises over a body it did not expect (measured with 1.8.0), by base class.
_ODD_BODY = (UpstashError, ValueError, LookupError, AttributeError, TypeError, AssertionError, RecursionError)
READ_LIMIT_BYTES = 1024 * 1024
# Status line and headers, those of 1xx answers included. Each header costs more than its bytes.
_HEAD_LIMIT_BYTES = 16 * 1024
# Of what is not whole yet; above our own limits, so that it is these that end the check.
_INCOMPLETE_BYTES = 100 * 1024
# What is read in one turn of the event loop, so that only so many pieces are worked on without a pause.
_READ_BYTES = 2048
_MOST_CHUNKS = 2000
_HTTP = b"HTTP/"
_TLS_RECORDS = range(20, 24)  # RFC 8446, 5.1: the first byte is the kind of record
_CONSTRUCTING = threading.Lock()  # the doctor's probes may be made on another thread
_NO_LIMIT_SECONDS = 24 * 3600.0
_KEY_EXPIRES_SECONDS = 60  # should the deletion fail
# With less, where a step ends would tell of our own clock: a lookup that had no time is no resolver that fails.
_LEAST_FOR_STEP = timedelta(milliseconds=50)
_NOT_TRIED = Observation(fault=ProbeFault.RESPONSE_TIMEOUT, description="what came before it left no time for it")


class TimedConnection(asyncio.Protocol):
    """One connection for one check. Made by `open`.

    Its stopwatch has when bytes went and came; it closes when those that come are too many, or no HTTP.
    """

    def __init__(self, sock: StampedSocket, stopwatch: Stopwatch) -> None:
        self._sock = sock
        self._stopwatch = stopwatch
        self._count = 0
        self._taken = 0
        self._head = b""
        self._changed = asyncio.Event()
        self._received = bytearray()
        self._ended = False
        self._error: ProbeError | None = None
        self._transport: asyncio.Transport
        self.is_head_read = False  # set by whoever reads: what comes from now on is the body
        self.is_end_read = False  # the other side has closed, and whoever reads was told so

    @classmethod
    async def open(cls, resolver: Resolver, host: str, port: int, stopwatch: Stopwatch) -> TimedConnection:
        """Raises `ProbeError` with the fault of the lookup or of the connection."""
        sock = await look_up_and_connect(resolver, host, port, stopwatch)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: cls(sock, stopwatch), sock=sock
            )
        except OSError as error:
            raise connection_error(error) from error
        return connection

    async def encrypt(self, tls: ssl.SSLContext, host: str) -> None:
        """Raises `ProbeError` when the handshake fails."""
        self._stopwatch.encrypting = perf_counter()
        try:
            peer = self._transport.get_extra_info("peername")
            loop = asyncio.get_running_loop()
            # The deadline is around the whole check; asyncio's own, a minute, would read as a lost connection.
            handshake = loop.start_tls(
                self._transport, self, tls, server_hostname=host, ssl_handshake_timeout=_NO_LIMIT_SECONDS
            )
            # The handshake begins with the loop's next turn; what comes before that is for it as well.
            self._transport.pause_reading()
            encrypted = await unless_in_plain(asyncio.ensure_future(handshake), peer)
        except OSError as error:
            # Who speaks first, as an SSH server does or a Redis at its limit of connections, may have hung up
            # by now: then OpenSSL has not seen what came.
            if self.error_in_plain:
                raise self.error_in_plain from error
            raise lost_connection_error(error, CUT_DURING_HANDSHAKE) from error
        if encrypted is not None:
            self._transport = encrypted
        if self.error_in_plain:
            raise self.error_in_plain
        if encrypted is None:
            raise ProbeError(ProbeFault.LOST, CUT_DURING_HANDSHAKE)
        self._stopwatch.encrypted = perf_counter()
        # Before the request is sent, so that no latency has it in it.
        self._stopwatch.certificate_ends_at = certificate_end(self.session)

    @property
    def session(self) -> ssl.SSLObject:
        """The TLS session, once it is encrypted."""
        return cast("ssl.SSLObject", self._transport.get_extra_info("ssl_object"))

    @property
    def error_in_plain(self) -> ProbeError | None:
        """That what came first, below TLS, is no record of TLS; a Redis that takes nobody more begins with `-`."""
        head = self._sock.head
        if not head or head[0] in _TLS_RECORDS:
            return None
        return ProbeError(ProbeFault.TLS, REDIS_IN_PLAIN if head.startswith(b"-") else NOT_TLS, Fact.NOT_TLS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._stopwatch.last_byte = self._sock.arrived_at or perf_counter()
        if self._stopwatch.first_byte is None:
            self._stopwatch.first_byte = self._stopwatch.last_byte
        self._count += len(data)
        if self._count > READ_LIMIT_BYTES:
            self._fail(ProbeError(ProbeFault.OVERSIZED, "larger than 1 MiB"))
            return
        # The first bytes tell a Redis or SSH server at once, not at the deadline. They may come one by one.
        self._head += data[: len(_HTTP) - len(self._head)]
        if not _HTTP.startswith(self._head):
            self._fail(ProbeError(ProbeFault.NOT_HTTP, "not HTTP"))
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

    async def read(self) -> bytes:
        """Some of what has arrived, once there is something; nothing at the end. Raises `ProbeError`."""
        if self._taken >= _READ_BYTES:
            # Whoever reads what is there already would never wait, and nobody else have a turn.
            await asyncio.sleep(0)
        if self._taken > _HEAD_LIMIT_BYTES and not self.is_head_read:
            raise ProbeError(ProbeFault.NOT_HTTP, "headers larger than 16 KiB")
        while not self._received and self._error is None and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        data = bytes(self._received[:_READ_BYTES])
        del self._received[: len(data)]
        self._taken += len(data)
        self.is_end_read = not data
        return data

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
        self._stopwatch.sent = self._sock.sent_at or perf_counter()

    def abort(self) -> None:
        """Close at once, wherever it is; an orderly end of TLS could hang."""
        self._transport.abort()

    def _fail(self, error: ProbeError) -> None:
        self._error = error
        self._received.clear()
        self._changed.set()
        self.abort()


# The client passes nothing on to its transport, so the exchange of the request under way is kept here.
current_exchange: ContextVar[Exchange] = ContextVar("exchange")


class Transport(httpx.AsyncBaseTransport):
    """A fresh connection for each request, a cap on what is read, the exchange noted."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._tls = tls
        tls.set_alpn_protocols(["http/1.1"])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange, is_encrypted = current_exchange.get(), request.url.scheme == "https"
        host = request.url.raw_host.decode("ascii").strip("[]")
        port = request.url.port or (443 if is_encrypted else 80)
        connection = await TimedConnection.open(self._resolver, host, port, exchange.stopwatch)
        try:
            if is_encrypted:
                await connection.encrypt(self._tls, host)
            headers, raw = await _send_and_read(connection, request, exchange)
        except h11.RemoteProtocolError as error:
            # Told by what was read and not by the error, whose words belong to h11.
            if connection.is_end_read:
                raise ProbeError(ProbeFault.LOST, CLOSED_EARLY) from error
            raise ProbeError(ProbeFault.NOT_HTTP, "not valid HTTP") from error
        finally:
            connection.abort()
        exchange.body = _unpack(raw, headers.get("content-encoding", ""))
        exchange.complete = True
        # Without the headers, of which the library reads none: httpx would unpack once more, keep cookies for all
        # hosts of a domain and fail on some, and raise at a redirect to what is no URL.
        return httpx.Response(exchange.status or 0, content=exchange.body[: exchange.parsed_bytes])


async def _send_and_read(
    connection: TimedConnection, request: httpx.Request, exchange: Exchange
) -> tuple[httpx.Headers, bytes]:
    """The headers of the answer, whose status is noted on the exchange, and its whole body as it came.

    Raises `ProbeError`, and h11's `RemoteProtocolError` for what is no HTTP.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_INCOMPLETE_BYTES)

    async def next_event() -> object:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await connection.read())
        return event

    head = h11.Request(method=request.method, target=request.url.raw_path, headers=_headers(request, exchange))
    pieces = [http.send(event) for event in (head, h11.Data(data=request.content), h11.EndOfMessage())]
    connection.write(b"".join(filter(None, pieces)))
    while not isinstance(response := await next_event(), h11.Response):
        pass  # interim answers
    connection.is_head_read = True
    exchange.status = response.status_code
    headers = httpx.Headers(response.headers.raw_items())
    exchange.content_type = headers.get("content-type", "")
    exchange.location = headers.get("location", "")
    sync_token = headers.get("upstash-sync-token", "").strip()
    exchange.sync_token = sync_token if sync_token.isascii() and sync_token.isprintable() else ""
    chunks: list[bytes] = []
    while isinstance(event := await next_event(), h11.Data):
        chunks.append(event.data)
        if len(chunks) > _MOST_CHUNKS:
            raise ProbeError(ProbeFault.OVERSIZED, f"in more than {_MOST_CHUNKS:,} chunks")
    return headers, b"".join(chunks)


def _headers(request: httpx.Request, exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """What the client sends, as the exchange wants it."""
    headers = [
        (name, value)
        for name, value in request.headers.raw
        if not (exchange.without_token and name.lower() == b"authorization")
    ]
    if exchange.request_sync_token:
        headers.append((b"Upstash-Sync-Token", exchange.request_sync_token.encode("ascii")))
    return headers


def _unpack(raw: bytes, encoding: str) -> bytes:
    """Undo gzip or deflate up to the limit; raises `ProbeError`."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ProbeError(ProbeFault.NOT_HTTP, "in an encoding that was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(raw, READ_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise ProbeError(ProbeFault.NOT_HTTP, "not validly compressed") from error
    if len(body) > READ_LIMIT_BYTES:
        raise ProbeError(ProbeFault.OVERSIZED, "larger than 1 MiB when unpacked")
    if not unpacker.eof:
        raise ProbeError(ProbeFault.LOST, "the compressed body was cut short")
    return body


class RestProbeFactory:
    """Makes probes that share a TLS context, an HTTP client and a resolver.

    The TLS context trusts what `SSL_CERT_FILE` or `SSL_CERT_DIR` names, else certifi's list, as httpx does.
    """

    def __init__(
        self,
        *,
        scrub: Callable[[str], str],
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        keep_stamping()
        self._scrub = scrub
        self.tls = tls or httpx.create_ssl_context()
        self.resolver = resolver or Resolver()
        transport = Transport(self.resolver, self.tls)
        # `trust_env` off: a proxy variable must not change what is measured.
        self._http = httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)  # noqa: S113 - see `ping`

    def probe(self, *, url: str, token: str) -> RestProbe:
        """A probe of one database. A token that no header can hold is left out: `inspect` refuses it before."""
        # httpx fails on such a header, also for a request that goes out without it.
        sendable = token if token.isascii() else ""
        # The one private place of the library; tests/test_private_places.py says if it has moved.
        with _for_the_library(self._http):
            client = Redis(url, sendable, rest_retries=0, allow_telemetry=False, read_your_writes=False)
        return RestProbe(client, url, self._scrub)


class RestProbe:
    """Sends commands to one database. Made by `RestProbeFactory.probe`."""

    def __init__(self, client: Redis, url: str, scrub: Callable[[str], str]) -> None:
        self._client = client
        self._url = url
        self._scrub = scrub

    async def ping(self, *, timeout: timedelta) -> Observation:
        """Send `PING` with a fresh nonce and wait for it, at most `timeout`, lookup and last byte included.

        The nonce keeps caches and interceptors from answering for the database.
        Raises nothing for whatever the network or the other side does.
        """
        nonce = secrets.token_hex(16)
        return await self._ask(["PING", nonce], (nonce,).__contains__, timeout=timeout)

    async def ping_without_token(self, *, timeout: timedelta) -> Observation:
        """Send the same `PING` without the token: the answer shows what stands at that address."""
        nonce = secrets.token_hex(16)
        exchange = Exchange(without_token=True)
        return await self._ask(["PING", nonce], (nonce,).__contains__, timeout=timeout, exchange=exchange)

    async def read(self, prefix: str, *, timeout: timedelta) -> Observation:
        """Read a key of this prefix that nobody has written; the answer must be null. One billed command."""
        return await self._ask(["GET", prefix + secrets.token_hex(16)], (None,).__contains__, timeout=timeout)

    async def get(self, key: str, *, timeout: timedelta) -> tuple[Observation, str | None]:
        """Read a key: what was seen, and its text, `None` where there is none. One billed command."""
        found: list[str | None] = []

        def is_text_or_null(answer: object) -> bool:
            if answer is None or isinstance(answer, str):
                found.append(answer)
            return bool(found)

        # A text of ours, which may be long.
        exchange = Exchange(parsed_bytes=READ_LIMIT_BYTES)
        observation = await self._ask(["GET", key], is_text_or_null, timeout=timeout, exchange=exchange)
        return observation, found[0] if found else None

    async def set(self, key: str, text: str, *, timeout: timedelta) -> Observation:
        """Write a key, without an expiry. One billed command."""
        return await self._ask(["SET", key, text], (True,).__contains__, timeout=timeout)

    async def write(self, prefix: str, *, timeout: timedelta) -> dict[str, Observation]:
        """Write a key of this prefix, read it back, delete it: what each step saw, in order, within `timeout`.

        `GET` is left out when `SET` failed, unless it was not permitted: a user may have neither. Where `SET`
        answered null, what is read back decides. `DEL` is tried always, for which a quarter of the time is kept:
        an answer that was lost leaves a key behind. Three billed commands.
        """
        key, value = prefix + secrets.token_hex(16), secrets.token_hex(16)
        deadline, for_deletion = Deadline(timeout), timeout / 4
        exchange = Exchange()
        setting: list[str | int] = ["SET", key, value, "EX", _KEY_EXPIRES_SECONDS]
        steps = {
            "SET": await self._ask(
                setting, (True,).__contains__, timeout=timeout - for_deletion, exchange=exchange
            )
        }
        least = min(_LEAST_FOR_STEP, timeout / 20)
        is_null = steps["SET"].other_value == "null" and steps["SET"].http_status == HTTPStatus.OK
        known = known_error(steps["SET"].error_text or "")
        is_refused = known is not None and known.outcome is Outcome.PERMISSION_DENIED
        if steps["SET"].as_expected or is_null or is_refused:
            # A replica elsewhere may lag behind; the sync token makes it wait for what was written.
            after = Exchange(request_sync_token=exchange.sync_token)
            left = deadline.left(reserve=for_deletion)
            steps["GET"] = (
                await self._ask(["GET", key], (value,).__contains__, timeout=left, exchange=after)
                if left > least
                else _NOT_TRIED
            )
        left = deadline.left()
        steps["DEL"] = (
            await self._ask(["DEL", key], (0, 1).__contains__, timeout=left) if left > least else _NOT_TRIED
        )
        return steps

    async def _ask(
        self,
        command: list[str | int],
        is_expected: Callable[[object], bool],
        *,
        timeout: timedelta,
        exchange: Exchange | None = None,
    ) -> Observation:
        """Run one command within `timeout`."""
        exchange = exchange or Exchange()
        token = current_exchange.set(exchange)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                answer = await self._client.execute(command)
        except TimeoutError:
            return self._failure(exchange, exchange.stopwatch.error_at_deadline(timeout))
        except ProbeError as error:
            return self._failure(exchange, error)
        except _ODD_BODY:
            if not exchange.complete:
                raise
            as_expected = False
        else:
            as_expected = is_expected(answer)
        finally:
            current_exchange.reset(token)
        if as_expected:
            return self._answer(exchange, as_expected=True)
        return replace(self._answer(exchange, as_expected=False), other_value=other_result(exchange))

    def _failure(self, exchange: Exchange, error: ProbeError) -> Observation:
        error = exchange.stopwatch.explain(error)
        return Observation(
            phases=exchange.stopwatch.phases(complete=False),
            fault=error.fault,
            facts=error.facts,
            http_status=exchange.status,
            certificate_ends_at=exchange.stopwatch.certificate_ends_at,
            description=self._scrub(error.description),
        )

    def _answer(self, exchange: Exchange, *, as_expected: bool) -> Observation:
        phases = exchange.stopwatch.phases(complete=True)
        certificate_ends_at = exchange.stopwatch.certificate_ends_at
        if as_expected:
            return Observation(
                phases=phases,
                http_status=exchange.status,
                certificate_ends_at=certificate_ends_at,
                as_expected=True,
            )
        # Before anything else touches it: what is cut at a semicolon, or folded, may be half a secret.
        exchange.content_type = self._scrub(exchange.content_type)
        text = error_text(exchange)
        target = redirect_target(exchange, self._url)
        redirect = Fact.REDIRECT_TO_HTTPS if target == HTTPS_OF_THE_SAME_HOST else Fact.REDIRECT
        return Observation(
            phases=phases,
            facts=frozenset({redirect} if target else ()),
            http_status=exchange.status,
            certificate_ends_at=certificate_ends_at,
            error_text=None if text is None else self._scrub(text),
            content_type=media_type(exchange),
            description=self._scrub(f"a redirect to {target}" if target else describe(exchange)),
        )


@contextmanager
def _for_the_library(client: httpx.AsyncClient) -> Iterator[None]:
    """Have the library's constructor that runs inside take this client for the one that it makes.

    One of its own would read 140 certificates (20 ms of CPU, 1 MB) and import httpcore and anyio (1 MB), and fail
    when a variable names a SOCKS proxy.
    """
    names = vars(upstash_redis.http)
    with _CONSTRUCTING:
        theirs, names["httpx"] = names["httpx"], SimpleNamespace(AsyncClient=lambda **_: client)
        try:
            yield
        finally:
            names["httpx"] = theirs
