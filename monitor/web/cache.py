"""The page's one cache: responses that are kept for a moment, so that many visitors cost as much as one.

And what a request's headers say of the answer that the client wants (RFC 9110).
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from hashlib import sha256

_FRESH_SECONDS = 1.0
# Of the time at most one part in five is spent on making a response, however many visitors ask for it.
_FRESH_PER_SECOND_OF_WORK = 4
_STALE_SECONDS = 15.0
_TIMEOUT_SECONDS = 20.0
_MOST_BYTES = 8 * 2**20
# Less than this fits into one packet as it is.
_GZIP_FROM_BYTES = 1400
_ENTITY_TAG = re.compile(r'"[^"]*"')
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedResponse:
    """A body, the same compressed where that is worth it, and an entity tag that changes with it."""

    body: bytes
    gzipped: bytes | None
    etag: str
    content_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    response: CachedResponse
    made_at: float
    fresh_until: float


class ResponseCache:
    """Responses by key. `clock` gives monotonic seconds.

    A response is fresh for a second, or for four times as long as it took to make where that is longer. Requests
    for the same key share the work; while it is made anew, later requests get the last one, unless that is older
    than 15 seconds (stale-while-revalidate, RFC 5861). Different responses are made one after the other: each
    queues at most one call on the store's thread, so that recording a check never waits for a crowd.
    """

    def __init__(self, *, clock: Callable[[], float], timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._entries: dict[Hashable, _Entry] = {}
        self._making: dict[Hashable, asyncio.Task[CachedResponse]] = {}
        self._turn = asyncio.Lock()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[CachedResponse]]) -> CachedResponse:
        """The response of this key. What `make` raises is raised to all who wait for it, and not kept.

        Raises `TimeoutError` when the response is not there in time, waiting for its turn included.
        """
        now = self._clock()
        entry = self._entries.get(key)
        if entry is not None and now < entry.fresh_until:
            return entry.response
        task = self._making.get(key)
        if task is not None and entry is not None and now < entry.made_at + _STALE_SECONDS:
            return entry.response
        if task is None:
            making = self._making
            task = making[key] = asyncio.create_task(self._make(key, make))
            task.add_done_callback(lambda _: making.pop(key, None))
        # A visitor who leaves does not cancel the work for the others.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Make every response anew that is asked for from now on, since something was changed just now."""
        self._entries = {}
        self._making = {}  # what is being made was read before

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[CachedResponse]]) -> CachedResponse:
        making = self._making
        async with asyncio.timeout(self._timeout_seconds), self._turn:
            began = self._clock()
            response = await make()
        if making is not self._making:
            return response  # something was changed since it was read
        now = self._clock()
        self._drop_old(now)
        fresh_until = now + max(_FRESH_SECONDS, _FRESH_PER_SECOND_OF_WORK * (now - began))
        self._entries[key] = _Entry(response=response, made_at=now, fresh_until=fresh_until)
        return response

    def _drop_old(self, now: float) -> None:
        recent = {key: entry for key, entry in self._entries.items() if now < entry.made_at + _STALE_SECONDS}
        size = sum(len(entry.response.body) + len(entry.response.gzipped or b"") for entry in recent.values())
        self._entries = recent if size < _MOST_BYTES else {}


def compress(body: bytes, content_type: str) -> CachedResponse:
    """A response with this body; takes milliseconds of CPU for a large one."""
    gzipped = gzip.compress(body, 6, mtime=0) if len(body) >= _GZIP_FROM_BYTES else None
    etag = f'W/"{sha256(body).hexdigest()[:20]}"'
    return CachedResponse(body=body, gzipped=gzipped, etag=etag, content_type=content_type)


def prefers_gzip(accept_encoding: str) -> bool:
    """True where gzip is allowed and plain is not wanted more (12.5.3). An unreadable quality counts as 0."""
    wanted: dict[str, float] = {}
    for entry in accept_encoding.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        found = [_QUALITY.fullmatch(parameter.replace(" ", "")) for parameter in parameters]
        wanted[name] = min((float(one[1]) if one else 0.0 for one in found), default=1.0)
    # Where plain is not named, any coding that is allowed may be sent.
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def is_known(etag: str, if_none_match: str) -> bool:
    """True where the client has that answer already: one of a list, weak or strong, or any (13.1.2)."""
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in _ENTITY_TAG.findall(if_none_match)
