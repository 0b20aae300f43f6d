"""Rows of the outbox: enqueued, claimed, acknowledged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitor.alerts.notification import Notification, NotificationKind, from_json, to_json
from monitor.alerts.retry_policy import (
    LEASE,
    LONG_WAIT,
    LONGEST_PAUSE,
    PAUSE_WHEN_REFUSED,
    STALE_AFTER,
    Delivery,
    DeliveryResult,
    DeliveryStatus,
    OutboxMessage,
    has_failed_just_now,
    is_stale,
    is_under_way,
    missed,
    next_delivery,
    next_to_try,
    next_try,
    pause_before_retry,
)
from monitor.incidents.rules import fails_since, is_recovering, standing
from monitor.lib.times import from_ms, from_ms_or_none, to_ms
from monitor.store.errors import reading
from monitor.store.tables import channels
from monitor.store.tables.incidents import database_id, find_incident, read_incidents, read_state

SENT = "sent"
FAILED = "failed"
RESULTS = (SENT, FAILED)


def delivery_counts(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The attempts by channel and result, `sent` or `failed`."""
    rows = connection.execute("SELECT channel, result, number FROM delivery_count ORDER BY channel, result")
    return {(channel, result): number for channel, result, number in rows}


_WAITING = "delivered_ms IS NULL AND given_up_ms IS NULL"
# Neither claimed by somebody who is sending it right now, nor by somebody who was killed meanwhile.
_FREE = f"{_WAITING} AND (tried_ms IS NULL OR due_ms IS NULL OR last_error IS NOT NULL)"
_MESSAGE_COLUMNS = "id, channel, notification, created_ms, attempts, tried_ms, due_ms, last_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """How fresh what the file says is: the databases that were `checked` since the start.

    What may be our own network's trouble must have been found again `recheck_within` the time before it is told.
    """

    checked: Container[str] = ()
    recheck_within: timedelta = timedelta(0)


NOTHING_KNOWN = Known()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryEffect:
    """What an acknowledged delivery changed: why it was given up, whether the channel broke or recovered.

    `pause` is a wait of more than an hour that the channel asked for, told once until it takes a message again.
    """

    gave_up: str = ""
    broke: bool = False
    recovered: bool = False
    pause: timedelta | None = None


def enqueue(
    connection: sqlite3.Connection,
    notification: Notification,
    channels: Iterable[str],
    held: tuple[datetime, datetime] | None = None,
) -> None:
    """Add one message per channel, due at once, or `held` from one moment to another.

    A held message has the columns of one that is leased, so that `claim` leaves it alone until the lease is over.
    """
    held_ms = (None, None) if held is None else tuple(map(to_ms, held))
    row = (
        notification.incident,
        notification.kind.value,
        _as_text(notification),
        to_ms(notification.created_at),
        *held_ms,
    )
    connection.executemany(
        "INSERT INTO outbox (channel, incident_id, kind, notification, created_ms, tried_ms, due_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(name, *row) for name in channels],
    )


def has_title(connection: sqlite3.Connection, title: str, since: datetime) -> bool:
    """True when a notification of that title, about no incident, was added since then."""
    sql = "SELECT notification FROM outbox WHERE incident_id IS NULL AND created_ms >= ?"
    return any(json.loads(text)["title"] == title for (text,) in connection.execute(sql, (to_ms(since),)))


def release(connection: sqlite3.Connection, incident: int, reword: Callable[[Notification], Notification]) -> bool:
    """Make what is held of an incident due, reworded, unless a channel has begun to send it as it is.

    All channels tell the same. False where there was none to reword.
    """
    has_begun = connection.execute(
        "SELECT 1 FROM outbox WHERE incident_id = ? AND attempts > 0 LIMIT 1", (incident,)
    ).fetchone()
    rows = connection.execute(
        f"SELECT id, notification FROM outbox WHERE incident_id = ? AND {_WAITING}"
        " AND attempts = 0 AND tried_ms IS NOT NULL AND last_error IS NULL",
        (incident,),
    ).fetchall()
    connection.executemany(
        "UPDATE outbox SET notification = ?, tried_ms = NULL, due_ms = NULL WHERE id = ?",
        [(text if has_begun else _as_text(reword(from_json(json.loads(text)))), number) for number, text in rows],
    )
    return bool(rows) and not has_begun


def claim(
    connection: sqlite3.Connection, channel: str, now: datetime, known: Known = NOTHING_KNOWN
) -> Delivery | None:
    """The next delivery that is due on this channel, leased so that no other process sends it meanwhile.

    What has waited for a day is sent as one message that tells where things stand now.
    """
    if channels.is_blocked(connection, channel, now):
        return None
    groups = _ready(connection, channel, now, known)
    waiting = next_to_try(groups, now)
    if waiting is None:
        return None
    if is_stale(waiting, now):
        stale = [each for each in groups if is_stale(each, now) and not is_under_way(each, now)]
        delivery = missed(stale, [_standing(connection, each, now) for each in stale], now)
    else:
        delivery = next_delivery(waiting)
    delivery = replace(delivery, reply_to=_first_ref(connection, channel, delivery.notification.incident))
    connection.executemany(
        "UPDATE outbox SET attempts = attempts + 1, tried_ms = ?, due_ms = ?, last_error = NULL WHERE id = ?",
        [(to_ms(now), to_ms(now + LEASE), message.id) for message in delivery.messages],
    )
    return delivery


def _first_ref(connection: sqlite3.Connection, channel: str, incident: int | None) -> str | None:
    """What the channel calls the first message about that incident, where it has given it a name."""
    row = connection.execute(
        "SELECT message_ref FROM outbox WHERE channel = ? AND incident_id = ? AND message_ref IS NOT NULL"
        " ORDER BY id LIMIT 1",
        (channel, incident),
    ).fetchone()
    return row[0] if row and isinstance(row[0], str) else None


def acknowledge(
    connection: sqlite3.Connection, delivery: Delivery, result: DeliveryResult, now: datetime, jitter: float
) -> DeliveryEffect:
    """Note the channel's answer for every message that the delivery covered. `jitter` is from 0 to 1."""
    connection.execute(
        "INSERT INTO delivery_count (channel, result, number) VALUES (?, ?, 1)"
        " ON CONFLICT (channel, result) DO UPDATE SET number = number + 1",
        (delivery.channel, SENT if result.is_sent else FAILED),
    )
    if result.move is not None:
        old, new = result.move.old_chat_id, result.move.new_chat_id
        channels.remember(connection, delivery.channel, chat_id_before=old, chat_id=new)
    if result.is_sent:
        return _sent(connection, delivery, result, now)
    refused = result.status is DeliveryStatus.PERMANENT
    # A refused message waits too, an hour at a time: whoever repairs the channel gets what was missed.
    pause = (
        PAUSE_WHEN_REFUSED if refused else pause_before_retry(delivery.attempts + 1, result.retry_after, jitter)
    )
    if _others_failed_just_now(connection, delivery, now):
        _put_off(connection, delivery.channel, now + min(pause, LONGEST_PAUSE))
    long_pause = None
    if result.retry_after is not None:
        # The channel itself asked to be left alone.
        if pause >= LONG_WAIT and not channels.asked_for_a_long_wait(connection, delivery.channel):
            long_pause = pause
        channels.remember(connection, delivery.channel, blocked_ms=to_ms(now), blocked_until_ms=to_ms(now + pause))
    if refused and _is_refused_for_itself(connection, delivery, result):
        _failed(connection, delivery.messages, result, now, due_at=None)
        return DeliveryEffect(gave_up="it is refused again while others arrive")
    _failed(connection, delivery.messages, result, now, due_at=now + pause)
    return DeliveryEffect(
        broke=refused and channels.mark_broken(connection, delivery.channel, result.detail, now), pause=long_pause
    )


