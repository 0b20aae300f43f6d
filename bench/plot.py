"""We beside the others in one figure, as an SVG file of its own: a bar for each."""

from __future__ import annotations

from bench.table import Row
from monitor.web.pages.svg import picture, tag

_WIDTH, _LEFT, _RIGHT, _TOP, _BAR, _STEP = 800.0, 220.0, 90.0, 40.0, 18.0, 28.0
_OURS, _OTHERS, _TEXT = "#d4351c", "#1d70b8", "#222"


def bars(row: Row) -> str:
    """The figures of a row, in its order."""
    height = _TOP + _STEP * len(row.figures) + 12
    most = max(row.figures.values())
    parts = [
        tag("rect", width=_WIDTH, height=height, fill="#fff"),
        tag("text", row.what, x=8, y=20, fill=_TEXT, font_weight="bold"),
    ]
    for number, (name, figure) in enumerate(row.figures.items()):
        y, long = _TOP + number * _STEP, figure / most * (_WIDTH - _LEFT - _RIGHT)
        middle = y + _BAR / 2 + 4
        parts += [
            tag("text", name, x=_LEFT - 8, y=middle, text_anchor="end", fill=_TEXT),
            tag("rect", x=_LEFT, y=y, width=max(1, round(long)), height=_BAR, fill=_OTHERS if number else _OURS),
            tag("text", f"{figure:.1f} {row.unit}", x=_LEFT + round(long) + 6, y=middle, fill=_TEXT),
        ]
    return str(
        picture(
            *parts,
            title=row.what,
            description="; ".join(f"{name}: {figure:.1f} {row.unit}" for name, figure in row.figures.items()),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}",
            font_family="sans-serif",
            font_size=12,
        )
    )
