"""The shapes in which the history is read, by report, page, badges, JSON and metrics alike; the sums behind them.

Moments and lengths of a `Rollup` are whole milliseconds, as in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from monitor.alerts.notification import Severity
from monitor.checks.canary import Budget
from monitor.checks.observation import Check, Family, Outcome, Phases
from monitor.config.windows import Window
from monitor.diagnosis.verdicts import Verdict
from monitor.incidents.state import Incident
from monitor.store.rollups.histogram import Histogram, PhaseHistograms, SlowLimit

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BLOCK_MS = 16 * DAY_MS
_MS, _NOTHING = timedelta(milliseconds=1), timedelta(0)


class Grain(Enum):
    """How finely a span of time is cut; hours and days are those of UTC."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How the latencies of some checks are spread, in milliseconds; each at most 1 % off, `max_ms` exact.

    Only checks that ended well (`ok` and `slow`) are in it: a failure's time is not an answer's.
    """

    checks: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Uptime:
    """How much of a span was up, down, or neither.

    Slow is up; offline, gaps and the time before the first check are unknown. `maintenance` is apart: what was
    seen meanwhile is neither up nor down, and not unknown.
    """

    up: timedelta
    down: timedelta
    unknown: timedelta
    maintenance: timedelta = timedelta(0)

    @property
    def known(self) -> timedelta:
        """The time of which `share` is a share."""
        return self.up + self.down

    @property
    def share(self) -> float | None:
        """The known time that was up, from 0 to 1; `None` when nothing is known."""
        return self.up / self.known if self.known else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """What was seen from `start` until before `end`. `outcomes` has the checks by outcome, without zeros."""

    start: datetime
    end: datetime
    outcomes: Mapping[Outcome, int]
    uptime: Uptime
    latency: Spread | None = None

    @property
    def checks(self) -> int:
        return sum(self.outcomes.values())

    @property
    def checks_failed(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.family.is_failing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A time in which nobody checked."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """One database over one span of time.

    `slices` follow each other without a hole and cover `whole`, empty ones included; the first and the last may be
    shorter than the grain. `incidents` touch the span, the newest first; `gaps` and `maintenance` the oldest
    first, cut to the span. `phases` are the medians of checks that ended well, `None` when there were none. The
    `before` figures are of the span of the same length just before this one; `None` where nobody checked then.
    `slow_limit` is what its answers propose, `None` where they are too few.
    """

    database: str
    grain: Grain
    whole: Slice
    slices: tuple[Slice, ...]
    incidents: tuple[Incident, ...] = ()
    gaps: tuple[Gap, ...] = ()
    maintenance: tuple[Window, ...] = ()
    phases: Phases | None = None
    before: Slice | None = None
    phases_before: Phases | None = None
    slow_limit: SlowLimit | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a database is checked, and what that costs in a month. `canary` and `slow` are `None` when off."""

    interval: timedelta
    timeout: timedelta
    slow: timedelta | None
    canary: timedelta | None
    worker: bool
    budget: Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseStatus:
    """One database now: its latest checks, the newest first, its open incident, its last 90 days.

    `verdict` is what is to be shown of its latest check, `None` until somebody has decided it.
    `days` are the slices of those days, the oldest first, today's last. `since` is when its first check was, to
    the hour where that was deleted. `certificate_ends_at` is what the latest TLS connection showed, `None` before
    one and for `http://`. `gaps` are those that end within the latest checks.
    """

    database: str
    recent: tuple[Check, ...]
    incident: Incident | None
    schedule: Schedule
    days: tuple[Slice, ...]
    gaps: tuple[Gap, ...] = ()
    since: datetime | None = None
    verdict: Verdict | None = None
    certificate_ends_at: datetime | None = None

    @property
    def latest(self) -> Check | None:
        """The latest check, `None` before the first."""
        return self.recent[0] if self.recent else None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseTotals:
    """One database. `outcomes` has all its checks ever by outcome, zeros may be left out.

    `latest` is `None` before the first check, `last_success_at` before the first that ended well. `latency` is of
    all checks ever that ended fine, slow ones left out. None of it shrinks when old checks are deleted.
    `open_severity` and `open_cause` are those of the open incident, `None` without one.
    `certificate_ends_at` as in `DatabaseStatus`.
    """

    database: str
    latest: Check | None
    outcomes: Mapping[Outcome, int]
    latency: Histogram
    last_success_at: datetime | None
    open_severity: Severity | None
    open_cause: Outcome | None = None
    certificate_ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """All databases of the settings, and all messages.

    `notifications` counts attempts by channel and result, which is "sent" or "failed".
    Every channel of the settings is in it from the start: a counter that begins at 1 hides its first event.
    `channel_is_ok` is false for a channel that is known to be broken.
    `outbox_pending` is how many outbox messages wait to be sent or are on their way. `region` is where this
    monitor runs; empty where the settings do not say. `quiet` are the databases whose messages are
    held, by a silence or by maintenance.
    """

    databases: tuple[DatabaseTotals, ...]
    notifications: Mapping[tuple[str, str], int]
    outbox_pending: int
    channel_is_ok: Mapping[str, bool] = field(default_factory=dict)
    region: str = ""
    quiet: frozenset[str] = frozenset()


