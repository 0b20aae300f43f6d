"""One HTTP request that nothing outlasts: not a slow lookup, not a host that drips a byte a second.

Who talks over the line is `exchange`, which is read in with the first request: most of the time there is nothing
to ask, and `requests` is 5 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from monitor.lib.bounded_http.line import Answer, Line, NoAnswerError, Request
from monitor.lib.threads import start_on_thread


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

    def work() -> Answer:
        try:
            from monitor.lib.bounded_http.exchange import exchange
        except ImportError as error:
            raise NoAnswerError(f"this installation is not whole ({error.name} cannot be read in)") from None
        return exchange(request, line, seconds=max(0.1, end - monotonic()))

    try:
        return start_on_thread(work, name="request").result(timeout=timeout.total_seconds())
    except TimeoutError:
        line.cut()
        raise NoAnswerError(f"no whole answer within {timeout.total_seconds():.3g} s") from None
