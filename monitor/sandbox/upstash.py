"""A stand-in for Upstash's REST API on loopback, with faults that can be switched while it runs.

Its commands are in `keyspace`. It imports nothing of the house: a fault of ours must not hide here.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from monitor.sandbox.keyspace import CommandError, Keyspace

_NO_TOKEN = "WRONGPASS invalid or missing auth token"
_BODY_LIMIT = 1024 * 1024


class Fault(Enum):
    """What the stand-in does instead of answering well."""

    NONE = "none"
    HANG = "hang"
    REFUSE = "refuse"
    SERVER_ERROR = "server_error"
    HTML = "html"
    QUOTA = "quota"
    SUSPENDED = "suspended"


@dataclass(frozen=True, kw_only=True)
class _Reply:
    status: int
    body: bytes
    kind: str = "application/json"


class UpstashStandIn:
    """One database. Used as a context manager; `url` and `token` are what a client needs.

    `fault`, `delay_seconds` and `token` may be changed at any time from any thread.
    """

    def __init__(self, token: str, *, port: int = 0) -> None:
        self.token = token
        self.delay_seconds = 0.0
        self.keyspace = Keyspace()
        self.requests = 0
        self._fault = Fault.NONE
        self._changed = threading.Condition()
        self._server: _Server | None = None
        self._port = port
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        """Switch; requests that hang are released."""
        with self._changed:
            was, self._fault = self._fault, fault
            self._changed.notify_all()
        if fault is Fault.REFUSE:
            self._hang_up()
        elif was is Fault.REFUSE:
            self._listen()

    def __enter__(self) -> UpstashStandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and let hanging requests go."""
        with self._changed:
            self._fault = Fault.REFUSE
            self._changed.notify_all()
        self._hang_up()

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> _Reply | None:
        """The reply to one request; `None` to hang up without one."""
        self.requests += 1
        with self._changed:
            if self.delay_seconds:
                self._changed.wait_for(lambda: self._fault is Fault.REFUSE, self.delay_seconds)
            self._changed.wait_for(lambda: self._fault is not Fault.HANG)
            fault = self._fault
        if fault is Fault.REFUSE:
            return None
        if fault is Fault.SERVER_ERROR:
            return _Reply(status=503, body=b"upstream connect error", kind="text/plain")
        if fault is Fault.HTML:
            return _Reply(status=200, body=b"<html><body>Log in to this network</body></html>", kind="text/html")
        parts = urlsplit(target)
        if not self._is_let_in(headers, parts.query):
            return _error(401, _NO_TOKEN)
        if fault is Fault.QUOTA:
            return _error(400, "ERR max requests limit exceeded. Limit: 500000, Usage: 500000.")
        if fault is Fault.SUSPENDED:
            return _error(400, "ERR This database is suspended: the budget is used up")
        return self._run(method, parts.path, headers, body)

    def _is_let_in(self, headers: Any, query: str) -> bool:
        given = headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return self.token in (given, *parse_qs(query).get("_token", []))

    def _run(self, method: str, path: str, headers: Any, body: bytes) -> _Reply:
        encoded = headers.get("Upstash-Encoding", "").lower() == "base64"
        words: Any
        if method == "POST" and path in ("", "/", "/pipeline", "/multi-exec"):
            try:
                words = json.loads(body)
            except ValueError:
                return _error(400, "ERR failed to parse the request body")
        else:
            words = [unquote(word) for word in path.strip("/").split("/")]
            words += [body.decode("utf-8", "replace")] if body else []
        if path in ("/pipeline", "/multi-exec"):
            if not isinstance(words, list):
                return _error(400, "ERR a pipeline is a list of commands")
            return _json(200, [self._one(command, encoded=encoded) for command in words])
        answer = self._one(words, encoded=encoded)
        return _json(400 if "error" in answer else 200, answer)

    def _one(self, words: Any, *, encoded: bool) -> dict[str, Any]:
        if (
            not isinstance(words, list)
            or not words
            or not all(isinstance(word, str | int | float) for word in words)
        ):
            return {"error": "ERR a command is a list of words"}
        try:
            result = self.keyspace.run([str(word) for word in words])
        except CommandError as error:
            return {"error": str(error)}
        return {"result": _base64(result) if encoded else result}

    def _listen(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], stand_in: UpstashStandIn) -> None:
        self.stand_in = stand_in
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is an everyday thing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one piece
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _BODY_LIMIT)
        reply = self.server.stand_in.answer(self.command, self.path, self.headers, self.rfile.read(length))
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nobody reads an access log here."""


def _base64(value: Any) -> Any:
    """Upstash encodes every string of a result but the plain OK."""
    if isinstance(value, list):
        return [_base64(item) for item in value]
    if isinstance(value, str) and value != "OK":
        return base64.b64encode(value.encode()).decode()
    return value


def _json(status: int, value: Any) -> _Reply:
    return _Reply(status=status, body=json.dumps(value, separators=(",", ":")).encode())


def _error(status: int, text: str) -> _Reply:
    return _json(status, {"error": text})
