"""One database over a span, as its own page and the report show it: figures put together, nothing drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum

from monitor.checks.observation import Check, Family, Outcome, Phases
from monitor.report.formatting import format_ms
from monitor.store.rollups.model import DatabaseStatus, Grain, History, Slice


class Span(Enum):
    """How far back a database's page looks; the words of its address."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def length(self) -> timedelta:
        return timedelta(days={"day": 1, "week": 7, "month": 30, "year": 365}[self.value])

    @property
    def grain(self) -> Grain:
        return Grain.HOUR if self in (Span.DAY, Span.WEEK) else Grain.DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabasePage:
    """What a database's page is made of; `looks` are the latest ones, the newest first."""

    status: DatabaseStatus
    history: History
    span: Span
    checks: Sequence[Check]


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeRow:
    """How often an outcome came; `share` is of all checks."""

    outcome: Outcome
    checks: int
    share: float
    is_counted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRow:
    """The median of a phase, `width` its part of the longest; `before` is that of the span before."""

    phase: str
    words: str
    median_ms: float
    before_ms: float | None
    width: float
    before_width: float | None


_PHASES = {
    "dns": "name lookup",
    "connect": "TCP connection",
    "tls": "TLS handshake",
    "wait": "waiting for the answer",
    "read": "reading the answer",
}


def outcome_rows(whole: Slice) -> list[OutcomeRow]:
    """What went wrong, the most frequent first; checks of which nothing is known come last and are not counted."""
    total = whole.checks
    rows = [
        OutcomeRow(
            outcome=outcome, checks=count, share=count / total, is_counted=outcome.family is not Family.UNKNOWN
        )
        for outcome, count in whole.outcomes.items()
        if outcome.family is not Family.FINE and count
    ]
    return sorted(rows, key=lambda row: (not row.is_counted, -row.checks, row.outcome.value))


def phase_rows(history: History) -> list[PhaseRow]:
    """The phases that have a median, in the order in which they happen."""
    if history.phases is None:
        return []
    before = history.phases_before or Phases()
    found = [
        (name, value, getattr(before, name))
        for name, value in _values(history.phases)
        if name in _PHASES and value is not None
    ]
    longest = max((max(value, old or 0.0) for _, value, old in found), default=0.0) or 1.0
    return [
        PhaseRow(
            phase=name,
            words=_PHASES[name],
            median_ms=value,
            before_ms=old,
            width=value / longest,
            before_width=None if old is None else old / longest,
        )
        for name, value, old in found
    ]


def compared(history: History) -> list[str]:
    """What changed against the span before, a sentence each; nothing where nobody looked then."""
    now, before = history.whole, history.before
    if before is None:
        return []
    said = []
    if now.latency is not None and before.latency is not None:
        for word, value, old in (
            ("p50", now.latency.p50_ms, before.latency.p50_ms),
            ("p99", now.latency.p99_ms, before.latency.p99_ms),
        ):
            said.append(f"{word} {_change(value, old)} ({format_ms(old)} before)")
    slower = [row for row in phase_rows(history) if row.before_ms and row.median_ms > 1.5 * row.before_ms]
    if slower:
        most = max(slower, key=lambda row: row.median_ms - (row.before_ms or 0.0))
        if most.median_ms - (most.before_ms or 0.0) >= 1.0:
            whose = "the database and the way to it" if most.phase in ("wait", "read") else "not the database"
            said.append(f"what got slower most is {most.words}: {whose}")
    return said


def _change(value: float, old: float) -> str:
    if not old or abs(value - old) / old < 0.05:
        return "as before"
    return f"{abs(value - old) / old:.0%} {'higher' if value > old else 'lower'}"


def _values(phases: Phases) -> list[tuple[str, float | None]]:
    return [(field.name, getattr(phases, field.name)) for field in fields(phases)]
