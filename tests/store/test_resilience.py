"""A file that cannot be written stops neither looks nor alerts: locked, full, read-only, no place for a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.file.resilient import ResilientFile
from tests.store.conftest import Desk
from tests.store.disks import fill, locked, make_read_only, make_writable, small_disk

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
LONG = timedelta(minutes=1)
SHORT = timedelta(seconds=1)


@pytest.fixture
def _short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a lock is waited for is not what is tested."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)


@pytest.mark.usefixtures("_short_locks")
def test_a_locked_file_is_left_for_memory_and_returned_to(desk: Desk) -> None:
    """Counts go on in memory; when the lock is gone, everything is in the file."""
    desk.restart()
    desk.check(TIMEOUT)
    with locked(desk.path):
        desk.check(TIMEOUT, after=SHORT)
        assert desk.in_memory()
        assert desk.checks(TIMEOUT) == ["opened"]
    desk.check(OK)
    assert not desk.in_memory()
    assert desk.checks(OK) == ["closed"]
    assert [level for level, _ in desk.said] == ["ERROR", "INFO"]
    desk.store.close()
    assert desk.outcomes() == ["response_timeout"] * 3 + ["ok"] * 2
    assert desk.shell("SELECT id, checks_failed, closed_at IS NULL FROM incident_log") == [(1, 3, 0)]


@pytest.mark.usefixtures("_short_locks")
def test_a_lock_of_a_moment_is_a_line_in_the_log_and_one_that_lasts_is_a_message(desk: Desk) -> None:
    """A shell that holds the file for some seconds is everyday; people are told when it still does later."""
    desk.restart()
    with locked(desk.path):
        desk.check(OK)
        assert desk.deliver() == []
    desk.check(OK)
    assert not desk.in_memory()
    with locked(desk.path):
        desk.check(OK)
        desk.check(OK, after=LONG)
        [told] = desk.deliver()
        assert "locked by another process" in told
        desk.check(OK, after=LONG)
        assert desk.deliver() == []


@pytest.mark.usefixtures("_short_locks")
def test_what_was_out_of_reach_at_the_start_is_joined_by_what_it_means(desk: Desk) -> None:
    """Begun on a file that could not even be read, the numbers of memory are not those of the file: incidents,
    databases and outbox messages of the file stay what they are, and those of memory find their place beside
    them."""
    desk.check(OK, database="other")
    desk.checks(REJECTED, REJECTED)
    assert desk.deliver() == ["1 opened"]
    desk.checks(OK, OK)
    desk.store.close()
    with locked(desk.path, against_reading=True):
        desk.restart_after_a_kill()
        assert desk.in_memory()
        assert desk.checks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
        opened, told = sorted(desk.deliver())
        assert (opened, "locked" in told) == ("1 opened", True)
    desk.check(TIMEOUT, after=LONG)
    assert not desk.in_memory()
    assert desk.deliver() == ["1 closed"]
    assert desk.checks(OK, OK) == ["closed"]
    assert desk.deliver() == ["2 closed"]
    desk.store.close()
    assert desk.shell("SELECT id, database, cause, closed_at IS NULL FROM incident_log ORDER BY id") == [
        (1, "main", "token_rejected", 0),
        (2, "main", "response_timeout", 0),
    ]
    assert desk.shell("SELECT database, count(*) FROM history GROUP BY 1") == [("main", 10), ("other", 1)]
    assert desk.shell("SELECT incident, kind, delivered_at IS NULL FROM deliveries WHERE channel = 'slack'") == [
        (1, "opened", 0),
        (1, "closed", 0),
        (None, "monitor", 0),
        (2, "opened", 0),
        (2, "closed", 0),
    ]


@pytest.mark.usefixtures("_short_locks")
def test_what_another_process_wrote_meanwhile_stays(desk: Desk) -> None:
    """One process went on from memory, another could write: the incidents and outbox messages of both are
    there.
    """
    desk.check(OK, database="other")
    desk.restart()
    with locked(desk.path):
        desk.check(TIMEOUT, after=SHORT)
    assert desk.in_memory()
    other = Desk(desk.path)
    other.now = desk.now
    for _ in range(2):
        other.check(REJECTED, database="other", after=SHORT)
    assert other.deliver() == ["1 opened"]
    desk.now = other.now
    assert desk.checks(TIMEOUT, TIMEOUT) == ["opened"]
    assert not desk.in_memory()
    assert desk.deliver() == ["2 opened"]
    assert [(name, row.id) for name, row in other.store.incidents()] == [("main", 2), ("other", 1)]
    assert other.store.state("other").incident is not None
    other.store.close()


def test_a_place_where_no_file_can_be_means_memory_and_one_message(tmp_path: Path) -> None:
    """A folder in the way of the file: checks and alerts go on, and it is said once."""
    path = tmp_path / "history.db"
    path.mkdir()
    desk = Desk(path)
    assert desk.checks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    desk.now += timedelta(hours=1)
    assert desk.checks(OK, OK) == ["closed"]
    told, missed = desk.deliver()
    assert "going on from memory" in told
    assert missed == "1 missed"
    assert len(desk.said) == 1
    desk.store.close()
    assert "lost" in desk.said[-1][1]
    assert path.is_dir()


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_a_device_is_no_file_and_is_left_alone(path: str) -> None:
    """Nothing may be renamed in /dev, whatever the settings say."""
    device = Path(path)
    before = device.stat()
    desk = Desk(device)
    assert desk.checks(REJECTED, REJECTED) == ["opened"]
    assert desk.in_memory()
    desk.store.close()
    assert device.stat().st_rdev == before.st_rdev
    assert not list(device.parent.glob(f"{device.name}[.-]*"))


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    """A volume mounted at /data may be empty, and the path go deeper."""
    desk = Desk(tmp_path / "a" / "b" / "history.db")
    desk.check(OK)
    assert not desk.in_memory()
    desk.store.close()
    assert desk.outcomes() == ["ok"]


def test_a_full_disk_means_memory_until_there_is_room(tmp_path: Path) -> None:
    """A real disk of half a megabyte: full, it costs nothing; with room again, everything is in the file."""
    with small_disk(tmp_path / "disk", "512k"):
        desk = Desk(tmp_path / "disk" / "history.db")
        desk.checks(REJECTED, REJECTED)
        assert desk.deliver() == ["1 opened"]
        fill(tmp_path / "disk")
        checks = 2
        while not desk.in_memory():
            desk.check(REJECTED, after=SHORT)
            checks += 1
            assert checks < 5000, "the disk is not full"
        assert "the disk is full" in desk.said[0][1]
        [told] = desk.deliver()
        assert "the disk is full" in told
        ballast = fill(tmp_path / "disk")  # leaving the file gave its log's room back
        desk.check(REJECTED, after=LONG)
        assert desk.in_memory()
        assert desk.checks(OK, OK) == ["closed"]
        assert desk.deliver() == ["1 closed"]
        ballast.unlink()
        desk.check(OK, after=LONG)
        assert not desk.in_memory()
        desk.restart()
        assert desk.store.claim("slack", desk.now) is None
        desk.store.close()
        assert len(desk.outcomes()) == checks + 4
        assert desk.shell("PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_fills_again_and_again_is_one_message_a_day(desk: Desk) -> None:
    """SQLite's own page limit stands in for the disk: the error is the same SQLITE_FULL, and it needs no root."""
    told = []
    for _ in range(3):
        connection = desk.store._file._connection  # the limit holds for one connection, so it must be this one
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        while not desk.in_memory():
            desk.check(OK, after=SHORT)
        assert "the disk is full" in desk.said[-1][1]
        told += desk.deliver()
        desk.check(OK, after=LONG)
        assert not desk.in_memory()
    assert len(told) == 1
    desk.restart_after_a_kill()
    assert len(desk.outcomes()) > 3


