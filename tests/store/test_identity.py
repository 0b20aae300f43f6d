"""Whose file it is: one that is newer or another program's is not touched; ours, moved or deleted, is followed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.errors import ForeignFileError, NewerFileError
from monitor.store.file.schema import MIGRATIONS
from tests.program import ROOT
from tests.store.conftest import INTERVAL, Desk

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED


def contents(folder: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in folder.iterdir() if not part.name.endswith("-shm")}


@pytest.mark.parametrize("version", [len(MIGRATIONS) + 1, 99, 2**31 - 1])
@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_newer_file_is_refused_and_left_as_it_is(desk: Desk, version: int, *, killed: bool) -> None:
    """The text says what was found and what to do; not one byte changes, not even when a log waits beside it."""
    desk.check(OK)
    if not killed:
        desk.store.close()
    with closing(sqlite3.connect(desk.path)) as shell:
        shell.execute(f"PRAGMA user_version = {version}")
        before = contents(desk.path.parent)
        with pytest.raises(
            NewerFileError, match=f"schema version {version}, this program knows up to {len(MIGRATIONS)}. Next"
        ):
            Desk(desk.path)
        assert contents(desk.path.parent) == before


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """history.path points at somebody's data: neither tables are added to it nor is it moved away."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as app, app:
        app.execute("CREATE TABLE customers (name)")
    before = contents(tmp_path)
    with pytest.raises(ForeignFileError, match="another program"):
        Desk(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_file_that_is_taken_away_under_our_hands_is_begun_anew(desk: Desk, how: str) -> None:
    """`rm history.db` must not mean writing into nowhere until a restart: the state goes on in a new file."""
    desk.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    for part in sorted(desk.path.parent.glob("history.db*")):
        if how == "deleted":
            part.unlink()
        else:
            part.rename(part.with_name(part.name.replace("history", "old")))
    assert desk.checks(TIMEOUT, OK, OK) == ["closed"]
    assert [level for level, _ in desk.said] == ["WARNING"]
    desk.restart_after_a_kill()
    assert desk.deliver() == ["1 missed"]
    assert desk.outcomes() == ["response_timeout", "ok", "ok"]
    assert [row.id for _, row in desk.store.incidents(closed_too=True)] == [1]


def test_a_folder_that_is_taken_away_is_made_again(tmp_path: Path) -> None:
    """The whole volume was emptied."""
    desk = Desk(tmp_path / "data" / "history.db")
    desk.checks(REJECTED, REJECTED)
    for part in (tmp_path / "data").iterdir():
        part.unlink()
    (tmp_path / "data").rmdir()
    assert desk.checks(OK, OK) == ["closed"]
    desk.store.close()
    assert desk.outcomes() == ["ok", "ok"]


def test_a_file_that_another_one_replaced_is_joined_and_not_overwritten(desk: Desk, tmp_path: Path) -> None:
    """A backup was put back while we ran: what it knows stays, what we know comes to it under free numbers."""
    desk.checks(REJECTED, REJECTED)
    desk.deliver()
    backup = Desk(tmp_path / "backup.db")
    backup.now = desk.now - 100 * INTERVAL
    backup.checks(TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    backup.store.close()
    for part in sorted(tmp_path.glob("history.db*")):
        part.unlink()
    backup.path.rename(desk.path)
    assert desk.checks(OK, OK) == ["closed"]
    assert [(row.id, row.cause) for _, row in desk.store.incidents(closed_too=True)] == [
        (2, REJECTED),
        (1, TIMEOUT),
    ]
    desk.store.close()
    assert desk.outcomes().count("response_timeout") == 3


def test_a_file_that_something_else_replaced_means_memory(desk: Desk) -> None:
    """A newer version has taken over the name: it is not touched, the watch goes on."""
    desk.checks(REJECTED, REJECTED)
    for part in desk.path.parent.glob("history.db*"):
        part.unlink()
    with closing(sqlite3.connect(desk.path)) as newer:
        newer.execute("PRAGMA user_version = 7")
    before = desk.path.read_bytes()
    assert desk.checks(OK, OK) == ["closed"]
    assert desk.in_memory()
    desk.store.close()
    assert desk.path.read_bytes() == before


BEGIN_AND_CHECK = """
import sys
from pathlib import Path
from monitor.checks.observation import Outcome
from tests.store.conftest import Desk

print("ready", flush=True)
sys.stdin.readline()
desk = Desk(Path(sys.argv[1]))
for _ in range(5):
    desk.check(Outcome.TOKEN_REJECTED, database=sys.argv[2])
desk.store.close()
print(desk.said)
"""


def test_processes_that_begin_at_once_share_one_new_file(tmp_path: Path) -> None:
    """Both lay the tables at the same moment; neither loses a check, and no number is given twice."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN_AND_CHECK, str(tmp_path / "history.db"), f"db{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert said == ["[]\n"] * 4
    with closing(sqlite3.connect(tmp_path / "history.db")) as shell:
        assert shell.execute("SELECT database, count(*) FROM history GROUP BY 1").fetchall() == [
            (f"db{number}", 5) for number in range(4)
        ]
        assert sorted(shell.execute("SELECT id FROM incident_log")) == [(1,), (2,), (3,), (4,)]
        assert shell.execute("PRAGMA integrity_check").fetchone() == ("ok",)
