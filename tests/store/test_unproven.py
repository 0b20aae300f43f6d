"""What opened while nothing else could be reached either: it is told right after a check that failed again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import compose, plain_text
from monitor.checks.observation import Check, Fact, Outcome
from tests.store.conftest import CONFIRMED, INTERVAL, StoreSetup, judge

OK, TIMEOUT = Outcome.OK, Outcome.CONNECTION_TIMEOUT
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="the host was not reached")
SECOND = timedelta(seconds=1)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[StoreSetup]:
    """A store whose deliveries come right after a check, as those of `run`."""
    setup = StoreSetup(tmp_path / "history.db", recheck_within=2 * SECOND)
    yield setup
    setup.store.close()


def check(setup: StoreSetup, outcome: Outcome) -> None:
    """A check that could reach nothing at all, unless it is fine."""
    setup.now += INTERVAL
    facts = frozenset({Fact.NOTHING_REACHED}) if outcome is TIMEOUT else frozenset()
    one = Check(database="main", at=setup.now, outcome=outcome, facts=facts)
    setup.store.record(one, judge(one), interval=INTERVAL)


def test_it_is_sent_right_after_a_check_that_failed_and_at_no_other_time(setup: StoreSetup) -> None:
    """A network that comes between two checks would deliver an alarm that is not true any more."""
    for _ in range(3):
        check(setup, TIMEOUT)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    setup.store.acknowledge_delivery(delivery, AWAY, setup.now, 0.0)
    setup.now += 3 * SECOND
    assert setup.store.claim("slack", setup.now) is None
    assert setup.store.next_due("slack") is None
    check(setup, TIMEOUT)
    assert setup.deliver() == ["1 opened"]


def test_a_network_that_comes_leaves_no_alarm(setup: StoreSetup) -> None:
    """The next check is fine: what is told is that it is over, and that it may have been our own network."""
    for _ in range(3):
        check(setup, TIMEOUT)
    setup.now += 30 * SECOND
    assert setup.store.claim("slack", setup.now) is None
    check(setup, OK)
    assert setup.store.claim("slack", setup.now) is None
    check(setup, OK)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    text = plain_text(compose(delivery.notification)).splitlines()
    assert text[0].startswith("🟢 main: you missed this: down ")
    assert "Nothing else could be reached from here either: it may have been our own network." in text
    setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)
    assert setup.deliver() == []


def test_once_it_is_told_the_rest_is_told_as_ever(setup: StoreSetup) -> None:
    """Its end needs no other check."""
    for _ in range(3):
        check(setup, TIMEOUT)
    assert setup.deliver() == ["1 opened"]
    check(setup, OK)
    check(setup, OK)
    setup.now += 30 * SECOND
    assert setup.deliver() == ["1 closed"]
