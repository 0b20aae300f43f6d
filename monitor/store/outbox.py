"""Rows of parcels and channels: packed, claimed, settled. Each function runs in its caller's transaction.

Which parcels one message covers and when it is tried again is decided in `core.outbox`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.core.notice import Notice, from_json, to_json
from monitor.core.outbox import (
    LEASE,
    LONGEST_WISH,
    Dispatch,
    Parcel,
    Receipt,
    Verdict,
    goes_first,
    is_due,
    next_dispatch,
    pause_before_retry,
    should_give_up,
)
from monitor.store.rows import from_ms, from_ms_or_none, reading, to_ms

_WAITING = "delivered_ms IS NULL AND given_up_ms IS NULL"
_PARCEL_COLUMNS = "id, channel, notice, created_ms, attempts, tried_ms, due_ms, last_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelState:
    """What is remembered of a channel: since when and why it is broken, and the chat it moved to."""

    name: str
    broken_since: datetime | None = None
    reason: str = ""
    chat_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What settling changed, for the log: `gave_up` after a day, `broke` or `mended` the channel."""

    gave_up: bool = False
    broke: bool = False
    mended: bool = False


def pack(connection: sqlite3.Connection, notice: Notice, channels: Iterable[str]) -> None:
    """One parcel per channel."""
    text = json.dumps(to_json(notice), separators=(",", ":"))
    connection.executemany(
        "INSERT INTO parcel (channel, incident_id, kind, notice, created_ms) VALUES (?, ?, ?, ?, ?)",
        [(name, notice.incident, notice.kind.value, text, to_ms(notice.created_at)) for name in channels],
    )


def claim(connection: sqlite3.Connection, channel: str, now: datetime) -> Dispatch | None:
    """The next message that is due on this channel, leased so that no other process sends it meanwhile."""
    if _is_blocked(connection, channel, now):
        return None
    groups = _by_incident(connection, channel)
    if not any(is_due(waiting[0], now) for waiting in groups):
        return None
    for waiting in groups:
        dispatch = next_dispatch(waiting)
        if dispatch is None or not (is_due(waiting[0], now) or goes_first(waiting[0], now)):
            continue
        connection.executemany(
            "UPDATE parcel SET attempts = attempts + 1, tried_ms = ?, due_ms = ?, last_error = NULL WHERE id = ?",
            [(to_ms(now), to_ms(now + LEASE), parcel.id) for parcel in dispatch.parcels],
        )
        return dispatch
    return None


def settle(
    connection: sqlite3.Connection, dispatch: Dispatch, receipt: Receipt, now: datetime, jitter: float
) -> Settled:
    """Note the channel's answer for every parcel that the message covered."""
    if receipt.moved_to is not None:
        _remember(connection, dispatch.channel, "chat_id", receipt.moved_to)
    if receipt.verdict is Verdict.CONFIRMED:
        return _confirmed(connection, dispatch, now)
    # A refused parcel waits too, an hour at a time: whoever mends the channel gets what was missed.
    refused = receipt.verdict is Verdict.PERMANENT
    pause = LONGEST_WISH if refused else pause_before_retry(dispatch.attempts + 1, receipt.retry_after, jitter)
    gave_up = False
    for parcel in dispatch.parcels:
        over = should_give_up(parcel, now)
        gave_up = gave_up or over
        connection.execute(
            "UPDATE parcel SET tried_ms = ?, due_ms = ?, last_error = ?, given_up_ms = ? WHERE id = ?",
            (to_ms(now), to_ms(now + pause), receipt.detail, to_ms(now) if over else None, parcel.id),
        )
    if receipt.retry_after is not None:
        _remember(connection, dispatch.channel, "blocked_ms", to_ms(now))
        _remember(connection, dispatch.channel, "blocked_until_ms", to_ms(now + pause))
    return Settled(gave_up=gave_up, broke=refused and _mark_broken(connection, dispatch.channel, receipt, now))


def next_due(connection: sqlite3.Connection, channel: str) -> datetime | None:
    """When the channel's next parcel may be tried, long ago for one not tried yet; `None` when nothing waits.

    The oldest parcel of an incident speaks for those behind it: a closing is not due before its opening is.
    """
    heads = [waiting[0].due_at or from_ms(0) for waiting in _by_incident(connection, channel)]
    if not heads:
        return None
    blocked_until = connection.execute(
        "SELECT max(blocked_until_ms) FROM channel WHERE name = ?", (channel,)
    ).fetchone()[0]
    return max(min(heads), from_ms(blocked_until or 0))


