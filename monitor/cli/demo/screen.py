"""What the demo needs of a terminal: rules, frames and colours, line by line, so that a log file reads as well.

What is said stands in `story` and `commands/demo_view`. Nothing is moved or overwritten: no cursor tricks.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from io import TextIOWrapper
from typing import Any, TextIO

_NARROWEST, _WIDEST = 50, 100
_INDENT = 2
_NUMBERED = re.compile(r"\d+\. ")
_BARS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans(
    {
        **dict.fromkeys("─━", "-"),
        **dict.fromkeys("│", "|"),
        **dict.fromkeys("╭╮╰╯", "+"),
        **dict.fromkeys("·•∙", "."),
        **dict(zip(_BARS, "._-=+*#@", strict=True)),
        **dict.fromkeys("🔴🟡🟢⚪✉", "*"),
        "×": "x",
        "…": "~",
        "→": ">",
    }
)


class Tone(Enum):
    """How a text is meant; the codes are ANSI's."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    GOOD = "32"
    WARN = "33"
    BAD = "31"
    TITLE = "1;36"


@dataclass(frozen=True)
class Line:
    """A line of a message, as its service shows it."""

    text: str
    tone: Tone = Tone.PLAIN


class Screen:
    """Lines of text on a stream; on none, when the program was started without one.

    Colours only on a terminal and without NO_COLOR; plain characters where the encoding has no others.
    """

    def __init__(self, stream: TextIO | None) -> None:
        is_terminal = stream is not None and stream.isatty()
        self._stream = stream
        self._has_colours = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        columns = shutil.get_terminal_size().columns if is_terminal else 80
        self.width = max(_NARROWEST, min(columns, _WIDEST)) - 2
        self._is_plain = not _can_write(f"{_BARS}╭│🔴", stream)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")

    @property
    def stream(self) -> TextIO | None:
        """For whoever must know what it can show."""
        return self._stream

    def write(self, *parts: str | Line) -> None:
        """One line, put together from parts with a tone each."""
        if self._stream is None:
            return
        text = "".join(self._painted(part) for part in parts).rstrip()
        self._stream.write((text.translate(_ASCII) if self._is_plain else text) + "\n")
        self._stream.flush()

    def rule(self, title: str) -> None:
        """A line across with a title in it."""
        rest = self.width - width_of(title) - 4
        self.write()
        self.write(Line("── ", Tone.DIM), Line(title, Tone.TITLE), Line(f" {'─' * max(2, rest)}", Tone.DIM))

    def paragraph(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Running text, wrapped."""
        for line in wrapped(text, self.width - _INDENT):
            self.write(" " * _INDENT, Line(line, tone))

    def frame(self, title: str, lines: Iterable[Line], *, note: str = "", margin: int = 4) -> None:
        """A message in a frame, with a title above and a note below."""
        inside = self.width - margin - 4
        pad = " " * margin

        def edge(left: str, text: str, right: str, tone: Tone) -> None:
            said = f" {text} " if text else ""
            rest = "─" * (inside + 1 - width_of(said))
            self.write(pad, Line(f"{left}─", Tone.DIM), Line(said, tone), Line(f"{rest}{right}", Tone.DIM))

        edge("╭", title, "╮", Tone.BOLD)
        for line in lines:
            for text in wrapped(line.text, inside):
                space = " " * (inside - width_of(text))
                self.write(pad, Line("│ ", Tone.DIM), Line(text, line.tone), space, Line(" │", Tone.DIM))
        edge("╰", note, "╯", Tone.DIM)

    def _painted(self, part: str | Line) -> str:
        if isinstance(part, str):
            return part
        if not self._has_colours or not part.text or part.tone is Tone.PLAIN:
            return part.text
        return f"\x1b[{part.tone.value}m{part.text}\x1b[0m"


def sparkline(values: Sequence[float | None], *, top: float, length: int) -> str:
    """The last values as bars, the newest on the right; a cross where there was none."""
    bars = [
        "×" if value is None else _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in values
    ]
    return "".join(bars[-length:]).rjust(length)


def width_of(text: str) -> int:
    """How many columns a terminal gives to a text."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def wrapped(text: str, width: int) -> list[str]:
    """Lines of a text; the rest of a numbered step stands under its beginning."""
    number = _NUMBERED.match(text)
    hanging = " " * len(number.group()) if number else ""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return textwrap.wrap(text, width - wide, subsequent_indent=hanging, break_on_hyphens=False) or [""]


def _can_write(text: str, stream: TextIO | None) -> bool:
    with suppress(UnicodeEncodeError, LookupError):
        text.encode(getattr(stream, "encoding", None) or "utf-8")
        return True
    return False


_STARS = re.compile(r"\*(.+)\*")
_LINK = re.compile(r"<(https?://[^<>|]+)>")
_TAG = re.compile(r"</?(b|i|code)>")
_TONES = {"b": Tone.BOLD, "i": Tone.DIM, "code": Tone.DIM}


def slack_lines(payload: Mapping[str, Any]) -> list[Line]:
    """The blocks from top to bottom with the space that Slack leaves between them; without blocks the text."""
    if "blocks" not in payload:
        return [Line(html.unescape(text)) for text in str(payload.get("text", "")).split("\n")]
    lines: list[Line] = []
    for block in payload["blocks"]:
        lines += [Line("")] if lines else []
        lines += _block(block)
    return lines


def telegram_lines(payload: Mapping[str, Any]) -> list[Line]:
    """The text line by line, each in the style of its first tag."""
    text = str(payload.get("text", ""))
    if payload.get("parse_mode") != "HTML":
        return [Line(line) for line in text.split("\n")]
    lines: list[Line] = []
    for line in text.split("\n"):
        tag = _TAG.search(line)
        lines.append(Line(html.unescape(_TAG.sub("", line)), _TONES[tag.group(1)] if tag else Tone.PLAIN))
    return lines


def _block(block: Mapping[str, Any]) -> Iterator[Line]:
    tone = {"header": Tone.BOLD, "context": Tone.DIM}.get(block["type"], Tone.PLAIN)
    for part in block.get("elements", [block.get("text", {})]):
        for text in str(part.get("text", "")).split("\n"):
            marked = _STARS.fullmatch(text) if part.get("type") == "mrkdwn" else None
            shown = _LINK.sub(r"\1", marked.group(1) if marked else text)
            yield Line(html.unescape(shown), Tone.BOLD if marked else tone)
