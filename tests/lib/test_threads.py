"""The store's thread: in order, nothing that was asked for is dropped, and its end is an end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from monitor.lib.threads import SerialThread


def test_calls_run_one_after_the_other_in_order() -> None:
    """As asked for, on one thread, whoever waits."""
    store_thread = SerialThread("store")
    done: list[tuple[int, str]] = []

    async def ask() -> None:
        def note(number: int) -> None:
            done.append((number, threading.current_thread().name))

        await asyncio.gather(*(store_thread.run(note, number) for number in range(50)))

    asyncio.run(ask())
    store_thread.stop(lambda: None)
    assert done == [(number, "store") for number in range(50)]


def test_a_call_whose_waiter_gave_up_in_the_queue_is_still_done() -> None:
    """A check that was seen is written, though the end of the watch came while it waited its turn."""
    store_thread = SerialThread("store")
    gate = threading.Event()
    done: list[str] = []

    async def give_up() -> None:
        first = asyncio.ensure_future(store_thread.run(gate.wait))
        second = asyncio.ensure_future(store_thread.run(done.append, "second"))
        await asyncio.sleep(0)
        for waiter in (first, second):
            waiter.cancel()
            with suppress(asyncio.CancelledError):
                await waiter

    asyncio.run(give_up())
    gate.set()
    store_thread.stop(lambda: done.append("last"))
    assert done == ["second", "last"]


def test_what_a_call_raises_reaches_whoever_waits_and_nobody_else() -> None:
    """The thread goes on."""
    store_thread = SerialThread("store")

    def fail() -> None:
        raise KeyError("a bug of ours")

    async def ask() -> int:
        with pytest.raises(KeyError):
            await store_thread.run(fail)
        return await store_thread.run(lambda: 7)

    assert asyncio.run(ask()) == 7
    with pytest.raises(KeyError):
        store_thread.stop(fail)


def test_nobody_waits_for_a_thread_that_has_ended() -> None:
    """After the stop a call is refused at once."""
    store_thread = SerialThread("store")
    store_thread.stop(lambda: None)
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(store_thread.run(lambda: None))
