"""Messages over hours: channels that are away, broken, slow or deaf. Only time is handed in; the rest is real."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from time import monotonic

from monitor.sandbox.inbox import InboxFault
from tests.engine.office import BAD, GOOD, MINUTE, REFUSAL, SECOND, TIMEOUT, TROUBLE, Office, Stumbling


def test_slack_is_away_for_an_hour_and_nothing_is_lost(office: Office) -> None:
    """What came and went is told once, as missed; what is still wrong as it stands; Telegram had it all."""
    office.inbox.slack_fault = InboxFault.DOWN
    office.checks(BAD, BAD, *[BAD] * 9, GOOD, GOOD)
    office.checks(*[GOOD] * 30)
    office.checks(BAD, BAD, *[BAD] * 15)
    assert office.read("slack") == []
    office.inbox.slack_fault = InboxFault.NONE
    office.checks(*[BAD] * 6)
    assert office.read("slack") == [
        "main: you missed this: down 14:00 to 14:11 UTC (token rejected), fine again / incident 1 · missed",
        "main: token rejected / incident 2 · opened",
    ]
    [missed] = [message.text for message in office.inbox.messages if "missed" in message.text]
    assert "down 2026-11-23 14:00:00 UTC to 2026-11-23 14:11:00 UTC" in missed
    assert "This comes 59 min late: it could not be delivered before." in missed.splitlines()
    assert office.read("telegram") == [
        "main: token rejected / incident 1 · opened",
        "main: recovered after 11 min / incident 1 · closed",
        "main: token rejected / incident 2 · opened",
    ]
    office.checks(GOOD, GOOD)
    assert office.read("slack")[2:] == ["main: recovered after 23 min / incident 2 · closed"]


def test_the_pauses_grow_to_five_minutes(office: Office) -> None:
    """A service in trouble is not hammered: 1 s, 2 s, 4 s and so on, and from some point every five minutes."""
    office.inbox.fault = InboxFault.DOWN
    office.checks(BAD, BAD)
    start = office.now
    tries: list[float] = []
    while office.now < start + timedelta(minutes=30):
        before = len([each for each in office.tried if each.channel == "slack"])
        office.deliver()
        if len([each for each in office.tried if each.channel == "slack"]) > before:
            tries.append((office.now - start) / timedelta(seconds=1))
        office.now += timedelta(seconds=1)
    pauses = [round(later - earlier) for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 4
    assert pauses[-1] == 300


def test_after_a_day_a_message_is_given_up(office: Office) -> None:
    """Nobody wants yesterday's alarm as news; the next incident is tried afresh."""
    office.inbox.slack_fault = InboxFault.DOWN
    office.checks(BAD, BAD)
    office.now += timedelta(hours=25)
    office.deliver()
    office.inbox.slack_fault = InboxFault.NONE
    office.now += timedelta(hours=1)
    office.deliver()
    assert office.read("slack") == []
    office.checks(GOOD, GOOD)
    assert office.read("slack") == ["main: recovered after 1 d 2 h / incident 1 · closed"]


def test_a_broken_channel_is_told_through_the_others_once(office: Office) -> None:
    """A revoked webhook: Telegram hears of it, with the reason, and each later message there has a line on it."""
    office.inbox.slack_fault = InboxFault.GONE
    office.checks(BAD, BAD)
    office.deliver()
    office.checks(GOOD, GOOD)
    assert office.read("telegram") == [
        "main: token rejected / incident 1 · opened",
        "upstash-monitor: the channel slack is broken / upstash-monitor · monitor",
        "main: recovered after 2 min / incident 1 · closed",
    ]
    last = office.inbox.messages[-1].text
    assert "slack is broken since 2026-11-23 14:01:00 UTC: Slack refused it (404 no_service)" in last


def test_a_channel_that_was_mended_gets_what_it_missed(office: Office) -> None:
    """A restart with a new webhook: the story of the time in between arrives, once."""
    office.inbox.slack_fault = InboxFault.GONE
    office.checks(BAD, BAD, GOOD, GOOD)
    office.inbox.slack_fault = InboxFault.NONE
    office.restart()
    office.deliver()
    assert office.read("slack") == [
        "main: you missed this: down 14:00 to 14:02 UTC (token rejected), fine again / incident 1 · missed"
    ]
    office.checks(BAD, BAD)
    assert "broken" not in office.inbox.messages[-1].text


