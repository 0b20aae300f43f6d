"""The tables and views of the history file, and the numbered migrations that bring a file to them.

Each migration is one transaction and moves `user_version` by one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from monitor.checks.observation import Family, Outcome
from monitor.store.errors import DamagedError, ForeignFileError, NewerFileError, UnreleasedFileError
from monitor.store.rollups.model import HOUR_MS

APPLICATION_ID = 0x5550524D  # "UPRM", so that `file` and we recognise our own
# "UPST", "UPSM": builds before the first release, with other tables under the same schema versions.
_UNRELEASED_IDS = {0x55505354, 0x5550534D}
# A file with these is ours even where the application id was damaged.
_OUR_TABLES = {"check_result", "incident_state", "outbox"}

_TABLES = """
CREATE TABLE outcome (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, ok INTEGER);
CREATE TABLE database (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rollup (
  id INTEGER PRIMARY KEY,
  database_id INTEGER NOT NULL REFERENCES database (id),
  grain INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  outcomes TEXT NOT NULL,
  up_ms INTEGER NOT NULL,
  down_ms INTEGER NOT NULL,
  latency BLOB NOT NULL,
  phases BLOB,
  UNIQUE (database_id, grain, slot)
);
CREATE TABLE watermark (database_id INTEGER PRIMARY KEY REFERENCES database (id), until_ms INTEGER NOT NULL);
CREATE TABLE retention (checks_ms INTEGER NOT NULL, failing_ms INTEGER NOT NULL);
CREATE TABLE check_result (id INTEGER PRIMARY KEY, latency_us INTEGER, other_us INTEGER, phases BLOB);
CREATE TABLE check_detail (
  id INTEGER PRIMARY KEY REFERENCES check_result (id),
  outcome_id INTEGER NOT NULL REFERENCES outcome (id),
  http_status INTEGER,
  detail TEXT
);
CREATE TABLE gap (
  database_id INTEGER NOT NULL REFERENCES database (id),
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  PRIMARY KEY (database_id, from_ms)
) WITHOUT ROWID;
CREATE TABLE incident_state (
  database_id INTEGER PRIMARY KEY REFERENCES database (id), checked_ms INTEGER NOT NULL, state TEXT NOT NULL
);
CREATE TABLE incident (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  database_id INTEGER NOT NULL REFERENCES database (id),
  opened_ms INTEGER NOT NULL,
  notified_ms INTEGER NOT NULL,
  closed_ms INTEGER,
  acknowledged_ms INTEGER,
  cause TEXT NOT NULL,
  causes TEXT NOT NULL,
  severity TEXT NOT NULL,
  checks_failed INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  is_unwatched INTEGER NOT NULL,
  unchecked TEXT NOT NULL
);
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  incident_id INTEGER,
  kind TEXT NOT NULL,
  notification TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  tried_ms INTEGER,
  due_ms INTEGER,
  delivered_ms INTEGER,
  given_up_ms INTEGER,
  last_error TEXT
);
CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE delivered_ms IS NULL AND given_up_ms IS NULL;
CREATE TABLE delivery_count (
  channel TEXT NOT NULL,
  result TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (channel, result)
) WITHOUT ROWID;
CREATE TABLE channel (
  name TEXT PRIMARY KEY,
  salt BLOB,
  fingerprint BLOB,
  broken_ms INTEGER,
  unconfirmed_ms INTEGER,
  reason TEXT,
  chat_id_before TEXT,
  chat_id TEXT,
  blocked_ms INTEGER,
  blocked_until_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE connectivity_host (address TEXT PRIMARY KEY, answered_ms INTEGER NOT NULL) WITHOUT ROWID;
"""

_TIME = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000, 'unixepoch') || printf('.%03dZ', {0} % 1000)"


def _moment(column: str) -> str:
    return _TIME.format(column)


# The lowest 22 bits of a check's number are the millisecond within its hour, the others are its hour's row.
_CHECK_AT = f"(rollup.slot * {HOUR_MS} + (check_result.id & 4194303))"

_VIEWS = f"""
CREATE VIEW history (database, at, outcome, ok, latency_ms, total_ms, http_status, detail) AS
  SELECT database.name, {_moment(_CHECK_AT)}, outcome.code, outcome.ok,
    check_result.latency_us / 1000.0, (ifnull(check_result.latency_us, 0) + check_result.other_us) / 1000.0,
    CASE WHEN check_detail.id IS NULL THEN 200 ELSE check_detail.http_status END, check_detail.detail
  FROM check_result
  JOIN rollup ON rollup.id = check_result.id >> 22
  JOIN database ON database.id = rollup.database_id
  LEFT JOIN check_detail ON check_detail.id = check_result.id
  JOIN outcome ON outcome.id = ifnull(check_detail.outcome_id, (SELECT id FROM outcome WHERE code = 'ok'));
CREATE VIEW incident_log
  (id, database, opened_at, closed_at, cause, severity, checks_failed, acknowledged_at) AS
  SELECT incident.id, database.name, {_moment("opened_ms")}, {_moment("closed_ms")}, cause, severity,
    checks_failed, {_moment("acknowledged_ms")}
  FROM incident JOIN database ON database.id = incident.database_id;
CREATE VIEW deliveries (incident, kind, channel, created_at, delivered_at, attempts, last_error) AS
  SELECT incident_id, kind, channel, {_moment("created_ms")}, {_moment("delivered_ms")}, attempts, last_error
  FROM outbox;
"""


# Statements end with a semicolon at the end of a line. A migration that is released is never changed.
# A column that is added may be empty: rows are copied to memory from a file of any version.
MIGRATIONS: tuple[str, ...] = (
    _TABLES + _VIEWS,
    "ALTER TABLE outbox ADD COLUMN message_ref TEXT;\n",
    "ALTER TABLE incident ADD COLUMN is_unstable INTEGER;\n"
    "ALTER TABLE incident ADD COLUMN fails_for_ms INTEGER;\n"
    "ALTER TABLE incident ADD COLUMN fails_every_ms INTEGER;\n",
    "ALTER TABLE outbox ADD COLUMN not_before_ms INTEGER;\nALTER TABLE outbox ADD COLUMN held_for TEXT;\n",
    "ALTER TABLE outbox ADD COLUMN held_with INTEGER;\n",
    "CREATE TABLE silence (id INTEGER PRIMARY KEY AUTOINCREMENT, databases TEXT NOT NULL,"
    " from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL);\n",
    "ALTER TABLE channel ADD COLUMN unreachable_ms INTEGER;\n"
    "ALTER TABLE channel ADD COLUMN unreachable_reason TEXT;\n"
    "ALTER TABLE channel ADD COLUMN credential BLOB;\n",
    "CREATE TABLE maintenance (database_id INTEGER NOT NULL REFERENCES database (id), from_ms INTEGER NOT NULL,"
    " to_ms INTEGER NOT NULL, PRIMARY KEY (database_id, from_ms)) WITHOUT ROWID;\n",
)


def refuse_others(connection: sqlite3.Connection) -> None:
    """Raise a `RefusedFileError` for a file that is not ours to write: unreleased, newer, foreign. Only reads."""
    if _application_id(connection) in _UNRELEASED_IDS:
        raise UnreleasedFileError
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise NewerFileError(version, len(MIGRATIONS))
    # Tables first: another process that makes them now sets the application id in the same transaction.
    tables = _tables(connection)
    if tables and _application_id(connection) != APPLICATION_ID and not tables >= _OUR_TABLES:
        raise ForeignFileError


def is_older(connection: sqlite3.Connection) -> bool:
    """True for a file that `prepare` would upgrade, or lay out."""
    return _version(connection) < len(MIGRATIONS)


def prepare(connection: sqlite3.Connection) -> None:
    """Bring a file to this version; raises `RefusedFileError` for one that is not ours to write."""
    refuse_others(connection)
    version = _version(connection)
    if version == 0 and not _tables(connection):
        # Must come before the first table is made; the space of pruned checks is given back later.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # A reader then holds up no writer, and a commit is one append to the log. What a power cut may lose of it is
    # brought to the disk by `sync` where a message was promised.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    for number in range(version, len(MIGRATIONS)):
        _migrate(connection, number, MIGRATIONS[number])
    require_whole(connection)
    _complete_outcomes(connection)


def is_whole(connection: sqlite3.Connection) -> bool:
    """True when every table, index and view is there and reads as we made it; others may have been added."""
    return _shape(connection) >= _whole_shape(MIGRATIONS)


def require_whole(connection: sqlite3.Connection) -> None:
    """Raise `DamagedError` unless `is_whole`."""
    if not is_whole(connection):
        raise DamagedError("a table is missing or has another shape")


@cache
def _whole_shape(migrations: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for number, migration in enumerate(migrations):
            _migrate(fresh, number, migration)
        return _shape(fresh)


def _shape(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    return frozenset(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def _application_id(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return number


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < 0:
        raise DamagedError("the schema version is below zero")
    return version


def _tables(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))


def _migrate(connection: sqlite3.Connection, number: int, migration: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been here between our reading of the version and the lock.
        if _version(connection) == number:
            # Not executescript, which would commit first.
            for statement in filter(str.strip, migration.split(";\n")):
                connection.execute(statement)
            if number == 0:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _complete_outcomes(connection: sqlite3.Connection) -> None:
    """Outcomes may be added without a migration."""
    known = {row[0] for row in connection.execute("SELECT code FROM outcome")}
    missing = [_outcome_row(outcome) for outcome in Outcome if outcome.value not in known]
    if missing:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO outcome (code, ok) VALUES (?, ?)", missing)
        connection.execute("COMMIT")


def _outcome_row(outcome: Outcome) -> tuple[str, int | None]:
    """An unknown outcome is neither up nor down, so that `avg(ok)` leaves it out."""
    return outcome.value, None if outcome.family is Family.UNKNOWN else int(not outcome.family.is_failing)
