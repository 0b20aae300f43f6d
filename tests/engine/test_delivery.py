"""Messages over hours: channels that are away, broken, slow or deaf. Only time is handed in; the rest is real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import pairwise
from time import monotonic

import pytest
from starlette.responses import PlainTextResponse

from monitor.alerts.slack import SlackChannel
from monitor.engine.delivery import Deliverer
from monitor.sandbox.messaging import MessagingFault
from monitor.sandbox.server import LoopbackServer
from monitor.sandbox.telegram import TelegramRefusedError
from tests.engine.outbox_setup import (
    BAD,
    GOOD,
    MINUTE,
    REFUSAL,
    SECOND,
    START,
    TIMEOUT,
    TROUBLE,
    OutboxSetup,
    RefusingChannel,
)
from tests.program import LONGEST_WAIT_SECONDS

DELIVERED = "SELECT delivered_at, last_error FROM deliveries WHERE channel = ?"


def test_slack_is_away_for_an_hour_and_nothing_is_lost(outbox: OutboxSetup) -> None:
    """What came and went is told once, as missed; what is still wrong as it stands; Telegram had it all."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    outbox.checks(BAD, BAD, *[BAD] * 9, GOOD, GOOD)
    outbox.checks(*[GOOD] * 30)
    outbox.checks(BAD, BAD, *[BAD] * 15)
    assert outbox.read("slack") == []
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.checks(*[BAD] * 6)
    assert outbox.read("slack") == [
        "main: you missed this: down 14:00 to 14:11 UTC (token rejected), fine again / incident 1 · missed",
        "main: token rejected · your move / incident 2 · opened",
    ]
    [missed] = [message.text for message in outbox.inbox.messages if "missed" in message.text]
    assert "down 14:00:00 UTC to 14:11:00 UTC" in missed
    assert "This comes 59 min late: it could not be delivered before." in missed.splitlines()
    assert outbox.read("telegram") == [
        "main: token rejected · your move / incident 1 · opened",
        "main: recovered after 11 min / incident 1 · closed",
        "upstash-monitor: the channel slack cannot be reached / upstash-monitor · monitor",
        "main: token rejected · your move / incident 2 · opened",
    ]
    outbox.checks(GOOD, GOOD)
    assert outbox.read("slack")[2:] == ["main: recovered after 23 min / incident 2 · closed"]


def test_what_follows_replies_to_the_opening_in_telegram(outbox: OutboxSetup) -> None:
    """Also after a restart; another incident is another conversation."""
    outbox.checks(BAD, BAD)
    outbox.restart()
    outbox.checks(GOOD, GOOD, BAD, BAD)
    sent = [message.payload for message in outbox.inbox.messages if message.service == "telegram"]
    opening = outbox.inbox.messages.index(
        next(message for message in outbox.inbox.messages if message.service == "telegram")
    )
    replies = [payload.get("reply_parameters") for payload in sent]
    assert replies == [None, {"message_id": opening + 1, "allow_sending_without_reply": True}, None]


