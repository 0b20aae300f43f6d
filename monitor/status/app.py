"""What the web server answers: for now `/healthz`, whether looks happen when they are due.

Listening is done in `server`; what is healthy is decided in `core/pulse`.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor.core.pulse import Health

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def build_app(health: Callable[[], Health]) -> Starlette:
    """The application. `/healthz` answers 200, or 503 when a look is overdue; it asks nobody for a password."""

    async def healthz(_request: Request) -> Response:
        found = health()
        body = {"ok": found.is_good, "databases": found.databases, "overdue": list(found.overdue)}
        return JSONResponse(body, status_code=200 if found.is_good else 503, headers=_HEADERS)

    return Starlette(routes=[Route("/healthz", healthz, methods=["GET"])])
