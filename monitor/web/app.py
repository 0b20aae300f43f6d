"""The web application: which address gives what, how responses are made and cached, how refusals read."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cached_property, partial
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.checks.credentials import host_of
from monitor.config.settings import PageSettings
from monitor.engine.scheduler import Health, HealthTracker
from monitor.engine.wiring import Monitor
from monitor.lib.language import ENGLISH, language
from monitor.lib.text import one_line
from monitor.lib.threads import on_daemon_thread
from monitor.lib.times import now_utc
from monitor.report.formatting import Redactor
from monitor.report.overview import Clock, Overview
from monitor.store.errors import UnknownDatabaseError
from monitor.store.rollups.model import Totals
from monitor.web.api import (
    ParameterError,
    choice,
    databases_document,
    history_document,
    history_query,
    refusal_document,
    to_json,
)
from monitor.web.cache import CachedResponse, ResponseCache, compress, is_known, prefers_gzip
from monitor.web.guard import Guard
from monitor.web.pages.assets import ASSETS, Asset
from monitor.web.pages.badge import BadgeKind, badge
from monitor.web.pages.summary import DatabasePage, PageSpan, card_of, path_of
from monitor.web.server import PageServer

if TYPE_CHECKING:
    from monitor.web.pages.pages import Pages

_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_SVG = "image/svg+xml; charset=utf-8"
_NO_STORE = {"Cache-Control": "no-store"}
_YEAR_SECONDS = 365 * 86400
_BADGE_SECONDS = 30
_TITLE = PageSettings().title
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_log = logging.getLogger(__name__)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]
# Makes the response for the name in the address, "" where it has none, and the query parameters.
Make = Callable[[str, Mapping[str, str]], Awaitable[CachedResponse]]


def build_app(
    health: Callable[[], Health],
    overview: Overview,
    *,
    missed_checks: Callable[[], int],
    password: str | None = None,
    title: str = _TITLE,
    language_code: str = ENGLISH.code,
    hosts: Iterable[str] = (),
    clock: Clock = now_utc,
) -> ASGIApp:
    """The application. With a `password` everything but `/healthz` asks for it, and incidents can be acknowledged.

    `missed_checks` says how many checks the schedule has left out so far. `title` is the page's, and its language
    that of `language_code`; everything else is English. `hosts` are names that no answer may hold.
    """
    site = _Site(
        overview,
        missed_checks,
        Redactor(hosts),
        title=title,
        language_code=language_code,
        is_private=password is not None,
        clock=clock,
    )
    # Not by `Starlette`: what it would answer a fault with takes 0.5 MB, most of it the names of HTML's entities.
    router = Router(
        [
            Route("/healthz", _healthz(health)),
            Route("/metrics", site.metrics),
            Route("/", site.cached(site.front)),
            Route("/databases/{name:path}", site.cached(site.database, parameters=("span",))),
            Route(
                "/badge/{name:path}.svg",
                site.cached(site.badge, parameters=("show",), max_age_seconds=_BADGE_SECONDS),
            ),
            # The guard lets nothing else through, nor this without a password.
            Route("/incidents/{number}/ack", site.acknowledge, methods=["POST"]),
            Route("/openapi.json", site.cached(site.description)),
            Route("/api/databases", site.cached(site.databases)),
            Route("/api/databases/{name:path}/history", site.cached(site.history, parameters=None)),
            *(Route(asset.path, site.asset(asset)) for asset in ASSETS.values()),
        ],
        # A redirect would repeat the Host header, which is the visitor's own text.
        redirect_slashes=False,
        default=_no_such_address,
    )
    refusing = dict.fromkeys((HTTPException, Exception), site.refuse)
    return Guard(ExceptionMiddleware(router, refusing), password=password)


def build_server(
    monitor: Monitor, health: HealthTracker, *, host: str, port: int, missed_checks: Callable[[], int]
) -> PageServer:
    """The server, bound and not yet serving; raises `CannotListenError`."""
    settings = monitor.settings
    password = settings.page.password
    app = build_app(
        lambda: health.health(monotonic()),
        Overview(settings, monitor.store, monitor.store_thread, now_utc),
        missed_checks=missed_checks,
        password=password.reveal() if password else None,
        title=settings.page.title,
        language_code=settings.alerts.language,
        hosts=filter(None, (host_of(database.url.reveal()) for database in settings.databases)),
    )
    return PageServer(host, port, app)


class _Site:
    """Makes responses from what the overview reads, and turns them and refusals into answers."""

    def __init__(
        self,
        overview: Overview,
        missed_checks: Callable[[], int],
        redact: Callable[[str], str],
        *,
        title: str,
        language_code: str,
        is_private: bool,
        clock: Clock,
    ) -> None:
        self._overview = overview
        self._missed_checks = missed_checks
        self._redact = redact
        self._title = title
        self._language_code = language_code
        self._clock = clock
        self._is_private = is_private
        self._visibility = "private" if is_private else "public"
        self._cache = ResponseCache(clock=monotonic)
        # One thread at a time renders and compresses: a second one would only fight for the interpreter. The
        # checks' event loop may wait some milliseconds for it, which no latency shows, for these are the kernel's.
        self._worker_turn = asyncio.Lock()

    @cached_property
    def _pages(self) -> Pages:
        """To be called on the worker: 3 MB and 0.2 s that a page nobody opens does not cost."""
        from monitor.web.pages.pages import Pages

        return Pages(
            self._redact,
            title=self._title,
            can_acknowledge=self._is_private,
            language=language(self._language_code),
        )

    async def front(self, _name: str, _query: Mapping[str, str]) -> CachedResponse:
        """The page of all databases."""
        statuses = await self._overview.statuses()
        troubles = await self._overview.channel_troubles()
        past = await self._overview.past_incidents()
        quiet = await self._overview.quiet()
        return await self._render(lambda: self._pages.front(statuses, self._clock(), troubles, past, quiet), _HTML)

    async def database(self, name: str, query: Mapping[str, str]) -> CachedResponse:
        """The page of one database."""
        status, now = await self._overview.status(name), self._clock()
        # A week, or the day of which there is something to be seen.
        span = choice(query, "span", PageSpan.offered(status.since, now)[:2][-1])
        start = now - span.length
        if status.since is not None and status.since < now:
            start = max(start, status.since)
        history = await self._overview.history(name, start=start, end=now, grain=span.grain, compare=True)
        page = DatabasePage(status=status, history=history, span=span)
        return await self._render(lambda: self._pages.database(page, now), _HTML)

    async def badge(self, name: str, query: Mapping[str, str]) -> CachedResponse:
        """A badge of one database."""
        kind, status = choice(query, "show", BadgeKind.STATE), await self._overview.status(name)
        return await self._render(lambda: badge(card_of(status, self._clock()), kind), _SVG)

    async def databases(self, _name: str, _query: Mapping[str, str]) -> CachedResponse:
        """All databases now, as JSON."""
        statuses, now = await self._overview.statuses(), self._clock()
        return await self._render(
            lambda: to_json(databases_document(statuses, now=now, redact=self._redact)), _JSON
        )

    async def history(self, name: str, query: Mapping[str, str]) -> CachedResponse:
        """One database over a span, as JSON, with a page of its checks."""
        now = self._clock()
        wanted = history_query(query, now)
        await self._overview.status(name)  # a database that has left the settings is not shown
        history = await self._overview.history(
            name, start=wanted.start, end=wanted.end, grain=wanted.grain, compare=True
        )
        # One more than is shown tells whether there is a next page.
        checks = await self._overview.checks(
            name, start=wanted.start, end=wanted.end, before=wanted.before, limit=wanted.limit + 1
        )
        shown = checks[: wanted.limit]
        next_before = shown[-1].at if shown and len(checks) > len(shown) else None

        def render() -> str:
            return to_json(
                history_document(history, now=now, checks=shown, next_before=next_before, redact=self._redact)
            )

        return await self._render(render, _JSON)

    async def description(self, _name: str, _query: Mapping[str, str]) -> CachedResponse:
        """What the JSON API takes and answers."""

        def render() -> str:
            from monitor.web.openapi import openapi_document  # for those who ask

            return to_json(openapi_document())

        return await self._render(render, _JSON)

    async def acknowledge(self, request: Request) -> Response:
        """Acknowledge an open incident, then show its database's page. Once more is no mistake."""
        number = request.path_params["number"]
        found = await self._overview.acknowledge(int(number)) if _NUMBER.fullmatch(number) else None
        if found is None:
            text = f"wanted an open incident, found {one_line(number, 20)}. Next: begin at /"
            raise IncidentError(HTTPStatus.NOT_FOUND, "No such incident", text)
        database, is_open = found
        if not is_open:
            text = f"wanted an open incident, found incident {number}, which is over. Next: begin at /"
            raise IncidentError(HTTPStatus.CONFLICT, "It is over already", text)
        _log.info("incident %s acknowledged on the page", number)
        self._cache.forget()
        return Response(status_code=HTTPStatus.SEE_OTHER, headers={**_NO_STORE, "Location": path_of(database)})

    async def metrics(self, request: Request) -> Response:
        """The metrics, in the format that the `Accept` header asks for."""
        accept = request.headers.get("accept", "")

        async def make() -> CachedResponse:
            totals = await self._overview.totals()
            return await self._on_worker(partial(_render_metrics, totals, self._missed_checks(), accept))

        return _response(request, await self._cache.get(("/metrics", accept), make), _NO_STORE)

    def cached(self, make: Make, *, parameters: tuple[str, ...] | None = (), max_age_seconds: int = 0) -> Endpoint:
        """An endpoint that answers with what `make` returned a moment ago.

        `make` gets these query `parameters`, or all with `None`: others do not count, and make no new response.
        """
        max_age = f"max-age={max_age_seconds}" if max_age_seconds else "no-cache"
        headers = {"Cache-Control": f"{self._visibility}, {max_age}"}

        async def endpoint(request: Request) -> Response:
            name = request.path_params.get("name", "")
            query = {
                key: value
                for key, value in request.query_params.items()
                if parameters is None or key in parameters
            }
            key = (request.url.path, tuple(sorted(query.items())))
            return _response(request, await self._cache.get(key, partial(make, name, query)), headers)

        return endpoint

    def asset(self, asset: Asset) -> Endpoint:
        """An endpoint for a file whose address changes with its content."""
        headers = {"Cache-Control": f"{self._visibility}, max-age={_YEAR_SECONDS}, immutable"}

        async def endpoint(_request: Request) -> Response:
            return Response(asset.body, headers={**headers, "Content-Type": asset.content_type})

        return endpoint

    async def refuse(self, request: Request, error: Exception) -> Response:
        """What went wrong, in a format that fits: a page for browsers, JSON below `/api/`, else a line of text."""
        status, title, text = _refusal_of(request, error)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("answering %s failed inside", request.url.path[:80], exc_info=error)
        if request.url.path.startswith("/api/"):
            return JSONResponse(refusal_document(text), status_code=status, headers=_NO_STORE)
        if "text/html" in request.headers.get("accept", ""):
            page = await self._on_worker(lambda: self._pages.refusal(status, title, text))
            return Response(page, status_code=status, headers={**_NO_STORE, "Content-Type": _HTML})
        return PlainTextResponse(text + "\n", status_code=status, headers=_NO_STORE)

    async def _render(self, render: Callable[[], str], content_type: str) -> CachedResponse:
        return await self._on_worker(lambda: compress(render().encode(), content_type))

    async def _on_worker(self, call: Callable[[], T]) -> T:
        # A daemon thread, because a page of a thousand databases takes seconds and the program must end at once.
        async with self._worker_turn:
            return await on_daemon_thread(call, name="page")


