"""What users, scripts, dashboards and SQLite shells rely on, in the order in which it is promised.

Commands and exit statuses, `check --json`, config.yaml, the views, HTTP, metrics, messages: each asked of the real
program as a process of its own, in front of stand-ins on loopback. What stands here is added to, never changed.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from monitor.sandbox.messaging import MessagingFault, MessagingStandIn, ReceivedMessage
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.checks.faulty_server import Certificates
from tests.checks.listener import port_that_refuses
from tests.program import LONGEST_WAIT_SECONDS, Program, database, settings, slack, until

TOKEN = "AXcontract0Token0fTests=="
READ_ONLY = "AXcontract0ReadOnly0Token0=="
PASSWORD = "pg-contract-4f5a6b7c"
BOT_TOKEN = "110201543:AAstandInForTheRealOne-0123456789ab"
OUTCOMES = """
    ok slow url_missing token_missing url_malformed token_malformed token_rejected permission_denied
    quota_exceeded suspended capacity_full rate_limited too_many_connections
    dns_not_found dns_failed connection_refused network_unreachable connection_timeout tls_timeout tls_failed
    connection_lost response_timeout server_error unavailable stale_read access_denied not_upstash command_error
    offline monitor_error
    """
MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN) as server:
        yield server


@pytest.fixture
def people() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as server:
        yield server


# ---- Commands and exit statuses --------------------------------------------------------------------------

COMMANDS = (
    "run",
    "check",
    "doctor",
    "report",
    "replay",
    "incidents",
    "silence",
    "backup",
    "test-alerts",
    "config",
    "init",
    "demo",
)
OPTIONS = {
    "run": (),
    "check": ("--json", "--exit-zero", "--no-alerts", "--within", "--metrics", "--push"),
    "doctor": ("--json", "--fix", "--yes"),
    "report": ("--since", "--month", "--json", "--csv", "--html"),
    "replay": ("--since", "--json"),
    "incidents": ("--json", "--all", "show", "ack"),
    "silence": ("NAME", "--all", "--for", "--reason", "--list", "--end"),
    "backup": ("FILE",),
    "test-alerts": ("CHANNEL",),
    "config": ("check", "show", "schema"),
    "init": (),
    "demo": ("--port", "--seconds"),
}


def test_the_commands_are_these(tmp_path: Path) -> None:
    """`upstash-monitor -h` lists them and no others."""
    helped = Program(tmp_path, {}).end("-h")
    assert helped.status == 0
    listed = re.findall(r"^  ([a-z-]+)  ", helped.stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_takes_what_is_promised(tmp_path: Path, command: str) -> None:
    """Its options and subcommands are in its help, and `--config` may stand after it."""
    helped = Program(tmp_path, {}).end(command, "-h")
    assert helped.status == 0
    for word in (*OPTIONS[command], *(() if command == "demo" else ("--config",))):
        assert word in helped.stdout


def test_the_console_script_is_the_module() -> None:
    """`upstash-monitor` and `python -m monitor` are the same."""
    script = Path(sys.executable).parent / "upstash-monitor"
    if not script.exists():
        pytest.skip("the package is not installed: pip install -e .")
    said = [
        subprocess.run([*words, "--version"], capture_output=True, text=True, check=True).stdout
        for words in ([script], [sys.executable, "-m", "monitor"])
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("words", [("frobnicate",), ("check", "--frob"), ("check", "nobody"), ("config",), ()])
def test_wrong_words_end_with_3(tmp_path: Path, upstash: UpstashStandIn, words: tuple[str, ...]) -> None:
    """2 would tell a plugin host that the database is down. It is told on stderr, never as a traceback."""
    done = Program(tmp_path, settings(database("main", upstash.url, TOKEN))).end(*words)
    assert done.status == 3
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("trouble", "words", "status"),
    [
        ("none", (), 0),
        ("slow", (), 1),
        ("slow", ("--exit-zero",), 0),
        ("wrong token", (), 2),
        ("wrong token", ("--exit-zero",), 0),
        ("unusable settings", (), 3),
        ("unusable settings", ("--exit-zero",), 3),
    ],
)
def test_check_ends_as_monitoring_plugins_do(
    tmp_path: Path, upstash: UpstashStandIn, trouble: str, words: tuple[str, ...], status: int
) -> None:
    """0 all fine, 1 slow only, 2 something failing, 3 unknown; `--exit-zero` gives 0 instead of 1 and 2."""
    watched = database("main", upstash.url, TOKEN)
    match trouble:
        case "slow":
            upstash.delay_seconds, watched["slow"] = 0.02, "1ms"
        case "wrong token":
            watched["token"] = "AXanother0Token0fTests=="
        case "unusable settings":
            watched["timeout"] = "soon"
    assert Program(tmp_path, settings(watched)).end("check", *words).status == status


def test_check_ends_with_3_while_our_own_network_is_down(tmp_path: Path) -> None:
    """No connectivity host answers any more: offline, which is unknown and no failure."""
    with socket.create_server(("127.0.0.1", 0)) as host, UpstashStandIn(TOKEN) as upstash:
        watched = settings(
            database("main", upstash.url, TOKEN), connectivity=[f"127.0.0.1:{host.getsockname()[1]}"]
        )
        program = Program(tmp_path, watched)
        assert program.end("check").status == 0
    offline = program.end("check", "--json")
    [row] = json.loads(offline.stdout)["databases"]
    assert (offline.status, row["outcome"], row["ok"], row["incident"]) == (3, "offline", None, None)


def test_check_never_runs_longer_than_within(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Whatever hangs; the time that Python takes to start is counted."""
    upstash.fault = UpstashFault.HANG
    done = Program(tmp_path, settings(database("main", upstash.url, TOKEN))).end("check", "--within", "3s")
    assert done.status in (2, 3)
    assert done.seconds < 3 + 5  # room for a machine that is busy; a check may take 10 s by default


