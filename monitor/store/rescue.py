"""What a sick file still gives, copied to memory row by row as far as it makes sense.

When that is called for is decided in `resilient`; how memory comes back to a file, in `merge`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from monitor.core.rollup import DAY_MS, HOUR_MS
from monitor.core.watch import Watch
from monitor.store import channel_state, outbox, watches
from monitor.store.faults import Damage, DamagedError, damage_of, naming_damage
from monitor.store.ledger import Entry, Key, Ledger, RowGrain, from_columns, key_of
from monitor.store.look_rows import EVER_MS, moment_of_oldest
from monitor.store.marks import Horizon, move_horizon
from monitor.store.stretches import stretches

# Parents before children. Everything that decisions and deliveries need; looks are the bulk and not in here.
_STATE_TABLES = (
    "database",
    "watch",
    "incident",
    "parcel",
    "channel",
    "control",
    "gap",
    "tally",
    "sqlite_sequence",
)

Read = Callable[[sqlite3.Connection, Any], object]
# How a row is read back, by the column that names it.
_READERS: dict[str, tuple[str, Read]] = {
    "watch": ("database_id", watches.read_watch),
    "incident": ("id", watches.read_incident),
    "parcel": ("id", outbox.read_parcel),
    "channel": ("name", channel_state.read_channel),
}


def rescue(sick: sqlite3.Connection, memory: sqlite3.Connection) -> None:
    """Copy the state to an empty database, inside the caller's transaction.

    Raises sqlite3.Error when another process has locked the file.
    """
    # One letter gone must not cost a table.
    sick.text_factory = lambda raw: raw.decode("utf-8", "replace")
    memory.execute("DELETE FROM sqlite_sequence")
    for table in _STATE_TABLES:
        rows = _rows(sick, table)
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            memory.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)
    # What `merge` knows the file by, when it comes back to it.
    memory.execute("INSERT INTO left_behind SELECT database_id, seen_ms, state FROM watch")
    memory.execute("DELETE FROM tally WHERE typeof(channel || result) <> 'text' OR typeof(number) <> 'integer'")
    memory.execute("INSERT INTO left_tally SELECT channel, result, number FROM tally")
    _drop_what_makes_no_sense(memory)
    _match_watches_and_incidents(memory)


def rescue_sums(sick: sqlite3.Connection, file: sqlite3.Connection, now_ms: int) -> None:
    """Carry the sums of a damaged file to the one begun in its place, inside the caller's transaction.

    The looks that they are made of stay behind, but for those that were not summed up yet.
    """
    sick.text_factory = lambda raw: raw.decode("utf-8", "replace")
    ledger = Ledger(file)
    homes = {
        number: watches.database_id(file, name)
        for number, name in _rows(sick, "database")
        if isinstance(name, str)
    }
    _carry_sums(ledger, _readable_sums(sick, homes))
    for number, since_ms in _rows(sick, "summed"):
        with suppress(sqlite3.Error, TypeError, KeyError), naming_damage():  # as far as it can be read
            for stretch in stretches(sick, number, since_ms, EVER_MS):
                ledger.hold(homes[number], stretch.seen.outcome, stretch.start_ms, stretch.end_ms)
                if stretch.is_inside:
                    ledger.count(homes[number], stretch.seen)
    ledger.flush()
    oldest_ms = moment_of_oldest(file) or now_ms
    move_horizon(file, Horizon(looks_ms=oldest_ms, failing_ms=oldest_ms))


def _readable_sums(sick: sqlite3.Connection, homes: Mapping[Any, int]) -> Iterator[tuple[Key, Entry]]:
    """The rows that make sense, under the numbers of their new home; days first."""
    rows = {number: columns for number, *columns in _rows(sick, "rollup")}
    for database, grain, slot, *columns in sorted(rows.values(), key=lambda row: row[1] != RowGrain.DAY):
        if database not in homes or not isinstance(slot, int):
            continue
        try:
            key, entry = (homes[database], RowGrain(grain), slot), from_columns(*columns)
        except (DamagedError, ValueError):
            continue
        if min(entry.rollup.up_ms, entry.rollup.down_ms) >= 0:
            yield key, entry


def _carry_sums(ledger: Ledger, sums: Iterable[tuple[Key, Entry]]) -> None:
    """A block becomes what its days say, and a day that cannot be read what its hours say; its phases are lost."""
    days = set()
    for key, entry in sums:
        home, grain, slot = key
        if grain is RowGrain.BLOCK:
            continue
        ledger.add(key, entry)
        if grain is RowGrain.DAY:
            days.add(key)
            ledger.add(key_of(home, RowGrain.BLOCK, slot * DAY_MS), entry)
        elif grain is RowGrain.HOUR and (day := key_of(home, RowGrain.DAY, slot * HOUR_MS)) not in days:
            ledger.add(day, entry)
            ledger.add(key_of(home, RowGrain.BLOCK, slot * HOUR_MS), entry)


def _rows(sick: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table that can be read: up to the first hole from the front, and then from the back."""
    rows: list[tuple[Any, ...]] = []
    for order in ("", "ORDER BY rowid DESC"):
        try:
            with naming_damage():
                rows.extend(sick.execute(f"SELECT * FROM {table} {order}"))
        except sqlite3.Error as error:
            if damage_of(error) is Damage.LOCKED:
                raise
        else:
            break
    return rows


def _drop_what_makes_no_sense(memory: sqlite3.Connection) -> None:
    memory.execute(
        "DELETE FROM sqlite_sequence WHERE name NOT IN ('incident', 'parcel') OR typeof(seq) <> 'integer'"
    )
    for table, (key, read) in _READERS.items():
        for (number,) in memory.execute(f"SELECT {key} FROM {table}").fetchall():
            try:
                read(memory, number)
            except sqlite3.DatabaseError:
                memory.execute(f"DELETE FROM {table} WHERE {key} = ?", (number,))
    orphans = "database_id NOT IN (SELECT id FROM database WHERE typeof(name) = 'text')"
    for table in ("watch", "incident", "gap"):
        memory.execute(f"DELETE FROM {table} WHERE {orphans}")
    memory.execute("DELETE FROM database WHERE typeof(name) <> 'text'")


def _match_watches_and_incidents(memory: sqlite3.Connection) -> None:
    """An open incident stands in two tables; what one of them lost, the other still knows."""
    for (database,) in memory.execute("SELECT id FROM database").fetchall():
        watch, seen_at = watches.read_watch(memory, database)
        if watch.incident is not None:
            watches.write_incident(memory, database, watch.incident)
        open_ones = [
            watches.read_incident(memory, number)
            for (number,) in memory.execute(
                "SELECT id FROM incident WHERE database_id = ? AND closed_ms IS NULL ORDER BY id", (database,)
            ).fetchall()
        ]
        if seen_at is None and open_ones:
            watch, seen_at = Watch(incident=open_ones[-1]), open_ones[-1].told_at
            watches.write_watch(memory, database, watch, seen_at)
        for incident in open_ones:
            if watch.incident is None or incident.id != watch.incident.id:
                over = replace(incident, closed_at=max(incident.opened_at, seen_at or incident.told_at))
                watches.write_incident(memory, database, over)
