"""Messages over hours: channels that are away, broken, slow or deaf. Only time is handed in; the rest is real."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest

from monitor.channels.channel import Channel
from monitor.channels.slack import SlackChannel
from monitor.channels.telegram import TelegramChannel
from monitor.core.incident import advance
from monitor.core.notice import Notice
from monitor.core.observation import Look, Outcome
from monitor.core.outbox import Receipt, Verdict
from monitor.core.scrub import Scrubber
from monitor.flow.deliver import Deliverer, Delivery
from monitor.sandbox.inbox import Fault, InboxStandIn
from monitor.settings import AlertSettings
from monitor.store.keeper import Keeper
from monitor.store.store import Store

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BAD, GOOD = Outcome.TOKEN_REJECTED, Outcome.OK


class Office:
    """One database, a Slack channel and a Telegram group, and the outbox between them."""

    def __init__(self, path: Path, inbox: InboxStandIn) -> None:
        self.path, self.inbox = path, inbox
        self.now = START
        self.tried: list[Delivery] = []
        self.channels: dict[str, Channel] = {
            "slack": SlackChannel(name="slack", webhook_url=inbox.slack_url, scrub=Scrubber([inbox.slack_url])),
            "telegram": TelegramChannel(
                name="telegram",
                bot_token=inbox.bot_token,
                chat_id=inbox.chat_id,
                api_url=inbox.telegram_api_url,
                scrub=Scrubber([inbox.bot_token]),
            ),
        }
        self.open()

    def open(self) -> None:
        self.store = Store(
            self.path, channels=list(self.channels), say=lambda level, text: None, clock=lambda: self.now
        )
        self.keeper = Keeper()

    def restart(self) -> None:
        self.close()
        self.open()
        self.store.wake()

    def close(self) -> None:
        self.keeper.stop(self.store.close)

    def looks(self, *outcomes: Outcome, database: str = "main") -> None:
        """A look a minute, and after each of them a try to deliver what is due."""
        for outcome in outcomes:
            look = Look(database=database, at=self.now, outcome=outcome, detail="" if outcome is GOOD else "seen")
            self.store.record(
                look,
                lambda watch, number, look=look: advance(watch, look, AlertSettings(), next_incident=number),  # type: ignore[misc]
                interval=MINUTE,
            )
            self.deliver()
            self.now += MINUTE

    def deliver(self) -> None:
        deliverer = Deliverer(
            self.channels,
            store=self.store,
            keeper=self.keeper,
            clock=lambda: self.now,
            jitter=lambda: 0.0,
            on_delivery=self.tried.append,
        )
        asyncio.run(deliverer.send_due())

    def read(self, service: str) -> list[str]:
        """First and last line of each message, as people read them."""
        lines = [message.text.splitlines() for message in self.inbox.messages if message.service == service]
        return [f"{each[0].split(' ', 1)[1]} / {each[-1]}" for each in lines]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with InboxStandIn() as inbox:
        office = Office(tmp_path / "history.db", inbox)
        yield office
        office.close()


def test_slack_is_away_for_an_hour_and_nothing_is_lost(office: Office) -> None:
    """What came and went is told once, as missed; what is still wrong as it stands; Telegram had it all."""
    office.inbox.slack_fault = Fault.DOWN
    office.looks(BAD, BAD, *[BAD] * 9, GOOD, GOOD)
    office.looks(*[GOOD] * 30)
    office.looks(BAD, BAD, *[BAD] * 15)
    assert office.read("slack") == []
    office.inbox.slack_fault = Fault.NONE
    office.looks(*[BAD] * 6)
    assert office.read("slack") == [
        "main: you missed this: down 14:00 to 14:11 UTC (token rejected), fine again / incident 1 · missed",
        "main: token rejected / incident 2 · opened",
    ]
    [missed] = [message.text for message in office.inbox.messages if "missed" in message.text]
    assert "down 2026-11-23 14:00:00 UTC to 2026-11-23 14:11:00 UTC" in missed
    assert office.read("telegram") == [
        "main: token rejected / incident 1 · opened",
        "main: recovered after 11 min / incident 1 · closed",
        "main: token rejected / incident 2 · opened",
    ]
    office.looks(GOOD, GOOD)
    assert office.read("slack")[2:] == ["main: recovered after 23 min / incident 2 · closed"]


def test_the_pauses_grow_to_five_minutes(office: Office) -> None:
    """A service in trouble is not hammered: 1 s, 2 s, 4 s and so on, and from some point every five minutes."""
    office.inbox.fault = Fault.DOWN
    office.looks(BAD, BAD)
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
    office.inbox.slack_fault = Fault.DOWN
    office.looks(BAD, BAD)
    office.now += timedelta(hours=25)
    office.deliver()
    office.inbox.slack_fault = Fault.NONE
    office.now += timedelta(hours=1)
    office.deliver()
    assert office.read("slack") == []
    office.looks(GOOD, GOOD)
    assert office.read("slack") == ["main: recovered after 1 d 2 h / incident 1 · closed"]


def test_a_broken_channel_is_told_through_the_others_once(office: Office) -> None:
    """A revoked webhook: Telegram hears of it, with the reason, and each later message there has a line on it."""
    office.inbox.slack_fault = Fault.GONE
    office.looks(BAD, BAD)
    office.deliver()
    office.looks(GOOD, GOOD)
    assert office.read("telegram") == [
        "main: token rejected / incident 1 · opened",
        "upstash-monitor: the channel slack is broken / upstash-monitor · monitor",
        "main: recovered after 2 min / incident 1 · closed",
    ]
    last = office.inbox.messages[-1].text
    assert "slack is broken since 2026-11-23 14:01:00 UTC: Slack refused it (404 no_service)" in last


def test_a_channel_that_was_mended_gets_what_it_missed(office: Office) -> None:
    """A restart with a new webhook: the story of the time in between arrives, once."""
    office.inbox.slack_fault = Fault.GONE
    office.looks(BAD, BAD, GOOD, GOOD)
    office.inbox.slack_fault = Fault.NONE
    office.restart()
    office.deliver()
    assert office.read("slack") == [
        "main: you missed this: down 14:00 to 14:02 UTC (token rejected), fine again / incident 1 · missed"
    ]
    office.looks(BAD, BAD)
    assert "broken" not in office.inbox.messages[-1].text


def test_a_channel_that_hangs_holds_up_no_other(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Telegram has its message while Slack still says nothing."""
    monkeypatch.setattr("monitor.flow.deliver.SEND_TIMEOUT", timedelta(seconds=1))
    office.inbox.slack_fault = Fault.HANG
    started = monotonic()
    office.looks(BAD, BAD)
    assert office.read("telegram") == ["main: token rejected / incident 1 · opened"]
    assert office.read("slack") == []
    assert monotonic() - started < 60


