"""Rows of channels: broken, blocked at their own wish, moved. Each function runs in its caller's transaction.

What waits for a channel is kept in `outbox`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.alerts.retry_policy import ChatMove
from monitor.store.tables.rows import from_ms_or_none, reading, to_ms

_COLUMNS = "name, broken_ms, reason, chat_id_before, chat_id"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelState:
    """What is remembered of a channel: since when and why it is broken, and how its chat moved."""

    name: str
    broken_since: datetime | None = None
    reason: str = ""
    move: ChatMove | None = None


def channel_states(connection: sqlite3.Connection) -> dict[str, ChannelState]:
    """What is remembered of each channel, by name."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM channel")
    return {row[0]: _channel_state(*row) for row in rows}


def read_channel(connection: sqlite3.Connection, name: str) -> ChannelState:
    """What is remembered of that channel, which must be known."""
    return _channel_state(
        *connection.execute(f"SELECT {_COLUMNS} FROM channel WHERE name = ?", (name,)).fetchone()
    )


def mark_broken(connection: sqlite3.Connection, channel: str, reason: str, now: datetime) -> bool:
    """True when the channel was not broken before."""
    row = connection.execute("SELECT broken_ms FROM channel WHERE name = ?", (channel,)).fetchone()
    _remember(connection, channel, reason=reason)
    if row is not None and row[0] is not None:
        return False
    _remember(connection, channel, broken_ms=to_ms(now))
    return True


def mark_mended(connection: sqlite3.Connection, channel: str) -> bool:
    """True when the channel was broken before."""
    sql = "UPDATE channel SET broken_ms = NULL, reason = NULL WHERE name = ? AND broken_ms IS NOT NULL"
    return bool(connection.execute(sql, (channel,)).rowcount)


def block(connection: sqlite3.Connection, channel: str, now: datetime, until: datetime) -> None:
    """The channel itself asked for patience until then."""
    _remember(connection, channel, blocked_ms=to_ms(now), blocked_until_ms=to_ms(until))


def is_blocked(connection: sqlite3.Connection, channel: str, now: datetime) -> bool:
    """A clock that was set back must not hold the channel."""
    sql = "SELECT blocked_ms, blocked_until_ms FROM channel WHERE name = ?"
    row = connection.execute(sql, (channel,)).fetchone()
    return row is not None and row[0] is not None and row[0] <= to_ms(now) < row[1]


def blocked_until(connection: sqlite3.Connection, channel: str) -> datetime | None:
    """The end of the last wait that the channel asked for, over or not."""
    row = connection.execute("SELECT blocked_until_ms FROM channel WHERE name = ?", (channel,)).fetchone()
    return from_ms_or_none(row[0]) if row else None


def remember_move(connection: sqlite3.Connection, channel: str, move: ChatMove) -> None:
    _remember(connection, channel, chat_id_before=move.old_chat_id, chat_id=move.new_chat_id)


def _channel_state(*columns: Any) -> ChannelState:
    name, broken, reason, old, new = columns
    with reading("the state of a channel"):
        return ChannelState(
            name=name,
            broken_since=from_ms_or_none(broken),
            reason=reason or "",
            move=ChatMove(old_chat_id=old, new_chat_id=new) if old and new else None,
        )


def _remember(connection: sqlite3.Connection, channel: str, **columns: str | int) -> None:
    connection.execute("INSERT OR IGNORE INTO channel (name) VALUES (?)", (channel,))
    assignments = ", ".join(f"{column} = ?" for column in columns)
    connection.execute(f"UPDATE channel SET {assignments} WHERE name = ?", (*columns.values(), channel))
