"""Durations as Prometheus writes them and as people read them, moments in UTC, the present one, deadlines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import clock_gettime, monotonic

_UNITS = {
    "y": timedelta(days=365),
    "w": timedelta(days=7),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
# The grammar as a regular expression that editors understand as well; a lone 0 is taken too.
PATTERN = "".join(f"([0-9]+{unit})?" for unit in _UNITS)
_PARTS = re.compile("".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _UNITS))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SMALLEST = _UNITS["ms"]
_LONGEST = timedelta(days=365 * 100)
_SMALLEST_STEP = timedelta(seconds=2)
_ELAPSED_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def parse_duration(text: str) -> timedelta:
    """Read `500ms`, `10s`, `5m`, `1h30m`, `7d`; units from large to small, each once. `0` needs none.

    Raises ValueError with what was wanted; the grammar is Prometheus' own.
    """
    match = _PARTS.fullmatch(text)
    if text == "0":
        return timedelta(0)
    if not text or match is None:
        raise ValueError("wanted a duration such as 500ms, 10s, 5m, 1h30m or 7d")
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    # Whole numbers, because a timedelta overflows before it could be compared.
    milliseconds = sum(int(number) * (unit // _SMALLEST) for number, unit in parts if number)
    if milliseconds > _LONGEST // _SMALLEST:
        raise ValueError("wanted a duration of at most 100y")
    return milliseconds * _SMALLEST


def write_duration(duration: timedelta) -> str:
    """Write a duration the way `parse_duration` reads it: `1h30m`."""
    rest = duration
    written = ""
    for unit, size in list(_UNITS.items())[2:]:
        count, rest = divmod(rest, size)
        if count:
            written += f"{count}{unit}"
    return written or "0s"


def format_duration(duration: timedelta) -> str:
    """A duration for people, in its two largest units: `12 min 4 s`, `3 d 2 h`; never negative."""
    seconds = max(0, round(duration.total_seconds()))
    sizes = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in sizes:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as everywhere in the contract."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_time(moment: datetime) -> str:
    """A time for people anywhere: `2026-11-23 14:02:09 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Clock:
    """The one clock of the program: UTC as it was at the start, plus the time that has passed since.

    Between two calls of `follow` it cannot jump, whatever is done to the system's clock. `system` and `elapsed`
    (seconds) are what it goes by; tests hand in others. `set_by` is the sum of what `follow` returned.
    """

    def __init__(
        self, *, system: Callable[[], datetime] | None = None, elapsed: Callable[[], float] | None = None
    ) -> None:
        self.system = system or _system_time
        self._elapsed = elapsed or _elapsed
        self._anchor = self.system() - timedelta(seconds=self._elapsed())
        self.set_by = timedelta(0)

    def __call__(self) -> datetime:
        return self._anchor + timedelta(seconds=self._elapsed())

    def follow(self) -> timedelta:
        """Go by the system's clock again; return by how much that was set since the last call.

        Zero for two seconds or less: that is how clocks are kept right slowly.
        """
        step = self.system() - self()
        self._anchor += step
        if abs(step) <= _SMALLEST_STEP:
            return timedelta(0)
        self.set_by += step
        return step


def _system_time() -> datetime:
    return datetime.now(UTC)


def _elapsed() -> float:
    """Seconds that have passed, also while the machine slept: CLOCK_BOOTTIME, which Linux has.

    Its CLOCK_MONOTONIC stands still in a sleep (clock_gettime(2)); eight hours of it would look as if the system's
    clock had been set forward, and what began before would seem to have begun eight hours later. Elsewhere
    CLOCK_MONOTONIC goes on in a sleep, as on macOS. A virtual machine that its host has stopped knows of no time
    that passed: that remains a step.
    """
    return clock_gettime(_ELAPSED_CLOCK)


now_utc = Clock()


class Deadline:
    """`within` from now, of which `spent` has passed already. It goes by the monotonic clock."""

    def __init__(self, within: timedelta, *, spent: timedelta = timedelta(0)) -> None:
        self._end = monotonic() + (within - spent).total_seconds()
        self.within = within

    def left(self, *, reserve: timedelta = timedelta(0)) -> timedelta:
        """What is left when `reserve`, but never more than a quarter of `within`, is kept back; at least zero."""
        left = timedelta(seconds=self._end - monotonic()) - min(reserve, self.within / 4)
        return max(timedelta(0), left)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970; exact, unlike a float."""
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(value: int) -> datetime:
    """The moment so many milliseconds after 1970, UTC."""
    return _EPOCH + value * _MILLISECOND


def from_iso_or_none(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def from_seconds_or_none(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def from_ms_or_none(value: int | None) -> datetime | None:
    return None if value is None else from_ms(value)
