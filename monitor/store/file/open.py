"""Opens the SQLite file, tells whether it is still the same one, and moves a damaged one aside."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from monitor.store.errors import Damage, damage_of, naming_damage
from monitor.store.file.schema import prepare, refuse_others

# Short, because checks and alerts go on from memory meanwhile; long enough for another process' transaction.
BUSY_TIMEOUT_SECONDS = 2.0

# Device and inode: what a name stands for now.
Identity = tuple[int, int]


def open_file(path: Path) -> sqlite3.Connection:
    """Open or make the file, folders included, and bring it to this version.

    Raises sqlite3.Error, OSError for a place where no file can be, or `RefusedFileError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if not path.is_file():
            raise OSError(errno.EINVAL, "not a plain file")
        _refuse_others(path)
    return _open_to_write(_uri(path))


def open_memory() -> sqlite3.Connection:
    """An empty database of the same shape that lives as long as its connection.

    `file_state` and `file_delivery_count` are for the rows of `incident_state` and `delivery_count` that the file
    had when it was left.
    """
    connection = _open_to_write(":memory:")
    connection.execute("CREATE TABLE file_state (database_id INTEGER PRIMARY KEY, checked_ms INTEGER, state TEXT)")
    connection.execute("CREATE TABLE file_delivery_count (channel TEXT, result TEXT, number INTEGER)")
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A file that may be damaged or locked, for what it still gives; it is not written to. Raises sqlite3.Error.

    In a folder that cannot be written even reading is refused, unless SQLite may take the file for immutable; that
    is true enough when nothing waits in its log.
    """
    log = path.with_name(path.name + "-wal")
    try:
        return _open_readable(_uri(path, mode="ro"))
    except sqlite3.Error as error:
        if damage_of(error) is Damage.LOCKED or (log.exists() and log.stat().st_size):
            raise
        return _open_readable(_uri(path, mode="ro", immutable="1"))


def open_at_rest(path: Path) -> sqlite3.Connection:
    """A file that is only read, and beside which nothing shall be left. Raises sqlite3.Error.

    Without a log nobody writes to it, and SQLite may take it for immutable, which makes no log. Whoever begins to
    write just now writes a log first, and the file itself much later than we have read it. (`-journal` is the log
    of a file that is not ours, or that is being begun.)
    """
    if any(path.with_name(path.name + ending).exists() for ending in ("-wal", "-journal")):
        return open_to_read(path)
    return _open_readable(_uri(path, mode="ro", immutable="1"))


def identity(path: Path) -> Identity | None:
    """Which file stands under this name now; `None` when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


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


def _open_to_write(name: str) -> sqlite3.Connection:
    connection = _connect(name)
    try:
        with naming_damage():
            prepare(connection)
        # A file can be opened and read though it cannot be written; the first check should not find that out.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_readable(name: str) -> sqlite3.Connection:
    connection = _connect(name)
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _refuse_others(path: Path) -> None:
    """Before anything could be written: opened for writing, even closing a file may change it or drop its -wal."""
    try:
        with closing(open_at_rest(path)) as connection, naming_damage():
            refuse_others(connection)
    except sqlite3.Error as error:
        if damage_of(error) is Damage.CORRUPT:
            raise
        # What else is wrong with it shows when it is opened to be written.


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, uri=True
    )


def _uri(path: Path, **options: str) -> str:
    """A name that SQLite takes for a file whatever it is called."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return path.absolute().as_uri() + (f"?{query}" if query else "")
