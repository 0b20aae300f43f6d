"""Foreign text on one printable line, and without what looks like a credential.

Known secrets are taken out by `scrub`; this is for texts that may hold secrets nobody here knows.
"""

from __future__ import annotations

import re

MASK = "***"

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_USER_INFORMATION = re.compile(r"(?<=://)[^\s@]*@")
_NAMED = re.compile(
    r"""((?:token|passw(?:or)?d|secret|api[-_]?key|authorization|credentials?)["']?\s*[=:]\s*["']?)"""
    r"""(?:(?:bearer|basic)\s+)?[^\s"',;&}]+""",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(bearer|basic)\s+(?=\S*[0-9])\S{6,}", re.IGNORECASE)
# Letters and digits in one long word: a token, a key, an id. A database's host is worth keeping.
_LONG = re.compile(r"(?=[\w+/=-]*[0-9])(?=[\w+/=-]*[A-Za-z])[\w+/=-]{20,}+(?!\.upstash\.io\b)")


def one_line(text: str, limit: int) -> str:
    """The text on one printable line of at most `limit` characters; nothing in it steers a display."""
    plain = _COLOUR.sub("", text)
    line = " ".join("".join(character if character.isprintable() else " " for character in plain).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def mask_credentials(text: str) -> str:
    """The text with what looks like a credential masked, though nobody knows it for one.

    That is: user and password in a URL, the value behind a telling name, any long word of letters and digits.
    """
    text = _USER_INFORMATION.sub(f"{MASK}@", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    return _LONG.sub(MASK, text)
