"""The JSON of the page: the same figures as on it, in plain values. Times and names are those of `check --json`.

Documents are of version 1: keys may be added to it, none is taken away or changes its meaning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from monitor.checks.observation import Check
from monitor.diagnosis.advice import word
from monitor.lib.times import iso, write_duration
from monitor.report.values import (
    VERSION,
    advice_values,
    check_values,
    gap_values,
    incident_values,
    slice_values,
    span_values,
    spread_values,
    uptime_values,
)
from monitor.store.rollups.model import DatabaseStatus, History, Schedule
from monitor.web.pages.summary import card_of


def databases_document(
    statuses: Sequence[DatabaseStatus], *, now: datetime, redact: Callable[[str], str]
) -> dict[str, Any]:
    """All databases now, in the order of the settings; `uptime` is of the last 90 days."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        "databases": [_database_values(status, now, redact) for status in statuses],
    }


def history_document(
    history: History,
    *,
    now: datetime,
    checks: Sequence[Check],
    next_before: datetime | None,
    redact: Callable[[str], str],
) -> dict[str, Any]:
    """One database over a span. `next_before` is where the next page of checks begins, `None` on the last one."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        **span_values(history),
        "next_before": None if next_before is None else iso(next_before),
        "slices": [slice_values(part) for part in history.slices],
        "gaps": [gap_values(gap) for gap in history.gaps],
        "maintenance": [gap_values(window) for window in history.maintenance],
        "incidents": [incident_values(incident, now=now) for incident in history.incidents],
        "checks": [_check_values(check, redact) for check in checks],
    }


def refusal_document(text: str) -> dict[str, Any]:
    """The answer to a request that is refused."""
    return {"version": VERSION, "error": text}


def to_json(document: dict[str, Any]) -> str:
    """The document as compact UTF-8 text."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _database_values(status: DatabaseStatus, now: datetime, redact: Callable[[str], str]) -> dict[str, Any]:
    card, latest = card_of(status, now), status.latest
    check = dict.fromkeys(_KEYS_OF_A_CHECK) if latest is None else _check_values(latest, redact)
    return {
        "database": status.database,
        "state": card.state.code,
        "checked_at": check.pop("at"),
        **check,
        **advice_values(None if status.verdict is None else word(status.verdict)),
        "incident": None if status.incident is None else incident_values(status.incident, now=now),
        "uptime": uptime_values(card.uptime),
        "latency_today": spread_values(card.today),
        "certificate_ends_at": None if status.certificate_ends_at is None else iso(status.certificate_ends_at),
        "schedule": _schedule_values(status.schedule),
    }


# Of a database before its first check all of them are `null`.
_KEYS_OF_A_CHECK = ("at", "outcome", "family", "ok", "latency_ms", "phases_ms", "http_status", "detail")


def _check_values(check: Check, redact: Callable[[str], str]) -> dict[str, Any]:
    return {**check_values(check), "detail": redact(check.detail)}


def _schedule_values(schedule: Schedule) -> dict[str, Any]:
    budget = schedule.budget
    return {
        "interval": write_duration(schedule.interval),
        "timeout": write_duration(schedule.timeout),
        "slow": None if schedule.slow is None else write_duration(schedule.slow),
        "canary": None if schedule.canary is None else write_duration(schedule.canary),
        "worker": schedule.worker,
        "commands_30d": {"checks": budget.checks, "sent_at_worst": budget.sent, "billed": budget.billed},
    }
