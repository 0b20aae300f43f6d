"""Brings what memory holds to a file: by what the rows mean, since the file may have given the numbers otherwise.

It may have been written by another process meanwhile, or have been out of reach when this one began to count.
All of it runs inside a transaction that the caller holds. When it is called for is decided in `resilient`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from monitor.store import watches
from monitor.store.look_rows import read_looks
from monitor.store.looks import add_look
from monitor.store.rows import to_ms

Numbers = Mapping[int, int]
_PARCEL = (
    "channel, incident_id, kind, notice, created_ms, attempts, tried_ms, due_ms, delivered_ms, given_up_ms,"
    " last_error"
)


def merge(memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    """Add what is new and bring up to date what the file has already; nothing of the file's own is lost.

    An incident keeps its number unless the file gave it to another one meanwhile.
    """
    _carry_on_counting(memory, file)
    databases = {
        number: watches.database_id(file, name) for number, name in memory.execute("SELECT id, name FROM database")
    }
    incidents = _incidents(memory, file, databases)
    _watches(memory, file, databases, incidents)
    _parcels(memory, file, incidents)
    for table in ("channel", "control"):
        _copy(memory.execute(f"SELECT * FROM {table}").fetchall(), file, table)
    gaps = memory.execute("SELECT * FROM gap").fetchall()
    _copy([(databases[database], *rest) for database, *rest in gaps], file, "gap")
    _looks(memory, file, databases)
    _tallies(memory, file)


def _copy(rows: Iterable[tuple[Any, ...]], file: sqlite3.Connection, table: str) -> None:
    marks = ", ".join("?" for _ in file.execute(f"PRAGMA table_info ({table})"))
    file.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)


def _carry_on_counting(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Numbers once given to an incident or a parcel are not given again, whatever happened to its row."""
    for name, last in source.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
        if name not in ("incident", "parcel") or not isinstance(last, int):
            continue
        known = target.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
        if known is None:
            target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))
        elif known[0] < last:
            target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, name))


def _looks(memory: sqlite3.Connection, file: sqlite3.Connection, databases: Numbers) -> None:
    """Each look finds its place among those of the file and is entered in its sums; memory's own sums end here."""
    for number, home in databases.items():
        for look in read_looks(memory, number):
            add_look(file, home, look)


def _tallies(memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    """Add what was counted since the file was left; one begun anew goes on from there, not from nothing."""
    for channel, result, number, left in memory.execute(
        "SELECT channel, result, number, ifnull(left_tally.number_then, 0) FROM tally"
        " LEFT JOIN left_tally USING (channel, result)"
    ).fetchall():
        file.execute(
            "INSERT INTO tally (channel, result, number) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (channel, result) DO UPDATE SET number = max(number, ?4) + ?3 - ?4",
            (channel, result, number, left),
        )


def _incidents(memory: sqlite3.Connection, file: sqlite3.Connection, databases: Numbers) -> Numbers:
    """Write the incidents; return the file's number of each.

    Two rows are the same incident when it began in the same database at the same moment.
    """
    rows = file.execute("SELECT id, database_id, opened_ms, closed_ms FROM incident").fetchall()
    known = {(database, opened): (number, closed) for number, database, opened, closed in rows}
    taken = {row[0] for row in rows}
    numbers = {}
    for number, database in memory.execute("SELECT id, database_id FROM incident ORDER BY id").fetchall():
        incident, home = watches.read_incident(memory, number), databases[database]
        free = watches.next_incident(file) if number in taken else number
        here, closed_ms = known.get((home, to_ms(incident.opened_at)), (free, None))
        numbers[number] = here
        if closed_ms is None or incident.closed_at is not None:  # another process may have seen its end
            watches.write_incident(file, home, replace(incident, id=here))
    return numbers


def _watches(memory: sqlite3.Connection, file: sqlite3.Connection, databases: Numbers, incidents: Numbers) -> None:
    """The state of each database, unless another process has written a later one since we left the file."""
    left = {
        number: state for number, *state in memory.execute("SELECT database_id, seen_ms, state FROM left_behind")
    }
    for number in [row[0] for row in memory.execute("SELECT database_id FROM watch")]:
        watch, seen_at = watches.read_watch(memory, number)
        there = file.execute(
            "SELECT seen_ms, state FROM watch WHERE database_id = ?", (databases[number],)
        ).fetchone()
        # The times alone do not tell: the clock may have been set back meanwhile.
        is_untouched = there is None or list(there) == left.get(number)
        if seen_at is None or not (is_untouched or there[0] <= to_ms(seen_at)):
            continue
        if watch.incident is not None:
            watch = replace(watch, incident=replace(watch.incident, id=incidents[watch.incident.id]))
        watches.write_watch(file, databases[number], watch, seen_at)


def _parcels(memory: sqlite3.Connection, file: sqlite3.Connection, incidents: Numbers) -> None:
    """A parcel keeps its number where that is free, so that a message on its way finds it again."""
    rows = file.execute("SELECT id, channel, incident_id, kind, created_ms FROM parcel").fetchall()
    known = {tuple(key): number for number, *key in rows}
    taken = {row[0] for row in rows}
    for number, channel, incident, kind, notice, created_ms, *fate in memory.execute(
        f"SELECT id, {_PARCEL} FROM parcel ORDER BY id"
    ).fetchall():
        here = incidents.get(incident, incident)
        there = known.get((channel, here, kind, created_ms))
        if there is not None:
            file.execute(
                "UPDATE parcel SET attempts = ?, tried_ms = ?, due_ms = ?, delivered_ms = ifnull(?, delivered_ms),"
                " given_up_ms = ifnull(?, given_up_ms), last_error = ? WHERE id = ?",
                (*fate, there),
            )
            continue
        text = notice if here == incident else _renumbered(notice, here)
        row = (None if number in taken else number, channel, here, kind, text, created_ms, *fate)
        file.execute(f"INSERT INTO parcel (id, {_PARCEL}) VALUES ({', '.join('?' * len(row))})", row)


def _renumbered(notice: str, incident: Any) -> str:
    return json.dumps(json.loads(notice) | {"incident": incident}, separators=(",", ":"))
