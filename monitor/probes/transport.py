"""The transport under the REST client: a fresh connection for each request, a cap on what is read of the answer.

Which requests are sent and what answers mean is not known here; the bytes themselves are the business of `wire`.
"""

from __future__ import annotations

import ssl
import zlib
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpcore
import httpx

from monitor.core.observation import Fault
from monitor.probes.faults import WireError
from monitor.probes.resolver import Resolver
from monitor.probes.wire import READ_LIMIT_BYTES, Backend, Stopwatch


@dataclass(kw_only=True, slots=True)
class Exchange:
    """What one request met on its way; filled in by the transport."""

    watch: Stopwatch = field(default_factory=Stopwatch)
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
            exchange.sync_token = headers.get("upstash-sync-token", "").encode("ascii", "ignore").decode("ascii")
            raw = b"".join([chunk async for chunk in response.aiter_stream()])
        except httpcore.RemoteProtocolError as error:
            raise _protocol_error(error) from error
        finally:
            backend.hang_up()
        exchange.body = _unpack(raw, headers.get("content-encoding", ""))
        exchange.complete = True
        # Already unpacked, so httpx must not do it again, without a limit.
        kept = [(name, value) for name, value in response.headers if name.lower() != b"content-encoding"]
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
