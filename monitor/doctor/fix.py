"""The fix, `doctor --fix`: puts the console's URL and token into the worker's variables, redeploys, looks again.

What is written is planned in `core/repair` and shown before any of this; whether it may be done is asked by the
command. A password is never reset, and nothing else on Railway is touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from loguru import logger

from monitor.diagnosis.layers import Ladder, Rung, State
from monitor.diagnosis.verdicts import Code, judge
from monitor.doctor.fix_plan import Plan
from monitor.doctor.railway.api import Deployment, Railway, redeploy, write_variables
from monitor.doctor.railway.layer import newest_deployment
from monitor.doctor.web import WebError
from monitor.lib.threads import on_daemon_thread

PATIENCE = timedelta(minutes=2)
# Railway's smallest plan answers 100 questions an hour: the newest deployment is one, a whole ladder half a dozen.
_PAUSE_SECONDS = 5.0
_PAUSE_AFTER_CLIMB_SECONDS = 15.0
STEP_TIMEOUT = timedelta(seconds=15)
_GREEN = (Code.ALL_GOOD, Code.SLOW)

Climb = Callable[[], Awaitable[Ladder]]


class Step(Enum):
    """What a fix does, in this order."""

    WRITE = "write"
    REDEPLOY = "redeploy"
    LOOK = "look"


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """How a step went, in a sentence that says what was done and what was not."""

    step: Step
    went_well: bool
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """What a fix did. `ladder` is the last one that was climbed, `None` where it did not come to that."""

    plan: Plan
    steps: tuple[Done, ...]
    ladder: Ladder | None = None

    @property
    def is_green(self) -> bool:
        return bool(self.steps) and self.steps[-1].step is Step.LOOK and self.steps[-1].went_well


async def mend(
    plan: Plan,
    railway: Railway,
    climb: Climb,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    patience: timedelta = PATIENCE,
    step_timeout: timedelta = STEP_TIMEOUT,
) -> Mended:
    """Carry out the plan, step by step; a step that fails ends it. Raises nothing for what Railway does.

    `climb` looks at the database with the console's URL and token: this process still has its own. It is climbed
    only once the new deployment stands, until the ladder is green or `patience` is over; `clock` counts seconds.
    """
    if not plan.redeploys:
        return Mended(plan=plan, steps=())
    steps: list[Done] = []
    try:
        before = await _newest(railway, step_timeout)
    except WebError as error:
        failed = Done(step=Step.WRITE, went_well=False, says=f"Railway: {error}. Nothing was changed.")
        return Mended(plan=plan, steps=(_logged(failed),))
    for step in (_write, _redeploy):
        done = await step(plan, railway, step_timeout)
        if done is not None:
            steps.append(_logged(done))
            if not done.went_well:
                return Mended(plan=plan, steps=tuple(steps))
    watch = _Watch(plan.service, railway, before, climb, step_timeout)
    end = clock() + patience.total_seconds()
    while (last := await watch.look()) is None and clock() + watch.pause_seconds <= end:
        await sleep(watch.pause_seconds)
    steps.append(_logged(last or watch.give_up(patience)))
    return Mended(plan=plan, steps=tuple(steps), ladder=watch.ladder)


async def _write(plan: Plan, railway: Railway, within: timedelta) -> Done | None:
    if not plan.writes:
        return None
    names = " and ".join(write.name for write in plan.writes)
    values = {write.name: write.value for write in plan.writes}
    try:
        await on_daemon_thread(lambda: write_variables(railway, values, timeout=within), name="fix")
    except WebError as error:
        not_written = "was not written" if len(plan.writes) == 1 else "were not written"
        fate = not_written if error.was_refused else "may or may not have been written"
        says = f"Railway: {error}. {names} of service {plan.service} {fate}; the service was not redeployed."
        return Done(step=Step.WRITE, went_well=False, says=says)
    return Done(step=Step.WRITE, went_well=True, says=f"Wrote {names} of service {plan.service}.")


async def _redeploy(plan: Plan, railway: Railway, within: timedelta) -> Done:
    try:
        await on_daemon_thread(lambda: redeploy(railway, timeout=within), name="fix")
    except WebError as error:
        written = "The variables are written but not deployed" if plan.writes else "Nothing was written"
        fate = "was not redeployed" if error.was_refused else "may or may not have been redeployed"
        says = f"Railway: {error}. {written}; service {plan.service} {fate}. Look at its deployments on Railway."
        return Done(step=Step.REDEPLOY, went_well=False, says=says)
    return Done(step=Step.REDEPLOY, went_well=True, says=f"Asked Railway to redeploy service {plan.service}.")


class _Watch:
    """Looks whether the new deployment stands, and then whether the ladder is green."""

    def __init__(
        self, service: str, railway: Railway, before: Deployment | None, climb: Climb, within: timedelta
    ) -> None:
        self.ladder: Ladder | None = None
        self._service = service
        self._railway = railway
        self._before_id = None if before is None else before.id
        self._climb = climb
        self._within = within
        self._new: Deployment | None = None

    @property
    def pause_seconds(self) -> float:
        return _PAUSE_SECONDS if self.ladder is None else _PAUSE_AFTER_CLIMB_SECONDS

    async def look(self) -> Done | None:
        """How it ended, or `None` while it has not."""
        try:
            newest = await _newest(self._railway, self._within)
        except WebError as error:
            logger.warning("fix: the deployments of service {} were not read: {}", self._service, error)
            return None
        if newest is None or newest.id == self._before_id:
            return None
        self._new = newest
        if newest.is_on_its_way:
            return None
        if newest.went_wrong:
            says = (
                f"The new deployment of service {self._service} {newest.status.lower()}. The variables are as "
                "planned; what ran before may still be running. Read the deployment's logs on Railway."
            )
            return Done(step=Step.LOOK, went_well=False, says=says)
        self.ladder = await self._climb()
        if not _is_green(self.ladder):
            return None
        says = (
            f"Service {self._service} was deployed with the console's URL and token, and all that is seen works."
        )
        return Done(step=Step.LOOK, went_well=True, says=says)

    def give_up(self, patience: timedelta) -> Done:
        """What is left to say when the time is over."""
        if self.ladder is not None:
            platform, verdict = self.ladder.at(Rung.PLATFORM), judge(self.ladder, service=self._service)
            left = f"The new deployment stands, but: {verdict.says}"
            if platform.state is State.FAILED:
                left = f"The new deployment stands, but: {platform.seen}."
        elif self._new is not None:
            left = f"The new deployment is still {self._new.status.lower()}."
        else:
            left = "No new deployment was seen."
        says = f"Not all green after {patience.total_seconds():g} s. {left} Run the doctor again in a while."
        return Done(step=Step.LOOK, went_well=False, says=says)


def _is_green(ladder: Ladder) -> bool:
    # Unknown is allowed: the values of sealed variables cannot be read back.
    return judge(ladder).code in _GREEN and ladder.at(Rung.PLATFORM).state is not State.FAILED


async def _newest(railway: Railway, within: timedelta) -> Deployment | None:
    return await on_daemon_thread(lambda: newest_deployment(railway, timeout=within), name="fix")


def _logged(done: Done) -> Done:
    logger.log("INFO" if done.went_well else "WARNING", "fix: {}", done.says)
    return done