def ended_well(outcome: Outcome) -> bool:
    """True where the latency counts: it is that of an answer, be it a slow one."""
    return outcome.family in (Family.FINE, Family.SLOW)


@dataclass(kw_only=True, slots=True)
class Rollup:
    """Checks by outcome, the time known to be up and down, and the latencies of checks that ended well.

    Phases are those of days and blocks only. It grows in place.
    """

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    up_ms: int = 0
    down_ms: int = 0
    latency: Histogram = field(default_factory=Histogram)
    phases: PhaseHistograms = field(default_factory=PhaseHistograms)

    def count(self, outcome: Outcome, latency_ms: float | None) -> None:
        """One more check, without its phases."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if latency_ms is not None and ended_well(outcome):
            self.latency.add(latency_ms)

    def hold(self, outcome: Outcome, ms: int) -> None:
        """The state that a check found held for `ms`; below zero, that is taken out again."""
        if outcome.family.is_failing:
            self.down_ms += ms
        elif outcome.family is not Family.UNKNOWN:
            self.up_ms += ms

    def merge(self, other: Rollup) -> None:
        """Add all that the other one holds."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.up_ms += other.up_ms
        self.down_ms += other.down_ms
        self.latency.merge(other.latency)
        self.phases.merge(other.phases)

    def slice(self, start: datetime, end: datetime, maintenance: timedelta) -> Slice:
        """The shape that people read. What is none of these of the time from `start` to `end` is unknown."""
        up, down = self.up_ms * _MS, self.down_ms * _MS
        unknown = max(_NOTHING, end - start - up - down - maintenance)
        return Slice(
            start=start,
            end=end,
            outcomes=dict(self.outcomes),
            uptime=Uptime(up=up, down=down, unknown=unknown, maintenance=maintenance),
            latency=spread(self.latency),
        )


def spread(latencies: Histogram) -> Spread | None:
    """How they are spread; `None` when there are none."""
    if not latencies.count:
        return None
    p50, p90, p95, p99 = latencies.percentiles((0.5, 0.9, 0.95, 0.99))
    return Spread(checks=latencies.count, p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99, max_ms=latencies.max_ms)


def pieces(start_ms: int, end_ms: int, length_ms: int) -> Iterator[tuple[int, int, int]]:
    """The time from `start_ms` until `end_ms`, cut at every multiple of a length.

    Each piece as the number of that hour or day since 1970, and its first and last moment.
    """
    while start_ms < end_ms:
        number = start_ms // length_ms
        stop_ms = min(end_ms, (number + 1) * length_ms)
        yield number, start_ms, stop_ms
        start_ms = stop_ms
