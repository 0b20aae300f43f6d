"""One HTTP request that nothing outlasts: not a slow lookup, not a host that drips a byte a second.

Who talks over the line is `exchange`, which is read in with the first request: most of the time there is nothing
to ask, and `requests` is 5 MB.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from monitor.lib.bounded_http.line import Answer, Line, NoAnswerError, Request


def ask(
    method: str,
    url: str,
    *,
    timeout: timedelta,
    json: dict[str, Any] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    limit_bytes: int = 64 * 1024,
) -> Answer:
    """Send one request, follow no redirect, and return within `timeout` by the wall clock.

    What is sent is `json`, or `body`, whose type `headers` must tell. Of the answer's body no more than
    `limit_bytes` are read. Raises `NoAnswerError`. A connection that still stands at the end is cut, so that no
    thread stays behind with it; a lookup or a connection attempt that hangs is left to end by itself.
    """
    if timeout <= timedelta(0):
        raise NoAnswerError("no time was left to send it")
    request = Request(method=method, url=url, json=json, body=body, headers=headers or {}, limit_bytes=limit_bytes)
    end = monotonic() + timeout.total_seconds()
    line = Line()
    results: queue.SimpleQueue[Answer | NoAnswerError] = queue.SimpleQueue()

    def work() -> None:
        try:
            from monitor.lib.bounded_http.exchange import exchange

            results.put(exchange(request, line, seconds=max(0.1, end - monotonic())))
        except NoAnswerError as error:
            results.put(error)
        except ImportError as error:
            results.put(NoAnswerError(f"this installation is not whole ({error.name} cannot be read in)"))

    threading.Thread(target=work, name="request", daemon=True).start()
    try:
        result = results.get(timeout=timeout.total_seconds())
    except queue.Empty:
        line.cut()
        raise NoAnswerError(f"no whole answer within {timeout.total_seconds():.3g} s") from None
    if isinstance(result, NoAnswerError):
        raise result
    return result
