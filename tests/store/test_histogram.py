"""Histograms of latencies: percentiles within 1 %, everything else exact, and small."""

from __future__ import annotations

import json
import math
import random
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.checks.observation import Phases
from monitor.store.rollups.histogram import Histogram, PhaseHistograms
from monitor.store.rollups.model import spread

# From a microsecond to a hundred seconds, each order of magnitude as likely as any other.
FIGURES = st.floats(0, 8).map(lambda exponent: round(10**exponent) / 1000)
SHARES = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0)


def of(figures: list[float]) -> Histogram:
    histogram = Histogram()
    for figure in figures:
        histogram.add(figure)
    return histogram


def exact(figures: list[float], share: float) -> float:
    """The smallest figure that at least `share` of all are not above."""
    return sorted(figures)[max(1, math.ceil(share * len(figures))) - 1]


@given(st.lists(FIGURES, min_size=1, max_size=300))
def test_every_percentile_is_within_one_percent(figures: list[float]) -> None:
    """Of the exact one, whatever the number and the range of the figures; count, sum and maximum are exact."""
    histogram = of(figures)
    for share, found in zip(SHARES, histogram.percentiles(SHARES), strict=True):
        assert abs(found - exact(figures, share)) <= 0.01 * exact(figures, share)
    assert histogram.count == len(figures)
    assert histogram.sum_ms == pytest.approx(math.fsum(figures), abs=1e-9)
    assert histogram.max_ms == max(figures)
    assert histogram.percentiles([1.0]) == [max(figures)]


@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_the_percentiles_of_many_figures_are_as_true_as_those_of_few(sigma: float) -> None:
    """Fifty thousand checks of a host that is steady, ordinary, or wild."""
    dice = random.Random(1)
    figures = [round(dice.lognormvariate(3, sigma), 3) for _ in range(50_000)]
    found = spread(of(figures))
    assert found is not None
    for share, value in ((0.5, found.p50_ms), (0.9, found.p90_ms), (0.95, found.p95_ms), (0.99, found.p99_ms)):
        assert value == pytest.approx(exact(figures, share), rel=0.01)
    assert (found.checks, found.max_ms) == (50_000, max(figures))


@given(st.lists(st.lists(FIGURES, max_size=40), max_size=6))
def test_histograms_that_are_merged_are_the_histogram_of_all(parts: list[list[float]]) -> None:
    """In whatever portions the figures came: hours make days, days make years, nothing is lost on the way."""
    merged = Histogram()
    for part in parts:
        merged.merge(of(part))
    assert merged == of([figure for part in parts for figure in part])


@given(st.lists(st.tuples(FIGURES, st.sampled_from((1, 3, 20, 300, 70_000))), max_size=30))
@settings(max_examples=50)
def test_what_is_encoded_is_decoded_again(figures: list[tuple[float, int]]) -> None:
    """Counts of one byte and of several, far apart and side by side."""
    histogram = of([figure for figure, times in figures for _ in range(min(times, 300))])
    for _, times in figures:
        if times > 300 and histogram.count < 2**33:
            histogram.merge(Histogram.decode(histogram.encode()))
    again = Histogram.decode(histogram.encode())
    assert again == histogram
    assert (again.count, again.sum_ms, again.max_ms) == (histogram.count, histogram.sum_ms, histogram.max_ms)
    if histogram.count:
        assert again.percentiles(SHARES) == histogram.percentiles(SHARES)


def test_counts_of_any_width_survive() -> None:
    """Doubled until no four bytes hold them."""
    histogram = of([1.0, 5.0, 5.0, 5000.0])
    for doublings in range(36):
        assert Histogram.decode(histogram.encode()) == histogram
        assert histogram.count == 4 * 2**doublings
        histogram.merge(Histogram.decode(histogram.encode()))


@given(st.lists(FIGURES, min_size=1, max_size=200), FIGURES)
def test_checks_below_a_limit_are_counted_as_the_buckets_have_them(figures: list[float], limit: float) -> None:
    """Between those surely below and those surely not above."""
    count = of(figures).count_at_most(limit)
    assert sum(figure * 1.0201 <= limit for figure in figures) <= count
    assert count <= sum(figure <= limit * 1.0201 for figure in figures)


@given(st.lists(FIGURES, min_size=1, max_size=50), FIGURES)
def test_a_count_below_a_limit_never_falls_while_figures_are_added(figures: list[float], limit: float) -> None:
    """A scraper takes a count that falls for one that began anew, and counts all of it again."""
    histogram, before = Histogram(), 0
    for figure in figures:
        histogram.add(figure)
        count = histogram.count_at_most(limit)
        assert count >= before
        before = count