def test_the_pauses_grow_to_five_minutes(outbox: OutboxSetup) -> None:
    """A service in trouble is not hammered: 1 s, 2 s, 4 s and so on, and from some point every five minutes."""
    outbox.inbox.fault = MessagingFault.DOWN
    outbox.checks(BAD, BAD)
    start = outbox.now
    tries: list[float] = []
    while outbox.now < start + timedelta(minutes=30):
        before = len([each for each in outbox.tried if each.channel == "slack"])
        outbox.deliver()
        if len([each for each in outbox.tried if each.channel == "slack"]) > before:
            tries.append((outbox.now - start) / timedelta(seconds=1))
        due = outbox.store.next_due("slack")
        assert due is not None
        outbox.now = max(due, outbox.now + timedelta(seconds=1))
    pauses = [round(later - earlier) for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 4
    assert pauses[-1] == 300


@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
def test_after_a_day_a_message_tells_where_things_stand_now(outbox: OutboxSetup) -> None:
    """Nobody wants yesterday's alarm as news, and nobody wants to miss it: one message, whenever it arrives."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    outbox.checks(BAD, BAD)
    outbox.now += timedelta(hours=25)
    outbox.deliver()
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.now += timedelta(hours=1)
    outbox.deliver()
    missed = "main: you missed this: token rejected for 1 d 2 h, and still · your move / incident 1 · missed"
    assert outbox.read("slack") == [missed]
    outbox.checks(GOOD, GOOD)
    assert outbox.read("slack") == [missed, "main: recovered after 1 d 2 h / incident 1 · closed"]


@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
def test_a_broken_channel_is_told_through_the_others_once(outbox: OutboxSetup) -> None:
    """A revoked webhook: Telegram hears of it, with the reason, and each later message there has a line on it."""
    outbox.inbox.slack_fault = MessagingFault.GONE
    outbox.checks(BAD, BAD)
    outbox.deliver()
    outbox.checks(GOOD, GOOD)
    assert outbox.read("telegram") == [
        "main: token rejected · your move / incident 1 · opened",
        "upstash-monitor: the channel slack is broken / upstash-monitor · monitor",
        "main: recovered after 2 min / incident 1 · closed",
    ]
    last = outbox.inbox.messages[-1].text
    assert "slack is broken since 2026-11-23 14:01:00 UTC: Slack refused it (404 no_service)" in last


def test_a_channel_that_was_mended_gets_what_it_missed(outbox: OutboxSetup) -> None:
    """A restart with a new webhook: what happened in between arrives, once."""
    outbox.inbox.slack_fault = MessagingFault.GONE
    outbox.checks(BAD, BAD, GOOD, GOOD)
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.restart()
    outbox.deliver()
    assert outbox.read("slack") == [
        "main: you missed this: down 14:00 to 14:02 UTC (token rejected), fine again / incident 1 · missed"
    ]
    outbox.checks(BAD, BAD)
    assert "broken" not in outbox.inbox.messages[-1].text


@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
def test_a_channel_that_hangs_holds_up_no_other(outbox: OutboxSetup) -> None:
    """Telegram has all its messages while Slack still says nothing to the first."""
    outbox.inbox.slack_fault = MessagingFault.HANG
    outbox.record(BAD, BAD)
    outbox.record(BAD, BAD, database="other")
    asyncio.run(outbox.deliverer(timeout=SECOND).send_due())
    assert outbox.read("telegram") == [
        "main: token rejected · your move / incident 1 · opened",
        "other: token rejected · your move / incident 2 · opened",
    ]
    assert [each.channel for each in outbox.tried][:2] == ["telegram", "telegram"]
    assert outbox.read("slack") == []


@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
def test_an_answer_that_was_lost_is_a_repetition_and_no_loss(outbox: OutboxSetup) -> None:
    """Slack took the message and the connection broke before its `ok`: it is sent again, with the same number."""
    outbox.inbox.slack_fault = MessagingFault.ANSWER_LOST
    outbox.checks(BAD, BAD)
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.now += MINUTE
    outbox.deliver()
    assert outbox.read("slack") == ["main: token rejected · your move / incident 1 · opened"] * 2


@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
def test_the_wait_that_a_service_asks_for_is_kept(outbox: OutboxSetup) -> None:
    """`Retry-After: 180` holds the whole channel for three minutes, also for messages that come meanwhile."""
    outbox.inbox.slack_fault = MessagingFault.RATE_LIMITED
    outbox.inbox.retry_after_seconds = 180
    outbox.checks(BAD, BAD)
    before = outbox.inbox.requests
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.checks(BAD, BAD, database="other")
    assert outbox.read("slack") == []
    assert outbox.inbox.requests == before + 1  # Telegram's
    outbox.now += MINUTE
    outbox.deliver()
    assert outbox.read("slack") == [
        "main: token rejected · your move / incident 1 · opened",
        "other: token rejected · your move / incident 2 · opened",
    ]


def test_a_message_that_a_service_refuses_holds_up_no_other(outbox: OutboxSetup) -> None:
    """One message that is answered with 500 each time waits for itself; the next incident is told at once."""
    outbox.channels["slack"] = RefusingChannel(outbox.channels["slack"], TROUBLE)
    outbox.checks(BAD, BAD, *[BAD] * 20)
    outbox.checks(BAD, BAD, database="other")
    assert outbox.read("slack") == ["other: token rejected · your move / incident 2 · opened"]


def test_what_waited_of_an_open_incident_is_told_as_it_stands(outbox: OutboxSetup) -> None:
    """Opened, changed and reminded of while Slack was away: one message, with the cause before."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    outbox.checks(*[TIMEOUT] * 3, *[BAD] * 70)
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.checks(*[BAD] * 6)
    assert outbox.read("slack") == ["main: token rejected · your move / incident 1 · opened"]
    lines = outbox.texts("slack")[0].splitlines()
    assert lines[3].startswith("since 14:00:00 UTC, ")
    assert lines[4] == "before: response timed out"
    assert "This comes 1 h 15 min late: it could not be delivered before." in lines
    kinds = [line.rpartition(" · ")[2] for line in outbox.read("telegram")]
    assert kinds == ["opened", "changed", "monitor", "reminder"]  # slack cannot be reached


def test_many_incidents_of_an_hour_arrive_in_their_order(outbox: OutboxSetup) -> None:
    """Three came and went, the fourth goes on: three times missed, once opened, as they happened."""
    outbox.inbox.slack_fault = MessagingFault.DOWN
    for _ in range(3):
        outbox.checks(BAD, BAD, BAD, GOOD, GOOD, *[GOOD] * 15)
    outbox.checks(BAD, BAD)
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.checks(*[BAD] * 6)
    told = [line.rpartition(" / ")[2] for line in outbox.read("slack")]
    assert told == ["incident 1 · missed", "incident 2 · missed", "incident 3 · missed", "incident 4 · opened"]


def test_a_notification_about_a_broken_channel_says_it_once(outbox: OutboxSetup) -> None:
    """The message that Slack is broken has no footnote which says the same again."""
    outbox.inbox.slack_fault = MessagingFault.GONE
    outbox.checks(BAD, BAD)
    outbox.deliver()
    assert outbox.texts("telegram")[1].splitlines() == [
        "🟡 upstash-monitor: the channel slack is broken",
        "Slack refused it (404 no_service): the webhook was removed; make a new one and set webhook_url",
        "1. Correct the settings of slack and restart: what it missed is told then.",
        "upstash-monitor · monitor",
    ]


def test_a_channel_mended_without_us_gets_everything_with_the_next_news(outbox: OutboxSetup) -> None:
    """The bot is back in its group: no restart, and not an hour's wait either; what is older comes first."""
    outbox.inbox.telegram_fault = MessagingFault.GONE
    outbox.checks(BAD, BAD, GOOD, GOOD)
    outbox.inbox.telegram_fault = MessagingFault.NONE
    outbox.checks(BAD, BAD)
    told = [line.rpartition(" / ")[2] for line in outbox.read("telegram")]
    assert told == ["incident 1 · missed", "incident 2 · opened"]
    assert outbox.store.channel_states()["telegram"].broken_since is None


def test_a_message_refused_for_itself_does_not_break_its_channel_again(outbox: OutboxSetup) -> None:
    """Refused, others arrive, refused in the same words: it is given up, and nobody is told again."""
    outbox.tick = timedelta(milliseconds=1)
    outbox.channels["slack"] = RefusingChannel(outbox.channels["slack"], REFUSAL)
    outbox.checks(BAD, BAD)
    outbox.checks(BAD, BAD, database="other")
    outbox.now += SECOND
    outbox.checks(BAD, BAD, database="third")
    assert outbox.read("slack") == [
        "other: token rejected · your move / incident 2 · opened",
        "third: token rejected · your move / incident 3 · opened",
    ]
    assert sum("slack is broken" in line for line in outbox.read("telegram")) == 1
    assert outbox.store.next_due("slack") is None


def test_what_a_kill_left_under_way_is_sent_again_once(outbox: OutboxSetup) -> None:
    """Sent and not noted: after the lease it is repeated, with the same number and kind, and then never again."""
    outbox.record(BAD, BAD)
    delivery = outbox.store.claim("slack", outbox.now)
    assert delivery is not None
    outbox.channels["slack"].send(delivery.notification, timeout=timedelta(seconds=20))
    outbox.restart()
    outbox.deliver()
    assert outbox.read("slack") == ["main: token rejected · your move / incident 1 · opened"]
    outbox.now += MINUTE
    outbox.deliver()
    outbox.now += MINUTE
    outbox.deliver()
    assert outbox.read("slack") == ["main: token rejected · your move / incident 1 · opened"] * 2


def test_a_wait_that_was_asked_for_outlives_a_restart(outbox: OutboxSetup) -> None:
    """A `check` every five minutes is a restart every five minutes: it keeps the wait as well."""
    outbox.inbox.slack_fault = MessagingFault.RATE_LIMITED
    outbox.inbox.retry_after_seconds = 900
    outbox.checks(BAD, BAD)
    outbox.inbox.slack_fault = MessagingFault.NONE
    for _ in range(2):
        outbox.now += 5 * MINUTE
        outbox.restart()
        outbox.deliver()
        assert outbox.read("slack") == []
    outbox.now += 5 * MINUTE
    outbox.deliver()
    assert outbox.read("slack") == ["main: token rejected · your move / incident 1 · opened"]


def test_the_work_goes_on_by_itself_after_a_failure(outbox: OutboxSetup) -> None:
    """Nobody wakes the deliverer: a second after Slack's 503 it tries again. Real time, about a second of it."""
    outbox.inbox.fault = MessagingFault.FLAKY
    outbox.record(BAD, BAD)
    began = monotonic()
    began_at = outbox.now

    async def work() -> None:
        deliverer = outbox.deliverer()
        working = asyncio.create_task(deliverer.work())
        while len(outbox.inbox.messages) < 2:
            outbox.now = began_at + timedelta(seconds=monotonic() - began)
            assert monotonic() - began < LONGEST_WAIT_SECONDS
            await asyncio.sleep(0.02)
        await deliverer.wait_idle()
        working.cancel()

    asyncio.run(work())
    assert monotonic() - began >= 1
    assert outbox.store.next_due("slack") is outbox.store.next_due("telegram") is None


class OddSlack(LoopbackServer):
    """In Slack's place: it takes every message and answers in its own words."""

    def channel(self) -> SlackChannel:
        return SlackChannel(name="slack", webhook_url=self.url + "/hook", scrub=str)


def test_a_receiver_with_words_of_its_own_gets_each_message_once(outbox: OutboxSetup) -> None:
    """It counts as sent; that nothing confirms it is remembered for the page, and gone with the first `ok`."""
    with OddSlack(PlainTextResponse('{"success":true}')) as odd:
        outbox.channels["slack"] = odd.channel()
        outbox.checks(BAD, BAD, *[BAD] * 30)
        assert len(odd.requests) == 1
        state = outbox.store.channel_states()["slack"]
        assert state.broken_since is None
        assert state.unconfirmed_since == START + MINUTE
        assert state.reason.startswith("something that is not Slack answered 200")
        [row] = outbox.store.read(lambda db: db.execute(DELIVERED, ("slack",)).fetchall())
        assert row[0] is not None
        assert row[1].startswith("unconfirmed: something that is not Slack")
        outbox.checks(GOOD, GOOD, GOOD)
        assert len(odd.requests) == 2
        assert outbox.store.channel_states()["slack"].unconfirmed_since == START + MINUTE
        odd.app = PlainTextResponse("ok")
        outbox.checks(BAD, BAD)
        assert outbox.store.channel_states()["slack"].unconfirmed_since is None


def test_a_broken_channel_is_found_before_it_is_needed(outbox: OutboxSetup) -> None:
    """No message is sent to it; the others hear of it once, also through a restart; the mark goes again."""

    def probe() -> None:
        deliverer = outbox.deliverer()
        assert asyncio.run(deliverer.probe("slack")) is None
        assert asyncio.run(deliverer.probe("telegram")) is not None
        outbox.deliver()

    probe()
    assert outbox.texts("slack") == []
    outbox.inbox.telegram_refusal = TelegramRefusedError("chat not found")
    probe()
    assert outbox.read("slack") == ["upstash-monitor: the channel telegram is broken / upstash-monitor · monitor"]
    assert "check chat_id" in outbox.inbox.messages[-1].text
    outbox.restart()
    probe()
    assert len(outbox.read("slack")) == 1
    assert outbox.store.channel_states()["telegram"].broken_since == START
    outbox.inbox.telegram_refusal = None
    probe()
    assert outbox.store.channel_states()["telegram"].broken_since is None
    assert outbox.read("telegram") == []


async def probe_until(
    enough: asyncio.Event, deliverer: Deliverer, sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Probe the channels, with these pauses, until the event is set."""
    probing = asyncio.create_task(deliverer.keep_probing(sleep=sleep))
    await asyncio.wait_for(enough.wait(), LONGEST_WAIT_SECONDS)
    probing.cancel()
    await asyncio.wait([probing])


def test_channels_are_probed_soon_daily_and_sooner_where_nothing_was_reached(outbox: OutboxSetup) -> None:
    """Five seconds after the start, then once a day; five minutes after a probe that got no answer."""
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        """The pauses pass at once; the service is down for the first probe."""
        pauses.append(seconds)
        outbox.inbox.telegram_fault = MessagingFault.DOWN if len(pauses) == 1 else MessagingFault.NONE
        if len(pauses) == 4:
            enough.set()
            await asyncio.Event().wait()

    asyncio.run(probe_until(enough, outbox.deliverer(), sleep))
    assert pauses == [5, 5 * 60, 24 * 3600, 24 * 3600]
    assert outbox.texts("telegram") == []


def test_a_channel_that_stays_out_of_reach_is_told_through_the_others_once(outbox: OutboxSetup) -> None:
    """Not only when it is needed. A wait that it asks for is heeded."""
    outbox.inbox.telegram_fault = MessagingFault.DOWN
    outbox.inbox.retry_after_seconds = 7200
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        outbox.now += timedelta(seconds=seconds)
        if len(pauses) == 5:
            outbox.inbox.telegram_fault = MessagingFault.RATE_LIMITED
        if len(pauses) == 6:
            enough.set()
            await asyncio.Event().wait()

    asyncio.run(probe_until(enough, outbox.deliverer(), sleep))
    assert pauses == [5, 300, 300, 300, 300, 7200]
    outbox.deliver()
    [told] = outbox.read("slack")
    assert told.startswith("upstash-monitor: the channel telegram cannot be reached / ")


def test_a_channel_that_takes_no_message_is_marked_and_told_though_it_cannot_be_probed(
    outbox: OutboxSetup,
) -> None:
    """After some tries on the page, once through the others when it lasts, until a message arrives."""

    def trouble() -> tuple[str, datetime] | None:
        state = outbox.store.channel_states().get("slack")
        return state.trouble if state else None

    outbox.inbox.slack_fault = MessagingFault.DOWN
    outbox.record(BAD, BAD)
    outbox.deliver_until(outbox.now + 10 * SECOND)
    assert trouble() is None
    outbox.deliver_until(outbox.now + MINUTE)
    found = trouble()
    assert found is not None
    assert found[0] == "unreachable"
    assert outbox.store.channel_states()["slack"].reason == "the service answered 503"
    assert len(outbox.texts("telegram")) == 1
    outbox.deliver_until(outbox.now + 30 * MINUTE)
    outbox.restart()
    outbox.deliver_until(outbox.now + 30 * MINUTE)
    assert trouble() == found
    assert [each.partition(" / ")[0] for each in outbox.read("telegram")] == [
        "main: token rejected · your move",
        "upstash-monitor: the channel slack cannot be reached",
    ]
    outbox.inbox.slack_fault = MessagingFault.NONE
    outbox.deliver_until(outbox.now + 10 * MINUTE)
    assert trouble() is None


def test_a_channel_that_asks_for_hours_is_marked_at_once(outbox: OutboxSetup) -> None:
    """Nothing arrives there meanwhile, which the page should show; the others are told of the wait alone."""
    outbox.inbox.slack_fault = MessagingFault.RATE_LIMITED
    outbox.inbox.retry_after_seconds = 2 * 3600
    outbox.checks(BAD, BAD)
    assert outbox.store.channel_states()["slack"].trouble is not None
    outbox.deliver_until(outbox.now + timedelta(hours=5))
    assert [each.partition(" / ")[0] for each in outbox.read("telegram")][1:] == [
        "upstash-monitor: slack takes no message for 2 h"
    ]


def test_a_channel_out_of_reach_is_marked_from_its_first_probe(outbox: OutboxSetup) -> None:
    """Since when and why, through a restart, until a probe or a message gets through. A refusal counts more."""

    def trouble() -> tuple[str, datetime] | None:
        asyncio.run(outbox.deliverer().probe("telegram"))
        return outbox.store.channel_states()["telegram"].trouble

    outbox.inbox.telegram_fault = MessagingFault.DOWN
    assert trouble() == ("unreachable", START)
    assert outbox.store.channel_states()["telegram"].reason
    outbox.now += MINUTE
    outbox.restart()
    assert trouble() == ("unreachable", START)
    outbox.inbox.telegram_fault = MessagingFault.NONE
    assert trouble() is None
    outbox.inbox.telegram_fault = MessagingFault.DOWN
    assert trouble() == ("unreachable", START + MINUTE)
    outbox.inbox.telegram_fault = MessagingFault.NONE
    outbox.checks(BAD, BAD)
    assert outbox.store.channel_states()["telegram"].trouble is None
    outbox.inbox.telegram_refusal = TelegramRefusedError("chat not found")
    assert trouble() == ("broken", outbox.now)
    outbox.inbox.telegram_refusal, outbox.inbox.telegram_fault = None, MessagingFault.DOWN
    assert trouble() == ("broken", outbox.now)


def test_a_probe_that_is_fine_does_not_hide_that_messages_are_refused(outbox: OutboxSetup) -> None:
    """The bot knows the chat and may not write there: only a message that arrives shows that it may."""
    outbox.channels["telegram"] = RefusingChannel(outbox.channels["telegram"], REFUSAL)
    outbox.checks(BAD, BAD)
    assert outbox.store.channel_states()["telegram"].broken_since is not None
    asyncio.run(outbox.deliverer().probe("telegram"))
    assert outbox.store.channel_states()["telegram"].broken_since is not None


def test_a_wait_of_hours_is_told_through_the_others_once(outbox: OutboxSetup) -> None:
    """Until the channel takes a message again; it holds up no other channel, and lasts a day at most."""
    outbox.inbox.telegram_fault = MessagingFault.RATE_LIMITED
    outbox.inbox.retry_after_seconds = 4 * 3600
    outbox.checks(BAD, BAD)
    outbox.deliver()
    waits = [text for text in outbox.read("slack") if "takes no message" in text]
    assert waits == ["upstash-monitor: telegram takes no message for 4 h / upstash-monitor · monitor"]
    outbox.now += timedelta(hours=5)
    outbox.inbox.retry_after_seconds = 100 * 3600
    outbox.deliver()
    assert len([text for text in outbox.read("slack") if "takes no message" in text]) == 1
    due = outbox.store.next_due("telegram")
    assert due is None or due <= outbox.now + timedelta(days=1)
    outbox.inbox.telegram_fault = MessagingFault.NONE
    outbox.now += timedelta(days=1)
    outbox.checks(GOOD, GOOD, GOOD)
    assert outbox.texts("telegram") != []
    outbox.inbox.telegram_fault = MessagingFault.RATE_LIMITED
    outbox.checks(BAD, BAD)
    outbox.deliver()
    assert len([text for text in outbox.read("slack") if "takes no message" in text]) == 2
