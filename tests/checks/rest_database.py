"""A database behind REST on loopback: any answer can be replaced, and what it was sent is noted."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from monitor.sandbox.upstash import CommandError, Keyspace

TOKEN = "AToken-of_the_Test01=="


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer over HTTP."""

    status: int = 200
    body: str = '{"result":null}'
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it arrived."""

    words: list[Any]
    path: str
    headers: dict[str, str]


def refusal(text: str, status: int = 400) -> Answer:
    return Answer(status=status, body=json.dumps({"error": text}))


NO_TOKEN = refusal("WRONGPASS invalid or missing auth token", 401)

# What is said in place of the usual answer; `None` to hang up.
Instead = Answer | None | Callable[["RestDatabase"], Answer | None]


class RestDatabase(ThreadingHTTPServer):
    """Answers as Upstash does, except for the commands, or the `door` without a token, that a test replaces."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keyspace = Keyspace()
        self.closing = threading.Event()
        self.received: list[Request] = []
        self.door: Instead = NO_TOKEN
        self.instead: dict[str, Instead] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def commands(self) -> list[str]:
        return [request.words[0] for request in self.received]

    def __enter__(self) -> RestDatabase:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def answer(self, request: Request) -> Answer | None:
        self.received.append(request)
        instead = self.instead.get(request.words[0], ...)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            instead = self.door
        if instead is ...:
            return self._run([str(word) for word in request.words])
        return instead(self) if callable(instead) else instead

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up in the middle is what some of these tests are about."""

    def _run(self, words: list[str]) -> Answer:
        try:
            result = self.keyspace.run(words)
        except CommandError as error:
            return refusal(str(error))
        if isinstance(result, str) and result != "OK":
            result = base64.b64encode(result.encode()).decode()
        return Answer(body=json.dumps({"result": result}), headers=(("Upstash-Sync-Token", "sync-1"),))


def hang(database: RestDatabase) -> None:
    """Say nothing until the test is over."""
    database.closing.wait(30)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RestDatabase

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(Request(words=json.loads(body), path=self.path, headers=headers))
        self.close_connection = True
        if answer is None:
            return
        self.send_response(answer.status)
        for name, value in (("Content-Type", answer.kind), *answer.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body.encode())))
        self.end_headers()
        self.wfile.write(answer.body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads an access log here."""
