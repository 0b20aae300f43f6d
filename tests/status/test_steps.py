"""Long work in steps: others have their turn, and what is made is the same."""

from __future__ import annotations

import asyncio
from time import perf_counter

from monitor.status.steps import Steps, at_once, in_steps


def work(steps: int, *, seconds_each: float = 0.0) -> Steps[str]:
    made = ""
    for _ in range(steps):
        end = perf_counter() + seconds_each
        while perf_counter() < end:
            pass
        made += "x"
        yield
    return made


def test_what_is_made_is_the_same_with_and_without_pauses() -> None:
    """A page in the event loop, a report at once."""
    assert asyncio.run(in_steps(work(50))) == at_once(work(50)) == "x" * 50


def test_others_have_a_turn_after_each_millisecond() -> None:
    """Steps that together take fifty milliseconds let everybody else run dozens of times meanwhile."""

    async def play() -> int:
        turns = 0
        task = asyncio.create_task(in_steps(work(25, seconds_each=0.002)))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(play()) >= 25


def test_short_steps_do_not_pause_each_time() -> None:
    """A pause costs as much as many of them."""

    async def play() -> int:
        turns = 0
        task = asyncio.create_task(in_steps(work(2000)))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(play()) < 1000
