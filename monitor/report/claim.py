"""Outages of a database, and what they come to in an SLA claim for a month.

An outage lasts from a failing check to the next fine one or the next gap, as in the uptime of the rollups.
Upstash's terms are those of its documentation (page SLA, `common/help/sla.mdx` in its repository upstash/docs,
read in August 2026).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from heapq import merge
from itertools import chain, groupby

from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Family, Outcome, is_up
from monitor.config.windows import Window
from monitor.diagnosis.advice import WhoseMove, advise
from monitor.diagnosis.verdicts import DatabaseProfile
from monitor.incidents.state import Incident
from monitor.store.rollups.model import Gap, Slice

SLA_SOURCE = "https://upstash.com/docs/common/help/sla"
SLA_READ = "August 2026"
SLA_MAIL = "support@upstash.com"
SLA_TARGET = 0.9999
# Below this monthly share, so many per cent of the month's bill; the lowest share first.
# An SLA is claimed of Upstash.
_ANY_DATABASE = DatabaseProfile(database="")
_CREDITS = ((0.95, 60), (0.99, 30), (SLA_TARGET, 10))
_ZERO = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """A time without a fine check: down, or unknown where its checks say nothing of the database.

    `outcomes` counts its checks. `first` and `last` are the evidence; `first` may lie before `start`, where the
    outage began before the month. `http_statuses` are those that were answered, ascending. `incident` is the
    number of the incident that covers it.
    """

    start: datetime
    end: datetime
    outcomes: Mapping[Outcome, int]
    first: Check
    last: Check
    http_statuses: tuple[int, ...] = ()
    incident: int | None = None

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    @property
    def cause(self) -> Outcome:
        """The most frequent outcome; among equals the one it began with, or else the first by name."""
        most = max(self.outcomes.values())
        candidates = sorted(
            (one for one, count in self.outcomes.items() if count == most), key=lambda one: one.value
        )
        return self.first.outcome if self.first.outcome in candidates else candidates[0]

    @property
    def is_down(self) -> bool:
        return self.first.outcome.family.is_failing

    @property
    def is_claimed(self) -> bool:
        """False where only we can put the cause right: a token, a quota, our resolver."""
        return self.is_down and advise(self.cause, _ANY_DATABASE).whose_move is not WhoseMove.YOURS


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One database in one month of UTC.

    `month` is the month as far as it is over, which ends before `month_end` while it runs. `outages` are down,
    `unknown` are outages whose checks say nothing of the database (we were offline), `gaps` are times without a
    check, `maintenance` is what is not claimed: all the oldest first and cut to the month.
    """

    month: Slice
    month_end: datetime
    outages: tuple[Outage, ...]
    unknown: tuple[Outage, ...]
    gaps: tuple[Gap, ...]
    maintenance: tuple[Window, ...] = ()

    def down(self, *, claimed: bool) -> timedelta:
        """The listed time down that is claimed, or is not, never more than the rollups count as down.

        Incidents, which stand in for checks that were deleted, may contain single fine checks.
        """
        listed = _sum(outage.duration for outage in self.outages if outage.is_claimed is claimed)
        return min(listed, self.month.uptime.down)

    @property
    def down_unlisted(self) -> timedelta:
        """Down by the rollups, but the single checks that would show when were deleted."""
        return max(_ZERO, self.month.uptime.down - _sum(outage.duration for outage in self.outages))

    @property
    def unknown_unlisted(self) -> timedelta:
        """Unknown, and neither a gap nor a check: before the first one, and after the last until the next."""
        listed = _sum(outage.duration for outage in self.unknown) + _sum(gap.end - gap.start for gap in self.gaps)
        return max(_ZERO, self.month.uptime.unknown - listed)

    @property
    def share(self) -> float | None:
        """The known time without the claimed time down, from 0 to 1; `None` when nothing is known."""
        known = self.month.uptime.known
        return 1 - self.down(claimed=True) / known if known else None

    @property
    def share_at_best(self) -> float:
        """The same of the whole month, had all the time that is unknown or still to come been up."""
        return 1 - self.down(claimed=True) / (self.month_end - self.month.start)

    @property
    def credit_percent(self) -> int:
        """What Upstash's table gives for `share_at_best`: nothing is claimed for time that nobody saw."""
        return next((percent for below, percent in _CREDITS if self.share_at_best < below), 0)


def troubled_runs(hours: Sequence[Slice]) -> Iterator[tuple[Slice, ...]]:
    """Neighbouring slices that were down in part, or whose checks say nothing of the database."""
    for is_troubled, run in groupby(hours, key=_is_troubled):
        if is_troubled:
            yield tuple(run)


