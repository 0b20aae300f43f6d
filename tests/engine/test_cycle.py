"""One look, judged and recorded, on a real server, a real file and real control hosts."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loguru import logger
from pydantic import SecretStr

from monitor.alerts.notification import Kind
from monitor.checks.connectivity import Surroundings
from monitor.checks.observation import Observation, Outcome
from monitor.checks.rest import UpstashProbe, UpstashProbes
from monitor.config.settings import AlertSettings, DatabaseSettings
from monitor.engine.connectivity import OurSide
from monitor.engine.cycle import Cycle, Turn
from monitor.lib.scrub import Scrubber
from monitor.sandbox.upstash import Fault, UpstashStandIn
from monitor.store.store import Store
from monitor.store.thread import Keeper

TOKEN = "AXt0kenOfTheCycleTests_1=="
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@contextmanager
def control_host() -> Iterator[str]:
    """A host of our own that accepts connections, as `HOST:PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


class Desk:
    """One database under watch. Time is moved by hand; everything else is real."""

    def __init__(
        self, path: Path, url: str, *, controls: tuple[str, ...] = (), slow: timedelta | None = None
    ) -> None:
        self.path = path
        self.now = START
        self.store = Store(path, channels=["log"], say=lambda level, text: None, clock=lambda: self.now)
        self.keeper = Keeper()
        self._url, self._controls, self._slow = url, controls, slow

    async def turns(self, count: int = 1, *, token: str = TOKEN) -> list[Turn]:
        our_side = OurSide(
            self._controls,
            surroundings=Surroundings(self._controls),
            store=self.store,
            keeper=self.keeper,
            clock=lambda: self.now,
        )
        cycle = Cycle(
            DatabaseSettings(
                name="main",
                url=SecretStr(self._url),
                token=SecretStr(token),
                timeout=timedelta(seconds=2),
                slow=self._slow,
            ),
            alerts=AlertSettings(),
            probes=UpstashProbes(scrub=Scrubber([TOKEN])),
            our_side=our_side,
            store=self.store,
            keeper=self.keeper,
            clock=lambda: self.now,
        )
        turns = []
        for _ in range(count):
            turns.append(await cycle.turn())
            self.now += timedelta(minutes=1)
        await our_side.settled()
        return turns

    def look(self, count: int = 1, *, token: str = TOKEN) -> list[Outcome]:
        return [turn.look.outcome for turn in asyncio.run(self.turns(count, token=token))]

    def close(self) -> None:
        self.keeper.stop(self.store.close)

    def history(self) -> list[tuple[str, str, int | None]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT at, outcome, ok FROM history ORDER BY at").fetchall()


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def test_a_token_is_rotated_and_the_incident_is_told(upstash: UpstashStandIn, path: Path) -> None:
    """Fine, then rejected: the second rejection opens; the new token closes with the second fine look."""
    desk = Desk(path, upstash.url)
    assert desk.look(2) == [Outcome.OK, Outcome.OK]
    upstash.token = "another"
    first, second = asyncio.run(desk.turns(2))
    assert first.is_in_doubt
    assert [notice.kind for notice in second.recorded.step.notices] == [Kind.OPENED]
    assert not second.is_in_doubt
    first, second = asyncio.run(desk.turns(2, token="another"))
    assert [notice.kind for notice in second.recorded.step.notices] == [Kind.CLOSED]
    desk.close()
    assert [row[1] for row in desk.history()] == ["ok"] * 2 + ["token_rejected"] * 2 + ["ok"] * 2
    assert desk.history()[0] == ("2026-11-23T14:00:00.000Z", "ok", 1)


def test_an_answer_above_the_limit_is_slow(upstash: UpstashStandIn, path: Path) -> None:
    """`slow` is the database's own limit on the latency."""
    upstash.delay_seconds = 0.05
    desk = Desk(path, upstash.url, slow=timedelta(milliseconds=20))
    assert desk.look() == [Outcome.SLOW]
    desk.close()


def test_nothing_is_sent_for_a_value_that_is_malformed(upstash: UpstashStandIn, path: Path) -> None:
    """The outcome says what is wrong, an incident opens at the first look, and the server hears nothing."""
    desk = Desk(path, upstash.url)
    [turn] = asyncio.run(desk.turns(token=f"{TOKEN}\n"))
    assert turn.look.outcome is Outcome.TOKEN_MALFORMED
    assert turn.look.detail == "the token ends with a newline"
    assert [notice.kind for notice in turn.recorded.step.notices] == [Kind.OPENED]
    assert upstash.requests == 0
    desk.close()


def test_trouble_is_theirs_while_a_control_host_answers(upstash: UpstashStandIn, path: Path) -> None:
    """The database refuses, the control host accepts: a failure that counts."""
    with control_host() as control:
        desk = Desk(path, upstash.url, controls=(control,))
        assert desk.look() == [Outcome.OK]
        upstash.fault = Fault.REFUSE
        assert desk.look(3) == [Outcome.CONNECTION_REFUSED] * 3
        assert desk.store.incidents()
    desk.close()


def test_trouble_is_ours_when_a_control_host_fell_silent_too(upstash: UpstashStandIn, path: Path) -> None:
    """It answered within the last day and does not now: offline, which counts as nothing however often."""
    with control_host() as control:
        desk = Desk(path, upstash.url, controls=(control,))
        assert desk.look() == [Outcome.OK]
    upstash.fault = Fault.REFUSE
    assert desk.look(6) == [Outcome.OFFLINE] * 6
    assert desk.store.incidents(closed_too=True) == []
    upstash.fault = Fault.NONE
    assert desk.look() == [Outcome.OK]
    desk.close()
    assert {row[2] for row in desk.history() if row[1] == "offline"} == {None}


@pytest.mark.parametrize("away", [timedelta(0), 2 * DAY])
def test_a_control_host_that_never_or_long_ago_answered_excuses_nothing(
    upstash: UpstashStandIn, path: Path, away: timedelta
) -> None:
    """A firewall that lets only Upstash through cannot hide an outage; nor can an answer of two days ago."""
    with control_host() as control:
        desk = Desk(path, upstash.url, controls=(control,))
        if away:
            assert desk.look() == [Outcome.OK]
    desk.now += away
    upstash.fault = Fault.REFUSE
    assert desk.look(3) == [Outcome.CONNECTION_REFUSED] * 3
    desk.close()


def test_without_control_hosts_trouble_is_theirs(upstash: UpstashStandIn, path: Path) -> None:
    """`controls: []` turns the question off."""
    desk = Desk(path, upstash.url)
    upstash.fault = Fault.REFUSE
    assert desk.look() == [Outcome.CONNECTION_REFUSED]
    desk.close()


def test_a_rejected_token_is_not_excused_by_silent_control_hosts(upstash: UpstashStandIn, path: Path) -> None:
    """The database answered, so there is a network; the controls are not even asked."""
    with control_host() as control:
        desk = Desk(path, upstash.url, controls=(control,))
        assert desk.look() == [Outcome.OK]
    assert desk.look(token="wrong") == [Outcome.TOKEN_REJECTED]
    desk.close()


@pytest.fixture
def scrubbed_log() -> Iterator[None]:
    """A log without secrets, as the program sets one up for itself."""
    scrub = Scrubber([TOKEN])

    def write(line: str) -> None:
        sys.stderr.write(scrub(line))

    logger.remove()
    logger.add(write, diagnose=False)
    yield
    logger.remove()
    logger.add(sys.stderr)


@pytest.mark.usefixtures("scrubbed_log")
def test_a_bug_in_a_look_counts_against_nobody(
    upstash: UpstashStandIn, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own fault becomes `monitor_error`, by the name of the exception alone. A mock, since no real server can
    make a bug of ours."""

    async def broken(self: UpstashProbe, *, timeout: timedelta) -> Observation:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(UpstashProbe, "ping", broken)
    desk = Desk(path, upstash.url)
    [turn] = asyncio.run(desk.turns())
    assert (turn.look.outcome, turn.look.detail) == (Outcome.MONITOR_ERROR, "RuntimeError")
    assert desk.look(9) == [Outcome.MONITOR_ERROR] * 9
    assert desk.store.incidents(closed_too=True) == []
    desk.close()


def test_time_in_which_nobody_looked_is_a_gap(upstash: UpstashStandIn, path: Path) -> None:
    """Three intervals without a look are noted as such, and are neither up nor down."""
    desk = Desk(path, upstash.url)
    desk.look()
    desk.now += timedelta(hours=2)
    [turn] = asyncio.run(desk.turns())
    assert turn.recorded.gap == timedelta(hours=2, minutes=1)
    [turn] = asyncio.run(desk.turns())
    assert turn.recorded.gap is None
    desk.close()
