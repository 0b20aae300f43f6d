"""The clock of the always-on mode: slots, doubts, hanging checks, wrong clocks, faults inside, and the end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from loguru import logger

from monitor.checks.observation import Check, Outcome
from monitor.config.settings import Settings
from monitor.engine.cycle import CycleResult
from monitor.engine.scheduler import BackgroundTask, HealthTracker, Scheduler, SlotTrigger
from monitor.engine.wiring import Monitor, build
from monitor.lib.times import Clock, now_utc
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, database, settings, slack, told

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class WallClock:
    """The machine's time of day, set by tests as an operator sets it."""

    def __init__(self) -> None:
        self.set_by = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.set_by


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """Setting the real one is nothing a test may do, so the scheduler is made to read this one as well."""
    clock = WallClock()

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return clock().astimezone(tz)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Shifted)
    monkeypatch.setattr("apscheduler.executors.base.datetime", Shifted)
    monkeypatch.setattr(
        "monitor.engine.scheduler._CLOCK_WATCH_SECONDS", 0.05
    )  # how soon it is noticed is not what is tested
    return clock


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(str(message)), format="{level} {message}", level="DEBUG")
    yield lines
    logger.remove(handler)


@pytest.fixture
def stand_in() -> Iterator[UpstashStandIn]:
    with UpstashStandIn("t0ken") as running:
        yield running


@asynccontextmanager
async def watching(
    config: Mapping[str, Any],
    folder: Path,
    *,
    clock: Clock = now_utc,
    health: HealthTracker | None = None,
    background: Mapping[str, BackgroundTask] | None = None,
    on_check: Callable[[CycleResult], None] | None = None,
) -> AsyncIterator[tuple[Scheduler, Monitor]]:
    """The daemon with all its parts, until the block is left; then everything is committed."""
    known = Settings.model_validate({**config, "history": {"path": str(folder / "history.db")}})
    monitor = build(known, clock=clock)
    scheduler = Scheduler(
        monitor, health=health or HealthTracker(), clock=clock, background=background or {}, on_check=on_check
    )
    running = asyncio.create_task(scheduler.run())
    try:
        yield scheduler, monitor
    finally:
        scheduler.stop()
        await asyncio.wait({running})
        monitor.close()
        if not running.cancelled():
            running.exception()


async def until(condition: Callable[[], object], what: str) -> None:
    end = monotonic() + LONGEST_WAIT_SECONDS
    while not condition():
        assert monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


def outcomes(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "history.db")) as shell:
        return [outcome for (outcome,) in shell.execute("SELECT outcome FROM history ORDER BY at")]


@pytest.mark.parametrize(
    ("previous", "now", "expected"),
    [
        (None, -5, 0),  # not begun yet
        (None, 0, 0),
        (None, 61, 120),
        (0, 0.2, 60),  # an ordinary slot
        (10, 10.1, 60),  # a check for a doubt does not shift the slots
        (59.9, 60, 60),
        (0, 200, 180),  # of slots that have passed the latest
    ],
)
def test_slots_are_where_they_are(previous: float | None, now: float, expected: float) -> None:
    """In seconds from the start, every sixty."""
    before = None if previous is None else START + timedelta(seconds=previous)
    found = SlotTrigger(START, MINUTE).get_next_fire_time(before, START + timedelta(seconds=now))
    assert (found - START).total_seconds() == expected


def test_a_clock_set_forward_by_years_is_no_walk_through_every_slot() -> None:
    """APScheduler asks for the next slot until it is in the future; a machine without a battery wakes in 1970."""
    slots, now, asked = SlotTrigger(START, timedelta(seconds=1)), START + timedelta(days=20_000), 0
    slot = START
    while slot <= now:
        slot = slots.get_next_fire_time(slot, now)
        asked += 1
    assert asked <= 2


def test_the_first_check_comes_at_once(tmp_path: Path, stand_in: UpstashStandIn) -> None:
    """Not an interval later, and one database does not wait for another's."""
    turns: list[CycleResult] = []

    async def scenario() -> None:
        names = [database(name, stand_in.url, interval="1h") for name in ("one", "two", "three")]
        async with watching(settings(*names), tmp_path, on_check=turns.append):
            await until(lambda: len(turns) == 3, "the first checks")

    asyncio.run(scenario())
    assert outcomes(tmp_path) == ["ok"] * 3


def test_a_doubt_is_settled_at_once_and_then_the_slots_go_on(tmp_path: Path, stand_in: UpstashStandIn) -> None:
    """Three failures need three confirm_intervals and not three intervals; decided, nobody hurries any more."""
    stand_in.fault = UpstashFault.SERVER_ERROR
    turns: list[CycleResult] = []

    async def scenario() -> None:
        main = database("main", stand_in.url, interval="1h")
        with MessagingStandIn() as inbox:
            async with watching(settings(main, channels=slack(inbox)), tmp_path, on_check=turns.append):
                await until(lambda: told(inbox) == [(1, "opened")], "the message")
                await asyncio.sleep(0.3)  # no check comes in that time

    asyncio.run(scenario())
    assert [cycle_result.is_in_doubt for cycle_result in turns] == [True, True, False]


