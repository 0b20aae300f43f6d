"""The page of made databases, served on loopback for as long as the tests run, and a browser to open it in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from unittest.mock import patch

import pytest
from starlette.types import ASGIApp

from monitor.engine.scheduler import Health
from monitor.web import app
from monitor.web.cache import ResponseCache
from monitor.web.server import PageServer
from tests.program import LONGEST_WAIT_SECONDS
from tests.web import browser as chromium
from tests.web.figures import MISSED_CHECKS
from tests.web.made import DATABASES, HIDDEN_HOST, HOSTILE, NOW, MadeOverview


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """Status, headers with names in lower case, and body."""

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

    def ask(self, path: str, method: str = "GET", **headers: str) -> HttpAnswer:
        """One request on a connection of its own; `if_none_match` is the header If-None-Match."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_WAIT_SECONDS)
        try:
            connection.request(
                method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            found: HTTPResponse = connection.getresponse()
            lower = {name.lower(): value for name, value in found.getheaders()}
            return HttpAnswer(status=found.status, headers=lower, body=found.read())
        finally:
            connection.close()


@contextmanager
def serving(served: ASGIApp, **options: Any) -> Iterator[int]:
    """The port of a server in a thread of its own, until the end of the block."""
    server = PageServer("127.0.0.1", 0, served, **options)
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
    thread.start()
    try:
        yield server.port
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(LONGEST_WAIT_SECONDS)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.run_until_complete(asyncio.sleep(0))  # connections that were cut learn of it
        loop.close()


def build(overview: MadeOverview, **options: Any) -> ASGIApp:
    health = Health(overdue=(), databases=len(overview.databases), has_checked=True)
    # Making a history up takes longer than reading it from a file; on a busy machine, seconds.
    with patch.object(app, "ResponseCache", partial(ResponseCache, timeout_seconds=LONGEST_WAIT_SECONDS)):
        return app.build_app(
            lambda: health,
            overview,
            missed_checks=lambda: MISSED_CHECKS,
            hosts=[HIDDEN_HOST],
            clock=lambda: overview.now,
            **options,
        )


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """All made databases, the hostile one among them."""
    overview = MadeOverview((*DATABASES, HOSTILE), now=NOW)
    with serving(build(overview)) as port:
        yield Site(port=port, overview=overview)


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Browser]:
    program = chromium.find_chromium()
    if program is None:
        pytest.skip("wanted chromium, found none. Next: apt-get install chromium")
    with chromium.running(program) as found:
        yield found
