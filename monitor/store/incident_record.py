"""Everything that the file knows of one incident: its checks summed up, its messages, its gaps."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby

from monitor.alerts.holds import Hold, HoldReason
from monitor.alerts.notification import NotificationKind
from monitor.checks.observation import Check, Outcome
from monitor.config.windows import Window
from monitor.incidents.state import Incident
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.errors import reading
from monitor.store.rollups.model import Gap
from monitor.store.tables.checks import EVER_MS, read_checks
from monitor.store.tables.incidents import database_id, find_incident
from monitor.store.tables.spans import is_too_long, read_gaps, read_maintenance, read_retention

# A host that is up every other minute for a week makes thousands of runs: the first and the last tell it.
_MOST_RUNS = 40


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
    gaps = _gaps(connection, database, incident)
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
    """The messages, what the doctor found when it opened, and when it was decided that it is over."""
    rows = connection.execute(
        "SELECT channel, kind, notification, created_ms, attempts, delivered_ms, given_up_ms, last_error,"
        " not_before_ms, held_for, held_with FROM outbox WHERE incident_id = ? ORDER BY id",
        (number,),
    ).fetchall()
    messages, layers, decided_at = [], "", None
    for channel, kind, notification, created_ms, attempts, delivered_ms, given_up_ms, last_error, *held in rows:
        if kind == NotificationKind.OPENED.value and not layers:
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


def _gaps(connection: sqlite3.Connection, database: int, incident: Incident) -> tuple[Gap, ...]:
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
