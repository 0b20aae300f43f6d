"""What is notified about an incident or about the monitor itself, independent of any channel's markup."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from monitor.checks.observation import Family, Outcome
from monitor.diagnosis.advice import WhoseMove
from monitor.diagnosis.layers import Layer, LayerResults, LayerState
from monitor.diagnosis.verdicts import Diagnosis, VerdictCode


class NotificationKind(Enum):
    """What a notification is about; the word that ends a message: `incident 12 · opened`.

    `MISSED` is an incident that opened and closed before anything of it could be delivered, `MONITOR` is about the
    monitor itself, `TEST` what `test-alerts` sends.
    """

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
    """Everything a message may contain. Times are aware UTC; texts are in one line and hold no secret.

    `cause` and the times are `None` for notifications about the monitor itself, whose first line is `title`.
    `causes` lists the outcomes of the incident in the order they were confirmed; `before` is the cause that a
    change of cause replaced. `verdict`, `whose_move` and `steps` are set where the doctor knows more than the
    outcome tells; `layers` are its layers in one line.
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
        """How long the incident lasted or has lasted, never negative; `None` for none."""
        if self.since is None:
            return None
        return max(timedelta(0), (self.until or self.created_at) - self.since)


def to_json(notification: Notification) -> dict[str, Any]:
    """A notification as plain JSON values, for the outbox and for webhooks."""
    return {key: _plain(value) for key, value in asdict(notification).items()}


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
        since=_moment(values["since"]),
        until=_moment(values["until"]),
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


# These tell no more than the incident's own cause does.
_ADDS_NOTHING = (
    VerdictCode.AS_THE_OUTCOME_SAYS,
    VerdictCode.VARIABLE_MISSING,
    VerdictCode.VALUE_MALFORMED,
    VerdictCode.NOT_KNOWN,
    VerdictCode.ALL_GOOD,
    VerdictCode.SLOW,
)
# Only the canary finds these: the doctor does not write for an alert, but the console may know.
_ABOUT_LIMITS = (VerdictCode.SUSPENDED, VerdictCode.QUOTA_BEHIND_PING, VerdictCode.DATABASE_FULL)
_SYMBOLS = {LayerState.PASSED: "✓", LayerState.FAILED: "✗", LayerState.SKIPPED: "–", LayerState.UNKNOWN: "?"}
_SHORT_WORDS = {
    Layer.CONNECTION: "connection",
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def with_diagnosis(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers in one line and, where it explains the cause, the verdict.

    Where the database was fine again by then, or failed in another way, the advice for the cause stays.
    """
    notification = replace(notification, layers=_in_one_line(diagnosis.layers))
    cause, verdict = notification.cause, diagnosis.verdict
    if cause is None or verdict.code in _ADDS_NOTHING or not _explains(diagnosis, cause):
        return notification
    return replace(notification, verdict=verdict.meaning, whose_move=verdict.whose_move, steps=verdict.next_steps)


def _explains(diagnosis: Diagnosis, cause: Outcome) -> bool:
    layers = diagnosis.layers
    outcome = layers.outcome() or layers.result_of(Layer.WORKER).outcome
    if outcome is not None:
        return outcome.family is cause.family
    return cause.family is Family.QUOTA and diagnosis.verdict.code in _ABOUT_LIMITS


def _in_one_line(layers: LayerResults) -> str:
    """`configuration ✓ · lookup ✓ · token ✗`; what does not apply is left out."""
    return " · ".join(
        f"{_SHORT_WORDS.get(result.layer, result.layer.words)} {_SYMBOLS[result.state]}"
        for result in layers.layers
        if result.state in _SYMBOLS
    )