def note_probe(
    connection: sqlite3.Connection, channel: str, result: DeliveryResult, now: datetime
) -> DeliveryEffect:
    """Note what a channel answered when it was probed without a message.

    It is broken after a refusal. A mark of being broken goes when nothing waits that could show it better; else
    what waits is due, and shows it.
    """
    if result.move is not None:
        channels.remember(
            connection, channel, chat_id_before=result.move.old_chat_id, chat_id=result.move.new_chat_id
        )
    if result.status is DeliveryStatus.PERMANENT:
        return DeliveryEffect(broke=channels.mark_broken(connection, channel, result.detail, now))
    if result.status is not DeliveryStatus.CONFIRMED or not channels.is_broken(connection, channel):
        return DeliveryEffect()
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE channel = ? AND {_FREE}", (channel,))
    if _by_incident(connection, channel):
        return DeliveryEffect()
    return DeliveryEffect(recovered=channels.mark_recovered(connection, channel))


def next_due(
    connection: sqlite3.Connection, channel: str, now: datetime, known: Known = NOTHING_KNOWN
) -> datetime | None:
    """When the channel's next message may be tried, 1970 for one that is due; `None` when none waits for a try."""
    moments = [next_try(waiting) or from_ms(0) for waiting in _ready(connection, channel, now, known)]
    if not moments:
        return None
    return max(min(moments), channels.blocked_until(connection, channel) or from_ms(0))


