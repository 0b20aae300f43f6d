"""What can be known of a URL and a token without sending them.

A value is judged as it stands: the worker that reads the same variable gets no repair either.
Whether the service accepts them is seen by `probes`, not here. No detail ever holds the value itself.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import SplitResult, urlsplit

from monitor.core.classify import Finding
from monitor.core.observation import Outcome

_ASSIGNMENT = re.compile(r"^(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=(?!=*$)")
_REFERENCE = re.compile(r"\$\{|\}\}|^\$[A-Za-z_]")
_LABEL = re.compile(r"^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$")
_QUOTES = "\"'`“”‘’«»"
UPSTASH_DOMAIN = ".upstash.io"
_NAMED = {
    "\n": "a newline",
    "\r": "a carriage return",
    "\t": "a tab",
    " ": "a space",
    "\u00a0": "a no-break space",
    "\u200b": "a zero-width space",
    "\ufeff": "a byte order mark",
}


def inspect(url: str, token: str) -> Finding | None:
    """Return what is wrong with the pair as it stands, or `None` when it is fit to be sent."""
    return _inspect_url(url) or _inspect_token(token)


def _inspect_url(url: str) -> Finding | None:
    if not url.strip():
        return Finding(outcome=Outcome.URL_MISSING, detail=_absence("URL", url))
    wrong = _shared_mistake(url) or _url_mistake(url)
    return Finding(outcome=Outcome.URL_MALFORMED, detail=f"the URL {wrong}") if wrong else None


def _inspect_token(token: str) -> Finding | None:
    if not token.strip():
        return Finding(outcome=Outcome.TOKEN_MISSING, detail=_absence("token", token))
    wrong = _shared_mistake(token) or _token_mistake(token)
    return Finding(outcome=Outcome.TOKEN_MALFORMED, detail=f"the token {wrong}") if wrong else None


def _absence(what: str, value: str) -> str:
    return f"the {what} holds only whitespace" if value else f"the {what} is empty or its variable is not set"


def _shared_mistake(value: str) -> str | None:
    """The paste artefacts that spoil a URL and a token alike."""
    if _REFERENCE.search(value):
        return "holds a reference that was not resolved, such as ${{ … }}"
    if value[-1].isspace():
        return f"ends with {_name_character(value[-1])}"
    if value[0].isspace():
        return f"begins with {_name_character(value[0])}"
    if value[0] in _QUOTES and value[-1] in _QUOTES:
        return "is wrapped in quotes"
    if value[0] in _QUOTES or value[-1] in _QUOTES:
        return "has a quote at one end"
    return _foreign_character(value)


def _foreign_character(value: str) -> str | None:
    for index, character in enumerate(value, start=1):
        if not " " <= character <= "~":
            return f"holds {_name_character(character)} at position {index}"
    return None


def _url_mistake(url: str) -> str | None:
    if _ASSIGNMENT.match(url):
        return "is an assignment NAME=value; only the value belongs here"
    if " " in url:
        return "holds a space"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL; the REST URL is https://HOST"
    if parts.scheme in ("redis", "rediss"):
        return f"is a {parts.scheme}:// URL; the REST URL is https://HOST with the same host"
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "does not begin with https:// and a host; the REST URL is https://HOST"
    return _place_mistake(url, parts, port)


def _place_mistake(url: str, parts: SplitResult, port: int | None) -> str | None:
    host = parts.hostname or ""
    if "@" in parts.netloc:
        return "holds a user name or password; the REST URL is https://HOST"
    if not is_host(host):
        return "has no valid host; the REST URL is https://HOST"
    if port == 0 or parts.netloc.endswith(":"):
        return "has no valid port; the REST URL is https://HOST"
    if parts.path not in ("", "/"):
        return "has a path; the REST URL is https://HOST alone"
    if "?" in url or "#" in url:
        return "has a query; the REST URL is https://HOST alone"
    if parts.scheme == "http" and host.removesuffix(".").endswith(UPSTASH_DOMAIN):
        return "begins with http://; Upstash is reached with https:// only"
    return None


def _token_mistake(token: str) -> str | None:
    if token.lower().startswith("bearer "):
        return "begins with `Bearer `; only the token itself belongs here"
    if _ASSIGNMENT.match(token):
        return "is an assignment NAME=value; only the value belongs here"
    if " " in token:
        return "holds a space"
    return "holds a quote" if any(quote in token for quote in _QUOTES) else None


def is_host(host: str) -> bool:
    """True for an IP address or a name of valid labels; whether it exists is another question."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        return len(host) <= 253 and all(_LABEL.match(label) for label in labels)
    return True


def _name_character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character in _QUOTES:
        return "a quote"
    name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
    return f"a character outside printable ASCII ({name})"
