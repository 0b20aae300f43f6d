"""Silences in the file, and the hold of what happens during them or during maintenance."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitor.alerts.holds import HoldReason, Silence, quiet_hold
from monitor.config.settings import MaintenanceSettings
from monitor.lib.times import from_ms, to_ms
from monitor.store.errors import reading
from monitor.store.tables.outbox import WAITING

# What is over is remembered for as long as a message of its time may wait.
_REMEMBERED = timedelta(days=30)
_COLUMNS = "id, databases, from_ms, until_ms, reason"
_QUIET = tuple(reason.value for reason in HoldReason if reason.is_quiet)


def read_silences(connection: sqlite3.Connection) -> list[Silence]:
    """All that are remembered, the oldest first."""
    return [_silence(*columns) for columns in connection.execute(f"SELECT {_COLUMNS} FROM silence ORDER BY id")]


def read_silence(connection: sqlite3.Connection, number: int) -> Silence:
    """The one of that number; raises `DamagedError` where it cannot be read."""
    return _silence(*connection.execute(f"SELECT {_COLUMNS} FROM silence WHERE id = ?", (number,)).fetchone())


def _silence(number: Any, databases: Any, start: Any, end: Any, reason: Any) -> Silence:
    with reading("a silence"):
        return Silence(
            id=number,
            databases=tuple(map(str, json.loads(databases))),
            start=from_ms(start),
            end=from_ms(end),
            reason=str(reason),
        )


def add_silence(connection: sqlite3.Connection, silence: Silence) -> Silence:
    """Add it under a number of its own, with which it is returned."""
    forgotten_ms = to_ms(silence.start - _REMEMBERED)
    connection.execute("DELETE FROM silence WHERE until_ms < ?", (forgotten_ms,))
    number = connection.execute(
        "INSERT INTO silence (databases, from_ms, until_ms, reason) VALUES (?, ?, ?, ?)",
        (json.dumps(silence.databases), to_ms(silence.start), to_ms(silence.end), silence.reason),
    ).lastrowid
    return replace(silence, id=number or 0)


def end_silence(connection: sqlite3.Connection, number: int, now: datetime) -> bool:
    """End it now; false where it is over, or there is none of that number."""
    now_ms = to_ms(now)
    sql = "UPDATE silence SET until_ms = max(from_ms, ?) WHERE id = ? AND until_ms > ?"
    return connection.execute(sql, (now_ms, number, now_ms)).rowcount > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Every message up to `newest` is held as `silences`, which are known by their number and ends, have it."""

    silences: tuple[int, ...] = ()
    newest: int = 0


NOTHING_HELD = Held()


def hold_quiet(
    connection: sqlite3.Connection, maintenance: Sequence[MaintenanceSettings], held: Held = NOTHING_HELD
) -> Held:
    """Hold what is not tried yet by the silences and the maintenance that cover the moment it was enqueued.

    It goes by that moment alone, so that it comes to the same whenever and however often it is asked: after a
    restart, other settings, or a silence that was ended. What is about the monitor itself is not held.
    What was `held` already, by the same silences, is not looked at again.
    """
    (*known,) = connection.execute(
        "SELECT count(*), ifnull(max(id), 0), ifnull(sum(until_ms), 0) FROM silence"
    ).fetchone()
    (newest,) = connection.execute("SELECT ifnull(max(id), 0) FROM outbox").fetchone()
    now_held = Held(silences=tuple(known), newest=newest)
    if now_held == held:
        return held
    rows = connection.execute(
        "SELECT id, notification, created_ms, not_before_ms, held_for FROM outbox"
        f" WHERE {WAITING} AND attempts = 0 AND id > ?",
        (held.newest if held.silences == now_held.silences else 0,),
    ).fetchall()
    silences = read_silences(connection) if rows else []
    for number, notification, created_ms, not_before_ms, held_for in rows:
        if not (silences or maintenance or held_for in _QUIET):
            continue
        with reading("an outbox message"):
            database = json.loads(notification)["database"]
        if database is None:
            continue
        hold = quiet_hold(database, from_ms(created_ms), silences, maintenance)
        if hold is not None:
            wanted = (to_ms(hold.until), hold.reason.value)
        elif held_for in _QUIET:
            wanted = (created_ms, held_for)  # ended at once, or no maintenance any more: it is due
        else:
            continue
        if wanted != (not_before_ms, held_for):
            connection.execute(
                "UPDATE outbox SET not_before_ms = ?, held_for = ?, held_with = NULL WHERE id = ?",
                (*wanted, number),
            )
    return now_held
