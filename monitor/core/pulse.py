"""Are looks happening when they are due? Monotonic seconds are handed in; `status` serves the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Names of databases whose look is overdue by three intervals, and how many are watched."""

    overdue: tuple[str, ...]
    databases: int

    @property
    def is_good(self) -> bool:
        return not self.overdue


class Pulse:
    """When each database was last looked at. A database never looked at counts from when it was expected."""

    _PATIENCE = 3

    def __init__(self) -> None:
        self._every: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def expect(self, database: str, every_seconds: float, now: float) -> None:
        """From now on a look is due every so many seconds; the longer of interval and timeout."""
        self._every[database] = every_seconds
        self._last.setdefault(database, now)

    def beat(self, database: str, now: float) -> None:
        """A look has ended."""
        self._last[database] = now

    def health(self, now: float) -> Health:
        """Which looks are overdue."""
        overdue = [
            name for name, every in self._every.items() if now - self._last[name] > (1 + self._PATIENCE) * every
        ]
        return Health(overdue=tuple(overdue), databases=len(self._every))
