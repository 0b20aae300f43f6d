"""When a delivery is tried again, what goes first, and what one delivery covers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.alerts.holds import Hold, HoldReason
from monitor.alerts.notification import Notification, NotificationKind, Severity, with_diagnosis
from monitor.alerts.retry_policy import (
    LEASE,
    OutboxMessage,
    is_stale,
    late_note,
    missed,
    next_delivery,
    next_to_try,
    next_try,
    pause_before_retry,
    until_held,
)
from monitor.alerts.text import compose
from monitor.checks.observation import Outcome
from monitor.diagnosis.verdicts import Diagnosis, Layer, LayerResult, LayerResults, LayerState
from tests.judging import explain

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TIMEOUT, REJECTED, FULL = Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED, Outcome.CAPACITY_FULL
OPENED, REOPENED, CHANGED, REMINDER, CLOSED = (
    NotificationKind.OPENED,
    NotificationKind.REOPENED,
    NotificationKind.CHANGED,
    NotificationKind.REMINDER,
    NotificationKind.CLOSED,
)


def notification(
    kind: NotificationKind, minute: int = 0, cause: Outcome = TIMEOUT, **more: object
) -> Notification:
    at = NOW - timedelta(hours=1) + minute * MINUTE
    facts = {"checks_failed": minute, "detail": f"seen at {minute}", **more}
    return Notification(kind=kind, created_at=at, database="main", incident=12, cause=cause, **facts)  # type: ignore[arg-type]  # any facts of a test


def waiting(*notifications: Notification) -> list[OutboxMessage]:
    return [
        OutboxMessage(id=number, channel="slack", notification=each, created_at=each.created_at)
        for number, each in enumerate(notifications, start=1)
    ]


def fresh(number: int) -> list[OutboxMessage]:
    """An incident of which nothing was tried yet."""
    return [OutboxMessage(id=number, channel="slack", notification=notification(OPENED), created_at=NOW)]


def failed(number: int, *, ago: timedelta, due_in: timedelta) -> list[OutboxMessage]:
    """An incident whose message failed a while ago and waits for its next try."""
    [message] = fresh(number)
    return [replace(message, attempts=1, tried_at=NOW - ago, due_at=NOW + due_in, last_error="503")]


def leased(number: int, *, ago: timedelta) -> list[OutboxMessage]:
    """An incident whose message was claimed a while ago and not acknowledged since."""
    [message] = fresh(number)
    return [replace(message, attempts=1, tried_at=NOW - ago, due_at=NOW - ago + LEASE)]


def chosen(*incidents: list[OutboxMessage], now: datetime = NOW) -> int | None:
    found = next_to_try(incidents, now)
    return None if found is None else found[0].id


@pytest.mark.parametrize(
    ("kinds", "sent"),
    [
        ([OPENED], OPENED),
        ([OPENED, CHANGED], OPENED),
        ([OPENED, CHANGED, REMINDER], OPENED),
        ([OPENED, CLOSED], NotificationKind.MISSED),
        ([OPENED, CHANGED, REMINDER, CLOSED], NotificationKind.MISSED),
        ([CHANGED], CHANGED),
        ([CHANGED, CHANGED], CHANGED),
        ([CHANGED, REMINDER], CHANGED),
        ([REMINDER, REMINDER], REMINDER),
        ([CHANGED, CLOSED], CLOSED),
        ([REMINDER, CLOSED], CLOSED),
        ([CLOSED], CLOSED),
        ([OPENED, CLOSED, REOPENED], OPENED),
        ([CLOSED, REOPENED], REOPENED),
        ([CLOSED, REOPENED, REMINDER], REOPENED),
        ([REOPENED, CLOSED], NotificationKind.MISSED),
        ([OPENED, CLOSED, REOPENED, CLOSED], NotificationKind.MISSED),
        ([NotificationKind.MISSED], NotificationKind.MISSED),
        ([CHANGED, NotificationKind.MISSED], NotificationKind.MISSED),
        ([NotificationKind.MISSED, REOPENED], OPENED),
        ([NotificationKind.MISSED, REOPENED, CHANGED], OPENED),
        ([NotificationKind.MISSED, REOPENED, CLOSED], NotificationKind.MISSED),
    ],
)
def test_one_message_covers_what_waits_of_an_incident(
    kinds: list[NotificationKind], sent: NotificationKind
) -> None:
    """As the most important kind: what is over as closed, or as missed if its opening was not delivered."""
    messages = waiting(*(notification(kind, minute) for minute, kind in enumerate(kinds)))
    delivery = next_delivery(messages)
    assert delivery.notification.kind is sent
    assert list(delivery.messages) == messages


@pytest.mark.parametrize(
    ("free", "held", "told"),
    [
        ([OPENED], [CHANGED], [OPENED]),
        ([OPENED], [CLOSED], []),
        ([OPENED], [CHANGED, CLOSED], []),
        ([CLOSED], [REOPENED], []),
        ([OPENED, CLOSED], [REOPENED, CHANGED], []),
        ([OPENED, CLOSED], [REOPENED, CLOSED], []),
        ([OPENED, CLOSED, REOPENED], [CHANGED], [OPENED, CLOSED, REOPENED]),
        ([], [OPENED, CHANGED], []),
        ([OPENED, CLOSED], [], [OPENED, CLOSED]),
    ],
)
def test_what_came_before_a_hold_is_told_where_that_is_still_so(
    free: list[NotificationKind], held: list[NotificationKind], told: list[NotificationKind]
) -> None:
    """Neither as wrong what is over by now, nor as over what is wrong again."""
    kinds = enumerate([*free, *held])
    each = waiting(*(notification(kind, at, until=NOW if kind is CLOSED else None) for at, kind in kinds))
    hold = Hold(reason=HoldReason.MAINTENANCE, until=NOW + MINUTE)
    each[len(free) :] = [replace(message, hold=hold) for message in each[len(free) :]]
    found = until_held(each, NOW)
    assert [message.notification.kind for message in found if not found[0].is_held(NOW)] == told
    assert next_try(found, NOW) == (None if told else NOW + MINUTE)


def test_an_open_incident_is_sent_as_it_stands_now() -> None:
    """An opening that waited for an hour has the present cause, figures and severity, and the causes before."""
    messages = waiting(
        notification(OPENED, 0, TIMEOUT, severity=Severity.WARNING),
        notification(CHANGED, 20, REJECTED, causes=(TIMEOUT, REJECTED), before=TIMEOUT),
        notification(REMINDER, 60, REJECTED, causes=(TIMEOUT, REJECTED)),
    )
    sent = next_delivery(messages).notification
    assert sent == replace(messages[-1].notification, kind=OPENED, before=TIMEOUT)
    assert (sent.cause, sent.checks_failed, sent.severity) == (REJECTED, 60, Severity.CRITICAL)


def test_what_was_slow_and_fails_now_goes_before_follow_ups() -> None:
    """Also where its cause changed once more meanwhile; where more is due than a channel takes at once."""
    slow = notification(CHANGED, 0, TIMEOUT, before=Outcome.SLOW)
    worse = waiting(slow, notification(CHANGED, 1, REJECTED, before=TIMEOUT))
    others = [waiting(notification(kind)) for kind in (CHANGED, REMINDER, CLOSED) * 2]
    assert next_to_try([*others, worse], NOW) is worse
    assert next_delivery(worse).notification.is_beginning


def test_what_was_missed_and_is_open_says_whose_move_it_is() -> None:
    """One verdict for all that is open is told as it is; of several each is looked up."""
    parts = [
        replace(notification(NotificationKind.MISSED, 1, cause, verdict=explain(cause)), incident=number)
        for number, cause in enumerate((REJECTED, REJECTED, FULL))
    ]
    over = replace(notification(NotificationKind.MISSED, 1, TIMEOUT, until=NOW), incident=9)
    waits = [waiting(notification(OPENED))]
    first = compose(missed(waits, [*parts[:2], over], NOW).notification)
    assert first.headline == "you missed this: 1 message in 1 h, 2 still open · your move"
    assert (first.verdict, len(first.steps)) == (compose(parts[0]).verdict, 3)
    second = compose(missed(waits, parts, NOW).notification)
    assert second.headline == "you missed this: 1 message in 1 h, 3 still open"
    assert (second.verdict, second.steps) == ("", ("See what is open: upstash-monitor incidents.",))


def test_a_diagnosis_says_nothing_of_what_is_over() -> None:
    """Opened and closed while it waited for the doctor: what did not pass then does so now."""
    layers = LayerResults(database="main", layers=(LayerResult(layer=Layer.TOKEN, state=LayerState.FAILED),))
    diagnosis = Diagnosis(layers=layers, verdict=explain(REJECTED))
    over = notification(CLOSED, 5, REJECTED, until=NOW)
    assert with_diagnosis(over, diagnosis) == over
    going_on = notification(OPENED, 5, REJECTED, verdict=explain(REJECTED))
    assert with_diagnosis(going_on, diagnosis).layers == "did not pass: token"


def test_pauses_double_and_end_at_five_minutes() -> None:
    """1, 2, 4 … 300 s; jitter adds a quarter at most."""
    pauses = [pause_before_retry(attempts, None, 0.0) / SECOND for attempts in range(1, 12)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert pause_before_retry(10_000, None, 1.0) == timedelta(seconds=375)


@pytest.mark.parametrize(
    ("attempts", "requested", "pause"),
    [(1, 30, 30), (10, 30, 300), (1, 7200, 7200), (1, 10**6, 86_400)],
)
def test_a_pause_that_a_channel_requests_is_kept_up_to_a_day(attempts: int, requested: int, pause: int) -> None:
    """Never earlier than it asked for, nor earlier than without a request, and never longer than a day."""
    assert pause_before_retry(attempts, timedelta(seconds=requested), 0.0) == timedelta(seconds=pause)


def test_a_message_is_stale_after_a_day() -> None:
    """Counted from when it was enqueued; then it is not sent as it is, and never given up."""
    messages = fresh(1)
    assert not is_stale(messages, NOW + timedelta(hours=24) - SECOND)
    assert is_stale(messages, NOW + timedelta(hours=24))


def test_what_is_due_is_tried_in_order() -> None:
    """The oldest incident first; what waits or is being sent is passed over."""
    assert chosen() is None
    assert chosen(fresh(1), fresh(2)) == 1
    assert chosen(leased(1, ago=SECOND), fresh(2)) == 2
    assert chosen(leased(1, ago=SECOND)) is None
    assert chosen(leased(1, ago=LEASE)) == 1
    assert chosen(failed(1, ago=MINUTE, due_in=MINUTE)) is None
    assert chosen(failed(1, ago=MINUTE, due_in=timedelta(0))) == 1


def test_the_oldest_that_failed_goes_before_new_messages() -> None:
    """So that its closing is not read after the next opening; but not when it failed a moment ago."""
    assert chosen(failed(1, ago=MINUTE, due_in=MINUTE), failed(2, ago=MINUTE, due_in=MINUTE), fresh(3)) == 1
    assert chosen(failed(1, ago=timedelta(0), due_in=MINUTE), failed(2, ago=MINUTE, due_in=MINUTE), fresh(3)) == 3


def test_after_a_failure_the_one_that_waits_longest_for_a_try_is_next() -> None:
    """It may be one message that the channel refuses: the second try is for another one."""
    just_failed = failed(1, ago=timedelta(0), due_in=MINUTE)
    due = timedelta(0)
    assert chosen(just_failed, failed(2, ago=MINUTE, due_in=due), failed(3, ago=2 * MINUTE, due_in=due)) == 3
    assert chosen(just_failed, failed(2, ago=MINUTE, due_in=due), fresh(3)) == 3


def test_a_new_message_of_an_incident_takes_along_what_waits_of_it() -> None:
    """A closing makes the opening due that still has minutes to wait, but not one that is being sent."""
    [closing] = waiting(notification(CLOSED))
    assert chosen([*failed(1, ago=MINUTE, due_in=MINUTE), closing]) == 1
    assert chosen([*leased(1, ago=SECOND), closing]) is None
    assert next_try([*failed(1, ago=MINUTE, due_in=MINUTE), closing], NOW) is None
    assert next_try([*leased(1, ago=SECOND), closing], NOW) == NOW - SECOND + LEASE
    assert next_try(failed(1, ago=MINUTE, due_in=MINUTE), NOW) == NOW + MINUTE


def test_a_clock_that_was_set_back_holds_nothing() -> None:
    """A try in the future counts as long ago, also that of a lease."""
    earlier = NOW - timedelta(hours=1)
    assert chosen(failed(1, ago=MINUTE, due_in=MINUTE), now=earlier) == 1
    assert chosen(leased(1, ago=SECOND), now=earlier) == 1


@pytest.mark.parametrize(
    ("late", "note"),
    [
        (timedelta(seconds=119), None),
        (timedelta(minutes=58, seconds=3), "This comes 58 min 3 s late: it could not be delivered before."),
        (-timedelta(hours=1), None),
    ],
)
def test_a_late_message_says_so(late: timedelta, note: str | None) -> None:
    """From two minutes on, counted from the oldest of what it covers."""
    delivery = next_delivery(waiting(notification(OPENED, 0), notification(CLOSED, 30)))
    assert late_note(delivery, NOW - timedelta(hours=1) + late) == note
