"""`check` as a cron job or a plugin host runs it: a process of its own each time, on one file or on none."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.checks.canary import may_be_first
from monitor.lib.exit_status import ExitStatus, worst
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.checks.listener import Listener, port_that_drops
from tests.checks.rest_database import TOKEN as REST_TOKEN
from tests.checks.rest_database import RestDatabase, hang, refusal
from tests.judging import QUICK_RULES
from tests.program import LONGEST_WAIT_SECONDS, ROOT, Program, database, settings, slack, told

TOKEN = "AXcheckRounds0Token=="
# Importing click waits, as on a disk that is slow, and takes no CPU time.
SLOW_DISK = """
import sys, time

class SlowDisk:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "click":
            time.sleep(1.2)

sys.meta_path.insert(0, SlowDisk)
"""


def program(folder: Path, upstash: UpstashStandIn, people: MessagingStandIn, **rest: object) -> Program:
    return Program(
        folder, settings(database("main", upstash.url, TOKEN, timeout="1s"), channels=slack(people), **rest)
    )


def test_a_healthy_database_is_one_line_and_zero(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """The line a plugin host reads, performance data behind the bar, nothing on stderr, no message."""
    done = program(tmp_path, upstash, people).end("check")
    assert done.status == 0
    line, *more = done.stdout.splitlines()
    assert line.startswith("OK - main answers (")
    assert " | 'main'=" in line
    assert line.endswith("ms;;;0")
    assert more == []
    assert done.stderr == ""
    assert people.messages == ()


def test_rounds_on_one_file_go_on_as_one_process(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Opened in one round, quiet in the next, closed by `run`; the next incident has the next number."""
    monitor = program(tmp_path, upstash, people)
    assert monitor.end("check").status == 0
    upstash.fault = UpstashFault.SERVER_ERROR
    assert monitor.end("check").status == 2
    assert monitor.end("check").status == 2
    assert told(people) == [(1, "opened")]
    upstash.fault = UpstashFault.NONE
    with monitor.running() as running:
        running.wait_for("incident 1 closed delivered")
        running.end()
    assert told(people) == [(1, "opened"), (1, "closed")]
    upstash.token = "another"
    assert monitor.end("check").status == 2
    assert told(people)[2:] == [(2, "opened")]
    with closing(sqlite3.connect(monitor.file)) as connection:
        rows = connection.execute("SELECT id, cause, closed_at IS NULL FROM incident_log ORDER BY id").fetchall()
    assert rows == [(1, "server_error", 0), (2, "token_rejected", 1)]


