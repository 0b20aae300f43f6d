"""The latest times in the file, and how all move along when the clock is set: what is open is as old as before."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.alerts.notification import from_json
from monitor.incidents.state import moved, state_from_json, state_to_json
from monitor.lib.times import from_ms, to_ms
from monitor.store.tables.outbox import WAITING, as_text

_MILLISECOND = timedelta(milliseconds=1)
# Times of what is open, waits or is remembered of now. What is over stays where it was told to be.
_COLUMNS = (
    ("incident_state", ("checked_ms",), "TRUE"),
    ("incident", ("opened_ms", "notified_ms", "acknowledged_ms"), "closed_ms IS NULL"),
    ("outbox", ("created_ms", "tried_ms", "due_ms", "not_before_ms"), WAITING),
    ("channel", ("broken_ms", "unreachable_ms", "blocked_ms", "blocked_until_ms"), "TRUE"),
    ("connectivity_host", ("answered_ms",), "TRUE"),
)


def move_times(connection: sqlite3.Connection, by: timedelta, *, silences_from: datetime | None = None) -> None:
    """Move the times of open incidents, of waiting messages and of what is remembered, to a new clock.

    Of the silences only those that begin after `silences_from`: others were given when the clock was right again.
    """
    by_ms = by // _MILLISECOND
    if by_ms > 0:
        # Nobody checked at the times that were left out: the last check's state did not hold for so long.
        connection.execute(
            "INSERT OR REPLACE INTO gap (database_id, from_ms, to_ms)"
            f" SELECT database_id, checked_ms, checked_ms + {by_ms} FROM incident_state"
        )
    for table, columns, condition in _COLUMNS:
        assignments = ", ".join(f"{column} = {column} + {by_ms}" for column in columns)
        connection.execute(f"UPDATE {table} SET {assignments} WHERE {condition}")
    after_ms = 0 if silences_from is None else to_ms(silences_from)
    sql = "UPDATE silence SET from_ms = from_ms + ?1, until_ms = until_ms + ?1 WHERE from_ms > ?2"
    connection.execute(sql, (by_ms, after_ms))
    _move_states(connection, by)
    _move_unchecked(connection, by_ms)
    _move_notifications(connection, by)


def latest_time(connection: sqlite3.Connection) -> datetime | None:
    """The latest moment at which something was noted down as just happening."""
    sql = (
        "SELECT max(at_ms) FROM (SELECT max(checked_ms) AS at_ms FROM incident_state UNION ALL"
        f" SELECT max(max(created_ms, ifnull(tried_ms, 0))) FROM outbox WHERE {WAITING})"
    )
    (at_ms,) = connection.execute(sql).fetchone()
    return None if at_ms is None else from_ms(at_ms)


def latest_check(connection: sqlite3.Connection) -> datetime | None:
    """When the last check of any database was."""
    (at_ms,) = connection.execute("SELECT max(checked_ms) FROM incident_state").fetchone()
    return None if at_ms is None else from_ms(at_ms)


def connectivity_answered(connection: sqlite3.Connection, since: datetime) -> frozenset[str]:
    """The connectivity hosts that have answered since then."""
    sql = "SELECT address FROM connectivity_host WHERE answered_ms >= ?"
    return frozenset(row[0] for row in connection.execute(sql, (to_ms(since),)))


def _move_states(connection: sqlite3.Connection, by: timedelta) -> None:
    for database, text in connection.execute("SELECT database_id, state FROM incident_state").fetchall():
        state = state_to_json(moved(state_from_json(json.loads(text)), by))
        connection.execute(
            "UPDATE incident_state SET state = ? WHERE database_id = ?",
            (json.dumps(state, separators=(",", ":")), database),
        )


def _move_unchecked(connection: sqlite3.Connection, by_ms: int) -> None:
    for number, text in connection.execute(
        "SELECT id, unchecked FROM incident WHERE closed_ms IS NULL AND unchecked <> '[]'"
    ).fetchall():
        spans = [[start + by_ms, end + by_ms] for start, end in json.loads(text)]
        connection.execute("UPDATE incident SET unchecked = ? WHERE id = ?", (json.dumps(spans), number))


def _move_notifications(connection: sqlite3.Connection, by: timedelta) -> None:
    for number, text in connection.execute(f"SELECT id, notification FROM outbox WHERE {WAITING}").fetchall():
        old = from_json(json.loads(text))
        new = replace(old, created_at=old.created_at + by)
        if old.since is not None and old.until is None:
            spans = tuple((start + by, end + by) for start, end in old.unchecked)
            new = replace(new, since=old.since + by, unchecked=spans)
        connection.execute("UPDATE outbox SET notification = ? WHERE id = ?", (as_text(new), number))
