"""What is remembered of a database between two checks, and what one check changes in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitor.alerts.notification import Notification, Severity
from monitor.checks.observation import CanaryResult, Fact, Family, Outcome
from monitor.diagnosis.verdicts import Verdict, verdict_from_json, verdict_to_json
from monitor.lib.times import from_iso_or_none, from_seconds_or_none


@dataclass(frozen=True, kw_only=True, slots=True)
class RecentCheck:
    """A check as the rules count it. Checks of the unknown family are not remembered."""

    at: datetime
    outcome: Outcome

    @property
    def family(self) -> Family:
        return self.outcome.family


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What speaks for a failing database: `weight`, since the first failure that counts; `failed` checks."""

    weight: int
    since: datetime
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRun:
    """Failing checks in a row, and the checks after it that were none: `checks` in all.

    `ended_at` is the first of those that were none; `None` while it goes on.
    """

    began_at: datetime
    failed: int
    checks: int
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fine:
    """Since when an open incident is seen as over, and by how many checks since anything was unseen."""

    since: datetime
    checks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """One incident of one database.

    `opened_at` is its first failing check and `closed_at` the first fine check after it, so that their difference
    is how long people were without the database; `notified_at` is when the rule was met,
    `reopened_at` when it was met again for one that had closed.
    One that `is_unstable` comes and goes, about `fails_every` it fails for `fails_for`, where that is known; it is
    over only after a longer fine time.
    `causes` lists every outcome it was confirmed for, in order and without repetition; `cause` is the present one,
    and `verdict` what was told of it. `unchecked` are the spans of it in which nobody checked. One that
    `is_unwatched` ended because its database is not configured any more, at the last check of it.
    """

    id: int
    opened_at: datetime
    notified_at: datetime
    cause: Outcome
    causes: tuple[Outcome, ...]
    severity: Severity
    checks_failed: int
    verdict: Verdict
    reminders_sent: int = 0
    acknowledged_at: datetime | None = None
    closed_at: datetime | None = None
    unchecked: tuple[tuple[datetime, datetime], ...] = ()
    is_unwatched: bool = False
    is_unstable: bool = False
    fails_for: timedelta | None = None
    fails_every: timedelta | None = None
    reopened_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentState:
    """The state of one database: its checks since the last decision, oldest first, and its open incident.

    `evidence` is `None` while nothing speaks against it, `fine` while its incident is not seen as over. `runs` are
    the latest runs of failures, `closed` is the last incident as long as it may open again, and `known_at` the
    latest check that told anything of the database.

    `canary` is the last key that was written; `None` when there was none yet. `certificate_ends_at` is what the
    latest TLS connection showed, `certificate_warnings` the ends that were notified, as far as they matter still.
    `facts` are those of the latest check.
    """

    recent: tuple[RecentCheck, ...] = ()
    incident: Incident | None = None
    canary: CanaryResult | None = None
    certificate_ends_at: datetime | None = None
    certificate_warnings: tuple[datetime, ...] = ()
    facts: frozenset[Fact] = frozenset()
    evidence: Evidence | None = None
    runs: tuple[FailureRun, ...] = ()
    fine: Fine | None = None
    closed: Incident | None = None
    known_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """What one check led to: the next state, the incident it belongs to (open or closed), the notifications."""

    state: IncidentState
    incident: Incident | None = None
    notifications: tuple[Notification, ...] = ()


def state_to_json(state: IncidentState) -> dict[str, Any]:
    """The state as plain JSON values, for the file."""
    return {
        "recent": [[check.at.isoformat(), check.outcome.value] for check in state.recent],
        "incident": None if state.incident is None else _incident_to_json(state.incident),
        "canary": None if state.canary is None else _canary_to_json(state.canary),
        "certificate_ends_at": state.certificate_ends_at.isoformat() if state.certificate_ends_at else None,
        "certificate_warnings": [ends_at.isoformat() for ends_at in state.certificate_warnings],
        "facts": sorted(fact.value for fact in state.facts),
        "evidence": [e.weight, e.since.isoformat(), e.failed] if (e := state.evidence) else None,
        "runs": [[r.began_at.isoformat(), r.failed, r.checks, _text(r.ended_at)] for r in state.runs],
        "fine": [state.fine.since.isoformat(), state.fine.checks] if state.fine else None,
        "closed": None if state.closed is None else _incident_to_json(state.closed),
        "known_at": _text(state.known_at),
    }


