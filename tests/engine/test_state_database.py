"""`check` from cron on an empty disk each time, and a second database that remembers: real parts, made-up time."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result
from loguru import logger

from monitor.cli.admin import incidents
from monitor.cli.check.check import Found, run_check
from monitor.cli.main import program
from monitor.config.load import read
from monitor.lib.times import Deadline
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from monitor.store.file.schema import MIGRATIONS
from tests.program import database, settings, slack, told, until

TOKEN, NEW_TOKEN, STATE_TOKEN = "AXcronState0Token1234", "AXcronState1Token5678", "AXcronStateOther0Token"
WHERE = "upstash-monitor:state"
PAUSE = timedelta(minutes=10)


class Cron:
    """Runs of `check`, ten minutes apart and each on a disk of its own, and what people and the log were told."""

    def __init__(
        self, folder: Path, upstash: UpstashStandIn, state: UpstashStandIn, people: MessagingStandIn
    ) -> None:
        self.upstash, self.state, self.people = upstash, state, people
        self.now = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
        self.logged: list[str] = []
        self._folder = folder
        self._runs = 0
        self.settings = settings(
            database("main", upstash.url, TOKEN, interval="1m", timeout="1s"),
            channels=slack(people),
            state={"url": state.url, "token": STATE_TOKEN},
        )

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    async def run(self, *, seconds: float = 20) -> Found:
        self._runs += 1
        disk = self._folder / str(self._runs)
        disk.mkdir()
        config = disk / "config.yaml"
        config.write_text(json.dumps({**self.settings, "history": {"path": str(disk / "history.db")}}))
        return await self.run_by(config, seconds=seconds)

    async def run_by(self, config: Path, *, seconds: float = 20) -> Found:
        deadline = Deadline(timedelta(seconds=seconds))
        found = await run_check(
            read(config, {}).settings,
            (),
            deadline,
            send=True,
            with_totals=False,
            time_to_write=lambda: timedelta(seconds=10),
            clock=self.clock,
        )
        self.now += PAUSE
        return found

    async def run_for(self, span: timedelta) -> None:
        end = self.now + span
        while self.now < end:
            await self.run()

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind in told(self.people)]

    @property
    def text(self) -> str:
        """What is remembered, as it is stored."""
        value = self.state.keyspace.run(["GET", WHERE])
        assert isinstance(value, str)
        return value

    def document(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(self.text)))
        return values


@pytest.fixture
def cron(tmp_path: Path, direct: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cron]:
    # One authority is read in a moment; each run would read certifi's 140.
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with ExitStack() as stack:
        upstash = stack.enter_context(UpstashStandIn(TOKEN))
        state = stack.enter_context(UpstashStandIn(STATE_TOKEN))
        people = stack.enter_context(MessagingStandIn())
        cron = Cron(tmp_path, upstash, state, people)
        sink = logger.add(lambda message: cron.logged.append(message.record["message"]), level="WARNING")
        stack.callback(logger.remove, sink)
        yield cron


def test_an_outage_of_ten_hours_is_one_opening_some_reminders_and_one_closing(cron: Cron) -> None:
    """With an empty disk each time; without `state` each of the 60 runs would open it, and none close it.

    Each run reads and writes once, the time between two of them is no gap, and nothing that is remembered holds a
    token or a webhook.
    """

    async def scenario() -> None:
        await cron.run()
        cron.upstash.token = NEW_TOKEN
        await cron.run_for(timedelta(hours=10))
        cron.upstash.token = TOKEN
        await cron.run_for(timedelta(minutes=20))

    asyncio.run(scenario())
    assert cron.kinds == ["opened", "reminder", "reminder", "closed"]
    assert {incident for incident, _ in told(cron.people)} == {1}
    assert "recovered after 10 h" in cron.people.messages[-1].text
    assert cron.state.billed_commands == 2 * cron._runs
    assert not any("no check for" in line for line in cron.logged)
    assert len(cron.text) < 8192
    remembered = json.dumps(cron.document())
    for secret in (TOKEN, STATE_TOKEN, cron.people.slack_url, cron.upstash.url, cron.state.url):
        assert secret not in remembered


@pytest.mark.faults("the state database is away")
def test_while_what_remembers_is_away_each_run_decides_alone(cron: Cron) -> None:
    """It says so, ends as it would, and leaves what was remembered: the runs after it go on from there."""

    async def scenario() -> None:
        cron.upstash.token = NEW_TOKEN
        await cron.run()
        before = cron.text
        cron.state.fault = UpstashFault.SERVER_ERROR
        alone = await cron.run()
        assert alone.checked[0].check.outcome.value == "token_rejected"
        assert any("could not be read" in line and "decides alone" in line for line in cron.logged)
        cron.state.fault = UpstashFault.NONE
        assert cron.text == before
        await cron.run()
        cron.upstash.token = TOKEN
        await cron.run()

    asyncio.run(scenario())
    assert cron.kinds == ["opened", "opened", "closed"]


@pytest.mark.parametrize("may_be_read", [False, True])
def test_a_canary_is_sent_only_where_it_will_be_remembered(cron: Cron, may_be_read: bool) -> None:
    """Else each run would bill three commands: where what remembers cannot be read, or cannot be written."""

    async def runs(number: int) -> int:
        for _ in range(number):
            await cron.run()
        return cron.upstash.billed_commands

    cron.settings["databases"][0]["canary"] = "1d"
    cron.state.token, cron.state.read_only_token = NEW_TOKEN, STATE_TOKEN if may_be_read else ""
    assert asyncio.run(runs(2)) == 0
    cron.state.token, cron.state.read_only_token = STATE_TOKEN, None
    assert asyncio.run(runs(3)) == 3


@pytest.mark.faults("the state database is full")
def test_a_due_canary_is_not_sent_by_each_run_while_the_state_cannot_be_written(cron: Cron) -> None:
    """It was remembered before: without a new saving each run would find it due, and bill three commands.

    Once a day it is sent all the same, and again and again after one that failed, since that decides.
    """

    async def runs(number: int) -> int:
        before = cron.upstash.billed_commands
        for _ in range(number):
            await cron.run()
        return cron.upstash.billed_commands - before

    async def scenario() -> None:
        assert await runs(2) == 3
        cron.now += timedelta(days=2)
        cron.state.fault = UpstashFault.CAPACITY
        assert await runs(2) == 0
        cron.now = (cron.now + timedelta(days=1)).replace(hour=0, minute=0)
        assert await runs(2) == 3
        cron.state.fault = UpstashFault.NONE
        before = cron.state.billed_commands
        assert await runs(2) == 3
        assert cron.state.billed_commands - before == 2 * 2 + 1
        cron.upstash.fault, cron.now = UpstashFault.CAPACITY, cron.now + timedelta(days=2)
        assert await runs(1) > 0
        cron.state.fault, cron.upstash.fault = UpstashFault.CAPACITY, UpstashFault.NONE
        assert await runs(1) == 3

    cron.settings["databases"][0]["canary"] = "1d"
    asyncio.run(scenario())


def test_one_that_hangs_costs_the_run_a_moment(cron: Cron) -> None:
    """The time for it is bounded by that of the run, which does its work all the same."""

    async def scenario() -> Found:
        cron.state.silent_on = frozenset({"GET"})
        return await cron.run(seconds=8)

    found = asyncio.run(scenario())
    assert found.checked[0].check.outcome.value == "ok"
    assert any("could not be read" in line for line in cron.logged)
    assert cron.state.keyspace.run(["GET", WHERE]) is None


def test_a_message_that_could_not_be_delivered_is_by_a_later_run(cron: Cron) -> None:
    """The outbox is remembered too."""

    async def scenario() -> None:
        cron.upstash.token = NEW_TOKEN
        cron.people.slack_fault = MessagingFault.DOWN
        await cron.run(seconds=4)
        assert cron.kinds == []
        cron.people.slack_fault = MessagingFault.NONE
        await cron.run()
        await cron.run()

    asyncio.run(scenario())
    assert cron.kinds == ["opened"]


def test_of_two_runs_at_once_the_last_one_to_write_is_remembered(cron: Cron) -> None:
    """Both tell what both found, under one number; what comes then is told once."""

    async def scenario() -> None:
        cron.upstash.token = NEW_TOKEN
        cron.state.fault = UpstashFault.HANG
        runs = asyncio.gather(cron.run(), cron.run())
        await asyncio.to_thread(until, lambda: len(cron.state.requests) >= 2, "both runs to ask")
        cron.state.fault = UpstashFault.NONE
        await runs
        await cron.run()
        cron.upstash.token = TOKEN
        await cron.run()

    asyncio.run(scenario())
    assert told(cron.people) == [(1, "opened"), (1, "opened"), (1, "closed")]


@pytest.mark.parametrize(
    "found", ["", "no base64", base64.b64encode(zlib.compress(b"[]")).decode(), base64.b64encode(b"\x00").decode()]
)
def test_what_cannot_be_read_is_said_and_written_anew(cron: Cron, found: str) -> None:
    """The run decides alone; the next one remembers it."""
    cron.state.keyspace.run(["SET", WHERE, found])
    asyncio.run(cron.run())
    assert any("writes it anew" in line for line in cron.logged)
    assert cron.document()["schema"] == len(MIGRATIONS)


def test_what_a_newer_version_wrote_is_left_as_it_is(cron: Cron) -> None:
    """It will read it again."""
    newer = json.dumps({"format": 1, "schema": len(MIGRATIONS) + 1, "tables": {}}).encode()
    text = base64.b64encode(zlib.compress(newer)).decode()
    cron.state.keyspace.run(["SET", WHERE, text])
    asyncio.run(cron.run())
    assert any("a newer version; it is left as it is" in line for line in cron.logged)
    assert cron.text == text


def test_state_without_values_costs_no_check(cron: Cron) -> None:
    """A variable that is not set is told as such, and the run decides alone."""
    cron.settings["state"] = {"url": "${STATE_URL}", "token": "${STATE_TOKEN}"}
    found = asyncio.run(cron.run())
    assert found.checked[0].check.outcome.value == "ok"
    assert any("state: URL missing" in line for line in cron.logged), cron.logged


def test_an_incident_is_listed_shown_and_acknowledged_without_a_disk(
    cron: Cron, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `check` remembers is what `incidents` reads and writes; nothing is left on the disk it is typed on."""
    here = tmp_path / "typed here"
    here.mkdir()
    config = here / "config.yaml"
    config.write_text(json.dumps({**cron.settings, "history": {"path": str(here / "history.db")}}))
    # Loading them as a command does would take the log away from `cron`.
    monkeypatch.setattr(incidents, "load_settings", lambda _context: read(config, {}).settings)
    monkeypatch.setattr(incidents, "now_utc", cron.clock)

    def typed(*arguments: str) -> Result:
        return CliRunner().invoke(program, ["incidents", *arguments])

    async def runs(number: int) -> None:
        for _ in range(number):
            await cron.run()

    cron.upstash.token = NEW_TOKEN
    assert typed().output == "no open incidents\n"
    asyncio.run(runs(1))
    assert "main: token rejected" in typed().output
    assert "none is open" not in typed("ack", "7").output
    assert "incident 1 acknowledged" in typed("ack", "1").output
    assert "open for 10 min, acknowledged" in typed("show", "1").output
    asyncio.run(runs(7))
    assert cron.kinds == ["opened"]  # a reminder would have come after an hour
    cron.state.fault = UpstashFault.SERVER_ERROR
    refused = typed("ack", "1")
    assert (refused.exit_code, "state: wanted what the runs of `check` remember" in refused.stderr) == (3, True)
    assert [each.name for each in here.iterdir()] == ["config.yaml"]


