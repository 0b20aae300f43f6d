"""Figures of many checks in little space: latencies as a histogram, which proposes a limit, phases as medians."""

from __future__ import annotations

import json
import math
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import accumulate
from operator import add
from typing import Any, Self

from monitor.checks.observation import Phases

# How `struct` names whole numbers of so many bytes.
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
# No figure is as large as the end of this bucket; content that has more was not written by us.
_MOST_BUCKETS = 4096
_PHASES = tuple(field.name for field in fields(Phases))
# Made once: json.dumps and json.loads would look at their options for each row.
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_from_json = json.JSONDecoder().decode
# Of fewer answers the slowest hundredth is a matter of chance.
_LEAST_ANSWERS = 1000
_TIMES_P99 = 2


class Buckets:
    """How many figures are about how large; a figure is a whole number of microseconds. It grows in place.

    Bucket 0 holds figures up to 1, bucket n those above growth**(n - 1) and up to growth**n. So a figure in the
    middle of a bucket is less than half of the growth off.
    """

    __slots__ = ("_counts", "_first", "count")
    growth = 1.1
    log = math.log(growth)

    def __init__(self) -> None:
        self.count = 0
        # The counts of neighbouring buckets, the first of them by its number; dense, so that they add up quickly.
        self._first = 0
        self._counts: list[int] = []

    def add_us(self, us: int) -> None:
        bucket = 0 if us <= 1 else math.ceil(math.log(us) / self.log)
        self._reach(bucket, bucket + 1)
        self._counts[bucket - self._first] += 1
        self.count += 1

    def merge(self, other: Self) -> None:
        """Count what the other ones have counted."""
        if not self.count:
            self._first, self._counts, self.count = other._first, other._counts.copy(), other.count
        elif other.count:
            first, last = other._first, other._first + len(other._counts)
            self._reach(first, last)
            here = slice(first - self._first, last - self._first)
            self._counts[here] = map(add, self._counts[here], other._counts)
            self.count += other.count

    def median(self) -> float:
        """The middle of the bucket that holds it."""
        place = bisect_left(list(accumulate(self._counts)), math.ceil(self.count / 2))
        return self._middle(self._first + place)

    def to_json(self) -> dict[str, Any]:
        """The number of the first bucket; the counts of that one and those after it, each of so many bytes.

        They are hexadecimal digits, because a list of numbers takes three times as long to read.
        """
        most = max(self._counts, default=0)
        size = next(size for size in _CODES if most < 1 << 8 * size)
        counts = struct.pack(f">{len(self._counts)}{_CODES[size]}", *self._counts)
        return {"first": self._first, "bytes": size, "counts": counts.hex()}

    def fill(self, values: Any) -> None:
        """Hold what `to_json` gave. Raises ValueError, LookupError or TypeError for anything else."""
        first, size, content = values["first"], values["bytes"], bytes.fromhex(values["counts"])
        code, (number, rest) = _CODES[size], divmod(len(content), size)
        if rest or not 0 <= first <= first + number <= _MOST_BUCKETS:
            raise ValueError("wanted the counts of buckets")
        self._first, self._counts = int(first), [*struct.unpack(f">{number}{code}", content)]
        self.count = sum(self._counts)

    def _middle(self, bucket: int) -> float:
        """As far from the bucket's lower end as from its upper one, by ratio."""
        growth = self.growth
        return 2 * growth**bucket / (growth + 1)

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


