"""What is remembered of a database between two looks, and what one look did to it.

Only words live here; the rules that move them are in `incident`, the file they are kept in is `store`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.alerts.notification import Notice, Severity
from monitor.checks.observation import Canary, Family, Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A look as the rules count it. Looks of the unknown family leave no mark."""

    at: datetime
    outcome: Outcome

    @property
    def family(self) -> Family:
        return self.outcome.family


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """One stretch of trouble of one database.

    `opened_at` is its first failing look and `closed_at` the first fine look after it, so that their
    difference is how long people were without the database; `told_at` is when the rule was met.
    `causes` lists every outcome it was confirmed for, in order and without repetition; `cause` is the present one.
    """

    id: int
    opened_at: datetime
    told_at: datetime
    cause: Outcome
    causes: tuple[Outcome, ...]
    severity: Severity
    looks_failed: int
    reminders_sent: int = 0
    acknowledged_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """The state of one database: its marks since the last decision, oldest first, and its open incident.

    `canary` is the last key that was written; `None` when there was none yet.
    """

    marks: tuple[Mark, ...] = ()
    incident: Incident | None = None
    canary: Canary | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one look led to: the next state, the incident it touched (closed or not), and what is to be said."""

    watch: Watch
    incident: Incident | None = None
    notices: tuple[Notice, ...] = ()


def watch_to_json(watch: Watch) -> dict[str, Any]:
    """The state as plain JSON values, for the file."""
    return {
        "marks": [[mark.at.isoformat(), mark.outcome.value] for mark in watch.marks],
        "incident": None if watch.incident is None else _incident_to_json(watch.incident),
        "canary": None if watch.canary is None else _canary_to_json(watch.canary),
    }


def watch_from_json(values: dict[str, Any]) -> Watch:
    """The state that `watch_to_json` wrote, in this release or an older one."""
    incident, canary = values["incident"], values.get("canary")
    return Watch(
        marks=tuple(Mark(at=datetime.fromisoformat(at), outcome=Outcome(code)) for at, code in values["marks"]),
        incident=None if incident is None else _incident_from_json(incident),
        canary=None if canary is None else _canary_from_json(canary),
    )


def _incident_to_json(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "opened_at": incident.opened_at.isoformat(),
        "told_at": incident.told_at.isoformat(),
        "cause": incident.cause.value,
        "causes": [cause.value for cause in incident.causes],
        "severity": incident.severity.value,
        "looks_failed": incident.looks_failed,
        "reminders_sent": incident.reminders_sent,
        "acknowledged_at": incident.acknowledged_at.isoformat() if incident.acknowledged_at else None,
    }


def _incident_from_json(values: dict[str, Any]) -> Incident:
    acknowledged = values["acknowledged_at"]
    return Incident(
        id=values["id"],
        opened_at=datetime.fromisoformat(values["opened_at"]),
        told_at=datetime.fromisoformat(values["told_at"]),
        cause=Outcome(values["cause"]),
        causes=tuple(Outcome(cause) for cause in values["causes"]),
        severity=Severity(values["severity"]),
        looks_failed=values["looks_failed"],
        reminders_sent=values["reminders_sent"],
        acknowledged_at=datetime.fromisoformat(acknowledged) if acknowledged else None,
    )


def _canary_to_json(canary: Canary) -> dict[str, Any]:
    return {
        "sent_at": canary.sent_at.isoformat(),
        "outcome": canary.outcome.value,
        "detail": canary.detail,
    }


def _canary_from_json(values: dict[str, Any]) -> Canary:
    return Canary(
        sent_at=datetime.fromisoformat(values["sent_at"]),
        outcome=Outcome(values["outcome"]),
        detail=values["detail"],
    )
