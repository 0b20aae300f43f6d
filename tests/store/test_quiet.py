"""What happens during a silence or maintenance is held, and told when that is over; nothing of it is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerts.holds import HoldReason, Silence, quiet_hold
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus, held_note
from monitor.alerts.text import compose, plain_text
from monitor.checks.observation import Outcome
from monitor.config.settings import AlertSettings, MaintenanceSettings
from monitor.store.file.document import StateDocument
from tests.judging import QUICK_RULES
from tests.store.conftest import CONFIRMED, INTERVAL, START, StoreSetup
from tests.store.readers import Readers

AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="connection refused")
OK, REJECTED = Outcome.OK, Outcome.TOKEN_REJECTED
HOUR = timedelta(hours=1)
# 15:00 to 15:30, 16:00 to 16:30, …
HALF_HOURS = MaintenanceSettings.model_validate({"cron": "0 * * * *", "for": "30m"})
OTHERS = MaintenanceSettings.model_validate({"databases": ["other"], "cron": "0 * * * *", "for": "30m"})


def silence(setup: StoreSetup, lasting: timedelta, *databases: str) -> Silence:
    return setup.store.silence(
        Silence(id=0, databases=databases, start=setup.now, end=setup.now + lasting, reason="deploy")
    )


def wait_until(setup: StoreSetup, clock: str) -> None:
    setup.now = datetime.combine(START.date(), time.fromisoformat(clock), tzinfo=UTC)


def text(setup: StoreSetup) -> str:
    """The next message to Slack, as its reader sees it."""
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)
    return plain_text(compose(delivery.notification, tuple(filter(None, [held_note(delivery)]))))


@pytest.fixture
def maintained(tmp_path: Path) -> Iterator[StoreSetup]:
    setup = StoreSetup(tmp_path / "history.db", maintenance=(HALF_HOURS,))
    wait_until(setup, "15:00")
    yield setup
    setup.store.close()


def test_what_is_still_wrong_at_the_end_is_told_then(maintained: StoreSetup) -> None:
    """As it stands by then, once a check has found it so again."""
    maintained.checks(REJECTED, REJECTED)
    assert maintained.deliver() == []
    wait_until(maintained, "15:29")
    maintained.checks(REJECTED)
    assert text(maintained).splitlines()[:1] == ["🔴 main: token rejected · your move"]
    assert maintained.deliver() == []


def test_the_message_says_that_it_was_held_back(maintained: StoreSetup) -> None:
    """And by what, so that nobody wonders why it comes now; it is not said to come late."""
    maintained.checks(REJECTED, REJECTED)
    wait_until(maintained, "15:31")
    maintained.checks(REJECTED)
    assert "Held back until 2026-11-23 15:30:00 UTC: maintenance." in text(maintained)


def test_what_came_and_went_is_listed_in_one_line(maintained: StoreSetup) -> None:
    """Of all databases in one message."""
    for name in ("main", "orders"):
        for outcome in (REJECTED, REJECTED, OK, OK):
            maintained.check(outcome, database=name)
    assert maintained.deliver() == []
    wait_until(maintained, "15:30")
    [line] = [line for line in text(maintained).splitlines() if "orders" in line]
    assert line == "main: token rejected for 2 min; orders: token rejected for 2 min"
    assert maintained.deliver() == []


def test_an_incident_from_before_is_told_as_over_when_it_is_quiet_no_more(maintained: StoreSetup) -> None:
    """Its end is no news of a window that came and went."""
    wait_until(maintained, "14:50")
    maintained.checks(REJECTED, REJECTED)
    assert maintained.deliver() == ["1 opened"]
    wait_until(maintained, "15:10")
    maintained.checks(OK, OK)
    assert maintained.deliver() == []
    wait_until(maintained, "15:30")
    assert maintained.deliver() == ["1 closed"]


def test_a_reminder_waits_and_is_told_once(tmp_path: Path) -> None:
    """Two that fell into one silence are one; without any, nothing is told again at the end."""
    setup = StoreSetup(tmp_path / "history.db")
    with closing(setup.store):
        setup.checks(REJECTED, REJECTED)
        assert setup.deliver() == ["1 opened"]
        silence(setup, 6 * HOUR)
        for _ in range(2):
            setup.check(REJECTED, after=2 * HOUR)
            setup.checks(REJECTED)
        assert setup.deliver() == []
        setup.check(REJECTED, after=2 * HOUR)
        setup.checks(REJECTED)
        assert setup.deliver() == ["1 reminder"]


def test_what_is_acknowledged_during_a_silence_is_not_reminded_after_it(tmp_path: Path) -> None:
    """Though the reminder was there before; that it is over is told."""
    setup = StoreSetup(tmp_path / "history.db")
    with closing(setup.store):
        setup.checks(REJECTED, REJECTED)
        assert setup.deliver() == ["1 opened"]
        quiet = silence(setup, 3 * HOUR)
        setup.check(REJECTED, after=2 * HOUR)
        setup.checks(REJECTED)
        assert setup.store.next_due("slack") == quiet.end
        assert setup.store.acknowledge_incident(1, setup.now)
        setup.check(REJECTED, after=HOUR)
        assert (setup.deliver(), setup.store.next_due("slack")) == ([], None)
        assert setup.checks(REJECTED, OK, OK) == ["closed"]
        assert setup.deliver() == ["1 closed"]


def test_an_incident_that_is_about_to_be_over_is_told_when_that_is_known(maintained: StoreSetup) -> None:
    """Not as still wrong by a check that was fine. Meanwhile its delivery is not stuck."""
    maintained.checks(REJECTED, REJECTED)
    wait_until(maintained, "15:30")
    maintained.checks(OK)
    assert maintained.deliver() == []
    assert maintained.store.waiting_since() is None
    maintained.checks(OK)
    assert maintained.deliver() == ["1 missed"]


def test_a_silence_is_of_those_that_it_names(setup: StoreSetup) -> None:
    """Others are told of at once, and what is about the monitor itself always is."""
    silence(setup, HOUR, "main")
    setup.checks(REJECTED, REJECTED)
    for _ in range(2):
        setup.check(REJECTED, database="orders")
    assert setup.deliver() == ["2 opened"]


def test_a_warning_about_a_database_waits_as_well(setup: StoreSetup) -> None:
    """That its month's commands are nearly used up is told, once, when the silence is over."""
    silence(setup, HOUR, "main")
    warning = Notification(
        kind=NotificationKind.WARNING,
        created_at=setup.now,
        title="80% used",
        database="main",
        severity=Severity.WARNING,
    )
    assert setup.store.enqueue_once(warning, since=START)
    assert setup.deliver() == []
    setup.now += HOUR
    assert not setup.store.enqueue_once(warning, since=START)
    assert "Held back until 2026-11-23 15:00:00 UTC: a silence." in text(setup)
    assert setup.deliver() == []


