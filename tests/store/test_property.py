"""Whatever happens, in whatever order: the rules hold and each incident is told once (design, 4.1, 4.2, 4.4, 4.5).

Hypothesis drives checks, clock steps, restarts, locks, a full disk, channels that come, go, and are away for days,
groups, silences, maintenance, routes, waits for the diagnosis, incidents that open again, databases that are
removed, acknowledgements, deliveries, and kills, in the midst of a delivery or while the file cannot be written,
on a real file; what is expected is counted from the checks alone, without the code under test: `readers` has what
those who read the channels may hear.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.alerts.holds import Silence
from monitor.alerts.notification import NotificationKind, Route, Severity
from monitor.alerts.retry_policy import LEASE, DeliveryResult, DeliveryStatus
from monitor.checks.observation import Family, Outcome
from monitor.config.settings import AlertSettings, MaintenanceSettings
from monitor.store.file.document import StateDocument
from monitor.store.tables.outbox import messages_pending
from tests.judging import QUICK, QUICK_RULES
from tests.store.conftest import StoreSetup
from tests.store.readers import Readers

DATABASES = ("main", "other")
CHANNELS = ("slack", "telegram", "pager")
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
UNCONFIRMED = DeliveryResult(status=DeliveryStatus.UNCONFIRMED, detail="thanks")
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="503")
BUSY = DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(hours=2))
FLAPPING = AlertSettings.model_validate(QUICK_RULES | {"flapping": {"times": 8, "within": "20m"}})
MAINTENANCE = MaintenanceSettings.model_validate({"databases": ["main"], "cron": "0 * * * *", "for": "20m"})
ROUTES = {
    "telegram": Route(only=frozenset({"main"})),
    "pager": Route(severities=frozenset({Severity.CRITICAL})),
}


class AnyOrderOfEvents(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.locker: sqlite3.Connection | None = None
        # How many checks the file has, and how many memory has beside it.
        self.on_file = self.beside = 0
        self.setup = StoreSetup(Path(self.folder.name) / "history.db", CHANNELS[:2])
        self.setup.databases = set(DATABASES)
        self.readers = Readers(self.setup.channels)
        # Nothing is known of these after a kill that cost checks.
        self.since_last_decision: dict[str, list[Outcome] | None] = {name: [] for name in DATABASES}

    @property
    def opened(self) -> set[int]:
        return set(self.readers.lives)

    @property
    def closed(self) -> set[int]:
        return {incident for incident, life in self.readers.lives.items() if not life.is_open}

    def teardown(self) -> None:
        if self.locker is not None:
            self.file_is_free()
        self.setup.now += timedelta(minutes=1)
        self.deliver_everything()
        # The last of it may have been the first that a full disk did not take.
        self.setup.now += timedelta(minutes=1)
        assert self.setup.store.read(messages_pending) == 0
        self.count_checks()
        assert not self.setup.in_memory()
        assert len(self.setup.outcomes()) == self.on_file
        self.readers.heard_all()
        self.setup.store.close()
        self.folder.cleanup()

    # Without trouble most runs would see no incident at all.
    @initialize(
        database=st.sampled_from(DATABASES),
        alerts=st.sampled_from((QUICK, FLAPPING)),
        group_within=st.sampled_from((timedelta(0), timedelta(minutes=1))),
        maintenance=st.sampled_from(((), (MAINTENANCE,))),
        routes=st.sampled_from(({}, ROUTES)),
        apart=st.sampled_from(((), ("slack",))),
    )
    def begins(self, database: str, alerts: AlertSettings, **options: Any) -> None:
        self.setup.alerts = alerts
        self.setup._options.update(options)
        self.readers = Readers(self.setup.channels, options["routes"])
        self.setup.restart()
        self.trouble_comes(database, is_held=False)

    @rule(database=st.sampled_from(DATABASES), outcome=OUTCOMES, times=st.integers(1, 4))
    def check(self, database: str, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.check_once(database, outcome)

    @rule(database=st.sampled_from(DATABASES), is_held=st.booleans())
    def trouble_comes(self, database: str, *, is_held: bool) -> None:
        for _ in range(2):
            self.check_once(database, Outcome.TOKEN_REJECTED, hold=timedelta(minutes=1) if is_held else None)

    @rule(database=st.sampled_from(DATABASES))
    def it_is_slow(self, database: str) -> None:
        """A warning, which a channel may not take before it becomes critical."""
        for _ in range(5):
            self.check_once(database, Outcome.SLOW)

    @rule(database=st.sampled_from(DATABASES))
    def trouble_goes(self, database: str) -> None:
        for _ in range(2):
            self.check_once(database, Outcome.OK)
        if self.setup.store.state(database).incident is not None:
            self.setup.now += FLAPPING.flapping.within / 2
            self.check_once(database, Outcome.OK)

    @rule(database=st.sampled_from(DATABASES), channel=st.sampled_from(CHANNELS))
    def trouble_comes_is_told_and_goes(self, database: str, channel: str) -> None:
        self.trouble_comes(database, is_held=False)
        self.deliver(channel, result=CONFIRMED)
        self.trouble_goes(database)

    @rule(channel=st.sampled_from(CHANNELS))
    def all_have_trouble(self, channel: str) -> None:
        """As one group, where there are groups; it is over while the group is held."""
        for database in DATABASES:
            self.trouble_comes(database, is_held=False)
        self.deliver(channel, result=CONFIRMED)
        for database in DATABASES:
            self.trouble_goes(database)

    @rule(incident=st.integers(1, 6))
    def diagnosis_is_over(self, incident: int) -> None:
        if incident in self.opened:
            self.setup.store.release(incident, None)

    @rule()
    def groups_are_complete(self) -> None:
        self.setup.store.release_groups()

    @rule(databases=st.sampled_from(((), ("main",), ("other",))), minutes=st.integers(1, 90))
    def silence(self, databases: tuple[str, ...], minutes: int) -> None:
        end = self.setup.now + timedelta(minutes=minutes)
        self.setup.store.silence(Silence(id=0, databases=databases, start=self.setup.now, end=end))

    @rule(number=st.integers(1, 3))
    def silence_ends(self, number: int) -> None:
        self.setup.store.end_silence(number, self.setup.now)

    @rule(minutes=st.integers(1, 30))
    def some_minutes_pass(self, minutes: int) -> None:
        self.setup.now += timedelta(minutes=minutes)

    def check_once(self, database: str, outcome: Outcome, *, hold: timedelta | None = None) -> None:
        before = self.setup.store.state(database)
        recorded = self.setup.check(outcome, database=database, after=timedelta(seconds=10), hold=hold)
        self.beside += 1
        self.count_checks()
        notifications = recorded.transition.notifications
        self.readers.happens(notifications)
        if outcome.family is Family.UNKNOWN:
            assert self.setup.store.state(database) == before
            assert notifications == ()
            return
        seen = self.since_last_decision[database]
        if self.setup.alerts is not QUICK:
            seen = None  # by these rules more than the latest checks decides
        if seen is not None:
            seen.append(outcome)
        for notification in notifications:
            if notification.kind in (NotificationKind.OPENED, NotificationKind.REOPENED):
                assert seen is None or self.is_enough(seen)
            if notification.kind is NotificationKind.CLOSED:
                assert seen is None or [past.family.is_failing for past in seen[-2:]] == [False, False]
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
        self.readers.channels_are(channels)

    @precondition(lambda self: self.locker is None)
    @rule(database=st.sampled_from(DATABASES), channel=st.sampled_from(CHANNELS))
    def channel_is_removed_while_an_incident_ends(self, database: str, channel: str) -> None:
        others = [name for name in CHANNELS if name != channel]
        self.trouble_comes(database, is_held=False)
        self.deliver(channel, result=CONFIRMED)
        self.channels_change(others)
        self.trouble_goes(database)
        self.channels_change([*others, channel])

    @precondition(lambda self: self.locker is None)
    @rule(channel=st.sampled_from(CHANNELS))
    def channel_is_replaced(self, channel: str) -> None:
        self.setup.destinations[channel] = f"{self.setup.destinations[channel]}/another"
        self.setup.restart()
        self.readers.channel_is_elsewhere(channel)

    @precondition(lambda self: self.locker is None)
    @rule(database=st.sampled_from(DATABASES))
    def database_is_removed_for_a_while(self, database: str) -> None:
        for databases in (set(DATABASES) - {database}, set(DATABASES)):
            self.setup.databases = databases
            self.setup.restart()
        open_ones = {row.id for _, row in self.setup.store.incidents()}
        over = self.opened - self.closed - open_ones
        assert len(over) <= 1
        for incident in over:
            self.readers.ends_unwatched(incident)
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

    @precondition(lambda self: self.locker is None and not self.setup.in_memory())
    @rule()
    def goes_on_without_its_disk(self) -> None:
        """As a `check` does that has its state from elsewhere. What is over and told is forgotten after a day."""
        document = StateDocument.parsed(self.setup.store.state_document().text())
        self.setup.store.close()
        self.setup.path = self.setup.path.with_name(f"{self.setup.path.name}-next")
        self.setup.restart_after_a_kill(document)
        self.on_file = self.beside = 0
        for incident in self.closed - {row.id for _, row in self.setup.store.incidents(closed_too=True)}:
            self.readers.forgets(incident)

    @rule()
    def restart_after_a_kill(self) -> None:
        """It costs the checks that only memory has, and nothing else."""
        if self.setup.in_memory():
            self.since_last_decision = dict.fromkeys(DATABASES)
            self.readers.memory_is_lost()
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

    @rule(incident=st.integers(1, 6))
    def acknowledge(self, incident: int) -> None:
        is_open = incident in self.opened - self.closed
        assert self.setup.store.acknowledge_incident(incident, self.setup.now) == is_open

    @rule(channel=st.sampled_from(CHANNELS))
    def channel_is_there(self, channel: str) -> None:
        for _ in range(8):
            self.deliver(channel, result=CONFIRMED)

    @rule(channel=st.sampled_from(CHANNELS), result=st.sampled_from((CONFIRMED, UNCONFIRMED, AWAY, BUSY)))
    def deliver(self, channel: str, *, result: DeliveryResult) -> None:
        if channel not in self.setup.channels:
            return
        delivery = self.setup.store.claim(channel, self.setup.now)
        if delivery is None:
            return
        incidents = {message.notification.incident for message in delivery.messages}
        assert len(incidents) == 1 or channel not in self.setup._options["apart"]
        if result.is_sent:
            self.readers.arrives(delivery, self.setup.now)
        self.setup.store.acknowledge_delivery(delivery, result, self.setup.now, 0.5)
        self.count_checks()

    @rule(database=st.sampled_from(DATABASES), arrives=st.booleans())
    def killed_while_sending(self, database: str, *, arrives: bool) -> None:
        """On the channels that have something to send; some of it has arrived."""
        self.trouble_comes(database, is_held=False)
        for channel in self.setup.channels:
            delivery = self.setup.store.claim(channel, self.setup.now)
            if delivery is not None and arrives:
                self.readers.arrives(delivery, self.setup.now, is_noted=False)
        self.restart_after_a_kill()

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
                self.deliver(channel, result=CONFIRMED)
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


LIVES = 400 if settings.get_current_profile_name() == "fuzz" else 25
AnyOrderOfEvents.TestCase.settings = settings(max_examples=LIVES, stateful_step_count=40)
test_any_order_of_events_keeps_the_rules = AnyOrderOfEvents.TestCase
