"""The history, the state of every database and the outbox, as the rest of the program asks for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from monitor.alerts.holds import Hold, HoldReason, Silence, maintained
from monitor.alerts.notification import (
    EVERYTHING,
    Notification,
    NotificationKind,
    Routes,
    Severity,
    with_diagnosis,
)
from monitor.alerts.retry_policy import Delivery, DeliveryResult
from monitor.checks.observation import Check
from monitor.config.settings import MaintenanceSettings
from monitor.diagnosis.verdicts import Diagnosis
from monitor.incidents.rules import acknowledge, unwatched
from monitor.incidents.state import (
    Incident,
    IncidentState,
    Transition,
    moved,
)
from monitor.lib.times import format_duration, to_ms
from monitor.store.file.document import StateDocument
from monitor.store.file.resilient import RESERVE_BYTES, FileTrouble, Reserve, ResilientFile
from monitor.store.tables import deliveries, incidents, outbox, recording
from monitor.store.tables.channels import ChannelState, channel_states, note_credential
from monitor.store.tables.deliveries import DeliveryEffect
from monitor.store.tables.note import note_of_memory, take_up
from monitor.store.tables.outbox import Known
from monitor.store.tables.silences import NOTHING_HELD, Held, add_silence, end_silence, hold_quiet, read_silences
from monitor.store.tables.spans import is_too_long, note_maintenance
from monitor.store.tables.times import connectivity_answered, latest_time, move_times

Judge = Callable[[IncidentState, int], Transition]
T = TypeVar("T")
NO_CREDENTIALS: Mapping[str, str] = {}
# Checks that memory holds while the file cannot be written, at some hundred bytes each.
_MOST_IN_MEMORY = 100_000
_CLOCK_STEP = timedelta(seconds=2)
_RECHECK_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What recording a check led to. `before` is the state it met; `gap` how long nobody had checked."""

    transition: Transition
    before: IncidentState
    gap: timedelta | None = None


