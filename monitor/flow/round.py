"""One round of `check`: each database once, those in doubt again until decided, then the rest of the deliveries.

The looks are `cycle`'s, the sending is `deliver`'s; here is only their order and the end that nothing outlasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from monitor.core.observation import Look
from monitor.flow.cycle import Cycle, Turn
from monitor.flow.deliver import Deliverer
from monitor.flow.ourside import OurSide

# Kept back for writing down and printing, and, when there is anybody to tell, for the last try of a delivery.
_RESERVE = timedelta(seconds=1)
_FOR_DELIVERY = timedelta(seconds=6)
_GLANCE_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a round found of one database: its last turn, and how often it was looked at."""

    turn: Turn
    looks: int


class Deadline:
    """A wall-clock end, in monotonic seconds. `spent` has passed already."""

    def __init__(self, within: timedelta, spent: timedelta = timedelta(0)) -> None:
        self._end = monotonic() + (within - spent).total_seconds()
        self._within = within

    def left(self, kept_back: timedelta = timedelta(0)) -> float:
        """Seconds left after keeping some back, of a short time at most a quarter; never below zero."""
        return max(0.0, self._end - monotonic() - min(kept_back, self._within / 4).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round needs to know. Without a deliverer nothing is sent, parcels wait in the outbox."""

    confirm_interval: timedelta
    our_side: OurSide
    deliverer: Deliverer | None
    deadline: Deadline
    clock: Callable[[], datetime]

    @property
    def seconds_for_looks(self) -> float:
        """What is left for looks after keeping back what the deliveries may need."""
        return self.deadline.left(_FOR_DELIVERY if self.deliverer else _RESERVE)


async def run_round(cycles: Sequence[Cycle], plan: Round) -> list[Result]:
    """Look, confirm, deliver, and return before the deadline; one result per database, in their order."""
    deliverer = plan.deliverer
    sending = asyncio.create_task(deliverer.work()) if deliverer else None
    try:
        results = await asyncio.gather(*(_until_decided(cycle, plan) for cycle in cycles))
        with suppress(TimeoutError):
            async with asyncio.timeout(plan.deadline.left(_RESERVE)):
                await plan.our_side.settled()
                if deliverer is not None:
                    await _until_delivered(deliverer, plan)
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.wait({sending})
    return results


async def _until_decided(cycle: Cycle, plan: Round) -> Result:
    # Where nothing is remembered, as in a container without a disk, this run must decide slow looks as well.
    slow_too = await cycle.is_new()
    looks = 0
    while True:
        turn = await cycle.record(await _look(cycle, plan), slow_too=slow_too)
        looks += 1
        if plan.deliverer is not None and turn.recorded.step.notices:
            plan.deliverer.wake()
        pause = min(plan.confirm_interval, cycle.interval).total_seconds()
        if not turn.is_in_doubt or plan.seconds_for_looks <= pause:
            return Result(turn=turn, looks=looks)
        await asyncio.sleep(pause)


async def _look(cycle: Cycle, plan: Round) -> Look:
    at = plan.clock()
    try:
        async with asyncio.timeout(plan.seconds_for_looks):
            return await cycle.look()
    except TimeoutError:
        return cycle.unfinished(at, "the round ended before this look did")


async def _until_delivered(deliverer: Deliverer, plan: Round) -> None:
    """Wait while something is on its way or will be tried before the deadline."""
    while True:
        await deliverer.quiet()
        due = await deliverer.next_due()
        if due is None or (due - plan.clock()).total_seconds() > plan.deadline.left(_RESERVE):
            return
        await asyncio.sleep(_GLANCE_SECONDS)
