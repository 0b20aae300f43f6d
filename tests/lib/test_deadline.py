"""An end that several steps share."""

from __future__ import annotations

from datetime import timedelta

from monitor.lib.times import Deadline

MINUTE = timedelta(minutes=1)


def test_what_is_left_is_what_was_given_less_what_has_passed() -> None:
    """Time that was spent before the deadline was made counts as well."""
    left = Deadline(MINUTE, spent=timedelta(seconds=20)).left()
    assert timedelta(seconds=35) < left <= timedelta(seconds=40)


def test_a_reserve_is_at_most_a_quarter_of_the_whole() -> None:
    """So that a short time is not all kept back."""
    assert Deadline(MINUTE).left(reserve=timedelta(seconds=6)) <= timedelta(seconds=54)
    assert timedelta(seconds=40) < Deadline(MINUTE).left(reserve=MINUTE) <= timedelta(seconds=45)


def test_nothing_is_left_after_the_end_and_never_less() -> None:
    """A timeout made of it is never negative."""
    assert Deadline(MINUTE, spent=2 * MINUTE).left() == timedelta(0)
