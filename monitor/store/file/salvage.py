"""What a damaged file still gives, copied to memory row by row; and what memory brings back to a file.

Each function runs inside a transaction of the connection that it writes to, which its caller holds.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from monitor.incidents.state import Incident, IncidentState
from monitor.lib.times import to_ms
from monitor.store.errors import Damage, DamagedError, damage_of, naming_damage
from monitor.store.rollups.model import DAY_MS, HOUR_MS, Rollup
from monitor.store.tables.channels import read_channel
from monitor.store.tables.checks import EVER_MS, moment_of_oldest, read_checks
from monitor.store.tables.incidents import (
    database_id,
    next_incident,
    read_incident,
    read_state,
    write_incident,
    write_state,
)
from monitor.store.tables.outbox import read_message
from monitor.store.tables.recording import Key, RollupWriter, RowGrain, add_check, from_columns, key_of
from monitor.store.tables.silences import read_silence
from monitor.store.tables.spans import Retention, move_retention, spans

# Parents before children. Everything that decisions and deliveries need; checks are the bulk and not in here.
STATE_TABLES = (
    "database",
    "incident_state",
    "incident",
    "outbox",
    "channel",
    "connectivity_host",
    "gap",
    "maintenance",
    "delivery_count",
    "silence",
    "sqlite_sequence",
)
# Their rows are known by a number that is given once.
NUMBERED_TABLES = ("incident", "outbox", "silence")

Read = Callable[[sqlite3.Connection, Any], object]
# How a row is read back, by the column that names it.
_READERS: dict[str, tuple[str, Read]] = {
    "incident_state": ("database_id", read_state),
    "incident": ("id", read_incident),
    "outbox": ("id", read_message),
    "channel": ("name", read_channel),
    "silence": ("id", read_silence),
}


def salvage_state(source: sqlite3.Connection, memory: sqlite3.Connection) -> None:
    """Copy everything but checks and rollups to an empty database.

    Raises sqlite3.Error when another process has locked the file.
    """
    # A letter that is not UTF-8 must not cost a table.
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    memory.execute("DELETE FROM sqlite_sequence")
    for table in STATE_TABLES:
        _copy("INSERT OR IGNORE", _rows(source, table), memory, table)
    # By these `replay` tells what other processes have written to the file meanwhile.
    memory.execute("INSERT INTO file_state SELECT database_id, checked_ms, state FROM incident_state")
    memory.execute("INSERT INTO file_incident SELECT id, opened_ms, closed_ms FROM incident")
    memory.execute(
        "INSERT INTO file_message SELECT id, created_ms, delivered_ms IS NULL AND given_up_ms IS NULL FROM outbox"
    )
    tidy(memory)


def tidy(memory: sqlite3.Connection) -> None:
    """Leave of the rows that were copied from elsewhere what can be read and fits together.

    What was delivered so far counts as known to the file that they are brought to.
    """
    memory.execute(
        "DELETE FROM delivery_count WHERE typeof(channel || result) <> 'text' OR typeof(number) <> 'integer'"
    )
    memory.execute("INSERT INTO file_delivery_count SELECT channel, result, number FROM delivery_count")
    _delete_unreadable(memory)
    _reconcile_incidents(memory)


def salvage_rollups(source: sqlite3.Connection, file: sqlite3.Connection, now_ms: int) -> None:
    """Copy the rollups of a damaged file to the new one in its place.

    The checks that they are made of stay in the damaged file; those since the watermark are entered as well.
    """
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    rollups = RollupWriter(file)
    homes = {
        number: database_id(file, name) for number, name in _rows(source, "database") if isinstance(name, str)
    }
    _enter_rollups(rollups, _readable_rollups(source, homes))
    for number, since_ms in _rows(source, "watermark"):
        with suppress(sqlite3.Error, TypeError, KeyError), naming_damage():  # as far as it can be read
            for span in spans(source, number, since_ms, EVER_MS):
                rollups.enter(homes[number], span)
    rollups.flush()
    oldest_ms = moment_of_oldest(file) or now_ms
    move_retention(file, Retention(checks_ms=oldest_ms, failing_ms=oldest_ms))


def _readable_rollups(source: sqlite3.Connection, homes: Mapping[Any, int]) -> Iterator[tuple[Key, Rollup]]:
    """The rows that can be read, under the numbers that their databases have in the new file; days first."""
    rows = {number: columns for number, *columns in _rows(source, "rollup")}
    for database, grain, slot, *columns in sorted(rows.values(), key=lambda columns: columns[1] != RowGrain.DAY):
        if database not in homes or not isinstance(slot, int):
            continue
        try:
            key, row = (homes[database], RowGrain(grain), slot), from_columns(*columns)
        except (DamagedError, ValueError):
            continue
        if min(row.up_ms, row.down_ms) >= 0:
            yield key, row


def _enter_rollups(rollups: RollupWriter, rows: Iterable[tuple[Key, Rollup]]) -> None:
    """A block is made of its days, and a day that cannot be read of its hours, without its phases."""
    days = set()
    for key, row in rows:
        home, grain, slot = key
        if grain is RowGrain.BLOCK:
            continue
        rollups.add(key, row)
        if grain is RowGrain.DAY:
            days.add(key)
            rollups.add(key_of(home, RowGrain.BLOCK, slot * DAY_MS), row)
        elif grain is RowGrain.HOUR and (day := key_of(home, RowGrain.DAY, slot * HOUR_MS)) not in days:
            rollups.add(day, row)
            rollups.add(key_of(home, RowGrain.BLOCK, slot * HOUR_MS), row)


def _rows(source: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table that can be read: up to the first hole from the front, and then from the back."""
    for order in ("", "ORDER BY rowid DESC"):
        try:
            with naming_damage():
                yield from source.execute(f"SELECT * FROM {table} {order}")
        except sqlite3.Error as error:
            if damage_of(error) is Damage.LOCKED:
                raise
        else:
            break


