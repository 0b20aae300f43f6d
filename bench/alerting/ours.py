"""The rules of this program in virtual time: `advance` and `is_in_doubt` themselves, on the schedule of `run`.

`Ours` keeps the state in memory and delivers at once; `Office` puts the real store (a SQLite file) and the real
`Deliverer` behind it. `Cron` is `check` every five minutes, with a disk or without.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.alerting.models import Inbox, Kind, Message, Tool
from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.checks.observation import Check, Family, Outcome
from monitor.config.settings import AlertSettings
from monitor.diagnosis.verdicts import DatabaseProfile, judge_outcome
from monitor.engine.delivery import Deliverer
from monitor.incidents.rules import advance, fitted, is_in_doubt, opens_not_before, pause_in_one_run
from monitor.incidents.state import IncidentState, Transition
from monitor.lib.threads import SerialThread
from monitor.store.store import Store

_START = datetime(2026, 11, 1, tzinfo=UTC)
_SEND_SECONDS = 0.3
_RESTART_SECONDS = 5.0
_KILLED_WHILE_SENDING = 0.02
_KINDS = {
    NotificationKind.OPENED: Kind.OPENED,
    NotificationKind.CLOSED: Kind.CLOSED,
    NotificationKind.MISSED: Kind.BOTH,
}
_PROFILE = DatabaseProfile(database="0", url_variable="", token_variable="")


def moment(at: float) -> datetime:
    return _START + timedelta(seconds=at)


def seconds(at: datetime) -> float:
    return (at - _START).total_seconds()


def _message(notification: Notification, at: float, database: int) -> Message:
    first = notification.includes[0] if notification.includes else notification
    return Message(
        at=at,
        kind=_KINDS.get(notification.kind, Kind.MORE),
        databases=tuple(int(one.database or 0) for one in notification.includes) or (database,),
        incident=first.incident or 0,
        since=seconds(notification.since or notification.created_at),
    )


class Ours(Tool):
    """One database in `run`: a slot every `interval`, in doubt `confirm_interval` after the end of a check."""

    def __init__(
        self,
        inbox: Inbox,
        database: int,
        start: float,
        *,
        interval: float = 60.0,
        alerts: AlertSettings | None = None,
    ) -> None:
        super().__init__(inbox, database, start)
        self.interval = interval
        self.alerts = alerts or AlertSettings()
        self.state = IncidentState()
        self._slots_from = start

    @property
    def is_at_rest(self) -> bool:
        """With no incident, no evidence and no slow check in mind, further fine ones lead to nothing.

        What is put off by a doubt goes on from the next slot.
        """
        state = self.state
        is_slow_remembered = any(check.family is Family.SLOW for check in state.recent)
        return state.incident is None and state.evidence is None and not is_slow_remembered

    def skip(self, checks: int) -> None:
        """Fine checks dilute the failures before them."""
        super().skip(checks)
        if self.state.runs:
            latest = self.state.runs[-1]
            diluted = replace(latest, checks=latest.checks + checks)
            self.state = replace(self.state, runs=(*self.state.runs[:-1], diluted))

    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        self.record(at, ended, outcome)
        self._schedule(ended)

    def record(self, at: float, ended: float, outcome: Outcome) -> None:
        transition = self.judge(at, outcome)(self.state, self.inbox.incidents + 1)
        self.state = transition.state
        for notification in transition.notifications:
            self.inbox.incidents += notification.kind is NotificationKind.OPENED
            self.inbox.send(_message(notification, ended + _SEND_SECONDS, self.database))

    def judge(self, at: float, outcome: Outcome) -> Callable[[IncidentState, int], Transition]:
        check = self.check(at, outcome)
        return lambda state, number: advance(
            state,
            check,
            self.alerts,
            next_incident=number,
            explain=lambda cause: judge_outcome(cause, _PROFILE),
            interval=timedelta(seconds=self.interval),
        )

    def check(self, at: float, outcome: Outcome) -> Check:
        return Check(database=str(self.database), at=moment(at), outcome=outcome)

    def _schedule(self, ended: float) -> None:
        # A slot that comes while a check runs is left out (`max_instances=1`).
        next_slot = math.floor((ended - self._slots_from) / self.interval) + 1
        self.next_at = self._slots_from + next_slot * self.interval
        if is_in_doubt(self.state, self.alerts):
            pause = min(self.alerts.confirm_interval.total_seconds(), self.interval)
            self.next_at = min(self.next_at, ended + pause)


class KilledError(Exception):
    """The process was killed while it sent."""


class Office:
    """The real store and the real `Deliverer` of one process, in virtual time; `kills` are when it is killed.

    Of the messages sent 2 % are followed by a kill before the answer is noted, where there are kills at all.
    """

    def __init__(
        self, inbox: Inbox, path: Path, *, databases: int, kills: tuple[float, ...], chance: random.Random
    ) -> None:
        self.name = "inbox"
        self.kills = list(kills)
        self._dies_sending = bool(kills)
        self._inbox = inbox
        self._databases = {str(number) for number in range(databases)}
        self._path = path
        self._chance = chance
        self._now = 0.0
        self._seen: set[tuple[int, NotificationKind, datetime]] = set()
        self._loop = asyncio.new_event_loop()
        self._is_open = False
        self.open()

    def open(self) -> None:
        """Start, at first or anew after a kill."""
        self.close()
        self.store = Store(
            self._path,
            channels=[self.name],
            log=lambda _level, _text: None,
            clock=lambda: moment(self._now),
            group_within=AlertSettings().group_within,
        )
        self.store.begin(databases=self._databases, destinations={self.name: self.name})
        self._thread = SerialThread("store")
        self._deliverer = Deliverer(
            {self.name: self},
            store=self.store,
            store_thread=self._thread,
            clock=lambda: moment(self._now),
            jitter=self._chance.random,
            pace=timedelta(0),
        )
        self._is_open, self.waits = True, True

    def close(self) -> None:
        if self._is_open:
            self._thread.stop(self.store.close)
        self._is_open = False

    def finish(self) -> None:
        self.close()
        self._loop.close()

    def deliver_until(self, at: float) -> None:
        """Send what becomes due until then; `waits` says whether anything is left."""
        while self.waits:
            due = self._loop.run_until_complete(self._deliverer.next_due())
            self.waits = due is not None
            if due is None or seconds(due) > at:
                return
            self._now = max(self._now, seconds(due))
            try:
                self._loop.run_until_complete(self._deliverer.send_due())
            except KilledError:
                self.kill(self._now)

    def record(self, tool: Stored, at: float, ended: float, outcome: Outcome) -> None:
        self.deliver_until(at)
        self._now = ended
        recorded = self.store.record(
            tool.check(at, outcome), tool.judge(at, outcome), interval=timedelta(seconds=tool.interval)
        )
        tool.state = recorded.transition.state
        self.waits |= bool(recorded.transition.notifications)
        self.deliver_until(ended)

    def kill(self, at: float) -> None:
        self.open()
        self._now = at + _RESTART_SECONDS

    def probe(self, timeout: timedelta) -> None:
        """Nothing to ask."""

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        """As a channel does; the delivery takes as long as in `Ours`."""
        at = self._now + _SEND_SECONDS
        if not self._inbox.send(_message(notification, at, int(notification.database or 0))):
            return DeliveryResult(status=DeliveryStatus.RETRY, detail="away")
        what = (notification.incident or 0, notification.kind, notification.created_at)
        self._inbox.duplicates += what in self._seen
        self._seen.add(what)
        if self._dies_sending and self._chance.random() < _KILLED_WHILE_SENDING:
            raise KilledError
        return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="")


class Stored(Ours):
    """One database whose checks go through an `Office`."""

    def __init__(self, inbox: Inbox, database: int, start: float, office: Office) -> None:
        super().__init__(inbox, database, start)
        self.office = office

    @property
    def is_at_rest(self) -> bool:
        return not self.office.waits and not self.state.runs and super().is_at_rest

    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        kills = self.office.kills
        if kills and kills[0] <= ended:
            killed_at = max(kills.pop(0), at)  # a check under way is lost with it
            self.office.kill(killed_at)
            self._slots_from = self.next_at = killed_at + _RESTART_SECONDS
            return
        super().checked(at, ended, outcome)

    def record(self, at: float, ended: float, outcome: Outcome) -> None:
        self.office.record(self, at, ended, outcome)

    def finish(self) -> None:
        if self.database == 0:
            self.office.deliver_until(self.next_at)
            self.office.finish()


class Cron(Ours):
    """`check --within 60s` every five minutes, until decided. Without a disk nothing is remembered."""

    _WITHIN = 60.0
    _STARTING = 0.5
    _FOR_DELIVERY = 6.0

    def __init__(self, inbox: Inbox, database: int, start: float, *, has_disk: bool) -> None:
        super().__init__(inbox, database, start, interval=300.0)
        self._has_disk = has_disk
        self._is_new = True
        self._run_at = start
        in_time = timedelta(seconds=self._WITHIN - self._STARTING - self._FOR_DELIVERY)
        self.alerts, timeout = fitted(self.alerts, timedelta(seconds=self.timeout), in_time)
        self.timeout = self._longest = timeout.total_seconds()

    @property
    def is_at_rest(self) -> bool:
        return self.next_at == self._run_at and (not self._has_disk or super().is_at_rest)

    def skip(self, checks: int) -> None:
        super().skip(checks)
        self._run_at = self.next_at

    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        if at == self._run_at:
            self.state = self.state if self._has_disk else IncidentState()
            self._is_new = self.state == IncidentState()
        self.record(at, ended, outcome)
        pause = self.alerts.confirm_interval.total_seconds()
        left = self._run_at + self._WITHIN - self._FOR_DELIVERY - ended
        if is_in_doubt(self.state, self.alerts, in_one_run=True, with_slow=self._is_new) and left > pause:
            not_before = opens_not_before(self.state, self.alerts)
            pause = pause_in_one_run(
                self.alerts.confirm_interval,
                opens_in=None if not_before is None else not_before - moment(ended),
                left=timedelta(seconds=left),
                timeout=timedelta(seconds=self._longest),
            ).total_seconds()
            self.next_at = ended + pause
            self.timeout = min(self._longest, left - pause)
        else:
            self._run_at = self.next_at = self._run_at + self.interval
            self.timeout = self._longest
