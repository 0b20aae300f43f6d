"""Two marks of the history: how far back single looks go, and up to when they are summed up.

Each function runs in a transaction that its caller holds.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """Before `looks_ms` only failing looks are there one by one, before `failing_ms` none; 0: none are gone."""

    looks_ms: int = 0
    failing_ms: int = 0


def read_horizon(connection: sqlite3.Connection) -> Horizon:
    """How far back single looks go, for all databases alike."""
    row = connection.execute("SELECT max(looks_ms), max(failing_ms) FROM horizon").fetchone()
    return Horizon(looks_ms=row[0] or 0, failing_ms=row[1] or 0)


def move_horizon(connection: sqlite3.Connection, horizon: Horizon) -> None:
    """Note that looks are gone; what is gone stays gone, so it never moves back."""
    known = read_horizon(connection)
    connection.execute("DELETE FROM horizon")
    connection.execute(
        "INSERT INTO horizon (looks_ms, failing_ms) VALUES (?, ?)",
        (max(known.looks_ms, horizon.looks_ms), max(known.failing_ms, horizon.failing_ms)),
    )


def summed_until(connection: sqlite3.Connection, database: int) -> int | None:
    """The moment up to which a database's looks are in its sums; `None` before its first look."""
    row = connection.execute("SELECT until_ms FROM summed WHERE database_id = ?", (database,)).fetchone()
    return None if row is None else int(row[0])


def move_summed(connection: sqlite3.Connection, database: int, until_ms: int) -> None:
    """Note that the sums hold all before that moment."""
    sql = "INSERT OR REPLACE INTO summed (database_id, until_ms) VALUES (?, ?)"
    connection.execute(sql, (database, until_ms))
