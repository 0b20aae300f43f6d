"""Railway's GraphQL API as far as one service needs it: who we are, where the service is, and questions about it.

Which questions are asked stands in `railway`, and the two changes that the fix makes in `railway_change`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from monitor.core.lines import mask_credentials, one_line
from monitor.core.scrub import Scrubber
from monitor.core.secret import Secret
from monitor.outbound.line import Answer
from monitor.probes.web import Deadline, WebError, fetch, parse, say_status

_SCOPE = "query { projectToken { projectId environmentId } }"
_SERVICES = "query ($projectId: String!) { project(id: $projectId) { services { edges { node { id name } } } } }"
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
        return WebError(say_status(answer), was_refused=answer.status < 500)

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
