"""Histories as long as a test of reading needs: checks written straight into the file, in the store's own rows.

Recorded one by one they would take hours. What they cost when they are recorded is measured by `disk` and `cpu`.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.checks.observation import Check, Outcome, Phases
from monitor.lib.times import to_ms
from monitor.store.file.open import open_file
from monitor.store.rollups.model import DAY_MS, HOUR_MS, Rollup
from monitor.store.tables.checks import add_row
from monitor.store.tables.incidents import database_id
from monitor.store.tables.recording import (
    COLUMNS,
    TAIL_INTERVALS,
    RollupWriter,
    RowGrain,
    from_columns,
    key_of,
    sum_up,
)
from monitor.store.tables.spans import Retention, move_retention, move_watermark

# Where every history ends; a whole minute within an hour and a day, as it is in life.
END = datetime(2026, 11, 23, 14, 37, tzinfo=UTC)
_DAYS_OF_WEEK = 7


def any_check(name: str, at: datetime, chance: random.Random) -> Check:
    """Of an ordinary host; two of a thousand failed and have a detail."""
    dns, connect, tls = (
        chance.lognormvariate(0.5, 0.5),
        chance.lognormvariate(2, 0.3),
        chance.lognormvariate(2.5, 0.3),
    )
    if chance.random() < 0.002:
        return Check(
            database=name,
            at=at,
            outcome=Outcome.RESPONSE_TIMEOUT,
            detail="connected, but no answer within 10 s",
            phases=Phases(dns=dns, connect=connect, tls=tls, total=10_000.0),
        )
    wait, read = chance.lognormvariate(3, 0.4), chance.lognormvariate(-3, 0.5)
    phases = Phases(
        dns=dns, connect=connect, tls=tls, wait=wait, read=read, total=dns + connect + tls + wait + read + 1
    )
    return Check(database=name, at=at, outcome=Outcome.OK, http_status=200, detail="", phases=phases)


def write_checks(path: Path, name: str, *, number: int, span: timedelta, chance: random.Random) -> None:
    """So many checks of one database, evenly over a span that ends at `END`."""
    with _writing(path) as file:
        database = database_id(file, name)
        day = None
        for index in range(number):
            at = END - span + index * span / number + timedelta(milliseconds=chance.expovariate(1))
            at_ms = to_ms(at)
            add_row(file, database, at_ms, any_check(name, at, chance))
            if day is None:
                move_watermark(file, database, at_ms)
            elif at_ms // DAY_MS != day:
                sum_up(file, database, until_ms=at_ms)
            day = at_ms // DAY_MS
        # As many checks are left to be read one by one as a watch leaves at most, and none of the hour before.
        tail = min(TAIL_INTERVALS * span / number, END - END.replace(minute=0))
        sum_up(file, database, until_ms=to_ms(END - tail))


def write_year(path: Path, names: list[str], *, interval: timedelta, chance: random.Random) -> None:
    """A week of each database, and the sums of 51 weeks before it that were like it, their checks long pruned."""
    week = timedelta(days=_DAYS_OF_WEEK)
    for name in names:
        write_checks(path, name, number=week // interval, span=week, chance=chance)
    with _writing(path) as file:
        week_ms = _DAYS_OF_WEEK * DAY_MS
        for weeks in range(1, 52):
            for grain, slot_ms in ((RowGrain.HOUR, HOUR_MS), (RowGrain.DAY, DAY_MS)):
                file.execute(
                    f"INSERT OR IGNORE INTO rollup (database_id, grain, slot, {COLUMNS})"
                    f" SELECT database_id, grain, slot - ?, {COLUMNS} FROM rollup WHERE grain = ? AND slot > ?",
                    (weeks * week_ms // slot_ms, grain, (to_ms(END) - week_ms) // slot_ms),
                )
        began_ms = to_ms(END - week)
        move_retention(file, Retention(checks_ms=began_ms, failing_ms=began_ms))
        file.execute("DELETE FROM rollup WHERE grain IN (?, ?)", (RowGrain.BLOCK, RowGrain.FINE))
        _add_blocks(file)


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_file(path)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield file
        file.execute("COMMIT")


def _add_blocks(file: sqlite3.Connection) -> None:
    """The blocks of all these days, and the row of all fine checks ever, as a year would leave them."""
    rows = f"SELECT slot, {COLUMNS} FROM rollup WHERE database_id = ? AND grain = ?"
    for (database,) in file.execute("SELECT id FROM database").fetchall():
        writer = RollupWriter(file)
        for slot, *columns in file.execute(rows, (database, RowGrain.DAY)):
            writer.add(key_of(database, RowGrain.BLOCK, slot * DAY_MS), from_columns(*columns))
        for slot, *columns in file.execute(rows, (database, RowGrain.ALL)):
            everything = from_columns(*columns)
            fine = Rollup(outcomes={Outcome.OK: everything.outcomes[Outcome.OK]}, latency=everything.latency)
            writer.add((database, RowGrain.FINE, slot), fine)
        writer.flush()
