"""Whose file it is: one that is newer or another program's is not touched; ours, moved or deleted, is followed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.errors import ForeignFileError, NewerFileError, UnreleasedFileError
from monitor.store.file.schema import MIGRATIONS
from tests.program import ROOT
from tests.store.conftest import INTERVAL, StoreSetup

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED


def contents(folder: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in folder.iterdir() if not part.name.endswith("-shm")}


@pytest.mark.parametrize("version", [len(MIGRATIONS) + 1, 99, 2**31 - 1])
@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_newer_file_is_refused_and_left_as_it_is(setup: StoreSetup, version: int, *, killed: bool) -> None:
    """The text says what was found and what to do; not one byte changes, not even when a log waits beside it."""
    setup.check(OK)
    if not killed:
        setup.store.close()
    with closing(sqlite3.connect(setup.path)) as shell:
        shell.execute(f"PRAGMA user_version = {version}")
        before = contents(setup.path.parent)
        with pytest.raises(
            NewerFileError, match=f"schema version {version}, this program knows up to {len(MIGRATIONS)}. Next"
        ):
            StoreSetup(setup.path)
        assert contents(setup.path.parent) == before


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_an_unreleased_build_is_refused_and_left_as_it_is(tmp_path: Path, version: int) -> None:
    """Its schema versions are ours, its tables are not: it is neither upgraded nor taken for damaged."""
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as shell:
        shell.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x55505354; CREATE TABLE old_check (id INTEGER);"
            f" CREATE TABLE old_state (id INTEGER); PRAGMA user_version = {version}"
        )
    before = {part.name: part.read_bytes() for part in tmp_path.iterdir()}
    with pytest.raises(UnreleasedFileError, match=r"unreleased version\. Next: move it away"):
        StoreSetup(path)
    assert {part.name: part.read_bytes() for part in tmp_path.iterdir()} == before


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """history.path points at somebody's data: neither tables are added to it nor is it moved away."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as app, app:
        app.execute("CREATE TABLE customers (name)")
    before = contents(tmp_path)
    with pytest.raises(ForeignFileError, match="another program"):
        StoreSetup(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("how", ["deleted", "moved"])
@pytest.mark.faults("a file that is moved or replaced under the program")
def test_a_file_that_is_moved_away_while_open_is_begun_anew(setup: StoreSetup, how: str) -> None:
    """`rm history.db` must not mean writing into nowhere until a restart: the state goes on in a new file."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    for part in sorted(setup.path.parent.glob("history.db*")):
        if how == "deleted":
            part.unlink()
        else:
            part.rename(part.with_name(part.name.replace("history", "old")))
    assert setup.checks(TIMEOUT, OK, OK) == ["closed"]
    assert [level for level, _ in setup.logged] == ["WARNING"]
    setup.restart_after_a_kill()
    assert setup.deliver() == ["1 missed"]
    assert setup.outcomes() == ["response_timeout", "ok", "ok"]
    assert [row.id for _, row in setup.store.incidents(closed_too=True)] == [1]


def test_a_folder_that_is_moved_away_is_made_again(tmp_path: Path) -> None:
    """The whole volume was emptied."""
    setup = StoreSetup(tmp_path / "data" / "history.db")
    setup.checks(REJECTED, REJECTED)
    for part in (tmp_path / "data").iterdir():
        part.unlink()
    (tmp_path / "data").rmdir()
    assert setup.checks(OK, OK) == ["closed"]
    setup.store.close()
    assert setup.outcomes() == ["ok", "ok"]


@pytest.mark.faults("a file that is moved or replaced under the program")
def test_a_history_that_replaced_the_file_is_added_to_and_not_overwritten(
    setup: StoreSetup, tmp_path: Path
) -> None:
    """A backup was put back while we ran: what it knows stays, what we know comes to it under free numbers."""
    setup.checks(REJECTED, REJECTED)
    setup.deliver()
    backup = StoreSetup(tmp_path / "backup.db", now=setup.now - 100 * INTERVAL)
    backup.checks(TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    backup.store.close()
    for part in sorted(tmp_path.glob("history.db*")):
        part.unlink()
    backup.path.rename(setup.path)
    assert setup.checks(OK, OK) == ["closed"]
    assert [(row.id, row.cause) for _, row in setup.store.incidents(closed_too=True)] == [
        (2, REJECTED),
        (1, TIMEOUT),
    ]
    setup.store.close()
    assert setup.outcomes().count("response_timeout") == 3


def test_a_file_that_something_else_replaced_means_memory(setup: StoreSetup) -> None:
    """A newer version has taken over the name: it is not touched, the watch goes on."""
    setup.checks(REJECTED, REJECTED)
    for part in setup.path.parent.glob("history.db*"):
        part.unlink()
    with closing(sqlite3.connect(setup.path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = setup.path.read_bytes()
    assert setup.checks(OK, OK) == ["closed"]
    assert setup.in_memory()
    setup.store.close()
    assert setup.path.read_bytes() == before


BEGIN_AND_CHECK = """
import sys
from datetime import timedelta
from pathlib import Path
from monitor.checks.observation import Outcome
from tests.store.conftest import StoreSetup

print("ready", flush=True)
sys.stdin.readline()
setup = StoreSetup(Path(sys.argv[1]))
for _ in range(5):
    setup.check(Outcome.TOKEN_REJECTED, database=sys.argv[2], after=timedelta(milliseconds=100))
setup.store.close()
print(setup.logged)
"""


@pytest.mark.faults("two monitors on one file")
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
