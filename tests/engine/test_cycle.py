"""One check, judged and recorded, on a real server, a real file and real connectivity hosts."""

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

from monitor.alerts.notification import NotificationKind
from monitor.checks.observation import Fact, Observation, Outcome
from monitor.checks.rest import RestProbe, RestProbeFactory
from monitor.config.settings import DatabaseSettings
from monitor.engine.cycle import Connectivity, Cycle, CycleResult
from monitor.lib.text import Scrubber, Secret
from monitor.lib.threads import SerialThread
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from monitor.store.store import Store
from tests.judging import PROFILE, QUICK

TOKEN = "AXt0kenOfTheCycleTests_1=="
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@contextmanager
def connectivity_host() -> Iterator[str]:
    """A host of our own that accepts connections, as `HOST:PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


class CycleSetup:
    """One database, with a clock that tests move; everything else is real."""

    def __init__(
        self,
        path: Path,
        url: str,
        *,
        connectivity: tuple[str, ...] = (),
        slow: timedelta | None = None,
        wait_for_network: timedelta = timedelta(0),
    ) -> None:
        self.path = path
        self.now = START
        self.store = Store(path, channels=["log"], log=lambda level, text: None, clock=lambda: self.now)
        self.store_thread = SerialThread("store")
        self._url, self._hosts, self._slow, self._wait_for_network = url, connectivity, slow, wait_for_network

    def connectivity(self) -> Connectivity:
        return Connectivity(
            self._hosts,
            store=self.store,
            store_thread=self.store_thread,
            clock=lambda: self.now,
            wait_for_network=self._wait_for_network,
        )

    async def turns(
        self, count: int = 1, *, token: str = TOKEN, connectivity: Connectivity | None = None
    ) -> list[CycleResult]:
        connectivity = connectivity or self.connectivity()
        cycle = Cycle(
            DatabaseSettings(
                name="main",
                url=Secret(self._url),
                token=Secret(token),
                timeout=timedelta(seconds=2),
                slow=self._slow,
                canary=None,
            ),
            alerts=QUICK,
            profile=PROFILE,
            probes=RestProbeFactory(scrub=Scrubber([TOKEN])),
            connectivity=connectivity,
            store=self.store,
            store_thread=self.store_thread,
            clock=lambda: self.now,
        )
        turns = []
        for _ in range(count):
            turns.append(await cycle.record(await cycle.check()))
            self.now += timedelta(minutes=1)
        await connectivity.wait_background()
        return turns

    def check(self, count: int = 1, *, token: str = TOKEN) -> list[Outcome]:
        return [cycle_result.check.outcome for cycle_result in asyncio.run(self.turns(count, token=token))]

    def close(self) -> None:
        self.store_thread.stop(self.store.close)

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


def test_a_check_is_of_a_whole_millisecond(upstash: UpstashStandIn, path: Path) -> None:
    """As the history keeps it: 40 s that lack a microsecond are 40 s to `replay`, and must be so now."""
    with closing(CycleSetup(path, upstash.url)) as setup:
        setup.now = START + timedelta(microseconds=1999)
        [turn] = asyncio.run(setup.turns())
        assert turn.check.at == START + timedelta(milliseconds=1)


def test_a_token_is_rotated_and_the_incident_is_told(upstash: UpstashStandIn, path: Path) -> None:
    """Fine, then rejected: the second rejection opens; the new token closes with the second fine check."""
    setup = CycleSetup(path, upstash.url)
    assert setup.check(2) == [Outcome.OK, Outcome.OK]
    upstash.token = "another"
    first, second = asyncio.run(setup.turns(2))
    assert first.is_in_doubt
    assert [notification.kind for notification in second.recorded.transition.notifications] == [
        NotificationKind.OPENED
    ]
    assert not second.is_in_doubt
    first, second = asyncio.run(setup.turns(2, token="another"))
    assert [notification.kind for notification in second.recorded.transition.notifications] == [
        NotificationKind.CLOSED
    ]
    setup.close()
    assert [row[1] for row in setup.history()] == ["ok"] * 2 + ["token_rejected"] * 2 + ["ok"] * 2
    assert setup.history()[0] == ("2026-11-23T14:00:00.000Z", "ok", 1)


def test_an_answer_above_the_limit_is_slow(upstash: UpstashStandIn, path: Path) -> None:
    """`slow` is the database's own limit on the latency."""
    upstash.delay_seconds = 0.05
    setup = CycleSetup(path, upstash.url, slow=timedelta(milliseconds=20))
    assert setup.check() == [Outcome.SLOW]
    setup.close()


