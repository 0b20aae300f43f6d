"""How a database stands, in one word that page, badges and JSON agree on.

When trouble is an incident is decided in `core/incident`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from monitor.core.history import Glance
from monitor.core.notice import Severity
from monitor.core.observation import Family

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


def state_of(glance: Glance, now: datetime) -> State:
    """An open incident first, then the latest look; unknown when that is overdue, ended offline, or never was.

    A failure that has not met its rule yet is `IN_DOUBT`: the looks of the next half minute decide.
    """
    latest, schedule = glance.latest, glance.schedule
    if latest is None or now - latest.at > _PATIENCE * schedule.interval + schedule.timeout:
        return State.UNKNOWN
    if glance.incident is not None:
        return State.SLOW if glance.incident.severity is Severity.WARNING else State.DOWN
    family = latest.outcome.family
    if family.is_failing:
        return State.IN_DOUBT
    return {Family.FINE: State.UP, Family.SLOW: State.SLOW}.get(family, State.UNKNOWN)


def worst_first(glances: Sequence[Glance], now: datetime) -> list[Glance]:
    """What needs somebody stands on top; among equals the order of the settings stays."""
    return sorted(glances, key=lambda glance: _ORDER[state_of(glance, now)])


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
    State.IN_DOUBT: "The last look failed; the next ones decide",
    State.SLOW: "The database is slow",
    State.UNKNOWN: "Nothing is known of the database now",
    State.UP: "The database is up",
}


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
