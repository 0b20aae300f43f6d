"""What a check changes in the file beside the incident state, its row, gap and rollups; and what age deletes.

Rollups are brought up to date now and then, at the latest when an hour is over: until then the checks since the
watermark are their tail, and whoever reads rollups reads the tail as well. A check that comes in late, because the
clock was set back or memory held it, finds its place between its neighbours, and is entered in the rollups at once
if it lies before the watermark.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Any

from monitor.alerts.notification import NotificationKind
from monitor.checks.observation import Check, Family, Outcome
from monitor.lib.times import from_ms_or_none, to_ms
from monitor.store.errors import reading
from monitor.store.rollups.histogram import Histogram, PhaseHistograms
from monitor.store.rollups.model import BLOCK_MS, DAY_MS, HOUR_MS, Rollup, ended_well, pieces
from monitor.store.tables.checks import (
    GRAIN_HOUR,
    CheckRow,
    add_row,
    begin_rollup,
    check_before,
    check_from,
    delete_checks,
    moment_of_latest,
)
from monitor.store.tables.spans import (
    Retention,
    Span,
    end_gap,
    is_gap,
    move_retention,
    move_watermark,
    note_gap,
    outside,
    read_maintenance,
    read_retention,
    spans,
    watermark,
)

# The longest tail, in intervals: so long that writing rollups costs little, so short that reading it does too.
TAIL_INTERVALS = 64


def add_check(
    connection: sqlite3.Connection,
    database: int,
    check: Check,
    *,
    interval: timedelta | None = None,
    latest: datetime | None = None,
) -> datetime | None:
    """Add a check; return when the database was last checked before it.

    `latest` is what the database's incident state knows of that: the row may be gone. Without an `interval` there
    are no gaps but those already noted.
    """
    at_ms = to_ms(check.at)
    while (after := check_from(connection, database, at_ms)) is not None and after.at_ms == at_ms:
        at_ms += 1  # a clock that was set back comes by the same milliseconds again
    retention = read_retention(connection)
    before = check_before(connection, database, at_ms, since_ms=retention.checks_ms)
    this = add_row(connection, database, at_ms, check)
    until_ms = watermark(connection, database)
    if until_ms is None:
        until_ms = at_ms
        move_watermark(connection, database, until_ms)

    # A late check changes the rollups at once; what lies behind the watermark is left to `sum_up`.
    rollups = RollupWriter(connection)
    if at_ms < until_ms:
        rollups.count(database, this)
    since_ms = None if before is None else before.at_ms
    if after is not None:
        if before is not None and not is_gap(connection, database, before.at_ms, after.at_ms):
            end_ms = min(after.at_ms, until_ms)
            rollups.hold(database, before.outcome, before.at_ms, end_ms, back=True)
        gap_since_ms = end_gap(connection, database, at_ms, for_good=interval is not None)
        since_ms = gap_since_ms if since_ms is None else since_ms
    # Where checks were deleted it cannot be told what was entered for the time around one that comes in late.
    is_placed = before is not None or after is None or not retention.checks_ms
    if latest is not None and is_placed and (since_ms or 0) < to_ms(latest) <= at_ms:
        # The outcome of that check is not known any more.
        since_ms, before = to_ms(latest), None
    is_known = since_ms is not None and not note_gap(connection, database, since_ms, at_ms, interval)
    if before is not None and is_known:
        rollups.hold(database, before.outcome, before.at_ms, min(at_ms, until_ms))
    if after is not None and is_placed and not note_gap(connection, database, at_ms, after.at_ms, interval):
        rollups.hold(database, this.outcome, at_ms, min(after.at_ms, until_ms))
    rollups.flush()

    tail_ms = HOUR_MS if interval is None else TAIL_INTERVALS * interval // timedelta(milliseconds=1)
    if at_ms // HOUR_MS > until_ms // HOUR_MS or at_ms - until_ms > tail_ms:
        sum_up(connection, database, until_ms=at_ms)
    return from_ms_or_none(since_ms)


def sum_up(connection: sqlite3.Connection, database: int, *, until_ms: int) -> None:
    """Enter a database's checks in its rollups, up to a moment, and move the watermark there; never back."""
    since_ms = watermark(connection, database)
    if since_ms is None or until_ms <= since_ms:
        return
    rollups = RollupWriter(connection)
    for span in spans(connection, database, since_ms, until_ms):
        rollups.enter(database, span)
    rollups.flush()
    move_watermark(connection, database, until_ms)


