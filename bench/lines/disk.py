"""Bytes that a look costs on disk: looks written through the real store, the closed file's size by their number.

One database fills the file in order; with ten the rows come in turns, which packs the pages less tightly. Two of a
thousand looks failed and have a detail. Older looks are not summed up yet, so this is the cost of single looks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.goals import DISK
from bench.plan import Plan, say
from bench.table import Row
from monitor.core.incident import advance
from monitor.core.observation import Look, Outcome, Phases
from monitor.settings import AlertSettings
from monitor.store.store import Store

_INTERVAL = timedelta(seconds=60)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def measure(plan: Plan) -> Iterator[Row]:
    """One database, then ten."""
    looks = int(plan.choose(50_000, 2_000))
    for databases in (1, 10):
        say(f"  {looks:,} looks of {databases}")
        size = _fill(plan, databases, looks)
        figure = size / looks
        yield Row(
            what=f"bytes a look costs on disk, {databases} database{'s' if databases > 1 else ''}, single looks",
            measured=f"{figure:.1f} B ({size / 2**20:.2f} MB)",
            count=f"{looks:,}",
            goal=DISK,
            reached=plan.judged(reached=DISK.is_reached(figure)),
        )


def _fill(plan: Plan, databases: int, looks: int) -> int:
    path = plan.scratch(f"disk {databases}") / "history.db"
    dice = plan.dice(f"disk {databases}")
    alerts = AlertSettings()
    store = Store(path, channels=["log"], say=lambda _level, text: say(f"  {text}"), clock=lambda: _START)
    for number in range(looks):
        turn, which = divmod(number, databases)
        at = (
            _START
            + turn * _INTERVAL
            + which * timedelta(seconds=0.1)
            + timedelta(milliseconds=dice.expovariate(1))
        )
        look = _look(f"database-{which}", at, dice)
        store.record(
            look,
            lambda watch, next_incident, look=look: advance(watch, look, alerts, next_incident=next_incident),  # type: ignore[misc]
            interval=_INTERVAL,
        )
    store.close()
    return sum(part.stat().st_size for part in path.parent.iterdir())


def _look(name: str, at: datetime, dice: random.Random) -> Look:
    dns, connect, tls = dice.lognormvariate(0.5, 0.5), dice.lognormvariate(2, 0.3), dice.lognormvariate(2.5, 0.3)
    if dice.random() < 0.002:
        return Look(
            database=name,
            at=at,
            outcome=Outcome.RESPONSE_TIMEOUT,
            detail="connected, but no answer within 10 s",
            phases=Phases(dns=dns, connect=connect, tls=tls, total=10_000.0),
        )
    wait, read = dice.lognormvariate(3, 0.4), dice.lognormvariate(-3, 0.5)
    phases = Phases(
        dns=dns, connect=connect, tls=tls, wait=wait, read=read, total=dns + connect + tls + wait + read + 1
    )
    return Look(database=name, at=at, outcome=Outcome.OK, http_status=200, detail="", phases=phases)
