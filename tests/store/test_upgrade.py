"""A file that the first release wrote becomes one of this version, whole, or stays as it was.

`first-release.db.gz` was written by the first release's own store: two databases, one looked at every ten minutes
for four days and one every six hours, with failures, a gap, a clock set back, incidents, parcels of every fate.
"""

from __future__ import annotations

import gzip
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.checks.observation import Look, Outcome
from monitor.store.file.migrations import MIGRATIONS
from monitor.store.file.schema import prepare
from monitor.store.read_only import open_archive
from monitor.store.rollups.model import Grain
from monitor.store.tables.checks import read_looks
from monitor.store.tables.outbox import read_tallies
from monitor.store.tables.rows import from_ms, to_ms
from monitor.store.tables.spans import read_gaps
from monitor.store.tables.sums import Sums
from tests.program import ROOT
from tests.store.conftest import Desk
from tests.store.timeline import check, expected

FIRST_RELEASE = Path(__file__).with_name("first-release.db.gz")
DATABASES = ("main", "other database")
VIEWS = {
    "history": "SELECT * FROM history ORDER BY database, at",
    "incident_log": "SELECT * FROM incident_log ORDER BY id",
    "deliveries": "SELECT * FROM deliveries ORDER BY created_at, channel, kind",
}
Rows = dict[str, list[tuple[Any, ...]]]


def views(connection: sqlite3.Connection) -> Rows:
    return {name: connection.execute(sql).fetchall() for name, sql in VIEWS.items()}


def views_of(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as shell:
        return views(shell)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "history.db"
    path.write_bytes(gzip.decompress(FIRST_RELEASE.read_bytes()))
    return path


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    desk = Desk(path)
    yield desk
    desk.store.close()


def test_nothing_is_lost_and_the_views_read_the_same(path: Path) -> None:
    """Every row of the three views, in every column; the state of each database; what waits for a channel."""
    before = views_of(path)
    with closing(sqlite3.connect(path)) as shell:
        kept = ("watch", "gap", "incident", "channel", "control", "outcome", "sqlite_sequence")
        rows = {table: shell.execute(f"SELECT * FROM {table}").fetchall() for table in kept}
    assert {name: len(found) for name, found in before.items()} == {
        "history": 553,
        "incident_log": 5,
        "deliveries": 20,
    }
    Desk(path).store.close()
    assert views_of(path) == before
    with closing(sqlite3.connect(path)) as shell:
        assert {table: shell.execute(f"SELECT * FROM {table}").fetchall() for table in rows} == rows
        assert shell.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert shell.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_every_phase_of_every_look_is_kept_to_the_microsecond(path: Path) -> None:
    """Those that were not reached as well."""
    columns = "at_ms, dns_us, connect_us, tls_us, wait_us, read_us, total_us"
    with closing(sqlite3.connect(path)) as shell:
        sql = (
            f"SELECT {columns} FROM look JOIN database ON database.id = database_id WHERE name = ? ORDER BY at_ms"
        )
        before = {name: shell.execute(sql, (name,)).fetchall() for name in DATABASES}
    desk = Desk(path)
    for name in DATABASES:
        assert [_figures(look) for look in looks_of(desk, name)] == before[name]
    desk.store.close()


@pytest.mark.parametrize("name", DATABASES)
def test_the_sums_are_those_of_the_looks(desk: Desk, name: str) -> None:
    """Counted here from the single looks and the gaps, by the hour and by the day, wherever the span begins."""
    looks = looks_of(desk, name)
    start, end = looks[0].at, looks[-1].at + timedelta(minutes=1)
    number = row_of(desk, name)
    gaps = [
        (from_ms(begun), from_ms(over))
        for begun, over in desk.store.read(lambda c: read_gaps(c, number, start_ms=0, end_ms=1 << 50))
    ]
    assert bool(gaps) == (name == "main")
    for begin in (start, start.replace(hour=0, minute=0, second=0, microsecond=0), start + timedelta(hours=7.3)):
        for grain in Grain:
            for each in slices(desk, number, begin, end, grain):
                check(each, expected(looks, each.start, each.end, gaps=gaps))


def test_looks_and_messages_go_on_in_it(desk: Desk) -> None:
    """The open incident is closed under its number; its messages are counted on from those of before."""
    desk.now = looks_of(desk, "other database")[-1].at
    before = desk.store.read(read_tallies)
    assert before["slack", "sent"] > 0
    assert [text for _, text in desk.said] == [
        "the history file is of an older version and is rewritten: some seconds for 100,000 looks"
    ]
    [(name, incident)] = desk.store.incidents()
    assert name == "other database"
    for _ in range(2):
        recorded = desk.look(Outcome.OK, database="other database")
    assert recorded.step.incident is not None
    assert recorded.step.incident.id == incident.id
    told = desk.deliver()
    assert desk.store.read(read_tallies)["slack", "sent"] == before["slack", "sent"] + len(told)


KILLED = """
import os, signal, sys
from pathlib import Path
from monitor.store.file import open as file

connect, left = file._connect, [int(sys.argv[2])]

def kill():
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def connect_and_count(name):
    connection = connect(name)
    connection.set_progress_handler(kill, 500)
    return connection

file._connect = connect_and_count
file.open_file(Path(sys.argv[1])).close()
"""


def test_killed_on_its_way_it_is_the_old_file_still(path: Path, tmp_path: Path) -> None:
    """SIGKILL after so many steps of SQLite, more and more until it arrives: each time the next start finds
    all of the old file or all of the new one."""
    before, content = views_of(path), path.read_bytes()
    steps, kills = 1, 0
    while True:
        for part in tmp_path.glob("history.db*"):
            part.unlink()
        path.write_bytes(content)
        ended = subprocess.run([sys.executable, "-c", KILLED, path, str(steps)], cwd=ROOT, check=False)
        with closing(sqlite3.connect(path)) as shell:
            version = shell.execute("PRAGMA user_version").fetchone()[0]
        assert views_of(path) == before
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        kills += version == 1
        Desk(path).store.close()
        assert views_of(path) == before
        steps *= 4
    assert version == len(MIGRATIONS)
    assert kills >= 3


def test_whoever_only_reads_sees_it_upgraded_and_leaves_it_alone(path: Path, tmp_path: Path) -> None:
    """Not one byte changes."""
    content = path.read_bytes()
    with open_archive(path) as read:
        assert read(lambda connection: len(list(read_looks(connection, 1)))) == 533
    assert path.read_bytes() == content
    assert [part.name for part in tmp_path.iterdir()] == ["history.db"]


MAYBE_US = st.one_of(st.none(), st.integers(0, 200), st.integers(0, 20_000), st.integers(0, 120_000_000))
OLD_LOOKS = st.dictionaries(
    st.tuples(st.integers(1, 2), st.integers(1_770_000_000_000, 1_770_020_000_000)),
    st.tuples(
        st.integers(1, len(Outcome)),
        st.one_of(st.none(), st.sampled_from((200, 401, 502))),
        *[MAYBE_US] * 6,
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)),
    ),
    max_size=40,
)


