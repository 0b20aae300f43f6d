"""Railway's GraphQL API as far as the doctor needs it: one service, its variables, deployments and logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from monitor.doctor.web import WebError, fetch, format_status, parse_json
from monitor.lib.bounded_http import Answer
from monitor.lib.text import Scrubber, Secret, mask_credentials, one_line
from monitor.lib.times import Deadline

_SCOPE = "query TokenScope { projectToken { projectId environmentId } }"
_SERVICES = """query ProjectServices($projectId: String!) {
  project(id: $projectId) { services { edges { node { id name } } } }
}"""
_OF_SERVICE = "projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId"
_ARGUMENTS = "($projectId: String!, $environmentId: String!, $serviceId: String!)"
_VARIABLES = f"""query ServiceVariables{_ARGUMENTS} {{
  stored: variables({_OF_SERVICE})
  unrendered: variables({_OF_SERVICE}, unrendered: true)
  next: variablesForServiceDeployment({_OF_SERVICE})
  environment(id: $environmentId, projectId: $projectId) {{
    variables(first: 1000) {{ edges {{ node {{ name serviceId isSealed }} }} }}
  }}
}}"""
_VARIABLES_ALONE = f"query StoredVariables{_ARGUMENTS} {{ stored: variables({_OF_SERVICE}) }}"
_STAGED = """query StagedChanges($environmentId: String!) {
  environmentStagedChanges(environmentId: $environmentId) { status patch(decryptVariables: true) }
}"""
_DEPLOYMENTS = """query ServiceDeployments($input: DeploymentListInput!) {
  deployments(input: $input, first: 10) { edges { node { id status createdAt } } }
}"""
_SNAPSHOT = """query DeploymentSnapshot($deploymentId: String!) {
  deploymentSnapshot(deploymentId: $deploymentId) { variables }
}"""
_LOG = """query DeploymentLogs($deploymentId: String!, $limit: Int) {
  deploymentLogs(deploymentId: $deploymentId, limit: $limit) { timestamp message severity }
}"""
# Without `replace`, which would delete all other variables. `skipDeploys`: the one redeploy comes after this.
_WRITE = """mutation WriteVariables($input: VariableCollectionUpsertInput!) {
  variableCollectionUpsert(input: $input)
}"""
_REDEPLOY = """mutation RedeployService($serviceId: String!, $environmentId: String!) {
  serviceInstanceRedeploy(serviceId: $serviceId, environmentId: $environmentId)
}"""
REFERENCE = "${{"  # how a reference to another variable begins
_LOG_LINES = 300
_NO_ACCESS = re.compile(r"not authori[sz]ed|unauthori[sz]ed|project token not found|invalid token", re.IGNORECASE)
_RATE_LIMIT = re.compile(r"rate limit|too many requests", re.IGNORECASE)
_MESSAGE_LIMIT = 100
_READ_LIMIT = 4000
_NAMES_SHOWN = 5
_OTHER_SHAPE = "its answer has another shape than Railway's"
_RAN = ("SUCCESS", "SLEEPING", "CRASHED")
_IN_PROGRESS = ("INITIALIZING", "QUEUED", "WAITING", "NEEDS_APPROVAL", "BUILDING", "DEPLOYING")
_FAILED = ("FAILED", "CRASHED")


@dataclass(frozen=True, kw_only=True, slots=True)
class RailwayAccess:
    """What gives access to Railway's API. A project token knows its project and environment, others do not."""

    token: Secret
    is_project_token: bool
    project_id: str = ""
    environment_id: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """`RAILWAY_TOKEN` is a project's, `RAILWAY_API_TOKEN` an account's; `None` when neither is set."""
        given = {
            name: environment.get(f"RAILWAY_{name}", "").strip()
            for name in ("TOKEN", "API_TOKEN", "PROJECT_ID", "ENVIRONMENT_ID")
        }
        if not given["TOKEN"] and not given["API_TOKEN"]:
            return None
        return cls(
            token=Secret(given["TOKEN"] or given["API_TOKEN"]),
            is_project_token=bool(given["TOKEN"]),
            project_id=given["PROJECT_ID"],
            environment_id=given["ENVIRONMENT_ID"],
        )

    def header(self) -> dict[str, str]:
        if self.is_project_token:
            return {"Project-Access-Token": self.token.reveal()}
        return {"Authorization": f"Bearer {self.token.reveal()}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One deployment of the service, by Railway's own words for its status."""

    id: str
    status: str

    @property
    def is_in_progress(self) -> bool:
        return self.status in _IN_PROGRESS

    @property
    def has_failed(self) -> bool:
        return self.status in _FAILED

    @property
    def has_run(self) -> bool:
        return self.status in _RAN


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ServiceVariables:
    """A service's variables, in the clear: never printed.

    `stored` is what is set; `unrendered` has references as they were written; `next` is what Railway says that a
    deployment gets; `sealed` are those whose values are not shown, those behind a reference that was not resolved
    among them. Where sealing is not known, one that is absent may be among them.
    """

    stored: Mapping[str, str]
    unrendered: Mapping[str, str]
    next: Mapping[str, str]
    sealed: frozenset[str]
    is_sealing_known: bool


class Railway:
    """One service, by its name. Every method may raise `WebError`; the texts of Railway's errors are scrubbed.

    Methods may be called from several threads once `find_service` has returned.
    """

    def __init__(self, access: RailwayAccess, *, url: str, service: str, scrub: Callable[[str], str]) -> None:
        self.service = service
        self.scrub = scrub
        self._access = access
        self._url = url
        self._ids: dict[str, Any] = {}

    def find_service(self, deadline: Deadline) -> Mapping[str, Any]:
        """The ids of service, environment and project, as arguments of a query; asked once, since they stay."""
        if not self._ids:
            project_id, environment_id = self._scope(deadline)
            service_id = self._service_id(project_id, deadline)
            self._ids = {"projectId": project_id, "environmentId": environment_id, "serviceId": service_id}
        return self._ids

    def variables(self, deadline: Deadline) -> ServiceVariables:
        """All that is known of the variables; raises `WebError` when not even the stored ones are."""
        ids = self.find_service(deadline)
        try:
            data = self._ask(_VARIABLES, ids, deadline)
        except WebError as error:
            if not error.was_refused:
                raise
            # A part that is refused may take the whole answer with it, and only the stored values are needed.
            data = self._ask(_VARIABLES_ALONE, ids, deadline)
        stored, unrendered = _object(data.get("stored")), _texts(data.get("unrendered"))
        sealed = _sealed(data.get("environment"), ids["serviceId"])
        # What stands in place of a sealed value, or of one behind a reference that was not resolved, is no value,
        # whatever it is: to be tried with a database it must never be taken for one.
        shown = {
            name: value
            for name, value in _texts(stored).items()
            if name not in (sealed or ())
            and REFERENCE not in value
            and (value or (sealed is not None and REFERENCE not in unrendered.get(name, "")))
        }
        return ServiceVariables(
            stored=shown,
            unrendered=unrendered,
            next=_texts(data.get("next")),
            sealed=(frozenset(stored) - frozenset(shown)) | (sealed or frozenset()),
            is_sealing_known=sealed is not None,
        )

    def staged(self, deadline: Deadline) -> Mapping[str, str]:
        """The service's variables as people have staged them in the environment and not deployed."""
        ids = self.find_service(deadline)
        data = self._ask(_STAGED, {"environmentId": ids["environmentId"]}, deadline)
        changes = _object(data.get("environmentStagedChanges"))
        if changes.get("status") not in ("STAGED", "APPLYING"):
            return {}
        service = _object(_object(changes.get("patch")).get("services", {})).get(ids["serviceId"], {})
        variables = _object(_object(service).get("variables", {}))
        # One that is to be deleted has no object here, but `null`.
        return _texts(
            {name: change.get("value") for name, change in variables.items() if isinstance(change, dict)}
        )

    def deployments(self, deadline: Deadline) -> Sequence[Deployment]:
        """The last ten, the newest first."""
        data = self._ask(_DEPLOYMENTS, {"input": self.find_service(deadline)}, deadline)
        found = sorted(_nodes(data.get("deployments")), key=lambda node: _text(node, "createdAt"), reverse=True)
        return [Deployment(id=_text(node, "id"), status=_text(node, "status")) for node in found]

    def started_with(self, deployment: Deployment, deadline: Deadline) -> Mapping[str, str] | None:
        """The variables that a deployment was started with; `None` where they are not shown."""
        data = self._ask(_SNAPSHOT, {"deploymentId": deployment.id}, deadline)
        # An empty one is more likely hidden than true: the service was started with something.
        return _texts(_object(data.get("deploymentSnapshot")).get("variables")) or None

    def log(self, deployment: Deployment, deadline: Deadline) -> Sequence[str]:
        """The last lines of a deployment's log, oldest first."""
        data = self._ask(_LOG, {"deploymentId": deployment.id, "limit": _LOG_LINES}, deadline)
        lines = data.get("deploymentLogs")
        if not isinstance(lines, list):
            return ()
        messages = [line.get("message") for line in lines if isinstance(line, dict)]
        return [message for message in messages if isinstance(message, str)]

    def write(self, values: Mapping[str, Secret], deadline: Deadline) -> None:
        """Store the values as variables of the service, without deploying them."""
        texts = {name: value.reveal() for name, value in values.items()}
        changes = {**self.find_service(deadline), "variables": texts, "skipDeploys": True}
        data = self._ask(_WRITE, {"input": changes}, deadline, secrets=texts.values())
        _require_true(data.get("variableCollectionUpsert"))

    def redeploy(self, deadline: Deadline) -> None:
        """Deploy the service's present commit again, with its variables as stored."""
        ids = self.find_service(deadline)
        arguments = {name: ids[name] for name in ("serviceId", "environmentId")}
        _require_true(self._ask(_REDEPLOY, arguments, deadline).get("serviceInstanceRedeploy"))

    def _ask(
        self, query: str, arguments: Mapping[str, Any], deadline: Deadline, *, secrets: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """The `data` of an answer. Where a part of it failed, that part is `None` or missing.

        `secrets` are those in the arguments: an error may repeat what was sent.
        """
        answer = fetch(
            "POST",
            self._url,
            deadline=deadline,
            headers=self._access.header(),
            json={"query": query, "variables": dict(arguments)},
        )
        if answer.status != 200:
            raise self._refusal(answer, secrets)
        reply = parse_json(answer.body)
        if not isinstance(reply, dict):
            raise WebError(_OTHER_SHAPE)
        data, errors = reply.get("data"), reply.get("errors")
        # Errors normally arrive with status 200.
        if errors and not (isinstance(data, dict) and any(part is not None for part in data.values())):
            raise WebError(self._error_words(errors, secrets), was_refused=True)
        if not isinstance(data, dict):
            raise WebError(_OTHER_SHAPE)
        return data

    def _scope(self, deadline: Deadline) -> tuple[str, str]:
        if self._access.is_project_token:
            scope = _object(self._ask(_SCOPE, {}, deadline).get("projectToken"))
            return _text(scope, "projectId"), _text(scope, "environmentId")
        if not self._access.project_id or not self._access.environment_id:
            raise WebError(
                "RAILWAY_API_TOKEN needs RAILWAY_PROJECT_ID and RAILWAY_ENVIRONMENT_ID", was_refused=True
            )
        return self._access.project_id, self._access.environment_id

    def _service_id(self, project_id: str, deadline: Deadline) -> str:
        project = _object(self._ask(_SERVICES, {"projectId": project_id}, deadline).get("project"))
        services = {_text(node, "name"): _text(node, "id") for node in _nodes(project.get("services"))}
        if self.service in services:
            return services[self.service]
        shown = ", ".join(one_line(name, 40) for name in sorted(services)[:_NAMES_SHOWN]) or "none"
        raise WebError(
            f"no service is named {self.service} (there are: {shown}); set doctor.service", was_refused=True
        )

    def _refusal(self, answer: Answer, secrets: Collection[str]) -> WebError:
        if answer.status in (401, 403):
            return WebError(f"{self._no_access()} ({answer.status})", was_refused=True)
        if answer.status == 400:
            try:
                reply = parse_json(answer.body)
            except WebError:
                reply = None
            if isinstance(reply, dict) and reply.get("errors"):
                return WebError(self._error_words(reply["errors"], secrets), was_refused=True)
        return WebError(format_status(answer), was_refused=answer.status < 500)

    def _error_words(self, errors: Any, secrets: Collection[str]) -> str:
        first = errors[0] if isinstance(errors, list) and errors else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(message, str):
            return "it answers with an error"
        if _NO_ACCESS.search(message):
            return self._no_access()
        if _RATE_LIMIT.search(message):
            return "it limits the rate"
        masked = mask_credentials(message[:_READ_LIMIT])
        shown = one_line(Scrubber(secrets)(self.scrub(masked)), _MESSAGE_LIMIT)
        return f"it answers with an error: {shown}"

    def _no_access(self) -> str:
        if self._access.is_project_token:
            return "RAILWAY_TOKEN does not open this; it must be a token of the project, not of an account"
        return "RAILWAY_API_TOKEN does not open this"


def _object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object; raises `WebError`."""
    if not isinstance(value, dict):
        raise WebError(_OTHER_SHAPE)
    return value


def _nodes(connection: Any) -> Sequence[Mapping[str, Any]]:
    """The nodes of a connection, `{edges: [{node: …}]}`; raises `WebError`."""
    edges = _object(connection).get("edges")
    if not isinstance(edges, list):
        raise WebError(_OTHER_SHAPE)
    return [_object(_object(edge).get("node")) for edge in edges]


def _text(value: Mapping[str, Any], name: str) -> str:
    """A text in an object; raises `WebError`."""
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise WebError(_OTHER_SHAPE)
    return found


def _sealed(environment: Any, service_id: str) -> frozenset[str] | None:
    try:
        variables = _nodes(_object(environment).get("variables"))
    except WebError:
        return None
    own = [node for node in variables if node.get("isSealed") is True and node.get("serviceId") == service_id]
    return frozenset(name for name in (node.get("name") for node in own) if isinstance(name, str))


def _texts(values: Any) -> dict[str, str]:
    """The variables whose values are shown; a row of stars is not a value."""
    if not isinstance(values, dict):
        return {}
    return {
        name: value for name, value in values.items() if isinstance(value, str) and (value.strip("*") or not value)
    }


def _require_true(answer: object) -> None:
    if answer is False:
        raise WebError("it answers that it did not", was_refused=True)
    if answer is not True:
        raise WebError("its answer does not tell whether it did")
