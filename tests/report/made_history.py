"""A history made from a list of checks and held in memory, with figures counted in the plainest way.

It stands in where a test needs checks at times of its own choosing; the real file has its tests beside it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Family, Outcome, Phases
from monitor.incidents.state import Incident
from monitor.report.overview import Archive
from monitor.store.rollups.model import Gap, Grain, History, Slice, Spread, Uptime
from tests.judging import explain

START = datetime(2026, 10, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)


def check(at: datetime, outcome: Outcome = Outcome.OK, *, wait: float = 12.0, detail: str = "") -> Check:
    """A check of `main`; one that ended well took `wait` milliseconds."""
    fine = outcome in (Outcome.OK, Outcome.SLOW)
    phases = Phases(dns=1.2, connect=8.0, tls=9.9, wait=wait, read=0.2, total=wait + 19.3) if fine else Phases()
    status = {Outcome.OK: 200, Outcome.SERVER_ERROR: 503, Outcome.TOKEN_REJECTED: 401}.get(outcome)
    text = detail or ("" if fine else f"seen: {outcome.words}")
    return Check(database="main", at=at, outcome=outcome, detail=text, http_status=status, phases=phases)


def every_minute(
    start: datetime, end: datetime, outcome: Outcome = Outcome.OK, *, wait: float = 12.0
) -> list[Check]:
    """Checks from `start` until before `end`."""
    return [check(start + number * MINUTE, outcome, wait=wait) for number in range(int((end - start) / MINUTE))]


def incident(
    number: int, opened: datetime, closed: datetime | None, *causes: Outcome, failed: int = 3
) -> Incident:
    """A critical incident."""
    return Incident(
        id=number,
        opened_at=opened,
        notified_at=opened + 2 * MINUTE,
        cause=causes[-1],
        causes=causes,
        severity=Severity.CRITICAL,
        checks_failed=failed,
        verdict=explain(causes[-1]),
        closed_at=closed,
    )


Span = tuple[datetime, datetime, bool | None]


@dataclass(kw_only=True)
class Recorded:
    """What is known of one database; checks and gaps the oldest first, `pruned` checks are counted, not kept."""

    checks: Sequence[Check]
    gaps: Sequence[Gap] = ()
    incidents: Sequence[Incident] = ()
    pruned: Sequence[Check] = ()
    phases_before: Phases | None = None

    @cached_property
    def counted(self) -> list[Check]:
        return sorted((*self.checks, *self.pruned), key=lambda one: one.at)

    @cached_property
    def changes(self) -> list[tuple[datetime, bool | None]]:
        """From when on it is up, down or unknown."""
        changes: list[tuple[datetime, int, bool | None]] = [(gap.start, 1, None) for gap in self.gaps]
        changes += [(one.at, 0, _is_up(one)) for one in self.counted]
        return [(at, state) for at, _, state in sorted(changes, key=lambda change: change[:2])]

    def between(self, checks: Sequence[Check], start: datetime, end: datetime) -> Sequence[Check]:
        return checks[_index(checks, start) : _index(checks, end)]


@dataclass(kw_only=True)
class MadeArchive(Archive):
    """An archive of what is recorded; `asked` notes the span of each question for single checks."""

    recorded: dict[str, Recorded]
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def names(self) -> tuple[str, ...]:
        return tuple(self.recorded)

    def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        found = self.recorded[database]
        length = end - start
        return History(
            database=database,
            grain=grain,
            whole=_slice(found, start, end),
            slices=tuple(_slice(found, *edges) for edges in _edges(start, end, grain)),
            incidents=tuple(
                one for one in reversed(found.incidents) if one.opened_at < end and (one.closed_at or end) > start
            ),
            gaps=tuple(
                Gap(start=max(gap.start, start), end=min(gap.end, end))
                for gap in found.gaps
                if gap.start < end and gap.end > start
            ),
            phases=Phases(dns=1.2, connect=8.0, tls=9.9, wait=12.0, read=0.2, total=31.3),
            before=_slice(found, start - length, start) if compare else None,
            phases_before=found.phases_before,
        )

    def checks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None = None, limit: int
    ) -> tuple[Check, ...]:
        self.asked.append((start, end))
        found = self.recorded[database]
        kept = found.between(found.checks, start, end if before is None else min(before, end))
        return tuple(reversed(kept[-limit:]))


def states(found: Recorded, start: datetime, end: datetime) -> Iterator[Span]:
    """The span, cut into times that are up, down or unknown."""
    first = bisect_right(found.changes, start, key=lambda change: change[0])
    state = found.changes[first - 1][1] if first else None
    at = start
    for moment, then in found.changes[first:]:
        if moment >= end:
            break
        if moment > at:
            yield at, moment, state
        at, state = moment, then
    yield at, end, state


def _index(checks: Sequence[Check], moment: datetime) -> int:
    return bisect_left(checks, moment, key=lambda one: one.at)


def _is_up(one: Check) -> bool | None:
    return None if one.outcome.family is Family.UNKNOWN else not one.outcome.family.is_failing


def _slice(found: Recorded, start: datetime, end: datetime) -> Slice:
    shares = {True: timedelta(0), False: timedelta(0), None: timedelta(0)}
    for begin, until, state in states(found, start, end):
        shares[state] += until - begin
    checks = found.between(found.counted, start, end)
    return Slice(
        start=start,
        end=end,
        outcomes=Counter(one.outcome for one in checks),
        uptime=Uptime(up=shares[True], down=shares[False], unknown=shares[None]),
        latency=_spread(one.latency_ms for one in checks if one.latency_ms is not None),
    )


def _spread(latencies: Iterable[float]) -> Spread | None:
    ordered = sorted(latencies)
    if not ordered:
        return None
    p50, p90, p95, p99 = (ordered[int((len(ordered) - 1) * share)] for share in (0.5, 0.9, 0.95, 0.99))
    return Spread(checks=len(ordered), p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, max_ms=ordered[-1])


def _edges(start: datetime, end: datetime, grain: Grain) -> Iterator[tuple[datetime, datetime]]:
    hours = 1 if grain is Grain.HOUR else 24
    at = start
    while at < end:
        floor = at.replace(minute=0, second=0, microsecond=0, hour=at.hour if grain is Grain.HOUR else 0)
        yield at, min(floor + timedelta(hours=hours), end)
        at = floor + timedelta(hours=hours)
