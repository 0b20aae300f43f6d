"""Where a latency and a moment stand on a chart, and which of them are written down; nothing is drawn here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_STEPS = (1, 2, 5, 10)
# Above this a few bad hours would press everything else flat on the ground.
_FLAT = 12.0
_TICKS = 5
_LEAST_MS = 0.001
_TIME_STEPS = tuple(
    timedelta(hours=hours) for hours in (1, 2, 3, 4, 6, 12, 24, 48, 96, 168, 336, 720, 1464, 2928, 8784)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyScale:
    """From `bottom_ms` on the ground to `top_ms` at the top; a logarithmic one begins above nothing."""

    bottom_ms: float
    top_ms: float
    is_logarithmic: bool
    ticks_ms: tuple[float, ...]

    def height(self, latency_ms: float) -> float:
        """From 0 on the ground to 1 at the top; what lies outside is drawn at the edge."""
        if self.is_logarithmic:
            share = math.log(max(latency_ms, self.bottom_ms) / self.bottom_ms) / math.log(
                self.top_ms / self.bottom_ms
            )
        else:
            share = latency_ms / self.top_ms
        return min(1.0, max(0.0, share))


def latency_scale(medians_ms: Sequence[float], tops_ms: Sequence[float]) -> LatencyScale:
    """A scale on which the highest fits; logarithmic when it is very far above what is usual."""
    highest = max(_LEAST_MS, max(tops_ms, default=1.0))
    usual = max(_LEAST_MS, sorted(tops_ms)[len(tops_ms) // 2]) if tops_ms else highest
    if highest > _FLAT * usual:
        lowest = max(_LEAST_MS, min(medians_ms, default=usual))
        bottom = 10.0 ** math.floor(math.log10(lowest))
        decades = math.ceil(math.log10(highest / bottom))
        return LatencyScale(
            bottom_ms=bottom,
            top_ms=bottom * 10**decades,
            is_logarithmic=True,
            ticks_ms=tuple(bottom * 10**power for power in range(decades + 1)),
        )
    step = _nice(highest / (_TICKS - 1))
    count = math.ceil(highest / step)
    return LatencyScale(
        bottom_ms=0.0,
        top_ms=step * count,
        is_logarithmic=False,
        ticks_ms=tuple(step * multiple for multiple in range(count + 1)),
    )


def _nice(rough: float) -> float:
    """The next of 1, 2 and 5 with some zeros."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.999)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeScale:
    """From `start` on the left to `end` on the right."""

    start: datetime
    end: datetime

    def across(self, moment: datetime) -> float:
        """From 0 on the left to 1 on the right."""
        return min(1.0, max(0.0, (moment - self.start) / (self.end - self.start)))

    def ticks(self, most: int) -> tuple[tuple[datetime, str], ...]:
        """At most so many moments with their words: times of day within two days, else dates; all of UTC."""
        span = self.end - self.start
        step = next((step for step in _TIME_STEPS if span / step <= most), _TIME_STEPS[-1])
        first_day = self.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        moment = first_day + -((first_day - self.start) // step) * step
        found = []
        while moment < self.end:
            found.append((moment, _say(moment, span, step)))
            moment += step
        return tuple(found[:most])


def _say(moment: datetime, span: timedelta, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return moment.strftime("%b %Y" if span > timedelta(days=400) else "%d %b").lstrip("0")
    is_midnight = moment.hour == 0 and span > timedelta(days=1)
    return moment.strftime("%d %b").lstrip("0") if is_midnight else moment.strftime("%H:%M")
