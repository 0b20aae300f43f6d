"""Messages that are held back: told when their time is over, as things are then, whatever happens meanwhile."""

from __future__ import annotations

from datetime import timedelta

from monitor.checks.observation import Outcome
from tests.alerts.test_explain import REST_IS_WRONG
from tests.store.conftest import StoreSetup

OK, REJECTED = Outcome.OK, Outcome.TOKEN_REJECTED
HOLD = timedelta(seconds=90)
SECOND = timedelta(seconds=1)


def test_a_held_message_survives_kills_and_is_told_when_its_time_is_over(setup: StoreSetup) -> None:
    """Not before, and not later for a restart."""
    setup.check(REJECTED)
    setup.check(REJECTED, hold=HOLD)
    until = setup.now + HOLD
    setup.now += SECOND
    setup.restart_after_a_kill()
    assert setup.deliver() == []
    assert setup.store.next_due("slack") == until
    setup.now = until
    setup.restart_after_a_kill()
    assert [setup.deliver(name) for name in setup.channels] == [["1 opened"], ["1 opened"]]


def test_what_was_slow_and_fails_now_waits_for_the_diagnosis_as_an_opening_does(setup: StoreSetup) -> None:
    """It is told with the doctor's verdict, which becomes the incident's."""
    setup.checks(*[Outcome.SLOW] * 5)
    assert setup.deliver() == ["1 opened"]
    setup.check(REJECTED, hold=timedelta(seconds=10))
    setup.check(REJECTED, hold=timedelta(seconds=10))
    assert setup.deliver() == []
    setup.store.release(1, REST_IS_WRONG)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    assert (delivery.notification.kind.value, delivery.notification.verdict) == ("changed", REST_IS_WRONG.verdict)
    assert [incident.verdict for _, incident in setup.store.incidents()] == [REST_IS_WRONG.verdict]


def test_what_is_over_while_it_is_held_is_told_as_one(setup: StoreSetup) -> None:
    """And what is told of another database meanwhile does not wait."""
    setup.check(REJECTED)
    setup.check(REJECTED, after=SECOND, hold=HOLD)
    for _ in range(2):
        setup.check(OK, after=SECOND)
        setup.check(REJECTED, database="other", after=SECOND)
    assert setup.deliver() == ["2 opened"]
    setup.now += HOLD
    assert setup.deliver() == ["1 missed"]


def test_a_clock_that_is_set_back_holds_nothing_longer(setup: StoreSetup) -> None:
    """Moved along while the program runs, and found out at the next start."""
    setup.check(REJECTED)
    setup.check(REJECTED, hold=HOLD)
    setup.now -= timedelta(days=1)
    setup.store.move_times(-timedelta(days=1))
    assert setup.store.next_due("slack") == setup.now + HOLD
    setup.now -= timedelta(days=1)
    setup.restart_after_a_kill()
    setup.now += HOLD
    assert setup.deliver() == ["1 opened"]


def test_a_held_message_does_not_count_as_stuck(setup: StoreSetup) -> None:
    """It waits for its delivery only since its time is over."""
    setup.check(REJECTED)
    setup.check(REJECTED, hold=HOLD)
    assert setup.store.waiting_since() is None
    setup.now += HOLD
    assert setup.store.waiting_since() == setup.now
