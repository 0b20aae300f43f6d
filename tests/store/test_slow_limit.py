"""The limit `slow` that a history proposes."""

from __future__ import annotations

import pytest

from monitor.store.rollups.histogram import Histogram, SlowLimit, propose_slow_limit


def latencies(*groups: tuple[int, float]) -> Histogram:
    found = Histogram()
    for number, ms in groups:
        for _ in range(number):
            found.add(ms)
    return found


@pytest.mark.parametrize(
    ("groups", "limit_ms", "slower"),
    [
        (((1000, 2.0),), 10, 0),
        (((985, 20.0), (15, 48.0)), 100, 0),
        (((985, 20.0), (12, 100.0), (3, 400.0)), 250, 3),
        (((1000, 800.0),), 2000, 0),
    ],
)
def test_it_is_about_twice_the_slowest_hundredth(
    groups: tuple[tuple[int, float], ...], limit_ms: int, slower: int
) -> None:
    """Rounded up to a figure that people write, with how many answers would have been slow."""
    assert propose_slow_limit(latencies(*groups)) == SlowLimit(limit_ms=limit_ms, slower=slower, answers=1000)


def test_a_few_answers_propose_nothing() -> None:
    """Their slowest hundredth is a matter of chance."""
    assert propose_slow_limit(latencies((999, 20.0))) is None
