"""A stand-in for Railway's public GraphQL API: one environment of one project, with services.

Names are those of Railway's schema. Variables live in three places, as there: stored, staged by a person in the
dashboard, and those that the running deployment was started with. A redeploy takes the stored ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor.sandbox.server import WebService

PROJECT = "0e5b1f0c-1111-4aaa-8bbb-000000000001"
ENVIRONMENT = "0e5b1f0c-2222-4aaa-8bbb-000000000002"
_OPERATION = re.compile(r"(query|mutation)\s+(\w+)")
_FIELD_OF_ALIAS = {"stored": "variables", "unrendered": "variables", "next": "variablesForServiceDeployment"}
_WORD = re.compile(r"[A-Za-z_]\w*")
# All fields, arguments and types that the operations below may use: a misspelt one is refused, as by Railway.
_SCHEMA = set(
    _WORD.findall("""
        query mutation true String Int DeploymentListInput VariableCollectionUpsertInput
        projectToken project services variables variablesForServiceDeployment environment environmentStagedChanges
        deployments deploymentSnapshot deploymentLogs variableCollectionUpsert serviceInstanceRedeploy
        projectId environmentId serviceId deploymentId input first limit unrendered decryptVariables
        edges node id name isSealed status patch createdAt timestamp message severity stored next
    """)
)


@dataclass(kw_only=True)
class RailwayDeployment:
    """One deployment with the variables it was started with. At `ready_at` its status becomes `end_status`."""

    variables: dict[str, str]
    ready_at: float
    end_status: str = "SUCCESS"
    id: str = field(default_factory=lambda: str(uuid4()))
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def status(self) -> str:
        return self.end_status if monotonic() >= self.ready_at else "BUILDING"


@dataclass(kw_only=True)
class RailwayService:
    """A service. `stored` variables reach it with the next redeploy; `staged` ones when a person deploys them.

    A value such as `${{NAME}}` refers to another variable of the service. What is in `sealed` is never shown; what
    the API has in its place is not documented: `sealed_as`, and without it nothing.
    `deploy_seconds`, `next_end_status` and `is_rendered` (references are resolved in what is kept of it) are for
    deployments to come.
    """

    name: str
    id: str = field(default_factory=lambda: str(uuid4()))
    stored: dict[str, str] = field(default_factory=dict)
    staged: dict[str, str | None] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    sealed_as: dict[str, str | None] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    deployments: list[RailwayDeployment] = field(default_factory=list)
    deploy_seconds: float = 0.0
    next_end_status: str = "SUCCESS"
    is_rendered: bool = True

    @property
    def running(self) -> dict[str, str]:
        """The variables that the service has now."""
        return next((one.variables for one in reversed(self.deployments) if one.status == "SUCCESS"), {})

    def statuses(self) -> list[str]:
        """One for each deployment. When one has succeeded, Railway removes the one before it."""
        statuses = [one.status for one in self.deployments]
        return [
            "REMOVED" if status == "SUCCESS" and "SUCCESS" in statuses[number:] else status
            for number, status in enumerate(statuses, start=1)
        ]

    def store(self, variables: Mapping[str, str]) -> None:
        """Set variables without deploying them."""
        # Not changed in place: the server's thread may be reading them.
        self.stored = {**self.stored, **variables}

    def stage(self, **variables: str | None) -> None:
        """Change variables in the dashboard, where they wait for a person's deployment; `None` takes one away."""
        self.staged.update(variables)

    def deploy(self) -> None:
        """A person's deployment: with all that is staged, done at once."""
        changed = {**self.stored, **self.staged}
        self.stored = {name: value for name, value in changed.items() if value is not None}
        self.staged = {}
        self._begin(seconds=0.0, end_status="SUCCESS")

    def redeploy(self) -> None:
        """The API's redeployment: the present commit with the stored variables, ready after `deploy_seconds`."""
        self._begin(seconds=self.deploy_seconds, end_status=self.next_end_status)

    def shown(self, *, is_rendered: bool) -> dict[str, str | None]:
        """The variables as the API shows them: without the sealed ones, references resolved or not."""
        values = self._rendered() if is_rendered else self.stored
        return {name: value for name, value in values.items() if name not in self.sealed} | self.sealed_as

    def _begin(self, *, seconds: float, end_status: str) -> None:
        variables = self._rendered() if self.is_rendered else dict(self.stored)
        ready_at = monotonic() + seconds
        self.deployments.append(RailwayDeployment(variables=variables, ready_at=ready_at, end_status=end_status))

    def _rendered(self) -> dict[str, str]:
        return {name: _render(value, self.stored) for name, value in self.stored.items()}


