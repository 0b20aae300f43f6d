"""What pages, badges and JSON show of a database, put together from its status and history; nothing is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from urllib.parse import quote

from monitor.alerts.notification import Severity
from monitor.checks.observation import Family, Outcome, Phases, certificate_ends_soon, describe_certificate_end
from monitor.diagnosis.advice import Advice, word
from monitor.diagnosis.verdicts import VerdictCode
from monitor.lib.language import ENGLISH, Language
from monitor.report.formatting import Phase, format_ms, format_name, shifts
from monitor.store.rollups.model import DatabaseStatus, Grain, History, Slice, Spread, Uptime

# So many intervals after it was due, a check no longer shows the present state; `/healthz` allows as much.
_OVERDUE_INTERVALS = 3
_ZERO = timedelta(0)
# Of less time a share says nothing, nor does a percentile of fewer answers.
_LEAST_KNOWN = timedelta(hours=1)
_LEAST_ANSWERS = {"p50": 2, "p95": 20, "p99": 100}
# The same span before with less than this part of the answers is no measure.
_LEAST_COMPARED = 0.1


class DatabaseState(Enum):
    """From the worst to the best."""

    DOWN = "down"
    IN_DOUBT = "in doubt"
    SLOW = "slow"
    UNKNOWN = "unknown"
    UP = "up"

    @property
    def code(self) -> str:
        """The state as JSON and style sheets write it."""
        return self.value.replace(" ", "_")


_ORDER = {state: number for number, state in enumerate(DatabaseState)}


def state_of(status: DatabaseStatus, now: datetime) -> DatabaseState:
    """An open incident first, then the latest check; unknown when that is overdue, ended offline, or never was.

    A failure that has not met its rule yet is `IN_DOUBT`: the checks of the next half minute decide.
    """
    latest, schedule = status.latest, status.schedule
    if latest is None or now - latest.at > _OVERDUE_INTERVALS * schedule.interval + schedule.timeout:
        return DatabaseState.UNKNOWN
    if status.incident is not None:
        return DatabaseState.SLOW if status.incident.severity is Severity.WARNING else DatabaseState.DOWN
    family = latest.outcome.family
    if family.is_failing:
        return DatabaseState.IN_DOUBT
    return {Family.FINE: DatabaseState.UP, Family.SLOW: DatabaseState.SLOW}.get(family, DatabaseState.UNKNOWN)


def worst_first(statuses: Sequence[DatabaseStatus], now: datetime) -> list[DatabaseStatus]:
    """The worst states first; among equals the order of the settings stays."""
    return sorted(statuses, key=lambda status: _ORDER[state_of(status, now)])


_HEADLINE_OF_ONE = {
    DatabaseState.DOWN: "The database is down",
    DatabaseState.IN_DOUBT: "The last check failed; the next ones decide",
    DatabaseState.SLOW: "The database is slow",
    DatabaseState.UNKNOWN: "Nothing is known of the database now",
    DatabaseState.UP: "The database is up",
}


def headline(
    states: Sequence[DatabaseState], *, unchecked: int = 0, language: Language = ENGLISH
) -> tuple[DatabaseState, str]:
    """The worst state, and one sentence on all of them: `2 of 6 databases are down, 1 is slow`.

    Of the unknown ones `unchecked` were never checked yet.
    """
    count, total = Counter(states), len(states)
    worst = min(states, key=_ORDER.__getitem__, default=DatabaseState.UNKNOWN)
    say = language.say
    if not states:
        return worst, say("No database is checked")
    if total == 1:
        return worst, say("Waiting for the first check") if unchecked else say(_HEADLINE_OF_ONE[worst])
    if worst is DatabaseState.UP:
        return worst, say("All {n} databases are up", n=total)
    count[DatabaseState.UNKNOWN] -= unchecked
    found = [
        (count[state], say(f"{'is' if count[state] == 1 else 'are'} {state.value}"))
        for state in DatabaseState
        if count[state] and state is not DatabaseState.UP
    ]
    if unchecked:
        words = "waits for its first check" if unchecked == 1 else "wait for their first check"
        found.append((unchecked, say(words)))
    first, *rest = found
    others = "".join(f", {number} {text}" for number, text in rest)
    return worst, say("{number} of {n} databases {what}", number=first[0], n=total, what=first[1]) + others


_FINDINGS = (VerdictCode.CANARY_KEY_NOT_ALLOWED, VerdictCode.CANARY_CANNOT_DELETE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What is shown of a database. `today` is the spread of today's latencies, `None` before the first answer.

    `word` is the state's, where it was checked already. `days` begin with its first check, which may be within the
    first of them. `advice` is that of its open incident; `finding` is what is known of it without any, such as
    that the canary's key is not allowed. `certificate` are words on a certificate that ends soon, else empty.
    """

    name: str
    path: str
    state: DatabaseState
    word: str
    status: DatabaseStatus
    days: Sequence[Slice]
    last_check: str
    uptime: Uptime
    today: Spread | None
    advice: Advice | None
    finding: Advice | None
    certificate: str


