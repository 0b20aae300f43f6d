"""Railway's GraphQL API as far as one service needs it: who we are, where the service is, and questions about it.

Which questions are asked stands in `railway`, and the two changes that the fix makes in `railway_change`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from monitor.doctor.web import Deadline, WebError, fetch, format_status, parse
from monitor.lib.bounded_http.line import Answer
from monitor.lib.secret import Secret
from monitor.lib.text import Scrubber, mask_credentials, one_line

_SCOPE = "query TokenScope { projectToken { projectId environmentId } }"
_SERVICES = """query ProjectServices($projectId: String!) {
  project(id: $projectId) { services { edges { node { id name } } } }
}"""
_NO_ACCESS = re.compile(r"not authori[sz]ed|unauthori[sz]ed|project token not found|invalid token", re.IGNORECASE)
_IMPATIENT = re.compile(r"rate limit|too many requests", re.IGNORECASE)
_MESSAGE_LIMIT = 100
_NAMES_SHOWN = 5
ODD = "its answer has another shape than Railway's"


@dataclass(frozen=True, kw_only=True, slots=True)
class RailwayAccess:
    """What opens Railway's API. A project token knows its project and environment; others are told."""

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

    @property
    def name(self) -> str:
        return "RAILWAY_TOKEN" if self.is_project_token else "RAILWAY_API_TOKEN"

    def header(self) -> dict[str, str]:
        if self.is_project_token:
            return {"Project-Access-Token": self.token.reveal()}
        return {"Authorization": f"Bearer {self.token.reveal()}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a service is, as arguments of a question."""

    project_id: str
    environment_id: str
    service_id: str

    def arguments(self) -> dict[str, Any]:
        return {
            "projectId": self.project_id,
            "environmentId": self.environment_id,
            "serviceId": self.service_id,
        }


class Railway:
    """One service, by its name. Every method may raise `WebError`; the texts of Railway's errors are scrubbed."""

    def __init__(self, access: RailwayAccess, *, url: str, service: str, scrub: Callable[[str], str]) -> None:
        self.service = service
        self.scrub = scrub
        self._access = access
        self._url = url
        self._place: Place | None = None

    def place(self, deadline: Deadline) -> Place:
        """Find the service; asked once, since it does not move."""
        if self._place is None:
            project_id, environment_id = self._scope(deadline)
            self._place = Place(
                project_id=project_id,
                environment_id=environment_id,
                service_id=self._find(project_id, deadline),
            )
        return self._place

    def ask(
        self,
        document: str,
        arguments: Mapping[str, Any],
        deadline: Deadline,
        *,
        secrets: Collection[str] = (),
    ) -> Mapping[str, Any]:
        """The `data` of an answer. Where a part of it failed, that part is `None` or missing.

        `secrets` are those in the arguments: an error may repeat what was sent.
        """
        answer = fetch(
            "POST",
            self._url,
            deadline=deadline,
            headers=self._access.header(),
            json={"query": document, "variables": dict(arguments)},
        )
        if answer.status != 200:
            raise self._refusal(answer, secrets)
        reply = parse(answer.body)
        if not isinstance(reply, dict):
            raise WebError(ODD)
        data, errors = reply.get("data"), reply.get("errors")
        # Errors normally arrive with status 200.
        if errors and not (isinstance(data, dict) and any(part is not None for part in data.values())):
            raise WebError(self._say(errors, secrets), was_refused=True)
        if not isinstance(data, dict):
            raise WebError(ODD)
        return data

    def _scope(self, deadline: Deadline) -> tuple[str, str]:
        if self._access.is_project_token:
            scope = mapping(self.ask(_SCOPE, {}, deadline).get("projectToken"))
            return text(scope, "projectId"), text(scope, "environmentId")
        if not self._access.project_id or not self._access.environment_id:
            raise WebError(
                "RAILWAY_API_TOKEN needs RAILWAY_PROJECT_ID and RAILWAY_ENVIRONMENT_ID", was_refused=True
            )
        return self._access.project_id, self._access.environment_id

    def _find(self, project_id: str, deadline: Deadline) -> str:
        project = mapping(self.ask(_SERVICES, {"projectId": project_id}, deadline).get("project"))
        services = {text(node, "name"): text(node, "id") for node in nodes(project.get("services"))}
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
                reply = parse(answer.body)
            except WebError:
                reply = None
            if isinstance(reply, dict) and reply.get("errors"):
                return WebError(self._say(reply["errors"], secrets), was_refused=True)
        return WebError(format_status(answer), was_refused=answer.status < 500)

    def _say(self, errors: Any, secrets: Collection[str]) -> str:
        first = errors[0] if isinstance(errors, list) and errors else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(message, str):
            return "it answers with an error"
        if _NO_ACCESS.search(message):
            return self._no_access()
        if _IMPATIENT.search(message):
            return "it asks for patience"
        # Scrubbed before it is cut: half a secret would not be found any more.
        said = one_line(mask_credentials(Scrubber(secrets)(self.scrub(message))), _MESSAGE_LIMIT)
        return f"it answers with an error: {said}"

    def _no_access(self) -> str:
        if self._access.is_project_token:
            return "RAILWAY_TOKEN does not open this; it must be a token of the project, not of an account"
        return "RAILWAY_API_TOKEN does not open this"


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object; raises `WebError`."""
    if not isinstance(value, dict):
        raise WebError(ODD)
    return value


def nodes(connection: Any) -> Sequence[Mapping[str, Any]]:
    """The nodes of a connection, `{edges: [{node: …}]}`; raises `WebError`."""
    edges = mapping(connection).get("edges")
    if not isinstance(edges, list):
        raise WebError(ODD)
    return [mapping(mapping(edge).get("node")) for edge in edges]


def text(value: Mapping[str, Any], name: str) -> str:
    """A text in an object; raises `WebError`."""
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise WebError(ODD)
    return found


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
_LOG_LINES = 300
_RAN = ("SUCCESS", "SLEEPING", "CRASHED")
_ON_ITS_WAY = ("INITIALIZING", "QUEUED", "WAITING", "NEEDS_APPROVAL", "BUILDING", "DEPLOYING")
_WENT_WRONG = ("FAILED", "CRASHED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One deployment of the service, by Railway's own words for its status."""

    id: str
    status: str

    @property
    def is_on_its_way(self) -> bool:
        return self.status in _ON_ITS_WAY

    @property
    def went_wrong(self) -> bool:
        return self.status in _WENT_WRONG

    @property
    def has_run(self) -> bool:
        return self.status in _RAN


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Values:
    """A service's variables, in the clear: never printed.

    `stored` is what is set; `unrendered` has references as they were written; `next` is what Railway says that a
    deployment gets; `sealed` are those whose values are not shown. Where sealing is not known, one that is
    absent may be among them.
    """

    stored: Mapping[str, str]
    unrendered: Mapping[str, str]
    next: Mapping[str, str]
    sealed: frozenset[str]
    is_sealing_known: bool


def ask_values(railway: Railway, place: Place, deadline: Deadline) -> Values:
    """All that is known of the variables; raises `WebError` when not even the stored ones are."""
    try:
        data = railway.ask(_VARIABLES, place.arguments(), deadline)
    except WebError as error:
        if not error.was_refused:
            raise
        # One part that is refused takes the others with it, and this one is the one that counts.
        data = railway.ask(_VARIABLES_ALONE, place.arguments(), deadline)
    stored = mapping(data.get("stored"))
    sealed = _sealed(data.get("environment"), place.service_id)
    return Values(
        stored=_texts(stored),
        unrendered=_texts(data.get("unrendered")),
        next=_texts(data.get("next")),
        sealed=(frozenset(stored) - frozenset(_texts(stored))) | (sealed or frozenset()),
        is_sealing_known=sealed is not None,
    )


def ask_staged(railway: Railway, place: Place, deadline: Deadline) -> Mapping[str, str]:
    """The service's variables as people have staged them in the environment and not deployed."""
    data = railway.ask(_STAGED, {"environmentId": place.environment_id}, deadline)
    changes = mapping(data.get("environmentStagedChanges"))
    if changes.get("status") not in ("STAGED", "APPLYING"):
        return {}
    service = mapping(mapping(changes.get("patch")).get("services", {})).get(place.service_id, {})
    variables = mapping(mapping(service).get("variables", {}))
    # One that is taken away has no object here, but `null`.
    return _texts({name: change.get("value") for name, change in variables.items() if isinstance(change, dict)})


def ask_deployments(railway: Railway, place: Place, deadline: Deadline) -> Sequence[Deployment]:
    """The newest first."""
    data = railway.ask(_DEPLOYMENTS, {"input": place.arguments()}, deadline)
    found = sorted(nodes(data.get("deployments")), key=lambda node: text(node, "createdAt"), reverse=True)
    return [Deployment(id=text(node, "id"), status=text(node, "status")) for node in found]


def ask_snapshot(railway: Railway, ran: Deployment, deadline: Deadline) -> Mapping[str, str] | None:
    """The variables that a deployment was started with; `None` where they are not shown."""
    data = railway.ask(_SNAPSHOT, {"deploymentId": ran.id}, deadline)
    # An empty one is more likely hidden than true: the service was started with something.
    return _texts(mapping(data.get("deploymentSnapshot")).get("variables")) or None


def ask_log(railway: Railway, shown: Deployment, deadline: Deadline) -> Sequence[str]:
    """The last lines of a deployment's log, oldest first."""
    lines = railway.ask(_LOG, {"deploymentId": shown.id, "limit": _LOG_LINES}, deadline).get("deploymentLogs")
    if not isinstance(lines, list):
        return ()
    messages = [line.get("message") for line in lines if isinstance(line, dict)]
    return [message for message in messages if isinstance(message, str)]


def _sealed(environment: Any, service_id: str) -> frozenset[str] | None:
    try:
        variables = nodes(mapping(environment).get("variables"))
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


# Without `replace`, which would delete all other variables. `skipDeploys`: the one redeploy comes after this.
_WRITE = """mutation WriteVariables($input: VariableCollectionUpsertInput!) {
  variableCollectionUpsert(input: $input)
}"""
_REDEPLOY = """mutation RedeployService($serviceId: String!, $environmentId: String!) {
  serviceInstanceRedeploy(serviceId: $serviceId, environmentId: $environmentId)
}"""


def write_variables(railway: Railway, values: Mapping[str, Secret], *, timeout: timedelta) -> None:
    """Store the values as variables of the service, without deploying them. Raises `WebError`."""
    deadline = Deadline(timeout)
    place = railway.place(deadline)
    changes = {
        **place.arguments(),
        "variables": {name: value.reveal() for name, value in values.items()},
        "skipDeploys": True,
    }
    secrets = [value.reveal() for value in values.values()]
    data = railway.ask(_WRITE, {"input": changes}, deadline, secrets=secrets)
    _be_sure(data.get("variableCollectionUpsert"))


def redeploy(railway: Railway, *, timeout: timedelta) -> None:
    """Deploy the service's present commit again, with its variables as stored. Raises `WebError`."""
    deadline = Deadline(timeout)
    place = railway.place(deadline)
    arguments = {"serviceId": place.service_id, "environmentId": place.environment_id}
    _be_sure(railway.ask(_REDEPLOY, arguments, deadline).get("serviceInstanceRedeploy"))


def _be_sure(answer: object) -> None:
    if answer is False:
        raise WebError("it answers that it did not", was_refused=True)
    if answer is not True:
        raise WebError("its answer does not say whether it did")