def test_the_other_commands_end_as_promised(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """One after the other on one folder; each status is what a script may test for."""
    program = Program(tmp_path, settings(database("main", upstash.url, "AXanother0=="), channels=slack(people)))
    assert program.end_process("report").status == 3  # there is no history yet
    assert program.end_process("check", "--metrics", "monitor.prom").status == 2
    assert "upstash_probe_success" in (tmp_path / "monitor.prom").read_text(encoding="utf-8")
    assert program.end_process("doctor").status == 2
    assert program.end_process("report").status == 0
    assert program.end_process("incidents").status == 0
    assert program.end_process("incidents", "ack", "1").status == 0
    assert program.end_process("test-alerts").status == 0
    people.fault = MessagingFault.GONE
    assert program.end_process("test-alerts", "slack").status == 2
    assert program.end_process("config", "check").status == 0
    assert program.end_process("config", "show").status == 0
    assert program.end_process("config", "schema").status == 0
    assert program.end_process("backup", "copy.db").status == 0
    assert (tmp_path / "copy.db").stat().st_size > 0
    (tmp_path / "config.yaml").unlink()
    assert program.end_process("init").status == 0


def test_run_ends_with_0_after_a_signal_within_5_seconds_and_with_3_when_it_cannot_start(
    tmp_path: Path, upstash: UpstashStandIn
) -> None:
    """Its log goes to stdout."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), logs={"level": "DEBUG"}))
    with program.running() as running:
        running.wait_for("main: ok")
        ended = running.end(signal.SIGTERM)
    assert (ended.status, ended.seconds < 5) == (0, True)
    program.set({"databases": []})
    assert program.end("run").status == 3


def test_the_settings_are_found_in_this_order(tmp_path: Path) -> None:
    """`--config` before or after the command, then `$MONITOR_CONFIG`, then ./config.yaml, then the environment."""
    program = Program(tmp_path, {}, UPSTASH_REDIS_REST_URL="https://h.upstash.io", UPSTASH_REDIS_REST_TOKEN="AXt")
    for name in ("option", "variable", "config"):
        text = json.dumps({"databases": [{"name": name, "url": "https://h.upstash.io", "token": "AXt"}]})
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")

    def watched(*words: str) -> list[str]:
        return [row["name"] for row in yaml.safe_load(program.end(*words).stdout)["databases"]]

    program.environ["MONITOR_CONFIG"] = "variable.yaml"
    assert watched("--config", "option.yaml", "config", "show") == ["option"]
    assert watched("config", "show", "--config", "option.yaml") == ["option"]
    assert watched("config", "show") == ["variable"]
    del program.environ["MONITOR_CONFIG"]
    assert watched("config", "show") == ["config"]
    (tmp_path / "config.yaml").unlink()
    assert watched("config", "show") == ["main"]


# ---- `check --json` --------------------------------------------------------------------------------------


CHECKED = [
    *("database", "outcome", "family", "ok", "checked_at", "latency_ms", "phases_ms", "http_status", "detail"),
    *("checks", "meaning", "whose_move", "next_steps", "incident"),
]


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A token that was rejected and then accepted again: two rounds of `check`, and all they left."""

    program: Program
    opened: dict[str, Any]
    closed: dict[str, Any]
    messages: tuple[ReceivedMessage, ...]


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    with UpstashStandIn("AXanother0Token0fTests==") as upstash, MessagingStandIn() as people:
        telegram = {
            "type": "telegram",
            "bot_token": BOT_TOKEN,
            "chat_id": "-4012345678",
            "api_url": people.telegram_api_url,
        }
        program = Program(
            tmp_path_factory.mktemp("incident"),
            settings(database("main", upstash.url, TOKEN), channels=[*slack(people), telegram]),
        )
        opened = json.loads(program.end("check", "--json").stdout)
        upstash.token = TOKEN
        closed = json.loads(program.end("check", "--json").stdout)
        return Incident(program=program, opened=opened, closed=closed, messages=people.messages)


def test_the_document_of_check_has_these_keys(incident: Incident) -> None:
    """Version 1. One document and nothing else on stdout, whatever the log says."""
    assert list(incident.opened) == ["version", "started_at", "took_ms", "exit_status", "databases", "deliveries"]
    assert (incident.opened["version"], incident.opened["exit_status"]) == (1, 2)
    assert MILLISECONDS.fullmatch(incident.opened["started_at"])
    assert isinstance(incident.opened["took_ms"], float)


def test_a_database_of_the_document_has_these_keys(incident: Incident) -> None:
    """What was found, what it means, whose move it is as a code, what to do next, and the incident."""
    [row] = incident.opened["databases"]
    assert list(row) == CHECKED
    assert (row["database"], row["outcome"], row["family"], row["ok"]) == (
        "main",
        "token_rejected",
        "token",
        False,
    )
    assert MILLISECONDS.fullmatch(row["checked_at"])
    assert list(row["phases_ms"]) == ["dns", "connect", "tls", "wait", "read", "total"]
    assert row["latency_ms"] == pytest.approx(row["phases_ms"]["wait"] + row["phases_ms"]["read"], abs=0.002)
    assert row["phases_ms"]["tls"] is None  # nothing was encrypted, and what is absent is null
    assert (row["http_status"], row["detail"]) == (401, "WRONGPASS invalid or missing auth token")
    assert (row["checks"], row["whose_move"]) == (2, "yours")
    assert row["meaning"].endswith(".")
    assert 1 <= len(row["next_steps"]) <= 3
    assert list(row["incident"]) == ["id", "state", "opened_at", "cause"]
    assert row["incident"] | {"opened_at": "…"} == {
        "id": 1,
        "state": "open",
        "opened_at": "…",
        "cause": "token_rejected",
    }


def test_a_database_that_is_fine_has_them_too(incident: Incident) -> None:
    """`ok` is true, nobody has a move, there is no step, and the incident that ended is shown as closed."""
    [row] = incident.closed["databases"]
    assert (row["outcome"], row["family"], row["ok"], row["http_status"]) == ("ok", "fine", True, 200)
    assert (row["detail"], row["whose_move"], row["next_steps"]) == ("", "nobody", [])
    assert row["incident"]["state"] == "closed"


def test_a_delivery_of_the_document_has_these_keys(incident: Incident) -> None:
    """One for each channel and message of this round."""
    for document, kind in ((incident.opened, "opened"), (incident.closed, "closed")):
        deliveries = sorted(document["deliveries"], key=lambda delivery: str(delivery["channel"]))
        assert deliveries == [
            {"channel": channel, "kind": kind, "incident": 1, "sent": True} for channel in ("slack", "telegram")
        ]


def test_all_of_an_incident_is_shown(incident: Incident) -> None:
    """Its checks, the verdict, each message with its attempts, acknowledgement, gaps; an unknown number is 3."""
    done = incident.program.end("incidents", "show", "1", "--json")
    shown = json.loads(done.stdout)
    assert (done.status, list(shown), shown["version"]) == (0, ["version", "incident"], 1)
    found = shown["incident"]
    assert (found["id"], found["database"], found["state"]) == (1, "main", "closed")
    assert {"acknowledged_at", "gaps", "layers", "checks_complete"} < set(found)
    # A machine that pauses for three intervals leaves a gap, across which no run goes on.
    counted: Counter[str] = Counter()
    for run in found["checks"]:
        counted.update(run["outcomes"])
    assert counted == {"token_rejected": 2, "ok": 2}
    assert found["checks"][0]["detail"] == "WRONGPASS invalid or missing auth token"
    assert (found["whose_move"], found["next_steps"] != []) == ("yours", True)
    told = [(row["channel"], row["kind"], row["attempts"], row["last_error"]) for row in found["deliveries"]]
    assert sorted(told) == [(name, kind, 1, "") for name in ("slack", "telegram") for kind in ("closed", "opened")]
    unknown = incident.program.end("incidents", "show", "7")
    assert (unknown.status, unknown.stdout) == (3, "")
    assert unknown.stderr.startswith("wanted the number of an incident, found '7'. Next: the latest is 1")


def test_the_past_goes_through_the_rules_of_today(incident: Incident, tmp_path: Path) -> None:
    """The messages that these settings would have sent, in place of those that were; 3 if there is no history."""
    done = incident.program.end("replay", "--json")
    found = json.loads(done.stdout)
    assert (done.status, list(found), found["version"]) == (0, ["version", "databases"], 1)
    [row] = found["databases"]
    assert (row["database"], row["checks"], row["told"]) == ("main", 4, {"opened": 1, "closed": 1})
    assert [(one["kind"], one["incident"]) for one in row["messages"]] == [("opened", 1), ("closed", 1)]
    assert (len(row["incidents"]), row["differences"]) == (1, [])
    none = Program(tmp_path, settings(database("main", "https://h.upstash.io"))).end("replay")
    assert (none.status, none.stdout) == (3, "")


def test_what_did_not_come_back_is_null(tmp_path: Path) -> None:
    """No answer, no latency, no status; the phases that were not reached neither."""
    url = f"http://127.0.0.1:{port_that_refuses()}"
    done = Program(tmp_path, settings(database("main", url, TOKEN))).end("check", "--json")
    [row] = json.loads(done.stdout)["databases"]
    assert (row["outcome"], row["latency_ms"], row["http_status"]) == ("connection_refused", None, None)
    assert (row["phases_ms"]["wait"], row["phases_ms"]["read"]) == (None, None)


def test_the_file_knows_every_outcome_of_the_contract(incident: Incident) -> None:
    """The outcomes of a file are all that can be found."""
    with closing(sqlite3.connect(incident.program.file)) as shell:
        codes = {code for (code,) in shell.execute("SELECT code FROM outcome")}
    assert codes == set(OUTCOMES.split())


# ---- config.yaml -----------------------------------------------------------------------------------------

# What an empty file is taken for: every key that has a default. Without one are `slow`, `page.port`,
# `page.password` and `heartbeat.url`.
DEFAULTS = """
databases:
  - name: main
    url: "***"
    token: "***"
    interval: 1m
    timeout: 10s
    canary: 1d
    canary_prefix: "upstash-monitor:canary:"
    worker: false
alerts:
  language: en
  confirm_interval: 5s
  configuration: {failures: 1}
  token: {failures: 2}
  quota: {failures: 2}
  failing: {failures: 4, for: 40s}
  slow: {failures: 5, of: 10}
  flapping: {times: 8, within: 20m}
  recovery: {checks: 2, for: 2m}
  group_within: 1m
  reminders: [1h, 4h, 1d]
  diagnose: true
channels: []
connectivity: ["1.1.1.1:443", "8.8.8.8:443"]
maintenance: []
history: {path: history.db, keep: 90d}
page: {host: 0.0.0.0, title: upstash-monitor}
heartbeat: {}
doctor:
  service: worker
  worker_port: 6379
  status_url: https://status.upstash.com
  console_url: https://api.upstash.com
  railway_url: https://backboard.railway.com/graphql/v2
logs: {level: INFO, format: text}
"""
# Every key that a file may have, with a value that is no default.
EVERY_KEY = """
databases:
  - name: main
    url: ${UPSTASH_REDIS_REST_URL}
    token: ${UPSTASH_REDIS_REST_TOKEN}
    interval: 1s
    timeout: 1h30m
    slow: 500ms
    canary: 12h
    canary_prefix: "app:canary:"
    worker: true
defaults: {interval: 30s}
alerts:
  language: ru
  confirm_interval: 1s
  configuration: {failures: 2}
  token: {failures: 1}
  quota: {failures: 1}
  failing: {failures: 2, for: 0s}
  slow: {failures: 1, of: 1}
  flapping: {times: 4, within: 0s}
  recovery: {checks: 1, for: 0s}
  group_within: 0s
  reminders: [2h]
  diagnose: false
channels:
  - {type: slack, webhook_url: "${SLACK_WEBHOOK_URL}", mention: "<!here>"}
  - {type: telegram, bot_token: "${BOT}", chat_id: "@people", topic: 17, api_url: "https://bot-api.example"}
  - {type: webhook, url: "https://example.com/${UNSET:-hook}"}
  - {type: log, name: journal$$}
connectivity: []
maintenance: []
history: {path: other.db, keep: 7d}
state: {url: https://state.example, token: another, key: k}
environment: ${UNSET:-staging}
region: fra
page: {host: "::1", port: 8080, password: "${STATUS_PASSWORD}", url: "https://monitor.example", title: Databases}
heartbeat: {url: "https://heartbeat.example/ping"}
doctor: {service: web, worker_port: 6380, status_url: "", console_url: "https://a.b", railway_url: "https://c.d"}
logs: {level: DEBUG, format: json}
"""
ENVIRONMENT = {
    "UPSTASH_REDIS_REST_URL": "https://h.upstash.io",
    "UPSTASH_REDIS_REST_TOKEN": TOKEN,
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0TESTS/B0TESTS/contract",
    "STATUS_PASSWORD": PASSWORD,
    "BOT": BOT_TOKEN,
}
CREDENTIALS = {name: ENVIRONMENT[name] for name in ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")}


def shown(program: Program) -> dict[str, Any]:
    """The settings as `config show` understands them."""
    done = program.end("config", "show")
    assert done.status == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def test_the_defaults_are_these(tmp_path: Path) -> None:
    """An empty file and the two variables: one database named main, told to the log."""
    assert shown(Program(tmp_path, {}, **CREDENTIALS)) == yaml.safe_load(DEFAULTS)


def test_every_key_is_taken_and_no_secret_shown(tmp_path: Path) -> None:
    """`${NAME}`, `${NAME:-default}` and `$$` are replaced; what a database says itself goes before `defaults`."""
    program = Program(tmp_path, {}, **ENVIRONMENT)
    (tmp_path / "config.yaml").write_text(EVERY_KEY, encoding="utf-8")
    understood, written = shown(program), yaml.safe_load(EVERY_KEY)
    written.pop("defaults")
    assert understood.keys() == written.keys()
    for section in ("alerts", "connectivity", "maintenance", "history", "region", "doctor", "logs"):
        assert understood[section] == written[section]
    assert understood["databases"] == [{**written["databases"][0], "url": "***", "token": "***"}]
    assert understood["page"] == {**written["page"], "password": "***"}
    assert understood["state"] == {**written["state"], "url": "***", "token": "***"}
    assert understood["environment"] == "staging"
    assert [channel["name"] for channel in understood["channels"]] == ["slack", "telegram", "webhook", "journal$"]
    slack, telegram, *_ = understood["channels"]
    assert (slack["mention"], telegram["topic"]) == ("<!here>", 17)


@pytest.mark.parametrize("written", ["off", '"off"', "false", "no", "${CANARY}"])
def test_the_canary_can_be_turned_off(tmp_path: Path, written: str) -> None:
    """`off` in quotes or bare, which YAML takes for false; it is shown as a word that can be written again."""
    program = Program(tmp_path, {}, CANARY="off", **CREDENTIALS)
    (tmp_path / "config.yaml").write_text(f"defaults: {{canary: {written}}}\n", encoding="utf-8")
    assert [row["canary"] for row in shown(program)["databases"]] == ["off"]


def test_the_schema_knows_the_canary(tmp_path: Path) -> None:
    """A duration or `off`, once a day where it is left out; the prefix of its keys."""
    schema = json.loads(Program(tmp_path, {}).end("config", "schema").stdout)
    keys = schema["$defs"]["DatabaseSettings"]["properties"]
    assert (keys["canary"]["default"], keys["canary_prefix"]["default"]) == ("1d", "upstash-monitor:canary:")
    assert "off" in json.dumps(keys["canary"])


def test_a_first_check_finds_a_token_that_may_not_write(tmp_path: Path) -> None:
    """Out of the box: the default settings on a new file send one canary, which PING alone would not replace."""
    with UpstashStandIn(TOKEN, read_only_token=READ_ONLY) as upstash:
        main = {"name": "main", "url": upstash.url, "token": READ_ONLY}
        done = Program(tmp_path, settings(main)).end("check", "--json", "--no-alerts")
    [row] = json.loads(done.stdout)["databases"]
    assert (done.status, row["outcome"]) == (2, "permission_denied")


def test_a_canary_is_three_commands_under_its_prefix(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Written with an expiry, read back, deleted; the next check on the same file sends none."""
    main = {"name": "main", "url": upstash.url, "token": TOKEN, "canary_prefix": "app:canary:"}
    program = Program(tmp_path, settings(main))
    assert [program.end("check").status, upstash.billed_commands] == [0, 3]
    assert [program.end("check").status, upstash.billed_commands] == [0, 3]


def test_a_rule_without_of_means_so_many_in_a_row(tmp_path: Path) -> None:
    """`slow: {failures: 3}` is 3 of the last 3."""
    found = shown(Program(tmp_path, {"alerts": {"slow": {"failures": 3}}}, **CREDENTIALS))
    assert found["alerts"]["slow"] == {"failures": 3, "of": 3}


def test_the_schema_describes_every_key(tmp_path: Path) -> None:
    """What an editor offers is what the program takes."""
    described = json.loads(Program(tmp_path, {}).end("config", "schema").stdout)
    assert set(described["properties"]) == set(yaml.safe_load(EVERY_KEY))


def test_what_the_environment_gives(tmp_path: Path) -> None:
    """Port, heartbeat, password, volume and channels count with any file, unless the file sets that key itself."""
    variables = {
        **ENVIRONMENT,
        "PORT": "8080",
        "HEARTBEAT_URL": "https://heartbeat.example/ping",
        "TELEGRAM_BOT_TOKEN": BOT_TOKEN,
        "TELEGRAM_CHAT_ID": "42",
        "RAILWAY_VOLUME_MOUNT_PATH": "/data",
        "RAILWAY_ENVIRONMENT_NAME": "staging",
        "RAILWAY_PUBLIC_DOMAIN": "monitor.up.railway.app",
    }
    found = shown(Program(tmp_path, {"page": {}, "defaults": {"interval": "5m"}}, **variables))
    assert [channel["type"] for channel in found["channels"]] == ["slack", "telegram"]
    url = "https://monitor.up.railway.app"
    usual = {"title": "upstash-monitor", "password": "***"}
    assert found["page"] == {**usual, "host": "::", "port": 8080, "url": url}
    assert (found["heartbeat"], found["history"]["path"]) == ({"url": "***"}, "/data/history.db")
    assert (found["environment"], found["logs"]["format"]) == ("staging", "json")
    itself = {
        "environment": "",
        "channels": [],
        "history": {"path": "own.db"},
        "page": {"host": "127.0.0.1", "port": None, "password": "another-one"},
        "heartbeat": {"url": ""},
        "logs": {"format": "text"},
    }
    found = shown(Program(tmp_path, itself, **variables))
    assert (found["channels"], found["history"]["path"], found["heartbeat"]) == ([], "own.db", {})
    assert found["page"] == {**usual, "host": "127.0.0.1"}
    assert ("environment" in found, found["logs"]["format"]) == (False, "text")


def test_a_variable_that_is_not_set_is_a_mistake_but_for_a_database(tmp_path: Path) -> None:
    """Without URL and token the program starts and alerts; any other `${NAME}` must be set."""
    done = Program(tmp_path, {}).end("check", "--json", "--no-alerts")
    [row] = json.loads(done.stdout)["databases"]
    assert (done.status, row["outcome"]) == (2, "url_missing")
    program = Program(tmp_path, {"heartbeat": {"url": "${NOT_SET}"}})
    refused = program.end("config", "check")
    assert (refused.status, "NOT_SET" in refused.stderr) == (3, True)


def test_the_variables_of_vercels_integration_count_too(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Without `databases`, and only where neither of Upstash's own names is set."""
    vercel = {"KV_REST_API_URL": upstash.url, "KV_REST_API_TOKEN": TOKEN}
    for more, outcome in (({}, "ok"), ({"UPSTASH_REDIS_REST_TOKEN": TOKEN}, "url_missing")):
        done = Program(tmp_path, {}, **vercel, **more).end("check", "--json", "--no-alerts")
        [row] = json.loads(done.stdout)["databases"]
        assert (row["database"], row["outcome"]) == ("main", outcome)


def test_all_mistakes_are_told_at_once_with_place_and_nearest_name(tmp_path: Path) -> None:
    """One line each: wanted, found, next."""
    mistaken = {"databases": [{"name": "main", "tokn": "x"}], "alerts": {"slow": 3}, "logs": {"level": "LOUD"}}
    done = Program(tmp_path, mistaken).end("config", "check")
    assert done.status == 3
    for place in ("databases[0].tokn", "alerts.slow", "logs.level"):
        assert place in done.stderr
    assert "did you mean token?" in done.stderr


# ---- The SQLite file -------------------------------------------------------------------------------------

VIEWS = {
    "history": "database, at, outcome, ok, latency_ms, total_ms, http_status, detail",
    "incident_log": "id, database, opened_at, closed_at, cause, severity, checks_failed, acknowledged_at",
    "deliveries": "incident, kind, channel, created_at, delivered_at, attempts, last_error",
}


def rows(file: Path, view: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file)) as shell:
        shell.row_factory = sqlite3.Row
        return [dict(row) for row in shell.execute(f"SELECT * FROM {view}")]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_these_columns(incident: Incident, view: str) -> None:
    """In this order, for whoever writes `SELECT *`."""
    with closing(sqlite3.connect(incident.program.file)) as shell:
        columns = [column[1] for column in shell.execute(f"PRAGMA table_info({view})")]
    assert ", ".join(columns) == VIEWS[view]


def test_the_view_history_has_a_row_for_each_check(incident: Incident) -> None:
    """Times in ISO 8601 UTC, `ok` 1 or 0, figures in milliseconds."""
    checks = rows(incident.program.file, "history")
    assert [(row["outcome"], row["ok"], row["http_status"]) for row in checks] == [
        *[("token_rejected", 0, 401)] * 2,
        *[("ok", 1, 200)] * 2,
    ]
    for row in checks:
        assert row["database"] == "main"
        assert MILLISECONDS.fullmatch(row["at"])
        assert 0 < row["latency_ms"] <= row["total_ms"] < 60_000
    assert [row["detail"] or "" for row in checks] == ["WRONGPASS invalid or missing auth token"] * 2 + [""] * 2


def test_the_view_incident_log_has_a_row_for_each_incident(incident: Incident) -> None:
    """From its first failing check to its first fine one."""
    [row] = rows(incident.program.file, "incident_log")
    times = [check["at"] for check in rows(incident.program.file, "history")]
    assert row == {
        "id": 1,
        "database": "main",
        "opened_at": times[0],
        "closed_at": times[2],
        "cause": "token_rejected",
        "severity": "critical",
        "checks_failed": 2,
        "acknowledged_at": None,
    }


def test_the_view_deliveries_has_a_row_for_each_message_and_channel(incident: Incident) -> None:
    """Delivered at the first try, so there is no last error."""
    delivered = rows(incident.program.file, "deliveries")
    found = sorted((row["incident"], row["kind"], row["channel"], row["attempts"]) for row in delivered)
    assert found == [(1, kind, channel, 1) for kind in ("closed", "opened") for channel in ("slack", "telegram")]
    for row in delivered:
        assert row["created_at"] <= row["delivered_at"]
        assert MILLISECONDS.fullmatch(row["delivered_at"])
        assert row["last_error"] is None


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """Status 3; whoever went back a version loses nothing by it."""
    program = Program(tmp_path, settings(database("main", upstash.url, TOKEN)))
    assert program.end("check").status == 0
    with closing(sqlite3.connect(program.file)) as shell:
        shell.execute("PRAGMA user_version = 1000")
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = program.file.read_bytes()
    refused = program.end("check")
    assert (refused.status, "newer" in refused.stderr) == (3, True)
    assert program.file.read_bytes() == before


# ---- HTTP ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Site:
    """`run` with a port, watching `main`, which is fine, and `cache`, whose token is rejected."""

    port: int
    hidden: tuple[str, ...]

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_WAIT_SECONDS)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()


@contextmanager
def serving(folder: Path, **environ: str) -> Iterator[Site]:
    with UpstashStandIn(TOKEN) as upstash, MessagingStandIn() as people:
        watched = settings(
            database("main", upstash.url, TOKEN),
            database("cache", upstash.url, "AXanother0Token0fTests=="),
            channels=slack(people),
            page={"host": "127.0.0.1", "port": 0},
            logs={"level": "DEBUG"},
        )
        program = Program(folder, watched, **environ)
        with program.running() as running:
            running.wait_for("incident 1 opened delivered")
            running.wait_for("main: ok")
            [line] = [line for line in running.lines if "/healthz on port" in line]
            yield Site(port=int(line.rpartition(" ")[2]), hidden=(upstash.url, str(upstash.port), TOKEN))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("site")) as open_site:
        yield open_site


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("locked"), STATUS_PASSWORD=PASSWORD) as locked_site:
        yield locked_site


