"""Rows of looks, watches, gaps and incidents. Each function runs inside a transaction that its caller holds.

What a look leads to is decided by the rule that is handed in; parcels are packed in `outbox`.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta

from monitor.core.notice import Severity
from monitor.core.observation import Look, Outcome
from monitor.core.watch import Incident, Watch, watch_from_json, watch_to_json
from monitor.store.rows import from_ms, from_ms_or_none, to_ms, to_us


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
    return watch_from_json(json.loads(row[0])), from_ms(row[1])


def write_watch(connection: sqlite3.Connection, database: int, watch: Watch, seen_at: datetime) -> None:
    state = json.dumps(watch_to_json(watch), separators=(",", ":"))
    connection.execute(
        "INSERT INTO watch (database_id, seen_ms, state) VALUES (?, ?, ?)"
        " ON CONFLICT (database_id) DO UPDATE SET seen_ms = excluded.seen_ms, state = excluded.state",
        (database, to_ms(seen_at), state),
    )


def add_look(connection: sqlite3.Connection, database: int, look: Look) -> None:
    """Add one row. After the clock was set back, the next free millisecond is taken."""
    at_ms = to_ms(look.at)
    while connection.execute(
        "SELECT 1 FROM look WHERE database_id = ? AND at_ms = ?", (database, at_ms)
    ).fetchone():
        at_ms += 1
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
        "SELECT name, incident.id, opened_ms, told_ms, closed_ms, acknowledged_ms, cause, causes, severity,"
        " looks_failed FROM incident JOIN database ON database.id = database_id"
        " WHERE closed_ms IS NULL OR ? ORDER BY incident.id DESC",
        (closed_too,),
    )
    return [
        (
            name,
            Incident(
                id=number,
                opened_at=from_ms(opened),
                told_at=from_ms(told),
                closed_at=from_ms_or_none(closed),
                acknowledged_at=from_ms_or_none(acknowledged),
                cause=Outcome(cause),
                causes=tuple(Outcome(code) for code in json.loads(causes)),
                severity=Severity(severity),
                looks_failed=failed,
            ),
        )
        for name, number, opened, told, closed, acknowledged, cause, causes, severity, failed in rows
    ]


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
