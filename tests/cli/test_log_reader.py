"""A reader of the log that stands still (a blocking log driver, Ctrl-S): the watch goes on and ends in time."""

from __future__ import annotations

import fcntl
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic

import click
import pytest
from loguru import logger

from monitor.cli import main
from monitor.cli.check import output
from monitor.cli.demo import demo
from monitor.cli.logs import set_up
from monitor.config.settings import LogsSettings
from monitor.lib.exit_status import ExitStatus
from monitor.lib.text import Scrubber
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, Program, database, settings, slack, told, until

TOKEN = "AXlogReader0TokenOfTests=="
# The contract's five seconds, with room for a machine that is busy with something else.
FIVE_SECONDS = 8.0
_F_SETPIPE_SZ = 1031  # fcntl.h


@dataclass(kw_only=True)
class Pipe:
    """A pipe that is full from the beginning, with nobody who reads it."""

    reader: int
    writer: int

    def read_on(self) -> Iterator[str]:
        """The lines that come from now on, until the last writer is gone."""
        with open(self.reader, encoding="utf-8", errors="replace", closefd=False) as file:
            for line in file:
                yield line.lstrip("x").rstrip("\n")


@contextmanager
def full_pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, _F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    pipe = Pipe(reader=reader, writer=writer)
    try:
        yield pipe
    finally:
        for descriptor in (pipe.reader, pipe.writer):
            with suppress(OSError):
                os.close(descriptor)