def wake(connection: sqlite3.Connection) -> None:
    """Make what waits long due at once, as at a start: whoever restarts us may have mended a channel.

    A pause as short as a lease may be one, held by another process that is sending right now.
    """
    connection.execute(
        f"UPDATE parcel SET due_ms = NULL WHERE {_WAITING} AND due_ms - tried_ms > ?",
        (LEASE // timedelta(milliseconds=1),),
    )
    connection.execute("UPDATE channel SET blocked_ms = NULL, blocked_until_ms = NULL")


def channel_states(connection: sqlite3.Connection) -> dict[str, ChannelState]:
    """What is remembered of each channel, by name."""
    rows = connection.execute("SELECT name, broken_ms, reason, chat_id FROM channel")
    return {row[0]: _channel_state(*row) for row in rows}


def read_channel(connection: sqlite3.Connection, name: str) -> ChannelState:
    """What is remembered of that channel."""
    return _channel_state(
        *connection.execute(
            "SELECT name, broken_ms, reason, chat_id FROM channel WHERE name = ?", (name,)
        ).fetchone()
    )


def read_parcel(connection: sqlite3.Connection, number: int) -> Parcel:
    """The parcel of that number, waiting or not."""
    return _parcel(*connection.execute(f"SELECT {_PARCEL_COLUMNS} FROM parcel WHERE id = ?", (number,)).fetchone())


def _by_incident(connection: sqlite3.Connection, channel: str) -> list[list[Parcel]]:
    """The channel's waiting parcels, grouped by incident, oldest group first; one without incident is alone."""
    rows = connection.execute(
        f"SELECT {_PARCEL_COLUMNS} FROM parcel WHERE channel = ? AND {_WAITING} ORDER BY id LIMIT 1000", (channel,)
    )
    groups: dict[tuple[str, int], list[Parcel]] = {}
    for columns in rows:
        parcel = _parcel(*columns)
        incident = parcel.notice.incident
        key = ("parcel", parcel.id) if incident is None else ("incident", incident)
        groups.setdefault(key, []).append(parcel)
    return list(groups.values())


def _parcel(*columns: Any) -> Parcel:
    number, channel, notice, created, attempts, tried, due, error = columns
    with reading("a parcel"):
        return Parcel(
            id=number,
            channel=channel,
            notice=from_json(json.loads(notice)),
            created_at=from_ms(created),
            attempts=attempts,
            tried_at=from_ms_or_none(tried),
            due_at=from_ms_or_none(due),
            has_failed=error is not None,
        )


def _channel_state(*columns: Any) -> ChannelState:
    name, broken, reason, chat_id = columns
    with reading("the state of a channel"):
        return ChannelState(name=name, broken_since=from_ms_or_none(broken), reason=reason or "", chat_id=chat_id)


def _is_blocked(connection: sqlite3.Connection, channel: str, now: datetime) -> bool:
    row = connection.execute(
        "SELECT blocked_ms, blocked_until_ms FROM channel WHERE name = ?", (channel,)
    ).fetchone()
    # A clock that was set back must not hold the channel.
    return row is not None and row[0] is not None and row[0] <= to_ms(now) < row[1]


def _confirmed(connection: sqlite3.Connection, dispatch: Dispatch, now: datetime) -> Settled:
    connection.executemany(
        "UPDATE parcel SET delivered_ms = ?, last_error = NULL WHERE id = ?",
        [(to_ms(now), parcel.id) for parcel in dispatch.parcels],
    )
    mended = connection.execute(
        "UPDATE channel SET broken_ms = NULL, reason = NULL WHERE name = ? AND broken_ms IS NOT NULL",
        (dispatch.channel,),
    ).rowcount
    return Settled(mended=bool(mended))


def _mark_broken(connection: sqlite3.Connection, channel: str, receipt: Receipt, now: datetime) -> bool:
    """True when the channel was not broken before."""
    row = connection.execute("SELECT broken_ms FROM channel WHERE name = ?", (channel,)).fetchone()
    _remember(connection, channel, "reason", receipt.detail)
    if row is not None and row[0] is not None:
        return False
    _remember(connection, channel, "broken_ms", to_ms(now))
    return True


def _remember(connection: sqlite3.Connection, channel: str, column: str, value: str | int) -> None:
    connection.execute(
        f"INSERT INTO channel (name, {column}) VALUES (?, ?)"
        f" ON CONFLICT (name) DO UPDATE SET {column} = excluded.{column}",
        (channel, value),
    )