def retry_now(connection: sqlite3.Connection) -> None:
    """Make every waiting message due, but for those being sent and for a wait that a channel asked for."""
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE {_FREE}")


_NOT_CONFIGURED = "the channel is not configured any more"


def settle_removed(connection: sqlite3.Connection, configured: Iterable[str], now: datetime) -> dict[str, int]:
    """Give up what waits for channels that are not configured any more; return how many messages of each.

    Under a name that comes back they would be told days later, when they are not true any more.
    """
    names = list(configured)
    others = f"{_WAITING} AND channel NOT IN ({', '.join('?' * len(names))})"
    counts = dict(connection.execute(f"SELECT channel, count(*) FROM outbox WHERE {others} GROUP BY 1", names))
    connection.execute(
        f"UPDATE outbox SET given_up_ms = ?, last_error = ? WHERE {others}", (to_ms(now), _NOT_CONFIGURED, *names)
    )
    return counts


def who_heard(connection: sqlite3.Connection, incident: int, configured: Iterable[str]) -> list[str]:
    """The channels that were told of an incident, or will be by what waits."""
    sql = "SELECT DISTINCT channel FROM outbox WHERE incident_id = ? AND given_up_ms IS NULL"
    heard = {name for (name,) in connection.execute(sql, (incident,))}
    return [name for name in configured if name in heard]


def bring_up_to_date(connection: sqlite3.Connection, channel: str, destination: str, now: datetime) -> list[int]:
    """Enqueue where things stand for a channel that missed it; return the incidents that it is told of.

    That is each open incident of which it was never told, as it is for a channel that is new, and for one whose
    messages go to another `destination` than before; and the end of each whose beginning it was told.
    """
    is_replaced = channels.note_destination(connection, channel, destination)
    told = _told(connection, channel)
    missing = []
    for name, incident in read_incidents(connection, closed_too=True):
        kinds = told.get(incident.id, {})
        is_heard = bool(kinds) and (not is_replaced or not all(kinds.values()))
        is_end_heard = any(kind.value in kinds for kind in _ENDS)
        if is_heard if incident.closed_at is None else is_end_heard or not kinds:
            continue
        is_late = incident.closed_at is not None and now - incident.closed_at >= STALE_AFTER
        enqueue(connection, standing(incident, name, now, missed=is_late), (channel,))
        missing.append(incident.id)
    return missing


_ENDS = (NotificationKind.CLOSED, NotificationKind.MISSED, NotificationKind.UNWATCHED)