def _delete_unreadable(memory: sqlite3.Connection) -> None:
    memory.execute(f"DELETE FROM sqlite_sequence WHERE name NOT IN {NUMBERED_TABLES} OR typeof(seq) <> 'integer'")
    for table, (key, read) in _READERS.items():
        for (number,) in memory.execute(f"SELECT {key} FROM {table}").fetchall():
            try:
                read(memory, number)
            except sqlite3.DatabaseError:
                memory.execute(f"DELETE FROM {table} WHERE {key} = ?", (number,))
    orphans = "database_id NOT IN (SELECT id FROM database WHERE typeof(name) = 'text')"
    for table in ("incident_state", "incident", "gap", "maintenance"):
        memory.execute(f"DELETE FROM {table} WHERE {orphans}")
    memory.execute("DELETE FROM database WHERE typeof(name) <> 'text'")


def _reconcile_incidents(memory: sqlite3.Connection) -> None:
    """An open incident is in two tables; what one of them lost, the other still has."""
    for (database,) in memory.execute("SELECT id FROM database").fetchall():
        state, checked_at = read_state(memory, database)
        if state.incident is not None:
            write_incident(memory, database, state.incident)
        open_ones = _open_incidents(memory, database)
        if checked_at is None and open_ones:
            write_state(memory, database, IncidentState(incident=open_ones[-1]), open_ones[-1].notified_at)
        _leave_one_open(memory, database)


def _open_incidents(connection: sqlite3.Connection, database: int) -> list[Incident]:
    sql = "SELECT id FROM incident WHERE database_id = ? AND closed_ms IS NULL ORDER BY id"
    return [read_incident(connection, number) for (number,) in connection.execute(sql, (database,)).fetchall()]


def _leave_one_open(connection: sqlite3.Connection, database: int) -> None:
    """Have no open incident but that of the database's state: another one is the same trouble, or is over."""
    state, checked_at = read_state(connection, database)
    for incident in _open_incidents(connection, database):
        if state.incident is None:
            over = replace(incident, closed_at=max(incident.opened_at, checked_at or incident.notified_at))
            write_incident(connection, database, over)
        elif incident.id != state.incident.id:
            sql = "SELECT id, notification FROM outbox WHERE incident_id = ?"
            for number, notification in connection.execute(sql, (incident.id,)).fetchall():
                with suppress(ValueError, TypeError):  # one that cannot be read is sent by nobody
                    text = _renumbered(notification, state.incident.id)
                    row = (state.incident.id, text, number)
                    connection.execute("UPDATE outbox SET incident_id = ?, notification = ? WHERE id = ?", row)
            connection.execute(
                "UPDATE outbox SET held_with = ? WHERE held_with = ?", (state.incident.id, incident.id)
            )
            connection.execute("DELETE FROM incident WHERE id = ?", (incident.id,))