def test_a_silence_of_days_is_no_late_delivery(setup: StoreSetup) -> None:
    """What it held is told as what it is, not as missed."""
    silence(setup, timedelta(days=3))
    setup.checks(REJECTED, REJECTED)
    for _ in range(3):
        setup.check(REJECTED, after=timedelta(days=1))
    setup.checks(REJECTED)
    assert setup.deliver() == ["1 opened"]


@pytest.mark.parametrize("is_over", [True, False])
def test_what_a_channel_missed_before_is_told_in_order_and_once(maintained: StoreSetup, *, is_over: bool) -> None:
    """While it is still wrong as soon as the channel is back; as one, at the end, where it is over by then."""
    wait_until(maintained, "14:55")
    maintained.checks(REJECTED, REJECTED)
    delivery = maintained.store.claim("slack", maintained.now)
    assert delivery is not None
    maintained.store.acknowledge_delivery(delivery, AWAY, maintained.now, 0.0)
    wait_until(maintained, "15:10")
    maintained.checks(*([OK, OK] if is_over else [REJECTED]))
    assert maintained.deliver() == ([] if is_over else ["1 opened"])
    assert maintained.store.next_due("slack") == (START.replace(hour=15, minute=30) if is_over else None)
    wait_until(maintained, "15:20")
    maintained.checks(OK, OK)
    assert maintained.deliver() == []
    wait_until(maintained, "15:30")
    assert maintained.deliver() == ["1 missed" if is_over else "1 closed"]
    assert maintained.deliver() == []


def test_nobody_hears_that_it_is_over_while_it_is_wrong_again(tmp_path: Path) -> None:
    """A channel is back within the maintenance in which it opened again; at its end it hears how it stands."""
    alerts = AlertSettings.model_validate(QUICK_RULES | {"flapping": {"times": 8, "within": "20m"}})
    setup = StoreSetup(tmp_path / "history.db", alerts=alerts, maintenance=(HALF_HOURS,))
    with closing(setup.store):
        wait_until(setup, "14:55")
        setup.checks(REJECTED, REJECTED)
        assert setup.deliver("telegram") == ["1 opened"]
        setup.checks(OK, OK)
        wait_until(setup, "15:00")
        setup.checks(REJECTED, REJECTED)
        wait_until(setup, "15:10")
        assert setup.deliver("slack") == setup.deliver("telegram") == []
        wait_until(setup, "15:30")
        setup.checks(REJECTED)
        assert setup.deliver("slack") == ["1 opened"]
        assert setup.deliver("telegram") == ["1 reopened"]


