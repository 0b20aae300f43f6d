"""A stand-in for Upstash's status page, an Atlassian Statuspage, with trouble that can be posted while it runs.

Groups and names are those of the real page; more regions would test nothing new.
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
_OPERATIONAL = "operational"
_GROUPS = {
    "Redis Global": (VIRGINIA, IRELAND),
    "Redis Regional": ("AWS US-EAST-1", "GCP US-CENTRAL-1"),
    "Vector": ("AWS - EU-WEST-1",),
    "QStash": (QSTASH,),
}
_TIME = "2026-11-23T14:00:00.000Z"


class StatusPageStandIn(WebService):
    """The page. `status_of`, by the name of a component, and `incidents` may be changed at any time."""

    def __init__(self) -> None:
        self.status_of: dict[str, str] = {}
        self.incidents: list[dict[str, Any]] = []
        super().__init__(Starlette(routes=[Route(PATH, self._summary)]))

    def post_incident(self, name: str, *components: str, status: str = "investigating") -> None:
        """Post an unresolved incident that touches components by their names."""
        touched = [component for component in self.components() if component["name"] in components]
        self.incidents.append(
            {
                "id": f"incident{len(self.incidents)}",
                "name": name,
                "status": status,
                "impact": "minor",
                "created_at": _TIME,
                "updated_at": _TIME,
                "started_at": _TIME,
                "resolved_at": None,
                "shortlink": "https://stspg.io/example",
                "incident_updates": [],
                "components": touched,
            }
        )

    def resolve(self) -> None:
        """All incidents are over and every component is operational."""
        self.status_of.clear()
        self.incidents.clear()

    def components(self) -> list[dict[str, Any]]:
        """Groups and what is in them, as the page lists them, and one component that is in no group."""
        found = [self._component("Upstash Console", "console")]
        for number, (name, members) in enumerate(_GROUPS.items()):
            group_id = f"group{number}"
            children = [
                self._component(member, f"{group_id}leaf{index}", group_id=group_id)
                for index, member in enumerate(members)
            ]
            troubles = (child["status"] for child in children if child["status"] != _OPERATIONAL)
            group = {"group": True, "components": [child["id"] for child in children]}
            found += [{**self._component(name, group_id), **group, "status": next(troubles, _OPERATIONAL)}]
            found += children
        return found

    def _component(self, name: str, component_id: str, *, group_id: str | None = None) -> dict[str, Any]:
        return {
            "id": component_id,
            "name": name,
            "status": self.status_of.get(name, _OPERATIONAL),
            "created_at": _TIME,
            "updated_at": _TIME,
            "position": 1,
            "description": None,
            "showcase": False,
            "start_date": None,
            "group_id": group_id,
            "page_id": "upstash",
            "group": False,
            "only_show_if_degraded": False,
        }

    async def _summary(self, _request: Request) -> JSONResponse:
        components = self.components()
        is_fine = not self.incidents and all(one["status"] == _OPERATIONAL for one in components)
        return JSONResponse(
            {
                "page": {
                    "id": "upstash",
                    "name": "Upstash",
                    "url": "https://status.upstash.com",
                    "updated_at": _TIME,
                },
                "components": components,
                "incidents": self.incidents,
                "scheduled_maintenances": [],
                "status": {
                    "indicator": "none" if is_fine else "minor",
                    "description": "All Systems Operational" if is_fine else "Partially Degraded Service",
                },
            }
        )
