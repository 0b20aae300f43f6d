"""Reads the history back, as people ask for it: spans of time, the state now, totals, and all of one incident.

Each function runs in a transaction of its caller's, so that all it reads is of one moment, and changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, groupby

from monitor.alerts.holds import Hold, HoldReason
from monitor.alerts.notification import NotificationKind
from monitor.checks.observation import Check, Family, Outcome, Phases
from monitor.config.windows import Window
from monitor.incidents.state import Incident
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.errors import reading
from monitor.store.rollups.histogram import PhaseHistograms
from monitor.store.rollups.model import (
    DAY_MS,
    HOUR_MS,
    DatabaseStatus,
    DatabaseTotals,
    Gap,
    Grain,
    History,
    Rollup,
    Schedule,
    Slice,
    ended_well,
)
from monitor.store.tables.checks import EVER_MS, first_check_ms, last_good_check, read_checks, read_rows
from monitor.store.tables.incidents import database_id, find_incident, incidents_of, open_incident, read_state
from monitor.store.tables.recording import RowGrain
from monitor.store.tables.rollups import RollupReader, read_phases, read_rollups
from monitor.store.tables.spans import is_too_long, read_gaps, read_maintenance, read_retention, watermark

RECENT_CHECKS = 40
# So many checks are read one by one for the medians of their phases; a longer span is read by the day.
_MOST_CHECKS_READ = 4000
# A host that is up every other minute for a week makes thousands of runs: the first and the last tell it.
_MOST_RUNS = 40


def history_of(
    connection: sqlite3.Connection,
    database: int,
    name: str,
    *,
    start: datetime,
    end: datetime,
    grain: Grain,
    interval: timedelta | None = None,
    compare: bool = False,
) -> History:
    """One database from `start` until before `end`, which must be later.

    With an `interval` a pause that still goes on is a gap as well. With `compare` the span of the same length
    before it is read too.
    """
    reader = RollupReader(connection, database, start_ms=to_ms(start), end_ms=to_ms(end), grain=grain)
    whole = reader.whole()
    found = History(
        database=name,
        grain=grain,
        whole=whole,
        slices=reader.slices(),
        incidents=incidents_of(connection, database, start_ms=reader.start_ms, end_ms=reader.end_ms),
        gaps=_gaps(connection, database, whole, interval),
        maintenance=tuple(Window(start=from_ms(begun), end=from_ms(over)) for begun, over in reader.maintenance),
        phases=_phases(connection, database, whole),
        slow_limit=reader.slow_limit(),
    )
    if not compare:
        return found
    length_ms = reader.end_ms - reader.start_ms
    earlier = RollupReader(
        connection, database, start_ms=reader.start_ms - length_ms, end_ms=reader.start_ms, grain=Grain.DAY
    ).whole()
    if not earlier.checks and not earlier.uptime.known:
        return found
    return replace(found, before=earlier, phases_before=_phases(connection, database, earlier))


def status_of(
    connection: sqlite3.Connection,
    database: int,
    name: str,
    *,
    schedule: Schedule,
    past: Sequence[Slice],
    now: datetime,
) -> DatabaseStatus:
    """One database as it is now; `past` are the days before today, as `past_days` reads them."""
    now_ms = to_ms(now) + 1  # so that today is there at midnight too
    reader = RollupReader(connection, database, start_ms=_midnight_ms(now), end_ms=now_ms, grain=Grain.DAY)
    recent = tuple(read_checks(connection, database, limit=RECENT_CHECKS, newest_first=True))
    state, checked_at = read_state(connection, database)
    if recent and recent[0].at == checked_at:
        # The history holds no facts; the verdict on the check that was the latest goes by them.
        recent = (replace(recent[0], facts=state.facts), *recent[1:])
    return DatabaseStatus(
        database=name,
        recent=recent,
        incident=open_incident(connection, database),
        schedule=schedule,
        days=(*past, *reader.slices()),
        gaps=_noted_gaps(connection, database, recent[-1].at, now) if recent else (),
        since=from_ms_or_none(first_check_ms(connection, database)),
        certificate_ends_at=state.certificate_ends_at,
    )


def past_days(connection: sqlite3.Connection, database: int, *, days: int, now: datetime) -> tuple[Slice, ...]:
    """So many days before today, the oldest first; they hardly change any more."""
    midnight_ms = _midnight_ms(now)
    first_ms = midnight_ms - days * DAY_MS
    return RollupReader(connection, database, start_ms=first_ms, end_ms=midnight_ms, grain=Grain.DAY).slices()


def told_kinds(connection: sqlite3.Connection, database: int, *, start_ms: int, end_ms: int) -> dict[str, int]:
    """How many notifications of each kind there were about a database's incidents; all channels are one."""
    rows = connection.execute(
        "SELECT kind, count(*) FROM (SELECT DISTINCT incident_id, kind, outbox.created_ms FROM outbox"
        " JOIN incident ON incident.id = incident_id"
        " WHERE database_id = ? AND outbox.created_ms >= ? AND outbox.created_ms < ?) GROUP BY kind",
        (database, start_ms, end_ms),
    )
    return dict(rows.fetchall())


