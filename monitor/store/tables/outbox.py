"""Rows of the outbox: enqueued, held, claimed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from monitor.alerts.holds import Hold, HoldReason, group_until, grouped_kinds
from monitor.alerts.notification import Notification, NotificationKind, from_json, to_json
from monitor.alerts.retry_policy import (
    LEASE,
    Delivery,
    OutboxMessage,
    delivery_of,
    is_due,
    is_stale,
    is_under_way,
    missed,
    next_delivery,
    next_to_try,
    next_try,
    until_held,
)
from monitor.incidents.rules import fails_since, is_recovering, standing
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.errors import reading
from monitor.store.tables import channels
from monitor.store.tables.incidents import database_id, find_incident, read_state

WAITING = "delivered_ms IS NULL AND given_up_ms IS NULL"
# Neither claimed by somebody who is sending it right now, nor by somebody who was killed meanwhile.
FREE = f"{WAITING} AND (tried_ms IS NULL OR due_ms IS NULL OR last_error IS NOT NULL)"
_MESSAGE_COLUMNS = (
    "id, channel, notification, created_ms, attempts, tried_ms, due_ms, last_error, not_before_ms, held_for,"
    " held_with"
)

# A group is looked for among so many of the latest messages.
_LATEST = 5000
_MOST_INCIDENTS = 1000
# As `OutboxMessage.is_held` has it.
_IS_HELD = "held_for IS NOT NULL AND created_ms <= ?2 AND not_before_ms > ?2"
_GROUP = "ifnull(incident_id, -id)"
_QUIET = ", ".join(f"'{reason.value}'" for reason in HoldReason if reason.is_quiet)
_OPENINGS = ", ".join(f"'{kind.value}'" for kind in NotificationKind if kind.is_opening)
ENDS = (NotificationKind.CLOSED, NotificationKind.MISSED, NotificationKind.UNWATCHED)
_ENDS = ", ".join(f"'{kind.value}'" for kind in ENDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """How fresh what the file says is: the databases that were `checked` since the start.

    What may be our own network's trouble must have been found again `recheck_within` the time before it is told.
    """

    checked: Container[str] = ()
    recheck_within: timedelta = timedelta(0)


NOTHING_KNOWN = Known()


def enqueue(
    connection: sqlite3.Connection,
    notification: Notification,
    channels: Iterable[str],
    hold: Hold | None = None,
    *,
    group_within: timedelta = timedelta(0),
    apart: Container[str] = (),
) -> None:
    """Add one message per channel, due at once or when the `hold` is over.

    What a message of the same incident waits for, it waits for too; and as one more of its kind and cause
    `group_within` this time, it is held to be told with the others, unless the channel is told of each `apart`.
    """
    row = (
        notification.incident,
        notification.kind.value,
        as_text(notification),
        to_ms(notification.created_at),
    )
    for name in channels:
        held = _hold_of_incident(connection, notification, name)
        if held is None and group_within and name not in apart:
            held = _group_hold(connection, notification, name, group_within, hold)
        held = held or hold
        columns = (
            (None, None, None) if held is None else (to_ms(held.until), held.reason.value, held.with_incident)
        )
        connection.execute(
            "INSERT INTO outbox"
            " (channel, incident_id, kind, notification, created_ms, not_before_ms, held_for, held_with)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (name, *row, *columns),
        )


def _hold_of_incident(connection: sqlite3.Connection, notification: Notification, channel: str) -> Hold | None:
    """What the latest message of the same incident is held for, so that what it comes to is told as one."""
    row = connection.execute(
        "SELECT not_before_ms, held_for, held_with FROM outbox WHERE channel = ? AND incident_id = ?"
        f" AND {WAITING} AND attempts = 0 AND not_before_ms > ? ORDER BY id DESC LIMIT 1",
        (channel, notification.incident, to_ms(notification.created_at)),
    ).fetchone()
    return None if row is None else Hold(until=from_ms(row[0]), reason=HoldReason(row[1]), with_incident=row[2])


def _group_hold(
    connection: sqlite3.Connection, notification: Notification, channel: str, within: timedelta, hold: Hold | None
) -> Hold | None:
    """The hold of one that follows another database's of its kind and cause.

    Those already held in its group wait with it.
    """
    kinds, now = grouped_kinds(notification.kind), notification.created_at
    if not kinds or notification.cause is None:
        return None
    among = ", ".join(f"'{kind.value}'" for kind in kinds)
    first = connection.execute(
        "SELECT incident_id, created_ms FROM outbox"
        " WHERE id > (SELECT max(id) - ? FROM outbox)"
        f" AND channel = ? AND kind IN ({among}) AND incident_id <> ? AND held_with IS NULL"
        f" AND ifnull(held_for, '') NOT IN ({_QUIET})"
        " AND created_ms BETWEEN ? AND ? AND given_up_ms IS NULL AND json_extract(notification, '$.cause') = ?"
        " AND json_extract(notification, '$.database') <> ? ORDER BY id LIMIT 1",
        (
            _LATEST,
            channel,
            notification.incident,
            to_ms(now - within) + 1,
            to_ms(now),
            notification.cause.value,
            notification.database,
        ),
    ).fetchone()
    if first is None:
        return None
    incident, first_ms = first
    until = group_until(from_ms(first_ms), now, within)
    if hold is not None:
        until = max(until, hold.until)
    connection.execute(
        "UPDATE outbox SET not_before_ms = max(not_before_ms, ?) WHERE channel = ? AND held_with = ?"
        f" AND {WAITING} AND kind IN ({among}) AND attempts = 0",
        (to_ms(until), channel, incident),
    )
    return Hold(reason=HoldReason.GROUPED, until=until, with_incident=incident)


def release_groups(connection: sqlite3.Connection) -> None:
    """Make what is held to be told with others due: there will be no more of them."""
    connection.execute(
        f"UPDATE outbox SET not_before_ms = created_ms WHERE {WAITING} AND held_for = ? AND attempts = 0",
        (HoldReason.GROUPED.value,),
    )


def group_of(connection: sqlite3.Connection, incident: int) -> list[int]:
    """The incidents whose latest opening was told together with that of this one, or held to be; itself too."""
    rows = connection.execute(
        f"SELECT channel, incident_id, id, held_with FROM outbox WHERE kind IN ({_OPENINGS}) ORDER BY id"
    )
    latest = {(channel, number): (row, held_with) for channel, number, row, held_with in rows}

    def group(channel: str, number: int) -> tuple[int, bool]:
        row, held_with = latest[channel, number]
        first = held_with or number
        # What was the first of a group, and opened again alone since, is not of that group any more.
        first_row, is_held = latest.get((channel, first), (0, None))
        return first, is_held is not None or row >= first_row

    return sorted(
        {incident}.union(
            number
            for channel, number in latest
            if (channel, incident) in latest and group(channel, number) == group(channel, incident)
        )
    )


def give_up_reminders(connection: sqlite3.Connection, incident: int, now: datetime) -> None:
    """Of what somebody has acknowledged nobody is reminded, whatever the reminder has waited for."""
    connection.execute(
        "UPDATE outbox SET given_up_ms = ?, last_error = 'acknowledged'"
        f" WHERE incident_id = ? AND kind = ? AND {FREE}",
        (to_ms(now), incident, NotificationKind.REMINDER.value),
    )


def was_enqueued(connection: sqlite3.Connection, notification: Notification, since: datetime) -> bool:
    """True when one of that title about that database, and about no incident, was added since then."""
    sql = "SELECT notification FROM outbox WHERE incident_id IS NULL AND created_ms >= ?"
    rows = (json.loads(text) for (text,) in connection.execute(sql, (to_ms(since),)))
    return any((row["title"], row["database"]) == (notification.title, notification.database) for row in rows)


def release(connection: sqlite3.Connection, incident: int, reword: Callable[[Notification], Notification]) -> bool:
    """Make what waits for an incident's diagnosis due, reworded, unless a channel has begun to send it as it is.

    All channels tell the same. False where there was none to reword.
    """
    rows = connection.execute(
        f"SELECT id, notification FROM outbox WHERE incident_id = ? AND {WAITING}"
        " AND held_for IS NOT NULL AND attempts = 0",
        (incident,),
    ).fetchall()
    # One that opened again was told before; the messages of one event have the same moment.
    has_begun = connection.execute(
        "SELECT 1 FROM outbox WHERE incident_id = ?1 AND attempts > 0 AND created_ms ="
        f" (SELECT max(created_ms) FROM outbox WHERE incident_id = ?1 AND {WAITING}) LIMIT 1",
        (incident,),
    ).fetchone()
    connection.executemany(
        "UPDATE outbox SET notification = ? WHERE id = ?",
        [(text if has_begun else as_text(reword(from_json(json.loads(text)))), number) for number, text in rows],
    )
    connection.execute(
        "UPDATE outbox SET not_before_ms = NULL, held_for = NULL WHERE incident_id = ? AND held_for = ?",
        (incident, HoldReason.DIAGNOSIS.value),
    )
    return bool(rows) and not has_begun


def claim(
    connection: sqlite3.Connection,
    channel: str,
    now: datetime,
    known: Known = NOTHING_KNOWN,
    *,
    apart: Container[str] = (),
) -> Delivery | None:
    """The next delivery that is due on this channel, leased so that no other process sends it meanwhile.

    What has waited for a day is sent as one message that tells where things stand now. Of channels that are told
    of each incident `apart`, no message covers more than one.
    """
    if channels.is_blocked(connection, channel, now):
        return None
    groups = _ready(connection, channel, now, known)
    waiting = next_to_try(groups, now)
    if waiting is None:
        return None
    if channel in apart:
        groups = [waiting]
    if is_stale(waiting, now):
        stale = [each for each in groups if is_stale(each, now) and not is_under_way(each, now)]
        stale = [each for each in stale if not each[0].is_held(now)]
        delivery = missed(stale, [_standing(connection, each, now, missed=True) for each in stale], now)
    else:
        others = [each for each in groups if is_due(each, now)]
        delivery = next_delivery(waiting, others, lambda each: _as_it_stands(connection, each, now))
    _note_group(connection, delivery)
    told = delivery.notification.includes or (delivery.notification,)
    refs = {_first_ref(connection, channel, one.incident) for one in told}
    # Of several only where one message told of all of them.
    delivery = replace(delivery, reply_to=refs.pop() if len(refs) == 1 else None)
    connection.executemany(
        "UPDATE outbox SET attempts = attempts + 1, tried_ms = ?, due_ms = ?, last_error = NULL WHERE id = ?",
        [(to_ms(now), to_ms(now + LEASE), message.id) for message in delivery.messages],
    )
    return delivery


def _as_it_stands(connection: sqlite3.Connection, waiting: Sequence[OutboxMessage], now: datetime) -> Delivery:
    """What waits of one incident; told late by intent, an open one is told as it is by now."""
    delivery = delivery_of(waiting)
    told = delivery.notification
    if told.kind is NotificationKind.ONGOING:
        return replace(delivery, notification=_standing(connection, waiting, now, missed=False))
    if told.until is None and any(_was_quiet(message) for message in waiting):
        found = _standing(connection, waiting, now, missed=False)
        if found.until is None:
            # As what it is told was decided before: of one that was never heard of, it is the beginning.
            return replace(delivery, notification=replace(found, kind=told.kind, before=told.before))
    return delivery


def _note_group(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Note what is told together after a silence or maintenance, as is noted of a group when it is held."""
    numbers = [one.incident for one in delivery.notification.includes if one.incident is not None]
    if numbers and delivery.messages[0].hold is not None and delivery.messages[0].hold.reason.is_quiet:
        connection.executemany(
            "UPDATE outbox SET held_with = ? WHERE id = ?",
            [(numbers[0], message.id) for message in delivery.messages],
        )


