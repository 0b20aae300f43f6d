"""Pings the dead man's switch while looks happen when they are due: its silence is the alarm.

What is due is decided in `core/pulse`; how a ping is sent, in `channels/heartbeat`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic

from loguru import logger

from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.engine.health import HealthTracker
from monitor.lib.bounded_http.line import NoAnswerError
from monitor.lib.bounded_http.request import ask
from monitor.lib.threads import on_daemon_thread


class Heartbeat:
    """One URL. When the pings stop, whoever owns it says so: it is the only alarm for a monitor that died."""

    def __init__(self, *, url: str) -> None:
        self._url = url

    def ping(self, *, timeout: timedelta) -> DeliveryResult:
        """Fetch the URL; blocks at most `timeout`, raises nothing for what the host does."""
        try:
            answer = ask("GET", self._url, timeout=timeout)
        except NoAnswerError as error:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error))
        fine = 200 <= answer.status < 300
        return DeliveryResult(
            status=DeliveryStatus.CONFIRMED if fine else DeliveryStatus.RETRY, detail=f"answered {answer.status}"
        )


_EVERY_SECONDS = 60.0
_GLANCE_SECONDS = 1.0
_TIMEOUT = timedelta(seconds=10)


async def keep_pinging(heartbeat: Heartbeat, health: HealthTracker) -> None:
    """Ping about once a minute from the first finished check on, never while a check is overdue; until cancelled.

    A ping at the start would call a program healthy that dies and is restarted before it has looked at anything.
    """
    while True:
        found = health.health(monotonic())
        if not (found.is_good and found.has_checked):
            await asyncio.sleep(_GLANCE_SECONDS)
            continue
        result = await on_daemon_thread(lambda: heartbeat.ping(timeout=_TIMEOUT), name="heartbeat")
        if result.status is not DeliveryStatus.CONFIRMED:
            logger.warning("the heartbeat URL was not reached: {}", result.detail)
        await asyncio.sleep(_EVERY_SECONDS)