Numbers = Mapping[int, int]
_MESSAGE = (
    "channel, incident_id, kind, notification, created_ms, attempts, tried_ms, due_ms, delivered_ms, given_up_ms,"
    " last_error, message_ref, not_before_ms, held_for, held_with"
)


def replay(memory: sqlite3.Connection, file: sqlite3.Connection, latest_ms: int = EVER_MS) -> None:
    """Bring what memory holds to the file: add what is new, update what is there; nothing of the file is lost.

    An incident keeps its number unless the file gave it to another one meanwhile. What the file had when it was
    left is recognised by its number and the time that it had then: the clock may have been set since, which moves
    the times of what memory holds. A state from after `latest_ms` is of a clock that was set back since, and not
    later than the file's.
    """
    _replay_counters(memory, file)
    databases = {
        number: database_id(file, name) for number, name in memory.execute("SELECT id, name FROM database")
    }
    incidents = _replay_incidents(memory, file, databases)
    _replay_states(memory, file, databases, incidents, latest_ms)
    _replay_messages(memory, file, incidents)
    for home in databases.values():
        _leave_one_open(file, home)
    _replay_silences(memory, file)
    for table in ("channel", "connectivity_host"):
        _copy("INSERT OR REPLACE", memory.execute(f"SELECT * FROM {table}"), file, table)
    for table in ("gap", "maintenance"):
        rows = [(databases[database], *rest) for database, *rest in memory.execute(f"SELECT * FROM {table}")]
        _copy("INSERT OR REPLACE", rows, file, table)
    # Each check finds its place among those of the file and is entered in its rollups; memory's are dropped.
    for number, home in databases.items():
        for check in read_checks(memory, number):
            add_check(file, home, check)
    _replay_delivery_counts(memory, file)


def _copy(insert: str, rows: Iterable[tuple[Any, ...]], target: sqlite3.Connection, table: str) -> None:
    """Rows of a file of an older version lack the last columns, which are empty then.

    One row at a time is in memory: the messages of three months are more than all else that the program has.
    """
    width = len(target.execute(f"PRAGMA table_info({table})").fetchall())
    whole = ((*row, *(None,) * (width - len(row))) for row in rows)
    target.executemany(f"{insert} INTO {table} VALUES ({', '.join('?' * width)})", whole)


