"""What `report` reads: the history by name, and the single checks of the hours in which something was wrong.

How the file is read is `flow/overview`'s business; what the checks mean is decided in `core/report_outages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from monitor.checks.observation import Check
from monitor.report.claim import Claim, claim
from monitor.report.outages import Span, from_incidents, numbered, spans, troubled_runs
from monitor.store.rollups.model import Grain, History, Slice

_PAGE = 1000
# A check's state is carried into a month from no further back; no sensible interval is longer.
_CARRIED = timedelta(days=2)


class Reader(Protocol):
    """The history, read back; times are aware UTC, spans hold their start and not their end."""

    def names(self) -> tuple[str, ...]:
        """Every database there is something to tell of."""

    def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        """One database over one span."""

    def checks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None = None, limit: int
    ) -> tuple[Check, ...]:
        """The newest checks of a span first, only those before `before` where it is given."""


def read_claim(reader: Reader, database: str, *, start: datetime, end: datetime, month_end: datetime) -> Claim:
    """The claim of one database. Raises what the reader raises.

    Of a month's looks only those in the hours in which something was wrong are read.
    """
    history = reader.history(database, start=start, end=end, grain=Grain.HOUR)
    found: list[Span] = []
    for run in troubled_runs(history.slices):
        found += _stretches(reader, history, run)
    return claim(history, numbered(found, history.incidents), month_end=month_end)


def _stretches(reader: Reader, history: History, run: Sequence[Slice]) -> list[Span]:
    carried = _replayed(reader, history, run)
    kept = _Counted(check for part in run for check in _checks(reader, history.database, part))
    found = spans(kept, history.gaps, run, carried=carried)
    if kept.count >= sum(part.checks for part in run):
        return found
    # Fine checks are pruned long before failing ones, and without them nothing says when a failure was over.
    failing = [check for part in run for check in _checks(reader, history.database, part)]
    return from_incidents(failing, history.incidents, run)


def _replayed(reader: Reader, history: History, run: Sequence[Slice]) -> Check | None:
    """The check before the span, when the run begins with it."""
    start = run[0].start
    if start > history.whole.start:
        return None
    before = reader.checks(history.database, start=start - _CARRIED, end=start, limit=1)
    return before[0] if before else None


def _checks(reader: Reader, database: str, part: Slice) -> Iterator[Check]:
    """The checks of one hour, the oldest first; an hour of them fits into memory, a month may not."""
    found: list[Check] = []
    before: datetime | None = None
    while True:
        page = reader.checks(database, start=part.start, end=part.end, before=before, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return reversed(found)
        before = page[-1].at


class _Counted:
    """Checks that are read once, and how many there were."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._checks = checks
        self.count = 0

    def __iter__(self) -> Iterator[Check]:
        for check in self._checks:
            self.count += 1
            yield check


def month_span(year: int, month: int) -> tuple[datetime, datetime]:
    """From the first instant of a month in UTC until the first of the next."""
    return datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
