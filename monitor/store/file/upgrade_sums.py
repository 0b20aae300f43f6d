"""How a file whose sums are by hour and day gets those of blocks of days, and of looks that ended fine.

Runs inside the transaction of its migration: interrupted, it never was. How a file gets sums is in `upgrade`.
"""

from __future__ import annotations

import sqlite3

from monitor.checks.observation import Outcome
from monitor.store.rollups.rollup import DAY_MS, Rollup
from monitor.store.tables.checks import EVER_MS, seen_looks
from monitor.store.tables.rollups import COLUMNS, Entry, Ledger, RowGrain, from_columns, key_of
from monitor.store.tables.rows import reading
from monitor.store.tables.spans import summed_until

_ROWS = f"SELECT slot, {COLUMNS} FROM rollup WHERE database_id = ? AND grain = ?"


def add_blocks(connection: sqlite3.Connection) -> None:
    """Add up the days of each block; of all looks that ended well leave out the slow ones.

    A database that has blocks was summed up by code that makes them, and is left alone.
    """
    for (database,) in connection.execute("SELECT id FROM database").fetchall():
        if connection.execute(_ROWS, (database, RowGrain.BLOCK)).fetchone() is not None:
            continue
        ledger = Ledger(connection)
        for slot, *columns in connection.execute(_ROWS, (database, RowGrain.DAY)):
            ledger.add(key_of(database, RowGrain.BLOCK, slot * DAY_MS), from_columns(*columns))
        for slot, *columns in connection.execute(_ROWS, (database, RowGrain.ALL)):
            fine = _fine(connection, database, from_columns(*columns).rollup)
            ledger.add((database, RowGrain.FINE, slot), Entry(rollup=fine))
        ledger.flush()


def _fine(connection: sqlite3.Connection, database: int, everything: Rollup) -> Rollup:
    """Slow looks that were deleted already cannot be told from fine ones, and stay among these."""
    latency = everything.latency
    until_ms = summed_until(connection, database) or 0
    for seen in seen_looks(connection, database, -EVER_MS, until_ms):
        if seen.outcome is Outcome.SLOW and seen.latency_ms is not None:
            with reading("the sums of a database"):
                latency.remove(seen.latency_ms)
    return Rollup(outcomes={Outcome.OK: everything.outcomes.get(Outcome.OK, 0)}, latency=latency)
