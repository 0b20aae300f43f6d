"""What one round of `check` amounts to: the exit status, the line for a plugin host, the JSON document.

Pure shaping of what `flow/round` found (design, 5.1 and 5.2); printing it is the command's business. The line
follows the Monitoring Plugins guidelines: text, a bar, performance data; more text on the lines below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from monitor.core.diagnosis import advise
from monitor.core.observation import Family, Look
from monitor.core.watch import Incident


class ExitStatus(IntEnum):
    """The monitoring-plugin convention."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One database after a round: its last look, how many there were, its incident if it has one."""

    look: Look
    looks: int
    slow: timedelta | None
    incident: Incident | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One message of the round: `sent` when the channel confirmed it, else `error` says why not."""

    channel: str
    kind: str
    incident: int | None
    sent: bool
    error: str | None = None


# Something that is down outranks something unknown; "slow only" means that nothing else was the matter.
_PRECEDENCE = (ExitStatus.CRITICAL, ExitStatus.UNKNOWN, ExitStatus.WARNING)


def exit_status(checked: Sequence[Checked]) -> ExitStatus:
    """The worst of the databases; unknown when there is none."""
    if not checked:
        return ExitStatus.UNKNOWN
    found = {_status(row.look) for row in checked}
    return next((status for status in _PRECEDENCE if status in found), ExitStatus.OK)


def plugin_output(checked: Sequence[Checked]) -> str:
    """The first line with performance data, then a few lines for people on each database that is not fine."""
    status = exit_status(checked)
    troubled = [row for row in checked if _status(row.look) is not ExitStatus.OK]
    worst_first = sorted(troubled, key=lambda row: _status(row.look) is not status)
    said = "; ".join(_say(row) for row in (worst_first or checked)[:3])
    count = f"{len(troubled)} of {len(checked)} not fine: " if troubled and len(checked) > 1 else ""
    more = f" and {len(worst_first) - 3} more" if len(worst_first) > 3 else ""
    if not troubled and len(checked) > 3:
        said = f"all {len(checked)} databases answer"
    line = f"{status.name} - {_barless(count + said + more)} | {' '.join(map(_performance, checked))}"
    return "\n".join([line, *(_barless(text) for row in worst_first for text in _explain(row))])


def document(
    checked: Sequence[Checked],
    told: Sequence[Told],
    *,
    started_at: datetime,
    took_ms: float,
    status: ExitStatus,
) -> dict[str, Any]:
    """The document of `check --json`, version 1 (design, 5.2)."""
    return {
        "version": 1,
        "started_at": iso(started_at),
        "took_ms": round(took_ms, 1),
        "exit_status": int(status),
        "databases": [_database(row) for row in checked],
        "deliveries": [_delivery(message) for message in told],
    }


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as everywhere in the contract."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_up(family: Family) -> bool | None:
    """True where the database can be used, `None` where nothing is known."""
    return None if family is Family.UNKNOWN else not family.is_failing


def _status(look: Look) -> ExitStatus:
    family = look.outcome.family
    if family.is_failing:
        return ExitStatus.CRITICAL
    return {Family.FINE: ExitStatus.OK, Family.SLOW: ExitStatus.WARNING}.get(family, ExitStatus.UNKNOWN)


def _database(row: Checked) -> dict[str, Any]:
    look, advice = row.look, advise(row.look.outcome)
    phases = {name: _rounded(value) for name, value in asdict(look.phases).items()}
    return {
        "database": look.database,
        "outcome": look.outcome.value,
        "family": look.outcome.family.value,
        "ok": is_up(look.outcome.family),
        "checked_at": iso(look.at),
        "latency_ms": _rounded(look.latency_ms),
        "phases_ms": phases,
        "http_status": look.http_status,
        "detail": look.detail,
        "looks": row.looks,
        "meaning": advice.meaning,
        "next_steps": list(advice.next_steps),
        "incident": None if row.incident is None else _incident(row.incident),
    }


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "state": "open" if incident.closed_at is None else "closed",
        "opened_at": iso(incident.opened_at),
        "cause": incident.cause.value,
    }


def _delivery(message: Told) -> dict[str, Any]:
    """`error` is there only when there is one."""
    return {key: value for key, value in asdict(message).items() if key != "error" or value is not None}


def _say(row: Checked) -> str:
    look = row.look
    latency = "" if look.latency_ms is None else f" ({look.latency_ms:.1f} ms)"
    if look.outcome.family is Family.FINE:
        return f"{look.database} answers{latency}"
    detail = f": {look.detail}" if look.detail else ""
    return f"{look.database} {look.outcome.words}{detail}"


def _explain(row: Checked) -> list[str]:
    advice = advise(row.look.outcome)
    lines = [f"{row.look.database}: {advice.meaning}", *(f"  - {step}" for step in advice.next_steps)]
    if row.incident is not None and row.incident.closed_at is None:
        lines.append(f"  incident {row.incident.id}, open since {iso(row.incident.opened_at)}")
    return lines


def _performance(row: Checked) -> str:
    """`'label'=value;warn;crit;min`; `U` for a value that could not be had."""
    label = row.look.database.replace("'", "''").replace("=", "_")
    latency = row.look.latency_ms
    value = "U" if latency is None else f"{latency:.3f}ms"
    warn = "" if row.slow is None else f"{row.slow // timedelta(milliseconds=1)}"
    return f"'{_barless(label)}'={value};{warn};;0"


def _barless(text: str) -> str:
    """A bar ends the text for a plugin host, so none may stand inside it."""
    return text.replace("|", "¦")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
