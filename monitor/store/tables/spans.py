"""Single checks in time: each with the span for which the state that it found held; gaps, maintenance, retention.

A state holds until the next check of the database, and not at all into a gap. What it holds in maintenance is left
out of all sums.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.config.windows import Window
from monitor.lib.times import to_ms
from monitor.store.tables.checks import CheckRow, check_before, check_from, read_rows

# Without a check for longer than that, nothing is known of the time since the last one.
_AFTER_INTERVALS = 3


def is_too_long(pause: timedelta, interval: timedelta) -> bool:
    """True when there was no check for so long that nothing is known of the time."""
    return pause > _AFTER_INTERVALS * interval


def is_gap(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> bool:
    """True when a gap was noted for some of the time between two checks."""
    gap = _last_gap(connection, database, before_ms=end_ms)
    return gap is not None and gap[1] > start_ms


def note_gap(
    connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int, interval: timedelta | None
) -> bool:
    """True when the time between two checks is a gap; where the interval tells so, it is noted.

    Without an interval there are no gaps but those already noted.
    """
    if interval is None:
        return is_gap(connection, database, start_ms, end_ms)
    if not is_too_long(timedelta(milliseconds=end_ms - start_ms), interval):
        return False
    _write_gap(connection, database, start_ms, end_ms)
    return True


def end_gap(connection: sqlite3.Connection, database: int, at_ms: int, *, for_good: bool) -> int | None:
    """End the gap into which a check falls; return when it began. Unless `for_good`, the rest of it stays one."""
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


def note_maintenance(connection: sqlite3.Connection, database: int, at: datetime, window: Window | None) -> None:
    """Note the window in which a check is; what is noted of one that is not so any more ends with it.

    Nothing before the watermark changes: it is in the rollups as it was.
    """
    at_ms, since_ms = to_ms(at), watermark(connection, database)
    (noted,) = connection.execute(
        "SELECT from_ms, to_ms FROM maintenance WHERE database_id = ? ORDER BY from_ms DESC LIMIT 1", (database,)
    ).fetchall() or (None,)
    if (since_ms or at_ms) > at_ms or (noted and noted[0] > at_ms):
        return
    if noted and noted[1] <= at_ms:
        noted = None
    if window is not None:
        start_ms = noted[0] if noted else max(to_ms(window.start), since_ms or 0)
        wanted = (start_ms, to_ms(window.end))
    elif noted:
        wanted = (noted[0], at_ms)
    else:
        return
    if wanted != noted:
        sql = "INSERT OR REPLACE INTO maintenance (database_id, from_ms, to_ms) VALUES (?, ?, ?)"
        connection.execute(sql, (database, *wanted))


def read_maintenance(
    connection: sqlite3.Connection, database: int, *, start_ms: int, end_ms: int
) -> list[tuple[int, int]]:
    """The noted windows that touch a span of time, cut to it, the oldest first; they do not overlap."""
    rows = connection.execute(
        "SELECT max(from_ms, ?2), min(to_ms, ?3) FROM maintenance"
        " WHERE database_id = ?1 AND from_ms < ?3 AND to_ms > ?2 ORDER BY from_ms",
        (database, start_ms, end_ms),
    )
    return rows.fetchall()


def outside(start_ms: int, end_ms: int, windows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of a time that are in none of the windows, which are in order and do not overlap."""
    for begun_ms, over_ms in windows:
        if start_ms < min(begun_ms, end_ms):
            yield start_ms, min(begun_ms, end_ms)
        start_ms = max(start_ms, over_ms)
    if start_ms < end_ms:
        yield start_ms, end_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """Before `checks_ms` only failing checks are there one by one, before `failing_ms` none; 0: none are gone."""

    checks_ms: int = 0
    failing_ms: int = 0


def read_retention(connection: sqlite3.Connection) -> Retention:
    """How far back single checks go, for all databases alike."""
    row = connection.execute("SELECT max(checks_ms), max(failing_ms) FROM retention").fetchone()
    return Retention(checks_ms=row[0] or 0, failing_ms=row[1] or 0)


def move_retention(connection: sqlite3.Connection, retention: Retention) -> None:
    """Note that checks are gone; what is gone stays gone, so it never moves back."""
    known = read_retention(connection)
    connection.execute("DELETE FROM retention")
    connection.execute(
        "INSERT INTO retention (checks_ms, failing_ms) VALUES (?, ?)",
        (max(known.checks_ms, retention.checks_ms), max(known.failing_ms, retention.failing_ms)),
    )


def watermark(connection: sqlite3.Connection, database: int) -> int | None:
    """The moment up to which a database's checks are in its rollups; `None` before its first check."""
    row = connection.execute("SELECT until_ms FROM watermark WHERE database_id = ?", (database,)).fetchone()
    return None if row is None else int(row[0])


def move_watermark(connection: sqlite3.Connection, database: int, until_ms: int) -> None:
    """Note that the rollups hold all before that moment."""
    sql = "INSERT OR REPLACE INTO watermark (database_id, until_ms) VALUES (?, ?)"
    connection.execute(sql, (database, until_ms))


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A check, and the times, as first and last moment, in which its state held in the span that was asked for.

    `is_inside` is false for the check before the span, which only reaches into it. Maintenance is left out.
    """

    check: CheckRow
    is_inside: bool
    held_ms: tuple[tuple[int, int], ...]


def spans(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> Iterator[Span]:
    """The checks from `start_ms` until before `end_ms`, the oldest first, and the one that reaches into it.

    What the last check before the end found holds until then only if another check follows: what is not known yet
    is not known.
    """
    before = check_before(connection, database, start_ms, since_ms=read_retention(connection).checks_ms)
    gaps = read_gaps(connection, database, start_ms=start_ms if before is None else before.at_ms, end_ms=end_ms)
    windows = read_maintenance(connection, database, start_ms=start_ms, end_ms=end_ms)
    inside = read_rows(connection, database, start_ms, end_ms)
    after = check_from(connection, database, end_ms)
    place = 0
    check = next(inside, None) if before is None else before
    while check is not None:
        following = next(inside, None)
        until = following or after
        held_until_ms = check.at_ms
        if until is not None:
            while place < len(gaps) and gaps[place][1] <= check.at_ms:
                place += 1
            if place == len(gaps) or gaps[place][0] >= until.at_ms:
                held_until_ms = until.at_ms
        held = outside(max(start_ms, check.at_ms), min(end_ms, held_until_ms), windows)
        yield Span(check=check, is_inside=check is not before, held_ms=tuple(held))
        check = following
