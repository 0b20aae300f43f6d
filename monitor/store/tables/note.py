"""What only memory knows of incidents while the file cannot be written: noted for the next start, and taken up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.routing import Routes, receivers
from monitor.incidents.rules import standing
from monitor.incidents.state import Incident, IncidentState, state_from_json, state_to_json
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.tables import incidents
from monitor.store.tables.outbox import WAITING, as_text, enqueue

# At about a thousand bytes each.
_MOST = 50


def note_of_memory(connection: sqlite3.Connection) -> bytes:
    """What memory opened, and what it saw the end of, with what each channel was told, as `take_up` reads it.

    Where there is too much of it, what is open or not told to everybody is noted first.
    """
    left = incidents.left_in_file(connection)
    found = connection.execute(
        "SELECT id, database_id, closed_ms FROM incident"
        " ORDER BY closed_ms IS NULL OR EXISTS (SELECT 1 FROM outbox WHERE incident_id = incident.id"
        " AND delivered_ms IS NULL AND given_up_ms IS NULL) DESC, id DESC"
    )
    only_here = [
        (number, database)
        for number, database, closed_ms in found
        if number >= incidents.FIRST_IN_MEMORY or closed_ms != left.get(number, closed_ms)
    ]
    rows = []
    for number, database in sorted(only_here[:_MOST]):
        name, incident = incidents.find_incident(connection, number) or ("", None)
        state, checked_at = incidents.read_state(connection, database)
        closed_at = None if incident is None else incident.closed_at
        if closed_at is not None:
            state = IncidentState(incident=incident)
        told = _kinds_delivered(connection, number)
        closed_ms = None if closed_at is None else to_ms(closed_at)
        rows.append([name, to_ms(checked_at or from_ms(0)), state_to_json(state), closed_ms, told])
    return json.dumps(rows).encode()


def take_up(
    connection: sqlite3.Connection, note: bytes, channels: Sequence[str], now: datetime, routes: Routes
) -> Iterable[str]:
    """Go on with what a kill would have lost; return a line for the log about each incident.

    What memory told is noted as delivered. An end that it saw is told to those who did not hear of it.
    """
    if not note:
        return
    try:
        rows = [
            (
                name,
                from_ms(checked_ms),
                state_from_json(state),
                from_ms_or_none(closed_ms),
                {channel: [NotificationKind(kind) for kind in kinds] for channel, kinds in told.items()},
            )
            for name, checked_ms, state, closed_ms, told in json.loads(note)
        ]
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return  # not ours, or cut short
    for name, checked_at, state, closed_at, told in rows:
        incident, database = state.incident, incidents.database_id(connection, name)
        if incident is None:
            continue
        known = incidents.find_incident(connection, incident.id)
        before, last_at = incidents.read_state(connection, database)
        is_newer = last_at is None or last_at < checked_at
        if known is not None and not _goes_on(known[1], closed_at, is_newer=is_newer):
            continue
        if closed_at is None:
            if before.incident is not None:
                continue
            incidents.write_state(connection, database, state, checked_at)
            what = "goes on"
        else:
            is_open = known is not None and known[1].closed_at is None
            incident = replace(known[1] if known and is_open else incident, closed_at=closed_at)
            if before.incident is not None and before.incident.id == incident.id:
                incidents.write_state(connection, database, IncidentState(), checked_at)
            what = "is over"
        incidents.write_incident(connection, database, incident)
        notification = standing(incident, name, now, missed=closed_at is not None)
        for channel, kinds in told.items():
            for kind in kinds:
                _note_delivered(connection, replace(notification, kind=kind), channel, now)
        if closed_at is not None and known is None:
            others = [channel for channel in receivers(notification, channels, routes) if channel not in told]
            enqueue(connection, notification, others)
        yield f"incident {incident.id} of {name} was told while the history could not be written, and {what}"


def _goes_on(known: Incident, closed_at: datetime | None, *, is_newer: bool) -> bool:
    """True where memory saw more of an incident than the file: its end, or, `is_newer`, that it opened again."""
    if known.closed_at is None:
        return closed_at is not None
    return is_newer and (closed_at is None or closed_at > known.closed_at)


def _kinds_delivered(connection: sqlite3.Connection, incident: int) -> dict[str, list[str]]:
    """What was delivered of an incident, by channel, the latest last."""
    told: dict[str, list[str]] = {}
    for channel, kind in connection.execute(
        "SELECT channel, kind FROM outbox WHERE incident_id = ? AND delivered_ms IS NOT NULL"
        " GROUP BY channel, kind ORDER BY channel, max(id)",
        (incident,),
    ):
        told.setdefault(channel, []).append(kind)
    return told


def _note_delivered(
    connection: sqlite3.Connection, notification: Notification, channel: str, now: datetime
) -> None:
    """Note that this was delivered before the start, whether or not it waits here."""
    key = (channel, notification.incident, notification.kind.value)
    is_this = "channel = ?1 AND incident_id = ?2 AND kind = ?3"
    connection.execute(
        f"UPDATE outbox SET delivered_ms = ?4, last_error = NULL WHERE {is_this} AND {WAITING}",
        (*key, to_ms(now)),
    )
    connection.execute(
        "INSERT INTO outbox (channel, incident_id, kind, notification, created_ms, delivered_ms)"
        # What opened again is told as over again.
        f" SELECT ?1, ?2, ?3, ?4, ?5, ?5 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE {is_this} AND id > ifnull("
        "(SELECT max(id) FROM outbox WHERE channel = ?1 AND incident_id = ?2 AND kind = ?6 AND kind <> ?3), 0))",
        (*key, as_text(notification), to_ms(now), NotificationKind.REOPENED.value),
    )