@given(OLD_LOOKS)
@settings(max_examples=30, deadline=None)
def test_whatever_the_first_release_wrote_the_views_read_the_same(looks: dict[tuple[int, int], Any]) -> None:
    """Any outcome with any status, detail and phases, many of them missing."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as file:
        for step in MIGRATIONS[0]:
            assert isinstance(step, str)
            file.executescript(step)
        file.execute("PRAGMA user_version = 1")
        file.executemany("INSERT INTO database VALUES (?, ?)", [(1, "main"), (2, "other")])
        file.executemany(
            "INSERT INTO outcome (code, ok) VALUES (?, ?)",
            [(outcome.value, None if outcome.family.value == "unknown" else 1) for outcome in Outcome],
        )
        marks = ", ".join("?" * 11)
        file.executemany(
            f"INSERT INTO look VALUES ({marks})", [(*key, *columns) for key, columns in looks.items()]
        )
        before = views(file)
        prepare(file)
        assert views(file) == before
        assert len(before["history"]) == len(looks)


def looks_of(desk: Desk, name: str) -> list[Look]:
    number = row_of(desk, name)
    return desk.store.read(lambda connection: list(read_looks(connection, number)))


def row_of(desk: Desk, name: str) -> int:
    [[number]] = desk.shell(f"SELECT id FROM database WHERE name = '{name}'")
    return int(number)


def slices(desk: Desk, number: int, start: datetime, end: datetime, grain: Grain) -> Any:
    return desk.store.read(
        lambda connection: Sums(connection, number, start_ms=to_ms(start), end_ms=to_ms(end), grain=grain).slices()
    )


def _figures(look: Look) -> tuple[int | None, ...]:
    phases = look.phases
    parts = (phases.dns, phases.connect, phases.tls, phases.wait, phases.read, phases.total)
    return to_ms(look.at), *[None if ms is None else round(ms * 1000) for ms in parts]