class Store:
    """The history, the state of every database and the outbox. Every call is one transaction.

    `channels` get an outbox message for each notification that their `routes` take; those that are `apart` are
    told of each incident in a message of its own. `log(level, text)` takes what
    an operator should read.
    `notify_unwritable` also sends a notification when the program goes on from memory; a program that starts
    afresh every few minutes would repeat it each time. What may be our own network's trouble is told
    `recheck_within` so much of a check that found it again.
    Raises `RefusedFileError` when opened on a file that a newer version or another program wrote.
    """

    def __init__(
        self,
        path: Path,
        *,
        channels: Sequence[str],
        log: Callable[[str, str], None],
        clock: Callable[[], datetime],
        notify_unwritable: bool = True,
        recheck_within: timedelta = _RECHECK_WITHIN,
        routes: Routes | None = None,
        group_within: timedelta = timedelta(0),
        apart: Collection[str] = (),
        maintenance: Sequence[MaintenanceSettings] = (),
    ) -> None:
        self._channels = tuple(channels)
        self._routes: Routes = routes or {}
        self._clock = clock
        self._log = log
        self._notify_unwritable = notify_unwritable
        self._group_within = group_within
        self._apart = apart
        self._maintenance = tuple(maintenance)
        self._held = NOTHING_HELD
        self._states: dict[str, tuple[IncidentState, datetime]] = {}
        self._checked: set[str] = set()
        self._reserve = Reserve(path)
        # What is noted in the reserve; not known before the start.
        self._noted: bytes | None = b""
        self._has_begun = False
        self._known = Known(checked=self._checked, recheck_within=recheck_within)
        self._begin_again: Callable[[], None] | None = None
        self._file = ResilientFile(
            path, clock=clock, log=log, restore=self._restore_states, notify=self._enqueue_trouble
        )
        self._do = self._file.do

    @property
    def is_in_memory(self) -> bool:
        """True while the file cannot be written; after `close`, that it never could."""
        return self._file.is_in_memory

    @property
    def reason_for_memory(self) -> str:
        """Why the file cannot be written, in words; empty while it can."""
        return self._file.reason_for_memory

    def record(
        self, check: Check, judge: Judge, *, interval: timedelta, hold: timedelta | None = None
    ) -> Recorded:
        """Add a check, let `judge` move the state, note the incident, enqueue the messages: all or nothing.

        `judge(state, next_incident)` must be pure: it runs inside the transaction, and again after a repair.
        What opens an incident is held back for `hold`, unless `release` comes before.
        """
        now = self._clock()
        waits = None if hold is None else Hold(reason=HoldReason.DIAGNOSIS, until=now + hold)
        quiet = self._held

        def work(connection: sqlite3.Connection) -> Recorded:
            nonlocal quiet
            database = incidents.database_id(connection, check.database)
            before, latest = incidents.read_state(connection, database)
            in_memory_at = self._clock() if self.is_in_memory else None
            transition = judge(before, incidents.next_incident(connection, in_memory_at=in_memory_at))
            window = maintained(check.database, check.at, self._maintenance)
            note_maintenance(connection, database, check.at, window)
            checked_at = recording.add_check(connection, database, check, interval=interval, latest=latest)
            incidents.write_state(connection, database, transition.state, check.at)
            if transition.incident is not None:
                incidents.write_incident(connection, database, transition.incident)
            for notification in transition.notifications:
                held = waits if notification.is_beginning else None
                self._tell(connection, notification, held)
            if transition.notifications:
                quiet = hold_quiet(connection, self._maintenance, self._held)
            pause = timedelta(0) if checked_at is None else check.at - checked_at
            gap = pause if is_too_long(pause, interval) else None
            return Recorded(transition=transition, before=before, gap=gap)

        recorded = self._do(work)
        self._held = quiet
        self._states[check.database] = (recorded.transition.state, check.at)
        self._checked.add(check.database)
        if recorded.transition.notifications:
            self._file.sync()
        if not self.is_in_memory:
            if self._begin_again is not None:
                self._begin_again()
            self._note(None)
        elif recorded.transition.notifications:
            self._note_memory()
        return recorded

    def state(self, database: str) -> IncidentState:
        """The state of one database; empty for one that was never checked."""
        return self._do(
            lambda connection: incidents.read_state(connection, incidents.database_id(connection, database))[0]
        )

    def incidents(self, *, closed_too: bool = False) -> list[tuple[str, Incident]]:
        """Open incidents with their database's name, the newest first."""
        return self._do(lambda connection: incidents.read_incidents(connection, closed_too=closed_too))

    def find_incident(self, number: int) -> tuple[str, Incident] | None:
        """An incident, open or closed, with its database's name; `None` for a number that was not given."""
        return self._do(lambda connection: incidents.find_incident(connection, number), only_read=True)

    def acknowledge_incident(self, incident: int, now: datetime) -> bool:
        """True when the incident is open and is now (or was already) acknowledged.

        With it are those whose opening was told together with its own.
        """

        def work(connection: sqlite3.Connection) -> bool:
            group, found = outbox.group_of(connection, incident), False
            for name, row in incidents.read_incidents(connection, closed_too=False):
                if row.id in group:
                    database = incidents.database_id(connection, name)
                    before, checked_at = incidents.read_state(connection, database)
                    state = acknowledge(before, now)
                    incidents.write_state(connection, database, state, checked_at or now)
                    if state.incident is not None:
                        incidents.write_incident(connection, database, state.incident)
                    outbox.give_up_reminders(connection, row.id, now)
                    found |= row.id == incident
            return found

        is_open = self._do(work)
        self._note_memory()
        return is_open

    def told_with(self, incident: int) -> list[int]:
        """The other open incidents whose opening was told together with that of this one."""

        def work(connection: sqlite3.Connection) -> list[int]:
            group = outbox.group_of(connection, incident)
            open_ones = [row.id for _, row in incidents.read_incidents(connection, closed_too=False)]
            return sorted(number for number in open_ones if number in group and number != incident)

        return self._do(work, only_read=True)

    def silence(self, silence: Silence) -> Silence:
        """Add a silence; it is returned with the number that it was given."""
        found = self._do(lambda connection: add_silence(connection, silence))
        self._note_memory()
        return found

    def silences(self, now: datetime) -> list[Silence]:
        """Those that are not over, the oldest first."""
        return [one for one in self._do(read_silences, only_read=True) if one.end > now]

    def end_silence(self, number: int, now: datetime) -> bool:
        """End a silence now; false where it is over, or there is none of that number."""
        found = self._do(lambda connection: end_silence(connection, number, now))
        self._note_memory()
        return found

    def enqueue(self, notification: Notification, *, channels: Iterable[str] | None = None) -> None:
        """Add a notification that no check led to, for those of all channels, or of those named, that take it."""
        names = self._channels if channels is None else tuple(channels)
        self._do(lambda connection: deliveries.tell(connection, notification, names, self._routes))

    def enqueue_once(
        self, notification: Notification, *, since: datetime, channels: Iterable[str] | None = None
    ) -> bool:
        """As `enqueue`, unless one of that title on that database was added since."""
        names = self._channels if channels is None else tuple(channels)

        def work(connection: sqlite3.Connection) -> bool:
            if outbox.was_enqueued(connection, notification, since):
                return False
            deliveries.tell(connection, notification, names, self._routes)
            return True

        return self._do(work)

    def release_groups(self) -> None:
        """Make what is held to be told together due: whoever checks is about to end."""
        self._do(outbox.release_groups)

    def release(self, incident: int, diagnosis: Diagnosis | None) -> None:
        """Make what is held of an incident due, with the diagnosis where there is one.

        Where it tells more of the incident's cause, its verdict becomes the incident's.
        """
        if diagnosis is None:
            self._do(lambda connection: outbox.release(connection, incident, lambda notification: notification))
            return
        # With the first diagnosis, as the doctor: the rules of verdicts are no part of a check that finds nothing.
        from monitor.diagnosis.rules import verdict_to_tell

        def work(connection: sqlite3.Connection) -> None:
            is_told = outbox.release(
                connection, incident, lambda notification: with_diagnosis(notification, diagnosis)
            )
            row = incidents.read_incident(connection, incident)
            found = verdict_to_tell(diagnosis, row.cause, row.verdict)
            # Not where the message went without it, nor for a cause that another message has told meanwhile.
            failing = [cause for cause in row.causes if cause.family.is_failing]
            if is_told and found is not None and len(failing) == 1:
                incidents.change_verdict(connection, incident, found)

        self._do(work)

    def begin(
        self,
        *,
        databases: Container[str],
        destinations: Mapping[str, str],
        credentials: Mapping[str, str] = NO_CREDENTIALS,
        left_out: Collection[str] = (),
    ) -> None:
        """Bring what is remembered in line with the settings, at the start of whatever checks and delivers.

        `databases` are the names of all that are configured, `destinations` say where each channel's messages go,
        `credentials` what opens a channel where that is not in its destination.
        Channels that are `left_out` because of a mistake keep what waits for them.
        Incidents of other databases end as unwatched; what waits for other channels is given up; each channel is
        told of the open incidents that it never heard of. What waits for a later attempt is due now: a restart
        may have repaired a channel.
        """
        now = self._clock()
        # What this process has noted itself came from memory, which the file has by now.
        note = b"" if self._has_begun else self._reserve.read()
        self._has_begun, self._held = True, NOTHING_HELD

        def work(connection: sqlite3.Connection) -> list[str]:
            lines = []
            latest, moved_by = latest_time(connection), timedelta(0)
            if latest is not None and latest > now + _CLOCK_STEP:
                moved_by = now - latest
                move_times(connection, moved_by, silences_from=now)
                lines.append(f"the clock was set back by {format_duration(latest - now)} while nobody checked")
            lines += take_up(connection, note, self._channels, now, self._routes, moved_by=moved_by)
            lines += self._end_unwatched(connection, databases, now)
            for channel, number in deliveries.give_up_removed(
                connection, (*self._channels, *left_out), now
            ).items():
                messages = "a message" if number == 1 else f"{number} messages"
                lines.append(f"{channel} is not configured any more: {messages} for it will not be sent")
            for channel in self._channels:
                route = self._routes.get(channel, EVERYTHING)
                for incident in deliveries.bring_up_to_date(
                    connection, channel, destinations[channel], now, route
                ):
                    lines.append(f"{channel} missed news of incident {incident} and is told where it stands")
                note_credential(connection, channel, credentials.get(channel, ""))
            outbox.retry_now(connection)
            return lines

        for line in self._do(work):
            self._log("WARNING", line)
        if not self.is_in_memory:
            self._reserve.take()
            self._note(None)
        self._note_memory()
        # Memory may know nothing of a file that could not even be read.
        self._begin_again = partial(
            self.begin,
            databases=databases,
            destinations=destinations,
            credentials=credentials,
            left_out=left_out,
        )
        if not self.is_in_memory:
            self._begin_again = None

    def move_times(self, by: timedelta) -> None:
        """The system's clock was set `by` so much: what is open, waits or is remembered is as old as before."""
        self._file.move_times(by)
        self._do(lambda connection: move_times(connection, by))
        self._states = {
            name: (moved(state, by), checked_at + by) for name, (state, checked_at) in self._states.items()
        }
        self._note_memory()

    def _end_unwatched(
        self, connection: sqlite3.Connection, databases: Container[str], now: datetime
    ) -> Iterable[str]:
        for name, incident in incidents.read_incidents(connection, closed_too=False):
            if name in databases:
                continue
            database = incidents.database_id(connection, name)
            state, checked_at = incidents.read_state(connection, database)
            checked_at = checked_at or incident.notified_at
            transition = unwatched(replace(state, incident=incident), name, checked_at, now)
            incidents.write_state(connection, database, transition.state, checked_at)
            incidents.write_incident(connection, database, transition.incident or incident)
            for notification in transition.notifications:
                heard = deliveries.who_heard(connection, incident.id, self._channels)
                outbox.enqueue(connection, notification, heard)
            yield f"{name} is not configured any more: its incident {incident.id} is closed as unwatched"

    def claim(self, channel: str, now: datetime) -> Delivery | None:
        """The next delivery due on this channel, leased to the caller."""

        return self._do_held(
            lambda connection: outbox.claim(connection, channel, now, self._known, apart=self._apart)
        )

    def acknowledge_delivery(
        self, delivery: Delivery, result: DeliveryResult, now: datetime, jitter: float
    ) -> DeliveryEffect:
        """Note what the channel answered. `jitter` is a random number from 0 to 1."""
        effect = self._do(lambda connection: deliveries.acknowledge(connection, delivery, result, now, jitter))
        if result.is_sent:
            self._note_memory()
        return effect

    def next_due(self, channel: str) -> datetime | None:
        """When the channel's next message may be tried; `None` when none waits."""
        now = self._clock()
        return self._do_held(lambda connection: outbox.next_due(connection, channel, now, self._known))

    def _do_held(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` once everything that waits is held as it should be."""

        def held_first(connection: sqlite3.Connection) -> tuple[Held, T]:
            return hold_quiet(connection, self._maintenance, self._held), work(connection)

        self._held, found = self._do(held_first)
        return found

    def waiting_since(self) -> datetime | None:
        """Since when the message waits that has waited longest; `None` when none does, or only on purpose."""
        now = self._clock()
        return self._do(lambda connection: outbox.waiting_since(connection, now), only_read=True)

    def note_probe(self, channel: str, result: DeliveryResult, now: datetime) -> DeliveryEffect:
        """Note what a channel answered when it was probed without a message."""
        return self._do(lambda connection: deliveries.note_probe(connection, channel, result, now))

    def channel_states(self) -> dict[str, ChannelState]:
        """What is remembered of each channel, by name."""
        return self._do(channel_states)

    def record_connectivity(self, addresses: Iterable[str], now: datetime) -> None:
        """Note that these connectivity hosts have just answered."""
        rows = [(address, to_ms(now)) for address in addresses]
        sql = "INSERT OR REPLACE INTO connectivity_host (address, answered_ms) VALUES (?, ?)"
        self._do(lambda connection: connection.executemany(sql, rows))

    def connectivity_answered(self, since: datetime) -> frozenset[str]:
        """The connectivity hosts that have answered since then."""
        return self._do(lambda connection: connectivity_answered(connection, since))

    def prune(self, now: datetime, keep: timedelta) -> int:
        """Delete what is older than `keep` and give the space back; return how many checks were deleted.

        Failing checks are kept ten times as long; rollups are kept for good.
        """

        def work(connection: sqlite3.Connection) -> int:
            if self.is_in_memory:
                recording.keep_latest(connection, _MOST_IN_MEMORY)
            return recording.prune(connection, now, keep)

        deleted = self._do(work)
        if deleted:
            self._file.give_back_space()
        return deleted

    def prune_now_and_then(self, now: datetime, keep: timedelta) -> int:
        """Prune when the oldest check is well past its time, for a program that starts every few minutes."""
        is_due = self._do(lambda connection: recording.is_older_than(connection, now, keep * 1.01), only_read=True)
        return self.prune(now, keep) if is_due else 0

    def state_document(self) -> StateDocument:
        """What another start needs to go on from here: all but the history."""
        now = self._clock()
        return self._do(lambda connection: StateDocument.taken(connection, now), only_read=True)

    def take_up(self, document: StateDocument) -> None:
        """Go on from that document, before `begin`; of a state that the file has as well the later counts."""
        now = self._clock()
        self._do(lambda connection: document.bring_to(connection, now))

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` returns, all of it read at one moment, from the file or from memory in its place.

        Other processes may write meanwhile.
        """
        return self._do(query, only_read=True)

    def close(self) -> None:
        """Commit what is known, or log that it is lost; after this the store cannot be used."""
        self._file.close()
        if self._has_begun and not self.is_in_memory:
            self._note(None)

    def _note_memory(self) -> None:
        """Note what only memory knows, for the next start, which may come after a kill."""
        if self.is_in_memory:
            self._note(self._do(partial(note_of_memory, room=RESERVE_BYTES)))

    def _note(self, note: bytes | None) -> None:
        """Note what only memory knows, for the next start; `None` when the file knows it all."""
        if note != self._noted and self._reserve.write(note or b""):
            self._noted = note

    def _restore_states(self, connection: sqlite3.Connection) -> None:
        """What this process knows of each database is at least as new as what a damaged file gave back."""
        self._held = NOTHING_HELD
        for name, (state, checked_at) in self._states.items():
            database = incidents.database_id(connection, name)
            incidents.write_state(connection, database, state, checked_at)
            if state.incident is not None:
                incidents.write_incident(connection, database, state.incident)

    def _enqueue_trouble(self, connection: sqlite3.Connection, trouble: FileTrouble) -> None:
        if trouble.lasts and not self._notify_unwritable:
            return
        notification = Notification(
            kind=NotificationKind.MONITOR,
            created_at=self._clock(),
            title=f"upstash-monitor: {trouble.text}",
            severity=Severity.WARNING,
            steps=(trouble.next_step,),
        )
        self._tell(connection, notification)

    def _tell(
        self,
        connection: sqlite3.Connection,
        notification: Notification,
        hold: Hold | None = None,
    ) -> None:
        deliveries.tell(
            connection,
            notification,
            self._channels,
            self._routes,
            hold,
            group_within=self._group_within,
            apart=self._apart,
        )
