"""Overdue means overdue: by three intervals, for a look that never came as for one that never ends."""

from __future__ import annotations

import pytest

from monitor.engine.health import Pulse

INTERVAL, TIMEOUT = 60.0, 10.0


def pulse_of(*names: str) -> Pulse:
    pulse = Pulse()
    for name in names:
        pulse.expect(name, interval_seconds=INTERVAL, timeout_seconds=TIMEOUT, now=0.0)
    return pulse


@pytest.mark.parametrize(("now", "is_good"), [(0.0, True), (240.0, True), (240.1, False)])
def test_a_database_never_looked_at_counts_from_the_start(now: float, is_good: bool) -> None:
    """The first look is due one interval after the start at the latest, and overdue three later."""
    assert pulse_of("main").health(now).is_good is is_good


@pytest.mark.parametrize(("now", "is_good"), [(1240.0, True), (1240.1, False)])
def test_a_look_that_ended_is_good_for_four_intervals(now: float, is_good: bool) -> None:
    """One until the next is due, three of patience."""
    pulse = pulse_of("main")
    pulse.begin("main", 990.0)
    pulse.beat("main", 1000.0)
    assert pulse.health(now).is_good is is_good


@pytest.mark.parametrize(("now", "is_good"), [(1190.0, True), (1190.1, False)])
def test_a_look_under_way_may_take_its_timeout(now: float, is_good: bool) -> None:
    """A host that hangs is looked at slowly, and that is no fault of the monitor's; a look without an end is."""
    pulse = pulse_of("main")
    pulse.begin("main", 1000.0)
    assert pulse.health(now).is_good is is_good


def test_a_look_that_failed_inside_is_not_excused_by_the_next() -> None:
    """Begun again and again and never recorded: overdue all the same."""
    pulse = pulse_of("main")
    for begun in (1000.0, 1060.0, 1120.0, 1180.0):
        pulse.begin("main", begun)
    assert not pulse.health(1191.0).is_good
    pulse.beat("main", 1192.0)
    assert pulse.health(1193.0).is_good


def test_one_overdue_database_is_named() -> None:
    """The others do not hide it."""
    pulse = pulse_of("main", "cache")
    pulse.begin("main", 290.0)
    pulse.beat("main", 300.0)
    health = pulse.health(301.0)
    assert (health.overdue, health.databases, health.is_good) == (("cache",), 2, False)


def test_it_has_looked_once_a_look_was_recorded() -> None:
    """A start is not a look: the dead man's switch waits for the first."""
    pulse = pulse_of("main")
    pulse.begin("main", 1.0)
    assert not pulse.health(2.0).has_looked
    pulse.beat("main", 3.0)
    assert pulse.health(3.0).has_looked


def test_a_long_timeout_does_not_stretch_the_patience_between_looks() -> None:
    """Every second with a timeout of ten: after four seconds without any look something is wrong."""
    pulse = Pulse()
    pulse.expect("main", interval_seconds=1.0, timeout_seconds=10.0, now=0.0)
    assert not pulse.health(4.1).is_good
    pulse.begin("main", 4.2)
    assert pulse.health(14.0).is_good
