"""What the history must say, counted here from single checks alone, without the code under test."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from monitor.checks.observation import Check, Family, Outcome
from monitor.store.rollups.model import Slice

NOTHING = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The figures of one span."""

    outcomes: dict[Outcome, int]
    up: timedelta
    down: timedelta
    maintenance: timedelta
    latencies: list[float]


def expected(
    checks: Sequence[Check],
    start: datetime,
    end: datetime,
    *,
    gaps: Sequence[tuple[datetime, datetime]] = (),
    maintenance: Sequence[tuple[datetime, datetime]] = (),
) -> Expected:
    """Of these checks, whatever their order: a state holds until the next check, and not into a gap.

    What it holds in maintenance is apart.
    """
    ordered = sorted(checks, key=lambda check: check.at)
    first = bisect_left(ordered, start, key=lambda check: check.at)
    stop = bisect_left(ordered, end, key=lambda check: check.at)
    inside = ordered[first:stop]
    held = {True: NOTHING, False: NOTHING}
    # The state of the check before holds into the span, that of the last until the check after it.
    for check, following in pairwise(ordered[max(0, first - 1) : stop + 1]):
        if check.outcome.family is Family.UNKNOWN or any(
            begun < following.at and over > check.at for begun, over in gaps
        ):
            continue
        begins, ends = max(start, check.at), min(end, following.at)
        apart = (max(NOTHING, min(ends, over) - max(begins, begun)) for begun, over in maintenance)
        held[check.outcome.family.is_failing] += max(NOTHING, ends - begins) - sum(apart, start=NOTHING)
    return Expected(
        outcomes=dict(Counter(check.outcome for check in inside)),
        up=held[False],
        down=held[True],
        maintenance=sum(
            (max(NOTHING, min(end, over) - max(start, begun)) for begun, over in maintenance), start=NOTHING
        ),
        latencies=sorted(
            round(check.latency_ms, 3)
            for check in inside
            if check.outcome in (Outcome.OK, Outcome.SLOW) and check.latency_ms is not None
        ),
    )


def check(found: Slice, want: Expected) -> None:
    """Counts and times to the millisecond, the maximum exactly, percentiles within 1 %."""
    assert found.outcomes == want.outcomes
    uptime = found.uptime
    assert (uptime.up, uptime.down, uptime.maintenance) == (want.up, want.down, want.maintenance)
    assert uptime.known + uptime.maintenance + uptime.unknown == found.end - found.start
    if not want.latencies:
        assert found.latency is None
        return
    assert found.latency is not None
    assert (found.latency.checks, found.latency.max_ms) == (len(want.latencies), want.latencies[-1])
    for share, value in (
        (0.5, found.latency.p50_ms),
        (0.9, found.latency.p90_ms),
        (0.95, found.latency.p95_ms),
        (0.99, found.latency.p99_ms),
    ):
        exact = want.latencies[max(1, math.ceil(share * len(want.latencies))) - 1]
        assert value == pytest.approx(exact, rel=0.01)
