"""Ninety made-up days before the demo, written into its history by the rules and the store of the program."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import Settings
from monitor.diagnosis.verdicts import Verdict, judge_outcome
from monitor.engine.wiring import profiles_of
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, Transition
from monitor.store.store import Store

DAYS = 90
EVERY = timedelta(hours=3)
_EVERY_WHILE_FAILING = timedelta(minutes=1)
# For so long after a failure too: what is over shows in several fine checks close to each other.
_CLOSE_FOR = timedelta(minutes=5)
_READ_MS = 0.2


@dataclass(frozen=True, kw_only=True)
class _Period:
    """When something was not as usual: how many days before the end it began, and how long it lasted.

    Without an outcome there were no checks.
    """

    days_ago: float
    lasted: timedelta
    outcome: Outcome | None = None
    detail: str = ""
    http_status: int | None = None

    def covers(self, at: datetime, end: datetime) -> bool:
        return self._began(end) <= at < self._began(end) + self.lasted

    def is_near(self, at: datetime, end: datetime) -> bool:
        """From the last check at the usual pace before it until it must have been seen to be over."""
        return self._began(end) - EVERY <= at < self._began(end) + self.lasted + _CLOSE_FOR

    def _began(self, end: datetime) -> datetime:
        return end - timedelta(days=self.days_ago)


@dataclass(frozen=True, kw_only=True)
class _Past:
    """How one database has fared. In the last `slow_lookup_days` its name took long to look up."""

    wait_ms: float
    periods: tuple[_Period, ...]
    slow_lookup_days: float = 0.0


_UNCHECKED = _Period(days_ago=40.6, lasted=timedelta(hours=9))
_PASTS = {
    "main": _Past(
        wait_ms=14.0,
        periods=(
            _UNCHECKED,
            _Period(
                days_ago=71.3,
                lasted=timedelta(minutes=47),
                outcome=Outcome.SERVER_ERROR,
                detail="HTTP 503: text/plain: upstream connect error",
                http_status=503,
            ),
            _Period(
                days_ago=23.1,
                lasted=timedelta(minutes=12),
                outcome=Outcome.RESPONSE_TIMEOUT,
                detail="connected, but no answer within 10 s",
            ),
            _Period(
                days_ago=4.4,
                lasted=timedelta(hours=2, minutes=20),
                outcome=Outcome.TOKEN_REJECTED,
                detail="WRONGPASS invalid or missing auth token",
                http_status=401,
            ),
        ),
        slow_lookup_days=25.0,
    ),
    "cache": _Past(
        wait_ms=5.0,
        periods=(
            _UNCHECKED,
            _Period(days_ago=55.0, lasted=timedelta(minutes=31), outcome=Outcome.CONNECTION_TIMEOUT),
            _Period(
                days_ago=9.7,
                lasted=timedelta(hours=2),
                outcome=Outcome.SLOW,
                detail="answered late",
                http_status=200,
            ),
        ),
    ),
}


def write_history(settings: Settings, end: datetime) -> None:
    """Fill the history until `end`; some seconds of work. No message is sent about what happened in it."""
    store = Store(Path(settings.history.path), channels=(), log=lambda level, text: None, clock=lambda: end)
    try:
        for database in settings.databases:
            for check in _checks(database.name, end):
                _record(store, check, settings)
    finally:
        store.close()


def _record(store: Store, check: Check, settings: Settings) -> None:
    profiles = profiles_of(settings, {})

    def explain(cause: Outcome) -> Verdict:
        return judge_outcome(cause, profiles[check.database])

    def judge(state: IncidentState, number: int) -> Transition:
        return advance(state, check, settings.alerts, next_incident=number, explain=explain)

    store.record(check, judge, interval=EVERY)


def _checks(database: str, end: datetime) -> Iterator[Check]:
    """The checks of one database before `end`, the oldest first; the same ones in every run."""
    past, rng = _PASTS[database], random.Random(database)
    at = end - timedelta(days=DAYS)
    while at < end:
        period = next((period for period in past.periods if period.covers(at, end)), None)
        is_failing = period is not None and period.outcome is not None
        if period is None or is_failing:
            yield _check(database, period, at, end, rng)
        is_near = any(period.outcome and period.is_near(at, end) for period in past.periods)
        at += _EVERY_WHILE_FAILING if is_near else EVERY
    # The demo goes on from here, so there is no gap between the two.
    yield _check(database, None, end - timedelta(seconds=1), end, rng)


def _check(database: str, period: _Period | None, at: datetime, end: datetime, rng: random.Random) -> Check:
    past = _PASTS[database]
    by_day = 1.25 if 8 <= at.hour < 18 else 1.0
    wait_ms: float | None = past.wait_ms * by_day * rng.lognormvariate(0, 0.25)
    if rng.random() < 0.01:
        wait_ms = past.wait_ms * rng.uniform(2, 4)
    if period is not None and period.outcome is Outcome.SLOW:
        wait_ms = rng.uniform(540, 900)
    elif period is not None and period.http_status is None:
        wait_ms = None
    usual_dns_ms = 11.0 if end - at < timedelta(days=past.slow_lookup_days) else 1.4
    dns_ms = usual_dns_ms * rng.lognormvariate(0, 0.3)
    connect_ms, tls_ms = 6.5 * rng.lognormvariate(0, 0.15), 8.0 * rng.lognormvariate(0, 0.15)
    return Check(
        database=database,
        at=at,
        outcome=period.outcome if period and period.outcome else Outcome.OK,
        detail=period.detail if period else "",
        http_status=period.http_status if period else 200,
        phases=Phases(
            dns=dns_ms,
            connect=connect_ms,
            tls=tls_ms,
            wait=wait_ms,
            read=None if wait_ms is None else _READ_MS,
            total=None if wait_ms is None else dns_ms + connect_ms + tls_ms + wait_ms + _READ_MS,
        ),
    )
