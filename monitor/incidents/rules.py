"""When trouble becomes an incident, and when it is over.

Pure rules: a state and a look go in, the next state and what is to be said come out (design, 4.1 and 4.2).
How a notice is worded is in `notice`; nothing here reads a clock or sends anything.
Every decision (opened, cause changed, closed) begins a new window, so no look is counted for two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.alerts.notification import Kind, Notice, Severity
from monitor.checks.observation import Family, Look, Outcome
from monitor.config.settings import AlertSettings, Rule
from monitor.incidents.state import Incident, Mark, Step, Watch

# A failure of last week and one of today are not "in a row", however few looks lie between them.
_MARKS_LAST = timedelta(hours=24)


def advance(watch: Watch, look: Look, alerts: AlertSettings, *, next_incident: int) -> Step:
    """Return what `look` leads to. `next_incident` is the number a new incident would get.

    A look of the unknown family changes nothing but what is remembered of the canary.
    """
    step = _judge(watch, look, alerts, next_incident)
    return replace(step, watch=replace(step.watch, canary=look.canary or watch.canary))


def acknowledge(watch: Watch, now: datetime) -> Watch:
    """The open incident is known to somebody: it does not remind any more. Acknowledging twice keeps the first."""
    if watch.incident is None or watch.incident.acknowledged_at is not None:
        return watch
    return replace(watch, incident=replace(watch.incident, acknowledged_at=now))


def in_doubt(watch: Watch, alerts: AlertSettings, *, slow_too: bool = False) -> bool:
    """True when the next look should come after `confirm_interval`: one more decides, or brings nearer.

    That is a failure below its count, a recovery below its count, or a change of cause not yet confirmed.
    Slow looks are no hurry; `slow_too` makes them one, for a `check` that remembers nothing.
    """
    if not watch.marks:
        return False
    latest = watch.marks[-1]
    if watch.incident is not None:
        if latest.family is Family.FINE:
            return True
        if watch.incident.severity is Severity.CRITICAL:
            changed = latest.outcome is not watch.incident.cause and latest.family is not Family.SLOW
            return changed and _within_reach(
                watch.marks, _rule(latest.family, alerts), lambda mark: mark.outcome is latest.outcome
            )
    elif slow_too and _within_reach(watch.marks, alerts.slow, lambda mark: mark.family is Family.SLOW):
        return True
    return _within_reach(watch.marks, alerts.mixture, lambda mark: mark.family.is_failing) or any(
        _within_reach(watch.marks, _rule(family, alerts), lambda mark, family=family: mark.family is family)  # type: ignore[misc]
        for family in Family
        if family.is_failing
    )


def _judge(watch: Watch, look: Look, alerts: AlertSettings, next_incident: int) -> Step:
    if look.outcome.family is Family.UNKNOWN:
        return Step(watch=watch)
    mark = Mark(at=look.at, outcome=look.outcome)
    fresh = tuple(old for old in watch.marks if abs(look.at - old.at) <= _MARKS_LAST)
    marks = (*fresh, mark)[-_window(alerts) :]
    if watch.incident is None:
        return _outside(marks, look, alerts, next_incident)
    return _inside(watch.incident, marks, look, alerts)


def _outside(marks: tuple[Mark, ...], look: Look, alerts: AlertSettings, next_incident: int) -> Step:
    guilty = _guilty(marks, alerts)
    if not guilty:
        return Step(watch=Watch(marks=marks))
    cause = _most_common([mark.outcome for mark in guilty])
    incident = Incident(
        id=next_incident,
        opened_at=guilty[0].at,
        told_at=look.at,
        cause=cause,
        causes=(cause,),
        severity=_severity(cause),
        looks_failed=len(guilty),
    )
    return Step(
        watch=Watch(incident=incident),
        incident=incident,
        notices=(_notice(Kind.OPENED, incident, look),),
    )


def _inside(incident: Incident, marks: tuple[Mark, ...], look: Look, alerts: AlertSettings) -> Step:
    family = look.outcome.family
    if family is Family.FINE:
        recovery = marks[-alerts.recovery :]
        if len(recovery) < alerts.recovery or any(mark.family is not Family.FINE for mark in recovery):
            return Step(watch=Watch(marks=marks, incident=incident), incident=incident)
        closed = replace(incident, closed_at=recovery[0].at)
        return Step(watch=Watch(), incident=closed, notices=(_notice(Kind.CLOSED, closed, look),))

    if family.is_failing or incident.severity is Severity.WARNING:
        incident = replace(incident, looks_failed=incident.looks_failed + 1)
    cause = _new_cause(incident, marks, alerts)
    if cause is not None:
        return _changed(incident, cause, look)

    due = _reminders_due(look.at - incident.told_at, alerts.reminders)
    if due > incident.reminders_sent and incident.acknowledged_at is None:
        incident = replace(incident, reminders_sent=due)
        notices = (_notice(Kind.REMINDER, incident, look),)
        return Step(watch=Watch(marks=marks, incident=incident), incident=incident, notices=notices)
    return Step(watch=Watch(marks=marks, incident=incident), incident=incident)


def _new_cause(incident: Incident, marks: Sequence[Mark], alerts: AlertSettings) -> Outcome | None:
    """The cause that the latest look confirms in place of the present one.

    One failing cause is replaced by another when that very outcome meets its rule. A slow incident turns into
    a failure by any rule that would open one.
    """
    latest = marks[-1]
    if incident.severity is Severity.WARNING and latest.family.is_failing:
        guilty = _guilty(marks, alerts)
        return _most_common([mark.outcome for mark in guilty]) if guilty else None
    if latest.outcome is incident.cause:
        return None
    confirmed = _met(marks, _rule(latest.family, alerts), lambda mark: mark.outcome is latest.outcome)
    return latest.outcome if confirmed else None


def _changed(incident: Incident, cause: Outcome, look: Look) -> Step:
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
    notices = (_notice(Kind.CHANGED, changed, look, before=incident.cause),) if is_new or is_worse else ()
    return Step(watch=Watch(incident=changed), incident=changed, notices=notices)


def _guilty(marks: Sequence[Mark], alerts: AlertSettings) -> list[Mark]:
    """The marks that open an incident now, oldest first; none when no rule is met.

    Only the latest look can meet a rule: a fine one never opens anything.
    """
    family = marks[-1].family
    if family is Family.FINE:
        return []
    rule = _rule(family, alerts)
    of_family = [mark for mark in marks[-rule.within :] if mark.family is family]
    if len(of_family) >= rule.failures:
        return of_family
    failing = [mark for mark in marks[-alerts.mixture.within :] if mark.family.is_failing]
    return failing if family.is_failing and len(failing) >= alerts.mixture.failures else []


def _most_common(outcomes: Sequence[Outcome]) -> Outcome:
    """The most frequent; of equally frequent ones the latest."""
    counts = Counter(outcomes)
    return max(reversed(outcomes), key=lambda outcome: counts[outcome])


def _met(marks: Sequence[Mark], rule: Rule, counts: Callable[[Mark], bool]) -> bool:
    return sum(map(counts, marks[-rule.within :])) >= rule.failures


def _within_reach(marks: Sequence[Mark], rule: Rule, counts: Callable[[Mark], bool]) -> bool:
    """Could the next looks meet the rule with the help of a mark that already counts?"""
    for more in range(1, rule.within):
        kept = sum(map(counts, marks[-(rule.within - more) :]))
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
    return max(alerts.recovery, alerts.mixture.within, *(rule.within for rule in rules))


def _severity(cause: Outcome) -> Severity:
    return Severity.WARNING if cause.family is Family.SLOW else Severity.CRITICAL


def _notice(kind: Kind, incident: Incident, look: Look, *, before: Outcome | None = None) -> Notice:
    return Notice(
        kind=kind,
        created_at=look.at,
        database=look.database,
        incident=incident.id,
        severity=incident.severity,
        cause=incident.cause,
        causes=incident.causes,
        before=before,
        since=incident.opened_at,
        until=incident.closed_at,
        looks_failed=incident.looks_failed,
        detail="" if kind is Kind.CLOSED else look.detail,
    )
