"""Pages in the states in which people meet them: soon after the start, with incidents, with many databases."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import DatabaseSettings, HistorySettings, Settings
from monitor.engine.scheduler import Health
from monitor.lib.text import Secret
from monitor.lib.threads import SerialThread
from monitor.report.overview import Overview
from monitor.store.store import Store
from monitor.web.app import build_app
from tests.judging import judge
from tests.web.conftest import build, serving
from tests.web.made import DATABASES, DAY, HIDDEN_HOST, NOW, MadeDatabase, MadeOverview

TITLE = "Our databases"
OK, SLOW, REJECTED = Outcome.OK, Outcome.SLOW, Outcome.TOKEN_REJECTED
_DETAILS = {REJECTED: "WRONGPASS invalid or missing auth token", SLOW: "answered in 642 ms, the limit is 500 ms"}
# The outcomes of each database's checks, a minute apart, the last of them 4 s ago.
STATES: Mapping[str, Mapping[str, Sequence[Outcome]]] = {
    "no-check": {"main": ()},
    "first-check": {"main": (OK,), "cache": ()},
    "ten-minutes": {"main": (OK,) * 10, "sessions": (REJECTED,) * 3},
    "hour": {"main": (*(OK,) * 40, *(REJECTED,) * 6, *(OK,) * 20), "queue": (*(OK,) * 8, *(SLOW,) * 7)},
}
THIRTY = tuple(
    MadeDatabase(name=f"shop-{number:02}", latency_ms=1 + number / 3, since=2 * DAY) for number in range(28)
)


@contextmanager
def serving_state(name: str, folder: Path) -> Iterator[str]:
    """The address of a page in one of the `STATES`, recorded by a real store, or of `thirty` databases."""
    if name == "thirty":
        with serving(build(MadeOverview((*THIRTY, *DATABASES[1:3]), now=NOW), title=TITLE)) as port:
            yield f"http://127.0.0.1:{port}"
        return
    databases = STATES[name]
    settings = Settings(
        databases=tuple(
            DatabaseSettings(name=database, url=Secret(f"https://{HIDDEN_HOST}"), token=Secret("t"))
            for database in databases
        ),
        history=HistorySettings(path=str(folder / "history.db")),
    )
    store = Store(folder / "history.db", channels=("log",), log=lambda level, text: None, clock=lambda: NOW)
    for database, outcomes in databases.items():
        _record(store, database, outcomes)
    store_thread = SerialThread("store")
    health = Health(overdue=(), databases=len(databases), has_checked=True)
    app = build_app(
        lambda: health,
        Overview(settings, store, store_thread, lambda: NOW),
        missed_checks=lambda: 0,
        title=TITLE,
        hosts=[HIDDEN_HOST],
        clock=lambda: NOW,
    )
    try:
        with serving(app) as port:
            yield f"http://127.0.0.1:{port}"
    finally:
        store_thread.stop(store.close)


def _record(store: Store, database: str, outcomes: Sequence[Outcome]) -> None:
    dice, minute = random.Random(database), timedelta(minutes=1)
    for number, outcome in enumerate(outcomes):
        at = NOW - timedelta(seconds=4) - (len(outcomes) - 1 - number) * minute
        wait = 642.0 if outcome is SLOW else dice.lognormvariate(0.7, 0.3)
        phases = Phases(dns=1.1, connect=1.9, tls=6.4, wait=wait, read=0.2, total=9.6 + wait)
        check = Check(database=database, at=at, outcome=outcome, detail=_DETAILS.get(outcome, ""), phases=phases)
        store.record(check, judge(check), interval=minute)