@pytest.mark.faults("a database that hangs")
def test_a_check_that_hangs_is_never_joined_by_a_second(
    tmp_path: Path, stand_in: UpstashStandIn, log: list[str]
) -> None:
    """The slots that come meanwhile are left out, counted and told in one line each."""
    stand_in.fault = UpstashFault.HANG

    async def scenario() -> int:
        async with watching(settings(database("main", stand_in.url, timeout="1m")), tmp_path) as (scheduler, _):
            await until(
                lambda: stand_in.requests and scheduler.missed_checks >= 2, "two checks that were left out"
            )
            return scheduler.missed_checks

    missed = asyncio.run(scenario())
    assert len(stand_in.requests) == 1
    assert sum("a check was left out, the last one still runs" in line for line in log) >= missed
    assert f"({missed} so far)" in "".join(log)
    assert not any("Traceback" in line or "Execution of job" in line for line in log)
    assert outcomes(tmp_path) == []


@pytest.mark.faults("a database that hangs")
def test_one_that_hangs_costs_the_others_nothing(tmp_path: Path, stand_in: UpstashStandIn) -> None:
    """They are checked in their slots."""
    with UpstashStandIn("t0ken") as hanging:
        hanging.fault = UpstashFault.HANG

        async def scenario() -> None:
            names = [database("hangs", hanging.url, timeout="1m"), database("main", stand_in.url)]
            async with watching(settings(*names), tmp_path):
                await until(lambda: len(stand_in.requests) >= 3, "three checks of the other")

        asyncio.run(scenario())


@pytest.mark.parametrize(
    "steps",
    [
        [timedelta(hours=-1), timedelta(0)],
        [timedelta(hours=1), timedelta(0)],
        [timedelta(hours=-1), timedelta(hours=1), timedelta(days=-40), timedelta(days=40)],
    ],
    ids=["back and forth", "forth and back", "wild"],
)
@pytest.mark.faults("clock steps")
def test_checks_go_on_whatever_the_clock_is_set_to(
    tmp_path: Path, stand_in: UpstashStandIn, wall_clock: WallClock, log: list[str], steps: list[timedelta]
) -> None:
    """Nothing is lost, the incident is opened and closed once, and the log says what happened to the clock.

    The incident is as old as before: no reminder is due. `history.keep` goes by the time of day, and the steps
    here stay within it.
    """
    stand_in.fault = UpstashFault.SERVER_ERROR
    turns: list[CycleResult] = []

    async def scenario(inbox: MessagingStandIn) -> None:
        main = database("main", stand_in.url, interval="20s")
        config = settings(main, channels=slack(inbox))
        async with watching(config, tmp_path, clock=Clock(system=wall_clock), on_check=turns.append):
            await until(lambda: told(inbox) == [(1, "opened")], "the message")
            for number, transition in enumerate(steps, start=4):
                wall_clock.set_by = transition
                await until(lambda number=number: len(turns) >= number, "a check by the new clock")  # type: ignore[misc]  # mypy gives a default no type
            stand_in.fault = UpstashFault.NONE
            wall_clock.set_by += timedelta(minutes=1)
            await until(lambda: (1, "closed") in told(inbox), "the second message")

    with MessagingStandIn() as inbox:
        asyncio.run(scenario(inbox))
        assert told(inbox) == [(1, "opened"), (1, "closed")]
    assert sorted(outcomes(tmp_path)) == sorted(cycle_result.check.outcome.value for cycle_result in turns)
    first = "back by 3600 s" if steps[0] < timedelta(0) else "forward by 3600 s"
    assert any(f"the clock was set {first}" in line for line in log)
    assert not any(line.startswith("ERROR") for line in log)


def test_a_check_under_way_moves_with_the_clock(
    tmp_path: Path, stand_in: UpstashStandIn, wall_clock: WallClock
) -> None:
    """It is noted down by the new clock; else an hour would lie between it and the next, which nobody checked."""
    stand_in.fault = UpstashFault.HANG
    turns: list[CycleResult] = []

    async def scenario() -> None:
        config = settings(database("main", stand_in.url, timeout="1s"))
        async with watching(config, tmp_path, clock=Clock(system=wall_clock), on_check=turns.append):
            await until(lambda: stand_in.requests, "a check under way")
            wall_clock.set_by = timedelta(hours=1)
            await until(lambda: turns, "its end")

    asyncio.run(scenario())
    assert abs(wall_clock() - turns[0].check.at) < MINUTE


def test_a_clock_that_runs_a_little_fast_is_no_step(
    tmp_path: Path, stand_in: UpstashStandIn, wall_clock: WallClock, log: list[str]
) -> None:
    """Seconds that gather over weeks are the business of whoever sets clocks slowly."""

    async def scenario() -> None:
        async with watching(settings(database("main", stand_in.url)), tmp_path, clock=Clock(system=wall_clock)):
            for _ in range(6):
                wall_clock.set_by += timedelta(seconds=0.9)
                await asyncio.sleep(0.12)

    asyncio.run(scenario())
    assert not any("the clock" in line for line in log)


