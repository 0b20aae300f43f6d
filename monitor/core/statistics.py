"""Figures of many looks in little space: latencies as a histogram, phases as medians.

What is counted, and for which span of time, is told in `rollup`; nothing here knows looks or hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields

from monitor.core.buckets import Buckets
from monitor.core.observation import Phases
from monitor.core.packing import read_varint, write_varint

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

    __hash__ = None  # type: ignore[assignment]

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
    """The phases of many looks, each at most 5 % off: enough to tell which of them became slower."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        # By the name of the phase, in no order; one that no look reached is not there.
        self._buckets: dict[str, Buckets] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhaseHistograms) and self._buckets == other._buckets

    __hash__ = None  # type: ignore[assignment]

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
