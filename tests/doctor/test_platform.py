"""The worker's service on Railway: its variables against ours and the console's, read and never changed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from datetime import timedelta
from time import monotonic

import pytest

from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import Layer, LayerState
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.platform import PlatformResult, read_platform
from monitor.doctor.railway import Railway, RailwayAccess
from monitor.doctor.tried_values import Attempt, Attempts, AttemptState, Credentials
from monitor.doctor.worker_variables import ExpectedValues
from monitor.lib.text import Scrubber, Secret
from monitor.sandbox.railway import ENVIRONMENT, PROJECT, RailwayService, RailwayStandIn
from monitor.sandbox.server import WebFault

HOST = "merry-cat-12345.upstash.io"
URL = f"https://{HOST}"
OLD, NEW = "AXold00000000000000000000000000", "AXnew11111111111111111111111111"
DSN = "postgres://app:pr1vate-Of-The-Worker@db.internal/app"
PROJECT_TOKEN, ACCOUNT_TOKEN = "pr0ject-t0ken-6f1d0c2a", "acc0unt-t0ken-8a7b6c5d"
SECRETS = (OLD, NEW, PROJECT_TOKEN, ACCOUNT_TOKEN, "pr1vate-Of-The-Worker")
LONG, SHORT = timedelta(seconds=20), timedelta(seconds=0.6)
CONSOLE = ConsoleDatabase(
    url=URL,
    rest_token=Secret(NEW),
    read_only_rest_token=Secret("AgReadOnly2222222222222222"),
    password=Secret(NEW),
)
FACTS = {
    "missing": Fact.WORKER_VARIABLE_MISSING,
    "staged": Fact.WORKER_VARIABLE_STAGED,
    "differs": Fact.WORKER_VARIABLE_DIFFERS,
    "sealed": Fact.WORKER_VARIABLE_SEALED,
    "the console's": Fact.WORKER_VARIABLE_IS_THE_CONSOLES,
    "refused": Fact.WORKER_TOKEN_REFUSED,
    "works": Fact.WORKER_HAS_ANOTHER_TOKEN,
}


class Project:
    """A project with a worker and another service, and what the doctor reads of it."""

    def __init__(self, api: RailwayStandIn) -> None:
        self.api = api
        self.answer = AttemptState.REFUSED
        api.add("web", UPSTASH_REDIS_REST_URL="https://other.upstash.io", UPSTASH_REDIS_REST_TOKEN="AXother")
        self.worker: RailwayService = api.add(
            "worker",
            UPSTASH_REDIS_REST_URL=URL,
            UPSTASH_REDIS_REST_TOKEN=NEW,
            DATABASE_URL=DSN,
            NODE_ENV="production",
        )

    def railway(self, *, service: str = "worker", **environment: str) -> Railway:
        access = RailwayAccess.from_environment(environment or {"RAILWAY_TOKEN": PROJECT_TOKEN})
        assert access is not None
        scrub = Scrubber((OLD, access.token.reveal()))
        return Railway(access, url=f"{self.api.url}/graphql/v2", service=service, scrub=scrub)

    def check(
        self,
        token: str = NEW,
        *,
        console: ConsoleDatabase | None = None,
        railway: Railway | None = None,
        timeout: timedelta = LONG,
        other_token_variables: frozenset[str] = frozenset(),
    ) -> PlatformResult:
        """Read the platform; the result may hold no secret, and nothing may be changed."""
        expected = ExpectedValues(
            url=URL,
            token=Secret(token),
            url_variable="UPSTASH_REDIS_REST_URL",
            token_variable="UPSTASH_REDIS_REST_TOKEN",
            console=console,
            other_token_variables=other_token_variables,
        )

        async def answers(credentials: Collection[Credentials]) -> Attempts:
            return {one: Attempt(state=self.answer) for one in credentials}

        reading = read_platform(railway or self.railway(), expected, timeout=timeout, try_all=answers)
        found = asyncio.run(reading)
        shown = f"{found!r} {found.result.detail}"
        assert not [secret for secret in SECRETS if secret in shown]
        assert found.result.layer is Layer.PLATFORM
        assert found.result.detail.isprintable()
        assert {operation.kind for operation in self.api.operations()} <= {"query"}
        return found


def state_and_facts(found: PlatformResult) -> tuple[LayerState, set[str]]:
    facts = {word for word, fact in FACTS.items() if fact in found.result.facts}
    assert len(facts) == len(found.result.facts)
    return found.result.state, facts


@pytest.fixture
def project() -> Iterator[Project]:
    with RailwayStandIn(project_token=PROJECT_TOKEN, account_token=ACCOUNT_TOKEN) as api:
        yield Project(api)


def test_a_worker_with_the_same_values_passes(project: Project) -> None:
    """With a console key, the detail says that they are the console's."""
    found = project.check()
    assert state_and_facts(found) == (LayerState.PASSED, set())
    assert found.result.detail == (
        "service worker: UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN are the same as here"
    )
    assert state_and_facts(project.check(console=CONSOLE)) == (LayerState.PASSED, {"the console's"})


