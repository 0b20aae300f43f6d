"""A copy of the history file that is whole at one moment, made while others write."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from monitor.store.errors import Damage, MissingFileError, UnreadableFileError, damage_of, describe, naming_damage
from monitor.store.file.open import open_at_rest
from monitor.store.file.schema import refuse_others


class TakenError(Exception):
    """There is something where the copy should go, and it is left alone."""


def back_up(source: Path, target: Path) -> int:
    """Copy the history to a file that must not exist yet; return its size in bytes.

    A copy that cannot be finished leaves nothing behind; one that is killed leaves an empty file and a `.part`.
    Raises `TakenError`, `RefusedFileError` for a history that cannot be read, OSError for a target that cannot be
    written.
    """
    if not source.is_file():
        raise MissingFileError(source)
    try:
        target.open("xb").close()  # from here on the name is ours
    except FileExistsError as error:
        raise TakenError from error
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
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
    except sqlite3.Error as error:
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