def _told(connection: sqlite3.Connection, channel: str) -> dict[int, dict[str, bool]]:
    """By incident, the kinds of what was delivered to a channel (true) or waits for it (false)."""
    told: dict[int, dict[str, bool]] = {}
    for incident, kind, is_delivered in connection.execute(
        "SELECT incident_id, kind, delivered_ms IS NOT NULL FROM outbox"
        " WHERE channel = ? AND incident_id IS NOT NULL AND given_up_ms IS NULL ORDER BY id",
        (channel,),
    ):
        told.setdefault(incident, {})[kind] = bool(is_delivered)
    return told


def kinds_delivered(connection: sqlite3.Connection, incident: int) -> dict[str, list[str]]:
    """What was delivered of an incident, by channel."""
    told: dict[str, list[str]] = {}
    for channel, kind in connection.execute(
        "SELECT DISTINCT channel, kind FROM outbox WHERE incident_id = ? AND delivered_ms IS NOT NULL"
        " ORDER BY channel, kind",
        (incident,),
    ):
        told.setdefault(channel, []).append(kind)
    return told


def note_delivered(
    connection: sqlite3.Connection, notification: Notification, channel: str, now: datetime
) -> None:
    """Note that this was delivered before the start, whether or not it waits here."""
    key = (channel, notification.incident, notification.kind.value)
    is_this = "channel = ?1 AND incident_id = ?2 AND kind = ?3"
    connection.execute(
        f"UPDATE outbox SET delivered_ms = ?4, last_error = NULL WHERE {is_this} AND {_WAITING}",
        (*key, to_ms(now)),
    )
    connection.execute(
        "INSERT INTO outbox (channel, incident_id, kind, notification, created_ms, delivered_ms)"
        f" SELECT ?1, ?2, ?3, ?4, ?5, ?5 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE {is_this})",
        (*key, _as_text(notification), to_ms(now)),
    )


def messages_pending(connection: sqlite3.Connection) -> int:
    """How many messages wait to be sent or are being sent, on all channels."""
    number: int = connection.execute(f"SELECT count(*) FROM outbox WHERE {_WAITING}").fetchone()[0]
    return number


def read_message(connection: sqlite3.Connection, number: int) -> OutboxMessage:
    """The message of that number, waiting or not."""
    return _message(
        *connection.execute(f"SELECT {_MESSAGE_COLUMNS} FROM outbox WHERE id = ?", (number,)).fetchone()
    )


def _as_text(notification: Notification) -> str:
    return json.dumps(to_json(notification), separators=(",", ":"))


def _by_incident(connection: sqlite3.Connection, channel: str) -> list[list[OutboxMessage]]:
    """The channel's waiting messages by incident, the oldest group first; one without an incident is alone."""
    rows = connection.execute(
        f"SELECT {_MESSAGE_COLUMNS} FROM outbox WHERE channel = ? AND {_WAITING} ORDER BY id LIMIT 1000",
        (channel,),
    )
    groups: dict[tuple[str, int], list[OutboxMessage]] = {}
    for columns in rows:
        message = _message(*columns)
        incident = message.notification.incident
        key = ("outbox", message.id) if incident is None else ("incident", incident)
        groups.setdefault(key, []).append(message)
    return list(groups.values())


def _ready(connection: sqlite3.Connection, channel: str, now: datetime, known: Known) -> list[list[OutboxMessage]]:
    """The waiting groups, without those that are told as they stand now while that is not known."""
    return [
        waiting
        for waiting in _by_incident(connection, channel)
        if (not is_stale(waiting, now) or _is_known_now(connection, waiting, known.checked))
        and (not _is_unproven(waiting) or _fails_now(connection, waiting, now - known.recheck_within))
    ]


def _is_unproven(waiting: Sequence[OutboxMessage]) -> bool:
    """True for what opened while nothing else could be reached either, and is not over.

    That it can be delivered proves that there is a network, which there may not have been: it is sent right after
    a check that failed again.
    """
    notifications = [message.notification for message in waiting]
    is_over = any(one.until is not None for one in notifications)
    return not is_over and any(
        one.nothing_reached and one.kind is NotificationKind.OPENED for one in notifications
    )


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


