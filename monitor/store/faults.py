"""What can be wrong with the SQLite file, in our words; what is done about it is decided in `store`."""

from __future__ import annotations

import sqlite3
from enum import Enum


class NewerFileError(Exception):
    """The file was written by a newer version of this program; it was not touched."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the history file has schema version {found}, this program knows up to {known}. "
            "Next: use the newer program again, or set history.path to another file"
        )


class Damage(Enum):
    """The two kinds of trouble: the content is broken, or the file cannot be written now."""

    CORRUPT = "corrupt"
    UNWRITABLE = "unwritable"


_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "access to the file is denied",
    sqlite3.SQLITE_BUSY: "the file is locked by another process",
    sqlite3.SQLITE_LOCKED: "the file is locked by another process",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
}


def damage_of(error: sqlite3.Error) -> Damage | None:
    """Which kind of trouble it is; `None` for an error that is our own bug, such as wrong SQL."""
    code = _code(error)
    if code in _CORRUPT:
        return Damage.CORRUPT
    return Damage.UNWRITABLE if code in _WORDS else None


def describe(error: sqlite3.Error) -> str:
    """The trouble in words, for a log line or a notice; never SQL or data."""
    return _WORDS.get(_code(error), "the content is damaged")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; the upper bits only refine it (sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
