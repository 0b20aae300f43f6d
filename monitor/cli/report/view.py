"""The report on a terminal, or piped: figures, a row for each hour or day, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from statistics import median

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.alerts.notification import Severity, format_time
from monitor.incidents.state import Incident
from monitor.lib.times import format_duration
from monitor.report.formatting import (
    failures,
    format_checks,
    format_counts,
    format_ms,
    format_name,
    format_share,
    format_uptime,
)
from monitor.report.phases import Phase, shifts
from monitor.store.rollups.model import Grain, History, Slice, Spread, Uptime

_WIDTH = 12
# One bad hour must not flatten all the others; what is longer ends with an arrow.
_TOP_PER_MEDIAN = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Symbols:
    solid: str
    light: str
    failed: str
    nothing: str
    beyond: str


_BLOCKS = _Symbols(solid="█", light="░", failed="✗", nothing="·", beyond="▸")
_LETTERS = _Symbols(solid="#", light="-", failed="x", nothing=".", beyond=">")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """The scale that all rows of a report share: `top_ms` fills the whole bar."""

    top_ms: float
    symbols: _Symbols

    @classmethod
    def of(cls, console: Console, slices: Sequence[Slice]) -> Bars:
        """The scale for these rows, in what the console can show."""
        highest = [part.latency.p99_ms for part in slices if part.latency is not None]
        top = min(max(highest), _TOP_PER_MEDIAN * median(highest)) if highest else 1.0
        return cls(
            top_ms=max(top, 1e-3), symbols=_BLOCKS if can_show(console, "".join(astuple(_BLOCKS))) else _LETTERS
        )

    @property
    def title(self) -> str:
        """What the bar's whole width stands for."""
        return f"to {format_ms(self.top_ms)}"

    def bar(self, part: Slice) -> Text:
        """The bar of one row, its last place a mark where checks failed."""
        symbols = self.symbols
        if not part.checks:
            return Text(symbols.nothing, style="dim")
        bar = Text()
        if part.latency is not None:
            whole, filled = self._cells(part.latency.p99_ms), self._cells(part.latency.p50_ms)
            bar.append(symbols.solid * filled, style="green")
            bar.append(symbols.light * (whole - filled), style="green")
            if self._is_beyond(part.latency):
                bar = bar[:-1].append(symbols.beyond, style="yellow")
        if part.checks_failed:
            bar.append(symbols.failed, style="bold red")
        return bar

    def _cells(self, value_ms: float) -> int:
        return min(_WIDTH, max(1, round(_WIDTH * value_ms / self.top_ms)))

    def _is_beyond(self, latency: Spread) -> bool:
        return latency.p99_ms > self.top_ms


def can_show(console: Console, text: str) -> bool:
    """Whether the console's encoding has all these letters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_INDENT = (0, 0, 0, 2)
_MOST_INCIDENTS = 20
_MOST_GAPS = 5
_MOST_CAUSES = 2
# From so many columns on the rows hold everything, and a bar.
_WIDE, _USUAL = 76, 58
# What followed the latest check is known with the next one; a row does not tell of that.
_LEAST_UNKNOWN = timedelta(minutes=1)


def show(console: Console, history: History, *, now: datetime) -> None:
    """Print one database."""
    whole = history.whole
    span = f"{format_duration(whole.end - whole.start)}, {format_time(whole.start)} to {format_time(whole.end)}"
    console.print(Text(format_name(history.database), style="bold").append(f" {span}", style="dim not bold"))
    console.print(Padding(_facts(history), _INDENT))
    if whole.checks:
        console.print(Padding(_slices(console, history), (1, 0, 0, 2)))
    for title, table in (("incidents", _incidents(history, now)), ("nobody checked", _gaps(history))):
        if table.row_count:
            console.print(Padding(Text(title, style="bold"), (1, 0, 0, 2)))
            console.print(Padding(table, _INDENT))
    console.print()


def facts_table() -> Table:
    """Labels and what belongs to them, the way every part of a report shows them."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1, overflow="fold")
    return table


def _facts(history: History) -> Table:
    whole = history.whole
    table = facts_table()
    table.add_row("uptime", Text(_format_uptime(whole.uptime), style="red" if whole.uptime.down else ""))
    table.add_row("checks", Text(format_checks(whole)))
    table.add_row("latency", Text(_format_spread(whole.latency)))
    for label, line in _phases(history):
        table.add_row(label, line)
    if history.before is not None and history.before.checks:
        length = format_duration(history.before.end - history.before.start)
        table.add_row("before", Text(f"in the {length} before: {_format_before(history.before)}", style="dim"))
    return table


