"""Which channels are told, also when the channels change; and what became of it: counted, retried, given up."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.alerts.holds import Hold
from monitor.alerts.notification import EVERYTHING, Notification, NotificationKind, Route, Routes, receivers
from monitor.alerts.retry_policy import (
    LONG_WAIT,
    LONGEST_PAUSE,
    PAUSE_WHEN_REFUSED,
    STALE_AFTER,
    Delivery,
    DeliveryResult,
    DeliveryStatus,
    OutboxMessage,
    has_failed_just_now,
    pause_before_retry,
)
from monitor.incidents.rules import standing
from monitor.lib.times import from_ms_or_none, to_ms
from monitor.store.tables import channels
from monitor.store.tables.incidents import read_incidents
from monitor.store.tables.outbox import ENDS, FREE, WAITING, by_incident, enqueue

# After so many tries in vain a channel counts as unreachable: half a minute at least.
_UNREACHABLE_AFTER_TRIES = 6
_UNREACHABLE_TOLD_AFTER = timedelta(minutes=10)
SENT = "sent"
FAILED = "failed"
RESULTS = (SENT, FAILED)
_NOT_CONFIGURED = "the channel is not configured any more"
# It was being sent when the program was killed.
_PERHAPS_SENT = f"{_NOT_CONFIGURED}; it may have arrived"
# What may be the first that a channel with a route takes of an incident.
_MAY_BE_NEW = (NotificationKind.CHANGED, NotificationKind.REOPENED)


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


def give_up_removed(connection: sqlite3.Connection, configured: Iterable[str], now: datetime) -> dict[str, int]:
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
        is_end_heard = list(kinds)[-1:] in [[kind.value] for kind in ENDS]
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


def delivery_counts(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The attempts by channel and result, `sent` or `failed`."""
    rows = connection.execute("SELECT channel, result, number FROM delivery_count ORDER BY channel, result")
    return {(channel, result): number for channel, result, number in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryEffect:
    """What an acknowledged delivery changed: why it was given up, whether the channel broke or recovered.

    `pause` is a wait of more than an hour that the channel asked for, told once until it takes a message again.
    `unreachable_since` is there once that has lasted so long that people should know, with each try.
    """

    gave_up: str = ""
    broke: bool = False
    recovered: bool = False
    pause: timedelta | None = None
    unreachable_since: datetime | None = None


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
        # The channel asked to be left alone for so long; what this message waits beyond that, others need not.
        wish = min(result.retry_after, STALE_AFTER)
        if wish >= LONG_WAIT and not channels.asked_for_a_long_wait(connection, delivery.channel):
            long_pause = wish
        channels.remember(connection, delivery.channel, blocked_ms=to_ms(now), blocked_until_ms=to_ms(now + wish))
    if refused and _is_refused_for_itself(connection, delivery, result):
        _failed(connection, delivery.messages, result, now, due_at=None)
        return DeliveryEffect(gave_up="it is refused again while others arrive")
    _failed(connection, delivery.messages, result, now, due_at=now + pause)
    if refused:
        return DeliveryEffect(broke=channels.mark_broken(connection, delivery.channel, result.detail, now))
    since = None
    if long_pause is not None or delivery.attempts + 1 >= _UNREACHABLE_AFTER_TRIES:
        since = _unreachable_since(connection, delivery.channel, result, now)
    return DeliveryEffect(pause=long_pause, unreachable_since=since)


def note_probe(
    connection: sqlite3.Connection, channel: str, result: DeliveryResult, now: datetime
) -> DeliveryEffect:
    """Note what a channel answered when it was probed without a message.

    It is broken after a refusal, and unreachable after no answer. A mark of being broken goes when nothing waits
    that could show it better; else what waits is due, and shows it.
    """
    if result.move is not None:
        channels.remember(
            connection, channel, chat_id_before=result.move.old_chat_id, chat_id=result.move.new_chat_id
        )
    if result.status is DeliveryStatus.PERMANENT:
        return DeliveryEffect(broke=channels.mark_broken(connection, channel, result.detail, now))
    if result.status is DeliveryStatus.RETRY:
        return DeliveryEffect(unreachable_since=_unreachable_since(connection, channel, result, now))
    channels.mark_reached(connection, channel)
    if result.status is not DeliveryStatus.CONFIRMED or not channels.is_broken(connection, channel):
        return DeliveryEffect()
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE channel = ? AND {FREE}", (channel,))
    if by_incident(connection, channel, now):
        return DeliveryEffect()
    return DeliveryEffect(recovered=channels.mark_recovered(connection, channel))


def _unreachable_since(
    connection: sqlite3.Connection, channel: str, result: DeliveryResult, now: datetime
) -> datetime | None:
    """Note that the channel is; since when, where that should be told. A long wait was told as what it is."""
    channels.mark_unreachable(connection, channel, result.detail, now)
    since = channels.read_channel(connection, channel).unreachable_since
    if since is None or now - since < _UNREACHABLE_TOLD_AFTER:
        return None
    return None if channels.asked_for_a_long_wait(connection, channel) else since


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
    connection.execute(f"UPDATE outbox SET due_ms = NULL WHERE channel = ? AND {FREE}", (delivery.channel,))
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
        f"UPDATE outbox SET tried_ms = ?, due_ms = ?, last_error = ?, given_up_ms = ? WHERE id = ? AND {WAITING}",
        [(to_ms(now), due_ms, result.detail, given_up_ms, message.id) for message in messages],
    )


def _others_failed_just_now(connection: sqlite3.Connection, delivery: Delivery, now: datetime) -> bool:
    claimed = connection.execute("SELECT tried_ms FROM outbox WHERE id = ?", (delivery.messages[0].id,)).fetchone()
    own = {message.id for message in delivery.messages}
    others = [
        message
        for waiting in by_incident(connection, delivery.channel, now)
        for message in waiting
        if message.id not in own
    ]
    return has_failed_just_now(others, from_ms_or_none(claimed and claimed[0]) or now)


def _put_off(connection: sqlite3.Connection, channel: str, until: datetime) -> None:
    """Two messages failed one after the other: it is the channel, and nothing else is tried meanwhile."""
    connection.execute(
        f"UPDATE outbox SET due_ms = ? WHERE channel = ? AND ifnull(due_ms, 0) < ? AND {FREE}",
        (to_ms(until), channel, to_ms(until)),
    )


def _is_refused_for_itself(connection: sqlite3.Connection, delivery: Delivery, result: DeliveryResult) -> bool:
    """It was refused before, in the same words, and others have arrived since."""
    refused = [each.tried_at for each in delivery.messages if each.tried_at and each.last_error == result.detail]
    sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ? AND delivered_ms > ?)"
    return any(connection.execute(sql, (delivery.channel, to_ms(moment))).fetchone()[0] for moment in refused)
