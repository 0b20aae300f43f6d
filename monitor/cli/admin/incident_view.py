"""One incident on a terminal: what it was, the verdict as told, and everything that happened, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.alerts.holds import Hold, HoldReason
from monitor.alerts.notification import NotificationKind, Severity
from monitor.checks.observation import Family
from monitor.diagnosis.advice import word
from monitor.incidents.state import Incident
from monitor.lib.text import one_line
from monitor.lib.times import format_duration, format_time
from monitor.report.formatting import (
    DETAIL_LIMIT,
    format_causes,
    format_counts,
    format_incident_checks,
    format_ms,
    format_name,
)
from monitor.store.queries import CheckRun, IncidentRecord, MessageRecord

_STYLES = {Family.FINE: ("✓", "green"), Family.SLOW: ("▲", "yellow"), Family.UNKNOWN: ("·", "dim")}
_FAILING = ("✗", "red")
_HOLDS = {
    HoldReason.DIAGNOSIS: "for the doctor's verdict",
    HoldReason.GROUPED: "to be told",
    HoldReason.SILENCED: "by a silence",
    HoldReason.MAINTENANCE: "by maintenance",
}
_LEAST_WAIT = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Event:
    """Something that happened, in a line; `end` where it took a while."""

    start: datetime
    end: datetime | None = None
    symbol: str
    text: Text


def show_incident(console: Console, record: IncidentRecord, *, now: datetime) -> None:
    """Print all that is known of one incident. Times are UTC."""
    incident = record.incident
    head = Text(f"incident {incident.id} · {format_name(record.database)}: {incident.cause.words}", style="bold")
    is_open = incident.closed_at is None
    state = Text(f"  {_state(incident, now)}", style="red" if is_open else "dim")
    console.print(head.append_text(state))
    console.print(Padding(_facts(record), (0, 0, 0, 2)))
    advice = word(incident.verdict)
    console.print(Padding(Text(advice.meaning), (1, 0, 0, 2)))
    console.print(Padding(Text(f"whose move: {advice.whose_move.words}"), (0, 0, 0, 2)))
    for number, step in enumerate(advice.next_steps, start=1):
        console.print(Padding(Text(f"{number}. {step}"), (0, 0, 0, 4)))
    console.print(Padding(_timeline(record), (1, 0, 0, 2)))


def _state(incident: Incident, now: datetime) -> str:
    lasted = format_duration((incident.closed_at or now) - incident.opened_at)
    if incident.closed_at is None:
        return f"open for {lasted}" + (", acknowledged" if incident.acknowledged_at else "")
    return f"{'not watched any more' if incident.is_unwatched else 'closed'} after {lasted}"


def _facts(record: IncidentRecord) -> Table:
    incident = record.incident
    facts = [("severity", incident.severity.value), ("checks", format_incident_checks(incident))]
    if len(incident.causes) > 1 or incident.is_unstable:
        facts.append(("causes", format_causes(incident)))
    if record.layers:
        facts.append(("layers", one_line(record.layers, DETAIL_LIMIT)))
    if not record.are_checks_complete:
        facts.append(("", "single checks of it were deleted meanwhile (history.keep); failing ones stay longer"))
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1, overflow="fold")
    for label, text in facts:
        table.add_row(label, text)
    return table


def _timeline(record: IncidentRecord) -> Table:
    """Everything in the order in which it began; the date only where it changes."""
    table = Table.grid(padding=(0, 1, 0, 0), expand=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    day = None
    for event in sorted(_events(record), key=lambda event: event.start):
        if event.start.date() != day:
            day = event.start.date()
            table.add_row(f"{day:%Y-%m-%d} UTC", "", "")
        table.add_row(_span(event), Text(event.symbol, style=event.text.style), event.text)
    return table


def _span(event: _Event) -> str:
    start, end = event.start, event.end
    if end is None or end - start < _LEAST_WAIT:
        return f"{start:%H:%M:%S}"
    return (
        f"{start:%H:%M:%S} – {end:%H:%M:%S}"
        if end.date() == start.date()
        else f"{start:%H:%M:%S} – {end:%d %b %H:%M}"
    )


def _events(record: IncidentRecord) -> Iterator[_Event]:
    incident = record.incident
    for run in record.runs:
        family = next(iter(run.outcomes)).family
        symbol, style = _STYLES.get(family, _FAILING) if len(run.outcomes) == 1 else ("…", "")
        yield _Event(start=run.start, end=run.end, symbol=symbol, text=Text(_run(run, incident), style=style))
    yield _Event(start=incident.notified_at, symbol="●", text=Text("opened", style="bold"))
    reopened = {one.created_at for one in record.messages if one.kind == NotificationKind.REOPENED.value}
    for moment in sorted(reopened):
        yield _Event(start=moment, symbol="●", text=Text("opened again", style="bold"))
    if incident.acknowledged_at is not None:
        yield _Event(start=incident.acknowledged_at, symbol="●", text=Text("acknowledged", style="bold"))
    for message in record.messages:
        style = "" if message.delivered_at and not message.last_error else "yellow"
        yield _Event(start=message.created_at, symbol="✉", text=Text(_message(message), style=style))
    for window in record.maintenance:
        text = Text(f"maintenance for {format_duration(window.end - window.start)}", style="dim")
        yield _Event(start=window.start, end=window.end, symbol="·", text=text)
    for gap in record.gaps:
        lasted = format_duration(gap.end - gap.start)
        yield _Event(
            start=gap.start, end=gap.end, symbol="·", text=Text(f"nobody checked for {lasted}", style="dim")
        )


def _run(run: CheckRun, incident: Incident) -> str:
    if len(run.outcomes) > 1:
        return f"{run.checks:,} checks: {format_counts(run.outcomes)}"
    [outcome] = run.outcomes
    number = "" if run.checks == 1 else f", {run.checks:,} checks"
    parts = [f"{outcome.words}{number}"]
    if run.slowest_ms is not None and (outcome.family is Family.SLOW or incident.severity is Severity.WARNING):
        parts.append(f"{'at most ' if run.checks > 1 else ''}{format_ms(run.slowest_ms)}")
    if run.detail:
        parts.append(one_line(run.detail, DETAIL_LIMIT))
    return " · ".join(parts)


def _message(message: MessageRecord) -> str:
    tried = "" if message.attempts == 1 else f" after {message.attempts} attempts"
    error = f": {one_line(message.last_error, DETAIL_LIMIT)}" if message.last_error else ""
    if message.delivered_at is not None:
        late = message.delivered_at - message.created_at
        when = f", {format_duration(late)} later" if late >= _LEAST_WAIT else ""
        became = f"delivered{tried}{when}{', ' + message.last_error if error else ''}"
    elif message.given_up_at is not None:
        became = f"given up at {format_time(message.given_up_at)}{tried}{error}"
    else:
        became = f"waits{tried}{error}" if message.attempts else _untried(message.hold)
    return f"{message.kind} to {format_name(message.channel)} · {became}"


def _untried(hold: Hold | None) -> str:
    if hold is None:
        return "waits, not tried yet"
    number = "" if hold.with_incident is None else f" with incident {hold.with_incident}"
    until = format_time(hold.until) if hold.reason.is_quiet else f"{hold.until:%H:%M:%S}"
    return f"held until {until}, {_HOLDS[hold.reason]}{number}"