COLUMNS = "outcomes, up_ms, down_ms, latency, phases"

# Made once: json.dumps would make one for each row.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class RowGrain(IntEnum):
    """What span of time a row is for, as it stands in the file; `slot` counts hours, days or blocks since 1970.

    A block is sixteen days, so that few rows are read for years. `FINE` holds the checks ever that ended `ok`.
    """

    HOUR = GRAIN_HOUR
    DAY = 1
    ALL = 2
    BLOCK = 3
    FINE = 4


LENGTH_MS = {RowGrain.HOUR: HOUR_MS, RowGrain.DAY: DAY_MS, RowGrain.BLOCK: BLOCK_MS}
# The rows that have phases; in an hour's they would take too much room.
_WITH_PHASES = (RowGrain.DAY, RowGrain.BLOCK)

# A row, by its database, grain and slot.
Key = tuple[int, RowGrain, int]


class RollupWriter:
    """What one transaction adds to the rollups: gathered here, brought to the rows by `flush`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_hour: defaultdict[tuple[int, int], Rollup] = defaultdict(Rollup)
        self._phases_by_day: defaultdict[tuple[int, int], PhaseHistograms] = defaultdict(PhaseHistograms)
        self._by_row: defaultdict[Key, Rollup] = defaultdict(Rollup)

    def enter(self, database: int, span: Span) -> None:
        """Enter the time for which a check's state held, and the check itself if it is inside."""
        for start_ms, end_ms in span.held_ms:
            self._hold(database, span.check.outcome, start_ms, end_ms)
        if span.is_inside:
            self.count(database, span.check)

    def count(self, database: int, check: CheckRow) -> None:
        """Enter one check."""
        self._by_hour[database, check.at_ms // HOUR_MS].count(check.outcome, check.latency_ms)
        if check.outcome.family is Family.FINE:
            self._by_row[database, RowGrain.FINE, 0].count(check.outcome, check.latency_ms)
        if ended_well(check.outcome):
            self._phases_by_day[database, check.at_ms // DAY_MS].add(check.phases)

    def hold(self, database: int, outcome: Outcome, start_ms: int, end_ms: int, *, back: bool = False) -> None:
        """Enter that the state which a check found held for that time; `back` takes it out again.

        Maintenance is left out.
        """
        windows = read_maintenance(self._connection, database, start_ms=start_ms, end_ms=end_ms)
        for start, end in outside(start_ms, end_ms, windows):
            self._hold(database, outcome, start, end, back=back)

    def _hold(self, database: int, outcome: Outcome, start_ms: int, end_ms: int, *, back: bool = False) -> None:
        for hour, start, end in pieces(start_ms, end_ms, HOUR_MS):
            self._by_hour[database, hour].hold(outcome, start - end if back else end - start)

    def add(self, key: Key, more: Rollup) -> None:
        """Add what comes from elsewhere to one row, and to no other."""
        self._by_row[key].merge(more)

    def flush(self) -> None:
        """Bring it to the rows of the hours, of their days and blocks, and of all time."""
        for (database, hour), rollup in self._by_hour.items():
            for grain in LENGTH_MS:
                self._by_row[key_of(database, grain, hour * HOUR_MS)].merge(rollup)
            self._by_row[database, RowGrain.ALL, 0].merge(rollup)
        for (database, day), phases in self._phases_by_day.items():
            for grain in _WITH_PHASES:
                self._by_row[key_of(database, grain, day * DAY_MS)].phases.merge(phases)
        for key, more in self._by_row.items():
            number, row = self._read_row(key)
            row.merge(more)
            self._connection.execute(
                "UPDATE rollup SET outcomes = ?, up_ms = ?, down_ms = ?, latency = ?, phases = ? WHERE id = ?",
                (*_to_columns(row), number),
            )
        self._by_hour.clear()
        self._phases_by_day.clear()
        self._by_row.clear()

    def _read_row(self, key: Key) -> tuple[int, Rollup]:
        columns = self._connection.execute(
            f"SELECT id, {COLUMNS} FROM rollup WHERE database_id = ? AND grain = ? AND slot = ?", key
        ).fetchone()
        if columns is None:
            return begin_rollup(self._connection, *key), Rollup()
        number, *rest = columns
        return number, from_columns(*rest)


def from_columns(*columns: Any) -> Rollup:
    """A row, of its `COLUMNS`; raises `DamagedError` for what was never written."""
    with reading("the rollup of an hour or a day"):
        return read_rollup(*columns)


def key_of(database: int, grain: RowGrain, at_ms: int) -> Key:
    """The row of that grain to which a moment belongs."""
    return database, grain, at_ms // LENGTH_MS[grain]


def _to_columns(rollup: Rollup) -> tuple[Any, ...]:
    outcomes = _to_json({outcome.value: count for outcome, count in rollup.outcomes.items()})
    return outcomes, rollup.up_ms, rollup.down_ms, rollup.latency.encode(), rollup.phases.encode() or None


def read_rollup(outcomes: Any, up_ms: Any, down_ms: Any, latency: Any, phases: Any = None) -> Rollup:
    """A row, of its `COLUMNS`; for one that is read in a `reading` of the caller's."""
    return Rollup(
        outcomes=dict(_read_outcomes(outcomes)),
        up_ms=int(up_ms),
        down_ms=int(down_ms),
        latency=Histogram.decode(latency),
        phases=PhaseHistograms.decode(phases or b""),
    )


@lru_cache(maxsize=1024)
def _read_outcomes(text: str) -> Mapping[Outcome, int]:
    """Cached, since most hours read `{"ok":60}`."""
    return {Outcome(code): int(count) for code, count in json.loads(text).items()}


# Failures are rare, and what people ask for later.
_FAILING_KEPT_TIMES = 10
_WARNINGS_KEPT = timedelta(days=31)


def prune(connection: sqlite3.Connection, now: datetime, keep: timedelta) -> int:
    """Delete checks and finished outbox messages older than `keep`, failing checks and gaps ten times as old.

    Incidents and rollups stay. Return how many checks were deleted.
    """
    limit = Retention(checks_ms=_ago(now, keep), failing_ms=_ago(now, keep * _FAILING_KEPT_TIMES))
    known = read_retention(connection)
    deleted = 0
    for database in _databases(connection):
        # Up to a check that stays, or what held before it would be forgotten.
        following = check_from(connection, database, limit.checks_ms)
        sum_up(connection, database, until_ms=limit.checks_ms if following is None else following.at_ms)
        deleted += delete_checks(
            connection, database, start=known.checks_ms, end=limit.checks_ms, failing_too=False
        ) + delete_checks(connection, database, start=known.failing_ms, end=limit.failing_ms, failing_too=True)
        connection.execute("DELETE FROM gap WHERE database_id = ? AND to_ms < ?", (database, limit.failing_ms))
    connection.execute(
        # What was told of an open incident is asked for at each start.
        "DELETE FROM outbox WHERE created_ms < ? AND (delivered_ms IS NOT NULL OR given_up_ms IS NOT NULL)"
        " AND ifnull(incident_id, 0) NOT IN (SELECT id FROM incident WHERE closed_ms IS NULL)"
        # A warning is told once a month.
        " AND NOT (kind = ? AND created_ms >= ?)",
        (limit.checks_ms, NotificationKind.WARNING.value, _ago(now, _WARNINGS_KEPT)),
    )
    move_retention(connection, limit)
    return deleted


def is_older_than(connection: sqlite3.Connection, now: datetime, keep: timedelta) -> bool:
    """True when there is a check that `prune` would delete."""
    since_ms = read_retention(connection).checks_ms
    return any(
        check_before(connection, database, _ago(now, keep), since_ms=since_ms)
        for database in _databases(connection)
    )


def keep_latest(connection: sqlite3.Connection, number: int) -> None:
    """Delete all checks but the latest `number`, of whatever database, for a store that is in memory."""
    oldest_ms = moment_of_latest(connection, number)
    if oldest_ms is not None:
        for database in _databases(connection):
            sum_up(connection, database, until_ms=oldest_ms)
            delete_checks(connection, database, start=0, end=oldest_ms, failing_too=True)


def _databases(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT id FROM database")]


def _ago(now: datetime, span: timedelta) -> int:
    """A moment that may lie before 1970, or before all time."""
    return to_ms(now) - span // timedelta(milliseconds=1)