class IncidentError(Exception):
    """An incident that cannot be acknowledged: the status, a title, and what was wanted, found, and is next."""

    def __init__(self, status: HTTPStatus, title: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.title = title


async def _no_such_address(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(HTTPStatus.NOT_FOUND)


def _refusal_of(request: Request, error: Exception) -> tuple[HTTPStatus, str, str]:
    """The status, a title, and what was wanted, found, and is next."""
    match error:
        case ParameterError():
            return HTTPStatus.BAD_REQUEST, "Not understood", str(error)
        case IncidentError():
            return error.status, error.title, str(error)
        case UnknownDatabaseError():
            name = one_line(request.path_params["name"], 60)
            text = f"wanted a database that is checked, found {name!r}. Next: see the list"
            return HTTPStatus.NOT_FOUND, "No such database", text
        case TimeoutError():
            text = "wanted to read the history in time, found it busy. Next: try again"
            return HTTPStatus.SERVICE_UNAVAILABLE, "Busy", text
        case HTTPException():
            # An address without a route: methods are refused by the guard.
            text = f"wanted an address of this monitor, found {one_line(request.url.path, 80)!r}. Next: begin at /"
            return HTTPStatus.NOT_FOUND, "Nothing is here", text
    # A bug, or a history that cannot be read: it is in the log, and a visitor has no use for it.
    text = "wanted to answer, found that the monitor failed inside. Next: its log says why"
    return HTTPStatus.INTERNAL_SERVER_ERROR, "Failed inside", text


def _response(request: Request, found: CachedResponse, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "ETag": found.etag, "Vary": "Accept-Encoding"}
    if is_known(found.etag, ",".join(request.headers.getlist("if-none-match"))):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Content-Type"] = found.content_type
    if found.gzipped is not None and prefers_gzip(",".join(request.headers.getlist("accept-encoding"))):
        return Response(found.gzipped, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.body, headers=headers)


def _render_metrics(totals: Totals, missed_checks: int, accept: str) -> CachedResponse:
    # Prometheus' library is 1.5 MB and 30 ms that a monitor without a scraper does not pay.
    from monitor.web.metrics import render

    exposition = render(totals, missed_checks=missed_checks, accept=accept, of_process=True)
    return compress(exposition.body, exposition.content_type)


def _healthz(health: Callable[[], Health]) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        found = health()
        body = {"ok": found.is_good, "databases": found.databases, "overdue": list(found.overdue)}
        return JSONResponse(body, status_code=200 if found.is_good else 503, headers=_NO_STORE)

    return endpoint
