"""Who is told: the channels that are meant to hear it, and what a change of the channels leads to."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.alerts.holds import Hold
from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.retry_policy import STALE_AFTER
from monitor.alerts.routing import EVERYTHING, Route, Routes, receivers
from monitor.incidents.rules import standing
from monitor.lib.times import to_ms
from monitor.store.tables import channels
from monitor.store.tables.incidents import read_incidents
from monitor.store.tables.outbox import FREE, WAITING, enqueue

_NOT_CONFIGURED = "the channel is not configured any more"
# It was being sent when the program was killed.
_PERHAPS_SENT = f"{_NOT_CONFIGURED}; it may have arrived"
# What may be the first that a channel with a route takes of an incident.
_MAY_BE_NEW = (NotificationKind.CHANGED, NotificationKind.REOPENED)
_ENDS = (NotificationKind.CLOSED, NotificationKind.MISSED, NotificationKind.UNWATCHED)


def tell(
    connection: sqlite3.Connection,
    notification: Notification,
    configured: Sequence[str],
    routes: Routes,
    hold: Hold | None = None,
    *,
    group_within: timedelta = timedelta(0),
    apart: Container[str] = (),
) -> None:
    """Enqueue for each channel that is meant to hear it, and for each that was told of the incident before.

    A change makes an incident one that a channel takes which did not before: for that channel it opens.
    """
    takers = receivers(notification, configured, routes)
    heard = who_heard(connection, notification.incident, configured) if notification.incident is not None else []
    # One without a route was meant to hear of it all along, whatever became of that message.
    newcomers = [name for name in takers if name in routes and name not in heard]
    if notification.kind not in _MAY_BE_NEW:
        newcomers = []
    told = [name for name in configured if name in heard or (name in takers and name not in newcomers)]
    opening = replace(notification, kind=NotificationKind.OPENED, before=None)
    enqueue(connection, notification, told, hold, group_within=group_within, apart=apart)
    enqueue(connection, opening, newcomers, hold, group_within=group_within, apart=apart)


def settle_removed(connection: sqlite3.Connection, configured: Iterable[str], now: datetime) -> dict[str, int]:
    """Give up what waits for channels that are not configured any more; return how many messages of each.

    Under a name that comes back they would be told days later, when they are not true any more.
    """
    names = list(configured)
    others = f"{WAITING} AND channel NOT IN ({', '.join('?' * len(names))})"
    counts = dict(connection.execute(f"SELECT channel, count(*) FROM outbox WHERE {others} GROUP BY 1", names))
    error = f"CASE WHEN {FREE} THEN ? ELSE ? END"
    connection.execute(
        f"UPDATE outbox SET given_up_ms = ?, last_error = {error} WHERE {others}",
        (to_ms(now), _NOT_CONFIGURED, _PERHAPS_SENT, *names),
    )
    return counts


def who_heard(connection: sqlite3.Connection, incident: int, configured: Iterable[str]) -> list[str]:
    """The channels that were told of an incident, or will be by what waits."""
    sql = "SELECT DISTINCT channel FROM outbox WHERE incident_id = ? AND given_up_ms IS NULL"
    heard = {name for (name,) in connection.execute(sql, (incident,))}
    return [name for name in configured if name in heard]


def bring_up_to_date(
    connection: sqlite3.Connection, channel: str, destination: str, now: datetime, route: Route = EVERYTHING
) -> list[int]:
    """Enqueue where things stand for a channel that missed it; return the incidents that it is told of.

    That is each open incident of which it was never told and which its route takes, as it is for a channel that is
    new, and for one whose messages go to another `destination` than before; and the end of each whose beginning it
    was told, or may have been.
    """
    is_replaced = channels.note_destination(connection, channel, destination)
    told = _told(connection, channel)
    sql = "SELECT incident_id FROM outbox WHERE channel = ? AND last_error = ?"
    perhaps_told = {incident for (incident,) in connection.execute(sql, (channel, _PERHAPS_SENT))}
    missing = []
    for name, incident in read_incidents(connection, closed_too=True):
        kinds = told.get(incident.id, {})
        # What is over and begins again is told as over more than once.
        is_end_heard = list(kinds)[-1:] in [[kind.value] for kind in _ENDS]
        is_heard = bool(kinds) and not is_end_heard and (not is_replaced or not all(kinds.values()))
        if is_heard if incident.closed_at is None else is_end_heard or not (kinds or incident.id in perhaps_told):
            continue
        # Of one whose beginning may not have arrived, all is told.
        is_missed = incident.closed_at is not None and (not kinds or now - incident.closed_at >= STALE_AFTER)
        notification = standing(incident, name, now, missed=is_missed)
        if incident.closed_at is None and not route.takes(notification):
            continue
        enqueue(connection, notification, (channel,))
        missing.append(incident.id)
    return missing


def _told(connection: sqlite3.Connection, channel: str) -> dict[int, dict[str, bool]]:
    """By incident, the kinds that were delivered to a channel (true) or wait for it (false), the latest last."""
    told: dict[int, dict[str, bool]] = {}
    for incident, kind, is_delivered in connection.execute(
        "SELECT incident_id, kind, delivered_ms IS NOT NULL FROM outbox"
        " WHERE channel = ? AND incident_id IS NOT NULL AND given_up_ms IS NULL ORDER BY id",
        (channel,),
    ):
        kinds = told.setdefault(incident, {})
        kinds.pop(kind, None)
        kinds[kind] = bool(is_delivered)
    return told