def test_a_channel_that_hangs_holds_up_no_other(office: Office) -> None:
    """Telegram has all its messages while Slack still says nothing to the first."""
    office.inbox.slack_fault = InboxFault.HANG
    office.record(BAD, BAD)
    office.record(BAD, BAD, database="other")
    asyncio.run(office.deliverer(timeout=SECOND).send_due())
    assert office.read("telegram") == [
        "main: token rejected / incident 1 · opened",
        "other: token rejected / incident 2 · opened",
    ]
    assert [each.channel for each in office.tried][:2] == ["telegram", "telegram"]
    assert office.read("slack") == []


def test_an_answer_that_was_lost_is_a_repetition_and_no_loss(office: Office) -> None:
    """Slack took the message and the connection broke before its `ok`: it is sent again, with the same number."""
    office.inbox.slack_fault = InboxFault.UNHEARD
    office.checks(BAD, BAD)
    office.inbox.slack_fault = InboxFault.NONE
    office.now += MINUTE
    office.deliver()
    assert office.read("slack") == ["main: token rejected / incident 1 · opened"] * 2


def test_the_wait_that_a_service_asks_for_is_kept(office: Office) -> None:
    """`Retry-After: 180` holds the whole channel for three minutes, also for messages that come meanwhile."""
    office.inbox.slack_fault = InboxFault.RATE_LIMITED
    office.inbox.retry_after_seconds = 180
    office.checks(BAD, BAD)
    before = office.inbox.requests
    office.inbox.slack_fault = InboxFault.NONE
    office.checks(BAD, BAD, database="other")
    assert office.read("slack") == []
    assert office.inbox.requests == before + 1  # Telegram's
    office.now += MINUTE
    office.deliver()
    assert office.read("slack") == [
        "main: token rejected / incident 1 · opened",
        "other: token rejected / incident 2 · opened",
    ]


def test_a_message_that_a_service_stumbles_over_holds_up_no_other(office: Office) -> None:
    """One message that is answered with 500 each time waits for itself; the next incident is told at once."""
    office.channels["slack"] = Stumbling(office.channels["slack"], TROUBLE)
    office.checks(BAD, BAD, *[BAD] * 20)
    office.checks(BAD, BAD, database="other")
    assert office.read("slack") == ["other: token rejected / incident 2 · opened"]


def test_what_waited_of_an_open_incident_is_told_as_it_stands(office: Office) -> None:
    """Opened, changed and reminded of while Slack was away: one message, with the cause before."""
    office.inbox.slack_fault = InboxFault.DOWN
    office.checks(*[TIMEOUT] * 3, *[BAD] * 70)
    office.inbox.slack_fault = InboxFault.NONE
    office.checks(*[BAD] * 6)
    assert office.read("slack") == ["main: token rejected / incident 1 · opened"]
    lines = office.texts("slack")[0].splitlines()
    assert lines[1].startswith("since 2026-11-23 14:00:00 UTC, ")
    assert lines[2] == "before: response timed out"
    assert "This comes 1 h 15 min late: it could not be delivered before." in lines
    kinds = [line.rpartition(" · ")[2] for line in office.read("telegram")]
    assert kinds == ["opened", "changed", "reminder"]


def test_many_incidents_of_an_hour_arrive_in_their_order(office: Office) -> None:
    """Three came and went, the fourth goes on: three times missed, once opened, as they happened."""
    office.inbox.slack_fault = InboxFault.DOWN
    for _ in range(3):
        office.checks(BAD, BAD, BAD, GOOD, GOOD, *[GOOD] * 15)
    office.checks(BAD, BAD)
    office.inbox.slack_fault = InboxFault.NONE
    office.checks(*[BAD] * 6)
    told = [line.rpartition(" / ")[2] for line in office.read("slack")]
    assert told == ["incident 1 · missed", "incident 2 · missed", "incident 3 · missed", "incident 4 · opened"]


