"""A history file that a build before the first release left: every command refuses it and leaves it as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from monitor.sandbox.upstash import UpstashStandIn
from tests.program import Program, database, settings

TOKEN = "AXnotOurs0Token=="
REFUSAL = "wanted a history file of this version, found one of an unreleased version. Next: move it away"
# What such a build began a file with; its three schemas differ in the tables only.
UNRELEASED = """
PRAGMA journal_mode = WAL;
PRAGMA application_id = 0x55505354;
PRAGMA user_version = 1;
CREATE TABLE database (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE outcome (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, ok INTEGER);
CREATE TABLE old_check (database_id INTEGER, at_ms INTEGER, outcome_id INTEGER, PRIMARY KEY (database_id, at_ms));
CREATE TABLE old_state (database_id INTEGER PRIMARY KEY, seen_ms INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE old_message (id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, body TEXT NOT NULL);
INSERT INTO database (name) VALUES ('main');
"""


def test_every_command_refuses_it_and_leaves_it_as_it_is(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """One line, status 3; not a byte is changed, nothing is set aside, and no log is left beside it."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    with closing(sqlite3.connect(program.file)) as shell:
        shell.executescript(UNRELEASED)
    before = {part.name: part.read_bytes() for part in tmp_path.iterdir()}
    for words in (
        ("run",),
        ("check",),
        ("report",),
        ("incidents",),
        ("incidents", "ack", "1"),
        ("backup", "copy.db"),
    ):
        ended = program.end(*words)
        assert ended.status == 3, words
        assert REFUSAL in ended.stdout + ended.stderr, words
        assert "Traceback" not in ended.stdout + ended.stderr
        assert {part.name: part.read_bytes() for part in tmp_path.iterdir()} == before, words
    assert program.end("doctor").status == 0
    assert {part.name: part.read_bytes() for part in tmp_path.iterdir()} == before