@contextmanager
def started(program: Program, *words: str, stdout: int, stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", *words],
        cwd=program.folder,
        env=program.environ,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(LONGEST_WAIT_SECONDS)


def test_the_watch_goes_on_and_ends_in_time_while_nobody_reads_its_log(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Checks, the page, the alarm and the all-clear; SIGTERM ends it within five seconds with everything kept."""
    upstash.token = "another"
    page = {"host": "127.0.0.1", "port": 0}
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), channels=slack(people), page=page))
    with full_pipe() as pipe, started(program, "run", stdout=pipe.writer, stderr=pipe.writer) as process:
        until(lambda: told(people) == [(1, "opened")], "the alarm")
        with closing(HTTPConnection("127.0.0.1", port_of(process.pid), timeout=20)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        upstash.token = TOKEN
        until(lambda: told(people) == [(1, "opened"), (1, "closed")], "the all-clear")
        began = monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST_WAIT_SECONDS) == 0
        assert monotonic() - began < FIVE_SECONDS


def test_what_was_queued_is_there_when_the_reader_is_back(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """In order, from the first line to the last; also what was written at the end."""
    upstash.token = "another"
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), channels=slack(people)))
    with full_pipe() as pipe, started(program, "run", stdout=pipe.writer, stderr=pipe.writer) as process:
        until(lambda: told(people) == [(1, "opened")], "the alarm")
        os.close(pipe.writer)
        process.send_signal(signal.SIGTERM)
        lines = list(pipe.read_on())
    text = "\n".join(lines)
    found = [
        text.find(part) for part in ("watching main", "incident 1 opened", "delivered", "stopped; everything")
    ]
    assert -1 not in found
    assert found == sorted(found)


@pytest.mark.parametrize("words", [("check", "--within", "20s"), ("report",)])
def test_a_command_ends_though_nobody_reads_its_stderr(
    tmp_path: Path, upstash: UpstashStandIn, words: tuple[str, ...]
) -> None:
    """Its result is on stdout as ever; what it logs waits in vain for a second."""
    folder = tmp_path / "history.db"
    folder.mkdir()  # so that each of them has something to log or to say
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), logs={"level": "DEBUG"}))
    with full_pipe() as pipe, started(program, *words, stdout=subprocess.PIPE, stderr=pipe.writer) as process:
        stdout, _ = process.communicate(timeout=LONGEST_WAIT_SECONDS)
    assert process.returncode == (3 if words == ("report",) else 0)
    assert bool(stdout) == (words != ("report",))


def test_lines_that_find_no_room_are_counted_and_the_count_is_written() -> None:
    """A bounded queue: what fits comes in order, then how many lines are missing, then what is logged later."""
    number, more = 800, "word " * 400
    with full_pipe() as pipe, open(pipe.writer, "w", encoding="utf-8", closefd=False) as stream:
        set_up(LogsSettings(), scrub=Scrubber([TOKEN]), stream=stream)
        for count in range(number):
            logger.info("line {} with {} and {}", count, TOKEN, more)
        lines = pipe.read_on()
        kept = []
        for line in lines:
            if "lost" in line:
                break
            kept.append(int(re.search(r"line (\d+) with \*\*\*", line)[1]))  # type: ignore[index]
        assert kept == list(range(len(kept)))
        assert 400 < len(kept) < number
        assert f"{number - len(kept)} lines of the log were lost" in line
        logger.warning("the reader is back")
        assert "the reader is back" in next(lines)
        logger.remove()


def test_a_stdout_that_does_not_block_loses_nothing(tmp_path: Path) -> None:
    """Some parents hand down a pipe in that mode, where a write that finds no room fails at once."""
    with full_pipe() as pipe, open(pipe.writer, "w", encoding="utf-8", closefd=False) as stream:
        os.set_blocking(pipe.writer, False)
        set_up(LogsSettings(), scrub=Scrubber([TOKEN]), stream=stream)
        for count in range(200):
            logger.info("line {}", count)
        lines = pipe.read_on()
        assert [int(next(lines).rpartition(" ")[2]) for _ in range(200)] == list(range(200))
        logger.remove()


def test_what_follows_the_result_of_check_does_not_wait_for_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeat and push go on; the process ends at `--within` with the status of the result, read or not."""
    later: queue.Queue[Callable[[], None]] = queue.Queue()
    ended: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(output, "_READING_SECONDS", 0.05)
    monkeypatch.setattr(output, "_call_after", lambda _seconds, call: later.put(call))
    monkeypatch.setattr(os, "_exit", ended.put)
    with full_pipe() as pipe, open(pipe.writer, "w", encoding="utf-8", closefd=False) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        printer = output.ResultPrinter(20, as_json=False)
        printer.print("WARNING - main slow", ExitStatus.WARNING)
        # The time is over now: no sooner, since on a busy machine that would be before the result.
        threading.Thread(target=later.get_nowait(), daemon=True).start()
        later.get(timeout=LONGEST_WAIT_SECONDS)()
        assert ended.get(timeout=LONGEST_WAIT_SECONDS) == ExitStatus.WARNING
        assert next(line for line in pipe.read_on() if line) == "WARNING - main slow"
        printer.wait_until_read()


def test_the_demo_ends_by_itself_though_nobody_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a status that tells it, and without leaving its folder."""
    ended: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(os, "_exit", ended.put)
    folder = tmp_path / "demo"
    folder.mkdir()
    before = set(threading.enumerate())
    with demo._ended_unread(3600.0, folder):
        [waiting] = set(threading.enumerate()) - before
    waiting.join(LONGEST_WAIT_SECONDS)
    assert not waiting.is_alive()  # a demo that was read ends no process that goes on after it
    with demo._ended_unread(0.0, folder):
        assert ended.get(timeout=LONGEST_WAIT_SECONDS) == 1
    assert not folder.exists()
    assert ended.empty()


def test_ctrl_c_ends_a_command_whose_output_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still to be written is dropped: flushing it would wait for the reader once more."""

    def interrupted(_context: click.Context) -> None:
        stream.write("half a report")
        raise KeyboardInterrupt

    with full_pipe() as pipe, open(pipe.writer, "w", encoding="utf-8", closefd=False) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(main.program, "invoke", interrupted)
        with pytest.raises(SystemExit) as end:
            main.main(["report"])
    assert end.value.code == 130


def port_of(process: int) -> int:
    """The one port that it listens on, by /proc (proc(5)), since nobody reads the log that names it."""
    theirs = {str(each.readlink()) for each in Path(f"/proc/{process}/fd").iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Of each: the local address, the state (0A listens) and the inode.
    [address] = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in theirs]
    return int(address.partition(":")[2], 16)
