"""A file that cannot be written stops neither checks nor alerts: locked, full, read-only, no place for a file."""

from __future__ import annotations

import os
import sqlite3
import tracemalloc
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.file.resilient import ResilientFile
from monitor.store.tables.incidents import FIRST_IN_MEMORY
from tests.store.conftest import StoreSetup
from tests.store.disks import fill, locked, make_read_only, make_writable, small_disk

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
LONG = timedelta(minutes=1)
SHORT = timedelta(seconds=1)


@pytest.mark.usefixtures("_short_locks")
@pytest.mark.faults("another process holds the write lock, for minutes")
def test_while_the_file_is_locked_memory_stands_in(setup: StoreSetup) -> None:
    """Counts go on in memory; when the lock is gone, everything is in the file."""
    setup.restart()
    setup.check(TIMEOUT)
    with locked(setup.path):
        setup.check(TIMEOUT, after=SHORT)
        assert setup.in_memory()
        assert setup.checks(TIMEOUT) == ["opened"]
    setup.check(OK)
    assert not setup.in_memory()
    assert setup.checks(OK) == ["closed"]
    assert [level for level, _ in setup.logged] == ["ERROR", "INFO"]
    setup.store.close()
    assert setup.outcomes() == ["response_timeout"] * 3 + ["ok"] * 2
    assert setup.shell("SELECT checks_failed, closed_at IS NULL FROM incident_log") == [(3, 0)]


@pytest.mark.usefixtures("_short_locks")
def test_what_was_delivered_long_ago_costs_no_memory(setup: StoreSetup) -> None:
    """Three months of messages are copied and compared one at a time, and those that are over stay as they are."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    setup.deliver()
    [[before]] = setup.shell("SELECT count(*) FROM outbox")
    copied = "channel, kind, notification || printf('%4000s', ''), created_ms, attempts, delivered_ms"
    with closing(sqlite3.connect(setup.path)) as other:
        other.execute(
            "INSERT INTO outbox (channel, kind, notification, created_ms, attempts, delivered_ms)"
            " WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000)"
            f" SELECT {copied} FROM number, (SELECT * FROM outbox WHERE delivered_ms NOT NULL LIMIT 1)"
        )
        other.commit()
    tracemalloc.start()
    try:
        with locked(setup.path):
            setup.check(TIMEOUT, after=SHORT)
            assert setup.in_memory()
        setup.check(TIMEOUT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not setup.in_memory()
    assert setup.shell("SELECT count(*), max(attempts) FROM outbox") == [(before + 1000, 1)]
    assert peak_bytes < 1000 * 4000 / 2


def replace_by_noise(path: Path) -> None:
    """Another file under the name, and none of what SQLite kept beside the one before."""
    noise = path.with_name("backup")
    noise.write_bytes(b"this is not a database" * 400)
    noise.rename(path)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink()


def test_a_damaged_file_in_the_place_of_ours_is_moved_aside(setup: StoreSetup) -> None:
    """As after a bad backup was copied back: what this process knows goes on in a new file."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    replace_by_noise(setup.path)
    assert setup.checks(OK, OK) == ["closed"]
    assert not setup.in_memory()
    assert setup.deliver() == ["1 missed"]
    assert any(".damaged-" in path.name for path in setup.path.parent.iterdir())


