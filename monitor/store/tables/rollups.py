"""What a database adds up to in a span of time: read from the rollups of its hours, days and blocks of days.

Rollups hold the checks up to the database's watermark. The checks since then are their tail and are read one by
one; so are those at the edges of a span that begins or ends within an hour.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cached_property

from monitor.lib.times import from_ms
from monitor.store.errors import reading
from monitor.store.rollups.histogram import PhaseHistograms, SlowLimit, propose_slow_limit
from monitor.store.rollups.model import DAY_MS, HOUR_MS, Grain, Rollup, Slice, pieces
from monitor.store.tables.checks import check_from
from monitor.store.tables.recording import LENGTH_MS, RowGrain, read_rollup
from monitor.store.tables.spans import read_maintenance, read_retention, spans, watermark

# From coarse to fine: what a span of hours is put together from.
_ROWS_OF_SLICES = {Grain.HOUR: (RowGrain.HOUR,), Grain.DAY: (RowGrain.DAY, RowGrain.HOUR)}
_ROWS_OF_THE_WHOLE = (RowGrain.BLOCK, RowGrain.DAY, RowGrain.HOUR)


class RollupReader:
    """What a database adds up to from `start_ms` until before `end_ms`, in slices of a grain and as a whole.

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

    def slices(self) -> tuple[Slice, ...]:
        """One after the other, without a hole."""
        parts: defaultdict[int, list[Rollup]] = defaultdict(list)
        for at_ms, part in self._parts(self._row_grains):
            parts[at_ms // self._length_ms].append(part)
        return tuple(
            _sum(parts[number]).slice(from_ms(start), from_ms(end), self._maintained(start, end))
            for number, start, end in pieces(self.start_ms, self.end_ms, self._length_ms)
        )

    def whole(self) -> Slice:
        """All of it."""
        maintained = self._maintained(self.start_ms, self.end_ms)
        return self._whole.slice(from_ms(self.start_ms), from_ms(self.end_ms), maintained)

    @cached_property
    def maintenance(self) -> list[tuple[int, int]]:
        """The windows of maintenance in it, as their first and last moment, the oldest first."""
        return read_maintenance(self._connection, self._database, start_ms=self.start_ms, end_ms=self.end_ms)

    def slow_limit(self) -> SlowLimit | None:
        """The limit `slow` that its answers propose_slow_limit."""
        return propose_slow_limit(self._whole.latency)

    def _maintained(self, start_ms: int, end_ms: int) -> timedelta:
        parts = (min(end_ms, over) - max(start_ms, begun) for begun, over in self.maintenance)
        return timedelta(milliseconds=sum(part for part in parts if part > 0))

    @cached_property
    def _whole(self) -> Rollup:
        return _sum([part for _, part in self._parts(_ROWS_OF_THE_WHOLE)])

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
                # There is no later check, so that the last hour's row has nothing that does not belong here.
                last, tail_end = _ceiling(self.end_ms, HOUR_MS), self.end_ms
            else:
                self._add_checks(last, self.end_ms)
        until_ms = watermark(self._connection, self._database)
        self._add_checks(first if until_ms is None else max(first, until_ms), tail_end)
        return first, last

    def _add_checks(self, start_ms: int, end_ms: int) -> None:
        if start_ms >= end_ms:
            return
        found: defaultdict[int, Rollup] = defaultdict(Rollup)
        for span in spans(self._connection, self._database, start_ms, end_ms):
            if span.is_inside:
                slot = span.check.at_ms // self._length_ms
                found[slot].count(span.check.outcome, span.check.latency_ms)
            for held_ms in span.held_ms:
                for slot, start, end in pieces(*held_ms, self._length_ms):
                    found[slot].hold(span.check.outcome, end - start)
        self._edges.extend((slot * self._length_ms, rollup) for slot, rollup in found.items())

    def _parts(self, grains: Sequence[RowGrain]) -> Iterator[tuple[int, Rollup]]:
        """All of the span, in parts, each with a moment of the slice that it belongs to."""
        yield from self._edges
        for grain, start_ms, end_ms in cover(*self._hours, grains):
            length_ms = LENGTH_MS[grain]
            slots = {"first": start_ms // length_ms, "last": end_ms // length_ms - 1}
            for slot, rollup in read_rollups(self._connection, self._database, grain, **slots):
                yield slot * length_ms, rollup


def cover(first_ms: int, last_ms: int, grains: Sequence[RowGrain]) -> Iterator[tuple[RowGrain, int, int]]:
    """The fewest rows that make up a span: of the coarsest grain as many as fit, around them finer ones.

    A span begins and ends with a row of the finest grain. Rows that follow each other come as their grain, the
    first moment and the one after the last.
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


def read_rollups(
    connection: sqlite3.Connection, database: int, grain: RowGrain, *, first: int, last: int
) -> Iterator[tuple[int, Rollup]]:
    """The rows of a grain from one slot to another, each with its slot, without phases."""
    rows = connection.execute(
        "SELECT slot, outcomes, up_ms, down_ms, latency FROM rollup"
        " WHERE database_id = ? AND grain = ? AND slot BETWEEN ? AND ?",
        (database, grain, first, last),
    )
    with reading("the rollup of an hour or a day"):
        for slot, *columns in rows:
            yield slot, read_rollup(*columns)


def read_phases(
    connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int
) -> Iterator[PhaseHistograms]:
    """The phases of all whole days that a span touches, up to the watermark."""
    days = _floor(start_ms, DAY_MS), _ceiling(end_ms, DAY_MS)
    for grain, first_ms, last_ms in cover(*days, (RowGrain.BLOCK, RowGrain.DAY)):
        rows = connection.execute(
            "SELECT phases FROM rollup WHERE database_id = ? AND grain = ? AND slot BETWEEN ? AND ?"
            " AND phases IS NOT NULL",
            (database, grain, first_ms // LENGTH_MS[grain], last_ms // LENGTH_MS[grain] - 1),
        )
        with reading("the phases of a day"):
            for (content,) in rows:
                yield PhaseHistograms.decode(content)


def _sum(parts: Sequence[Rollup]) -> Rollup:
    if len(parts) == 1:
        return parts[0]
    whole = Rollup()
    for part in parts:
        whole.merge(part)
    return whole


def _floor(ms: int, length_ms: int) -> int:
    return ms // length_ms * length_ms


def _ceiling(ms: int, length_ms: int) -> int:
    return -(-ms // length_ms) * length_ms