ADDRESSES = {
    "/": "text/html",
    "/healthz": "application/json",
    "/metrics": "text/plain",
    "/api/databases": "application/json",
    "/api/databases/main/history?since=24h": "application/json",
    "/openapi.json": "application/json",
    "/badge/main.svg": "image/svg+xml",
}
EACH_ADDRESS = pytest.mark.parametrize("address", ADDRESSES)


@EACH_ADDRESS
def test_an_address_is_answered(site: Site, address: str) -> None:
    """200 with the type that is promised, for GET; for HEAD the same without a body."""
    status, content_type, body = site.ask("GET", address)
    assert (status, content_type.partition(";")[0]) == (200, ADDRESSES[address])
    assert body
    assert site.ask("HEAD", address) == (200, content_type, "")


@EACH_ADDRESS
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_else_is_taken(site: Site, method: str, address: str) -> None:
    """405: nothing can be changed over HTTP."""
    assert site.ask(method, address)[0] == 405


@EACH_ADDRESS
def test_no_host_url_or_token_leaves(site: Site, address: str) -> None:
    """Names of databases do, nothing of the way to them."""
    body = site.ask("GET", address)[2]
    assert not [secret for secret in site.hidden if secret in body]


@EACH_ADDRESS
def test_with_a_password_all_but_healthz_ask_for_it(locked: Site, address: str) -> None:
    """HTTP Basic with any user name; 401 without it, with a wrong one, or with part of it."""
    for user, password, status in (("", PASSWORD, 200), ("anybody", PASSWORD, 200), ("", PASSWORD[:-1], 401)):
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        found = locked.ask("GET", address, Authorization=f"Basic {credentials}")[0]
        assert found == (200 if address == "/healthz" else status)
    assert locked.ask("GET", address)[0] == (200 if address == "/healthz" else 401)


