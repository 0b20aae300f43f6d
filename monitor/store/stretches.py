"""Single looks as a line of time: each with the time for which the state that it found held.

That is until the next look of the database, and not at all into a gap. Here only the looks themselves are read;
what they add up to is kept in `ledger`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.core.rollup import Rollup
from monitor.store.gaps import read_gaps
from monitor.store.look_rows import Seen, look_before, look_from, seen_looks
from monitor.store.marks import read_horizon


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A look, and from when until when its state held in the span that was asked for.

    `is_inside` is false for the look before the span, which only reaches into it.
    """

    seen: Seen
    is_inside: bool
    start_ms: int
    end_ms: int


def stretches(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> Iterator[Stretch]:
    """The looks from `start_ms` until before `end_ms`, the oldest first, and the one that reaches into it.

    What the last look before the end found holds until then only if another look follows: what is not known yet
    is not known.
    """
    before = look_before(connection, database, start_ms, since_ms=read_horizon(connection).looks_ms)
    gaps = read_gaps(connection, database, start_ms=start_ms if before is None else before.at_ms, end_ms=end_ms)
    inside = seen_looks(connection, database, start_ms, end_ms)
    after = look_from(connection, database, end_ms)
    place = 0
    for first, second in _pairs(before, inside, after):
        held_until_ms = first.at_ms
        if second is not None:
            while place < len(gaps) and gaps[place][1] <= first.at_ms:
                place += 1
            if place == len(gaps) or gaps[place][0] >= second.at_ms:
                held_until_ms = second.at_ms
        yield Stretch(
            seen=first,
            is_inside=first is not before,
            start_ms=max(start_ms, first.at_ms),
            end_ms=max(start_ms, min(end_ms, held_until_ms)),
        )


def sum_of(connection: sqlite3.Connection, database: int, start_ms: int, end_ms: int) -> Rollup:
    """What the single looks of a span add up to."""
    rollup = Rollup()
    for stretch in stretches(connection, database, start_ms, end_ms):
        if stretch.is_inside:
            rollup.count(stretch.seen.outcome, stretch.seen.latency_ms)
        rollup.hold(stretch.seen.outcome, stretch.end_ms - stretch.start_ms)
    return rollup


def _pairs(before: Seen | None, inside: Iterator[Seen], after: Seen | None) -> Iterator[tuple[Seen, Seen | None]]:
    """Each look with the one that follows it; the last of all has none."""
    first = before
    for second in inside:
        if first is not None:
            yield first, second
        first = second
    if first is not None:
        yield first, after