def test_a_damaged_file_in_the_place_of_ours_that_cannot_be_moved_means_memory(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what comes back as damaged again and again is tried now and then."""
    setup.check(OK)
    monkeypatch.setattr("monitor.store.file.resilient.set_aside", lambda path, _now: path)
    replace_by_noise(setup.path)
    assert setup.checks(REJECTED, REJECTED, OK, OK) == ["opened", "closed"]
    assert setup.in_memory()
    setup.path.unlink()
    setup.check(OK)
    assert not setup.in_memory()
    assert len(setup.outcomes()) == 5


@pytest.mark.usefixtures("_short_locks")
@pytest.mark.faults("another process holds the write lock, for minutes")
def test_a_lock_of_a_moment_is_a_line_in_the_log_and_one_that_lasts_is_a_message(setup: StoreSetup) -> None:
    """A shell that holds the file for some seconds is everyday; people are told when it still does later."""
    setup.restart()
    with locked(setup.path):
        setup.check(OK)
        assert setup.deliver() == []
    setup.check(OK)
    assert not setup.in_memory()
    with locked(setup.path):
        setup.check(OK)
        setup.check(OK, after=LONG)
        [told] = setup.deliver()
        assert "locked by another process" in told
        setup.check(OK, after=LONG)
        assert setup.deliver() == []


@pytest.mark.usefixtures("_short_locks")
@pytest.mark.faults("another process holds the write lock, for minutes")
def test_a_file_that_was_out_of_reach_at_the_start_gets_what_memory_holds(setup: StoreSetup) -> None:
    """Begun on a file that could not even be read, the numbers of memory are not those of the file: incidents,
    databases and outbox messages of the file stay what they are, and those of memory find their place beside
    them."""
    setup.check(OK, database="other")
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver() == ["1 opened"]
    setup.checks(OK, OK)
    setup.store.close()
    with locked(setup.path, against_reading=True):
        setup.restart_after_a_kill()
        assert setup.in_memory()
        assert setup.checks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
        opened, told = sorted(setup.deliver())
        number = int(opened.removesuffix(" opened"))
        assert (number >= FIRST_IN_MEMORY, "locked" in told) == (True, True)
    setup.check(TIMEOUT, after=LONG)
    assert not setup.in_memory()
    assert setup.deliver() == ["1 closed"]
    assert setup.checks(OK, OK) == ["closed"]
    assert setup.deliver() == [f"{number} closed"]
    setup.store.close()
    assert setup.shell("SELECT id, database, cause, closed_at IS NULL FROM incident_log ORDER BY id") == [
        (1, "main", "token_rejected", 0),
        (number, "main", "response_timeout", 0),
    ]
    assert setup.shell("SELECT database, count(*) FROM history GROUP BY 1") == [("main", 10), ("other", 1)]
    assert setup.shell("SELECT incident, kind, delivered_at IS NULL FROM deliveries WHERE channel = 'slack'") == [
        (1, "opened", 0),
        (1, "closed", 0),
        (None, "monitor", 0),
        (number, "opened", 0),
        (number, "closed", 0),
    ]


@pytest.mark.usefixtures("_short_locks")
def test_what_another_process_wrote_meanwhile_stays(setup: StoreSetup) -> None:
    """One process went on from memory, another could write: the incidents and outbox messages of both are
    there.
    """
    setup.check(OK, database="other")
    setup.restart()
    with locked(setup.path):
        setup.check(TIMEOUT, after=SHORT)
    assert setup.in_memory()
    other = StoreSetup(setup.path, now=setup.now)
    for _ in range(2):
        other.check(REJECTED, database="other", after=SHORT)
    assert other.deliver() == ["1 opened"]
    setup.now = other.now
    assert setup.checks(TIMEOUT, TIMEOUT) == ["opened"]
    assert not setup.in_memory()
    assert setup.deliver() == ["2 opened"]
    assert [(name, row.id) for name, row in other.store.incidents()] == [("main", 2), ("other", 1)]
    assert other.store.state("other").incident is not None
    other.store.close()


def test_a_place_where_no_file_can_be_means_memory_and_one_message(tmp_path: Path) -> None:
    """A folder in the way of the file: checks and alerts go on, and it is said once."""
    path = tmp_path / "history.db"
    path.mkdir()
    setup = StoreSetup(path)
    assert setup.checks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    setup.now += timedelta(hours=1)
    assert setup.checks(OK, OK) == ["closed"]
    told, missed = setup.deliver()
    assert "going on from memory" in told
    assert missed.endswith(" missed")
    assert len(setup.logged) == 1
    setup.store.close()
    assert "lost" in setup.logged[-1][1]
    assert path.is_dir()


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_a_device_is_no_file_and_is_left_alone(path: str) -> None:
    """Nothing may be renamed in /dev, whatever the settings say."""
    device = Path(path)
    before = device.stat()
    setup = StoreSetup(device)
    assert setup.checks(REJECTED, REJECTED) == ["opened"]
    assert setup.in_memory()
    setup.store.close()
    assert device.stat().st_rdev == before.st_rdev
    assert not list(device.parent.glob(f"{device.name}[.-]*"))


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    """A volume mounted at /data may be empty, and the path go deeper."""
    setup = StoreSetup(tmp_path / "a" / "b" / "history.db")
    setup.check(OK)
    assert not setup.in_memory()
    setup.store.close()
    assert setup.outcomes() == ["ok"]


@pytest.mark.faults("a full disk")
def test_a_full_disk_means_memory_until_there_is_room(tmp_path: Path) -> None:
    """A real disk of half a megabyte: full, it costs nothing; with room again, everything is in the file."""
    with small_disk(tmp_path / "disk", "512k"):
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.checks(REJECTED, REJECTED)
        assert setup.deliver() == ["1 opened"]
        fill(tmp_path / "disk")
        checks = 2
        while not setup.in_memory():
            setup.check(REJECTED, after=SHORT)
            checks += 1
            assert checks < 5000, "the disk is not full"
        assert "the disk is full" in setup.logged[0][1]
        [told] = setup.deliver()
        assert "the disk is full" in told
        ballast = fill(tmp_path / "disk")  # leaving the file gave its log's room back
        setup.check(REJECTED, after=LONG)
        assert setup.in_memory()
        assert setup.checks(OK, OK) == ["closed"]
        assert setup.deliver() == ["1 closed"]
        ballast.unlink()
        setup.check(OK, after=LONG)
        assert not setup.in_memory()
        setup.restart()
        assert setup.store.claim("slack", setup.now) is None
        setup.store.close()
        assert len(setup.outcomes()) == checks + 4
        assert setup.shell("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("pages_left", [0, 4])
@pytest.mark.faults("a full disk")
def test_a_disk_that_is_full_at_the_start_is_called_full(tmp_path: Path, pages_left: int) -> None:
    """Too little room for the -shm is an I/O error to SQLite, and looked like a broken disk."""
    disk = tmp_path / "disk"
    with small_disk(disk, "512k"):
        setup = StoreSetup(disk / "history.db")
        setup.store.close()
        ballast = fill(disk)
        os.truncate(ballast, ballast.stat().st_size - pages_left * 4096)
        setup.logged.clear()
        setup.restart_after_a_kill()
        assert setup.in_memory()
        assert "the disk is full" in setup.logged[0][1]
        setup.store.close()


@pytest.mark.faults("a full disk")
def test_a_disk_that_fills_again_and_again_is_one_message_a_day(setup: StoreSetup) -> None:
    """SQLite's own page limit stands in for the disk: the error is the same SQLITE_FULL, and it needs no root."""
    told = []
    for _ in range(3):
        connection = setup.store._file._connection  # the limit holds for one connection, so it must be this one
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        while not setup.in_memory():
            setup.check(OK, after=SHORT)
        assert "the disk is full" in setup.logged[-1][1]
        told += setup.deliver()
        setup.check(OK, after=LONG)
        assert not setup.in_memory()
    assert len(told) == 1
    setup.restart_after_a_kill()
    assert len(setup.outcomes()) > 3


@pytest.mark.faults("a disk that is remounted read-only")
def test_a_read_only_disk_means_memory_with_the_state_it_still_gives(tmp_path: Path) -> None:
    """Even a start on it: the open incident goes on under its number, and is not told anew."""
    with small_disk(tmp_path / "disk", "1m"):
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
        assert setup.deliver() == ["1 opened"]
        setup.store.close()
        make_read_only(tmp_path / "disk")
        setup.restart_after_a_kill()
        assert setup.in_memory()
        [told] = setup.deliver()
        assert "going on from memory" in told
        assert setup.checks(TIMEOUT, OK, OK) == ["closed"]
        assert setup.deliver() == ["1 closed"]
        make_writable(tmp_path / "disk")
        assert setup.checks(*[REJECTED] * 2) == ["opened"]
        assert not setup.in_memory()
        assert setup.deliver() == ["2 opened"]
        setup.store.close()
        assert len(setup.outcomes()) == 8


@pytest.mark.faults("SIGKILL while the file cannot be written")
def test_killed_while_in_memory_only_that_is_lost(tmp_path: Path) -> None:
    """What stood in the file before is all there, and the numbers go on from it."""
    with small_disk(tmp_path / "disk", "1m"):
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
        setup.deliver()
        setup.store.close()
        make_read_only(tmp_path / "disk")
        setup.restart_after_a_kill()
        assert setup.checks(OK, OK) == ["closed"]
        make_writable(tmp_path / "disk")
        setup.restart_after_a_kill()
        assert setup.outcomes() == ["response_timeout"] * 3
        assert setup.checks(OK, OK) == ["closed"]
        assert setup.deliver() == ["1 closed"]
        setup.store.close()


def test_memory_holds_the_latest_checks_and_no_more_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stays full for weeks must not become an empty memory."""
    monkeypatch.setattr("monitor.store.store._MOST_IN_MEMORY", 10)
    path = tmp_path / "history.db"
    path.mkdir()
    setup = StoreSetup(path)
    for _ in range(25):
        setup.check(OK, after=SHORT)
    setup.store.prune(setup.now, timedelta(days=90))
    path.rmdir()
    setup.check(OK, after=LONG)
    assert not setup.in_memory()
    setup.store.close()
    assert len(setup.outcomes()) == 12


def test_a_clock_set_back_does_not_keep_the_file_waiting(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try is not an hour away."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)
    setup.restart()
    with locked(setup.path):
        setup.check(OK)
    setup.check(OK, after=timedelta(hours=-1))
    assert not setup.in_memory()


def test_an_error_that_is_our_own_bug_is_raised_and_costs_no_file(setup: StoreSetup) -> None:
    """Wrong SQL is neither damage nor a full disk."""
    file: ResilientFile = setup.store._file
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        file.do(lambda connection: connection.execute("SELECT nonsense"))
    setup.check(OK)
    assert setup.logged == []
    with closing(sqlite3.connect(setup.path)) as shell:
        assert shell.execute("SELECT count(*) FROM history").fetchone() == (1,)
