"""A limit `slow` that the past proposes: about twice what all but one in a hundred answers stay below."""

from __future__ import annotations

import math
from dataclasses import dataclass

from monitor.store.rollups.histogram import Histogram

# Of fewer answers the slowest hundredth is a matter of chance.
_LEAST_ANSWERS = 1000
_TIMES_P99 = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowLimit:
    """The limit, and how many of so many answers would have been above it."""

    limit_ms: int
    slower: int
    answers: int


def propose(latencies: Histogram) -> SlowLimit | None:
    """The limit for these answers, rounded up; `None` where they are too few."""
    if latencies.count < _LEAST_ANSWERS:
        return None
    [p99_ms] = latencies.percentiles((0.99,))
    wanted = _TIMES_P99 * p99_ms
    step = 10 if wanted <= 100 else 50 if wanted <= 1000 else 500
    limit_ms = max(step, math.ceil(wanted / step) * step)
    slower = latencies.count - latencies.count_at_most(limit_ms)
    return SlowLimit(limit_ms=limit_ms, slower=slower, answers=latencies.count)
