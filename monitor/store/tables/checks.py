"""Rows of single checks: how one is laid out in little space, found, read back and deleted.

A check belongs to an hour of its database, which has a row in `rollup`. Its number is the number of that row,
shifted left by 22 bits, and the millisecond within the hour in those 22 bits (an hour has 3.6 million of them,
2**22 are 4.2 million). So the number says both when the check was and of which database, takes five or six bytes,
and puts the checks of an hour side by side. A check without a row in `check_detail` ended as nearly all do:
`ok`, status 200, no detail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.checks.observation import Check, Outcome, Phases
from monitor.lib.times import from_ms
from monitor.store.errors import reading
from monitor.store.rollups.model import HOUR_MS

_BITS = 22
_LAST_MS = (1 << _BITS) - 1
# Later than any moment, and as far before 1970.
EVER_MS = 1 << 50
GRAIN_HOUR = 0
# Left to itself the planner begins with the checks, of which there are many; hours are found by an index. A span's
# ends are ends of the range of numbers itself: as conditions on each check, all checks of the hour would be read.
_CHECKS_OF_SPAN = (
    "rollup CROSS JOIN check_result ON check_result.id"
    f" BETWEEN (rollup.id << {_BITS} | iif(rollup.slot = :first_hour, :first_ms, 0))"
    f" AND (rollup.id << {_BITS} | iif(rollup.slot = :last_hour, :last_ms, {_LAST_MS}))"
)
_DETAILS = (
    "LEFT JOIN check_detail ON check_detail.id = check_result.id"
    " LEFT JOIN outcome ON outcome.id = check_detail.outcome_id"
)
_OF_DATABASE = f"rollup.database_id = ? AND rollup.grain = {GRAIN_HOUR}"
# Takes the values of `_span`, as `_CHECKS_OF_SPAN` does.
_IN_SPAN = (
    f"rollup.database_id = :database AND rollup.grain = {GRAIN_HOUR}"
    " AND rollup.slot BETWEEN :first_hour AND :last_hour"
)
_MOMENT = f"rollup.slot * {HOUR_MS} + (check_result.id & {_LAST_MS})"
_FIGURES = "check_result.latency_us, check_result.other_us, check_result.phases"
_ROW = f"{_MOMENT}, outcome.code, {_FIGURES}"
_USUAL = (Outcome.OK, 200, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRow:
    """When a check was, how it ended and what it measured: all that rollups are made of."""

    at_ms: int
    outcome: Outcome
    figures: tuple[Any, ...]

    @property
    def latency_ms(self) -> float | None:
        return _ms(self.figures[0])

    @property
    def phases(self) -> Phases:
        with reading("a check"):
            return from_figures(*self.figures)


def add_row(connection: sqlite3.Connection, database: int, at_ms: int, check: Check) -> CheckRow:
    """Add a check at a moment that must be free."""
    number = hour_row(connection, database, at_ms // HOUR_MS) << _BITS | at_ms % HOUR_MS
    figures = to_figures(check.phases)
    connection.execute(
        "INSERT INTO check_result (id, latency_us, other_us, phases) VALUES (?, ?, ?, ?)", (number, *figures)
    )
    if (check.outcome, check.http_status, check.detail) != _USUAL:
        connection.execute(
            "INSERT INTO check_detail (id, outcome_id, http_status, detail)"
            " VALUES (?, (SELECT id FROM outcome WHERE code = ?), ?, ?)",
            (number, check.outcome.value, check.http_status, check.detail or None),
        )
    return CheckRow(at_ms=at_ms, outcome=check.outcome, figures=figures)


def hour_row(connection: sqlite3.Connection, database: int, hour: int) -> int:
    """The number of an hour's row, made at the first check of the hour."""
    row = connection.execute(
        f"SELECT id FROM rollup WHERE {_OF_DATABASE} AND slot = ?", (database, hour)
    ).fetchone()
    return begin_rollup(connection, database, GRAIN_HOUR, hour) if row is None else int(row[0])


def begin_rollup(connection: sqlite3.Connection, database: int, grain: int, slot: int) -> int:
    """A new, empty row for the rollup of an hour, a day, a block or all time; its number."""
    number: int
    (number,) = connection.execute(
        "INSERT INTO rollup (database_id, grain, slot, outcomes, up_ms, down_ms, latency)"
        " VALUES (?, ?, ?, '{}', 0, 0, x'') RETURNING id",
        (database, grain, slot),
    ).fetchone()
    return number


def check_before(connection: sqlite3.Connection, database: int, at_ms: int, *, since_ms: int) -> CheckRow | None:
    """The last check before that moment, from `since_ms` on."""
    return _nearest(connection, _IN_SPAN, "DESC", _span(database, since_ms, at_ms))


def first_check_ms(connection: sqlite3.Connection, database: int) -> int | None:
    """When the first check was: the hour's beginning where it was deleted; `None` before it."""
    (slot,) = connection.execute(f"SELECT min(slot) FROM rollup WHERE {_OF_DATABASE}", (database,)).fetchone()
    if slot is None:
        return None
    start_ms = int(slot) * HOUR_MS
    # Within its hour only: where checks were deleted, the search for the next one would pass a year of hours.
    first = _nearest(connection, _IN_SPAN, "ASC", _span(database, start_ms, start_ms + HOUR_MS))
    return start_ms if first is None else first.at_ms


def check_from(connection: sqlite3.Connection, database: int, at_ms: int) -> CheckRow | None:
    """The first check from that moment on."""
    return _nearest(connection, _IN_SPAN, "ASC", _span(database, at_ms, EVER_MS))


