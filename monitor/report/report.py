"""What a report holds: databases over a period and, for a month, what an SLA claim needs; and how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from monitor.checks.observation import Check
from monitor.report.claim import (
    Claim,
    Outage,
    outages_from_checks,
    outages_from_incidents,
    troubled_runs,
    with_incident,
)
from monitor.store.rollups.model import Grain, History, Slice

if TYPE_CHECKING:
    from monitor.report.overview import Archive

_PAGE = 1000
# A month begins with the state of the check before it, which is at most so old: no sensible interval is longer.
_LONGEST_INTERVAL = timedelta(days=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """From `start` until before `end`, in UTC, cut into slices of `grain`.

    `month_end` is set for a claim: the end of the month that begins with `start`, which may still run.
    """

    start: datetime
    end: datetime
    grain: Grain
    month_end: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseReport:
    """One database; `claim` is there for a month."""

    history: History
    claim: Claim | None = None

    @property
    def database(self) -> str:
        return self.history.database


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What terminal, JSON, CSV and HTML render. `region` is where the checks came from, for a claim."""

    period: Period
    made_at: datetime
    databases: tuple[DatabaseReport, ...]
    region: str | None = None

    @property
    def checks(self) -> int:
        return sum(one.history.whole.checks for one in self.databases)


def read_report(
    archive: Archive, names: Sequence[str], period: Period, *, now: datetime, region: str | None = None
) -> Report:
    """The report of these databases. Raises what the archive raises."""
    databases = []
    for name in names:
        history = archive.history(name, start=period.start, end=period.end, grain=period.grain, compare=True)
        claim = None if period.month_end is None else read_claim(archive, name, period, month_end=period.month_end)
        databases.append(DatabaseReport(history=history, claim=claim))
    return Report(period=period, made_at=now, databases=tuple(databases), region=region)


def read_claim(archive: Archive, database: str, period: Period, *, month_end: datetime) -> Claim:
    """The claim of one database. Of a month's checks only those in the hours of trouble are read."""
    history = archive.history(database, start=period.start, end=period.end, grain=Grain.HOUR)
    found = [
        with_incident(outage, history.incidents)
        for run in troubled_runs(history.slices)
        for outage in _outages(archive, history, run)
    ]
    found.sort(key=lambda outage: outage.start)
    return Claim(
        month=history.whole,
        month_end=month_end,
        outages=tuple(outage for outage in found if outage.is_down),
        unknown=tuple(outage for outage in found if not outage.is_down),
        gaps=history.gaps,
        maintenance=history.maintenance,
    )


def _outages(archive: Archive, history: History, run: Sequence[Slice]) -> list[Outage]:
    number = 0

    def counted() -> Iterator[Check]:
        nonlocal number
        for check in _checks(archive, history.database, run):
            number += 1
            yield check

    found = outages_from_checks(
        counted(),
        history.gaps,
        run,
        previous=_previous(archive, history, run),
        maintenance=history.maintenance,
    )
    if number >= sum(part.checks for part in run):
        return found
    # Fine checks are deleted long before failing ones, and without them nothing shows when a failure was over.
    return outages_from_incidents([*_checks(archive, history.database, run)], history.incidents, run)


def _previous(archive: Archive, history: History, run: Sequence[Slice]) -> Check | None:
    """The check before the period, when the run begins with it."""
    start = run[0].start
    if start > history.whole.start:
        return None
    before = archive.checks(history.database, start=start - _LONGEST_INTERVAL, end=start, limit=1)
    return before[0] if before else None


def _checks(archive: Archive, database: str, run: Sequence[Slice]) -> Iterator[Check]:
    """The checks of the run, the oldest first; an hour of them fits into memory, a month may not."""
    for part in run:
        found: list[Check] = []
        page: Sequence[Check] | None = None
        while page is None or len(page) == _PAGE:
            before = page[-1].at if page else None
            page = archive.checks(database, start=part.start, end=part.end, before=before, limit=_PAGE)
            found += page
        yield from reversed(found)
