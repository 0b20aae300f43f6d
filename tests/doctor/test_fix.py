"""The fix, against a Railway on loopback: what is done, what is said when a step fails, what is not touched.

Time is the test's own: the two minutes pass in a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import monotonic

import pytest
from loguru import logger

from monitor.checks.observation import Outcome
from monitor.diagnosis.layers import REST_LAYERS, Layer, LayerResult, LayerResults, LayerState
from monitor.doctor.fix import FixResult, FixStep, apply_fix
from monitor.doctor.fix_plan import FixPlan, plan
from monitor.doctor.layers.console import ConsoleDatabase
from monitor.doctor.railway.api import Railway, RailwayAccess
from monitor.doctor.railway.layer import read_platform
from monitor.doctor.railway.variables import Known
from monitor.lib.secret import Secret
from monitor.lib.text import Scrubber
from monitor.sandbox.loopback import Mood
from monitor.sandbox.railway import RailwayStandIn

HOST = "merry-cat-12345.upstash.io"
URL = f"https://{HOST}"
OLD, NEW = "AXold00000000000000000000000000", "AXnew11111111111111111111111111"
TOKEN = "pr0ject-t0ken-6f1d0c2a"
LONG = timedelta(seconds=20)
CONSOLE = ConsoleDatabase(
    url=URL,
    rest_token=Secret(NEW),
    read_only_rest_token=Secret("AgReadOnly2222222222222222"),
    password=Secret(NEW),
)
WRITES, REDEPLOYS = "variableCollectionUpsert", "serviceInstanceRedeploy"


class Desk:
    """A worker with an old token on Railway, somebody who mends it, and a clock that only sleeping moves."""

    def __init__(self, api: RailwayStandIn) -> None:
        self.api = api
        api.add("web", UPSTASH_REDIS_REST_URL=URL, UPSTASH_REDIS_REST_TOKEN=OLD)
        self.worker = api.add(
            "worker", UPSTASH_REDIS_REST_URL=URL, UPSTASH_REDIS_REST_TOKEN=OLD, DATABASE_URL="postgres://db"
        )
        access = RailwayAccess.from_environment({"RAILWAY_TOKEN": TOKEN})
        assert access is not None
        self.railway = Railway(access, url=api.url, service="worker", scrub=Scrubber((TOKEN,)))
        self.now = 0.0
        self.examinations = 0
        self.log: list[str] = []
        self.works = True
        self.after_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.after_sleep()

    async def examine_layers(self) -> LayerResults:
        """The platform as it really is; what REST says is not what is tested here."""
        self.examinations += 1
        layers = [LayerResult(layer=layer, state=LayerState.PASSED) for layer in REST_LAYERS]
        if not self.works:
            layers[5] = LayerResult(layer=Layer.TOKEN, state=LayerState.FAILED, outcome=Outcome.TOKEN_REJECTED)
        known = Known(url=URL, token=Secret(NEW), console=CONSOLE)
        layers.append(read_platform(self.railway, known, timeout=LONG).result)
        return LayerResults(database="main", layers=tuple(layers))

    def plan(self) -> FixPlan:
        known = Known(url=URL, token=Secret(OLD), console=CONSOLE)
        variables = read_platform(self.railway, known, timeout=LONG).variables
        assert variables is not None
        return plan(variables, CONSOLE, service="worker")

    def apply_fix(self, made: FixPlan | None = None, *, step_timeout: timedelta = LONG) -> FixResult:
        """Mend, and hold what must hold for every fix: no value is said, and nothing else is touched."""
        before = (dict(self.api.services[0].stored), self.worker.stored["DATABASE_URL"])
        made = made or self.plan()
        sink = logger.add(lambda message: self.log.append(str(message)), level="DEBUG", format="{level} {message}")
        try:
            mended = asyncio.run(
                apply_fix(
                    made,
                    self.railway,
                    self.examine_layers,
                    clock=lambda: self.now,
                    sleep=self.sleep,
                    step_timeout=step_timeout,
                )
            )
        finally:
            logger.remove(sink)
        said = f"{mended!r} {[done.detail for done in mended.steps]} {self.log}"
        assert not [secret for secret in (OLD, NEW, TOKEN) if secret in said]
        assert (dict(self.api.services[0].stored), self.worker.stored["DATABASE_URL"]) == before
        assert set(self.api.changes()) <= {WRITES, REDEPLOYS}
        return mended


def said(mended: FixResult) -> list[tuple[FixStep, bool]]:
    return [(done.step, done.went_well) for done in mended.steps]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with RailwayStandIn(project_token=TOKEN, account_token="unused-account-token") as api:
        yield Desk(api)


def test_a_worker_with_an_old_token_is_mended(desk: Desk) -> None:
    """Written without a deployment of its own, deployed once, looked at until green; the log says each step."""
    mended = desk.apply_fix()
    assert said(mended) == [(FixStep.WRITE, True), (FixStep.REDEPLOY, True), (FixStep.CHECK, True)]
    assert mended.is_green
    assert mended.layers is not None
    assert desk.worker.running["UPSTASH_REDIS_REST_TOKEN"] == NEW
    assert desk.api.changes() == [WRITES, REDEPLOYS]
    assert len(desk.worker.deployments) == 2
    assert [line.strip() for line in desk.log] == [
        "INFO fix: Wrote UPSTASH_REDIS_REST_TOKEN of service worker.",
        "INFO fix: Asked Railway to redeploy service worker.",
        "INFO fix: Service worker was deployed with the console's URL and token, and all that is seen works.",
    ]


def test_only_what_is_wrong_is_written_and_nothing_is_replaced(desk: Desk) -> None:
    """The question to Railway names one variable, skips deploys, and does not ask for the rest to be deleted."""
    desk.apply_fix()
    write = next(one for one in desk.api.operations() if one.kind == "mutation").fields[0]
    change = write.arguments["input"]
    assert change["variables"] == {"UPSTASH_REDIS_REST_TOKEN": NEW}
    assert change["skipDeploys"] is True
    assert "replace" not in change
    assert change["serviceId"] == desk.worker.id


def test_what_is_right_and_not_deployed_is_only_deployed(desk: Desk) -> None:
    """Somebody has set the token and forgotten to deploy."""
    desk.worker.store({"UPSTASH_REDIS_REST_TOKEN": NEW})
    mended = desk.apply_fix()
    assert said(mended) == [(FixStep.REDEPLOY, True), (FixStep.CHECK, True)]
    assert desk.api.changes() == [REDEPLOYS]


def test_a_plan_with_nothing_to_do_does_nothing(desk: Desk) -> None:
    """All is right and deployed: no question is asked, no step is claimed."""
    desk.worker.store({"UPSTASH_REDIS_REST_TOKEN": NEW})
    desk.worker.deploy()
    made = desk.plan()
    asked = len(desk.api.requests)
    mended = desk.apply_fix(made)
    assert (mended.steps, mended.is_green, len(desk.api.requests)) == ((), False, asked)


def test_missing_variables_are_added(desk: Desk) -> None:
    """Both, in one change."""
    for name in ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"):
        del desk.worker.stored[name]
    mended = desk.apply_fix()
    assert mended.is_green
    assert mended.steps[0].detail == "Wrote UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN of service worker."
    assert desk.worker.running["UPSTASH_REDIS_REST_URL"] == URL


def test_a_sealed_variable_is_written_and_believed_when_the_deployment_stands(desk: Desk) -> None:
    """Its value cannot be read back; that a new deployment runs and REST works is all that can be seen."""
    desk.worker.sealed.add("UPSTASH_REDIS_REST_TOKEN")
    mended = desk.apply_fix()
    assert mended.is_green
    assert desk.worker.running["UPSTASH_REDIS_REST_TOKEN"] == NEW


def test_the_layers_is_not_climbed_before_the_new_deployment_stands(desk: Desk) -> None:
    """A diary: building for half a minute, then it stands; only then is there anything to see."""
    desk.worker.deploy_seconds = 3600
    examinations: list[int] = []

    def pass_time() -> None:
        examinations.append(desk.examinations)
        if desk.now >= 30:
            desk.worker.deployments[-1].ready_at = 0.0

    desk.after_sleep = pass_time
    assert desk.apply_fix().is_green
    assert (desk.now, set(examinations), desk.examinations) == (30.0, {0}, 1)


def test_the_old_deployment_is_not_taken_for_the_new_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Railway may take a moment before it lists the new one; until then there is nothing to look at."""
    begin = desk.worker.redeploy
    # The stand-in lists a deployment at once, so it is held back here.
    monkeypatch.setattr(desk.worker, "redeploy", lambda: True)

    def pass_time() -> None:
        if desk.now == 10:
            begin()

    desk.after_sleep = pass_time
    assert desk.apply_fix().is_green
    assert (desk.now, desk.examinations) == (10.0, 1)


