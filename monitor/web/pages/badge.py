"""Badges in the usual shape: a label on the left, a value on the right. Pure drawing.

They are shown on other pages, without our style sheet, so every size and colour is in the picture itself.
"""

from __future__ import annotations

from enum import Enum

from markupsafe import Markup

from monitor.report.formatting import format_ms, format_share
from monitor.web.pages.summary import Card, DatabaseState
from monitor.web.pages.svg import number, tag

_NAME_LIMIT = 60
_HEIGHT, _SIDE = 20, 6
_LABEL_COLOUR = "#555"
# Dark enough for white letters: a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3).
_VALUE_COLOURS = {
    DatabaseState.UP: "#2a7d4f",
    DatabaseState.SLOW: "#8a6100",
    DatabaseState.IN_DOUBT: "#a34a00",
    DatabaseState.DOWN: "#b8322a",
    DatabaseState.UNKNOWN: "#66707a",
}
# The widths of Verdana's letters at 11 px, by groups: the picture is made without knowing the reader's fonts, and
# `textLength` fits the text into it.
_WIDTHS = (
    (3.9, "ijl.,:;|'!"),
    (4.9, "I[]()/ft- "),
    (6.2, "rszcJ"),
    (9.2, "ABCDGHNOQRUVX"),
    (10.9, "mwMW%@"),
)
_WIDTH_OF = {letter: width for width, letters in _WIDTHS for letter in letters}
_USUAL_WIDTH, _WIDE_WIDTH = 7.0, 11.5


class BadgeKind(Enum):
    """What a badge shows; the values of `?show=`."""

    STATE = "state"
    UPTIME = "uptime"
    LATENCY = "latency"


def badge(card: Card, kind: BadgeKind) -> str:
    """The badge of a database, as an SVG document."""
    match kind:
        case BadgeKind.STATE:
            label, value = card.name, card.state.value
        case BadgeKind.UPTIME:
            label, value = f"{card.name} uptime", format_share(card.uptime.share)
        case BadgeKind.LATENCY:
            label, value = f"{card.name} latency", format_ms(card.today.p50_ms if card.today else None)
    return _two_parts(_cut(label), value, _VALUE_COLOURS[card.state])


def _two_parts(label: str, value: str, colour: str) -> str:
    left, right = (_width(text) + 2 * _SIDE for text in (label, value))
    whole = left + right
    return tag(
        "svg",
        tag("title", f"{label}: {value}"),
        tag("clipPath", tag("rect", width=whole, height=_HEIGHT, rx=3), id="round"),
        tag(
            "g",
            tag("rect", width=left, height=_HEIGHT, fill=_LABEL_COLOUR),
            tag("rect", x=left, width=right, height=_HEIGHT, fill=colour),
            clip_path="url(#round)",
        ),
        tag(
            "g",
            _letters(label, left / 2, left - 2 * _SIDE),
            _letters(value, left + right / 2, right - 2 * _SIDE),
            fill="#fff",
            text_anchor="middle",
            font_family="Verdana,Geneva,DejaVu Sans,sans-serif",
            font_size=11,
        ),
        xmlns="http://www.w3.org/2000/svg",
        width=whole,
        height=_HEIGHT,
        role="img",
        aria_label=f"{label}: {value}",
    )


def _letters(text: str, middle: float, width: float) -> Markup:
    return tag("text", text, x=middle, y=14, textLength=number(width), lengthAdjust="spacingAndGlyphs")


def _width(text: str) -> float:
    return round(
        sum(_WIDTH_OF.get(letter, _USUAL_WIDTH if letter.isascii() else _WIDE_WIDTH) for letter in text), 1
    )


def _cut(text: str) -> str:
    return text if len(text) <= _NAME_LIMIT else text[: _NAME_LIMIT - 1] + "…"
