"""`init`, `config`, `incidents`, `test-alerts`, wrong words and completion: what is printed, and the status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from monitor.cli.main import program as all_commands
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import ROOT, Program, database, settings, slack, told

TOKEN = "AXsmallWords0Token=="


def test_init_writes_the_file_that_comes_with_the_package_and_overwrites_nothing(tmp_path: Path) -> None:
    """The commented file; a file that is there is left alone unless `--force` says otherwise."""
    program = Program(tmp_path, {})
    (tmp_path / "config.yaml").unlink()
    assert program.end("init").status == 0
    written = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    assert written == (ROOT / "config.yaml").read_text(encoding="utf-8")
    again = program.end("init")  # as in a clone of the project, which has it
    assert (again.status, again.stdout.split(". Next")[0]) == (0, "config.yaml is already as `init` writes it")
    (tmp_path / "config.yaml").write_text("mine", encoding="utf-8")
    refused = program.end("init")
    assert refused.status == 3
    assert "already there" in refused.stderr
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "mine"
    assert program.end("init", "--force").status == 0


def test_config_show_masks_secrets_and_counts_a_month(tmp_path: Path) -> None:
    """30 days at a minute are 43,200 checks, in doubt all month 475,200 more; an hourly canary is 2,160 billed."""
    program = Program(
        tmp_path,
        {"databases": [{"name": "main", "url": "https://h.upstash.io", "token": TOKEN, "canary": "1h"}]},
    )
    shown = program.end("config", "show")
    assert shown.status == 0
    assert TOKEN not in shown.stdout
    for figure in ("43,200 checks", "475,200 confirmations", "billed 2,160", "0.4% of the free plan"):
        assert figure in shown.stdout


def test_config_show_says_what_the_canary_costs_and_finds(tmp_path: Path) -> None:
    """Once a day by default: 90 billed commands, and what PING does not see; without one, what is not noticed."""
    usual = {"name": "main", "url": "https://h.upstash.io", "token": TOKEN}
    program = Program(tmp_path, {"databases": [usual, {**usual, "name": "cache", "canary": "off"}]})
    shown = program.end("config", "show").stdout
    finds = "used-up commands, a full database and a read-only token"
    for line in (
        "90 for the canary",
        "in all: at worst",
        "billed 90, which is 0.0% of the free plan",
        f"a canary writes, reads back and deletes a key (3 billed commands): it finds {finds}",
        f"no canary for cache: {finds} are not noticed",
    ):
        assert line in shown
    assert "00:05 UTC" not in shown


@pytest.mark.parametrize(
    ("variables", "is_forgotten"),
    [
        ({"RAILWAY_SERVICE_ID": "s"}, True),
        ({"RAILWAY_SERVICE_ID": "s", "RAILWAY_VOLUME_MOUNT_PATH": "{folder}"}, False),
        ({"RAILWAY_SERVICE_ID": "s", "RAILWAY_VOLUME_MOUNT_PATH": "/elsewhere"}, True),
        ({"RAILWAY_TOKEN": "the-doctors-key"}, False),
        ({}, False),
    ],
)
def test_config_show_says_where_few_runs_of_check_send_a_canary(
    tmp_path: Path, variables: dict[str, str], is_forgotten: bool
) -> None:
    """On Railway without a volume every run is the first; a key of the doctor's makes no Railway of a laptop."""
    environ = {name: value.format(folder=tmp_path) for name, value in variables.items()}
    main = {"name": "main", "url": "https://h.upstash.io", "token": TOKEN}
    program = Program(
        tmp_path, {"databases": [main], "history": {"path": str(tmp_path / "history.db")}}, **environ
    )
    shown = program.end("config", "show").stdout
    assert ("from 00:00 to 00:05 UTC" in shown) is is_forgotten
    assert ("none or two a day are possible" in shown) is is_forgotten


def test_config_schema_describes_the_file_as_it_is_written(tmp_path: Path) -> None:
    """One JSON document; `defaults` and every section of the shipped file are in it."""
    described = json.loads(Program(tmp_path, {}).end("config", "schema").stdout)
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"databases", "defaults", "alerts", "channels", "history"} <= set(described["properties"])


def test_an_incident_is_listed_acknowledged_and_listed_as_known(tmp_path: Path, people: MessagingStandIn) -> None:
    """`incidents`, `--json`, `ack N`; a number that is not open is answered with those that are."""
    with UpstashStandIn("another") as upstash:
        program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), channels=slack(people)))
        program.end("check")
    listed = program.end("incidents")
    assert listed.status == 0
    assert "1  main: token rejected" in listed.stdout
    known = program.end("incidents", "ack", "1")
    assert known.status == 0
    [row] = json.loads(program.end("incidents", "--json").stdout)["incidents"]
    assert (row["id"], row["state"], row["cause"], row["checks_failed"]) == (1, "open", "token_rejected", 2)
    assert row["acknowledged_at"] is not None
    wrong = program.end("incidents", "ack", "7")
    assert wrong.status == 3
    assert "open are 1" in wrong.stderr


