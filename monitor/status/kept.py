"""Answers that are kept for a moment, so that many visitors cost as much as one; making them is done elsewhere."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from hashlib import sha256

_LEAST_SECONDS = 1.0
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


class Kept:
    """Answers by question; one being made is waited for, not made again. `clock` gives monotonic seconds.

    An answer is kept for a second, or for four times as long as it took to make where that is longer: however many
    visitors there are, four fifths of the time are left for the looks.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, Answer]] = {}
        self._making: dict[Hashable, asyncio.Task[Answer]] = {}
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def get(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a question, made if there is none that is fresh. What `make` raises is not kept."""
        kept = self._answers.get(question)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        task = self._making.get(question)
        if task is None:
            task = asyncio.create_task(self._make(question, make))
            self._making[question] = task
            task.add_done_callback(lambda _: self._making.pop(question, None))
        # A visitor who leaves does not take the answer away from the others.
        return await asyncio.shield(task)

    async def _make(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._turns:
            began = self._clock()
            answer = await make()
        now = self._clock()
        fresh = {key: kept for key, kept in self._answers.items() if now < kept[0]}
        size = sum(len(kept.body) + len(kept.packed or b"") for _, kept in fresh.values())
        self._answers = fresh if size < _MOST_BYTES else {}
        self._answers[question] = (now + max(_LEAST_SECONDS, _REST * (now - began)), answer)
        return answer


def pack(text: str, content_type: str) -> Answer:
    """An answer of this text; no work for an event loop."""
    body = text.encode()
    packed = gzip.compress(body, 6, mtime=0) if len(body) > _WORTH_PACKING else None
    etag = f'W/"{sha256(body).hexdigest()[:20]}"'
    return Answer(body=body, packed=packed, etag=etag, content_type=content_type)
