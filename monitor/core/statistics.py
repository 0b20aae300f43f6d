"""Figures of many looks in little space: latencies as a histogram, phases as medians.

What is counted, and for which span of time, is told in `rollup`; nothing here knows looks or hours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import fields
from itertools import accumulate
from operator import add

from monitor.core.observation import Phases
from monitor.core.packing import pack_counts, read_varint, unpack_counts, write_varint

# Each bucket ends so much above the one before; a figure in the middle of it is less than half of that off.
_FINE = 1.02
_COARSE = 1.1
_PHASES = tuple(field.name for field in fields(Phases))
# No figure is as large as the end of this bucket; content that says otherwise was not written by us.
_MOST_BUCKETS = 4096


class Histogram:
    """How many figures are about how large. It grows in place: `add` and `merge` change it.

    Figures are milliseconds and held to the microsecond. Percentiles are at most 1 % off (half the growth of a
    bucket, for another `growth`); `count`, `sum_ms` and `max_ms` are exact, however often histograms are merged.
    """

    __slots__ = ("_counts", "_first", "_growth", "_log", "_max_us", "_sum_us", "count")

    def __init__(self, *, growth: float = _FINE) -> None:
        self.count = 0
        self._growth = growth
        self._log = math.log(growth)
        # The counts of neighbouring buckets, the first of them by its number; dense, so that they add up quickly.
        self._first = 0
        self._counts: list[int] = []
        self._sum_us = 0
        self._max_us = 0

    @property
    def sum_ms(self) -> float:
        return self._sum_us / 1000

    @property
    def max_ms(self) -> float:
        """The largest figure; 0 when there is none."""
        return self._max_us / 1000

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, sum_ms={self.sum_ms}, max_ms={self.max_ms})"

    def add(self, ms: float) -> None:
        """Count one figure; below a microsecond it counts as none."""
        us = max(0, round(ms * 1000))
        bucket = self._bucket(us)
        self._reach(bucket, bucket + 1)
        self._counts[bucket - self._first] += 1
        self.count += 1
        self._sum_us += us
        self._max_us = max(self._max_us, us)

    def merge(self, other: Histogram) -> None:
        """Count what the other one has counted; both must have the same growth."""
        if other._growth != self._growth:
            raise ValueError("histograms of another growth do not add up")
        if other.count:
            first, last = other._first, other._first + len(other._counts)
            self._reach(first, last)
            here = slice(first - self._first, last - self._first)
            self._counts[here] = map(add, self._counts[here], other._counts)
            self.count += other.count
            self._sum_us += other._sum_us
            self._max_us = max(self._max_us, other._max_us)

    def percentile(self, share: float) -> float | None:
        """The smallest figure that at least `share` (0 to 1) of all are not above; `None` when there is none."""
        return self.percentiles((share,))[0] if self.count else None

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """Several at once; there must be a figure."""
        below = list(accumulate(self._counts))
        found = []
        for share in shares:
            rank = max(1, math.ceil(share * self.count))
            us = float(self._max_us)
            if rank < self.count:
                us = min(us, self._middle_us(self._first + bisect_left(below, rank)))
            found.append(us / 1000)
        return found

    def count_at_most(self, ms: float) -> int:
        """How many figures are not above `ms`, each of them taken as up to 1 % off; exact from `max_ms` on."""
        us = round(ms * 1000)
        if us >= self._max_us:
            return self.count
        bucket = self._bucket(us)
        while self._middle_us(bucket) > us:
            bucket -= 1
        return sum(self._counts[: max(0, bucket + 1 - self._first)])

    def encode(self) -> bytes:
        """A few bytes that `decode` takes; about half a byte for a bucket of an hour, none when empty."""
        if not self.count:
            return b""
        figures = write_varint(self._sum_us) + write_varint(self._max_us)
        return figures + pack_counts(self._first, self._counts)

    @classmethod
    def decode(cls, content: bytes, *, growth: float = _FINE) -> Histogram:
        """What `encode` wrote; raises ValueError for anything that it never writes."""
        found = cls(growth=growth)
        if not content:
            return found
        found._sum_us, place = read_varint(content, 0)
        found._max_us, place = read_varint(content, place)
        found._first, found._counts = unpack_counts(content[place:], most=_MOST_BUCKETS)
        found.count = sum(found._counts)
        return found

    def _content(self) -> tuple[object, ...]:
        return self._growth, self._sum_us, self._max_us, self.encode()

    def _bucket(self, us: int) -> int:
        return 0 if us <= 1 else math.ceil(math.log(us) / self._log)

    def _middle_us(self, bucket: int) -> float:
        """As far from the bucket's lower end as from its upper one, by ratio."""
        return 2 * self._growth**bucket / (self._growth + 1)

    def _reach(self, first: int, last: int) -> None:
        """Hold counts for the buckets from `first` until before `last`."""
        if not self._counts:
            self._first = first
        if first < self._first:
            self._counts[:0] = [0] * (self._first - first)
            self._first = first
        missing = last - self._first - len(self._counts)
        if missing > 0:
            self._counts.extend([0] * missing)


class PhaseHistograms:
    """The phases of many looks, each at most 5 % off: enough to tell which of them became slower."""

    __slots__ = ("_histograms",)

    def __init__(self) -> None:
        # By the name of the phase, in no order; one that no look reached is not there.
        self._histograms: dict[str, Histogram] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhaseHistograms) and self._histograms == other._histograms

    __hash__ = None  # type: ignore[assignment]

    def add(self, phases: Phases) -> None:
        """Count those that were reached."""
        for name in _PHASES:
            ms = getattr(phases, name)
            if ms is not None:
                self._of(name).add(ms)

    def merge(self, other: PhaseHistograms) -> None:
        """Count what the other ones have counted."""
        for name, histogram in other._histograms.items():
            self._of(name).merge(histogram)

    def medians(self) -> Phases | None:
        """The median of each phase; `None` when nothing was counted."""
        medians = {name: histogram.percentile(0.5) for name, histogram in self._histograms.items()}
        return Phases(**medians) if medians else None

    def encode(self) -> bytes:
        """The histograms one after the other, each after its length; nothing when none was reached."""
        if not self._histograms:
            return b""
        parts = [self._histograms[name].encode() if name in self._histograms else b"" for name in _PHASES]
        return b"".join(write_varint(len(part)) + part for part in parts)

    @classmethod
    def decode(cls, content: bytes) -> PhaseHistograms:
        """What `encode` wrote; raises ValueError for anything else."""
        found = cls()
        place = 0
        for name in _PHASES if content else ():
            length, place = read_varint(content, place)
            part = content[place : place + length]
            if len(part) < length:
                raise ValueError("a histogram was cut short")
            if part:
                found._histograms[name] = Histogram.decode(part, growth=_COARSE)
            place += length
        return found

    def _of(self, name: str) -> Histogram:
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = self._histograms[name] = Histogram(growth=_COARSE)
        return histogram
