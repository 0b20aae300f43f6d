"""Pings the dead man's switch while looks happen when they are due: its silence is the alarm.

What is due is decided in `core/pulse`; how a ping is sent, in `channels/heartbeat`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic

from loguru import logger

from monitor.channels.heartbeat import Heartbeat
from monitor.core.outbox import Verdict
from monitor.core.pulse import Pulse
from monitor.flow.threads import on_daemon_thread

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
