"""How long people wait for the history: what `report` and the page ask for, read from a long file.

Each question is asked of the file as a command asks it, through the same object that the page uses, several times;
the file is in the system's cache, as it is on a machine that writes to it every minute. Drawing is not in it.
Beside the time that passed stands the CPU that was used, which a machine with other work on it changes less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.goals import HISTORY, HISTORY_BY_HOUR, HISTORY_PAGE, Goal
from bench.plan import Plan, say
from bench.samples import median_and_worst
from bench.table import Row
from bench.years import END, write_checks, write_year
from monitor.config.settings import DatabaseSettings, HistorySettings, Settings
from monitor.lib.text import Secret
from monitor.report.overview import Archive, open_archive
from monitor.store.rollups.model import Grain

_MONTH, _YEAR = timedelta(days=30), timedelta(days=365)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Took:
    passed_ms: float
    used_ms: float


def measure(plan: Plan) -> Iterator[Row]:
    """One database with a million checks in a month; then a year of ten databases."""
    checks = int(plan.choose(1_000_000, 20_000))
    times = int(plan.choose(25, 3))
    say(f"  {checks:,} checks of one database in 30 days")
    path = plan.scratch("history one") / "history.db"
    write_checks(path, "main", number=checks, span=_MONTH, chance=plan.chance("history one"))
    with open_archive(_settings(path, ["main"]), clock=lambda: END) as archive:
        for what, grain, span, goal in (
            ("30 days by the hour", Grain.HOUR, _MONTH, HISTORY_BY_HOUR),
            ("30 days by the day", Grain.DAY, _MONTH, HISTORY),
            ("365 days by the day", Grain.DAY, _YEAR, HISTORY),
        ):
            took = _ask(archive, "main", grain, span, times)
            yield _row(plan, f"history of {what}, {checks:,} checks", took, goal)
    names = [f"database-{number}" for number in range(10)]
    say("  a year of ten databases, a check a minute")
    path = plan.scratch("history ten") / "history.db"
    write_year(path, names, interval=timedelta(minutes=plan.choose(1, 20)), chance=plan.chance("history ten"))
    with open_archive(_settings(path, names), clock=lambda: END) as archive:
        took = _ask(archive, names[3], Grain.DAY, _YEAR, times)
        yield _row(plan, "history of 365 days by the day, one of ten databases with a year each", took, HISTORY)
        yield _row(
            plan,
            "the 90 days of ten databases",
            _timed(lambda: [archive.status(name) for name in names], times),
            HISTORY_PAGE,
        )
        yield _row(plan, "what metrics tell of ten databases", _timed(archive.totals, times), HISTORY_PAGE)


def _ask(archive: Archive, name: str, grain: Grain, span: timedelta, times: int) -> list[_Took]:
    """With the comparison to the time before, as `report` asks."""
    return _timed(lambda: archive.history(name, start=END - span, end=END, grain=grain, compare=True), times)


def _timed(ask: Callable[[], object], times: int) -> list[_Took]:
    took = []
    for _ in range(times + 1):
        passed, used = time.perf_counter(), time.process_time()
        ask()
        took.append(
            _Took(passed_ms=(time.perf_counter() - passed) * 1000, used_ms=(time.process_time() - used) * 1000)
        )
    # The first one reads the file in.
    return took[1:]


def _row(plan: Plan, what: str, took: list[_Took], goal: Goal) -> Row:
    passed, used = [each.passed_ms for each in took], [each.used_ms for each in took]
    return Row(
        what=f"{what}: median / worst",
        measured=f"{median_and_worst(passed, 'ms')}\nof it CPU {median_and_worst(used, 'ms')}",
        count=str(len(took)),
        goal=goal,
        reached=plan.judged(reached=goal.is_reached(statistics.median(passed))),
    )


def _settings(path: Path, names: list[str]) -> Settings:
    databases = tuple(
        DatabaseSettings(name=name, url=Secret("https://127.0.0.1"), token=Secret("bench")) for name in names
    )
    return Settings(databases=databases, history=HistorySettings(path=str(path)))
