"""Middleware around the whole application: the password, the allowed methods, and the security headers."""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as NotBase64

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    """With a `password`, every address but `/healthz` asks for it (Basic, any user name)."""

    def __init__(self, app: ASGIApp, *, password: str | None) -> None:
        self._app = app
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
        headers = Headers(scope=scope)
        if scope["path"] != _WITHOUT_PASSWORD and not self._is_authorized(headers.get("authorization", "")):
            text = "wanted the password of this page, found none or another one. Next: see STATUS_PASSWORD"
            challenge = {"WWW-Authenticate": 'Basic realm="upstash-monitor", charset="UTF-8"'}
            return PlainTextResponse(text + "\n", status_code=401, headers=challenge)
        if scope["method"] not in _METHODS:
            text = f"wanted GET or HEAD, found {scope['method']}. Next: nothing here can be changed over HTTP"
            return PlainTextResponse(text + "\n", status_code=405, headers={"Allow": ", ".join(_METHODS)})
        return None

    def _is_authorized(self, authorization: str) -> bool:
        if self._password is None:
            return True
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = b64decode(encoded.strip(), validate=True).partition(b":")[2]
        except (NotBase64, ValueError):
            given = b""
        # In constant time: how long a comparison takes must not tell how much of a guess was right.
        return hmac.compare_digest(given, self._password) and scheme.lower() == "basic"
