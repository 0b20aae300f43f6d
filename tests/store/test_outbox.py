"""Nothing is lost on the way to a channel: leases, retries, order, coalescing, broken channels."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from monitor.alerts.notification import NotificationKind
from monitor.alerts.retry_policy import LEASE, ChatMove, Delivery, DeliveryResult, DeliveryStatus
from monitor.checks.observation import Check, Outcome
from monitor.store.tables.deliveries import DeliveryEffect
from tests.store.conftest import INTERVAL, StoreSetup, judge

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
CONFIRMED = DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="503 Service Unavailable")
REFUSED = DeliveryResult(status=DeliveryStatus.PERMANENT, detail="404 no_service")


def claim(setup: StoreSetup, channel: str = "slack") -> Delivery:
    delivery = setup.store.claim(channel, setup.now)
    assert delivery is not None
    return delivery


def acknowledge(setup: StoreSetup, delivery: Delivery, result: DeliveryResult) -> DeliveryEffect:
    return setup.store.acknowledge_delivery(delivery, result, setup.now, 0.0)


def test_a_message_stays_until_it_is_confirmed(setup: StoreSetup) -> None:
    """Claimed, it belongs to the claimer for a lease; after a kill it is due again when the lease ends."""
    setup.checks(REJECTED, REJECTED)
    claim(setup)
    assert setup.store.claim("slack", setup.now) is None
    setup.restart_after_a_kill()
    assert setup.store.claim("slack", setup.now) is None
    setup.now += LEASE
    delivery = claim(setup)
    assert delivery.messages[0].attempts == 1
    acknowledge(setup, delivery, CONFIRMED)
    setup.now += timedelta(days=1)
    assert setup.store.claim("slack", setup.now) is None


def test_it_is_known_since_when_a_message_waits(setup: StoreSetup) -> None:
    """The oldest of all channels, until it has arrived; what is held waits from the end of the hold."""
    assert setup.store.waiting_since() is None
    setup.checks(REJECTED, REJECTED)
    since = setup.now
    setup.now += timedelta(minutes=1)
    acknowledge(setup, claim(setup, "telegram"), CONFIRMED)
    acknowledge(setup, claim(setup), AWAY)
    assert setup.store.waiting_since() == since
    setup.now += timedelta(seconds=1)
    assert (setup.deliver(), setup.store.waiting_since()) == (["1 opened"], None)
    missing = Check(database="cache", at=setup.now, outcome=Outcome.URL_MISSING, detail="")
    hold = timedelta(seconds=10)
    setup.store.record(missing, judge(missing), interval=INTERVAL, hold=hold)
    assert setup.store.waiting_since() is None
    setup.now += hold
    held_until = setup.now
    setup.now += timedelta(seconds=1)
    assert setup.store.waiting_since() == held_until


def test_a_channel_is_left_alone_for_as_long_as_it_asked(setup: StoreSetup) -> None:
    """A message that has failed often waits for minutes; after a restart it is tried when that second is over."""
    limited = DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=1))
    setup.checks(REJECTED, REJECTED)
    for _ in range(10):
        setup.now += timedelta(minutes=10)
        acknowledge(setup, claim(setup), limited)
    assert setup.store.claim("slack", setup.now) is None
    setup.now += timedelta(seconds=2)
    assert setup.store.claim("slack", setup.now) is None
    setup.restart()
    assert setup.deliver() == ["1 opened"]


def test_channels_are_independent_of_each_other(setup: StoreSetup) -> None:
    """Slack being away does not hold Telegram."""
    setup.checks(REJECTED, REJECTED)
    acknowledge(setup, claim(setup), AWAY)
    acknowledge(setup, claim(setup, "telegram"), CONFIRMED)
    assert setup.store.next_due("telegram") is None
    assert setup.store.next_due("slack") == setup.now + timedelta(seconds=1)


def test_pauses_double_up_to_five_minutes(setup: StoreSetup) -> None:
    """1, 2, 4 … 300 s, for as long as it takes."""
    setup.checks(REJECTED, REJECTED)
    pauses = []
    for _ in range(11):
        acknowledge(setup, claim(setup), AWAY)
        due = setup.store.next_due("slack")
        assert due is not None
        pauses.append((due - setup.now) // timedelta(seconds=1))
        setup.now = due
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_channel_is_retried_after_the_delay_it_asks_for(setup: StoreSetup) -> None:
    """After a 429 nothing at all is sent on that channel before the wait is over, not even another incident."""
    setup.checks(REJECTED, REJECTED)
    acknowledge(
        setup,
        claim(setup),
        DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=30)),
    )
    for _ in range(2):
        setup.check(REJECTED, database="other", after=timedelta(seconds=1))
    assert setup.store.claim("slack", setup.now) is None
    setup.now += timedelta(seconds=30)
    assert claim(setup).notification.database == "main"


def test_what_opened_and_closed_while_the_channel_was_away_is_one_message(setup: StoreSetup) -> None:
    """One 'you missed this' covers all of the incident's outbox messages; the next incident is told as it
    stands.
    """
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    acknowledge(setup, claim(setup), AWAY)
    setup.checks(TIMEOUT, REJECTED, REJECTED, OK, OK)
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    missed = claim(setup)
    assert (missed.notification.kind, len(missed.messages)) == (NotificationKind.MISSED, 3)
    assert missed.notification.since is not None
    assert missed.notification.until is not None
    acknowledge(setup, missed, CONFIRMED)
    opened = claim(setup)
    assert (opened.notification.kind, opened.notification.incident) == (NotificationKind.OPENED, 2)


def test_closed_is_not_sent_before_opened(setup: StoreSetup) -> None:
    """In order: a closing is not sent while the opening of the same incident is on its way."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    opening = claim(setup)
    setup.check(OK, after=timedelta(seconds=1))
    setup.check(OK, after=timedelta(seconds=1))
    assert setup.store.claim("slack", setup.now) is None
    acknowledge(setup, opening, CONFIRMED)
    assert claim(setup).notification.kind is NotificationKind.CLOSED


