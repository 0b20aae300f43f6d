"""Delivers the outbox: claims what is due, sends it, acknowledges the result; each channel for itself.

No delivery, however slow, delays a check or another channel.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from loguru import logger

from monitor.alerts.channel import Channel
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import BURST, Delivery, DeliveryResult, DeliveryStatus, held_note, late_note
from monitor.lib.process import exhausted_limit
from monitor.lib.threads import SerialThread, on_daemon_thread
from monitor.lib.times import Deadline, format_duration, format_time
from monitor.store.store import Store
from monitor.store.tables.deliveries import DeliveryEffect

SEND_TIMEOUT = timedelta(seconds=10)
# Kept back before a deadline for writing down and printing.
RESERVE = timedelta(seconds=1)
_RECORDING = timedelta(seconds=0.1)
_LONGEST_SLEEP = timedelta(seconds=30)
_SHORTEST_SLEEP = timedelta(seconds=0.05)
_AFTER_A_BUG = timedelta(seconds=5)
# After the first checks, which nothing should delay.
_FIRST_PROBE_AFTER = timedelta(seconds=5)
_PROBE_EVERY = timedelta(days=1)
_PROBE_AGAIN_AFTER = timedelta(minutes=5)
# Kept after a burst.
PACE = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryAttempt:
    """One message that was tried, and what came of it."""

    channel: str
    notification: Notification
    result: DeliveryResult


class Deliverer:
    """Delivers what is in the outbox. `clock` gives aware UTC, `jitter` a random number from 0 to 1.

    A message may take `send_timeout`, and before a `deadline` so much less that even a host that hangs has failed,
    and is noted, by then; `pace` is kept between messages when many wait.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        *,
        store: Store,
        store_thread: SerialThread,
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
        send_timeout: timedelta = SEND_TIMEOUT,
        deadline: Deadline | None = None,
        pace: timedelta = PACE,
        on_delivery: Callable[[DeliveryAttempt], None] | None = None,
    ) -> None:
        self._channels = channels
        self._store = store
        self._store_thread = store_thread
        self._clock = clock
        self._jitter = jitter
        self._send_timeout = send_timeout
        self._deadline = deadline
        self._pace = pace
        self._on_delivery = on_delivery
        self._woken = {name: asyncio.Event() for name in channels}
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_sending(self) -> bool:
        """True while a message is on its way, or its answer is not recorded."""
        return self._under_way > 0

    async def wait_idle(self) -> None:
        """Wait until no message is on its way and every answer is recorded."""
        await self._idle.wait()

    async def release_groups(self) -> None:
        """Nothing more comes to be told together with what is held for it."""
        await self._store_thread.run(self._store.release_groups)

    def wake(self) -> None:
        """There may be something new in the outbox."""
        for event in self._woken.values():
            event.set()

    async def work(self) -> None:
        """Send whatever becomes due, on all channels side by side, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._channels:
                group.create_task(self._work(name))

    async def send_due(self) -> None:
        """Send what is due now, once, on all channels side by side."""
        await asyncio.gather(*(self._drain(name) for name in self._channels))

    async def next_due(self) -> datetime | None:
        """When the next outbox message of any channel may be tried; `None` when nothing waits."""
        moments = [await self._store_thread.run(self._store.next_due, name) for name in self._channels]
        return min((moment for moment in moments if moment is not None), default=None)

    async def _work(self, name: str) -> None:
        while True:
            self._woken[name].clear()
            limit = exhausted_limit()
            if limit is not None:
                # The channel would be said to fail, and be tried less and less often.
                logger.warning("messages to {} wait: {}", name, limit)
                await asyncio.sleep(_AFTER_A_BUG.total_seconds())
                continue
            try:
                pause = await self._deliver_due(name)
            except Exception as error:  # noqa: BLE001 - a bug of ours must not end the deliveries of this channel
                logger.opt(exception=error).error("delivering to {} failed inside", name)
                pause = _AFTER_A_BUG
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self._woken[name].wait()

    async def _deliver_due(self, name: str) -> timedelta:
        """Send what is due; return how long nothing more will be."""
        await self._drain(name)
        due = await self._store_thread.run(self._store.next_due, name)
        if due is None:
            return _LONGEST_SLEEP
        return max(_SHORTEST_SLEEP, min(_LONGEST_SLEEP, due - self._clock()))

    async def _drain(self, name: str) -> None:
        for sent in itertools.count():
            if sent >= BURST:
                await asyncio.sleep(self._pace.total_seconds())
            if not await self._deliver_next(name):
                return

    async def _deliver_next(self, name: str) -> bool:
        """True when there was something to send."""
        self._under_way += 1
        self._idle.clear()
        try:
            delivery = await self._store_thread.run(self._store.claim, name, self._clock())
            if delivery is not None:
                await self._deliver(delivery)
            return delivery is not None
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _deliver(self, delivery: Delivery) -> None:
        result = await self._send(delivery)
        effect = await self._store_thread.run(
            self._store.acknowledge_delivery, delivery, result, self._clock(), self._jitter()
        )
        attempt = DeliveryAttempt(channel=delivery.channel, notification=delivery.notification, result=result)
        _log(attempt, effect)
        await self._tell_of(delivery.channel, result, effect)
        if effect.pause is not None:
            wait = format_duration(effect.pause)
            await self._tell_other_channels(
                delivery.channel,
                title=f"{delivery.channel} takes no message for {wait}",
                detail=result.detail,
                step=f"What happens meanwhile is sent to {delivery.channel} after that, up to a day late.",
            )
        if self._on_delivery is not None:
            self._on_delivery(attempt)

    async def _send(self, delivery: Delivery) -> DeliveryResult:
        channel = self._channels[delivery.channel]
        notes = await self._notes(delivery)
        timeout = self._send_timeout
        if self._deadline is not None:
            timeout = max(_RECORDING, min(timeout, self._deadline.left(reserve=RESERVE) - _RECORDING))
        notification = replace(delivery.notification, sent_at=self._clock())
        return await on_daemon_thread(
            lambda: channel.send(notification, notes=notes, reply_to=delivery.reply_to, timeout=timeout),
            name="delivery",
        )

    async def _notes(self, delivery: Delivery) -> tuple[str, ...]:
        """That it comes late, and a line for each other channel that is broken: whoever reads this should know."""
        notes = tuple(filter(None, (held_note(delivery), late_note(delivery, self._clock()))))
        is_about_databases = delivery.notification.incident is not None or delivery.notification.includes
        if not is_about_databases:  # such a notification may itself be about that channel
            return notes
        states = await self._store_thread.run(self._store.channel_states)
        broken = (
            f"{state.name} is broken since {format_time(state.broken_since)}: {state.reason}"
            for state in states.values()
            if state.broken_since is not None and state.name in self._channels and state.name != delivery.channel
        )
        return (*notes, *broken)

    async def keep_probing(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Probe the channels that can be asked without a message, soon after the start and daily, until cancelled.

        So a broken one is found before it is needed. One that could not be reached is asked again in five minutes,
        or when it wants to be.
        """
        await sleep(_FIRST_PROBE_AFTER.total_seconds())
        async with asyncio.TaskGroup() as group:
            for name in self._channels:
                group.create_task(self._keep_probing(name, sleep))
        await asyncio.Event().wait()  # there may be no such channel

    async def _keep_probing(self, name: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        while True:
            pause = _PROBE_AGAIN_AFTER
            try:
                result = await self.probe(name)
                if result is None:
                    return
                if result.status is DeliveryStatus.RETRY:
                    pause = max(pause, min(result.retry_after or pause, _PROBE_EVERY))
                else:
                    pause = _PROBE_EVERY
            except Exception as error:  # noqa: BLE001 - a bug of ours must not end the program
                logger.opt(exception=error).error("probing {} failed inside", name)
            await sleep(pause.total_seconds())

    async def probe(self, name: str) -> DeliveryResult | None:
        """Probe a channel and note the result; `None` where it cannot be asked without a message."""
        channel = self._channels[name]
        result = await on_daemon_thread(lambda: channel.probe(SEND_TIMEOUT), name="channel probe")
        if result is None:
            return None
        effect = await self._store_thread.run(self._store.note_probe, name, result, self._clock())
        if result.status is DeliveryStatus.RETRY:
            logger.warning("the channel {} could not be probed: {}{}", name, result.detail, _wish(result))
        _log_channel(name, result, effect)
        await self._tell_of(name, result, effect)
        self._woken[name].set()
        return result

    async def _tell_of(self, name: str, result: DeliveryResult, effect: DeliveryEffect) -> None:
        """Tell the others of a channel that broke, and once of one that stays out of reach."""
        if effect.broke:
            await self._tell_other_channels(
                name,
                title=f"the channel {name} is broken",
                detail=result.detail,
                step=f"Correct the settings of {name} and restart: what it missed is told then.",
            )
        if effect.unreachable_since is not None:
            await self._tell_other_channels(
                name,
                title=f"the channel {name} cannot be reached",
                detail=result.detail,
                step=f"See whether this machine reaches {name}, and whether its settings name the right address.",
                once_since=effect.unreachable_since,
            )

    async def _tell_other_channels(
        self, name: str, *, title: str, detail: str, step: str, once_since: datetime | None = None
    ) -> None:
        others = [other for other in self._channels if other != name]
        if once_since is not None:
            # Where it is our network that fails, each would be told of the other when that is over.
            states = await self._store_thread.run(self._store.channel_states)
            others = [other for other in others if other not in states or states[other].is_ok]
        if not others:
            return
        notification = Notification(
            kind=NotificationKind.MONITOR,
            created_at=self._clock(),
            title=f"upstash-monitor: {title}",
            severity=Severity.WARNING,
            detail=detail,
            steps=(step,),
        )
        if once_since is None:
            await self._store_thread.run(self._store.enqueue, notification, channels=others)
        else:
            await self._store_thread.run(self._store.enqueue_once, notification, since=once_since, channels=others)
        for other in others:
            self._woken[other].set()


def _log(delivery: DeliveryAttempt, effect: DeliveryEffect) -> None:
    notification = delivery.notification
    kind, told = notification.kind.value, notification.includes or (notification,)
    numbers = ", ".join(str(each.incident) for each in told if each.incident)
    what = f"incident {numbers} {kind}" if numbers else f"a notification ({kind})"
    message = f"{delivery.channel}: {what}"
    result = delivery.result
    if result.status is DeliveryStatus.CONFIRMED:
        logger.info("{} delivered", message)
    elif result.status is DeliveryStatus.UNCONFIRMED:
        logger.warning("{} sent, not confirmed: {}", message, result.detail)
    else:
        logger.warning("{} not delivered: {}{}", message, result.detail, _wish(result))
    _log_channel(delivery.channel, result, effect)
    if effect.gave_up:
        logger.error("{} given up, {}", message, effect.gave_up)


def _wish(result: DeliveryResult) -> str:
    return f"; it asks to wait {format_duration(result.retry_after)}" if result.retry_after else ""


def _log_channel(name: str, result: DeliveryResult, effect: DeliveryEffect) -> None:
    if effect.broke:
        logger.error("the channel {} is broken: {}", name, result.detail)
    if effect.recovered:
        logger.info("the channel {} works again", name)