def test_after_two_minutes_it_is_said_what_is_left(desk: Desk) -> None:
    """A build may take longer; the variables are written and it goes on by itself."""
    desk.worker.deploy_seconds = 3600
    mended = desk.apply_fix()
    assert said(mended)[-1] == (FixStep.CHECK, False)
    assert not mended.is_green
    assert mended.steps[-1].detail == (
        "Not all green after 120 s. The new deployment is still building. Run the doctor again in a while."
    )
    assert desk.now == 120.0
    assert len(desk.api.requests) < 40


def test_a_layers_that_stays_red_is_told_with_its_verdict(desk: Desk) -> None:
    """The worker has the console's token, and the database does not take it yet."""
    desk.works = False
    mended = desk.apply_fix()
    assert not mended.is_green
    assert mended.layers is not None
    assert "The new deployment stands, but: The database was reached" in mended.steps[-1].detail
    assert desk.now <= 120
    assert len(desk.api.requests) < 100


def test_a_staged_change_that_stands_in_the_way_is_told(desk: Desk) -> None:
    """What a person has staged is not deployed by this, and would undo it when it is."""
    desk.worker.stage(UPSTASH_REDIS_REST_TOKEN=OLD)
    mended = desk.apply_fix()
    assert not mended.is_green
    assert "UPSTASH_REDIS_REST_TOKEN is set but not deployed" in mended.steps[-1].detail
    assert desk.worker.running["UPSTASH_REDIS_REST_TOKEN"] == NEW


