"""Joins the web server to a monitor: the page, badges, JSON and metrics read its history, `/healthz` its pulse.

The monitor itself is joined in `wiring`. Reading this file in costs the 10 MB of a web server.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from monitor.core.pulse import Pulse
from monitor.core.tokens import host_of
from monitor.flow.metrics import Scrape
from monitor.flow.overview import Overview
from monitor.status.app import build_app
from monitor.status.server import StatusServer
from monitor.wiring import Monitor, now_utc


def build_server(
    monitor: Monitor, pulse: Pulse, *, host: str, port: int, missed_looks: Callable[[], int]
) -> StatusServer:
    """The server, bound and not yet serving; raises `CannotListenError`."""
    settings = monitor.settings
    overview = Overview(settings, monitor.store, monitor.keeper, now_utc)
    password = settings.status_page.password
    app = build_app(
        lambda: pulse.health(monotonic()),
        overview=overview,
        metrics=Scrape(overview.totals, missed_looks=missed_looks),
        password=password.get_secret_value() if password else None,
        hosts=filter(None, (host_of(database.url.get_secret_value()) for database in settings.databases)),
        clock=now_utc,
    )
    return StatusServer(host, port, app)
