"""How a file of the first release gets its sums: its looks are read once, in order, and written anew.

Runs inside the transaction of its migration: interrupted, it never was.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from monitor.checks.observation import Look, Outcome, Phases
from monitor.store.rollups.rollup import DAY_MS
from monitor.store.tables.checks import add_row
from monitor.store.tables.recording import sum_up
from monitor.store.tables.rows import from_ms, reading
from monitor.store.tables.spans import move_summed

_LOOKS = (
    "SELECT at_ms, code, http_status, detail, dns_us, connect_us, tls_us, wait_us, read_us, total_us"
    " FROM look_before JOIN outcome ON outcome.id = outcome_id WHERE database_id = ? ORDER BY at_ms"
)


def sum_up_looks(connection: sqlite3.Connection) -> None:
    """Write the looks of `look_before` to `look` and `remark`, and their sums to `rollup`."""
    for database, name in connection.execute("SELECT id, name FROM database").fetchall():
        day = None
        for columns in connection.execute(_LOOKS, (database,)):
            at_ms: int = columns[0]
            with reading("a look"):
                add_row(connection, database, at_ms, _look(name, *columns))
                if day is None:
                    move_summed(connection, database, at_ms)
                # Day by day, so that a file of years does not become a memory of years.
                elif at_ms // DAY_MS != day:
                    sum_up(connection, database, until_ms=at_ms)
                day = at_ms // DAY_MS
        if day is not None:
            sum_up(connection, database, until_ms=at_ms)


def _look(name: str, *columns: Any) -> Look:
    at_ms, code, http_status, detail, *figures = columns
    dns, connect, tls, wait, read, total = (None if us is None else us / 1000 for us in figures)
    return Look(
        database=name,
        at=from_ms(at_ms),
        outcome=Outcome(code),
        http_status=http_status,
        detail=detail or "",
        phases=Phases(dns=dns, connect=connect, tls=tls, wait=wait, read=read, total=total),
    )
