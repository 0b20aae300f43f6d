"""A stand-in for serverless-redis-http, which many run in front of a Redis of their own in Upstash's place.

Its answers are those of its source (github.com/hiett/serverless-redis-http), where they differ from Upstash's:
no base64 is spared, not even OK's, and whoever asks for it without a token meets an error inside.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from monitor.sandbox.server import LoopbackServer, RecordedRequest
from monitor.sandbox.upstash import CommandError, Keyspace, Value


class ServerlessRedisHttpStandIn(LoopbackServer):
    """`run` is the Redis behind it, a dictionary where none is given; it raises `CommandError` or `OSError`.

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
            return _error(400, "Invalid content type. Expected application/json.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            # Its encoder has no case for this error, and fails inside (lib/srh/http/result_encoder.ex).
            return Response(status_code=500) if is_encoded else _error(400, "Missing/Invalid authorization header")
        if token != self.token:
            return _error(401, "Invalid token")
        try:
            result = self.run([str(word) for word in json.loads(await request.body())])
        except CommandError as error:
            return _error(400, str(error))
        except OSError:
            return _error(
                500,
                "SRH: Unable to connect to the Redis server. See SRH docs: "
                "https://github.com/hiett/serverless-redis-http",
            )
        if is_encoded and isinstance(result, str):
            result = base64.b64encode(result.encode()).decode()
        return JSONResponse({"result": result})


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)
