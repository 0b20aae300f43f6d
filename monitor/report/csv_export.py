"""The report as comma-separated values (RFC 4180) that are safe to open in a spreadsheet.

The columns are stable; what the figures mean is told in `history`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from monitor.checks.observation import Outcome
from monitor.lib.text import one_line
from monitor.lib.times import iso
from monitor.store.rollups.model import History, Slice

Cell = str | int | float | None

_CELL_LIMIT = 500
# What a spreadsheet takes for the beginning of a formula, in its wide forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_FIGURES = (
    "checks",
    "checks_failed",
    "uptime_share",
    "up_seconds",
    "down_seconds",
    "unknown_seconds",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
)
SLICE_COLUMNS = ("database", "start", "end", *_FIGURES, *(outcome.value for outcome in Outcome))


def slices_csv(histories: Iterable[History]) -> str:
    """A row for each slice of each database, then the checks by outcome; a cell is empty where nothing is
    known.
    """
    rows = ([history.database, *_slice_cells(part)] for history in histories for part in history.slices)
    return table(SLICE_COLUMNS, rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Head and rows, each ended by CR LF; texts are made inert."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def inert(text: str) -> str:
    """The text on one line without control characters; what would be a formula gets an apostrophe before it."""
    # Before the line is tidied: a tab or CR in front is a formula to some, and would be gone without a trace.
    is_formula = text.startswith(_FORMULA)
    line = one_line(text, _CELL_LIMIT)
    return f"'{line}" if is_formula or line.startswith(_FORMULA) else line


def _slice_cells(part: Slice) -> list[Cell]:
    uptime, latency = part.uptime, part.latency
    spread: list[Cell] = [None] * 5
    if latency is not None:
        figures = (latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms, latency.max_ms)
        spread = [round(figure, 3) for figure in figures]
    return [
        iso(part.start),
        iso(part.end),
        part.checks,
        part.checks_failed,
        None if uptime.share is None else round(uptime.share, 6),
        *(round(time.total_seconds(), 3) for time in (uptime.up, uptime.down, uptime.unknown)),
        *spread,
        *(part.outcomes.get(outcome, 0) for outcome in Outcome),
    ]
