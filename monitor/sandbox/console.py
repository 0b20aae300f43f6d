"""A stand-in for the Upstash Developer API: an account with databases whose state can be changed while it runs.

It also has the call that resets a password, so that tests can see that it is never made.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from monitor.sandbox.loopback import Reply, Request, StandIn, as_json

_BASE = "/v2/redis"
NO_LIMIT = 2**63 - 1


@dataclass(kw_only=True)
class Database:
    """One database as the console has it; every field may be changed at any time.

    On an older database the password differs from the REST token.
    """

    endpoint: str
    rest_token: str
    read_only_rest_token: str
    password: str
    database_id: str
    state: str = "active"
    modifying_state: str = ""
    type: str = "free"
    eviction: bool = False
    has_allowlist: bool = False
    commands_used: int = 1200
    command_limit: int = 500_000
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

    def entry(self, *, hides: bool = False) -> dict[str, Any]:
        """The object of the list and of the database call."""
        credentials = {
            "password": self.password,
            "rest_token": self.rest_token,
            "read_only_rest_token": self.read_only_rest_token,
        }
        return {
            "database_id": self.database_id,
            "database_name": "main",
            "region": "global",
            "port": 6379,
            "creation_time": 1753207106,
            "budget": self.budget,
            "state": self.state,
            "modifying_state": self.modifying_state,
            "endpoint": self.endpoint,
            "tls": True,
            "type": self.type,
            "eviction": self.eviction,
            "primary_region": "us-east-1",
            "read_regions": ["eu-west-1"],
            "user_email": "somebody@example.com",
            "db_max_clients": 10_000,
            "db_request_limit": self.command_limit,
            "db_disk_threshold": self.storage_limit,
            "securityAddons": {"ipWhitelisting": self.has_allowlist, "vpcPeering": False, "privateLink": False},
            **(credentials if self.shows_credentials and not hides else {}),
            **self.extra,
        }

    def stats(self) -> dict[str, Any]:
        """The object of the stats call, without the series over time."""
        return {
            "daily_net_commands": 7,
            "total_monthly_requests": self.commands_used,
            "total_monthly_bandwidth": 7,
            "total_monthly_billing": self.billing,
            "current_storage": self.storage_used,
            "connection_count": [{"x": "2026-11-23 15:12:52.799480932 +0000 UTC", "y": 0}],
        }


class ConsoleStandIn(StandIn):
    """An account, opened by its e-mail address and API key."""

    def __init__(self, *, email: str, api_key: str) -> None:
        self.email = email
        self.api_key = api_key
        self.databases: list[Database] = []
        super().__init__()

    def add(self, endpoint: str, *, rest_token: str, password: str | None = None) -> Database:
        """Add a database; without `password` it is a current one, whose password is its token."""
        database = Database(
            endpoint=endpoint,
            rest_token=rest_token,
            read_only_rest_token=f"Ag{secrets.token_urlsafe(30)}",
            password=rest_token if password is None else password,
            database_id=f"6gcefvfd-9627-2tz5-4l71-{len(self.databases):012d}",
        )
        self.databases.append(database)
        return database

    def answer(self, request: Request) -> Reply:
        pair = base64.b64encode(f"{self.email}:{self.api_key}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return as_json("Unauthorized", 401)
        path, _, query = request.path.partition("?")
        call, _, identity = path.removeprefix(f"{_BASE}/").partition("/")
        if (request.method, call) == ("GET", "databases"):
            return as_json([database.entry() for database in self.databases])
        database = next((one for one in self.databases if one.database_id == identity), None)
        if database is None:
            return as_json("not found", 404)
        if (request.method, call) == ("GET", "database"):
            return as_json(database.entry(hides=query == "credentials=hide"))
        if (request.method, call) == ("GET", "stats"):
            return as_json(database.stats())
        if (request.method, call) == ("POST", "reset-password"):
            database.rotate()
            return as_json(database.entry())
        return as_json("method not allowed", 405)
