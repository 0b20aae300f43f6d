"""Opens the SQLite file, tells whether it is still the same one, and moves a damaged one aside."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from monitor.store.errors import SYSTEM_WORDS, Damage, damage_of, describe, naming_damage
from monitor.store.file.schema import prepare, refuse_others

# Short, because checks and alerts go on from memory meanwhile; long enough for another process' transaction.
BUSY_TIMEOUT_SECONDS = 2.0

# What a name has at most on most file systems, of which SQLite's own files beside ours need the last eight.
_LONGEST_NAME_BYTES = 255 - len("-journal")
# SQLite before 3.46 takes no longer path (MAX_PATHNAME in os_unix.c, less the same ending).
_LONGEST_PATH_BYTES = 512 - len("-journal")
_SORTS = (
    (stat.S_ISDIR, errno.EISDIR, "a folder is in its place"),
    (stat.S_ISFIFO, errno.ENXIO, "a named pipe is in its place"),
    (stat.S_ISSOCK, errno.ENXIO, "a socket is in its place"),
)
# What is wrong with a path in itself: no repair of the disk changes it.
_OF_THE_PATH = (errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.ENXIO)


def is_file(path: Path) -> bool:
    """True for a plain file, false where there is none yet. Raises OSError, in plain words, where none can be.

    Nothing is opened: to open a named pipe is to wait for who writes to it.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its path has a zero byte in it")
    if len(os.fsencode(path.name)) > _LONGEST_NAME_BYTES:
        raise OSError(errno.ENAMETOOLONG, f"its name is longer than {_LONGEST_NAME_BYTES} bytes")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _in_plain_words(error) from error
    if stat.S_ISREG(mode):
        return True
    found = ((number, words) for is_sort, number, words in _SORTS if is_sort(mode))
    raise OSError(*next(found, (errno.ENXIO, "a device is in its place")))


def mistake_in(path: Path) -> tuple[str, bool] | None:
    """What keeps a file from being there, and whether that is in the path itself, which no repair of a disk mends.

    `None` where it can be there, as far as that shows without making it.
    """
    try:
        needed = path if is_file(path) else next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:
        return describe(error), error.errno in _OF_THE_PATH
    if not os.access(needed, os.R_OK | os.W_OK | (os.X_OK if needed != path else 0)):
        return ("it" if needed == path else "its folder") + " cannot be written by this user", False
    return None


def open_file(path: Path) -> sqlite3.Connection:
    """Open or make the file, folders included, and bring it to this version.

    Raises sqlite3.Error, OSError for a place where no file can be, or `RefusedFileError`.
    """
    if is_file(path):
        _refuse_others(path)
    else:
        _make_folder(path.parent)
        _begin_private(path)
    if not _has_locks(path.parent):
        raise OSError(errno.ENOLCK, "its file system has no locks, as some network disks")
    try:
        return _open_to_write(_uri(path))
    except sqlite3.Error as error:
        reason = reason_for(error, path)
        if reason is None:
            raise
        raise reason from error


