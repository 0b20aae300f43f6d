"""One database at a glance, as the front page and its own page begin: figures put together, nothing drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from monitor.core.diagnosis import Advice, advise
from monitor.core.history import Glance, Slice, Spread, Uptime
from monitor.core.watch import Incident
from monitor.durations import say_duration
from monitor.status.state import State, state_of
from monitor.status.words import say_name, say_second

_NOTHING = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What is shown of a database. `today` is the spread of today's latencies, `None` before the first answer."""

    name: str
    path: str
    state: State
    glance: Glance
    last_look: str
    uptime: Uptime
    today: Spread | None
    advice: Advice | None


def card_of(glance: Glance, now: datetime) -> Card:
    """The card of a database."""
    latest = glance.latest
    return Card(
        name=say_name(glance.database),
        path=path_of(glance.database),
        state=state_of(glance, now),
        glance=glance,
        last_look="no look yet" if latest is None else f"{say_duration(now - latest.at)} ago",
        uptime=uptime_of(glance.days),
        today=glance.days[-1].latency if glance.days else None,
        advice=None if glance.incident is None else advise(glance.incident.cause),
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
    until_told = incident.told_at - incident.opened_at
    told = f"told {say_duration(until_told)} later" if until_told >= timedelta(seconds=1) else "told at once"
    said = [f"Began {say_second(incident.opened_at)}: {causes}; {told}."]
    if incident.acknowledged_at is not None:
        said.append(f"Acknowledged {say_second(incident.acknowledged_at)}.")
    if incident.closed_at is None:
        said.append(f"Open for {say_duration(now - incident.opened_at)}.")
    else:
        lasted = say_duration(incident.closed_at - incident.opened_at)
        said.append(f"Fine again {say_second(incident.closed_at)}, after {lasted}.")
    word = "look" if incident.looks_failed == 1 else "looks"
    said.append(f"{incident.looks_failed:,} {word} failed.")
    return " ".join(said)
