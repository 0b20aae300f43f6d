"""Rows of single checks: how one is laid out in little space, found, read back and deleted.

A check belongs to an hour of its database, whose row in `rollup` says which; its number is that row's and the
millisecond within the hour. A check without a remark ended as nearly all do: `ok`, status 200, nothing to say.
What it measured is laid out in `figures`, what looks add up to is kept in `ledger`.
Each function runs inside a transaction that its caller holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from monitor.checks.observation import Check, Outcome, Phases
from monitor.store.rollups.packing import read_varint, write_varint
from monitor.store.rollups.rollup import HOUR_MS
from monitor.store.tables.rows import from_ms, reading, to_us


@dataclass(frozen=True, slots=True)
class Figures:
    """The phases of a check as they stand in its row, in microseconds; in the order of its columns."""

    latency_us: int | None
    beside_us: int | None
    phases: bytes | None

    @property
    def latency_ms(self) -> float | None:
        return _ms(self.latency_us)


def write_figures(phases: Phases) -> Figures:
    """Latency and total are columns, for the view `history`; the other phases go into a few bytes.

    A phase is its microseconds and one, none is 0. The first byte (`wait`) is needed where the latency does not
    tell it. Zeros at the end are left out.
    """
    wait, read, total = to_us(phases.wait), to_us(phases.read), to_us(phases.total)
    latency = None if wait is None or read is None else wait + read
    parts = [
        to_us(phases.dns),
        to_us(phases.connect),
        to_us(phases.tls),
        read,
        None if latency is not None else wait,
    ]
    while parts and parts[-1] is None:
        parts.pop()
    return Figures(
        latency,
        None if total is None else total - (latency or 0),
        b"".join(write_varint(0 if part is None else part + 1) for part in parts) or None,
    )


def read_figures(figures: Figures) -> Phases:
    """What `write_figures` was given, to the microsecond; raises ValueError for what it never writes."""
    parts: list[int | None] = []
    content, place = figures.phases or b"", 0
    while place < len(content):
        value, place = read_varint(content, place)
        parts.append(value - 1 if value else None)
    dns, connect, tls, read, wait = parts + [None] * (5 - len(parts))
    latency, beside = figures.latency_us, figures.beside_us
    if latency is not None and read is not None:
        wait = latency - read
    return Phases(
        dns=_ms(dns),
        connect=_ms(connect),
        tls=_ms(tls),
        wait=_ms(wait),
        read=_ms(read),
        total=None if beside is None else _ms(beside + (latency or 0)),
    )


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000


# Room for the milliseconds of an hour.
_BITS = 22
_LAST_MS = (1 << _BITS) - 1
# Later than any moment, and as far before 1970.
EVER_MS = 1 << 50
GRAIN_HOUR = 0
# The planner would begin with the checks; there are many of them, and hours are found by an index.
HOURS_AND_CHECKS = (
    "rollup CROSS JOIN check_result ON check_result.id"
    f" BETWEEN rollup.id << {_BITS} AND (rollup.id << {_BITS} | {_LAST_MS})"
)
DETAILS = (
    "LEFT JOIN check_detail ON check_detail.id = check_result.id"
    " LEFT JOIN outcome ON outcome.id = check_detail.outcome_id"
)
_OF_DATABASE = f"rollup.database_id = ? AND rollup.grain = {GRAIN_HOUR}"
_MOMENT = f"rollup.slot * {HOUR_MS} + (check_result.id & {_LAST_MS})"
_BEFORE = f"rollup.slot <= ? AND (rollup.slot < ? OR check_result.id < (rollup.id << {_BITS} | ?))"
_FROM = f"rollup.slot >= ? AND (rollup.slot > ? OR check_result.id >= (rollup.id << {_BITS} | ?))"
_SEEN = f"{_MOMENT}, outcome.code, check_result.latency_us, check_result.beside_us, check_result.phases"
_USUAL = (Outcome.OK, 200, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """When a check was, how it ended and what it measured: all that sums are made of."""

    at_ms: int
    outcome: Outcome
    figures: Figures

    @property
    def latency_ms(self) -> float | None:
        return self.figures.latency_ms

    @property
    def phases(self) -> Phases:
        with reading("a check"):
            return read_figures(self.figures)


def add_row(connection: sqlite3.Connection, database: int, at_ms: int, check: Check) -> Seen:
    """Add a check at a moment that must be free."""
    number = hour_row(connection, database, at_ms // HOUR_MS) << _BITS | at_ms % HOUR_MS
    figures = write_figures(check.phases)
    connection.execute(
        "INSERT INTO check_result (id, latency_us, beside_us, phases) VALUES (?, ?, ?, ?)",
        (number, figures.latency_us, figures.beside_us, figures.phases),
    )
    if (check.outcome, check.http_status, check.detail) != _USUAL:
        connection.execute(
            "INSERT INTO check_detail (id, outcome_id, http_status, detail)"
            " VALUES (?, (SELECT id FROM outcome WHERE code = ?), ?, ?)",
            (number, check.outcome.value, check.http_status, check.detail or None),
        )
    return Seen(at_ms=at_ms, outcome=check.outcome, figures=figures)


def hour_row(connection: sqlite3.Connection, database: int, hour: int) -> int:
    """The number of an hour's row, made when the hour is seen for the first time."""
    row = connection.execute(
        f"SELECT id FROM rollup WHERE {_OF_DATABASE} AND slot = ?", (database, hour)
    ).fetchone()
    return begin_rollup(connection, database, GRAIN_HOUR, hour) if row is None else int(row[0])


