"""Questions about databases answered: which part of the history is asked for, and in which dress it goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from monitor.report.overview_protocol import Overview
from monitor.store.rollups.model import DatabaseStatus
from monitor.web.cache import Answer, pack
from monitor.web.pages.badge import badge
from monitor.web.pages.card import card_of
from monitor.web.pages.detail import DatabasePage
from monitor.web.pages.documents import Conceal, databases_document, history_document
from monitor.web.parameters import history_question, shown, span
from monitor.web.steps import Steps, in_steps

if TYPE_CHECKING:
    from monitor.web.pages.pages import Pages

HTML = "text/html; charset=utf-8"
JSON = "application/json"
SVG = "image/svg+xml; charset=utf-8"
_GLANCES_LAST = timedelta(seconds=1)
_REST = 4
_LATEST_CHECKS = 12
_LATEST_WITHIN = timedelta(days=1)
Query = Mapping[str, str]
LoadPages = Callable[[], Awaitable["Pages"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What was read, when, and until when it is good enough."""

    statuses: tuple[DatabaseStatus, ...]
    at: datetime
    fresh_until: datetime


class NoSuchDatabaseError(Exception):
    """No database of this name is watched."""


class Answers:
    """One method per address. They raise `NoSuchDatabaseError` and `QuestionError`."""

    def __init__(
        self, overview: Overview, *, pages: LoadPages, conceal: Conceal, clock: Callable[[], datetime]
    ) -> None:
        self._overview = overview
        self._pages = pages
        self._conceal = conceal
        self._clock = clock
        self._read: _Read | None = None
        self._reading = asyncio.Lock()
        # Packing is the one long piece of work that lets go of the interpreter.
        self._worker_thread = ThreadPoolExecutor(1, thread_name_prefix="pages")

    async def front(self, _name: str, _query: Query) -> Answer:
        """The page of all databases."""
        statuses, now = await self._statuses(), self._clock()
        return await self._packed((await self._pages()).front(statuses, now), HTML)

    async def database(self, name: str, query: Query) -> Answer:
        """The page of one database."""
        chosen, status = span(query), await self._status(name)
        now = self._clock()
        start = now - chosen.length
        history = await self._overview.history(name, start=start, end=now, grain=chosen.grain, compare=True)
        checks = await self._overview.checks(
            name, start=now - _LATEST_WITHIN, end=now, before=None, limit=_LATEST_CHECKS
        )
        page = DatabasePage(status=status, history=history, span=chosen, checks=checks)
        return await self._packed((await self._pages()).database(page, now), HTML)

    async def badge(self, name: str, query: Query) -> Answer:
        """A badge of one database."""
        kind = shown(query)
        return pack(badge(card_of(await self._status(name), self._clock()), kind), SVG)

    async def databases(self, _name: str, _query: Query) -> Answer:
        """All databases now, as JSON."""
        statuses, now = await self._statuses(), self._clock()
        return await self._packed(databases_document(statuses, now=now, conceal=self._conceal), JSON)

    async def history(self, name: str, query: Query) -> Answer:
        """One database over a span, as JSON, with a page of its checks."""
        now = self._clock()
        asked = history_question(query, now)
        await self._status(name)
        history = await self._overview.history(
            name, start=asked.start, end=asked.end, grain=asked.grain, compare=True
        )
        # One more than is shown tells whether there is a next page.
        checks = await self._overview.checks(
            name, start=asked.start, end=asked.end, before=asked.before, limit=asked.limit + 1
        )
        page = checks[: asked.limit]
        next_before = page[-1].at if page and len(checks) > len(page) else None
        document = history_document(history, now=now, checks=page, next_before=next_before, conceal=self._conceal)
        return await self._packed(document, JSON)

    async def _packed(self, steps: Steps[str], content_type: str) -> Answer:
        text = await in_steps(steps)
        return await asyncio.get_running_loop().run_in_executor(self._worker_thread, pack, text, content_type)

    async def _statuses(self) -> tuple[DatabaseStatus, ...]:
        """As they were a moment ago: a page, its badges and its JSON often come together.

        They last for a second, or for four times as long as they took to read where that is longer.
        """
        async with self._reading:
            began = self._clock()
            if self._read is None or not self._read.at <= began < self._read.fresh_until:
                statuses = await self._overview.statuses()
                now = self._clock()
                fresh_until = now + max(_GLANCES_LAST, _REST * (now - began))
                self._read = _Read(statuses=statuses, at=now, fresh_until=fresh_until)
            return self._read.statuses

    async def _status(self, name: str) -> DatabaseStatus:
        found = next((one for one in await self._statuses() if one.database == name), None)
        if found is None:
            raise NoSuchDatabaseError(name)
        return found
