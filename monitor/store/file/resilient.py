"""A SQLite file that may be sick: checks and alerts go on whatever happens to it.

A damaged file is moved aside and a new one begun; a full, locked or read-only one is left for memory until it can
be written again; one that was moved or deleted under our hands is begun anew. What is read and written is the
business of `store`, what is carried over that of `carrying` and `merge`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from monitor.store.errors import Damage, RefusedFileError, damage_of, describe, naming_damage
from monitor.store.file.open import Identity, identity, open_file, open_memory, open_to_read, set_aside
from monitor.store.file.salvage import merge, salvage, salvage_sums
from monitor.store.file.schema import is_whole
from monitor.store.tables.rows import to_ms


def transaction(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], *, only_read: bool = False
) -> T:
    """What `work` returns, committed; when it raises, nothing of it was. Damage is raised as `DamagedError`."""
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


def salvaged(
    path: Path, sick: sqlite3.Connection | None, restore: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    """A copy in memory of the state that the sick file still gives, and of what this process knows.

    The connection to the file is closed; without one, the file at that path is opened.
    """
    memory = open_memory()
    if sick is None:
        with suppress(sqlite3.Error):  # what cannot be opened at all has nothing to give
            sick = open_to_read(path)
    if sick is not None:
        with closing(sick), suppress(sqlite3.Error):  # locked against reading as well: as above
            transaction(memory, lambda inside: salvage(sick, inside))
    transaction(memory, restore)
    return memory


def replay_sums(aside: Path, fresh: sqlite3.Connection, now: datetime) -> None:
    """Bring the sums of a file that was moved aside to the one begun in its place, as far as they can be read."""
    with suppress(sqlite3.Error), closing(open_to_read(aside)) as sick:  # what cannot be read is lost
        transaction(fresh, lambda inside: salvage_sums(sick, inside, to_ms(now)))


# A lock is gone after a moment, a full or read-only disk is not.
_TRY_AGAIN_AFTER = {Damage.LOCKED: timedelta(seconds=5), Damage.UNWRITABLE: timedelta(seconds=30)}
# A disk that is full every few minutes is one message.
_TELL_AGAIN_AFTER = timedelta(hours=24)
_UNUSABLE = (sqlite3.Error, OSError, RefusedFileError)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What an operator should know of the file. `lasts` is true while the file cannot be written."""

    text: str
    next_step: str
    lasts: bool


@dataclass(kw_only=True, slots=True)
class _Memory:
    """Why and since when we go on from memory; `untold` is what to tell if that does not pass."""

    damage: Damage
    tried_at: datetime
    unsent: Trouble | None