def begin_rollup(connection: sqlite3.Connection, database: int, grain: int, slot: int) -> int:
    """A new row for sums of an hour, a day or all time, empty; its number."""
    number: int
    (number,) = connection.execute(
        "INSERT INTO rollup (database_id, grain, slot, outcomes, up_ms, down_ms, latency)"
        " VALUES (?, ?, ?, '{}', 0, 0, x'') RETURNING id",
        (database, grain, slot),
    ).fetchone()
    return number


def check_before(connection: sqlite3.Connection, database: int, at_ms: int, *, since_ms: int) -> Seen | None:
    """The last check before that moment, from `since_ms` on."""
    return _nearest(connection, f"{_FROM} AND {_BEFORE}", "DESC", (database, *_bound(since_ms), *_bound(at_ms)))


def check_from(connection: sqlite3.Connection, database: int, at_ms: int) -> Seen | None:
    """The first check from that moment on."""
    return _nearest(connection, _FROM, "ASC", (database, *_bound(at_ms)))


def last_good_check(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> Seen | None:
    """The last check of a span that ended well."""
    where = f"{_FROM} AND {_BEFORE} AND (check_detail.id IS NULL OR outcome.ok = 1)"
    return _nearest(connection, where, "DESC", (database, *_bound(start_ms), *_bound(end_ms)))


def read_checks(
    connection: sqlite3.Connection,
    database: int,
    *,
    start: int = -EVER_MS,
    end: int = EVER_MS,
    limit: int = -1,
    newest_first: bool = False,
) -> Iterator[Check]:
    """Looks from the moment `start` until before `end`, in milliseconds; below zero, `limit` is none."""
    order = "DESC" if newest_first else "ASC"
    rows = connection.execute(
        f"SELECT database.name, {_MOMENT}, outcome.code, check_detail.id IS NULL, check_detail.http_status,"
        " check_detail.detail,"
        f" check_result.latency_us, check_result.beside_us, check_result.phases FROM {HOURS_AND_CHECKS} {DETAILS}"
        f" JOIN database ON database.id = rollup.database_id WHERE {_OF_DATABASE} AND {_FROM} AND {_BEFORE}"
        f" ORDER BY rollup.slot {order}, check_result.id {order} LIMIT ?",
        (database, *_bound(start), *_bound(end), limit),
    )
    return (_check(*columns) for columns in rows)


def recorded_checks(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> Iterator[Seen]:
    """The checks of a span, the oldest first, without what only people read."""
    rows = connection.execute(
        f"SELECT {_SEEN} FROM {HOURS_AND_CHECKS} {DETAILS} WHERE {_OF_DATABASE} AND {_FROM} AND {_BEFORE}"
        " ORDER BY rollup.slot, check_result.id",
        (database, *_bound(start_ms), *_bound(end_ms)),
    )
    with reading("a check"):
        for columns in rows:
            yield _seen(*columns)


def delete_checks(
    connection: sqlite3.Connection, database: int, *, start: int, end: int, failing_too: bool
) -> int:
    """Delete the checks from the moment `start` until before `end`; return how many there were."""
    hours = connection.execute(
        f"SELECT id, slot FROM rollup WHERE {_OF_DATABASE} AND slot BETWEEN ? AND ?",
        (database, start // HOUR_MS, end // HOUR_MS),
    ).fetchall()
    failing = (
        "SELECT check_detail.id FROM check_detail JOIN outcome ON outcome.id = outcome_id"
        " WHERE check_detail.id BETWEEN ?1 AND ?2 AND outcome.ok = 0"
    )
    spared = "" if failing_too else f" AND id NOT IN ({failing})"
    deleted = 0
    for hour, slot in hours:
        last_ms = min(_LAST_MS, end - slot * HOUR_MS - 1)
        if last_ms >= 0:
            bounds = (hour << _BITS, hour << _BITS | last_ms)
            deleted += connection.execute(
                f"DELETE FROM check_result WHERE id BETWEEN ?1 AND ?2{spared}", bounds
            ).rowcount
            connection.execute(f"DELETE FROM check_detail WHERE id BETWEEN ?1 AND ?2{spared}", bounds)
    return deleted


def moment_of_latest(connection: sqlite3.Connection, number: int) -> int | None:
    """When the check was that has so many looks after it, of whatever database; `None` when there are fewer."""
    row = connection.execute(
        f"SELECT {_MOMENT} AS at_ms FROM check_result JOIN rollup ON rollup.id = check_result.id >> {_BITS}"
        " ORDER BY at_ms DESC LIMIT 1 OFFSET ?",
        (number,),
    ).fetchone()
    return None if row is None else int(row[0])


def moment_of_oldest(connection: sqlite3.Connection) -> int | None:
    """When the oldest check of all was; `None` when there is none."""
    sql = f"SELECT min({_MOMENT}) FROM check_result JOIN rollup ON rollup.id = check_result.id >> {_BITS}"
    oldest: int | None = connection.execute(sql).fetchone()[0]
    return oldest


def _nearest(connection: sqlite3.Connection, where: str, order: str, values: Iterable[int]) -> Seen | None:
    row = connection.execute(
        f"SELECT {_SEEN} FROM {HOURS_AND_CHECKS} {DETAILS} WHERE {_OF_DATABASE} AND {where}"
        f" ORDER BY rollup.slot {order}, check_result.id {order} LIMIT 1",
        tuple(values),
    ).fetchone()
    with reading("a check"):
        return None if row is None else _seen(*row)


def _seen(at_ms: int, code: str | None, *figures: Any) -> Seen:
    return Seen(at_ms=at_ms, outcome=Outcome.OK if code is None else Outcome(code), figures=Figures(*figures))


def _bound(at_ms: int) -> tuple[int, int, int]:
    hour, ms = divmod(at_ms, HOUR_MS)
    return hour, hour, ms


def _check(*columns: Any) -> Check:
    name, at_ms, code, is_usual, http_status, detail, *figures = columns
    with reading("a check"):
        return Check(
            database=name,
            at=from_ms(at_ms),
            outcome=Outcome.OK if is_usual else Outcome(code),
            http_status=200 if is_usual else http_status,
            detail=detail or "",
            phases=read_figures(Figures(*figures)),
        )
