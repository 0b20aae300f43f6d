"""What is notified about an incident or about the monitor itself, to whom, and what a diagnosis adds to it.

Independent of any channel's markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from monitor.checks.observation import Family, Outcome
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
    def is_beginning(self) -> bool:
        """True for an opening, and for the change by which what was only slow fails: told as an opening is."""
        was_slow = self.before is not None and self.before.family is Family.SLOW
        return self.kind.is_opening or (self.kind is NotificationKind.CHANGED and was_slow)

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


_STATES = {LayerState.FAILED: "did not pass", LayerState.SKIPPED: "not tried", LayerState.UNKNOWN: "not known"}
_SHORT_WORDS = {
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def with_diagnosis(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers that did not pass and, where it explains the cause, the verdict.

    What is over stays as it is.
    """
    if notification.until is not None:
        return notification  # over by now: what was found is not so any more
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
