"""What is notified about an incident or the monitor itself: to whom, when it is held back, and what with it.

Independent of any channel's markup. Rules only: times are handed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from monitor.checks.observation import Outcome
from monitor.config.settings import MaintenanceSettings
from monitor.config.windows import Window
from monitor.diagnosis.advice import EACH_OF_THEM
from monitor.diagnosis.verdicts import (
    Diagnosis,
    Layer,
    LayerResults,
    LayerState,
    Verdict,
    verdict_from_json,
    verdict_to_json,
)
from monitor.lib.times import from_iso_or_none, from_seconds_or_none


class NotificationKind(Enum):
    """What a notification is about; the word that ends a message: `incident 12 · opened`.

    `REOPENED` is an incident that was told as over and is not.
    `ONGOING` tells a channel of an open incident that it never heard of, `UNWATCHED` that the database of one is
    not configured any more. `MISSED` is what could not be delivered in time: an incident that is over, or, a day
    late, where things stand by now. `WARNING` is about a database that works, `MONITOR` about the monitor itself,
    `TEST` is what `test-alerts` sends.
    """

    OPENED = "opened"
    REOPENED = "reopened"
    CHANGED = "changed"
    REMINDER = "reminder"
    ONGOING = "ongoing"
    CLOSED = "closed"
    UNWATCHED = "unwatched"
    MISSED = "missed"
    WARNING = "warning"
    MONITOR = "monitor"
    TEST = "test"

    @property
    def is_opening(self) -> bool:
        """True for what tells of an incident that begins, or begins again."""
        return self in (NotificationKind.OPENED, NotificationKind.REOPENED)


class Severity(Enum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """Everything a message may contain. Times are aware UTC; texts are in one line and hold no secret.

    `cause` and the times are `None` for notifications about the monitor itself, whose first line is `title`, and
    for warnings, whose first line is the database and `title`.
    `causes` lists the outcomes of the incident in the order they were confirmed; `before` is the cause that a
    change of cause replaced. `verdict` is the incident's, `layers` are those of the doctor in one line.
    `by_canary` says that PING was fine and the canary was not; of an incident that closed, that its trouble was
    found by a canary and none showed that it is over. `steps` are those of a notification about the monitor
    itself. `includes` is what one `MISSED` tells in place of many. `unchecked` are the spans of the incident in
    which nobody checked. `nothing_reached` says that the check could reach nothing else either. `sent_at` is set
    when it is sent.
    An incident that `is_unstable` comes and goes: about `fails_every` it fails, for `fails_for`; both are `None`
    where that is not known.
    """

    kind: NotificationKind
    created_at: datetime
    title: str = ""
    database: str | None = None
    incident: int | None = None
    severity: Severity = Severity.CRITICAL
    cause: Outcome | None = None
    causes: tuple[Outcome, ...] = ()
    before: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    checks_failed: int = 0
    detail: str = ""
    steps: tuple[str, ...] = ()
    verdict: Verdict | None = None
    by_canary: bool = False
    layers: str = ""
    includes: tuple[Notification, ...] = ()
    unchecked: tuple[tuple[datetime, datetime], ...] = ()
    nothing_reached: bool = False
    sent_at: datetime | None = None
    is_unstable: bool = False
    fails_for: timedelta | None = None
    fails_every: timedelta | None = None

    @property
    def is_good_news(self) -> bool:
        if self.kind is NotificationKind.MISSED:
            return all(one.is_good_news for one in self.includes) if self.includes else self.until is not None
        return self.kind in (NotificationKind.CLOSED, NotificationKind.TEST)

    @property
    def duration(self) -> timedelta | None:
        """How long the incident lasted or has lasted, never negative; `None` for none."""
        if self.since is None:
            return None
        return max(timedelta(0), (self.until or self.created_at) - self.since)

    @property
    def ended_within(self) -> tuple[datetime, datetime] | None:
        """The span without a check in which the incident ended, where nobody saw its end."""
        if self.until is not None and self.unchecked and self.unchecked[-1][1] == self.until:
            return self.unchecked[-1]
        return None


def to_json(notification: Notification) -> dict[str, Any]:
    """A notification as plain JSON values, for the outbox."""
    flat = replace(notification, verdict=None, includes=())
    return {
        **{key: _plain(value) for key, value in asdict(flat).items()},
        "verdict": verdict_to_json(notification.verdict) if notification.verdict else None,
        "includes": [to_json(one) for one in notification.includes],
    }


def from_json(values: dict[str, Any]) -> Notification:
    """The notification that `to_json` wrote, in this release or an older one."""
    return Notification(
        kind=NotificationKind(values["kind"]),
        created_at=datetime.fromisoformat(values["created_at"]),
        title=values["title"],
        database=values["database"],
        incident=values["incident"],
        severity=Severity(values["severity"]),
        cause=Outcome(values["cause"]) if values["cause"] else None,
        causes=tuple(Outcome(cause) for cause in values["causes"]),
        before=Outcome(values["before"]) if values["before"] else None,
        since=from_iso_or_none(values["since"]),
        until=from_iso_or_none(values["until"]),
        checks_failed=values["checks_failed"],
        detail=values["detail"],
        steps=tuple(values["steps"]),
        verdict=verdict_from_json(values["verdict"]) if values.get("verdict") else None,
        by_canary=values.get("by_canary", False),
        layers=values.get("layers", ""),
        includes=tuple(map(from_json, values.get("includes", ()))),
        unchecked=tuple(
            (datetime.fromisoformat(start), datetime.fromisoformat(end))
            for start, end in values.get("unchecked", ())
        ),
        nothing_reached=values.get("nothing_reached", False),
        sent_at=from_iso_or_none(values.get("sent_at")),
        is_unstable=values.get("is_unstable", False),
        fails_for=from_seconds_or_none(values.get("fails_for")),
        fails_every=from_seconds_or_none(values.get("fails_every")),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """What a channel takes: of these databases alone, of these severities alone; empty is all of them.

    What is about the monitor itself is about every database.
    """

    only: frozenset[str] = frozenset()
    severities: frozenset[Severity] = frozenset()

    def takes(self, notification: Notification) -> bool:
        is_of_database = not self.only or notification.database is None or notification.database in self.only
        return is_of_database and (not self.severities or notification.severity in self.severities)


# By channel; one without a route takes everything.
Routes = Mapping[str, Route]
EVERYTHING = Route()


def receivers(notification: Notification, channels: Sequence[str], routes: Routes) -> list[str]:
    """The channels that take a notification. Of the monitor itself all are told, before nobody is."""
    found = [name for name in channels if routes.get(name, EVERYTHING).takes(notification)]
    return found or (list(channels) if notification.database is None else [])


class HoldReason(Enum):
    """What a message waits for before its first try."""

    DIAGNOSIS = "diagnosis"
    GROUPED = "grouped"
    SILENCED = "silenced"
    MAINTENANCE = "maintenance"

    @property
    def is_quiet(self) -> bool:
        """True where people asked for quiet: when it is over, they are told how things stand then."""
        return self in (HoldReason.SILENCED, HoldReason.MAINTENANCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A message is not sent before `until`; those `with_incident` of the same number are told together."""

    reason: HoldReason
    until: datetime
    with_incident: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """From `start` until before `end` nothing is told of these databases; of none at all where none is named."""

    id: int
    databases: tuple[str, ...]
    start: datetime
    end: datetime
    reason: str = ""

    def is_of(self, database: str) -> bool:
        """True where a database is meant."""
        return not self.databases or database in self.databases