def card_of(status: DatabaseStatus, now: datetime, language: Language = ENGLISH) -> Card:
    """The card of a database, in a language; its uptime is of all the days of the status."""
    latest, ends_at, verdict = status.latest, status.certificate_ends_at, status.verdict
    state = state_of(status, now)
    return Card(
        name=format_name(status.database),
        path=path_of(status.database),
        state=state,
        word=language.say("no check yet" if latest is None else state.value),
        status=status,
        days=_days_watched(status),
        last_check=language.say("no check yet")
        if latest is None
        else language.say("{time} ago", time=language.duration(now - latest.at)),
        uptime=sum_uptime(status.days),
        today=status.days[-1].latency if status.days else None,
        advice=None if status.incident is None else word(status.incident.verdict, language),
        finding=word(verdict, language)
        if verdict and verdict.code in _FINDINGS and status.incident is None
        else None,
        certificate=language.sentence(describe_certificate_end(ends_at, now))
        if ends_at and certificate_ends_soon(ends_at, now)
        else "",
    )


def _days_watched(status: DatabaseStatus) -> Sequence[Slice]:
    """The days from the first check on; what was before it is no part of the first one."""
    since = status.since
    if since is None:
        return ()
    days = [day for day in status.days if day.end > since]
    if days and days[0].start < since:
        first = days[0]
        unknown = max(_ZERO, first.uptime.unknown - (since - first.start))
        days[0] = replace(first, start=since, uptime=replace(first.uptime, unknown=unknown))
    return days


def sum_uptime(days: Sequence[Slice]) -> Uptime:
    """The uptime of all these days."""
    return Uptime(
        up=sum((day.uptime.up for day in days), start=_ZERO),
        down=sum((day.uptime.down for day in days), start=_ZERO),
        unknown=sum((day.uptime.unknown for day in days), start=_ZERO),
    )


def has_share(uptime: Uptime) -> bool:
    """True when so much time is known that a share of it says something."""
    return uptime.known >= _LEAST_KNOWN


def has_percentile(latency: Spread | None, name: str) -> bool:
    """True when there were answers enough for this percentile."""
    return latency is not None and latency.checks >= _LEAST_ANSWERS[name]


def path_of(database: str) -> str:
    """Where a database has its page; any name fits into it."""
    return f"/databases/{quote(database, safe='')}"


def is_calm(history: History) -> bool:
    """True where there were checks, all of them were fine, and none is missing."""
    troubles = (outcome_rows(history.whole), history.incidents, history.gaps)
    return history.whole.checks > 0 and not any(troubles)


class PageSpan(Enum):
    """How far back a database's page goes; the values of `?span=`."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def length(self) -> timedelta:
        return timedelta(days={"day": 1, "week": 7, "month": 30, "year": 365}[self.value])

    @classmethod
    def offered(cls, since: datetime | None, now: datetime) -> list[PageSpan]:
        """Those that differ in what they show: the last is the shortest that reaches back to the first check."""
        shorter = [span for span in cls if since is not None and now - since > span.length]
        return list(cls)[: len(shorter) + 1]

    @property
    def grain(self) -> Grain:
        return Grain.HOUR if self in (PageSpan.DAY, PageSpan.WEEK) else Grain.DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabasePage:
    """What a database's page is made of: its history over the span, or since its first check."""

    status: DatabaseStatus
    history: History
    span: PageSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeRow:
    """How often an outcome came; `share` is of all checks."""

    outcome: Outcome
    checks: int
    share: float
    is_counted: bool


