"""What `check` prints: the line for a plugin host, the JSON document, and that there is exactly one of them.

The line follows the Monitoring Plugins guidelines: text, a bar, performance data; more text on the lines below.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.alerts.notification import Notification
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.checks.observation import Check, Family
from monitor.diagnosis.advice import word
from monitor.diagnosis.verdicts import Verdict, VerdictCode
from monitor.engine.delivery import DeliveryAttempt
from monitor.incidents.state import Incident
from monitor.lib.exit_status import ExitStatus, worst
from monitor.lib.line_writer import write_line
from monitor.lib.times import iso
from monitor.report.formatting import format_ms
from monitor.report.values import VERSION, advice_values, check_values, incident_values

_MOST_IN_LINE = 3
# Of a fine check they say no more than the first line does.
_PLAIN = (VerdictCode.AS_THE_OUTCOME_SAYS, VerdictCode.ALL_GOOD)
# For printing that there is no result, and then for the interpreter to end.
_LAST_SECONDS = 0.1
# So long a reader of the result may hold up what comes after it.
_READING_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedDatabase:
    """One database after a round: its last check and the verdict on it, how many checks there were, its limit, its
    incident if it has one."""

    check: Check
    verdict: Verdict
    checks: int
    slow: timedelta | None
    incident: Incident | None

    @property
    def status(self) -> ExitStatus:
        family = self.check.outcome.family
        if family.is_failing:
            return ExitStatus.CRITICAL
        return {Family.FINE: ExitStatus.OK, Family.SLOW: ExitStatus.WARNING}.get(family, ExitStatus.UNKNOWN)


def exit_status(checked: Sequence[CheckedDatabase]) -> ExitStatus:
    """The worst of the databases; unknown when there is none."""
    return worst(row.status for row in checked)


def plugin_output(checked: Sequence[CheckedDatabase]) -> str:
    """The first line with performance data, then a few lines for people on each database that has a verdict.

    A fine one has where its check found more, such as a certificate that ends soon.
    """
    status = exit_status(checked)
    troubled = [row for row in checked if row.status is not ExitStatus.OK]
    worst_first = sorted(troubled, key=lambda row: row.status is not status)
    summary = "; ".join(map(_summary, (worst_first or checked)[:_MOST_IN_LINE]))
    count = f"{len(troubled)} of {len(checked)} not fine: " if troubled and len(checked) > 1 else ""
    more = f" and {len(worst_first) - _MOST_IN_LINE} more" if len(worst_first) > _MOST_IN_LINE else ""
    if not troubled and len(checked) > _MOST_IN_LINE:
        summary = f"all {len(checked)} databases answer"
    line = f"{status.name} - {_without_bar(count + summary + more)} | {' '.join(map(_performance, checked))}"
    is_more_found = (row for row in checked if row.status is ExitStatus.OK and row.verdict.code not in _PLAIN)
    explained = [*worst_first, *is_more_found]
    return "\n".join([line, *(_without_bar(text) for row in explained for text in _explanation(row))])


def document(
    checked: Sequence[CheckedDatabase],
    attempts: Sequence[DeliveryAttempt],
    *,
    started_at: datetime,
    took_ms: float,
    status: ExitStatus,
) -> dict[str, Any]:
    """The document of `check --json`, version 1."""
    return {
        "version": VERSION,
        "started_at": iso(started_at),
        "took_ms": round(took_ms, 1),
        "exit_status": int(status),
        "databases": [_database_values(row, now=started_at) for row in checked],
        "deliveries": _deliveries(attempts),
    }


def _database_values(row: CheckedDatabase, *, now: datetime) -> dict[str, Any]:
    values = check_values(row.check)
    incident = None if row.incident is None else incident_values(row.incident, now=now)
    return {
        "database": row.check.database,
        "outcome": values["outcome"],
        "family": values["family"],
        "ok": values["ok"],
        "checked_at": values["at"],
        "latency_ms": values["latency_ms"],
        "phases_ms": values["phases_ms"],
        "http_status": values["http_status"],
        "detail": values["detail"],
        "checks": row.checks,
        **advice_values(word(row.verdict)),
        "incident": incident and {key: incident[key] for key in ("id", "state", "opened_at", "cause")},
    }


def _deliveries(attempts: Sequence[DeliveryAttempt]) -> list[dict[str, Any]]:
    """One entry for each message, by its last attempt; `error` is there only when it failed.

    `unconfirmed` is there only when it was taken, and the answer was not the service's confirmation.
    """
    last: dict[tuple[str, str, int | None], dict[str, Any]] = {}
    for attempt, notification in ((each, one) for each in attempts for one in _parts(each.notification)):
        kind, incident = attempt.notification.kind.value, notification.incident
        sent = attempt.result.is_sent
        entry = {"channel": attempt.channel, "kind": kind, "incident": incident, "sent": sent}
        if attempt.result.status is DeliveryStatus.UNCONFIRMED:
            entry["unconfirmed"] = attempt.result.detail
        elif not sent:
            entry["error"] = attempt.result.detail
        last[attempt.channel, kind, incident] = entry
    return list(last.values())


def _parts(notification: Notification) -> Sequence[Notification]:
    """Each of those that one message told together."""
    return notification.includes or (notification,)


def _summary(row: CheckedDatabase) -> str:
    check = row.check
    if check.outcome.family is Family.FINE:
        latency = "" if check.latency_ms is None else f" ({format_ms(check.latency_ms)})"
        return f"{check.database} answers{latency}"
    return f"{check.database} {check.outcome.words}" + (f": {check.detail}" if check.detail else "")


def _explanation(row: CheckedDatabase) -> list[str]:
    advice = word(row.verdict)
    lines = [f"{row.check.database}: {advice.meaning}", f"  whose move: {advice.whose_move.words}"]
    lines += [f"  - {step}" for step in advice.next_steps]
    if row.incident is not None and row.incident.closed_at is None:
        lines.append(f"  incident {row.incident.id}, open since {iso(row.incident.opened_at)}")
    return lines


def _performance(row: CheckedDatabase) -> str:
    """`'label'=value;warn;crit;min`; `U` for a value that could not be had."""
    label = row.check.database.replace("'", "''").replace("=", "_")
    latency = row.check.latency_ms
    value = "U" if latency is None else f"{latency:.3f}ms"
    warn = "" if row.slow is None else f"{row.slow // timedelta(milliseconds=1)}"
    return f"'{_without_bar(label)}'={value};{warn};;0"


def _without_bar(text: str) -> str:
    """A bar ends the text for a plugin host, so none may stand inside it."""
    return text.replace("|", "¦")


class ResultPrinter:
    """Prints the one result of `check`: that of the round, or that there is none when its time is over.

    After `seconds` the process ends: with UNKNOWN, or with the status of a result that is being printed, should
    nobody read it. A disk that hangs cannot hold that up.
    """

    def __init__(self, seconds: float, *, as_json: bool) -> None:
        self._as_json = as_json
        self._printed = threading.Lock()
        self._printing: threading.Thread | None = None
        self._status = ExitStatus.UNKNOWN
        _call_after(max(0.05, seconds - _LAST_SECONDS), self._time_is_over)

    def print(self, text: str, status: ExitStatus) -> None:
        """Print it; if another result was first, the process ends before this returns.

        Where nobody reads it this returns all the same, and `wait_until_read` waits for the reader.
        """
        if not self._printed.acquire(blocking=False):
            threading.Event().wait()
        self._status = status
        self._printing = threading.Thread(target=_print, args=(text,), name="result", daemon=True)
        self._printing.start()
        self._printing.join(_READING_SECONDS)

    def wait_until_read(self) -> None:
        """Wait for whoever reads the result, as long as there is time: the process ends then."""
        if self._printing is not None:
            self._printing.join()

    def print_unknown(self, reason: str) -> None:
        """What a plugin host or a script reads when there is no result."""
        values: dict[str, Any] = {
            "version": VERSION,
            "started_at": None,
            "took_ms": None,
            "exit_status": int(ExitStatus.UNKNOWN),
            "databases": [],
            "deliveries": [],
            "error": reason,
        }
        text = json.dumps(values, indent=2) if self._as_json else f"UNKNOWN - {_without_bar(reason)}"
        self.print(text, ExitStatus.UNKNOWN)
        self.wait_until_read()

    def _time_is_over(self) -> None:
        # Even printing this may hang, or the round is printing its result this moment.
        _call_after(_LAST_SECONDS, self._end)
        self.print_unknown("the round was not over in time; the disk or this machine is too slow")
        self._end()

    def _end(self) -> None:
        os._exit(int(self._status))


def _call_after(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _print(text: str) -> None:
    """The reader may be gone, or the disk full; the exit status carries the result as well."""
    try:
        print(text, flush=True)
    except OSError:
        write_line(sys.stderr, text.splitlines()[0])
