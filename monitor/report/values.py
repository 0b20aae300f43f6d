"""What the history says as plain JSON values, the same on the page, in its API and in a report.

Times are those of `check --json`, durations are in seconds, `null` stands for what is absent. Whole documents are
put together by those who give them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from monitor.checks.observation import Phases
from monitor.incidents.state import Incident
from monitor.lib.times import iso
from monitor.report.phases import shifts
from monitor.store.rollups.model import Gap, History, Slice, Spread, Uptime


def span_values(history: History) -> dict[str, Any]:
    """One database over its span and the one before, without the lists of what happened in it."""
    return {
        "database": history.database,
        "start": iso(history.whole.start),
        "end": iso(history.whole.end),
        "grain": history.grain.value,
        "whole": slice_values(history.whole),
        "before": None if history.before is None else slice_values(history.before),
        "phases_ms": phase_values(history.phases),
        "phases_before_ms": phase_values(history.phases_before),
    }


def slice_values(found: Slice) -> dict[str, Any]:
    """What was seen from `start` until before `end`."""
    return {
        "start": iso(found.start),
        "end": iso(found.end),
        "uptime": uptime_values(found.uptime),
        "checks": found.checks,
        "checks_failed": found.checks_failed,
        "outcomes": {outcome.value: count for outcome, count in found.outcomes.items()},
        "latency": spread_values(found.latency),
    }


def uptime_values(uptime: Uptime) -> dict[str, Any]:
    """`share` is of the known time, from 0 to 1; `null` when nothing is known."""
    return {
        "share": uptime.share,
        "up_seconds": rounded(uptime.up.total_seconds()),
        "down_seconds": rounded(uptime.down.total_seconds()),
        "unknown_seconds": rounded(uptime.unknown.total_seconds()),
    }


def incident_values(incident: Incident, *, now: datetime) -> dict[str, Any]:
    """`duration_seconds` is from the first failing check to the first fine one, until `now` while it is open."""
    end = incident.closed_at
    return {
        "id": incident.id,
        "state": "open" if end is None else "closed",
        "opened_at": iso(incident.opened_at),
        "closed_at": None if end is None else iso(end),
        "duration_seconds": rounded(((end or now) - incident.opened_at).total_seconds()),
        "cause": incident.cause.value,
        "causes": [cause.value for cause in incident.causes],
        "severity": incident.severity.value,
        "checks_failed": incident.checks_failed,
        "acknowledged_at": None if incident.acknowledged_at is None else iso(incident.acknowledged_at),
    }


def gap_values(gap: Gap) -> dict[str, Any]:
    """A time in which nobody looked."""
    return {
        "start": iso(gap.start),
        "end": iso(gap.end),
        "seconds": rounded((gap.end - gap.start).total_seconds()),
    }


def phase_values(phases: Phases | None) -> dict[str, float | None] | None:
    """Milliseconds by the name of the phase; `null` for one that was not reached."""
    return None if phases is None else {name: rounded(value) for name, value in asdict(phases).items()}


def rounded(value: float | None) -> float | None:
    """Thousandths are the last that mean anything."""
    return None if value is None else round(value, 3)


def spread_values(spread: Spread | None) -> dict[str, float | None] | None:
    """Percentiles in milliseconds, and of how many checks."""
    return None if spread is None else {name: rounded(value) for name, value in asdict(spread).items()}


VERSION = 1


def report_document(histories: Iterable[History], *, now: datetime) -> dict[str, Any]:
    """The document, version 1."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        "databases": [history_values(history, now=now) for history in histories],
    }


def history_values(history: History, *, now: datetime) -> dict[str, Any]:
    """One database over its span, the slices oldest first."""
    return {
        **span_values(history),
        "shifts": [
            {
                "phase": shift.phase.value,
                "before_ms": rounded(shift.before_ms),
                "now_ms": rounded(shift.now_ms),
                "meaning": shift.meaning,
            }
            for shift in shifts(history.phases, history.phases_before)
        ],
        "incidents": [incident_values(incident, now=now) for incident in history.incidents],
        "gaps": [gap_values(gap) for gap in history.gaps],
        "slices": [slice_values(part) for part in history.slices],
    }
