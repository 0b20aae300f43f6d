"""A file of an older version becomes one of this version, whole, or stays as it was.

There is one version so far, so a second migration is made up here.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.checks.observation import Outcome
from monitor.store.errors import NewerFileError
from monitor.store.file import schema
from monitor.store.file.open import open_file
from monitor.store.read_only import open_read_only
from monitor.store.tables.incidents import database_names
from tests.program import ROOT
from tests.store.conftest import START, StoreSetup

NEXT = """
CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
ALTER TABLE incident ADD COLUMN note_id INTEGER REFERENCES note (id);
INSERT INTO note (text) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  SELECT 'note ' || i FROM n;
UPDATE incident SET note_id = id;
"""
NOW = len(schema.MIGRATIONS)
UPGRADED = (*schema.MIGRATIONS, NEXT)
VIEWS = {
    "history": "SELECT * FROM history ORDER BY database, at",
    "incident_log": "SELECT * FROM incident_log ORDER BY id",
    "deliveries": "SELECT * FROM deliveries ORDER BY created_at, channel, kind",
}
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the present version, at rest, with checks, an open incident and messages."""
    path = tmp_path / "history.db"
    setup = StoreSetup(path)
    setup.checks(Outcome.OK, *[Outcome.TOKEN_REJECTED] * 3, Outcome.OK, Outcome.OK, *[Outcome.TOKEN_REJECTED] * 4)
    setup.deliver()
    setup.store.close()
    return path


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", UPGRADED)


def rows_of(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as shell:
        return {name: shell.execute(sql).fetchall() for name, sql in VIEWS.items()}


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as shell:
        return int(shell.execute("PRAGMA user_version").fetchone()[0])


def notes_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as shell:
        return int(shell.execute("SELECT count(*) FROM note").fetchone()[0])


@pytest.mark.usefixtures("upgraded")
def test_an_older_file_is_upgraded_and_nothing_is_lost(path: Path) -> None:
    """Every row of the three views is as before, and the open incident goes on under its number."""
    before = rows_of(path)
    assert all(before.values())
    setup = StoreSetup(path, now=START + timedelta(hours=1))
    assert rows_of(path) == before
    assert (version_of(path), notes_of(path)) == (NOW + 1, 20000)
    assert setup.shell("PRAGMA integrity_check") == [("ok",)]
    [(name, incident)] = setup.store.incidents()
    recorded = [setup.check(Outcome.OK) for _ in range(2)][-1]
    assert name == "main"
    assert recorded.transition.incident is not None
    assert recorded.transition.incident.id == incident.id
    setup.store.close()


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from monitor.store.file import open, schema
from tests.store.test_migrations import UPGRADED

schema.MIGRATIONS = UPGRADED
connect, left = open._connect, [int(sys.argv[2])]

def kill():
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def connect_and_count(name):
    connection = connect(name)
    connection.set_progress_handler(kill, 500)
    return connection

open._connect = connect_and_count
open.open_file(Path(sys.argv[1])).close()
"""


@pytest.mark.faults("SIGKILL within an upgrade of the file")
def test_killed_half_way_it_is_the_old_file(path: Path, tmp_path: Path) -> None:
    """SIGKILL after so many steps of SQLite, more and more until it gets through: each time the file is all old
    or all new."""
    before, content = rows_of(path), path.read_bytes()
    steps, killed_before_the_end = 1, 0
    while True:
        for part in tmp_path.glob("history.db*"):
            part.unlink()
        path.write_bytes(content)
        ended = subprocess.run([sys.executable, "-c", KILLED, path, str(steps)], cwd=ROOT, check=False)
        version = version_of(path)
        assert rows_of(path) == before
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        if version == NOW:
            killed_before_the_end += 1
            with pytest.raises(sqlite3.OperationalError, match="no such table: note"):
                notes_of(path)
        steps *= 4
    assert (version, notes_of(path)) == (NOW + 1, 20000)
    assert killed_before_the_end >= 3


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its earlier statements did is taken back, and the next start tries again."""
    before = rows_of(path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEXT + "INSERT INTO missing VALUES (1);\n"))
    with pytest.raises(sqlite3.OperationalError, match="no such table: missing"):
        open_file(path)
    assert (version_of(path), rows_of(path)) == (NOW, before)
    monkeypatch.setattr(schema, "MIGRATIONS", UPGRADED)
    open_file(path).close()
    assert (version_of(path), rows_of(path), notes_of(path)) == (NOW + 1, before, 20000)


def test_a_file_of_the_first_version_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages have no name at their channel yet, so what follows is no reply; then they have."""
    path = tmp_path / "history.db"
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    open_file(path).close()
    monkeypatch.undo()
    with closing(sqlite3.connect(path)) as shell:
        assert "message_ref" not in {row[1] for row in shell.execute("PRAGMA table_info(outbox)")}
    setup = StoreSetup(path)
    setup.checks(*[Outcome.TOKEN_REJECTED] * 2)
    assert setup.deliver() == ["1 opened"]
    setup.store.close()
    assert version_of(path) == NOW


@pytest.mark.usefixtures("upgraded")
def test_processes_that_upgrade_at_once_upgrade_it_once(path: Path) -> None:
    """The second one finds the work done: its rows are not inserted again."""
    with ThreadPoolExecutor(4) as threads:
        for connection in threads.map(open_file, [path] * 4):
            connection.close()
    assert (version_of(path), notes_of(path)) == (NOW + 1, 20000)


def test_an_upgraded_file_is_refused_by_the_older_program(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To write and to read; not one byte of it changes."""
    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", UPGRADED)
        open_file(path).close()
    content = path.read_bytes()
    with pytest.raises(NewerFileError):
        open_file(path)
    with pytest.raises(NewerFileError), open_read_only(path):
        pass
    assert path.read_bytes() == content


@pytest.mark.usefixtures("upgraded")
def test_who_only_reads_sees_it_upgraded_and_leaves_it_alone(path: Path, tmp_path: Path) -> None:
    """Not one byte changes, and nothing is left beside it."""
    content = path.read_bytes()
    with open_read_only(path) as file:
        assert file.read(lambda connection: connection.execute("SELECT count(*) FROM note").fetchone()) == (20000,)
        assert file.read(database_names) == ["main"]
    assert path.read_bytes() == content
    assert sorted(part.name for part in tmp_path.iterdir()) == ["history.db", "history.db-reserve"]
