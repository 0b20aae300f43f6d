"""What `report` reads: the history by name, and the single looks of the hours in which something was wrong.

How the file is read is `flow/overview`'s business; what the looks mean is decided in `core/report_outages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from monitor.checks.observation import Look
from monitor.report.claim import Claim, claim
from monitor.report.outages import Stretch, from_incidents, numbered, stretches, troubled_runs
from monitor.store.rollups.model import Grain, History, Slice

_PAGE = 1000
# A look's state is carried into a month from no further back; no sensible interval is longer.
_CARRIED = timedelta(days=2)


class Reader(Protocol):
    """The history, read back; times are aware UTC, spans hold their start and not their end."""

    def names(self) -> tuple[str, ...]:
        """Every database there is something to tell of."""

    def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        """One database over one span."""

    def looks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None = None, limit: int
    ) -> tuple[Look, ...]:
        """The newest looks of a span first, only those before `before` where it is given."""


def read_claim(reader: Reader, database: str, *, start: datetime, end: datetime, month_end: datetime) -> Claim:
    """The claim of one database. Raises what the reader raises.

    Of a month's looks only those in the hours in which something was wrong are read.
    """
    history = reader.history(database, start=start, end=end, grain=Grain.HOUR)
    found: list[Stretch] = []
    for run in troubled_runs(history.slices):
        found += _stretches(reader, history, run)
    return claim(history, numbered(found, history.incidents), month_end=month_end)


def _stretches(reader: Reader, history: History, run: Sequence[Slice]) -> list[Stretch]:
    carried = _carried(reader, history, run)
    kept = _Counted(look for part in run for look in _looks(reader, history.database, part))
    found = stretches(kept, history.gaps, run, carried=carried)
    if kept.count >= sum(part.looks for part in run):
        return found
    # Fine looks are pruned long before failing ones, and without them nothing says when a failure was over.
    failing = [look for part in run for look in _looks(reader, history.database, part)]
    return from_incidents(failing, history.incidents, run)


def _carried(reader: Reader, history: History, run: Sequence[Slice]) -> Look | None:
    """The look before the span, when the run begins with it."""
    start = run[0].start
    if start > history.whole.start:
        return None
    before = reader.looks(history.database, start=start - _CARRIED, end=start, limit=1)
    return before[0] if before else None


def _looks(reader: Reader, database: str, part: Slice) -> Iterator[Look]:
    """The looks of one hour, the oldest first; an hour of them fits into memory, a month may not."""
    found: list[Look] = []
    before: datetime | None = None
    while True:
        page = reader.looks(database, start=part.start, end=part.end, before=before, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return reversed(found)
        before = page[-1].at


class _Counted:
    """Looks that are read once, and how many there were."""

    def __init__(self, looks: Iterable[Look]) -> None:
        self._looks = looks
        self.count = 0

    def __iter__(self) -> Iterator[Look]:
        for look in self._looks:
            self.count += 1
            yield look


def month_span(year: int, month: int) -> tuple[datetime, datetime]:
    """From the first instant of a month in UTC until the first of the next."""
    return datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
