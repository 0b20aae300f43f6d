"""One round of `check`: each database once, those in doubt again until decided, then the deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from loguru import logger

from monitor.checks.observation import Check
from monitor.engine.cycle import Connectivity, Cycle, CycleResult, grace
from monitor.engine.delivery import RESERVE, Deliverer
from monitor.engine.diagnose_on_open import FOR_DELIVERY, Diagnoser
from monitor.incidents.rules import pause_in_one_run
from monitor.incidents.state import IncidentState, Transition
from monitor.lib.times import Deadline
from monitor.store.store import Recorded

# The moment of a check is cut to milliseconds, so one that shall not be before another begins a little later.
_MILLISECOND = timedelta(milliseconds=1)
_POLL_SECONDS = 0.02
# Less than this and a database that is fine could not answer either.
_LEAST_FOR_CHECK = timedelta(seconds=0.25)


class NoTimeError(Exception):
    """Nothing could be checked, since the time was over before; the text says what to do next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundResult:
    """What a round found of one database: its last cycle, and how many checks there were."""

    cycle_result: CycleResult
    checks: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round needs to know. Without a deliverer nothing is sent; messages wait in the outbox.

    An incident that opens has the diagnosis all the same, where there is a diagnoser.
    """

    confirm_interval: timedelta
    connectivity: Connectivity
    deliverer: Deliverer | None
    diagnoser: Diagnoser | None = None
    deadline: Deadline
    clock: Callable[[], datetime]

    @property
    def time_for_checks(self) -> timedelta:
        """What is left for checks after keeping back what the deliveries may need."""
        return self.deadline.left(reserve=FOR_DELIVERY if self.deliverer else RESERVE)

    def timeout(self, cycle: Cycle) -> timedelta:
        """The timeout of a check that begins now: the database's own, or what is left for it to end in time."""
        left = self.time_for_checks
        # `grace` of the result comes after it, and is a third of a short one.
        return min(cycle.timeout, max(left * 3 / 4, left - grace(left)))


async def run_round(cycles: Sequence[Cycle], plan: Round) -> list[RoundResult]:
    """Check, confirm, deliver, and return before the deadline; one result per database, in their order.

    Raises `NoTimeError`.
    """
    if plan.time_for_checks < _LEAST_FOR_CHECK:
        raise NoTimeError(
            f"wanted time for a check within --within {plan.deadline.within.total_seconds():g}s, "
            "found that starting took it. Next: give --within more"
        )
    for cycle in cycles:
        cycle.fit(plan.time_for_checks)
    deliverer = plan.deliverer
    sending = asyncio.create_task(deliverer.work()) if deliverer else None
    try:
        results = await asyncio.gather(*(_until_decided(cycle, plan) for cycle in cycles))
        if deliverer is not None:
            await deliverer.release_groups()
            deliverer.wake()  # what has waited for a day is told once it is known how things stand
        with suppress(TimeoutError):
            async with asyncio.timeout(plan.deadline.left(reserve=RESERVE).total_seconds()):
                await plan.connectivity.wait_background()
                if plan.diagnoser is not None:
                    await plan.diagnoser.wait()
                if deliverer is not None:
                    await _until_delivered(deliverer, plan)
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.wait({sending})
    return results


async def _until_decided(cycle: Cycle, plan: Round) -> RoundResult:
    """Check until the rules have decided. A store that fails inside costs no other database its result."""
    checks = 0
    try:
        # Where nothing is remembered, as in a container without a disk, this run must decide slow checks as well.
        with_slow = await cycle.is_new()
        timeout = max(_LEAST_FOR_CHECK, plan.timeout(cycle))
        cycle_result = await cycle.record(await cycle.check(timeout=timeout), with_slow=with_slow)
        checks = 1
        pause = min(plan.confirm_interval, cycle.interval)
        while True:
            if plan.deliverer is not None and cycle_result.recorded.transition.notifications:
                plan.deliverer.wake()
            if not cycle_result.is_in_doubt or plan.time_for_checks <= pause:
                break
            await asyncio.sleep(_pause(cycle_result, plan, pause, timeout).total_seconds())
            another = await _check_again(cycle, plan, timeout)
            if another is None:
                break  # what the checks before it saw still stands
            cycle_result = await cycle.record(another, with_slow=with_slow)
            checks += 1
        return RoundResult(cycle_result=cycle_result, checks=checks)
    except Exception as error:  # noqa: BLE001 - the round must tell of the other databases
        logger.opt(exception=error).error("recording the check of {} failed inside", cycle.name)
        check = cycle.unfinished(plan.clock(), f"the check could not be recorded ({type(error).__name__})")
        recorded = Recorded(transition=Transition(state=IncidentState()), before=IncidentState())
        return RoundResult(
            cycle_result=CycleResult(check=check, recorded=recorded, is_in_doubt=False), checks=checks
        )


def _pause(cycle_result: CycleResult, plan: Round, shortest: timedelta, timeout: timedelta) -> timedelta:
    not_before = cycle_result.opens_not_before
    opens_in = None if not_before is None else not_before - plan.clock() + 2 * _MILLISECOND
    return pause_in_one_run(shortest, opens_in=opens_in, left=plan.time_for_checks, timeout=timeout)


async def _check_again(cycle: Cycle, plan: Round, first_timeout: timedelta) -> Check | None:
    """Another check, with half the first one's timeout at least; `None` when the time for checks is over before.

    With less, what it found might be no trouble of the database's but our hurry.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(plan.time_for_checks.total_seconds()):
            return await cycle.check(timeout=max(first_timeout / 2, plan.timeout(cycle)))
    return None


async def _until_delivered(deliverer: Deliverer, plan: Round) -> None:
    """Wait while something is on its way or will be tried before the deadline."""
    while True:
        await deliverer.wait_idle()
        due = await deliverer.next_due()
        if deliverer.is_sending:
            continue  # another was claimed meanwhile, and its lease is no time to go by
        if due is None or due - plan.clock() > plan.deadline.left(reserve=RESERVE):
            return
        await asyncio.sleep(_POLL_SECONDS)
