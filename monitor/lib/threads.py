"""Blocking calls on threads, which neither the event loop nor the end of the process waits for.

asyncio.to_thread and the executors of concurrent.futures wait for their threads when the interpreter ends: there a
host or a disk that hangs would hold up our own end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def with_future(call: Callable[[], T]) -> tuple[Callable[[], None], Future[T]]:
    """`call` in a form that a thread may run, and the future of what it returns or raises.

    The future cannot be cancelled: whoever waits may leave, and the answer to nobody is no error of the thread's.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - handed over whole to whoever waits
            future.set_exception(error)

    return run, future


def start_on_thread(call: Callable[[], T], *, name: str) -> Future[T]:
    """Begin `call` on a daemon thread of its own."""
    run, future = with_future(call)
    threading.Thread(target=run, name=name, daemon=True).start()
    return future


async def on_daemon_thread(call: Callable[[], T], *, name: str) -> T:
    """Return what `call` returns, raise what it raises; a waiter that is cancelled leaves the call to itself."""
    return await asyncio.wrap_future(start_on_thread(call, name=name))


class SerialThread:
    """Runs calls on one daemon thread, one after the other, in the order in which they were submitted."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
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
            raise RuntimeError(f"{self._thread.name} is closed")
        # Not even while it waits in the queue can it be cancelled: a check must be written.
        run, future = with_future(call)
        self._calls.put(run)
        return future

    def _work(self) -> None:
        while (run := self._calls.get()) is not None:
            run()
