"""Overdue means overdue: by three intervals, for a check that never came as for one that never ends."""

from __future__ import annotations

import pytest

from monitor.engine.scheduler import HealthTracker

INTERVAL, TIMEOUT = 60.0, 10.0


def tracker_of(*names: str) -> HealthTracker:
    health = HealthTracker()
    for name in names:
        health.expect(name, interval_seconds=INTERVAL, timeout_seconds=TIMEOUT, now=0.0)
    return health


@pytest.mark.parametrize(("now", "is_good"), [(0.0, True), (240.0, True), (240.1, False)])
def test_a_database_never_checked_counts_from_the_start(now: float, is_good: bool) -> None:
    """The first check is due one interval after the start at the latest, and overdue three later."""
    assert tracker_of("main").health(now).is_good is is_good


@pytest.mark.parametrize(("now", "is_good"), [(1240.0, True), (1240.1, False)])
def test_a_check_that_ended_is_good_for_four_intervals(now: float, is_good: bool) -> None:
    """One until the next is due, and three more."""
    health = tracker_of("main")
    health.begin("main", 990.0)
    health.finish("main", 1000.0)
    assert health.health(now).is_good is is_good


@pytest.mark.parametrize(("now", "is_good"), [(1190.0, True), (1190.1, False)])
def test_a_check_under_way_may_take_its_timeout(now: float, is_good: bool) -> None:
    """A host that hangs is checked slowly, and that is no fault of the monitor's; a check without an end is."""
    health = tracker_of("main")
    health.begin("main", 1000.0)
    assert health.health(now).is_good is is_good


def test_a_check_that_failed_inside_is_not_excused_by_the_next() -> None:
    """Begun again and again and never recorded: overdue all the same."""
    health = tracker_of("main")
    for begun in (1000.0, 1060.0, 1120.0, 1180.0):
        health.begin("main", begun)
    assert not health.health(1191.0).is_good
    health.finish("main", 1192.0)
    assert health.health(1193.0).is_good


def test_one_overdue_database_is_named() -> None:
    """The others do not hide it."""
    health = tracker_of("main", "cache")
    health.begin("main", 290.0)
    health.finish("main", 300.0)
    found = health.health(301.0)
    assert (found.overdue, found.databases, found.is_good) == (("cache",), 2, False)


def test_it_has_checked_once_a_check_was_recorded() -> None:
    """A start is not a check: the dead man's switch waits for the first."""
    health = tracker_of("main")
    health.begin("main", 1.0)
    assert not health.health(2.0).has_checked
    health.finish("main", 3.0)
    assert health.health(3.0).has_checked


def test_a_long_timeout_excuses_no_pause_between_checks() -> None:
    """Every second with a timeout of ten: after four seconds without any check something is wrong."""
    health = HealthTracker()
    health.expect("main", interval_seconds=1.0, timeout_seconds=10.0, now=0.0)
    assert not health.health(4.1).is_good
    health.begin("main", 4.2)
    assert health.health(14.0).is_good
