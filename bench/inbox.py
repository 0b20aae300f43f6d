"""A Slack inbox on loopback: says `ok` to every message, and notes when it came and what it said."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

_GLANCE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """One message: monotonic seconds at its last byte, and all its words."""

    at: float
    text: str


class Inbox:
    """Used as a context manager; `webhook_url` is for a channel; `address` does for a connectivity host."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._server = _Server(("127.0.0.1", 0), self._messages)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.webhook_url = f"http://{self.address}/services/T0/B0/bench"

    def __enter__(self) -> Inbox:
        threading.Thread(target=self._server.serve_forever, name="inbox", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, word: str, *, seconds: float, over: threading.Event | None = None) -> Received | None:
        """The next message that holds `word`; others before it are dropped.

        `None` when the time is up, or `over` is set.
        """
        end = monotonic() + seconds
        while monotonic() < end and not (over is not None and over.is_set()):
            with suppress(queue.Empty):
                message = self._messages.get(timeout=_GLANCE_SECONDS)
                if word in message.text:
                    return message
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], messages: queue.SimpleQueue[Received]) -> None:
        self.messages = messages
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.messages.put(Received(at=monotonic(), text="\n".join(_words(json.loads(body)))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads an access log here."""


def _words(value: Any) -> list[str]:
    """All text of a message, blocks and fallback alike."""
    if isinstance(value, dict):
        return [word for inner in value.values() for word in _words(inner)]
    if isinstance(value, list):
        return [word for inner in value for word in _words(inner)]
    return [value] if isinstance(value, str) else []
