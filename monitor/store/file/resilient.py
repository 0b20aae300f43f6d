"""A SQLite file that may be damaged or out of reach: checks and alerts go on whatever happens to it.

A damaged file is moved aside and a new one begun. While the disk is full or the file locked or read-only, a copy
of its state in memory stands in for it. A file that was moved or deleted while it was open is begun anew.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from monitor.lib.text import one_line
from monitor.lib.times import to_ms
from monitor.store.errors import Damage, RefusedFileError, damage_of, describe, naming_damage, remedy_for
from monitor.store.file.open import (
    open_file,
    open_memory,
    open_to_read,
    reason_for,
)
from monitor.store.file.salvage import replay, salvage_rollups, salvage_state
from monitor.store.file.schema import is_whole

T = TypeVar("T")
# Device and inode: what a name stands for now.
_Identity = tuple[int, int]
# A lock is gone after a moment, a full or read-only disk is not.
_TRY_AGAIN_AFTER = {
    Damage.LOCKED: timedelta(seconds=5),
    Damage.UNWRITABLE: timedelta(seconds=30),
    # One that was moved aside, and the new one in its place is no better.
    Damage.CORRUPT: timedelta(seconds=30),
}
# A disk that is full every few minutes is one message.
_NOTIFY_AGAIN_AFTER = timedelta(hours=24)
_LONGEST_SHOWN = 300
_UNUSABLE = (sqlite3.Error, OSError, RefusedFileError)
# A note is shorter.
RESERVE_BYTES = 65536
# The path of the history may be one that no file can have.
_RESERVE_ERRORS = (OSError, ValueError)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileTrouble:
    """What an operator should know of the file. `lasts` is true while the file cannot be written."""

    text: str
    next_step: str
    lasts: bool


@dataclass(kw_only=True, slots=True)
class _Outage:
    """Why the file is not used, when it was last tried, and what to notify of (`unsent`) if that does not pass."""

    damage: Damage
    reason: str
    tried_at: datetime
    unsent: FileTrouble | None


class ResilientFile:
    """One connection, to the file or to memory in its place.

    `restore(connection)` writes back what the process itself knows after a repair, `notify(connection, trouble)`
    enqueues a notification; both run in a transaction. `log(level, text)` takes lines for the log.
    Raises `RefusedFileError` when made on a file that is not ours to write.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        log: Callable[[str, str], None],
        restore: Callable[[sqlite3.Connection], None],
        notify: Callable[[sqlite3.Connection, FileTrouble], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._log = log
        self._restore = restore
        self._notify = notify
        self._outage: _Outage | None = None
        self._notified_at: datetime | None = None
        self._identity: _Identity | None = None
        self._connection = self._open()

    @property
    def is_in_memory(self) -> bool:
        return self._outage is not None

    @property
    def reason_for_memory(self) -> str:
        """Why the file cannot be written, in words; empty while it can."""
        return self._outage.reason if self._outage is not None else ""

    def do(self, work: Callable[[sqlite3.Connection], T], *, only_read: bool = False) -> T:
        """Run `work` in one transaction, with one repair and a second try when the file turns out to be unusable.

        With `only_read` it holds up no other process.
        """
        if self.is_in_memory:
            self._return_to_file(at_once=False)
        elif _identity_of(self._path) != self._identity:
            self._replace_moved_file()
        try:
            return _transaction(self._connection, work, only_read=only_read)
        except sqlite3.Error as error:
            damage = damage_of(error) or self._damage_of_schema()
            if damage is None or self.is_in_memory:
                raise
            failed, found = self._connection, reason_for(error, self._path) or error
        if damage is Damage.CORRUPT:
            self._connection = self._begin_anew(failed, self._identity)
        else:
            self._connection = self._go_on_from_memory(self._salvaged(failed), damage, found)
        return _transaction(self._connection, work, only_read=only_read)

    def move_times(self, by: timedelta) -> None:
        """The clock was set `by` so much: the next try of the file comes when it would have come."""
        if self._outage is not None:
            self._outage.tried_at += by
        if self._notified_at is not None:
            self._notified_at += by

    def sync(self) -> None:
        """Bring what was committed to the disk itself, so that a promised alert survives a power cut."""
        with suppress(sqlite3.Error):  # a courtesy; trouble shows at the next write and is handled there
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def give_back_space(self) -> None:
        """Return pruned pages to the disk."""
        with suppress(sqlite3.Error):  # as above
            # Through execute() this pragma frees a single page (measured).
            self._connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Bring back to the file what is in memory only, if it can be written by now.

        A file that the next process could not read is begun anew while this one still knows what was in it.
        """
        if self.is_in_memory:
            self._return_to_file(at_once=True)
        elif self._is_damaged_for_others():
            self._connection = self._begin_anew(self._connection, self._identity)
        if self.is_in_memory:
            self._log("ERROR", "the history file still cannot be written; what is in memory only is lost")
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        found = _identity_of(self._path)
        try:
            return self._open_file()
        except (sqlite3.Error, OSError) as error:
            damage = damage_of(error)
            if damage is None:
                raise
            if damage is Damage.CORRUPT:
                return self._begin_anew(None, found)
            return self._go_on_from_memory(self._salvaged(None), damage, error)

    def _open_file(self) -> sqlite3.Connection:
        connection = open_file(self._path)
        self._identity = _identity_of(self._path)
        return connection

    def _damage_of_schema(self) -> Damage | None:
        """An error that looks like wrong SQL is damage when a table has gone."""
        try:
            return None if is_whole(self._connection) else Damage.CORRUPT
        except sqlite3.Error as error:
            return damage_of(error)

    def _is_damaged_for_others(self) -> bool:
        """Our own connection read the schema long ago, and does not notice what became of it since."""
        if _identity_of(self._path) != self._identity:
            return False
        try:
            with closing(open_to_read(self._path)) as other, naming_damage():
                return not is_whole(other)
        except (sqlite3.Error, OSError) as error:
            return damage_of(error) is Damage.CORRUPT

    def _salvaged(self, failed: sqlite3.Connection | None) -> sqlite3.Connection:
        """A copy in memory of the state that the file still gives, and of what this process knows.

        The failed connection is closed; without one, the file at the path is opened.
        """
        memory = open_memory()
        if failed is None:
            with suppress(sqlite3.Error, OSError):  # what cannot be opened at all has nothing to give
                failed = open_to_read(self._path)
        if failed is not None:
            source = failed
            with closing(source), suppress(sqlite3.Error):  # locked against reading as well: as above
                _transaction(memory, lambda inside: salvage_state(source, inside))
        _transaction(memory, self._restore)
        return memory

    def _replace_moved_file(self) -> None:
        """The file of our name is not the one we have open: it was moved, deleted or replaced."""
        memory = self._salvaged(self._connection)
        try:
            self._connection = self._written_back(memory)
        except _UNUSABLE as error:
            damage = damage_of(error) or Damage.UNWRITABLE
            self._connection = self._go_on_from_memory(memory, damage, error)
            return
        self._log("WARNING", "the history file was moved or deleted; going on in a new one")

    def _begin_anew(self, damaged: sqlite3.Connection | None, found: _Identity | None) -> sqlite3.Connection:
        """Move the damaged file aside, unless another process has done so; salvage what can still be read."""
        memory = self._salvaged(damaged)
        aside = None
        try:
            if _identity_of(self._path) == found:
                aside = set_aside(self._path, self._clock())
            fresh = self._replayed(memory)
        except _UNUSABLE as error:
            number = error.errno if isinstance(error, OSError) else None
            reason = OSError(number, f"it is damaged and cannot be moved aside: {describe(error)}")
            return self._go_on_from_memory(memory, Damage.UNWRITABLE, reason)
        if aside is not None:
            self._replay_rollups(aside, fresh)
            text = f"the history file was damaged; it was moved to {aside.name} and a new one begun"
            next_step = "Checks and alerts went on. Older history is in the moved file, if anywhere."
            self._log("ERROR", text)
            self._enqueue(fresh, FileTrouble(text=text, next_step=next_step, lasts=False))
        return fresh

    def _replayed(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """The file of our name, with what memory holds brought to it; memory is closed when that is done."""
        file = self._open_file()
        try:
            _transaction(file, lambda inside: replay(memory, inside))
        except sqlite3.Error:
            file.close()
            raise
        memory.close()
        return file

    def _replay_rollups(self, aside: Path, fresh: sqlite3.Connection) -> None:
        now_ms = to_ms(self._clock())
        with (
            suppress(sqlite3.Error, OSError),
            closing(open_to_read(aside)) as damaged,
        ):  # what cannot be read is lost
            _transaction(fresh, lambda inside: salvage_rollups(damaged, inside, now_ms))

    def _go_on_from_memory(
        self, memory: sqlite3.Connection, damage: Damage, error: sqlite3.Error | OSError | RefusedFileError
    ) -> sqlite3.Connection:
        text = f"the history file cannot be written ({describe(error)}); going on from memory"
        remedy = remedy_for(error)
        next_step = f"Checks and alerts go on. {remedy.capitalize()}, or set history.path to another file."
        place = one_line(str(self._path), _LONGEST_SHOWN)
        self._log("ERROR", f"{text}. Next: {remedy} at {place}, or set history.path to another file")
        self._outage = _Outage(
            damage=damage,
            reason=describe(error),
            tried_at=self._clock(),
            unsent=FileTrouble(text=text, next_step=next_step, lasts=True),
        )
        if damage is not Damage.LOCKED:
            self._notify_once(memory)
        return memory

    def _return_to_file(self, *, at_once: bool) -> None:
        """Now and then see whether the file can be written again, and bring it what memory holds."""
        outage, now = self._outage, self._clock()
        if outage is None:
            return
        # A clock that was set back must not put the next try off.
        if not at_once and outage.tried_at <= now < outage.tried_at + _TRY_AGAIN_AFTER[outage.damage]:
            return
        outage.tried_at = now
        memory = self._connection
        try:
            self._connection = self._written_back(memory)
        except _UNUSABLE:
            self._notify_once(memory)
            return
        self._outage = None
        self._log("INFO", "the history file can be written again; what happened meanwhile is in it")

    def _written_back(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """The open file with everything that memory holds; raises what kept it from being written."""
        try:
            return self._replayed(memory)
        except sqlite3.Error as error:
            if damage_of(error) is not Damage.CORRUPT:
                raise
        aside = set_aside(self._path, self._clock())
        self._log("ERROR", f"the history file was damaged; it was moved to {aside.name}")
        fresh = self._replayed(memory)
        self._replay_rollups(aside, fresh)
        return fresh

    def _notify_once(self, memory: sqlite3.Connection) -> None:
        outage, now = self._outage, self._clock()
        if outage is None or outage.unsent is None:
            return
        trouble, outage.unsent = outage.unsent, None
        if self._notified_at is None or not self._notified_at <= now < self._notified_at + _NOTIFY_AGAIN_AFTER:
            self._notified_at = now
            self._enqueue(memory, trouble)

    def _enqueue(self, connection: sqlite3.Connection, trouble: FileTrouble) -> None:
        _transaction(connection, lambda inside: self._notify(inside, trouble))


def _transaction(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], *, only_read: bool = False
) -> T:
    """What `work` returns, committed; when it raises, nothing of it was. Damage is raised as `DamagedError`.

    A write begins with BEGIN IMMEDIATE: one that took the lock only at its first statement could not wait for it.
    """
    connection.execute("BEGIN" if only_read else "BEGIN IMMEDIATE")
    try:
        with naming_damage():
            result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error is the one that tells
                connection.execute("ROLLBACK")
        raise
    return result


class Reserve:
    """A file of fixed size that is written in place: what it takes it has, however full the disk is.

    It stays when the program ends, since the next start may meet a full disk. A note ends with a zero byte.
    Where the disk can be read only, or never had this room, there is no note.
    """

    def __init__(self, history: Path) -> None:
        self._path = Path(f"{history}-reserve")

    def take(self) -> None:
        """Take the room, unless it is there."""
        with suppress(*_RESERVE_ERRORS):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                is_whole = os.write(descriptor, bytes(RESERVE_BYTES)) == RESERVE_BYTES
            except OSError:
                is_whole = False
            finally:
                os.close(descriptor)
            if not is_whole:
                self._path.unlink()

    def read(self) -> bytes:
        """The note; empty where there is none."""
        with suppress(*_RESERVE_ERRORS):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return os.read(descriptor, RESERVE_BYTES).partition(b"\0")[0]
            finally:
                os.close(descriptor)
        return b""

    def write(self, note: bytes) -> bool:
        """Put this note in the other's place; false where it is too long or there is no room."""
        if len(note) >= RESERVE_BYTES:
            return False
        with suppress(*_RESERVE_ERRORS):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                os.pwrite(descriptor, note + b"\0", 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return True
        return False


def _identity_of(path: Path) -> _Identity | None:
    """Which file stands under this name now; `None` when there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a NUL is no OSError
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
