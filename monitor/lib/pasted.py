"""What pasting does to a value: quotes, spaces, a newline, `NAME=`, a reference that nobody resolved."""

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
