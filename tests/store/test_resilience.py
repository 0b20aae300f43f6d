"""A sick file stops neither looks nor alerts: damaged, read-only, full, locked, in every order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.notice import Kind
from monitor.core.observation import Outcome
from monitor.core.outbox import Receipt, Verdict
from tests.store.conftest import Desk

OK, TIMEOUT = Outcome.OK, Outcome.RESPONSE_TIMEOUT
CONFIRMED = Receipt(verdict=Verdict.CONFIRMED, detail="ok")


def deliver(desk: Desk, channel: str = "slack") -> list[str]:
    """Send what is due; return the first lines."""
    said = []
    while dispatch := desk.store.claim(channel, desk.now):
        notice = dispatch.notice
        said.append(notice.title if notice.kind is Kind.MONITOR else f"{notice.incident} {notice.kind.value}")
        desk.store.settle(dispatch, CONFIRMED, desk.now, 0.0)
    return said


def in_memory(desk: Desk) -> bool:
    return desk.store.is_in_memory


def outcomes(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as shell:
        return [row[0] for row in shell.execute("SELECT outcome FROM history ORDER BY at")]


@pytest.mark.parametrize("content", [b"this is not a database" * 400, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_file_that_is_damaged_at_the_start_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    """With its -wal and -shm; a new file is begun, one notice per channel says so, nothing stops."""
    path = tmp_path / "history.db"
    path.write_bytes(content)
    (tmp_path / "history.db-wal").write_bytes(b"old log")
    desk = Desk(path)
    assert desk.looks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    told, opened = deliver(desk)
    assert "damaged" in told
    assert opened == "1 opened"
    desk.store.close()
    aside = sorted(part.name for part in tmp_path.glob("history.db.damaged-*"))
    assert aside[0] == "history.db.damaged-20261123T140000"
    assert (tmp_path / aside[0]).read_bytes() == content
    assert len(outcomes(path)) == 3


def test_a_damaged_table_of_looks_does_not_cost_the_state(desk: Desk) -> None:
    """What can still be read is carried over: the open incident, its number, and parcels not yet delivered."""
    desk.looks(TIMEOUT, TIMEOUT, TIMEOUT)
    desk.store.close()
    with closing(sqlite3.connect(desk.path)) as shell:
        [page] = shell.execute("SELECT rootpage FROM sqlite_master WHERE name = 'look'").fetchone()
        [size] = shell.execute("PRAGMA page_size").fetchone()
    with desk.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    desk.restart_after_a_kill()
    assert desk.looks(TIMEOUT, OK, OK) == ["closed"]
    assert sorted(deliver(desk)) == ["1 missed", f"upstash-monitor: {desk.said[0][1]}"]
    assert desk.looks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    assert [row.id for _, row in desk.store.incidents()] == [2]


def test_a_locked_file_is_left_for_memory_and_returned_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts go on in memory; when the lock is gone, everything is in the file, and it was said once."""
    monkeypatch.setattr("monitor.store.file.BUSY_TIMEOUT_SECONDS", 0.05)  # the clock is not what is tested
    desk.restart()
    desk.look(TIMEOUT)
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        desk.look(TIMEOUT)
        assert in_memory(desk)
        assert desk.looks(TIMEOUT) == ["opened"]
        warned, opened = deliver(desk)
        assert "locked by another process" in warned
        assert opened == "1 opened"
    desk.look(OK)
    assert not in_memory(desk)
    assert desk.looks(OK) == ["closed"]
    assert deliver(desk) == ["1 closed"]
    desk.store.close()
    assert outcomes(desk.path) == ["response_timeout"] * 3 + ["ok"] * 2
    assert [level for level, _ in desk.said] == ["ERROR", "INFO"]
    desk.restart_after_a_kill()


def test_a_path_that_cannot_be_written_means_memory_and_one_notice(tmp_path: Path) -> None:
    """A folder in the way of the file: looks and alerts go on, and it is said once."""
    path = tmp_path / "history.db"
    path.mkdir()
    desk = Desk(path)
    assert desk.looks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    desk.now += timedelta(hours=1)
    assert desk.looks(OK, OK) == ["closed"]
    told, missed = deliver(desk)
    assert "going on from memory" in told
    assert missed == "1 missed"
    assert len(desk.said) == 1
    desk.store.close()


def test_a_full_disk_means_memory_until_there_is_room(desk: Desk) -> None:
    """SQLite's own page limit stands in for the disk: the error is the same SQLITE_FULL."""
    desk.look(TIMEOUT)
    connection = desk.store._file._connection  # the limit holds for one connection, so it must be this one
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(200):
        desk.look(OK)
        if in_memory(desk):
            break
    assert in_memory(desk)
    assert "the disk is full" in desk.said[0][1]
    desk.look(OK, after=timedelta(minutes=1))
    assert not in_memory(desk)
    desk.store.close()
    recorded = outcomes(desk.path)
    assert recorded[0] == "response_timeout"
    assert len(recorded) > 3
    desk.restart_after_a_kill()
