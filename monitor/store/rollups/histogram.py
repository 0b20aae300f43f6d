"""Figures of many checks in little space: latencies as a histogram, phases as medians."""

from __future__ import annotations

import json
import math
import zlib
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from itertools import accumulate
from operator import add
from typing import Any

from monitor.checks.observation import Phases

# Each bucket ends so much above the one before; a figure in the middle of it is less than half of that off.
_FINE = 1.02
_COARSE = 1.1
# No figure is as large as the end of this bucket; content that has more was not written by us.
_MOST_BUCKETS = 4096
_PHASES = tuple(field.name for field in fields(Phases))
_log = cache(math.log)
# Made once: json.dumps and json.loads would look at their options for each row.
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_from_json = json.JSONDecoder().decode


class Buckets:
    """How many figures are about how large; a figure is a whole number of microseconds. It grows in place.

    Bucket 0 holds figures up to 1, bucket n those above growth**(n - 1) and up to growth**n.
    """

    __slots__ = ("_counts", "_first", "_growth", "_log", "count")

    def __init__(self, growth: float) -> None:
        self.count = 0
        self._growth = growth
        self._log = _log(growth)
        # The counts of neighbouring buckets, the first of them by its number; dense, so that they add up quickly.
        self._first = 0
        self._counts: list[int] = []

    def add(self, us: int) -> None:
        bucket = 0 if us <= 1 else math.ceil(math.log(us) / self._log)
        self._reach(bucket, bucket + 1)
        self._counts[bucket - self._first] += 1
        self.count += 1

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

    def to_json(self) -> dict[str, Any]:
        """The number of the first bucket, and the counts of that one and those after it."""
        return {"first": self._first, "counts": self._counts}

    def fill(self, values: Any) -> None:
        """Hold what `to_json` wrote. Raises ValueError, LookupError or TypeError for anything else."""
        first, counts = values["first"], values["counts"]
        if not 0 <= first <= first + len(counts) <= _MOST_BUCKETS or min(counts, default=0) < 0:
            raise ValueError("wanted the counts of buckets")
        self._first, self._counts, self.count = int(first), counts, int(sum(counts))

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
        return isinstance(other, Histogram) and self._to_json() == other._to_json()

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be hashed

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, sum_ms={self.sum_ms}, max_ms={self.max_ms})"

    def add(self, ms: float) -> None:
        """Count one figure; below a microsecond it counts as none."""
        us = max(0, round(ms * 1000))
        self._buckets.add(us)
        self._sum_us += us
        self._max_us = max(self._max_us, us)

    def merge(self, other: Histogram) -> None:
        """Count what the other one has counted."""
        self._buckets.merge(other._buckets)
        self._sum_us += other._sum_us
        self._max_us = max(self._max_us, other._max_us)

    def percentiles(self, shares: Iterable[float]) -> list[float]:
        """For each share (0 to 1) the smallest figure that so many are not above; there must be a figure."""
        count, most = self._buckets.count, self._max_us
        ranks = [max(1, math.ceil(share * count)) for share in shares]
        found = self._buckets.at_ranks(ranks)
        return [
            min(us, most) / 1000 if rank < count else most / 1000 for rank, us in zip(ranks, found, strict=True)
        ]

    def count_at_most(self, ms: float) -> int:
        """How many figures are not above `ms`, each of them taken as up to 1 % off.

        Never less for a larger `ms`. For one `ms` it never falls while figures are added, however large they are:
        Prometheus takes a count that falls for one that began anew, and counts all of it again.
        """
        return self._buckets.count_at_most(round(ms * 1000))

    def encode(self) -> bytes:
        """JSON, compressed by zlib: some 110 bytes for sixty checks, none when empty."""
        return _compress(self._to_json()) if self.count else b""

    @classmethod
    def decode(cls, content: bytes) -> Histogram:
        """What `encode` wrote; raises ValueError, LookupError or TypeError for anything else."""
        found = cls()
        if content:
            values = _decompress(content)
            found._buckets.fill(values)
            found._sum_us, found._max_us = int(values["sum_us"]), int(values["max_us"])
        return found

    def _to_json(self) -> dict[str, Any]:
        return {"sum_us": self._sum_us, "max_us": self._max_us, **self._buckets.to_json()}


class PhaseHistograms:
    """The phases of many checks, each at most 5 % off: enough to tell which of them became slower."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        # By the name of the phase; one that no check reached is not there.
        self._buckets: dict[str, Buckets] = {}

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
        """The buckets of each phase as JSON, compressed by zlib; nothing when none was reached."""
        values = {name: self._buckets[name].to_json() for name in _PHASES if name in self._buckets}
        return _compress(values) if values else b""

    @classmethod
    def decode(cls, content: bytes) -> PhaseHistograms:
        """What `encode` wrote; raises ValueError, LookupError or TypeError for anything else."""
        found = cls()
        if content:
            for name, values in _decompress(content).items():
                if name not in _PHASES:
                    raise ValueError("wanted the name of a phase")
                found._of(name).fill(values)
        return found

    def _of(self, name: str) -> Buckets:
        buckets = self._buckets.get(name)
        if buckets is None:
            buckets = self._buckets[name] = Buckets(_COARSE)
        return buckets


def _compress(values: dict[str, Any]) -> bytes:
    return zlib.compress(_to_json(values).encode())


def _decompress(content: bytes) -> dict[str, Any]:
    """Raises ValueError for what was damaged: zlib's checksum tells, so that numbers need no closer look."""
    try:
        text = zlib.decompress(content).decode()
    except zlib.error as error:
        raise ValueError("wanted content that zlib wrote") from error
    values = _from_json(text)
    if not isinstance(values, dict):
        raise TypeError("wanted a JSON object")
    return values
