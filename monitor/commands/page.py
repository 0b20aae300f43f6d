"""The page of a monitor that was built, as `run` serves it. What is on it is decided in `status`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from monitor.core.pulse import Pulse
from monitor.core.tokens import host_of
from monitor.wiring import Monitor, now_utc

if TYPE_CHECKING:
    from monitor.status.overview import Overview
    from monitor.status.server import StatusServer


def page_server(monitor: Monitor, pulse: Pulse, *, host: str, port: int) -> StatusServer:
    """The web server, bound and not yet serving; raises `CannotListenError`.

    A monitor without a port does not pay for it: nothing of it is read in before this is called.
    """
    from monitor.status.app import build_app  # noqa: PLC0415 - see above
    from monitor.status.server import StatusServer  # noqa: PLC0415 - see above

    settings = monitor.settings
    password = settings.status_page.password
    hosts = (host_of(database.url.get_secret_value()) for database in settings.databases)
    app = build_app(
        lambda: pulse.health(monotonic()),
        overview=_overview(monitor),
        password=None if password is None else password.get_secret_value(),
        hosts=filter(None, hosts),
        clock=now_utc,
    )
    return StatusServer(host, port, app)


def _overview(_monitor: Monitor) -> Overview | None:
    """The history as the page reads it; without one there is `/healthz` alone."""
    return None
