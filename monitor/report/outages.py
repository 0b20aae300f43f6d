"""From single checks to the stretches of time in which a database could not be used, or nobody knows.

A check's state holds until the next check or the next gap, as in the uptime of `history`. What a claim makes of
the
stretches is told in `report_claim`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Family, Outcome, is_up
from monitor.incidents.state import Incident
from monitor.store.rollups.model import Gap, Slice


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A time without a fine check in it: down, or, where the checks say nothing of the database, unknown.

    `outcomes` counts its checks; `first` and `last` are the evidence, `first` also when it came before `start` is
    cut to the span. `http_statuses` are those that were answered, ascending. `incident` is the number of the
    incident that covers it.
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
        """The most frequent outcome; of equals the one with which it began, or else the first by name."""
        most = max(self.outcomes.values())
        candidates = sorted(
            (one for one, count in self.outcomes.items() if count == most), key=lambda one: one.value
        )
        return self.first.outcome if self.first.outcome in candidates else candidates[0]

    @property
    def is_down(self) -> bool:
        return self.first.outcome.family.is_failing


def troubled_runs(hours: Sequence[Slice]) -> Iterator[tuple[Slice, ...]]:
    """Neighbouring slices that were down in part, or whose checks said nothing of the database."""
    for is_troubled, run in groupby(hours, key=_is_troubled):
        if is_troubled:
            yield tuple(run)


def spans(
    checks: Iterable[Check], gaps: Sequence[Gap], run: Sequence[Slice], *, carried: Check | None = None
) -> list[Span]:
    """The stretches inside a run, the oldest first; `looks` come in that order and are read once.

    `carried` is the check whose state the run begins with. A stretch that nothing ends lasts as long as the run's
    uptime says that the database was down.
    """
    walk = _Walk(start=run[0].start)
    if carried is not None:
        walk.check(carried)
    blind = deque(sorted(gap.start for gap in gaps))
    for check in checks:
        while blind and blind[0] < check.at:
            walk.end(blind.popleft())
        walk.check(check)
    for moment in blind:
        if moment < run[-1].end:
            walk.end(moment)
    walk.end_as_counted(sum((part.uptime.down for part in run), timedelta(0)), run[-1].end)
    return walk.found


def from_incidents(checks: Sequence[Check], incidents: Iterable[Incident], run: Sequence[Slice]) -> list[Span]:
    """The same from incidents, for a time whose fine checks are not kept any more; `looks` are the failing
    ones.
    """
    found: list[Span] = []
    for incident in sorted(incidents, key=lambda incident: incident.opened_at):
        start = max(incident.opened_at, run[0].start)
        end = min(incident.closed_at or run[-1].end, run[-1].end)
        seen = [check for check in checks if start <= check.at < end and check.outcome.family.is_failing]
        if incident.severity is Severity.CRITICAL and seen and start < end:
            found.append(_span(start, end, seen))
    return found


def numbered(found: Iterable[Span], incidents: Sequence[Incident]) -> list[Span]:
    """The stretches with the number of the incident that each lies in, where there is one."""
    return [replace(one, incident=_incident_of(one, incidents)) for one in found]


def _is_troubled(part: Slice) -> bool:
    return bool(part.uptime.down) or any(outcome.family is Family.UNKNOWN for outcome in part.outcomes)


def _incident_of(span: Span, incidents: Iterable[Incident]) -> int | None:
    """The critical one that covers it; a slow one may lie around it and is about something else."""
    for incident in incidents:
        ends_after = incident.closed_at is None or incident.closed_at > span.start
        is_about_it = span.is_down and incident.severity is Severity.CRITICAL
        if is_about_it and incident.opened_at < span.end and ends_after:
            return incident.id
    return None


def _span(start: datetime, end: datetime, checks: Sequence[Check]) -> Span:
    return Span(
        start=start,
        end=end,
        outcomes=Counter(check.outcome for check in checks),
        first=checks[0],
        last=checks[-1],
        http_statuses=tuple(sorted({check.http_status for check in checks if check.http_status is not None})),
    )


@dataclass(kw_only=True, slots=True)
class _Walk:
    """Goes along the checks and keeps of a stretch only its counts, first and last: it may be a month long."""

    start: datetime
    found: list[Span] = field(default_factory=list)
    _open: Span | None = None

    def check(self, check: Check) -> None:
        state, at = is_up(check.outcome.family), max(check.at, self.start)
        if self._open is not None and is_up(self._open.last.outcome.family) is not state:
            self.end(at)
        if state is True:
            return
        one = _span(at, at, [check])
        self._open = one if self._open is None else _joined(self._open, one)

    def end(self, at: datetime) -> None:
        """Nothing holds longer than until then."""
        if self._open is not None and at > self._open.start:
            self.found.append(replace(self._open, end=at))
        self._open = None

    def end_as_counted(self, down: timedelta, run_end: datetime) -> None:
        """The last one has what the others leave of the time that was counted as down."""
        if self._open is not None and self._open.is_down:
            left = down - sum((one.duration for one in self.found if one.is_down), timedelta(0))
            run_end = min(run_end, self._open.start + max(left, timedelta(0)))
        self.end(run_end)


def _joined(one: Span, other: Span) -> Span:
    return replace(
        one,
        outcomes=Counter(one.outcomes) + Counter(other.outcomes),
        last=other.last,
        http_statuses=tuple(sorted({*one.http_statuses, *other.http_statuses})),
    )
