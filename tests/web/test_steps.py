"""Long work in steps: others have their turn, and what is made is the same."""

from __future__ import annotations

import asyncio

from monitor.web.steps import Steps, at_once, in_steps


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def work(steps: int, clock: Clock, *, seconds_each: float) -> Steps[str]:
    made = ""
    for _ in range(steps):
        clock.now += seconds_each
        made += "x"
        yield
    return made


def turns_of_others(steps: int, *, seconds_each: float) -> int:
    """How often somebody else has a turn while so many steps are done."""
    clock = Clock()

    async def play() -> int:
        turns = 0
        task = asyncio.create_task(in_steps(work(steps, clock, seconds_each=seconds_each), clock=clock))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    return asyncio.run(play())


def test_what_is_made_is_the_same_with_and_without_pauses() -> None:
    """A page in the event loop, a report at once."""
    paused = asyncio.run(in_steps(work(50, Clock(), seconds_each=0.002)))
    assert paused == at_once(work(50, Clock(), seconds_each=0.002)) == "x" * 50


def test_others_have_a_turn_after_each_millisecond() -> None:
    """Steps of two milliseconds let everybody else run after each of them."""
    assert turns_of_others(25, seconds_each=0.002) >= 25


def test_short_steps_do_not_pause_each_time() -> None:
    """A pause costs as much as many of them."""
    assert turns_of_others(2000, seconds_each=0.00001) < 30
