"""A text as it was before it was escaped or encoded, and where each of its characters stands in what it is now.

Nobody knows how a text was written, so each reading is one of many, to be searched and never to be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# HTML's names of the characters that a secret, or what is around it, may have.
_ENTITIES = {
    name: character
    for character, names in {
        "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos", "!": "excl", "#": "num", "$": "dollar",
        "%": "percnt", "(": "lpar", ")": "rpar", "*": "ast midast", "+": "plus", ",": "comma", "-": "dash hyphen",
        ".": "period", "/": "sol", ":": "colon", ";": "semi", "=": "equals", "?": "quest", "@": "commat",
        "[": "lsqb lbrack", "\\": "bsol", "]": "rsqb rbrack", "^": "hat", "_": "lowbar underbar", "`": "grave",
        "{": "lcub lbrace", "|": "verbar vert", "}": "rcub rbrace", "~": "tilde", " ": "nbsp", "\n": "newline",
        "\t": "tab",
    }.items()
    for name in names.split()
}  # fmt: skip
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
# One escape of a URL, of JSON, JavaScript, C or a repr, or of HTML. Of a run of backslashes, of `25` or of `amp;`
# there is one left when it was escaped more than once.
# And what nobody sees, which stands for nothing: once it is taken out for show, what was around it is one word.
_ESCAPE = re.compile(
    rf"""(?:{COLOUR.pattern}|[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff])+|"""
    r"""%(?:25)*(?:[uU](?P<hex0>[0-9A-Fa-f]{4})|(?P<hex1>[0-9A-Fa-f]{2}))"""
    r"""|\\+(?:x(?P<hex2>[0-9A-Fa-f]{2})|u(?P<hex3>[0-9A-Fa-f]{4})|U(?P<hex4>[0-9A-Fa-f]{8})"""
    r"""|[uxo]\{(?P<hex5>[0-9A-Fa-f]{1,6})\}|(?P<octal>[0-3][0-7]{2})|(?P<letter>[nrt/"']))?"""
    r"""|&(?:amp;)*(?:\#(?P<decimal>[0-9]{1,7});?|\#[xX](?P<hex6>[0-9A-Fa-f]{1,6});?"""
    rf"""|(?P<name>(?i:{"|".join(_ENTITIES)}));)"""
)
_HEX_GROUPS = tuple(name for name in _ESCAPE.groupindex if name.startswith("hex"))
# Quoted-printable, as mail has it: a character, or the end of a line that goes on, of which a space may be left.
_QUOTED = re.compile(r"=(?:([0-9A-Fa-f]{2})|\s+)")
# At least eight bytes side by side, in hex in groups of one size (`41:58`, `0x41, 0x58`, `4158 7430`) or as
# decimal numbers; and one byte of such a row.
_BETWEEN = r"[\s:;,.|-]{1,4}"
_HEX_ROW = re.compile(
    "|".join(
        rf"(?<![0-9A-Za-z])(?:0[xX])?[0-9A-Fa-f]{{{width}}}"
        rf"(?:{_BETWEEN}(?:0[xX])?[0-9A-Fa-f]{{{width}}}){{{8 // (width // 2) - 1},}}"
        for width in (2, 4, 8)
    )
)
_HEX_BYTE = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{2})")
_DECIMAL_ROW = re.compile(rf"(?<![0-9A-Za-z])[0-9]{{1,3}}(?:{_BETWEEN}[0-9]{{1,3}}){{7,}}")
_DECIMAL_BYTE = re.compile(r"([0-9]{1,3})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A text, and from where to where each of its characters stands in the text that is there."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Reading:
        """The text as it is."""
        return cls(text=text, starts=range(len(text)), ends=range(1, len(text) + 1))


def unescaped(reading: Reading) -> Reading | None:
    """Each escape as what it stands for; `None` where there is none. The work grows with the text alone."""
    escapes = [(each.start(), each.end(), _character(each)) for each in _ESCAPE.finditer(reading.text)]
    return _replaced(reading, escapes) if escapes else None


def decoded(reading: Reading) -> Iterator[Reading]:
    """The text read as mail, and with what may be rows of bytes as characters, where there is such a thing."""
    found = _QUOTED.finditer(reading.text)
    if quoted := [(each.start(), each.end(), chr(int(each[1], 16)) if each[1] else "") for each in found]:
        yield _replaced(reading, quoted)
    for row, byte, base in ((_HEX_ROW, _HEX_BYTE, 16), (_DECIMAL_ROW, _DECIMAL_BYTE, 10)):
        numbers: list[_Change] = []
        for each in row.finditer(reading.text):
            done = each.start()
            for number in byte.finditer(reading.text, each.start(), each.end()):
                numbers += [(done, number.start(), ""), (*number.span(), chr(int(number[1], base)))]
                done = number.end()
        if numbers:
            yield _replaced(reading, numbers)


# From where to where, and the character, or nothing, that takes the place.
_Change = tuple[int, int, str]


def _replaced(reading: Reading, changes: Iterable[_Change]) -> Reading:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for start, end, character in changes:
        parts += (reading.text[done:start], character)
        starts += reading.starts[done:start]
        ends += reading.ends[done:start]
        if character:
            starts.append(reading.starts[start])
            ends.append(reading.ends[end - 1])
        done = end
    return Reading(
        text="".join(parts) + reading.text[done:],
        starts=[*starts, *reading.starts[done:]],
        ends=[*ends, *reading.ends[done:]],
    )


def _character(match: re.Match[str]) -> str:
    groups = match.groupdict()
    digits = next((groups[name] for name in _HEX_GROUPS if groups[name]), None)
    if digits or groups["decimal"] or groups["octal"]:
        code = (
            int(digits, 16)
            if digits
            else int(groups["decimal"] or groups["octal"], 10 if groups["decimal"] else 8)
        )
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    if groups["name"]:
        return _ENTITIES[groups["name"].lower()]
    if not match[0].startswith("\\"):
        return ""
    letter = groups["letter"] or "\\"
    return _LETTERS.get(letter, letter)
