"""The doctor's diagnosis on its way into the message that opens an incident; all parts are real."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from loguru import logger

from monitor.checks.observation import Outcome
from monitor.config.settings import Settings
from monitor.engine import diagnose_on_open
from monitor.engine.cycle import Cycle
from monitor.engine.diagnose_on_open import LONGEST_WAIT, Diagnoser
from monitor.engine.round import Round, run_round
from monitor.engine.wiring import Monitor, build
from monitor.lib.times import Deadline
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.checks.redis_server import redis_server
from tests.program import LONGEST_WAIT_SECONDS, settings, slack

TOKEN, OTHER = "AXopinionToken-0f_the_tests", "AXotherToken-0f_the_tests"
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own keys and proxies are none of the tests' business."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith(("UPSTASH_", "RAILWAY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN) as server:
        yield server


@pytest.fixture
def inbox() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as inbox:
        yield inbox


class MonitorSetup:
    """A whole monitor whose clock tests move."""

    def __init__(self, monitor: Monitor, inbox: MessagingStandIn) -> None:
        self.monitor, self.inbox = monitor, inbox
        self.now = START

    async def check(self, *numbers: int) -> None:
        """Ten seconds later, check these databases, or the first."""
        self.now += timedelta(seconds=10)
        for number in numbers or (0,):
            cycle = self.monitor.cycles[number]
            await cycle.record(await cycle.check())

    async def deliver(self) -> None:
        await self.monitor.deliverer.send_due()

    async def arrived(self, count: int) -> list[str]:
        """Deliver what is due until so many messages have come."""
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            while len(self.inbox.messages) < count:
                await self.deliver()
                await asyncio.sleep(0.01)
        return [message.text for message in self.inbox.messages]


@asynccontextmanager
async def watching(
    folder: Path,
    inbox: MessagingStandIn,
    *databases: dict[str, Any],
    port: int = 1,
    now: datetime = START,
) -> AsyncIterator[MonitorSetup]:
    config = settings(
        *({"timeout": "2s", "name": f"db{number}", **each} for number, each in enumerate(databases)),
        channels=slack(inbox),
        alerts={"diagnose": True, "group_within": "0s"},
        doctor={"status_url": "", "worker_port": port},
        history={"path": str(folder / "history.db")},
    )
    state: MonitorSetup | None = None

    def clock() -> datetime:
        return state.now if state else now  # asked while it is built, too

    monitor = build(Settings.model_validate(config), clock=clock)
    state = MonitorSetup(monitor, inbox)
    try:
        yield state
    finally:
        monitor.close()


def diagnoser_of(cycle: Cycle) -> Diagnoser:
    assert cycle._diagnoser is not None
    return cycle._diagnoser


def test_the_message_tells_what_the_layers_saw(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REST rejects the token and rediss:// takes it: the message says that, whose move it is, and every layer."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def scenario(port: int) -> str:
        url = upstash.url.replace("127.0.0.1", "localhost")
        async with watching(tmp_path, inbox, {"url": url, "token": OTHER, "worker": True}, port=port) as state:
            await state.check()
            assert len(upstash.requests) >= 1
            await state.check()
            [text] = await state.arrived(1)
            return text

    with redis_server(tmp_path, token=OTHER, ca=ca) as redis:
        text = asyncio.run(scenario(redis.port))
    assert "db0: token rejected" in text
    assert "did not pass: token · not tried: PING" in text.splitlines()
    assert text.splitlines()[0].endswith(" · your move")
    assert "REST rejects the value that rediss:// accepts" in text
    assert OTHER not in text


def test_a_round_that_sends_nothing_asks_the_doctor_too(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """`check --no-alerts` does not end before the incident and its message, which waits, have the diagnosis."""

    async def scenario() -> None:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": OTHER}) as state:
            monitor = state.monitor
            await run_round(
                monitor.cycles,
                Round(
                    confirm_interval=timedelta(seconds=0.01),
                    connectivity=monitor.connectivity,
                    deliverer=None,
                    diagnoser=monitor.diagnoser,
                    deadline=Deadline(timedelta(seconds=LONGEST_WAIT_SECONDS)),
                    clock=lambda: START,
                ),
            )
            delivery = monitor.store.claim("slack", START)
            assert delivery is not None
            assert delivery.notification.layers == "did not pass: token · not tried: PING"

    asyncio.run(scenario())
    assert inbox.messages == ()


def test_the_layers_are_examined_once_from_the_first_doubt_on(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """One knock and one PING of the doctor's for the whole incident, nothing billed, nothing while it is open."""

    async def scenario() -> None:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": OTHER}) as state:
            for _ in range(2):
                await state.check()
            await state.arrived(1)
            assert len(upstash.requests) == 2 + 2
            for _ in range(3):
                await state.check()
            assert len(upstash.requests) == 2 + 2 + 3

    asyncio.run(scenario())
    assert upstash.billed_commands == 0