def totals_of(connection: sqlite3.Connection, database: int, name: str) -> DatabaseTotals:
    """All checks ever, and how the database is now."""
    everything, fine = Rollup(), Rollup()
    for grain, rollup in ((RowGrain.ALL, everything), (RowGrain.FINE, fine)):
        for _, known in read_rollups(connection, database, grain, first=0, last=0):
            rollup.merge(known)
    until_ms, incident = watermark(connection, database), open_incident(connection, database)
    if until_ms is not None:
        for check in read_rows(connection, database, until_ms, EVER_MS):
            everything.count(check.outcome, check.latency_ms)
            if check.outcome.family is Family.FINE:
                fine.count(check.outcome, check.latency_ms)
    return DatabaseTotals(
        database=name,
        latest=_latest(connection, database),
        outcomes=dict(everything.outcomes),
        latency=fine.latency,
        last_success_at=_last_success(connection, database, until_ms),
        open_severity=None if incident is None else incident.severity,
        open_cause=None if incident is None else incident.cause,
        certificate_ends_at=read_state(connection, database)[0].certificate_ends_at,
    )


def _phases(connection: sqlite3.Connection, database: int, span: Slice) -> Phases | None:
    """The median phases of a span's checks that ended well; `None` when there are none.

    Where there are many, or they were deleted, those of the whole days that the span touches.
    """
    start_ms, end_ms = to_ms(span.start), to_ms(span.end)
    found = PhaseHistograms()
    if start_ms < read_retention(connection).checks_ms or span.checks > _MOST_CHECKS_READ:
        for phases in read_phases(connection, database, start_ms, end_ms):
            found.merge(phases)
        start_ms = max(start_ms, watermark(connection, database) or start_ms)
    for check in read_rows(connection, database, start_ms, end_ms):
        if ended_well(check.outcome):
            found.add(check.phases)
    return found.medians()


def _gaps(
    connection: sqlite3.Connection, database: int, span: Slice, interval: timedelta | None
) -> tuple[Gap, ...]:
    """The gaps that touch a span, cut to it, the oldest first."""
    gaps = _noted_gaps(connection, database, span.start, span.end)
    latest = _latest(connection, database)
    if latest is not None and interval is not None and is_too_long(span.end - latest.at, interval):
        return (*gaps, Gap(start=max(span.start, latest.at), end=span.end))
    return gaps


def _noted_gaps(connection: sqlite3.Connection, database: int, start: datetime, end: datetime) -> tuple[Gap, ...]:
    noted = read_gaps(connection, database, start_ms=to_ms(start), end_ms=to_ms(end))
    return tuple(Gap(start=max(start, from_ms(begun)), end=min(end, from_ms(over))) for begun, over in noted)


def _latest(connection: sqlite3.Connection, database: int) -> Check | None:
    return next(read_checks(connection, database, limit=1, newest_first=True), None)


