"""Middleware around the whole application: the password, the allowed methods, and the security headers."""

from __future__ import annotations

import hmac
import logging
import math
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.guesses import Guesses
from monitor.web.networks import network_behind_proxy

_log = logging.getLogger(__name__)
_WITHOUT_PASSWORD = "/healthz"
_METHODS = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """With a `password`, every address but `/healthz` asks for it (Basic, any user name).

    Whoever guesses is slowed down. `clock` gives monotonic seconds.
    """

    def __init__(self, app: ASGIApp, *, password: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._guesses = Guesses()
        self._password = None if password is None else password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if self._password is not None and scope["path"] != _WITHOUT_PASSWORD:
            refusal = self._password_refusal(scope, self._password)
            if refusal is not None:
                return refusal
        if scope["method"] not in _METHODS:
            text = f"wanted GET or HEAD, found {scope['method']}. Next: nothing here can be changed over HTTP"
            return PlainTextResponse(text + "\n", status_code=405, headers={"Allow": ", ".join(_METHODS)})
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


def _given(authorization: str) -> bytes | None:
    """The password of a Basic header; `None` for anything else, which is no guess."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(encoded.strip(), validate=True).partition(b":")[2]
    except (NotBase64, ValueError):
        return None