def test_thousands_that_are_held_keep_nothing_else_back(setup: StoreSetup) -> None:
    """Neither what fails meanwhile, nor the end of one from what came of it before; and all of it is told."""
    quiet = silence(setup, 3 * 24 * HOUR, "staging")
    for outcome in (REJECTED, REJECTED, OK, OK):
        setup.check(outcome, database="staging")
    with closing(sqlite3.connect(setup.path)) as file, file:
        # So often it came and went.
        for number in range(100, 1120):
            file.execute(
                "INSERT INTO outbox (channel, incident_id, kind, notification, created_ms)"
                " SELECT channel, ?1, kind, json_set(notification, '$.incident', ?1), created_ms FROM outbox"
                " WHERE channel = 'slack' AND incident_id = 1",
                (number,),
            )
    setup.restart()
    setup.check(REJECTED)
    setup.check(REJECTED)
    assert setup.deliver() == ["2 opened"]
    assert setup.store.next_due("slack") == quiet.end
    setup.now = quiet.end
    told: list[Notification] = []
    while delivery := setup.store.claim("slack", setup.now):
        told += delivery.notification.includes or [delivery.notification]
        setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)
    assert {one.kind for one in told} == {NotificationKind.MISSED}
    assert sorted(one.incident or 0 for one in told) == [1, *range(100, 1120)]


def test_a_silence_that_is_ended_tells_at_once(setup: StoreSetup) -> None:
    """And no other silence is ended with it."""
    first, second = silence(setup, HOUR, "main"), silence(setup, HOUR, "orders")
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver() == []
    assert setup.store.end_silence(first.id, setup.now)
    assert not setup.store.end_silence(first.id, setup.now)
    assert not setup.store.end_silence(77, setup.now)
    assert setup.store.silences(setup.now) == [second]
    assert setup.deliver() == ["1 opened"]


def test_a_silence_that_another_process_ends_tells_at_once(setup: StoreSetup) -> None:
    """`silence --end` beside a `run`, whose maintenance it need not know."""
    added = silence(setup, HOUR)
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver() == []
    other = StoreSetup(setup.path, now=setup.now)
    with closing(other.store):
        assert other.store.end_silence(added.id, setup.now)
    assert setup.deliver() == ["1 opened"]
    with closing(StoreSetup(setup.path, now=setup.now).store) as another:
        another.silence(replace(added, start=setup.now, end=setup.now + HOUR))
    setup.checks(OK, OK)
    assert setup.deliver() == []


def test_two_that_overlap_hold_until_the_later_end(maintained: StoreSetup) -> None:
    """Maintenance until half past, a silence from within it until four, maintenance again from four."""
    maintained.checks(REJECTED, REJECTED)
    wait_until(maintained, "15:20")
    silence(maintained, timedelta(minutes=40))
    for clock, told in (("15:40", []), ("16:10", []), ("16:31", ["1 opened"])):
        wait_until(maintained, clock)
        maintained.checks(REJECTED)
        assert maintained.deliver() == told


def test_a_restart_with_other_settings_goes_by_these(maintained: StoreSetup) -> None:
    """Maintenance that was taken out of the settings holds nothing any more, and one of others never did."""
    maintained.checks(REJECTED, REJECTED)
    maintained.restart()
    assert maintained.deliver() == []
    maintained._options["maintenance"] = (OTHERS,)
    maintained.restart()
    maintained.checks(REJECTED)
    assert maintained.deliver() == ["1 opened"]


def test_a_window_that_ends_while_nobody_runs_is_over(maintained: StoreSetup) -> None:
    """What is true after the next check is told."""
    maintained.checks(REJECTED, REJECTED)
    maintained.restart_after_a_kill()
    maintained.now += timedelta(minutes=40)
    assert maintained.deliver() == []
    maintained.checks(REJECTED)
    assert maintained.deliver() == ["1 opened"]


def test_a_silence_goes_with_the_state_to_another_disk(setup: StoreSetup, tmp_path: Path) -> None:
    """A `check` without a disk holds what the run before it was asked to hold, until it is ended there."""
    added = silence(setup, HOUR, "main")
    setup.checks(REJECTED, REJECTED)
    document = StateDocument.parsed(setup.store.state_document().text())
    other = StoreSetup(tmp_path / "other.db", now=setup.now)
    with closing(other.store):
        other.store.take_up(document)
        assert other.store.silences(other.now) == [added]
        other.checks(REJECTED)
        assert other.deliver() == []
        assert other.store.end_silence(added.id, other.now)
        setup.store.take_up(StateDocument.parsed(other.store.state_document().text()))
        assert setup.store.silences(other.now) == []


def test_a_silence_survives_a_file_that_cannot_be_read(setup: StoreSetup) -> None:
    """Nobody is woken because a disk failed."""
    silence(setup, HOUR)
    setup.path.write_bytes(b"no database at all" * 999)
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver() == []
    assert [one.databases for one in setup.store.silences(setup.now)] == [()]


