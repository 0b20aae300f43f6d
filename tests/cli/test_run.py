"""`run` as a process: how it starts, what it serves, what it survives, and that it ends in time whatever hangs."""

from __future__ import annotations

import signal
import socket
import sqlite3
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.program import Program, Running, database, settings, slack, told, until

TOKEN = "AXrunEnds0TokenOfTests=="
QUIET = {"level": "DEBUG"}
# The contract's five seconds, with room for a machine that is busy with something else.
FIVE_SECONDS = 8.0


def port_of(running: Running) -> int:
    running.wait_for("/healthz on port")
    [line] = [line for line in running.lines if "/healthz on port" in line]
    return int(line.rpartition(" ")[2])


def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_everything_committed(
    tmp_path: Path, upstash: UpstashStandIn, sign: signal.Signals
) -> None:
    """Status 0, a last line, and every check that was logged is in the file."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), logs=QUIET))
    with program.running() as running:
        running.wait_for("main: ok", times=2)
        ended = running.end(sign)
    assert ended.status == 0
    assert ended.seconds < FIVE_SECONDS
    assert "stopped; everything known is in" in ended.stdout
    with closing(sqlite3.connect(program.file)) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM history").fetchall()
    assert count >= ended.stdout.count("main: ok")


def test_it_ends_in_time_while_a_check_and_a_message_hang(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """A database that hangs, a Slack that drips; the message waits for the next start and arrives then."""
    people.fault = MessagingFault.DRIP
    upstash.token = "another"
    program = Program(
        tmp_path, settings(database("main", upstash.url, TOKEN, timeout="60s"), channels=slack(people))
    )
    with program.running() as running:
        running.wait_for("incident 1 opened")
        upstash.fault = UpstashFault.HANG
        until(lambda: people.requests, "a message on its way")
        ended = running.end(signal.SIGTERM, signal.SIGTERM)
    assert ended.status == 0
    assert ended.seconds < FIVE_SECONDS
    people.fault = MessagingFault.NONE
    upstash.fault = UpstashFault.NONE
    with program.running() as running:
        running.wait_for("incident 1 opened delivered")
        running.end()
    assert told(people) == [(1, "opened")]


def test_the_start_line_names_the_databases_and_the_channels(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """What, how often, through which channels, where the file is; and once that `state` is not for `run`."""
    state = {"url": upstash.url, "token": TOKEN}
    program = Program(
        tmp_path,
        settings(
            database("main", upstash.url, TOKEN), channels=slack(people), state=state, logs={"level": "DEBUG"}
        ),
    )
    with program.running() as running:
        running.wait_for("watching main every 1s; telling slack; history in")
        assert str(program.file) in running.said
        assert (
            "no canary, so used-up commands, a full database and a read-only token are not noticed" in running.said
        )
        running.wait_for("main: ok")
        running.end()
        assert running.said.count("state is for `check`: `run` goes by the history file alone") == 1
    assert upstash.billed_commands == 0  # neither read nor written


def test_the_start_line_says_what_the_canary_costs_and_finds(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Once a day by default, for each database."""
    usual = {"url": upstash.url, "token": TOKEN}
    rows = ({"name": "main", **usual}, {"name": "cache", **usual, "canary": "12h"})
    with Program(tmp_path, settings(*rows, logs={"level": "DEBUG"})).running() as running:
        running.wait_for(
            "a canary every 12h, 1d (270 billed commands in 30 days) finds used-up commands, a full database and"
            " a read-only token"
        )
        running.wait_for("main: ok")
        running.wait_for("cache: ok")
        running.end()
    assert upstash.billed_commands == 6


def test_a_port_in_use_is_said_before_anything_is_watched(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Status 3, one line with wanted, found, next."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page = {"host": "127.0.0.1", "port": port}
        ended = Program(tmp_path, settings(database("main", upstash.url, TOKEN), page=page)).end("run")
    assert ended.status == 3
    assert f"wanted to listen on 127.0.0.1 port {port}, found it in use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Status 3; whoever went back a version loses nothing by it."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    with closing(sqlite3.connect(program.file)) as connection:
        connection.executescript("CREATE TABLE later (x); PRAGMA user_version = 99;")
    before = program.file.read_bytes()
    ended = program.end("run")
    assert ended.status == 3
    assert "schema version 99" in ended.stderr
    assert program.file.read_bytes() == before


def test_an_unwritable_history_stops_neither_checks_nor_alerts(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """A folder is where the file should be: it goes on from memory, logs that once, and alerts as ever."""
    (tmp_path / "history.db").mkdir()
    upstash.token = "another"
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), channels=slack(people)))
    with program.running() as running:
        running.wait_for("opened delivered")
        running.end()
    assert [kind for _, kind in told(people)] == ["opened"]
    assert len([message for message in people.messages if "going on from memory" in message.text]) == 1


def test_healthz_is_about_checks_that_happen_when_due(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """200 for GET and HEAD, also while the database fails, which is no fault of the monitor's; else 404, 405."""
    page = {"host": "127.0.0.1", "port": 0}
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), page=page))
    with program.running() as running:
        port = port_of(running)
        upstash.fault = UpstashFault.SERVER_ERROR
        running.wait_for("server error")
        assert ask(port, "GET", "/healthz")[0] == 200
        assert ask(port, "HEAD", "/healthz") == (200, b"")
        assert ask(port, "POST", "/healthz")[0] == 405
        assert ask(port, "GET", "/nothing")[0] == 404
        assert running.end().seconds < FIVE_SECONDS


def test_a_check_that_outlasts_its_interval_is_never_doubled(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """While one check hangs the next ones are left out, counted and logged; the server sees one request."""
    upstash.fault = UpstashFault.HANG
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN, timeout="60s")))
    with program.running() as running:
        running.wait_for("a check was left out, the last one still runs", times=2)
        assert len(upstash.requests) == 1
        running.end()


@pytest.mark.parametrize("word", ["run", "check", "doctor"])
def test_missing_certificates_are_one_line_and_no_traceback(
    tmp_path: Path, upstash: UpstashStandIn, word: str
) -> None:
    """Status 3 and one line, before anything is checked."""
    missing = str(tmp_path / "missing.pem")
    ended = Program(tmp_path, settings(database("main", upstash.url, TOKEN)), SSL_CERT_FILE=missing).end(word)
    assert ended.status == 3
    assert "SSL_CERT_FILE: wanted" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert len(upstash.requests) == 0
