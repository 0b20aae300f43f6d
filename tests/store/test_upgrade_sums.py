"""A file whose sums were by hour and day only says the same when it has those of blocks as well.

`second-shape.db.gz` was written by the code that had none: two databases for 45 days from 1 September 2026, one of
them with slow looks, single looks of the first 15 days deleted. The figures here are what that code read from it.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.file.schema import prepare
from monitor.store.file.upgrade_sums import add_blocks
from monitor.store.queries import history_of, totals_of
from monitor.store.rollups.model import Grain, History
from monitor.store.tables.checks import read_looks
from monitor.store.tables.rollups import RowGrain

SECOND_SHAPE = Path(__file__).with_name("second-shape.db.gz")
BEGIN = datetime(2026, 9, 1, 5, tzinfo=UTC)
END = BEGIN + timedelta(days=45)
MAIN, OTHER = 1, 2


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "history.db"
    path.write_bytes(gzip.decompress(SECOND_SHAPE.read_bytes()))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        prepare(file)
        yield file


def history(file: sqlite3.Connection, database: int, *, days: int = 0) -> History:
    start = BEGIN + timedelta(days=days)
    return history_of(file, database, "main", start=start, end=END, grain=Grain.DAY)


def test_whole_spans_read_as_before(file: sqlite3.Connection) -> None:
    """Looks, times, percentiles and phases: to the last digit, since sums add up without loss."""
    found = history(file, MAIN)
    assert found.whole.outcomes == {Outcome.OK: 932, Outcome.SLOW: 103, Outcome.RESPONSE_TIMEOUT: 45}
    assert found.whole.uptime.up == timedelta(days=43, hours=2, seconds=30, milliseconds=208)
    assert found.whole.uptime.down == timedelta(days=1, hours=20, minutes=59, seconds=29, milliseconds=462)
    assert len(found.slices) == 46
    latency, phases = found.whole.latency, found.phases
    assert latency is not None
    assert phases is not None
    assert (latency.looks, latency.p50_ms, latency.p99_ms) == (1035, 20.96838694960037, 684.21919326097)
    assert (phases.dns, phases.wait, phases.total) == (1.001098285238152, 21.13696569467367, 41.189966491323986)


def test_a_span_that_begins_within_a_block_reads_as_before(file: sqlite3.Connection) -> None:
    """Days and hours fill up what no block covers."""
    whole = history(file, OTHER, days=20).whole
    assert whole.outcomes == {Outcome.OK: 162, Outcome.RESPONSE_TIMEOUT: 38}
    assert whole.uptime.up == timedelta(days=20, hours=3, seconds=12, milliseconds=860)
    assert whole.latency is not None
    assert (whole.latency.p50_ms, whole.latency.max_ms) == (19.7589793420332, 62.716)


def test_slow_looks_are_taken_out_of_the_fine_ones(file: sqlite3.Connection) -> None:
    """All that are still there; those that were deleted cannot be told apart any more."""
    slow = sum(look.outcome is Outcome.SLOW for look in read_looks(file, MAIN))
    totals = totals_of(file, MAIN, "main")
    assert 0 < slow < 103
    assert totals.latency.count == 932 + 103 - slow
    assert totals.latency.sum_ms < 66601.264 - 300 * slow
    assert totals.outcomes[Outcome.SLOW] == 103
    assert totals_of(file, OTHER, "other").latency.count == 303


def test_blocks_that_are_there_are_left_alone(file: sqlite3.Connection) -> None:
    """A file of the first release is summed up by today's code, which makes them; the next step adds nothing."""
    before = file.execute("SELECT * FROM rollup ORDER BY id").fetchall()
    assert sum(row[2] == RowGrain.BLOCK for row in before) == 8
    add_blocks(file)
    assert file.execute("SELECT * FROM rollup ORDER BY id").fetchall() == before
