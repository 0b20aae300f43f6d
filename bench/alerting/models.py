"""The peers' rules as models, each with its source, and the inbox that all tools write to.

A tool has `next_at`, when it checks next; `is_at_rest`, that fine checks change nothing; `skip(checks)`, that so
many of them, an `interval` apart, were left out; and `checked(at, ended, outcome)`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from monitor.checks.observation import Outcome, is_up

Spans = Sequence[tuple[float, float]]


class Kind(Enum):
    OPENED = "opened"
    MORE = "more"  # a reminder, a change of cause
    CLOSED = "closed"
    BOTH = "both"  # that an incident opened and closed, in one message


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What people read at `at`. `since` is the first failing check of the incident, which has a number by tool."""

    at: float
    kind: Kind
    databases: tuple[int, ...]
    incident: int
    since: float


@dataclass(kw_only=True, slots=True)
class Inbox:
    """What arrived; what is sent while the channel is `away` does not. `lost` counts what is never sent again."""

    away: Spans = ()
    messages: list[Message] = field(default_factory=list)
    lost: int = 0
    duplicates: int = 0
    incidents: int = 0

    def is_away(self, at: float) -> bool:
        return any(begin <= at < end for begin, end in self.away)

    def send(self, message: Message) -> bool:
        """True when it arrived."""
        if self.is_away(message.at):
            return False
        self.messages.append(message)
        return True

    def next_incident(self) -> int:
        self.incidents += 1
        return self.incidents


class Tool(ABC):
    """What checks one database."""

    interval = 60.0
    timeout = 10.0

    def __init__(self, inbox: Inbox, database: int, start: float) -> None:
        self.inbox = inbox
        self.database = database
        self.next_at = start

    @property
    @abstractmethod
    def is_at_rest(self) -> bool: ...

    def skip(self, checks: int) -> None:
        self.next_at += checks * self.interval

    @abstractmethod
    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        """A check is over; `next_at` is set anew."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """The month is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counting:
    """A rule that counts: down after `failures` in a row, up after `fine` in a row that span `fine_for` seconds.

    `pace` is the pause between the checks on the way there. With `repeats` an opening that was not delivered is
    tried again at each failing check, and one that never was is not closed either.
    """

    failures: int
    fine: int = 1
    fine_for: float = 0.0
    timeout: float = 10.0
    pace: float = 60.0
    repeats: bool = False


class Counter(Tool):
    def __init__(self, inbox: Inbox, database: int, start: float, rule: Counting) -> None:
        super().__init__(inbox, database, start)
        self.timeout = rule.timeout
        self._rule = rule
        self._failed = self._fine = 0
        self._failed_at = self._fine_at = 0.0
        self._is_down = self._is_told = False
        self._incident = 0

    @property
    def is_at_rest(self) -> bool:
        return not self._is_down and not self._failed

    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        rule = self._rule
        if is_up(outcome.family):
            self._failed = 0
            self._fine_at = self._fine_at if self._fine else ended
            self._fine += 1
            if self._is_down and self._fine >= rule.fine and ended - self._fine_at >= rule.fine_for:
                self._close(ended)
        else:
            self._fine = 0
            self._failed_at = self._failed_at if self._failed or self._is_down else at
            self._failed += 1
            if self._failed >= rule.failures:
                self._open(ended)
        is_deciding = self._failed if not self._is_down else self._fine
        # A check that outlasts its interval is followed at once.
        self.next_at = max(ended, at + (rule.pace if is_deciding else self.interval))

    def _open(self, at: float) -> None:
        if not self._is_down:
            self._incident = self.inbox.next_incident()
        if not self._is_down or (self._rule.repeats and not self._is_told):
            self._is_told = self._send(at, Kind.OPENED)
            self.inbox.lost += not (self._is_told or self._rule.repeats)
        self._is_down = True

    def _close(self, at: float) -> None:
        self._is_down = False
        if self._is_told or not self._rule.repeats:
            self.inbox.lost += not self._send(at, Kind.CLOSED)
        else:
            self.inbox.lost += 1  # the opening

    def _send(self, at: float, kind: Kind) -> bool:
        return self.inbox.send(
            Message(at=at, kind=kind, databases=(self.database,), incident=self._incident, since=self._failed_at)
        )


