"""A stand-in for Upstash's status page, an Atlassian Statuspage, with trouble that can be posted while it runs.

Groups and names are those of the real page; more regions would teach nothing.
"""

from __future__ import annotations

from typing import Any

from monitor.sandbox.loopback import Reply, Request, StandIn, as_json

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
_TIME = "2026-11-23T14:00:00.000Z"


class StatusPageStandIn(StandIn):
    """The page. `status_of` and `incidents` may be changed at any time."""

    def __init__(self) -> None:
        self.status_of: dict[str, str] = {}
        self.incidents: list[dict[str, Any]] = []
        super().__init__()

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
        """All is well again."""
        self.status_of.clear()
        self.incidents.clear()

    def components(self) -> list[dict[str, Any]]:
        """Groups and leaves, as the page lists them, and one component that is in no group."""
        found = [self._component("Upstash Console", "console")]
        for number, (group, leaves) in enumerate(_GROUPS.items()):
            group_id = f"group{number}"
            children = [
                self._component(leaf, f"{group_id}leaf{index}", group_id=group_id)
                for index, leaf in enumerate(leaves)
            ]
            worst = next(
                (child["status"] for child in children if child["status"] != "operational"), "operational"
            )
            found.append({**self._component(group, group_id), "group": True, "status": worst})
            found[-1]["components"] = [child["id"] for child in children]
            found += children
        return found

    def answer(self, request: Request) -> Reply:
        if request.method != "GET" or request.path != PATH:
            return as_json({"error": "not found"}, 404)
        components = self.components()
        is_fine = all(component["status"] == "operational" for component in components) and not self.incidents
        return as_json(
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

    def _component(self, name: str, identity: str, *, group_id: str | None = None) -> dict[str, Any]:
        return {
            "id": identity,
            "name": name,
            "status": self.status_of.get(name, "operational"),
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