def test_a_read_only_disk_means_memory_with_the_state_it_still_gives(tmp_path: Path) -> None:
    """Even a start on it: the open incident goes on under its number, and is not told anew."""
    with small_disk(tmp_path / "disk", "1m"):
        desk = Desk(tmp_path / "disk" / "history.db")
        desk.checks(TIMEOUT, TIMEOUT, TIMEOUT)
        assert desk.deliver() == ["1 opened"]
        desk.store.close()
        make_read_only(tmp_path / "disk")
        desk.restart_after_a_kill()
        assert desk.in_memory()
        [told] = desk.deliver()
        assert "going on from memory" in told
        assert desk.checks(TIMEOUT, OK, OK) == ["closed"]
        assert desk.deliver() == ["1 closed"]
        make_writable(tmp_path / "disk")
        assert desk.checks(*[REJECTED] * 2) == ["opened"]
        assert not desk.in_memory()
        assert desk.deliver() == ["2 opened"]
        desk.store.close()
        assert len(desk.outcomes()) == 8


def test_killed_while_in_memory_only_that_is_lost(tmp_path: Path) -> None:
    """What stood in the file before is all there, and the numbers go on from it."""
    with small_disk(tmp_path / "disk", "1m"):
        desk = Desk(tmp_path / "disk" / "history.db")
        desk.checks(TIMEOUT, TIMEOUT, TIMEOUT)
        desk.deliver()
        desk.store.close()
        make_read_only(tmp_path / "disk")
        desk.restart_after_a_kill()
        assert desk.checks(OK, OK) == ["closed"]
        make_writable(tmp_path / "disk")
        desk.restart_after_a_kill()
        assert desk.outcomes() == ["response_timeout"] * 3
        assert desk.checks(OK, OK) == ["closed"]
        assert desk.deliver() == ["1 closed"]
        desk.store.close()


def test_memory_holds_the_latest_checks_and_no_more_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stays full for weeks must not become an empty memory."""
    monkeypatch.setattr("monitor.store.store._MOST_IN_MEMORY", 10)
    path = tmp_path / "history.db"
    path.mkdir()
    desk = Desk(path)
    for _ in range(25):
        desk.check(OK, after=SHORT)
    desk.store.prune(desk.now, timedelta(days=90))
    path.rmdir()
    desk.check(OK, after=LONG)
    assert not desk.in_memory()
    desk.store.close()
    assert len(desk.outcomes()) == 12


def test_a_clock_set_back_does_not_keep_the_file_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try is not an hour away."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)
    desk.restart()
    with locked(desk.path):
        desk.check(OK)
    desk.check(OK, after=timedelta(hours=-1))
    assert not desk.in_memory()


def test_an_error_that_is_our_own_bug_is_raised_and_costs_no_file(desk: Desk) -> None:
    """Wrong SQL is neither damage nor a full disk."""
    file: ResilientFile = desk.store._file
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        file.do(lambda connection: connection.execute("SELECT nonsense"))
    desk.check(OK)
    assert desk.said == []
    with closing(sqlite3.connect(desk.path)) as shell:
        assert shell.execute("SELECT count(*) FROM history").fetchone() == (1,)