def outages_from_checks(
    checks: Iterable[Check],
    gaps: Iterable[Gap],
    run: Sequence[Slice],
    *,
    previous: Check | None = None,
    maintenance: Sequence[Window] = (),
) -> list[Outage]:
    """The outages inside a run of slices, the oldest first; `checks` come in that order and are read once.

    An outage ends where `maintenance` begins, and goes on after it as the last check in it found.
    `previous` is the check whose state the run begins with. An outage that nothing ends lasts as long as the run's
    uptime counts as down.
    """
    run_start, run_end = run[0].start, run[-1].end
    first = () if previous is None else (previous,)
    edges = ((moment, kind, None) for moment, kind in _edges(gaps, maintenance) if moment < run_end)
    events = merge(
        ((check.at, _Event.CHECK, check) for check in chain(first, checks)), edges, key=lambda event: event[:2]
    )
    found: list[Outage] = []
    current: Outage | None = None
    latest: Check | None = None
    is_maintained = False
    for moment, kind, seen in events:
        at = max(moment, run_start)
        if kind in (_Event.CHECK, _Event.GAP_BEGINS):
            latest = seen
        else:
            is_maintained = kind is _Event.MAINTENANCE_BEGINS
        check = None if is_maintained else latest
        state = None if check is None else is_up(check.outcome.family)
        if current is not None and (check is None or is_up(current.last.outcome.family) is not state):
            found += _ended(current, at)
            current = None
        if check is not None and state is not True:
            current = _outage(at, at, [check]) if current is None else _extended(current, check)
    if current is not None and current.is_down:
        counted = _sum(part.uptime.down for part in run)
        listed = _sum(outage.duration for outage in found if outage.is_down)
        run_end = min(run_end, current.start + max(counted - listed, _ZERO))
    return found if current is None else found + _ended(current, run_end)


class _Event(IntEnum):
    """In the order in which those of one moment come: a gap begins at the check after which nobody checked."""

    MAINTENANCE_ENDS = 0
    MAINTENANCE_BEGINS = 1
    CHECK = 2
    GAP_BEGINS = 3


def _edges(gaps: Iterable[Gap], maintenance: Iterable[Window]) -> list[tuple[datetime, _Event]]:
    found = [(gap.start, _Event.GAP_BEGINS) for gap in gaps]
    for window in maintenance:
        found += [(window.start, _Event.MAINTENANCE_BEGINS), (window.end, _Event.MAINTENANCE_ENDS)]
    return sorted(found)


def outages_from_incidents(
    failing: Sequence[Check], incidents: Iterable[Incident], run: Sequence[Slice]
) -> list[Outage]:
    """The same from incidents, for a time whose fine checks were deleted and whose failing ones are left."""
    found: list[Outage] = []
    for incident in sorted(incidents, key=lambda incident: incident.opened_at):
        start = max(incident.opened_at, run[0].start)
        end = min(incident.closed_at or run[-1].end, run[-1].end)
        checks = [check for check in failing if start <= check.at < end and check.outcome.family.is_failing]
        if incident.severity is Severity.CRITICAL and checks and start < end:
            found.append(_outage(start, end, checks))
    return found


def with_incident(outage: Outage, incidents: Iterable[Incident]) -> Outage:
    """The outage with the number of the critical incident that covers it; a slow one around it is not about it."""
    for incident in incidents:
        ends_after = incident.closed_at is None or incident.closed_at > outage.start
        is_about_it = outage.is_down and incident.severity is Severity.CRITICAL
        if is_about_it and incident.opened_at < outage.end and ends_after:
            return replace(outage, incident=incident.id)
    return outage


def _is_troubled(part: Slice) -> bool:
    return bool(part.uptime.down) or any(outcome.family is Family.UNKNOWN for outcome in part.outcomes)


def _outage(start: datetime, end: datetime, checks: Sequence[Check]) -> Outage:
    return Outage(
        start=start,
        end=end,
        outcomes=Counter(check.outcome for check in checks),
        first=checks[0],
        last=checks[-1],
        http_statuses=tuple(sorted({check.http_status for check in checks if check.http_status is not None})),
    )


def _extended(outage: Outage, check: Check) -> Outage:
    """Only counts, first and last are kept: an outage may be a month long."""
    one = _outage(outage.start, outage.end, [check])
    return replace(
        outage,
        outcomes=Counter(outage.outcomes) + Counter(one.outcomes),
        last=check,
        http_statuses=tuple(sorted({*outage.http_statuses, *one.http_statuses})),
    )


def _ended(outage: Outage, at: datetime) -> list[Outage]:
    return [replace(outage, end=at)] if at > outage.start else []


def _sum(times: Iterable[timedelta]) -> timedelta:
    return sum(times, _ZERO)
