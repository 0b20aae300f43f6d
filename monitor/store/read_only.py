"""The history file for those who only read: opened so that nothing is made, changed or left beside it; copied."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from monitor.store.errors import (
    Damage,
    MissingFileError,
    UnreadableFileError,
    damage_of,
    describe,
    naming_damage,
)
from monitor.store.file.open import is_file, open_at_rest
from monitor.store.file.schema import is_older, prepare, refuse_others, require_whole

T = TypeVar("T")


class TargetExistsError(Exception):
    """There is something where the copy should go, and it is left alone."""


class ReadOnlyFile:
    """An open history file. Reading raises `RefusedFileError` when the file turns out to be unreadable."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` returns, all of it read at one moment."""
        try:
            with naming_damage():
                self._connection.execute("BEGIN")
                try:
                    return query(self._connection)
                finally:
                    self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise UnreadableFileError(self._path, error) from error


@contextmanager
def open_read_only(path: Path) -> Iterator[ReadOnlyFile]:
    """The file at that path, open until the block is left.

    A file of an older version is read as it would be after its upgrade. Raises `RefusedFileError` when there is
    none or it is not ours, damaged, or out of reach.
    """
    try:
        if not is_file(path):
            raise MissingFileError(path)
        path.open("rb").close()
        connection = _open_whole(path)
    except (sqlite3.Error, OSError) as error:
        raise UnreadableFileError(path, error) from error
    with closing(connection):
        yield ReadOnlyFile(path, connection)


def back_up(source: Path, target: Path) -> int:
    """Copy the history, whole at one moment, while others write; return the copy's size in bytes.

    The target must not exist yet. A copy that cannot be finished leaves nothing behind; one that is killed leaves
    an empty file and a `.part`. Raises `TargetExistsError`, `RefusedFileError` for a history that cannot be read,
    OSError for a target that cannot be written.
    """
    try:
        if not is_file(source):
            raise MissingFileError(source)
    except OSError as error:
        raise UnreadableFileError(source, error) from error
    try:
        target.open("xb").close()  # from here on the name is ours
    except FileExistsError as error:
        raise TargetExistsError from error
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite fills an empty file
        _copy(source, part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        raise
    return target.stat().st_size


def _copy(source: Path, part: Path) -> None:
    try:
        connection = open_at_rest(source)
    except (sqlite3.Error, OSError) as error:
        raise UnreadableFileError(source, error) from error
    with closing(connection):
        try:
            with naming_damage():
                refuse_others(connection)
                connection.execute("VACUUM INTO ?", (str(part),))
        except sqlite3.Error as error:
            if damage_of(error) is Damage.UNWRITABLE:  # the copy: it is all that is written
                raise OSError(errno.EIO, describe(error)) from error
            raise UnreadableFileError(source, error) from error
    with part.open("rb") as written:
        os.fsync(written.fileno())


def _open_whole(path: Path) -> sqlite3.Connection:
    connection = open_at_rest(path)
    try:
        with naming_damage():
            refuse_others(connection)
            if is_older(connection):
                connection = _upgraded_copy(connection)
            require_whole(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgraded_copy(older: sqlite3.Connection) -> sqlite3.Connection:
    """In memory, since whoever only reads must not change the file."""
    with closing(older):
        copy = sqlite3.connect(":memory:", isolation_level=None)
        older.backup(copy)
    prepare(copy)
    return copy
