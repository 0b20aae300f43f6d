"""A damaged file is moved aside and costs neither checks nor alerts; what can be read of its state goes on."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from tests.store.conftest import StoreSetup
from tests.store.disks import HARMS, overwrite

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """A file with closed incidents, an open one and outbox messages that wait, and the time it is there."""
    setup = StoreSetup(tmp_path_factory.mktemp("lived-in") / "history.db")
    for _ in range(4):
        setup.checks(*[OK] * 40, REJECTED, REJECTED, OK, OK)
    setup.deliver()
    setup.checks(*[OK] * 40, TIMEOUT, TIMEOUT, TIMEOUT)
    setup.check(OK, database="other")
    setup.store.close()
    return setup.path, setup.now


@pytest.fixture
def settle_in(lived_in: tuple[Path, datetime], tmp_path: Path) -> Callable[[], StoreSetup]:
    """Opens a copy of that file."""
    shutil.copy(lived_in[0], tmp_path / "history.db")

    def open_it() -> StoreSetup:
        return StoreSetup(tmp_path / "history.db", now=lived_in[1])

    return open_it


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("while_open", [False, True], ids=["before the start", "while open"])
@pytest.mark.faults("a damaged file: bytes and pages at random offsets, cut, zero-length")
def test_whatever_happens_to_the_bytes_checks_and_alerts_go_on(
    settle_in: Callable[[], StoreSetup], tmp_path: Path, harm: str, seed: int, *, while_open: bool
) -> None:
    """Nothing is raised, trouble that begins now is told to every channel, a restart finds a sound file."""
    path, chance = tmp_path / "history.db", random.Random(seed)
    harmed = HARMS[harm](path.read_bytes(), chance)
    if while_open:
        setup = settle_in()
        setup.check(OK, database="third")
        overwrite(path, harmed)
    else:
        overwrite(path, harmed)
        setup = settle_in()
    setup.checks(*[REJECTED] * 3, OK, OK, OK, *[REJECTED] * 3)
    [latest] = [row.id for name, row in setup.store.incidents() if name == "main"]
    rounds = [setup.deliver(channel) for channel in setup.channels * 2]  # the first may find the damage
    for first, second in zip(rounds[:2], rounds[2:], strict=True):
        assert f"{latest} opened" in first
        assert len([text for text in first + second if "damaged" in text]) == bool(setup.logged)
    setup.restart()
    assert not setup.in_memory()
    assert [row.id for name, row in setup.store.incidents() if name == "main"] == [latest]
    # Where what was told of an end is among the losses, the end is told again.
    assert [text for text in setup.deliver() if "damaged" not in text and " closed" not in text] == []
    setup.store.close()


@pytest.mark.parametrize("harm", ["no database at all", "header gone"])
def test_the_damaged_file_is_moved_aside_with_its_log(tmp_path: Path, harm: str) -> None:
    """With its -wal and -shm, byte for byte; a new file is begun and one message per channel says so, once."""
    path = tmp_path / "history.db"
    content = HARMS[harm](b"x" * 20000, random.Random(1))
    path.write_bytes(content)
    (tmp_path / "history.db-wal").write_bytes(b"old log")
    setup = StoreSetup(path)
    assert setup.checks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    sent, opened = setup.deliver()
    assert "damaged" in sent
    assert opened == "1 opened"
    setup.restart()
    assert setup.deliver() == []
    setup.store.close()
    aside = tmp_path / "history.db.damaged-20261123T140000"
    assert aside.read_bytes() == content
    assert (tmp_path / f"{aside.name}-wal").read_bytes() == b"old log"
    assert [level for level, _ in setup.logged] == ["ERROR"]
    assert len(setup.outcomes()) == 3


@pytest.mark.faults("a damaged file: bytes and pages at random offsets, cut, zero-length")
def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    """Made by `touch`, or by a full disk: nothing to move aside, nothing to tell."""
    (tmp_path / "history.db").touch()
    setup = StoreSetup(tmp_path / "history.db")
    setup.check(OK)
    setup.store.close()
    assert (setup.logged, setup.outcomes()) == ([], ["ok"])
    assert sorted(part.name for part in tmp_path.iterdir()) == ["history.db", "history.db-reserve"]


def test_damaged_checks_do_not_cost_the_state(setup: StoreSetup) -> None:
    """What can still be read is carried over: the open incident, its number, and outbox messages not yet
    delivered.
    """
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    setup.store.close()
    harm_page(setup.path, "check_result")
    setup.restart_after_a_kill()
    assert setup.checks(TIMEOUT, OK, OK) == ["closed"]
    assert sorted(setup.deliver()) == ["1 missed", f"upstash-monitor: {setup.logged[0][1]}"]
    assert setup.checks(TIMEOUT, TIMEOUT, TIMEOUT) == ["opened"]
    assert [row.id for _, row in setup.store.incidents()] == [2]


@pytest.mark.parametrize("table", ["incident_state", "incident"])
def test_an_open_incident_is_known_by_either_of_its_tables(setup: StoreSetup, table: str) -> None:
    """One of them is gone: the incident goes on under its number and is closed once, as if nothing had been."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    setup.deliver()
    setup.store.close()
    harm_page(setup.path, table)
    setup.restart_after_a_kill()
    assert setup.checks(TIMEOUT, OK, OK) == ["closed"]
    assert setup.deliver() == [f"upstash-monitor: {setup.logged[0][1]}", "1 closed"]
    assert [(row.id, row.closed_at is None) for _, row in setup.store.incidents(closed_too=True)] == [(1, False)]