def test_what_is_not_there_is_404(site: Site) -> None:
    """An address, a database, a badge."""
    for address in ("/nothing", "/api/databases/nobody/history", "/badge/nobody.svg"):
        assert site.ask("GET", address)[0] == 404


@pytest.mark.parametrize("address", ["/api/databases", "/api/databases/{name}/history"])
def test_the_json_is_as_openapi_json_describes_it(site: Site, address: str) -> None:
    """Every key that is answered is described, and every one that is described is answered."""
    described = json.loads(site.ask("GET", "/openapi.json")[2])
    schema = described["paths"][address]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    for one in described["components"]["schemas"].values():
        if "properties" in one:
            one["additionalProperties"] = False
    validator = Draft202012Validator({**schema, "components": described["components"]})
    for name in ("main", "cache"):
        status, _, body = site.ask("GET", address.replace("{name}", name))
        assert (status, list(validator.iter_errors(json.loads(body)))) == (200, [])


def test_the_json_of_the_databases_speaks_as_check_does(site: Site) -> None:
    """Version 1, and of each database the keys of `check --json`."""
    document = json.loads(site.ask("GET", "/api/databases")[2])
    assert document["version"] == 1
    shared = {
        "database",
        "outcome",
        "family",
        "ok",
        "checked_at",
        "latency_ms",
        "phases_ms",
        "http_status",
        "detail",
    }
    for row in document["databases"]:
        assert shared | {"meaning", "next_steps", "incident"} <= set(row)
    found = {row["database"]: (row["outcome"], row["ok"]) for row in document["databases"]}
    assert found == {"main": ("ok", True), "cache": ("token_rejected", False)}


