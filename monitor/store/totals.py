"""Counts what the file holds, for metrics, from the rows of looks and parcels that are still there.

Each function runs inside a transaction that its caller holds.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.observation import Family, Look, Outcome, Phases
from monitor.core.totals import DatabaseTotals, Totals
from monitor.store.looks import database_id, read_watch
from monitor.store.rows import from_ms, from_ms_or_none, reading

_GOOD = [outcome.value for outcome in Outcome if outcome.family in (Family.FINE, Family.SLOW)]
_ENDED_WELL = f"outcome_id IN (SELECT id FROM outcome WHERE code IN ({', '.join('?' * len(_GOOD))}))"


@dataclass(frozen=True, slots=True)
class SortedLatencies:
    """Latencies in microseconds, the shortest first."""

    sorted_us: array[int]

    @property
    def count(self) -> int:
        return len(self.sorted_us)

    @property
    def sum_ms(self) -> float:
        return sum(self.sorted_us) / 1000

    def count_at_most(self, ms: float, /) -> int:
        return bisect_right(self.sorted_us, ms * 1000)


def read(connection: sqlite3.Connection, databases: Sequence[str], channels: Sequence[str]) -> Totals:
    """One entry per database, in this order; both results for each of these channels."""
    pending = connection.execute(
        "SELECT count(*) FROM parcel WHERE delivered_ms IS NULL AND given_up_ms IS NULL"
    ).fetchone()
    return Totals(
        databases=tuple(_database(connection, name) for name in databases),
        notifications=_notifications(connection, channels),
        outbox_pending=pending[0],
    )


def _database(connection: sqlite3.Connection, name: str) -> DatabaseTotals:
    database = database_id(connection, name)
    counts = connection.execute(
        "SELECT code, count(*) FROM look JOIN outcome ON outcome.id = outcome_id"
        " WHERE database_id = ? GROUP BY code",
        (database,),
    )
    well = connection.execute(
        f"SELECT max(at_ms) FROM look WHERE database_id = ? AND {_ENDED_WELL}", (database, *_GOOD)
    ).fetchone()
    with reading("a look"):
        return DatabaseTotals(
            database=name,
            latest=_latest(connection, database, name),
            outcomes={Outcome(code): count for code, count in counts},
            latency=_latencies(connection, database),
            last_success_at=from_ms_or_none(well[0]),
            is_incident_open=read_watch(connection, database)[0].incident is not None,
        )


def _latest(connection: sqlite3.Connection, database: int, name: str) -> Look | None:
    row = connection.execute(
        "SELECT at_ms, code, detail, http_status, dns_us, connect_us, tls_us, wait_us, read_us, total_us"
        " FROM look JOIN outcome ON outcome.id = outcome_id WHERE database_id = ? ORDER BY at_ms DESC LIMIT 1",
        (database,),
    ).fetchone()
    if row is None:
        return None
    at_ms, code, detail, http_status, *parts = row
    dns, connect, tls, wait, whole, total = (None if part is None else part / 1000 for part in parts)
    return Look(
        database=name,
        at=from_ms(at_ms),
        outcome=Outcome(code),
        detail=detail or "",
        http_status=http_status,
        phases=Phases(dns=dns, connect=connect, tls=tls, wait=wait, read=whole, total=total),
    )


def _latencies(connection: sqlite3.Connection, database: int) -> SortedLatencies:
    rows = connection.execute(
        f"SELECT wait_us + read_us AS us FROM look WHERE database_id = ? AND us IS NOT NULL AND {_ENDED_WELL}"
        " ORDER BY us",
        (database, *_GOOD),
    )
    return SortedLatencies(array("q", (us for (us,) in rows)))


def _notifications(connection: sqlite3.Connection, channels: Sequence[str]) -> dict[tuple[str, str], int]:
    counted = {(channel, result): 0 for channel in channels for result in ("sent", "failed")}
    rows = connection.execute(
        "SELECT channel, sum(delivered_ms IS NOT NULL),"
        " sum(attempts - (delivered_ms IS NOT NULL OR (attempts > 0 AND last_error IS NULL)))"
        " FROM parcel GROUP BY channel"
    )
    for channel, sent, failed in rows:
        counted |= {(channel, "sent"): sent, (channel, "failed"): failed}
    return counted
