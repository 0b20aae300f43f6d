"""One incident with a diagnosis, under the real program: whoever asks about it is told the same."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import advise
from monitor.diagnosis.verdicts import VerdictCode
from monitor.sandbox.console import ConsoleStandIn
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.judging import PROFILE, QUICK_RULES
from tests.program import LONGEST_WAIT_SECONDS, Program, Running, database, settings, until

TOKEN, OTHER = "AXtokenOfTheDatabase-now0123", "AXtokenOfTheDatabase-before9"
KEY = "console-key-0123456789abcdef"
EMAIL = "ops@example.com"
NAMES = {"CACHE_REST_TOKEN": OTHER}
VALUES = ("meaning", "whose_move", "next_steps")


@pytest.fixture
def upstash(direct: None) -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN) as server:
        yield server


@pytest.fixture
def console(upstash: UpstashStandIn) -> Iterator[ConsoleStandIn]:
    """The account knows the database with its present token."""
    with ConsoleStandIn(email=EMAIL, api_key=KEY) as console:
        console.add(f"127.0.0.1:{upstash.port}", rest_token=TOKEN)
        yield console


@pytest.fixture
def inbox() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as inbox:
        yield inbox


@pytest.fixture
def program(tmp_path: Path, upstash: UpstashStandIn, console: ConsoleStandIn, inbox: MessagingStandIn) -> Program:
    """A database that is read from variables of its own, and a token that was reset."""
    channels = [
        {"type": "slack", "webhook_url": inbox.slack_url},
        {
            "type": "telegram",
            "bot_token": inbox.bot_token,
            "chat_id": inbox.chat_id,
            "api_url": inbox.telegram_api_url,
        },
    ]
    config = settings(
        database("main", upstash.url, "${CACHE_REST_TOKEN}"),
        channels=channels,
        alerts={**QUICK_RULES, "diagnose": True},
        doctor={"status_url": "", "console_url": console.url},
        page={"host": "127.0.0.1", "port": 0},
    )
    return Program(tmp_path, config, UPSTASH_EMAIL=EMAIL, UPSTASH_API_KEY=KEY, **NAMES)


def page_of(running: Running) -> str:
    """Where the page is, by the log."""
    running.wait_for("/healthz on port")
    [line] = [line for line in running.lines if "/healthz on port" in line]
    return f"http://127.0.0.1:{line.rpartition(' ')[2]}"


def fetch(address: str) -> str:
    with urlopen(address, timeout=LONGEST_WAIT_SECONDS) as answer:
        return str(answer.read().decode())


def words(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in VALUES}


def incidents(program: Program) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(program.end("incidents", "--json").stdout)["incidents"]
    return found


def checked(program: Program) -> dict[str, Any]:
    (row,) = json.loads(program.end("check", "--json", "--no-alerts").stdout)["databases"]
    return dict(row)


def assert_on_page(address: str, told: dict[str, Any]) -> None:
    text = html.unescape(fetch(address))
    for sentence in (told["meaning"], *told["next_steps"]):
        assert f">{sentence}<" in text
    (row,) = json.loads(fetch(f"{address}/api/databases"))["databases"]
    assert words(row) == words(row["incident"]) == told


def test_one_incident_is_told_alike_by_all(program: Program, inbox: MessagingStandIn) -> None:
    """Slack, Telegram, the page, its JSON, `incidents --json` and `check --json`: one meaning, the same steps."""
    with program.running() as running:
        address = page_of(running)
        until(lambda: len(inbox.messages) == 2, "the two messages")
        (incident,) = incidents(program)
        told = words(incident)
        assert incident["verdict"] == VerdictCode.WORKER_HAS_AN_OLD_TOKEN.value
        assert "CACHE_REST_TOKEN" in " ".join(told["next_steps"])
        assert "UPSTASH_REDIS" not in " ".join(told["next_steps"])
        for message in inbox.messages:
            lines = [re.sub(r"^\d\. ", "", line) for line in message.text.replace("`", "'").splitlines()]
            for sentence in (told["meaning"], *told["next_steps"]):
                assert sentence.replace("`", "'") in lines, message.text
        assert_on_page(address, told)
        assert words(checked(program)) == told
    with program.running() as running:
        assert_on_page(page_of(running), told)
    assert words(incidents(program)[0]) == told


def test_a_check_that_meets_another_trouble_tells_that(
    program: Program, inbox: MessagingStandIn, upstash: UpstashStandIn
) -> None:
    """The row is about its check, as its outcome is; decided by then, the incident has changed with it."""
    with program.running():
        until(lambda: len(inbox.messages) == 2, "the two messages")
    upstash.fault = UpstashFault.SERVER_ERROR
    row = checked(program)
    assert (row["outcome"], row["incident"]["cause"]) == ("server_error", "server_error")
    (incident,) = incidents(program)
    assert words(incident) == words(row)
    assert row["meaning"] == advise(Outcome.SERVER_ERROR, PROFILE).meaning