def open_memory() -> sqlite3.Connection:
    """An empty database of the same shape that lives as long as its connection.

    The tables `file_…` are for what the file had when it was left: the rows of `incident_state` and
    `delivery_count`, and of its incidents and messages as much as tells whether they are still the same.
    """
    connection = _open_to_write(":memory:")
    connection.execute("CREATE TABLE file_state (database_id INTEGER PRIMARY KEY, checked_ms INTEGER, state TEXT)")
    connection.execute("CREATE TABLE file_delivery_count (channel TEXT, result TEXT, number INTEGER)")
    connection.execute("CREATE TABLE file_incident (id INTEGER PRIMARY KEY, opened_ms INTEGER, closed_ms INTEGER)")
    connection.execute(
        "CREATE TABLE file_message (id INTEGER PRIMARY KEY, created_ms INTEGER, is_waiting INTEGER)"
    )
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A file that may be damaged or locked, for what it still gives; it is not written to. Raises sqlite3.Error
    or OSError.

    In a folder that cannot be written even reading is refused, unless SQLite may take the file for immutable; that
    is true enough when nothing waits in its log.
    """
    if is_file(path) and not _has_locks(path.parent):
        return _open_readable(_uri(path, mode="ro", immutable="1"))
    log = path.with_name(path.name + "-wal")
    try:
        return _open_readable(_uri(path, mode="ro"))
    except sqlite3.Error as error:
        if damage_of(error) is Damage.LOCKED or (log.exists() and log.stat().st_size):
            raise
        return _open_readable(_uri(path, mode="ro", immutable="1"))


def open_at_rest(path: Path) -> sqlite3.Connection:
    """A file that is only read, and beside which nothing shall be left. Raises sqlite3.Error or OSError.

    Without a log nobody writes to it, and SQLite may take it for immutable, which makes no log. Whoever begins to
    write just now writes a log first, and the file itself much later than we have read it. (`-journal` is the log
    of a file that is not ours, or that is being begun.)
    """
    is_file(path)
    if any(path.with_name(path.name + ending).exists() for ending in ("-wal", "-journal")):
        return open_to_read(path)
    return _open_readable(_uri(path, mode="ro", immutable="1"))


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


_FILE_FOR_FOLDER = "a file is in the place of its folder"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _in_plain_words(error) from error


def _begin_private(path: Path) -> None:
    """An empty file that only its owner may read; SQLite gives its -wal and -shm the same mode.

    What keeps it from being made is told by SQLite, or found out after it has failed.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _in_plain_words(error: OSError) -> OSError:
    """What the system says of a path, where a person would not know what it means."""
    words = SYSTEM_WORDS | {
        errno.EACCES: "a folder on the way to it is closed to this user",
        errno.EEXIST: _FILE_FOR_FOLDER,
        errno.ELOOP: "links lead round in a circle",
        errno.ENOTDIR: _FILE_FOR_FOLDER,
    }
    number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
    return OSError(number, words.get(error.errno or 0) or error.strerror)


def reason_for(error: sqlite3.Error, path: Path) -> OSError | None:
    """Why SQLite could not use the file, where it only says that it could not; `None` where it says enough."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    reason = None
    try:
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            reason = _reason_not_opened(path)
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
            return reason or _reason_in_disk(path.parent)
    except FileNotFoundError:  # the folder has gone
        return None
    except OSError as found:
        return _in_plain_words(found)
    return None


def _reason_in_disk(folder: Path) -> OSError | None:
    """Raises OSError for what the disk itself says. No room is an error of the disk to SQLite as well, when it is
    for its -shm (unixShmMap in os_unix.c).
    """
    disk = os.statvfs(folder)
    if disk.f_blocks and not disk.f_bavail:
        return OSError(errno.ENOSPC, "the disk is full")
    if disk.f_flag & os.ST_RDONLY:
        return OSError(errno.EROFS, "the file system is read-only")
    # SQLite does not pass on what the system said.
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"?")
        file.flush()
        os.fsync(file.fileno())
    return None


def _reason_not_opened(path: Path) -> OSError | None:
    if path.is_symlink() and not path.exists():
        return OSError(errno.ENOENT, "a link that leads nowhere is in its place")
    if len(os.fsencode(path.absolute())) > _LONGEST_PATH_BYTES:
        return OSError(errno.ENAMETOOLONG, f"its path is longer than {_LONGEST_PATH_BYTES} bytes")
    disk = os.statvfs(path.parent)
    if disk.f_files and not disk.f_favail:
        return OSError(errno.ENOSPC, "the disk has no inode left for another file")
    if disk.f_flag & os.ST_RDONLY:
        return OSError(errno.EROFS, "the file system is read-only")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return OSError(errno.EACCES, "its folder cannot be written by this user")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return OSError(errno.EACCES, "it cannot be read and written by this user")
    return None


def _has_locks(folder: Path) -> bool:
    """SQLite takes ENOLCK for another process' lock, and waits for it (sqliteErrorFromPosixError in os_unix.c).

    Asked of a file of our own: closing any descriptor of the history would drop the locks that we have on it.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
    return True


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, uri=True
    )


def _uri(path: Path, **options: str) -> str:
    """A name that SQLite takes for a file whatever it is called."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return path.absolute().as_uri() + (f"?{query}" if query else "")
