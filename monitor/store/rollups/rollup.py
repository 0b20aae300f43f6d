"""What was recorded of one database over a span of time, summed up, and how such sums add up.

Moments and lengths are whole milliseconds, as in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitor.checks.observation import Family, Outcome
from monitor.store.rollups.histogram import Histogram, PhaseHistograms
from monitor.store.rollups.model import Slice, Spread, Uptime

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BLOCK_MS = 16 * DAY_MS
_MS, _NOTHING = timedelta(milliseconds=1), timedelta(0)


def ended_well(outcome: Outcome) -> bool:
    """True where the latency counts: it is that of an answer, be it a slow one."""
    return outcome.family in (Family.FINE, Family.SLOW)


@dataclass(kw_only=True, slots=True)
class Rollup:
    """Checks by outcome, the time known to be up and down, and the latencies of checks that ended well.

    Phases are those of days and blocks only. It grows in place.
    """

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    up_ms: int = 0
    down_ms: int = 0
    latency: Histogram = field(default_factory=Histogram)
    phases: PhaseHistograms = field(default_factory=PhaseHistograms)

    def count(self, outcome: Outcome, latency_ms: float | None) -> None:
        """One more check, without its phases."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if latency_ms is not None and ended_well(outcome):
            self.latency.add(latency_ms)

    def hold(self, outcome: Outcome, ms: int) -> None:
        """The state that a check found held for `ms`; below zero, that is taken out again."""
        if outcome.family.is_failing:
            self.down_ms += ms
        elif outcome.family is not Family.UNKNOWN:
            self.up_ms += ms

    def merge(self, other: Rollup) -> None:
        """Add all that the other one holds."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.up_ms += other.up_ms
        self.down_ms += other.down_ms
        self.latency.merge(other.latency)
        self.phases.merge(other.phases)

    def slice(self, start: datetime, end: datetime, maintenance: timedelta) -> Slice:
        """The shape that people read. What is none of these of the time from `start` to `end` is unknown."""
        up, down = self.up_ms * _MS, self.down_ms * _MS
        unknown = max(_NOTHING, end - start - up - down - maintenance)
        return Slice(
            start=start,
            end=end,
            outcomes=dict(self.outcomes),
            uptime=Uptime(up=up, down=down, unknown=unknown, maintenance=maintenance),
            latency=spread(self.latency),
        )


def spread(latencies: Histogram) -> Spread | None:
    """How they are spread; `None` when there are none."""
    if not latencies.count:
        return None
    p50, p90, p95, p99 = latencies.percentiles((0.5, 0.9, 0.95, 0.99))
    return Spread(checks=latencies.count, p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, max_ms=latencies.max_ms)


def pieces(start_ms: int, end_ms: int, length_ms: int) -> Iterator[tuple[int, int, int]]:
    """The time from `start_ms` until `end_ms`, cut at every multiple of a length.

    Each piece as the number of that hour or day since 1970, and its first and last moment.
    """
    while start_ms < end_ms:
        number = start_ms // length_ms
        stop_ms = min(end_ms, (number + 1) * length_ms)
        yield number, start_ms, stop_ms
        start_ms = stop_ms
