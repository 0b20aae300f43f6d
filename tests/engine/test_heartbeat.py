"""The dead man's switch hears that checks happen, whatever they find, and that people are not told of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from starlette.responses import PlainTextResponse

from monitor.engine.heartbeat import STUCK_AFTER, are_stuck, keep_pinging, ping
from monitor.engine.scheduler import HealthTracker
from monitor.sandbox.server import LoopbackServer
from tests.program import until

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(("waits", "is_stuck"), [(timedelta(minutes=9, seconds=59), False), (STUCK_AFTER, True)])
def test_deliveries_are_stuck_after_ten_minutes(waits: timedelta, is_stuck: bool) -> None:
    """A channel that was away for a moment alarms nobody; where nothing waits, nothing is stuck."""
    assert are_stuck(NOW - waits, NOW) is is_stuck
    assert not are_stuck(None, NOW)


def test_a_failure_is_the_path_of_the_url_and_fail(direct: None) -> None:
    """What the URL asks for beside its path is asked for all the same."""
    with LoopbackServer(PlainTextResponse("OK")) as switch:
        for path in ("/ping/1f", "/ping/1f/", "/ping/1f?run=2", ""):
            assert ping(switch.url + path, has_failed=True) is None
    targets = [request.target for request in switch.requests]
    assert targets == ["/ping/1f/fail", "/ping/1f/fail", "/ping/1f/fail?run=2", "/fail"]


@pytest.mark.parametrize(("is_stuck", "target"), [(False, "/x"), (True, "/x/fail")])
def test_while_checks_happen_the_switch_is_pinged(direct: None, is_stuck: bool, target: str) -> None:
    """As a success whatever the databases are like, as a failure while nobody can be told."""
    health = HealthTracker()
    health.expect("main", interval_seconds=60, timeout_seconds=10, now=monotonic())
    health.finish("main", monotonic())

    async def deliveries_are_stuck() -> bool:
        return is_stuck

    async def until_pinged(switch: LoopbackServer) -> None:
        pinging = asyncio.create_task(keep_pinging(f"{switch.url}/x", health, deliveries_are_stuck))
        await asyncio.to_thread(until, lambda: switch.requests, "a ping")
        pinging.cancel()

    with LoopbackServer(PlainTextResponse("OK")) as switch:
        asyncio.run(until_pinged(switch))
    assert [(request.method, request.target) for request in switch.requests] == [("GET", target)]
