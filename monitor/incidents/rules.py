"""When trouble becomes an incident, and when it is over.

Pure rules: a state and a check go in, the next state and what is to be said come out (design, 4.1 and 4.2).
How a notification is worded is in `notice`; nothing here reads a clock or sends anything.
Every decision (opened, cause changed, closed) begins a new window, so no check is counted for two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import Check, Family, Outcome
from monitor.config.settings import AlertSettings, Rule
from monitor.incidents.state import Incident, IncidentState, RecentCheck, Transition

# A failure of last week and one of today are not "in a row", however few checks lie between them.
_RECENT_FOR = timedelta(hours=24)


def advance(state: IncidentState, check: Check, alerts: AlertSettings, *, next_incident: int) -> Transition:
    """Return what `look` leads to. `next_incident` is the number a new incident would get.

    A check of the unknown family changes nothing but what is remembered of the canary.
    """
    transition = _judge(state, check, alerts, next_incident)
    return replace(transition, state=replace(transition.state, canary=check.canary or state.canary))


def acknowledge(state: IncidentState, now: datetime) -> IncidentState:
    """The open incident is known to somebody: it does not remind any more. Acknowledging twice keeps the first."""
    if state.incident is None or state.incident.acknowledged_at is not None:
        return state
    return replace(state, incident=replace(state.incident, acknowledged_at=now))


def is_in_doubt_now(state: IncidentState, alerts: AlertSettings, *, slow_too: bool = False) -> bool:
    """True when the next check should come after `confirm_interval`: one more decides, or brings nearer.

    That is a failure below its count, a recovery below its count, or a change of cause not yet confirmed.
    Slow checks are no hurry; `slow_too` makes them one, for a `check` that remembers nothing.
    """
    if not state.recent:
        return False
    latest = state.recent[-1]
    if state.incident is not None:
        if latest.family is Family.FINE:
            return True
        if state.incident.severity is Severity.CRITICAL:
            changed = latest.outcome is not state.incident.cause and latest.family is not Family.SLOW
            return changed and _within_reach(
                state.recent,
                _rule(latest.family, alerts),
                lambda one: one.outcome is latest.outcome,
            )
    elif slow_too and _within_reach(state.recent, alerts.slow, lambda one: one.family is Family.SLOW):
        return True
    return _within_reach(state.recent, alerts.mixture, lambda one: one.family.is_failing) or any(
        _within_reach(
            state.recent,
            _rule(family, alerts),
            lambda one, family=family: one.family is family,  # type: ignore[misc]
        )
        for family in Family
        if family.is_failing
    )


def _judge(state: IncidentState, check: Check, alerts: AlertSettings, next_incident: int) -> Transition:
    if check.outcome.family is Family.UNKNOWN:
        return Transition(state=state)
    recent_check = RecentCheck(at=check.at, outcome=check.outcome)
    fresh = tuple(old for old in state.recent if abs(check.at - old.at) <= _RECENT_FOR)
    recent = (*fresh, recent_check)[-_window(alerts) :]
    if state.incident is None:
        return _outside(recent, check, alerts, next_incident)
    return _inside(state.incident, recent, check, alerts)


def _outside(
    recent: tuple[RecentCheck, ...], check: Check, alerts: AlertSettings, next_incident: int
) -> Transition:
    guilty = _guilty(recent, alerts)
    if not guilty:
        return Transition(state=IncidentState(recent=recent))
    cause = _most_common([recent_check.outcome for recent_check in guilty])
    incident = Incident(
        id=next_incident,
        opened_at=guilty[0].at,
        notified_at=check.at,
        cause=cause,
        causes=(cause,),
        severity=_severity(cause),
        checks_failed=len(guilty),
    )
    return Transition(
        state=IncidentState(incident=incident),
        incident=incident,
        notifications=(_notification(NotificationKind.OPENED, incident, check),),
    )


def _inside(
    incident: Incident, recent: tuple[RecentCheck, ...], check: Check, alerts: AlertSettings
) -> Transition:
    family = check.outcome.family
    if family is Family.FINE:
        recovery = recent[-alerts.recovery :]
        if len(recovery) < alerts.recovery or any(
            recent_check.family is not Family.FINE for recent_check in recovery
        ):
            return Transition(state=IncidentState(recent=recent, incident=incident), incident=incident)
        closed = replace(incident, closed_at=recovery[0].at)
        return Transition(
            state=IncidentState(),
            incident=closed,
            notifications=(_notification(NotificationKind.CLOSED, closed, check),),
        )

    if family.is_failing or incident.severity is Severity.WARNING:
        incident = replace(incident, checks_failed=incident.checks_failed + 1)
    cause = _new_cause(incident, recent, alerts)
    if cause is not None:
        return _changed(incident, cause, check)

    due = _reminders_due(check.at - incident.notified_at, alerts.reminders)
    if due > incident.reminders_sent and incident.acknowledged_at is None:
        incident = replace(incident, reminders_sent=due)
        notifications = (_notification(NotificationKind.REMINDER, incident, check),)
        return Transition(
            state=IncidentState(recent=recent, incident=incident), incident=incident, notifications=notifications
        )
    return Transition(state=IncidentState(recent=recent, incident=incident), incident=incident)


def _new_cause(incident: Incident, recent: Sequence[RecentCheck], alerts: AlertSettings) -> Outcome | None:
    """The cause that the latest check confirms in place of the present one.

    One failing cause is replaced by another when that very outcome meets its rule. A slow incident turns into
    a failure by any rule that would open one.
    """
    latest = recent[-1]
    if incident.severity is Severity.WARNING and latest.family.is_failing:
        guilty = _guilty(recent, alerts)
        return _most_common([recent_check.outcome for recent_check in guilty]) if guilty else None
    if latest.outcome is incident.cause:
        return None
    confirmed = _met(recent, _rule(latest.family, alerts), lambda one: one.outcome is latest.outcome)
    return latest.outcome if confirmed else None


def _changed(incident: Incident, cause: Outcome, check: Check) -> Transition:
    """Each cause is told once; that it is worse again (slow, then failing) is told each time."""
    severity = _severity(cause)
    is_worse = incident.severity is Severity.WARNING and severity is Severity.CRITICAL
    is_new = cause not in incident.causes
    changed = replace(
        incident,
        cause=cause,
        causes=(*incident.causes, cause) if is_new else incident.causes,
        severity=severity,
    )
    notifications = (
        (_notification(NotificationKind.CHANGED, changed, check, before=incident.cause),)
        if is_new or is_worse
        else ()
    )
    return Transition(state=IncidentState(incident=changed), incident=changed, notifications=notifications)


def _guilty(recent: Sequence[RecentCheck], alerts: AlertSettings) -> list[RecentCheck]:
    """The marks that open an incident now, oldest first; none when no rule is met.

    Only the latest check can meet a rule: a fine one never opens anything.
    """
    family = recent[-1].family
    if family is Family.FINE:
        return []
    rule = _rule(family, alerts)
    of_family = [recent_check for recent_check in recent[-rule.of :] if recent_check.family is family]
    if len(of_family) >= rule.failures:
        return of_family
    failing = [recent_check for recent_check in recent[-alerts.mixture.of :] if recent_check.family.is_failing]
    return failing if family.is_failing and len(failing) >= alerts.mixture.failures else []


def _most_common(outcomes: Sequence[Outcome]) -> Outcome:
    """The most frequent; of equally frequent ones the latest."""
    counts = Counter(outcomes)
    return max(reversed(outcomes), key=lambda outcome: counts[outcome])


def _met(recent: Sequence[RecentCheck], rule: Rule, counts: Callable[[RecentCheck], bool]) -> bool:
    return sum(map(counts, recent[-rule.of :])) >= rule.failures


def _within_reach(recent: Sequence[RecentCheck], rule: Rule, counts: Callable[[RecentCheck], bool]) -> bool:
    """Could the next checks meet the rule with the help of a mark that already counts?"""
    for more in range(1, rule.of):
        kept = sum(map(counts, recent[-(rule.of - more) :]))
        if kept and kept + more >= rule.failures:
            return True
    return False


def _reminders_due(elapsed: timedelta, reminders: Sequence[timedelta]) -> int:
    """How many reminders the time since the opening asks for; the longest pause repeats."""
    if not reminders:
        return 0
    ordered = sorted(reminders)
    passed = sum(elapsed >= pause for pause in ordered)
    if elapsed < ordered[-1]:
        return passed
    return passed + elapsed // ordered[-1] - 1


def _rule(family: Family, alerts: AlertSettings) -> Rule:
    rule: Rule = getattr(alerts, family.value)
    return rule


def _window(alerts: AlertSettings) -> int:
    """How many marks any rule can ask for."""
    rules = [_rule(family, alerts) for family in Family if family.is_failing or family is Family.SLOW]
    return max(alerts.recovery, alerts.mixture.of, *(rule.of for rule in rules))


def _severity(cause: Outcome) -> Severity:
    return Severity.WARNING if cause.family is Family.SLOW else Severity.CRITICAL


def _notification(
    kind: NotificationKind, incident: Incident, check: Check, *, before: Outcome | None = None
) -> Notification:
    return Notification(
        kind=kind,
        created_at=check.at,
        database=check.database,
        incident=incident.id,
        severity=incident.severity,
        cause=incident.cause,
        causes=incident.causes,
        before=before,
        since=incident.opened_at,
        until=incident.closed_at,
        checks_failed=incident.checks_failed,
        detail="" if kind is NotificationKind.CLOSED else check.detail,
    )
