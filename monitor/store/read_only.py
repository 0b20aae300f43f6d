"""Opens the history file for those who only read: nothing is made, changed or left beside it.

What is read is told in `history`; how the file is opened for writing, in `file`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from monitor.store.errors import DamagedError, MissingFileError, UnreadableFileError, naming_damage
from monitor.store.file.migrations import MIGRATIONS
from monitor.store.file.open import open_at_rest
from monitor.store.file.schema import is_whole, prepare, refuse_others
from monitor.store.queries import Query, Reader

T = TypeVar("T")


@contextmanager
def open_archive(path: Path) -> Iterator[Reader]:
    """The file at that path, open to be read until the block is left.

    A file of an older version is read as it would be after its upgrade. Raises `RefusedFileError` when there is
    none or it is not ours, damaged, or out of reach; so does whoever reads it.
    """
    try:
        path.open("rb").close()
        connection = _opened(path)
    except FileNotFoundError as error:
        raise MissingFileError(path) from error
    except (sqlite3.Error, OSError) as error:
        raise UnreadableFileError(path, error) from error

    def read(query: Query[T]) -> T:
        try:
            with naming_damage():
                connection.execute("BEGIN")
                try:
                    return query(connection)
                finally:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise UnreadableFileError(path, error) from error

    with closing(connection):
        yield read


def _opened(path: Path) -> sqlite3.Connection:
    connection = open_at_rest(path)
    try:
        with naming_damage():
            refuse_others(connection)
            if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
                connection = _upgraded_copy(connection)
            is_ours = is_whole(connection)
    except BaseException:
        connection.close()
        raise
    if not is_ours:
        connection.close()
        raise DamagedError("a table is missing or has another shape")
    return connection


def _upgraded_copy(older: sqlite3.Connection) -> sqlite3.Connection:
    """In memory: whoever only reads must not change the file, not even for the better."""
    with closing(older):
        copy = sqlite3.connect(":memory:", isolation_level=None)
        older.backup(copy)
    prepare(copy)
    return copy
