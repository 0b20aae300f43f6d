"""What only memory knows of incidents while the file cannot be written: noted for the next start, and taken up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitor.alerts.notification import Notification, NotificationKind, Routes, receivers
from monitor.incidents.rules import standing
from monitor.incidents.state import Incident, IncidentState, moved, state_from_json, state_to_json
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.tables import incidents
from monitor.store.tables.deliveries import who_heard
from monitor.store.tables.outbox import WAITING, as_text, enqueue

# At about a thousand bytes each.
_MOST_INCIDENTS = 50
_MOST_MESSAGES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _NotedIncident:
    """An incident, and what each channel was told of it by messages that memory made, the latest last."""

    incident: Incident
    told: dict[str, list[NotificationKind]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _NotedDatabase:
    """The state of a database at its last check before the note, and its incidents, the oldest first.

    `left_at` is its last check in the file, by the clock of then, when memory went on in the file's place.
    """

    name: str
    checked_at: datetime
    state: IncidentState
    incidents: tuple[_NotedIncident, ...]
    left_at: datetime | None


def note_of_memory(connection: sqlite3.Connection, *, room: int) -> bytes:
    """What is open, what memory saw the end of, and which messages of the file were delivered since.

    As `take_up` reads it, in less than `room` bytes: where there is too much of it, what is open or not told to
    everybody comes first, the newest before the others.
    """
    rows = connection.execute(
        "SELECT incident.id, database_id FROM incident LEFT JOIN file_incident USING (id)"
        " WHERE incident.closed_ms IS NULL OR file_incident.id IS NULL"
        " OR incident.closed_ms IS NOT file_incident.closed_ms"
        " ORDER BY incident.closed_ms IS NULL OR EXISTS (SELECT 1 FROM outbox WHERE incident_id = incident.id"
        f" AND {WAITING}) DESC, incident.id DESC LIMIT ?",
        (_MOST_INCIDENTS,),
    ).fetchall()
    delivered = connection.execute(
        "SELECT outbox.id, channel FROM outbox JOIN file_message USING (id)"
        " WHERE is_waiting AND delivered_ms IS NOT NULL ORDER BY delivered_ms DESC LIMIT ?",
        (_MOST_MESSAGES,),
    ).fetchall()
    while True:
        noted = [
            _database_to_json(connection, database, sorted(number for number, home in rows if home == database))
            for database in sorted({home for _, home in rows})
        ]
        note = json.dumps({"databases": noted, "delivered": delivered}).encode()
        if len(note) < room:
            return note
        del rows[len(rows) * 3 // 4 :]


def _database_to_json(connection: sqlite3.Connection, database: int, numbers: Sequence[int]) -> list[Any]:
    state, checked_at = incidents.read_state(connection, database)
    name, rows = "", []
    for number in numbers:
        name, incident = incidents.find_incident(connection, number) or (name, None)
        values = state_to_json(IncidentState(incident=incident))["incident"]
        rows.append([values, incident is not None and incident.is_unwatched, _told(connection, number)])
    left = connection.execute("SELECT checked_ms FROM file_state WHERE database_id = ?", (database,)).fetchone()
    return [name, to_ms(checked_at or from_ms(0)), state_to_json(state), rows, left and left[0]]


def take_up(
    connection: sqlite3.Connection,
    note: bytes,
    channels: Sequence[str],
    now: datetime,
    routes: Routes,
    *,
    moved_by: timedelta = timedelta(0),
) -> Iterable[str]:
    """Go on with what a kill would have lost; return a line for the log about each incident.

    What memory told is noted as delivered. An end that it saw is told to those who did not hear of it. What the
    file knows later than the note is left as it is; its times have just been `moved_by` so much.
    """
    if not note:
        return
    try:
        values = json.loads(note)
        noted = [_database_from_json(row) for row in values["databases"]]
        delivered = [(to_ms(now), int(number), str(channel)) for number, channel in values["delivered"]]
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return  # not ours, or cut short
    sql = f"UPDATE outbox SET delivered_ms = ?, last_error = NULL WHERE id = ? AND channel = ? AND {WAITING}"
    connection.executemany(sql, delivered)
    # The clock may have been set back since.
    by = min((now - each.checked_at for each in noted), default=timedelta(0))
    for each in noted:
        moved_along = each if by >= timedelta(0) else _moved(each, by)
        yield from _take_up(connection, moved_along, channels, now, routes, moved_by=moved_by)


def _database_from_json(row: list[Any]) -> _NotedDatabase:
    name, checked_ms, state, rows, *left = row
    return _NotedDatabase(
        name=name,
        checked_at=from_ms(checked_ms),
        state=state_from_json(state),
        incidents=tuple(_incident_from_json(each) for each in rows),
        left_at=from_ms_or_none(left[0]) if left else None,
    )


def _incident_from_json(row: list[Any]) -> _NotedIncident:
    values, is_unwatched, told = row
    incident = state_from_json({"recent": (), "incident": values}).incident
    if incident is None:
        raise ValueError("no incident")
    return _NotedIncident(
        incident=replace(incident, is_unwatched=is_unwatched),
        told={channel: [NotificationKind(kind) for kind in kinds] for channel, kinds in told.items()},
    )


def _moved(each: _NotedDatabase, by: timedelta) -> _NotedDatabase:
    return replace(
        each,
        checked_at=each.checked_at + by,
        state=moved(each.state, by),
        incidents=tuple(
            replace(one, incident=moved(IncidentState(incident=one.incident), by).incident or one.incident)
            for one in each.incidents
        ),
    )


def _take_up(
    connection: sqlite3.Connection,
    each: _NotedDatabase,
    channels: Sequence[str],
    now: datetime,
    routes: Routes,
    *,
    moved_by: timedelta,
) -> Iterator[str]:
    database = incidents.database_id(connection, each.name)
    before, before_at = incidents.read_state(connection, database)
    open_before = None if before.incident is None else before.incident.id
    # Another process opened it meanwhile.
    is_others = open_before is not None and all(one.incident.id != open_before for one in each.incidents)
    # Then what is noted is later, whatever the clock has been set to since. Times are moved by milliseconds.
    is_untouched = (
        before_at is not None
        and each.left_at is not None
        and abs(before_at - moved_by - each.left_at) < timedelta(milliseconds=1)
    )
    is_later = not is_others and (is_untouched or before_at is None or before_at < each.checked_at)
    for one in each.incidents:
        incident, is_over = one.incident, one.incident.closed_at is not None
        known = incidents.find_incident(connection, incident.id)
        if known is None:
            is_news = is_over or not is_others
        else:
            is_news = known[0] == each.name and _is_news(
                known[1], incident, is_later=is_later, is_untouched=is_untouched
            )
        if not is_news:
            continue
        incidents.write_incident(connection, database, incident)
        # Whatever the clock has been set to since.
        is_later = is_later or (incident.id == open_before if is_over else known is None)
        notification = standing(incident, each.name, now, missed=is_over)
        for channel, kinds in one.told.items():
            for kind in kinds:
                _note_delivered(connection, replace(notification, kind=kind), channel, now)
        if known is None or is_over:
            others = [name for name in receivers(notification, channels, routes) if name not in one.told]
            if known is not None and known[1].closed_at is None:
                # The file has a beginning that waits for them, unless a change made it one that a route takes.
                heard = who_heard(connection, incident.id, channels)
                others = [name for name in others if name in routes and name not in heard]
            enqueue(connection, notification, others)
            # Memory may have been sending to them when it was killed.
            connection.executemany(
                "UPDATE outbox SET tried_ms = created_ms, due_ms = created_ms"
                f" WHERE incident_id = ? AND channel = ? AND attempts = 0 AND {WAITING}",
                [(incident.id, name) for name in others],
            )
        what = "is over" if is_over else "goes on"
        yield f"incident {incident.id} of {each.name} was told while the history could not be written, and {what}"
    if is_later:
        incidents.write_state(connection, database, each.state, each.checked_at)


def _is_news(known: Incident, noted: Incident, *, is_later: bool, is_untouched: bool) -> bool:
    """True where memory saw more of an incident than the file: its end, or, `is_later`, that it goes on."""
    if known.closed_at is None:
        return noted.closed_at is not None or is_later
    return is_later and (is_untouched or noted.closed_at is None or noted.closed_at > known.closed_at)


def _told(connection: sqlite3.Connection, incident: int) -> dict[str, list[str]]:
    """The messages about an incident that memory made and delivered, by channel. The file has the others."""
    told: dict[str, list[str]] = {}
    for channel, kind in connection.execute(
        "SELECT channel, kind FROM outbox WHERE incident_id = ? AND delivered_ms IS NOT NULL"
        " AND id NOT IN (SELECT id FROM file_message) ORDER BY id",
        (incident,),
    ):
        told.setdefault(channel, []).append(kind)
    return told


def _note_delivered(
    connection: sqlite3.Connection, notification: Notification, channel: str, now: datetime
) -> None:
    connection.execute(
        "INSERT INTO outbox (channel, incident_id, kind, notification, created_ms, delivered_ms)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        (channel, notification.incident, notification.kind.value, as_text(notification), to_ms(now)),
    )