def test_a_fault_inside_costs_one_check_and_shows_in_the_health(
    tmp_path: Path, stand_in: UpstashStandIn, log: list[str]
) -> None:
    """Told with its traceback once each time; overdue until a check is recorded again."""
    health, turns, was_good = HealthTracker(), list[CycleResult](), list[bool]()

    def on_check(result: CycleResult) -> None:
        turns.append(result)
        was_good.append(health.health(monotonic() + 3).is_good)

    async def scenario() -> None:
        main = database("main", stand_in.url, timeout="2s")
        async with watching(settings(main), tmp_path, health=health, on_check=on_check) as (_, monitor):
            await until(lambda: turns, "the first check")
            record = monitor.store.record
            # No SQLite error that we have no name for can be had from a real file at will.
            monitor.store.record = _fail  # type: ignore[method-assign]  # a disk that fails
            await until(lambda: sum("failed inside" in line for line in log) >= 2, "two failures")
            assert not health.health(monotonic() + 6).is_good
            monitor.store.record = record  # type: ignore[method-assign]  # a disk that fails
            before = len(turns)
            await until(lambda: len(turns) > before, "a check that is recorded again")
            assert was_good[before]

    asyncio.run(scenario())
    faults = [line for line in log if "failed inside" in line]
    assert all(line.startswith("ERROR the check of main failed inside") for line in faults)
    assert all(line.count("Traceback") == 1 and "a bug of ours" in line for line in faults)
    assert not any("raised an exception" in line for line in log)


def _fail(*_: object, **__: object) -> Any:
    raise sqlite3.OperationalError("a bug of ours")


@pytest.mark.parametrize("fault", [OSError("too many open files"), None], ids=["with an error", "without a word"])
def test_what_runs_beside_and_ends_takes_the_watch_with_it(
    tmp_path: Path, stand_in: UpstashStandIn, fault: OSError | None
) -> None:
    """A monitor without its page is not what was asked for: it ends, says why, and can be started again."""

    async def server() -> None:
        await until(lambda: stand_in.requests, "the first check")
        if fault is not None:
            raise fault

    async def scenario() -> None:
        beside = {"the web server": server}
        known = Settings.model_validate(
            {**settings(database("main", stand_in.url)), "history": {"path": str(tmp_path / "history.db")}}
        )
        monitor = build(known)
        try:
            with pytest.raises(RuntimeError, match="the web server ended by itself") as caught:
                await Scheduler(monitor, health=HealthTracker(), clock=now_utc, background=beside).run()
        finally:
            monitor.close()
        assert caught.value.__cause__ is fault

    asyncio.run(scenario())


def test_a_stop_before_the_start_is_heeded(tmp_path: Path, stand_in: UpstashStandIn) -> None:
    """A signal may come between any two lines."""
    known = Settings.model_validate(
        {**settings(database("main", stand_in.url)), "history": {"path": str(tmp_path / "history.db")}}
    )
    monitor = build(known)
    scheduler = Scheduler(monitor, health=HealthTracker(), clock=now_utc)
    scheduler.stop()
    asyncio.run(asyncio.wait_for(scheduler.run(), LONGEST_WAIT_SECONDS))
    monitor.close()
    scheduler.stop()
    assert len(stand_in.requests) == 0


def test_it_may_be_stopped_from_another_thread(tmp_path: Path, stand_in: UpstashStandIn) -> None:
    """As from a signal handler."""

    async def scenario() -> None:
        async with watching(settings(database("main", stand_in.url)), tmp_path) as (scheduler, _):
            await until(lambda: stand_in.requests, "the first check")
            threading.Thread(target=scheduler.stop).start()
            await until(lambda: len(asyncio.all_tasks()) == 1, "the end of everything")

    asyncio.run(scenario())


def test_the_end_breaks_a_check_off_and_records_what_was_seen(tmp_path: Path, log: list[str]) -> None:
    """A check under way is no check; one that waits for the store's thread is written."""
    with UpstashStandIn("t0ken") as fine, UpstashStandIn("t0ken") as hanging:
        hanging.fault = UpstashFault.HANG
        gate = threading.Event()

        async def scenario() -> None:
            names = [database("hangs", hanging.url, timeout="1m"), database("main", fine.url, interval="1h")]
            async with watching(settings(*names), tmp_path) as (_, monitor):
                record, recording = monitor.cycles[1].record, list[Check]()

                def noted(check: Check) -> Awaitable[CycleResult]:
                    recording.append(check)
                    return record(check)

                monitor.cycles[1].record = noted  # type: ignore[assignment,method-assign]  # to know when it waits
                await until(lambda: hanging.requests, "the check that hangs")
                busy = asyncio.ensure_future(monitor.store_thread.run(gate.wait))
                await until(lambda: recording, "the check of the other to wait for the thread")
                # Not from the loop: closing the store blocks it until its thread is done.
                threading.Timer(0.5, gate.set).start()
            await busy

        asyncio.run(scenario())
    assert outcomes(tmp_path) == [Outcome.OK.value]
    assert not any("Traceback" in line for line in log)
