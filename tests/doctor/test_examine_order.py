"""The order of the climb: what waits for what, what a failure stops, and the end that nothing outlasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from monitor.diagnosis.layers import Rung, Seen, State
from monitor.doctor.examine import climb

LONG = timedelta(seconds=30)


class Hands:
    """Rungs that answer when they are told to, and note when they were asked."""

    def __init__(self) -> None:
        self.asked: list[Rung] = []

    def that(self, rung: Rung, state: State = State.PASSED) -> Callable[[], Awaitable[Seen]]:
        async def look() -> Seen:
            self.asked.append(rung)
            return Seen(rung=rung, state=state)

        return look

    def that_hangs(self, rung: Rung) -> Callable[[], Awaitable[Seen]]:
        async def look() -> Seen:
            self.asked.append(rung)
            await asyncio.Event().wait()
            raise AssertionError("nobody sets that event")

        return look


def states(rungs: tuple[Seen, ...]) -> dict[str, str]:
    return {seen.rung.value: seen.state.value for seen in rungs}


def test_rungs_are_climbed_in_causal_order() -> None:
    """Encryption is not tried before the connection stands, whatever the order they were given in."""
    hands = Hands()
    order = (Rung.HTTP, Rung.CONNECTION, Rung.ENCRYPTION, Rung.LOOKUP)
    ladder = asyncio.run(climb("main", {rung: hands.that(rung) for rung in order}, within=LONG))
    assert hands.asked == [Rung.LOOKUP, Rung.CONNECTION, Rung.ENCRYPTION, Rung.HTTP]
    assert [seen.rung for seen in ladder.rungs] == hands.asked
    assert all(seen.took_ms is not None for seen in ladder.rungs)


def test_a_failed_rung_skips_what_needs_it_and_the_rest_is_climbed() -> None:
    """No connection: no encryption, no HTTP; the status page and the worker's way are seen all the same."""
    hands = Hands()
    ladder = asyncio.run(
        climb(
            "main",
            {
                Rung.LOOKUP: hands.that(Rung.LOOKUP),
                Rung.CONNECTION: hands.that(Rung.CONNECTION, State.FAILED),
                Rung.ENCRYPTION: hands.that(Rung.ENCRYPTION),
                Rung.HTTP: hands.that(Rung.HTTP),
                Rung.WORKER: hands.that(Rung.WORKER),
                Rung.STATUS_PAGE: hands.that(Rung.STATUS_PAGE),
            },
            within=LONG,
        )
    )
    assert states(ladder.rungs) == {
        "lookup": "passed",
        "connection": "failed",
        "encryption": "skipped",
        "http": "skipped",
        "worker": "passed",
        "status_page": "passed",
    }
    assert Rung.HTTP not in hands.asked


def test_the_token_is_not_sent_when_the_configuration_is_wrong() -> None:
    """A malformed value stops the token alone: the network below it can be seen with the host that is left."""
    hands = Hands()
    rungs = {rung: hands.that(rung) for rung in (Rung.LOOKUP, Rung.CONNECTION, Rung.ENCRYPTION, Rung.HTTP)}
    rungs[Rung.CONFIGURATION] = hands.that(Rung.CONFIGURATION, State.FAILED)
    rungs[Rung.TOKEN] = hands.that(Rung.TOKEN)
    ladder = asyncio.run(climb("main", rungs, within=LONG))
    assert ladder.passed(Rung.HTTP)
    assert ladder.at(Rung.TOKEN).state is State.SKIPPED
    assert Rung.TOKEN not in hands.asked


def test_a_rung_that_hangs_costs_only_itself_and_what_needs_it() -> None:
    """At the end everything else is known; what hung, and what waited for it, is unknown."""
    hands = Hands()
    ladder = asyncio.run(
        climb(
            "main",
            {
                Rung.LOOKUP: hands.that(Rung.LOOKUP),
                Rung.CONNECTION: hands.that_hangs(Rung.CONNECTION),
                Rung.ENCRYPTION: hands.that(Rung.ENCRYPTION),
                Rung.CONSOLE: hands.that_hangs(Rung.CONSOLE),
                Rung.PLATFORM: hands.that(Rung.PLATFORM),
                Rung.STATUS_PAGE: hands.that(Rung.STATUS_PAGE),
            },
            within=timedelta(seconds=0.2),
        )
    )
    assert states(ladder.rungs) == {
        "lookup": "passed",
        "connection": "unknown",
        "encryption": "unknown",
        "status_page": "passed",
        "console": "unknown",
        "platform": "unknown",
    }
    assert ladder.at(Rung.CONNECTION).seen == "not known within 0.2 s"


def test_a_bug_in_a_rung_is_unknown_and_not_a_verdict() -> None:
    """Our own fault says nothing of the database; the text holds the kind of error and nothing of its words."""

    async def broken() -> Seen:
        raise ValueError("Bearer AXtoken")

    hands = Hands()
    ladder = asyncio.run(
        climb("main", {Rung.LOOKUP: broken, Rung.CONNECTION: hands.that(Rung.CONNECTION)}, within=LONG)
    )
    assert ladder.at(Rung.LOOKUP).seen == "the monitor failed inside (ValueError)"
    assert states(ladder.rungs) == {"lookup": "unknown", "connection": "passed"}


def test_a_ladder_without_rungs_is_empty() -> None:
    """Nothing was asked for, nothing is waited for."""
    assert asyncio.run(climb("main", {}, within=LONG)).rungs == ()
