"""The line of one request: what goes and comes back over it, and how it is cut from outside.

How long it may stand is decided in `request`, who talks over it is `exchange`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Request:
    """What is asked, with a body of JSON, of bytes, or none.

    Its URL and headers may be secrets, so it does not print.
    """

    method: str
    url: str
    json: dict[str, Any] | None
    body: bytes | None
    headers: Mapping[str, str]
    limit_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: lower-case header names, and of the body no more than was asked for."""

    status: int
    headers: Mapping[str, str]
    body: str


class NoAnswerError(Exception):
    """Nothing whole came back. The text is short and our own: foreign ones hold the URL, which is a secret."""


class Line:
    """The connections of one request, held so that another thread can cut them."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()

    def hold(self, connection: socket.socket) -> None:
        """Take note of a connection; one that comes after the cut is cut at once."""
        with self._lock:
            # A duplicate: encryption takes the original's file descriptor away.
            self._sockets.append(connection.dup())
            if self._is_cut:
                self._cut()

    def cut(self) -> None:
        """End every connection; whoever reads from one wakes up."""
        with self._lock:
            self._is_cut = True
            self._cut()

    def let_go(self) -> None:
        """The request is over."""
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    def _cut(self) -> None:
        for held in self._sockets:
            with suppress(OSError):  # it may be gone already
                held.shutdown(socket.SHUT_RDWR)
