"""Answers a scrape: reads the totals and has them put into words, where neither holds up a check.

What the words are is decided in `status/metrics`; who may ask, by the web server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from monitor.lib.threads import on_daemon_thread
from monitor.store.rollups.model import Totals

if TYPE_CHECKING:
    from monitor.web.metrics.exposition import Exposition


class Scrape:
    """Called with an `Accept` header, it returns the metrics and their content type.

    `totals` reads the figures, `missed_looks` says how many checks the schedule has left out so far.
    """

    def __init__(self, totals: Callable[[], Awaitable[Totals]], *, missed_checks: Callable[[], int]) -> None:
        self._totals = totals
        self._missed_checks = missed_checks
        # Impatient scrapers ask again; a thread for each of them would only make all of them slower.
        self._turn = asyncio.Lock()

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        async with self._turn:
            totals, missed = await self._totals(), self._missed_checks()
            exposition = await on_daemon_thread(lambda: _render(totals, missed, accept), name="metrics")
        return exposition.body, exposition.content_type


def _render(totals: Totals, missed_checks: int, accept: str) -> Exposition:
    from monitor.web.metrics.exposition import render

    return render(totals, missed_checks=missed_checks, accept=accept)