def _phases(history: History) -> Iterator[tuple[str, Text]]:
    if history.phases is None:
        return
    known = [(phase.value, phase.of(history.phases)) for phase in Phase]
    said = ", ".join(f"{name} {format_ms(value)}" for name, value in known if value is not None)
    if said:
        yield "phases", Text(f"{said} (medians)")
    for shift in shifts(history.phases, history.phases_before):
        yield "moved", Text(str(shift), style="yellow" if shift.now_ms > shift.before_ms else "green")


def _format_uptime(uptime: Uptime) -> str:
    return f"{format_share(uptime.share)} {format_uptime(uptime)}" if uptime.known else format_uptime(uptime)


def _format_start(moment: datetime, grain: Grain) -> str:
    """The beginning of a slice: `Thu 19 Nov`, or with the hour `19 Nov 14:00`."""
    return f"{moment:%d %b %H:%M}" if grain is Grain.HOUR else f"{moment:%a %d %b}"


def _format_spread(latency: Spread | None) -> str:
    if latency is None:
        return "none: no check ended well"
    figures = {"p50": latency.p50_ms, "p90": latency.p90_ms, "p95": latency.p95_ms, "p99": latency.p99_ms}
    said = [f"{name} {format_ms(value)}" for name, value in figures.items()]
    return f"{', '.join(said)}, max {format_ms(latency.max_ms)}"


def _format_before(before: Slice) -> str:
    parts = [format_share(before.uptime.share), f"{before.checks_failed:,} failed"]
    if before.latency is not None:
        parts.append(f"p50 {format_ms(before.latency.p50_ms)}, p99 {format_ms(before.latency.p99_ms)}")
    return ", ".join(parts)


def _slices(console: Console, history: History) -> Table:
    bars = Bars.of(console, history.slices)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=False)
    # What a narrow terminal has no room for is left out whole: a cut figure is a wrong one.
    wide, usual = console.width >= _WIDE, console.width >= _USUAL
    table.add_column(f"{history.grain.value} (UTC)", no_wrap=True)
    table.add_column("uptime", justify="right", no_wrap=True)
    if wide:
        table.add_column("checks", justify="right", no_wrap=True)
        table.add_column("p50", justify="right", no_wrap=True)
    table.add_column("p99", justify="right", no_wrap=True)
    if usual:
        table.add_column(bars.title, no_wrap=True)
    table.add_column("", ratio=1, overflow="fold")
    for part in history.slices:
        latency = part.latency
        p50, p99 = (None, None) if latency is None else (latency.p50_ms, latency.p99_ms)
        table.add_row(
            Text(_format_start(part.start, history.grain)),
            Text(format_share(part.uptime.share), style="red" if part.uptime.down else ""),
            *((Text(f"{part.checks:,}"), Text(format_ms(p50))) if wide else ()),
            Text(format_ms(p99)),
            *((bars.bar(part),) if usual else ()),
            _remark(part),
        )
    return table


def _remark(part: Slice) -> Text:
    """What failed, and for how long nobody knows."""
    said = Text()
    if part.checks_failed:
        said.append(format_counts(failures(part.outcomes), most=_MOST_CAUSES), style="red")
    if not part.checks and not part.uptime.known:
        said.append("nobody checked", style="dim")
    elif part.uptime.unknown >= _LEAST_UNKNOWN:
        said.append(f"{'; ' if said else ''}{format_duration(part.uptime.unknown)} unknown", style="dim")
    return said


def _incidents(history: History, now: datetime) -> Table:
    """The newest first, by their numbers."""
    table = facts_table()
    for incident in history.incidents[:_MOST_INCIDENTS]:
        table.add_row(str(incident.id), _incident(incident, now))
    if more := len(history.incidents) - table.row_count:
        table.add_row("", Text(f"and {more:,} more: --json has them all", style="dim"))
    return table


def _incident(incident: Incident, now: datetime) -> Text:
    end, took = incident.closed_at, format_duration((incident.closed_at or now) - incident.opened_at)
    is_slow = incident.severity is Severity.WARNING
    causes = Text(", then ".join(cause.words for cause in incident.causes), style="yellow" if is_slow else "red")
    state = f"{took}, until {format_time(end)}" if end else f"still open after {took}"
    checks = f"{incident.checks_failed:,} checks {'slow' if is_slow else 'failed'}"
    return Text().append_text(causes).append(f" · since {format_time(incident.opened_at)} · {state} · {checks}")


def _gaps(history: History) -> Table:
    """The longest first, so that a few lines say the most."""
    table = facts_table()
    ordered = sorted(history.gaps, key=lambda gap: gap.start - gap.end)
    for gap in ordered[:_MOST_GAPS]:
        table.add_row(
            format_duration(gap.end - gap.start), Text(f"{format_time(gap.start)} to {format_time(gap.end)}")
        )
    if more := len(ordered) - table.row_count:
        table.add_row("", Text(f"and {more:,} shorter: --json has them all", style="dim"))
    return table
