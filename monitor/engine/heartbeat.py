"""Pings the dead man's switch while looks happen when they are due: its silence is the alarm.

What is due is decided in `core/pulse`; how a ping is sent, in `channels/heartbeat`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic

from loguru import logger

from monitor.alerts.retry_policy import Receipt, Verdict
from monitor.engine.health import Pulse
from monitor.lib.bounded_http.line import NoAnswerError
from monitor.lib.bounded_http.request import ask
from monitor.lib.threads import on_daemon_thread


class Heartbeat:
    """One URL. When the pings stop, whoever owns it says so: it is the only alarm for a monitor that died."""

    def __init__(self, *, url: str) -> None:
        self._url = url

    def ping(self, *, timeout: timedelta) -> Receipt:
        """Fetch the URL; blocks at most `timeout`, raises nothing for what the host does."""
        try:
            answer = ask("GET", self._url, timeout=timeout)
        except NoAnswerError as error:
            return Receipt(verdict=Verdict.RETRY, detail=str(error))
        fine = 200 <= answer.status < 300
        return Receipt(verdict=Verdict.CONFIRMED if fine else Verdict.RETRY, detail=f"answered {answer.status}")


_EVERY_SECONDS = 60.0
_GLANCE_SECONDS = 1.0
_TIMEOUT = timedelta(seconds=10)


async def keep_pinging(heartbeat: Heartbeat, pulse: Pulse) -> None:
    """Ping about once a minute from the first finished look on, never while a look is overdue; until cancelled.

    A ping at the start would call a program healthy that dies and is restarted before it has looked at anything.
    """
    while True:
        health = pulse.health(monotonic())
        if not (health.is_good and health.has_looked):
            await asyncio.sleep(_GLANCE_SECONDS)
            continue
        receipt = await on_daemon_thread(lambda: heartbeat.ping(timeout=_TIMEOUT), name="heartbeat")
        if receipt.verdict is not Verdict.CONFIRMED:
            logger.warning("the heartbeat URL was not reached: {}", receipt.detail)
        await asyncio.sleep(_EVERY_SECONDS)
