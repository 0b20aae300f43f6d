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

from monitor.diagnosis.layers import Layer, LayerResults, LayerState
from monitor.diagnosis.verdicts import VerdictCode, judge
from monitor.doctor.fix_plan import FixPlan
from monitor.doctor.railway.api import Deployment, Railway, redeploy, write_variables
from monitor.doctor.railway.layer import newest_deployment
from monitor.doctor.web import WebError
from monitor.lib.threads import on_daemon_thread

PATIENCE = timedelta(minutes=2)
# Railway's smallest plan answers 100 questions an hour: the newest deployment is one, a whole layers half a dozen.
_PAUSE_SECONDS = 5.0
_PAUSE_AFTER_EXAMINATION_SECONDS = 15.0
STEP_TIMEOUT = timedelta(seconds=15)
_GREEN = (VerdictCode.ALL_GOOD, VerdictCode.SLOW)

Climb = Callable[[], Awaitable[LayerResults]]


class FixStep(Enum):
    """What a fix does, in this order."""

    WRITE = "write"
    REDEPLOY = "redeploy"
    CHECK = "check"


@dataclass(frozen=True, kw_only=True, slots=True)
class FixStepResult:
    """How a step went, in a sentence that says what was done and what was not."""

    step: FixStep
    went_well: bool
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FixResult:
    """What a fix did. `layers` is the last one that was climbed, `None` where it did not come to that."""

    plan: FixPlan
    steps: tuple[FixStepResult, ...]
    layers: LayerResults | None = None

    @property
    def is_green(self) -> bool:
        return bool(self.steps) and self.steps[-1].step is FixStep.CHECK and self.steps[-1].went_well


async def apply_fix(
    plan: FixPlan,
    railway: Railway,
    examine_layers: Climb,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    patience: timedelta = PATIENCE,
    step_timeout: timedelta = STEP_TIMEOUT,
) -> FixResult:
    """Carry out the plan, step by step; a step that fails ends it. Raises nothing for what Railway does.

    `climb` looks at the database with the console's URL and token: this process still has its own. It is climbed
    only once the new deployment stands, until the layers is green or `patience` is over; `clock` counts seconds.
    """
    if not plan.redeploys:
        return FixResult(plan=plan, steps=())
    steps: list[FixStepResult] = []
    try:
        before = await _newest(railway, step_timeout)
    except WebError as error:
        failed = FixStepResult(
            step=FixStep.WRITE, went_well=False, detail=f"Railway: {error}. Nothing was changed."
        )
        return FixResult(plan=plan, steps=(_logged(failed),))
    for step in (_write, _redeploy):
        done = await step(plan, railway, step_timeout)
        if done is not None:
            steps.append(_logged(done))
            if not done.went_well:
                return FixResult(plan=plan, steps=tuple(steps))
    rechecks = _Rechecks(plan.service, railway, before, examine_layers, step_timeout)
    end = clock() + patience.total_seconds()
    while (last := await rechecks.check()) is None and clock() + rechecks.pause_seconds <= end:
        await sleep(rechecks.pause_seconds)
    steps.append(_logged(last or rechecks.give_up(patience)))
    return FixResult(plan=plan, steps=tuple(steps), layers=rechecks.layers)


async def _write(plan: FixPlan, railway: Railway, within: timedelta) -> FixStepResult | None:
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
        return FixStepResult(step=FixStep.WRITE, went_well=False, detail=says)
    return FixStepResult(step=FixStep.WRITE, went_well=True, detail=f"Wrote {names} of service {plan.service}.")


async def _redeploy(plan: FixPlan, railway: Railway, within: timedelta) -> FixStepResult:
    try:
        await on_daemon_thread(lambda: redeploy(railway, timeout=within), name="fix")
    except WebError as error:
        written = "The variables are written but not deployed" if plan.writes else "Nothing was written"
        fate = "was not redeployed" if error.was_refused else "may or may not have been redeployed"
        says = f"Railway: {error}. {written}; service {plan.service} {fate}. Look at its deployments on Railway."
        return FixStepResult(step=FixStep.REDEPLOY, went_well=False, detail=says)
    return FixStepResult(
        step=FixStep.REDEPLOY, went_well=True, detail=f"Asked Railway to redeploy service {plan.service}."
    )


class _Rechecks:
    """Looks whether the new deployment stands, and then whether the layers is green."""

    def __init__(
        self, service: str, railway: Railway, before: Deployment | None, examine_layers: Climb, within: timedelta
    ) -> None:
        self.layers: LayerResults | None = None
        self._service = service
        self._railway = railway
        self._before_id = None if before is None else before.id
        self._examine = examine_layers
        self._within = within
        self._new: Deployment | None = None

    @property
    def pause_seconds(self) -> float:
        return _PAUSE_SECONDS if self.layers is None else _PAUSE_AFTER_EXAMINATION_SECONDS

    async def check(self) -> FixStepResult | None:
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
            return FixStepResult(step=FixStep.CHECK, went_well=False, detail=says)
        self.layers = await self._examine()
        if not _is_green(self.layers):
            return None
        says = (
            f"Service {self._service} was deployed with the console's URL and token, and all that is seen works."
        )
        return FixStepResult(step=FixStep.CHECK, went_well=True, detail=says)

    def give_up(self, patience: timedelta) -> FixStepResult:
        """What is left to say when the time is over."""
        if self.layers is not None:
            platform, verdict = self.layers.result_of(Layer.PLATFORM), judge(self.layers, service=self._service)
            left = f"The new deployment stands, but: {verdict.meaning}"
            if platform.state is LayerState.FAILED:
                left = f"The new deployment stands, but: {platform.detail}."
        elif self._new is not None:
            left = f"The new deployment is still {self._new.status.lower()}."
        else:
            left = "No new deployment was seen."
        says = f"Not all green after {patience.total_seconds():g} s. {left} Run the doctor again in a while."
        return FixStepResult(step=FixStep.CHECK, went_well=False, detail=says)


def _is_green(layers: LayerResults) -> bool:
    # Unknown is allowed: the values of sealed variables cannot be read back.
    return judge(layers).code in _GREEN and layers.result_of(Layer.PLATFORM).state is not LayerState.FAILED


async def _newest(railway: Railway, within: timedelta) -> Deployment | None:
    return await on_daemon_thread(lambda: newest_deployment(railway, timeout=within), name="fix")


def _logged(done: FixStepResult) -> FixStepResult:
    logger.log("INFO" if done.went_well else "WARNING", "fix: {}", done.detail)
    return done
