"""Writes the made-up past of the demo's databases into its history, by the rules and the store of the program.

What happened in it is `sandbox/past`; the story that follows is played in `demo_play`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from monitor.core.incident import advance
from monitor.core.observation import Look, Outcome, Phases
from monitor.core.watch import Step, Watch
from monitor.sandbox.past import EVERY, PastLook, past_of
from monitor.settings import Settings
from monitor.store.store import Store

_READ_MS = 0.2


def write_past(settings: Settings, end: datetime) -> None:
    """Fill the history until `end`; some seconds of work. Nobody is told of what happened in it."""
    store = Store(Path(settings.history.path), channels=(), say=lambda level, text: None, clock=lambda: end)
    try:
        for database in settings.databases:
            for past in past_of(database.name, end):
                _record(store, _look(database.name, past), settings)
    finally:
        store.close()


def _record(store: Store, look: Look, settings: Settings) -> None:
    def judge(watch: Watch, number: int) -> Step:
        return advance(watch, look, settings.alerts, next_incident=number)

    store.record(look, judge, interval=EVERY)


def _look(database: str, past: PastLook) -> Look:
    latency_ms = None if past.wait_ms is None else past.wait_ms + _READ_MS
    way_there_ms = past.dns_ms + past.connect_ms + past.tls_ms
    return Look(
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
