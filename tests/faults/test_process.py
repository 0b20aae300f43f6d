"""What may happen to the process itself: stopped and continued, no memory, two of it on one file."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import sleep

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.program import Program, Running, database, settings, slack, told, until

pytestmark = pytest.mark.long
ASLEEP_SECONDS = 6


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn("t0ken") as upstash:
        yield upstash


@pytest.fixture
def people() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as people:
        yield people


def more_checks(upstash: UpstashStandIn, number: int) -> None:
    before = len(upstash.requests)
    until(lambda: len(upstash.requests) >= before + number, f"{number} checks more")


@pytest.mark.faults("suspend: SIGSTOP and SIGCONT")
def test_who_was_asleep_has_seen_nothing(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Stopped in the midst of checks and deliveries, first while all is well, then in an incident: no false alarm,
    the time asleep is a gap, and what follows is told once."""
    with Program(tmp_path, settings(database("main", upstash.url), channels=slack(people))).running() as running:
        more_checks(upstash, 3)
        upstash.delay_seconds = 0.3  # so that it stops in the midst of a check
        asleep(running, upstash)
        assert told(people) == []
        upstash.delay_seconds = 0.0
        upstash.token = "rotated"
        until(lambda: told(people), "the outage to be told")
        asleep(running, upstash)
        upstash.token = "t0ken"
        until(lambda: len(told(people)) == 2, "the end to be told")
        assert running.end().status == 0
    assert told(people) == [(1, "opened"), (1, "closed")]
    assert running.said.count("no check for") == 2
    assert "the clock was set" not in running.said


def asleep(running: Running, upstash: UpstashStandIn) -> None:
    running.process.send_signal(signal.SIGSTOP)
    sleep(ASLEEP_SECONDS)
    running.process.send_signal(signal.SIGCONT)
    more_checks(upstash, 4)


@pytest.mark.faults("no memory left")
def test_nobody_is_blamed_for_memory_that_is_used_up(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Not a page more can be had: checks are monitor errors, and no database's trouble. Where Python itself cannot
    go on, the process ends, and whoever started it starts it again; all that there is to tell is told then."""
    names = [f"db{number}" for number in range(12)]
    config = settings(*(database(name, upstash.url) for name in names), channels=slack(people))
    program = Program(tmp_path, config)
    with program.running() as running:
        more_checks(upstash, 30)
        number = running.process.pid
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[0])
        no_more = (pages * resource.getpagesize(), resource.RLIM_INFINITY)
        resource.prlimit(number, resource.RLIMIT_AS, no_more)
        sleep(5)
        upstash.token = "rotated"
        sleep(3)
        assert running.process.poll() != 0
    assert "monitor error - this machine has no memory left" in running.said
    with program.running() as again:
        until(lambda: len(told(people)) >= len(names), "the outage of each to be told")
        upstash.token = "t0ken"
        until(lambda: len(told(people)) >= 2 * len(names), "the end of each to be told")
        assert again.end().status == 0
    assert Counter(kind for _, kind in told(people)) == {"opened": len(names), "closed": len(names)}
    assert all("token rejected" in message.text for message in people.messages)


@pytest.mark.faults("two monitors on one file")
def test_two_monitors_on_one_file_tell_everything_once(tmp_path: Path, people: MessagingStandIn) -> None:
    """As when an old and a new container overlap: each incident has one number and is told once, whoever saw it,
    although one of the two is killed and started again all the while."""
    with ExitStack() as stack:
        upstash = [stack.enter_context(UpstashStandIn("t0ken")) for _ in range(3)]
        config = settings(
            *(database(f"db{n}", each.url) for n, each in enumerate(upstash)), channels=slack(people)
        )
        program = Program(tmp_path, config)
        stays = stack.enter_context(program.running())
        for number in range(1, 7):
            with program.running() as other:
                other.wait_for("watching")
                each = upstash[number % 3]
                each.fault = UpstashFault.SERVER_ERROR
                until(lambda: len(told(people)) >= 2 * number - 1, "the outage to be told")  # noqa: B023 - called at once
                each.fault = UpstashFault.NONE
                until(lambda: len(told(people)) >= 2 * number, "the end to be told")  # noqa: B023
                assert other.end().status == 0
            assert "Traceback" not in other.said
            assert "ERROR" not in other.said
        assert stays.end().status == 0
    assert told(people) == [(number, kind) for number in range(1, 7) for kind in ("opened", "closed")]
    assert "Traceback" not in stays.said
    assert "ERROR" not in stays.said
    with closing(sqlite3.connect(program.file)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = shell.execute("SELECT id, closed_at IS NULL FROM incident_log ORDER BY id").fetchall()
    assert rows == [(number, 0) for number in range(1, 7)]
