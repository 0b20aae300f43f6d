"""Whatever happens, in whatever order: the rules hold and every message arrives once (design, 4.1, 4.2, 4.4).

Hypothesis drives checks, clock steps, restarts, locks, acknowledgements and deliveries on a real file; what is
expected is counted here from the checks alone, without the code under test.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.alerts.notification import NotificationKind
from monitor.alerts.retry_policy import LEASE, DeliveryResult, DeliveryStatus
from monitor.checks.observation import Family, Outcome
from tests.store.conftest import StoreSetup

DATABASES = ("main", "other")
CHANNELS = ("slack", "telegram")
# Recoveries must be as frequent as troubles, or hardly any incident would ever close.
OUTCOMES = st.one_of(st.just(Outcome.OK), st.sampled_from(list(Outcome)))
# How many checks of a family, or of any failing family, an incident needs at the very least.
LEAST = {
    Family.CONFIGURATION: 1,
    Family.TOKEN: 2,
    Family.QUOTA: 2,
    Family.NETWORK: 3,
    Family.SERVICE: 3,
    Family.SLOW: 5,
}
CONFIRMED = DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="503")


class AnyLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.locker: sqlite3.Connection | None = None
        self.seen = 0
        self.setup = StoreSetup(Path(self.folder.name) / "history.db", CHANNELS)
        self.since_last_decision: dict[str, list[Outcome]] = {name: [] for name in DATABASES}
        self.opened: set[int] = set()
        self.closed: set[int] = set()
        self.told: Counter[tuple[str, int, str]] = Counter()

    def teardown(self) -> None:
        if self.locker is not None:
            self.file_is_free()
        self.setup.now += timedelta(minutes=1)
        self.deliver_everything()
        assert not self.setup.in_memory()
        assert len(self.setup.outcomes()) == self.seen
        for channel in CHANNELS:
            for incident in self.opened:
                self.check_telling(channel, incident)
        self.setup.store.close()
        self.folder.cleanup()

    def check_telling(self, channel: str, incident: int) -> None:
        """Opened and closed are told exactly once each, or both at once as missed."""
        opened, closed, missed = (self.told[channel, incident, kind] for kind in ("opened", "closed", "missed"))
        if missed:
            assert (opened, closed, missed) == (0, 0, 1)
            assert incident in self.closed
        else:
            assert (opened, closed) == (1, int(incident in self.closed))

    @rule(database=st.sampled_from(DATABASES), outcome=OUTCOMES, times=st.integers(1, 4))
    def check(self, database: str, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.check_once(database, outcome)

    def check_once(self, database: str, outcome: Outcome) -> None:
        before = self.setup.store.state(database)
        recorded = self.setup.check(outcome, database=database, after=timedelta(seconds=10))
        self.seen += 1
        kinds = [notification.kind for notification in recorded.transition.notifications]
        if outcome.family is Family.UNKNOWN:
            assert self.setup.store.state(database) == before
            assert kinds == []
            return
        seen = self.since_last_decision[database]
        seen.append(outcome)
        for notification in recorded.transition.notifications:
            assert notification.incident is not None
            if notification.kind is NotificationKind.OPENED:
                self.check_count(seen)
                assert notification.incident not in self.opened
                self.opened.add(notification.incident)
            if notification.kind is NotificationKind.CLOSED:
                assert [past.family for past in seen[-2:]] == [Family.FINE, Family.FINE]
                assert notification.incident in self.opened - self.closed
                self.closed.add(notification.incident)
            if notification.kind is not NotificationKind.REMINDER:
                seen.clear()

    def check_count(self, seen: list[Outcome]) -> None:
        """No incident opens below its count."""
        families = Counter(outcome.family for outcome in seen)
        failing = sum(count for family, count in families.items() if family.is_failing)
        assert failing >= 3 or any(families[family] >= least for family, least in LEAST.items())

    @rule(minutes=st.integers(-90, 90))
    def clock_jumps(self, minutes: int) -> None:
        self.setup.now += timedelta(minutes=minutes)

    # What is in memory only dies with the process, so it is not ended while it cannot reach the file.
    @precondition(lambda self: self.locker is None)
    @rule()
    def restart(self) -> None:
        self.setup.restart()

    @precondition(lambda self: not self.setup.in_memory())
    @rule()
    def restart_after_a_kill(self) -> None:
        self.setup.restart_after_a_kill()

    @precondition(lambda self: self.locker is None)
    @rule()
    def file_is_locked_by_another(self) -> None:
        self.locker = sqlite3.connect(self.setup.path, isolation_level=None)
        self.locker.execute("BEGIN IMMEDIATE")

    @precondition(lambda self: self.locker is not None)
    @rule()
    def file_is_free(self) -> None:
        assert self.locker is not None
        self.locker.close()
        self.locker = None

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        incident = data.draw(st.sampled_from(sorted(self.opened)))
        assert self.setup.store.acknowledge_incident(incident, self.setup.now) == (incident not in self.closed)

    @rule(channel=st.sampled_from(CHANNELS), arrives=st.booleans())
    def deliver(self, channel: str, arrives: bool) -> None:
        delivery = self.setup.store.claim(channel, self.setup.now)
        if delivery is None:
            return
        self.setup.store.acknowledge_delivery(delivery, CONFIRMED if arrives else AWAY, self.setup.now, 0.5)
        if arrives and delivery.notification.incident is not None:
            self.told[channel, delivery.notification.incident, delivery.notification.kind.value] += 1

    def deliver_everything(self) -> None:
        for channel in CHANNELS:
            while self.setup.store.next_due(channel) is not None:
                self.setup.now += LEASE + timedelta(minutes=10)
                self.deliver(channel, arrives=True)

    @invariant()
    def every_incident_is_open_or_closed(self) -> None:
        on_file = {row.id: row.closed_at is not None for _, row in self.setup.store.incidents(closed_too=True)}
        assert on_file == {incident: incident in self.closed for incident in self.opened}
        held = {state.incident.id for name in DATABASES if (state := self.setup.store.state(name)).incident}
        assert held == self.opened - self.closed


@pytest.fixture(autouse=True)
def _no_waiting_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a lock is waited for is not what is tested."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.0)


AnyLife.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,  # the same lives each time: a test of the build must not be a lottery
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_life_keeps_the_rules = AnyLife.TestCase