# So many follow on each other; more of them would hold a message for good.
_MOST_IN_A_ROW = 50


def quiet_hold(
    database: str, moment: datetime, silences: Sequence[Silence], maintenance: Sequence[MaintenanceSettings]
) -> Hold | None:
    """The hold of what happens to a database at that moment, where a silence or maintenance covers it.

    It ends where none of those that follow on each other covers it any more.
    """
    silences = [one for one in silences if one.is_of(database)]
    maintenance = [one for one in maintenance if one.is_of(database)]
    found = None
    for _ in range(_MOST_IN_A_ROW):
        until = moment if found is None else found.until
        ends = [(one.end, HoldReason.SILENCED) for one in silences if one.start <= until < one.end]
        windows = (one.window_after(until) for one in maintenance)
        ends += [(one.end, HoldReason.MAINTENANCE) for one in windows if one is not None and one.start <= until]
        if not ends:
            break
        end, reason = max(ends, key=lambda each: each[0])
        found = Hold(reason=reason, until=end)
    return found


def maintained(database: str, moment: datetime, maintenance: Sequence[MaintenanceSettings]) -> Window | None:
    """The window of maintenance in which a moment is; of several that overlap there, the time that any covers."""
    found = [one.window_after(moment) for one in maintenance if one.is_of(database)]
    windows = [window for window in found if window is not None and window.start <= moment]
    if not windows:
        return None
    return Window(start=min(one.start for one in windows), end=max(one.end for one in windows))


