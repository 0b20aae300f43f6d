"""How a claim reads: plain lines to paste into a mail, with every interval, its cause and its evidence.

What is claimed is decided in `core/report_claim`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from monitor.alerts.notification import format_time
from monitor.cli.report.view import facts_table
from monitor.lib.text import one_line
from monitor.lib.times import format_duration
from monitor.report.claim import SLA_MAIL, SLA_READ, SLA_SOURCE, SLA_TARGET, Claim, Side, side_of
from monitor.report.formatting import format_counts, format_name, format_share, format_uptime
from monitor.report.outages import Span

NOT_STATED = "not stated"
_DIGITS = 4
_DETAIL_LIMIT = 200


def show_claim(console: Console, claim: Claim, *, vantage_point: str | None) -> None:
    """Print the form for one database; its length is what was seen."""
    console.print(Text(f"Availability of {format_name(claim.database)}, {claim.start:%B %Y}", style="bold"))
    table = facts_table()
    for label, line in _facts(claim, vantage_point):
        table.add_row(label, Text(line))
    console.print(Padding(table, (0, 0, 0, 2)))
    for side, title in (
        (Side.UPSTASH, "Down for causes on Upstash's side or on the way there"),
        (Side.OWN, "Down for causes on our own side (credentials, plan, our network): not claimed"),
    ):
        outages = [one for one in claim.outages if side_of(one.cause) is side]
        _show_list(console, title, [line for one in outages for line in _outage(one)])
    _show_list(console, "Unknown: counted neither as up nor as down", list(_unknown(claim)))
    console.print()


def show_terms(console: Console) -> None:
    """Print what Upstash promises, and what it does not say."""
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


def _facts(claim: Claim, vantage_point: str | None) -> Iterator[tuple[str, str]]:
    yield "span", f"{format_time(claim.start)} until before {format_time(claim.end)}{_running(claim)}"
    yield "seen from", vantage_point or NOT_STATED
    yield "checks", f"{claim.checks:,}, each over a new connection"
    yield "uptime", f"{format_share(claim.uptime.share)} {format_uptime(claim.uptime)}"
    yield "down", _down(claim)
    if claim.share is not None:
        yield "claimed", f"{format_share(claim.share, digits=_DIGITS)} of the known time, our own side left out"
        best = format_share(claim.share_at_best, digits=_DIGITS)
        yield "at best", f"{best} of the whole month, had all the time been up that nobody knows of"
        yield "credit", f"{claim.credit_percent} % of the month's bill, by the SLA's table for the share at best"


def _down(claim: Claim) -> str:
    """`19.1 minutes in 2 intervals; 15 min on …`: the total in minutes, because a claim asks for them."""
    minutes = claim.uptime.down.total_seconds() / 60
    number = len(claim.outages)
    said = [f"{minutes:,.1f} minutes in {number:,} interval{'' if number == 1 else 's'}"]
    said += [f"{format_duration(claim.down(side))} on {side.words}" for side in Side if claim.down(side)]
    if claim.down_unlisted.total_seconds() >= 1:
        said.append(
            f"{format_duration(claim.down_unlisted)} not listed, because those checks are not kept any more"
        )
    return "; ".join(said) if claim.uptime.down else "never seen down"


def _running(claim: Claim) -> str:
    return " (the month is not over)" if claim.end < claim.month_end else ""


def _outage(one: Span) -> Iterator[str]:
    yield f"{_interval(one.start, one.end)} · {one.cause.words}"
    statuses = "HTTP " + ", ".join(map(str, one.http_statuses)) if one.http_statuses else "no HTTP answer"
    number = "" if one.incident is None else f"; incident {one.incident}"
    yield f"  looks: {format_counts(one.outcomes)}; {statuses}{number}"
    yield f"  first {format_time(one.first.at)}: {_quoted(one.first.detail)}"
    if one.last is not one.first:
        yield f"  last  {format_time(one.last.at)}: {_quoted(one.last.detail)}"


def _unknown(claim: Claim) -> Iterator[str]:
    listed = [(one.start, one.end, one.cause.words) for one in claim.blind]
    listed += [(gap.start, gap.end, "nobody checked") for gap in claim.gaps]
    for start, end, why in sorted(listed):
        yield f"{_interval(start, end)} · {why}"
    if claim.unknown_unlisted.total_seconds() >= 1:
        yield f"{format_duration(claim.unknown_unlisted)} more, before the first check or after the last"


def _interval(start: datetime, end: datetime) -> str:
    """`2026-10-14 02:13:09 to 02:27:11 UTC · 14 min 2 s`, the date said once where it is one."""
    until = f"{end:%H:%M:%S} UTC" if start.date() == end.date() else format_time(end)
    return f"{start:%Y-%m-%d %H:%M:%S} to {until} · {format_duration(end - start)}"


def _quoted(detail: str) -> str:
    return one_line(detail, _DETAIL_LIMIT) or "no detail"


def _show_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(Padding(Text(title, style="bold"), (1, 0, 0, 2)))
        for line in lines:
            console.print(Padding(Text(line.strip()), (0, 0, 0, 6 if line.startswith(" ") else 4)))
