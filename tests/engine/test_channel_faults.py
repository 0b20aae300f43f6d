"""A channel in trouble for an hour: it drips, redirects, hangs, refuses, or asks for patience all the while."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from monitor.sandbox.messaging import MessagingFault
from tests.engine.outbox_setup import BAD, GOOD, MINUTE, START, OutboxSetup

HOUR = timedelta(hours=1)
WAITS = [
    MessagingFault.DOWN,
    MessagingFault.FLAKY,
    MessagingFault.RATE_LIMITED,
    MessagingFault.REDIRECT,
    MessagingFault.DRIP,
    MessagingFault.HANG,
    MessagingFault.REFUSE,
]


def deliver(outbox: OutboxSetup, service: str, fault: MessagingFault) -> None:
    """With the little time that a test has for a service that never answers; the other has all it needs."""
    channels = outbox.channels
    is_endless = fault in (MessagingFault.DRIP, MessagingFault.HANG)
    for name in channels:
        outbox.channels = {name: channels[name]}
        timeout = timedelta(seconds=0.2 if is_endless and name == service else 20)
        asyncio.run(outbox.deliverer(timeout=timeout).send_due())
    outbox.channels = channels


def heard(outbox: OutboxSetup, service: str) -> list[str]:
    """Incident and kind of each message, without those about a channel."""
    lines = [line.rpartition(" / ")[2] for line in outbox.read(service)]
    return [line for line in lines if "monitor" not in line]


@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
@pytest.mark.parametrize("service", ["slack", "telegram"])
@pytest.mark.parametrize("fault", WAITS, ids=str)
def test_an_hour_of_it_loses_nothing(outbox: OutboxSetup, service: str, fault: MessagingFault) -> None:
    """Two incidents in the hour, the second still open at its end: the other channel has heard all of it at once;
    this one hears of both when it is back, each in its order, and of the end of the second."""
    other = {"slack": "telegram", "telegram": "slack"}[service]
    outbox.inbox.retry_after_seconds = 3600
    outbox.inbox.drip_seconds = 0.5
    setattr(outbox.inbox, f"{service}_fault", fault)
    outbox.record(BAD, BAD)
    deliver(outbox, service, fault)
    outbox.record(*[GOOD] * 20, BAD, BAD)
    deliver(outbox, service, fault)
    assert heard(outbox, other) == [
        "incident 1 · opened",
        "incident 1 · closed",
        "incident 2 · opened",
    ]
    outbox.now = max(outbox.now, START + HOUR + MINUTE * 10)
    setattr(outbox.inbox, f"{service}_fault", MessagingFault.NONE)
    outbox.deliver()
    outbox.now += HOUR
    outbox.deliver()
    outbox.record(GOOD, GOOD)
    outbox.deliver()
    assert heard(outbox, service) == ["incident 1 · missed", "incident 2 · opened", "incident 2 · closed"]
