"""What time a round gives its checks, and what it does without any."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import pytest

from monitor.alerts.retry_policy import LEASE
from monitor.checks.observation import Check, Outcome
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import AlertSettings, DatabaseSettings
from monitor.engine.cycle import Connectivity, Cycle, grace
from monitor.engine.delivery import Deliverer
from monitor.engine.round import NoTimeError, Round, run_round
from monitor.lib.text import Scrubber, Secret
from monitor.lib.threads import SerialThread
from monitor.lib.times import Deadline, from_ms, to_ms
from monitor.store.store import Store
from tests.judging import PROFILE

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
TIMEOUT = timedelta(seconds=10)
P = ParamSpec("P")
T = TypeVar("T")
# What a check that begins so many seconds after the run ends in, and how many seconds it takes.
Host = Callable[[float], tuple[Outcome, float]]


@dataclass
class Patient:
    """Of a cycle nothing but its timeout is asked here."""

    timeout: timedelta = TIMEOUT


def plan(within: float, *, spent: float = 0.0, is_sending: bool = True) -> Round:
    return Round(
        confirm_interval=timedelta(seconds=5),
        connectivity=cast("Connectivity", None),
        deliverer=cast("Deliverer", object()) if is_sending else None,
        deadline=Deadline(timedelta(seconds=within), spent=timedelta(seconds=spent)),
        clock=lambda: datetime.now(UTC),
    )


@pytest.mark.parametrize("is_sending", [True, False])
@pytest.mark.parametrize("within", [2, 3, 5, 9.5, 10, 10.5, 12, 15, 20, 30, 60])
def test_a_check_that_hangs_has_its_result_before_the_time_for_checks_is_over(
    within: float, is_sending: bool
) -> None:
    """Its timeout is cut so that the connectivity hosts can be asked as well; it is cut no shorter than that."""
    round_ = plan(within, spent=0.5, is_sending=is_sending)
    left = round_.time_for_checks
    timeout = round_.timeout(cast("Cycle", Patient()))
    assert timedelta(seconds=0.5) < timeout <= TIMEOUT
    assert timeout + grace(timeout) <= left + timedelta(milliseconds=1) or timeout == TIMEOUT <= left
    assert timeout == TIMEOUT or timeout >= left * 0.7


def test_a_time_that_is_over_before_a_check_could_begin_is_told_as_that() -> None:
    """No database is called failing for our own hurry, and nothing asks to report a bug."""
    with pytest.raises(NoTimeError, match=r"--within 2s.*Next: give --within more"):
        asyncio.run(run_round([], plan(2, spent=1.4)))


class Sending:
    """A deliverer that claims a second message while the round asks what is due and sees its lease."""

    is_sending = False
    sent = 0

    async def work(self) -> None:
        await asyncio.Event().wait()

    async def release_groups(self) -> None:
        """Nothing is held."""

    def wake(self) -> None:
        """It works anyway."""

    async def wait_idle(self) -> None:
        self.sent += self.is_sending
        self.is_sending = False

    async def next_due(self) -> datetime | None:
        if self.sent:
            return None
        self.is_sending = True
        return datetime.now(UTC) + LEASE


class Idle:
    """Connectivity hosts that nobody asks."""

    async def wait_background(self) -> None:
        """There is nothing in the background."""


def test_a_second_message_that_is_claimed_at_the_end_is_waited_for() -> None:
    """A lease that ends after the deadline is no reason to end: its message would be cut off, and sent again."""
    sending = Sending()
    round_ = replace(plan(10), deliverer=cast("Deliverer", sending), connectivity=cast("Connectivity", Idle()))
    asyncio.run(run_round([], round_))
    assert sending.sent == 1


class Skipping(selectors.SelectSelector):
    """Lets the time of a loop pass at once wherever the loop would wait."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing would ever happen"
        self.seconds += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in which a minute takes no time."""

    def __init__(self, passing: Skipping) -> None:
        super().__init__(passing)
        self._passing = passing

    def time(self) -> float:
        return self._passing.seconds


class OnTheLoop(SerialThread):
    """The store without its thread, whose time would be real."""

    def __init__(self) -> None:
        """No thread."""

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return call(*args, **kwargs)


class Meeting(Cycle):
    """A cycle whose checks meet `host`."""

    host: Host
    passing: Skipping

    async def check(self, *, timeout: timedelta | None = None) -> Check:
        assert timeout is not None
        began = self.passing.seconds
        outcome, seconds = self.host(began)
        if seconds >= timeout.total_seconds():
            outcome, seconds = Outcome.RESPONSE_TIMEOUT, timeout.total_seconds()
        await asyncio.sleep(seconds)
        return Check(database=self.name, at=from_ms(to_ms(START + timedelta(seconds=began))), outcome=outcome)


class Runs:
    """Runs of `check` in virtual time, each of a database of its own of which nothing is remembered."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passing = Skipping()
        monkeypatch.setattr("monitor.lib.times.monotonic", lambda: self.passing.seconds)
        self.store = Store(path, channels=["log"], log=lambda level, text: None, clock=self.clock)
        self.probes = RestProbeFactory(scrub=Scrubber([]))
        self.databases = 0

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.passing.seconds)

    def opened_after(self, host: Host, *, time_for_checks: float) -> float | None:
        """When the incident opens in a run with so many seconds for checks, if at all; the run ends in time."""
        self.passing = Skipping()
        thread, self.databases = OnTheLoop(), self.databases + 1
        connectivity = Connectivity((), store=self.store, store_thread=thread, clock=self.clock)
        meeting = Meeting(
            DatabaseSettings(
                name=f"db{self.databases}", url=Secret("https://x.upstash.io"), token=Secret("t"), canary=None
            ),
            alerts=AlertSettings(),
            probes=self.probes,
            connectivity=connectivity,
            store=self.store,
            store_thread=thread,
            clock=self.clock,
            profile=PROFILE,
        )
        meeting.host, meeting.passing = host, self.passing
        within = timedelta(seconds=time_for_checks + 1)
        round_ = Round(
            confirm_interval=timedelta(seconds=5),
            connectivity=connectivity,
            deliverer=None,
            deadline=Deadline(within),
            clock=self.clock,
        )
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self.passing)) as runner:
            runner.run(run_round([meeting], round_))
        assert self.passing.seconds <= time_for_checks
        incident = self.store.state(meeting.name).incident
        return None if incident is None else (incident.notified_at - START).total_seconds()


