"""A claim as the JSON document of `report --month --json` and as rows for `--csv`.

What stands in them is decided in `report_claim`; durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from monitor.core.history_values import gap_values, rounded, uptime_values
from monitor.core.observation import Look
from monitor.core.plugin import iso
from monitor.core.report_claim import SLA_MAIL, SLA_SOURCE, SLA_TARGET, Claim, Side, side_of
from monitor.core.report_csv import Cell, table
from monitor.core.report_document import VERSION
from monitor.core.report_outages import Stretch

CLAIM_COLUMNS = (
    "database",
    "kind",
    "start",
    "end",
    "seconds",
    "cause",
    "side",
    "looks",
    "outcomes",
    "first_at",
    "first_detail",
    "last_at",
    "last_detail",
    "http_statuses",
    "incident",
    "vantage_point",
)


def claims_document(
    claims: Iterable[Claim], *, month: str, vantage_point: str | None, now: datetime
) -> dict[str, Any]:
    """The document, version 1."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        "month": month,
        "vantage_point": vantage_point,
        "sla": {"source": SLA_SOURCE, "target_share": SLA_TARGET, "claims_to": SLA_MAIL},
        "databases": [_claim_values(claim) for claim in claims],
    }


def claims_csv(claims: Iterable[Claim], *, vantage_point: str | None) -> str:
    """A row for each outage and for each time that is unknown; `kind` is `down`, `blind` or `gap`."""
    rows = ([*row, vantage_point] for claim in claims for row in _rows(claim))
    return table(CLAIM_COLUMNS, rows)


def _claim_values(claim: Claim) -> dict[str, Any]:
    return {
        "database": claim.database,
        "start": iso(claim.start),
        "end": iso(claim.end),
        "month_end": iso(claim.month_end),
        "looks": claim.looks,
        "uptime": uptime_values(claim.uptime),
        "claim": {
            "share": claim.share,
            "share_at_best": claim.share_at_best,
            "down_upstash_seconds": rounded(claim.down(Side.UPSTASH).total_seconds()),
            "down_own_seconds": rounded(claim.down(Side.OWN).total_seconds()),
            "down_unlisted_seconds": rounded(claim.down_unlisted.total_seconds()),
            "unknown_unlisted_seconds": rounded(claim.unknown_unlisted.total_seconds()),
            "credit_percent": claim.credit_percent,
        },
        "outages": [_stretch_values(one) for one in claim.outages],
        "blind": [_stretch_values(one) for one in claim.blind],
        "gaps": [gap_values(gap) for gap in claim.gaps],
    }


def _stretch_values(one: Stretch) -> dict[str, Any]:
    return {
        "start": iso(one.start),
        "end": iso(one.end),
        "seconds": rounded(one.duration.total_seconds()),
        "cause": one.cause.value,
        "side": _side(one),
        "looks": sum(one.outcomes.values()),
        "outcomes": {outcome.value: count for outcome, count in one.outcomes.items()},
        "first": _look_values(one.first),
        "last": _look_values(one.last),
        "http_statuses": list(one.http_statuses),
        "incident": one.incident,
    }


def _look_values(look: Look) -> dict[str, Any]:
    return {
        "at": iso(look.at),
        "outcome": look.outcome.value,
        "http_status": look.http_status,
        "detail": look.detail,
    }


def _rows(claim: Claim) -> Iterator[list[Cell]]:
    listed: list[Stretch] = sorted((*claim.outages, *claim.blind), key=lambda one: one.start)
    for one in listed:
        yield [
            claim.database,
            "down" if one.is_down else "blind",
            iso(one.start),
            iso(one.end),
            round(one.duration.total_seconds(), 3),
            one.cause.value,
            _side(one),
            sum(one.outcomes.values()),
            " ".join(f"{outcome.value}={count}" for outcome, count in one.outcomes.items()),
            iso(one.first.at),
            one.first.detail,
            iso(one.last.at),
            one.last.detail,
            " ".join(map(str, one.http_statuses)),
            one.incident,
        ]
    for gap in claim.gaps:
        seconds = round((gap.end - gap.start).total_seconds(), 3)
        yield [claim.database, "gap", iso(gap.start), iso(gap.end), seconds, *[None] * 10]


def _side(one: Stretch) -> str | None:
    return side_of(one.cause).value if one.is_down else None
