"""Rows of outbox messages: packed, claimed, settled. Each function runs in its caller's transaction.

Which outbox messages one message covers and when it is tried again is decided in `core.outbox`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.alerts.notification import Notification, from_json, to_json
from monitor.alerts.retry_policy import (
    LEASE,
    LONGEST_PAUSE,
    PAUSE_WHEN_REFUSED,
    Delivery,
    DeliveryResult,
    DeliveryStatus,
    OutboxMessage,
    has_failed_just_now,
    next_delivery,
    next_to_try,
    next_try,
    pause_before_retry,
    should_give_up,
)
from monitor.store.tables import channels as channel_state
from monitor.store.tables.rows import from_ms, from_ms_or_none, reading, to_ms

SENT = "sent"
FAILED = "failed"
RESULTS = (SENT, FAILED)


def tally(connection: sqlite3.Connection, channel: str, *, sent: bool) -> None:
    """Count one try to deliver a message."""
    connection.execute(
        "INSERT INTO delivery_count (channel, result, number) VALUES (?, ?, 1)"
        " ON CONFLICT (channel, result) DO UPDATE SET number = number + 1",
        (channel, SENT if sent else FAILED),
    )


def read_tallies(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The tries by channel and result, `sent` or `failed`."""
    rows = connection.execute("SELECT channel, result, number FROM delivery_count ORDER BY channel, result")
    return {(channel, result): number for channel, result, number in rows}


_WAITING = "delivered_ms IS NULL AND given_up_ms IS NULL"
# Neither claimed by somebody who is sending it right now, nor by somebody who was killed meanwhile.
_FREE = f"{_WAITING} AND (tried_ms IS NULL OR due_ms IS NULL OR last_error IS NOT NULL)"
_MESSAGE_COLUMNS = "id, channel, notification, created_ms, attempts, tried_ms, due_ms, last_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryEffect:
    """What settling changed, for the log: `gave_up` says why, `broke` or `mended` the channel."""

    gave_up: str = ""
    broke: bool = False
    mended: bool = False


def pack(
    connection: sqlite3.Connection,
    notification: Notification,
    channels: Iterable[str],
    held: tuple[datetime, datetime] | None = None,
) -> None:
    """One outbox message per channel, `held` from one moment to another like one that is on its way, or due at
    once.
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


def release(connection: sqlite3.Connection, incident: int, reword: Callable[[Notification], Notification]) -> None:
    """Make what is held of an incident due, in other words; what is on its way by now stays as it is."""
    rows = connection.execute(
        f"SELECT id, notification FROM outbox WHERE incident_id = ? AND {_WAITING}"
        " AND attempts = 0 AND tried_ms IS NOT NULL AND last_error IS NULL",
        (incident,),
    ).fetchall()
    connection.executemany(
        "UPDATE outbox SET notification = ?, tried_ms = NULL, due_ms = NULL WHERE id = ?",
        [(_as_text(reword(from_json(json.loads(text)))), number) for number, text in rows],
    )


def claim(connection: sqlite3.Connection, channel: str, now: datetime) -> Delivery | None:
    """The next message that is due on this channel, leased so that no other process sends it meanwhile."""
    if channel_state.is_blocked(connection, channel, now):
        return None
    waiting = next_to_try(_by_incident(connection, channel), now)
    if waiting is None:
        return None
    delivery = next_delivery(waiting)
    connection.executemany(
        "UPDATE outbox SET attempts = attempts + 1, tried_ms = ?, due_ms = ?, last_error = NULL WHERE id = ?",
        [(to_ms(now), to_ms(now + LEASE), message.id) for message in delivery.messages],
    )
    return delivery


def settle(
    connection: sqlite3.Connection, delivery: Delivery, result: DeliveryResult, now: datetime, jitter: float
) -> DeliveryEffect:
    """Note the channel's answer for every outbox message that the message covered."""
    tally(connection, delivery.channel, sent=result.status is DeliveryStatus.CONFIRMED)
    if result.move is not None:
        channel_state.remember_move(connection, delivery.channel, result.move)
    if result.status is DeliveryStatus.CONFIRMED:
        return _confirmed(connection, delivery, now)
    refused = result.status is DeliveryStatus.PERMANENT
    # A refused outbox message waits too, an hour at a time: whoever mends the channel gets what was missed.
    pause = (
        PAUSE_WHEN_REFUSED if refused else pause_before_retry(delivery.attempts + 1, result.retry_after, jitter)
    )
    if _others_failed_just_now(connection, delivery, now):
        _put_off(connection, delivery.channel, now + min(pause, LONGEST_PAUSE))
    if result.retry_after is not None:
        channel_state.block(connection, delivery.channel, now, now + pause)
    if refused and _is_refused_for_itself(connection, delivery, result):
        _failed(connection, delivery.messages, result, now, due_at=None)
        return DeliveryEffect(gave_up="it is refused again while others arrive")
    over = [message for message in delivery.messages if should_give_up(message, now)]
    _failed(connection, over, result, now, due_at=None)
    _failed(connection, [each for each in delivery.messages if each not in over], result, now, due_at=now + pause)
    return DeliveryEffect(
        gave_up="a day of trying is over" if over else "",
        broke=refused and channel_state.mark_broken(connection, delivery.channel, result.detail, now),
    )


def next_due(connection: sqlite3.Connection, channel: str) -> datetime | None:
    """When the channel's next outbox message may be tried, long ago for one that is due; `None` when nothing
    waits.
    """
    moments = [next_try(waiting) or from_ms(0) for waiting in _by_incident(connection, channel)]
    if not moments:
        return None
    return max(min(moments), channel_state.blocked_until(connection, channel) or from_ms(0))


def wake(connection: sqlite3.Connection) -> None:
    """Make what waits due at once, as at a start: whoever restarts us may have mended a channel.

    A wait that a channel asked for itself is kept.
    """
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE {_FREE}")


def read_message(connection: sqlite3.Connection, number: int) -> OutboxMessage:
    """The outbox message of that number, waiting or not."""
    return _message(
        *connection.execute(f"SELECT {_MESSAGE_COLUMNS} FROM outbox WHERE id = ?", (number,)).fetchone()
    )


def _as_text(notification: Notification) -> str:
    return json.dumps(to_json(notification), separators=(",", ":"))


def _by_incident(connection: sqlite3.Connection, channel: str) -> list[list[OutboxMessage]]:
    """The channel's waiting outbox messages, grouped by incident, oldest group first; one without incident is
    alone.
    """
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


def _confirmed(connection: sqlite3.Connection, delivery: Delivery, now: datetime) -> DeliveryEffect:
    """The channel is there again, so nothing that waits for it needs to wait longer."""
    connection.executemany(
        "UPDATE outbox SET delivered_ms = ?, last_error = NULL WHERE id = ? AND delivered_ms IS NULL",
        [(to_ms(now), message.id) for message in delivery.messages],
    )
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE channel = ? AND {_FREE}", (delivery.channel,))
    return DeliveryEffect(mended=channel_state.mark_mended(connection, delivery.channel))


def _failed(
    connection: sqlite3.Connection,
    messages: Iterable[OutboxMessage],
    result: DeliveryResult,
    now: datetime,
    *,
    due_at: datetime | None,
) -> None:
    """Note when they are tried again; without a moment they are given up."""
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
