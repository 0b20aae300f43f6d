"""Rows of databases, their incident states and their incidents."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.alerts.notification import Severity
from monitor.checks.observation import Outcome
from monitor.diagnosis.verdicts import Verdict, verdict_from_json, verdict_to_json
from monitor.incidents.state import Incident, IncidentState, state_from_json, state_to_json
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.errors import reading

# Made once: json.dumps would make one for each check.
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_INCIDENT_COLUMNS = (
    "incident.id, opened_ms, notified_ms, closed_ms, acknowledged_ms, cause, causes, severity, checks_failed,"
    " verdict, is_unwatched, unchecked, is_unstable, fails_for_ms, fails_every_ms"
)


def database_id(connection: sqlite3.Connection, name: str) -> int:
    """The row of a database, made at its first check."""
    known = find_database(connection, name)
    if known is not None:
        return known
    row = connection.execute("INSERT INTO database (name) VALUES (?) RETURNING id", (name,)).fetchone()
    return int(row[0])


def find_database(connection: sqlite3.Connection, name: str) -> int | None:
    """The row of a database; `None` for one that was never checked."""
    row = connection.execute("SELECT id FROM database WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def database_names(connection: sqlite3.Connection) -> list[str]:
    """Every database that was ever checked, in the order in which that began."""
    return [name for (name,) in connection.execute("SELECT name FROM database ORDER BY id")]


def read_state(connection: sqlite3.Connection, database: int) -> tuple[IncidentState, datetime | None]:
    """The state of a database and when it was last checked."""
    row = connection.execute(
        "SELECT state, checked_ms FROM incident_state WHERE database_id = ?", (database,)
    ).fetchone()
    if row is None:
        return IncidentState(), None
    with reading("the state of a database"):
        return state_from_json(json.loads(row[0])), from_ms(row[1])


def write_state(connection: sqlite3.Connection, database: int, state: IncidentState, checked_at: datetime) -> None:
    connection.execute(
        "INSERT INTO incident_state (database_id, checked_ms, state) VALUES (?, ?, ?)"
        " ON CONFLICT (database_id) DO UPDATE SET checked_ms = excluded.checked_ms, state = excluded.state",
        (database, to_ms(checked_at), _to_json(state_to_json(state))),
    )


# From here on numbers are for incidents that memory opens while the file cannot be written.
FIRST_IN_MEMORY = 1_000_000_000
_NUMBERS_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS_A_SECOND = 100


def next_incident(connection: sqlite3.Connection, *, in_memory_at: datetime | None = None) -> int:
    """The number that the next incident gets; numbers are never given twice.

    What memory opens, `in_memory_at` that time, may be told and then lost by a kill, so that no file knows of it.
    Its number is made of the time: no other memory gives it, later ones begin higher, and the file's go on below.
    """
    if in_memory_at is not None:
        (highest,) = connection.execute("SELECT ifnull(max(id), 0) FROM incident").fetchone()
        by_time = int((in_memory_at - _NUMBERS_BEGIN).total_seconds() * _NUMBERS_A_SECOND)
        return max(int(highest) + 1, FIRST_IN_MEMORY + max(0, by_time))
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'incident'").fetchone()
    last = 0 if row is None else int(row[0])
    if last >= FIRST_IN_MEMORY:
        sql = "SELECT ifnull(max(id), 0) FROM incident WHERE id < ?"
        (last,) = connection.execute(sql, (FIRST_IN_MEMORY,)).fetchone()
    return last + 1


def write_incident(connection: sqlite3.Connection, database: int, incident: Incident) -> None:
    connection.execute(
        "INSERT INTO incident (id, database_id, opened_ms, notified_ms, closed_ms, acknowledged_ms, cause, causes,"
        " severity, checks_failed, verdict, is_unwatched, unchecked, is_unstable, fails_for_ms, fails_every_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET"
        " opened_ms = excluded.opened_ms, notified_ms = excluded.notified_ms,"
        " closed_ms = excluded.closed_ms, acknowledged_ms = excluded.acknowledged_ms, cause = excluded.cause,"
        " causes = excluded.causes, severity = excluded.severity, checks_failed = excluded.checks_failed,"
        " verdict = excluded.verdict, is_unwatched = excluded.is_unwatched, unchecked = excluded.unchecked,"
        " is_unstable = excluded.is_unstable, fails_for_ms = excluded.fails_for_ms,"
        " fails_every_ms = excluded.fails_every_ms",
        (
            incident.id,
            database,
            to_ms(incident.opened_at),
            to_ms(incident.notified_at),
            to_ms(incident.closed_at) if incident.closed_at else None,
            to_ms(incident.acknowledged_at) if incident.acknowledged_at else None,
            incident.cause.value,
            json.dumps([cause.value for cause in incident.causes]),
            incident.severity.value,
            incident.checks_failed,
            _to_json(verdict_to_json(incident.verdict)),
            incident.is_unwatched,
            _to_json([[to_ms(start), to_ms(end)] for start, end in incident.unchecked]),
            incident.is_unstable,
            _in_ms(incident.fails_for),
            _in_ms(incident.fails_every),
        ),
    )


def read_incidents(connection: sqlite3.Connection, *, closed_too: bool) -> list[tuple[str, Incident]]:
    """Incidents with their database's name, the newest first."""
    rows = connection.execute(
        f"SELECT name, {_INCIDENT_COLUMNS} FROM incident JOIN database ON database.id = database_id"
        " WHERE closed_ms IS NULL OR ? ORDER BY notified_ms DESC, incident.id DESC",
        (closed_too,),
    )
    return [(name, _incident(*columns)) for name, *columns in rows]


