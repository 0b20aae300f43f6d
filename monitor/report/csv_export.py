"""The report as comma-separated values (RFC 4180) that are safe to open in a spreadsheet.

The columns are stable.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from monitor.checks.observation import Outcome
from monitor.lib.text import one_line
from monitor.report.claim import Claim
from monitor.report.report import Report
from monitor.report.values import gap_values, outage_values, slice_values
from monitor.store.rollups.model import Slice

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
    "maintenance_seconds",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
)
SLICE_COLUMNS = ("database", "start", "end", *_FIGURES, *(outcome.value for outcome in Outcome))
CLAIM_COLUMNS = (
    "database",
    "kind",
    "start",
    "end",
    "seconds",
    "cause",
    "side",
    "checks",
    "outcomes",
    "first_at",
    "first_detail",
    "last_at",
    "last_detail",
    "http_statuses",
    "incident",
    "region",
)


def report_csv(report: Report) -> str:
    """A row for each slice of each database; for a month one for each outage and for each time that is unknown.

    A slice has its checks by outcome at the end. In a claim `kind` is `down`, `unknown`, `gap` or
    `maintenance`. A cell is empty where nothing is known.
    """
    if report.period.month_end is None:
        slices = ([one.database, *_slice_cells(part)] for one in report.databases for part in one.history.slices)
        return table(SLICE_COLUMNS, slices)
    rows = (
        [one.database, *cells, report.region]
        for one in report.databases
        if one.claim is not None
        for cells in _claim_cells(one.claim)
    )
    return table(CLAIM_COLUMNS, rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Header and rows, each ended by CR LF; nothing in a text is taken for a formula."""
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
    values = slice_values(part)
    uptime, latency = values["uptime"], values["latency"] or {}
    return [
        values["start"],
        values["end"],
        part.checks,
        part.checks_failed,
        None if uptime["share"] is None else round(uptime["share"], 6),
        *(uptime[f"{state}_seconds"] for state in ("up", "down", "unknown", "maintenance")),
        *(latency.get(f"{figure}_ms") for figure in ("p50", "p90", "p95", "p99", "max")),
        *(part.outcomes.get(outcome, 0) for outcome in Outcome),
    ]


def _claim_cells(claim: Claim) -> Iterator[list[Cell]]:
    for outage in sorted((*claim.outages, *claim.unknown), key=lambda one: one.start):
        values = outage_values(outage)
        yield [
            "down" if outage.is_down else "unknown",
            *(values[key] for key in ("start", "end", "seconds", "cause", "side", "checks")),
            " ".join(f"{outcome}={count}" for outcome, count in values["outcomes"].items()),
            *(values[which][key] for which in ("first", "last") for key in ("at", "detail")),
            " ".join(map(str, outage.http_statuses)),
            outage.incident,
        ]
    for kind, times in (("gap", claim.gaps), ("maintenance", claim.maintenance)):
        for each in times:
            yield [kind, *gap_values(each).values(), *[None] * (len(CLAIM_COLUMNS) - 6)]
