"""One HTTP request that nothing outlasts: not a slow lookup, not a host that drips a byte a second.

What a status or a body means is known to whoever asked. `requests` is read in with the first request: most of the
time there is nothing to say, and it is 5 MB.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

_USER_AGENT = "upstash-monitor"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: lower-case header names, and of the body no more than was asked for."""

    status: int
    headers: Mapping[str, str]
    body: str


class NoAnswerError(Exception):
    """Nothing whole came back. The text is short and our own: foreign ones hold the URL, which is a secret."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    method: str
    url: str
    json: dict[str, Any] | None
    headers: Mapping[str, str]
    limit_bytes: int


def ask(
    method: str,
    url: str,
    *,
    timeout: timedelta,
    json: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    limit_bytes: int = 64 * 1024,
) -> Answer:
    """Send one request, follow no redirect, and return within `timeout` by the wall clock.

    Of the body no more than `limit_bytes` are read. Raises `NoAnswerError`. What still hangs at the end is cut
    off, so that no thread stays behind with it.
    """
    request = _Request(method=method, url=url, json=json, headers=headers or {}, limit_bytes=limit_bytes)
    line = _Line()
    results: queue.SimpleQueue[Answer | NoAnswerError] = queue.SimpleQueue()

    def work() -> None:
        results.put(_exchange(request, line, monotonic() + timeout.total_seconds()))

    threading.Thread(target=work, name="request", daemon=True).start()
    try:
        result = results.get(timeout=timeout.total_seconds())
    except queue.Empty:
        line.cut()
        raise NoAnswerError(f"no whole answer within {timeout.total_seconds():g} s") from None
    if isinstance(result, NoAnswerError):
        raise result
    return result


class _Line:
    """The sockets of one request, so that they can be cut from outside."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()

    def hold(self, connection: socket.socket) -> None:
        with self._lock:
            # A duplicate: encryption takes the original's file descriptor away.
            self._sockets.append(connection.dup())
            if self._is_cut:
                self._cut()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            self._cut()

    def let_go(self) -> None:
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    def _cut(self) -> None:
        for held in self._sockets:
            with suppress(OSError):  # it may be gone already
                held.shutdown(socket.SHUT_RDWR)


def _exchange(request: _Request, line: _Line, end: float) -> Answer | NoAnswerError:
    import requests  # noqa: PLC0415 - see the head of this file

    try:
        with _session(line) as session:
            response = session.request(
                request.method,
                request.url,
                json=request.json,
                headers=request.headers,
                # Without this, requests puts what ~/.netrc has for the host in place of our own Authorization.
                auth=_unchanged if request.headers else None,
                timeout=max(0.1, end - monotonic()),
                allow_redirects=False,
                stream=True,
            )
            with response:
                body = _read(response, request.limit_bytes)
            return Answer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=body.decode("utf-8", "replace"),
            )
    except requests.exceptions.SSLError:
        return NoAnswerError("no trusted encrypted connection")
    except requests.exceptions.Timeout:
        return NoAnswerError("no answer in time")
    except requests.exceptions.ConnectionError:
        return NoAnswerError("no connection")
    except (requests.exceptions.RequestException, ValueError, OSError) as error:
        return NoAnswerError(f"the request failed ({type(error).__name__})")
    finally:
        line.let_go()


def _unchanged(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def _read(response: requests.Response, limit_bytes: int) -> bytes:
    body = b""
    for chunk in response.iter_content(4096):
        body += chunk
        if len(body) >= limit_bytes:
            break
    return body[:limit_bytes]


def _session(line: _Line) -> requests.Session:
    """A session whose connections are reported to `line`."""
    import requests.adapters  # noqa: PLC0415 - see the head of this file
    from urllib3.connection import HTTPConnection, HTTPSConnection  # noqa: PLC0415 - as above
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool  # noqa: PLC0415 - as above

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            line.hold(connection)
            return connection

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            line.hold(connection)
            return connection

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}

    session = requests.Session()
    session.headers["User-Agent"] = _USER_AGENT
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())
    return session