def test_acknowledging_what_nobody_watches_promises_no_end(tmp_path: Path, people: MessagingStandIn) -> None:
    """A renamed database: before the next start its incident is open still, after it over as unwatched."""
    with UpstashStandIn("another") as upstash:
        program = Program(tmp_path, settings(database("main", upstash.url, TOKEN), channels=slack(people)))
        program.end("check")
        program.set(settings(database("renamed", upstash.url, "another"), channels=slack(people)))
        known = program.end("incidents", "ack", "1")
        assert known.status == 0
        assert "main is not configured any more" in known.stdout
        assert "its end will be reported" not in known.stdout
        assert "its incident 1 is closed as unwatched" in program.end("check").stderr
    over = program.end("incidents", "ack", "1")
    assert over.status == 3
    assert "found 1, which is unwatched: main is not configured any more" in over.stderr
    [row] = json.loads(program.end("incidents", "--all", "--json").stdout)["incidents"]
    assert row["state"] == "unwatched"
    assert told(people) == [(1, "opened"), (1, "unwatched")]


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("chek",), 3, "wanted one of run, check, "),
        (("check", "--jsn"), 3, "upstash-monitor check: No such option"),
        (("check", "--within", "soon"), 3, "wanted a duration such as 500ms"),
        (("--config=", "check"), 3, "wanted the name of a file, found nothing"),
        (("incidents", "acknowledge"), 3, "found 'acknowledge'"),
        ((), 3, "Usage: upstash-monitor "),
    ],
)
def test_wrong_words_end_with_3_and_print_nothing_on_stdout(
    tmp_path: Path, words: tuple[str, ...], status: int, error: str
) -> None:
    """2 would tell a plugin host that the database is down."""
    ended = Program(tmp_path, {}).end(*words)
    assert (ended.status, ended.stdout) == (status, "")
    assert error in ended.stderr
    assert not words or (ended.stderr.count("\n") == 1 and " Next: " in ended.stderr)


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """As click documents it: the script of the shell asks through variables."""
    asked = {"_UPSTASH_MONITOR_COMPLETE": "zsh_complete", "COMP_CWORD": "1"}
    commands = Program(tmp_path, {}, COMP_WORDS="upstash-monitor ch", **asked).end()
    assert (commands.status, commands.stdout.split("\n")[1]) == (0, "check")
    asked["COMP_CWORD"] = "2"
    options = Program(tmp_path, {}, COMP_WORDS="upstash-monitor check --ex", **asked).end()
    assert "--exit-zero" in options.stdout
    file = Program(tmp_path, {}, COMP_WORDS="upstash-monitor --config co", **asked).end()
    assert file.stdout.startswith("file\nco\n")
    asked["COMP_CWORD"] = "3"
    unknown = Program(tmp_path, {}, COMP_WORDS="upstash-monitor nope --ex", **asked).end()
    assert (unknown.status, unknown.stderr) == (0, "")
    script = Program(tmp_path, {}, _UPSTASH_MONITOR_COMPLETE="zsh_source").end()
    assert script.stdout.startswith("#compdef upstash-monitor")


def test_a_shell_completes_the_file_for_the_metrics() -> None:
    """The shell itself knows its files."""
    shell = ShellComplete(all_commands, {}, "upstash-monitor", "_UPSTASH_MONITOR_COMPLETE")
    assert [one.type for one in shell.get_completions(["check", "--metrics"], "x")] == ["file"]


def test_help_and_completion_do_not_wait_for_heavy_libraries() -> None:
    """Each press of Tab starts the program: settings and log are imported by the command that needs them."""
    heavy = "{'pydantic', 'yaml', 'loguru', 'asyncio', 'rich'}"
    code = f"import sys, monitor.cli.main; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_test_message_shows_each_channels_answer(tmp_path: Path, people: MessagingStandIn) -> None:
    """Delivered and marked as a test message: 0; refused: 2, with what to do; a channel nobody knows: 3."""
    program = Program(tmp_path, settings(database("main", "https://h.upstash.io"), channels=slack(people)))
    good = program.end("test-alerts")
    assert (good.status, good.stdout) == (0, "slack: delivered (ok)\n")
    assert "a test message for slack; nothing is wrong" in people.messages[0].text
    people.fault = MessagingFault.GONE
    bad = program.end("test-alerts", "slack")
    assert bad.status == 2
    assert "NOT delivered (Slack refused it (404 no_service): the webhook was removed" in bad.stdout
    assert program.end("test-alerts", "slak").status == 3
    assert told(people) == []
