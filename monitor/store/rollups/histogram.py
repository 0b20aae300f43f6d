"""Figures of many checks in little space: latencies as a histogram, phases as medians.

What is counted, and for which span of time, is told in `rollup`; nothing here knows looks or hours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from itertools import accumulate
from operator import add

from monitor.checks.observation import Phases
from monitor.store.rollups.packing import pack_counts, read_varint, unpack_counts, write_varint

# No figure is as large as the end of this bucket; content that says otherwise was not written by us.
_MOST_BUCKETS = 4096
_log = cache(math.log)


class Buckets:
    """How many figures are about how large; a figure is a whole number of microseconds. It grows in place."""

    __slots__ = ("_counts", "_first", "_growth", "_log", "count")

    def __init__(self, growth: float) -> None:
        self.count = 0
        self._growth = growth
        self._log = _log(growth)
        # The counts of neighbouring buckets, the first of them by its number; dense, so that they add up quickly.
        self._first = 0
        self._counts: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Buckets) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be hashed

    def add(self, us: int) -> None:
        bucket = self._bucket(us)
        self._reach(bucket, bucket + 1)
        self._counts[bucket - self._first] += 1
        self.count += 1

    def remove(self, us: int) -> None:
        bucket = self._bucket(us) - self._first
        if not 0 <= bucket < len(self._counts) or not self._counts[bucket]:
            raise ValueError("wanted a figure that was counted")
        self._counts[bucket] -= 1
        self.count -= 1

    def merge(self, other: Buckets) -> None:
        """Count what the other ones have counted, which must grow alike."""
        if not self.count:
            self._first, self._counts, self.count = other._first, other._counts.copy(), other.count
        elif other.count:
            first, last = other._first, other._first + len(other._counts)
            self._reach(first, last)
            here = slice(first - self._first, last - self._first)
            self._counts[here] = map(add, self._counts[here], other._counts)
            self.count += other.count

    def at_ranks(self, ranks: Iterable[int]) -> list[float]:
        """The figures of these ranks, counted from 1: the middle of the bucket that each is in."""
        below = list(accumulate(self._counts))
        first, middle = self._first, self._middle
        return [middle(first + bisect_left(below, rank)) for rank in ranks]

    def count_at_most(self, us: float) -> int:
        """How many figures are in buckets whose middle is not above that."""
        last = self._first + len(self._counts)
        while last > self._first and self._middle(last - 1) > us:
            last -= 1
        return sum(self._counts[: last - self._first])

    def encode(self) -> bytes:
        """A few bytes that `fill` takes."""
        return pack_counts(self._first, self._counts)

    def fill(self, content: bytes, place: int) -> int:
        """Hold what `encode` wrote at that place; return the place after it. Raises ValueError for the rest."""
        self._first, self._counts, place = unpack_counts(content, place, most=_MOST_BUCKETS)
        self.count = sum(self._counts)
        return place

    def _bucket(self, us: int) -> int:
        return 0 if us <= 1 else math.ceil(math.log(us) / self._log)

    def _middle(self, bucket: int) -> float:
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


# Each bucket ends so much above the one before; a figure in the middle of it is less than half of that off.
_FINE = 1.02
_COARSE = 1.1
_PHASES = tuple(field.name for field in fields(Phases))


class Histogram:
    """Latencies in milliseconds, held to the microsecond. It grows in place: `add` and `merge` change it.

    Percentiles are at most 1 % off; `count`, `sum_ms` and `max_ms` are exact, however often histograms are merged.
    """

    __slots__ = ("_buckets", "_max_us", "_sum_us")

    def __init__(self) -> None:
        self._buckets = Buckets(_FINE)
        self._sum_us = 0
        self._max_us = 0

    @property
    def count(self) -> int:
        return self._buckets.count

    @property
    def sum_ms(self) -> float:
        return self._sum_us / 1000

    @property
    def max_ms(self) -> float:
        """The largest figure; 0 when there is none."""
        return self._max_us / 1000

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be hashed

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, sum_ms={self.sum_ms}, max_ms={self.max_ms})"

    def add(self, ms: float) -> None:
        """Count one figure; below a microsecond it counts as none."""
        us = max(0, round(ms * 1000))
        self._buckets.add(us)
        self._sum_us += us
        self._max_us = max(self._max_us, us)

    def remove(self, ms: float) -> None:
        """Take out a figure that was counted; `max_ms` stays. Raises ValueError for one that never was."""
        us = max(0, round(ms * 1000))
        self._buckets.remove(us)
        self._sum_us -= us

    def merge(self, other: Histogram) -> None:
        """Count what the other one has counted."""
        self._buckets.merge(other._buckets)
        self._sum_us += other._sum_us
        self._max_us = max(self._max_us, other._max_us)

    def percentile(self, share: float) -> float | None:
        """The smallest figure that at least `share` (0 to 1) of all are not above; `None` when there is none."""
        return self.percentiles((share,))[0] if self.count else None

    def percentiles(self, shares: Iterable[float]) -> list[float]:
        """Several at once; there must be a figure."""
        count, most = self._buckets.count, self._max_us
        ranks = [max(1, math.ceil(share * count)) for share in shares]
        found = self._buckets.at_ranks(ranks)
        return [
            min(us, most) / 1000 if rank < count else most / 1000 for rank, us in zip(ranks, found, strict=True)
        ]

    def count_at_most(self, ms: float) -> int:
        """How many figures are not above `ms`, each of them taken as up to 1 % off.

        For one `ms` it never falls while figures are added, however large they are.
        """
        return self._buckets.count_at_most(round(ms * 1000))

    def encode(self) -> bytes:
        """A few bytes that `decode` takes; about half a byte for a bucket of an hour, none when empty."""
        if not self.count:
            return b""
        return write_varint(self._sum_us) + write_varint(self._max_us) + self._buckets.encode()

    @classmethod
    def decode(cls, content: bytes) -> Histogram:
        """What `encode` wrote; raises ValueError for anything that it never writes."""
        found = cls()
        if content:
            found._sum_us, place = read_varint(content, 0)
            found._max_us, place = read_varint(content, place)
            found._buckets.fill(content, place)
        return found


class PhaseHistograms:
    """The phases of many checks, each at most 5 % off: enough to tell which of them became slower."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        # By the name of the phase, in no order; one that no check reached is not there.
        self._buckets: dict[str, Buckets] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhaseHistograms) and self._buckets == other._buckets

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be hashed

    def add(self, phases: Phases) -> None:
        """Count those that were reached."""
        for name in _PHASES:
            ms = getattr(phases, name)
            if ms is not None:
                self._of(name).add(round(ms * 1000))

    def merge(self, other: PhaseHistograms) -> None:
        """Count what the other ones have counted."""
        for name, buckets in other._buckets.items():
            self._of(name).merge(buckets)

    def medians(self) -> Phases | None:
        """The median of each phase; `None` when nothing was counted."""
        medians = {
            name: buckets.at_ranks([math.ceil(buckets.count / 2)])[0] / 1000
            for name, buckets in self._buckets.items()
        }
        return Phases(**medians) if medians else None

    def encode(self) -> bytes:
        """The buckets of each phase, one after the other; nothing when none was reached."""
        if not self._buckets:
            return b""
        return b"".join(self._buckets.get(name, _NO_BUCKETS).encode() for name in _PHASES)

    @classmethod
    def decode(cls, content: bytes) -> PhaseHistograms:
        """What `encode` wrote; raises ValueError for anything else."""
        found = cls()
        place = 0
        for name in _PHASES if content else ():
            buckets = Buckets(_COARSE)
            place = buckets.fill(content, place)
            if buckets.count:
                found._buckets[name] = buckets
        return found

    def _of(self, name: str) -> Buckets:
        buckets = self._buckets.get(name)
        if buckets is None:
            buckets = self._buckets[name] = Buckets(_COARSE)
        return buckets


_NO_BUCKETS = Buckets(_COARSE)
