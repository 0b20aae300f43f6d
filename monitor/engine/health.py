"""Are looks happening when they are due? Monotonic seconds are handed in; `status` serves the answer."""

from __future__ import annotations

from dataclasses import dataclass

_PATIENCE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Names of databases whose check is overdue by three intervals, and how many are watched.

    `has_looked` is true once a check has ended: a program that is restarted again and again has done nothing yet.
    """

    overdue: tuple[str, ...]
    databases: int
    has_checked: bool

    @property
    def is_good(self) -> bool:
        return not self.overdue


@dataclass(kw_only=True, slots=True)
class _Pace:
    """One database: the rhythm that is due, when the last check ended, when the one under way began."""

    interval: float
    timeout: float
    ended: float
    begun: float | None = None

    def is_overdue(self, now: float) -> bool:
        if self.begun is not None:
            return now - self.begun > self.timeout + _PATIENCE * self.interval
        return now - self.ended > (1 + _PATIENCE) * self.interval


class HealthTracker:
    """When each database was last looked at. A database never looked at counts from when it was expected."""

    def __init__(self) -> None:
        self._paces: dict[str, _Pace] = {}
        self._has_checked = False

    def expect(self, database: str, *, interval_seconds: float, timeout_seconds: float, now: float) -> None:
        """From now on a check is due every so many seconds and takes at most `timeout_seconds`."""
        self._paces[database] = _Pace(interval=interval_seconds, timeout=timeout_seconds, ended=now)

    def begin(self, database: str, now: float) -> None:
        """A check begins. One that failed inside has not ended, so the next does not excuse it."""
        finish = self._paces[database]
        if finish.begun is None:
            finish.begun = now

    def finish(self, database: str, now: float) -> None:
        """A check has ended and is recorded."""
        finish = self._paces[database]
        finish.ended, finish.begun = now, None
        self._has_checked = True

    def health(self, now: float) -> Health:
        """Which checks are overdue."""
        overdue = tuple(name for name, finish in self._paces.items() if finish.is_overdue(now))
        return Health(overdue=overdue, databases=len(self._paces), has_checked=self._has_checked)
