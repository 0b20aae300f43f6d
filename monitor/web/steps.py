"""Long work in small steps, so that it never holds up the event loop: a check that waits for its answer goes
first.

A thread would not do: whoever computes there keeps the interpreter for itself, and every packet of a check waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from time import perf_counter
from typing import TypeVar

Result = TypeVar("Result")
# Work that pauses wherever it says `yield` and returns what it made.
Steps = Generator[None, None, Result]

_LEAST_TURN_SECONDS = 0.001
_LONGEST_TURN_SECONDS = 0.004


async def in_steps(steps: Steps[Result], *, clock: Callable[[], float] = perf_counter) -> Result:
    """What the steps make; after a turn of a millisecond everybody else has one. `clock` gives seconds.

    Where the others take long, turns are longer too, so that pages are made also while the loop is very busy.
    """
    turn = _LEAST_TURN_SECONDS
    began = clock()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Result = end.value
            return made
        paused = clock()
        if paused - began >= turn:
            await asyncio.sleep(0)
            began = clock()
            turn = min(_LONGEST_TURN_SECONDS, max(_LEAST_TURN_SECONDS, (began - paused) / 2))


def at_once(steps: Steps[Result]) -> Result:
    """What the steps make, without a pause, for those who hold nobody up."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Result = end.value
            return made
