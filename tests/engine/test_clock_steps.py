"""A clock that jumps under the running program, by an hour forward and back; only the clock is not real.

libfaketime stands between the process and its clock, and reads the shift from a file that the test rewrites.
"""

from __future__ import annotations

import ctypes.util
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import Program, database, settings, slack, told, until

TOKEN = "AXclockJumps0Token=="


def _library() -> str | None:
    """Debian keeps it out of the usual folders, one for each kind of machine."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else ctypes.util.find_library("faketimeMT")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[Program, Path, UpstashStandIn, MessagingStandIn]]:
    library = _library()
    if library is None:
        pytest.skip("wanted libfaketime, found none. Next: apt-get install faketime")
    shift = tmp_path / "shift"
    shift.write_text("+0\n")
    home = tmp_path / "home"
    home.mkdir()
    with UpstashStandIn(TOKEN) as upstash, MessagingStandIn() as people:
        yield (
            Program(
                home,
                settings(database("main", upstash.url, TOKEN), channels=slack(people), logs={"level": "DEBUG"}),
                LD_PRELOAD=library,
                FAKETIME_TIMESTAMP_FILE=str(shift),
                FAKETIME_NO_CACHE="1",
                FAKETIME_DONT_FAKE_MONOTONIC="1",
            ),
            shift,
            upstash,
            people,
        )


@pytest.mark.faults("clock steps")
def test_checks_and_alerts_go_on_when_the_clock_jumps(
    program: tuple[Program, Path, UpstashStandIn, MessagingStandIn],
) -> None:
    """Forth, far back and forth in the middle of an incident: checks go on, one opening and one end are told."""
    monitor, shift, upstash, people = program
    with monitor.running() as running:
        running.wait_for("main: ok")
        upstash.token = "another"
        running.wait_for("incident 1 opened delivered")
        for number, transition in enumerate(("+3600", "-3600", "+0"), start=1):
            shift.write_text(f"{transition}\n")
            running.wait_for("the clock was set", times=number)
            before = len(upstash.requests)
            until(lambda: len(upstash.requests) >= before + 3, "checks after the clock was set")  # noqa: B023 - called at once
        upstash.token = TOKEN
        running.wait_for("incident 1 closed delivered")
        running.end()
    assert told(people) == [(1, "opened"), (1, "closed")]
    # As long as it took, not as long as two times of day lie apart; and nobody failed to check.
    closed = people.messages[-1].text
    assert re.search(r"recovered after (\d+ min )?\d+ s", closed)
    assert "nobody checked" not in closed
    with closing(sqlite3.connect(monitor.file)) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM incident_log").fetchall()
    assert count == 1
