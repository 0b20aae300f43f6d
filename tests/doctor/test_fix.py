"""The fix, against a Railway on loopback: what is done, the details when a step fails, what is not changed.

The clock is the test's own: the two minutes pass in a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from time import monotonic

import pytest
from loguru import logger

from monitor.checks.observation import Outcome
from monitor.diagnosis.verdicts import REST_LAYERS, Layer, LayerResult, LayerResults, LayerState
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.fix import FixResult, FixStep, apply_fix
from monitor.doctor.fix_plan import FixPlan, credentials_for_plan, plan_fix
from monitor.doctor.platform import read_platform
from monitor.doctor.railway import Railway, RailwayAccess
from monitor.doctor.tried_values import Attempt, Attempts, AttemptState, Credentials
from monitor.doctor.worker_variables import ExpectedValues
from monitor.lib.text import Scrubber, Secret
from monitor.sandbox.railway import RailwayStandIn
from monitor.sandbox.server import WebFault
from tests.judging import PROFILE

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


async def answers(credentials: Collection[Credentials]) -> Attempts:
    """What a database with the new token answers."""
    new = Secret(NEW)
    states = {one: AttemptState.ACCEPTED if one.token == new else AttemptState.REFUSED for one in credentials}
    return {one: Attempt(state=state) for one, state in states.items()}


def expected_with(token: str) -> ExpectedValues:
    names = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
    return ExpectedValues(
        url=URL, token=Secret(token), url_variable=names[0], token_variable=names[1], console=CONSOLE
    )


class FixCase:
    """A worker with an old token on Railway, its fix, and a clock that only sleeping moves."""

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

    async def examine(self) -> LayerResults:
        """The platform as it really is; REST passes unless `works` is false."""
        self.examinations += 1
        layers = [LayerResult(layer=layer, state=LayerState.PASSED) for layer in REST_LAYERS]
        if not self.works:
            layers[5] = LayerResult(layer=Layer.TOKEN, state=LayerState.FAILED, outcome=Outcome.TOKEN_REJECTED)
        found = await read_platform(self.railway, expected_with(NEW), timeout=LONG, try_all=answers)
        layers.append(found.result)
        return LayerResults(database="main", layers=tuple(layers))

    def plan(self) -> FixPlan:
        expected = expected_with(OLD)
        found = asyncio.run(read_platform(self.railway, expected, timeout=LONG, try_all=answers))
        assert found.variables is not None
        attempts = asyncio.run(answers(credentials_for_plan(found.variables, expected, CONSOLE)))
        return plan_fix(
            found.variables,
            expected,
            CONSOLE,
            attempts,
            service="worker",
            other_names=found.other_names,
            undeployed=found.undeployed,
        )

    def apply_fix(self, plan: FixPlan | None = None, *, step_timeout: timedelta = LONG) -> FixResult:
        """Apply a fix; none may show a value, or change anything else."""
        before = (dict(self.api.services[0].stored), self.worker.stored["DATABASE_URL"])
        plan = plan or self.plan()
        sink = logger.add(lambda message: self.log.append(str(message)), level="DEBUG", format="{level} {message}")
        try:
            result = asyncio.run(
                apply_fix(
                    plan,
                    self.railway,
                    self.examine,
                    profile=PROFILE,
                    clock=lambda: self.now,
                    sleep=self.sleep,
                    step_timeout=step_timeout,
                )
            )
        finally:
            logger.remove(sink)
        shown = f"{result!r} {[done.detail for done in result.steps]} {self.log}"
        assert not [secret for secret in (OLD, NEW, TOKEN) if secret in shown]
        assert (dict(self.api.services[0].stored), self.worker.stored["DATABASE_URL"]) == before
        assert set(self.api.changes()) <= {WRITES, REDEPLOYS}
        return result


def is_fixed(result: FixResult) -> bool:
    return steps_of(result)[-1:] == [(FixStep.CHECK, True)]


def steps_of(result: FixResult) -> list[tuple[FixStep, bool]]:
    return [(done.step, done.succeeded) for done in result.steps]


@pytest.fixture
def case() -> Iterator[FixCase]:
    with RailwayStandIn(project_token=TOKEN, account_token="unused-account-token") as api:
        yield FixCase(api)


def test_a_worker_with_an_old_token_is_fixed(case: FixCase) -> None:
    """Written without a deployment of its own, deployed once, checked until it works; the log has each step."""
    result = case.apply_fix()
    done = [(step, True) for step in (FixStep.WRITE, FixStep.READ_BACK, FixStep.REDEPLOY, FixStep.CHECK)]
    assert steps_of(result) == done
    assert is_fixed(result)
    assert result.layers is not None
    assert case.worker.running["UPSTASH_REDIS_REST_TOKEN"] == NEW
    assert case.api.changes() == [WRITES, REDEPLOYS]
    assert len(case.worker.deployments) == 2
    assert [line.strip() for line in case.log] == [
        "INFO fix: Wrote UPSTASH_REDIS_REST_TOKEN of service worker.",
        "INFO fix: Read back: Railway has the new value of UPSTASH_REDIS_REST_TOKEN (sha256 "
        f"{Secret(NEW).fingerprint()}).",
        "INFO fix: Asked Railway to redeploy service worker.",
        "INFO fix: Service worker was deployed, and everything examined works.",
    ]


def test_only_what_is_wrong_is_written_and_nothing_is_replaced(case: FixCase) -> None:
    """The request to Railway names one variable, skips deploys, and does not ask for the rest to be deleted."""
    case.apply_fix()
    write = next(one for one in case.api.operations() if one.kind == "mutation")
    change = write.variables["input"]
    assert change["variables"] == {"UPSTASH_REDIS_REST_TOKEN": NEW}
    assert change["skipDeploys"] is True
    assert "replace" not in change
    assert change["serviceId"] == case.worker.id


def test_what_is_right_and_not_deployed_is_only_deployed(case: FixCase) -> None:
    """Somebody has set the token and forgotten to deploy."""
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": NEW})
    result = case.apply_fix()
    assert steps_of(result) == [(FixStep.REDEPLOY, True), (FixStep.CHECK, True)]
    assert case.api.changes() == [REDEPLOYS]


def test_a_deployment_never_brings_what_may_belong_to_another_database(case: FixCase) -> None:
    """Stored by somebody, and not yet running: the deployment for this database's sake would bring it as well."""
    case.worker.store({"CACHE_REST_TOKEN": "AXspoiled", "LOG_LEVEL": "debug"})
    plan = case.plan()
    assert (case.apply_fix(plan).steps, case.api.changes()) == ((), [])
    assert plan.lines()[-1] == (
        "a deployment would also bring CACHE_REST_TOKEN, which is stored and does not run yet, so nothing is "
        "written: deploy it first if it is right, or change it back"
    )


