"""Several questions to one web service within one deadline, and every way of not answering in words of our own.

What an answer means is known to whoever asked. Nothing of a foreign body gets into the words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from monitor.lib.bounded_http.line import Answer, NoAnswerError
from monitor.lib.bounded_http.request import ask

_LIMIT_BYTES = 2 * 1024 * 1024
_LEAST = timedelta(milliseconds=10)


class WebError(Exception):
    """No answer that can be used. The text is short, in our own words, and holds no secret.

    `was_refused` is true when the service surely did nothing of what was asked.
    """

    def __init__(self, words: str, *, was_refused: bool = False) -> None:
        super().__init__(words)
        self.was_refused = was_refused


class Deadline:
    """The end of several questions, begun now."""

    def __init__(self, timeout: timedelta) -> None:
        self._end = monotonic() + timeout.total_seconds()

    def left(self) -> timedelta:
        """What is left of it; raises `WebError` when that is nothing."""
        left = timedelta(seconds=self._end - monotonic())
        if left < _LEAST:
            raise WebError("no time left to ask", was_refused=True)
        return left


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
    try:
        return ask(method, url, json=json, headers=headers, timeout=deadline.left(), limit_bytes=_LIMIT_BYTES)
    except NoAnswerError as error:
        raise WebError(str(error)) from None


def read_json(answer: Answer) -> Any:
    """The body of an answer with status 200; raises `WebError` for any other."""
    if answer.status != 200:
        raise WebError(format_status(answer), was_refused=answer.status < 500)
    return parse(answer.body)


def parse(body: str) -> Any:
    """The JSON in a body; raises `WebError`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WebError("the answer is not JSON") from None


def format_status(answer: Answer) -> str:
    """A status that is no success, as a person says it."""
    match answer.status:
        case 401:
            return "the key is not accepted (401)"
        case 403:
            return "it refuses this (403)"
        case 404:
            return "there is no such thing (404)"
        case 429:
            return f"it asks for patience (429{_wished_pause(answer)})"
        case status if 300 <= status < 400:
            return f"it answers with a redirect ({status})"
        case status if status >= 500:
            return f"it is in trouble itself ({status})"
    return f"it answers with status {answer.status}"


def _wished_pause(answer: Answer) -> str:
    seconds = answer.headers.get("retry-after", "")
    return f", again in {seconds} s" if seconds.isascii() and seconds.isdigit() and len(seconds) < 6 else ""


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
