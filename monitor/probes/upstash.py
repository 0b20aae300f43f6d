"""The only file that knows the REST client: one PING, its deadline, its answer, its errors renamed.

What an answer means is decided in `core.classify`; bytes and phases are `wire`'s business.
The client's traps (no timeout, hidden retry, dropped status, telemetry, secrets in exceptions, a TLS context
for each object) and how they are met are told in docs/decisions/0002-the-rest-client.md.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import secrets
import ssl
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta

import httpcore
import httpx
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError
from upstash_redis.http import make_headers

from monitor.core.observation import Fault, Observation
from monitor.probes.faults import WireError
from monitor.probes.resolver import Resolver
from monitor.probes.wire import READ_LIMIT_BYTES, Backend, Stopwatch

# What the client raises over a body it did not expect (measured with 1.8.0), by base class.
_ODD_BODY = (UpstashError, ValueError, LookupError, AttributeError, TypeError, AssertionError, RecursionError)
_EXCERPT_LENGTH = 120


@dataclass(kw_only=True, slots=True)
class _Exchange:
    """What one request met on its way; filled in by the transport."""

    watch: Stopwatch = field(default_factory=Stopwatch)
    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    complete: bool = False


_current: ContextVar[_Exchange] = ContextVar("exchange")


class _Transport(httpx.AsyncBaseTransport):
    """A fresh connection for each request, a cap on what is read, the exchange noted."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _current.get()
        backend = Backend(self._resolver, exchange.watch)
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
            raw = b"".join([chunk async for chunk in response.aiter_stream()])
        except httpcore.RemoteProtocolError as error:
            raise _protocol_error(error) from error
        finally:
            backend.hang_up()
        exchange.body = _unpack(raw, headers.get("content-encoding", ""))
        exchange.complete = True
        # Already unpacked, so httpx must not do it again, without a limit.
        kept = [(name, value) for name, value in headers.multi_items() if name.lower() != "content-encoding"]
        return httpx.Response(exchange.status, headers=kept, content=exchange.body)


def _protocol_error(error: httpcore.RemoteProtocolError) -> WireError:
    """Of what h11 calls a protocol error, tell an early end from an answer that is not HTTP, by its wording."""
    if "closed connection" in str(error) or "disconnected" in str(error):
        return WireError(Fault.LOST, "the connection was closed before the answer was complete")
    return WireError(Fault.NOT_HTTP, "the answer is not valid HTTP")


def _unpack(raw: bytes, encoding: str) -> bytes:
    """Undo gzip or deflate up to the limit; raises `WireError`."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise WireError(Fault.NOT_HTTP, "the answer is in an encoding that was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(raw, READ_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise WireError(Fault.NOT_HTTP, "the answer is not validly compressed") from error
    if len(body) > READ_LIMIT_BYTES:
        raise WireError(Fault.OVERSIZED, "the answer is larger than 1 MiB when unpacked")
    if not unpacker.eof:
        raise WireError(Fault.LOST, "the compressed answer was cut short")
    return body


class UpstashProbes:
    """What all looks of a process share: one TLS context, one HTTP client, one resolver, one template client.

    The TLS context trusts what `SSL_CERT_FILE` or `SSL_CERT_DIR` names, else certifi's list, as httpx does.
    """

    def __init__(
        self,
        *,
        scrub: Callable[[str], str],
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._scrub = scrub
        transport = _Transport(resolver or Resolver(), tls or httpx.create_ssl_context())
        # `trust_env` off: a proxy variable must not change what is measured.
        client = httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)  # noqa: S113 - see `ping`
        with _without_proxies():
            self._template = Redis(
                "https://template.invalid",
                "template",
                rest_retries=0,
                allow_telemetry=False,
                read_your_writes=False,
            )
        # The library's one private spot we touch; tests/probes says so loudly if a release moves it.
        self._template._http._client = client

    def database(self, *, url: str, token: str) -> UpstashProbe:
        """A probe for one database; costs next to nothing, unlike the library's constructor (20 ms of CPU)."""
        client = copy.copy(self._template)
        client._url = url
        client._headers = make_headers(token, "base64", allow_telemetry=False)
        return UpstashProbe(client, self._scrub)


class UpstashProbe:
    """Looks at one database. Made by `UpstashProbes.database`."""

    def __init__(self, client: Redis, scrub: Callable[[str], str]) -> None:
        self._client = client
        self._scrub = scrub

    async def ping(self, *, timeout: timedelta) -> Observation:  # noqa: ASYNC109 - the deadline is this method's job
        """Send `PING` with a fresh nonce and wait for it, at most `timeout`, lookup and last byte included.

        The nonce keeps caches and interceptors from answering for the database.
        Raises nothing for whatever the network or the other side does.
        """
        nonce = secrets.token_hex(16)
        exchange = _Exchange()
        token = _current.set(exchange)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                answer = await self._client.ping(nonce)
        except TimeoutError:
            fault = exchange.watch.fault_at_deadline()
            return self._fault(exchange, fault, _deadline_words(fault, exchange.watch, timeout))
        except WireError as error:
            return self._fault(exchange, error.fault, error.remark)
        except _ODD_BODY:
            if not exchange.complete:
                raise
            return self._answer(exchange, as_expected=False)
        finally:
            _current.reset(token)
        return self._answer(exchange, as_expected=answer == nonce)

    def _fault(self, exchange: _Exchange, fault: Fault, remark: str) -> Observation:
        return Observation(
            phases=exchange.watch.phases(complete=False),
            fault=fault,
            http_status=exchange.status,
            remark=self._scrub(remark),
        )

    def _answer(self, exchange: _Exchange, *, as_expected: bool) -> Observation:
        phases = exchange.watch.phases(complete=True)
        if as_expected:
            return Observation(phases=phases, http_status=exchange.status, as_expected=True)
        text = _error_text(exchange.body)
        return Observation(
            phases=phases,
            http_status=exchange.status,
            error_text=None if text is None else self._scrub(text),
            remark=self._scrub(_describe(exchange)),
        )


@contextmanager
def _without_proxies() -> Iterator[None]:
    """Hide the proxy variables for a moment.

    The library's constructor makes an HTTP client of its own, which is replaced at once, and which cannot even be
    made when a variable names a SOCKS proxy.
    """
    held = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(held)


def _deadline_words(fault: Fault, watch: Stopwatch, timeout: timedelta) -> str:
    seconds = f"{timeout.total_seconds():g} s"
    if fault is Fault.DNS_FAILED:
        return f"the resolver did not answer within {seconds}"
    if fault is Fault.CONNECT_TIMEOUT:
        return f"no TLS handshake within {seconds}" if watch.connected else f"no connection within {seconds}"
    if watch.first_byte is None:
        return f"connected, but no answer within {seconds}"
    return f"the answer began, but was not complete within {seconds}"


def _error_text(body: bytes) -> str | None:
    """The text of an Upstash-shaped `{"error": "…"}` body, or `None` for any other body."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, str) and error.strip() else None


def _describe(exchange: _Exchange) -> str:
    """What came instead of an Upstash answer: its type and its first words."""
    if not exchange.body.strip():
        return "an empty answer"
    kind = exchange.content_type.split(";")[0].strip()[:40] or "no content type"
    excerpt = exchange.body[: 4 * _EXCERPT_LENGTH].decode("utf-8", "replace")
    return f"{kind}: {excerpt}"
