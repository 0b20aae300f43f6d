"""Rows of looks, watches, gaps and incidents. Each function runs inside a transaction that its caller holds.

What a look leads to is decided by the rule that is handed in; parcels are packed in `outbox`.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta
from typing import Any

from monitor.core.notice import Severity
from monitor.core.observation import Look, Outcome
from monitor.core.watch import Incident, Watch, watch_from_json, watch_to_json
from monitor.store.rows import from_ms, from_ms_or_none, reading, to_ms, to_us

_INCIDENT_COLUMNS = (
    "incident.id, opened_ms, told_ms, closed_ms, acknowledged_ms, cause, causes, severity, looks_failed"
)


def database_id(connection: sqlite3.Connection, name: str) -> int:
    """The row of a database, made when it is seen for the first time."""
    row = connection.execute("SELECT id FROM database WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO database (name) VALUES (?) RETURNING id", (name,)).fetchone()
    return int(row[0])


def read_watch(connection: sqlite3.Connection, database: int) -> tuple[Watch, datetime | None]:
    """The state of a database and when it was last looked at."""
    row = connection.execute("SELECT state, seen_ms FROM watch WHERE database_id = ?", (database,)).fetchone()
    if row is None:
        return Watch(), None
    with reading("the state of a database"):
        return watch_from_json(json.loads(row[0])), from_ms(row[1])


def write_watch(connection: sqlite3.Connection, database: int, watch: Watch, seen_at: datetime) -> None:
    state = json.dumps(watch_to_json(watch), separators=(",", ":"))
    connection.execute(
        "INSERT INTO watch (database_id, seen_ms, state) VALUES (?, ?, ?)"
        " ON CONFLICT (database_id) DO UPDATE SET seen_ms = excluded.seen_ms, state = excluded.state",
        (database, to_ms(seen_at), state),
    )


def add_look(connection: sqlite3.Connection, database: int, look: Look) -> None:
    """Add one row."""
    at_ms = free_moment(connection, database, to_ms(look.at))
    phases = look.phases
    connection.execute(
        "INSERT INTO look (database_id, at_ms, outcome_id, http_status, dns_us, connect_us, tls_us, wait_us,"
        " read_us, total_us, detail)"
        " VALUES (?, ?, (SELECT id FROM outcome WHERE code = ?), ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            database,
            at_ms,
            look.outcome.value,
            look.http_status,
            to_us(phases.dns),
            to_us(phases.connect),
            to_us(phases.tls),
            to_us(phases.wait),
            to_us(phases.read),
            to_us(phases.total),
            look.detail or None,
        ),
    )


def free_moment(connection: sqlite3.Connection, database: int, at_ms: int) -> int:
    """The moment itself, or the next free millisecond: a clock that was set back comes by the same ones again."""
    sql = "SELECT 1 FROM look WHERE database_id = ? AND at_ms = ?"
    while connection.execute(sql, (database, at_ms)).fetchone():
        at_ms += 1
    return at_ms


def last_seen(
    connection: sqlite3.Connection, database: int, now: datetime, latest: datetime | None
) -> datetime | None:
    """When the database was last looked at before `now`, whatever the clock was set to in between.

    `latest` is the look before this one; its row may be gone, and it may lie in the future of a clock set back.
    """
    row = connection.execute(
        "SELECT max(at_ms) FROM look WHERE database_id = ? AND at_ms < ?", (database, to_ms(now))
    ).fetchone()
    moments = [moment for moment in (latest, from_ms_or_none(row[0])) if moment is not None and moment <= now]
    return max(moments, default=None)


def add_gap(connection: sqlite3.Connection, database: int, start: datetime, end: datetime) -> None:
    """Note a time in which nobody looked."""
    connection.execute(
        "INSERT OR REPLACE INTO gap (database_id, from_ms, to_ms) VALUES (?, ?, ?)",
        (database, to_ms(start), to_ms(end)),
    )


def next_incident(connection: sqlite3.Connection) -> int:
    """The number that the next incident gets; numbers are never given twice."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'incident'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def write_incident(connection: sqlite3.Connection, database: int, incident: Incident) -> None:
    connection.execute(
        "INSERT INTO incident (id, database_id, opened_ms, told_ms, closed_ms, acknowledged_ms, cause, causes,"
        " severity, looks_failed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " closed_ms = excluded.closed_ms, acknowledged_ms = excluded.acknowledged_ms, cause = excluded.cause,"
        " causes = excluded.causes, severity = excluded.severity, looks_failed = excluded.looks_failed",
        (
            incident.id,
            database,
            to_ms(incident.opened_at),
            to_ms(incident.told_at),
            to_ms(incident.closed_at) if incident.closed_at else None,
            to_ms(incident.acknowledged_at) if incident.acknowledged_at else None,
            incident.cause.value,
            json.dumps([cause.value for cause in incident.causes]),
            incident.severity.value,
            incident.looks_failed,
        ),
    )


def read_incidents(connection: sqlite3.Connection, *, closed_too: bool) -> list[tuple[str, Incident]]:
    """Incidents with their database's name, the newest first."""
    rows = connection.execute(
        f"SELECT name, {_INCIDENT_COLUMNS} FROM incident JOIN database ON database.id = database_id"
        " WHERE closed_ms IS NULL OR ? ORDER BY incident.id DESC",
        (closed_too,),
    )
    return [(name, _incident(*columns)) for name, *columns in rows]


def read_incident(connection: sqlite3.Connection, number: int) -> Incident:
    """The incident of that number."""
    return _incident(
        *connection.execute(f"SELECT {_INCIDENT_COLUMNS} FROM incident WHERE id = ?", (number,)).fetchone()
    )


def _incident(*columns: Any) -> Incident:
    number, opened, told, closed, acknowledged, cause, causes, severity, failed = columns
    with reading("an incident"):
        return Incident(
            id=number,
            opened_at=from_ms(opened),
            told_at=from_ms(told),
            closed_at=from_ms_or_none(closed),
            acknowledged_at=from_ms_or_none(acknowledged),
            cause=Outcome(cause),
            causes=tuple(Outcome(code) for code in json.loads(causes)),
            severity=Severity(severity),
            looks_failed=failed,
        )


def prune(connection: sqlite3.Connection, now: datetime, keep: timedelta) -> int:
    """Delete looks, gaps and finished parcels older than `keep`; incidents stay. Return the looks deleted."""
    limit = to_ms(now - keep)
    deleted = 0
    for (database,) in connection.execute("SELECT id FROM database").fetchall():
        deleted += connection.execute(
            "DELETE FROM look WHERE database_id = ? AND at_ms < ?", (database, limit)
        ).rowcount
        connection.execute("DELETE FROM gap WHERE database_id = ? AND to_ms < ?", (database, limit))
    connection.execute(
        "DELETE FROM parcel WHERE created_ms < ? AND (delivered_ms IS NOT NULL OR given_up_ms IS NOT NULL)",
        (limit,),
    )
    return deleted


def keep_latest(connection: sqlite3.Connection, number: int) -> None:
    """Delete all looks but the latest so many, of whatever database: memory is not a disk."""
    connection.execute(
        "DELETE FROM look WHERE at_ms < (SELECT at_ms FROM look ORDER BY at_ms DESC LIMIT 1 OFFSET ?)", (number,)
    )
