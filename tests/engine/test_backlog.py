"""Much to tell at once: nobody is flooded, a service in trouble is not hammered, two processes share the work."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from monitor.checks.observation import Outcome
from monitor.engine.delivery import Deliverer
from monitor.lib.threads import SerialThread
from monitor.sandbox.messaging import MessagingFault
from monitor.store.store import Store
from tests.engine.outbox_setup import (
    BAD,
    MINUTE,
    NO_TIME,
    SECOND,
    TROUBLE,
    LimitedChannel,
    OutboxSetup,
    RefusingChannel,
)
from tests.program import LONGEST_WAIT_SECONDS


def incidents(outbox: OutboxSetup, number: int) -> None:
    """So many databases begin to fail at the same time."""
    begin = outbox.now
    for each in range(number):
        outbox.now = begin
        outbox.record(BAD, BAD, database=f"db{each}")


def test_a_backlog_is_told_at_a_gentle_pace(outbox: OutboxSetup) -> None:
    """A short burst, and then with a pause between: what both services document, in small."""
    incidents(outbox, 8)
    pace = timedelta(seconds=0.1)
    asyncio.run(outbox.deliverer(pace=pace).send_due())
    for service in ("slack", "telegram"):
        times = [message.at for message in outbox.inbox.messages if message.service == service]
        assert len(times) == 8
        for earlier, later in list(pairwise(times))[4:]:
            assert later - earlier >= pace * 0.9  # a clock may be a little coarse
        told = [line.rpartition(" / ")[2] for line in outbox.read(service)]
        assert told == [f"incident {number} · opened" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("diagnosis", "group_within"), [(NO_TIME, MINUTE), (10 * SECOND, NO_TIME)], ids=["grouped", "diagnosed"]
)
def test_twenty_at_one_instant_are_all_told_within_a_minute(
    outbox: OutboxSetup, diagnosis: timedelta, group_within: timedelta
) -> None:
    """The first within two seconds of the decision, or of the end of its diagnosis, though both services answer
    429 at first and take no more than a message a second."""
    outbox.group_within = group_within
    outbox.restart()
    limited = [LimitedChannel(channel, lambda: outbox.now) for channel in outbox.channels.values()]
    outbox.channels |= {channel.name: channel for channel in limited}
    decided = outbox.now
    for number in range(20):
        outbox.now = decided - MINUTE
        outbox.record(*[(BAD, Outcome.QUOTA_EXCEEDED)[number % 2]] * 2, database=f"db{number}", hold=diagnosis)
    outbox.now = decided
    outbox.deliver_until(decided + MINUTE)
    for channel in limited:
        [first, *_] = moments = [at for at, _ in channel.taken]
        assert diagnosis <= first - decided <= diagnosis + 2 * SECOND, moments
        told = [one.database for _, message in channel.taken for one in message.includes or (message,)]
        assert sorted(told, key=str) == sorted(f"db{number}" for number in range(20))


def test_a_service_in_trouble_is_not_hammered_for_many_incidents(outbox: OutboxSetup) -> None:
    """Fifteen messages wait for an hour: the service is tried no oftener than for a few, with growing pauses."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    incidents(outbox, 15)
    tries: list[int] = []
    for _ in range(60):
        before = outbox.inbox.requests
        outbox.deliver_until(outbox.now + MINUTE)
        tries.append(outbox.inbox.requests - before)
    tries[0] -= 15  # Telegram's
    assert sum(tries) < 300
    assert max(tries[30:]) <= 4
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.deliver_until(outbox.now + 10 * MINUTE)
    told = [line.rpartition(" / ")[2] for line in outbox.read("slack")]
    assert told == [f"incident {number} · opened" for number in range(1, 16)]


def test_news_during_an_outage_is_tried_at_once(outbox: OutboxSetup) -> None:
    """The outage may just be over: twenty old messages in their pauses do not hold a new one back."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    incidents(outbox, 20)
    for _ in range(60):
        outbox.deliver()
        outbox.now += MINUTE / 2
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.checks(BAD, BAD, database="new")
    told = [line.rpartition(" / ")[2] for line in outbox.read("slack")]
    assert told == [f"incident {number} · opened" for number in range(1, 22)]


def test_one_message_that_is_refused_does_not_stop_the_rest(outbox: OutboxSetup) -> None:
    """The oldest of four fails for ever, in the midst of an outage for all: the others arrive when it ends."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    incidents(outbox, 4)
    for _ in range(20):
        outbox.deliver()
        outbox.now += MINUTE
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.channels["slack"] = RefusingChannel(outbox.channels["slack"], TROUBLE)
    for _ in range(12):
        outbox.deliver()
        outbox.now += MINUTE
    told = sorted(line.rpartition(" / ")[2] for line in outbox.read("slack"))
    assert told == ["incident 2 · opened", "incident 3 · opened", "incident 4 · opened"]


@pytest.mark.faults("two monitors on one file")
def test_two_processes_never_send_the_same_message(outbox: OutboxSetup) -> None:
    """`run` and a `check` beside it, on one file, with a connection each: every message arrives once."""
    incidents(outbox, 12)
    others = Store(
        outbox.path, channels=list(outbox.channels), log=lambda level, text: None, clock=lambda: outbox.now
    )
    store_thread = SerialThread("store")
    beside = Deliverer(
        outbox.channels, store=others, store_thread=store_thread, clock=lambda: outbox.now, pace=timedelta(0)
    )
    barrier = threading.Barrier(2)

    def check() -> None:
        barrier.wait(LONGEST_WAIT_SECONDS)
        asyncio.run(beside.send_due())

    thread = threading.Thread(target=check)
    thread.start()
    barrier.wait(LONGEST_WAIT_SECONDS)
    outbox.deliver()
    thread.join(LONGEST_WAIT_SECONDS)
    store_thread.stop(others.close)
    for service in ("slack", "telegram"):
        told = Counter(line.rpartition(" / ")[2] for line in outbox.read(service))
        assert told == Counter(f"incident {number} · opened" for number in range(1, 13))
