"""SVG elements as text that is safe to put into a page: what is foreign is escaped here, and nothing is drawn.

Charts are as wide as the page lets them be: places are percentages of the width, so that letters keep their size
on a phone, and curves live in a nested picture that is stretched. No attribute is a style: the page forbids those,
and colours are the style sheet's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from markupsafe import Markup, escape

# What XML has no room for, at any price: most control characters, and halves of characters.
_FORBIDDEN = dict.fromkeys(
    [*(code for code in range(0x20) if code not in (0x09, 0x0A)), 0x7F, 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)],
    "\N{REPLACEMENT CHARACTER}",
)
STRETCH = 1000


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; an attribute that is `None` is left out.

    Children that are no markup are texts and are escaped; so are the values of attributes.
    """
    written = "".join(
        f' {_attribute(key)}="{_quoted(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else escape(clean(child)) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 - every part of it was escaped above


def picture(*children: str, title: str, description: str, **attributes: str | float | None) -> Markup:
    """A picture with a name and a description, for those who hear it."""
    return tag("svg", tag("title", title), tag("desc", description), *children, role="img", **attributes)


def stretched(*children: str, y: float, height: float, units: float, across: float = STRETCH) -> Markup:
    """A picture inside another, `across` by `units` wide and high, stretched over the whole width."""
    return tag(
        "svg",
        *children,
        y=y,
        width="100%",
        height=height,
        viewBox=f"0 0 {number(across)} {number(units)}",
        preserveAspectRatio="none",
    )


def percent(share: float) -> str:
    """A place across the width."""
    return f"{number(share * 100)}%"


def number(value: float) -> str:
    """A coordinate, to a hundredth, as short as can be."""
    return str(int(value)) if value == int(value) else f"{value:.2f}".rstrip("0").rstrip(".")


def polygon(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    """The path around a band, its upper edge from left to right and its lower edge back."""
    return f"{line(upper)}{line([*reversed(lower)]).replace('M', 'L', 1)}Z"


def line(points: Iterable[tuple[float, float]]) -> str:
    """The path through these points."""
    return "".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))


def clean(text: str) -> str:
    """The text without what no document may hold."""
    return text if text.isprintable() else text.translate(_FORBIDDEN)


def _quoted(value: str) -> str:
    # A line's end is kept by HTML, and would be a space to an XML parser.
    return escape(clean(value)).replace("\n", Markup("&#10;"))


@cache
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
