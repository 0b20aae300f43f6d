"""When failing checks become an incident, when its cause changes, and when it is over.

Pure rules: a state and a check go in, the next state and the notifications come out. Every decision (opened, cause
changed, closed) forgets the checks before it, so that no check is counted for two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import (
    Check,
    Fact,
    Family,
    Outcome,
    certificate_ends_soon,
    describe_certificate_end,
    is_up,
)
from monitor.config.settings import AlertSettings, InARow, Rule
from monitor.diagnosis.verdicts import Verdict, VerdictCode
from monitor.incidents.state import Evidence, FailureRun, Fine, Incident, IncidentState, RecentCheck, Transition

# A failure of last week and one of today are not "in a row", however few checks lie between them.
RECENT_FOR = timedelta(hours=24)
# A pause that people should know of when they read how long it took.
_UNSEEN_AFTER_INTERVALS = 3
_UNSEEN_AFTER = timedelta(minutes=15)
_MOST_PAUSES = 20
# A fine check weighs one: so a host that fails every third time is told, and one that fails now and then is not.
_FAILURE_WEIGHS = 3
# Evidence is dropped, and what is fine is seen anew, after a time without a check that counts.
LONGEST_PAUSE = timedelta(minutes=15)
# One check of so many must fail where failures come and go. Random loss at a short interval is less.
_LEAST_SHARE = 4
_RUNS_OF_A_PATTERN = 3
# Of the runs of failures so many times as many are kept as are needed, so that what fails now and then is diluted.
_RUNS_KEPT = 4
# A new cause is confirmed by so many checks in a row.
_CONFIRMING = 2
# Troubles that do not flicker: a few checks tell that they are there, or gone.
_STEADY = (Family.CONFIGURATION, Family.TOKEN, Family.QUOTA)
# What one run of `check` needs beside a check's timeout, and the least timeout that can tell anything.
_BESIDE_TIMEOUT = timedelta(seconds=0.5)
_LEAST_TIMEOUT = timedelta(seconds=2)


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
    if ends_at is None or ends_at in told or not certificate_ends_soon(ends_at, check.at):
        return told, ()
    after = (*(end for end in told if end > check.at), ends_at)
    if before in told and before is not None and ends_at > before:
        return after, ()
    if not warns or not is_up(check.outcome.family):
        return told, ()
    warning = Notification(
        kind=NotificationKind.WARNING,
        created_at=check.at,
        title=describe_certificate_end(ends_at, check.at),
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
        state=replace(state, incident=None, recent=(), evidence=None, fine=None),
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
    return state.incident is not None and state.fine is not None


def is_in_doubt(
    state: IncidentState, alerts: AlertSettings, *, in_one_run: bool = False, with_slow: bool = False
) -> bool:
    """True when the next check should come after `confirm_interval`, because a decision is pending.

    That is evidence which is neither enough nor gone, a recovery that is not complete, or a change of cause not
    yet confirmed. A `check`, which decides `in_one_run`, does not wait for a recovery to last; slow checks count
    only `with_slow`, which it needs where nothing is remembered.
    """
    incident = state.incident
    if incident is None:
        return state.evidence is not None or (
            with_slow and _can_be_met([check.family is Family.SLOW for check in state.recent], alerts.slow)
        )
    if state.fine is not None:
        return not in_one_run or state.fine.checks < alerts.recovery.checks
    if incident.severity is Severity.WARNING:
        return state.evidence is not None
    latest = state.recent[-1] if state.recent else None
    return latest is not None and latest.outcome not in incident.causes


def fitted(alerts: AlertSettings, timeout: timedelta, time: timedelta) -> tuple[AlertSettings, timedelta]:
    """The rule and the timeout by which one run of `check` can decide in `time`, also where nothing is remembered.

    The timeout is cut so that the checks that decide fit in. Where there is no time for all of them fewer decide,
    two at least, and not before the time is nearly over.
    """
    pause, rule = alerts.confirm_interval, alerts.failing
    for failures in range(rule.failures, 1, -1):
        each = min(timeout, (time - (failures - 1) * pause) / failures - _BESIDE_TIMEOUT)
        if each >= min(timeout, _LEAST_TIMEOUT):
            # As late as a check may begin that has half of its timeout; `pause_in_one_run` has one begin then.
            lasting = min(rule.lasting, time - each / 2 - 2 * _BESIDE_TIMEOUT)
            cut = rule.model_copy(update={"failures": failures, "lasting": lasting})
            return alerts.model_copy(update={"failing": cut}), each
    return alerts, timeout


def opens_not_before(state: IncidentState, alerts: AlertSettings) -> datetime | None:
    """From when on a failing check is late enough after the first to open an incident; `None` without evidence."""
    is_open = state.incident is not None and state.incident.severity is Severity.CRITICAL
    return None if is_open or state.evidence is None else state.evidence.since + alerts.failing.lasting


def pause_in_one_run(
    pause: timedelta, *, opens_in: timedelta | None, left: timedelta, timeout: timedelta
) -> timedelta:
    """How long one run of `check` waits before the next check: `pause`, or longer so that the last check decides.

    `left` is the time for checks that take `timeout` at most; from `opens_in` on one may open an incident. Checks
    that end sooner than `fitted` reckons with may all begin before that, and leave no time for another. So the one
    after which there might be none begins then, where it could still end with half its timeout.
    """
    might_be_last = left < 2 * (pause + timeout + _BESIDE_TIMEOUT)
    longest = left - timeout / 2 - _BESIDE_TIMEOUT
    if opens_in is None or opens_in <= pause or not might_be_last or opens_in > longest:
        return pause
    # A moment more, so that what lasted just that long is over.
    return min(opens_in + _BESIDE_TIMEOUT, longest)


def _transition(
    state: IncidentState, check: Check, alerts: AlertSettings, next_incident: int, explain: Explain
) -> Transition:
    if check.outcome.family is Family.UNKNOWN:
        return Transition(state=state)
    state = _counted(state, check, alerts)
    if state.incident is None:
        return _without_incident(state, check, alerts, next_incident, explain)
    return _with_incident(state, state.incident, check, alerts, explain)


def _counted(state: IncidentState, check: Check, alerts: AlertSettings) -> IncidentState:
    """The state with one more check in everything that counts checks."""
    recent = tuple(old for old in state.recent if abs(check.at - old.at) <= RECENT_FOR)
    is_unseen = state.known_at is not None and abs(check.at - state.known_at) > LONGEST_PAUSE
    failing, within = check.outcome.family.is_failing, alerts.flapping.within
    closed = state.closed
    if closed is not None and (closed.closed_at is None or check.at - closed.closed_at > within):
        closed = None
    return replace(
        state,
        recent=(*recent, RecentCheck(at=check.at, outcome=check.outcome))[-_checks_to_remember(alerts) :],
        evidence=_weighed(None if is_unseen else state.evidence, check, alerts),
        runs=_with_run(state.runs, check.at, alerts, failing=failing),
        fine=_still_fine(state, check, is_unseen=is_unseen),
        closed=closed,
    )


def _weighed(evidence: Evidence | None, check: Check, alerts: AlertSettings) -> Evidence | None:
    if check.outcome.family.is_failing:
        if evidence is None:
            return Evidence(weight=_FAILURE_WEIGHS, since=check.at, failed=1)
        most = _FAILURE_WEIGHS * alerts.failing.failures
        return replace(evidence, weight=min(most, evidence.weight + _FAILURE_WEIGHS), failed=evidence.failed + 1)
    if evidence is None or evidence.weight <= 1:
        return None
    return replace(evidence, weight=evidence.weight - 1)


def _with_run(
    runs: tuple[FailureRun, ...], now: datetime, alerts: AlertSettings, *, failing: bool
) -> tuple[FailureRun, ...]:
    """The runs that began within the time in which they are counted; of very many the latest."""
    runs = tuple(run for run in runs if abs(now - run.began_at) <= alerts.flapping.within)
    latest = runs[-1] if runs else None
    if failing and (latest is None or latest.ended_at is not None):
        return (*runs, FailureRun(began_at=now, failed=1, checks=1))[-_RUNS_KEPT * alerts.flapping.times :]
    if latest is None:
        return runs
    ended_at = latest.ended_at if failing else latest.ended_at or now
    more = replace(latest, failed=latest.failed + failing, checks=latest.checks + 1, ended_at=ended_at)
    return (*runs[:-1], more)


def _still_fine(state: IncidentState, check: Check, *, is_unseen: bool) -> Fine | None:
    """After a time in which nobody checked as many checks are needed as at first; what was fine before counts."""
    family, incident = check.outcome.family, state.incident
    if incident is None or family.is_failing or (family is Family.SLOW and incident.severity is Severity.WARNING):
        return None
    if state.fine is None:
        return Fine(since=check.at, checks=1)
    return replace(state.fine, checks=1 if is_unseen else state.fine.checks + 1)


def _without_incident(
    state: IncidentState, check: Check, alerts: AlertSettings, next_incident: int, explain: Explain
) -> Transition:
    opening = _opening(state, alerts)
    if opening is None:
        return Transition(state=state)
    before = state.closed
    if before is not None and before.severity is opening.severity:
        incident = replace(
            _with_cause(before, opening.cause, explain),
            reopened_at=check.at,
            checks_failed=before.checks_failed + opening.failed,
            reminders_sent=0,
            acknowledged_at=None,
            closed_at=None,
        )
        incident = _unstable(incident, state.runs)
        kind = NotificationKind.REOPENED
    else:
        kind = NotificationKind.OPENED
        incident = Incident(
            id=next_incident,
            opened_at=opening.since,
            notified_at=check.at,
            cause=opening.cause,
            causes=(opening.cause,),
            severity=opening.severity,
            checks_failed=opening.failed,
            verdict=explain(opening.cause),
        )
        if opening.is_unstable:
            incident = _unstable(incident, state.runs)
    return Transition(
        state=_decided(state, incident=incident),
        incident=incident,
        notifications=(_notification(kind, incident, check),),
    )


def _decided(state: IncidentState, *, incident: Incident | None, closed: Incident | None = None) -> IncidentState:
    """After a decision no check counts for another one; only how often it came and went is still known."""
    return replace(state, recent=(), evidence=None, fine=None, incident=incident, closed=closed)


def _with_incident(
    state: IncidentState, incident: Incident, check: Check, alerts: AlertSettings, explain: Explain
) -> Transition:
    if state.fine is not None:
        if not _is_over(incident, state.fine, check.at, alerts):
            return Transition(state=state, incident=incident)
        closed = replace(incident, closed_at=state.fine.since)
        return Transition(
            state=_decided(state, incident=None, closed=closed),
            incident=closed,
            notifications=(_notification(NotificationKind.CLOSED, closed, check),),
        )

    is_failing = check.outcome.family.is_failing
    if is_failing or incident.severity is Severity.WARNING:
        incident = replace(incident, checks_failed=incident.checks_failed + 1)
        if is_failing and (incident.is_unstable or _is_flapping(state.runs, alerts)):
            incident = _unstable(incident, state.runs)
    cause = _new_cause(incident, state, alerts)
    if cause is not None:
        return _changed(state, incident, cause, check, explain)

    due = _reminders_due(check.at - (incident.reopened_at or incident.notified_at), alerts.reminders)
    if due > incident.reminders_sent and incident.acknowledged_at is None:
        incident = replace(incident, reminders_sent=due)
        reminder = _notification(NotificationKind.REMINDER, incident, check)
        state = replace(state, incident=incident)
        return Transition(state=state, incident=incident, notifications=(reminder,))
    return Transition(state=replace(state, incident=incident), incident=incident)


def _is_over(incident: Incident, fine: Fine, now: datetime, alerts: AlertSettings) -> bool:
    """By the present cause: what does not flicker is over after so many checks, all else after some time too."""
    if fine.checks < alerts.recovery.checks:
        return False
    if incident.is_unstable:
        return now - fine.since >= alerts.flapping.within / 2
    return incident.cause.family in _STEADY or now - fine.since >= alerts.recovery.lasting


def _new_cause(incident: Incident, state: IncidentState, alerts: AlertSettings) -> Outcome | None:
    """The cause that the latest check confirms in place of the present one.

    One cause is replaced by another when two checks in a row had that very outcome. A slow incident becomes a
    failing one by any rule that would open one.
    """
    latest = state.recent[-1]
    if incident.severity is Severity.WARNING:
        opening = _opening(state, alerts) if latest.family.is_failing else None
        return opening.cause if opening else None
    if latest.outcome is incident.cause or not latest.family.is_failing:
        return None
    is_confirmed = [check.outcome for check in state.recent[-_CONFIRMING:]] == [latest.outcome] * _CONFIRMING
    return latest.outcome if is_confirmed else None


def _changed(
    state: IncidentState, incident: Incident, cause: Outcome, check: Check, explain: Explain
) -> Transition:
    """A cause is notified once; that a slow incident became a failing one is notified each time."""
    changed = replace(_with_cause(incident, cause, explain), severity=_severity(cause))
    is_worse = incident.severity is Severity.WARNING and changed.severity is Severity.CRITICAL
    notification = _notification(NotificationKind.CHANGED, changed, check, before=incident.cause)
    notifications = (notification,) if cause not in incident.causes or is_worse else ()
    return Transition(state=_decided(state, incident=changed), incident=changed, notifications=notifications)


def _with_cause(incident: Incident, cause: Outcome, explain: Explain) -> Incident:
    causes = incident.causes if cause in incident.causes else (*incident.causes, cause)
    return replace(incident, cause=cause, causes=causes, verdict=explain(cause))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opening:
    """What an incident opens with."""

    since: datetime
    cause: Outcome
    failed: int
    is_unstable: bool = False

    @property
    def severity(self) -> Severity:
        return _severity(self.cause)


def _opening(state: IncidentState, alerts: AlertSettings) -> _Opening | None:
    """What opens an incident now; only the latest check can, and a fine one never does."""
    latest, evidence = state.recent[-1], state.evidence
    if latest.family is Family.FINE:
        return None
    if latest.family is Family.SLOW:
        slow = [check for check in state.recent[-alerts.slow.of :] if check.family is Family.SLOW]
        return _opening_of(slow) if len(slow) >= alerts.slow.failures else None
    if latest.family in _STEADY:
        needed = _in_a_row(latest.family, alerts).failures
        in_a_row = state.recent[-needed:]
        if len(in_a_row) == needed and all(check.family is latest.family for check in in_a_row):
            return _opening_of(in_a_row)
    if evidence is None:
        return None
    failing = [check for check in state.recent if check.family.is_failing]
    cause = _most_common(failing)
    enough = _FAILURE_WEIGHS * alerts.failing.failures - 1
    if evidence.weight >= enough and latest.at - evidence.since >= alerts.failing.lasting:
        return _Opening(since=evidence.since, cause=cause, failed=evidence.failed)
    if _is_flapping(state.runs, alerts):
        failed = sum(run.failed for run in state.runs)
        return _Opening(since=state.runs[0].began_at, cause=cause, failed=failed, is_unstable=True)
    return None


def _opening_of(checks: Sequence[RecentCheck]) -> _Opening:
    return _Opening(since=checks[0].at, cause=_most_common(checks), failed=len(checks))


def _is_flapping(runs: Sequence[FailureRun], alerts: AlertSettings) -> bool:
    """Enough runs of failures, and more in them than random loss at a short interval makes."""
    checks = sum(run.checks for run in runs)
    return len(runs) >= alerts.flapping.times and _LEAST_SHARE * sum(run.failed for run in runs) >= checks


def _unstable(incident: Incident, runs: Sequence[FailureRun]) -> Incident:
    """The incident as one that comes and goes, with its pattern where there are enough runs to tell."""
    ended = [run.ended_at - run.began_at for run in runs if run.ended_at is not None]
    if len(ended) < _RUNS_OF_A_PATTERN:
        return replace(incident, is_unstable=True)
    fails_for = sum(ended, timedelta(0)) / len(ended)
    fails_every = (runs[-1].began_at - runs[0].began_at) / (len(runs) - 1)
    return replace(incident, is_unstable=True, fails_for=fails_for, fails_every=fails_every)


def _most_common(checks: Sequence[RecentCheck]) -> Outcome:
    """The most frequent outcome; of equally frequent ones the latest."""
    counts = Counter(check.outcome for check in checks)
    # `max` keeps the first of equals, so the latest check comes first.
    return max(reversed(checks), key=lambda check: counts[check.outcome]).outcome


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


def _in_a_row(family: Family, alerts: AlertSettings) -> InARow:
    rule: InARow = getattr(alerts, family.value)
    return rule


def _checks_to_remember(alerts: AlertSettings) -> int:
    """As many as the rule that looks furthest back asks for."""
    return max(alerts.slow.of, _CONFIRMING, *(_in_a_row(family, alerts).failures for family in _STEADY))


def _severity(cause: Outcome) -> Severity:
    return Severity.WARNING if cause.family is Family.SLOW else Severity.CRITICAL


def _notification(
    kind: NotificationKind,
    incident: Incident,
    check: Check,
    *,
    before: Outcome | None = None,
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
        is_unstable=incident.is_unstable,
        fails_for=incident.fails_for,
        fails_every=incident.fails_every,
    )