def _last_success(connection: sqlite3.Connection, database: int, until_ms: int | None) -> datetime | None:
    """Of the checks since the watermark, else of the last hour that had one: a long outage is no long search."""
    last = None if until_ms is None else last_good_check(connection, database, until_ms, EVER_MS)
    if last is None:
        row = connection.execute(
            "SELECT slot FROM rollup WHERE database_id = ? AND grain = ? AND"
            " (outcomes LIKE '%\"ok\"%' OR outcomes LIKE '%\"slow\"%') ORDER BY slot DESC LIMIT 1",
            (database, RowGrain.HOUR),
        ).fetchone()
        if row is None:
            return None
        start_ms = row[0] * HOUR_MS
        last = last_good_check(connection, database, start_ms, start_ms + HOUR_MS)
        if last is None:  # it was deleted, and its hour is all that is known
            return from_ms(start_ms)
    return from_ms(last.at_ms)


def _midnight_ms(now: datetime) -> int:
    return to_ms(now) // DAY_MS * DAY_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRun:
    """Checks that came one after the other: of one outcome, or of several where many short runs are summed up.

    `detail` is the most frequent one, `slowest_ms` the highest latency.
    """

    start: datetime
    end: datetime
    outcomes: Mapping[Outcome, int]
    detail: str
    slowest_ms: float | None

    @property
    def checks(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageRecord:
    """One message to one channel. `last_error` is that of the last attempt; of one that was delivered, why the
    answer was no confirmation. `hold` is what it waits for before its first attempt."""

    channel: str
    kind: str
    created_at: datetime
    attempts: int
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str
    hold: Hold | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentRecord:
    """One incident as a whole, everything in it the oldest first.

    `runs` go from the first failure that counts to the check that closed it. `layers` is what the doctor found
    when it opened, in one line. `are_checks_complete` is false where single checks of it were deleted by now.
    """

    database: str
    incident: Incident
    runs: tuple[CheckRun, ...]
    messages: tuple[MessageRecord, ...]
    gaps: tuple[Gap, ...]
    maintenance: tuple[Window, ...]
    layers: str
    are_checks_complete: bool


def incident_record(
    connection: sqlite3.Connection, number: int, *, intervals: Mapping[str, timedelta], now: datetime
) -> IncidentRecord | None:
    """The incident of that number; `None` for a number that was not given.

    Of the databases that are checked every `intervals`, a pause that still goes on is a gap as well.
    """
    found = find_incident(connection, number)
    if found is None:
        return None
    name, incident = found
    database = database_id(connection, name)
    messages, layers, decided_at = _messages(connection, number)
    start_ms = to_ms(incident.opened_at)
    ends = [moment for moment in (incident.closed_at, decided_at) if moment is not None]
    # One millisecond more: the check that decided belongs to it.
    end_ms = EVER_MS if incident.closed_at is None else to_ms(max(ends)) + 1
    gaps = _gaps_of_incident(connection, database, incident)
    runs = _runs(read_checks(connection, database, start=start_ms, end=end_ms), gaps)
    if (
        incident.closed_at is None
        and runs
        and name in intervals
        and is_too_long(now - runs[-1].end, intervals[name])
    ):
        gaps = (*gaps, Gap(start=runs[-1].end, end=now))
    return IncidentRecord(
        database=name,
        incident=incident,
        runs=runs,
        messages=messages,
        gaps=gaps,
        maintenance=_maintenance(connection, database, incident),
        layers=layers,
        are_checks_complete=start_ms >= read_retention(connection).checks_ms,
    )


def _runs(checks: Iterable[Check], gaps: Sequence[Gap]) -> tuple[CheckRun, ...]:
    """The checks summed up. No run goes on across a gap."""
    ends = [gap.end for gap in gaps]
    grouped = groupby(checks, key=lambda check: (check.outcome, bisect_right(ends, check.at)))
    runs = [_run(group) for _, group in grouped]
    if len(runs) <= _MOST_RUNS:
        return tuple(runs)
    first, last = runs[: _MOST_RUNS // 2], runs[-_MOST_RUNS // 2 + 1 :]
    return (*first, _summed_up(runs[len(first) : -len(last)]), *last)


def _run(checks: Iterator[Check]) -> CheckRun:
    """Of one outcome, read one by one: a week of checks every second is half a million."""
    first = latest = next(checks)
    details: Counter[str] = Counter()
    slowest_ms = None
    for latest in chain((first,), checks):
        details[latest.detail] += 1
        if latest.latency_ms is not None:
            slowest_ms = max(slowest_ms or 0.0, latest.latency_ms)
    return CheckRun(
        start=first.at,
        end=latest.at,
        outcomes={first.outcome: details.total()},
        detail=details.most_common(1)[0][0],
        slowest_ms=slowest_ms,
    )


def _summed_up(runs: Sequence[CheckRun]) -> CheckRun:
    outcomes: Counter[Outcome] = Counter()
    for run in runs:
        outcomes.update(run.outcomes)
    return CheckRun(
        start=runs[0].start,
        end=runs[-1].end,
        outcomes=outcomes,
        detail="",
        slowest_ms=max((run.slowest_ms for run in runs if run.slowest_ms is not None), default=None),
    )


def _messages(
    connection: sqlite3.Connection, number: int
) -> tuple[tuple[MessageRecord, ...], str, datetime | None]:
    """The messages, what the doctor found at first, and when it was decided that it is over."""
    rows = connection.execute(
        "SELECT channel, kind, notification, created_ms, attempts, delivered_ms, given_up_ms, last_error,"
        " not_before_ms, held_for, held_with FROM outbox WHERE incident_id = ? ORDER BY id",
        (number,),
    ).fetchall()
    messages, layers, decided_at = [], "", None
    for channel, kind, notification, created_ms, attempts, delivered_ms, given_up_ms, last_error, *held in rows:
        if kind in (NotificationKind.OPENED.value, NotificationKind.CHANGED.value) and not layers:
            with reading("an outbox message"):
                layers = str(json.loads(notification).get("layers", ""))
        if kind == NotificationKind.CLOSED.value:  # the last one, of an incident that opened again
            decided_at = from_ms(created_ms)
        messages.append(
            MessageRecord(
                channel=channel,
                kind=kind,
                created_at=from_ms(created_ms),
                attempts=attempts,
                delivered_at=from_ms_or_none(delivered_ms),
                given_up_at=from_ms_or_none(given_up_ms),
                last_error=last_error or "",
                hold=None if attempts or delivered_ms is not None else _hold(*held),
            )
        )
    return tuple(messages), layers, decided_at


def _hold(not_before_ms: int | None, held_for: str | None, held_with: int | None) -> Hold | None:
    if not_before_ms is None or held_for is None:
        return None
    with reading("an outbox message"):
        return Hold(until=from_ms(not_before_ms), reason=HoldReason(held_for), with_incident=held_with)


def _maintenance(connection: sqlite3.Connection, database: int, incident: Incident) -> tuple[Window, ...]:
    end_ms = EVER_MS if incident.closed_at is None else to_ms(incident.closed_at)
    noted = read_maintenance(connection, database, start_ms=to_ms(incident.opened_at), end_ms=end_ms)
    return tuple(Window(start=from_ms(begun), end=from_ms(over)) for begun, over in noted)


def _gaps_of_incident(connection: sqlite3.Connection, database: int, incident: Incident) -> tuple[Gap, ...]:
    """The times in which nobody checked, or checked in vain, each once."""
    end_ms = EVER_MS if incident.closed_at is None else to_ms(incident.closed_at)
    noted = read_gaps(connection, database, start_ms=to_ms(incident.opened_at), end_ms=end_ms)
    spans = sorted([*noted, *((to_ms(start), to_ms(end)) for start, end in incident.unchecked)])
    merged: list[tuple[int, int]] = []
    for begun, over in spans:
        if merged and begun <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(over, merged[-1][1]))
        else:
            merged.append((begun, over))
    return tuple(Gap(start=from_ms(begun), end=from_ms(over)) for begun, over in merged)
