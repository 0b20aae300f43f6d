"""Whatever happens, in whatever order: the rules hold and every message arrives once (design, 4.1, 4.2, 4.4).

Hypothesis drives checks, clock steps, restarts, locks, a full disk, channels that come, go, and are away for days,
databases that are removed, acknowledgements, deliveries, and kills, in the midst of a delivery or while the file
cannot be written, on a real file; what is expected is counted here from the checks alone, without the code
under test.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.retry_policy import LEASE, DeliveryResult, DeliveryStatus
from monitor.checks.observation import Family, Outcome
from monitor.store.tables.outbox import messages_pending
from tests.store.conftest import StoreSetup

DATABASES = ("main", "other")
CHANNELS = ("slack", "telegram", "pager")
BEGINS, ENDS = ("opened", "ongoing"), ("closed", "unwatched")
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


class AnyOrderOfEvents(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.locker: sqlite3.Connection | None = None
        # How many checks the file has, and how many memory has beside it.
        self.on_file = self.beside = 0
        self.setup = StoreSetup(Path(self.folder.name) / "history.db", CHANNELS[:2])
        self.setup.databases = set(DATABASES)
        # How many incidents had been opened, and which were closed, when a channel was added.
        self.added: dict[str, set[int]] = {name: set() for name in CHANNELS[:2]}
        self.repeated: Counter[str] = Counter()
        # Nothing is known of these after a kill that cost checks.
        self.since_last_decision: dict[str, list[Outcome] | None] = {name: [] for name in DATABASES}
        self.opened: set[int] = set()
        self.closed: set[int] = set()
        self.begun: Counter[tuple[str, int]] = Counter()
        self.ended: Counter[tuple[str, int]] = Counter()
        # An open incident that is told a day late: of its beginning, or of what came of it since.
        self.late: Counter[tuple[str, int]] = Counter()
        self.updates: Counter[int] = Counter()

    def teardown(self) -> None:
        if self.locker is not None:
            self.file_is_free()
        self.setup.now += timedelta(minutes=1)
        self.deliver_everything()
        assert not self.setup.in_memory()
        assert len(self.setup.outcomes()) == self.on_file
        assert self.setup.store.read(messages_pending) == 0
        for channel in CHANNELS:
            for incident in self.opened:
                self.check_telling(channel, incident)
        self.setup.store.close()
        self.folder.cleanup()

    def check_telling(self, channel: str, incident: int) -> None:
        """A channel that is configured is told each beginning and each end; once, but for what a kill repeats."""
        begun, ended = self.begun[channel, incident], self.ended[channel, incident]
        most = 1 + self.repeated[channel]
        assert begun <= most, f"{channel} was told {begun} times that incident {incident} began"
        assert ended <= most, f"{channel} was told {ended} times that incident {incident} ended"
        late = self.late[channel, incident]
        assert late <= most + self.updates[incident], f"{channel} was told {late} times, late, of {incident}"
        if channel in self.added:
            is_new = incident not in self.added[channel]
            assert begun or not is_new, f"{channel} was never told that incident {incident} began"
            # One that comes back is told the end of what it was told before.
            is_due = incident in self.closed and (is_new or begun)
            assert ended or not is_due, f"{channel} was never told that {incident} ended"
        assert begun or not ended, f"{channel} was told the end alone"

    @rule(database=st.sampled_from(DATABASES), outcome=OUTCOMES, times=st.integers(1, 4))
    def check(self, database: str, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.check_once(database, outcome)

    # Without these most runs would see no incident at all.
    @initialize(database=st.sampled_from(DATABASES))
    def trouble_is_there(self, database: str) -> None:
        self.trouble_comes(database)

    @rule(database=st.sampled_from(DATABASES))
    def trouble_comes(self, database: str) -> None:
        for _ in range(2):
            self.check_once(database, Outcome.TOKEN_REJECTED)

    @rule(database=st.sampled_from(DATABASES))
    def trouble_goes(self, database: str) -> None:
        for _ in range(2):
            self.check_once(database, Outcome.OK)

    @rule(database=st.sampled_from(DATABASES), channel=st.sampled_from(CHANNELS))
    def trouble_comes_is_told_and_goes(self, database: str, channel: str) -> None:
        self.trouble_comes(database)
        self.deliver(channel, arrives=True)
        self.trouble_goes(database)

    def check_once(self, database: str, outcome: Outcome) -> None:
        before = self.setup.store.state(database)
        recorded = self.setup.check(outcome, database=database, after=timedelta(seconds=10))
        self.beside += 1
        self.count_checks()
        kinds = [notification.kind for notification in recorded.transition.notifications]
        if outcome.family is Family.UNKNOWN:
            assert self.setup.store.state(database) == before
            assert kinds == []
            return
        seen = self.since_last_decision[database]
        if seen is not None:
            seen.append(outcome)
        for notification in recorded.transition.notifications:
            assert notification.incident is not None
            if notification.kind is NotificationKind.OPENED:
                assert seen is None or self.is_enough(seen)
                assert notification.incident not in self.opened
                self.opened.add(notification.incident)
            if notification.kind is NotificationKind.CLOSED:
                assert seen is None or [past.family.is_failing for past in seen[-2:]] == [False, False]
                assert notification.incident in self.opened - self.closed
                self.closed.add(notification.incident)
            if notification.kind in (NotificationKind.CHANGED, NotificationKind.REMINDER):
                self.updates[notification.incident] += 1
            if notification.kind is not NotificationKind.REMINDER:
                seen = self.since_last_decision[database] = []

    def count_checks(self) -> None:
        if not self.setup.in_memory():
            self.on_file, self.beside = self.on_file + self.beside, 0

    @staticmethod
    def is_enough(seen: list[Outcome]) -> bool:
        """No incident opens below its count."""
        families = Counter(outcome.family for outcome in seen)
        failing = sum(count for family, count in families.items() if family.is_failing)
        return failing >= 3 or any(families[family] >= least for family, least in LEAST.items())

    @rule(minutes=st.one_of(st.integers(-90, 90), st.integers(-5000, 5000)))
    def clock_jumps(self, minutes: int) -> None:
        self.setup.now += timedelta(minutes=minutes)
        self.setup.store.move_times(timedelta(minutes=minutes))

    @precondition(lambda self: self.locker is None)
    @rule(minutes=st.integers(-5000, 0))
    def clock_jumps_between_two_starts(self, minutes: int) -> None:
        self.setup.store.close()
        self.setup.now += timedelta(minutes=minutes)
        self.setup.restart_after_a_kill()

    @rule(hours=st.integers(1, 80))
    def time_passes(self, hours: int) -> None:
        self.setup.now += timedelta(hours=hours)

    @precondition(lambda self: self.locker is None)
    @rule(channels=st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True))
    def channels_change(self, channels: list[str]) -> None:
        self.setup.channels = tuple(channels)
        self.setup.now += LEASE  # whoever sends does so no longer
        self.setup.restart()
        self.added = {name: self.added.get(name, set(self.closed)) for name in channels}

    @precondition(lambda self: self.locker is None)
    @rule(database=st.sampled_from(DATABASES), channel=st.sampled_from(CHANNELS))
    def channel_is_removed_while_an_incident_ends(self, database: str, channel: str) -> None:
        others = [name for name in CHANNELS if name != channel]
        self.trouble_comes(database)
        self.deliver(channel, arrives=True)
        self.channels_change(others)
        self.trouble_goes(database)
        self.channels_change([*others, channel])

    @precondition(lambda self: self.locker is None)
    @rule(channel=st.sampled_from(CHANNELS))
    def channel_is_replaced(self, channel: str) -> None:
        self.setup.destinations[channel] = f"{self.setup.destinations[channel]}/another"
        self.repeated[channel] += 1
        self.setup.restart()

    @precondition(lambda self: self.locker is None)
    @rule(database=st.sampled_from(DATABASES))
    def database_is_removed_for_a_while(self, database: str) -> None:
        for databases in (set(DATABASES) - {database}, set(DATABASES)):
            self.setup.databases = databases
            self.setup.restart()
        open_ones = {row.id for _, row in self.setup.store.incidents()}
        over = self.opened - self.closed - open_ones
        assert len(over) <= 1
        self.closed |= over
        if over:
            self.since_last_decision[database] = []

    @precondition(lambda self: not self.setup.in_memory())
    @rule()
    def disk_is_full(self) -> None:
        connection = self.setup.store._file._connection  # the limit holds for one connection
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    # What is in memory only dies with the process, so it is not ended while it cannot reach the file.
    @precondition(lambda self: self.locker is None)
    @rule()
    def restart(self) -> None:
        self.setup.restart()

    @rule()
    def restart_after_a_kill(self) -> None:
        """It costs the checks that only memory has, and nothing else."""
        if self.setup.in_memory():
            self.since_last_decision = dict.fromkeys(DATABASES)
            found = len(self.setup.outcomes())
            assert self.on_file <= found <= self.on_file + self.beside
            self.on_file, self.beside = found, 0
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

    @rule(channel=st.sampled_from(CHANNELS))
    def channel_is_there(self, channel: str) -> None:
        for _ in range(8):
            self.deliver(channel, arrives=True)

    @rule(channel=st.sampled_from(CHANNELS), arrives=st.booleans())
    def deliver(self, channel: str, *, arrives: bool) -> None:
        if channel not in self.setup.channels:
            return
        delivery = self.setup.store.claim(channel, self.setup.now)
        if delivery is None:
            return
        self.setup.store.acknowledge_delivery(delivery, CONFIRMED if arrives else AWAY, self.setup.now, 0.5)
        self.count_checks()
        if arrives:
            self.arrived(channel, delivery.notification)

    @rule(database=st.sampled_from(DATABASES), arrives=st.booleans())
    def killed_while_sending(self, database: str, *, arrives: bool) -> None:
        """On the channels that have something to send; some of it has arrived."""
        self.trouble_comes(database)
        for channel in self.setup.channels:
            delivery = self.setup.store.claim(channel, self.setup.now)
            if delivery is not None and arrives:
                self.arrived(channel, delivery.notification)
                self.repeated[channel] += 1
        self.restart_after_a_kill()

    def arrived(self, channel: str, notification: Notification) -> None:
        for one in notification.includes or (notification,):
            if one.incident is None:
                continue
            is_over = one.kind is NotificationKind.MISSED and one.until is not None
            key = channel, one.incident
            is_late = one.kind is NotificationKind.MISSED and not is_over
            self.late[key] += is_late
            # A channel that is told of an end without having heard of the beginning is told both by it.
            if one.kind.value in BEGINS or ((is_over or is_late) and not self.begun[key]):
                self.begun[key] += 1
            if one.kind.value in ENDS or is_over:
                self.ended[key] += 1
                self.begun[key] = max(self.begun[key], int(one.kind is NotificationKind.UNWATCHED))

    def deliver_everything(self) -> None:
        for database in DATABASES:
            self.check_once(database, Outcome.SERVER_ERROR)  # what waits for a check to tell how things stand
        # To deliver may lead to more: that the file cannot be written.
        for _ in range(100):
            due = [name for name in self.setup.channels if self.setup.store.next_due(name) is not None]
            if not due:
                return
            self.setup.now += LEASE + timedelta(minutes=10)
            for channel in due:
                self.deliver(channel, arrives=True)
        raise AssertionError("messages wait, and are never sent")

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


AnyOrderOfEvents.TestCase.settings = settings(max_examples=30, stateful_step_count=40)
test_any_order_of_events_keeps_the_rules = AnyOrderOfEvents.TestCase