def test_the_console_has_a_newer_token_than_the_worker(project: Project) -> None:
    """Rotated in the console; staged by a person; deployed."""
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": OLD})
    project.worker.deploy()
    found = project.check(OLD, console=CONSOLE)
    assert state_and_facts(found) == (LayerState.FAILED, {"refused"})
    assert "UPSTASH_REDIS_REST_TOKEN is refused by the database and different from the console's" in (
        found.result.detail
    )

    project.worker.stage(UPSTASH_REDIS_REST_TOKEN=NEW)
    found = project.check(OLD, console=CONSOLE)
    assert state_and_facts(found) == (LayerState.FAILED, {"staged", "the console's"})
    assert "UPSTASH_REDIS_REST_TOKEN is set but not deployed" in found.result.detail

    project.worker.deploy()
    assert state_and_facts(project.check(OLD, console=CONSOLE)) == (LayerState.PASSED, {"the console's"})


def test_a_value_that_was_stored_without_a_deployment_is_staged(project: Project) -> None:
    """Set by command with deploys skipped: what runs was started with the old one, as its snapshot shows."""
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": OLD})
    project.worker.deploy()
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": NEW})
    assert state_and_facts(project.check()) == (LayerState.FAILED, {"staged"})
    project.worker.redeploy()
    assert state_and_facts(project.check()) == (LayerState.PASSED, set())


def test_a_redeployment_in_progress_is_shown(project: Project) -> None:
    """Until it stands, the old one runs with the old value."""
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": OLD})
    project.worker.deploy()
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": NEW})
    project.worker.deploy_seconds = 60
    project.worker.redeploy()
    found = project.check()
    assert state_and_facts(found) == (LayerState.FAILED, {"staged"})
    assert "its newest deployment is BUILDING" in found.result.detail


def test_missing_and_different_values_are_distinguished(project: Project) -> None:
    """The other service of the project has its own variables, which are nobody's business here."""
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": OLD})
    project.worker.deploy()
    assert state_and_facts(project.check()) == (LayerState.FAILED, {"differs", "refused"})
    del project.worker.stored["UPSTASH_REDIS_REST_TOKEN"]
    project.worker.deploy()
    found = project.check()
    assert state_and_facts(found) == (LayerState.FAILED, {"missing"})
    assert found.result.detail.startswith("service worker: UPSTASH_REDIS_REST_TOKEN is not set")


def test_another_token_that_the_database_accepts_passes(project: Project) -> None:
    """An ACL user's on the worker, the console's here; where it could not be tried, nothing is known of it."""
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": OLD})
    project.worker.deploy()
    project.answer = AttemptState.ACCEPTED
    for console in (None, CONSOLE):
        found = project.check(console=console)
        assert state_and_facts(found) == (LayerState.PASSED, {"works"})
        assert "UPSTASH_REDIS_REST_TOKEN is another token that works" in found.result.detail
    project.answer = AttemptState.NOT_TRIED
    assert state_and_facts(project.check()) == (LayerState.UNKNOWN, set())


