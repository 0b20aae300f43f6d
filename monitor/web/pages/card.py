"""One database at a glance, as the front page and its own page begin: figures put together, nothing drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from urllib.parse import quote

from monitor.alerts.notification import Severity
from monitor.checks.observation import Family
from monitor.diagnosis.advice import Advice, advise
from monitor.incidents.state import Incident
from monitor.lib.times import format_duration
from monitor.report.formatting import format_name, format_second
from monitor.store.rollups.model import DatabaseStatus, Slice, Spread, Uptime

_PATIENCE = 3


class State(Enum):
    """From the worst to the best."""

    DOWN = "down"
    IN_DOUBT = "in doubt"
    SLOW = "slow"
    UNKNOWN = "unknown"
    UP = "up"

    @property
    def code(self) -> str:
        """The state as JSON and style sheets write it."""
        return self.value.replace(" ", "_")


_ORDER = {state: number for number, state in enumerate(State)}


def state_of(status: DatabaseStatus, now: datetime) -> State:
    """An open incident first, then the latest check; unknown when that is overdue, ended offline, or never was.

    A failure that has not met its rule yet is `IN_DOUBT`: the checks of the next half minute decide.
    """
    latest, schedule = status.latest, status.schedule
    if latest is None or now - latest.at > _PATIENCE * schedule.interval + schedule.timeout:
        return State.UNKNOWN
    if status.incident is not None:
        return State.SLOW if status.incident.severity is Severity.WARNING else State.DOWN
    family = latest.outcome.family
    if family.is_failing:
        return State.IN_DOUBT
    return {Family.FINE: State.UP, Family.SLOW: State.SLOW}.get(family, State.UNKNOWN)


def worst_first(statuses: Sequence[DatabaseStatus], now: datetime) -> list[DatabaseStatus]:
    """What needs somebody stands on top; among equals the order of the settings stays."""
    return sorted(statuses, key=lambda status: _ORDER[state_of(status, now)])


def verdict(states: Sequence[State]) -> tuple[State, str]:
    """The worst state, and one sentence on all of them: `2 of 6 databases are down, 1 is slow`."""
    count, total = Counter(states), len(states)
    worst = min(states, key=_ORDER.__getitem__, default=State.UNKNOWN)
    if not states:
        return worst, "No database is watched"
    if total == 1:
        return worst, _ALONE[worst]
    if count[State.UP] == total:
        return worst, f"All {total} databases are up"
    first, *more = [f"{count[state]} {_are(count[state])} {state.value}" for state in State if count[state]]
    said = ", ".join(part for part in more if not part.endswith(" up"))
    number, _, rest = first.partition(" ")
    return worst, f"{number} of {total} databases {rest}" + (f", {said}" if said else "")


_ALONE = {
    State.DOWN: "The database is down",
    State.IN_DOUBT: "The last check failed; the next ones decide",
    State.SLOW: "The database is slow",
    State.UNKNOWN: "Nothing is known of the database now",
    State.UP: "The database is up",
}


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


_NOTHING = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What is shown of a database. `today` is the spread of today's latencies, `None` before the first answer."""

    name: str
    path: str
    state: State
    status: DatabaseStatus
    last_check: str
    uptime: Uptime
    today: Spread | None
    advice: Advice | None


def card_of(status: DatabaseStatus, now: datetime) -> Card:
    """The card of a database."""
    latest = status.latest
    return Card(
        name=format_name(status.database),
        path=path_of(status.database),
        state=state_of(status, now),
        status=status,
        last_check="no check yet" if latest is None else f"{format_duration(now - latest.at)} ago",
        uptime=uptime_of(status.days),
        today=status.days[-1].latency if status.days else None,
        advice=None if status.incident is None else advise(status.incident.cause),
    )


def path_of(database: str) -> str:
    """Where a database has its page; any name fits into it."""
    return f"/databases/{quote(database, safe='')}"


def uptime_of(slices: Sequence[Slice]) -> Uptime:
    """The uptime of slices that follow each other."""
    return Uptime(
        up=sum((one.uptime.up for one in slices), start=_NOTHING),
        down=sum((one.uptime.down for one in slices), start=_NOTHING),
        unknown=sum((one.uptime.unknown for one in slices), start=_NOTHING),
    )


def story(incident: Incident, now: datetime) -> str:
    """An incident in a few sentences: when it began, what it turned into, who knew, how it ended."""
    causes = ", then ".join(cause.words for cause in incident.causes)
    until_notified = incident.notified_at - incident.opened_at
    told = (
        f"told {format_duration(until_notified)} later"
        if until_notified >= timedelta(seconds=1)
        else "told at once"
    )
    said = [f"Began {format_second(incident.opened_at)}: {causes}; {told}."]
    if incident.acknowledged_at is not None:
        said.append(f"Acknowledged {format_second(incident.acknowledged_at)}.")
    if incident.closed_at is None:
        said.append(f"Open for {format_duration(now - incident.opened_at)}.")
    else:
        lasted = format_duration(incident.closed_at - incident.opened_at)
        said.append(f"Fine again {format_second(incident.closed_at)}, after {lasted}.")
    word = "check" if incident.checks_failed == 1 else "checks"
    said.append(f"{incident.checks_failed:,} {word} failed.")
    return " ".join(said)