def test_beside_a_run_incidents_goes_by_the_history_file(
    cron: Cron, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` leaves state alone, so its incidents are in the file; one that was left long ago does not count."""
    here = tmp_path / "sidecar"
    here.mkdir()
    config = here / "config.yaml"
    written = {**cron.settings, "history": {"path": str(here / "history.db")}}

    def check_here() -> None:
        config.write_text(json.dumps({**written, "state": None}))
        asyncio.run(cron.run_by(config))
        config.write_text(json.dumps(written))

    monkeypatch.setattr(incidents, "load_settings", lambda _context: read(config, {}).settings)
    monkeypatch.setattr(incidents, "now_utc", cron.clock)
    check_here()
    asyncio.run(cron.run())
    listed = CliRunner().invoke(program, ["incidents"])
    assert listed.stdout == "no open incidents\n"
    assert "state: what follows is what it remembers, since the last check in" in listed.stderr
    cron.upstash.token = NEW_TOKEN
    check_here()
    for words in (["incidents"], ["incidents", "ack", "1"], ["incidents"]):
        listed = CliRunner().invoke(program, words)
        assert (listed.exit_code, listed.stderr) == (0, "")
    assert "main: token rejected" in listed.stdout
    assert listed.stdout.endswith(", acknowledged\n")
