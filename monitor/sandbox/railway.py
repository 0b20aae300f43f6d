"""A stand-in for Railway's public GraphQL API: one environment of one project, with services.

Names are those of Railway's schema. Variables live in three places, as there: stored, staged by a person in the
dashboard, and those that the running deployment was started with. A redeploy takes the stored ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monitor.sandbox.graphql import Field, Operation, SyntaxMistakeError, pick, read
from monitor.sandbox.loopback import Reply, Request, StandIn, as_json
from monitor.sandbox.railway_service import Deployment, Service

PROJECT = "0e5b1f0c-1111-4aaa-8bbb-000000000001"
ENVIRONMENT = "0e5b1f0c-2222-4aaa-8bbb-000000000002"


class _GraphQlError(Exception):
    """What Railway says in its `errors`."""


class RailwayStandIn(StandIn):
    """The project. `project_token` opens its environment, `account_token` all of it.

    `errors`, by the name of a field, are answered in place of it. With `is_incomplete` the other fields of a
    question are answered all the same, otherwise none is.
    """

    def __init__(self, *, project_token: str, account_token: str) -> None:
        self.project_token = project_token
        self.account_token = account_token
        self.services: list[Service] = []
        self.errors: dict[str, str] = {}
        self.is_incomplete = False
        super().__init__()

    def add(self, name: str, **variables: str) -> Service:
        """Add a service that was deployed with these variables."""
        number = len(self.services)
        service = Service(id=f"0e5b1f0c-3333-4aaa-8bbb-{number:012d}", name=name)
        service.stored.update(variables)
        service.deploy()
        self.services.append(service)
        return service

    def operations(self) -> list[Operation]:
        """Every operation that came in, read."""
        return [self._read(request) for request in self.requests]

    def changes(self) -> list[str]:
        """The names of the mutations that came in, in order."""
        return [field.name for one in self.operations() if one.kind == "mutation" for field in one.fields]

    def answer(self, request: Request) -> Reply:
        try:
            operation = self._read(request)
        except (SyntaxMistakeError, ValueError, TypeError) as error:
            return as_json({"errors": [_error(str(error), "GRAPHQL_PARSE_FAILED")]}, 400)
        data: dict[str, Any] = {}
        errors = []
        for field in operation.fields:
            try:
                data[field.alias] = self._field(operation.kind, field, request.headers)
            except SyntaxMistakeError as error:
                return as_json({"errors": [_error(str(error), "GRAPHQL_VALIDATION_FAILED")]}, 400)
            except _GraphQlError as error:
                data[field.alias] = None
                errors.append({**_error(str(error), "INTERNAL_SERVER_ERROR"), "path": [field.alias]})
        if not errors:
            return as_json({"data": data})
        return as_json({"data": data if self.is_incomplete else None, "errors": errors})

    def _read(self, request: Request) -> Operation:
        query = json.loads(request.body)
        return read(query["query"], query.get("variables") or {})

    def _field(self, kind: str, field: Field, headers: Mapping[str, str]) -> Any:
        resolvers = {"query": self._queries(), "mutation": self._mutations()}[kind]
        if field.name not in resolvers:
            raise SyntaxMistakeError(f'Cannot query field "{field.name}" on type "{kind.title()}".')
        self._let_in(field, headers)
        if field.name in self.errors:
            raise _GraphQlError(self.errors[field.name])
        return pick(resolvers[field.name](dict(field.arguments)), field.selection, field.name)

    def _let_in(self, field: Field, headers: Mapping[str, str]) -> None:
        is_projects = headers.get("project-access-token") == self.project_token
        if field.name == "projectToken" and not is_projects:
            raise _GraphQlError("Project Token not found")
        if not is_projects and headers.get("authorization") != f"Bearer {self.account_token}":
            raise _GraphQlError("Not Authorized")

    def _queries(self) -> dict[str, Any]:
        return {
            "projectToken": lambda _: {"projectId": PROJECT, "environmentId": ENVIRONMENT},
            "project": self._project,
            "variables": lambda given: self._service(given).shown(is_rendered=not given.get("unrendered")),
            "variablesForServiceDeployment": lambda given: self._service(given).shown(is_rendered=True),
            "environment": self._environment,
            "environmentStagedChanges": self._staged_changes,
            "deployments": self._deployments,
            "deploymentSnapshot": self._snapshot,
            "deploymentLogs": self._logs,
        }

    def _mutations(self) -> dict[str, Any]:
        return {
            "variableCollectionUpsert": self._upsert,
            "serviceInstanceRedeploy": lambda given: self._service({**given, "projectId": PROJECT}).redeploy(),
            "variableDelete": self._delete,
        }

    def _project(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if given.get("id") != PROJECT:
            raise _GraphQlError("Project not found")
        return {
            "id": PROJECT,
            "name": "example",
            "services": _connection([one.identity() for one in self.services]),
        }

    def _environment(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if given.get("id") != ENVIRONMENT:
            raise _GraphQlError("Environment not found")
        listed = [entry for service in self.services for entry in service.listed()]
        return {
            "id": ENVIRONMENT,
            "name": "production",
            "variables": lambda given: _connection(listed[: given.get("first", 100)]),
        }

    def _staged_changes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if given.get("environmentId") != ENVIRONMENT:
            raise _GraphQlError("Environment not found")
        staged = [service for service in self.services if service.staged]

        def patch(given: Mapping[str, Any]) -> dict[str, Any]:
            is_clear = given.get("decryptVariables") is True
            return {"services": {one.id: one.patch(is_clear=is_clear) for one in staged}} if staged else {}

        return {"id": "<empty>" if not staged else "patch", "status": "STAGED", "patch": patch}

    def _deployments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        service = self._service(given["input"])
        service.settle()
        newest_first = [one.identity() for one in reversed(service.deployments)]
        return _connection(newest_first[: given.get("first", 20)])

    def _snapshot(self, given: Mapping[str, Any]) -> dict[str, Any]:
        service, deployment = self._deployment(given["deploymentId"])
        shown = {name: value for name, value in deployment.variables.items() if name not in service.sealed}
        return {"id": "snapshot", "variables": shown}

    def _logs(self, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        service, _ = self._deployment(given["deploymentId"])
        lines = service.log[-given.get("limit", 100) :]
        return [
            {"timestamp": "2026-11-23T14:00:00.000Z", "message": line, "severity": "info", "attributes": []}
            for line in lines
        ]

    def _upsert(self, given: Mapping[str, Any]) -> bool:
        change = dict(given["input"])
        service = self._service(change)
        unknown = set(change) - {"projectId", "environmentId", "serviceId", "variables", "replace", "skipDeploys"}
        if unknown:
            raise _GraphQlError(f"Field {sorted(unknown)[0]} is not defined by type VariableCollectionUpsertInput")
        if change.get("replace"):
            service.stored.clear()
        service.store(change["variables"])
        if not change.get("skipDeploys"):
            service.redeploy()
        return True

    def _delete(self, given: Mapping[str, Any]) -> bool:
        return self._service(given["input"]).stored.pop(given["input"]["name"], None) is not None

    def _service(self, given: Mapping[str, Any]) -> Service:
        if given.get("projectId") != PROJECT or given.get("environmentId") != ENVIRONMENT:
            raise _GraphQlError("Not Authorized")
        service = next((one for one in self.services if one.id == given.get("serviceId")), None)
        if service is None:
            raise _GraphQlError("Service not found")
        return service

    def _deployment(self, identity: str) -> tuple[Service, Deployment]:
        for service in self.services:
            for deployment in service.deployments:
                if deployment.id == identity:
                    return service, deployment
        raise _GraphQlError("Deployment not found")


def _connection(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "edges": [{"node": one, "cursor": str(number)} for number, one in enumerate(found)],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
    }


def _error(message: str, code: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}, "traceId": "0123456789"}
