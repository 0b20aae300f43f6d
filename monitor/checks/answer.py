"""What an answer over HTTP shows of whoever gave it: an error text, where it leads, what it looks like."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from monitor.checks.connection import Stopwatch
from monitor.checks.credentials import is_host

_EXCERPT_LENGTH = 120
# No answer to a check's command is longer. Parsing a megabyte of brackets would hold the event loop for a second.
PARSED_BYTES = 8 * 1024
ERROR_LENGTH = 2000
_REDIRECTS = (301, 302, 303, 307, 308)
_UNAUTHORIZED = ("unauthorized", "unauthorized.", "unauthorised", "unauthorised.")
HTTPS_OF_THE_SAME_HOST = "https:// of the same host"


@dataclass(kw_only=True, slots=True)
class Exchange:
    """What one request met on its way; filled in by the transport.

    `without_token` and `request_sync_token` say how its headers differ from those that the client sends, and
    `parsed_bytes` how much of the answer the client is given.
    """

    without_token: bool = False
    request_sync_token: str = ""
    parsed_bytes: int = PARSED_BYTES
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    status: int | None = None
    content_type: str = ""
    location: str = ""
    sync_token: str = ""
    body: bytes = b""
    complete: bool = False


def error_text(exchange: Exchange) -> str | None:
    """The text of an Upstash-shaped `{"error": "…"}` body, cut, or `None` for any other body.

    Upstash's older answer to a wrong token is the bare word, as it is or as a JSON string (redis-js issue 711).
    """
    if len(exchange.body) > PARSED_BYTES:
        return None
    try:
        value = json.loads(exchange.body)
    except (ValueError, RecursionError):
        value = exchange.body.decode("utf-8", "replace")
    if isinstance(value, dict):
        error = value.get("error")
        return error[:ERROR_LENGTH] if isinstance(error, str) and error.strip() else None
    is_refusal = exchange.status == HTTPStatus.UNAUTHORIZED and isinstance(value, str)
    return value.strip() if is_refusal and value.strip().lower() in _UNAUTHORIZED else None


def other_result(exchange: Exchange) -> str:
    """`null` or `another value` for a body whose `result` is that; empty for any other body.

    For an answer that is known not to be the expected one. A text that is not encoded as asked is another value.
    """
    try:
        value = json.loads(exchange.body[:PARSED_BYTES])
    except (ValueError, RecursionError):
        return ""
    result = value.get("result", 0) if isinstance(value, dict) else 0
    return "null" if result is None else "another value" if isinstance(result, str) else ""


def redirect_target(exchange: Exchange, url: str) -> str:
    """Where an answer to a request for `url` leads; empty for one that is no redirect.

    Of another host only its name is told: the rest of an address may hold a secret.
    """
    status, location = exchange.status or 0, exchange.location.strip()
    if status not in _REDIRECTS and not (300 <= status < 400 and location):
        return ""
    if not location:
        return "nowhere"
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        host, port = (there.hostname or "").removesuffix("."), there.port
    except ValueError:
        return "what is no URL"
    if there.scheme not in ("http", "https") or not is_host(host):
        return "what is no URL"
    if host != (here.hostname or "").removesuffix("."):
        return host
    if there.scheme != here.scheme:
        return HTTPS_OF_THE_SAME_HOST if there.scheme == "https" else "http:// of the same host"
    if port != here.port:
        return f"{f'port {port}' if port else 'the usual port'} of the same host"
    return "another path of the same host"


def media_type(exchange: Exchange) -> str:
    """The content type without its parameters; that of a page where the body says that it is one."""
    is_page = exchange.body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    return "text/html" if is_page else exchange.content_type.split(";")[0].strip().lower()[:40]


def describe(exchange: Exchange) -> str:
    """What came instead of an Upstash answer: its type and its first words."""
    if not exchange.body.strip():
        return "an empty body"
    kind = media_type(exchange) or "no content type"
    excerpt = exchange.body[: 4 * _EXCERPT_LENGTH].decode("utf-8", "replace")
    return f"{kind}: {excerpt}"
