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

from monitor.alerts.notification import Kind, Notice, Severity
from monitor.alerts.retry_policy import Dispatch, Receipt
from monitor.checks.observation import Look
from monitor.incidents.rules import acknowledge
from monitor.incidents.state import Incident, Step, Watch
from monitor.store.file.resilient import ResilientFile, Trouble
from monitor.store.tables import channels as channel_state
from monitor.store.tables import incidents as watches
from monitor.store.tables import outbox
from monitor.store.tables import recording as looks
from monitor.store.tables.rows import to_ms
from monitor.store.tables.spans import is_too_long

if TYPE_CHECKING:
    from monitor.store.queries import Question

Judge = Callable[[Watch, int], Step]
T = TypeVar("T")
# Looks that memory holds while the file cannot be written, at some hundred bytes each.
_MOST_IN_MEMORY = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What recording a look led to. `before` is the state it met; `gap` how long nobody had looked."""

    step: Step
    before: Watch
    gap: timedelta | None = None


class Store:
    """The history, the state of every database and the outbox.

    `channels` get a parcel for each notice. `say(level, text)` takes what an operator should read in the log.
    `tell_unwritable` also sends a notice when the program goes on from memory; a program that starts afresh
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
        self._watches: dict[str, tuple[Watch, datetime]] = {}
        self._file = ResilientFile(
            path, clock=clock, say=say, restore=self._restore_watches, tell=self._pack_notice
        )
        self._do = self._file.do

    @property
    def is_in_memory(self) -> bool:
        """True while the file cannot be written; after `close`, that it never could."""
        return self._file.is_in_memory

    def record(self, look: Look, judge: Judge, *, interval: timedelta, hold: timedelta | None = None) -> Recorded:
        """Add a look, let `judge` move the state, note the incident, pack the parcels: all or nothing.

        `judge(watch, next_incident)` must be pure: it runs inside the transaction, and again after a repair.
        What opens an incident is held back so long, unless `release` comes before.
        """
        now = self._clock()
        held = None if hold is None else (now, now + hold)

        def work(connection: sqlite3.Connection) -> Recorded:
            database = watches.database_id(connection, look.database)
            before, seen_at = watches.read_watch(connection, database)
            step = judge(before, watches.next_incident(connection))
            seen_at = looks.add_look(connection, database, look, interval=interval, latest=seen_at)
            watches.write_watch(connection, database, step.watch, look.at)
            if step.incident is not None:
                watches.write_incident(connection, database, step.incident)
            for notice in step.notices:
                outbox.pack(connection, notice, self._channels, held if notice.kind is Kind.OPENED else None)
            pause = timedelta(0) if seen_at is None else look.at - seen_at
            gap = pause if is_too_long(pause, interval) else None
            return Recorded(step=step, before=before, gap=gap)

        recorded = self._do(work)
        self._watches[look.database] = (recorded.step.watch, look.at)
        if recorded.step.notices:
            self._file.sync()
        return recorded

    def watch(self, database: str) -> Watch:
        """The state of one database; empty for one never looked at."""
        return self._do(
            lambda connection: watches.read_watch(connection, watches.database_id(connection, database))[0]
        )

    def incidents(self, *, closed_too: bool = False) -> list[tuple[str, Incident]]:
        """Open incidents with their database's name, the newest first."""
        return self._do(lambda connection: watches.read_incidents(connection, closed_too=closed_too))

    def acknowledge(self, incident: int, now: datetime) -> bool:
        """True when the incident is open and is now (or was already) acknowledged."""

        def work(connection: sqlite3.Connection) -> bool:
            for name, row in watches.read_incidents(connection, closed_too=False):
                if row.id == incident:
                    database = watches.database_id(connection, name)
                    watch, seen_at = watches.read_watch(connection, database)
                    known = acknowledge(watch, now)
                    watches.write_watch(connection, database, known, seen_at or now)
                    if known.incident is not None:
                        watches.write_incident(connection, database, known.incident)
                    return True
            return False

        return self._do(work)

    def tell(self, notice: Notice, *, channels: Iterable[str] | None = None) -> None:
        """Pack a notice that no look led to, for all channels or for those named."""
        names = self._channels if channels is None else tuple(channels)
        self._do(lambda connection: outbox.pack(connection, notice, names))

    def release(self, incident: int, reword: Callable[[Notice], Notice]) -> None:
        """Let go what is held of an incident, in other words; `reword` must be pure."""
        self._do(lambda connection: outbox.release(connection, incident, reword))

    def wake(self) -> None:
        """Make what waits long due at once, as at a start: whoever restarts us may have mended a channel."""
        self._do(outbox.wake)

    def claim(self, channel: str, now: datetime) -> Dispatch | None:
        """The next message due on this channel, leased to the caller."""
        return self._do(lambda connection: outbox.claim(connection, channel, now))

    def settle(self, dispatch: Dispatch, receipt: Receipt, now: datetime, jitter: float) -> outbox.Settled:
        """Note what the channel answered. `jitter` is a random number from 0 to 1."""
        return self._do(lambda connection: outbox.settle(connection, dispatch, receipt, now, jitter))

    def next_due(self, channel: str) -> datetime | None:
        """When the channel's next parcel may be tried; `None` when nothing waits."""
        return self._do(lambda connection: outbox.next_due(connection, channel))

    def channel_states(self) -> dict[str, channel_state.ChannelState]:
        """What is remembered of each channel, by name."""
        return self._do(channel_state.channel_states)

    def note_controls(self, addresses: Iterable[str], now: datetime) -> None:
        """These control hosts have just answered."""
        rows = [(address, to_ms(now)) for address in addresses]
        sql = "INSERT OR REPLACE INTO control (address, answered_ms) VALUES (?, ?)"
        self._do(lambda connection: connection.executemany(sql, rows))

    def controls_heard(self, since: datetime) -> frozenset[str]:
        """The control hosts that have answered since then."""
        sql = "SELECT address FROM control WHERE answered_ms >= ?"
        return frozenset(row[0] for row in self._do(lambda c: c.execute(sql, (to_ms(since),)).fetchall()))

    def prune(self, now: datetime, keep: timedelta) -> int:
        """Delete what is older than `keep` and give the space back; return how many looks were deleted.

        Failing looks are kept ten times as long; what looks add up to is kept for good.
        """

        def work(connection: sqlite3.Connection) -> int:
            if self.is_in_memory:
                looks.keep_latest(connection, _MOST_IN_MEMORY)
            return looks.prune(connection, now, keep)

        deleted = self._do(work)
        if deleted:
            self._file.give_back_space()
        return deleted

    def prune_now_and_then(self, now: datetime, keep: timedelta) -> int:
        """Prune when the oldest look is a good deal past its time; for a program that starts every few minutes."""
        is_due = self._do(lambda connection: looks.is_older_than(connection, now, keep * 1.01), only_read=True)
        return self.prune(now, keep) if is_due else 0

    def read(self, question: Question[T]) -> T:
        """What `question` finds in the file, or in memory while that stands in; all of it at one moment.

        The questions are those of `history`. Other processes may write meanwhile.
        """
        return self._do(question, only_read=True)

    def close(self) -> None:
        """Commit what is known, or say that it is lost; after this the store cannot be used."""
        self._file.close()

    def _restore_watches(self, connection: sqlite3.Connection) -> None:
        """What this process knows of each database is at least as new as what a sick file gave back."""
        for name, (watch, seen_at) in self._watches.items():
            database = watches.database_id(connection, name)
            watches.write_watch(connection, database, watch, seen_at)
            if watch.incident is not None:
                watches.write_incident(connection, database, watch.incident)

    def _pack_notice(self, connection: sqlite3.Connection, trouble: Trouble) -> None:
        if trouble.lasts and not self._tell_unwritable:
            return
        notice = Notice(
            kind=Kind.MONITOR,
            created_at=self._clock(),
            title=f"upstash-monitor: {trouble.text}",
            severity=Severity.WARNING,
            steps=(trouble.next_step,),
        )
        outbox.pack(connection, notice, self._channels)
