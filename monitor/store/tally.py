"""Counters that never fall, whatever is pruned: how many messages each channel took, and how many tries failed.

Each function runs in a transaction that its caller holds.
"""

from __future__ import annotations

import sqlite3

SENT = "sent"
FAILED = "failed"


def tally(connection: sqlite3.Connection, channel: str, *, sent: bool) -> None:
    """Count one try to deliver a message."""
    connection.execute(
        "INSERT INTO tally (channel, result, number) VALUES (?, ?, 1)"
        " ON CONFLICT (channel, result) DO UPDATE SET number = number + 1",
        (channel, SENT if sent else FAILED),
    )


def read_tallies(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The tries by channel and result, `sent` or `failed`."""
    rows = connection.execute("SELECT channel, result, number FROM tally ORDER BY channel, result")
    return {(channel, result): number for channel, result, number in rows}
