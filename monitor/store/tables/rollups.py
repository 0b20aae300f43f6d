"""Rows of rollups: what each hour, day, block of days and all time saw of a database, up to the mark `summed`.

A check is entered in all four; the phases, which take more room, not in its hour. What the sums mean is told in
`core/rollup`, when something is entered, in `looks`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any

from monitor.checks.observation import Family, Outcome
from monitor.store.rollups.histogram import Histogram, PhaseHistograms
from monitor.store.rollups.rollup import (
    BLOCK_MS,
    DAY_MS,
    HOUR_MS,
    Rollup,
    ended_well,
    outcomes_from_json,
    outcomes_to_json,
    pieces,
)
from monitor.store.tables.checks import GRAIN_HOUR, Seen, begin_rollup
from monitor.store.tables.rows import reading

COLUMNS = "outcomes, up_ms, down_ms, latency, phases"

# Made once: json.dumps would make one for each row.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class RowGrain(IntEnum):
    """What stretch of time a row is for, as it stands in the file; `slot` counts hours, days or blocks since 1970.

    A block is sixteen days: of years, few rows are read. `FINE` are the checks of all time that ended fine.
    """

    HOUR = GRAIN_HOUR
    DAY = 1
    ALL = 2
    BLOCK = 3
    FINE = 4


LENGTH_MS = {RowGrain.HOUR: HOUR_MS, RowGrain.DAY: DAY_MS, RowGrain.BLOCK: BLOCK_MS}
_WITH_PHASES = (RowGrain.DAY, RowGrain.BLOCK)

Key = tuple[int, RowGrain, int]


@dataclass(kw_only=True, slots=True)
class Entry:
    """What one row holds, or what is to be added to it; phases are those of a day or a block."""

    rollup: Rollup = field(default_factory=Rollup)
    phases: PhaseHistograms = field(default_factory=PhaseHistograms)


class RollupWriter:
    """What one transaction adds to the sums: gathered here, brought to the rows by `flush`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_hour: defaultdict[tuple[int, int], Rollup] = defaultdict(Rollup)
        self._phases_by_day: defaultdict[tuple[int, int], PhaseHistograms] = defaultdict(PhaseHistograms)
        self._by_row: defaultdict[Key, Entry] = defaultdict(Entry)

    def count(self, database: int, seen: Seen) -> None:
        """Enter one check."""
        self._by_hour[database, seen.at_ms // HOUR_MS].count(seen.outcome, seen.latency_ms)
        if seen.outcome.family is Family.FINE:
            self._by_row[database, RowGrain.FINE, 0].rollup.count(seen.outcome, seen.latency_ms)
        if ended_well(seen.outcome):
            self._phases_by_day[database, seen.at_ms // DAY_MS].add(seen.phases)

    def hold(self, database: int, outcome: Outcome, start_ms: int, end_ms: int, *, back: bool = False) -> None:
        """Enter that the state which a check found held for that time; `back` takes it out again."""
        for hour, start, end in pieces(start_ms, end_ms, HOUR_MS):
            self._by_hour[database, hour].hold(outcome, start - end if back else end - start)

    def add(self, key: Key, entry: Entry) -> None:
        """Add sums that come from elsewhere to one row, and to no other."""
        self._by_row[key].rollup.merge(entry.rollup)
        self._by_row[key].phases.merge(entry.phases)

    def flush(self) -> None:
        """Bring it to the rows of the hours, of their days and blocks, and of all time."""
        for (database, hour), rollup in self._by_hour.items():
            for grain in LENGTH_MS:
                self._by_row[key_of(database, grain, hour * HOUR_MS)].rollup.merge(rollup)
            self._by_row[database, RowGrain.ALL, 0].rollup.merge(rollup)
        for (database, day), phases in self._phases_by_day.items():
            for grain in _WITH_PHASES:
                self._by_row[key_of(database, grain, day * DAY_MS)].phases.merge(phases)
        for key, more in self._by_row.items():
            number, entry = self._row(key)
            entry.rollup.merge(more.rollup)
            entry.phases.merge(more.phases)
            self._connection.execute(
                "UPDATE rollup SET outcomes = ?, up_ms = ?, down_ms = ?, latency = ?, phases = ? WHERE id = ?",
                (*to_columns(entry), number),
            )
        self._by_hour.clear()
        self._phases_by_day.clear()
        self._by_row.clear()

    def _row(self, key: Key) -> tuple[int, Entry]:
        row = self._connection.execute(
            f"SELECT id, {COLUMNS} FROM rollup WHERE database_id = ? AND grain = ? AND slot = ?", key
        ).fetchone()
        if row is None:
            return begin_rollup(self._connection, *key), Entry()
        number, *columns = row
        return number, from_columns(*columns)


def to_columns(entry: Entry) -> tuple[Any, ...]:
    """An entry as it stands in its row."""
    rollup = entry.rollup
    outcomes = _to_json(outcomes_to_json(rollup.outcomes))
    return outcomes, rollup.up_ms, rollup.down_ms, rollup.latency.encode(), entry.phases.encode() or None


def from_columns(outcomes: Any, up_ms: Any, down_ms: Any, latency: Any, phases: Any) -> Entry:
    """What `to_columns` wrote."""
    with reading("the sums of a day"):
        found = PhaseHistograms.decode(phases or b"")
    return Entry(rollup=read_rollup(outcomes, up_ms, down_ms, latency), phases=found)


def read_rollup(outcomes: Any, up_ms: Any, down_ms: Any, latency: Any) -> Rollup:
    """The same without phases."""
    with reading("the sums of an hour or a day"):
        return Rollup(
            outcomes=dict(_outcomes(outcomes)),
            up_ms=int(up_ms),
            down_ms=int(down_ms),
            latency=Histogram.decode(latency),
        )


@lru_cache(maxsize=1024)
def _outcomes(text: str) -> Mapping[Outcome, int]:
    """Most hours read `{"ok":60}`."""
    return outcomes_from_json(json.loads(text))


def key_of(database: int, grain: RowGrain, at_ms: int) -> Key:
    """The row of that grain to which a moment belongs."""
    return database, grain, at_ms // LENGTH_MS[grain]