def test_only_what_has_to_do_with_this_database_is_kept(project: Project) -> None:
    """The worker's other secrets do not leave this layer."""
    project.worker.store({"CACHE_REST_URL": URL, "CACHE_REST_TOKEN": OLD, "REDIS_URL": f"rediss://x:{OLD}@{HOST}"})
    found = project.check()
    names = {"UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "REDIS_URL"}
    assert found.variables is not None
    assert set(found.variables) == names
    project.worker.store({"UPSTASH_REDIS_REST_URL": "https://other.upstash.io"})
    found = project.check()
    assert found.variables is not None
    assert set(found.variables) == {"CACHE_REST_URL", "CACHE_REST_TOKEN", "REDIS_URL"}


def test_a_sealed_variable_is_not_called_missing(project: Project) -> None:
    """Its value never leaves Railway, but that it is there can be seen."""
    project.worker.sealed.add("UPSTASH_REDIS_REST_TOKEN")
    found = project.check(console=CONSOLE)
    assert state_and_facts(found) == (LayerState.UNKNOWN, {"sealed"})
    assert "UPSTASH_REDIS_REST_TOKEN is not shown, as sealed variables are not" in found.result.detail


def test_a_rediss_url_is_compared_by_its_password(project: Project) -> None:
    """A worker that has REDIS_URL in place of the pair; a reference is seen as its value."""
    for name in ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"):
        del project.worker.stored[name]
    project.worker.store({"SECRET": NEW, "REDIS_URL": f"rediss://default:${{{{SECRET}}}}@{HOST}:6379"})
    project.worker.deploy()
    found = project.check(console=CONSOLE)
    assert state_and_facts(found) == (LayerState.PASSED, {"the console's"})
    assert found.result.detail == "service worker: REDIS_URL is the console's"
    project.worker.store({"SECRET": OLD})
    project.worker.deploy()
    assert state_and_facts(project.check(console=CONSOLE)) == (LayerState.FAILED, {"differs", "refused"})
    assert found.variables is not None
    assert found.variables["REDIS_URL"].is_reference


def test_the_log_shows_what_the_worker_met_without_its_secrets(project: Project) -> None:
    """The last lines on Redis; the worker's own secrets, not known here before, are hidden as well."""
    project.worker.log += [
        "listening on 8080",
        f"redis: connecting to rediss://default:{OLD}@{HOST}:6379",
        f"ReplyError: WRONGPASS invalid username-password pair, sent {NEW}",
        f"unrelated: {DSN}",
        f"redis pool and {DSN} down",
    ]
    found = project.check()
    assert found.result.state is LayerState.PASSED
    assert "log: ReplyError: WRONGPASS invalid username-password pair, sent ***" in found.result.detail
    assert f"log: redis: connecting to rediss://***@{HOST}:6379" in found.result.detail
    assert "log: redis pool and postgres://***@" in found.result.detail
    assert "listening" not in found.result.detail
    assert "unrelated" not in found.result.detail


def test_a_reference_that_was_kept_unresolved_is_not_another_value(project: Project) -> None:
    """Should Railway keep the reference and not its value, what runs is not known; it is not called staged."""
    project.worker.store({"SECRET": NEW, "UPSTASH_REDIS_REST_TOKEN": "${{SECRET}}"})
    project.worker.is_rendered = False
    project.worker.deploy()
    assert state_and_facts(project.check()) == (LayerState.PASSED, set())


def test_a_secret_that_looks_like_a_word_is_hidden_in_the_log(project: Project) -> None:
    """It is recognised because it is the value of a variable."""
    project.worker.store({"SESSION_SECRET": "correct horse battery"})
    project.worker.log.append("redis: session correct horse battery was lost")
    assert "log: redis: session *** was lost" in project.check().result.detail


def test_a_service_that_was_never_deployed_is_shown_as_such(project: Project) -> None:
    """There is nothing that runs, and nothing to read a log from."""
    project.worker.deployments.clear()
    found = project.check()
    assert found.result.detail.endswith("it was never deployed")


def test_a_crashed_deployment_is_shown_with_its_log(project: Project) -> None:
    """What it was started with is what the worker had."""
    project.worker.next_end_status = "CRASHED"
    project.worker.redeploy()
    project.worker.log.append("redis: NOAUTH Authentication required")
    found = project.check()
    assert "its newest deployment is CRASHED" in found.result.detail
    assert "log: redis: NOAUTH Authentication required" in found.result.detail


def test_an_unknown_service_is_unknown_and_the_known_ones_are_named(project: Project) -> None:
    """The usual mistake is a name in the settings."""
    found = project.check(railway=project.railway(service="queue"))
    assert state_and_facts(found) == (LayerState.UNKNOWN, set())
    assert found.variables is None
    assert found.result.detail == (
        "not read: no service is named queue (there are: web, worker); set doctor.service"
    )


def test_a_project_token_knows_its_project(project: Project) -> None:
    """It goes into a header of its own, and the ids in the environment do not matter beside it."""
    railway = project.railway(RAILWAY_TOKEN=PROJECT_TOKEN, RAILWAY_PROJECT_ID="elsewhere")
    assert project.check(railway=railway).result.state is LayerState.PASSED
    assert {request.headers["project-access-token"] for request in project.api.requests} == {PROJECT_TOKEN}
    assert not any("authorization" in request.headers for request in project.api.requests)


def test_an_account_token_needs_the_ids(project: Project) -> None:
    """As Bearer, with the ids that Railway puts into every service's environment."""
    place = {"RAILWAY_PROJECT_ID": PROJECT, "RAILWAY_ENVIRONMENT_ID": ENVIRONMENT}
    found = project.check(railway=project.railway(RAILWAY_API_TOKEN=ACCOUNT_TOKEN, **place))
    assert found.result.state is LayerState.PASSED
    assert {request.headers["authorization"] for request in project.api.requests} == {f"Bearer {ACCOUNT_TOKEN}"}
    found = project.check(railway=project.railway(RAILWAY_API_TOKEN=ACCOUNT_TOKEN))
    assert found.result.detail == (
        "not read: RAILWAY_API_TOKEN needs RAILWAY_PROJECT_ID and RAILWAY_ENVIRONMENT_ID"
    )


def test_a_token_without_access_is_unknown(project: Project) -> None:
    """An account's token in RAILWAY_TOKEN is the usual mistake, so the words say which kind is wanted."""
    found = project.check(railway=project.railway(RAILWAY_TOKEN=ACCOUNT_TOKEN))
    assert state_and_facts(found) == (LayerState.UNKNOWN, set())
    assert "it must be a token of the project" in found.result.detail
    place = {"RAILWAY_PROJECT_ID": PROJECT, "RAILWAY_ENVIRONMENT_ID": ENVIRONMENT}
    found = project.check(railway=project.railway(RAILWAY_API_TOKEN="wrong", **place))
    assert found.result.detail == "not read: RAILWAY_API_TOKEN does not open this"


@pytest.mark.parametrize(
    "fault", [fault for fault in WebFault if fault not in (WebFault.NONE, WebFault.HANG, WebFault.DRIP)]
)
@pytest.mark.parametrize("part", ["projectToken", "services", "stored: variables"])
def test_an_odd_answer_is_unknown(project: Project, fault: WebFault, part: str) -> None:
    """At whichever question that the layer cannot do without: no facts, no variables for a fix."""
    project.api.fault_of[part] = fault
    found = project.check()
    assert state_and_facts(found) == (LayerState.UNKNOWN, set())
    assert found.variables is None
    assert found.result.detail.startswith("not read: ")


OPTIONAL = ["environmentStagedChanges", "deployments(", "deploymentSnapshot", "deploymentLogs"]


@pytest.mark.parametrize("fault", [WebFault.HTML, WebFault.OTHER_SHAPE, WebFault.HANG])
@pytest.mark.parametrize("part", OPTIONAL)
def test_without_the_other_answers_the_variables_are_known(project: Project, fault: WebFault, part: str) -> None:
    """One question that hangs or fails costs only its own answer."""
    project.api.fault_of[part] = fault
    project.worker.log.append("redis: WRONGPASS")
    del project.worker.stored["UPSTASH_REDIS_REST_TOKEN"]
    found = project.check(timeout=timedelta(seconds=1.5))
    assert state_and_facts(found) == (LayerState.FAILED, {"missing"})
    is_log_lost = part in ("deployments(", "deploymentLogs")
    assert is_log_lost or "log: redis: WRONGPASS" in found.result.detail


@pytest.mark.parametrize("message", ["Problem processing request", "Not Authorized"])
@pytest.mark.parametrize(
    "field", ["environmentStagedChanges", "deployments", "deploymentSnapshot", "deploymentLogs"]
)
def test_errors_arrive_with_status_200_and_cost_their_field(project: Project, field: str, message: str) -> None:
    """A field that this token may not read, or that Railway has done away with."""
    project.api.errors[field] = message
    assert state_and_facts(project.check()) == (LayerState.PASSED, set())


@pytest.mark.parametrize("field", ["environment", "variablesForServiceDeployment"])
@pytest.mark.parametrize("is_incomplete", [True, False])
def test_a_refused_part_of_the_query_for_variables_does_not_cost_the_rest(
    project: Project, field: str, is_incomplete: bool
) -> None:
    """GraphQL drops a whole answer for a part that must not be null; then the variables are asked for alone."""
    project.api.errors[field] = "Not Authorized"
    project.api.is_incomplete = is_incomplete
    assert state_and_facts(project.check()) == (LayerState.PASSED, set())


def test_what_is_absent_is_not_called_missing_while_sealing_is_not_known(project: Project) -> None:
    """Without the list of the sealed ones a variable that is not shown may be there all the same."""
    project.api.errors["environment"] = "Not Authorized"
    project.api.is_incomplete = True
    del project.worker.stored["UPSTASH_REDIS_REST_TOKEN"]
    assert state_and_facts(project.check()) == (LayerState.UNKNOWN, {"sealed"})


def test_without_a_snapshot_what_runs_is_not_known(project: Project) -> None:
    """Then a stored value that is right may not be deployed, and nobody can tell."""
    project.api.errors["deploymentSnapshot"] = "Cannot query field"
    found = project.check()
    assert "what the running deployment has is not known" in found.result.detail


def test_an_error_that_repeats_what_was_sent_is_scrubbed(project: Project) -> None:
    """Foreign words, scrubbed, on one line, and cut."""
    project.api.errors["project"] = f"bad\n\x1b[31mvalue {PROJECT_TOKEN} and {OLD} {'x' * 500}"
    found = project.check()
    assert found.result.detail.startswith("not read: it answers with an error: bad value *** and ***")
    assert len(found.result.detail) < 200


@pytest.mark.parametrize("message", ["Rate limit exceeded", "Too many requests"])
def test_a_rate_limit_is_recognised_in_either_form(project: Project, message: str) -> None:
    """With status 429 and Retry-After, or among the errors of status 200."""
    project.api.errors["projectToken"] = message
    assert project.check().result.detail == "not read: it limits the rate"
    project.api.fault = WebFault.RATE_LIMITED
    assert project.check().result.detail == "not read: it limits the rate (429, again in 7 s)"


@pytest.mark.parametrize("fault", [WebFault.HANG, WebFault.DRIP])
def test_an_api_that_hangs_or_drips_ends_at_the_timeout(project: Project, fault: WebFault) -> None:
    """The time given is for all questions together."""
    project.api.fault = fault
    began = monotonic()
    assert state_and_facts(project.check(timeout=SHORT)) == (LayerState.UNKNOWN, set())
    assert monotonic() - began < 6


def test_the_service_is_found_once(project: Project) -> None:
    """Railway's smallest plan answers a hundred requests an hour."""
    railway = project.railway()
    project.check(railway=railway)
    first = len(project.api.requests)
    project.check(railway=railway)
    assert (first, len(project.api.requests) - first) == (7, 5)


@pytest.mark.parametrize("mark", [None, "*******"])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_value_that_is_null_or_stars_counts_as_sealed(
    project: Project, mark: str | None, is_listed: bool
) -> None:
    """How Railway shows a sealed value is not documented; neither of these is a different token."""
    project.worker.sealed.add("UPSTASH_REDIS_REST_TOKEN")
    project.worker.sealed_as["UPSTASH_REDIS_REST_TOKEN"] = mark
    if not is_listed:
        project.api.errors["environment"] = "Not Authorized"
    assert state_and_facts(project.check()) == (LayerState.UNKNOWN, {"sealed"})


@pytest.mark.parametrize("mark", ["", "[sealed]"])
def test_what_stands_in_place_of_a_sealed_value_is_never_tried(project: Project, mark: str) -> None:
    """Whatever it is: a fix that took it for the value would write over one that may work."""
    project.worker.sealed.add("UPSTASH_REDIS_REST_TOKEN")
    project.worker.sealed_as["UPSTASH_REDIS_REST_TOKEN"] = mark
    found = project.check()
    assert state_and_facts(found) == (LayerState.UNKNOWN, {"sealed"})
    assert found.variables is not None
    assert found.variables["UPSTASH_REDIS_REST_TOKEN"].stored is None


def test_a_token_is_known_to_be_read_for_another_database(project: Project) -> None:
    """By the settings, or through a reference whose URL by its name leads elsewhere; another name here is none."""
    own = "UPSTASH_REDIS_REST_TOKEN"

    def read_by_others(*names: str) -> tuple[str, ...]:
        found = project.check(other_token_variables=frozenset(names))
        assert found.variables is not None
        return found.variables[own].read_by_others

    assert read_by_others() == ()
    assert read_by_others(own, "SHOP_TOKEN") == (own,)
    project.worker.store(
        {"KV_REST_API_URL": URL, "KV_REST_API_TOKEN": f"${{{{{own}}}}}", "SHOP_TOKEN": f"${{{{ {own} }}}}"}
    )
    assert read_by_others() == ()
    assert read_by_others("SHOP_TOKEN") == ("SHOP_TOKEN",)
    project.worker.store({"KV_REST_API_URL": "https://gone-dog-1.upstash.io"})
    assert read_by_others() == ("KV_REST_API_TOKEN",)
    # Through another reference, and round in a circle.
    project.worker.store({"KV_REST_API_TOKEN": "${{SHOP_TOKEN}}", "SHOP_TOKEN": f"${{{{{own}}}}}"})
    assert read_by_others() == ("KV_REST_API_TOKEN",)
    project.worker.store({"SHOP_TOKEN": "${{KV_REST_API_TOKEN}}"})
    assert read_by_others() == ()


@pytest.mark.parametrize("reference", ["${{shared.TOKEN}}", "${{EMPTY}}"])
def test_a_reference_that_was_not_resolved_counts_as_not_shown(project: Project, reference: str) -> None:
    """As one to a sealed variable may come: as it was written, or as nothing. What is behind it may work."""
    project.worker.store({"UPSTASH_REDIS_REST_TOKEN": reference, "EMPTY": ""})
    found = project.check()
    assert found.variables is not None
    token = found.variables["UPSTASH_REDIS_REST_TOKEN"]
    assert (token.stored, token.is_sealed) == (None, True)


def test_access_does_not_print_its_token() -> None:
    """Neither kind, and no token at all is no access."""
    for name in ("RAILWAY_TOKEN", "RAILWAY_API_TOKEN"):
        assert PROJECT_TOKEN not in repr(RailwayAccess.from_environment({name: PROJECT_TOKEN}))
    assert RailwayAccess.from_environment({"RAILWAY_PROJECT_ID": PROJECT}) is None
