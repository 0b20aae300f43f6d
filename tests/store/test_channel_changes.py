"""Channels and databases that come, go and change between two starts, and what has waited for a day."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import compose, plain_text
from monitor.checks.observation import Outcome
from monitor.incidents.state import IncidentState
from monitor.store.tables.outbox import messages_pending
from tests.store.conftest import CONFIRMED, StoreSetup
from tests.store.disks import locked

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="503 Service Unavailable")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def restart(setup: StoreSetup, *channels: str, after: timedelta = SECOND) -> None:
    """Start again with these channels."""
    setup.now += after
    setup.channels = channels or setup.channels
    setup.logged.clear()
    setup.restart()


def sent(setup: StoreSetup, channel: str = "slack") -> list[Notification]:
    """Deliver what is due; return it."""
    found = []
    while delivery := setup.store.claim(channel, setup.now):
        found.append(delivery.notification)
        setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)
    assert setup.store.next_due(channel) is None
    return found


def text(notification: Notification) -> str:
    return plain_text(compose(notification))


def test_a_channel_that_is_added_is_told_of_each_open_incident(setup: StoreSetup) -> None:
    """Once, by one message: still open, since when, the verdict; then it hears the end as the others do."""
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver("slack") == ["1 opened"]
    restart(setup, "slack", "telegram", "pager", after=timedelta(hours=3))
    setup.checks(REJECTED)
    [told] = sent(setup, "pager")
    assert text(told).splitlines() == [
        "🔴 main: still: token rejected, for 3 h 2 min · your move",
        "The database was reached and does not accept this token.",
        "since 14:01:00 UTC, 3 checks failed",
        "nobody checked 14:02:00 to 17:03:00 UTC",
        *text(told).splitlines()[4:7],
        "incident 1 · ongoing",
    ]
    assert setup.deliver("slack") == ["1 reminder"]
    restart(setup)
    assert [setup.deliver(name) for name in ("pager", "slack")] == [[], []]
    setup.checks(OK, OK)
    assert [setup.deliver(name) for name in ("pager", "slack")] == [["1 closed"], ["1 closed"]]


def test_a_channel_that_is_added_is_told_of_nothing_that_a_check_finds_over(setup: StoreSetup) -> None:
    """Stopped for eight hours, and fine since: not `still: token rejected, for 8 h`, which nobody has seen."""
    setup.checks(REJECTED, REJECTED)
    restart(setup, "slack", "pager", after=timedelta(hours=8))
    assert (setup.deliver("pager"), setup.store.next_due("pager")) == ([], None)
    setup.checks(OK)
    assert (setup.deliver("pager"), setup.store.next_due("pager")) == ([], None)
    setup.checks(OK)
    [told] = sent(setup, "pager")
    assert text(told).startswith("🟢 main: you missed this: down 14:01 to ")


def test_a_channel_that_may_have_been_told_of_a_beginning_is_told_all_of_it(setup: StoreSetup) -> None:
    """Killed while sending, removed, and back after the end: nobody knows whether that message arrived.

    The end alone would be about nothing that the channel has.
    """
    setup.checks(REJECTED, REJECTED)
    assert setup.store.claim("slack", setup.now) is not None
    restart(setup, "telegram")
    setup.checks(OK, OK)
    restart(setup, "slack", "telegram")
    assert setup.deliver("slack") == ["1 missed"]


def test_what_ends_before_a_new_channel_could_be_told_is_one_message(setup: StoreSetup) -> None:
    """Where it stands and its end wait together: they become a missed incident."""
    setup.checks(REJECTED, REJECTED)
    restart(setup, "slack", "pager")
    setup.checks(OK, OK)
    assert setup.deliver("pager") == ["1 missed"]


def test_a_channel_with_another_destination_is_told_as_a_new_one(setup: StoreSetup) -> None:
    """Only where its messages go elsewhere: under the same address nothing is repeated."""
    setup.checks(REJECTED, REJECTED)
    setup.deliver()
    restart(setup)
    assert setup.deliver() == []
    setup.destinations["slack"] = "https://example.com/another"
    restart(setup)
    setup.checks(REJECTED)
    assert setup.deliver() == ["1 ongoing"]
    restart(setup)
    assert setup.deliver() == []


def test_a_mended_channel_gets_what_waits_and_nothing_twice(setup: StoreSetup) -> None:
    """Its address was wrong and is corrected: the opening that waits for it goes to the right one."""
    refused = DeliveryResult(status=DeliveryStatus.PERMANENT, detail="404 no_service")
    setup.checks(REJECTED, REJECTED)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    assert setup.store.acknowledge_delivery(delivery, refused, setup.now, 0.0).broke
    setup.destinations["slack"] = "https://example.com/right"
    restart(setup)
    assert setup.store.channel_states()["slack"].broken_since is None
    assert setup.deliver() == ["1 opened"]


def test_a_destination_is_remembered_without_giving_it_away(setup: StoreSetup) -> None:
    """Two bytes with a salt: neither the address nor a hash by which a guess could be confirmed is in the file."""
    setup.destinations["slack"] = "https://hooks.slack.com/services/T0/B0/secret-part"
    restart(setup)
    setup.store.close()
    assert b"secret-part" not in setup.path.read_bytes()
    rows = setup.shell("SELECT length(salt), length(fingerprint) FROM channel")
    assert rows == [(16, 2), (16, 2)]
    setup.restart_after_a_kill()


def test_what_waits_for_a_channel_that_is_removed_is_settled_and_said_once(setup: StoreSetup) -> None:
    """It is not pending any more and is not sent when the name comes back: where things stand is."""
    setup.checks(REJECTED, REJECTED)
    setup.deliver("telegram")
    assert setup.store.read(messages_pending) == 1
    restart(setup, "telegram")
    assert setup.store.read(messages_pending) == 0
    assert setup.logged == [("WARNING", "slack is not configured any more: a message for it will not be sent")]
    restart(setup, "telegram")
    assert setup.logged == []
    restart(setup, "slack", "telegram", after=3 * DAY)
    setup.checks(REJECTED)
    assert setup.deliver("slack") == ["1 ongoing"]
    assert setup.deliver("telegram") == ["1 reminder"]


def test_what_waits_for_a_channel_that_is_left_out_for_a_mistake_is_kept(setup: StoreSetup) -> None:
    """Somebody will correct it: then it gets what it missed."""
    setup.checks(REJECTED, REJECTED)
    setup.left_out = ("slack",)
    restart(setup, "telegram")
    assert setup.logged == []
    setup.checks(OK, OK)
    setup.left_out = ()
    restart(setup, "slack", "telegram")
    assert setup.deliver("slack") == ["1 missed"]


def test_a_channel_that_comes_back_is_told_the_end_of_what_it_heard_of(setup: StoreSetup) -> None:
    """Its red message would stay the last word; an incident it never heard of is over and no news."""
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver("slack") == ["1 opened"]
    restart(setup, "telegram")
    setup.checks(OK, OK, TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    restart(setup, "slack", "telegram")
    assert setup.deliver("slack") == ["1 closed"]
    restart(setup)
    assert setup.deliver("slack") == []


def test_a_renamed_channel_is_a_new_one(setup: StoreSetup) -> None:
    """The new name is told where things stand; what waited under the old one is settled."""
    setup.checks(REJECTED, REJECTED)
    restart(setup, "ops", "telegram")
    setup.checks(REJECTED)
    assert setup.deliver("ops") == ["1 ongoing"]
    assert setup.store.read(messages_pending) == 1


def test_a_database_that_is_removed_ends_its_incident_as_unwatched(setup: StoreSetup) -> None:
    """At its last check; told once, to the channels that heard of it; nothing is open any more."""
    setup.checks(REJECTED, REJECTED)
    setup.deliver("slack")
    setup.channels = ("slack", "telegram", "pager")
    setup.databases = {"renamed"}
    restart(setup, after=timedelta(hours=8))
    assert setup.store.incidents() == []
    [(name, incident)] = setup.store.incidents(closed_too=True)
    assert (name, incident.is_unwatched) == ("main", True)
    assert setup.store.state("main").incident is None
    assert not setup.store.acknowledge_incident(1, setup.now)
    [told] = sent(setup, "slack")
    assert text(told) == (
        "⚪ main: not watched any more; before: token rejected\n"
        "down 14:01:00 to 14:02:00 UTC, 2 checks failed\n"
        "It was removed from the configuration, or renamed: nobody checks whether it recovers.\n"
        "incident 1 · unwatched"
    )
    assert setup.deliver("telegram") == ["1 unwatched"]
    assert setup.deliver("pager") == []
    restart(setup)
    assert [setup.deliver(name) for name in setup.channels] == [[], [], []]
    assert setup.shell("SELECT closed_at FROM incident_log") == [("2026-11-23T14:02:00.000Z",)]


def test_a_database_that_comes_back_begins_anew(setup: StoreSetup) -> None:
    """The ended incident is over; new failures are a new one."""
    setup.checks(REJECTED, REJECTED)
    setup.databases = set()
    restart(setup)
    setup.databases = {"main"}
    restart(setup)
    assert setup.checks(OK, OK, REJECTED, REJECTED) == ["opened"]
    assert [incident.id for _, incident in setup.store.incidents()] == [2]


def test_after_a_day_one_message_says_where_an_open_incident_stands(setup: StoreSetup) -> None:
    """Not the opening of the day before yesterday; and not before a check has told how things stand."""
    setup.checks(REJECTED, REJECTED)
    restart(setup, after=2 * DAY)
    assert setup.store.claim("slack", setup.now) is None
    assert setup.store.next_due("slack") is None
    setup.check(REJECTED)
    [told] = sent(setup)
    assert text(told).splitlines()[0] == "🔴 main: you missed this: token rejected for 2 d, and still · your move"
    assert (told.kind, told.incident, told.verdict is not None) == (NotificationKind.MISSED, 1, True)
    setup.checks(OK, OK)
    assert setup.deliver() == ["1 closed"]


def test_after_a_day_what_recovers_at_the_first_checks_is_told_as_over(setup: StoreSetup) -> None:
    """A fine check holds the message until the next one has decided."""
    setup.checks(REJECTED, REJECTED)
    restart(setup, after=2 * DAY)
    setup.check(OK)
    assert setup.store.claim("slack", setup.now) is None
    setup.check(OK)
    [told] = sent(setup)
    assert told.kind is NotificationKind.MISSED
    assert text(told).startswith("🟢 main: you missed this: down 2026-11-23 14:01 to ")


def test_what_waits_for_days_never_expires_and_is_one_message(setup: StoreSetup) -> None:
    """Four days without the channel: what came and went, what is open, what the monitor said of itself."""
    for _ in range(2):
        setup.checks(REJECTED, REJECTED, OK, OK)
    full = Notification(
        kind=NotificationKind.MONITOR,
        created_at=setup.now,
        title="upstash-monitor: the disk is full",
        severity=Severity.WARNING,
    )
    setup.store.enqueue(full)
    for _ in range(3):
        setup.check(TIMEOUT, database="other")
    for _ in range(100):
        while delivery := setup.store.claim("slack", setup.now):
            setup.store.acknowledge_delivery(delivery, AWAY, setup.now, 0.0)
        setup.now += timedelta(hours=1)
    [told] = sent(setup)
    assert text(told).splitlines()[:6] == [
        "🔴 you missed this: 6 messages in 4 d 4 h, 1 still open · your move, then Upstash's",
        "The host was reached, but the answer was not there before the deadline.",
        "🔴 other: response timed out for 4 d 4 h, and still (incident 3)",
        "🟡 upstash-monitor: the disk is full",
        "🟢 main: down 2026-11-23 14:01 to 14:03 UTC (token rejected), fine again (incident 1)",
        "🟢 main: down 2026-11-23 14:05 to 14:07 UTC (token rejected), fine again (incident 2)",
    ]
    assert setup.store.read(messages_pending) == 6  # Telegram's


def test_many_incidents_that_waited_are_one_message_that_counts_them_all(setup: StoreSetup) -> None:
    """The first in words, how many more, and the numbers in the last line."""
    for _ in range(30):
        setup.checks(REJECTED, REJECTED, OK, OK)
    setup.now += 2 * DAY
    [told] = sent(setup)
    lines = text(told).splitlines()
    assert lines[0].startswith("🟢 you missed this: 60 messages in 2 d 1 h, nothing of it is open")
    assert lines[-3:] == [
        "and 23 more",
        "to see all of them: upstash-monitor incidents --all",
        "incidents 1-30 · missed",
    ]


def test_a_start_on_a_file_that_cannot_even_be_read_is_made_up_for(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file is there again, what a start does is done: the new channel is told, the old one settled."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)
    setup.check(OK, database="other")
    setup.checks(REJECTED, REJECTED)
    setup.deliver("slack")
    setup.store.close()
    with locked(setup.path, against_reading=True):
        setup.channels = ("slack", "pager")
        setup.restart_after_a_kill()
        assert setup.in_memory()
        setup.check(OK, database="other")
    assert setup.store.state("main") == IncidentState()
    setup.check(OK, database="other", after=timedelta(minutes=1))
    assert not setup.in_memory()
    setup.checks(REJECTED)
    assert "1 ongoing" in setup.deliver("pager")
    assert "1 ongoing" not in setup.deliver("slack")


def test_another_bot_in_the_same_chat_has_nothing_of_the_old_one(setup: StoreSetup) -> None:
    """Neither its wait nor its mark: Telegram's limits are a bot's own. The chat hears nothing twice."""

    def restart_with(token: str) -> None:
        setup.store.begin(
            databases=setup.databases, destinations=setup.destinations, credentials={"telegram": token}
        )

    def answer(status: DeliveryStatus, retry_after: timedelta | None = None) -> None:
        delivery = setup.store.claim("telegram", setup.now)
        assert delivery is not None
        result = DeliveryResult(status=status, detail="no", retry_after=retry_after)
        setup.store.acknowledge_delivery(delivery, result, setup.now, 0.0)

    restart_with("1:first")
    setup.checks(REJECTED, REJECTED)
    answer(DeliveryStatus.RETRY, timedelta(hours=8))
    restart_with("1:first")
    assert setup.deliver("telegram") == []
    restart_with("2:second")
    answer(DeliveryStatus.PERMANENT)
    assert setup.store.channel_states()["telegram"].trouble is not None
    restart_with("3:third")
    assert setup.store.channel_states()["telegram"].trouble is None
    assert setup.deliver("telegram") == ["1 opened"]
    restart_with("4:fourth")
    assert setup.deliver("telegram") == []
    assert setup.shell("SELECT length(credential) FROM channel WHERE name = 'telegram'") == [(2,)]


def test_another_webhook_does_not_keep_the_wait_of_the_old_one(setup: StoreSetup) -> None:
    setup.checks(REJECTED, REJECTED)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    wait = DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(hours=8))
    setup.store.acknowledge_delivery(delivery, wait, setup.now, 0.0)
    restart(setup)
    assert setup.deliver("slack") == []
    setup.destinations["slack"] = "https://example.com/another"
    restart(setup)
    assert setup.deliver("slack") == ["1 opened"]
