"""What the web server answers: which address leads where, and how an answer or a refusal is dressed.

Listening is done in `server`, what is healthy is decided in `core/pulse`; what is said of databases is made in
`answers`, password and headers stand in `guard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from monitor.checks.credentials import host_of
from monitor.engine.health import Health, HealthTracker
from monitor.engine.wiring import Monitor, now_utc
from monitor.lib.text import one_line
from monitor.report import overview as history
from monitor.report.formatting import Concealer
from monitor.report.overview_protocol import Overview
from monitor.web.answers import HTML, Answers, NoSuchDatabaseError
from monitor.web.cache import Answer, Kept
from monitor.web.guard import Guard
from monitor.web.metrics.scrape import Scrape
from monitor.web.pages.assets import ASSETS, Asset
from monitor.web.pages.documents import refusal_document
from monitor.web.parameters import QuestionError
from monitor.web.server import StatusServer

if TYPE_CHECKING:
    from monitor.web.pages.pages import Pages

_PATIENCE_SECONDS = 20
_NO_STORE = {"Cache-Control": "no-store"}
_FOR_GOOD = 365 * 86400
_BADGE_SECONDS = 30

# Takes the Accept header; returns the metrics and their content type.
Metrics = Callable[[str], Awaitable[tuple[bytes, str]]]
Ask = Callable[[str, Mapping[str, str]], Awaitable[Answer]]
Endpoint = Callable[[Request], Awaitable[Response]]


def _now() -> datetime:
    return datetime.now(UTC)


def build_app(
    health: Callable[[], Health],
    *,
    overview: Overview | None = None,
    metrics: Metrics | None = None,
    password: str | None = None,
    hosts: Iterable[str] = (),
    clock: Callable[[], datetime] = _now,
) -> ASGIApp:
    """The application.

    `/healthz` answers 200, or 503 when a check is overdue; it asks nobody for a password. With an `overview` there
    are the page, the badges and the JSON as well, with `metrics` what that returns at `/metrics`. `hosts` are
    names that no answer may tell; `clock` gives aware UTC.
    """
    conceal = Concealer(hosts)
    desk = _Desk(conceal, is_private=password is not None)
    routes = [Route("/healthz", _healthz(health))]
    if metrics is not None:
        routes.append(Route("/metrics", _metrics(metrics)))
    if overview is not None:
        answers = Answers(overview, pages=desk.pages, conceal=conceal, clock=clock)
        routes += [
            Route("/", desk.endpoint(answers.front)),
            Route("/databases/{name:path}", desk.endpoint(answers.database, reads=("span",))),
            Route("/badge/{name:path}.svg", desk.endpoint(answers.badge, reads=("show",), seconds=_BADGE_SECONDS)),
            Route("/api/databases", desk.endpoint(answers.databases)),
            Route("/api/databases/{name:path}/history", desk.endpoint(answers.history, reads=None)),
        ]
    routes += [Route(asset.path, desk.asset(asset)) for asset in ASSETS.values()]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: desk.not_found, Exception: desk.failed},
    )
    # A redirect would repeat the Host header, which is the visitor's own text.
    app.router.redirect_slashes = False
    return Guard(app, password=password)


class _Desk:
    """Turns answers into responses, with what a browser may keep, and refusals into plain words."""

    def __init__(self, conceal: Concealer, *, is_private: bool) -> None:
        self._conceal = conceal
        self._pages: Pages | None = None
        self._loading = asyncio.Lock()
        self._whose = "private" if is_private else "public"
        self._kept = Kept(clock=monotonic)

    async def pages(self) -> Pages:
        """Read in for the first visitor, on a thread: 5 MB and 0.2 s that a page nobody opens does not cost."""
        async with self._loading:
            if self._pages is None:
                self._pages = await asyncio.to_thread(_read_in, self._conceal)
            return self._pages

    def endpoint(self, ask: Ask, *, reads: tuple[str, ...] | None = (), seconds: int = 0) -> Endpoint:
        """What `ask` says, kept for a second here, and for so many `seconds` by those who asked.

        It is told the parameters that it `reads`, or all with `None`: others would make the same answer anew.
        """
        keep = f"{self._whose}, " + (f"max-age={seconds}" if seconds else "no-cache")

        async def answer(request: Request) -> Response:
            name = request.path_params.get("name", "")
            query = {key: text for key, text in request.query_params.items() if reads is None or key in reads}

            async def make() -> Answer:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    return await ask(name, query)

            key = (ask.__name__, name, tuple(sorted(query.items())))
            try:
                found = await self._kept.get(key, make)
            except QuestionError as error:
                return await self._refused(request, HTTPStatus.BAD_REQUEST, "Not understood", str(error))
            except NoSuchDatabaseError:
                text = f"wanted a database that is watched, found {one_line(name, 60)!r}. Next: see the list"
                return await self._refused(request, HTTPStatus.NOT_FOUND, "No such database", text)
            except TimeoutError:
                text = f"wanted to read the history within {_PATIENCE_SECONDS} s, found it busy. Next: try again"
                return await self._refused(request, HTTPStatus.SERVICE_UNAVAILABLE, "Busy", text)
            return _response(request, found, keep)

        return answer

    def asset(self, asset: Asset) -> Endpoint:
        """A file whose name changes with it."""
        headers = {"Cache-Control": f"{self._whose}, max-age={_FOR_GOOD}, immutable"}

        async def answer(_request: Request) -> Response:
            return Response(asset.body, headers={**headers, "Content-Type": asset.content_type})

        return answer

    async def not_found(self, request: Request, error: Exception) -> Response:
        """Starlette's own refusals; after the guard only an unknown address is left."""
        status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        text = f"wanted an address of this monitor, found {one_line(request.url.path, 80)!r}. Next: begin at /"
        return await self._refused(request, status, "Nothing is here", text)

    async def failed(self, request: Request, _error: Exception) -> Response:
        """A bug, or a history that cannot be read; the log has it, a visitor has no use for it."""
        text = "wanted to answer, found that the monitor failed inside. Next: its log says why"
        return await self._refused(request, HTTPStatus.INTERNAL_SERVER_ERROR, "Failed inside", text)

    async def _refused(self, request: Request, status: HTTPStatus, title: str, text: str) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse(refusal_document(text), status_code=status, headers=_NO_STORE)
        if "text/html" in request.headers.get("accept", ""):
            page = (await self.pages()).refusal(status, title, text)
            return Response(page, status_code=status, headers={**_NO_STORE, "Content-Type": HTML})
        return PlainTextResponse(text + "\n", status_code=status, headers=_NO_STORE)


