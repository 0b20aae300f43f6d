"""Whether checks happen when they are due. Monotonic seconds are handed in."""

from __future__ import annotations

from dataclasses import dataclass

_INTERVALS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Names of databases whose check is overdue by three intervals, and how many there are in all.

    `has_checked` is true once a check has ended: a program that is restarted again and again has done nothing yet.
    """

    overdue: tuple[str, ...]
    databases: int
    has_checked: bool

    @property
    def is_good(self) -> bool:
        return not self.overdue


@dataclass(kw_only=True, slots=True)
class _Expected:
    """One database: what is due, when the last check ended, when the one under way began; monotonic seconds."""

    interval: float
    timeout: float
    ended: float
    begun: float | None = None

    def is_overdue(self, now: float) -> bool:
        if self.begun is not None:
            return now - self.begun > self.timeout + _INTERVALS * self.interval
        return now - self.ended > (1 + _INTERVALS) * self.interval


class HealthTracker:
    """When each database was last checked. One that was never checked counts from when it was expected."""

    def __init__(self) -> None:
        self._expected: dict[str, _Expected] = {}
        self._has_checked = False

    def expect(self, database: str, *, interval_seconds: float, timeout_seconds: float, now: float) -> None:
        """From now on a check is due every so many seconds and takes at most `timeout_seconds`."""
        self._expected[database] = _Expected(interval=interval_seconds, timeout=timeout_seconds, ended=now)

    def begin(self, database: str, now: float) -> None:
        """A check begins. One that failed inside has not ended, so the next does not excuse it."""
        expected = self._expected[database]
        if expected.begun is None:
            expected.begun = now

    def finish(self, database: str, now: float) -> None:
        """A check has ended and is recorded."""
        expected = self._expected[database]
        expected.ended, expected.begun = now, None
        self._has_checked = True

    def health(self, now: float) -> Health:
        """Which checks are overdue."""
        overdue = tuple(name for name, expected in self._expected.items() if expected.is_overdue(now))
        return Health(overdue=overdue, databases=len(self._expected), has_checked=self._has_checked)
