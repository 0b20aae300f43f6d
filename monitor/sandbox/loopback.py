"""The HTTP under the stand-ins for web services: on loopback, writes down every request, misbehaves on demand.

What a service answers when it is well stands in its own file.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import Any, Self

_BODY_LIMIT = 1024 * 1024
_DRIP_SECONDS = 0.05


class Mood(Enum):
    """How the service is: well, or what it does in place of answering."""

    WELL = "well"
    HANG = "hang"
    DRIP = "drip"
    CUT = "cut"
    HTML = "html"
    NOT_JSON = "not_json"
    DEEP = "deep"
    OTHER_SHAPE = "other_shape"
    REDIRECT = "redirect"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came in, secrets and all; `headers` by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


_MOODS: Mapping[Mood, Reply] = {
    Mood.HTML: Reply(
        status=200, body=b"<html>Log in to this network</html>", headers={"Content-Type": "text/html"}
    ),
    Mood.NOT_JSON: Reply(status=200, body=b'{"cut": "sho', headers={}),
    Mood.DEEP: Reply(status=200, body=b"[" * 200_000, headers={}),
    Mood.OTHER_SHAPE: Reply(status=200, body=b'{"hello": ["world", null, 1]}', headers={}),
    Mood.REDIRECT: Reply(status=302, body=b"", headers={"Location": "http://127.0.0.1:1/elsewhere"}),
    Mood.FORBIDDEN: Reply(status=403, body=b"Forbidden", headers={}),
    Mood.NOT_FOUND: Reply(status=404, body=b"Not Found", headers={}),
    Mood.RATE_LIMITED: Reply(status=429, body=b"Too Many Requests", headers={"Retry-After": "7"}),
    Mood.SERVER_ERROR: Reply(status=500, body=b"Internal Server Error", headers={}),
    Mood.UNAVAILABLE: Reply(status=503, body=b"upstream connect error", headers={}),
}


class StandIn:
    """One service. Used as a context manager. `mood` may be changed at any time from any thread.

    With `mood_of` only the requests whose path or body holds a text are answered in another mood.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.mood_of: dict[str, Mood] = {}
        self._mood = Mood.WELL
        self._changed = threading.Condition()
        self._is_closed = False
        self._server = _Server(("127.0.0.1", 0), self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def mood(self) -> Mood:
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        """Switch; requests that hang are released."""
        with self._changed:
            self._mood = mood
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and let hanging requests go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Reply:
        """What the service says when it is well."""
        raise NotImplementedError

    def reply_to(self, request: Request) -> Reply | Mood:
        """The reply, or the mood in which it is not given whole."""
        self.requests.append(request)
        mood = self._mood_for(request)
        if mood is Mood.HANG:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._mood_for(request) is not Mood.HANG)
            mood = Mood.CUT
        if mood in (Mood.CUT, Mood.DRIP):
            return mood
        return _MOODS.get(mood) or self.answer(request)

    def is_closed(self) -> bool:
        return self._is_closed

    def _mood_for(self, request: Request) -> Mood:
        place = f"{request.path} {request.body.decode('utf-8', 'replace')}"
        return next((mood for part, mood in self.mood_of.items() if part in place), self._mood)


def as_json(value: Any, status: int = 200) -> Reply:
    """A reply with a JSON body."""
    return Reply(status=status, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        self.stand_in = stand_in
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is an everyday thing."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _BODY_LIMIT)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method=self.command, path=self.path, headers=headers, body=self.rfile.read(length))
        reply = self.server.stand_in.reply_to(request)
        if reply is Mood.DRIP:
            self._drip()
        elif isinstance(reply, Reply):
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _drip(self) -> None:
        """A body that never comes to an end, byte by byte."""
        self.send_response(200)
        self.end_headers()
        while not self.server.stand_in.is_closed():
            self.wfile.write(b" ")
            self.wfile.flush()
            sleep(_DRIP_SECONDS)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads an access log here."""
