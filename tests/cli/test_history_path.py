"""A history that cannot be reached, by the real program: the watch goes on, and it says why in a line."""

from __future__ import annotations

import platform
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import Program, database, settings, slack, told

TOKEN = "AXhistoryPath0TokenOfTests=="
# Root may search every folder; the program does not, as in most containers, once it gave these two powers up.
_WITHOUT_ROOTS_POWERS = """
import ctypes
libc = ctypes.CDLL(None)
# capset(2), version 3: all of root's powers but CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2).
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)()
libc.capget(header, data)
for place in range(3):
    data[place] &= ~0b110
libc.capset(header, data)
"""
# What the kernel answers where a file system has no locks: ENOLCK (37) to F_SETLK (6), by a filter of its own.
_WITHOUT_LOCKS = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
rules = ((0x20, 0, 0, 0), (0x15, 0, 3, 72), (0x20, 0, 0, 24), (0x15, 0, 1, 6), (0x06, 0, 0, 0x00050000 | 37),
         (0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
if libc.prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    raise SystemExit(99)
"""


def program_in(folder: Path, before: str, *databases: dict[str, object], **rest: object) -> Program:
    """The program, in a process that runs `before` first."""
    (folder / "sitecustomize.py").write_text(before, encoding="utf-8")
    program = Program(folder, settings(*databases, **rest))
    program.environ["PYTHONPATH"] = f"{folder}:{program.environ['PYTHONPATH']}"
    return program


def test_a_folder_that_may_not_be_searched_ends_nothing_and_is_taken_when_it_may(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Today's volume of another user: from memory, one warning, alarm; opened, the file gets everything."""
    upstash.token = "another"
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / "history.db").touch()
    folder.chmod(0)
    history = {"path": str(folder / "history.db")}
    main = database("main", upstash.url, TOKEN)
    program = program_in(tmp_path, _WITHOUT_ROOTS_POWERS, main, channels=slack(people), history=history)
    with program.running() as running:
        running.wait_for(" opened delivered")
        assert running.said.count("a folder on the way to it is closed to this user); going on from memory.") == 1
        assert "history in memory only" in running.said
        assert "Traceback" not in running.said
        folder.chmod(0o700)
        assert running.end().status == 0
    assert [kind for _, kind in told(people)].count("opened") == 1
    with closing(sqlite3.connect(folder / "history.db")) as connection:
        assert connection.execute("SELECT count(*) FROM incident_log").fetchone() == (1,)
    folder.chmod(0)
    checked = program.end("check", "--within", "20s")
    assert checked.status == 2
    assert checked.stdout.startswith("CRITICAL - main token rejected")
    ended = program.end("incidents")
    assert ended.status == 3
    [line] = ended.stderr.splitlines()
    assert "a folder on the way to it is closed to this user. Next:" in line


def test_who_may_only_read_the_file_sees_its_incidents_and_its_report(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Nothing is said and nothing left beside it; to acknowledge is to write, which is told."""
    upstash.token = "another"
    folder = tmp_path / "volume"
    folder.mkdir()
    history = {"path": str(folder / "history.db")}
    main = database("main", upstash.url, TOKEN)
    program = program_in(tmp_path, _WITHOUT_ROOTS_POWERS, main, channels=slack(people), history=history)
    assert program.end("check").status == 2
    assert program.end("silence", "main", "--for", "2h").status == 0
    (folder / "history.db").chmod(0o400)
    folder.chmod(0o500)
    listed = program.end("incidents")
    assert (listed.status, listed.stderr) == (0, "")
    assert listed.stdout.startswith("   1  main: token rejected · since ")
    report = program.end("report")
    assert (report.status, report.stderr) == (0, "")
    silenced = program.end("silence", "--list")
    assert (silenced.status, silenced.stderr) == (0, "")
    assert silenced.stdout in listed.stdout
    assert silenced.stdout.startswith("silence 1")
    for words in (("incidents", "ack", "1"), ("silence", "main", "--for", "2h")):
        refused = program.end(*words)
        assert (refused.status, refused.stdout) == (3, "")
        assert refused.stderr == (
            f"wanted to write it into {folder}/history.db, found: its folder cannot be written by this user. "
            "Next: mend that, then try again\n"
        )
    assert sorted(one.name for one in folder.iterdir()) == ["history.db", "history.db-reserve"]
    folder.chmod(0o700)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter knows this machine's numbers only")
def test_a_file_system_without_locks_is_told_as_that(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """SQLite takes it for a lock of another process, and nobody would find that one."""
    program = program_in(tmp_path, _WITHOUT_LOCKS, database("main", upstash.url, TOKEN), channels=slack(people))
    ended = program.end("check", "--within", "20s")
    assert ended.status == 0
    assert "(its file system has no locks, as some network disks); going on from memory" in ended.stderr


def test_config_check_refuses_a_path_at_which_no_file_can_ever_be(tmp_path: Path) -> None:
    """Status 3, one line with its place; `run` would go on all the same."""
    program = Program(
        tmp_path, settings(database("main", "https://h.upstash.io", TOKEN), history={"path": "history\0.db"})
    )
    ended = program.end("config", "check")
    assert ended.status == 3
    assert (
        "history.path (line 1): wanted a path for a file, found its path has a zero byte in it. Next:"
        in ended.stderr
    )
