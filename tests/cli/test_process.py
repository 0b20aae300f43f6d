"""How a process starts and ends: closed descriptors, pipes that close early, time zones, signals, file modes."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import pytest

from monitor.sandbox.upstash import UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, Program, database, settings, until

TOKEN = "AXprocess0TokenOfTests=="


def shell(program: Program, line: str) -> subprocess.CompletedProcess[str]:
    """The line in a shell, in which `$monitor` is the program."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=program.folder,
        env={**program.environ, "monitor": f"{sys.executable} -m monitor"},
        capture_output=True,
        text=True,
        timeout=LONGEST_WAIT_SECONDS,
        check=False,
    )


@contextmanager
def heeded(sign: signal.Signals) -> Iterator[None]:
    """What is started meanwhile does not ignore it, though `nohup` or a shell's `&` may have started the tests."""
    before = signal.signal(sign, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(sign, before)


def test_closed_descriptors_are_never_those_of_a_file_or_socket_of_ours(
    tmp_path: Path, upstash: UpstashStandIn
) -> None:
    """What writes to descriptor 1 or 2 would write into the history; it watches, and a signal ends it with 0."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    with subprocess.Popen(
        ["bash", "-c", "exec $monitor run <&- >&- 2>&-"],
        cwd=tmp_path,
        env={**program.environ, "monitor": f"{sys.executable} -m monitor"},
    ) as process:
        until(lambda: len(upstash.requests) > 1, "checks")
        open_ones = [str(Path(f"/proc/{process.pid}/fd/{descriptor}").readlink()) for descriptor in range(3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST_WAIT_SECONDS) == 0
    assert open_ones == ["/dev/null"] * 3


def test_a_reader_that_leaves_early_changes_no_status(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """1 would mean slow: the doctor's status is that of what it found."""
    program = Program(tmp_path, settings(database("main", upstash.url, "another")))
    ended = shell(program, "$monitor doctor | true; echo ${PIPESTATUS[0]}")
    assert (ended.stdout, ended.stderr) == ("2\n", "")


def test_a_time_zone_that_is_none_is_a_line_and_utc(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """The C library takes it, and datetime cannot."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)), TZ="UTC+30")
    ended = program.end("check", "--within", "20s")
    assert ended.status == 0
    assert ended.stderr.splitlines()[0] == "wanted a time zone in TZ, found 'UTC+30'; times are in UTC"


@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGQUIT])
def test_a_terminal_that_is_gone_ends_it_cleanly(
    tmp_path: Path, upstash: UpstashStandIn, sign: signal.Signals
) -> None:
    """As SIGTERM does; the history and its -wal and -shm are for their owner alone."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    with heeded(sign), program.running() as running:
        running.wait_for("every user may read it. Next: chmod 600")
        until(lambda: len(upstash.requests) > 1, "checks")
        for ending in ("", "-wal", "-shm"):
            assert stat.S_IMODE(Path(f"{program.file}{ending}").stat().st_mode) == 0o600
        ended = running.end(sign)
    assert ended.status == 0
    assert "stopped; everything known is in" in ended.stdout


def test_a_signal_while_it_is_still_starting_ends_it_without_a_traceback(
    tmp_path: Path, upstash: UpstashStandIn
) -> None:
    """`run` with 0, from the moment that our own code runs; before that Python itself ends by the signal."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    for pause in (0.15, 0.35):
        with program.running() as running:
            sleep(pause)
            ended = running.end(signal.SIGTERM)
        assert ended.status in (0, -signal.SIGTERM)
        assert "Traceback" not in ended.stdout