# What is told of several databases in one message. A change of cause is each one's own.
_GROUPED = (
    (NotificationKind.OPENED, NotificationKind.REOPENED),
    (NotificationKind.REMINDER,),
    (NotificationKind.CLOSED,),
)
# A group is told when so much of the time passed without another one, at the latest when it is over.
_QUIET_SHARE = 4


def grouped_kinds(kind: NotificationKind) -> tuple[NotificationKind, ...]:
    """The kinds that are told together with this one; none for what is told alone."""
    return next((kinds for kinds in _GROUPED if kind in kinds), ())


def group_until(first_at: datetime, now: datetime, within: timedelta) -> datetime:
    """Until when one more message of a group is held whose first was told at once."""
    return min(first_at + within, now + within / _QUIET_SHARE)


def told_together(notifications: Sequence[Notification]) -> Notification:
    """One notification in place of several of one kind and cause; it has no database of its own."""
    first = notifications[0]
    if len(notifications) == 1:
        return first
    since = [one.since for one in notifications if one.since is not None]
    until = [one.until for one in notifications if one.until is not None]
    cause = "" if first.cause is None else first.cause.words
    words = {
        NotificationKind.REMINDER: f"still {cause}",
        NotificationKind.CLOSED: "recovered",
        NotificationKind.MISSED: f"{cause} for a while, fine again",
    }
    title = f"{len(notifications)} databases: {words.get(first.kind, cause)}"
    if first.kind is NotificationKind.MISSED and len({(one.database, one.cause) for one in notifications}) > 1:
        title = f"{len(notifications)} incidents came and went"
    is_critical = any(one.severity is Severity.CRITICAL for one in notifications)
    return Notification(
        kind=NotificationKind.OPENED if first.kind is NotificationKind.REOPENED else first.kind,
        created_at=max(one.created_at for one in notifications),
        title=title,
        severity=Severity.CRITICAL if is_critical else Severity.WARNING,
        cause=first.cause,
        causes=(first.cause,) if first.cause and first.kind is NotificationKind.CLOSED else (),
        since=min(since, default=None),
        until=max(until, default=None),
        checks_failed=sum(one.checks_failed for one in notifications),
        verdict=_shared_verdict(notifications),
        includes=tuple(replace(one, verdict=None) for one in notifications),
    )


def _shared_verdict(notifications: Sequence[Notification]) -> Verdict | None:
    """The most frequent one; without names of variables where these differ."""
    verdicts = [one.verdict for one in notifications if one.verdict is not None]
    if not verdicts:
        return None
    counts = Counter(verdict.code for verdict in verdicts)
    verdict = max(verdicts, key=lambda each: counts[each.code])
    variables = {(each.profile.url_variable, each.profile.token_variable) for each in verdicts}
    if len(variables) == 1 and all(variables.pop()):
        return verdict
    shared = replace(verdict.profile, database=EACH_OF_THEM, url_variable="", token_variable="")
    return replace(verdict, profile=shared)


_STATES = {LayerState.FAILED: "did not pass", LayerState.SKIPPED: "not tried", LayerState.UNKNOWN: "not known"}
_SHORT_WORDS = {
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def with_diagnosis(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers that did not pass and, where it explains the cause, the verdict."""
    # For an alert the doctor writes nothing, so the layer that failed is not among those that it examined.
    more_failed = (Layer.WRITING,) if notification.by_canary else ()
    notification = replace(notification, layers=_in_one_line(diagnosis.layers, more_failed))
    if notification.cause is None or notification.verdict is None:
        return notification
    # With the first diagnosis: the rules of verdicts are no part of a check that finds nothing.
    from monitor.diagnosis.rules import verdict_to_tell

    found = verdict_to_tell(diagnosis, notification.cause, notification.verdict)
    return notification if found is None else replace(notification, verdict=found)


def _in_one_line(layers: LayerResults, more_failed: tuple[Layer, ...]) -> str:
    """`did not pass: token · not tried: PING`; empty where all did, or do not apply."""
    groups = []
    for state, words in _STATES.items():
        found = [result.layer for result in layers.layers if result.state is state]
        found += more_failed if state is LayerState.FAILED else ()
        names = ", ".join(_SHORT_WORDS.get(layer, layer.words) for layer in found)
        groups.append(f"{words}: {names}" if names else "")
    return " · ".join(filter(None, groups))
