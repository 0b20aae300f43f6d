"""The report as text, on a terminal or piped: figures, a row for each hour or day, what went wrong; the claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.alerts.notification import Severity
from monitor.cli.terminal import can_show
from monitor.config.windows import Window
from monitor.incidents.state import Incident
from monitor.lib.text import one_line
from monitor.lib.times import format_duration, format_time
from monitor.report.claim import SLA_MAIL, SLA_READ, SLA_SOURCE, SLA_TARGET, Claim, Outage
from monitor.report.formatting import (
    Phase,
    failures,
    format_causes,
    format_checks,
    format_counts,
    format_incident_checks,
    format_ms,
    format_ms_figure,
    format_name,
    format_share,
    format_uptime,
    shifts,
)
from monitor.store.rollups.model import Gap, Grain, History, Slice, Spread, Uptime

_BAR_WIDTH = 12
# p50, p99, checks failed, nobody checked, longer than the bar.
_BLOCKS, _LETTERS = "█░✗·▸", "#-x.>"
# One bad hour must not flatten all the others: the scale ends at so many times the median p99.
_TOP_PER_MEDIAN = 4.0
_MOST_INCIDENTS = 20
_MOST_GAPS = 5
_MOST_CAUSES = 2
# From so many columns on there is room for everything, and for a bar.
_WIDE, _USUAL = 76, 60
# The time after the latest check is unknown until the next one; a row does not mention it.
_LEAST_UNKNOWN = timedelta(minutes=1)
_NOT_STATED = "not stated"
_CLAIM_DIGITS = 4
_DETAIL_LIMIT = 200


def show_history(console: Console, history: History, *, now: datetime) -> None:
    """Print one database."""
    whole = history.whole
    span = f"{format_duration(whole.end - whole.start)}, {format_time(whole.start)} to {format_time(whole.end)}"
    console.print(Text(format_name(history.database), style="bold").append(f" {span}", style="dim not bold"))
    _print_facts(console, _history_facts(history))
    if whole.checks:
        console.print(Padding(_slices(console, history), (1, 0, 0, 2)))
    _print_section(console, "incidents", _incidents(history, now))
    _print_section(console, "nobody checked", _times(history.gaps))
    _print_section(console, "maintenance, counted apart", _times(history.maintenance))
    console.print()


def show_claim(console: Console, database: str, claim: Claim, *, region: str | None) -> None:
    """Print the claim of one database as lines to paste into a mail: every outage, its cause and its evidence."""
    console.print(Text(f"Availability of {format_name(database)}, {claim.month.start:%B %Y}", style="bold"))
    _print_facts(console, ((label, Text(line)) for label, line in _claim_facts(claim, region)))
    for is_claimed, title in (
        (True, "Down for causes on Upstash's side or on the way there"),
        (False, "Down for causes on our own side (credentials, plan, our network): not claimed"),
    ):
        outages = [outage for outage in claim.outages if outage.is_claimed is is_claimed]
        _print_lines(console, title, [line for outage in outages for line in _outage(outage)])
    _print_lines(console, "Counted neither as up nor as down", list(_unknown(claim)))
    console.print()


def show_terms(console: Console) -> None:
    """Print what Upstash promises, and what it leaves open."""
    console.print(
        Text(
            f"Upstash's SLA ({SLA_SOURCE}, read in {SLA_READ}) promises "
            f"{format_share(SLA_TARGET, digits=2)} a month, not for the free plan. Below that it credits 10 % of "
            "the month's bill, below 99 % 30 %, below 95 % 60 %, "
            f"when a claim reaches {SLA_MAIL} before the second billing cycle after the incident ends. "
            "How it counts downtime it does not say; its own shares stand on https://status.upstash.com.",
            style="dim",
        )
    )


def _print_facts(console: Console, facts: Iterator[tuple[str, Text]]) -> None:
    table = _two_columns()
    for label, text in facts:
        table.add_row(label, text)
    console.print(Padding(table, (0, 0, 0, 2)))


def _print_section(console: Console, title: str, table: Table) -> None:
    if table.row_count:
        console.print(Padding(Text(title, style="bold"), (1, 0, 0, 2)))
        console.print(Padding(table, (0, 0, 0, 2)))


def _print_lines(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(Padding(Text(title, style="bold"), (1, 0, 0, 2)))
        for line in lines:
            console.print(Padding(Text(line.strip()), (0, 0, 0, 6 if line.startswith(" ") else 4)))


def _two_columns() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1, overflow="fold")
    return table


def _history_facts(history: History) -> Iterator[tuple[str, Text]]:
    whole = history.whole
    yield "uptime", Text(_uptime(whole.uptime), style="red" if whole.uptime.down else "")
    yield "checks", Text(format_checks(whole))
    yield "latency", Text(_spread(whole.latency))
    if history.slow_limit is not None:
        limit = history.slow_limit
        words = f"`slow: {limit.limit_ms}ms` would call {limit.slower:,} of {limit.answers:,} answers slow"
        yield "limit", Text(words, style="dim")
    if history.phases is not None:
        medians = [(phase.value, phase.of(history.phases)) for phase in Phase]
        measured = [f"{name} {format_ms(value)}" for name, value in medians if value is not None]
        if measured:
            yield "phases", Text(f"{', '.join(measured)} (medians)")
    for shift in shifts(history.phases, history.phases_before):
        yield "moved", Text(str(shift), style="yellow" if shift.now_ms > shift.before_ms else "green")
    if history.before is not None and history.before.checks:
        length = format_duration(history.before.end - history.before.start)
        yield "before", Text(f"in the {length} before: {_before(history.before)}", style="dim")


def _uptime(uptime: Uptime) -> str:
    return f"{format_share(uptime.share)} {format_uptime(uptime)}" if uptime.known else format_uptime(uptime)


def _spread(latency: Spread | None) -> str:
    if latency is None:
        return "none: no check ended well"
    figures = {
        "p50": latency.p50_ms,
        "p90": latency.p90_ms,
        "p95": latency.p95_ms,
        "p99": latency.p99_ms,
        "max": latency.max_ms,
    }
    return ", ".join(f"{name} {format_ms(value)}" for name, value in figures.items())


def _before(before: Slice) -> str:
    parts = [format_share(before.uptime.share), f"{before.checks_failed:,} failed"]
    if before.latency is not None:
        parts.append(f"p50 {format_ms(before.latency.p50_ms)}, p99 {format_ms(before.latency.p99_ms)}")
    return ", ".join(parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bars:
    """The scale that all rows of a database share: `top_ms` fills the whole bar."""

    top_ms: float
    symbols: str

    @classmethod
    def of(cls, console: Console, slices: Sequence[Slice]) -> _Bars:
        highest = [part.latency.p99_ms for part in slices if part.latency is not None]
        top = min(max(highest), _TOP_PER_MEDIAN * median(highest)) if highest else 1.0
        return cls(top_ms=max(top, 1e-3), symbols=_BLOCKS if can_show(console, _BLOCKS) else _LETTERS)

    def bar(self, part: Slice) -> Text:
        """The bar of one row: solid to the median, light to the p99, a cross behind it where checks failed."""
        solid, light, failed, nothing, beyond = tuple(self.symbols)
        if not part.checks:
            return Text(nothing, style="dim")
        bar = Text()
        if part.latency is not None:
            whole, filled = self._cells(part.latency.p99_ms), self._cells(part.latency.p50_ms)
            bar.append(solid * filled + light * (whole - filled), style="green")
            if part.latency.p99_ms > self.top_ms:
                bar = bar[:-1].append(beyond, style="yellow")
        if part.checks_failed:
            bar.append(failed, style="bold red")
        return bar

    def _cells(self, value_ms: float) -> int:
        return min(_BAR_WIDTH, max(1, round(_BAR_WIDTH * value_ms / self.top_ms)))


def _slices(console: Console, history: History) -> Table:
    bars = _Bars.of(console, history.slices)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=False)
    # What a narrow terminal has no room for is left out whole: a figure that is cut is a wrong one.
    wide, usual = console.width >= _WIDE, console.width >= _USUAL
    table.add_column(f"{history.grain.value} (UTC)", no_wrap=True)
    for title in ("uptime", *(("checks", "p50") if wide else ()), "p99 ms"):
        table.add_column(title, justify="right", no_wrap=True)
    if usual:
        table.add_column(f"to {format_ms(bars.top_ms)}", no_wrap=True)
    table.add_column("", ratio=1, overflow="fold")
    for part in history.slices:
        p50, p99 = (part.latency.p50_ms, part.latency.p99_ms) if part.latency else (None, None)
        form = "%d %b %H:%M" if history.grain is Grain.HOUR else "%a %d %b"
        table.add_row(
            part.start.strftime(form),
            Text(format_share(part.uptime.share), style="red" if part.uptime.down else ""),
            *((f"{part.checks:,}", format_ms_figure(p50)) if wide else ()),
            format_ms_figure(p99),
            *((bars.bar(part),) if usual else ()),
            _remark(part),
        )
    return table


def _remark(part: Slice) -> Text:
    """What failed, how long nothing is known, and how long there was maintenance."""
    text = Text()
    if part.checks_failed:
        text.append(format_counts(failures(part.outcomes), most=_MOST_CAUSES), style="red")
    if not part.checks and not part.uptime.known:
        text.append("nobody checked", style="dim")
    elif part.uptime.unknown >= _LEAST_UNKNOWN:
        text.append(f"{'; ' if text else ''}{format_duration(part.uptime.unknown)} unknown", style="dim")
    if part.uptime.maintenance:
        apart = f"{format_duration(part.uptime.maintenance)} maintenance"
        text.append(f"{'; ' if text else ''}{apart}", style="dim")
    return text


def _incidents(history: History, now: datetime) -> Table:
    """The newest first, by their numbers."""
    table = _two_columns()
    for incident in history.incidents[:_MOST_INCIDENTS]:
        table.add_row(str(incident.id), _incident(incident, now))
    if more := len(history.incidents) - table.row_count:
        table.add_row("", Text(f"and {more:,} more: --json has them all", style="dim"))
    return table


def _incident(incident: Incident, now: datetime) -> Text:
    end, took = incident.closed_at, format_duration((incident.closed_at or now) - incident.opened_at)
    is_slow = incident.severity is Severity.WARNING
    causes = Text(format_causes(incident), style="yellow" if is_slow else "red")
    until = "not watched any more since" if incident.is_unwatched else "until"
    state = f"{took}, {until} {format_time(end)}" if end else f"still open after {took}"
    checks = format_incident_checks(incident)
    return Text().append_text(causes).append(f" · since {format_time(incident.opened_at)} · {state} · {checks}")


def _times(times: Sequence[Gap | Window]) -> Table:
    """The longest first: most of the time without a check is in few of them."""
    table = _two_columns()
    ordered = sorted(times, key=lambda one: one.start - one.end)
    for one in ordered[:_MOST_GAPS]:
        table.add_row(format_duration(one.end - one.start), f"{format_time(one.start)} to {format_time(one.end)}")
    if more := len(ordered) - table.row_count:
        table.add_row("", Text(f"and {more:,} shorter: --json has them all", style="dim"))
    return table


def _claim_facts(claim: Claim, region: str | None) -> Iterator[tuple[str, str]]:
    month = claim.month
    running = " (the month is not over)" if month.end < claim.month_end else ""
    yield "span", f"{format_time(month.start)} until before {format_time(month.end)}{running}"
    yield "seen from", region or _NOT_STATED
    yield "checks", f"{month.checks:,}, each over a new connection"
    yield "uptime", _uptime(month.uptime)
    yield "down", _down(claim)
    if claim.share is not None:
        share, best = (format_share(one, digits=_CLAIM_DIGITS) for one in (claim.share, claim.share_at_best))
        yield "claimed", f"{share} of the known time, our own side left out"
        yield "at best", f"{best} of the whole month, had all the time been up that nobody knows of"
        yield "credit", f"{claim.credit_percent} % of the month's bill, by the SLA's table for the share at best"


def _down(claim: Claim) -> str:
    """`19.1 minutes in 2 intervals; 15 min on …`: the total in minutes, because a claim asks for them."""
    if not claim.month.uptime.down:
        return "never seen down"
    number = len(claim.outages)
    minutes = claim.month.uptime.down.total_seconds() / 60
    parts = [f"{minutes:,.1f} minutes in {number:,} interval{'' if number == 1 else 's'}"]
    for is_claimed, where in ((True, "Upstash's side or the way there"), (False, "our own side")):
        if down := claim.down(claimed=is_claimed):
            parts.append(f"{format_duration(down)} on {where}")
    if claim.down_unlisted.total_seconds() >= 1:
        unlisted = format_duration(claim.down_unlisted)
        parts.append(f"{unlisted} not listed, because those checks are not kept any more")
    return "; ".join(parts)


def _outage(outage: Outage) -> Iterator[str]:
    yield f"{_interval(outage.start, outage.end)} · {outage.cause.words}"
    statuses = "HTTP " + ", ".join(map(str, outage.http_statuses)) if outage.http_statuses else "no HTTP answer"
    number = "" if outage.incident is None else f"; incident {outage.incident}"
    yield f"  checks: {format_counts(outage.outcomes)}; {statuses}{number}"
    yield f"  first {format_time(outage.first.at)}: {_detail(outage.first.detail)}"
    if outage.last is not outage.first:
        yield f"  last  {format_time(outage.last.at)}: {_detail(outage.last.detail)}"


def _unknown(claim: Claim) -> Iterator[str]:
    listed = [(outage.start, outage.end, outage.cause.words) for outage in claim.unknown]
    listed += [(gap.start, gap.end, "nobody checked") for gap in claim.gaps]
    listed += [(window.start, window.end, "maintenance") for window in claim.maintenance]
    for start, end, why in sorted(listed):
        yield f"{_interval(start, end)} · {why}"
    if claim.unknown_unlisted.total_seconds() >= 1:
        yield f"{format_duration(claim.unknown_unlisted)} more, before the first check or after the last"


def _interval(start: datetime, end: datetime) -> str:
    """`2026-10-14 02:13:09 to 02:27:11 UTC · 14 min 2 s`, the date only once where it is the same."""
    until = f"{end:%H:%M:%S} UTC" if start.date() == end.date() else format_time(end)
    return f"{start:%Y-%m-%d %H:%M:%S} to {until} · {format_duration(end - start)}"


def _detail(detail: str) -> str:
    return one_line(detail, _DETAIL_LIMIT) or "no detail"