def test_an_incident_is_acknowledged_by_a_post_where_a_password_is_set(site: Site, locked: Site) -> None:
    """With the password and from no other site; nothing else is taken there, and without one nothing at all."""
    login = {"Authorization": f"Basic {b64encode(f':{PASSWORD}'.encode()).decode()}"}
    until(lambda: "token_rejected" in locked.ask("GET", "/api/databases", **login)[2], "the incident")
    for headers, status in (({}, 401), ({**login, "Sec-Fetch-Site": "cross-site"}, 403), (login, 303)):
        assert '"acknowledged_at":null' in locked.ask("GET", "/api/databases", **login)[2]
        assert locked.ask("POST", "/incidents/1/ack", **headers)[0] == status
    assert '"acknowledged_at":null' not in locked.ask("GET", "/api/databases", **login)[2]
    assert locked.ask("GET", "/incidents/1/ack", **login)[0] == 405
    assert locked.ask("POST", "/incidents/99/ack", **login)[0] == 404
    assert (site.ask("GET", "/incidents/1/ack")[0], site.ask("POST", "/incidents/1/ack")[0]) == (405, 403)


# ---- Metrics ---------------------------------------------------------------------------------------------

CERTIFICATE_METRIC = "upstash_probe_certificate_expiry_timestamp_seconds"
METRICS = {
    "upstash_probe_success": ("gauge", {"database"}),
    "upstash_probe_duration_seconds": ("histogram", {"database", "le"}),
    "upstash_probe_phase_seconds": ("gauge", {"database", "phase"}),
    "upstash_probe_outcomes": ("counter", {"database", "outcome"}),
    "upstash_probe_last_timestamp_seconds": ("gauge", {"database"}),
    "upstash_probe_last_success_timestamp_seconds": ("gauge", {"database"}),
    CERTIFICATE_METRIC: ("gauge", set()),  # these databases are without TLS
    "upstash_incident_open": ("gauge", {"database", "severity"}),
    "upstash_incident_cause": ("gauge", {"database", "outcome", "family"}),
    "upstash_quiet": ("gauge", {"database"}),
    "upstash_notifications": ("counter", {"channel", "result"}),
    "upstash_channel_ok": ("gauge", {"channel"}),
    "upstash_outbox_pending": ("gauge", set()),
    "upstash_monitor_missed_checks": ("counter", set()),
    "upstash_monitor_build_info": ("gauge", {"version"}),
}