def _first_ref(connection: sqlite3.Connection, channel: str, incident: int | None) -> str | None:
    """What the channel calls the first message about that incident, where it has given it a name."""
    row = connection.execute(
        "SELECT message_ref FROM outbox WHERE channel = ? AND incident_id = ? AND message_ref IS NOT NULL"
        " ORDER BY id LIMIT 1",
        (channel, incident),
    ).fetchone()
    return row[0] if row and isinstance(row[0], str) else None


def next_due(
    connection: sqlite3.Connection, channel: str, now: datetime, known: Known = NOTHING_KNOWN
) -> datetime | None:
    """When the channel's next message may be tried, 1970 for one that is due; `None` when none waits for a try."""
    moments = [next_try(waiting, now) or from_ms(0) for waiting in _ready(connection, channel, now, known)]
    sql = f"SELECT min(not_before_ms) FROM outbox WHERE channel = ?1 AND {WAITING} AND {_IS_HELD}"
    (held_ms,) = connection.execute(sql, (channel, to_ms(now))).fetchone()
    moments += [] if held_ms is None else [from_ms(held_ms)]
    if not moments:
        return None
    return max(min(moments), channels.blocked_until(connection, channel) or from_ms(0))


def waiting_since(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    """Since when the message waits that has waited longest; `None` when none does.

    A hold is no waiting. Nor is it that what is told as it stands waits until that is known, before its first try.
    """
    names = connection.execute(f"SELECT DISTINCT channel FROM outbox WHERE {WAITING}").fetchall()
    groups = (until_held(each, now) for (name,) in names for each in by_incident(connection, name, now))
    return min(
        (
            message.ready_at
            for waiting in groups
            if not waiting[0].is_held(now) and (_was_tried(waiting) or not _tells_what_stands(waiting, now))
            for message in waiting
        ),
        default=None,
    )


def _was_tried(waiting: Sequence[OutboxMessage]) -> bool:
    return any(message.has_failed or message.attempts > 1 for message in waiting)


def retry_now(connection: sqlite3.Connection) -> None:
    """Make every waiting message due, but for those being sent and for a wait that a channel asked for."""
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE {FREE}")


def messages_pending(connection: sqlite3.Connection) -> int:
    """How many messages wait to be sent or are being sent, on all channels."""
    number: int = connection.execute(f"SELECT count(*) FROM outbox WHERE {WAITING}").fetchone()[0]
    return number


def read_message(connection: sqlite3.Connection, number: int) -> OutboxMessage:
    """The message of that number, waiting or not."""
    return _message(
        *connection.execute(f"SELECT {_MESSAGE_COLUMNS} FROM outbox WHERE id = ?", (number,)).fetchone()
    )


def as_text(notification: Notification) -> str:
    return json.dumps(to_json(notification), separators=(",", ":"))


def by_incident(connection: sqlite3.Connection, channel: str, now: datetime) -> list[list[OutboxMessage]]:
    """The channel's waiting messages by incident, the oldest group first; one without an incident is alone.

    Incidents of which all is held are left out: a silence of days may hold thousands. Of the others a thousand are
    there, each with all that waits of it: those that are not over, then the oldest.
    """
    rows = connection.execute(
        f"SELECT {_MESSAGE_COLUMNS} FROM outbox WHERE channel = ?1 AND {WAITING}"
        f" AND {_GROUP} IN (SELECT {_GROUP} FROM outbox WHERE channel = ?1 AND {WAITING}"
        f" GROUP BY 1 HAVING NOT min({_IS_HELD}) ORDER BY max(id) = max(id * (kind IN ({_ENDS}))), min(id)"
        f" LIMIT {_MOST_INCIDENTS}) ORDER BY id",
        (channel, to_ms(now)),
    )
    groups: dict[tuple[str, int], list[OutboxMessage]] = {}
    for columns in rows:
        message = _message(*columns)
        incident = message.notification.incident
        key = ("outbox", message.id) if incident is None else ("incident", incident)
        groups.setdefault(key, []).append(message)
    return list(groups.values())


def _ready(
    connection: sqlite3.Connection, channel: str, now: datetime, known: Known
) -> list[Sequence[OutboxMessage]]:
    """The waiting groups, without those that are told as they stand now while that is not known.

    What is held of an incident and what came after it wait together.
    """
    return [
        waiting
        for waiting in (until_held(each, now) for each in by_incident(connection, channel, now))
        if (not _tells_what_stands(waiting, now) or _is_known_now(connection, waiting, known.checked))
        and (not _is_unproven(waiting) or _fails_now(connection, waiting, now - known.recheck_within))
    ]


def _tells_what_stands(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    """True where what is true now is told, not what happened: the first check after a start may find it over."""
    return _is_told_as_it_stands(waiting) or is_stale(waiting, now)


def _is_told_as_it_stands(waiting: Sequence[OutboxMessage]) -> bool:
    return any(message.notification.kind is NotificationKind.ONGOING or _was_quiet(message) for message in waiting)


def _was_quiet(message: OutboxMessage) -> bool:
    return message.hold is not None and message.hold.reason.is_quiet


def _is_unproven(waiting: Sequence[OutboxMessage]) -> bool:
    """True for what opened while nothing else could be reached either, and is not over.

    That it can be delivered proves that there is a network, which there may not have been: it is sent right after
    a check that failed again.
    """
    notifications = [message.notification for message in waiting]
    is_over = any(one.until is not None for one in notifications)
    return not is_over and any(one.nothing_reached and one.is_beginning for one in notifications)


def _fails_now(connection: sqlite3.Connection, waiting: Sequence[OutboxMessage], since: datetime) -> bool:
    name = waiting[0].notification.database
    state, _ = read_state(connection, database_id(connection, name or ""))
    return fails_since(state, since)


def _is_known_now(
    connection: sqlite3.Connection, waiting: Sequence[OutboxMessage], checked: Container[str]
) -> bool:
    number = waiting[0].notification.incident
    found = None if number is None else find_incident(connection, number)
    if found is None or found[1].closed_at is not None:
        return True
    name, _ = found
    state, _ = read_state(connection, database_id(connection, name))
    return name in checked and not is_recovering(state)


def _standing(
    connection: sqlite3.Connection, waiting: Sequence[OutboxMessage], now: datetime, *, missed: bool
) -> Notification:
    """Where the incident stands; what is about no incident, or about one whose row is lost, as it was told."""
    latest = next_delivery(waiting).notification
    found = None if latest.incident is None else find_incident(connection, latest.incident)
    return latest if found is None else standing(found[1], found[0], now, missed=missed)


@lru_cache(maxsize=1000)
def _notification(text: str) -> Notification:
    """Cached, since whatever comes of a thousand databases at one instant is read anew for each that is sent."""
    return from_json(json.loads(text))


def _message(*columns: Any) -> OutboxMessage:
    number, channel, notification, created, attempts, tried, due, error, *held = columns
    not_before, held_for, held_with = held
    with reading("an outbox message"):
        return OutboxMessage(
            id=number,
            channel=channel,
            notification=_notification(notification),
            created_at=from_ms(created),
            attempts=attempts,
            tried_at=from_ms_or_none(tried),
            due_at=from_ms_or_none(due),
            last_error=error,
            hold=Hold(until=from_ms(not_before), reason=HoldReason(held_for), with_incident=held_with)
            if held_for
            else None,
        )
