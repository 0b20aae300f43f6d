"""The shape of the SQLite file: numbered migrations and the views that stay stable (design, 5.4).

Each migration is one transaction and moves `user_version` by one. Reading and writing rows is done elsewhere.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from monitor.core.observation import Family, Outcome
from monitor.store.faults import DamagedError, ForeignFileError, NewerFileError

APPLICATION_ID = 0x55505354  # "UPST", so that `file` and we recognise our own
TABLES = frozenset(("outcome", "database", "look", "watch", "gap", "incident", "parcel", "channel", "control"))

_FIRST = """
CREATE TABLE outcome (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, ok INTEGER);
CREATE TABLE database (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE look (
  database_id INTEGER NOT NULL REFERENCES database (id),
  at_ms INTEGER NOT NULL,
  outcome_id INTEGER NOT NULL REFERENCES outcome (id),
  http_status INTEGER,
  dns_us INTEGER, connect_us INTEGER, tls_us INTEGER, wait_us INTEGER, read_us INTEGER, total_us INTEGER,
  detail TEXT,
  PRIMARY KEY (database_id, at_ms)
) WITHOUT ROWID;
CREATE TABLE watch (
  database_id INTEGER PRIMARY KEY REFERENCES database (id), seen_ms INTEGER NOT NULL, state TEXT NOT NULL
);
CREATE TABLE gap (
  database_id INTEGER NOT NULL REFERENCES database (id),
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  PRIMARY KEY (database_id, from_ms)
) WITHOUT ROWID;
CREATE TABLE incident (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  database_id INTEGER NOT NULL REFERENCES database (id),
  opened_ms INTEGER NOT NULL,
  told_ms INTEGER NOT NULL,
  closed_ms INTEGER,
  acknowledged_ms INTEGER,
  cause TEXT NOT NULL,
  causes TEXT NOT NULL,
  severity TEXT NOT NULL,
  looks_failed INTEGER NOT NULL
);
CREATE TABLE parcel (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  incident_id INTEGER,
  kind TEXT NOT NULL,
  notice TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  tried_ms INTEGER,
  due_ms INTEGER,
  delivered_ms INTEGER,
  given_up_ms INTEGER,
  last_error TEXT
);
CREATE INDEX parcel_waiting ON parcel (channel, id) WHERE delivered_ms IS NULL AND given_up_ms IS NULL;
CREATE TABLE channel (
  name TEXT PRIMARY KEY,
  broken_ms INTEGER,
  reason TEXT,
  chat_id_before TEXT,
  chat_id TEXT,
  blocked_ms INTEGER,
  blocked_until_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE control (address TEXT PRIMARY KEY, answered_ms INTEGER NOT NULL) WITHOUT ROWID;
"""

_TIME = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000, 'unixepoch') || printf('.%03dZ', {0} % 1000)"


def _moment(column: str) -> str:
    return _TIME.format(column)


_VIEWS = f"""
CREATE VIEW history (database, at, outcome, ok, latency_ms, total_ms, http_status, detail) AS
  SELECT database.name, {_moment("look.at_ms")}, outcome.code, outcome.ok,
    (look.wait_us + look.read_us) / 1000.0, look.total_us / 1000.0, look.http_status, look.detail
  FROM look
  JOIN database ON database.id = look.database_id
  JOIN outcome ON outcome.id = look.outcome_id;
CREATE VIEW incident_log (id, database, opened_at, closed_at, cause, severity, looks_failed, acknowledged_at) AS
  SELECT incident.id, database.name, {_moment("opened_ms")}, {_moment("closed_ms")}, cause, severity,
    looks_failed, {_moment("acknowledged_ms")}
  FROM incident JOIN database ON database.id = incident.database_id;
CREATE VIEW deliveries (incident, kind, channel, created_at, delivered_at, attempts, last_error) AS
  SELECT incident_id, kind, channel, {_moment("created_ms")}, {_moment("delivered_ms")}, attempts, last_error
  FROM parcel;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST + _VIEWS,)


def refuse_others(connection: sqlite3.Connection) -> None:
    """Raise `NewerFileError` or `ForeignFileError` for a file that is not ours to write. Only reads."""
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise NewerFileError(version, len(MIGRATIONS))
    # Tables first: another process that makes them now sets the mark in the same transaction.
    tables = _tables(connection)
    marked = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if tables and not marked and not tables >= TABLES:
        raise ForeignFileError


def prepare(connection: sqlite3.Connection) -> None:
    """Bring a file to this version; raises `RefusedFileError` for one that is not ours to write."""
    refuse_others(connection)
    version = _version(connection)
    if version == 0 and not _tables(connection):
        # Must come before the first table is made; the space of pruned looks is given back later.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    for number in range(version, len(MIGRATIONS)):
        _migrate(connection, number)
    if not is_whole(connection):
        raise DamagedError("a table is missing or has another shape")
    _complete_outcomes(connection)


def is_whole(connection: sqlite3.Connection) -> bool:
    """True when every table, index and view is there and reads as we made it; others may have been added."""
    return _shape(connection) >= _whole_shape()


@cache
def _whole_shape() -> frozenset[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for number in range(len(MIGRATIONS)):
            _migrate(fresh, number)
        return _shape(fresh)


def _shape(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    return frozenset(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < 0:
        raise DamagedError("the schema version is below zero")
    return version


def _tables(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))


def _complete_outcomes(connection: sqlite3.Connection) -> None:
    """Outcomes may be added without a migration."""
    known = {row[0] for row in connection.execute("SELECT code FROM outcome")}
    missing = [_row(outcome) for outcome in Outcome if outcome.value not in known]
    if missing:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO outcome (code, ok) VALUES (?, ?)", missing)
        connection.execute("COMMIT")


def _migrate(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been here between our look at the version and the lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] == number:
            for statement in filter(str.strip, MIGRATIONS[number].split(";\n")):
                connection.execute(statement)
            if number == 0:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _row(outcome: Outcome) -> tuple[str, int | None]:
    """An unknown outcome is neither up nor down, so that `avg(ok)` leaves it out."""
    return outcome.value, None if outcome.family is Family.UNKNOWN else int(not outcome.family.is_failing)
