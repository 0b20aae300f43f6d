"""The one clock: it goes on by itself, follows the system's when told to, and says how far that was set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.lib.times import Clock

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """A system whose clock can be set, and whose time passes."""

    def __init__(self) -> None:
        self.passed = 5000.0
        self.set_by = timedelta(0)
        self.clock = Clock(system=self.system, elapsed=lambda: self.passed)

    def system(self) -> datetime:
        return START + timedelta(seconds=self.passed - 5000.0) + self.set_by


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=2.5)])
def test_a_step_of_the_systems_clock_is_not_seen_until_it_is_followed(step: timedelta) -> None:
    """Nothing jumps by itself; then the step is told once."""
    machine = Machine()
    assert machine.clock() == START
    machine.set_by += step
    machine.passed += 10.0
    assert machine.clock() == START + 10 * SECOND
    assert machine.clock.follow() == step
    assert machine.clock() == START + 10 * SECOND + step
    assert machine.clock.follow() == timedelta(0)


def test_a_clock_that_is_kept_right_slowly_is_no_step() -> None:
    """Two seconds at a time or less: followed, and not told."""
    machine = Machine()
    for _ in range(5):
        machine.set_by += 2 * SECOND
        assert machine.clock.follow() == timedelta(0)
    assert machine.clock() == machine.system()


def test_time_that_passes_in_a_sleep_is_no_step() -> None:
    """The machine slept for eight hours: both clocks know of it."""
    machine = Machine()
    machine.passed += 8 * 3600.0
    assert machine.clock() == START + timedelta(hours=8)
    assert machine.clock.follow() == timedelta(0)


def test_the_clock_of_the_program_goes_by_the_system() -> None:
    """Aware UTC, within a moment of the system's."""
    clock = Clock()
    before, now, after = datetime.now(UTC), clock(), datetime.now(UTC)
    assert now.tzinfo is UTC
    assert before - SECOND < now < after + SECOND