def _standing(connection: sqlite3.Connection, waiting: Sequence[OutboxMessage], now: datetime) -> Notification:
    """Where the incident stands; what is about no incident, or about one whose row is lost, as it was told."""
    latest = next_delivery(waiting).notification
    found = None if latest.incident is None else find_incident(connection, latest.incident)
    return latest if found is None else standing(found[1], found[0], now, missed=True)


def _message(*columns: Any) -> OutboxMessage:
    number, channel, notification, created, attempts, tried, due, error = columns
    with reading("an outbox message"):
        return OutboxMessage(
            id=number,
            channel=channel,
            notification=from_json(json.loads(notification)),
            created_at=from_ms(created),
            attempts=attempts,
            tried_at=from_ms_or_none(tried),
            due_at=from_ms_or_none(due),
            last_error=error,
        )


def _sent(
    connection: sqlite3.Connection, delivery: Delivery, result: DeliveryResult, now: datetime
) -> DeliveryEffect:
    """The channel works again, so nothing that waits for it needs to wait longer."""
    note = None if result.status is DeliveryStatus.CONFIRMED else f"unconfirmed: {result.detail}"
    connection.executemany(
        "UPDATE outbox SET delivered_ms = ?, last_error = ?, message_ref = ?"
        " WHERE id = ? AND delivered_ms IS NULL",
        [(to_ms(now), note, result.message_ref, message.id) for message in delivery.messages],
    )
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE channel = ? AND {_FREE}", (delivery.channel,))
    connection.execute(
        "UPDATE channel SET blocked_ms = NULL, blocked_until_ms = NULL WHERE name = ?", (delivery.channel,)
    )
    since = connection.execute("SELECT unconfirmed_ms FROM channel WHERE name = ?", (delivery.channel,)).fetchone()
    recovered = channels.mark_recovered(connection, delivery.channel)
    if note is not None:
        since_ms = since[0] if since and since[0] else to_ms(now)
        channels.remember(connection, delivery.channel, unconfirmed_ms=since_ms, reason=result.detail)
    return DeliveryEffect(recovered=recovered)


def _failed(
    connection: sqlite3.Connection,
    messages: Iterable[OutboxMessage],
    result: DeliveryResult,
    now: datetime,
    *,
    due_at: datetime | None,
) -> None:
    """Note when they are tried again; without `due_at` they are given up."""
    due_ms, given_up_ms = (None, to_ms(now)) if due_at is None else (to_ms(due_at), None)
    connection.executemany(
        f"UPDATE outbox SET tried_ms = ?, due_ms = ?, last_error = ?, given_up_ms = ? WHERE id = ? AND {_WAITING}",
        [(to_ms(now), due_ms, result.detail, given_up_ms, message.id) for message in messages],
    )


def _others_failed_just_now(connection: sqlite3.Connection, delivery: Delivery, now: datetime) -> bool:
    claimed = connection.execute("SELECT tried_ms FROM outbox WHERE id = ?", (delivery.messages[0].id,)).fetchone()
    own = {message.id for message in delivery.messages}
    others = [
        message
        for waiting in _by_incident(connection, delivery.channel)
        for message in waiting
        if message.id not in own
    ]
    return has_failed_just_now(others, from_ms_or_none(claimed and claimed[0]) or now)


def _put_off(connection: sqlite3.Connection, channel: str, until: datetime) -> None:
    """Two messages failed one after the other: it is the channel, and nothing else is tried meanwhile."""
    connection.execute(
        f"UPDATE outbox SET due_ms = ? WHERE channel = ? AND ifnull(due_ms, 0) < ? AND {_FREE}",
        (to_ms(until), channel, to_ms(until)),
    )


def _is_refused_for_itself(connection: sqlite3.Connection, delivery: Delivery, result: DeliveryResult) -> bool:
    """It was refused before, in the same words, and others have arrived since."""
    refused = [each.tried_at for each in delivery.messages if each.tried_at and each.last_error == result.detail]
    sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ? AND delivered_ms > ?)"
    return any(connection.execute(sql, (delivery.channel, to_ms(moment))).fetchone()[0] for moment in refused)