def _render(value: str, variables: Mapping[str, str]) -> str:
    """The value with the references in it resolved, and those in what they stand for."""
    for _ in variables:
        for name, other in variables.items():
            value = value.replace(f"${{{{{name}}}}}", other)
    return value


class _GraphQlError(Exception):
    """What Railway says in its `errors`."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation that came in: its kind (`query` or `mutation`), its name and its variables."""

    kind: str
    name: str
    variables: Mapping[str, Any]


class RailwayStandIn(WebService):
    """The project. `project_token` opens its environment, `account_token` all of it.

    Operations are known by their names, which are those of the doctor's client; no GraphQL is parsed.
    `errors`, by the name of a field, are answered in place of it. With `is_incomplete` the other fields of an
    operation are answered all the same, otherwise none is.
    """

    def __init__(self, *, project_token: str, account_token: str) -> None:
        self.project_token = project_token
        self.account_token = account_token
        self.services: list[RailwayService] = []
        self.errors: dict[str, str] = {}
        self.is_incomplete = False
        # For each operation the fields that it selects, by their aliases, and what answers them.
        self._operations: dict[str, dict[str, Callable[[Mapping[str, Any]], Any]]] = {
            "TokenScope": {"projectToken": lambda _: {"projectId": PROJECT, "environmentId": ENVIRONMENT}},
            "ProjectServices": {"project": self._project},
            "ServiceVariables": {
                "stored": self._variables,
                "unrendered": lambda given: self._service(given).shown(is_rendered=False),
                "next": self._variables,
                "environment": self._environment,
            },
            "StoredVariables": {"stored": self._variables},
            "StagedChanges": {"environmentStagedChanges": self._staged_changes},
            "ServiceDeployments": {"deployments": self._deployments},
            "DeploymentSnapshot": {"deploymentSnapshot": self._snapshot},
            "DeploymentLogs": {"deploymentLogs": self._logs},
            "WriteVariables": {"variableCollectionUpsert": self._upsert},
            "RedeployService": {"serviceInstanceRedeploy": self._redeploy},
        }
        super().__init__(Starlette(routes=[Route("/{path:path}", self._answer_operation, methods=["POST"])]))

    def add(self, name: str, **variables: str) -> RailwayService:
        """Add a service that was deployed with these variables."""
        service = RailwayService(name=name, stored=variables)
        service.deploy()
        self.services.append(service)
        return service

    def operations(self) -> list[Operation]:
        """Every operation that came in."""
        return [self._read(request.body) for request in self.requests]

    def changes(self) -> list[str]:
        """The fields of the mutations that came in, in order."""
        return [name for one in self.operations() if one.kind == "mutation" for name in self._operations[one.name]]

    async def _answer_operation(self, request: Request) -> Response:
        try:
            operation = self._read(await request.body())
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"errors": [{"message": str(error)}]}, 400)
        data: dict[str, Any] = {}
        errors = []
        for alias, resolve in self._operations[operation.name].items():
            try:
                self._check(_FIELD_OF_ALIAS.get(alias, alias), request.headers)
                data[alias] = resolve(operation.variables)
            except _GraphQlError as error:
                data[alias] = None
                errors.append({"message": str(error), "path": [alias]})
        if not errors:
            return JSONResponse({"data": data})
        return JSONResponse({"data": data if self.is_incomplete else None, "errors": errors})

    def _read(self, body: bytes) -> Operation:
        """The operation in a request; raises `ValueError` for one that this stand-in or Railway's schema lacks."""
        request = json.loads(body)
        document: str = request["query"]
        named = _OPERATION.match(document)
        if named is None or named[2] not in self._operations:
            raise ValueError("wanted one operation, by a name that this stand-in knows")
        unknown = set(_WORD.findall(document[named.end() :])) - _SCHEMA
        if unknown:
            raise ValueError(f'Cannot query field "{min(unknown)}".')
        return Operation(kind=named[1], name=named[2], variables=request.get("variables") or {})

    def _check(self, field_name: str, headers: Mapping[str, str]) -> None:
        is_of_project = headers.get("project-access-token") == self.project_token
        if field_name == "projectToken" and not is_of_project:
            raise _GraphQlError("Project Token not found")
        if not is_of_project and headers.get("authorization") != f"Bearer {self.account_token}":
            raise _GraphQlError("Not Authorized")
        if field_name in self.errors:
            raise _GraphQlError(self.errors[field_name])

    def _project(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if given.get("projectId") != PROJECT:
            raise _GraphQlError("Project not found")
        return {"services": _connection([{"id": one.id, "name": one.name} for one in self.services])}

    def _variables(self, given: Mapping[str, Any]) -> dict[str, str | None]:
        return self._service(given).shown(is_rendered=True)

    def _environment(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._check_environment(given)
        variables = [
            {"name": name, "serviceId": service.id, "isSealed": name in service.sealed}
            for service in self.services
            for name in service.stored
        ]
        return {"variables": _connection(variables)}

    def _staged_changes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._check_environment(given)
        services = {
            service.id: {
                "variables": {
                    name: None if value is None else {"value": value} for name, value in service.staged.items()
                }
            }
            for service in self.services
            if service.staged
        }
        return {"status": "STAGED", "patch": {"services": services} if services else {}}

    def _deployments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        service = self._service(given["input"])
        listed = [
            {"id": one.id, "status": status, "createdAt": one.created_at}
            for one, status in zip(service.deployments, service.statuses(), strict=True)
        ]
        return _connection(listed[::-1])

    def _snapshot(self, given: Mapping[str, Any]) -> dict[str, Any]:
        service, deployment = self._deployment(given["deploymentId"])
        shown = {name: value for name, value in deployment.variables.items() if name not in service.sealed}
        return {"variables": shown}

    def _logs(self, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        service, _ = self._deployment(given["deploymentId"])
        time = "2026-11-23T14:00:00.000Z"
        lines = service.log[-given.get("limit", 100) :]
        return [{"timestamp": time, "message": line, "severity": "info"} for line in lines]

    def _upsert(self, given: Mapping[str, Any]) -> bool:
        """As documented: `replace` deletes what is not named, and without `skipDeploys` it deploys."""
        change = dict(given["input"])
        service = self._service(change)
        unknown = set(change) - {"projectId", "environmentId", "serviceId", "variables", "replace", "skipDeploys"}
        if unknown:
            raise _GraphQlError(f"Field {min(unknown)} is not defined by type VariableCollectionUpsertInput")
        if change.get("replace"):
            service.stored = {}
        service.store(change["variables"])
        if not change.get("skipDeploys"):
            service.redeploy()
        return True

    def _redeploy(self, given: Mapping[str, Any]) -> bool:
        self._service({**given, "projectId": PROJECT}).redeploy()
        return True

    def _check_environment(self, given: Mapping[str, Any]) -> None:
        if given.get("environmentId") != ENVIRONMENT:
            raise _GraphQlError("Environment not found")

    def _service(self, given: Mapping[str, Any]) -> RailwayService:
        if given.get("projectId") != PROJECT or given.get("environmentId") != ENVIRONMENT:
            raise _GraphQlError("Not Authorized")
        for service in self.services:
            if service.id == given.get("serviceId"):
                return service
        raise _GraphQlError("Service not found")

    def _deployment(self, deployment_id: str) -> tuple[RailwayService, RailwayDeployment]:
        for service in self.services:
            for deployment in service.deployments:
                if deployment.id == deployment_id:
                    return service, deployment
        raise _GraphQlError("Deployment not found")


def _connection(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"edges": [{"node": node} for node in nodes]}