def test_an_answer_that_was_lost_is_a_repetition_and_no_loss(office: Office) -> None:
    """Slack took the message and the connection broke before its `ok`: it is sent again, with the same number."""
    office.inbox.slack_fault = Fault.UNHEARD
    office.looks(BAD, BAD)
    office.inbox.slack_fault = Fault.NONE
    office.now += MINUTE
    office.deliver()
    assert office.read("slack") == ["main: token rejected / incident 1 · opened"] * 2


def test_the_wait_that_a_service_asks_for_is_kept(office: Office) -> None:
    """`Retry-After: 180` holds the whole channel for three minutes, also for messages that come meanwhile."""
    office.inbox.slack_fault = Fault.RATE_LIMITED
    office.inbox.retry_after_seconds = 180
    office.looks(BAD, BAD)
    before = office.inbox.requests
    office.inbox.slack_fault = Fault.NONE
    office.looks(BAD, BAD, database="other")
    assert office.read("slack") == []
    assert office.inbox.requests == before + 1  # Telegram's
    office.now += MINUTE
    office.deliver()
    assert office.read("slack") == [
        "main: token rejected / incident 1 · opened",
        "other: token rejected / incident 2 · opened",
    ]


def test_a_message_that_a_service_stumbles_over_holds_up_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message that is answered with 500 each time waits for itself; the next incident is told at once. A mock,
    since the stand-in knows no message that it cannot take."""
    sent = SlackChannel.send

    def stumble(
        self: SlackChannel, notice: Notice, *, footnotes: tuple[str, ...] = (), timeout: timedelta
    ) -> Receipt:
        if notice.incident == 1:
            return Receipt(verdict=Verdict.RETRY, detail="the service answered 500")
        return sent(self, notice, footnotes=footnotes, timeout=timeout)

    monkeypatch.setattr(SlackChannel, "send", stumble)
    office.looks(BAD, BAD, *[BAD] * 20)
    office.looks(BAD, BAD, database="other")
    assert office.read("slack") == ["other: token rejected / incident 2 · opened"]