class ResilientFile:
    """One connection, to the file or to memory in its place.

    `restore(connection)` writes back what the process itself knows after a repair, `tell(connection, trouble)`
    packs a notification; both run in a transaction. `say(level, text)` takes lines for the log.
    Raises `RefusedFileError` when made on a file that is not ours to write.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        say: Callable[[str, str], None],
        restore: Callable[[sqlite3.Connection], None],
        tell: Callable[[sqlite3.Connection, Trouble], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._say = say
        self._restore = restore
        self._tell = tell
        self._memory: _Memory | None = None
        self._told_at: datetime | None = None
        self._identity: Identity | None = None
        self._connection = self._open()

    @property
    def is_in_memory(self) -> bool:
        return self._memory is not None

    def do(self, work: Callable[[sqlite3.Connection], T], *, only_read: bool = False) -> T:
        """Run `work` in one transaction, with one repair and a second try when the file turns out to be sick.

        One that will `only_read` holds up no other process.
        """
        if self.is_in_memory:
            self._return_to_file(at_once=False)
        elif identity(self._path) != self._identity:
            self._follow()
        try:
            return transaction(self._connection, work, only_read=only_read)
        except sqlite3.Error as error:
            damage = damage_of(error) or self._damage_behind()
            if damage is None or self.is_in_memory:
                raise
            sick, reason = self._connection, describe(error)
        if damage is Damage.CORRUPT:
            self._connection = self._begin_anew(sick, self._identity)
        else:
            self._connection = self._go_on_from_memory(salvaged(self._path, sick, self._restore), damage, reason)
        return transaction(self._connection, work, only_read=only_read)

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
            self._say("ERROR", "the history file still cannot be written; what is in memory only is lost")
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        found = identity(self._path)
        try:
            return self._opened()
        except (sqlite3.Error, OSError) as error:
            damage = damage_of(error)
            if damage is None:
                raise
            if damage is Damage.CORRUPT:
                return self._begin_anew(None, found)
            return self._go_on_from_memory(salvaged(self._path, None, self._restore), damage, describe(error))

    def _opened(self) -> sqlite3.Connection:
        connection = open_file(self._path, on_upgrade=self._format_upgrade)
        self._identity = identity(self._path)
        return connection

    def _format_upgrade(self) -> None:
        words = "the history file is of an older version and is rewritten: some seconds for 100,000 checks"
        self._say("INFO", words)

    def _damage_behind(self) -> Damage | None:
        """An error that looks like wrong SQL is damage when a table has gone."""
        try:
            return None if is_whole(self._connection) else Damage.CORRUPT
        except sqlite3.Error as error:
            return damage_of(error)

    def _is_damaged_for_others(self) -> bool:
        """Our own connection has read the schema long ago, and does not notice what became of it since."""
        if identity(self._path) != self._identity:
            return False
        try:
            with closing(open_to_read(self._path)) as other, naming_damage():
                return not is_whole(other)
        except sqlite3.Error as error:
            return damage_of(error) is Damage.CORRUPT

    def _follow(self) -> None:
        """The file under our name is not the one we have open: it was moved, deleted or replaced."""
        memory = salvaged(self._path, self._connection, self._restore)
        try:
            self._connection = self._merged(memory)
        except _UNUSABLE as error:
            damage = damage_of(error) or Damage.UNWRITABLE
            self._connection = self._go_on_from_memory(memory, damage, describe(error))
            return
        self._say("WARNING", "the history file was moved or deleted; going on in a new one")

    def _begin_anew(self, damaged: sqlite3.Connection | None, found: Identity | None) -> sqlite3.Connection:
        """Move the damaged file aside, unless another process has done so; carry over what can still be read."""
        memory = salvaged(self._path, damaged, self._restore)
        aside = None
        try:
            if identity(self._path) == found:
                aside = set_aside(self._path, self._clock())
            fresh = self._merged(memory)
        except _UNUSABLE:
            reason = "it is damaged and cannot be moved aside"
            return self._go_on_from_memory(memory, Damage.UNWRITABLE, reason)
        if aside is not None:
            replay_sums(aside, fresh, self._clock())
            text = f"the history file was damaged; it was moved to {aside.name} and a new one begun"
            transition = "Checks and alerts went on. Older history is in the moved file, if anywhere."
            self._say("ERROR", text)
            self._pack(fresh, Trouble(text=text, next_step=transition, lasts=False))
        return fresh

    def _merged(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """The file that stands under our name now, with what memory holds; memory is closed when that is done."""
        file = self._opened()
        try:
            transaction(file, lambda inside: merge(memory, inside))
        except sqlite3.Error:
            file.close()
            raise
        memory.close()
        return file

    def _go_on_from_memory(self, memory: sqlite3.Connection, damage: Damage, reason: str) -> sqlite3.Connection:
        text = f"the history file cannot be written ({reason}); going on from memory"
        transition = f"Checks and alerts go on. Make {self._path.name} writable again."
        self._say("ERROR", text)
        self._memory = _Memory(
            damage=damage, tried_at=self._clock(), unsent=Trouble(text=text, next_step=transition, lasts=True)
        )
        if damage is not Damage.LOCKED:
            self._tell_once(memory)
        return memory

    def _return_to_file(self, *, at_once: bool) -> None:
        """Now and then see whether the file can be written again, and bring it what happened meanwhile."""
        held, now = self._memory, self._clock()
        if held is None:
            return
        if not at_once and held.tried_at <= now < held.tried_at + _TRY_AGAIN_AFTER[held.damage]:
            return
        held.tried_at = now
        memory = self._connection
        try:
            self._connection = self._written_back(memory)
        except _UNUSABLE:
            self._tell_once(memory)
            return
        self._memory = None
        self._say("INFO", "the history file can be written again; what happened meanwhile is in it")

    def _written_back(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """The open file with everything that memory holds; raises what kept it from being written."""
        try:
            return self._merged(memory)
        except sqlite3.Error as error:
            if damage_of(error) is not Damage.CORRUPT:
                raise
        aside = set_aside(self._path, self._clock())
        self._say("ERROR", f"the history file was damaged; it was moved to {aside.name}")
        fresh = self._merged(memory)
        replay_sums(aside, fresh, self._clock())
        return fresh

    def _tell_once(self, memory: sqlite3.Connection) -> None:
        held, now = self._memory, self._clock()
        if held is None or held.unsent is None:
            return
        trouble, held.unsent = held.unsent, None
        if self._told_at is None or not self._told_at <= now < self._told_at + _TELL_AGAIN_AFTER:
            self._told_at = now
            self._pack(memory, trouble)

    def _pack(self, connection: sqlite3.Connection, trouble: Trouble) -> None:
        transaction(connection, lambda inside: self._tell(inside, trouble))