def test_the_metrics_are_these(site: Site) -> None:
    """Name, type and labels of each; of a counter the samples end in `_total`."""
    text = site.ask("GET", "/metrics")[2]
    found = {}
    for family in text_string_to_metric_families(text):
        found[family.name] = (family.type, {label for sample in family.samples for label in sample.labels})
        if family.type == "counter":
            assert {sample.name for sample in family.samples} == {f"{family.name}_total"}
    of_process = {name for name in found if name.startswith("process_")}
    assert of_process >= {"process_resident_memory_bytes", "process_cpu_seconds", "process_start_time_seconds"}
    assert {name: what for name, what in found.items() if name not in of_process} == METRICS


def test_the_metrics_have_these_values(site: Site) -> None:
    """1 and 0 for what is fine and what fails, the open incident, base units, one series for each outcome."""
    families = {family.name: family for family in text_string_to_metric_families(site.ask("GET", "/metrics")[2])}

    def values(name: str, label: str) -> dict[str, float]:
        return {sample.labels[label]: sample.value for sample in families[name].samples}

    assert values("upstash_probe_success", "database") == {"main": 1, "cache": 0}
    is_open = {
        (sample.labels["database"], sample.labels["severity"]): sample.value
        for sample in families["upstash_incident_open"].samples
    }
    assert {key for key, value in is_open.items() if value} == {("cache", "critical")}
    assert set(is_open) == {(name, word) for name in ("main", "cache") for word in ("warning", "critical")}
    assert set(values("upstash_probe_phase_seconds", "phase")) == {"dns", "connect", "wait", "read", "total"}
    assert {"ok", "slow", "token_rejected", "offline"} <= set(values("upstash_probe_outcomes", "outcome"))
    assert values("upstash_notifications", "result") == {"sent": 1, "failed": 0}
    for name in ("upstash_probe_last_timestamp_seconds", "upstash_probe_last_success_timestamp_seconds"):
        assert abs(datetime.now(UTC).timestamp() - values(name, "database")["main"]) < 30


