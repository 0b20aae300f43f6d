"""One probe of a database through Upstash's own REST client: its few commands, each within a deadline.

The client has traps (no timeout, a hidden retry, a dropped status, telemetry, secrets in exceptions, a TLS context
for each object); docs/decisions/0002-the-rest-client.md tells how each is met.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError
from upstash_redis.http import make_headers

from monitor.checks.connection import ProbeError, Resolver, keep_stamping
from monitor.checks.network import Exchange, Transport, current_exchange
from monitor.checks.observation import Observation
from monitor.lib.times import Deadline

# What the client raises over a body it did not expect (measured with 1.8.0), by base class.
_ODD_BODY = (UpstashError, ValueError, LookupError, AttributeError, TypeError, AssertionError, RecursionError)
_EXCERPT_LENGTH = 120
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_KEY_PREFIX = "upstash-monitor:canary:"
_KEY_EXPIRES_SECONDS = 60  # should the deletion fail


class RestProbeFactory:
    """Makes probes that share a TLS context, an HTTP client, a resolver and a template of the REST client.

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
        client = httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)  # noqa: S113 - see `ping`
        with _without_proxies_and_certificates():
            self._template = Redis(
                "https://template.invalid",
                "template",
                rest_retries=0,
                allow_telemetry=False,
                read_your_writes=False,
            )
        # A private place of the library, as _url and _headers below; tests/checks says so loudly if one moves.
        self._template._http._client = client

    def probe(self, *, url: str, token: str) -> RestProbe:
        """A probe of one database. A copy of the template, since the library's constructor takes 20 ms of CPU."""
        client = copy.copy(self._template)
        client._url = url
        client._headers = make_headers(token, "base64", allow_telemetry=False)
        return RestProbe(client, self._scrub)


class RestProbe:
    """Sends commands to one database. Made by `RestProbeFactory.probe`."""

    def __init__(self, client: Redis, scrub: Callable[[str], str]) -> None:
        self._client = client
        self._scrub = scrub

    async def ping(self, *, timeout: timedelta) -> Observation:
        """Send `PING` with a fresh nonce and wait for it, at most `timeout`, lookup and last byte included.

        The nonce keeps caches and interceptors from answering for the database.
        Raises nothing for whatever the network or the other side does.
        """
        nonce = secrets.token_hex(16)
        return await self._ask(["PING", nonce], (nonce,), timeout=timeout)

    async def ping_without_token(self, *, timeout: timedelta) -> Observation:
        """Send the same `PING` without the token: the answer shows what stands at that address."""
        nonce = secrets.token_hex(16)
        headers = {name: value for name, value in self._client._headers.items() if name != "Authorization"}
        return await self._ask(["PING", nonce], (nonce,), timeout=timeout, headers=headers)

    async def read(self, *, timeout: timedelta) -> Observation:
        """Read a key that nobody has written; the answer must be null. One billed command."""
        return await self._ask(["GET", _KEY_PREFIX + secrets.token_hex(16)], (None,), timeout=timeout)

    async def write(self, *, timeout: timedelta) -> dict[str, Observation]:
        """Write a key, read it back, delete it: what each step saw, in order, all of them within `timeout`.

        `GET` is left out when `SET` failed. `DEL` is tried always, for which a quarter of the time is kept: an
        answer that was lost leaves a key behind. Three billed commands.
        """
        key, value = _KEY_PREFIX + secrets.token_hex(16), secrets.token_hex(16)
        deadline, for_deletion = Deadline(timeout), timeout / 4
        exchange = Exchange()
        setting: list[str | int] = ["SET", key, value, "EX", _KEY_EXPIRES_SECONDS]
        steps = {"SET": await self._ask(setting, (True,), timeout=timeout - for_deletion, exchange=exchange)}
        if steps["SET"].as_expected:
            # A replica elsewhere may lag behind; the sync token makes it wait for what was written.
            headers = {**self._client._headers, "Upstash-Sync-Token": exchange.sync_token}
            left = deadline.left(reserve=for_deletion)
            steps["GET"] = await self._ask(["GET", key], (value,), timeout=left, headers=headers)
        steps["DEL"] = await self._ask(["DEL", key], (0, 1), timeout=deadline.left())
        return steps

    async def _ask(
        self,
        command: list[str | int],
        expected: tuple[object, ...],
        *,
        timeout: timedelta,
        headers: dict[str, str] | None = None,
        exchange: Exchange | None = None,
    ) -> Observation:
        """Run one command within `timeout`, with these headers in place of the usual ones."""
        client = self._client
        if headers is not None:
            client = copy.copy(client)
            client._headers = headers
        exchange = exchange or Exchange()
        token = current_exchange.set(exchange)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                answer = await client.execute(command)
        except TimeoutError:
            return self._failure(exchange, exchange.stopwatch.error_at_deadline(timeout))
        except ProbeError as error:
            return self._failure(exchange, error)
        except _ODD_BODY:
            if not exchange.complete:
                raise
            return self._answer(exchange, as_expected=False)
        finally:
            current_exchange.reset(token)
        return self._answer(exchange, as_expected=answer in expected)

    def _failure(self, exchange: Exchange, error: ProbeError) -> Observation:
        return Observation(
            phases=exchange.stopwatch.phases(complete=False),
            fault=error.fault,
            http_status=exchange.status,
            description=self._scrub(error.description),
        )

    def _answer(self, exchange: Exchange, *, as_expected: bool) -> Observation:
        phases = exchange.stopwatch.phases(complete=True)
        if as_expected:
            return Observation(phases=phases, http_status=exchange.status, as_expected=True)
        text = _error_text(exchange.body)
        return Observation(
            phases=phases,
            http_status=exchange.status,
            error_text=None if text is None else self._scrub(text),
            content_type=self._scrub(_media_type(exchange)),
            description=self._scrub(_describe(exchange)),
        )


@contextmanager
def _without_proxies_and_certificates() -> Iterator[None]:
    """Hide them from the constructor that runs inside.

    The library's constructor makes an HTTP client of its own, which is replaced at once. It would read 140
    certificates for it (20 ms of CPU, 1 MB), and fails when a variable names a SOCKS proxy.
    """
    names = [name for name in os.environ if name.lower().endswith("_proxy") or name in _CERTIFICATES]
    held = {name: os.environ.pop(name) for name in names}
    os.environ["SSL_CERT_DIR"] = os.devnull  # httpx takes what is in there, which is nothing
    try:
        yield
    finally:
        del os.environ["SSL_CERT_DIR"]
        os.environ.update(held)


def _error_text(body: bytes) -> str | None:
    """The text of an Upstash-shaped `{"error": "…"}` body, or `None` for any other body."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, str) and error.strip() else None


def _media_type(exchange: Exchange) -> str:
    return exchange.content_type.split(";")[0].strip().lower()[:40]


def _describe(exchange: Exchange) -> str:
    """What came instead of an Upstash answer: its type and its first words."""
    if not exchange.body.strip():
        return "an empty answer"
    kind = _media_type(exchange) or "no content type"
    excerpt = exchange.body[: 4 * _EXCERPT_LENGTH].decode("utf-8", "replace")
    return f"{kind}: {excerpt}"