@pytest.mark.parametrize("status", ["FAILED", "CRASHED"])
def test_a_deployment_that_goes_wrong_ends_the_wait(desk: Desk, status: str) -> None:
    """There is nothing to wait for, and the way to go on is in Railway's logs."""
    desk.worker.next_ends = status
    mended = desk.apply_fix()
    assert said(mended)[-1] == (FixStep.CHECK, False)
    assert f"The new deployment of service worker {status.lower()}." in mended.steps[-1].detail
    assert (desk.now, desk.examinations) == (0.0, 0)


def test_when_railway_refuses_the_write_nothing_was_done(desk: Desk) -> None:
    """And that is what is said; no redeployment is tried."""
    made = desk.plan()
    desk.api.errors[WRITES] = f"value {NEW} of UPSTASH_REDIS_REST_TOKEN is not allowed"
    mended = desk.apply_fix(made)
    assert said(mended) == [(FixStep.WRITE, False)]
    assert mended.steps[0].detail == (
        "Railway: it answers with an error: value *** of UPSTASH_REDIS_REST_TOKEN is not allowed. "
        "UPSTASH_REDIS_REST_TOKEN of service worker was not written; the service was not redeployed."
    )
    assert desk.worker.stored["UPSTASH_REDIS_REST_TOKEN"] == OLD
    assert desk.api.changes() == [WRITES]


@pytest.mark.parametrize("mood", [Mood.CUT, Mood.SERVER_ERROR, Mood.HTML, Mood.HANG])
def test_when_the_answer_to_the_write_is_lost_that_is_said(desk: Desk, mood: Mood) -> None:
    """Nobody knows whether it was done, so nobody claims either."""
    made = desk.plan()
    desk.api.mood_of[WRITES] = mood
    began = monotonic()
    mended = desk.apply_fix(made, step_timeout=timedelta(seconds=0.5))
    assert monotonic() - began < 10
    assert said(mended) == [(FixStep.WRITE, False)]
    assert "may or may not have been written; the service was not redeployed" in mended.steps[0].detail


def test_when_the_redeployment_is_refused_the_variables_are_written(desk: Desk) -> None:
    """Half done is told as half done."""
    desk.api.errors[REDEPLOYS] = "Not Authorized"
    mended = desk.apply_fix()
    assert said(mended) == [(FixStep.WRITE, True), (FixStep.REDEPLOY, False)]
    assert (
        "The variables are written but not deployed; service worker was not redeployed." in mended.steps[1].detail
    )
    assert desk.worker.stored["UPSTASH_REDIS_REST_TOKEN"] == NEW
    assert desk.worker.running["UPSTASH_REDIS_REST_TOKEN"] == OLD


def test_nothing_is_changed_while_the_deployments_cannot_be_read(desk: Desk) -> None:
    """Without them nobody could tell the new deployment from the old one."""
    made = desk.plan()
    desk.api.errors["deployments"] = "Problem processing request"
    mended = desk.apply_fix(made)
    assert said(mended) == [(FixStep.WRITE, False)]
    assert mended.steps[0].detail.endswith("Nothing was changed.")
    assert desk.api.changes() == []


def test_a_question_that_is_lost_while_waiting_is_asked_again(desk: Desk) -> None:
    """Railway asks for patience for a while, and gets it."""
    desk.worker.deploy_seconds = 3600

    def pass_time() -> None:
        if desk.now == 5:
            desk.api.mood = Mood.RATE_LIMITED
        if desk.now == 20:
            desk.api.mood = Mood.WELL
            desk.worker.deployments[-1].ready_at = 0.0

    desk.after_sleep = pass_time
    assert desk.apply_fix().is_green
    assert any("it asks for patience (429, again in 7 s)" in line for line in desk.log)