def test_what_else_a_deployment_brings_is_named(case: FixCase) -> None:
    """Whoever is asked may want to look at it first; what Railway itself changes is none of it."""
    case.worker.store({"LOG_LEVEL": "debug", "RAILWAY_DEPLOYMENT_ID": "another"})
    plan = case.plan()
    assert plan.lines()[-2:] == (
        "mind that the deployment also brings what is stored and does not run yet: LOG_LEVEL",
        "redeploy service worker",
    )
    assert is_fixed(case.apply_fix(plan))


def test_a_plan_with_nothing_to_do_does_nothing(case: FixCase) -> None:
    """All is right and deployed: no request is made, no step is claimed."""
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": NEW})
    case.worker.deploy()
    plan = case.plan()
    asked = len(case.api.requests)
    result = case.apply_fix(plan)
    assert (result.steps, is_fixed(result), len(case.api.requests)) == ((), False, asked)


def test_missing_variables_are_added(case: FixCase) -> None:
    """Both, in one change."""
    for name in ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"):
        del case.worker.stored[name]
    result = case.apply_fix()
    assert is_fixed(result)
    assert result.steps[0].detail == "Wrote UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN of service worker."
    assert case.worker.running["UPSTASH_REDIS_REST_URL"] == URL


def test_a_sealed_variable_is_not_written(case: FixCase) -> None:
    """Nobody can see whether its value works, so a person has to change it."""
    case.worker.sealed.add("UPSTASH_REDIS_REST_TOKEN")
    assert (case.apply_fix().steps, case.api.changes()) == ((), [])


def test_what_changed_since_it_was_tried_is_not_overwritten(case: FixCase) -> None:
    """Somebody set another token while the question was open: that one was not tried."""
    plan = case.plan()
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": "AXacl33333333333333333333333333"})
    result = case.apply_fix(plan)
    assert steps_of(result) == [(FixStep.WRITE, False)]
    assert result.steps[0].detail == (
        "UPSTASH_REDIS_REST_TOKEN of service worker changed since. Nothing was written."
    )
    assert case.api.changes() == []


