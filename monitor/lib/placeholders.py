"""Values that were never filled in, and values that were copied from where they are hidden."""

from __future__ import annotations

import re

# What programs write where they have nothing.
_FOR_NOTHING = re.compile(
    r"^(?:(?:undefined|null){1,3}|none|nil|nan|n/a|redacted|unset|\[object object\]|\(null\)|\(none\))$",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"^(?:<.*>|\[.*\]|\{.*\}|%\w+%|__\w+__)$|<[A-Za-z_][\w .-]*>", re.DOTALL)
_CROSSED_OUT = re.compile(r"^[xX][xX\-_. ]+[xX]$|^[xX]{3,}[-_.]|x{6}|X{6}|^([-_?#])\1{2,}$")
_YOURS = re.compile(r"^your(?:[-_. ]|[a-z]*$)", re.IGNORECASE)
_PLACEHOLDER_LABEL = re.compile(r"(?:^|\.)(?:(?:undefined|null)(?:\.|$)|your[-_])|[<>]", re.IGNORECASE)
# A text of these words alone is a template's. One of the first says so by itself; a server of one's own may have
# any of the others for a token, `example_token` too.
_CALLS_FOR_A_VALUE = frozenset(
    {
        *("your", "insert", "enter", "paste", "put", "replace", "fill", "change", "here", "todo", "tbd"),
        *("fixme", "changeme", "replaceme", "placeholder"),
    }
)
_OF_TEMPLATES = _CALLS_FOR_A_VALUE | {
    *("my", "the", "some", "any", "add", "set", "copy", "use", "with", "me", "this", "it", "in", "of"),
    *("from", "goes", "real", "actual", "example", "sample", "dummy", "fake", "upstash", "redis"),
    *("rest", "kv", "api", "read", "only", "access", "auth", "bearer", "default", "token", "key"),
    *("secret", "password", "value", "string", "url", "host", "hostname", "endpoint", "database"),
    *("db", "name", "console"),
}
_EXAMPLES = ("example", "sample", "dummy")
# Three dots: a value that was shortened for display.
_MASK = re.compile(r"^\*+$|\*{3,}|[•●∙·⋅▪■█⬤◦○]|…|\.{3,}")


def is_masked(value: str) -> bool:
    """True for asterisks or bullets, as a field that hides its value shows them, whole or in part."""
    return bool(_MASK.search(value))


def is_placeholder(value: str, *, is_upstash: bool) -> bool:
    """True for what stands in examples and templates, and for what programs write where they have nothing.

    `value` is without quotes around it. `is_upstash`: a value of Upstash's own, which is never made of words.
    """
    if _FOR_NOTHING.match(value) or _BRACKETED.search(value) or _CROSSED_OUT.search(value) or _YOURS.match(value):
        return True
    words = set(re.split(r"[-_. /]+", value.lower())) - {""}
    if not words or not words <= _OF_TEMPLATES:
        return False
    return bool(words & _CALLS_FOR_A_VALUE) or words <= set(_EXAMPLES) or (is_upstash and len(words) > 1)


def is_placeholder_host(host: str, *, domains: tuple[str, ...]) -> bool:
    """As `is_placeholder` for the host of a URL; `domains` are those in which Upstash gives the names."""
    if host.lower().endswith(domains):
        return is_placeholder(host.split(".", maxsplit=1)[0], is_upstash=True)
    # A name of one's own may have any word in it, as `redis.example.internal` has.
    return bool(_FOR_NOTHING.match(host) or _PLACEHOLDER_LABEL.search(host))