def test_the_counts_below_rising_limits_never_fall() -> None:
    """As a scraper expects of the buckets of a histogram."""
    dice = random.Random(2)
    histogram = of([dice.lognormvariate(2, 1) for _ in range(2000)])
    counts = [histogram.count_at_most(limit) for limit in (0.001, 0.1, 1, 2.5, 5, 10, 25, 50, 100, 1000, 1e9)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2000)


def test_nothing_counted_has_no_figures() -> None:
    """Neither a percentile nor a byte."""
    assert spread(Histogram()) is None
    assert Histogram().encode() == b""
    assert Histogram.decode(b"") == Histogram()
    assert PhaseHistograms().medians() is None
    assert PhaseHistograms().encode() == b""


def test_an_hour_of_checks_takes_less_than_two_bytes_a_check() -> None:
    """Sixty checks of an ordinary host, and a day of them."""
    dice = random.Random(3)
    assert len(of([dice.lognormvariate(3, 0.4) for _ in range(60)]).encode()) <= 120
    assert len(of([dice.lognormvariate(3, 0.4) for _ in range(1440)]).encode()) <= 240


@given(st.binary(max_size=60))
def test_any_content_is_decoded_or_refused(content: bytes) -> None:
    """A damaged file raises an error that `reading` knows, and takes neither for ever nor all memory."""
    for decode in (Histogram.decode, PhaseHistograms.decode):
        try:
            decode(content)
        except (ValueError, LookupError, TypeError):
            continue


BUCKETS_OF_ANOTHER_SHAPE: tuple[object, ...] = (
    {},
    {"first": -1, "bytes": 1, "counts": "01"},
    {"first": 0, "bytes": 1, "counts": "01-1"},
    {"first": 4096, "bytes": 1, "counts": "01"},
    {"first": 0, "bytes": 1, "counts": [1]},
    {"first": 0, "bytes": 2, "counts": "000100"},
    {"first": 0, "bytes": 3, "counts": "000001"},
    {"first": 0, "bytes": 0, "counts": "01"},
    [],
    7,
)


@pytest.mark.parametrize("buckets", BUCKETS_OF_ANOTHER_SHAPE, ids=str)
def test_json_of_another_shape_is_refused(buckets: object) -> None:
    """Written by somebody with a shell, and compressed as ours is."""
    latency = {"sum_us": 1, "max_us": 1, **buckets} if isinstance(buckets, dict) else buckets
    with pytest.raises((ValueError, LookupError, TypeError)):
        Histogram.decode(zlib.compress(json.dumps(latency).encode()))
    for phases in ({"dns": buckets}, {"another": {"first": 0, "bytes": 1, "counts": "01"}}):
        with pytest.raises((ValueError, LookupError, TypeError)):
            PhaseHistograms.decode(zlib.compress(json.dumps(phases).encode()))


def test_a_person_can_read_what_is_stored() -> None:
    """zlib over JSON: the first bucket's number and the counts from there on, each of so many bytes,
    the sum and the maximum."""
    content = of([20.0, 20.0, 21.0]).encode()
    assert json.loads(zlib.decompress(content)) == {
        "sum_us": 61000,
        "max_us": 21000,
        "first": 501,
        "bytes": 1,
        "counts": "020001",
    }


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_what_was_cut_short_or_changed_is_not_read_as_something_else(place: int, byte: int) -> None:
    """Wherever it ends, and whichever byte is another: zlib's header may name another level, and no more."""
    histogram = of([1.0, 1.01, 30.0, 31.0, 900.0])
    content = histogram.encode()
    place %= len(content)
    for harmed in (content[:place], content[:place] + bytes([byte]) + content[place + 1 :]):
        if harmed in (b"", content):
            continue
        with suppress(ValueError):
            assert Histogram.decode(harmed) == histogram


def test_phase_medians_are_within_five_percent_and_know_what_was_not_reached() -> None:
    """A phase that no check reached has no median; the others are those of the checks that reached them."""
    dice = random.Random(4)
    seen = [
        Phases(dns=dice.lognormvariate(0, 1), wait=dice.lognormvariate(3, 0.3), total=dice.lognormvariate(4, 0.3))
        for _ in range(999)
    ]
    first, second = PhaseHistograms(), PhaseHistograms()
    for number, phases in enumerate(seen):
        (first if number % 2 else second).add(phases)
    first.merge(PhaseHistograms.decode(second.encode()))
    medians = first.medians()
    assert medians is not None
    for name in ("dns", "wait", "total"):
        true = sorted(getattr(phases, name) for phases in seen)[499]
        assert getattr(medians, name) == pytest.approx(true, rel=0.05)
    assert (medians.connect, medians.tls, medians.read) == (None, None, None)
