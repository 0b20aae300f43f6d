"""Opens the SQLite file, moves a damaged one aside, and copies tables from one connection to another.

When that is called for is decided in `store`; the tables themselves are laid in `schema`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from monitor.store.schema import prepare

# Short, because looks and alerts go on from memory meanwhile; long enough for another process' transaction.
BUSY_TIMEOUT_SECONDS = 2.0
MEMORY = ":memory:"
# Parents before children. Everything that decisions and deliveries need; looks are the bulk and not in here.
STATE_TABLES = ("database", "watch", "incident", "parcel", "channel", "control", "gap", "sqlite_sequence")
ALL_TABLES = (*STATE_TABLES, "look")


def open_file(path: Path) -> sqlite3.Connection:
    """Open or make the file, folders included, and bring it to this version.

    Raises sqlite3.Error, OSError for a folder that cannot be made, or `NewerFileError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return _opened(str(path))


def open_memory() -> sqlite3.Connection:
    """An empty database of the same shape that lives as long as its connection."""
    return _opened(MEMORY)


def _opened(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        prepare(connection)
        # A file can be opened and read though it cannot be written; the first look should not find that out.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path, now: datetime) -> Path:
    """Rename a damaged file with its -wal and -shm, so that nothing of it is mixed with a new one."""
    mark = now.strftime("damaged-%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.{mark}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{mark}-{number}")
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside


def copy_tables(source: sqlite3.Connection, target: sqlite3.Connection, tables: Sequence[str]) -> list[str]:
    """Copy what can be read; return the tables that could not. Rows of the target with the same key give way."""
    lost = []
    for table in tables:
        try:
            rows = source.execute(f"SELECT * FROM {table}").fetchall()
        except sqlite3.Error:
            lost.append(table)
            continue
        if table == "sqlite_sequence":
            _carry_on_counting(target, rows)
        elif rows:
            marks = ", ".join("?" * len(rows[0]))
            target.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)
    return lost


def _carry_on_counting(target: sqlite3.Connection, rows: Sequence[tuple[str, int]]) -> None:
    """Numbers once given to an incident are not given again, whatever happened to its row."""
    for name, last in rows:
        known = target.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
        if known is None:
            target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))
        elif known[0] < last:
            target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, name))
