"""Reads the history back for people: report, page, badges, JSON and metrics.

How rows become figures is the business of `store/history`, how they check that of whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.checks.budget import budget
from monitor.checks.observation import Check
from monitor.config.settings import DatabaseSettings, Settings
from monitor.store.errors import UnknownDatabaseError
from monitor.store.queries import Reader, history_of, messages_pending, past_days, status_of, totals_of
from monitor.store.read_only import open_archive as open_file
from monitor.store.rollups.model import DatabaseStatus, Grain, History, Schedule, Slice, Totals
from monitor.store.store import Store
from monitor.store.tables.checks import read_checks
from monitor.store.tables.incidents import database_names, find_database
from monitor.store.tables.outbox import RESULTS, read_tallies
from monitor.store.tables.rows import to_ms
from monitor.store.thread import StoreThread

DAYS_SHOWN = 90
# The row of a database that was never looked at: there is none of that number.
_NO_ROW = 0
# Who is told where the settings have no channel.
_THE_LOG = "log"

_PAST_IS_GOOD_FOR = timedelta(minutes=10)

Clock = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Past:
    """The days before the one on which they were read, of the database in this row."""

    row: int
    read_at: datetime
    days: tuple[Slice, ...]

    def is_good_at(self, now: datetime) -> bool:
        """Not for long, and not on another day."""
        return now.date() == self.read_at.date() and self.read_at <= now < self.read_at + _PAST_IS_GOOD_FOR


class Archive:
    """What the history answers, at once and on the caller's thread; what is said of a database is of one moment.

    Names are those of the settings and of databases that the file still knows; for another one
    `UnknownDatabaseError` is raised. When the file cannot be read, the reader's errors come through.
    """

    def __init__(self, settings: Settings, *, read: Reader, clock: Clock) -> None:
        self._settings = settings
        self._watched = {database.name: database for database in settings.databases}
        self._channels = tuple(channel.name for channel in settings.channels) or (_THE_LOG,)
        self._read = read
        self._clock = clock
        self._past: dict[str, _Past] = {}

    def names(self) -> tuple[str, ...]:
        """Every database there is something to tell of: those of the settings first, in their order."""
        return tuple(dict.fromkeys((*self._watched, *self._read(database_names))))

    def statuses(self) -> tuple[DatabaseStatus, ...]:
        """Each database of the settings as it is now, in their order.

        The days before today are read every ten minutes: a page shows ninety of them for each database, perhaps
        every second, and they hardly change any more.
        """
        return tuple(map(self.status, self._watched))

    def status(self, database: str) -> DatabaseStatus:
        """One database of the settings as it is now."""
        watched = self._watched.get(database)
        if watched is None:
            raise UnknownDatabaseError(database, tuple(self._watched))
        now = self._clock()
        return self._read(lambda connection: self._status(connection, watched, now=now))

    def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        """One database from `start` until before `end`, which must be later.

        Where single checks were deleted, a span that begins or ends within an hour is widened to the whole hour.
        With `compare` the time of the same length before it is summed up as well.
        """
        watched = self._watched.get(database)
        return self._read(
            lambda connection: history_of(
                connection,
                self._row(database, connection),
                database,
                start=start,
                end=end,
                grain=grain,
                interval=watched.interval if watched else None,
                compare=compare,
            )
        )

    def checks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None = None, limit: int
    ) -> tuple[Check, ...]:
        """Single checks from `start` until before `end`, the newest first, at most `limit`.

        The next page are those before the last one's `at`.
        """
        last = end if before is None else min(before, end)
        return self._read(
            lambda connection: tuple(
                read_checks(
                    connection,
                    self._row(database, connection),
                    start=to_ms(start),
                    end=to_ms(last),
                    limit=limit,
                    newest_first=True,
                )
            )
        )

    def totals(self) -> Totals:
        """All checks ever of the settings' databases, in their order, and all messages."""
        zeros = {(name, result): 0 for name in self._channels for result in RESULTS}
        return self._read(
            lambda connection: Totals(
                databases=tuple(
                    totals_of(connection, find_database(connection, name) or _NO_ROW, name)
                    for name in self._watched
                ),
                notifications={**zeros, **read_tallies(connection)},
                outbox_pending=messages_pending(connection),
            )
        )

    def _status(self, connection: Any, database: DatabaseSettings, *, now: datetime) -> DatabaseStatus:
        row = find_database(connection, database.name) or _NO_ROW
        past = self._past.get(database.name)
        if past is None or past.row != row or not past.is_good_at(now):
            days = past_days(connection, row, days=DAYS_SHOWN - 1, now=now)
            past = self._past[database.name] = _Past(row=row, read_at=now, days=days)
        schedule = _schedule(database, self._settings)
        return status_of(connection, row, database.name, schedule=schedule, past=past.days, now=now)

    def _row(self, name: str, connection: Any) -> int:
        number = find_database(connection, name)
        if number is None and name not in self._watched:
            raise UnknownDatabaseError(name, tuple(dict.fromkeys((*self._watched, *database_names(connection)))))
        return number or _NO_ROW


class Overview:
    """The same answers in the loop of `run`: the store's thread reads, nobody waits for a transaction to be free.

    The parameters are those of `Archive`.
    """

    def __init__(self, settings: Settings, store: Store, store_thread: StoreThread, clock: Clock) -> None:
        self._settings = settings
        self._archive = Archive(settings, read=store.read, clock=clock)
        self._store_thread = store_thread

    async def names(self) -> tuple[str, ...]:
        return await self._store_thread.run(self._archive.names)

    async def statuses(self) -> tuple[DatabaseStatus, ...]:
        """One after the other, so that checks which wait for their answer have a turn in between."""
        names = [database.name for database in self._settings.databases]
        return tuple([await self._store_thread.run(self._archive.status, name) for name in names])

    async def status(self, database: str) -> DatabaseStatus:
        return await self._store_thread.run(self._archive.status, database)

    async def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        return await self._store_thread.run(
            self._archive.history, database, start=start, end=end, grain=grain, compare=compare
        )

    async def checks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None = None, limit: int
    ) -> tuple[Check, ...]:
        return await self._store_thread.run(
            self._archive.checks, database, start=start, end=end, before=before, limit=limit
        )

    async def totals(self) -> Totals:
        return await self._store_thread.run(self._archive.totals)


@contextmanager
def open_archive(settings: Settings, *, clock: Clock) -> Iterator[Archive]:
    """The settings' history file, for commands that only read; nothing is made or changed.

    Raises `RefusedFileError`, with what to do next, when there is no file or it cannot be read; its answers do so
    too.
    """
    with open_file(Path(settings.history.path)) as read:
        yield Archive(settings, read=read, clock=clock)


def _schedule(database: DatabaseSettings, settings: Settings) -> Schedule:
    return Schedule(
        interval=database.interval,
        timeout=database.timeout,
        slow=database.slow,
        canary=database.canary,
        worker=database.worker,
        budget=budget(database.interval, settings.alerts.confirm_interval, database.canary),
    )
