"""Are looks happening when they are due? Monotonic seconds are handed in; `status` serves the answer."""

from __future__ import annotations

from dataclasses import dataclass

_PATIENCE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Names of databases whose look is overdue by three intervals, and how many are watched.

    `has_looked` is true once a look has ended: a program that is restarted again and again has done nothing yet.
    """

    overdue: tuple[str, ...]
    databases: int
    has_looked: bool

    @property
    def is_good(self) -> bool:
        return not self.overdue


@dataclass(kw_only=True, slots=True)
class _Beat:
    """One database: the rhythm that is due, when the last look ended, when the one under way began."""

    interval: float
    timeout: float
    ended: float
    begun: float | None = None

    def is_overdue(self, now: float) -> bool:
        if self.begun is not None:
            return now - self.begun > self.timeout + _PATIENCE * self.interval
        return now - self.ended > (1 + _PATIENCE) * self.interval


class Pulse:
    """When each database was last looked at. A database never looked at counts from when it was expected."""

    def __init__(self) -> None:
        self._beats: dict[str, _Beat] = {}
        self._has_looked = False

    def expect(self, database: str, *, interval_seconds: float, timeout_seconds: float, now: float) -> None:
        """From now on a look is due every so many seconds and takes at most `timeout_seconds`."""
        self._beats[database] = _Beat(interval=interval_seconds, timeout=timeout_seconds, ended=now)

    def begin(self, database: str, now: float) -> None:
        """A look begins. One that failed inside has not ended, so the next does not excuse it."""
        beat = self._beats[database]
        if beat.begun is None:
            beat.begun = now

    def beat(self, database: str, now: float) -> None:
        """A look has ended and is recorded."""
        beat = self._beats[database]
        beat.ended, beat.begun = now, None
        self._has_looked = True

    def health(self, now: float) -> Health:
        """Which looks are overdue."""
        overdue = tuple(name for name, beat in self._beats.items() if beat.is_overdue(now))
        return Health(overdue=overdue, databases=len(self._beats), has_looked=self._has_looked)
