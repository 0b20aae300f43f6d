"""Blocking calls on threads, which neither the event loop nor the end of the process waits for.

asyncio.to_thread and the executors of concurrent.futures wait for their threads when the interpreter ends: there a
host or a disk that hangs would hold up our own end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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
