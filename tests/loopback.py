"""A Slack of our own on loopback: it answers as it is told to and remembers what arrived."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TELLS = re.compile(r"incident (\d+) · (\w+)")


class Call(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    server: Inbox
    body = b""

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.requests += 1
            number = self.server.requests
        self.server.conduct(self, number)

    def do_GET(self) -> None:
        self.do_POST()

    def deliver(self) -> None:
        """As Slack confirms a message. It has arrived before that: who is killed in between must send it again."""
        with self.server.lock:
            self.server.arrived.append(json.loads(self.body or b"{}"))
        self.answer(200, b"ok")

    def refuse(self) -> None:
        """As a service in trouble does."""
        self.answer(503, b"try again")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        """A byte now and then, until the caller hangs up or the server is closed."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.server.closing.wait(0.1):
            self.wfile.write(b"o")
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nobody reads an access log here."""


# What is done with a request, given its number from 1.
Conduct = Callable[[Call, int], None]


def deliver(call: Call, _number: int) -> None:
    call.deliver()


def refuse(call: Call, _number: int) -> None:
    call.refuse()


def refuse_every_other(call: Call, number: int) -> None:
    if number % 2:
        call.refuse()
    else:
        call.deliver()


def drip(call: Call, _number: int) -> None:
    call.drip()


class Inbox(ThreadingHTTPServer):
    """An incoming webhook. `conduct` may be changed at any time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.conduct: Conduct = deliver
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.requests = 0
        self.arrived: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/services/T0/B0/hook"

    @property
    def channels(self) -> list[dict[str, str]]:
        """What the settings say of it."""
        return [{"type": "slack", "webhook_url": self.url}]

    def texts(self) -> list[str]:
        """What arrived, in order."""
        with self.lock:
            return [message["text"] for message in self.arrived]

    def told(self) -> list[tuple[int, str]]:
        """Incident and kind of each message that arrived, in order; other messages are left out."""
        found = (_TELLS.search(text) for text in self.texts())
        return [(int(match[1]), match[2]) for match in found if match]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that is killed in the middle is what these tests are about."""


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Listening until the block is left."""
    server = Inbox()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
