"""One row per figure, and the table that all of them make, as text for people or JSON for scripts.

Where a goal and the peers' figures come from is told in `goals`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from bench.goals import Goal

_HEADS = ("what", "measured here", "n", "goal", "peers", "reached")
_WIDTHS = (34, 36, 9, 22, 36, 7)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What was measured. `reached` is `None` where the figures do not decide it, as in a quick run.

    `figures`, by whose they are, are what a plot shows beside each other, ours first; in `unit`.
    """

    what: str
    measured: str
    count: str
    goal: Goal
    reached: bool | None
    figures: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""

    @property
    def verdict(self) -> str:
        return {True: "yes", False: "NO", None: "-"}[self.reached]


def text(rows: Sequence[Row]) -> str:
    """The table, for a terminal of 150 columns."""
    ruler = "-+-".join("-" * width for width in _WIDTHS)
    parts = [_line(_HEADS), ruler.replace("-", "=").replace("+", "=")]
    for row in rows:
        cells = (row.what, row.measured, row.count, row.goal.wanted, row.goal.peers, row.verdict)
        parts += [_line(cells), ruler]
    return "\n".join(parts)


def markdown(rows: Sequence[Row], heading: Sequence[str]) -> str:
    """The table for a page, below what is to be known of the run."""
    lines = [*(f"- {line}" for line in heading), "", "| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for row in rows:
        cells = (row.what, row.measured, row.count, row.goal.wanted, row.goal.peers, row.verdict)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def document(rows: Sequence[Row], heading: Sequence[str]) -> dict[str, object]:
    """The same as plain JSON values."""
    return {"version": 1, "about": list(heading), "rows": [asdict(row) for row in rows]}


def _line(cells: Sequence[str]) -> str:
    columns = [_wrapped(cell, width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    height = max(map(len, columns))
    rows = zip(*(column + [""] * (height - len(column)) for column in columns), strict=True)
    padded = (" | ".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in padded)


def _wrapped(cell: str, width: int) -> list[str]:
    return [line for part in cell.splitlines() for line in textwrap.wrap(part, width)] or [""]
