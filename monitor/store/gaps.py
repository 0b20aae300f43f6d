"""Rows of gaps: the times in which nobody looked, each from one look to the next. They do not overlap.

Each function runs in a transaction that its caller holds.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

# Without a look for longer than that, what was seen last says nothing any more.
_AFTER_INTERVALS = 3


def is_too_long(pause: timedelta, interval: timedelta) -> bool:
    """True when nobody looked for so long that nothing is known of the time."""
    return pause > _AFTER_INTERVALS * interval


def is_gap(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> bool:
    """True when a gap was noted for some of the time between two looks."""
    gap = _last_gap(connection, database, before_ms=end_ms)
    return gap is not None and gap[1] > start_ms


def note_gap(
    connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int, interval: timedelta | None
) -> bool:
    """True when the time between two looks is a gap; where the interval tells so, it is noted.

    Without an interval there are no gaps but those already noted.
    """
    if interval is None:
        return is_gap(connection, database, start_ms, end_ms)
    if not is_too_long(timedelta(milliseconds=end_ms - start_ms), interval):
        return False
    _write_gap(connection, database, start_ms, end_ms)
    return True


def end_gap(connection: sqlite3.Connection, database: int, at_ms: int, *, for_good: bool) -> int | None:
    """Somebody did look inside a gap: return when it began. Unless `for_good`, the rest of it stays one."""
    gap = _last_gap(connection, database, before_ms=at_ms)
    if gap is None or gap[1] <= at_ms:
        return None
    begun_ms, over_ms = gap
    connection.execute("DELETE FROM gap WHERE database_id = ? AND from_ms = ?", (database, begun_ms))
    if not for_good:
        _write_gap(connection, database, at_ms, over_ms)
    return begun_ms


def read_gaps(
    connection: sqlite3.Connection, database: int, *, start_ms: int, end_ms: int
) -> list[tuple[int, int]]:
    """The gaps that touch a span of time, as their first and last moment, the oldest first."""
    sql = "SELECT from_ms, to_ms FROM gap WHERE database_id = ? AND from_ms < ? AND to_ms > ? ORDER BY from_ms"
    return connection.execute(sql, (database, end_ms, start_ms)).fetchall()


def _last_gap(connection: sqlite3.Connection, database: int, *, before_ms: int) -> tuple[int, int] | None:
    sql = "SELECT from_ms, to_ms FROM gap WHERE database_id = ? AND from_ms < ? ORDER BY from_ms DESC LIMIT 1"
    gap: tuple[int, int] | None = connection.execute(sql, (database, before_ms)).fetchone()
    return gap


def _write_gap(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> None:
    sql = "INSERT OR REPLACE INTO gap (database_id, from_ms, to_ms) VALUES (?, ?, ?)"
    connection.execute(sql, (database, start_ms, end_ms))
