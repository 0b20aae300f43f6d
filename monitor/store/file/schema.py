"""Brings a file to the shape of this version, or says that it is not ours to write.

Each migration is one transaction and moves `user_version` by one; what they do stands in `migrations`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache

from monitor.checks.observation import Family, Outcome
from monitor.store.errors import DamagedError, ForeignFileError, NewerFileError
from monitor.store.file.migrations import MIGRATIONS, MigrationStep

APPLICATION_ID = 0x55505354  # "UPST", so that `file` and we recognise our own
# What every version's file has.
TABLES = frozenset(
    (
        "outcome",
        "database",
        "check_result",
        "incident_state",
        "gap",
        "incident",
        "outbox",
        "channel",
        "connectivity_host",
    )
)


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


def prepare(connection: sqlite3.Connection, *, on_upgrade: Callable[[], None] | None = None) -> None:
    """Bring a file to this version; raises `RefusedFileError` for one that is not ours to write.

    `on_upgrade` is called before what was written by an older version is rewritten, which may take a while.
    """
    refuse_others(connection)
    version = _version(connection)
    if version == 0 and not _tables(connection):
        # Must come before the first table is made; the space of pruned checks is given back later.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if on_upgrade is not None and _is_to_be_rewritten(connection):
        on_upgrade()
    for number in range(version, len(MIGRATIONS)):
        _migrate(connection, number)
    if 0 < version < len(MIGRATIONS):
        with suppress(sqlite3.Error):  # what the old shape took beyond the new one; a courtesy to the disk
            connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
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
        # Another process may have been here between our reading of the version and the lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] == number:
            for step in MIGRATIONS[number]:
                _take(connection, step)
            if number == 0:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_to_be_rewritten(connection: sqlite3.Connection) -> bool:
    """True when it has checks of an older version; read at one moment, for others may be laying the tables."""
    connection.execute("BEGIN")
    try:
        if not 0 < _version(connection) < len(MIGRATIONS):
            return False
        return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM check_result)").fetchone()[0])
    finally:
        connection.execute("ROLLBACK")


def _take(connection: sqlite3.Connection, step: MigrationStep) -> None:
    if callable(step):
        step(connection)
        return
    # Not executescript, which would commit first.
    for statement in filter(str.strip, step.split(";\n")):
        connection.execute(statement)


def _row(outcome: Outcome) -> tuple[str, int | None]:
    """An unknown outcome is neither up nor down, so that `avg(ok)` leaves it out."""
    return outcome.value, None if outcome.family is Family.UNKNOWN else int(not outcome.family.is_failing)
