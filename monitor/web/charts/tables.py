"""The tables behind the charts, row by row: a year has a row for each day, too many for a template's macros."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from monitor.lib.times import format_duration
from monitor.report.formatting import format_ms, format_share, format_span
from monitor.store.rollups.model import Slice
from monitor.web.charts.svg import tag, worst_outcome
from monitor.web.steps import Steps

_COLUMNS = 7
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DaysRow:
    """Days in a row of which the same is `said`; one day alone, and `None`, where there is more to tell of it."""

    first: Slice
    last: Slice
    said: str | None


def slice_rows(slices: Sequence[Slice]) -> Steps[Markup]:
    """A row for each slice, the newest first."""
    return (yield from _together(_slice_row(piece) for piece in reversed(slices)))


def day_rows(days: Sequence[Slice]) -> Steps[Markup]:
    """Rows for days, the newest first; days without trouble, and those without a check, share one."""
    return (yield from _together(_days_row(row) for row in group_days(days)))


def group_days(days: Sequence[Slice]) -> list[DaysRow]:
    """The days of a table, the newest first: those without trouble, and those without a check, taken together."""
    rows: list[DaysRow] = []
    for day in reversed(days):
        said = _in_few_words(day)
        if rows and said is not None and said == rows[-1].said:
            rows[-1] = DaysRow(first=day, last=rows[-1].last, said=said)
        else:
            rows.append(DaysRow(first=day, last=day, said=said))
    return rows


def _in_few_words(day: Slice) -> str | None:
    """`None` where there is more to say."""
    if not day.uptime.known:
        return None if day.checks else "nobody looked"
    if day.uptime.down or day.checks_failed:
        return None
    return "up, no failed check" if day.uptime.unknown < (day.end - day.start) / 10 else None


def _days_row(row: DaysRow) -> Markup:
    if row.first is row.last or row.said is None:
        return _slice_row(row.last)
    days = f"{row.first.start:%Y-%m-%d} to {row.last.start:%Y-%m-%d}"
    return tag("tr", tag("th", days, scope="row"), tag("td", row.said, colspan=_COLUMNS - 1))


def _slice_row(piece: Slice) -> Markup:
    uptime, latency = piece.uptime, piece.latency
    outcome = worst_outcome(piece.outcomes)
    failed = f"{piece.checks_failed:,} of {piece.checks:,}" + (f", {outcome.words}" if outcome else "")
    cells = (
        format_share(uptime.share),
        format_duration(uptime.down) if uptime.down else "–",
        format_duration(uptime.unknown) if uptime.unknown >= _SECOND else "–",
        format_ms(latency.p50_ms if latency else None),
        format_ms(latency.p99_ms if latency else None),
        failed,
    )
    return tag(
        "tr", tag("th", format_span(piece.start, piece.end), scope="row"), *(tag("td", cell) for cell in cells)
    )


def _together(rows: Iterable[Markup]) -> Steps[Markup]:
    made = []
    for row in rows:
        made.append(row)
        yield
    return Markup("\n").join(made)
