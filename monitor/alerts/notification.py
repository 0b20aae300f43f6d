"""What is said about an incident or about the monitor itself, in no channel's dialect.

Each channel turns a `Notice` into its own markup; none of them adds facts.
When something is said is decided in `incident`, when it is sent in `outbox`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from monitor.checks.observation import Family, Outcome
from monitor.diagnosis.advice import WhoseMove, advise
from monitor.diagnosis.layers import Layer, LayerResults, LayerState
from monitor.diagnosis.verdicts import Diagnosis, VerdictCode
from monitor.lib.times import format_duration

DETAIL_LIMIT = 300
STEPS_LIMIT = 3


class NotificationKind(Enum):
    """What a notification tells; the word that ends a message: `incident 12 · opened`."""

    OPENED = "opened"
    CHANGED = "changed"
    REMINDER = "reminder"
    CLOSED = "closed"
    MISSED = "missed"
    MONITOR = "monitor"
    TEST = "test"


class Severity(Enum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """Everything a message may say. Times are aware UTC; texts are in one line and hold no secret.

    `cause` and the times are `None` for notifications about the monitor itself, whose words stand in `title`.
    `causes` lists the outcomes of the incident in the order they were confirmed; `before` is the cause that a
    change of cause replaced. `verdict` and `whose_move` are the doctor's, where it knows more than the cause says;
    `layers` is its layers in one line.
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
    verdict: str = ""
    whose_move: WhoseMove | None = None
    layers: str = ""

    @property
    def is_good_news(self) -> bool:
        return self.kind in (NotificationKind.CLOSED, NotificationKind.MISSED, NotificationKind.TEST)

    @property
    def duration(self) -> timedelta | None:
        if self.since is None:
            return None
        return max(timedelta(0), (self.until or self.created_at) - self.since)


def headline(notification: Notification) -> str:
    """The first line: what, in words, such as `main: token rejected`."""
    if notification.cause is None or notification.database is None:
        return notification.title
    took = format_duration(notification.duration or timedelta(0))
    match notification.kind:
        case NotificationKind.CLOSED:
            said = f"recovered after {took}"
        case NotificationKind.MISSED:
            why = "" if notification.severity is Severity.WARNING else f" ({notification.cause.words})"
            said = f"you missed this: {_short_span(notification)}{why}, fine again"
        case NotificationKind.REMINDER:
            said = f"still {notification.cause.words} after {took}"
        case NotificationKind.CHANGED:
            said = f"now {notification.cause.words}"
        case _:
            said = notification.cause.words
    return f"{notification.database}: {said}"


def facts(notification: Notification) -> tuple[str, ...]:
    """The lines under the headline: since when, how often it failed, what the causes were."""
    lines: list[str] = []
    if notification.since is not None:
        span = f"since {format_time(notification.since)}"
        if notification.until is not None:
            span = f"{_state(notification)} {format_time(notification.since)} to {format_time(notification.until)}"
        lines.append(span + _count(notification))
    if notification.is_good_news and notification.causes:
        word = "cause" if len(notification.causes) == 1 else "causes"
        lines.append(f"{word}: {_in_order(notification.causes)}")
    elif earlier := [cause for cause in notification.causes if cause is not notification.cause]:
        lines.append(f"before: {_in_order(earlier)}")
    return tuple(lines)


def explanation(notification: Notification) -> tuple[str, ...]:
    """What it means and whose move it is; nothing for good news."""
    if notification.cause is None or notification.is_good_news:
        return ()
    lines = [notification.verdict or advise(notification.cause).meaning]
    if (move := whose_move(notification)) is not None:
        lines.append(f"whose move: {move.words}")
    if notification.layers:
        lines.append(f"doctor: {notification.layers}")
    if notification.kind is NotificationKind.REMINDER and notification.incident is not None:
        lines.append(f"To stop these reminders: upstash-monitor incidents ack {notification.incident}")
    return tuple(lines)


def whose_move(notification: Notification) -> WhoseMove | None:
    """Who can put it right: as the doctor found, or by the advice for the cause; `None` for good news."""
    if notification.cause is None or notification.is_good_news:
        return None
    return notification.whose_move or advise(notification.cause).whose_move