def outcome_rows(whole: Slice) -> list[OutcomeRow]:
    """What was not fine, the most frequent first; checks with an unknown result come last and are not counted."""
    total = whole.checks
    rows = [
        OutcomeRow(
            outcome=outcome, checks=count, share=count / total, is_counted=outcome.family is not Family.UNKNOWN
        )
        for outcome, count in whole.outcomes.items()
        if outcome.family is not Family.FINE and count
    ]
    return sorted(rows, key=lambda row: (not row.is_counted, -row.checks, row.outcome.value))


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRow:
    """The median of a phase, `width` its part of the longest; `before` is that of the span before."""

    phase: str
    words: str
    median_ms: float
    before_ms: float | None
    width: float
    before_width: float | None


_PHASE_WORDS = {
    Phase.DNS: "name lookup",
    Phase.CONNECT: "TCP connection",
    Phase.TLS: "TLS handshake",
    Phase.WAIT: "waiting for the answer",
    Phase.READ: "reading the answer",
}


def phase_rows(history: History) -> list[PhaseRow]:
    """The phases that have a median, in the order in which they happen."""
    now, before = history.phases or Phases(), history.phases_before or Phases()
    medians = [(phase, value, phase.of(before)) for phase in Phase if (value := phase.of(now)) is not None]
    longest = max((max(value, old or 0.0) for _, value, old in medians), default=0.0) or 1.0
    return [
        PhaseRow(
            phase=phase.value,
            words=_PHASE_WORDS[phase],
            median_ms=value,
            before_ms=old,
            width=value / longest,
            before_width=None if old is None else old / longest,
        )
        for phase, value, old in medians
    ]


def compare(history: History) -> list[str]:
    """What changed against the span before, a clause each; nothing where there was no check then."""
    before = history.before
    if before is None:
        return []
    clauses = []
    now, old = history.whole.latency, before.latency
    if now is None or old is None or old.checks < _LEAST_COMPARED * now.checks:
        return []
    for name, value_ms, old_ms in (("p50", now.p50_ms, old.p50_ms), ("p99", now.p99_ms, old.p99_ms)):
        change = _change(value_ms, old_ms)
        if change and has_percentile(old, name) and has_percentile(now, name):
            clauses.append(f"{name} {change} ({format_ms(old_ms)} before)")
    return [*clauses, *map(str, shifts(history.phases, history.phases_before))]


def _change(value: float, old: float) -> str:
    if not old or abs(value - old) / old < 0.05:
        return ""
    if value >= 2 * old:
        return f"{value / old:.3g} times as high"
    return f"{abs(value - old) / old * 100:.0f} % {'higher' if value > old else 'lower'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """Slices in a row of which the same `summary` is true; one slice, and `None`, where there is more to say."""

    first: Slice
    last: Slice
    summary: str | None = None


def slice_rows(slices: Sequence[Slice]) -> list[TableRow]:
    """A row for each slice, the newest first."""
    return [TableRow(first=part, last=part) for part in reversed(slices)]


def day_rows(days: Sequence[Slice]) -> list[TableRow]:
    """Rows for days, the newest first; days without trouble, and days without a check, share one."""
    rows: list[TableRow] = []
    for day in reversed(days):
        summary = _summarise(day)
        if rows and summary is not None and summary == rows[-1].summary:
            rows[-1] = TableRow(first=day, last=rows[-1].last, summary=summary)
        else:
            rows.append(TableRow(first=day, last=day, summary=summary))
    return rows


def _summarise(day: Slice) -> str | None:
    if not day.uptime.known:
        return None if day.checks else "no check"
    if day.uptime.down or day.checks_failed:
        return None
    return "up, no failed check" if day.uptime.unknown < (day.end - day.start) / 10 else None
