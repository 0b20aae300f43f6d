"""An outbox between databases and two real channels, with a clock that tests move; nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.alerts.channel import Channel
from monitor.alerts.notification import Notice
from monitor.alerts.retry_policy import Receipt, Verdict
from monitor.alerts.slack import SlackChannel
from monitor.alerts.telegram import TelegramChannel
from monitor.checks.observation import Look, Outcome
from monitor.config.settings import AlertSettings
from monitor.engine.delivery import Deliverer, Delivery
from monitor.incidents.rules import advance
from monitor.lib.scrub import Scrubber
from monitor.sandbox.inbox import InboxStandIn
from monitor.store.store import Store
from monitor.store.thread import Keeper

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
NO_TIME, SECOND, MINUTE = timedelta(0), timedelta(seconds=1), timedelta(minutes=1)
BAD, TIMEOUT, GOOD = Outcome.TOKEN_REJECTED, Outcome.RESPONSE_TIMEOUT, Outcome.OK
TROUBLE = Receipt(verdict=Verdict.RETRY, detail="the service answered 500")
REFUSAL = Receipt(verdict=Verdict.PERMANENT, detail="Slack refused it (400 invalid_blocks)")


class Stumbling:
    """A channel that has an answer of its own for the first incident, and passes on the rest.

    The stand-ins know no message of ours that they would not take.
    """

    def __init__(self, channel: Channel, receipt: Receipt) -> None:
        self.name = channel.name
        self._channel = channel
        self._receipt = receipt

    def send(self, notice: Notice, *, footnotes: tuple[str, ...] = (), timeout: timedelta) -> Receipt:
        if notice.incident == 1:
            return self._receipt
        return self._channel.send(notice, footnotes=footnotes, timeout=timeout)


class Office:
    """Databases, a Slack channel and a Telegram group, and the outbox between them."""

    def __init__(self, path: Path, inbox: InboxStandIn) -> None:
        self.path, self.inbox = path, inbox
        self.now = START
        self.tick = NO_TIME
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

    def record(self, *outcomes: Outcome, database: str = "main") -> None:
        """A look a minute; nothing is sent."""
        for outcome in outcomes:
            look = Look(database=database, at=self.now, outcome=outcome, detail="" if outcome is GOOD else "seen")
            self.store.record(
                look,
                lambda watch, number, look=look: advance(watch, look, AlertSettings(), next_incident=number),  # type: ignore[misc]
                interval=MINUTE,
            )
            self.now += MINUTE

    def looks(self, *outcomes: Outcome, database: str = "main") -> None:
        """A look a minute, and after each of them a try to deliver what is due."""
        for outcome in outcomes:
            self.record(outcome, database=database)
            self.now -= MINUTE
            self.deliver()
            self.now += MINUTE

    def clock(self) -> datetime:
        """The time, a tick later at each glance."""
        self.now += self.tick
        return self.now

    def deliverer(self, *, timeout: timedelta = timedelta(seconds=20), pace: timedelta = NO_TIME) -> Deliverer:
        return Deliverer(
            self.channels,
            store=self.store,
            keeper=self.keeper,
            clock=self.clock,
            jitter=lambda: 0.0,
            send_timeout=lambda: timeout,
            pace=pace,
            on_delivery=self.tried.append,
        )

    def deliver(self) -> None:
        asyncio.run(self.deliverer().send_due())

    def texts(self, service: str) -> list[str]:
        return [message.text for message in self.inbox.messages if message.service == service]

    def read(self, service: str) -> list[str]:
        """First and last line of each message, as people read them."""
        lines = [text.splitlines() for text in self.texts(service)]
        return [f"{each[0].split(' ', 1)[1]} / {each[-1]}" for each in lines]
