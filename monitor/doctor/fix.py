"""The fix: writes what the plan says into the worker's variables, reads it back, redeploys, and checks again.

Nothing else on Railway is changed, and no password is ever reset.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TypeVar

from loguru import logger

from monitor.diagnosis.advice import word
from monitor.diagnosis.rules import judge
from monitor.diagnosis.verdicts import DatabaseProfile, Layer, LayerResults, LayerState, VerdictCode
from monitor.doctor.fix_plan import FixPlan
from monitor.doctor.railway import Deployment, Railway
from monitor.doctor.web import WebError
from monitor.lib.threads import on_daemon_thread
from monitor.lib.times import Deadline

_RECHECK_FOR = timedelta(minutes=2)
STEP_TIMEOUT = timedelta(seconds=15)
# Railway's smallest plan answers 100 requests an hour: the newest deployment is one, an examination half a dozen.
_PAUSE_SECONDS = 5.0
_PAUSE_AFTER_EXAMINATION_SECONDS = 15.0
_WORKING = (VerdictCode.ALL_GOOD, VerdictCode.SLOW)
_T = TypeVar("_T")


class FixStep(Enum):
    """What a fix does, in this order."""

    WRITE = "write"
    READ_BACK = "read_back"
    REDEPLOY = "redeploy"
    CHECK = "check"


@dataclass(frozen=True, kw_only=True, slots=True)
class FixStepResult:
    """How a step ended, in a sentence on what was done and what was not."""

    step: FixStep
    succeeded: bool
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FixResult:
    """What a fix did. `layers` are those of its last examination, `None` where it did not come to that."""

    steps: tuple[FixStepResult, ...]
    layers: LayerResults | None = None


async def apply_fix(
    plan: FixPlan,
    railway: Railway,
    examine: Callable[[], Awaitable[LayerResults]],
    *,
    profile: DatabaseProfile,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    step_timeout: timedelta = STEP_TIMEOUT,
) -> FixResult:
    """Carry out the plan; a step that fails ends it. Raises nothing for what Railway does.

    `examine` examines the database with the console's URL and token, since this process still has its own. It is
    called once the new deployment runs, until everything works, for two minutes at most; `clock` is in seconds.
    """
    if not plan.redeploys:
        return FixResult(steps=())
    fix = _Fix(plan, railway, examine, profile, step_timeout)
    is_done = await fix.write() and await fix.read_back() and await fix.redeploy()
    if is_done:
        end = clock() + _RECHECK_FOR.total_seconds()
        while not await fix.check():
            if clock() + fix.pause_seconds > end:
                fix.give_up()
                break
            await sleep(fix.pause_seconds)
    return FixResult(steps=tuple(fix.steps), layers=fix.layers)


class _Fix:
    """A fix under way: the steps that were done, and what the last ones found."""

    def __init__(
        self,
        plan: FixPlan,
        railway: Railway,
        examine: Callable[[], Awaitable[LayerResults]],
        profile: DatabaseProfile,
        step_timeout: timedelta,
    ) -> None:
        self.steps: list[FixStepResult] = []
        self.layers: LayerResults | None = None
        self._plan = plan
        self._railway = railway
        self._examine = examine
        self._profile = profile
        self._step_timeout = step_timeout
        self._before: Deployment | None = None
        self._new: Deployment | None = None

    @property
    def pause_seconds(self) -> float:
        return _PAUSE_SECONDS if self.layers is None else _PAUSE_AFTER_EXAMINATION_SECONDS

    async def write(self) -> bool:
        """Write what the plan writes; false when that failed."""
        try:
            # Without it nobody could tell the new deployment from the old one.
            self._before = await self._newest_deployment()
            changed = await self._changed_since()
        except WebError as error:
            return self._note(FixStep.WRITE, f"Railway: {error}. Nothing was changed.", succeeded=False)
        if changed:
            detail = f"{' and '.join(changed)} of service {self._plan.service} changed since. Nothing was written."
            return self._note(FixStep.WRITE, detail, succeeded=False)
        if not self._plan.writes:
            return True
        names = " and ".join(write.name for write in self._plan.writes)
        values = {write.name: write.value for write in self._plan.writes}
        try:
            await self._ask(lambda deadline: self._railway.write(values, deadline))
        except WebError as error:
            not_written = "was not written" if len(self._plan.writes) == 1 else "were not written"
            fate = not_written if error.was_refused else "may or may not have been written"
            detail = f"{names} of service {self._plan.service} {fate}; the service was not redeployed."
            return self._note(FixStep.WRITE, f"Railway: {error}. {detail}", succeeded=False)
        return self._note(FixStep.WRITE, f"Wrote {names} of service {self._plan.service}.", succeeded=True)

    async def read_back(self) -> bool:
        """Read what was written; false when Railway has another value."""
        if not self._plan.writes:
            return True
        service = self._plan.service
        try:
            stored = (await self._ask(self._railway.variables)).stored
        except WebError as error:
            # Railway has confirmed the write, so it goes on.
            detail = f"Railway: {error}. Whether service {service} has the new value was not read back."
            self._note(FixStep.READ_BACK, detail, succeeded=False)
            return True
        names = " and ".join(write.name for write in self._plan.writes)
        wrong = [one.name for one in self._plan.writes if not one.value.is_same_as(stored.get(one.name, ""))]
        if wrong:
            detail = (
                f"Railway shows another value of {' and '.join(wrong)} of service {service} than was written; "
                "the service was not redeployed. See its variables on Railway."
            )
            return self._note(FixStep.READ_BACK, detail, succeeded=False)
        shas = " and ".join(write.value.fingerprint() for write in self._plan.writes)
        detail = f"Read back: Railway has the new value of {names} (sha256 {shas})."
        return self._note(FixStep.READ_BACK, detail, succeeded=True)

    async def redeploy(self) -> bool:
        """Ask for the deployment; false when that failed."""
        service = self._plan.service
        try:
            await self._ask(self._railway.redeploy)
        except WebError as error:
            written = "The variables are written but not deployed" if self._plan.writes else "Nothing was written"
            fate = "was not redeployed" if error.was_refused else "may or may not have been redeployed"
            detail = f"{written}; service {service} {fate}. Look at its deployments on Railway."
            return self._note(FixStep.REDEPLOY, f"Railway: {error}. {detail}", succeeded=False)
        return self._note(FixStep.REDEPLOY, f"Asked Railway to redeploy service {service}.", succeeded=True)

    async def check(self) -> bool:
        """Whether the new deployment has started and everything works; true when that is decided."""
        service = self._plan.service
        try:
            newest = await self._newest_deployment()
        except WebError as error:
            logger.warning("fix: the deployments of service {} were not read: {}", service, error)
            return False
        if newest is None or (self._before is not None and newest.id == self._before.id):
            return False
        self._new = newest
        if newest.is_in_progress:
            return False
        if newest.has_failed:
            detail = (
                f"The new deployment of service {service} {newest.status.lower()}. The variables are as planned; "
                "what ran before may still be running. Read the deployment's logs on Railway."
            )
            self._note(FixStep.CHECK, detail, succeeded=False)
            return True
        self.layers = await self._examine()
        if not self._works(self.layers):
            return False
        detail = f"Service {service} was deployed, and everything examined works."
        return self._note(FixStep.CHECK, detail, succeeded=True)

    def give_up(self) -> None:
        """Note what is still missing when the time is over."""
        if self.layers is not None:
            platform, advice = self.layers.result_of(Layer.PLATFORM), word(judge(self.layers, self._profile))
            failed = platform.state is LayerState.FAILED
            left = f"The new deployment runs, but: {platform.detail + '.' if failed else advice.meaning}"
        elif self._new is not None:
            left = f"The new deployment is still {self._new.status.lower()}."
        else:
            left = "No new deployment was seen."
        seconds = f"{_RECHECK_FOR.total_seconds():g} s"
        detail = f"Not everything works after {seconds}. {left} Run the doctor again in a while."
        self._note(FixStep.CHECK, detail, succeeded=False)

    async def _changed_since(self) -> list[str]:
        """The variables that are not as they were when the plan was made; raises `WebError`.

        Those that are not written count as well: beside another URL a token that was refused may work.
        """
        now = await self._ask(self._railway.variables)
        before = {**self._plan.seen, **{one.name: one.old for one in self._plan.writes}}
        written = {one.name for one in self._plan.writes}
        return [
            name
            for name, old in before.items()
            if (now.stored.get(name) or None) != (old.reveal() if old else None)
            or (name in written and name in now.sealed)
        ]

    async def _newest_deployment(self) -> Deployment | None:
        deployments = await self._ask(self._railway.deployments)
        return deployments[0] if deployments else None

    async def _ask(self, request: Callable[[Deadline], _T]) -> _T:
        return await on_daemon_thread(lambda: request(Deadline(self._step_timeout)), name="fix")

    def _note(self, step: FixStep, detail: str, *, succeeded: bool) -> bool:
        """Keep and log how a step ended; returns `succeeded`."""
        self.steps.append(FixStepResult(step=step, succeeded=succeeded, detail=detail))
        logger.log("INFO" if succeeded else "WARNING", "fix: {}", detail)
        return succeeded

    def _works(self, layers: LayerResults) -> bool:
        # Unknown is allowed: the values of sealed variables cannot be read back.
        platform = layers.result_of(Layer.PLATFORM)
        return judge(layers, self._profile).code in _WORKING and platform.state is not LayerState.FAILED