def test_a_notification_about_a_broken_channel_says_it_once(office: Office) -> None:
    """The message that Slack is broken has no footnote which says the same again."""
    office.inbox.slack_fault = InboxFault.GONE
    office.checks(BAD, BAD)
    office.deliver()
    assert office.texts("telegram")[1].splitlines() == [
        "🟡 upstash-monitor: the channel slack is broken",
        "Slack refused it (404 no_service): the webhook was removed; make a new one and set webhook_url",
        "1. Mend the settings of slack and restart: what it missed is sent then, up to a day.",
        "upstash-monitor · monitor",
    ]


def test_a_channel_mended_without_us_gets_everything_with_the_next_news(office: Office) -> None:
    """The bot is back in its group: no restart, and not an hour's wait either; the older story comes first."""
    office.inbox.telegram_fault = InboxFault.GONE
    office.checks(BAD, BAD, GOOD, GOOD)
    office.inbox.telegram_fault = InboxFault.NONE
    office.checks(BAD, BAD)
    told = [line.rpartition(" / ")[2] for line in office.read("telegram")]
    assert told == ["incident 1 · missed", "incident 2 · opened"]
    assert office.store.channel_states()["telegram"].broken_since is None


def test_a_message_refused_for_itself_does_not_break_its_channel_again(office: Office) -> None:
    """Refused, others arrive, refused in the same words: it is given up, and nobody is told again."""
    office.tick = timedelta(milliseconds=1)
    office.channels["slack"] = Stumbling(office.channels["slack"], REFUSAL)
    office.checks(BAD, BAD)
    office.checks(BAD, BAD, database="other")
    office.now += SECOND
    office.checks(BAD, BAD, database="third")
    assert office.read("slack") == [
        "other: token rejected / incident 2 · opened",
        "third: token rejected / incident 3 · opened",
    ]
    assert sum("slack is broken" in line for line in office.read("telegram")) == 1
    assert office.store.next_due("slack") is None


def test_what_a_kill_left_under_way_is_sent_again_once(office: Office) -> None:
    """Sent and not noted: after the lease it is repeated, with the same number and kind, and then never again."""
    office.record(BAD, BAD)
    delivery = office.store.claim("slack", office.now)
    assert delivery is not None
    office.channels["slack"].send(delivery.notification, timeout=timedelta(seconds=20))
    office.restart()
    office.deliver()
    assert office.read("slack") == ["main: token rejected / incident 1 · opened"]
    office.now += MINUTE
    office.deliver()
    office.now += MINUTE
    office.deliver()
    assert office.read("slack") == ["main: token rejected / incident 1 · opened"] * 2


def test_a_wait_that_was_asked_for_outlives_a_restart(office: Office) -> None:
    """A `check` every five minutes is a restart every five minutes: it keeps the wait as well."""
    office.inbox.slack_fault = InboxFault.RATE_LIMITED
    office.inbox.retry_after_seconds = 900
    office.checks(BAD, BAD)
    office.inbox.slack_fault = InboxFault.NONE
    for _ in range(2):
        office.now += 5 * MINUTE
        office.restart()
        office.deliver()
        assert office.read("slack") == []
    office.now += 5 * MINUTE
    office.deliver()
    assert office.read("slack") == ["main: token rejected / incident 1 · opened"]


def test_the_work_goes_on_by_itself_after_a_failure(office: Office) -> None:
    """Nobody wakes the deliverer: a second after Slack's 503 it tries again. Real time, about a second of it."""
    office.inbox.fault = InboxFault.FLAKY
    office.record(BAD, BAD)
    began = monotonic()
    office_now = office.now

    async def work() -> None:
        deliverer = office.deliverer()
        working = asyncio.create_task(deliverer.work())
        while len(office.inbox.messages) < 2:
            office.now = office_now + timedelta(seconds=monotonic() - began)
            assert monotonic() - began < 30
            await asyncio.sleep(0.02)
        await deliverer.wait_idle()
        working.cancel()

    asyncio.run(work())
    assert monotonic() - began >= 1
    assert office.store.next_due("slack") is office.store.next_due("telegram") is None