def _read_in(conceal: Concealer) -> Pages:
    from monitor.web.pages.pages import Pages

    return Pages(conceal)


def _response(request: Request, found: Answer, keep: str) -> Response:
    headers = {"Cache-Control": keep, "ETag": found.etag, "Vary": "Accept-Encoding"}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Content-Type"] = found.content_type
    if found.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.body, headers=headers)


def _healthz(health: Callable[[], Health]) -> Endpoint:
    async def healthz(_request: Request) -> Response:
        found = health()
        body = {"ok": found.is_good, "databases": found.databases, "overdue": list(found.overdue)}
        return JSONResponse(body, status_code=200 if found.is_good else 503, headers=_NO_STORE)

    return healthz


def _metrics(metrics: Metrics) -> Endpoint:
    async def scraped(request: Request) -> Response:
        body, content_type = await metrics(request.headers.get("accept", ""))
        return Response(body, headers={**_NO_STORE, "Content-Type": content_type})

    return scraped


def build_server(
    monitor: Monitor, health: HealthTracker, *, host: str, port: int, missed_checks: Callable[[], int]
) -> StatusServer:
    """The server, bound and not yet serving; raises `CannotListenError`."""
    settings = monitor.settings
    overview = history.Overview(settings, monitor.store, monitor.store_thread, now_utc)
    password = settings.page.password
    app = build_app(
        lambda: health.health(monotonic()),
        overview=overview,
        metrics=Scrape(overview.totals, missed_checks=missed_checks),
        password=password.reveal() if password else None,
        hosts=filter(None, (host_of(database.url.reveal()) for database in settings.databases)),
        clock=now_utc,
    )
    return StatusServer(host, port, app)
