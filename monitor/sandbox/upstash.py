"""A stand-in for one Upstash database on loopback, with faults that can be switched while it runs.

What is documented of the REST API is followed (upstash.com/docs/redis/features/restapi); where the documents are
silent, the wording is our own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from monitor.sandbox.keyspace import CommandError, Effect, Keyspace, Value
from monitor.sandbox.server import HangUp, LoopbackServer

_WRONG_TOKEN = "WRONGPASS invalid or missing auth token"
_HELP = "https://upstash.com/docs/redis/troubleshooting"
# Read-only tokens may not run these, although they only read.
_RESTRICTED = ("KEYS", "SCAN")


class UpstashFault(Enum):
    """What the stand-in does instead of answering. A request that hangs is answered when the fault changes."""

    NONE = "none"
    HANG = "hang"
    REFUSE = "refuse"
    SERVER_ERROR = "server_error"
    RATE_LIMIT = "rate_limit"
    HTML = "html"
    QUOTA = "quota"
    QUOTA_BUT_PING = "quota_but_ping"
    DAILY_QUOTA = "daily_quota"
    SUSPENDED = "suspended"
    CAPACITY = "capacity"
    NO_PERMISSION = "no_permission"


@dataclass(frozen=True)
class _Refusal:
    """The database's own text, and the commands that it refuses with it."""

    text: str
    concerns: Callable[[Effect], bool] = lambda effect: True


_QUOTA = (
    f"ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See {_HELP}/max_requests_limit for details"
)
_NO_PERMISSION = _Refusal("NOPERM this user has no permissions to run the '{command}' command")
_REFUSALS = {
    UpstashFault.QUOTA: _Refusal(_QUOTA),
    UpstashFault.QUOTA_BUT_PING: _Refusal(_QUOTA, lambda effect: effect is not Effect.FREE),
    UpstashFault.DAILY_QUOTA: _Refusal(
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10001. "
        f"See {_HELP}/max_daily_request_limit for details"
    ),
    UpstashFault.SUSPENDED: _Refusal(
        "ERR This database has been suspended for exceeding the defined budget limit. "
        "Please increase budget or switch to a Fixed plan on Upstash Console"
    ),
    UpstashFault.CAPACITY: _Refusal(
        "ERR DB capacity quota exceeded. Threshold: 268435456 bytes, Usage: 268436112 bytes. "
        f"See {_HELP}/db_capacity_quota_exceeded for details",
        lambda effect: effect is Effect.WRITE,
    ),
    UpstashFault.NO_PERMISSION: _NO_PERMISSION,
}
_PAGES: dict[UpstashFault, Response] = {
    UpstashFault.SERVER_ERROR: PlainTextResponse("upstream connect error", 503),
    UpstashFault.RATE_LIMIT: PlainTextResponse("Too Many Requests", 429),
    # Who hangs when the host begins to refuse.
    UpstashFault.REFUSE: HangUp(),
    UpstashFault.HTML: HTMLResponse("<html><body>Log in to this network</body></html>"),
}


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A command that was refused or went wrong; the text is the database's."""

    text: str


Result = Value | Failed


