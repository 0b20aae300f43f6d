"""The one thread on which the store lives, so that a slow disk neither blocks the loop nor spoils a latency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Keeper:
    """Runs calls on its thread, one after the other, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns, raise what it raises; a cancelled waiter does not undo the call."""
        return await asyncio.wrap_future(self._thread.submit(call, *args, **kwargs))

    def stop(self, last: Callable[[], None]) -> None:
        """Do what was asked for, then `last`, then end the thread. Blocks."""
        self._thread.submit(last).result()
        self._thread.shutdown()