def test_what_was_slow_and_fails_now_is_told_with_the_diagnosis(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """As an opening would be: it is critical from then on."""

    async def scenario() -> str:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": OTHER}) as state:
            cycle = state.monitor.cycles[0]
            for _ in range(5):
                state.now += timedelta(seconds=10)
                await cycle.record(replace(await cycle.check(), outcome=Outcome.SLOW))
            await state.arrived(1)
            await state.check()
            await state.check()
            _, text = await state.arrived(2)
            return text

    text = asyncio.run(scenario())
    assert "db0: now: token rejected" in text
    assert "did not pass: token · not tried: PING" in text.splitlines()


def test_nothing_is_sent_with_values_that_are_malformed(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """The layers at the host are left out, as the check itself leaves them out."""

    async def scenario() -> str:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": f"{TOKEN}\n"}) as state:
            await state.check()
            [text] = await state.arrived(1)
            return text

    text = asyncio.run(scenario())
    assert "ends with a newline" in text
    assert "did not pass: configuration" in text
    assert len(upstash.requests) == 0


class Stuck:
    """A doctor who does not come back, or who is ill: no server makes the real one so, as its own tests show."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    async def examine(self, *_: object, **__: object) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


@pytest.mark.parametrize("doctor", [Stuck(), Stuck(RuntimeError("ill"))], ids=["hangs", "fails inside"])
def test_a_doctor_who_does_not_know_holds_nothing_up(
    upstash: UpstashStandIn,
    inbox: MessagingStandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    doctor: Stuck,
) -> None:
    """The message goes when the longest wait is over, at once if the doctor fails, and is as without it."""

    async def scenario() -> str:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": OTHER}) as state:
            diagnoser_of(state.monitor.cycles[0])._make_examiner = lambda: doctor  # type: ignore[assignment,return-value]  # a doctor of the test
            await state.check()
            await state.check()
            [text] = await state.arrived(1)
            return text

    monkeypatch.setattr(diagnose_on_open, "LONGEST_WAIT", timedelta(seconds=0.2))
    text = asyncio.run(scenario())
    assert doctor.asked == 1
    assert "db0: token rejected" in text
    assert "doctor:" not in text


def test_a_kill_while_the_message_is_held_does_not_lose_it(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """Whoever starts next sends it as it is, once the longest wait is over."""

    async def held() -> None:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": OTHER}) as state:
            diagnoser_of(state.monitor.cycles[0])._make_examiner = Stuck  # type: ignore[assignment]  # a doctor of the test
            await state.check()
            await state.check()
            await state.deliver()
            assert inbox.messages == ()

    async def next_start() -> str:
        again = START + 2 * timedelta(seconds=10)
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": OTHER}, now=again) as state:
            state.now = again
            await state.deliver()
            assert inbox.messages == ()
            state.now = START + 2 * timedelta(seconds=10) + LONGEST_WAIT
            [text] = await state.arrived(1)
            return text

    asyncio.run(held())
    assert "incident 1 · opened" in asyncio.run(next_start())


def test_a_crowd_of_incidents_does_not_wait_in_line(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """Four sets of layers at once; the fifth database's message goes at once, without a diagnosis."""

    async def scenario() -> list[str]:
        database = {"url": upstash.url, "token": OTHER}
        async with watching(tmp_path, inbox, *(5 * [database])) as state:
            diagnoser_of(state.monitor.cycles[0])._make_examiner = Stuck  # type: ignore[assignment]  # a doctor of the test
            for _ in range(2):
                await state.check(0, 1, 2, 3, 4)
            return await state.arrived(1)

    [text] = asyncio.run(scenario())
    assert "db4: token rejected" in text


def test_a_doubt_that_passes_is_not_told(upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path) -> None:
    """The examination was for nothing, and nobody hears of it."""

    async def scenario() -> None:
        async with watching(tmp_path, inbox, {"url": upstash.url, "token": TOKEN}) as state:
            upstash.fault = UpstashFault.SERVER_ERROR
            await state.check()
            upstash.fault = UpstashFault.NONE
            for _ in range(5):
                await state.check()
            await state.deliver()

    asyncio.run(scenario())
    assert inbox.messages == ()


def test_the_log_has_no_other_verdict_than_the_message(
    upstash: UpstashStandIn, inbox: MessagingStandIn, tmp_path: Path
) -> None:
    """The canary found a full database; the doctor, who does not write for a message, found nothing."""
    lines: list[str] = []
    upstash.fault = UpstashFault.CAPACITY

    async def scenario() -> str:
        database = {"url": upstash.url, "token": TOKEN, "canary": "1d"}
        async with watching(tmp_path, inbox, database) as state:
            await state.check()
            await state.check()
            [text] = await state.arrived(1)
            return text

    handler = logger.add(lines.append, format="{message}", level="INFO")
    try:
        text = asyncio.run(scenario())
    finally:
        logger.remove(handler)
    meaning = text.splitlines()[1]
    assert "The database is full" in meaning
    assert f"db0: the doctor found no more than the check: {meaning}" in [line.strip() for line in lines]