class Healthchecks(Tool):
    """A job pings after each fine check; down when no ping came for 60 s and the grace of 60 s, its least.

    Who is late is looked for every two seconds. Three tries to deliver at once, which is one to a long trouble.
    """

    _SILENCE = 122.0

    def __init__(self, inbox: Inbox, database: int, start: float) -> None:
        super().__init__(inbox, database, start)
        self._pinged_at = start - self.interval
        self._missed_at: float | None = None
        self._incident = 0

    @property
    def is_at_rest(self) -> bool:
        return self._missed_at is None

    def skip(self, checks: int) -> None:
        super().skip(checks)
        self._pinged_at += checks * self.interval

    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        self.next_at = at + self.interval
        late = self._pinged_at + self._SILENCE
        if self._missed_at is not None and not self._incident and ended >= late:
            self._incident = self.inbox.next_incident()
            self._send(late, Kind.OPENED)
        if not is_up(outcome.family):
            self._missed_at = at if self._missed_at is None else self._missed_at
            return
        self._pinged_at = ended
        if self._incident:
            self._send(ended, Kind.CLOSED)
        self._missed_at, self._incident = None, 0

    def _send(self, at: float, kind: Kind) -> None:
        self.inbox.lost += not self.inbox.send(
            Message(
                at=at,
                kind=kind,
                databases=(self.database,),
                incident=self._incident,
                since=at if self._missed_at is None else self._missed_at,
            )
        )


class Alertmanager:
    """All alerts in one group, by the defaults: group_wait 30 s, group_interval 5 m, repeat_interval 4 h.

    notify/dedup_stage.go, dispatch/dispatch.go: what was resolved before the first notification arrived is never
    sent; a flush that fails is tried again with the next.
    """

    _WAIT, _INTERVAL, _REPEAT = 30.0, 300.0, 4 * 3600.0

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._changes: list[tuple[float, int, bool, float]] = []

    def add(self, at: float, database: int, since: float, *, is_firing: bool) -> None:
        self._changes.append((at, database, is_firing, since))

    def finish(self) -> None:
        """Send what all of the month comes to."""
        firing: dict[int, float] = {}
        told: dict[int, float] = {}
        flush: float | None = None
        sent_at, incident, has_failed = 0.0, 0, False
        changes = sorted(self._changes)
        while changes or flush is not None:
            if changes and (flush is None or changes[0][0] <= flush):
                at, database, is_firing, since = changes.pop(0)
                if is_firing:
                    firing[database] = since
                    flush = at + self._WAIT if flush is None else flush
                else:
                    firing.pop(database, None)
                continue
            assert flush is not None
            new, gone = firing.keys() - told.keys(), told.keys() - firing.keys()
            if new or gone or (firing and flush - sent_at >= self._REPEAT):
                incident = self._inbox.next_incident() if new and not told else incident
                kind = Kind.OPENED if new else Kind.CLOSED if gone else Kind.MORE
                about = tuple(sorted(new or gone or firing.keys()))
                message = Message(
                    at=flush,
                    kind=kind,
                    databases=about,
                    incident=incident,
                    since=min((firing | told)[database] for database in about),
                )
                if self._inbox.send(message):
                    told, sent_at, has_failed = dict(firing), flush, False
                else:
                    has_failed = True
            if firing or told:
                flush += self._INTERVAL
            else:
                self._inbox.lost += has_failed
                flush, has_failed = None, False


class Prometheus(Tool):
    """A probe and the rules every 60 s, each at a moment of its own; `for: 3m`. rules/alerting.go."""

    _FOR = 180.0

    def __init__(
        self, inbox: Inbox, database: int, start: float, alertmanager: Alertmanager, phase: float
    ) -> None:
        super().__init__(inbox, database, start)
        self._alertmanager = alertmanager
        self._evaluates_at = phase
        self._failed_at: float | None = None
        self._pending_at: float | None = None
        self._is_firing = False

    @property
    def is_at_rest(self) -> bool:
        return self._failed_at is None and self._pending_at is None

    def skip(self, checks: int) -> None:
        super().skip(checks)
        self._evaluates_at += checks * self.interval

    def checked(self, at: float, ended: float, outcome: Outcome) -> None:
        self.next_at = at + self.interval
        while self._evaluates_at < ended:
            self._evaluate(self._evaluates_at)
            self._evaluates_at += self.interval
        if is_up(outcome.family):
            self._failed_at = None
        elif self._failed_at is None:
            self._failed_at = at

    def _evaluate(self, at: float) -> None:
        if self._failed_at is None:
            if self._is_firing:
                self._alertmanager.add(at, self.database, 0.0, is_firing=False)
            self._pending_at, self._is_firing = None, False
            return
        self._pending_at = at if self._pending_at is None else self._pending_at
        if not self._is_firing and at - self._pending_at >= self._FOR:
            self._is_firing = True
            self._alertmanager.add(at, self.database, self._failed_at, is_firing=True)

    def finish(self) -> None:
        if self.database == 0:
            self._alertmanager.finish()


