"""Stand-ins for Upstash's own web services: the Developer API, and the status page, an Atlassian Statuspage.

They have the calls that read, and of their answers the fields that the program reads. The status page's groups and
names are those of the real one.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from monitor.sandbox.server import WebService

NO_LIMIT = 2**63 - 1
STATUS_PATH = "/api/v2/summary.json"
VIRGINIA = "N. Virginia, USA (us-east-1)"
IRELAND = "Ireland (eu-west-1)"
QSTASH = "EU-CENTRAL-1"
_STATUS_GROUPS = {
    "Redis Global": (VIRGINIA, IRELAND),
    "Redis Regional": ("AWS US-EAST-1", "GCP US-CENTRAL-1"),
    "Vector": ("AWS - EU-WEST-1",),
    "QStash": (QSTASH,),
}


@dataclass(kw_only=True)
class Database:
    """One database as the console has it; every field may be changed at any time.

    On an older database the password differs from the REST token. `extra` replaces fields of the API's answer.
    """

    endpoint: str
    rest_token: str
    password: str
    database_id: str
    read_only_rest_token: str = field(default_factory=lambda: f"Ag{secrets.token_urlsafe(30)}")
    state: str = "active"
    modifying_state: str = ""
    type: str = "free"
    eviction: bool = False
    has_allowlist: bool = False
    commands_used: int = 1200
    command_limit: int = 500_000
    bandwidth_used: int = 7
    bandwidth_limit_gb: int = 50
    budget: int = 0
    billing: float = 0.0
    storage_used: int = 1024 * 1024
    storage_limit: int = 256 * 1024 * 1024
    shows_credentials: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    def rotate(self) -> None:
        """Reset the credentials, as a person does in the console: all of them change."""
        is_older = self.password != self.rest_token
        self.rest_token = f"AX{secrets.token_urlsafe(30)}"
        self.read_only_rest_token = f"Ag{secrets.token_urlsafe(30)}"
        self.password = secrets.token_hex(16) if is_older else self.rest_token

    def entry(self) -> dict[str, Any]:
        """The object of the list and of the database call."""
        credentials = {
            "password": self.password,
            "rest_token": self.rest_token,
            "read_only_rest_token": self.read_only_rest_token,
        }
        return {
            "database_id": self.database_id,
            "endpoint": self.endpoint,
            "state": self.state,
            "modifying_state": self.modifying_state,
            "type": self.type,
            "eviction": self.eviction,
            "budget": self.budget,
            "db_request_limit": self.command_limit,
            "db_disk_threshold": self.storage_limit,
            "db_monthly_bandwidth_limit": self.bandwidth_limit_gb,
            "securityAddons": {"ipWhitelisting": self.has_allowlist},
            **(credentials if self.shows_credentials else {}),
            **self.extra,
        }

    def stats(self) -> dict[str, Any]:
        """The object of the stats call."""
        return {
            "total_monthly_requests": self.commands_used,
            "total_monthly_bandwidth": self.bandwidth_used,
            "total_monthly_billing": self.billing,
            "current_storage": self.storage_used,
        }


class ConsoleStandIn(WebService):
    """An account, opened by its e-mail address and API key."""

    def __init__(self, *, email: str, api_key: str) -> None:
        self.email = email
        self.api_key = api_key
        self.databases: list[Database] = []
        routes = [
            Route("/v2/redis/databases", self._list),
            Route("/v2/redis/database/{database_id}", self._show),
            Route("/v2/redis/stats/{database_id}", self._stats),
        ]
        self._calls = Starlette(routes=routes)
        super().__init__(self._authorized)

    def add(self, endpoint: str, *, rest_token: str, password: str | None = None) -> Database:
        """Add a database; without `password` it is a current one, whose password is its token."""
        database = Database(
            endpoint=endpoint,
            rest_token=rest_token,
            password=rest_token if password is None else password,
            database_id=f"6gcefvfd-9627-2tz5-4l71-{len(self.databases):012d}",
        )
        self.databases.append(database)
        return database

    async def _authorized(self, scope: Scope, receive: Receive, send: Send) -> None:
        pair = base64.b64encode(f"{self.email}:{self.api_key}".encode()).decode()
        is_known = Request(scope).headers.get("authorization") == f"Basic {pair}"
        await (self._calls if is_known else JSONResponse("Unauthorized", 401))(scope, receive, send)

    def _database(self, request: Request) -> Database:
        for database in self.databases:
            if database.database_id == request.path_params["database_id"]:
                return database
        raise HTTPException(404)

    async def _list(self, _request: Request) -> Response:
        return JSONResponse([database.entry() for database in self.databases])

    async def _show(self, request: Request) -> Response:
        return JSONResponse(self._database(request).entry())

    async def _stats(self, request: Request) -> Response:
        return JSONResponse(self._database(request).stats())


class StatusPageStandIn(WebService):
    """The page. `status_of`, by the name of a component, and `incidents` may be changed at any time."""

    def __init__(self) -> None:
        self.status_of: dict[str, str] = {}
        self.incidents: list[dict[str, Any]] = []
        super().__init__(Starlette(routes=[Route(STATUS_PATH, self._summary)]))

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
        for name, members in _STATUS_GROUPS.items():
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