def test_nothing_is_sent_for_a_value_that_is_malformed(upstash: UpstashStandIn, path: Path) -> None:
    """The outcome says what is wrong, an incident opens at the first check, and the server hears nothing."""
    setup = CycleSetup(path, upstash.url)
    [cycle_result] = asyncio.run(setup.turns(token=f"{TOKEN}\n"))
    assert cycle_result.check.outcome is Outcome.TOKEN_MALFORMED
    assert cycle_result.check.detail == "ends with a newline"
    assert [notification.kind for notification in cycle_result.recorded.transition.notifications] == [
        NotificationKind.OPENED
    ]
    assert len(upstash.requests) == 0
    setup.close()


def test_trouble_is_theirs_while_a_connectivity_host_answers(upstash: UpstashStandIn, path: Path) -> None:
    """The database refuses, the connectivity host accepts: a failure that counts."""
    with connectivity_host() as host:
        setup = CycleSetup(path, upstash.url, connectivity=(host,))
        assert setup.check() == [Outcome.OK]
        upstash.fault = UpstashFault.REFUSE
        checks = [turn.check for turn in asyncio.run(setup.turns(3))]
        assert [check.outcome for check in checks] == [Outcome.CONNECTION_REFUSED] * 3
        # For the verdict: the doctor, who asks as well, comes to the same.
        assert all(Fact.NETWORK_REACHED in check.facts for check in checks)
        assert setup.store.incidents()
    setup.close()


@pytest.mark.faults("a wire that is cut")
def test_trouble_is_ours_when_a_connectivity_host_fell_silent_too(upstash: UpstashStandIn, path: Path) -> None:
    """It answered within the last day and does not now: offline, which counts as nothing however often."""
    with connectivity_host() as host:
        setup = CycleSetup(path, upstash.url, connectivity=(host,))
        assert setup.check() == [Outcome.OK]
    upstash.fault = UpstashFault.REFUSE
    assert setup.check(6) == [Outcome.OFFLINE] * 6
    assert setup.store.incidents(closed_too=True) == []
    upstash.fault = UpstashFault.NONE
    assert setup.check() == [Outcome.OK]
    setup.close()
    assert {row[2] for row in setup.history() if row[1] == "offline"} == {None}


@pytest.mark.parametrize("away", [timedelta(0), 2 * DAY])
def test_a_connectivity_host_that_never_or_long_ago_answered_excuses_nothing(
    upstash: UpstashStandIn, path: Path, away: timedelta
) -> None:
    """A firewall that lets only Upstash through cannot hide an outage; nor can an answer of two days ago."""
    with connectivity_host() as host:
        setup = CycleSetup(path, upstash.url, connectivity=(host,))
        if away:
            assert setup.check() == [Outcome.OK]
    setup.now += away
    upstash.fault = UpstashFault.REFUSE
    checks = [turn.check for turn in asyncio.run(setup.turns(3))]
    assert [check.outcome for check in checks] == [Outcome.CONNECTION_REFUSED] * 3
    # For the verdict, where a proxy is set.
    assert all(Fact.NOTHING_REACHED in check.facts for check in checks)
    setup.close()


def test_a_network_that_is_not_up_yet_is_given_five_minutes(upstash: UpstashStandIn, path: Path) -> None:
    """At the first start nothing is reached, and nothing ever was: offline at first, and then a failure that says
    what was not reached."""
    with connectivity_host() as host:
        pass
    setup = CycleSetup(path, upstash.url, connectivity=(host,), wait_for_network=timedelta(minutes=5))
    upstash.fault = UpstashFault.REFUSE
    turns = asyncio.run(setup.turns(8))
    assert [turn.check.outcome for turn in turns] == [Outcome.OFFLINE] * 5 + [Outcome.CONNECTION_REFUSED] * 3
    assert turns[5].check.detail.endswith(f"nothing else was reached either: {host}")
    [opened] = turns[-1].recorded.transition.notifications
    assert (opened.kind, opened.nothing_reached) == (NotificationKind.OPENED, True)
    setup.close()


