"""An outbox between databases and two real channels, with a clock that tests move; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.alerts.channel import Channel
from monitor.alerts.notification import Notification
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.slack import SlackChannel
from monitor.alerts.telegram import TelegramChannel
from monitor.checks.observation import Check, Outcome
from monitor.engine.delivery import Deliverer, DeliveryAttempt
from monitor.lib.text import Scrubber
from monitor.lib.threads import SerialThread
from monitor.sandbox.messaging import MessagingStandIn
from monitor.store.store import Store
from tests.judging import judge
from tests.store.conftest import Destinations, Everything

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
NO_TIME, SECOND, MINUTE = timedelta(0), timedelta(seconds=1), timedelta(minutes=1)
BAD, TIMEOUT, GOOD = Outcome.TOKEN_REJECTED, Outcome.RESPONSE_TIMEOUT, Outcome.OK
TROUBLE = DeliveryResult(status=DeliveryStatus.RETRY, detail="the service answered 500")
REFUSAL = DeliveryResult(status=DeliveryStatus.PERMANENT, detail="Slack refused it (400 invalid_blocks)")


class RefusingChannel:
    """A channel that has an answer of its own for the first incident, and passes on the rest.

    The stand-ins know no message of ours that they would not take.
    """

    def __init__(self, channel: Channel, result: DeliveryResult) -> None:
        self.name = channel.name
        self._channel = channel
        self._result = result

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        if notification.incident == 1:
            return self._result
        return self._channel.send(notification, notes=notes, reply_to=reply_to, timeout=timeout)

    def probe(self, timeout: timedelta) -> DeliveryResult | None:
        return self._channel.probe(timeout)


class LimitedChannel:
    """A channel that takes a message a second by that clock, and none in the first; it asks to wait a second."""

    def __init__(self, channel: Channel, clock: Callable[[], datetime]) -> None:
        self.name = channel.name
        self.taken: list[tuple[datetime, Notification]] = []
        self._channel = channel
        self._clock = clock
        self._free_at = clock() + SECOND

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        now = self._clock()
        if now < self._free_at:
            return replace(TROUBLE, detail=f"{self.name} limits the rate (429)", retry_after=SECOND)
        self._free_at = now + SECOND
        self.taken.append((now, notification))
        return self._channel.send(notification, notes=notes, reply_to=reply_to, timeout=timeout)

    def probe(self, timeout: timedelta) -> DeliveryResult | None:
        return self._channel.probe(timeout)


class OutboxSetup:
    """Databases, a Slack channel and a Telegram group, and the outbox between them."""

    def __init__(self, path: Path, inbox: MessagingStandIn) -> None:
        self.path, self.inbox = path, inbox
        self.now = START
        self.databases: Container[str] = Everything()
        self.tick = self.group_within = NO_TIME
        self.tried: list[DeliveryAttempt] = []
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
            self.path,
            channels=list(self.channels),
            log=lambda level, text: None,
            clock=lambda: self.now,
            group_within=self.group_within,
        )
        self.store_thread = SerialThread("store")

    def restart(self) -> None:
        self.close()
        self.open()
        self.store.begin(databases=self.databases, destinations=Destinations())

    def close(self) -> None:
        self.store_thread.stop(self.store.close)

    def record(self, *outcomes: Outcome, database: str = "main", hold: timedelta | None = None) -> None:
        """A check a minute; nothing is sent, and what opens an incident is held for so long."""
        for outcome in outcomes:
            check = Check(
                database=database, at=self.now, outcome=outcome, detail="" if outcome is GOOD else "seen"
            )
            self.store.record(
                check,
                judge(check),
                interval=MINUTE,
                hold=hold,
            )
            self.now += MINUTE

    def checks(self, *outcomes: Outcome, database: str = "main") -> None:
        """A check a minute, and after each of them a try to deliver what is due."""
        for outcome in outcomes:
            self.record(outcome, database=database)
            self.now -= MINUTE
            self.deliver()
            self.now += MINUTE

    def clock(self) -> datetime:
        """The time, a tick later each time it is asked for."""
        self.now += self.tick
        return self.now

    def deliverer(self, *, timeout: timedelta = timedelta(seconds=20), pace: timedelta = NO_TIME) -> Deliverer:
        return Deliverer(
            self.channels,
            store=self.store,
            store_thread=self.store_thread,
            clock=self.clock,
            jitter=lambda: 0.0,
            send_timeout=timeout,
            pace=pace,
            on_delivery=self.tried.append,
        )

    def deliver(self) -> None:
        asyncio.run(self.deliverer().send_due())

    def deliver_until(self, end: datetime) -> None:
        """Deliver what becomes due until then, each message when it does."""

        async def work() -> None:
            deliverer = self.deliverer()
            while self.now < end:
                await deliverer.send_due()
                due = await deliverer.next_due()
                self.now = end if due is None else min(end, max(due, self.now + SECOND / 20))

        asyncio.run(work())

    def texts(self, service: str) -> list[str]:
        return [message.text for message in self.inbox.messages if message.service == service]

    def read(self, service: str) -> list[str]:
        """First and last line of each message, as people read them."""
        lines = [text.splitlines() for text in self.texts(service)]
        return [f"{each[0].split(' ', 1)[1]} / {each[-1]}" for each in lines]
