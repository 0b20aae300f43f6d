"""What a request's headers say of the answer that the client wants (RFC 9110)."""

from __future__ import annotations

import re

_ENTITY_TAG = re.compile(r'"[^"]*"')
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def prefers_gzip(accept_encoding: str) -> bool:
    """True where gzip is allowed and plain is not wanted more (12.5.3). An unreadable quality counts as 0."""
    wanted: dict[str, float] = {}
    for entry in accept_encoding.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        found = [_QUALITY.fullmatch(parameter.replace(" ", "")) for parameter in parameters]
        wanted[name] = min((float(one[1]) if one else 0.0 for one in found), default=1.0)
    # Where plain is not named, any coding that is allowed may be sent.
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def is_known(etag: str, if_none_match: str) -> bool:
    """True where the client has that answer already: one of a list, weak or strong, or any (13.1.2)."""
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in _ENTITY_TAG.findall(if_none_match)
