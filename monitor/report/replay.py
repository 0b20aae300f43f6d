"""Which messages the settings of today would have sent over the checks of the past, and what was told then.

The checks are those that were made: with other settings some would have come at other moments. The rules are those
of `run`; nothing is silenced or grouped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.alerts.notification import Notification, NotificationKind
from monitor.checks.classify import by_latency
from monitor.checks.observation import Check, Outcome
from monitor.config.settings import AlertSettings
from monitor.diagnosis.verdicts import DatabaseProfile, judge_outcome
from monitor.incidents.rules import acknowledge, advance
from monitor.incidents.state import Incident, IncidentState
from monitor.lib.times import format_duration, format_time

# The rules remember no more of the time before than this.
WARM_UP = timedelta(days=1)
_SAME_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What decides on the checks of one database."""

    alerts: AlertSettings
    slow: timedelta | None
    interval: timedelta
    profile: DatabaseProfile


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """One database from `start` on: what today's rules make of `checks` checks, and what was told.

    `incidents` are numbered from 1 in the order in which they opened; those of `told` have their own numbers.
    `messages` are what would have been sent, `told_messages` how many notifications of each kind there were.
    """

    database: str
    start: datetime
    end: datetime
    checks: int
    incidents: tuple[Incident, ...]
    messages: tuple[Notification, ...]
    told: tuple[Incident, ...]
    told_messages: dict[str, int]


def replayed(
    checks: Iterable[Check], rules: Rules, *, start: datetime, acknowledged: Sequence[datetime] = ()
) -> tuple[int, tuple[Incident, ...], tuple[Notification, ...]]:
    """How many checks there were from `start` on, the incidents and the messages that they lead to.

    The checks begin earlier, so that the rules know what came before. Somebody acknowledged what was open at the
    moments `acknowledged`, the oldest first.
    """
    state, number = IncidentState(), 0
    incidents: dict[int, Incident] = {}
    messages: list[Notification] = []
    waiting = list(reversed(acknowledged))
    for check in checks:
        while waiting and waiting[-1] <= check.at:
            state = acknowledge(state, waiting.pop())
        transition = advance(
            state,
            with_limit(check, rules.slow),
            rules.alerts,
            next_incident=len(incidents) + 1,
            explain=lambda outcome: judge_outcome(outcome, rules.profile),
            interval=rules.interval,
        )
        state = transition.state
        if transition.incident is not None:
            incidents[transition.incident.id] = transition.incident
        if check.at >= start:
            number += 1
            messages.extend(transition.notifications)
    found = [one for one in incidents.values() if one.closed_at is None or one.closed_at >= start]
    return number, tuple(found), tuple(messages)


def with_limit(check: Check, slow: timedelta | None) -> Check:
    """The check as it would have ended with that limit: slow or fine by its latency."""
    if check.outcome not in (Outcome.OK, Outcome.SLOW) or check.latency_ms is None:
        return check
    result = by_latency(check.latency_ms, slow)
    return (
        check if result.outcome is check.outcome else replace(check, outcome=result.outcome, detail=result.detail)
    )


def counted(messages: Iterable[Notification]) -> dict[str, int]:
    """How many messages there are of each kind."""
    return in_order(Counter(message.kind.value for message in messages))


def in_order(kinds: Mapping[str, int]) -> dict[str, int]:
    """The counts in the order in which an incident goes."""
    return {kind.value: kinds[kind.value] for kind in NotificationKind if kinds.get(kind.value)}


def differences(replay: Replay) -> list[str]:
    """What would have been told otherwise than it was, a sentence each, the oldest first.

    What overlaps in time is about the same trouble. When that was told before the start nothing is known of it.
    """
    found = []
    for told, now in _paired(replay):
        if all(one.notified_at < replay.start for one in (*told, *now)):
            continue
        words = _difference(told, now, replay.end)
        if words:
            found.append((min(one.opened_at for one in (*told, *now)), words))
    return [words for _, words in sorted(found)]


def _paired(replay: Replay) -> Iterator[tuple[list[Incident], list[Incident]]]:
    """The incidents that were told and those of today, by what overlaps."""
    marked = [(one, True) for one in replay.told] + [(one, False) for one in replay.incidents]
    marked.sort(key=lambda pair: pair[0].opened_at)
    group: list[tuple[Incident, bool]] = []
    until: datetime | None = None
    for one, is_told in marked:
        if until is not None and one.opened_at > until:
            yield [each for each, told in group if told], [each for each, told in group if not told]
            group, until = [], None
        group.append((one, is_told))
        end = one.closed_at or replay.end
        until = end if until is None else max(until, end)
    if group:
        yield [each for each, told in group if told], [each for each, told in group if not told]


def _difference(told: Sequence[Incident], now: Sequence[Incident], end: datetime) -> str:
    if not now:
        return f"{_named(told, end)} would not have been told"
    if not told:
        which = "an incident" if len(now) == 1 else f"{len(now)} incidents"
        return f"{which} more would have been told: {_described(now[0], end)}"
    if len(told) != len(now):
        as_what = "one incident" if len(now) == 1 else f"{len(now)} incidents"
        unstable = ", unstable" if len(now) == 1 and now[0].is_unstable else ""
        return f"{_named(told, end)} would have been {as_what}{unstable}"
    parts = []
    if len(told) == 1:
        [before], [after] = told, now
        moved = after.notified_at - before.notified_at
        if abs(moved) >= _SAME_MOMENT:
            way = "later" if moved > timedelta(0) else "earlier"
            parts.append(f"told {format_duration(abs(moved))} {way}")
        if after.is_unstable is not before.is_unstable:
            parts.append("as unstable" if after.is_unstable else "not as unstable")
        if after.causes != before.causes:
            parts.append(f"as {', then '.join(cause.words for cause in after.causes)}")
        if after.severity is not before.severity:
            parts.append(f"as {after.severity.value}")
    return f"{_named(told, end)} would have been {', '.join(parts)}" if parts else ""


def _named(told: Sequence[Incident], end: datetime) -> str:
    if len(told) == 1:
        return f"incident {told[0].id} ({_described(told[0], end)})"
    return f"{len(told)} incidents ({told[0].id} to {told[-1].id}, the first {_described(told[0], end)})"


def _described(incident: Incident, end: datetime) -> str:
    lasted = format_duration((incident.closed_at or end) - incident.opened_at)
    return f"{incident.cause.words} at {format_time(incident.opened_at)}, {lasted}"
