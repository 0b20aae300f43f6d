"""The store's thread: in order, nothing that was asked for is dropped, and its end is an end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from monitor.store.thread import Keeper


def test_calls_run_one_after_the_other_in_order() -> None:
    """As asked for, on one thread, whoever waits."""
    keeper = Keeper()
    done: list[tuple[int, str]] = []

    async def ask() -> None:
        def note(number: int) -> None:
            done.append((number, threading.current_thread().name))

        await asyncio.gather(*(keeper.run(note, number) for number in range(50)))

    asyncio.run(ask())
    keeper.stop(lambda: None)
    assert done == [(number, "store") for number in range(50)]


def test_a_call_whose_waiter_gave_up_in_the_queue_is_still_done() -> None:
    """A look that was seen is written, though the end of the watch came while it waited its turn."""
    keeper = Keeper()
    gate = threading.Event()
    done: list[str] = []

    async def give_up() -> None:
        first = asyncio.ensure_future(keeper.run(gate.wait))
        second = asyncio.ensure_future(keeper.run(done.append, "second"))
        await asyncio.sleep(0)
        for waiter in (first, second):
            waiter.cancel()
            with suppress(asyncio.CancelledError):
                await waiter

    asyncio.run(give_up())
    gate.set()
    keeper.stop(lambda: done.append("last"))
    assert done == ["second", "last"]


def test_what_a_call_raises_reaches_whoever_waits_and_nobody_else() -> None:
    """The thread goes on."""
    keeper = Keeper()

    def fail() -> None:
        raise KeyError("a bug of ours")

    async def ask() -> int:
        with pytest.raises(KeyError):
            await keeper.run(fail)
        return await keeper.run(lambda: 7)

    assert asyncio.run(ask()) == 7
    with pytest.raises(KeyError):
        keeper.stop(fail)


def test_nobody_waits_for_a_thread_that_has_ended() -> None:
    """After the stop a call is refused at once."""
    keeper = Keeper()
    keeper.stop(lambda: None)
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(keeper.run(lambda: None))
