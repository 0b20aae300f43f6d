"""Stand-ins for one Upstash database on loopback, and for serverless-redis-http, which many run in its place.

Of the REST API they have what the program asks: one command as a JSON array in the body of a POST. What is
documented is followed (upstash.com/docs/redis/features/restapi); where the documents are silent, the wording is
our own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from monitor.sandbox.server import FaultyServer, HangUp, LoopbackServer, RecordedRequest

_HELP = "https://upstash.com/docs/redis"
_COMMANDS = frozenset({"PING", "GET", "SET", "DEL", "DBSIZE"})
_FREE = frozenset({"PING"})

Value = str | int | None
_QUOTA = (
    "ERR max requests limit exceeded. Limit: 500000, Usage: 500000. "
    f"See {_HELP}/troubleshooting/max_requests_limit for details"
)
_NO_PERMISSION = "NOPERM this user has no permissions to run the '{command}' command"


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
    commands: frozenset[str] = _COMMANDS


_READ_ONLY = _Refusal(_NO_PERMISSION, frozenset({"SET", "DEL"}))
_REFUSALS = {
    UpstashFault.QUOTA: _Refusal(_QUOTA),
    UpstashFault.QUOTA_BUT_PING: _Refusal(_QUOTA, _COMMANDS - _FREE),
    UpstashFault.DAILY_QUOTA: _Refusal(
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10001. "
        f"See {_HELP}/troubleshooting/max_daily_request_limit for details"
    ),
    UpstashFault.SUSPENDED: _Refusal(
        "ERR This database has been suspended for exceeding the defined budget limit. "
        "Please increase budget or switch to a Fixed plan on Upstash Console"
    ),
    UpstashFault.CAPACITY: _Refusal(
        "ERR DB capacity quota exceeded. Threshold: 268435456 bytes, Usage: 268436112 bytes. "
        f"See {_HELP}/troubleshooting/db_capacity_quota_exceeded for details",
        frozenset({"SET"}),
    ),
    UpstashFault.NO_PERMISSION: _Refusal(_NO_PERMISSION),
}
# What stands before the database answers these, with and without a token.
_PAGES: dict[UpstashFault, Response] = {
    UpstashFault.SERVER_ERROR: PlainTextResponse("upstream connect error", 503),
    UpstashFault.RATE_LIMIT: PlainTextResponse("Too Many Requests", 429),
    UpstashFault.HTML: HTMLResponse("<html><body>Log in to this network</body></html>"),
    # A request on its way when the host begins to refuse.
    UpstashFault.REFUSE: HangUp(),
}


class CommandError(Exception):
    """What is refused; the text is for the answer's `error`."""

    def __init__(self, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Keyspace:
    """The few commands that the program sends, on a dictionary. Safe to use from several threads."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def run(self, words: Sequence[str]) -> Value:
        """Run one command; raises `CommandError`."""
        name, *arguments = words
        with self._lock:
            self._values = {key: kept for key, kept in self._values.items() if kept[1] > monotonic()}
            match [name.upper(), *arguments]:
                case ["PING"]:
                    return "PONG"
                case ["PING", text]:
                    return text
                case ["GET", key]:
                    return self._values[key][0] if key in self._values else None
                case ["SET", key, value]:
                    self._values[key] = (value, float("inf"))
                    return "OK"
                case ["SET", key, value, "EX", seconds] if seconds.isdecimal() and int(seconds) > 0:
                    self._values[key] = (value, monotonic() + int(seconds))
                    return "OK"
                case ["DEL", *keys] if keys:
                    return sum(self._values.pop(key, None) is not None for key in keys)
                case ["DBSIZE"]:
                    return len(self._values)
                case ["SET", _, _, *_]:
                    raise CommandError("ERR syntax error")
                case [known, *_] if known in _COMMANDS:
                    raise CommandError(f"ERR wrong number of arguments for '{name.lower()}' command")
        # The text is Upstash's own; the compatibility page is what it points to.
        page = f"{_HELP}/overall/rediscompatibility"
        raise CommandError(f"ERR Command is not available: '{name.upper()[:40]}'. See {page} for details")


class UpstashStandIn(FaultyServer[UpstashFault]):
    """One database; `url` and `token` are what a client needs. Encrypted with `tls`.

    `fault`, `delay_seconds`, `token`, `read_only_token` and `silent_on`, commands that are never answered, may be
    changed at any time from any thread. `acl_tokens` are those of ACL users (`ACL RESTTOKEN`): true while the user
    is on, false when it was switched off. `billed_commands` counts what Upstash would have charged for.
    """

    def __init__(
        self,
        token: str,
        *,
        read_only_token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token
        self.read_only_token = read_only_token
        self.acl_tokens: dict[str, bool] = {}
        self.silent_on: frozenset[str] = frozenset()
        self.delay_seconds = 0.0
        self.keyspace = Keyspace()
        self.billed_commands = 0
        routes = [Route("/", self._command, methods=["POST"])]
        api = Starlette(routes=routes, exception_handlers={CommandError: _error})
        super().__init__(api, UpstashFault.NONE, tls=tls)

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """What stands before the database, or the database."""
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self.wait_until(lambda: self.fault is not UpstashFault.HANG)
        await _PAGES.get(self.fault, self.app)(scope, receive, send)

    async def _command(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if self.acl_tokens.get(token) is False:
            raise CommandError("WRONGPASS invalid username-password pair or user is disabled", status=401)
        is_known = token in (self.token, self.read_only_token, *self.acl_tokens)
        if scheme.lower() != "bearer" or not token or not is_known:
            raise CommandError("WRONGPASS invalid or missing auth token", status=401)
        words = _words(await request.body())
        name = words[0].upper()
        if name in self.silent_on:
            await self.wait_until(lambda: False)
        refusal = _REFUSALS.get(self.fault, _READ_ONLY if token == self.read_only_token else None)
        if refusal is not None and name in refusal.commands:
            raise CommandError(refusal.text.format(command=name.lower()))
        self.billed_commands += name in _COMMANDS - _FREE
        result = self.keyspace.run(words)
        # Upstash's own client asks for base64, which every string is put into but the plain OK.
        if isinstance(result, str) and result != "OK" and request.headers.get("upstash-encoding") == "base64":
            result = base64.b64encode(result.encode()).decode()
        return JSONResponse({"result": result})


async def _error(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, error.status if isinstance(error, CommandError) else 500)


def _words(body: bytes) -> list[str]:
    try:
        row = json.loads(body)
    except (ValueError, RecursionError):
        raise CommandError("ERR failed to parse the request body as JSON") from None
    if not isinstance(row, list) or not row or not all(isinstance(word, str | int | float) for word in row):
        raise CommandError("ERR wanted a command as an array of strings and numbers")
    return [word if isinstance(word, str) else json.dumps(word) for word in row]


class ServerlessRedisHttpStandIn(LoopbackServer):
    """Its answers are those of its source (github.com/hiett/serverless-redis-http), where Upstash's differ.

    No base64 is spared, not even OK's, and whoever asks for it without a token meets an error inside.
    `run` is the Redis behind it, a dictionary where none is given; it raises `CommandError` or `OSError`.

    `stranger` answers in its place whoever brings no token, as a proxy in front of it may.
    """

    def __init__(
        self, token: str, *, run: Callable[[Sequence[str]], Value] | None = None, stranger: Response | None = None
    ) -> None:
        self.token = token
        self.run = run or Keyspace().run
        self.stranger = stranger
        super().__init__(Starlette(routes=[Route("/", self._command, methods=["POST"])]))

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """The proxy in front, or the server."""
        is_stranger = "authorization" not in request.headers
        await (self.stranger if is_stranger and self.stranger else self.app)(scope, receive, send)

    async def _command(self, request: Request) -> Response:
        is_encoded = request.headers.get("upstash-encoding") == "base64"
        if request.headers.get("content-type") != "application/json":
            return _refused(400, "Invalid content type. Expected application/json.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            # Its encoder has no case for this error, and fails inside (lib/srh/http/result_encoder.ex).
            return (
                Response(status_code=500) if is_encoded else _refused(400, "Missing/Invalid authorization header")
            )
        if token != self.token:
            return _refused(401, "Invalid token")
        try:
            result = self.run([str(word) for word in json.loads(await request.body())])
        except CommandError as error:
            return _refused(400, str(error))
        except OSError:
            return _refused(
                500,
                "SRH: Unable to connect to the Redis server. See SRH docs: "
                "https://github.com/hiett/serverless-redis-http",
            )
        if is_encoded and isinstance(result, str):
            result = base64.b64encode(result.encode()).decode()
        return JSONResponse({"result": result})


def _refused(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)
