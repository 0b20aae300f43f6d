"""What is remembered of each channel: whether it is broken, how long it asked to be left alone, where it leads."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.alerts.retry_policy import LONG_WAIT, ChatMove
from monitor.lib.times import from_ms_or_none, to_ms
from monitor.store.errors import reading

_CHANNEL_COLUMNS = (
    "name, broken_ms, unconfirmed_ms, reason, unreachable_ms, unreachable_reason, chat_id_before, chat_id"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelState:
    """What is remembered of a channel: since when it is in which trouble, why, and how its chat moved.

    `unreachable_since`: probes, or try after try to deliver, got no answer that tells whether one would arrive.
    """

    name: str
    broken_since: datetime | None = None
    unreachable_since: datetime | None = None
    unconfirmed_since: datetime | None = None
    reason: str = ""
    move: ChatMove | None = None

    @property
    def trouble(self) -> tuple[str, datetime] | None:
        """`broken`, `unreachable` or `unconfirmed`, the worst of them, and since when; `reason` is its own."""
        found = (
            ("broken", self.broken_since),
            ("unreachable", self.unreachable_since),
            ("unconfirmed", self.unconfirmed_since),
        )
        return next(((state, since) for state, since in found if since is not None), None)

    @property
    def is_ok(self) -> bool:
        """False while a message would not arrive, as far as is known."""
        return self.broken_since is None and self.unreachable_since is None


def channel_states(connection: sqlite3.Connection) -> dict[str, ChannelState]:
    """What is remembered of each channel, by name."""
    rows = connection.execute(f"SELECT {_CHANNEL_COLUMNS} FROM channel")
    return {row[0]: _channel_state(*row) for row in rows}


def read_channel(connection: sqlite3.Connection, name: str) -> ChannelState:
    """What is remembered of that channel, which must be known."""
    return _channel_state(
        *connection.execute(f"SELECT {_CHANNEL_COLUMNS} FROM channel WHERE name = ?", (name,)).fetchone()
    )


def mark_broken(connection: sqlite3.Connection, channel: str, reason: str, now: datetime) -> bool:
    """True when the channel was not broken before."""
    remember(connection, channel, reason=reason)
    mark_reached(connection, channel)
    sql = "UPDATE channel SET broken_ms = ? WHERE name = ? AND broken_ms IS NULL"
    return bool(connection.execute(sql, (to_ms(now), channel)).rowcount)


def mark_unreachable(connection: sqlite3.Connection, channel: str, reason: str, now: datetime) -> None:
    """It keeps the time since when. What is known to be broken stays that: to be out of reach refutes nothing."""
    if not is_broken(connection, channel):
        remember(connection, channel, unreachable_reason=reason)
        sql = "UPDATE channel SET unreachable_ms = ? WHERE name = ? AND unreachable_ms IS NULL"
        connection.execute(sql, (to_ms(now), channel))


def mark_reached(connection: sqlite3.Connection, channel: str) -> None:
    sql = "UPDATE channel SET unreachable_ms = NULL, unreachable_reason = NULL WHERE name = ?"
    connection.execute(sql, (channel,))


def mark_recovered(connection: sqlite3.Connection, channel: str) -> bool:
    """True when the channel was broken before."""
    was_broken = is_broken(connection, channel)
    mark_reached(connection, channel)
    sql = "UPDATE channel SET broken_ms = NULL, unconfirmed_ms = NULL, reason = NULL WHERE name = ?"
    connection.execute(sql, (channel,))
    return was_broken


def is_broken(connection: sqlite3.Connection, channel: str) -> bool:
    sql = "SELECT 1 FROM channel WHERE name = ? AND broken_ms IS NOT NULL"
    return connection.execute(sql, (channel,)).fetchone() is not None


def asked_for_a_long_wait(connection: sqlite3.Connection, channel: str) -> bool:
    sql = "SELECT 1 FROM channel WHERE name = ? AND blocked_until_ms - blocked_ms >= ?"
    return connection.execute(sql, (channel, LONG_WAIT // timedelta(milliseconds=1))).fetchone() is not None


def is_blocked(connection: sqlite3.Connection, channel: str, now: datetime) -> bool:
    """True during the wait that the channel asked for; a clock that was set back must not hold the channel."""
    sql = "SELECT blocked_ms, blocked_until_ms FROM channel WHERE name = ?"
    row = connection.execute(sql, (channel,)).fetchone()
    return row is not None and row[0] is not None and row[0] <= to_ms(now) < row[1]


def blocked_until(connection: sqlite3.Connection, channel: str) -> datetime | None:
    """The end of the last wait that the channel asked for, over or not."""
    row = connection.execute("SELECT blocked_until_ms FROM channel WHERE name = ?", (channel,)).fetchone()
    return from_ms_or_none(row[0]) if row else None


def _channel_state(*columns: Any) -> ChannelState:
    name, broken, unconfirmed, reason, unreachable, unreachable_reason, old, new = columns
    with reading("the state of a channel"):
        return ChannelState(
            name=name,
            broken_since=from_ms_or_none(broken),
            unreachable_since=from_ms_or_none(unreachable),
            unconfirmed_since=from_ms_or_none(unconfirmed),
            reason=(unreachable_reason if unreachable is not None else reason) or "",
            move=ChatMove(old_chat_id=old, new_chat_id=new) if old and new else None,
        )


def remember(connection: sqlite3.Connection, channel: str, **columns: str | int | bytes) -> None:
    connection.execute("INSERT OR IGNORE INTO channel (name) VALUES (?)", (channel,))
    assignments = ", ".join(f"{column} = ?" for column in columns)
    connection.execute(f"UPDATE channel SET {assignments} WHERE name = ?", (*columns.values(), channel))


def note_destination(connection: sqlite3.Connection, channel: str, destination: str) -> bool:
    """True when the channel's messages went elsewhere before; then what is remembered of it is forgotten.

    The address of a webhook is a secret, and a chat's number could be found by trying. So a fingerprint of two
    bytes is kept, made with a salt of the channel's own: whoever has the file can rule a guess out, and never
    confirm one. In one of 65,536 cases a replaced channel looks like the one before.
    """
    row = connection.execute("SELECT salt, fingerprint FROM channel WHERE name = ?", (channel,)).fetchone()
    salt, known = row or (None, None)
    salt = salt if isinstance(salt, bytes) else secrets.token_bytes(16)
    fingerprint = _fingerprint(destination, salt)
    if fingerprint == known:
        return False
    if known is not None:
        connection.execute("DELETE FROM channel WHERE name = ?", (channel,))
    remember(connection, channel, salt=salt, fingerprint=fingerprint)
    return known is not None


def note_credential(connection: sqlite3.Connection, channel: str, credential: str) -> None:
    """Note what opens the channel, kept as its destination is (which must be noted before).

    With another one than before, what the old one met counts no more: that it was refused, that its probes got no
    answer, and the wait that it was asked for. Telegram's limits are a bot's own.
    """
    sql = "SELECT salt, credential FROM channel WHERE name = ?"
    salt, known = connection.execute(sql, (channel,)).fetchone()
    fingerprint = _fingerprint(credential, salt)
    if known is not None and fingerprint != known:
        mark_recovered(connection, channel)
        sql = "UPDATE channel SET blocked_ms = NULL, blocked_until_ms = NULL WHERE name = ?"
        connection.execute(sql, (channel,))
    remember(connection, channel, credential=fingerprint)


def _fingerprint(secret: str, salt: bytes) -> bytes:
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=salt, digest_size=2).digest()
