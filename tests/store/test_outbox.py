"""Nothing is lost on the way to a channel: leases, retries, order, coalescing, broken channels."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from monitor.alerts.notification import NotificationKind
from monitor.alerts.retry_policy import LEASE, ChatMove, Delivery, DeliveryResult, DeliveryStatus
from monitor.checks.observation import Outcome
from monitor.store.tables.outbox import DeliveryEffect
from tests.store.conftest import Desk

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
CONFIRMED = DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="503 Service Unavailable")
REFUSED = DeliveryResult(status=DeliveryStatus.PERMANENT, detail="404 no_service")


def claim(desk: Desk, channel: str = "slack") -> Delivery:
    delivery = desk.store.claim(channel, desk.now)
    assert delivery is not None
    return delivery


def settle(desk: Desk, delivery: Delivery, result: DeliveryResult) -> DeliveryEffect:
    return desk.store.acknowledge_delivery(delivery, result, desk.now, 0.0)


def test_a_message_stays_until_it_is_confirmed(desk: Desk) -> None:
    """Claimed, it belongs to the claimer for a lease; after a kill it is due again when the lease ends."""
    desk.checks(REJECTED, REJECTED)
    claim(desk)
    assert desk.store.claim("slack", desk.now) is None
    desk.restart_after_a_kill()
    assert desk.store.claim("slack", desk.now) is None
    desk.now += LEASE
    delivery = claim(desk)
    assert delivery.messages[0].attempts == 1
    settle(desk, delivery, CONFIRMED)
    desk.now += timedelta(days=1)
    assert desk.store.claim("slack", desk.now) is None


def test_channels_know_nothing_of_each_other(desk: Desk) -> None:
    """Slack being away does not hold Telegram."""
    desk.checks(REJECTED, REJECTED)
    settle(desk, claim(desk), AWAY)
    settle(desk, claim(desk, "telegram"), CONFIRMED)
    assert desk.store.next_due("telegram") is None
    assert desk.store.next_due("slack") == desk.now + timedelta(seconds=1)


def test_pauses_double_up_to_five_minutes_for_a_day(desk: Desk) -> None:
    """1, 2, 4 … 300 s; after a day of trying the outbox message is given up and that is said."""
    desk.checks(REJECTED, REJECTED)
    pauses = []
    for _ in range(11):
        settle(desk, claim(desk), AWAY)
        due = desk.store.next_due("slack")
        assert due is not None
        pauses.append((due - desk.now) // timedelta(seconds=1))
        desk.now = due
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    desk.now += timedelta(days=1)
    assert settle(desk, claim(desk), AWAY).gave_up
    assert desk.store.next_due("slack") is None


def test_a_channel_that_asks_for_patience_gets_it(desk: Desk) -> None:
    """After a 429 nothing at all is sent on that channel before the wait is over, not even another incident."""
    desk.checks(REJECTED, REJECTED)
    settle(
        desk,
        claim(desk),
        DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=30)),
    )
    for _ in range(2):
        desk.check(REJECTED, database="other", after=timedelta(seconds=1))
    assert desk.store.claim("slack", desk.now) is None
    desk.now += timedelta(seconds=30)
    assert claim(desk).notification.database == "main"


def test_what_opened_and_closed_while_the_channel_was_away_is_one_message(desk: Desk) -> None:
    """One 'you missed this' covers all of the incident's outbox messages; the next incident is told as it
    stands.
    """
    desk.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    settle(desk, claim(desk), AWAY)
    desk.checks(TIMEOUT, REJECTED, REJECTED, OK, OK)
    desk.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    missed = claim(desk)
    assert (missed.notification.kind, len(missed.messages)) == (NotificationKind.MISSED, 3)
    assert missed.notification.since is not None
    assert missed.notification.until is not None
    settle(desk, missed, CONFIRMED)
    opened = claim(desk)
    assert (opened.notification.kind, opened.notification.incident) == (NotificationKind.OPENED, 2)


def test_the_end_waits_for_the_beginning(desk: Desk) -> None:
    """In order: a closing is not sent while the opening of the same incident is on its way."""
    desk.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    opening = claim(desk)
    desk.check(OK, after=timedelta(seconds=1))
    desk.check(OK, after=timedelta(seconds=1))
    assert desk.store.claim("slack", desk.now) is None
    settle(desk, opening, CONFIRMED)
    assert claim(desk).notification.kind is NotificationKind.CLOSED


def test_an_hour_without_slack_loses_nothing(desk: Desk) -> None:
    """Three incidents come and go, a fourth is open: three are told as missed, the fourth as opened, in order."""
    end = desk.now + timedelta(hours=1)
    for _ in range(3):
        desk.checks(TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    desk.checks(REJECTED, REJECTED)
    while desk.now < end:
        while delivery := desk.store.claim("slack", desk.now):
            settle(desk, delivery, AWAY)
        desk.now += timedelta(seconds=30)
    desk.now += timedelta(minutes=5)
    told = []
    while delivery := desk.store.claim("slack", desk.now):
        told.append((delivery.notification.incident, delivery.notification.kind.value))
        settle(desk, delivery, CONFIRMED)
    assert told == [(1, "missed"), (2, "missed"), (3, "missed"), (4, "opened")]
    assert desk.store.next_due("slack") is None


def test_a_broken_channel_is_remembered_until_it_works_again(desk: Desk) -> None:
    """The first permanent refusal breaks it, a success mends it; the outbox message is kept for whoever mends
    it.
    """
    desk.checks(REJECTED, REJECTED)
    assert settle(desk, claim(desk), REFUSED).broke
    state = desk.store.channel_states()["slack"]
    assert (state.broken_since, state.reason) == (desk.now, "404 no_service")
    desk.restart()
    delivery = claim(desk)
    assert not settle(desk, delivery, REFUSED).broke
    desk.restart()
    assert settle(desk, claim(desk), CONFIRMED).recovered
    assert desk.store.channel_states()["slack"].broken_since is None


def test_telegrams_new_chat_is_remembered(desk: Desk) -> None:
    """A migrated chat is found again after a restart."""
    desk.checks(REJECTED, REJECTED)
    move = ChatMove(old_chat_id="-1234", new_chat_id="-1001234")
    moved = DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok", move=move)
    settle(desk, claim(desk, "telegram"), moved)
    desk.restart()
    assert desk.store.channel_states()["telegram"].move == move


def test_a_clock_that_goes_back_does_not_hold_a_message(desk: Desk) -> None:
    """A retry planned for the future of a wrong clock is due at once when the clock is set right."""
    desk.checks(REJECTED, REJECTED)
    settle(
        desk,
        claim(desk),
        DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=60)),
    )
    desk.now -= timedelta(hours=1)
    assert desk.store.claim("slack", desk.now) is not None


def test_a_late_answer_does_not_undo_a_delivery(desk: Desk) -> None:
    """Two processes held the same message, as after a machine slept: whoever confirmed it first is believed."""
    desk.checks(REJECTED, REJECTED)
    slow = claim(desk)
    desk.now += LEASE
    settle(desk, claim(desk), CONFIRMED)
    settle(desk, slow, AWAY)
    assert desk.store.next_due("slack") is None
    desk.now += timedelta(days=1)
    assert desk.store.claim("slack", desk.now) is None


def test_a_start_wakes_what_waits_and_leaves_what_is_under_way(desk: Desk) -> None:
    """Whoever restarts us may have mended a channel; but another process may be sending right now."""
    desk.checks(REJECTED, REJECTED)
    desk.check(REJECTED, database="other")
    desk.check(REJECTED, database="other", after=timedelta(seconds=1))
    settle(desk, claim(desk), REFUSED)
    under_way = claim(desk)
    desk.store.retry_now()
    woken = claim(desk)
    assert woken.notification.incident != under_way.notification.incident
    assert desk.store.claim("slack", desk.now) is None


def test_two_failures_in_a_row_put_everything_off(desk: Desk) -> None:
    """One failure may be about the message; two are about the channel, and the third message is not tried."""
    for name in ("one", "two", "three"):
        desk.check(REJECTED, database=name, after=timedelta(seconds=1))
        desk.check(REJECTED, database=name, after=timedelta(seconds=1))
    settle(desk, claim(desk), AWAY)
    settle(desk, claim(desk), AWAY)
    assert desk.store.claim("slack", desk.now) is None
    assert desk.store.next_due("slack") == desk.now + timedelta(seconds=1)
    desk.now += timedelta(seconds=1)
    settle(desk, claim(desk), CONFIRMED)
    assert [settle(desk, claim(desk), CONFIRMED).recovered for _ in range(2)] == [False, False]
    assert desk.store.next_due("slack") is None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_due_can_be_claimed_and_nothing_else(desk: Desk, seed: int) -> None:
    """`next_due` and `claim` agree at every moment, or a deliverer would spin, or sleep too long."""
    dice = random.Random(seed)
    held: list[Delivery] = []
    for _ in range(120):
        desk.check(dice.choice((OK, OK, REJECTED)), database=dice.choice("abc"), after=timedelta(seconds=0))
        desk.now += timedelta(seconds=dice.choice((0, 1, 7, 60, 400)))
        due = desk.store.next_due("slack")
        delivery = desk.store.claim("slack", desk.now)
        assert (delivery is not None) == (due is not None and due <= desk.now)
        if delivery is not None:
            held.append(delivery)
        if held and dice.random() < 0.8:
            wish = DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=30))
            answer = dice.choice((CONFIRMED, AWAY, AWAY, REFUSED, wish))
            desk.store.acknowledge_delivery(held.pop(dice.randrange(len(held))), answer, desk.now, dice.random())


def test_one_success_makes_everything_due(desk: Desk) -> None:
    """The channel is there again: nobody waits out a pause that was made for its absence."""
    for name in ("one", "two"):
        desk.check(REJECTED, database=name, after=timedelta(seconds=1))
        desk.check(REJECTED, database=name, after=timedelta(seconds=1))
    settle(desk, claim(desk), AWAY)
    settle(desk, claim(desk), REFUSED)
    desk.now += timedelta(minutes=5)
    settle(desk, claim(desk), CONFIRMED)
    assert claim(desk).notification.database == "two"