def next_steps(notification: Notification) -> tuple[str, ...]:
    """What to do next, at most three steps; none for good news."""
    if notification.is_good_news:
        return ()
    steps = notification.steps or (advise(notification.cause).next_steps if notification.cause else ())
    return steps[:STEPS_LIMIT]


def tail(notification: Notification) -> str:
    """The last line, by which a repetition is recognised: `incident 12 · opened`."""
    if notification.incident is None:
        return f"upstash-monitor · {notification.kind.value}"
    return f"incident {notification.incident} · {notification.kind.value}"


def format_time(moment: datetime) -> str:
    """A time for people anywhere: `2026-11-23 14:02:09 UTC`."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _state(notification: Notification) -> str:
    return "slow" if notification.severity is Severity.WARNING else "down"


def _short_span(notification: Notification) -> str:
    """`down 14:02 to 14:19 UTC`; with dates when it did not end on the day on which it began."""
    if notification.since is None or notification.until is None:
        return _state(notification)
    form = "%H:%M" if notification.since.date() == notification.until.date() else "%Y-%m-%d %H:%M"
    return f"{_state(notification)} {notification.since.strftime(form)} to {notification.until.strftime(form)} UTC"


def _count(notification: Notification) -> str:
    if not notification.checks_failed:
        return ""
    checks = "check" if notification.checks_failed == 1 else "checks"
    how = "slow" if notification.severity is Severity.WARNING else "failed"
    return f", {notification.checks_failed} {checks} {how}"


def _in_order(causes: Sequence[Outcome]) -> str:
    return ", then ".join(cause.words for cause in causes)


def to_json(notification: Notification) -> dict[str, Any]:
    """A notification as plain JSON values, for the outbox and for webhooks."""
    return {key: _plain(value) for key, value in asdict(notification).items()}


def from_json(values: dict[str, Any]) -> Notification:
    """The notification that `to_json` wrote, in this release or an older one."""
    moment = {key: _moment(values[key]) for key in ("since", "until")}
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
        since=moment["since"],
        until=moment["until"],
        checks_failed=values["checks_failed"],
        detail=values["detail"],
        steps=tuple(values["steps"]),
        verdict=values.get("verdict", ""),
        whose_move=WhoseMove(values["whose_move"]) if values.get("whose_move") else None,
        layers=values.get("layers", ""),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


# These say no more than the incident's own cause does.
_SAYS_NOTHING_NEW = (
    VerdictCode.AS_THE_OUTCOME_SAYS,
    VerdictCode.VARIABLE_MISSING,
    VerdictCode.VALUE_MALFORMED,
    VerdictCode.NOT_KNOWN,
    VerdictCode.ALL_GOOD,
    VerdictCode.SLOW,
)
# Seen by the canary alone: the layers of an alert does not write, but the console may know.
_ABOUT_LIMITS = (VerdictCode.SUSPENDED, VerdictCode.QUOTA_BEHIND_PING, VerdictCode.DATABASE_FULL)
_SIGNS = {LayerState.PASSED: "✓", LayerState.FAILED: "✗", LayerState.SKIPPED: "–", LayerState.UNKNOWN: "?"}
_SHORT = {
    Layer.CONNECTION: "connection",
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def explain(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers in one line and, where it is about this very trouble, the verdict.

    A database that is fine again by then, or fails in another way, keeps the advice for its cause.
    """
    told = replace(notification, layers=_in_one_line(diagnosis.layers))
    verdict = diagnosis.verdict
    if (
        notification.cause is None
        or verdict.code in _SAYS_NOTHING_NEW
        or not _is_about(notification.cause, diagnosis)
    ):
        return told
    return replace(told, verdict=verdict.meaning, whose_move=verdict.whose_move, steps=verdict.next_steps)


def _is_about(cause: Outcome, diagnosis: Diagnosis) -> bool:
    layers = diagnosis.layers
    result = layers.outcome() or layers.result_of(Layer.WORKER).outcome
    if result is not None:
        return result.family is cause.family
    return cause.family is Family.QUOTA and diagnosis.verdict.code in _ABOUT_LIMITS


def _in_one_line(layers: LayerResults) -> str:
    """`configuration ✓ · lookup ✓ · token ✗`; what does not apply is left out."""
    return " · ".join(
        f"{_SHORT.get(result.layer, result.layer.words)} {_SIGNS[result.state]}"
        for result in layers.layers
        if result.state in _SIGNS
    )
