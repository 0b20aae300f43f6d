"""A SQLite file that may be sick: looks and alerts go on whatever happens to it.

A damaged file is moved aside and a new one begun; a full, locked or read-only one is left for memory until it can
be written again. What is read and written is `store`'s business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from monitor.store.faults import Damage, damage_of, describe
from monitor.store.file import ALL_TABLES, STATE_TABLES, copy_tables, open_file, open_memory, set_aside

TRY_AGAIN_AFTER = timedelta(seconds=30)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What an operator should know of the file. `lasts` is true while the file cannot be written."""

    text: str
    next_step: str
    lasts: bool


class ResilientFile:
    """One connection, to the file or to memory in its place.

    `restore(connection)` writes back what the process itself knows after a repair, `tell(connection, trouble)`
    packs a notice; both run in a transaction. `say(level, text)` takes lines for the log.
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
        self._in_memory_since: datetime | None = None
        self._connection = self._open()

    @property
    def is_in_memory(self) -> bool:
        return self._in_memory_since is not None

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction, with one repair and a second try when the file turns out to be sick."""
        if self.is_in_memory:
            self._return_to_file(at_once=False)
        try:
            return _transaction(self._connection, work)
        except sqlite3.Error as error:
            damage = damage_of(error)
            if damage is None or self.is_in_memory:
                raise
            sick = self._connection
            reason = describe(error)
        if damage is Damage.CORRUPT:
            self._connection = self._begin_anew(sick)
        else:
            self._connection = self._go_on_from_memory(sick, reason)
        return _transaction(self._connection, work)

    def sync(self) -> None:
        """Bring what was committed to the disk itself, so that a promised alert survives a power cut."""
        with suppress(sqlite3.Error):  # a courtesy; trouble shows at the next write and is handled there
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def give_back_space(self) -> None:
        """Return pruned pages to the disk."""
        with suppress(sqlite3.Error):  # as above
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def close(self) -> None:
        """Bring back to the file what is in memory only, if it can be written by now."""
        if self.is_in_memory:
            self._return_to_file(at_once=True)
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return open_file(self._path)
        except sqlite3.Error as error:
            if damage_of(error) is Damage.CORRUPT:
                return self._begin_anew(None)
            return self._go_on_from_memory(None, describe(error))
        except OSError as error:
            return self._go_on_from_memory(None, f"its folder cannot be made: {error.strerror}")

    def _begin_anew(self, damaged: sqlite3.Connection | None) -> sqlite3.Connection:
        """Move the damaged file aside; carry over what of the state can still be read."""
        rescued = self._rescue(damaged, writable=True)
        try:
            aside = set_aside(self._path, self._clock())
            fresh = open_file(self._path)
        except (sqlite3.Error, OSError):
            return self._go_on_from_memory(rescued, "it is damaged and cannot be moved aside")
        with closing(rescued):
            _transaction(fresh, lambda connection: copy_tables(rescued, connection, STATE_TABLES))
        self._report(
            fresh,
            Trouble(
                text=f"the history file was damaged; it was moved to {aside.name} and a new one begun",
                next_step="Looks and alerts went on. Older history is in the moved file, if anywhere.",
                lasts=False,
            ),
        )
        return fresh

    def _go_on_from_memory(self, sick: sqlite3.Connection | None, reason: str) -> sqlite3.Connection:
        self._in_memory_since = self._clock()
        memory = self._rescue(sick, writable=False)
        self._report(
            memory,
            Trouble(
                text=f"the history file cannot be written ({reason}); going on from memory",
                next_step=f"Looks and alerts go on. Make {self._path.name} writable again.",
                lasts=True,
            ),
        )
        return memory

    def _rescue(self, sick: sqlite3.Connection | None, *, writable: bool) -> sqlite3.Connection:
        """A copy in memory of the state that the sick file still gives, and of what this process knows."""
        memory = open_memory()
        if sick is None:
            mode = "rw" if writable else "ro"
            with suppress(sqlite3.Error):  # what cannot be opened at all has nothing to give
                sick = sqlite3.connect(
                    f"{self._path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None
                )
        found = sick

        def fill(connection: sqlite3.Connection) -> None:
            if found is not None:
                copy_tables(found, connection, STATE_TABLES)
            self._restore(connection)

        _transaction(memory, fill)
        if sick is not None:
            sick.close()
        return memory

    def _return_to_file(self, *, at_once: bool) -> None:
        """Now and then see whether the file can be written again, and bring it what happened meanwhile."""
        since, now = self._in_memory_since, self._clock()
        if since is None or (not at_once and since <= now < since + TRY_AGAIN_AFTER):
            return
        self._in_memory_since = now
        try:
            file = self._written_back(self._connection)
        except (sqlite3.Error, OSError):
            return
        self._connection.close()
        self._connection = file
        self._in_memory_since = None
        self._say("INFO", "the history file can be written again; what happened meanwhile is in it")

    def _written_back(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """The open file with everything that memory holds; raises what kept it from being written."""
        try:
            file = open_file(self._path)
        except sqlite3.Error as error:
            if damage_of(error) is not Damage.CORRUPT:
                raise
            set_aside(self._path, self._clock())
            file = open_file(self._path)
        try:
            _transaction(file, lambda connection: copy_tables(memory, connection, ALL_TABLES))
        except sqlite3.Error:
            file.close()
            raise
        return file

    def _report(self, connection: sqlite3.Connection, trouble: Trouble) -> None:
        self._say("ERROR", trouble.text)
        _transaction(connection, lambda inside: self._tell(inside, trouble))


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error is the one that tells
                connection.execute("ROLLBACK")
        raise
    return result
