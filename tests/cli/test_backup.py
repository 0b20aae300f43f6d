"""`backup` as a person types it: a whole copy while others write, and never over something that is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from monitor.sandbox.upstash import UpstashStandIn
from tests.program import Program, database, settings, until

TOKEN = "AXbackup0Token=="


def checks(path: Path) -> int:
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        number: int = shell.execute("SELECT count(*) FROM history").fetchone()[0]
        return number


def test_a_backup_is_whole_while_run_writes(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """The copy holds all checks of one moment and is a history of its own; nothing is left beside it."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    program.end("check")
    with program.running() as running:
        until(lambda: checks(program.file) >= 2, "two checks")
        ended = program.end("backup", "copy.db")
        seen = checks(program.file)
        until(lambda: checks(program.file) > seen, "another check")
        assert running.end().status == 0
    assert (ended.status, ended.stderr) == (0, "")
    assert "copy.db written" in ended.stdout
    assert 2 <= checks(tmp_path / "copy.db") <= seen
    assert sorted(part.name for part in tmp_path.glob("copy.db*")) == ["copy.db"]


def test_nothing_is_ever_overwritten(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Neither an older copy nor anything else; the history itself least of all."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    program.end("check")
    (tmp_path / "copy.db").write_bytes(b"mine")
    for name in ("copy.db", "history.db"):
        before = (tmp_path / name).read_bytes()
        ended = program.end("backup", name)
        assert ended.status == 3
        assert ended.stderr == (
            f"wanted a new file, found {name} already there. Next: name another; nothing is overwritten\n"
        )
        assert (tmp_path / name).read_bytes() == before


def test_what_cannot_be_copied_is_refused_and_leaves_nothing(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """No history yet, a damaged one, a place that is not there: wanted, found, next; no half copy."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    missing = program.end("backup", "copy.db")
    assert missing.status == 3
    assert missing.stderr.startswith("wanted a history file at history.db, found none. Next: ")
    program.end("check")
    nowhere = program.end("backup", "no/such/folder/copy.db")
    assert nowhere.status == 3
    assert "found: no such file or directory. Next: " in nowhere.stderr
    program.file.write_bytes(b"no database" * 1000)
    damaged = program.end("backup", "copy.db")
    assert damaged.status == 3
    assert "found: the content is damaged" in damaged.stderr
    assert list(tmp_path.glob("copy.db*")) == []