def last_incidents(connection: sqlite3.Connection, *, limit: int) -> list[tuple[str, Incident]]:
    """The closed incidents with the highest numbers, with their database's name, the newest first."""
    rows = connection.execute(
        f"SELECT name, {_INCIDENT_COLUMNS} FROM incident JOIN database ON database.id = database_id"
        " WHERE closed_ms IS NOT NULL ORDER BY incident.id DESC LIMIT ?",
        (limit,),
    )
    found = [(name, _incident(*columns)) for name, *columns in rows]
    return sorted(found, key=lambda one: one[1].notified_at, reverse=True)


def incidents_of(
    connection: sqlite3.Connection, database: int, *, start_ms: int, end_ms: int
) -> tuple[Incident, ...]:
    """A database's incidents that touch a span of time, the newest first."""
    rows = connection.execute(
        f"SELECT {_INCIDENT_COLUMNS} FROM incident WHERE database_id = ? AND opened_ms < ?"
        " AND (closed_ms IS NULL OR closed_ms > ?) ORDER BY notified_ms DESC, incident.id DESC",
        (database, end_ms, start_ms),
    )
    return tuple(_incident(*columns) for columns in rows)


def open_incident(connection: sqlite3.Connection, database: int) -> Incident | None:
    """A database's open incident."""
    row = connection.execute(
        f"SELECT {_INCIDENT_COLUMNS} FROM incident WHERE database_id = ? AND closed_ms IS NULL"
        " ORDER BY incident.id DESC",
        (database,),
    ).fetchone()
    return None if row is None else _incident(*row)


def read_incident(connection: sqlite3.Connection, number: int) -> Incident:
    """The incident of that number."""
    return _incident(
        *connection.execute(f"SELECT {_INCIDENT_COLUMNS} FROM incident WHERE id = ?", (number,)).fetchone()
    )


def find_incident(connection: sqlite3.Connection, number: int) -> tuple[str, Incident] | None:
    """The incident of that number with its database's name; `None` for a number that was not given."""
    row = connection.execute(
        f"SELECT name, {_INCIDENT_COLUMNS} FROM incident JOIN database ON database.id = database_id"
        " WHERE incident.id = ?",
        (number,),
    ).fetchone()
    return None if row is None else (row[0], _incident(*row[1:]))


def change_verdict(connection: sqlite3.Connection, number: int, verdict: Verdict) -> None:
    """The verdict of an incident, in its row and, while it is open, in the state of its database."""
    (database,) = connection.execute("SELECT database_id FROM incident WHERE id = ?", (number,)).fetchone()
    write_incident(connection, database, replace(read_incident(connection, number), verdict=verdict))
    state, checked_at = read_state(connection, database)
    if checked_at is not None and state.incident is not None and state.incident.id == number:
        changed = replace(state, incident=replace(state.incident, verdict=verdict))
        write_state(connection, database, changed, checked_at)


def _incident(*columns: Any) -> Incident:
    number, opened, notified, closed, acknowledged, cause, causes, severity, failed, verdict, *ending = columns
    is_unwatched, unchecked, is_unstable, fails_for, fails_every = ending
    with reading("an incident"):
        return Incident(
            id=number,
            opened_at=from_ms(opened),
            notified_at=from_ms(notified),
            closed_at=from_ms_or_none(closed),
            acknowledged_at=from_ms_or_none(acknowledged),
            cause=Outcome(cause),
            causes=tuple(Outcome(code) for code in json.loads(causes)),
            severity=Severity(severity),
            checks_failed=failed,
            verdict=verdict_from_json(json.loads(verdict)),
            is_unwatched=bool(is_unwatched),
            unchecked=tuple((from_ms(start), from_ms(end)) for start, end in json.loads(unchecked)),
            is_unstable=bool(is_unstable),
            fails_for=_span(fails_for),
            fails_every=_span(fails_every),
        )


def _in_ms(span: timedelta | None) -> int | None:
    return None if span is None else span // timedelta(milliseconds=1)


def _span(ms: int | None) -> timedelta | None:
    return None if ms is None else timedelta(milliseconds=ms)
