"""The page of made databases, served on loopback for as long as the tests run, and a browser to look at it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from starlette.types import ASGIApp

from monitor.engine.health import Health
from monitor.web.app import build_app
from monitor.web.server import StatusServer
from tests.program import PATIENCE_SECONDS
from tests.web import browser as chromium
from tests.web.made import HIDDEN_HOST, HOSTILE, NOW, PLANS, MadeOverview


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running page."""

    port: int
    overview: MadeOverview

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request on a connection of its own; `if_none_match` is the header If-None-Match."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(
                method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            found: HTTPResponse = connection.getresponse()
            lower = {name.lower(): value for name, value in found.getheaders()}
            return Answer(status=found.status, headers=lower, body=found.read())
        finally:
            connection.close()


@contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[int]:
    """The port of a server in a thread of its own, until the end of the block."""
    server = StatusServer("127.0.0.1", 0, app, **options)
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
    thread.start()
    try:
        yield server.port
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(PATIENCE_SECONDS)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.run_until_complete(asyncio.sleep(0))  # connections that were cut learn of it
        loop.close()


def build(overview: MadeOverview, **options: Any) -> ASGIApp:
    health = Health(overdue=(), databases=len(overview.plans), has_checked=True)
    return build_app(lambda: health, overview=overview, hosts=[HIDDEN_HOST], clock=lambda: overview.now, **options)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """All made databases, the hostile one among them."""
    overview = MadeOverview((*PLANS, HOSTILE), now=NOW)
    with serving(build(overview)) as port:
        yield Site(port=port, overview=overview)


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Browser]:
    program = chromium.find_chromium()
    if program is None:
        pytest.skip("wanted chromium, found none. Next: apt-get install chromium")
    with chromium.running(program) as found:
        yield found
