"""The always-on mode: one APScheduler job per database, the deliveries, one event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from types import MappingProxyType
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from loguru import logger

from monitor.engine.cycle import Cycle, CycleResult
from monitor.engine.wiring import Monitor
from monitor.lib.process import give_back_memory
from monitor.lib.times import Clock

_PRUNE_EVERY = timedelta(hours=1)
_GIVE_BACK_EVERY = timedelta(minutes=1)
_APART = timedelta(seconds=0.1)
_CLOCK_WATCH_SECONDS = 5.0
_LAST_SENDS_SECONDS = 2.0
# A check is overdue after so many intervals.
_OVERDUE_INTERVALS = 3

# Something that runs as long as the scheduler does, and ends the program when it fails.
BackgroundTask = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Names of databases whose check is overdue by three intervals, and how many there are in all.

    `has_checked` is true once a check has ended: a program that is restarted again and again has done nothing yet.
    """

    overdue: tuple[str, ...]
    databases: int
    has_checked: bool

    @property
    def is_good(self) -> bool:
        return not self.overdue


@dataclass(kw_only=True, slots=True)
class _Expected:
    """One database: what is due, when the last check ended, when the one under way began; monotonic seconds."""

    interval: float
    timeout: float
    ended: float
    begun: float | None = None

    def is_overdue(self, now: float) -> bool:
        if self.begun is not None:
            return now - self.begun > self.timeout + _OVERDUE_INTERVALS * self.interval
        return now - self.ended > (1 + _OVERDUE_INTERVALS) * self.interval


class HealthTracker:
    """When each database was last checked. One that was never checked counts from when it was expected."""

    def __init__(self) -> None:
        self._expected: dict[str, _Expected] = {}
        self._has_checked = False

    def expect(self, database: str, *, interval_seconds: float, timeout_seconds: float, now: float) -> None:
        """From now on a check is due every so many seconds and takes at most `timeout_seconds`."""
        self._expected[database] = _Expected(interval=interval_seconds, timeout=timeout_seconds, ended=now)

    def begin(self, database: str, now: float) -> None:
        """A check begins. One that failed inside has not ended, so the next does not excuse it."""
        expected = self._expected[database]
        if expected.begun is None:
            expected.begun = now

    def finish(self, database: str, now: float) -> None:
        """A check has ended and is recorded."""
        expected = self._expected[database]
        expected.ended, expected.begun = now, None
        self._has_checked = True

    def health(self, now: float) -> Health:
        """Which checks are overdue."""
        overdue = tuple(name for name, expected in self._expected.items() if expected.is_overdue(now))
        return Health(overdue=overdue, databases=len(self._expected), has_checked=self._has_checked)