def last_good_check(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> CheckRow | None:
    """The last check of a span that ended well."""
    where = f"{_IN_SPAN} AND (check_detail.id IS NULL OR outcome.ok = 1)"
    return _nearest(connection, where, "DESC", _span(database, start_ms, end_ms))


def read_checks(
    connection: sqlite3.Connection,
    database: int,
    *,
    start: int = -EVER_MS,
    end: int = EVER_MS,
    limit: int = -1,
    newest_first: bool = False,
) -> Iterator[Check]:
    """Checks from the moment `start` until before `end`, in milliseconds; a `limit` below zero is none."""
    order = "DESC" if newest_first else "ASC"
    rows = connection.execute(
        f"SELECT database.name, {_MOMENT}, outcome.code, check_detail.id IS NULL, check_detail.http_status,"
        f" check_detail.detail, {_FIGURES} FROM {_CHECKS_OF_SPAN} {_DETAILS}"
        f" JOIN database ON database.id = rollup.database_id WHERE {_IN_SPAN}"
        f" ORDER BY rollup.slot {order}, check_result.id {order} LIMIT :limit",
        {**_span(database, start, end), "limit": limit},
    )
    return (_check(*columns) for columns in rows)


def read_rows(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> Iterator[CheckRow]:
    """The checks of a span, the oldest first, without status and detail."""
    rows = connection.execute(
        f"SELECT {_ROW} FROM {_CHECKS_OF_SPAN} {_DETAILS} WHERE {_IN_SPAN} ORDER BY rollup.slot, check_result.id",
        _span(database, start_ms, end_ms),
    )
    with reading("a check"):
        for columns in rows:
            yield _row(*columns)


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
    """When the check was that has `number` checks after it, of any database; `None` when there are fewer."""
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


def to_figures(phases: Phases) -> tuple[int | None, int | None, bytes | None]:
    """The columns `latency_us`, `other_us` and `phases` of a check.

    `other_us` is the part of the total that is not the latency. `phases` holds `dns`, `connect`, `tls`, `read`,
    and `wait` where the latency does not tell it: of each the microseconds plus one, or 0 for a phase that was not
    reached, written as LEB128 varints. Zeros at the end are left out.
    Six integer columns would be plain SQL, but would take three bytes more a check: SQLite writes a byte of type
    for each column of each row (sqlite.org/fileformat2.html, "Record Format").
    """
    wait, read, total = _us(phases.wait), _us(phases.read), _us(phases.total)
    latency = None if wait is None or read is None else wait + read
    parts = [_us(phases.dns), _us(phases.connect), _us(phases.tls), read, wait if latency is None else None]
    while parts and parts[-1] is None:
        parts.pop()
    packed = b"".join(_write_varint(0 if part is None else part + 1) for part in parts)
    return latency, None if total is None else total - (latency or 0), packed or None


def from_figures(latency_us: int | None, other_us: int | None, packed: bytes | None) -> Phases:
    """What `to_figures` was given, to the microsecond; raises ValueError or TypeError for what it never writes."""
    dns, connect, tls, read, wait = _read_varints(packed or b"")
    if latency_us is not None and read is not None:
        wait = latency_us - read
    return Phases(
        dns=_ms(dns),
        connect=_ms(connect),
        tls=_ms(tls),
        wait=_ms(wait),
        read=_ms(read),
        total=None if other_us is None else _ms(other_us + (latency_us or 0)),
    )


def _write_varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit of a byte tells that more follow."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _read_varints(content: bytes) -> list[int | None]:
    """Five phases in microseconds; raises ValueError for content that is cut short or has more."""
    parts: list[int | None] = []
    value = shift = 0
    for byte in content:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            parts.append(value - 1 if value else None)
            value = shift = 0
    if shift or len(parts) > 5:
        raise ValueError("wanted the phases of a check")
    return parts + [None] * (5 - len(parts))


def _us(milliseconds: float | None) -> int | None:
    """Microseconds are as fine as a figure here is true."""
    return None if milliseconds is None else round(milliseconds * 1000)


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000


def _nearest(connection: sqlite3.Connection, where: str, order: str, values: Mapping[str, int]) -> CheckRow | None:
    row = connection.execute(
        f"SELECT {_ROW} FROM {_CHECKS_OF_SPAN} {_DETAILS} WHERE {where}"
        f" ORDER BY rollup.slot {order}, check_result.id {order} LIMIT 1",
        values,
    ).fetchone()
    with reading("a check"):
        return None if row is None else _row(*row)


def _row(at_ms: int, code: str | None, *figures: Any) -> CheckRow:
    return CheckRow(at_ms=at_ms, outcome=Outcome.OK if code is None else Outcome(code), figures=figures)


def _span(database: int, start_ms: int, end_ms: int) -> dict[str, int]:
    """From the moment `start_ms` until before `end_ms`."""
    (first_hour, first_ms), (last_hour, last_ms) = divmod(start_ms, HOUR_MS), divmod(end_ms - 1, HOUR_MS)
    return {
        "database": database,
        "first_hour": first_hour,
        "first_ms": first_ms,
        "last_hour": last_hour,
        "last_ms": last_ms,
    }


def _check(*columns: Any) -> Check:
    name, at_ms, code, is_usual, http_status, detail, *figures = columns
    with reading("a check"):
        return Check(
            database=name,
            at=from_ms(at_ms),
            outcome=Outcome.OK if is_usual else Outcome(code),
            http_status=200 if is_usual else http_status,
            detail=detail or "",
            phases=from_figures(*figures),
        )