def test_a_certificate_that_ends_soon_is_told_once_and_shown_everywhere(
    tmp_path: Path, people: MessagingStandIn
) -> None:
    """By `check` or `run`, whichever sees it first; page, JSON and metrics show it as long as it is so.

    One that was renewed is told no more.
    """
    certificates = Certificates()
    certificates.save(str(tmp_path / "authority.pem"))
    program = Program(tmp_path, {}, SSL_CERT_FILE=str(tmp_path / "authority.pem"))

    def watch(upstash: UpstashStandIn) -> None:
        program.set(
            settings(
                database("main", upstash.url, TOKEN),
                channels=slack(people),
                page={"host": "127.0.0.1", "port": 0},
                logs={"level": "DEBUG"},
            )
        )

    def shown() -> tuple[str, str | None, float]:
        """The front page, what the JSON says, and the metric."""
        with program.running() as running:
            running.wait_for("main: ok")
            [line] = [line for line in running.lines if "/healthz on port" in line]
            site = Site(port=int(line.rpartition(" ")[2]), hidden=())
            [row] = json.loads(site.ask("GET", "/api/databases")[2])["databases"]
            families = text_string_to_metric_families(site.ask("GET", "/metrics")[2])
            [expiry] = [one for one in families if one.name == CERTIFICATE_METRIC]
            assert expiry.samples[0].labels == {"database": "main"}
            front, own = site.ask("GET", "/")[2], site.ask("GET", "/databases/main")[2]
            assert ("The certificate ends" in front) == ("The certificate ends" in own)
            return front, row["certificate_ends_at"], expiry.samples[0].value

    ends_at = datetime.now(UTC) + timedelta(days=13.5)
    with UpstashStandIn(TOKEN, tls=certificates.server("127.0.0.1", ends=13.5)) as upstash:
        watch(upstash)
        [row] = json.loads(program.end("check", "--json").stdout)["databases"]
        assert (row["outcome"], row["whose_move"]) == ("ok", "yours")
        assert "certificate ends within two weeks" in row["meaning"]
        assert program.end("check").status == 0
        front, in_json, in_metrics = shown()
    [message] = people.messages
    assert in_json is not None
    assert MILLISECONDS.fullmatch(in_json)
    assert abs(datetime.fromisoformat(in_json) - ends_at) < timedelta(minutes=5)
    told = f"🟡 main: the certificate ends in 13 days ({in_json[:10]}) · your move"
    assert message.text.splitlines()[0] == told
    assert message.text.splitlines()[-1] == "upstash-monitor · warning"
    assert f"The certificate ends in 13 days ({in_json[:10]})" in front
    assert in_metrics == datetime.fromisoformat(in_json).timestamp()
    with UpstashStandIn(TOKEN, tls=certificates.server("127.0.0.1", ends=60)) as upstash:
        watch(upstash)
        front, _, renewed = shown()
    assert "The certificate ends" not in front
    assert renewed > in_metrics + 40 * 86400
    assert len(people.messages) == 1


