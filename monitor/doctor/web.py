"""Requests to the doctor's other sources: the status page, the Upstash console, Railway.

Whatever goes wrong is told in short words of our own, and nothing of a foreign body gets into them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from monitor.lib.bounded_http import Answer, NoAnswerError, ask
from monitor.lib.times import Deadline

_LIMIT_BYTES = 2 * 1024 * 1024


class WebError(Exception):
    """No answer that can be used. The text is short and holds no secret.

    `was_refused` is true when the service surely did nothing of what was asked.
    """

    def __init__(self, words: str, *, was_refused: bool = False) -> None:
        super().__init__(words)
        self.was_refused = was_refused


def fetch(
    method: str,
    url: str,
    *,
    deadline: Deadline,
    headers: Mapping[str, str] | None = None,
    json: dict[str, Any] | None = None,
) -> Answer:
    """One request; whatever status comes back is an answer. Raises `WebError`.

    Headers hold credentials, so they leave only through encryption, or within this machine.
    """
    if headers and not _is_private(url):
        raise WebError("its URL does not begin with https://, so no key was sent", was_refused=True)
    left = deadline.left()
    if not left:
        raise WebError("no time left to ask", was_refused=True)
    try:
        return ask(method, url, json=json, headers=headers, timeout=left, limit_bytes=_LIMIT_BYTES)
    except NoAnswerError as error:
        raise WebError(str(error)) from None


def read_json(answer: Answer) -> Any:
    """The body of an answer with status 200; raises `WebError` for any other."""
    if answer.status != 200:
        raise WebError(format_status(answer), was_refused=answer.status < 500)
    return parse_json(answer.body)


def parse_json(body: str) -> Any:
    """The JSON in a body; raises `WebError`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WebError("the answer is not JSON") from None


def format_status(answer: Answer) -> str:
    """A status other than 200, in words for people."""
    match answer.status:
        case 401:
            return "the key is not accepted (401)"
        case 403:
            return "it refuses this (403)"
        case 404:
            return "there is no such thing (404)"
        case 429:
            seconds = answer.headers.get("retry-after", "")
            is_number = seconds.isascii() and seconds.isdigit() and len(seconds) < 6
            return "it limits the rate (429" + (f", again in {seconds} s)" if is_number else ")")
        case status if 300 <= status < 400:
            return f"it answers with a redirect ({status})"
        case status if status >= 500:
            return f"it has a fault of its own ({status})"
    return f"it answers with status {answer.status}"


def _is_private(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https" or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
