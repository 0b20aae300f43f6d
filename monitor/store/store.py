"""The history, the state of every database and the outbox, as the rest of the house asks for them.

Every call is one transaction. Rows are written in `looks`, `watches` and `outbox`, what happens when the file is
sick is decided in `resilient`; all of it runs on one thread (`keeper`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import Delivery, DeliveryResult
from monitor.checks.observation import Check
from monitor.incidents.rules import acknowledge
from monitor.incidents.state import Incident, IncidentState, Transition
from monitor.store.file.resilient import ResilientFile, Trouble
from monitor.store.tables import channels as channel_state
from monitor.store.tables import incidents as states
from monitor.store.tables import outbox
from monitor.store.tables import recording as checks
from monitor.store.tables.rows import to_ms
from monitor.store.tables.spans import is_too_long

if TYPE_CHECKING:
    from monitor.store.queries import Query

Judge = Callable[[IncidentState, int], Transition]
T = TypeVar("T")
# Checks that memory holds while the file cannot be written, at some hundred bytes each.
_MOST_IN_MEMORY = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What recording a check led to. `before` is the state it met; `gap` how long nobody had looked."""

    transition: Transition
    before: IncidentState
    gap: timedelta | None = None


class Store:
    """The history, the state of every database and the outbox.

    `channels` get an outbox message for each notification. `say(level, text)` takes what an operator should read
    in the log.
    `tell_unwritable` also sends a notification when the program goes on from memory; a program that starts afresh
    every few minutes would repeat it each time.
    Raises `RefusedFileError` when opened on a file that a newer version or another program wrote.
    """

    def __init__(
        self,
        path: Path,
        *,
        channels: Sequence[str],
        say: Callable[[str, str], None],
        clock: Callable[[], datetime],
        tell_unwritable: bool = True,
    ) -> None:
        self._channels = tuple(channels)
        self._clock = clock
        self._tell_unwritable = tell_unwritable
        self._states: dict[str, tuple[IncidentState, datetime]] = {}
        self._file = ResilientFile(
            path, clock=clock, say=say, restore=self._restore_states, tell=self._enqueue_notification
        )
        self._do = self._file.do

    @property
    def is_in_memory(self) -> bool:
        """True while the file cannot be written; after `close`, that it never could."""
        return self._file.is_in_memory

    def record(
        self, check: Check, judge: Judge, *, interval: timedelta, hold: timedelta | None = None
    ) -> Recorded:
        """Add a check, let `judge` move the state, note the incident, pack the outbox messages: all or nothing.

        `judge(watch, next_incident)` must be pure: it runs inside the transaction, and again after a repair.
        What opens an incident is held back so long, unless `release` comes before.
        """
        now = self._clock()
        held = None if hold is None else (now, now + hold)

        def work(connection: sqlite3.Connection) -> Recorded:
            database = states.database_id(connection, check.database)
            before, seen_at = states.read_state(connection, database)
            transition = judge(before, states.next_incident(connection))
            seen_at = checks.add_check(connection, database, check, interval=interval, latest=seen_at)
            states.write_state(connection, database, transition.state, check.at)
            if transition.incident is not None:
                states.write_incident(connection, database, transition.incident)
            for notification in transition.notifications:
                outbox.pack(
                    connection,
                    notification,
                    self._channels,
                    held if notification.kind is NotificationKind.OPENED else None,
                )
            pause = timedelta(0) if seen_at is None else check.at - seen_at
            gap = pause if is_too_long(pause, interval) else None
            return Recorded(transition=transition, before=before, gap=gap)

        recorded = self._do(work)
        self._states[check.database] = (recorded.transition.state, check.at)
        if recorded.transition.notifications:
            self._file.sync()
        return recorded

    def state(self, database: str) -> IncidentState:
        """The state of one database; empty for one never looked at."""
        return self._do(
            lambda connection: states.read_state(connection, states.database_id(connection, database))[0]
        )

    def incidents(self, *, closed_too: bool = False) -> list[tuple[str, Incident]]:
        """Open incidents with their database's name, the newest first."""
        return self._do(lambda connection: states.read_incidents(connection, closed_too=closed_too))

    def acknowledge(self, incident: int, now: datetime) -> bool:
        """True when the incident is open and is now (or was already) acknowledged."""

        def work(connection: sqlite3.Connection) -> bool:
            for name, row in states.read_incidents(connection, closed_too=False):
                if row.id == incident:
                    database = states.database_id(connection, name)
                    state, seen_at = states.read_state(connection, database)
                    known = acknowledge(state, now)
                    states.write_state(connection, database, known, seen_at or now)
                    if known.incident is not None:
                        states.write_incident(connection, database, known.incident)
                    return True
            return False

        return self._do(work)

    def tell(self, notification: Notification, *, channels: Iterable[str] | None = None) -> None:
        """Pack a notification that no check led to, for all channels or for those named."""
        names = self._channels if channels is None else tuple(channels)
        self._do(lambda connection: outbox.pack(connection, notification, names))

    def release(self, incident: int, reword: Callable[[Notification], Notification]) -> None:
        """Let go what is held of an incident, in other words; `reword` must be pure."""
        self._do(lambda connection: outbox.release(connection, incident, reword))

    def wake(self) -> None:
        """Make what waits long due at once, as at a start: whoever restarts us may have mended a channel."""
        self._do(outbox.wake)

    def claim(self, channel: str, now: datetime) -> Delivery | None:
        """The next message due on this channel, leased to the caller."""
        return self._do(lambda connection: outbox.claim(connection, channel, now))

    def settle(
        self, delivery: Delivery, result: DeliveryResult, now: datetime, jitter: float
    ) -> outbox.DeliveryEffect:
        """Note what the channel answered. `jitter` is a random number from 0 to 1."""
        return self._do(lambda connection: outbox.settle(connection, delivery, result, now, jitter))

    def next_due(self, channel: str) -> datetime | None:
        """When the channel's next outbox message may be tried; `None` when nothing waits."""
        return self._do(lambda connection: outbox.next_due(connection, channel))

    def channel_states(self) -> dict[str, channel_state.ChannelState]:
        """What is remembered of each channel, by name."""
        return self._do(channel_state.channel_states)

    def note_connectivity(self, addresses: Iterable[str], now: datetime) -> None:
        """These connectivity hosts have just answered."""
        rows = [(address, to_ms(now)) for address in addresses]
        sql = "INSERT OR REPLACE INTO connectivity_host (address, answered_ms) VALUES (?, ?)"
        self._do(lambda connection: connection.executemany(sql, rows))

    def connectivity_heard(self, since: datetime) -> frozenset[str]:
        """The connectivity hosts that have answered since then."""
        sql = "SELECT address FROM connectivity_host WHERE answered_ms >= ?"
        return frozenset(row[0] for row in self._do(lambda c: c.execute(sql, (to_ms(since),)).fetchall()))

    def prune(self, now: datetime, keep: timedelta) -> int:
        """Delete what is older than `keep` and give the space back; return how many checks were deleted.

        Failing checks are kept ten times as long; what looks add up to is kept for good.
        """

        def work(connection: sqlite3.Connection) -> int:
            if self.is_in_memory:
                checks.keep_latest(connection, _MOST_IN_MEMORY)
            return checks.prune(connection, now, keep)

        deleted = self._do(work)
        if deleted:
            self._file.give_back_space()
        return deleted

    def prune_now_and_then(self, now: datetime, keep: timedelta) -> int:
        """Prune when the oldest check is a good deal past its time; for a program that starts every few
        minutes.
        """
        is_due = self._do(lambda connection: checks.is_older_than(connection, now, keep * 1.01), only_read=True)
        return self.prune(now, keep) if is_due else 0

    def read(self, query: Query[T]) -> T:
        """What `question` finds in the file, or in memory while that stands in; all of it at one moment.

        The questions are those of `history`. Other processes may write meanwhile.
        """
        return self._do(query, only_read=True)

    def close(self) -> None:
        """Commit what is known, or say that it is lost; after this the store cannot be used."""
        self._file.close()

    def _restore_states(self, connection: sqlite3.Connection) -> None:
        """What this process knows of each database is at least as new as what a sick file gave back."""
        for name, (state, seen_at) in self._states.items():
            database = states.database_id(connection, name)
            states.write_state(connection, database, state, seen_at)
            if state.incident is not None:
                states.write_incident(connection, database, state.incident)

    def _enqueue_notification(self, connection: sqlite3.Connection, trouble: Trouble) -> None:
        if trouble.lasts and not self._tell_unwritable:
            return
        notification = Notification(
            kind=NotificationKind.MONITOR,
            created_at=self._clock(),
            title=f"upstash-monitor: {trouble.text}",
            severity=Severity.WARNING,
            steps=(trouble.next_step,),
        )
        outbox.pack(connection, notification, self._channels)
