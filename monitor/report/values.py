"""Figures, incidents and reports as plain JSON values, the same in the page's API and on the command line; as CSV.

Times are ISO 8601 in UTC with milliseconds, durations are in seconds, `null` stands for what is absent. The CSV
(RFC 4180) is safe to open in a spreadsheet; its columns are stable. What only a report needs is imported with one:
`check`, which is to be small, writes incidents and single checks.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitor.checks.observation import Check, Outcome, Phases, is_up
from monitor.config.windows import Window
from monitor.diagnosis.advice import Advice, word
from monitor.incidents.state import Incident
from monitor.lib.text import one_line
from monitor.lib.times import iso
from monitor.report.formatting import shifts
from monitor.store.rollups.model import Gap, History, Slice, Spread, Uptime

if TYPE_CHECKING:
    from monitor.report.claim import Claim, Outage
    from monitor.report.replay import Replay
    from monitor.report.report import DatabaseReport, Report
    from monitor.store.queries import IncidentRecord

VERSION = 1
Cell = str | int | float | None
_CELL_LIMIT = 500
# What a spreadsheet takes for the beginning of a formula, in its wide forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_FIGURES = (
    "checks",
    "checks_failed",
    "uptime_share",
    "up_seconds",
    "down_seconds",
    "unknown_seconds",
    "maintenance_seconds",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
)
SLICE_COLUMNS = ("database", "start", "end", *_FIGURES, *(outcome.value for outcome in Outcome))
CLAIM_COLUMNS = (
    "database",
    "kind",
    "start",
    "end",
    "seconds",
    "cause",
    "side",
    "checks",
    "outcomes",
    "first_at",
    "first_detail",
    "last_at",
    "last_detail",
    "http_statuses",
    "incident",
    "region",
)


def report_document(report: Report) -> dict[str, Any]:
    """The document of `report --json`, version 1: the histories, or for a month the claims."""
    from monitor.report.claim import SLA_MAIL, SLA_SOURCE, SLA_TARGET

    head: dict[str, Any] = {"version": VERSION, "as_of": iso(report.made_at)}
    if report.period.month_end is not None:
        head |= {
            "month": f"{report.period.start:%Y-%m}",
            "region": report.region,
            "sla": {"source": SLA_SOURCE, "target_share": SLA_TARGET, "claims_to": SLA_MAIL},
        }
    return {**head, "databases": [_database_values(one, report.made_at) for one in report.databases]}


def _database_values(one: DatabaseReport, now: datetime) -> dict[str, Any]:
    if one.claim is not None:
        return {"database": one.database, **claim_values(one.claim)}
    history = one.history
    return {
        **span_values(history),
        "slow_limit": None if history.slow_limit is None else asdict(history.slow_limit),
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
        "maintenance": [gap_values(window) for window in history.maintenance],
        "slices": [slice_values(part) for part in history.slices],
    }


def claim_values(claim: Claim) -> dict[str, Any]:
    """What a claim comes to and what it rests on."""
    month = claim.month
    return {
        "start": iso(month.start),
        "end": iso(month.end),
        "month_end": iso(claim.month_end),
        "checks": month.checks,
        "uptime": uptime_values(month.uptime),
        "claim": {
            "share": claim.share,
            "share_at_best": claim.share_at_best,
            "down_upstash_seconds": _seconds(claim.down(claimed=True)),
            "down_own_seconds": _seconds(claim.down(claimed=False)),
            "down_unlisted_seconds": _seconds(claim.down_unlisted),
            "unknown_unlisted_seconds": _seconds(claim.unknown_unlisted),
            "credit_percent": claim.credit_percent,
        },
        "outages": [outage_values(outage) for outage in claim.outages],
        "unknown": [outage_values(outage) for outage in claim.unknown],
        "gaps": [gap_values(gap) for gap in claim.gaps],
        "maintenance": [gap_values(window) for window in claim.maintenance],
    }


def outage_values(outage: Outage) -> dict[str, Any]:
    """An outage with its evidence; `side` is `upstash` or `own`, `null` where nothing is known."""
    side = "upstash" if outage.is_claimed else "own"
    return {
        "start": iso(outage.start),
        "end": iso(outage.end),
        "seconds": _seconds(outage.duration),
        "cause": outage.cause.value,
        "side": side if outage.is_down else None,
        "checks": sum(outage.outcomes.values()),
        "outcomes": {outcome.value: count for outcome, count in outage.outcomes.items()},
        "first": _evidence_values(outage.first),
        "last": _evidence_values(outage.last),
        "http_statuses": list(outage.http_statuses),
        "incident": outage.incident,
    }


def _evidence_values(check: Check) -> dict[str, Any]:
    return {key: check_values(check)[key] for key in ("at", "outcome", "http_status", "detail")}


def check_values(check: Check) -> dict[str, Any]:
    """One check, without the name of its database."""
    family = check.outcome.family
    return {
        "at": iso(check.at),
        "outcome": check.outcome.value,
        "family": family.value,
        "ok": is_up(family),
        "latency_ms": rounded(check.latency_ms),
        "phases_ms": phase_values(check.phases),
        "http_status": check.http_status,
        "detail": check.detail,
    }


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
        "up_seconds": _seconds(uptime.up),
        "down_seconds": _seconds(uptime.down),
        "unknown_seconds": _seconds(uptime.unknown),
        "maintenance_seconds": _seconds(uptime.maintenance),
    }


def incident_values(incident: Incident, *, now: datetime) -> dict[str, Any]:
    """`duration_seconds` is from the first failing check to the first fine one, until `now` while it is open."""
    end = incident.closed_at
    return {
        "id": incident.id,
        "state": "open" if end is None else "unwatched" if incident.is_unwatched else "closed",
        "opened_at": iso(incident.opened_at),
        "closed_at": None if end is None else iso(end),
        "duration_seconds": _seconds((end or now) - incident.opened_at),
        "cause": incident.cause.value,
        "causes": [cause.value for cause in incident.causes],
        "severity": incident.severity.value,
        "unstable": incident.is_unstable,
        "fails_for_seconds": None if incident.fails_for is None else _seconds(incident.fails_for),
        "fails_every_seconds": None if incident.fails_every is None else _seconds(incident.fails_every),
        "checks_failed": incident.checks_failed,
        "acknowledged_at": None if incident.acknowledged_at is None else iso(incident.acknowledged_at),
        "verdict": incident.verdict.code.value,
        **advice_values(word(incident.verdict)),
    }


def incident_record_values(record: IncidentRecord, *, now: datetime) -> dict[str, Any]:
    """One incident with its checks, its messages and its gaps; `checks_complete` unless checks were deleted."""
    return {
        "id": record.incident.id,
        "database": record.database,
        **incident_values(record.incident, now=now),
        "notified_at": iso(record.incident.notified_at),
        "layers": record.layers,
        "checks_complete": record.are_checks_complete,
        "checks": [
            {
                "start": iso(run.start),
                "end": iso(run.end),
                "checks": run.checks,
                "outcomes": {outcome.value: count for outcome, count in run.outcomes.items()},
                "detail": run.detail,
                "slowest_ms": rounded(run.slowest_ms),
            }
            for run in record.runs
        ],
        "deliveries": [
            {
                "channel": message.channel,
                "kind": message.kind,
                "created_at": iso(message.created_at),
                "attempts": message.attempts,
                "delivered_at": _iso_or_none(message.delivered_at),
                "given_up_at": _iso_or_none(message.given_up_at),
                "last_error": message.last_error,
                "held_for": message.hold.reason.value if message.hold else None,
                "held_until": iso(message.hold.until) if message.hold else None,
            }
            for message in record.messages
        ],
        "gaps": [gap_values(gap) for gap in record.gaps],
        "maintenance": [gap_values(window) for window in record.maintenance],
    }


def replay_document(replays: Sequence[Replay]) -> dict[str, Any]:
    """The document of `replay --json`, version 1: what would have been sent, and what was."""
    from monitor.report.replay import differences

    return {
        "version": VERSION,
        "databases": [
            {
                "database": one.database,
                "start": iso(one.start),
                "end": iso(one.end),
                "checks": one.checks,
                "messages": [
                    {
                        "at": iso(message.created_at),
                        "kind": message.kind.value,
                        "incident": message.incident,
                        "severity": message.severity.value,
                        "cause": None if message.cause is None else message.cause.value,
                    }
                    for message in one.messages
                ],
                "incidents": [incident_values(incident, now=one.end) for incident in one.incidents],
                "told": one.told_messages,
                "differences": differences(one),
            }
            for one in replays
        ],
    }


def advice_values(advice: Advice | None) -> dict[str, Any]:
    """A verdict in words; `null` where there is none."""
    return {
        "meaning": None if advice is None else advice.meaning,
        "whose_move": None if advice is None else advice.whose_move.value,
        "next_steps": [] if advice is None else list(advice.next_steps),
    }


def gap_values(gap: Gap | Window) -> dict[str, Any]:
    """A time in which nobody checked, or that of maintenance."""
    return {
        "start": iso(gap.start),
        "end": iso(gap.end),
        "seconds": _seconds(gap.end - gap.start),
    }


def phase_values(phases: Phases | None) -> dict[str, float | None] | None:
    """Milliseconds by the name of the phase; `null` for one that was not reached."""
    return None if phases is None else {name: rounded(value) for name, value in asdict(phases).items()}


def rounded(value: float | None) -> float | None:
    """Thousandths are the last that mean anything."""
    return None if value is None else round(value, 3)


def _iso_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)


def spread_values(spread: Spread | None) -> dict[str, float | None] | None:
    """Percentiles in milliseconds, and of how many checks."""
    return None if spread is None else {name: rounded(value) for name, value in asdict(spread).items()}


def report_csv(report: Report) -> str:
    """A row for each slice of each database; for a month one for each outage and for each time that is unknown.

    A slice has its checks by outcome at the end. In a claim `kind` is `down`, `unknown`, `gap` or
    `maintenance`. A cell is empty where nothing is known.
    """
    if report.period.month_end is None:
        slices = ([one.database, *_slice_cells(part)] for one in report.databases for part in one.history.slices)
        return table(SLICE_COLUMNS, slices)
    rows = (
        [one.database, *cells, report.region]
        for one in report.databases
        if one.claim is not None
        for cells in _claim_cells(one.claim)
    )
    return table(CLAIM_COLUMNS, rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Header and rows, each ended by CR LF; nothing in a text is taken for a formula."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def inert(text: str) -> str:
    """The text on one line without control characters; what would be a formula gets an apostrophe before it."""
    # Before the line is tidied: a tab or CR in front is a formula to some, and would be gone without a trace.
    is_formula = text.startswith(_FORMULA)
    line = one_line(text, _CELL_LIMIT)
    return f"'{line}" if is_formula or line.startswith(_FORMULA) else line


def _slice_cells(part: Slice) -> list[Cell]:
    values = slice_values(part)
    uptime, latency = values["uptime"], values["latency"] or {}
    return [
        values["start"],
        values["end"],
        part.checks,
        part.checks_failed,
        None if uptime["share"] is None else round(uptime["share"], 6),
        *(uptime[f"{state}_seconds"] for state in ("up", "down", "unknown", "maintenance")),
        *(latency.get(f"{figure}_ms") for figure in ("p50", "p90", "p95", "p99", "max")),
        *(part.outcomes.get(outcome, 0) for outcome in Outcome),
    ]


def _claim_cells(claim: Claim) -> Iterator[list[Cell]]:
    for outage in sorted((*claim.outages, *claim.unknown), key=lambda one: one.start):
        values = outage_values(outage)
        yield [
            "down" if outage.is_down else "unknown",
            *(values[key] for key in ("start", "end", "seconds", "cause", "side", "checks")),
            " ".join(f"{outcome}={count}" for outcome, count in values["outcomes"].items()),
            *(values[which][key] for which in ("first", "last") for key in ("at", "detail")),
            " ".join(map(str, outage.http_statuses)),
            outage.incident,
        ]
    for kind, times in (("gap", claim.gaps), ("maintenance", claim.maintenance)):
        for each in times:
            yield [kind, *gap_values(each).values(), *[None] * (len(CLAIM_COLUMNS) - 6)]
