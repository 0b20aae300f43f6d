"""What an SLA claim for a month needs: when a database was down, why, on whose side, and what is not known.

The stretches are made in `report_outages`; Upstash's terms are those of its documentation (page SLA,
`common/help/sla.mdx` in its repository upstash/docs, read in August 2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from monitor.checks.observation import Check, Outcome
from monitor.diagnosis.advice import WhoseMove, advise
from monitor.lib.times import iso
from monitor.report.csv_export import Cell, table
from monitor.report.outages import Span
from monitor.report.values import VERSION, gap_values, rounded, uptime_values
from monitor.store.rollups.model import Gap, History, Uptime

SLA_SOURCE = "https://upstash.com/docs/common/help/sla"
SLA_READ = "August 2026"
SLA_MAIL = "support@upstash.com"
SLA_TARGET = 0.9999
# Below this monthly share, so many per cent of the month's bill; the lowest share first.
_CREDITS = ((0.95, 60), (0.99, 30), (SLA_TARGET, 10))


class Side(Enum):
    """Where the cause of an outage lies."""

    UPSTASH = "upstash"
    OWN = "own"

    @property
    def words(self) -> str:
        return "Upstash's side or the way there" if self is Side.UPSTASH else "our own side"


def side_of(cause: Outcome) -> Side:
    """Our own side where the advice for it leaves nobody else a move: a token, a quota, our resolver."""
    return Side.OWN if advise(cause).whose_move is WhoseMove.YOURS else Side.UPSTASH


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One database in one month of UTC.

    `outages` are down, `blind` are checks that said nothing of the database (we were offline), `gaps` are times
    without a check: all the oldest first and cut to the month. While the month runs, `end` is before `month_end`.
    """

    database: str
    start: datetime
    end: datetime
    month_end: datetime
    uptime: Uptime
    checks: int
    outages: tuple[Span, ...]
    blind: tuple[Span, ...]
    gaps: tuple[Gap, ...]

    def down(self, side: Side) -> timedelta:
        """The listed time down for causes on that side, never more than was counted as down.

        Incidents, which stand in for checks that are gone, may hold single fine checks.
        """
        return min(_sum(one.duration for one in self.outages if side_of(one.cause) is side), self.uptime.down)

    @property
    def down_unlisted(self) -> timedelta:
        """Down by the rollups, but the single checks that would show when are not kept any more."""
        return max(timedelta(0), self.uptime.down - _sum(one.duration for one in self.outages))

    @property
    def unknown_unlisted(self) -> timedelta:
        """Unknown, and neither a gap nor a check: before the first one, and after the last until the next."""
        listed = _sum(one.duration for one in self.blind) + _sum(gap.end - gap.start for gap in self.gaps)
        return max(timedelta(0), self.uptime.unknown - listed)

    @property
    def share(self) -> float | None:
        """The known time without what was down on Upstash's side, from 0 to 1; `None` when nothing is known."""
        return 1 - self.down(Side.UPSTASH) / self.uptime.known if self.uptime.known else None

    @property
    def share_at_best(self) -> float:
        """The same of the whole month, had all the time that is unknown or still to come been up."""
        return 1 - self.down(Side.UPSTASH) / (self.month_end - self.start)

    @property
    def credit_percent(self) -> int:
        """What Upstash's table gives for `share_at_best`: nothing is claimed for time that nobody saw."""
        return next((percent for below, percent in _CREDITS if self.share_at_best < below), 0)


def claim(history: History, found: Sequence[Span], *, month_end: datetime) -> Claim:
    """The claim of a month's history and the stretches that were found in it."""
    ordered = sorted(found, key=lambda one: one.start)
    return Claim(
        database=history.database,
        start=history.whole.start,
        end=history.whole.end,
        month_end=month_end,
        uptime=history.whole.uptime,
        checks=history.whole.checks,
        outages=tuple(one for one in ordered if one.is_down),
        blind=tuple(one for one in ordered if not one.is_down),
        gaps=history.gaps,
    )


def _sum(times: Iterable[timedelta]) -> timedelta:
    return sum(times, timedelta(0))


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
        "checks": claim.checks,
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


def _stretch_values(one: Span) -> dict[str, Any]:
    return {
        "start": iso(one.start),
        "end": iso(one.end),
        "seconds": rounded(one.duration.total_seconds()),
        "cause": one.cause.value,
        "side": _side(one),
        "checks": sum(one.outcomes.values()),
        "outcomes": {outcome.value: count for outcome, count in one.outcomes.items()},
        "first": _check_values(one.first),
        "last": _check_values(one.last),
        "http_statuses": list(one.http_statuses),
        "incident": one.incident,
    }


def _check_values(check: Check) -> dict[str, Any]:
    return {
        "at": iso(check.at),
        "outcome": check.outcome.value,
        "http_status": check.http_status,
        "detail": check.detail,
    }


def _rows(claim: Claim) -> Iterator[list[Cell]]:
    listed: list[Span] = sorted((*claim.outages, *claim.blind), key=lambda one: one.start)
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


def _side(one: Span) -> str | None:
    return side_of(one.cause).value if one.is_down else None
