"""Reads the history back, by the names of databases: for report, page, badges, JSON and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.alerts.holds import quiet_hold
from monitor.checks.canary import USUAL_SCHEDULE, budget
from monitor.checks.observation import Check, with_certificate
from monitor.config.settings import DatabaseSettings, Settings
from monitor.diagnosis.verdicts import profile_of
from monitor.incidents.state import Incident
from monitor.lib.threads import SerialThread
from monitor.lib.times import format_time, from_ms, to_ms
from monitor.report.quiet import Quiet, quiet_spans
from monitor.report.replay import WARM_UP, Replay, Rules, in_order, replayed
from monitor.report.verdict import verdict_shown
from monitor.store.errors import UnknownDatabaseError
from monitor.store.queries import (
    IncidentRecord,
    history_of,
    incident_record,
    past_days,
    status_of,
    told_kinds,
    totals_of,
)
from monitor.store.read_only import ReadOnlyFile, open_read_only
from monitor.store.rollups.model import DatabaseStatus, Grain, History, Schedule, Slice, Totals
from monitor.store.store import Store
from monitor.store.tables.channels import ChannelState, channel_states
from monitor.store.tables.checks import read_checks
from monitor.store.tables.deliveries import RESULTS, delivery_counts
from monitor.store.tables.incidents import (
    database_names,
    find_database,
    incidents_of,
    last_incidents,
    read_incidents,
)
from monitor.store.tables.outbox import messages_pending
from monitor.store.tables.silences import read_silences
from monitor.store.tables.spans import read_retention
from monitor.store.tables.times import connectivity_answered

DAYS_SHOWN = 90
_PAST_INCIDENTS = 8
# The row of a database that was never checked: there is none of that number.
_NO_ROW = 0
_TROUBLES = {
    "broken": "is broken",
    "unreachable": "cannot be reached",
    "unconfirmed": "confirms no message",
}
# The channel where the settings have none.
_THE_LOG = "log"
# Reading 89 days takes some milliseconds for each database, and a page may be asked for every second.
_REREAD_PAST_EVERY = timedelta(minutes=10)

Clock = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class _PastDays:
    """The days before today of the database in this row, as they were when they were read."""

    row: int
    read_at: datetime
    days: tuple[Slice, ...]

    def is_fresh(self, now: datetime) -> bool:
        return now.date() == self.read_at.date() and self.read_at <= now < self.read_at + _REREAD_PAST_EVERY


class Archive:
    """Reads on the caller's thread; what one call returns of a database is of one moment.

    Names are those of the settings and of databases that the file still knows; another one raises
    `UnknownDatabaseError`. A file that cannot be read raises the errors of its `read`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        file: Store | ReadOnlyFile,
        clock: Clock,
        least_interval: timedelta = timedelta(0),
    ) -> None:
        self._settings = settings
        self._watched = {database.name: database for database in settings.databases}
        self._intervals = {name: max(one.interval, least_interval) for name, one in self._watched.items()}
        self._channels = tuple(channel.name for channel in settings.channels) or (_THE_LOG,)
        self._read = file.read
        self._clock = clock
        self._past: dict[str, _PastDays] = {}

    def names(self) -> tuple[str, ...]:
        """Every database that is known: those of the settings first, in their order."""
        return tuple(dict.fromkeys((*self._watched, *self._read(database_names))))

    def status(self, database: str) -> DatabaseStatus:
        """One database of the settings as it is now.

        The days before today hardly change any more and may be up to ten minutes old.
        """
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
        return self._read(
            lambda connection: history_of(
                connection,
                self._row(database, connection),
                database,
                start=start,
                end=end,
                grain=grain,
                interval=self._intervals.get(database),
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

    def incidents(self, *, closed_too: bool) -> list[tuple[str, Incident]]:
        """Open incidents with their database's name, the newest first."""
        return self._read(lambda connection: read_incidents(connection, closed_too=closed_too))

    def quiet(self) -> tuple[Quiet, ...]:
        """Silences that are not over, and of each maintenance of the settings the window that is, or comes."""
        return quiet_spans(self._read(read_silences), self._settings.maintenance, self._clock())

    def incident(self, number: int) -> IncidentRecord | None:
        """All that is known of one incident; `None` for a number that was not given."""
        now = self._clock()
        return self._read(
            lambda connection: incident_record(connection, number, intervals=self._intervals, now=now)
        )

    def replay(self, database: str, *, start: datetime) -> Replay:
        """What the settings make of a database's checks from `start` until now, beside what was told.

        Where single checks were deleted it begins after them.
        """
        watched, now = self._watched[database], self._clock()
        rules = Rules(
            alerts=self._settings.alerts,
            slow=watched.slow,
            interval=watched.interval,
            profile=profile_of(watched, self._settings.doctor, os.environ),
        )

        def query(connection: Any) -> Replay:
            row = self._row(database, connection)
            begin = max(start, from_ms(read_retention(connection).checks_ms))
            before_ms, begin_ms, end_ms = to_ms(begin - WARM_UP), to_ms(begin), to_ms(now)
            told = incidents_of(connection, row, start_ms=begin_ms, end_ms=end_ms)
            number, incidents, messages = replayed(
                read_checks(connection, row, start=before_ms, end=end_ms),
                rules,
                start=begin,
                acknowledged=sorted(one.acknowledged_at for one in told if one.acknowledged_at is not None),
            )
            return Replay(
                database=database,
                start=begin,
                end=now,
                checks=number,
                incidents=incidents,
                messages=messages,
                told=tuple(reversed(told)),
                told_messages=in_order(told_kinds(connection, row, start_ms=begin_ms, end_ms=end_ms)),
            )

        return self._read(query)

    def totals(self) -> Totals:
        """All checks ever of the settings' databases, in their order, and all messages."""
        zeros = {(name, result): 0 for name in self._channels for result in RESULTS}
        now, maintenance = self._clock(), self._settings.maintenance

        def query(connection: Any) -> Totals:
            silences = read_silences(connection)
            return Totals(
                databases=tuple(
                    totals_of(connection, find_database(connection, name) or _NO_ROW, name)
                    for name in self._watched
                ),
                notifications={**zeros, **delivery_counts(connection)},
                channel_is_ok={one.name: one.is_ok for one in self._channel_states(connection)},
                outbox_pending=messages_pending(connection),
                region=self._settings.region or "",
                quiet=frozenset(name for name in self._watched if quiet_hold(name, now, silences, maintenance)),
            )

        return self._read(query)

    def channel_troubles(self) -> tuple[str, ...]:
        """A line for each channel in trouble, and for each other part that cannot be used."""
        lines: list[str] = []
        for one in self.channels():
            if one.trouble is not None:
                state, since = one.trouble
                lines.append(f"channel {one.name} {_TROUBLES[state]} since {format_time(since)}: {one.reason}")
        return (*(f"{part.name}: {part.mistake}" for part in self._settings.unusable), *lines)

    def channels(self) -> tuple[ChannelState, ...]:
        """What is known of each channel of the settings, in their order."""
        return self._read(self._channel_states)

    def connectivity_answered(self, since: datetime) -> frozenset[str]:
        """The connectivity hosts that have answered since then."""
        return self._read(lambda connection: connectivity_answered(connection, since))

    def _channel_states(self, connection: Any) -> tuple[ChannelState, ...]:
        known = channel_states(connection)
        return tuple(known.get(name, ChannelState(name=name)) for name in self._channels)

    def past_incidents(self) -> tuple[tuple[str, Incident], ...]:
        """The latest incidents that are over, with their database's name, the newest first."""
        return tuple(self._read(lambda connection: last_incidents(connection, limit=_PAST_INCIDENTS)))

    def _status(self, connection: Any, database: DatabaseSettings, *, now: datetime) -> DatabaseStatus:
        row = find_database(connection, database.name) or _NO_ROW
        past = self._past.get(database.name)
        if past is None or past.row != row or not past.is_fresh(now):
            days = past_days(connection, row, days=DAYS_SHOWN - 1, now=now)
            past = self._past[database.name] = _PastDays(row=row, read_at=now, days=days)
        schedule = _schedule(database, self._settings)
        status = status_of(connection, row, database.name, schedule=schedule, past=past.days, now=now)
        profile = profile_of(database, self._settings.doctor, os.environ)
        told = status.incident.verdict if status.incident else None
        if status.latest is None:
            return status
        latest = with_certificate(status.latest, status.certificate_ends_at, now)
        return replace(status, verdict=verdict_shown(latest, told, profile))

    def _row(self, name: str, connection: Any) -> int:
        number = find_database(connection, name)
        if number is None and name not in self._watched:
            raise UnknownDatabaseError(name, tuple(dict.fromkeys((*self._watched, *database_names(connection)))))
        return number or _NO_ROW


class Overview:
    """The same in the asyncio loop of `run`: the store thread reads, so no check waits for the file."""

    def __init__(self, settings: Settings, store: Store, store_thread: SerialThread, clock: Clock) -> None:
        self._settings = settings
        self._archive = Archive(settings, file=store, clock=clock)
        self._store = store
        self._store_thread = store_thread
        self._clock = clock

    async def statuses(self) -> tuple[DatabaseStatus, ...]:
        """Each database of the settings, in their order, one by one: checks to be recorded come in between."""
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

    async def channel_troubles(self) -> tuple[str, ...]:
        return await self._store_thread.run(self._archive.channel_troubles)

    async def quiet(self) -> tuple[Quiet, ...]:
        return await self._store_thread.run(self._archive.quiet)

    async def past_incidents(self) -> tuple[tuple[str, Incident], ...]:
        return await self._store_thread.run(self._archive.past_incidents)

    async def acknowledge(self, number: int) -> tuple[str, bool] | None:
        """Acknowledge an incident: its database's name, and false where it is over; `None` where there is none."""

        def work() -> tuple[str, bool] | None:
            found = self._store.find_incident(number)
            return None if found is None else (found[0], self._store.acknowledge_incident(number, self._clock()))

        return await self._store_thread.run(work)

    async def totals(self) -> Totals:
        return await self._store_thread.run(self._archive.totals)


@contextmanager
def open_archive(settings: Settings, *, clock: Clock) -> Iterator[Archive]:
    """The settings' history file, for commands that only read; nothing is created or changed.

    Raises `RefusedFileError`, with what to do next, when there is no file or it cannot be read, and so do the
    methods of the archive.
    """
    with open_read_only(Path(settings.history.path)) as file:
        # Rounds of `check` may have written it: while the next one is not due there is no gap.
        yield Archive(settings, file=file, clock=clock, least_interval=USUAL_SCHEDULE)


def _schedule(database: DatabaseSettings, settings: Settings) -> Schedule:
    return Schedule(
        interval=database.interval,
        timeout=database.timeout,
        slow=database.slow,
        canary=database.canary,
        worker=database.worker,
        budget=budget(database.interval, settings.alerts.confirm_interval, database.canary),
    )
