"""Writes the made-up past of the demo's databases into its history, by the rules and the store of the program.

What happened in it is `sandbox/past`; the story that follows is played in `demo_play`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import Settings
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, Transition
from monitor.store.store import Store

DAYS = 90
EVERY = timedelta(hours=3)
_IN_TROUBLE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class PastCheck:
    """One check as it might have been; `outcome` is a code of docs/outcomes.md, times are in milliseconds."""

    at: datetime
    outcome: str
    detail: str
    http_status: int | None
    dns_ms: float
    connect_ms: float
    tls_ms: float
    wait_ms: float | None


@dataclass(frozen=True, kw_only=True)
class _Trouble:
    """What went wrong, how many days before the end it began, and how long it lasted."""

    days_ago: float
    lasted: timedelta
    outcome: str
    detail: str = ""
    http_status: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Character:
    """How one database has fared. `lookup_slower_for` are the last days, in which its name took long to find."""

    wait_ms: float
    troubles: tuple[_Trouble, ...]
    nobody_looked: tuple[tuple[float, timedelta], ...] = ()
    lookup_slower_for: float = 0.0


_CHARACTERS = {
    "main": _Character(
        wait_ms=14.0,
        troubles=(
            _Trouble(
                days_ago=71.3,
                lasted=timedelta(minutes=47),
                outcome="server_error",
                detail="HTTP 503: text/plain: upstream connect error",
                http_status=503,
            ),
            _Trouble(
                days_ago=23.1,
                lasted=timedelta(minutes=12),
                outcome="response_timeout",
                detail="connected, but no answer within 10 s",
            ),
            _Trouble(
                days_ago=4.4,
                lasted=timedelta(hours=2, minutes=20),
                outcome="token_rejected",
                detail="WRONGPASS invalid or missing auth token",
                http_status=401,
            ),
        ),
        nobody_looked=((40.6, timedelta(hours=9)),),
        lookup_slower_for=25.0,
    ),
    "cache": _Character(
        wait_ms=5.0,
        troubles=(
            _Trouble(days_ago=55.0, lasted=timedelta(minutes=31), outcome="connection_timeout"),
            _Trouble(days_ago=9.7, lasted=timedelta(hours=2), outcome="slow", detail="answered late"),
        ),
        nobody_looked=((40.6, timedelta(hours=9)),),
    ),
}


def past_of(database: str, end: datetime) -> Iterator[PastCheck]:
    """The checks of one database of the story before `end`, the oldest first."""
    character, dice = _CHARACTERS[database], random.Random(database)
    at = end - timedelta(days=DAYS)
    while at < end:
        trouble = next((each for each in character.troubles if _covers(each.days_ago, each.lasted, at, end)), None)
        if not any(_covers(days_ago, lasted, at, end) for days_ago, lasted in character.nobody_looked):
            yield _made_look(character, trouble, at, end, dice)
        at += _IN_TROUBLE if trouble or _begins_soon(character, at, end) else EVERY
    # The story goes on from here, so there is no hole between the two.
    yield _made_look(character, None, end - timedelta(seconds=1), end, dice)


def _covers(days_ago: float, lasted: timedelta, at: datetime, end: datetime) -> bool:
    began = end - timedelta(days=days_ago)
    return began <= at < began + lasted


def _begins_soon(character: _Character, at: datetime, end: datetime) -> bool:
    return any(at < end - timedelta(days=each.days_ago) <= at + EVERY for each in character.troubles)


def _made_look(
    character: _Character, trouble: _Trouble | None, at: datetime, end: datetime, dice: random.Random
) -> PastCheck:
    rush_hour = 1.25 if 8 <= at.hour < 18 else 1.0
    wait_ms: float | None = character.wait_ms * rush_hour * dice.lognormvariate(0, 0.25)
    if dice.random() < 0.01:
        wait_ms = character.wait_ms * dice.uniform(2, 4)
    if trouble is not None and trouble.outcome == "slow":
        wait_ms = dice.uniform(540, 900)
    elif trouble is not None and trouble.http_status is None:
        wait_ms = None
    is_late = end - at < timedelta(days=character.lookup_slower_for)
    return PastCheck(
        at=at,
        outcome=trouble.outcome if trouble else "ok",
        detail=trouble.detail if trouble else "",
        http_status=trouble.http_status if trouble else 200,
        dns_ms=(11.0 if is_late else 1.4) * dice.lognormvariate(0, 0.3),
        connect_ms=6.5 * dice.lognormvariate(0, 0.15),
        tls_ms=8.0 * dice.lognormvariate(0, 0.15),
        wait_ms=wait_ms,
    )


_READ_MS = 0.2


def write_past(settings: Settings, end: datetime) -> None:
    """Fill the history until `end`; some seconds of work. Nobody is told of what happened in it."""
    store = Store(Path(settings.history.path), channels=(), log=lambda level, text: None, clock=lambda: end)
    try:
        for database in settings.databases:
            for past in past_of(database.name, end):
                _record(store, _check(database.name, past), settings)
    finally:
        store.close()


def _record(store: Store, check: Check, settings: Settings) -> None:
    def judge(state: IncidentState, number: int) -> Transition:
        return advance(state, check, settings.alerts, next_incident=number)

    store.record(check, judge, interval=EVERY)


def _check(database: str, past: PastCheck) -> Check:
    latency_ms = None if past.wait_ms is None else past.wait_ms + _READ_MS
    way_there_ms = past.dns_ms + past.connect_ms + past.tls_ms
    return Check(
        database=database,
        at=past.at,
        outcome=Outcome(past.outcome),
        detail=past.detail,
        http_status=past.http_status,
        phases=Phases(
            dns=past.dns_ms,
            connect=past.connect_ms,
            tls=past.tls_ms,
            wait=past.wait_ms,
            read=None if latency_ms is None else _READ_MS,
            total=None if latency_ms is None else way_there_ms + latency_ms,
        ),
    )
