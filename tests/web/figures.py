"""Totals with one database of each kind, and written by hand the series that Prometheus must read of them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor import __version__
from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Outcome, Phases
from monitor.store.rollups.model import DatabaseTotals, Totals

# 2026-11-23 14:02:09.250 UTC
AT = datetime(2026, 11, 23, 14, 2, 9, 250_000, tzinfo=UTC)
AT_SECONDS = 1795442529.25
QUOTED = 'say "hi"\\ {x=1} <b>é</b>'
HOSTILE = '"} 1\nup{job="evil"} 0 # \u202e\x00\udcff' + "x" * 10_000

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True)
class Counted:
    """Latencies kept one by one."""

    sorted_ms: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        return len(self.sorted_ms)

    @property
    def sum_ms(self) -> float:
        return sum(self.sorted_ms)

    def count_at_most(self, ms: float, /) -> int:
        return bisect_right(self.sorted_ms, ms)


def check(database: str, outcome: Outcome, **phases_ms: float) -> Check:
    return Check(database=database, at=AT, outcome=outcome, phases=Phases(**phases_ms))


def totals_of(database: str, latest: Check | None = None, **rest: object) -> DatabaseTotals:
    """A database that was never checked, but for these values."""
    values = {
        "outcomes": {},
        "latency": Counted(),
        "last_success_at": None,
        "open_severity": None,
        **rest,
    }
    return DatabaseTotals(database=database, latest=latest, **values)  # type: ignore[arg-type]  # any values of a test


FINE = totals_of(
    "main",
    check("main", Outcome.OK, dns=1.5, connect=8.0, tls=10.0, wait=20.0, read=0.5, total=40.0),
    outcomes={Outcome.OK: 4, Outcome.SLOW: 1, Outcome.TOKEN_REJECTED: 2},
    latency=Counted((0.5, 20.5, 25.0, 90.0, 12_000.0)),
    last_success_at=AT,
)
DOWN = totals_of(
    QUOTED,
    check(QUOTED, Outcome.RESPONSE_TIMEOUT, dns=1.5, connect=8.0),
    outcomes={Outcome.RESPONSE_TIMEOUT: 3},
    open_severity=Severity.WARNING,
    open_cause=Outcome.RESPONSE_TIMEOUT,
)
OFFLINE = totals_of("cache", check("cache", Outcome.OFFLINE, dns=2000.0), outcomes={Outcome.OFFLINE: 1})
NEW = totals_of("new")
TOTALS = Totals(
    databases=(FINE, DOWN, OFFLINE, NEW),
    notifications={("slack", "sent"): 7, ("slack", "failed"): 2, ("telegram", "sent"): 1},
    outbox_pending=3,
    quiet=frozenset({"cache"}),
)
MISSED_CHECKS = 5

_BUCKETS = {
    "main": (1, 1, 1, 1, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5),
    QUOTED: (0,) * 16,
    "cache": (0,) * 16,
    "new": (0,) * 16,
}
_BOUNDS = (
    *("0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1"),
    *("0.15", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"),
)


def expected() -> Series:
    """Every series that `TOTALS` makes, and no other."""
    series: Series = {}

    def add(name: str, value: float, **labels: str) -> None:
        series[f"upstash_{name}", frozenset(labels.items())] = value

    add("probe_success", 1, database="main")
    add("probe_success", 0, database=QUOTED)
    for database, counts in _BUCKETS.items():
        for bound, count in zip(_BOUNDS, counts, strict=True):
            add("probe_duration_seconds_bucket", count, database=database, le=bound)
        add("probe_duration_seconds_count", counts[-1], database=database)
        add("probe_duration_seconds_sum", 12.136 if database == "main" else 0, database=database)
        for outcome in Outcome:
            add("probe_outcomes_total", 0, database=database, outcome=outcome.value)
        add("quiet", int(database == "cache"), database=database)
        for severity in ("warning", "critical"):
            is_open = (database, severity) == (QUOTED, "warning")
            add("incident_open", int(is_open), database=database, severity=severity)
    for database in ("main", QUOTED, "cache"):
        add("probe_last_timestamp_seconds", AT_SECONDS, database=database)
    for phase, seconds in (
        ("dns", 0.0015),
        ("connect", 0.008),
        ("tls", 0.01),
        ("wait", 0.02),
        ("read", 0.0005),
        ("total", 0.04),
    ):
        add("probe_phase_seconds", seconds, database="main", phase=phase)
    add("probe_phase_seconds", 0.0015, database=QUOTED, phase="dns")
    add("probe_phase_seconds", 0.008, database=QUOTED, phase="connect")
    add("probe_outcomes_total", 4, database="main", outcome="ok")
    add("probe_outcomes_total", 1, database="main", outcome="slow")
    add("probe_outcomes_total", 2, database="main", outcome="token_rejected")
    add("probe_outcomes_total", 3, database=QUOTED, outcome="response_timeout")
    add("probe_outcomes_total", 1, database="cache", outcome="offline")
    add("probe_last_success_timestamp_seconds", AT_SECONDS, database="main")
    add("notifications_total", 7, channel="slack", result="sent")
    add("notifications_total", 2, channel="slack", result="failed")
    add("notifications_total", 1, channel="telegram", result="sent")
    add("notifications_total", 0, channel="telegram", result="failed")
    add("incident_cause", 1, database=QUOTED, outcome="response_timeout", family="network")
    add("outbox_pending", 3)
    add("monitor_missed_checks_total", MISSED_CHECKS)
    add("monitor_build_info", 1, version=__version__)
    return series
