"""What was seen of a database over any span of time: sums of whole hours and days, single looks at the edges.

Runs in a transaction of its caller's and changes nothing. How sums are kept up to date is told in `looks`.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from monitor.core.history import Grain, Slice
from monitor.core.rollup import DAY_MS, HOUR_MS, Rollup, pieces
from monitor.store.ledger import RowGrain, read_rollup
from monitor.store.look_rows import EVER_MS, look_from
from monitor.store.marks import read_horizon, summed_until
from monitor.store.rows import from_ms
from monitor.store.stretches import stretches, sum_of

_LENGTH_MS = {Grain.HOUR: HOUR_MS, Grain.DAY: DAY_MS}
_ROW_GRAIN = {Grain.HOUR: RowGrain.HOUR, Grain.DAY: RowGrain.DAY}


class Sums:
    """What was seen of a database from `start_ms` until before `end_ms`, in slices of a grain.

    Where single looks were deleted, a span that begins or ends within an hour is read as if it were the whole
    hour: `start_ms` and `end_ms` are then moved apart.
    """

    def __init__(
        self, connection: sqlite3.Connection, database: int, *, start_ms: int, end_ms: int, grain: Grain
    ) -> None:
        self._connection = connection
        self._database = database
        self._length_ms = _LENGTH_MS[grain]
        horizon_ms = read_horizon(connection).looks_ms
        self.start_ms = _floor(start_ms, HOUR_MS) if start_ms < horizon_ms else start_ms
        self.end_ms = _ceiling(end_ms, HOUR_MS) if _floor(end_ms, HOUR_MS) < horizon_ms else end_ms
        self._edges = list(pieces(self.start_ms, self.end_ms, self._length_ms))
        self._first = self._edges[0][0] if self._edges else 0
        self._parts: list[list[Rollup]] = [[] for _ in self._edges]
        self._read(grain)

    def slices(self) -> tuple[Slice, ...]:
        """One after the other, without a hole."""
        return tuple(
            _sum(parts).slice(from_ms(start), from_ms(end))
            for (_, start, end), parts in zip(self._edges, self._parts, strict=True)
        )

    def whole(self) -> Slice:
        """All of it."""
        whole = _sum([part for parts in self._parts for part in parts])
        return whole.slice(from_ms(self.start_ms), from_ms(self.end_ms))

    def _read(self, grain: Grain) -> None:
        first = _ceiling(self.start_ms, HOUR_MS)
        last = _floor(self.end_ms, HOUR_MS)
        is_over = look_from(self._connection, self._database, self.end_ms) is None
        if first > last:
            self._add_looks(self.start_ms, self.end_ms)
            return
        self._add_looks(self.start_ms, first)
        if is_over:
            # Nothing was seen later, so that the last hour's sums have nothing that does not belong here.
            tail_end, last = self.end_ms, _ceiling(self.end_ms, HOUR_MS)
        else:
            tail_end = last
            self._add_looks(last, self.end_ms)
        self._add_rows(grain, first, last)
        self._add_tail(max(first, self._summed_until()), tail_end)

    def _summed_until(self) -> int:
        until_ms = summed_until(self._connection, self._database)
        return -EVER_MS if until_ms is None else until_ms

    def _add_looks(self, start_ms: int, end_ms: int) -> None:
        if start_ms < end_ms:
            self._parts_at(start_ms).append(sum_of(self._connection, self._database, start_ms, end_ms))

    def _add_rows(self, grain: Grain, first_ms: int, last_ms: int) -> None:
        """Whole hours, or whole days and the hours before and after them."""
        first, last = _ceiling(first_ms, self._length_ms), _floor(last_ms, self._length_ms)
        if first > last or grain is Grain.HOUR:
            spans = [(Grain.HOUR, first_ms, last_ms)]
        else:
            spans = [(Grain.HOUR, first_ms, first), (grain, first, last), (Grain.HOUR, last, last_ms)]
        for each, start_ms, end_ms in spans:
            length_ms = _LENGTH_MS[each]
            slots = {"first": start_ms // length_ms, "last": end_ms // length_ms - 1}
            for slot, rollup in read_rollups(self._connection, self._database, _ROW_GRAIN[each], **slots):
                self._parts_at(slot * length_ms).append(rollup)

    def _add_tail(self, start_ms: int, end_ms: int) -> None:
        if start_ms >= end_ms:
            return
        tails: defaultdict[int, Rollup] = defaultdict(Rollup)
        for stretch in stretches(self._connection, self._database, start_ms, end_ms):
            if stretch.is_inside:
                slot = stretch.seen.at_ms // self._length_ms
                tails[slot].count(stretch.seen.outcome, stretch.seen.latency_ms)
            for slot, start, end in pieces(stretch.start_ms, stretch.end_ms, self._length_ms):
                tails[slot].hold(stretch.seen.outcome, end - start)
        for slot, tail in tails.items():
            self._parts_at(slot * self._length_ms).append(tail)

    def _parts_at(self, at_ms: int) -> list[Rollup]:
        return self._parts[at_ms // self._length_ms - self._first]


def _sum(parts: Sequence[Rollup]) -> Rollup:
    if len(parts) == 1:
        return parts[0]
    whole = Rollup()
    for part in parts:
        whole.merge(part)
    return whole


def read_rollups(
    connection: sqlite3.Connection, database: int, grain: RowGrain, *, first: int, last: int
) -> Iterator[tuple[int, Rollup]]:
    """The sums of hours, days or all time from one slot to another, each with its slot."""
    for slot, *columns in connection.execute(
        "SELECT slot, outcomes, up_ms, down_ms, latency FROM rollup"
        " WHERE database_id = ? AND grain = ? AND slot BETWEEN ? AND ?",
        (database, grain, first, last),
    ):
        yield slot, read_rollup(*columns)


def _floor(ms: int, length_ms: int) -> int:
    return ms // length_ms * length_ms


def _ceiling(ms: int, length_ms: int) -> int:
    return -(-ms // length_ms) * length_ms
