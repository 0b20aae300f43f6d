"""A year of history of a few databases, made up and always the same, in the shapes that `Overview` returns.

Among the databases is one whose name and detail try to break out of whatever document they are put into.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from monitor.alerts.notification import Severity
from monitor.checks.canary import budget
from monitor.checks.observation import Check, Outcome, Phases
from monitor.diagnosis.verdicts import Verdict
from monitor.incidents.state import Incident
from monitor.report.overview import Overview
from monitor.report.quiet import Quiet
from monitor.report.verdict import verdict_shown
from monitor.store.errors import UnknownDatabaseError
from monitor.store.rollups.model import (
    DatabaseStatus,
    Gap,
    Grain,
    History,
    Schedule,
    Slice,
    Spread,
    Totals,
    Uptime,
)
from tests.judging import PROFILE, explain
from tests.web.figures import TOTALS

NOW = datetime(2026, 11, 25, 14, 20, 31, 482000, tzinfo=UTC)
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
_YEAR = 365 * DAY
_LENGTHS = {Grain.HOUR: HOUR, Grain.DAY: DAY}
# Latencies of an hour as multiples of the usual one; each hour takes one of these lists.
_DICE = random.Random(4)
_SHAPES = tuple([_DICE.lognormvariate(0, 0.3) for _ in range(30)] for _ in range(60))

HOSTILE_NAME = "<script>alert('name')</script><svg onload=alert(1)>\"'&=2+5|a/b?c=d#e %41 ..%2f"
HOSTILE_DETAIL = (
    "</q><img src=x onerror=alert(1)>\x00\x1b[31m\x07\ud800\u202e https://user:pass@ugly-host-12345.upstash.io/x "
    "hidden.internal.example token=abcdefgh12345678 " + "<b>'\"&" * 2000
)
HIDDEN_HOST = "hidden.internal.example"


@dataclass(frozen=True, kw_only=True, eq=False)
class MadeDatabase:
    """What happens to a made database. `failures` are (days ago, hours long, outcome), `gaps` likewise."""

    name: str
    latency_ms: float
    since: timedelta = _YEAR
    failures: Sequence[tuple[float, float, Outcome]] = ()
    gaps: Sequence[tuple[float, float]] = ()
    slow_days: Mapping[int, float] = field(default_factory=dict)
    latest: Outcome | None = Outcome.OK
    detail: str = ""
    incident: Incident | None = None
    schedule: Schedule | None = None


def schedule(*, interval: timedelta = MINUTE, canary: timedelta | None = None, worker: bool = False) -> Schedule:
    return Schedule(
        interval=interval,
        timeout=timedelta(seconds=10),
        slow=timedelta(milliseconds=500),
        canary=canary,
        worker=worker,
        budget=budget(interval, timedelta(seconds=10), canary),
    )


def incident(number: int, since: datetime, cause: Outcome, **more: object) -> Incident:
    values = {
        "id": number,
        "opened_at": since,
        "notified_at": since + timedelta(seconds=21),
        "cause": cause,
        "causes": (cause,),
        "severity": Severity.WARNING if cause is Outcome.SLOW else Severity.CRITICAL,
        "checks_failed": 17,
        "verdict": explain(cause),
    }
    return Incident(**{**values, **more})  # type: ignore[arg-type]  # any values of a test


DATABASES = (
    MadeDatabase(
        name="main",
        latency_ms=2.1,
        failures=(
            (2.4, 1.7, Outcome.RESPONSE_TIMEOUT),
            (33, 3.2, Outcome.SERVER_ERROR),
            (71, 1.2, Outcome.DNS_FAILED),
        ),
        gaps=((12.3, 9), (200, 30)),
        slow_days={40: 3.0, 41: 4.5, 42: 2.2},
        schedule=schedule(canary=HOUR, worker=True),
    ),
    MadeDatabase(
        name="sessions-eu",
        latency_ms=11.4,
        since=60 * DAY,
        failures=((0.11, 3, Outcome.TOKEN_REJECTED), (5, 1.5, Outcome.CONNECTION_TIMEOUT)),
        gaps=((5.5, 14),),
        latest=Outcome.TOKEN_REJECTED,
        detail="WRONGPASS invalid or missing auth token",
        incident=incident(
            12,
            NOW - timedelta(hours=2, minutes=38),
            Outcome.TOKEN_REJECTED,
            causes=(Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED),
            acknowledged_at=NOW - HOUR,
            checks_failed=158,
        ),
    ),
    MadeDatabase(
        name="queue",
        latency_ms=38.0,
        slow_days={0: 9.0, 1: 5.0, 2: 2.0, 17: 4.0},
        failures=(
            (60, 20, Outcome.QUOTA_EXCEEDED),
            (61, 24, Outcome.QUOTA_EXCEEDED),
            (110, 2, Outcome.TLS_FAILED),
        ),
        latest=Outcome.SLOW,
        detail="answered in 642 ms, the limit is 500 ms",
        incident=incident(13, NOW - timedelta(minutes=41), Outcome.SLOW, checks_failed=9),
    ),
    MadeDatabase(
        name="analytics", latency_ms=4.6, latest=Outcome.CONNECTION_LOST, detail="the connection was reset"
    ),
    MadeDatabase(
        name="cache",
        latency_ms=0.8,
        latest=Outcome.OFFLINE,
        gaps=((0.05, 1),),
        detail="no connectivity host answers",
    ),
    MadeDatabase(name="rate-limits", latency_ms=1.3),
    MadeDatabase(name="just-added", latency_ms=1.0, since=timedelta(0), latest=None),
)
HOSTILE = MadeDatabase(
    name=HOSTILE_NAME,
    latency_ms=3.0,
    since=20 * DAY,
    failures=((0.1, 1, Outcome.COMMAND_ERROR),),
    latest=Outcome.COMMAND_ERROR,
    detail=HOSTILE_DETAIL,
    incident=incident(14, NOW - HOUR, Outcome.COMMAND_ERROR),
)


def _verdict(latest: Check | None, incident: Incident | None) -> Verdict | None:
    return None if latest is None else verdict_shown(latest, incident.verdict if incident else None, PROFILE)


class MadeOverview(Overview):
    """The made databases in place of a file: a year of eight databases would take minutes to record.

    `reads` counts the calls by name; `totals` are those of `figures`, which are of other databases.
    """

    def __init__(self, databases: Sequence[MadeDatabase] = DATABASES, *, now: datetime = NOW) -> None:
        self.databases = {made.name: made for made in databases}
        self.now = now
        self.reads: Counter[str] = Counter()
        self.made_quiet: tuple[Quiet, ...] = ()

    async def channel_troubles(self) -> tuple[str, ...]:
        return ()

    async def statuses(self) -> tuple[DatabaseStatus, ...]:
        self.reads["statuses"] += 1
        return tuple(self._status(made) for made in self.databases.values())

    async def status(self, database: str) -> DatabaseStatus:
        self.reads["status"] += 1
        return self._status(self._made(database))

    async def acknowledge(self, number: int) -> tuple[str, bool] | None:
        for name, made in self.databases.items():
            if made.incident is not None and made.incident.id == number:
                known = replace(made.incident, acknowledged_at=self.now)
                self.databases[name] = replace(made, incident=known)
                return name, made.incident.closed_at is None
        return None

    async def totals(self) -> Totals:
        self.reads["totals"] += 1
        return TOTALS

    async def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        self.reads["history"] += 1
        made = self._made(database)
        whole = _slice(made, self.now, start, end)
        return History(
            database=database,
            grain=grain,
            whole=whole,
            slices=_slices(made, self.now, start, end, grain),
            incidents=tuple(_incidents(made, self.now, start, end)),
            gaps=tuple(_gaps(made, self.now, start, end)),
            phases=None if whole.latency is None else _phases(made, 1.0),
            before=_slice(made, self.now, start - (end - start), start) if compare else None,
            phases_before=_phases(made, 0.8) if compare and made.since else None,
        )

    async def checks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None = None, limit: int
    ) -> tuple[Check, ...]:
        self.reads["checks"] += 1
        until = min(end, before) if before is not None else end
        return self._recent(self._made(database), start=start, until=until, limit=limit)

    async def quiet(self) -> tuple[Quiet, ...]:
        self.reads["quiet"] += 1
        return self.made_quiet

    async def past_incidents(self) -> tuple[tuple[str, Incident], ...]:
        self.reads["past_incidents"] += 1
        found = [
            (made.name, one)
            for made in self.databases.values()
            for one in _incidents(made, self.now, self.now - _YEAR, self.now)
            if one.closed_at is not None
        ]
        return tuple(sorted(found, key=lambda row: row[1].opened_at, reverse=True)[:8])

    def _recent(self, made: MadeDatabase, *, start: datetime, until: datetime, limit: int) -> tuple[Check, ...]:
        latest = self._latest(made)
        if latest is None:
            return ()
        found: list[Check] = []
        at, number = latest.at, 0
        while at >= start and len(found) < limit:
            if at < until and not _is_gap(made, self.now, at):
                found.append(latest if number == 0 else _check(made, self.now, at))
            number += 1
            at = latest.at - number * MINUTE
        return tuple(found)

    def _made(self, database: str) -> MadeDatabase:
        if database not in self.databases:
            raise UnknownDatabaseError(database, tuple(self.databases))
        return self.databases[database]

    def _status(self, made: MadeDatabase) -> DatabaseStatus:
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        latest = self._latest(made)
        return DatabaseStatus(
            database=made.name,
            since=None if latest is None else self.now - made.since,
            recent=self._recent(made, start=self.now - made.since, until=self.now, limit=40),
            incident=made.incident,
            verdict=_verdict(self._latest(made), made.incident),
            schedule=made.schedule or schedule(),
            days=_slices(made, self.now, midnight - 89 * DAY, self.now, Grain.DAY),
        )

    def _latest(self, made: MadeDatabase) -> Check | None:
        if made.latest is None:
            return None
        at = self.now - timedelta(seconds=12.25)
        failed = made.latest.family.is_failing or made.latest is Outcome.OFFLINE
        phases = replace(_phases(made, 1.0), wait=None, read=None) if failed else _phases(made, 1.0)
        return Check(database=made.name, at=at, outcome=made.latest, detail=made.detail, phases=phases)


def _phases(made: MadeDatabase, factor: float) -> Phases:
    wait, read = made.latency_ms * 0.953 * factor, made.latency_ms * 0.047
    dns, connect, tls = 1.204 * (2.6 if factor == 1.0 else 1), made.latency_ms * 0.9, made.latency_ms * 1.1 + 4.012
    return Phases(dns=dns, connect=connect, tls=tls, wait=wait, read=read, total=dns + connect + tls + wait + read)


def _check(made: MadeDatabase, now: datetime, at: datetime) -> Check:
    outcome = _failure(made, now, at)
    if outcome is not None:
        return Check(database=made.name, at=at, outcome=outcome, detail=made.detail or "a detail")
    dice = random.Random(f"{made.name} {at.isoformat()}")
    wait = made.latency_ms * (0.8 + dice.random() * 0.6)
    phases = replace(_phases(made, 1.0), wait=wait, read=made.latency_ms * 0.05)
    return Check(database=made.name, at=at, outcome=Outcome.OK, http_status=200, phases=phases)


def _slices(made: MadeDatabase, now: datetime, start: datetime, end: datetime, grain: Grain) -> tuple[Slice, ...]:
    length = _LENGTHS[grain]
    edges = [start]
    edge = start.replace(minute=0, second=0, microsecond=0)
    if grain is Grain.DAY:
        edge = edge.replace(hour=0)
    while (edge := edge + length) < end:
        edges.append(edge)
    return tuple(_slice(made, now, left, right) for left, right in zip(edges, [*edges[1:], end], strict=True))


@cache
def _slice(made: MadeDatabase, now: datetime, start: datetime, end: datetime) -> Slice:
    """Put together of the parts of hours that lie in it."""
    outcomes: Counter[Outcome] = Counter()
    samples: list[float] = []
    up = down = timedelta(0)
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour < end:
        part = (min(end, hour + HOUR) - max(start, hour)) / HOUR
        seen, latencies, up_share, down_share = _hour(made, now, hour)
        for outcome, count in seen.items():
            outcomes[outcome] += round(count * part)
        samples += latencies
        up += HOUR * part * up_share
        down += HOUR * part * down_share
        hour += HOUR
    return Slice(
        start=start,
        end=end,
        outcomes={outcome: count for outcome, count in outcomes.items() if count},
        uptime=Uptime(up=up, down=down, unknown=max(timedelta(0), (end - start) - up - down)),
        latency=_spread(sorted(samples)),
    )


@cache
def _hour(
    made: MadeDatabase, now: datetime, hour: datetime
) -> tuple[dict[Outcome, int], list[float], float, float]:
    """Outcomes, some latencies, and the shares that were up and down."""
    if hour < now - made.since or _is_gap(made, now, hour + HOUR / 2):
        return {}, [], 0.0, 0.0
    shape = _SHAPES[zlib.crc32(f"{made.name} {hour.isoformat()}".encode()) % len(_SHAPES)]
    failure = _failure(made, now, hour + HOUR / 2)
    if failure is not None:
        return {failure: 50, Outcome.OK: 10}, [made.latency_ms * 1.5] * 2, 0.17, 0.83
    factor = made.slow_days.get((now - hour).days, 1.0) * (1 + 0.25 * (8 <= hour.hour <= 19))
    samples = [made.latency_ms * factor * sample for sample in shape]
    slow = 14 if factor > 4 else 0
    return {Outcome.OK: 60 - slow, **({Outcome.SLOW: slow} if slow else {})}, samples, 1.0, 0.0


def _failure(made: MadeDatabase, now: datetime, at: datetime) -> Outcome | None:
    for days, hours, outcome in made.failures:
        if now - days * DAY <= at < now - days * DAY + hours * HOUR:
            return outcome
    return None


def _is_gap(made: MadeDatabase, now: datetime, at: datetime) -> bool:
    return any(now - days * DAY <= at < now - days * DAY + hours * HOUR for days, hours in made.gaps)


def _gaps(made: MadeDatabase, now: datetime, start: datetime, end: datetime) -> list[Gap]:
    found = [(now - days * DAY, now - days * DAY + hours * HOUR) for days, hours in made.gaps]
    return sorted(
        (
            Gap(start=max(start, left), end=min(end, right))
            for left, right in found
            if left < end and right > start
        ),
        key=lambda gap: gap.start,
    )


def _incidents(made: MadeDatabase, now: datetime, start: datetime, end: datetime) -> list[Incident]:
    found = [] if made.incident is None else [made.incident]
    for number, (days, hours, outcome) in enumerate(made.failures):
        since = now - days * DAY
        until = since + hours * HOUR
        if since < end and until > start and until < now - HOUR:
            found.append(incident(9 - number, since, outcome, closed_at=until, checks_failed=int(hours * 60) or 3))
    return found


def _spread(samples: Sequence[float]) -> Spread | None:
    if not samples:
        return None

    def at(share: float) -> float:
        return samples[min(len(samples) - 1, int(share * len(samples)))]

    return Spread(
        checks=len(samples), p50_ms=at(0.5), p90_ms=at(0.9), p95_ms=at(0.95), p99_ms=at(0.99), max_ms=samples[-1]
    )