def test_one_message_that_cannot_be_read_does_not_hold_the_others(setup: StoreSetup) -> None:
    """A letter flipped inside a message: it is lost, and only it."""
    for name in ("first", "second", "third"):
        for _ in range(2):
            setup.check(REJECTED, database=name)
    setup.store.close()
    with closing(sqlite3.connect(setup.path)) as shell, shell:
        shell.execute(
            "UPDATE outbox SET notification = replace(notification, '\"kind\"', '\"kinb\"') WHERE incident_id = 2"
        )
    setup.restart_after_a_kill()
    sent = setup.deliver()
    assert [text for text in sent if "damaged" not in text] == ["1 opened", "3 opened"]
    assert len(sent) == 3


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE outbox", "DROP VIEW history", "ALTER TABLE incident_state RENAME COLUMN state TO states"],
)
def test_a_file_with_another_shape_is_a_damaged_one(setup: StoreSetup, sql: str) -> None:
    """Somebody was in there with a shell; while it is open as well as before the start."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    with closing(sqlite3.connect(setup.path)) as shell, shell:
        shell.execute(sql)
    if "VIEW" in sql:
        setup.restart()
    assert setup.checks(TIMEOUT, OK, OK) == ["closed"]
    assert [level for level, _ in setup.logged] == ["ERROR"]
    setup.restart()
    assert len(setup.logged) == 1


def test_tables_that_somebody_added_to_the_file_do_no_harm(setup: StoreSetup) -> None:
    """An index or a note added with a shell stays."""
    with closing(sqlite3.connect(setup.path)) as shell, shell:
        shell.execute("CREATE INDEX mine ON check_result (latency_us)")
        shell.execute("CREATE TABLE notes (text)")
    setup.restart()
    setup.check(OK)
    assert setup.logged == []
    assert setup.shell("SELECT count(*) FROM notes") == [(0,)]


@pytest.mark.faults("two monitors on one file")
def test_two_processes_that_meet_one_damaged_file_move_it_once(tmp_path: Path) -> None:
    """The second finds the first one's new file and goes on in it."""
    path = tmp_path / "history.db"
    first, second = StoreSetup(path), StoreSetup(path)
    first.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    harm = HARMS["noise"](path.read_bytes() * 3, random.Random(7))
    overwrite(path, harm)
    assert first.checks(TIMEOUT) == second.checks(TIMEOUT) == []
    assert len(list(tmp_path.glob("*.damaged-????????T??????"))) == 1
    assert first.checks(OK, OK) == ["closed"]
    assert second.checks(OK) == []
    first.deliver()
    assert second.deliver() == []
    for setup in (first, second):
        setup.store.close()
    assert setup.outcomes().count("ok") == 3


def harm_page(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(path)) as shell:
        [page] = shell.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        [size] = shell.execute("PRAGMA page_size").fetchone()
    content = path.read_bytes()
    start = (page - 1) * size
    overwrite(path, content[:start] + b"\xff" * size + content[start + size :])


def test_the_next_damage_in_the_same_second_finds_another_name(tmp_path: Path) -> None:
    """Nothing that was moved aside is overwritten."""
    path = tmp_path / "history.db"
    for content in (b"first" * 100, b"second" * 100):
        path.write_bytes(content)
        setup = StoreSetup(path)
        setup.store.close()
        path.unlink()
    aside = sorted(tmp_path.glob("*.damaged-*"))
    assert [part.read_bytes()[:5] for part in aside] == [b"first", b"secon"]