def _replay_counters(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Numbers that were given once are not given again, whatever happened to the row."""
    for name, last in source.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
        if name not in NUMBERED_TABLES or not isinstance(last, int):
            continue
        known = target.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
        if known is None:
            target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))
        elif known[0] < last:
            target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, name))


def _replay_delivery_counts(memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    """Add what was counted since the file was left; a new file goes on from what memory has."""
    for channel, result, number, left in memory.execute(
        "SELECT channel, result, delivery_count.number, ifnull(file_delivery_count.number, 0) FROM delivery_count"
        " LEFT JOIN file_delivery_count USING (channel, result)"
    ).fetchall():
        file.execute(
            "INSERT INTO delivery_count (channel, result, number) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (channel, result) DO UPDATE SET number = max(number, ?4) + ?3 - ?4",
            (channel, result, number, left),
        )


def _replay_incidents(memory: sqlite3.Connection, file: sqlite3.Connection, databases: Numbers) -> Numbers:
    """Write the incidents; return the file's number of each.

    Another row is the same incident when it began in the same database at the same moment.
    """
    rows = file.execute("SELECT id, database_id, opened_ms, closed_ms FROM incident").fetchall()
    left = {
        number: times for number, *times in memory.execute("SELECT id, opened_ms, closed_ms FROM file_incident")
    }
    same = {
        number: (number, closed) for number, _, opened, closed in rows if left.get(number, [None])[0] == opened
    }
    known = {(database, opened): (number, closed) for number, database, opened, closed in rows}
    taken = {row[0] for row in rows}
    numbers = {}
    for number, database in memory.execute("SELECT id, database_id FROM incident ORDER BY id").fetchall():
        incident, home = read_incident(memory, number), databases[database]
        free = next_incident(file) if number in taken else number
        here, closed_ms = same.get(number) or known.get((home, to_ms(incident.opened_at)), (free, None))
        numbers[number] = here
        # Another process may have seen its end, or memory that it opened again.
        if closed_ms is None or incident.closed_at is not None or [closed_ms] == left.get(number, [])[1:]:
            write_incident(file, home, replace(incident, id=here))
    return numbers


def _replay_states(
    memory: sqlite3.Connection, file: sqlite3.Connection, databases: Numbers, incidents: Numbers, latest_ms: int
) -> None:
    """The state of each database, unless another process has written a later one since we left the file."""
    left = {
        number: state for number, *state in memory.execute("SELECT database_id, checked_ms, state FROM file_state")
    }
    for number in [row[0] for row in memory.execute("SELECT database_id FROM incident_state")]:
        state, checked_at = read_state(memory, number)
        there = file.execute(
            "SELECT checked_ms, state FROM incident_state WHERE database_id = ?", (databases[number],)
        ).fetchone()
        # The times alone do not tell: the clock may have been set back meanwhile.
        is_untouched = there is None or list(there) == left.get(number)
        if checked_at is None or not (is_untouched or there[0] <= to_ms(checked_at) <= latest_ms):
            continue
        if state.incident is not None:
            state = replace(state, incident=replace(state.incident, id=incidents[state.incident.id]))
        if state.closed is not None:
            number_there = incidents.get(state.closed.id, state.closed.id)
            state = replace(state, closed=replace(state.closed, id=number_there))
        write_state(file, databases[number], state, checked_at)


def _replay_messages(memory: sqlite3.Connection, file: sqlite3.Connection, incidents: Numbers) -> None:
    """A message keeps its number where that is free, so that one that is being sent is found again."""
    left = dict(memory.execute("SELECT id, created_ms FROM file_message"))
    same: set[int] = set()
    rows: dict[int, tuple[Any, ...]] = {}
    known: dict[tuple[Any, ...], int] = {}
    for number, *key in file.execute("SELECT id, channel, incident_id, kind, created_ms FROM outbox"):
        rows[number] = tuple(key)
        if left.get(number) == key[-1]:
            same.add(number)
        else:
            known[tuple(key)] = number
    for was_waiting, number, channel, incident, kind, notification, created_ms, *progress in memory.execute(
        f"SELECT is_waiting, id, {_MESSAGE} FROM outbox"
        " LEFT JOIN (SELECT id, is_waiting FROM file_message) USING (id) ORDER BY id"
    ):
        here = incidents.get(incident, incident)
        # What was over when the file was left is in it as it was.
        if number in same and not was_waiting and here == incident:
            continue
        progress[-1] = incidents.get(progress[-1], progress[-1])  # held_with
        key = (channel, here, kind, created_ms)
        # Two of one moment, such as warnings about two databases, differ in nothing else.
        there = number if number in same or rows.get(number) == key else known.get(key)
        text = notification if here == incident else _renumbered(notification, here)
        if there is not None:
            file.execute(
                "UPDATE outbox SET notification = ?, created_ms = ?, attempts = ?, tried_ms = ?, due_ms = ?,"
                " delivered_ms = ifnull(?, delivered_ms), given_up_ms = ifnull(?, given_up_ms), last_error = ?,"
                " message_ref = ifnull(?, message_ref), not_before_ms = ?, held_for = ?, held_with = ?"
                " WHERE id = ?",
                (text, created_ms, *progress, there),
            )
            continue
        row = (None if number in rows else number, channel, here, kind, text, created_ms, *progress)
        file.execute(f"INSERT INTO outbox (id, {_MESSAGE}) VALUES ({', '.join('?' * len(row))})", row)


def _replay_silences(memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    """Those of one number and beginning are the same, and whoever ended it has ended it."""
    for number, databases, from_ms, until_ms, reason in memory.execute(
        "SELECT id, databases, from_ms, until_ms, reason FROM silence ORDER BY id"
    ).fetchall():
        there = file.execute("SELECT from_ms, databases FROM silence WHERE id = ?", (number,)).fetchone()
        if there == (from_ms, databases):
            file.execute("UPDATE silence SET until_ms = min(until_ms, ?) WHERE id = ?", (until_ms, number))
            continue
        file.execute(
            "INSERT INTO silence (id, databases, from_ms, until_ms, reason) VALUES (?, ?, ?, ?, ?)",
            (None if there else number, databases, from_ms, until_ms, reason),
        )


def _renumbered(notification: str, incident: Any) -> str:
    return json.dumps(json.loads(notification) | {"incident": incident}, separators=(",", ":"))