# ---- Messages --------------------------------------------------------------------------------------------


def message(incident: Incident, service: str, kind: str) -> ReceivedMessage:
    [found] = [one for one in incident.messages if one.service == service and one.text.endswith(kind)]
    return found


@pytest.mark.parametrize("service", ["slack", "telegram"])
def test_the_first_line_says_what_and_where_and_the_last_which_incident(incident: Incident, service: str) -> None:
    """A phone shows the first; by the last a repetition is seen as one."""
    opened = message(incident, service, "opened").text.splitlines()
    closed = message(incident, service, "closed").text.splitlines()
    assert (opened[0], opened[-1]) == ("🔴 main: token rejected · your move", "incident 1 · opened")
    assert re.fullmatch(r"🟢 main: recovered after (\d+ min )?(\d+|less than 1) s", closed[0])
    assert closed[-1] == "incident 1 · closed"


@pytest.mark.parametrize("service", ["slack", "telegram"])
def test_an_opening_says_why_whose_move_it_is_and_what_to_do(incident: Incident, service: str) -> None:
    """What was seen, the verdict, at most three steps; at most 900 characters."""
    text = message(incident, service, "opened").text
    assert "WRONGPASS invalid or missing auth token" in text
    assert text.splitlines()[1] == "The database was reached and does not accept this token."
    assert 1 <= len(re.findall(r"^\d\. ", text, re.MULTILINE)) <= 3
    assert len(text) <= 900


def test_each_service_is_given_what_it_shows_best(incident: Incident) -> None:
    """Slack blocks with a fallback text, Telegram HTML."""
    in_slack = message(incident, "slack", "opened").payload
    assert in_slack["blocks"]
    assert in_slack["text"].startswith("🔴 main: token rejected")
    assert message(incident, "telegram", "opened").payload["parse_mode"] == "HTML"