def test_a_network_that_comes_within_five_minutes_is_no_incident(upstash: UpstashStandIn, path: Path) -> None:
    """Nobody is told of a database that was fine all the time."""
    with connectivity_host() as host:
        pass
    setup = CycleSetup(path, upstash.url, connectivity=(host,), wait_for_network=timedelta(minutes=5))
    upstash.fault = UpstashFault.REFUSE
    assert setup.check(4) == [Outcome.OFFLINE] * 4
    upstash.fault = UpstashFault.NONE
    assert setup.check(2) == [Outcome.OK] * 2
    assert setup.store.incidents(closed_too=True) == []
    setup.close()


def test_a_network_that_was_there_is_not_taken_for_one_that_is_starting(
    upstash: UpstashStandIn, path: Path
) -> None:
    """Behind a firewall that lets only Upstash through, each check of a database that is fine began the five
    minutes anew, and an outage of another one was called offline for ever."""
    with connectivity_host() as host:
        pass
    setup = CycleSetup(path, upstash.url, connectivity=(host,), wait_for_network=timedelta(minutes=5))

    async def outcomes() -> list[Outcome]:
        """One database is fine before each check of the other."""
        connectivity = setup.connectivity()
        found = []
        for fault in (UpstashFault.NONE, UpstashFault.REFUSE) * 2:
            upstash.fault = fault
            [turn] = await setup.turns(connectivity=connectivity)
            found.append(turn.check.outcome)
        return found

    assert asyncio.run(outcomes()) == [Outcome.OK, Outcome.CONNECTION_REFUSED] * 2
    setup.close()


def test_without_connectivity_hosts_trouble_is_theirs(upstash: UpstashStandIn, path: Path) -> None:
    """`connectivity: []` turns the question off."""
    setup = CycleSetup(path, upstash.url)
    upstash.fault = UpstashFault.REFUSE
    assert setup.check() == [Outcome.CONNECTION_REFUSED]
    setup.close()


def test_a_rejected_token_is_not_excused_by_silent_connectivity_hosts(upstash: UpstashStandIn, path: Path) -> None:
    """The database answered, so there is a network; the controls are not even asked."""
    with connectivity_host() as host:
        setup = CycleSetup(path, upstash.url, connectivity=(host,))
        assert setup.check() == [Outcome.OK]
    assert setup.check(token="wrong") == [Outcome.TOKEN_REJECTED]
    setup.close()


def test_a_rejected_token_is_looked_at_as_the_doctor_does(upstash: UpstashStandIn, path: Path) -> None:
    """What its form suggests is known without asking anybody, so the check's verdict has it too."""
    setup = CycleSetup(path, upstash.url)
    [turn] = asyncio.run(setup.turns(token="0123456789abcdef0123456789abcdef"))
    assert turn.check.outcome is Outcome.TOKEN_REJECTED
    assert Fact.TOKEN_IS_A_PASSWORD in turn.check.facts
    setup.close()


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
@pytest.mark.faults("an error of our own")
def test_a_bug_in_a_check_counts_against_nobody(
    upstash: UpstashStandIn, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own fault becomes `monitor_error`, by the name of the exception alone. A mock, since no real server can
    make a bug of ours."""

    async def broken(self: RestProbe, *, timeout: timedelta) -> Observation:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(RestProbe, "ping", broken)
    setup = CycleSetup(path, upstash.url)
    [cycle_result] = asyncio.run(setup.turns())
    assert (cycle_result.check.outcome, cycle_result.check.detail) == (Outcome.MONITOR_ERROR, "RuntimeError")
    assert setup.check(9) == [Outcome.MONITOR_ERROR] * 9
    assert setup.store.incidents(closed_too=True) == []
    setup.close()


def test_time_without_checks_is_a_gap(upstash: UpstashStandIn, path: Path) -> None:
    """Three intervals without a check are noted as such, and are neither up nor down."""
    setup = CycleSetup(path, upstash.url)
    setup.check()
    setup.now += timedelta(hours=2)
    [cycle_result] = asyncio.run(setup.turns())
    assert cycle_result.recorded.gap == timedelta(hours=2, minutes=1)
    [cycle_result] = asyncio.run(setup.turns())
    assert cycle_result.recorded.gap is None
    setup.close()
