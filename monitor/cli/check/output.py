"""What one round of `check` amounts to: the exit status, the line for a plugin host, the JSON document.

Pure shaping of what `flow/round` found (design, 5.1 and 5.2); printing it is the command's business. The line
follows the Monitoring Plugins guidelines: text, a bar, performance data; more text on the lines below.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.checks.observation import Check, Family, is_up
from monitor.diagnosis.advice import advise
from monitor.incidents.state import Incident
from monitor.lib.exit_status import ExitStatus
from monitor.lib.times import iso


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedDatabase:
    """One database after a round: its last check, how many there were, its incident if it has one."""

    check: Check
    checks: int
    slow: timedelta | None
    incident: Incident | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentMessage:
    """One message of the round: `sent` when the channel confirmed it, else `error` says why not."""

    channel: str
    kind: str
    incident: int | None
    sent: bool
    error: str | None = None


# Something that is down outranks something unknown; "slow only" means that nothing else was the matter.
_PRECEDENCE = (ExitStatus.CRITICAL, ExitStatus.UNKNOWN, ExitStatus.WARNING)


def exit_status(checked: Sequence[CheckedDatabase]) -> ExitStatus:
    """The worst of the databases; unknown when there is none."""
    if not checked:
        return ExitStatus.UNKNOWN
    found = {_status(row.check) for row in checked}
    return next((status for status in _PRECEDENCE if status in found), ExitStatus.OK)


def plugin_output(checked: Sequence[CheckedDatabase]) -> str:
    """The first line with performance data, then a few lines for people on each database that is not fine."""
    status = exit_status(checked)
    troubled = [row for row in checked if _status(row.check) is not ExitStatus.OK]
    worst_first = sorted(troubled, key=lambda row: _status(row.check) is not status)
    said = "; ".join(_say(row) for row in (worst_first or checked)[:3])
    count = f"{len(troubled)} of {len(checked)} not fine: " if troubled and len(checked) > 1 else ""
    more = f" and {len(worst_first) - 3} more" if len(worst_first) > 3 else ""
    if not troubled and len(checked) > 3:
        said = f"all {len(checked)} databases answer"
    line = f"{status.name} - {_barless(count + said + more)} | {' '.join(map(_performance, checked))}"
    return "\n".join([line, *(_barless(text) for row in worst_first for text in _explain(row))])


def document(
    checked: Sequence[CheckedDatabase],
    told: Sequence[SentMessage],
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


def _status(check: Check) -> ExitStatus:
    family = check.outcome.family
    if family.is_failing:
        return ExitStatus.CRITICAL
    return {Family.FINE: ExitStatus.OK, Family.SLOW: ExitStatus.WARNING}.get(family, ExitStatus.UNKNOWN)


def _database(row: CheckedDatabase) -> dict[str, Any]:
    check, advice = row.check, advise(row.check.outcome)
    phases = {name: _rounded(value) for name, value in asdict(check.phases).items()}
    return {
        "database": check.database,
        "outcome": check.outcome.value,
        "family": check.outcome.family.value,
        "ok": is_up(check.outcome.family),
        "checked_at": iso(check.at),
        "latency_ms": _rounded(check.latency_ms),
        "phases_ms": phases,
        "http_status": check.http_status,
        "detail": check.detail,
        "checks": row.checks,
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


def _delivery(message: SentMessage) -> dict[str, Any]:
    """`error` is there only when there is one."""
    return {key: value for key, value in asdict(message).items() if key != "error" or value is not None}


def _say(row: CheckedDatabase) -> str:
    check = row.check
    latency = "" if check.latency_ms is None else f" ({check.latency_ms:.1f} ms)"
    if check.outcome.family is Family.FINE:
        return f"{check.database} answers{latency}"
    detail = f": {check.detail}" if check.detail else ""
    return f"{check.database} {check.outcome.words}{detail}"


def _explain(row: CheckedDatabase) -> list[str]:
    advice = advise(row.check.outcome)
    lines = [f"{row.check.database}: {advice.meaning}", *(f"  - {step}" for step in advice.next_steps)]
    if row.incident is not None and row.incident.closed_at is None:
        lines.append(f"  incident {row.incident.id}, open since {iso(row.incident.opened_at)}")
    return lines


def _performance(row: CheckedDatabase) -> str:
    """`'label'=value;warn;crit;min`; `U` for a value that could not be had."""
    label = row.check.database.replace("'", "''").replace("=", "_")
    latency = row.check.latency_ms
    value = "U" if latency is None else f"{latency:.3f}ms"
    warn = "" if row.slow is None else f"{row.slow // timedelta(milliseconds=1)}"
    return f"'{_barless(label)}'={value};{warn};;0"


def _barless(text: str) -> str:
    """A bar ends the text for a plugin host, so none may stand inside it."""
    return text.replace("|", "¦")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


# For saying that there is no result, and then for the interpreter's own end.
_LAST_WORDS_SECONDS = 0.1


class Answer:
    """The round and the clock both want to answer; whoever is first is the only one.

    After `seconds` the process ends: with UNKNOWN, or with the status of an answer that is being given, should
    nobody read it. A disk that hangs cannot hold that up.
    """

    def __init__(self, seconds: float, *, as_json: bool) -> None:
        self._as_json = as_json
        self._given = threading.Lock()
        self._status = ExitStatus.UNKNOWN
        _after(max(0.05, seconds - _LAST_WORDS_SECONDS), self._leave)

    def give(self, text: str, status: ExitStatus) -> None:
        """Print it and return; if another answer was first, the process ends before this returns."""
        if not self._given.acquire(blocking=False):
            threading.Event().wait()
        self._status = status
        _print(text)

    def unknown(self, reason: str) -> None:
        """What a plugin host or a script reads when there is no result."""
        nothing = {
            "version": 1,
            "exit_status": int(ExitStatus.UNKNOWN),
            "databases": [],
            "deliveries": [],
            "error": reason,
        }
        text = json.dumps(nothing) if self._as_json else f"UNKNOWN - {reason.replace('|', '¦')}"
        self.give(text, ExitStatus.UNKNOWN)

    def _leave(self) -> None:
        # Even saying so may hang, or the round is giving its answer this moment.
        _after(_LAST_WORDS_SECONDS, self._end)
        self.unknown("the round was not over in time; the disk or this machine is too slow")
        self._end()

    def _end(self) -> None:
        os._exit(int(self._status))


def _after(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _print(text: str) -> None:
    """Whoever read us may have left, or the disk be full; the status says it as well."""
    try:
        print(text, flush=True)
    except OSError:
        print(text.splitlines()[0], file=sys.stderr)
