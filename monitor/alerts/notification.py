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
from monitor.diagnosis.advice import advise
from monitor.diagnosis.layers import Ladder, Rung, State
from monitor.diagnosis.verdicts import Code, Verdict
from monitor.lib.durations import say_duration

DETAIL_LIMIT = 300
STEPS_LIMIT = 3


class Kind(Enum):
    """What a notice tells; the word that ends a message: `incident 12 · opened`."""

    OPENED = "opened"
    CHANGED = "changed"
    REMINDER = "reminder"
    CLOSED = "closed"
    MISSED = "missed"
    MONITOR = "monitor"
    TRIAL = "trial"


class Severity(Enum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Everything a message may say. Times are aware UTC; texts are in one line and hold no secret.

    `cause` and the times are `None` for notices about the monitor itself, whose words stand in `title`.
    `causes` lists the outcomes of the incident in the order they were confirmed; `before` is the cause that a
    change of cause replaced. `verdict` and `whose_move` are the doctor's, where it knows more than the cause says;
    `rungs` is its ladder in one line.
    """

    kind: Kind
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
    looks_failed: int = 0
    detail: str = ""
    steps: tuple[str, ...] = ()
    verdict: str = ""
    whose_move: str = ""
    rungs: str = ""

    @property
    def is_good_news(self) -> bool:
        return self.kind in (Kind.CLOSED, Kind.MISSED, Kind.TRIAL)

    @property
    def duration(self) -> timedelta | None:
        if self.since is None:
            return None
        return max(timedelta(0), (self.until or self.created_at) - self.since)


def headline(notice: Notice) -> str:
    """The first line: what, in words, such as `main: token rejected`."""
    if notice.cause is None or notice.database is None:
        return notice.title
    took = say_duration(notice.duration or timedelta(0))
    match notice.kind:
        case Kind.CLOSED:
            said = f"recovered after {took}"
        case Kind.MISSED:
            why = "" if notice.severity is Severity.WARNING else f" ({notice.cause.words})"
            said = f"you missed this: {_short_span(notice)}{why}, fine again"
        case Kind.REMINDER:
            said = f"still {notice.cause.words} after {took}"
        case Kind.CHANGED:
            said = f"now {notice.cause.words}"
        case _:
            said = notice.cause.words
    return f"{notice.database}: {said}"


def facts(notice: Notice) -> tuple[str, ...]:
    """The lines under the headline: since when, how often it failed, what the causes were."""
    lines: list[str] = []
    if notice.since is not None:
        span = f"since {say_time(notice.since)}"
        if notice.until is not None:
            span = f"{_state(notice)} {say_time(notice.since)} to {say_time(notice.until)}"
        lines.append(span + _count(notice))
    if notice.is_good_news and notice.causes:
        word = "cause" if len(notice.causes) == 1 else "causes"
        lines.append(f"{word}: {_in_order(notice.causes)}")
    elif earlier := [cause for cause in notice.causes if cause is not notice.cause]:
        lines.append(f"before: {_in_order(earlier)}")
    return tuple(lines)


def explanation(notice: Notice) -> tuple[str, ...]:
    """What it means and whose move it is; nothing for good news."""
    if notice.cause is None or notice.is_good_news:
        return ()
    advice = advise(notice.cause)
    lines = [notice.verdict or advice.meaning, f"whose move: {notice.whose_move or advice.whose_move}"]
    if notice.rungs:
        lines.append(f"doctor: {notice.rungs}")
    if notice.kind is Kind.REMINDER and notice.incident is not None:
        lines.append(f"To stop these reminders: upstash-monitor incidents ack {notice.incident}")
    return tuple(lines)


def next_steps(notice: Notice) -> tuple[str, ...]:
    """What to do next, at most three steps; none for good news."""
    if notice.is_good_news:
        return ()
    steps = notice.steps or (advise(notice.cause).next_steps if notice.cause else ())
    return steps[:STEPS_LIMIT]


def tail(notice: Notice) -> str:
    """The last line, by which a repetition is recognised: `incident 12 · opened`."""
    if notice.incident is None:
        return f"upstash-monitor · {notice.kind.value}"
    return f"incident {notice.incident} · {notice.kind.value}"


def say_time(moment: datetime) -> str:
    """A time for people anywhere: `2026-11-23 14:02:09 UTC`."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _state(notice: Notice) -> str:
    return "slow" if notice.severity is Severity.WARNING else "down"


def _short_span(notice: Notice) -> str:
    """`down 14:02 to 14:19 UTC`; with dates when it did not end on the day on which it began."""
    if notice.since is None or notice.until is None:
        return _state(notice)
    form = "%H:%M" if notice.since.date() == notice.until.date() else "%Y-%m-%d %H:%M"
    return f"{_state(notice)} {notice.since.strftime(form)} to {notice.until.strftime(form)} UTC"


def _count(notice: Notice) -> str:
    if not notice.looks_failed:
        return ""
    looks = "look" if notice.looks_failed == 1 else "looks"
    return f", {notice.looks_failed} {looks} {'slow' if notice.severity is Severity.WARNING else 'failed'}"


def _in_order(causes: Sequence[Outcome]) -> str:
    return ", then ".join(cause.words for cause in causes)


def to_json(notice: Notice) -> dict[str, Any]:
    """A notice as plain JSON values, for the outbox and for webhooks."""
    return {key: _plain(value) for key, value in asdict(notice).items()}


def from_json(values: dict[str, Any]) -> Notice:
    """The notice that `to_json` wrote, in this release or an older one."""
    moment = {key: _moment(values[key]) for key in ("since", "until")}
    return Notice(
        kind=Kind(values["kind"]),
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
        looks_failed=values["looks_failed"],
        detail=values["detail"],
        steps=tuple(values["steps"]),
        verdict=values.get("verdict", ""),
        whose_move=values.get("whose_move", ""),
        rungs=values.get("rungs", ""),
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
    Code.AS_THE_OUTCOME_SAYS,
    Code.VARIABLE_MISSING,
    Code.VALUE_MALFORMED,
    Code.NOT_KNOWN,
    Code.ALL_GOOD,
    Code.SLOW,
)
# Seen by the canary alone: the ladder of an alert does not write, but the console may know.
_ABOUT_LIMITS = (Code.SUSPENDED, Code.QUOTA_BEHIND_PING, Code.DATABASE_FULL)
_SIGNS = {State.PASSED: "✓", State.FAILED: "✗", State.SKIPPED: "–", State.UNKNOWN: "?"}
_SHORT = {
    Rung.CONNECTION: "connection",
    Rung.HTTP: "HTTP",
    Rung.WORKER: "rediss://",
    Rung.STATUS_PAGE: "status page",
    Rung.CONSOLE: "console",
    Rung.PLATFORM: "Railway",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """A ladder and the verdict on it."""

    ladder: Ladder
    verdict: Verdict


def explain(notice: Notice, opinion: Opinion) -> Notice:
    """The notice with the ladder in one line and, where it is about this very trouble, the verdict.

    A database that is fine again by then, or fails in another way, keeps the advice for its cause.
    """
    told = replace(notice, rungs=_in_one_line(opinion.ladder))
    verdict = opinion.verdict
    if notice.cause is None or verdict.code in _SAYS_NOTHING_NEW or not _is_about(notice.cause, opinion):
        return told
    return replace(told, verdict=verdict.says, whose_move=verdict.whose_move, steps=verdict.next_steps)


def _is_about(cause: Outcome, opinion: Opinion) -> bool:
    ladder = opinion.ladder
    seen = ladder.outcome() or ladder.at(Rung.WORKER).outcome
    if seen is not None:
        return seen.family is cause.family
    return cause.family is Family.QUOTA and opinion.verdict.code in _ABOUT_LIMITS


def _in_one_line(ladder: Ladder) -> str:
    """`configuration ✓ · lookup ✓ · token ✗`; what does not apply is left out."""
    return " · ".join(
        f"{_SHORT.get(seen.rung, seen.rung.words)} {_SIGNS[seen.state]}"
        for seen in ladder.rungs
        if seen.state in _SIGNS
    )
