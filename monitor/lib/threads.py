"""Waiting for a blocking call without being held up by it at the end. What is called is the caller's business."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def on_daemon_thread(call: Callable[[], T], *, name: str) -> T:
    """Return what `call` returns, raise what it raises; a cancelled waiter leaves the call to itself.

    Unlike with asyncio.to_thread neither the loop nor the interpreter waits for the thread: a host that hangs
    must not hold up our own end.
    """
    future: Future[T] = Future()
    # From here on it cannot be cancelled, so that a late answer to nobody is no error of the thread's.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - handed over whole to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
