"""The questions about a service on Railway, and their answers in plain words: each may fail for itself.

Only queries. Which of them are asked, and what the answers mean together, stands in `railway`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.probes.railway_api import Place, Railway, mapping, nodes, text
from monitor.probes.web import Deadline, WebError

_OF_SERVICE = "projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId"
_SERVICE = "query ($projectId: String!, $environmentId: String!, $serviceId: String!)"
_VARIABLES = f"""{_SERVICE} {{
  stored: variables({_OF_SERVICE})
  unrendered: variables({_OF_SERVICE}, unrendered: true)
  next: variablesForServiceDeployment({_OF_SERVICE})
  environment(id: $environmentId, projectId: $projectId) {{
    variables(first: 1000) {{ edges {{ node {{ name serviceId isSealed }} }} }}
  }}
}}"""
_VARIABLES_ALONE = f"{_SERVICE} {{ stored: variables({_OF_SERVICE}) }}"
_STAGED = """query ($environmentId: String!) {
  environmentStagedChanges(environmentId: $environmentId) { status patch(decryptVariables: true) }
}"""
_DEPLOYMENTS = """query ($input: DeploymentListInput!) {
  deployments(input: $input, first: 10) { edges { node { id status createdAt } } }
}"""
_SNAPSHOT = """query ($deploymentId: String!) {
  deploymentSnapshot(deploymentId: $deploymentId) { variables }
}"""
_LOG = """query ($deploymentId: String!, $limit: Int) {
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
