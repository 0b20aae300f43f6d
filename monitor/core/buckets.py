"""How many figures are about how large: counts in buckets that each end a fixed ratio above the one before.

What the figures are of is told in `statistics`; how counts stand in a few bytes, in `packing`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from functools import cache
from itertools import accumulate
from operator import add

from monitor.core.packing import pack_counts, unpack_counts

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

    __hash__ = None  # type: ignore[assignment]

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
