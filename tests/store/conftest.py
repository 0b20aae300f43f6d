"""A store on a real file, with a clock that tests move; nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.alerts.notification import NotificationKind
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import AlertSettings
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, Transition
from monitor.store.file.document import StateDocument
from monitor.store.store import Recorded, Store
from tests.judging import QUICK, explain

CONFIRMED = DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
INTERVAL = timedelta(minutes=1)


@pytest.fixture
def _short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a lock is waited for is not what is tested."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)


class Everything(Container[str]):
    """The databases of settings in which whatever a test checks is configured."""

    def __contains__(self, name: object) -> bool:
        return True


class Destinations(dict[str, str]):
    """Where the messages of each channel go: a place of its own, unless a test says otherwise."""

    def __missing__(self, channel: str) -> str:
        return f"https://example.com/{channel}"


class StoreSetup:
    """A store, its clock and what it logged; made again on the same file, as after a restart."""

    def __init__(
        self,
        path: Path,
        channels: tuple[str, ...] = ("slack", "telegram"),
        *,
        now: datetime = START,
        alerts: AlertSettings = QUICK,
        **options: Any,
    ) -> None:
        self.path = path
        self.channels = channels
        self.databases: Container[str] = Everything()
        self.destinations = Destinations()
        self.left_out: tuple[str, ...] = ()
        self.now = now
        self.alerts = alerts
        self._options = options
        self.logged: list[tuple[str, str]] = []
        self.store = self._open()

    def _open(self, document: StateDocument | None = None) -> Store:
        store = Store(
            self.path,
            channels=self.channels,
            log=lambda level, text: self.logged.append((level, text)),
            clock=lambda: self.now,
            **self._options,
        )
        if document is not None:
            store.take_up(document)
        store.begin(databases=self.databases, destinations=self.destinations, left_out=self.left_out)
        return store

    def restart(self) -> None:
        self.store.close()
        self.store = self._open()

    def restart_after_a_kill(self, document: StateDocument | None = None) -> None:
        """Open the file again without asking what became of the old store; take up what a document remembers."""
        self.store = self._open(document)

    def check(
        self,
        outcome: Outcome,
        *,
        database: str = "main",
        after: timedelta = INTERVAL,
        hold: timedelta | None = None,
    ) -> Recorded:
        self.now += after
        check = Check(
            database=database,
            at=self.now,
            outcome=outcome,
            detail="" if outcome is Outcome.OK else "what was seen",
            http_status=200 if outcome is Outcome.OK else None,
            phases=Phases(dns=0.1, connect=1.0, tls=2.0, wait=20.25, read=0.5, total=24.0),
        )
        return self.store.record(check, judge(check, self.alerts), interval=INTERVAL, hold=hold)

    def checks(self, *outcomes: Outcome) -> list[str]:
        """What was said to each channel over these checks."""
        return [
            notification.kind.value
            for outcome in outcomes
            for notification in self.check(outcome).transition.notifications
        ]

    def deliver(self, channel: str = "slack") -> list[str]:
        """Send what is due, confirmed at once; return what was told: "1 opened", or the monitor's own words."""
        told = []
        while delivery := self.store.claim(channel, self.now):
            notification = delivery.notification
            told.append(
                notification.title
                if notification.kind is NotificationKind.MONITOR
                else f"{notification.incident} {notification.kind.value}"
            )
            self.store.acknowledge_delivery(delivery, CONFIRMED, self.now, 0.0)
        return told

    def in_memory(self) -> bool:
        return self.store.is_in_memory

    def shell(self, sql: str) -> list[tuple[Any, ...]]:
        """What anybody with a SQLite shell would see."""
        with closing(sqlite3.connect(self.path)) as shell:
            return shell.execute(sql).fetchall()

    def outcomes(self) -> list[str]:
        """The history, as it stands in the file."""
        return [outcome for (outcome,) in self.shell("SELECT outcome FROM history ORDER BY at")]


def judge(check: Check, alerts: AlertSettings = QUICK) -> Callable[[IncidentState, int], Transition]:
    return lambda state, number: advance(
        state, check, alerts, next_incident=number, explain=explain, interval=INTERVAL
    )


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[StoreSetup]:
    setup = StoreSetup(tmp_path / "history.db")
    yield setup
    setup.store.close()
