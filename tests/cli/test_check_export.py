"""`check --metrics FILE` and `check --push URL` as cron runs them: the figures arrive, the verdict stays."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from starlette.responses import Response

from monitor.cli.main import main
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.server import Drip, LoopbackServer
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.program import Program, database, settings, slack
from tests.web.scrapers import get, promtool, pushgateway, read

TOKEN = "AXcheckMetrics0Token=="
PASSWORD = "pa55wordOfTheGateway"
MAIN = frozenset({("database", "main")})


def program(folder: Path, upstash: UpstashStandIn, people: MessagingStandIn) -> Program:
    databases = [database(name, upstash.url, TOKEN, timeout="2s") for name in ("main", "cache")]
    return Program(folder, settings(*databases, channels=slack(people)))


def outcomes(file: Path, name: str) -> dict[str, float]:
    """The counts above zero of one database."""
    labels = {
        key: value
        for key, value in read(file.read_text(encoding="utf-8")).items()
        if key[0].endswith("outcomes_total")
    }
    return {
        dict(key[1])["outcome"]: value for key, value in labels.items() if value and ("database", name) in key[1]
    }


def test_the_file_has_what_the_round_found(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Fine, failing, fine: counters go on over the rounds, gauges are the latest, the status is as ever."""
    monitor, file = program(tmp_path, upstash, people), tmp_path / "upstash.prom"
    done = monitor.end("check", "--metrics", str(file))
    assert (done.status, done.stderr) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert promtool("check", "metrics", text=file.read_text(encoding="utf-8")) == ""
    first = read(file.read_text(encoding="utf-8"))
    assert first["upstash_probe_success", MAIN] == 1
    assert first["upstash_probe_duration_seconds_count", MAIN] == 1
    assert 0 < first["upstash_probe_duration_seconds_sum", MAIN] < 30
    assert first["upstash_probe_phase_seconds", MAIN | {("phase", "wait")}] > 0
    assert outcomes(file, "main") == {"ok": 1}

    upstash.token = "another"
    assert monitor.end("check", "--metrics", str(file)).status == 2
    second = read(file.read_text(encoding="utf-8"))
    assert second["upstash_probe_success", MAIN] == 0
    assert second["upstash_incident_open", MAIN | {("severity", "critical")}] == 1
    assert second["upstash_notifications_total", frozenset({("channel", "slack"), ("result", "sent")})] == 2
    assert second["upstash_outbox_pending", frozenset()] == 0
    since = ("upstash_probe_last_success_timestamp_seconds", MAIN)
    assert second[since] == first[since]
    assert outcomes(file, "main") == {"ok": 1, "token_rejected": 2}
    upstash.token = TOKEN
    assert monitor.end("check", "--exit-zero", "--metrics", str(file)).status == 0
    assert read(file.read_text(encoding="utf-8"))[since] > first[since]


def test_only_the_databases_that_are_named_are_in_the_file(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """The others were not checked; their series would show them as they were long ago."""
    monitor, file = program(tmp_path, upstash, people), tmp_path / "upstash.prom"
    monitor.end("check", "cache", "--metrics", str(file))
    assert outcomes(file, "cache") == {"ok": 1}
    assert 'database="main"' not in file.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_changes_no_verdict(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """stderr has it in one line; the line for the plugin host and the status are about the databases."""
    upstash.fault = UpstashFault.QUOTA
    done = program(tmp_path, upstash, people).end("check", "--metrics", str(tmp_path / "missing" / "upstash.prom"))
    assert done.status == 2
    assert done.stdout.startswith("CRITICAL - ")
    *logged, line = done.stderr.splitlines()
    assert line.startswith("wanted to write metrics to ")
    assert not any("wanted " in other or "Traceback" in other for other in logged)


def test_a_round_is_pushed_to_a_real_pushgateway(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """Under the job upstash-monitor, beside the file, with one JSON document on stdout as before."""
    monitor, file = program(tmp_path, upstash, people), tmp_path / "upstash.prom"
    upstash.token = "another"
    with pushgateway(tmp_path) as gateway:
        done = monitor.end("check", "--json", "--metrics", str(file), "--push", f"http://{gateway}")
        _, held = get(gateway, "/metrics")
    assert done.status == 2
    assert "wanted " not in done.stderr
    assert json.loads(done.stdout)["exit_status"] == 2
    labels = 'database="main",instance="",job="upstash-monitor",severity="critical"'
    assert f"upstash_incident_open{{{labels}}} 1" in held
    assert outcomes(file, "main") == {"token_rejected": 2}


def test_a_gateway_that_hangs_neither_holds_the_end_nor_changes_the_verdict(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """The answer comes first, the push has what is left of `--within`, and no password is printed."""
    monitor = program(tmp_path, upstash, people)
    monitor.count_from_loaded()
    with LoopbackServer(Drip(1.0)) as gateway:
        url = gateway.url.replace("://", f"://ops:{PASSWORD}@")
        done = monitor.end("check", "--within", "8s", "--push", url)
    assert [request.method for request in gateway.requests] == ["PUT"]
    assert done.status == 0
    assert done.stdout.startswith("OK - ")
    assert "no whole answer within" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert done.seconds < 30


def test_checks_end_early_enough_for_the_push(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """A database that hangs until the end of the round does not take the push its time."""
    upstash.fault = UpstashFault.HANG
    hanging = Program(tmp_path, settings(database("main", upstash.url, TOKEN, timeout="60s")))
    hanging.count_from_loaded()
    with LoopbackServer(Response()) as gateway:
        done = hanging.end("check", "--within", "8s", "--push", gateway.url)
    assert done.status == 2
    assert "wanted " not in done.stderr
    [held] = [request.body.decode() for request in gateway.requests]
    assert 'outcome="response_timeout"} 1' in held
    assert 'upstash_probe_success{database="main"' in held


@pytest.mark.parametrize(
    "words", [("--push", f"ops:{PASSWORD}@gateway"), ("--push", ""), ("--metrics", ""), ("--metrics", "-")]
)
def test_a_wrong_option_is_refused_before_anything_is_checked(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 3, one line, wanted and found; what may be a password is not repeated."""
    with pytest.raises(SystemExit) as end:
        main(["check", *words])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (3, "")
    assert "wanted the " in printed.err
    assert printed.err.count("\n") == 1
    assert PASSWORD not in printed.err


@pytest.mark.parametrize("words", [(), ("--metrics", "upstash.prom")])
def test_a_check_loads_no_more_than_it_needs(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn, words: tuple[str, ...]
) -> None:
    """The client library is 30 ms that a check without metrics does not pay; none of them loads the web server."""
    monitor = program(tmp_path, upstash, people)
    monitor.environ["PYTHONPROFILEIMPORTTIME"] = "1"
    loaded = {line.rpartition("|")[2].strip() for line in monitor.end_process("check", *words).stderr.splitlines()}
    assert "monitor.engine.wiring" in loaded
    assert ("prometheus_client" in loaded) == bool(words)
    assert not loaded & {"starlette", "uvicorn", "jinja2"}
