"""A stand-in for Upstash's status page, an Atlassian Statuspage, with trouble that can be posted while it runs.

Groups and names are those of the real page; more regions, or fields that the program does not read, would test
nothing new.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from monitor.sandbox.web_service import WebService

PATH = "/api/v2/summary.json"
VIRGINIA = "N. Virginia, USA (us-east-1)"
IRELAND = "Ireland (eu-west-1)"
QSTASH = "EU-CENTRAL-1"
_GROUPS = {
    "Redis Global": (VIRGINIA, IRELAND),
    "Redis Regional": ("AWS US-EAST-1", "GCP US-CENTRAL-1"),
    "Vector": ("AWS - EU-WEST-1",),
    "QStash": (QSTASH,),
}


class StatusPageStandIn(WebService):
    """The page. `status_of`, by the name of a component, and `incidents` may be changed at any time."""

    def __init__(self) -> None:
        self.status_of: dict[str, str] = {}
        self.incidents: list[dict[str, Any]] = []
        super().__init__(Starlette(routes=[Route(PATH, self._summary)]))

    def post_incident(self, name: str, *components: str, status: str = "investigating") -> None:
        """Post an unresolved incident that touches components by their names."""
        touched = [component for component in self.components() if component["name"] in components]
        self.incidents.append({"name": name, "status": status, "components": touched})

    def resolve(self) -> None:
        """All incidents are over and every component is operational."""
        self.status_of.clear()
        self.incidents.clear()

    def components(self) -> list[dict[str, Any]]:
        """Groups and what is in them, as the page lists them, and one component that is in no group."""
        found = [self._component("Upstash Console")]
        for name, members in _GROUPS.items():
            found.append(self._component(name) | {"group": True})
            found += [self._component(member, group_id=name) for member in members]
        return found

    def _component(self, name: str, *, group_id: str | None = None) -> dict[str, Any]:
        status = self.status_of.get(name, "operational")
        return {"id": name, "name": name, "status": status, "group": False, "group_id": group_id}

    async def _summary(self, _request: Request) -> JSONResponse:
        # The overall indicator, which the program must not trust, is of other products as well.
        overall = {"indicator": "minor", "description": "Partially Degraded Service"}
        return JSONResponse({"status": overall, "components": self.components(), "incidents": self.incidents})
