"""Bytes that a check costs on disk: checks recorded by the real store, the closed file's size by their number.

They are as many as a database has in 90 days, the default of `history.keep`, at one a minute; the sums that are
kept for good are in the file, and so is what a file takes before its first check. One database fills the file in
order; with ten the rows come in turns, which packs the pages less tightly. Two of a thousand checks failed and
have
a detail. What recording costs in CPU is shown beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.goals import DISK
from bench.plan import Plan, say
from bench.table import Row
from bench.years import any_check
from monitor.checks.observation import Check
from monitor.config.settings import AlertSettings
from monitor.diagnosis.verdicts import DatabaseProfile, judge_outcome
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, Transition
from monitor.store.store import Store

_INTERVAL = timedelta(seconds=60)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def measure(plan: Plan) -> Iterator[Row]:
    """One database, then ten."""
    checks = int(plan.choose(129_600, 2_000))
    for databases in (1, 10):
        say(f"  {checks:,} checks of {databases}")
        size, cpu_seconds = _fill(plan, databases, checks)
        figure = size / checks
        cost = f"{cpu_seconds / checks * 1000:.2f} ms of CPU to record one"
        yield Row(
            what=f"bytes a check costs on disk, {databases} database{'s' if databases > 1 else ''}, sums included",
            measured=f"{figure:.1f} B ({size / 2**20:.2f} MB)\n{cost}",
            count=f"{checks:,}",
            goal=DISK,
            reached=plan.judged(reached=DISK.is_reached(figure)),
        )


def _fill(plan: Plan, databases: int, checks: int) -> tuple[int, float]:
    path = plan.scratch(f"disk {databases}") / "history.db"
    chance = plan.chance(f"disk {databases}")
    alerts = AlertSettings()
    store = Store(path, channels=["log"], log=lambda _level, text: say(f"  {text}"), clock=lambda: _START)
    cpu_seconds = 0.0
    for number in range(checks):
        turn, which = divmod(number, databases)
        at = (
            _START
            + turn * _INTERVAL
            + which * timedelta(seconds=0.1)
            + timedelta(milliseconds=chance.expovariate(1))
        )
        check = any_check(f"database-{which}", at, chance)
        before = time.process_time()
        store.record(
            check,
            partial(_advance, check, alerts),
            interval=_INTERVAL,
        )
        cpu_seconds += time.process_time() - before
    store.close()
    return sum(part.stat().st_size for part in path.parent.iterdir()), cpu_seconds


def _advance(check: Check, alerts: AlertSettings, state: IncidentState, next_incident: int) -> Transition:
    profile = DatabaseProfile(database=check.database)
    return advance(
        state, check, alerts, next_incident=next_incident, explain=lambda cause: judge_outcome(cause, profile)
    )