def failing(*seconds: float, begins: float = 0, ends: float = 60) -> Host:
    """A host that answers 503 after so many seconds, in turn, while it is broken."""
    turns = cycle(seconds)
    return lambda at: (Outcome.SERVER_ERROR, next(turns)) if begins <= at < ends else (Outcome.OK, 0.01)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    runs = Runs(tmp_path / "history.db", monkeypatch)
    yield runs
    runs.store.close()


def test_one_run_opens_an_incident_however_long_each_failing_answer_takes(runs: Runs) -> None:
    """All checks of a run without a memory fail: it decides, as the next run knows nothing of them."""
    chance = random.Random(1)
    for time_for_checks in (24, 38.5, 49, 53.5, 60):
        for seconds in (0.001, 4, 5.5, 6.5, 7.2, 7.8, 10):
            assert runs.opened_after(failing(seconds), time_for_checks=time_for_checks) is not None
        for _ in range(3):
            host = failing(*(chance.uniform(0, 10) for _ in range(20)))
            assert runs.opened_after(host, time_for_checks=time_for_checks) is not None


def test_no_blip_of_forty_seconds_opens_an_incident(runs: Runs) -> None:
    """Wherever in a run it begins, and however long its answers take."""
    for time_for_checks, seconds in ((45, 0.001), (49, 0.001), (49, 6), (49, 7.5), (53.5, 7)):
        for begins in (-20, -5, -1, 0, 1, 4, 9, 20):
            host = failing(seconds, begins=begins, ends=begins + 40)
            assert runs.opened_after(host, time_for_checks=time_for_checks) is None, (seconds, begins)