# What makes the tools that watch so many databases.
Make = Callable[[Inbox, int, random.Random], list[Tool]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A peer as it is modelled: `rule` in one line, and where that is from.

    One that `is_outside` has a network of its own; how it delivers `is_known` or not.
    """

    name: str
    rule: str
    source: str
    make: Make
    is_outside: bool = False
    is_delivery_known: bool = True


def _counting(rule: Counting) -> Make:
    def make(inbox: Inbox, databases: int, chance: random.Random) -> list[Tool]:
        return [Counter(inbox, number, chance.random() * 60, rule) for number in range(databases)]

    return make


def _prometheus(inbox: Inbox, databases: int, chance: random.Random) -> list[Tool]:
    alertmanager, phase = Alertmanager(inbox), chance.random() * 60
    return [Prometheus(inbox, number, chance.random() * 60, alertmanager, phase) for number in range(databases)]


def _healthchecks(inbox: Inbox, databases: int, chance: random.Random) -> list[Tool]:
    return [Healthchecks(inbox, number, chance.random() * 60) for number in range(databases)]


PEERS = (
    Peer(
        name="Kuma r0",
        rule="60 s, timeout 48 s; DOWN at the first failing beat, UP at the first fine one; one try to deliver",
        source="server/model/monitor.js (`interval - elapsed`, maxretries 0)",
        make=_counting(Counting(failures=1, timeout=48.0)),
    ),
    Peer(
        name="Kuma r1",
        rule="the same with one retry: DOWN at the second failing beat",
        source="server/model/monitor.js (maxretries 1)",
        make=_counting(Counting(failures=2, timeout=48.0)),
    ),
    Peer(
        name="Gatus",
        rule="60 s, timeout 10 s; 3 failing in a row, 2 fine in a row; `send-on-resolved: true` (no default); "
        "an opening is tried again at the next failing check, a closing once",
        source="watchdog/alerting.go, alerting/alert/alert.go",
        make=_counting(Counting(failures=3, fine=2, repeats=True)),
    ),
    Peer(
        name="Prom+AM",
        rule="probe 60 s, rules 60 s, `for: 3m`; group_wait 30 s, group_interval 5 m, repeat 4 h, one group",
        source="rules/alerting.go; notify/dedup_stage.go, dispatch/dispatch.go; defaults",
        make=_prometheus,
    ),
    Peer(
        name="healthchecks",
        rule="a job pings after each fine check; period 60 s and grace 60 s (its least); up at the next ping",
        source="healthchecks.io/docs/configuring_checks; hc/api/transports.py",
        make=_healthchecks,
    ),
    Peer(
        name="Better Stack",
        rule="60 s from outside, timeout 30 s; confirmation 0 s, up after 180 s fine; retries from another "
        "region are not modelled, and which values its form has as defaults was not found",
        source="betterstack.com/docs/uptime/confirmation-and-recovery-period",
        make=_counting(Counting(failures=1, fine_for=180.0, timeout=30.0)),
        is_outside=True,
        is_delivery_known=False,
    ),
    Peer(
        name="updown.io",
        rule="60 s from outside, timeout 30 s; 3 failing in a row at half the interval, 3 fine in a row likewise; "
        "its second location is not modelled",
        source="updown.io/doc/how-alerting-works",
        make=_counting(Counting(failures=3, fine=3, pace=30.0, timeout=30.0)),
        is_outside=True,
        is_delivery_known=False,
    ),
)