def test_an_empty_folder_each_time_still_decides(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """A cron service without a volume: three timeouts are seen, confirmed and sent within one run."""
    upstash.fault = UpstashFault.HANG
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = program(folder, upstash, people).end("check", "--json")
        [row] = json.loads(done.stdout)["databases"]
        assert (done.status, row["outcome"], row["checks"]) == (2, "response_timeout", 3)
    assert told(people) == [(1, "opened"), (1, "opened")]


@pytest.mark.parametrize(
    ("fault", "status"), [(UpstashFault.NONE, 0), (UpstashFault.SERVER_ERROR, 2), (UpstashFault.QUOTA, 2)]
)
def test_exit_zero_is_for_platforms_that_call_a_failing_database_a_crash(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn, fault: UpstashFault, status: int
) -> None:
    """`--exit-zero` turns 1 and 2 into 0 and changes nothing else."""
    upstash.fault = fault
    monitor = program(tmp_path, upstash, people)
    assert monitor.end("check").status == status
    assert monitor.end("check", "--exit-zero").status == 0


def test_what_is_down_outranks_what_is_not_known() -> None:
    """Then what is slow; with no database at all nothing is known."""
    status = {code: ExitStatus(number) for number, code in enumerate(("ok", "slow", "down", "unknown"))}
    for codes, expected in (
        (("ok", "slow", "unknown", "down"), "down"),
        (("ok", "slow", "unknown"), "unknown"),
        (("ok", "slow"), "slow"),
        (("ok", "ok"), "ok"),
        ((), "unknown"),
    ):
        assert worst([status[code] for code in codes]) is status[expected]


def test_slow_only_is_a_warning(tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn) -> None:
    """Status 1, and the limit stands in the performance data."""
    upstash.delay_seconds = 0.05
    monitor = Program(tmp_path, settings(database("main", upstash.url, TOKEN, slow="10ms")))
    done = monitor.end("check")
    assert done.status == 1
    assert done.stdout.startswith("WARNING - main slow: answered in ")
    assert "ms;10;;0" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("words", [("check",), ("check", "--json")])
def test_an_unusable_configuration_is_unknown(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Status 3 and a result in the format that is wanted; the mistakes are on stderr."""
    done = Program(tmp_path, {"databases": [{"name": "main", "tokn": "x"}]}).end(*words)
    assert done.status == 3
    assert "did you mean token?" in done.stderr
    if "--json" in words:
        found = json.loads(done.stdout)
        assert (found["exit_status"], found["databases"], found["deliveries"]) == (3, [], [])
        assert found["started_at"] is found["took_ms"] is None
    else:
        assert done.stdout.startswith("UNKNOWN - ")
    assert "Traceback" not in done.stderr


def test_without_alerts_the_message_waits_for_the_next_round(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """`--no-alerts` sends nothing and loses nothing."""
    upstash.token = "another"
    monitor = program(tmp_path, upstash, people)
    monitor.end("check", "--no-alerts")
    assert people.messages == ()
    monitor.end("check")
    assert told(people) == [(1, "opened")]


@pytest.mark.parametrize(
    ("fault", "layers"),
    [
        (UpstashFault.NONE, "did not pass: token · not tried: PING"),
        (UpstashFault.HANG, "did not pass: HTTP · not tried: token, PING"),
    ],
)
def test_the_doctors_layers_are_in_the_message_of_the_same_round(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn, fault: UpstashFault, layers: str
) -> None:
    """The round does not end before the message that waited for the doctor has gone."""
    upstash.token, upstash.fault = "another", fault
    alerts = {**QUICK_RULES, "diagnose": True}
    checking = program(tmp_path, upstash, people, alerts=alerts, doctor={"status_url": "", "worker_port": 1})
    assert checking.end("check").status == 2
    [message] = people.messages
    assert layers in message.text.splitlines()


def test_a_round_ends_in_time_whatever_hangs(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Neither databases that hang, each in its way, nor a Slack that drips hold it beyond.

    A plugin host gives 10 s, which is the timeout as well: each check's is cut to what is left, so that all of
    them are told for what they are, and none as our own fault.
    """
    upstash.fault = UpstashFault.HANG
    people.fault = MessagingFault.DRIP
    with RestDatabase() as full, port_that_drops() as dropped, Listener(lambda _: full.closing.wait()) as silent:
        full.instead["SET"] = hang
        databases = (
            database("hangs", upstash.url, TOKEN, timeout="60s"),
            database("drops", f"http://127.0.0.1:{dropped}", TOKEN, timeout="4s"),
            {**database("writes", full.url, REST_TOKEN, timeout="10s"), "canary": "1d"},
            database("worker", full.url, REST_TOKEN, timeout="10s", worker=True),
        )
        monitor = Program(
            tmp_path,
            settings(*databases, channels=slack(people), doctor={"status_url": "", "worker_port": silent.port}),
        )
        monitor.count_from_loaded()
        done = monitor.end("check", "--json", "--within", "6s")
    found = json.loads(done.stdout)
    outcomes = {row["database"]: row["outcome"] for row in found["databases"]}
    expected = {"hangs": "response_timeout", "drops": "connection_timeout", "writes": "response_timeout"}
    assert outcomes == {**expected, "worker": "tls_timeout"}
    assert done.status == 2
    assert found["took_ms"] < 6000


def test_what_a_slow_start_takes_counts(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """`--within` is from the start of the process by the clock on the wall: waiting for a disk is in it."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_DISK, encoding="utf-8")
    monitor = Program(
        tmp_path, settings(database("main", upstash.url, TOKEN)), PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"
    )
    done = monitor.end("check", "--json")
    assert json.loads(done.stdout)["took_ms"] >= 1200


def test_two_rounds_at_once_share_one_file(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """An overlap of cron runs neither fails nor tells one incident under two numbers."""
    upstash.token = "another"
    monitor = program(tmp_path, upstash, people)
    with monitor.running("check") as one, monitor.running("check") as other:
        statuses = [each.process.wait(LONGEST_WAIT_SECONDS) for each in (one, other)]
    assert statuses == [2, 2]
    assert set(told(people)) == {(1, "opened")}


def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Only the databases that are named are checked."""
    monitor = program(tmp_path, upstash, people)
    assert monitor.end("check", "main").status == 0
    done = monitor.end("check", "mian")
    assert done.status == 3
    assert "did you mean main?" in done.stderr


def test_a_key_that_is_not_allowed_is_fine_and_told(tmp_path: Path) -> None:
    """An ACL for other keys: 0, the detail says what was refused, a warning on stderr, none in the next run."""
    refused = "NOPERM this user has no permissions to access one of the keys used as arguments"
    with RestDatabase() as server:
        server.instead["SET"] = server.instead["DEL"] = refusal(refused)
        monitor = Program(tmp_path, settings({"name": "main", "url": server.url, "token": REST_TOKEN}))
        first, second = monitor.end("check", "--json"), monitor.end("check", "--json")
    [row] = json.loads(first.stdout)["databases"]
    assert (first.status, row["outcome"], row["incident"]) == (0, "ok", None)
    assert row["detail"] == f"the canary's key is not allowed: SET: {refused}"
    assert first.stderr.count("the canary's key is not allowed") == 1
    assert second.stderr == ""
    assert server.commands == ["PING", "SET", "GET", "DEL", "PING"]


def test_on_railway_without_a_volume_a_run_by_day_sends_no_canary(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Every run is the first there; elsewhere the first sends one, whatever the time of day."""
    settings_ = settings({"name": "main", "url": upstash.url, "token": TOKEN})
    starts = datetime.now(UTC)
    assert Program(tmp_path, settings_, RAILWAY_SERVICE_ID="s").end("check").status == 0
    if may_be_first(starts, is_forgotten=True) or may_be_first(datetime.now(UTC), is_forgotten=True):
        pytest.skip("it is about midnight UTC, when such a run may send one")
    assert upstash.billed_commands == 0
    (tmp_path / "history.db").unlink()
    variables = {"RAILWAY_SERVICE_ID": "s", "RAILWAY_VOLUME_MOUNT_PATH": str(tmp_path)}
    assert Program(tmp_path, settings_, **variables).end("check").status == 0
    assert upstash.billed_commands == 3


def test_what_run_found_with_its_canary_is_what_check_goes_by(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """A full database answers PING, which `check` does not call fine; with room it closes the incident."""
    main = {"name": "main", "url": upstash.url, "token": TOKEN, "interval": "1s"}
    monitor = Program(tmp_path, settings(main, channels=slack(people)))
    upstash.fault = UpstashFault.CAPACITY
    with monitor.running() as running:
        running.wait_for("incident 1 opened delivered")
        running.end()
    [row] = json.loads(monitor.end("check", "--json").stdout)["databases"]
    assert (row["outcome"], row["incident"]["state"]) == ("capacity_full", "open")
    assert told(people) == [(1, "opened")]
    # A minute later the canary is due again.
    with closing(sqlite3.connect(monitor.file)) as connection, connection:
        [(text,)] = connection.execute("SELECT state FROM incident_state").fetchall()
        state = json.loads(text)
        state["canary"]["sent_at"] = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
        connection.execute("UPDATE incident_state SET state = ?", (json.dumps(state),))
    upstash.fault = UpstashFault.NONE
    [row] = json.loads(monitor.end("check", "--json").stdout)["databases"]
    assert (row["outcome"], row["incident"]["state"]) == ("ok", "closed")
    assert told(people) == [(1, "opened"), (1, "closed")]