def test_an_hour_without_slack_loses_nothing(setup: StoreSetup) -> None:
    """Three incidents come and go, a fourth is open: three are told as missed, the fourth as opened, in order."""
    end = setup.now + timedelta(hours=1)
    for _ in range(3):
        setup.checks(TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    setup.checks(REJECTED, REJECTED)
    while setup.now < end:
        while delivery := setup.store.claim("slack", setup.now):
            acknowledge(setup, delivery, AWAY)
        setup.now += timedelta(seconds=30)
    setup.now += timedelta(minutes=5)
    told = []
    while delivery := setup.store.claim("slack", setup.now):
        told.append((delivery.notification.incident, delivery.notification.kind.value))
        acknowledge(setup, delivery, CONFIRMED)
    assert told == [(1, "missed"), (2, "missed"), (3, "missed"), (4, "opened")]
    assert setup.store.next_due("slack") is None


def test_a_broken_channel_is_remembered_until_it_works_again(setup: StoreSetup) -> None:
    """The first permanent refusal breaks it, a success mends it; the outbox message is kept for whoever mends
    it.
    """
    setup.checks(REJECTED, REJECTED)
    assert acknowledge(setup, claim(setup), REFUSED).broke
    state = setup.store.channel_states()["slack"]
    assert (state.broken_since, state.reason) == (setup.now, "404 no_service")
    setup.restart()
    delivery = claim(setup)
    assert not acknowledge(setup, delivery, REFUSED).broke
    setup.restart()
    assert acknowledge(setup, claim(setup), CONFIRMED).recovered
    assert setup.store.channel_states()["slack"].broken_since is None


def test_telegrams_new_chat_is_remembered(setup: StoreSetup) -> None:
    """A migrated chat is found again after a restart."""
    setup.checks(REJECTED, REJECTED)
    move = ChatMove(old_chat_id="-1234", new_chat_id="-1001234")
    moved = DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok", move=move)
    acknowledge(setup, claim(setup, "telegram"), moved)
    setup.restart()
    assert setup.store.channel_states()["telegram"].move == move


def test_a_clock_that_goes_back_does_not_hold_a_message(setup: StoreSetup) -> None:
    """A retry planned for the future of a wrong clock is due at once when the clock is set right."""
    setup.checks(REJECTED, REJECTED)
    acknowledge(
        setup,
        claim(setup),
        DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=60)),
    )
    setup.now -= timedelta(hours=1)
    assert setup.store.claim("slack", setup.now) is not None


