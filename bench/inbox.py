"""A Slack inbox on loopback: answers `ok` to every message, and notes when it came and what it said."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.sandbox.server import LoopbackServer

_PATH = "/services/T0/B0/bench"
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedMessage:
    """One message: monotonic seconds at its last byte, and all its words."""

    at: float
    text: str


class Inbox:
    """Used as a context manager; `webhook_url` is for a channel; `address` does for a connectivity host."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[TimedMessage] = queue.SimpleQueue()
        self._server = LoopbackServer(Starlette(routes=[Route(_PATH, self._take, methods=["POST"])]))
        self.address = self._server.address
        self.webhook_url = self._server.url + _PATH

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def wait_for(self, word: str, *, seconds: float, over: threading.Event | None = None) -> TimedMessage | None:
        """The next message that holds `word`; others before it are dropped.

        `None` when the time is up, or `over` is set.
        """
        end = monotonic() + seconds
        while monotonic() < end and not (over is not None and over.is_set()):
            with suppress(queue.Empty):
                message = self._messages.get(timeout=_POLL_SECONDS)
                if word in message.text:
                    return message
        return None

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        at = monotonic()
        self._messages.put(TimedMessage(at=at, text="\n".join(_words(json.loads(body)))))
        return PlainTextResponse("ok")


def _words(value: Any) -> list[str]:
    """All text of a message, blocks and fallback alike."""
    if isinstance(value, dict):
        return [word for inner in value.values() for word in _words(inner)]
    if isinstance(value, list):
        return [word for inner in value for word in _words(inner)]
    return [value] if isinstance(value, str) else []