def test_a_refused_token_stays_where_its_url_changed_since(case: FixCase) -> None:
    """Somebody set another database's URL while the question was open: with that one the token may work."""
    plan = case.plan()
    case.worker.store({"UPSTASH_REDIS_REST_URL": "https://other-dog-54321.upstash.io"})
    result = case.apply_fix(plan)
    assert result.steps[0].detail == "UPSTASH_REDIS_REST_URL of service worker changed since. Nothing was written."
    assert case.api.changes() == []


def test_a_variable_that_was_sealed_since_is_not_written(case: FixCase) -> None:
    """Missing when the plan was made; by now somebody has set it, and nobody can see to what."""
    del case.worker.stored["UPSTASH_REDIS_REST_TOKEN"]
    case.worker.deploy()
    plan = case.plan()
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": "AXacl33333333333333333333333333"})
    case.worker.sealed.add("UPSTASH_REDIS_REST_TOKEN")
    assert steps_of(case.apply_fix(plan)) == [(FixStep.WRITE, False)]
    assert case.api.changes() == []


def test_a_write_that_railway_does_not_show_is_told(case: FixCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirmed, and not there when it is read back: nothing is deployed on top of it."""
    plan = case.plan()
    monkeypatch.setattr(case.worker, "store", lambda _: None)
    result = case.apply_fix(plan)
    assert steps_of(result) == [(FixStep.WRITE, True), (FixStep.READ_BACK, False)]
    assert result.steps[1].detail.startswith(
        "Railway shows another value of UPSTASH_REDIS_REST_TOKEN of service worker than was written"
    )
    assert case.api.changes() == [WRITES]


def test_a_write_that_cannot_be_read_back_is_deployed_all_the_same(
    case: FixCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Railway has confirmed it; that it was not read back is told."""
    plan, store = case.plan(), case.worker.store

    def store_and_fail(values: dict[str, str]) -> None:
        store(values)
        case.api.errors["variables"] = "Problem processing request"

    monkeypatch.setattr(case.worker, "store", store_and_fail)
    case.works = False
    result = case.apply_fix(plan)
    assert steps_of(result)[:3] == [(FixStep.WRITE, True), (FixStep.READ_BACK, False), (FixStep.REDEPLOY, True)]
    assert "was not read back" in result.steps[1].detail


def test_nothing_is_examined_before_the_new_deployment_runs(case: FixCase) -> None:
    """It builds for half a minute; only then is there anything to examine."""
    case.worker.deploy_seconds = 3600
    examinations: list[int] = []

    def pass_time() -> None:
        examinations.append(case.examinations)
        if case.now >= 30:
            case.worker.deployments[-1].ready_at = 0.0

    case.after_sleep = pass_time
    assert is_fixed(case.apply_fix())
    assert (case.now, set(examinations), case.examinations) == (30.0, {0}, 1)


def test_the_old_deployment_is_not_taken_for_the_new_one(case: FixCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Railway may take a moment before it lists the new one; until then there is nothing to examine."""
    begin = case.worker.redeploy
    # The stand-in lists a deployment at once, so it is held back here.
    monkeypatch.setattr(case.worker, "redeploy", lambda: True)

    def pass_time() -> None:
        if case.now == 10:
            begin()

    case.after_sleep = pass_time
    assert is_fixed(case.apply_fix())
    assert (case.now, case.examinations) == (10.0, 1)


def test_after_two_minutes_the_detail_is_what_is_left(case: FixCase) -> None:
    """A build may take longer; the variables are written and it goes on by itself."""
    case.worker.deploy_seconds = 3600
    result = case.apply_fix()
    assert steps_of(result)[-1] == (FixStep.CHECK, False)
    assert not is_fixed(result)
    assert result.steps[-1].detail == (
        "Not everything works after 120 s. The new deployment is still building. Run the doctor again in a while."
    )
    assert case.now == 120.0
    assert len(case.api.requests) < 40


def test_a_failure_that_stays_is_named_by_its_verdict(case: FixCase) -> None:
    """The worker has the console's token, and the database does not take it yet."""
    case.works = False
    result = case.apply_fix()
    assert not is_fixed(result)
    assert result.layers is not None
    assert "The new deployment runs, but: The database was reached" in result.steps[-1].detail
    assert case.now <= 120
    assert len(case.api.requests) < 100


def test_a_staged_change_is_named_by_its_layer(case: FixCase) -> None:
    """What a person has staged is not deployed by this, and would undo it when it is."""
    case.worker.stage(UPSTASH_REDIS_REST_TOKEN=OLD)
    result = case.apply_fix()
    assert not is_fixed(result)
    assert "UPSTASH_REDIS_REST_TOKEN is set but not deployed" in result.steps[-1].detail
    assert case.worker.running["UPSTASH_REDIS_REST_TOKEN"] == NEW


@pytest.mark.parametrize("status", ["FAILED", "CRASHED"])
def test_a_deployment_that_fails_ends_the_wait(case: FixCase, status: str) -> None:
    """There is nothing to wait for; the next step is to read Railway's logs."""
    case.worker.next_end_status = status
    result = case.apply_fix()
    assert steps_of(result)[-1] == (FixStep.CHECK, False)
    assert f"The new deployment of service worker {status.lower()}." in result.steps[-1].detail
    assert (case.now, case.examinations) == (0.0, 0)


def test_when_railway_refuses_the_write_nothing_was_done(case: FixCase) -> None:
    """The detail says so; no redeployment is tried."""
    plan = case.plan()
    case.api.errors[WRITES] = f"value {NEW} of UPSTASH_REDIS_REST_TOKEN is not allowed"
    result = case.apply_fix(plan)
    assert steps_of(result) == [(FixStep.WRITE, False)]
    assert result.steps[0].detail == (
        "Railway: it answers with an error: value *** of UPSTASH_REDIS_REST_TOKEN is not allowed. "
        "UPSTASH_REDIS_REST_TOKEN of service worker was not written; the service was not redeployed."
    )
    assert case.worker.stored["UPSTASH_REDIS_REST_TOKEN"] == OLD
    assert case.api.changes() == [WRITES]


@pytest.mark.parametrize("fault", [WebFault.CUT, WebFault.SERVER_ERROR, WebFault.HTML, WebFault.HANG])
def test_when_the_answer_to_the_write_is_lost_the_detail_claims_nothing(case: FixCase, fault: WebFault) -> None:
    """Nobody knows whether it was done."""
    plan = case.plan()
    case.api.fault_of[WRITES] = fault
    began = monotonic()
    result = case.apply_fix(plan, step_timeout=timedelta(seconds=0.5))
    assert monotonic() - began < 10
    assert steps_of(result) == [(FixStep.WRITE, False)]
    assert "may or may not have been written; the service was not redeployed" in result.steps[0].detail


def test_when_the_redeployment_is_refused_the_variables_are_written(case: FixCase) -> None:
    """The details name what was done and what was not."""
    case.api.errors[REDEPLOYS] = "Not Authorized"
    result = case.apply_fix()
    assert steps_of(result) == [(FixStep.WRITE, True), (FixStep.READ_BACK, True), (FixStep.REDEPLOY, False)]
    assert (
        "The variables are written but not deployed; service worker was not redeployed." in result.steps[2].detail
    )
    assert case.worker.stored["UPSTASH_REDIS_REST_TOKEN"] == NEW
    assert case.worker.running["UPSTASH_REDIS_REST_TOKEN"] == OLD


def test_nothing_is_changed_while_the_deployments_cannot_be_read(case: FixCase) -> None:
    """Without them nobody could tell the new deployment from the old one."""
    plan = case.plan()
    case.api.errors["deployments"] = "Problem processing request"
    result = case.apply_fix(plan)
    assert steps_of(result) == [(FixStep.WRITE, False)]
    assert result.steps[0].detail.endswith("Nothing was changed.")
    assert case.api.changes() == []


def test_a_request_that_fails_while_waiting_is_made_again(case: FixCase) -> None:
    """Railway limits the rate for a while."""
    case.worker.deploy_seconds = 3600

    def pass_time() -> None:
        if case.now == 5:
            case.api.fault = WebFault.RATE_LIMITED
        if case.now == 20:
            case.api.fault = WebFault.NONE
            case.worker.deployments[-1].ready_at = 0.0

    case.after_sleep = pass_time
    assert is_fixed(case.apply_fix())
    assert any("it limits the rate (429, again in 7 s)" in line for line in case.log)