def test_a_late_answer_does_not_undo_a_delivery(setup: StoreSetup) -> None:
    """Two processes held the same message, as after a machine slept: whoever confirmed it first is believed."""
    setup.checks(REJECTED, REJECTED)
    slow = claim(setup)
    setup.now += LEASE
    acknowledge(setup, claim(setup), CONFIRMED)
    acknowledge(setup, slow, AWAY)
    assert setup.store.next_due("slack") is None
    setup.now += timedelta(days=1)
    assert setup.store.claim("slack", setup.now) is None


def test_a_start_makes_waiting_messages_due_but_not_claimed_ones(setup: StoreSetup) -> None:
    """Whoever restarts us may have mended a channel; but another process may be sending right now."""
    setup.checks(REJECTED, REJECTED)
    setup.check(REJECTED, database="other")
    setup.check(REJECTED, database="other", after=timedelta(seconds=1))
    acknowledge(setup, claim(setup), REFUSED)
    under_way = claim(setup)
    setup.store.begin(databases=setup.databases, destinations=setup.destinations)
    woken = claim(setup)
    assert woken.notification.incident != under_way.notification.incident
    assert setup.store.claim("slack", setup.now) is None


def test_two_failures_in_a_row_put_off_the_whole_channel(setup: StoreSetup) -> None:
    """One failure may be about the message; two are about the channel, and the third message is not tried."""
    for name in ("one", "two", "three"):
        setup.check(REJECTED, database=name, after=timedelta(seconds=1))
        setup.check(REJECTED, database=name, after=timedelta(seconds=1))
    acknowledge(setup, claim(setup), AWAY)
    acknowledge(setup, claim(setup), AWAY)
    assert setup.store.claim("slack", setup.now) is None
    assert setup.store.next_due("slack") == setup.now + timedelta(seconds=1)
    setup.now += timedelta(seconds=1)
    acknowledge(setup, claim(setup), CONFIRMED)
    assert [acknowledge(setup, claim(setup), CONFIRMED).recovered for _ in range(2)] == [False, False]
    assert setup.store.next_due("slack") is None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_due_can_be_claimed_and_nothing_else(setup: StoreSetup, seed: int) -> None:
    """`next_due` and `claim` agree at every moment, or a deliverer would spin, or sleep too long."""
    dice = random.Random(seed)
    held: list[Delivery] = []
    for _ in range(120):
        setup.check(dice.choice((OK, OK, REJECTED)), database=dice.choice("abc"), after=timedelta(seconds=0))
        setup.now += timedelta(seconds=dice.choice((0, 1, 7, 60, 400)))
        due = setup.store.next_due("slack")
        delivery = setup.store.claim("slack", setup.now)
        assert (delivery is not None) == (due is not None and due <= setup.now)
        if delivery is not None:
            held.append(delivery)
        if held and dice.random() < 0.8:
            wish = DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(seconds=30))
            answer = dice.choice((CONFIRMED, AWAY, AWAY, REFUSED, wish))
            setup.store.acknowledge_delivery(held.pop(dice.randrange(len(held))), answer, setup.now, dice.random())


def test_one_success_makes_everything_due(setup: StoreSetup) -> None:
    """The channel is there again: nobody waits out a pause that was made for its absence."""
    for name in ("one", "two"):
        setup.check(REJECTED, database=name, after=timedelta(seconds=1))
        setup.check(REJECTED, database=name, after=timedelta(seconds=1))
    acknowledge(setup, claim(setup), AWAY)
    acknowledge(setup, claim(setup), REFUSED)
    setup.now += timedelta(minutes=5)
    acknowledge(setup, claim(setup), CONFIRMED)
    assert claim(setup).notification.database == "two"
