"""What was seen of a database over any span of time: sums of hours, days and blocks, single checks at the edges.

Runs in a transaction of its caller's and changes nothing. How sums are kept up to date is told in `looks`.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from monitor.store.rollups.model import Grain, Slice
from monitor.store.rollups.rollup import HOUR_MS, Rollup, pieces
from monitor.store.tables.checks import check_from
from monitor.store.tables.rollups import LENGTH_MS, RowGrain, read_rollup
from monitor.store.tables.rows import from_ms
from monitor.store.tables.spans import read_retention, spans, sum_of, watermark

# From coarse to fine: what a span of hours is put together from.
_ROWS_OF_SLICES = {Grain.HOUR: (RowGrain.HOUR,), Grain.DAY: (RowGrain.DAY, RowGrain.HOUR)}
_ROWS_OF_THE_WHOLE = (RowGrain.BLOCK, RowGrain.DAY, RowGrain.HOUR)
Span = tuple[RowGrain, int, int]


class Sums:
    """What was seen of a database from `start_ms` until before `end_ms`, in slices of a grain and as a whole.

    Where single checks were deleted, a span that begins or ends within an hour is read as if it were the whole
    hour: `start_ms` and `end_ms` are then moved apart.
    """

    def __init__(
        self, connection: sqlite3.Connection, database: int, *, start_ms: int, end_ms: int, grain: Grain
    ) -> None:
        self._connection = connection
        self._database = database
        self._row_grains = _ROWS_OF_SLICES[grain]
        self._length_ms = LENGTH_MS[self._row_grains[0]]
        retained_since_ms = read_retention(connection).checks_ms
        self.start_ms = _floor(start_ms, HOUR_MS) if start_ms < retained_since_ms else start_ms
        self.end_ms = _ceiling(end_ms, HOUR_MS) if _floor(end_ms, HOUR_MS) < retained_since_ms else end_ms
        # What is read from single checks, by its moment; the rest are the rows of these hours.
        self._edges: list[tuple[int, Rollup]] = []
        self._hours = self._read_edges()
        self._rows: dict[Span, list[tuple[int, Rollup]]] = {}

    def slices(self) -> tuple[Slice, ...]:
        """One after the other, without a hole."""
        parts: defaultdict[int, list[Rollup]] = defaultdict(list)
        for at_ms, part in self._parts(self._row_grains):
            parts[at_ms // self._length_ms].append(part)
        return tuple(
            _sum(parts[number]).slice(from_ms(start), from_ms(end))
            for number, start, end in pieces(self.start_ms, self.end_ms, self._length_ms)
        )

    def whole(self) -> Slice:
        """All of it."""
        whole = _sum([part for _, part in self._parts(_ROWS_OF_THE_WHOLE)])
        return whole.slice(from_ms(self.start_ms), from_ms(self.end_ms))

    def _read_edges(self) -> tuple[int, int]:
        """Read what is not in rows of whole hours; return the first and the last moment of those that are."""
        first, last = _ceiling(self.start_ms, HOUR_MS), _floor(self.end_ms, HOUR_MS)
        if first > last:
            self._add_checks(self.start_ms, self.end_ms)
            return first, first
        self._add_checks(self.start_ms, first)
        tail_end = last
        if last < self.end_ms:
            if check_from(self._connection, self._database, self.end_ms) is None:
                # Nothing was seen later, so that the last hour's sums have nothing that does not belong here.
                last, tail_end = _ceiling(self.end_ms, HOUR_MS), self.end_ms
            else:
                self._add_checks(last, self.end_ms)
        summed_ms = watermark(self._connection, self._database)
        self._add_tail(first if summed_ms is None else max(first, summed_ms), tail_end)
        return first, last

    def _add_checks(self, start_ms: int, end_ms: int) -> None:
        if start_ms < end_ms:
            self._edges.append((start_ms, sum_of(self._connection, self._database, start_ms, end_ms)))

    def _add_tail(self, start_ms: int, end_ms: int) -> None:
        if start_ms >= end_ms:
            return
        tails: defaultdict[int, Rollup] = defaultdict(Rollup)
        for span in spans(self._connection, self._database, start_ms, end_ms):
            if span.is_inside:
                slot = span.seen.at_ms // self._length_ms
                tails[slot].count(span.seen.outcome, span.seen.latency_ms)
            for slot, start, end in pieces(span.start_ms, span.end_ms, self._length_ms):
                tails[slot].hold(span.seen.outcome, end - start)
        self._edges.extend((slot * self._length_ms, tail) for slot, tail in tails.items())

    def _parts(self, grains: Sequence[RowGrain]) -> Iterator[tuple[int, Rollup]]:
        """All that was seen, in parts, each with a moment of the slice that it belongs to."""
        yield from self._edges
        for span in cover(*self._hours, grains):
            rows = self._rows.get(span)
            if rows is None:
                rows = self._rows[span] = list(self._read(*span))
            yield from rows

    def _read(self, grain: RowGrain, start_ms: int, end_ms: int) -> Iterator[tuple[int, Rollup]]:
        length_ms = LENGTH_MS[grain]
        slots = {"first": start_ms // length_ms, "last": end_ms // length_ms - 1}
        for slot, rollup in read_rollups(self._connection, self._database, grain, **slots):
            yield slot * length_ms, rollup


def cover(first_ms: int, last_ms: int, grains: Sequence[RowGrain]) -> Iterator[Span]:
    """The fewest rows that make up a span: of the coarsest grain as many as fit, around them finer ones.

    Each as a grain, the first moment and the one after the last. A span begins and ends with a row of the finest.
    """
    grain, *finer = grains
    first, last = _ceiling(first_ms, LENGTH_MS[grain]), _floor(last_ms, LENGTH_MS[grain])
    if first >= last:
        first = last = last_ms
    if finer and first_ms < first:
        yield from cover(first_ms, first, finer)
    if first < last:
        yield grain, first, last
    if finer and last < last_ms:
        yield from cover(last, last_ms, finer)


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
    """The sums of rows of a grain from one slot to another, each with its slot."""
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
