"""When failing checks become an incident, when its cause changes, and when it is over.

Pure rules: a state and a check go in, the next state and the notifications come out. Every decision (opened, cause
changed, closed) forgets the checks before it, so that no check is counted for two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.certificate import describe_end, ends_soon
from monitor.checks.observation import Check, Fact, Family, Outcome, is_up
from monitor.config.settings import AlertSettings, Rule
from monitor.diagnosis.verdicts import Verdict, VerdictCode
from monitor.incidents.state import Incident, IncidentState, RecentCheck, Transition

# A failure of last week and one of today are not "in a row", however few checks lie between them.
_RECENT_FOR = timedelta(hours=24)
# A pause that people should know of when they read how long it took.
_UNSEEN_AFTER_INTERVALS = 3
_UNSEEN_AFTER = timedelta(minutes=15)
_MOST_PAUSES = 20


Explain = Callable[[Outcome], Verdict]


def advance(
    state: IncidentState,
    check: Check,
    alerts: AlertSettings,
    *,
    next_incident: int,
    explain: Explain,
    warns: bool = True,
    interval: timedelta | None = None,
) -> Transition:
    """Return what the check leads to. `next_incident` is the number a new incident would get.

    `explain` gives the verdict on a cause that an incident opens with or changes to; it must be pure.
    Without `warns` nothing is notified of a certificate. Where checks are due every `interval`, long pauses during
    an incident are noted in it.
    A check of the unknown family changes nothing but what is remembered of the canary, of the certificate and of
    the latest check.
    """
    is_known = check.outcome.family is not Family.UNKNOWN
    noted = _with_pause(state, check.at, interval) if is_known else state
    transition = _transition(noted, check, alerts, next_incident, explain)
    warnings, warning = _certificate_warnings(state, check, explain, warns=warns)
    is_unconfirmed = _is_closed_without_canary(state, check, transition)
    notifications = transition.notifications
    if is_unconfirmed:
        notifications = tuple(replace(one, by_canary=True) for one in notifications)
    # An answer without a certificate came over http://.
    before = None if check.http_status is not None else state.certificate_ends_at
    return replace(
        transition,
        state=replace(
            transition.state,
            canary=check.canary or (None if is_unconfirmed else state.canary),
            certificate_ends_at=check.certificate_ends_at or before,
            certificate_warnings=warnings,
            facts=check.facts,
            known_at=check.at if is_known else state.known_at,
        ),
        notifications=(*notifications, *warning),
    )


def _is_closed_without_canary(state: IncidentState, check: Check, transition: Transition) -> bool:
    """True where a canary found the trouble and no canary showed that it is over, as none is sent any more.

    While canaries are sent, a check is not fine before one of them was.
    """
    canary, incident = state.canary, transition.incident
    if canary is None or check.canary is not None or incident is None or incident.closed_at is None:
        return False
    return canary.outcome.family.is_failing and canary.outcome is incident.cause


def is_unseen(pause: timedelta, interval: timedelta) -> bool:
    """True when there was no check for so long that what happened to an incident meanwhile was not seen."""
    return pause > max(_UNSEEN_AFTER_INTERVALS * interval, _UNSEEN_AFTER)


def _with_pause(state: IncidentState, now: datetime, interval: timedelta | None) -> IncidentState:
    """The state with the time in its incident in which nobody checked, or checked in vain, when that was long."""
    incident, since = state.incident, state.known_at
    if incident is None or since is None or interval is None or not is_unseen(now - since, interval):
        return state
    # The longest are kept: a monitor that runs now and then would gather them without end.
    longest = sorted((*incident.unchecked, (since, now)), key=lambda span: span[0] - span[1])[:_MOST_PAUSES]
    if (since, now) not in longest:
        longest = [*longest[:-1], (since, now)]
    return replace(state, incident=replace(incident, unchecked=tuple(sorted(longest))))


def _certificate_warnings(
    state: IncidentState, check: Check, explain: Explain, *, warns: bool
) -> tuple[tuple[datetime, ...], tuple[Notification, ...]]:
    """The ends of certificates that were notified by now, and the notification of the one at hand.

    Each end is notified once, with a check that found the database usable, also where servers with certificates
    of their own take turns. Of certificates that live for days only the first is: the next one ends later.
    """
    told, ends_at, before = state.certificate_warnings, check.certificate_ends_at, state.certificate_ends_at
    if ends_at is None or ends_at in told or not ends_soon(ends_at, check.at):
        return told, ()
    after = (*(end for end in told if end > check.at), ends_at)
    if before in told and before is not None and ends_at > before:
        return after, ()
    if not warns or not is_up(check.outcome.family):
        return told, ()
    warning = Notification(
        kind=NotificationKind.WARNING,
        created_at=check.at,
        title=describe_end(ends_at, check.at),
        database=check.database,
        severity=Severity.WARNING,
        verdict=replace(explain(check.outcome), code=VerdictCode.CERTIFICATE_ENDS_SOON),
    )
    return after, (warning,)


def acknowledge(state: IncidentState, now: datetime) -> IncidentState:
    """The open incident is known to somebody and does not remind any more. The first acknowledgement counts."""
    if state.incident is None or state.incident.acknowledged_at is not None:
        return state
    return replace(state, incident=replace(state.incident, acknowledged_at=now))


def unwatched(state: IncidentState, database: str, checked_at: datetime, now: datetime) -> Transition:
    """What it leads to that a database with an open incident is configured no more: nobody will see its end.

    The incident ends at the last check, since it is not known how long it went on.
    """
    if state.incident is None:
        return Transition(state=state)
    incident = replace(state.incident, closed_at=max(state.incident.opened_at, checked_at), is_unwatched=True)
    return Transition(
        state=replace(state, incident=None, recent=()),
        incident=incident,
        notifications=(notification_of(NotificationKind.UNWATCHED, incident, database=database, at=now),),
    )


def standing(incident: Incident, database: str, now: datetime, *, missed: bool = False) -> Notification:
    """Where an incident stands, for whoever never heard of it; with `missed`, for whoever hears a day late."""
    if incident.is_unwatched:
        kind = NotificationKind.UNWATCHED
    elif missed:
        kind = NotificationKind.MISSED
    else:
        kind = NotificationKind.ONGOING if incident.closed_at is None else NotificationKind.CLOSED
    return notification_of(kind, incident, database=database, at=now)


def fails_since(state: IncidentState, moment: datetime) -> bool:
    """True when the latest check of an open incident that told anything failed, and came after that moment."""
    return state.known_at is not None and state.known_at >= moment and not is_recovering(state)


def is_recovering(state: IncidentState) -> bool:
    """True when the latest check of an open incident was fine: its end may be a check away."""
    return bool(state.incident and state.recent and state.recent[-1].family is Family.FINE)


def is_in_doubt(state: IncidentState, alerts: AlertSettings, *, with_slow: bool = False) -> bool:
    """True when the next check should come after `confirm_interval`, because a decision is pending.

    That is a failure below its count, a recovery below its count, or a change of cause not yet confirmed.
    Slow checks count only `with_slow`, which a `check` without a history needs to decide within one run.
    """
    if not state.recent:
        return False
    latest = state.recent[-1]
    if state.incident is not None:
        if latest.family is Family.FINE:
            return True
        if state.incident.severity is Severity.CRITICAL:
            changed = latest.outcome is not state.incident.cause and latest.family is not Family.SLOW
            counted = [check.outcome is latest.outcome for check in state.recent]
            return changed and _can_be_met(counted, _rule(latest.family, alerts))
    elif with_slow and _can_be_met(_of_family(state.recent, Family.SLOW), alerts.slow):
        return True
    failing = [family for family in Family if family.is_failing]
    return _can_be_met(_of_family(state.recent, *failing), alerts.mixture) or any(
        _can_be_met(_of_family(state.recent, family), _rule(family, alerts)) for family in failing
    )


def _transition(
    state: IncidentState, check: Check, alerts: AlertSettings, next_incident: int, explain: Explain
) -> Transition:
    if check.outcome.family is Family.UNKNOWN:
        return Transition(state=state)
    recent_enough = tuple(old for old in state.recent if abs(check.at - old.at) <= _RECENT_FOR)
    recent = (*recent_enough, RecentCheck(at=check.at, outcome=check.outcome))[-_checks_to_remember(alerts) :]
    if state.incident is None:
        return _without_incident(recent, check, alerts, next_incident, explain)
    return _with_incident(state.incident, recent, check, alerts, explain)


def _without_incident(
    recent: tuple[RecentCheck, ...], check: Check, alerts: AlertSettings, next_incident: int, explain: Explain
) -> Transition:
    opening = _opening_checks(recent, alerts)
    if not opening:
        return Transition(state=IncidentState(recent=recent))
    cause = _most_common(opening)
    incident = Incident(
        id=next_incident,
        opened_at=opening[0].at,
        notified_at=check.at,
        cause=cause,
        causes=(cause,),
        severity=_severity(cause),
        checks_failed=len(opening),
        verdict=explain(cause),
    )
    return Transition(
        state=IncidentState(incident=incident),
        incident=incident,
        notifications=(_notification(NotificationKind.OPENED, incident, check),),
    )


def _with_incident(
    incident: Incident,
    recent: tuple[RecentCheck, ...],
    check: Check,
    alerts: AlertSettings,
    explain: Explain,
) -> Transition:
    family = check.outcome.family
    if family is Family.FINE:
        recovery = recent[-alerts.recovery :]
        if len(recovery) < alerts.recovery or not all(_of_family(recovery, Family.FINE)):
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
        return _changed(incident, cause, check, explain)

    due = _reminders_due(check.at - incident.notified_at, alerts.reminders)
    if due > incident.reminders_sent and incident.acknowledged_at is None:
        incident = replace(incident, reminders_sent=due)
        reminder = _notification(NotificationKind.REMINDER, incident, check)
        state = IncidentState(recent=recent, incident=incident)
        return Transition(state=state, incident=incident, notifications=(reminder,))
    return Transition(state=IncidentState(recent=recent, incident=incident), incident=incident)


def _new_cause(incident: Incident, recent: Sequence[RecentCheck], alerts: AlertSettings) -> Outcome | None:
    """The cause that the latest check confirms in place of the present one.

    One cause is replaced by another when the checks with that very outcome meet their rule. A slow incident
    becomes a failing one by any rule that would open one.
    """
    latest = recent[-1]
    if incident.severity is Severity.WARNING and latest.family.is_failing:
        opening = _opening_checks(recent, alerts)
        return _most_common(opening) if opening else None
    if latest.outcome is incident.cause:
        return None
    rule = _rule(latest.family, alerts)
    confirming = sum(check.outcome is latest.outcome for check in recent[-rule.of :])
    return latest.outcome if confirming >= rule.failures else None


def _changed(incident: Incident, cause: Outcome, check: Check, explain: Explain) -> Transition:
    """A cause is notified once; that a slow incident became a failing one is notified each time."""
    severity = _severity(cause)
    is_worse = incident.severity is Severity.WARNING and severity is Severity.CRITICAL
    is_new = cause not in incident.causes
    changed = replace(
        incident,
        cause=cause,
        causes=(*incident.causes, cause) if is_new else incident.causes,
        severity=severity,
        verdict=explain(cause),
    )
    notification = _notification(NotificationKind.CHANGED, changed, check, before=incident.cause)
    notifications = (notification,) if is_new or is_worse else ()
    return Transition(state=IncidentState(incident=changed), incident=changed, notifications=notifications)


def _opening_checks(recent: Sequence[RecentCheck], alerts: AlertSettings) -> list[RecentCheck]:
    """The checks that open an incident now, oldest first; none when no rule is met.

    Only the latest check can meet a rule: a fine one never opens anything.
    """
    family = recent[-1].family
    if family is Family.FINE:
        return []
    rule = _rule(family, alerts)
    of_family = [check for check in recent[-rule.of :] if check.family is family]
    if len(of_family) >= rule.failures:
        return of_family
    failing = [check for check in recent[-alerts.mixture.of :] if check.family.is_failing]
    return failing if family.is_failing and len(failing) >= alerts.mixture.failures else []


def _most_common(checks: Sequence[RecentCheck]) -> Outcome:
    """The most frequent outcome; of equally frequent ones the latest."""
    counts = Counter(check.outcome for check in checks)
    # `max` keeps the first of equals, so the latest check comes first.
    return max(reversed(checks), key=lambda check: counts[check.outcome]).outcome


def _of_family(checks: Sequence[RecentCheck], *families: Family) -> list[bool]:
    return [check.family in families for check in checks]


def _can_be_met(counted: Sequence[bool], rule: Rule) -> bool:
    """Can further checks meet the rule together with at least one that counts already, latest last?"""
    for further in range(1, rule.of):
        still_counted = sum(counted[-(rule.of - further) :])
        if still_counted and still_counted + further >= rule.failures:
            return True
    return False


def _reminders_due(elapsed: timedelta, reminders: Sequence[timedelta]) -> int:
    """How many reminders are due after this time; the longest of the intervals repeats."""
    if not reminders:
        return 0
    longest = max(reminders)
    repeated = elapsed // longest - 1 if elapsed >= longest else 0
    return sum(elapsed >= interval for interval in reminders) + repeated


def _rule(family: Family, alerts: AlertSettings) -> Rule:
    rule: Rule = getattr(alerts, family.value)
    return rule


def _checks_to_remember(alerts: AlertSettings) -> int:
    """As many as the rule that looks furthest back asks for."""
    rules = [_rule(family, alerts) for family in Family if family.is_failing or family is Family.SLOW]
    return max(alerts.recovery, alerts.mixture.of, *(rule.of for rule in rules))


def _severity(cause: Outcome) -> Severity:
    return Severity.WARNING if cause.family is Family.SLOW else Severity.CRITICAL


def _notification(
    kind: NotificationKind, incident: Incident, check: Check, *, before: Outcome | None = None
) -> Notification:
    return replace(
        notification_of(kind, incident, database=check.database, at=check.at),
        before=before,
        detail="" if kind is NotificationKind.CLOSED else check.detail,
        by_canary=Fact.FOUND_BY_CANARY in check.facts,
        nothing_reached=Fact.NOTHING_REACHED in check.facts,
    )


def notification_of(kind: NotificationKind, incident: Incident, *, database: str, at: datetime) -> Notification:
    """What can be told of an incident without a check at hand."""
    return Notification(
        kind=kind,
        created_at=at,
        database=database,
        incident=incident.id,
        severity=incident.severity,
        cause=incident.cause,
        causes=incident.causes,
        since=incident.opened_at,
        until=incident.closed_at,
        checks_failed=incident.checks_failed,
        verdict=incident.verdict if incident.closed_at is None else None,
        unchecked=incident.unchecked,
    )