class SlotTrigger(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Every `interval` from `start`. A check in between, made early because of a doubt, shifts no slot."""

    def __init__(self, start: datetime, interval: timedelta) -> None:
        self.start = start
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first slot after the last run, or from now on when there was none. APScheduler's own signature.

        Of slots that have passed it is the latest: APScheduler walks through them one by one, and a clock that
        was set forward by years would be hours of walking.
        """
        if previous_fire_time is None:
            return max(self.start, self.start + -((self.start - now) // self._interval) * self._interval)
        following = self.start + ((previous_fire_time - self.start) // self._interval + 1) * self._interval
        return max(following, self.start + (now - self.start) // self._interval * self._interval)


class Scheduler:
    """Checks on schedule until stopped. The tasks of `background`, by name, run with it and end with it.

    `on_check` is called after each check, in the loop. `missed_checks` counts what the scheduler left out.
    """

    def __init__(
        self,
        monitor: Monitor,
        *,
        health: HealthTracker,
        clock: Clock,
        background: Mapping[str, BackgroundTask] = MappingProxyType({}),
        on_check: Callable[[CycleResult], None] | None = None,
    ) -> None:
        self._monitor = monitor
        self._health = health
        self._clock = clock
        self._background = background
        self._on_check = on_check
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(
            self._on_job_event, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR
        )
        self._jobs: dict[str, Job] = {}
        self._checking: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self._stop = asyncio.Event()
        self.missed_checks = 0

    def stop(self) -> None:
        """End; `run` returns soon after. For any moment, any thread and any signal handler."""
        self._is_stopped = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)

    async def run(self) -> None:
        """Check and deliver until `stop`, then break off what hangs; takes at most 3 s from there.

        What is known is committed when the store is closed, which is the caller's part.
        """
        self._loop = asyncio.get_running_loop()
        if self._is_stopped:
            return
        _silence_apscheduler()
        self._schedule()
        self._scheduler.start()
        helpers = [
            asyncio.create_task(self._monitor.deliverer.work(), name="delivering messages"),
            asyncio.create_task(self._watch_the_clock(), name="watching the clock"),
            *(asyncio.create_task(work(), name=name) for name, work in self._background.items()),
        ]
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({stopping, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            ended = [helper for helper in helpers if helper.done()]
        finally:
            await self._end(helpers)
            stopping.cancel()
        for helper in ended:
            raise RuntimeError(f"{helper.get_name()} ended by itself") from helper.exception()

    async def _end(self, helpers: list[asyncio.Task[Any]]) -> None:
        """Start nothing new, let sends that are on their way report, break off the rest."""
        self._scheduler.shutdown(wait=False)
        for task in self._checking:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SENDS_SECONDS):
                await self._monitor.deliverer.wait_idle()
        for task in helpers:
            task.cancel()
        self._monitor.stop()
        await asyncio.wait({*helpers, *self._checking}, timeout=1)

    def _schedule(self) -> None:
        # APScheduler goes by the system's clock.
        now = self._clock.system()
        for cycle, slots in self._slots(now):
            self._health.expect(
                cycle.name,
                interval_seconds=cycle.interval.total_seconds(),
                timeout_seconds=cycle.timeout.total_seconds(),
                now=monotonic(),
            )
            self._jobs[cycle.name] = self._scheduler.add_job(
                self._check,
                slots,
                args=(cycle,),
                id=cycle.name,
                name=f"the check of {cycle.name}",
                next_run_time=slots.start,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=math.ceil(cycle.interval.total_seconds()),
            )
        self._scheduler.add_job(
            self._prune, SlotTrigger(now + _PRUNE_EVERY, _PRUNE_EVERY), name="deleting old checks"
        )
        self._scheduler.add_job(
            self._give_back_memory,
            SlotTrigger(now + _GIVE_BACK_EVERY, _GIVE_BACK_EVERY),
            name="giving back memory",
        )

    def _slots(self, now: datetime) -> Iterator[tuple[Cycle, SlotTrigger]]:
        """Each database has a fixed offset of its own, so that a thousand are not checked at one instant."""
        cycles = self._monitor.cycles
        for number, cycle in enumerate(cycles):
            offset = number * min(_APART, cycle.interval / len(cycles))
            yield cycle, SlotTrigger(now + offset, cycle.interval)

    async def _check(self, cycle: Cycle) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._checking.add(task)
            task.add_done_callback(self._checking.discard)
        self._health.begin(cycle.name, monotonic())
        try:
            set_by = self._clock.set_by
            check = await cycle.check()
            # One that began before the clock was set moves with all that is open, or it would look like a gap.
            check = replace(check, at=check.at + (self._clock.set_by - set_by))
            cycle_result = await cycle.record(check)
        except asyncio.CancelledError:
            return  # the end, and no fault: the scheduler would log a traceback
        self._health.finish(cycle.name, monotonic())
        if self._on_check is not None:
            self._on_check(cycle_result)
        transition = cycle_result.recorded.transition
        # With an open incident too: some messages wait for what a check finds.
        if transition.notifications or transition.incident is not None:
            self._monitor.deliverer.wake()
        if cycle_result.is_in_doubt:
            self._check_soon(cycle)

    def _check_soon(self, cycle: Cycle) -> None:
        """The pause counts from the end of a check, so that a host that hangs is given a rest as well."""
        job = self._jobs[cycle.name]
        soon = self._clock.system() + min(self._monitor.settings.alerts.confirm_interval, cycle.interval)
        if job.next_run_time is None or soon < job.next_run_time:
            job.modify(next_run_time=soon)

    async def _prune(self) -> None:
        settings = self._monitor.settings
        store, store_thread = self._monitor.store, self._monitor.store_thread
        deleted = await store_thread.run(store.prune, self._clock(), settings.history.keep)
        if deleted:
            logger.debug("{} old checks deleted", deleted)

    async def _give_back_memory(self) -> None:
        # Not in the loop, which it would hold up while a check is timed.
        await self._monitor.store_thread.run(give_back_memory)

    async def _watch_the_clock(self) -> None:
        """The scheduler waits for times of day; a clock set back an hour would be an hour's sleep.

        And what is open began as long ago as before, whatever its time of day was called.
        """
        while True:
            await asyncio.sleep(_CLOCK_WATCH_SECONDS)
            step = self._clock.follow()
            if not step:
                continue
            way = "back" if step < timedelta(0) else "forward"
            logger.warning("the clock was set {} by {:.0f} s", way, abs(step.total_seconds()))
            await self._monitor.store_thread.run(self._monitor.store.move_times, step)
            now = self._clock.system()
            for cycle, slots in self._slots(now):
                self._jobs[cycle.name].modify(trigger=slots, next_run_time=slots.get_next_fire_time(None, now))

    def _on_job_event(self, event: JobEvent) -> None:
        if event.code == EVENT_JOB_ERROR:
            job = self._scheduler.get_job(event.job_id)
            logger.opt(exception=event.exception).error("{} failed inside", job.name if job else event.job_id)
            return
        if event.job_id not in self._jobs:
            return
        self.missed_checks += 1
        why = "the last one still runs" if event.code == EVENT_JOB_MAX_INSTANCES else "its time had passed"
        logger.warning("{}: a check was left out, {} ({} so far)", event.job_id, why, self.missed_checks)


def _silence_apscheduler() -> None:
    """Jobs that fail or are left out are logged by our listener."""
    logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
