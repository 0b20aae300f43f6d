"""What can be wrong with the history file, and SQLite's errors sorted into that."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from monitor.lib.text import one_line

_LONGEST_SHOWN = 300


class RefusedFileError(Exception):
    """The file cannot be used as it is, and was not touched. The text says what was found and what to do next."""


class NewerFileError(RefusedFileError):
    """The file was written by a newer version of this program."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the history file has schema version {found}, this program knows up to {known}. "
            "Next: use the newer program again, or set history.path to another file"
        )


class UnreleasedFileError(RefusedFileError):
    """The file was begun by a build before the first release, whose tables no version reads."""

    def __init__(self) -> None:
        super().__init__(
            "wanted a history file of this version, found one of an unreleased version. "
            "Next: move it away, a new one is begun; or set history.path to another file"
        )


class ForeignFileError(RefusedFileError):
    """The file is another program's database."""

    def __init__(self) -> None:
        super().__init__(
            "wanted a history file, found another program's SQLite database. "
            "Next: set history.path to a file of its own"
        )


class MissingFileError(RefusedFileError):
    """There is no history to read yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"wanted a history file at {_shown(path)}, found none. "
            "Next: start `run` or `check`, or set history.path to where the file is"
        )


class UnreadableFileError(RefusedFileError):
    """The file is there and cannot be read."""

    def __init__(self, path: Path, error: sqlite3.Error | OSError) -> None:
        super().__init__(
            f"wanted a history file that can be read at {_shown(path)}, found: {describe(error)}. "
            "Next: repair the file or its permissions, or set history.path to another one"
        )


def _shown(path: Path) -> str:
    return one_line(str(path), _LONGEST_SHOWN)


class UnknownDatabaseError(LookupError):
    """Neither the settings nor the history know a database of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"wanted the name of a database, found {name!r}. Next: name one of {', '.join(known) or 'none'}"
        )


class DamagedError(sqlite3.DatabaseError):
    """The file holds something that no version of this program writes, though SQLite itself can read it."""


class Damage(Enum):
    """The kinds of damage: the content is broken, another process holds the file, or it cannot be written."""

    CORRUPT = "corrupt"
    LOCKED = "locked"
    UNWRITABLE = "unwritable"


_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "access to the file is denied",
    sqlite3.SQLITE_BUSY: "the file is locked by another process",
    sqlite3.SQLITE_LOCKED: "the file is locked by another process",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
}
# What the system calls the same, and what SQLite calls an error of the disk or of opening though it is none.
SYSTEM_WORDS = {
    errno.EIO: "the disk reports an error",
    errno.EUCLEAN: "its file system is damaged",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.ESTALE: "its network disk has gone",
    errno.ENOTCONN: "its network disk has gone",
}
_MEND = "mend that"
_MAKE_ROOM = "make room"
_CHECK_DISK = "see in the system's log (dmesg) what the disk reports, and have it checked (fsck)"
_REMEDIES = {
    errno.EIO: _CHECK_DISK,
    errno.EUCLEAN: _CHECK_DISK,
    # A file system whose disk fails is made so by the system.
    errno.EROFS: "see in the system's log (dmesg) whether an error made it so, and mount it writable",
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.ESTALE: "mount it again",
    errno.ENOTCONN: "mount it again",
}
_REMEDIES_OF_SQLITE = {sqlite3.SQLITE_FULL: _MAKE_ROOM, sqlite3.SQLITE_IOERR: _CHECK_DISK}
# Python's own complaint about a text that is not UTF-8; it comes without a code.
_NOT_TEXT = "Could not decode to UTF-8"


def damage_of(error: sqlite3.Error | OSError | RefusedFileError) -> Damage | None:
    """Which kind of damage it is; `None` for an error that is our own bug, such as wrong SQL."""
    if isinstance(error, OSError | RefusedFileError):
        return Damage.UNWRITABLE
    code = _code(error)
    if isinstance(error, DamagedError) or code in _CORRUPT or str(error).startswith(_NOT_TEXT):
        return Damage.CORRUPT
    if code in _LOCKED:
        return Damage.LOCKED
    return Damage.UNWRITABLE if code in _WORDS else None


@contextmanager
def naming_damage() -> Iterator[None]:
    """Raise damage for what Python raises when SQLite's message quotes a damaged name: it cannot decode it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DamagedError("a name cannot be read") from error


def describe(error: sqlite3.Error | OSError | RefusedFileError) -> str:
    """The damage in words, for a log line or a notification; never SQL or data."""
    if isinstance(error, RefusedFileError):
        return "another program's file is in its place"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return _WORDS.get(_code(error), "the content is damaged")


def remedy_for(error: sqlite3.Error | OSError | RefusedFileError) -> str:
    """What to do about it, before words for where: `make room`."""
    if isinstance(error, sqlite3.Error):
        return _REMEDIES_OF_SQLITE.get(_code(error), _MEND)
    return _REMEDIES.get(error.errno or 0, _MEND) if isinstance(error, OSError) else _MEND


def _code(error: sqlite3.Error) -> int:
    """The primary result code; the upper bits only refine it (sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise `DamagedError` for a row that we wrote and cannot read back: SQLite keeps no checksums of its own."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise DamagedError(f"{what} cannot be read") from error