class RestError(Exception):
    """A request that is refused as a whole; the text is for the answer's `error`."""

    def __init__(self, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class UpstashStandIn:
    """One database. Used as a context manager; `url` and `token` are what a client needs. Encrypted with `tls`.

    `fault`, `delay_seconds`, `token`, `read_only_token` and `silent_on`, commands that are never answered, may be
    changed at any time from any thread.
    `requests` counts what arrived, `billed_commands` what Upstash would have charged for.
    """

    def __init__(
        self,
        token: str,
        *,
        read_only_token: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token
        self.read_only_token = read_only_token
        self.silent_on: frozenset[str] = frozenset()
        self.delay_seconds = 0.0
        self.keyspace = Keyspace()
        self.billed_commands = 0
        self._fault = UpstashFault.NONE
        methods = ["GET", "POST", "PUT"]  # HEAD comes with GET
        routes = [
            Route("/pipeline", self._pipeline, methods=methods),
            Route("/multi-exec", self._transaction, methods=methods),
            Route("/{command:path}", self._command, methods=methods),
        ]
        self._api = Starlette(routes=routes, exception_handlers={RestError: _error})
        self._server = LoopbackServer(self._answer, port=port, tls=tls)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def address(self) -> str:
        return self._server.address

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def requests(self) -> int:
        return len(self._server.requests)

    @property
    def fault(self) -> UpstashFault:
        return self._fault

    @fault.setter
    def fault(self, fault: UpstashFault) -> None:
        """Switch; requests that hang are released."""
        self._fault = fault
        self._server.notify()
        if fault is UpstashFault.REFUSE:
            self._server.stop()
        else:
            self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self.fault = UpstashFault.REFUSE

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self._server.wait_until(lambda: self._fault is not UpstashFault.HANG)
        await _PAGES.get(self._fault, self._api)(scope, receive, send)

    async def _command(self, request: Request) -> Response:
        """One command, in the path or in the body."""
        may_write = self._may_write(request)
        words = _words_of(request, await request.body())
        await self._keep_silent([words])
        result = self._run(words, may_write=may_write)
        return JSONResponse(_shown(result, request), 400 if isinstance(result, Failed) else 200)

    async def _pipeline(self, request: Request) -> Response:
        """Several commands, each for itself."""
        may_write = self._may_write(request)
        commands = _commands_in(await request.body())
        await self._keep_silent(commands)
        return JSONResponse([_shown(self._run(words, may_write=may_write), request) for words in commands])

    async def _transaction(self, request: Request) -> Response:
        """Several commands, discarded as a whole where one of them is refused or unknown."""
        may_write = self._may_write(request)
        commands = _commands_in(await request.body())
        await self._keep_silent(commands)
        for words in commands:
            refused = self._refused(words[0], may_write=may_write)
            if refused is not None:
                raise RestError(refused.text)
            if self.keyspace.effect(words[0]) is None:
                raise RestError(f"ERR Command is not available: '{words[0].upper()[:40]}'")
        return JSONResponse([_shown(self._execute(words), request) for words in commands])

    def _may_write(self, request: Request) -> bool:
        """Whether the token, from the header or from `_token` in the URL, is the standard one."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else request.query_params.get("_token", "")
        if not token or token not in (self.token, self.read_only_token):
            raise RestError(_WRONG_TOKEN, status=401)
        return token == self.token

    async def _keep_silent(self, commands: Sequence[Sequence[str]]) -> None:
        """Wait for the end where one of the commands is among those that are never answered."""
        if not self.silent_on.isdisjoint(words[0].upper() for words in commands):
            await self._server.wait_until(lambda: False)

    def _run(self, words: Sequence[str], *, may_write: bool) -> Result:
        return self._refused(words[0], may_write=may_write) or self._execute(words)

    def _refused(self, name: str, *, may_write: bool) -> Failed | None:
        effect = self.keyspace.effect(name)
        if effect is None:
            return None
        refusal = _REFUSALS.get(self._fault)
        if refusal is None and not may_write and (effect.is_change or name.upper() in _RESTRICTED):
            refusal = _NO_PERMISSION
        if refusal is None or not refusal.concerns(effect):
            return None
        return Failed(text=refusal.text.format(command=name.lower()))

    def _execute(self, words: Sequence[str]) -> Result:
        if self.keyspace.effect(words[0]) not in (None, Effect.FREE):
            self.billed_commands += 1
        try:
            return self.keyspace.run(words)
        except CommandError as error:
            return Failed(text=str(error))


async def _error(_request: Request, error: Exception) -> Response:
    """The shape of everything that is refused as a whole."""
    return JSONResponse({"error": str(error)}, error.status if isinstance(error, RestError) else 500)


def _words_of(request: Request, body: bytes) -> list[str]:
    path = request.scope["raw_path"].decode("ascii").strip("/")
    has_body = request.method in ("POST", "PUT")
    if not path and has_body:
        return _words(_json(body))
    words = [unquote(word) for word in path.split("/")]
    if has_body and body:
        words.append(body.decode("utf-8", "replace"))
    # What follows a value in the body stands in the query: /set/foo?EX=100.
    for name, value in request.query_params.multi_items():
        if name != "_token":
            words += [name, value] if value else [name]
    return words


def _commands_in(body: bytes) -> list[list[str]]:
    rows = _json(body)
    if not isinstance(rows, list):
        raise RestError("ERR wanted an array of commands")
    return [_words(row) for row in rows]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RestError("ERR failed to parse the request body as JSON") from None


def _words(row: Any) -> list[str]:
    if not isinstance(row, list) or not row or not all(isinstance(word, str | int | float) for word in row):
        raise RestError("ERR wanted a command as an array of strings and numbers")
    return [word if isinstance(word, str) else json.dumps(word) for word in row]


def _shown(result: Result, request: Request) -> dict[str, Any]:
    """One result, with strings in base64 where the request asks for it, as Upstash's own client does."""
    if isinstance(result, Failed):
        return {"error": result.text}
    is_encoded = request.headers.get("upstash-encoding", "").lower() == "base64"
    return {"result": _encoded(result) if is_encoded else result}


def _encoded(value: Value) -> Value:
    """Upstash encodes every string of a result but the plain OK."""
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, str) and value != "OK":
        return base64.b64encode(value.encode()).decode()
    return value