def state_from_json(values: dict[str, Any]) -> IncidentState:
    """The state that `state_to_json` wrote, in this release or an older one."""
    incident, canary = values["incident"], values.get("canary")
    ends_at = values.get("certificate_ends_at")
    return IncidentState(
        recent=tuple(
            RecentCheck(at=datetime.fromisoformat(at), outcome=Outcome(code)) for at, code in values["recent"]
        ),
        incident=None if incident is None else _incident_from_json(incident),
        canary=None if canary is None else _canary_from_json(canary),
        certificate_ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        certificate_warnings=tuple(map(datetime.fromisoformat, values.get("certificate_warnings", ()))),
        facts=frozenset(map(Fact, values.get("facts", ()))),
        evidence=_evidence_from_json(values.get("evidence")),
        runs=tuple(
            FailureRun(
                began_at=datetime.fromisoformat(at), failed=failed, checks=checks, ended_at=from_iso_or_none(ended)
            )
            for at, failed, checks, ended in values.get("runs", ())
        ),
        fine=_fine_from_json(values.get("fine")),
        closed=None if (closed := values.get("closed")) is None else _incident_from_json(closed),
        known_at=from_iso_or_none(values.get("known_at")),
    )


def moved(state: IncidentState, by: timedelta) -> IncidentState:
    """The state by a clock that was set `by` so much: everything in it is as long ago as before."""
    canary, evidence, fine = state.canary, state.evidence, state.fine
    return replace(
        state,
        recent=tuple(replace(check, at=check.at + by) for check in state.recent),
        incident=_incident_moved(state.incident, by),
        evidence=None if evidence is None else replace(evidence, since=evidence.since + by),
        runs=tuple(
            replace(run, began_at=run.began_at + by, ended_at=_later(run.ended_at, by)) for run in state.runs
        ),
        fine=None if fine is None else replace(fine, since=fine.since + by),
        closed=_incident_moved(state.closed, by),
        canary=None if canary is None else replace(canary, sent_at=canary.sent_at + by),
        known_at=_later(state.known_at, by),
    )


def _incident_moved(incident: Incident | None, by: timedelta) -> Incident | None:
    if incident is None:
        return None
    return replace(
        incident,
        opened_at=incident.opened_at + by,
        notified_at=incident.notified_at + by,
        reopened_at=_later(incident.reopened_at, by),
        acknowledged_at=_later(incident.acknowledged_at, by),
        closed_at=_later(incident.closed_at, by),
        unchecked=tuple((start + by, end + by) for start, end in incident.unchecked),
    )


def _later(moment: datetime | None, by: timedelta) -> datetime | None:
    return None if moment is None else moment + by


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _evidence_from_json(values: list[Any] | None) -> Evidence | None:
    if values is None:
        return None
    weight, since, failed = values
    return Evidence(weight=weight, since=datetime.fromisoformat(since), failed=failed)


def _fine_from_json(values: list[Any] | None) -> Fine | None:
    return None if values is None else Fine(since=datetime.fromisoformat(values[0]), checks=values[1])


def _incident_to_json(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "opened_at": incident.opened_at.isoformat(),
        "notified_at": incident.notified_at.isoformat(),
        "cause": incident.cause.value,
        "causes": [cause.value for cause in incident.causes],
        "severity": incident.severity.value,
        "checks_failed": incident.checks_failed,
        "verdict": verdict_to_json(incident.verdict),
        "reminders_sent": incident.reminders_sent,
        "acknowledged_at": _text(incident.acknowledged_at),
        "closed_at": _text(incident.closed_at),
        "is_unstable": incident.is_unstable,
        "fails_for": _seconds(incident.fails_for),
        "fails_every": _seconds(incident.fails_every),
        "reopened_at": _text(incident.reopened_at),
        "unchecked": [[start.isoformat(), end.isoformat()] for start, end in incident.unchecked],
    }


def _incident_from_json(values: dict[str, Any]) -> Incident:
    return Incident(
        id=values["id"],
        opened_at=datetime.fromisoformat(values["opened_at"]),
        notified_at=datetime.fromisoformat(values["notified_at"]),
        cause=Outcome(values["cause"]),
        causes=tuple(Outcome(cause) for cause in values["causes"]),
        severity=Severity(values["severity"]),
        checks_failed=values["checks_failed"],
        verdict=verdict_from_json(values["verdict"]),
        reminders_sent=values["reminders_sent"],
        acknowledged_at=from_iso_or_none(values["acknowledged_at"]),
        closed_at=from_iso_or_none(values.get("closed_at")),
        is_unstable=values.get("is_unstable", False),
        fails_for=from_seconds_or_none(values.get("fails_for")),
        fails_every=from_seconds_or_none(values.get("fails_every")),
        reopened_at=from_iso_or_none(values.get("reopened_at")),
        unchecked=tuple(
            (datetime.fromisoformat(start), datetime.fromisoformat(end))
            for start, end in values.get("unchecked", ())
        ),
    )


def _canary_to_json(canary: CanaryResult) -> dict[str, Any]:
    return {
        "sent_at": canary.sent_at.isoformat(),
        "outcome": canary.outcome.value,
        "detail": canary.detail,
        "facts": sorted(fact.value for fact in canary.facts),
    }


def _canary_from_json(values: dict[str, Any]) -> CanaryResult:
    return CanaryResult(
        sent_at=datetime.fromisoformat(values["sent_at"]),
        outcome=Outcome(values["outcome"]),
        detail=values["detail"],
        facts=frozenset(map(Fact, values.get("facts", ()))),
    )
