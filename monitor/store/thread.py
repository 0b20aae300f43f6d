"""The store thread: the one thread on which the store runs, so that a slow disk never blocks the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

from monitor.lib.threads import with_future

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """Runs calls on its thread, one after the other, in the order in which they were submitted.

    The thread is a daemon: a disk that hangs for ever must not keep the process from ending.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns, raise what it raises; a cancelled waiter does not undo the call."""
        return await asyncio.wrap_future(self._submit(partial(call, *args, **kwargs)))

    def stop(self, last: Callable[[], None]) -> None:
        """Run what was submitted, then `last`, then end the thread. Blocks."""
        done = self._submit(last)
        self._is_stopped = True
        self._calls.put(None)
        self._thread.join()
        done.result()

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if self._is_stopped:
            raise RuntimeError("the store is closed")
        # It cannot be cancelled, not even while it waits in the queue: a check must be written.
        run, future = with_future(call)
        self._calls.put(run)
        return future

    def _work(self) -> None:
        while (run := self._calls.get()) is not None:
            run()
