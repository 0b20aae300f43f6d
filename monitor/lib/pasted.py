"""Values that nobody meant: never filled in, copied from where they are hidden, or with what pasting adds."""

from __future__ import annotations

import re
import unicodedata

QUOTES = "\"'`“”‘’«»"
AROUND = f" \t\r\n\v\f\u00a0\u200b\ufeff{QUOTES}"
ASSIGNMENT = re.compile(r"^(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=(?!=*$)")
_REFERENCE = re.compile(
    r"\$\{|\}\}|^\$[A-Za-z_]|^\$\(|^#\{|^process\.env\b|^import\.meta\.env\b|^os\.(?:environ|getenv)\b"
)
_BEARER = re.compile(r"^bearer\s+", re.IGNORECASE)
_WRITTEN_OUT = re.compile(r"\\[nrt]$")
_NAMED = {
    "\n": "a newline",
    "\r": "a carriage return",
    "\t": "a tab",
    " ": "a space",
    "\u00a0": "a no-break space",
    "\u200b": "a zero-width space",
    "\ufeff": "a byte order mark",
}
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


def unwrapped(value: str) -> str:
    """What was meant: the value without the quotes and spaces around it, and `NAME=` or `Bearer` in front."""
    core = value.strip(AROUND)
    core = ASSIGNMENT.sub("", core).strip(AROUND)
    return _BEARER.sub("", core).strip(AROUND)


def paste_mistake(value: str) -> str | None:
    """What is wrong with a value that is not empty, to stand behind `one that`; `None` where nothing is."""
    if _REFERENCE.search(value):
        return "holds a reference that was not resolved, such as ${{ … }}"
    written_out = _WRITTEN_OUT.search(value.strip(AROUND))
    if written_out:
        return f"ends with {written_out.group()} written out, in place of a newline or nothing"
    if value[-1].isspace():
        return f"ends with {_name_character(value[-1])}"
    if value[0].isspace():
        return f"begins with {_name_character(value[0])}"
    if value[0] in QUOTES and value[-1] in QUOTES:
        return "is wrapped in quotes"
    if value[0] in QUOTES or value[-1] in QUOTES:
        return "has a quote at one end"
    return _foreign_character(value)


def _foreign_character(value: str) -> str | None:
    for index, character in enumerate(value, start=1):
        if not " " <= character <= "~":
            return f"holds {_name_character(character)} at position {index}"
    return None


def _name_character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character in QUOTES:
        return "a quote"
    name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
    return f"a character outside printable ASCII ({name})"


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
