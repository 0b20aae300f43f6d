"""Climbs a ladder: each rung as soon as what it needs is known, the others beside it, and an end nothing outlasts.

What a rung looks at is handed in; which rung needs which is known to `core/ladder`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from time import perf_counter

from loguru import logger

from monitor.core.ladder import Ladder, Rung, Seen, State, hindrance

# One rung: looks, and says what it saw. `took_ms` is filled in here, so that no rung measures itself.
Hand = Callable[[], Awaitable[Seen]]
# Not a need, since nothing fails without it, but a rung that knows more once the other is done.
_AFTER = {Rung.PLATFORM: Rung.CONSOLE, Rung.WORKER: Rung.LOOKUP}


async def climb(database: str, hands: Mapping[Rung, Hand], *, within: timedelta) -> Ladder:
    """Return the ladder after at most `within`; rungs that are not done by then are unknown. Raises nothing."""
    done: dict[Rung, asyncio.Future[Seen]] = {}
    for rung in Rung:
        if rung in hands:
            done[rung] = asyncio.ensure_future(_rung(rung, hands[rung], done))
    if done:
        await asyncio.wait(done.values(), timeout=within.total_seconds())
    for future in done.values():
        future.cancel()
    await asyncio.sleep(0)  # let them notice
    seconds = within.total_seconds()
    return Ladder(
        database=database,
        rungs=tuple(
            future.result()
            if future.done() and not future.cancelled()
            else Seen(rung=rung, state=State.UNKNOWN, seen=f"not known within {seconds:g} s")
            for rung, future in done.items()
        ),
    )


async def _rung(rung: Rung, hand: Hand, done: Mapping[Rung, asyncio.Future[Seen]]) -> Seen:
    # The rungs below were begun before this one, so waiting for them cannot come round in a circle.
    below = [needed for needed in (*rung.needs, _AFTER.get(rung)) if needed is not None and needed in done]
    known = [await asyncio.shield(done[needed]) for needed in below]
    if hindrance(rung, known) is not None:
        return Seen(rung=rung, state=State.SKIPPED)
    started = perf_counter()
    try:
        seen = await hand()
    except Exception as error:  # noqa: BLE001 - the top of a rung: a bug in one must not cost the others
        logger.opt(exception=error).error("the rung {} failed inside", rung.value)
        return Seen(rung=rung, state=State.UNKNOWN, seen=f"the monitor failed inside ({type(error).__name__})")
    return replace(seen, took_ms=(perf_counter() - started) * 1000) if seen.took_ms is None else seen
