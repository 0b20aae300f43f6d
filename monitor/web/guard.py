"""Middleware around the whole application: password and guesses, methods, forged requests, security headers."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import math
import re
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_MOST_NETWORKS = 1024
_LOG_EVERY_SECONDS = 600.0
_log = logging.getLogger(__name__)
_WITHOUT_PASSWORD = "/healthz"
_METHODS = ("GET", "HEAD")
_ACKNOWLEDGE = re.compile(r"/incidents/[^/]+/ack")
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action {}; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY.format("'none'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Without a referrer a browser sends `Origin: null` with a form, even to its own site (Fetch, "append a request
# `Origin` header").
_HEADERS_WITH_FORMS = {
    **_HEADERS,
    "Content-Security-Policy": _POLICY.format("'self'"),
    "Referrer-Policy": "same-origin",
}


def network_of(address: str) -> str:
    """What one visitor surely has to itself: an IPv4 address, or the first 64 bits of an IPv6 one."""
    found = _address(address)
    if found is None:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found)


def network_behind_proxy(peer: str, forwarded: str) -> str:
    """The network of whoever asked the proxy `peer`, by the last entry of its X-Forwarded-For.

    That entry is the proxy's own; those before it are the visitor's, who may write anything. A peer with an
    address of the internet is no proxy of ours, and the header is not looked at.
    """
    found = _address(peer)
    if found is None or found.is_global:
        return network_of(peer)
    return network_of(forwarded.rpartition(",")[2].strip()) or network_of(peer)


def _address(text: str) -> _Address | None:
    """Some proxies write a port behind it; an IPv4 address inside an IPv6 one is what it is."""
    host = text.partition("%")[0]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pace:
    """So many wrong ones at once, and then one each so many seconds."""

    burst: int
    seconds: float

    def wait(self, paid_until: float, now: float) -> float:
        """Seconds until the next may be tried. `paid_until` is when all wrong ones so far have been waited for."""
        return max(0.0, paid_until - now - (self.burst - 1) * self.seconds)

    def after_wrong(self, paid_until: float, now: float) -> float:
        return max(paid_until, now) + self.seconds


_OF_ONE = _Pace(burst=50, seconds=6.0)
_OF_ALL = _Pace(burst=200, seconds=0.2)


class Guesses:
    """Counts wrong passwords by network and in all; times are handed in, in seconds of a monotonic clock.

    At most 1,024 networks are remembered. Those that have guessed wrong share one pace, and those that have not
    another: whoever knows the password is not held up by a crowd that does not.
    """

    def __init__(self) -> None:
        # By network, the last one to guess wrong at the end: until when its guesses are paid, how many there were.
        self._networks: dict[str, tuple[float, int]] = {}
        self._paid_until = {True: 0.0, False: 0.0}  # of networks that are remembered, and of others
        self._logged_at: float | None = None

    def wait(self, network: str, now: float) -> float:
        """Seconds until a password from there is looked at; zero: now."""
        paid_until, _ = self._networks.get(network, (0.0, 0))
        return max(_OF_ONE.wait(paid_until, now), _OF_ALL.wait(self._paid_until[network in self._networks], now))

    def wrong(self, network: str, now: float) -> None:
        """A password from there was looked at, and wrong."""
        is_known = network in self._networks
        self._paid_until[is_known] = _OF_ALL.after_wrong(self._paid_until[is_known], now)
        paid_until, count = self._networks.pop(network, (0.0, 0))
        if paid_until <= now:
            count = 0
        self._networks[network] = _OF_ONE.after_wrong(paid_until, now), count + 1
        if len(self._networks) > _MOST_NETWORKS:
            del self._networks[next(iter(self._networks))]

    def refused(self, network: str, now: float) -> str | None:
        """A password from there was not looked at; returns a line for the log, once in a while."""
        paid_until, count = self._networks.get(network, (now, 0))
        if network in self._networks:
            self._networks[network] = paid_until, count + 1
        if self._logged_at is not None and now - self._logged_at < _LOG_EVERY_SECONDS:
            return None
        self._logged_at = now
        others = len(self._networks) - (network in self._networks)
        return (
            f"somebody guesses the page's password: {count + 1} tries from {network or 'an unknown address'}"
            f"{f', and some from {others} more' if others else ''}; they are slowed down"
        )


class Guard:
    """With a `password`, every address but `/healthz` asks for it (Basic, any user name).

    Only then something can be changed: an incident be acknowledged, by this page or by a program.
    Whoever guesses is slowed down.
    """

    def __init__(self, app: ASGIApp, *, password: str | None) -> None:
        self._app = app
        self._clock: Callable[[], float] = time.monotonic
        self._guesses = Guesses()
        self._password = None if password is None else password.encode()
        self._headers = _HEADERS if password is None else _HEADERS_WITH_FORMS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if self._password is not None and scope["path"] != _WITHOUT_PASSWORD:
            refusal = self._password_refusal(scope, self._password)
            if refusal is not None:
                return refusal
        if _ACKNOWLEDGE.fullmatch(scope["path"]):
            return self._change_refusal(scope)
        if scope["method"] not in _METHODS:
            text = f"wanted GET or HEAD, found {scope['method']}. Next: nothing here can be changed over HTTP"
            return PlainTextResponse(text + "\n", status_code=405, headers={"Allow": ", ".join(_METHODS)})
        return None

    def _change_refusal(self, scope: Scope) -> ASGIApp | None:
        if scope["method"] != "POST":
            text = f"wanted POST, found {scope['method']}. Next: press the button on the page"
            return PlainTextResponse(text + "\n", status_code=405, headers={"Allow": "POST"})
        if self._password is None:
            text = "wanted a page with a password, found one that anybody may open. Next: set STATUS_PASSWORD"
            return PlainTextResponse(text + "\n", status_code=403)
        if _is_forged(Headers(scope=scope)):
            text = "wanted a request of this page, found one of another site's. Next: open this page and try there"
            return PlainTextResponse(text + "\n", status_code=403)
        return None

    def _password_refusal(self, scope: Scope, password: bytes) -> ASGIApp | None:
        headers, now = Headers(scope=scope), self._clock()
        given = _given(headers.get("authorization", ""))
        if given is not None:
            peer = (scope.get("client") or ("", 0))[0]
            network = network_behind_proxy(peer, ",".join(headers.getlist("x-forwarded-for")))
            wait = self._guesses.wait(network, now)
            if wait > 0:  # right or wrong: to look at it would be the answer to a guess
                line = self._guesses.refused(network, now)
                if line is not None:
                    _log.warning("%s", line)
                text = "wanted fewer wrong passwords from this address, found too many. Next: try again later"
                again = {"Retry-After": str(math.ceil(wait))}
                return PlainTextResponse(text + "\n", status_code=429, headers=again)
            # In constant time: how long a comparison takes must not tell how much of a guess was right.
            if hmac.compare_digest(given, password):
                return None
            self._guesses.wrong(network, now)
        text = "wanted the password of this page, found none or another one. Next: see STATUS_PASSWORD"
        challenge = {"WWW-Authenticate": 'Basic realm="upstash-monitor", charset="UTF-8"'}
        return PlainTextResponse(text + "\n", status_code=401, headers=challenge)


def _is_forged(headers: Headers) -> bool:
    """True for what a page of another site has a browser send, which adds the password by itself.

    Browsers say which site's page it was: in Sec-Fetch-Site where the page came over TLS, in Origin with every
    POST. What says neither is no browser. (The rule of Go's `http.CrossOriginProtection`.)
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site != "same-origin"
    # Behind a proxy that ends TLS the scheme is another one.
    return origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()


def _given(authorization: str) -> bytes | None:
    """The password of a Basic header; `None` for anything else, which is no guess."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(encoded.strip(), validate=True).partition(b":")[2]
    except (NotBase64, ValueError):
        return None
