"""Answers that are kept for a moment, so that many visitors cost as much as one; making them is done elsewhere."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from hashlib import sha256

_FRESH_SECONDS = 1.0
_STALE_SECONDS = 15.0
_REST = 4
_MOST_BYTES = 8 * 2**20
# Questions that differ are not kept for each other; so many of them are worked on side by side, the rest waits.
_MOST_AT_ONCE = 2
_WORTH_PACKING = 1400


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A body, the same packed with gzip where that is worth it, and a mark that changes with it."""

    body: bytes
    packed: bytes | None
    etag: str
    content_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Aging:
    answer: Answer
    made_at: float
    fresh_until: float


class Kept:
    """Answers by question. `clock` gives monotonic seconds.

    An answer is fresh for a second, or for four times as long as it took to make where that is longer: however
    many visitors there are, four fifths of the time are left for the checks. Whoever comes first after that waits
    for the next one; those who come meanwhile get the last, unless it is too old.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[Hashable, _Aging] = {}
        self._making: dict[Hashable, asyncio.Task[Answer]] = {}
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._door = asyncio.Lock()

    async def get(self, query: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a question. What `make` raises is not kept."""
        now = self._clock()
        kept = self._answers.get(query)
        if kept is not None and now < kept.fresh_until:
            return kept.answer
        task = self._making.get(query)
        if task is not None and kept is not None and now < kept.made_at + _STALE_SECONDS:
            return kept.answer
        if task is None:
            task = asyncio.create_task(self._make(query, make))
            self._making[query] = task
            task.add_done_callback(lambda _: self._making.pop(query, None))
        # A visitor who leaves does not take the answer away from the others.
        answer = await asyncio.shield(task)
        # Two hundred who waited would be served in one go, and every check would wait for that.
        async with self._door:
            await asyncio.sleep(0)
        return answer

    async def _make(self, query: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._turns:
            began = self._clock()
            answer = await make()
        now = self._clock()
        self._drop_old(now)
        fresh_until = now + max(_FRESH_SECONDS, _REST * (now - began))
        self._answers[query] = _Aging(answer=answer, made_at=now, fresh_until=fresh_until)
        return answer

    def _drop_old(self, now: float) -> None:
        young = {query: kept for query, kept in self._answers.items() if now < kept.made_at + _STALE_SECONDS}
        size = sum(len(kept.answer.body) + len(kept.answer.packed or b"") for kept in young.values())
        self._answers = young if size < _MOST_BYTES else {}


def pack(text: str, content_type: str) -> Answer:
    """An answer of this text; no work for an event loop."""
    body = text.encode()
    packed = gzip.compress(body, 6, mtime=0) if len(body) > _WORTH_PACKING else None
    etag = f'W/"{sha256(body).hexdigest()[:20]}"'
    return Answer(body=body, packed=packed, etag=etag, content_type=content_type)
