"""The stand-ins for the console and Railway answer as the documented services do; tests and demo rely on it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from monitor.lib.bounded_http import Answer, NoAnswerError, ask
from monitor.sandbox.console import ConsoleStandIn
from monitor.sandbox.railway import ENVIRONMENT, PROJECT, RailwayStandIn
from monitor.sandbox.server import WebFault

LONG = timedelta(seconds=20)
PROJECT_TOKEN, ACCOUNT_TOKEN = "project-token", "account-token"


@pytest.fixture
def console() -> Iterator[ConsoleStandIn]:
    with ConsoleStandIn(email="a@example.com", api_key="key") as console:
        yield console


@pytest.fixture
def railway() -> Iterator[RailwayStandIn]:
    with RailwayStandIn(project_token=PROJECT_TOKEN, account_token=ACCOUNT_TOKEN) as railway:
        yield railway


def call(console: ConsoleStandIn, method: str, path: str, key: str = "key") -> tuple[int, Any]:
    pair = base64.b64encode(f"a@example.com:{key}".encode()).decode()
    answer = ask(method, f"{console.url}/v2/redis{path}", timeout=LONG, headers={"Authorization": f"Basic {pair}"})
    return answer.status, json.loads(answer.body) if answer.status == 200 else None


def query(
    railway: RailwayStandIn, document: str, headers: Mapping[str, str] | None = None, **variables: Any
) -> Answer:
    return ask(
        "POST",
        railway.url,
        timeout=LONG,
        headers=headers or {"Authorization": f"Bearer {ACCOUNT_TOKEN}"},
        json={"query": document, "variables": variables},
    )


def test_the_console_lists_and_shows(console: ConsoleStandIn) -> None:
    """The three calls that read, a wrong key, an unknown id; none that changes anything."""
    database = console.add("merry-cat-12345", rest_token="AXtoken")
    status, entries = call(console, "GET", "/databases")
    assert (status, [entry["endpoint"] for entry in entries]) == (200, ["merry-cat-12345"])
    path = f"/database/{database.database_id}"
    assert call(console, "GET", path)[1]["rest_token"] == "AXtoken"
    assert call(console, "GET", f"/stats/{database.database_id}")[1]["total_monthly_requests"] == 1200
    assert call(console, "GET", "/databases", key="wrong")[0] == 401
    assert call(console, "GET", "/database/unknown")[0] == 404
    assert call(console, "PUT", path)[0] == 405
    assert call(console, "POST", f"/reset-password/{database.database_id}")[0] == 404


def test_a_reset_changes_all_credentials(console: ConsoleStandIn) -> None:
    """As a person does it; an older database's password stays another value."""
    current, older = console.add("a-1", rest_token="AXa"), console.add("b-2", rest_token="AXb", password="0" * 32)
    before = {current.rest_token, current.read_only_rest_token, older.rest_token, older.password}
    current.rotate()
    older.rotate()
    after = {current.rest_token, current.read_only_rest_token, older.rest_token, older.password}
    assert not before & after
    assert current.password == current.rest_token
    assert older.password != older.rest_token


def test_railway_keeps_stored_staged_and_running_apart(railway: RailwayStandIn) -> None:
    """Deployed; stored without a deployment; staged by a person; redeployed; deployed by that person."""
    worker = railway.add("worker", NAME="one")
    worker.store({"NAME": "two"})
    worker.stage(NAME="three")
    assert (worker.running["NAME"], worker.stored["NAME"]) == ("one", "two")
    worker.redeploy()
    assert worker.running["NAME"] == "two"
    worker.deploy()
    assert worker.running["NAME"] == "three"
    assert worker.staged == {}
    assert worker.statuses() == ["REMOVED", "REMOVED", "SUCCESS"]


def test_a_redeployment_takes_a_moment_and_may_fail(railway: RailwayStandIn) -> None:
    """Until it stands, and when it fails, the old one runs on."""
    worker = railway.add("worker", NAME="one")
    worker.store({"NAME": "two"})
    worker.deploy_seconds, worker.next_end_status = 3600, "FAILED"
    worker.redeploy()
    assert (worker.deployments[-1].status, worker.running["NAME"]) == ("BUILDING", "one")
    worker.deployments[-1].ready_at = 0.0
    assert (worker.deployments[-1].status, worker.running["NAME"]) == ("FAILED", "one")


def test_railway_lets_nobody_in_without_the_right_token(railway: RailwayStandIn) -> None:
    """Refusals come with status 200 among the errors; a project token is not a Bearer."""
    scope = "query TokenScope { projectToken { projectId environmentId } }"
    inside = query(railway, scope, {"Project-Access-Token": PROJECT_TOKEN})
    assert json.loads(inside.body) == {
        "data": {"projectToken": {"projectId": PROJECT, "environmentId": ENVIRONMENT}}
    }
    for headers in ({"Authorization": f"Bearer {PROJECT_TOKEN}"}, {"Authorization": f"Bearer {ACCOUNT_TOKEN}"}):
        outside = query(railway, scope, headers)
        assert outside.status == 200
        assert json.loads(outside.body)["errors"][0]["message"] == "Project Token not found"
    project = "query ProjectServices($projectId: String!) { project(id: $projectId) { services } }"
    assert "Not Authorized" in query(railway, project, {"Authorization": "Bearer wrong"}, projectId=PROJECT).body


@pytest.mark.parametrize(
    "document",
    [
        "query TokenScope { projectToken { secret } }",
        "query Nothing { projectToken { projectId } }",
        "query { projectToken { projectId } }",
        "TokenScope",
    ],
)
def test_railway_refuses_what_is_not_in_its_schema(railway: RailwayStandIn, document: str) -> None:
    """A misspelt field, an unknown name or none: such an operation must not pass the client's tests."""
    answer = query(railway, document, {"Project-Access-Token": PROJECT_TOKEN})
    assert answer.status == 400
    assert json.loads(answer.body)["errors"][0]["message"]


def test_an_upsert_keeps_the_rest_unless_it_replaces(railway: RailwayStandIn) -> None:
    """As documented: `replace` deletes what is not named, and without `skipDeploys` it deploys."""
    worker = railway.add("worker", KEPT="1", NAME="one")
    arguments = "($input: VariableCollectionUpsertInput!)"
    document = f"mutation WriteVariables{arguments} {{ variableCollectionUpsert(input: $input) }}"
    place = {"projectId": PROJECT, "environmentId": ENVIRONMENT, "serviceId": worker.id}
    query(railway, document, input={**place, "variables": {"NAME": "two"}, "skipDeploys": True})
    assert (worker.stored, len(worker.deployments)) == ({"KEPT": "1", "NAME": "two"}, 1)
    query(railway, document, input={**place, "variables": {"NAME": "three"}, "replace": True})
    assert (worker.stored, len(worker.deployments)) == ({"NAME": "three"}, 2)
    assert "not defined" in query(railway, document, input={**place, "variables": {}, "skipDeploy": True}).body
    assert railway.changes() == ["variableCollectionUpsert"] * 3


def test_a_fault_may_be_for_some_requests_only(console: ConsoleStandIn) -> None:
    """And requests that hang are let go when the fault changes, or at the end."""
    console.fault_of["/stats/"] = WebFault.HANG
    assert call(console, "GET", "/databases")[0] == 200
    with pytest.raises(NoAnswerError):
        ask("GET", f"{console.url}/v2/redis/stats/x", timeout=timedelta(seconds=0.2))
    assert [request.target for request in console.requests] == ["/v2/redis/databases", "/v2/redis/stats/x"]
