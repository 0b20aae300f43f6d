"""The present moment, and an end in time that several steps share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic


def now_utc() -> datetime:
    """The clock of the whole program; tests hand in another."""
    return datetime.now(UTC)


class Deadline:
    """`within` from now, of which `spent` has passed already. It goes by the monotonic clock."""

    def __init__(self, within: timedelta, *, spent: timedelta = timedelta(0)) -> None:
        self._end = monotonic() + (within - spent).total_seconds()
        self._within = within

    def left(self, *, reserve: timedelta = timedelta(0)) -> timedelta:
        """What is left when `reserve`, but never more than a quarter of `within`, is kept back; at least zero."""
        left = timedelta(seconds=self._end - monotonic()) - min(reserve, self._within / 4)
        return max(timedelta(0), left)
