"""The ways between a sick file, memory and a new file, each in a transaction: a copy is whole or it is not there.

What is copied is told in `rescue`; when, in `resilient`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from monitor.store.faults import naming_damage
from monitor.store.file import open_memory, open_to_read
from monitor.store.rescue import rescue, rescue_sums
from monitor.store.rows import to_ms

T = TypeVar("T")


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


def rescued(
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
            transaction(memory, lambda inside: rescue(sick, inside))
    transaction(memory, restore)
    return memory


def carry_sums(aside: Path, fresh: sqlite3.Connection, now: datetime) -> None:
    """Bring the sums of a file that was moved aside to the one begun in its place, as far as they can be read."""
    with suppress(sqlite3.Error), closing(open_to_read(aside)) as sick:  # what cannot be read is lost
        transaction(fresh, lambda inside: rescue_sums(sick, inside, to_ms(now)))
