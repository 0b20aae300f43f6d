"""The clock of the always-on mode: one job per database, signals, the web server, one event loop.

What a look does is in `flow/cycle`; what is sent, in `flow/deliver`. This is the only file that knows APScheduler.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from loguru import logger

from monitor.core.pulse import Pulse
from monitor.flow.cycle import Cycle
from monitor.wiring import Monitor

_PRUNE_EVERY = timedelta(hours=1)
_APART = timedelta(seconds=0.1)
_CLOCK_WATCH_SECONDS = 5.0
_CLOCK_STEP_SECONDS = 2.0
_LAST_SENDS_SECONDS = 2.5

# Something that runs as long as the watch does, and ends the program when it fails.
Beside = Callable[[], Coroutine[Any, Any, None]]


class Slots(BaseTrigger):  # type: ignore[misc]
    """Every `interval` from `start`. A look in between, moved forward for a doubt, does not shift the slots."""

    def __init__(self, start: datetime, interval: timedelta) -> None:
        self._start = start
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first slot after the last run, or from now on when there was none. APScheduler's own signature."""
        if previous_fire_time is None:
            return max(self._start, self._start + -((self._start - now) // self._interval) * self._interval)
        return self._start + ((previous_fire_time - self._start) // self._interval + 1) * self._interval


class Daemon:
    """Looks on schedule until stopped. What is given as `beside` runs with it and is cancelled at the end.

    `clock` gives aware UTC. `missed_looks` counts what the scheduler left out, for logs and metrics.
    """

    def __init__(
        self,
        monitor: Monitor,
        *,
        pulse: Pulse,
        clock: Callable[[], datetime],
        beside: Sequence[Beside] = (),
    ) -> None:
        self._monitor = monitor
        self._pulse = pulse
        self._clock = clock
        self._beside = beside
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(
            self._on_trouble, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR
        )
        self._jobs: dict[str, Job] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self.missed_looks = 0

    def stop(self) -> None:
        """End the watch; `run` returns soon after."""
        self._stop.set()

    async def run(self) -> None:
        """Look and deliver until `stop` or SIGTERM or SIGINT, then commit what is known; within 5 s."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self.stop)
        self._schedule()
        self._scheduler.start()
        helpers = [
            asyncio.create_task(self._monitor.deliverer.work(), name="deliveries"),
            asyncio.create_task(self._watch_the_clock(), name="clock"),
            *(asyncio.create_task(beside()) for beside in self._beside),
        ]
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({stopping, *helpers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end(helpers)
            stopping.cancel()
        for helper in helpers:
            if not helper.cancelled() and (error := helper.exception()) is not None:
                raise error

    async def _end(self, helpers: list[asyncio.Task[Any]]) -> None:
        """Start nothing new, let sends that are on their way report, break off the rest."""
        self._scheduler.shutdown(wait=False)
        for task in self._looking:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SENDS_SECONDS):
                await self._monitor.deliverer.quiet()
        for task in helpers:
            task.cancel()
        await asyncio.wait({*helpers, *self._looking}, timeout=1)

    def _schedule(self) -> None:
        now = self._clock()
        for cycle, slots in self._slots(now):
            self._pulse.expect(cycle.name, max(cycle.interval, cycle.timeout).total_seconds(), monotonic())
            self._jobs[cycle.name] = self._scheduler.add_job(
                self._turn,
                slots,
                args=(cycle,),
                id=cycle.name,
                name=f"the look at {cycle.name}",
                coalesce=True,
                max_instances=1,
                misfire_grace_time=max(1, int(cycle.interval.total_seconds())),
            )
        self._scheduler.add_job(
            self._prune, Slots(now + _PRUNE_EVERY, _PRUNE_EVERY), id="\0prune", name="deleting old looks"
        )

    def _slots(self, now: datetime) -> Iterator[tuple[Cycle, Slots]]:
        """Each database has a fixed offset of its own, so that a thousand of them do not look at one instant."""
        cycles = self._monitor.cycles
        for number, cycle in enumerate(cycles):
            offset = number * min(_APART, cycle.interval / len(cycles))
            yield cycle, Slots(now + offset, cycle.interval)

    async def _turn(self, cycle: Cycle) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        turn = await cycle.turn()
        self._pulse.beat(cycle.name, monotonic())
        if turn.recorded.step.notices:
            self._monitor.deliverer.wake()
        if turn.is_in_doubt:
            self._look_soon(cycle)

    def _look_soon(self, cycle: Cycle) -> None:
        """The pause counts from the end of a look, so that a host that hangs is given a rest as well."""
        job = self._jobs[cycle.name]
        soon = self._clock() + min(self._monitor.settings.alerts.confirm_interval, cycle.interval)
        if job.next_run_time is None or soon < job.next_run_time:
            job.modify(next_run_time=soon)

    async def _prune(self) -> None:
        settings = self._monitor.settings
        store, keeper = self._monitor.store, self._monitor.keeper
        deleted = await keeper.run(store.prune, self._clock(), settings.history.keep)
        if deleted:
            logger.debug("{} old looks deleted", deleted)

    async def _watch_the_clock(self) -> None:
        """The scheduler waits for times of day; a clock set back an hour would be an hour's sleep."""
        offset = self._clock().timestamp() - monotonic()
        while True:
            await asyncio.sleep(_CLOCK_WATCH_SECONDS)
            now = self._clock()
            step = now.timestamp() - monotonic() - offset
            if abs(step) < _CLOCK_STEP_SECONDS:
                continue
            offset += step
            logger.warning("the clock was set {} by {:.0f} s", "forward" if step > 0 else "back", abs(step))
            self._reschedule(now)

    def _reschedule(self, now: datetime) -> None:
        for cycle, slots in self._slots(now):
            self._jobs[cycle.name].modify(trigger=slots, next_run_time=slots.get_next_fire_time(None, now))

    def _on_trouble(self, event: JobEvent) -> None:
        if event.code == EVENT_JOB_ERROR:
            logger.opt(exception=event.exception).error("{} failed inside", event.job_id)
            return
        self.missed_looks += 1
        why = "the last one still runs" if event.code == EVENT_JOB_MAX_INSTANCES else "its time had passed"
        logger.warning("{}: a look was left out, {} ({} so far)", event.job_id, why, self.missed_looks)
