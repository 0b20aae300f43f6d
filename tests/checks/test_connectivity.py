"""Connectivity hosts: which of them accept a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from monitor.checks.connection import AddressInfo, Resolver, system_lookup
from monitor.checks.connectivity import ConnectivityProbe
from tests.checks.listener import Listener, close_at_once, port_that_drops


def test_a_dead_address_does_not_hide_one_that_answers() -> None:
    """A name whose IPv6 leads nowhere: the next address is tried soon, as checks and messages do."""
    with port_that_drops() as dead, Listener(close_at_once) as listener:

        def lookup(host: str, port: int) -> Sequence[AddressInfo]:
            return [info for each in (dead, port) for info in system_lookup("127.0.0.1", each)]

        host = f"hooks.example:{listener.port}"
        probe = ConnectivityProbe([host], resolver=Resolver(lookup))
        # Generous for a busy machine; a dead address alone takes the system two minutes.
        assert asyncio.run(probe.reachable(timedelta(seconds=10))) == {host}


def test_a_host_that_drops_does_not_hide_one_that_answered() -> None:
    """Whoever cannot wait for all of them is told who has answered by now."""

    async def until_one_answered(probe: ConnectivityProbe) -> frozenset[str]:
        trying = asyncio.create_task(probe.reachable(timedelta(seconds=30)))
        for _ in range(2000):
            if probe.accepted_so_far:
                break
            await asyncio.sleep(0.01)
        assert not trying.done()
        trying.cancel()
        return probe.accepted_so_far

    with port_that_drops() as dead, Listener(close_at_once) as listener:
        answers = f"127.0.0.1:{listener.port}"
        probe = ConnectivityProbe([f"127.0.0.1:{dead}", answers])
        assert asyncio.run(until_one_answered(probe)) == {answers}