def test_opened_together_is_told_together_and_acknowledged_together(tmp_path: Path) -> None:
    """One message at the end for all that have one cause."""
    setup = StoreSetup(tmp_path / "history.db", group_within=timedelta(minutes=1))
    with closing(setup.store):
        silence(setup, HOUR)
        for name in ("main", "orders", "queue"):
            for _ in range(2):
                setup.check(REJECTED, database=name, after=timedelta(seconds=5))
        setup.now += HOUR
        for name in ("main", "orders", "queue"):
            setup.check(REJECTED, database=name, after=timedelta(seconds=5))
        assert "3 databases: token rejected" in text(setup)
        assert setup.deliver() == []
        assert setup.store.acknowledge_incident(2, setup.now)
        assert all(incident.acknowledged_at for _, incident in setup.store.incidents())


def test_the_reason_is_that_of_what_ends_last() -> None:
    """And nothing holds what happens before or after it."""
    [long, short] = [
        Silence(id=1, databases=(), start=START, end=START + HOUR),
        Silence(id=2, databases=("main",), start=START, end=START + HOUR / 2),
    ]
    hold = quiet_hold("main", START, [short, long], [])
    assert hold is not None
    assert (hold.reason, hold.until) == (HoldReason.SILENCED, START + HOUR)
    assert quiet_hold("main", START + HOUR, [short, long], []) is None
    assert quiet_hold("main", START - INTERVAL, [short, long], []) is None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("checks"), st.sampled_from(["main", "orders"]), st.sampled_from([OK, REJECTED])),
        st.tuples(st.just("silence"), st.sampled_from([(), ("main",), ("orders",)]), st.integers(1, 90)),
        st.tuples(st.just("end"), st.integers(1, 4), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 40), st.none()),
        st.tuples(st.just("deliver"), st.sampled_from(["slack", "telegram"]), st.none()),
        st.tuples(st.just("one run"), st.sampled_from(["main", "orders"]), st.sampled_from([OK, REJECTED])),
        st.tuples(st.just("restart"), st.booleans(), st.none()),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=15)
@given(actions=ACTIONS)
def test_no_held_message_is_lost_and_none_is_told_too_early(actions: list[tuple[str, object, object]]) -> None:
    """Through silences, maintenance, groups, restarts, kills, runs of `check`: each incident is told once."""
    with TemporaryDirectory() as folder:
        setup = StoreSetup(
            Path(folder) / "history.db", group_within=timedelta(minutes=1), maintenance=(HALF_HOURS,)
        )
        with closing(setup.store):
            _act(setup, actions)


def _act(setup: StoreSetup, actions: list[tuple[str, object, object]]) -> None:
    readers = Readers(setup.channels)

    def deliver(channel: str) -> None:
        while delivery := setup.store.claim(channel, setup.now):
            readers.arrives(delivery, setup.now)
            for message in delivery.messages:
                name = message.notification.database or ""
                hold = quiet_hold(name, message.created_at, setup.store.silences(START), [HALF_HOURS])
                assert hold is None or hold.until <= setup.now
            setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)

    def check(outcome: Outcome, name: str, after: timedelta = INTERVAL) -> None:
        readers.happens(setup.check(outcome, database=name, after=after).transition.notifications)

    for kind, first, second in actions:
        match kind, first, second:
            case "checks", str(name), Outcome() as outcome:
                # Two in a row decide: an incident opens, or is over.
                check(outcome, name)
                check(outcome, name)
            case "one run", str(name), Outcome() as outcome:
                # `check` in place of `run`: whatever is held for a group goes out, since the program ends.
                setup.restart()
                check(outcome, name)
                check(outcome, name)
                setup.store.release_groups()
                deliver("slack")
                setup.restart()
            case "silence", tuple(names), int(minutes):
                silence(setup, timedelta(minutes=minutes), *names)
            case "end", int(number), _:
                setup.store.end_silence(number, setup.now)
            case "wait", int(minutes), _:
                setup.now += timedelta(minutes=minutes)
            case "deliver", str(channel), _:
                deliver(channel)
            case "restart", bool(is_killed), _:
                setup.restart_after_a_kill() if is_killed else setup.restart()
    # Two hours later at a quarter to: no silence is left, and it is between two windows.
    setup.now += timedelta(hours=2)
    for name in ("main", "orders"):
        for _ in range(30):
            check(OK, name, after=timedelta(seconds=30))
    setup.now += timedelta(hours=2)
    for name in ("main", "orders"):
        check(OK, name)
    for channel in setup.channels:
        deliver(channel)
    assert setup.shell("SELECT count(*) FROM outbox WHERE delivered_ms IS NULL OR given_up_ms IS NOT NULL") == [
        (0,)
    ]
    readers.heard_all()