class Histogram(Buckets):
    """Latencies in milliseconds, held to the microsecond. It grows in place: `add` and `merge` change it.

    Percentiles are at most 1 % off; `count`, `sum_ms` and `max_ms` are exact, however often histograms are merged.
    """

    __slots__ = ("_max_us", "_sum_us")
    growth = 1.02
    log = math.log(growth)

    def __init__(self) -> None:
        super().__init__()
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
        return isinstance(other, Histogram) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be hashed

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, sum_ms={self.sum_ms}, max_ms={self.max_ms})"

    def add(self, ms: float) -> None:
        """Count one figure; below a microsecond it counts as none."""
        us = max(0, round(ms * 1000))
        self.add_us(us)
        self._sum_us += us
        self._max_us = max(self._max_us, us)

    def merge(self, other: Histogram) -> None:
        """Count what the other one has counted."""
        super().merge(other)
        self._sum_us += other._sum_us
        self._max_us = max(self._max_us, other._max_us)

    def percentiles(self, shares: Iterable[float]) -> list[float]:
        """For each share (0 to 1) the smallest figure that so many are not above; there must be a figure."""
        count, most, below = self.count, self._max_us, list(accumulate(self._counts))
        found = []
        for share in shares:
            rank = math.ceil(share * count) or 1
            us = self._middle(self._first + bisect_left(below, rank)) if rank < count else most
            found.append(min(us, most) / 1000)
        return found

    def count_at_most(self, ms: float) -> int:
        """How many figures are not above `ms`, each of them taken as up to 1 % off.

        Never less for a larger `ms`. For one `ms` it never falls while figures are added, however large they are:
        Prometheus takes a count that falls for one that began anew, and counts all of it again.
        """
        us, last = round(ms * 1000), self._first + len(self._counts)
        while last > self._first and self._middle(last - 1) > us:
            last -= 1
        return sum(self._counts[: last - self._first])

    def to_json(self) -> dict[str, Any]:
        return {"sum_us": self._sum_us, "max_us": self._max_us, **super().to_json()}

    def fill(self, values: Any) -> None:
        super().fill(values)
        self._sum_us, self._max_us = int(values["sum_us"]), int(values["max_us"])

    def encode(self) -> bytes:
        """JSON, compressed by zlib: some 110 bytes for sixty checks, none when empty."""
        return _compress(self.to_json()) if self.count else b""

    @classmethod
    def decode(cls, content: bytes) -> Histogram:
        """What `encode` wrote; raises ValueError, LookupError or TypeError for anything else."""
        found = cls()
        if content:
            found.fill(_decompress(content))
        return found


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
                self._of(name).add_us(round(ms * 1000))

    def merge(self, other: PhaseHistograms) -> None:
        """Count what the other ones have counted."""
        for name, buckets in other._buckets.items():
            self._of(name).merge(buckets)

    def medians(self) -> Phases | None:
        """The median of each phase; `None` when nothing was counted."""
        medians = {name: buckets.median() / 1000 for name, buckets in self._buckets.items()}
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
            buckets = self._buckets[name] = Buckets()
        return buckets


def _compress(values: dict[str, Any]) -> bytes:
    return zlib.compress(_to_json(values).encode())


def _decompress(content: bytes) -> dict[str, Any]:
    """Raises ValueError for what was damaged: zlib's checksum tells, so that numbers need no closer look."""
    try:
        text = zlib.decompress(content)
    except zlib.error as error:
        raise ValueError("wanted content that zlib wrote") from error
    values = _from_json(text.decode())
    if not isinstance(values, dict):
        raise TypeError("wanted a JSON object")
    return values


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowLimit:
    """The limit, and how many of so many answers would have been above it."""

    limit_ms: int
    slower: int
    answers: int


def propose_slow_limit(latencies: Histogram) -> SlowLimit | None:
    """The limit for these answers, rounded up; `None` where they are too few."""
    if latencies.count < _LEAST_ANSWERS:
        return None
    [p99_ms] = latencies.percentiles((0.99,))
    wanted = _TIMES_P99 * p99_ms
    step = 10 if wanted <= 100 else 50 if wanted <= 1000 else 500
    limit_ms = max(step, math.ceil(wanted / step) * step)
    slower = latencies.count - latencies.count_at_most(limit_ms)
    return SlowLimit(limit_ms=limit_ms, slower=slower, answers=latencies.count)
