"""The dead man's switch, which somebody else watches: pinged while checks happen, whatever they find."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from loguru import logger

from monitor.lib.bounded_http import NoAnswerError, ask
from monitor.lib.threads import on_daemon_thread

if TYPE_CHECKING:
    from monitor.engine.scheduler import HealthTracker  # and APScheduler, which `check` does not need

LONGEST_PING = timedelta(seconds=10)
_SECONDS = 60.0
_POLL_SECONDS = 1.0


def ping(url: str, *, timeout: timedelta = LONGEST_PING) -> str | None:
    """Fetch the URL of a dead man's switch; return why it was not reached, or `None`. Blocks at most `timeout`."""
    try:
        answer = ask("GET", url, timeout=timeout)
    except NoAnswerError as error:
        return str(error)
    return None if 200 <= answer.status < 300 else f"answered {answer.status}"


def log_unreached(failure: str | None) -> None:
    """A line in the log for what `ping` returned, where it says that the URL was not reached."""
    if failure is not None:
        logger.warning("the heartbeat URL was not reached: {}", failure)


async def keep_pinging(url: str, health: HealthTracker) -> None:
    """Ping about once a minute from the first finished check on, never while a check is overdue; until cancelled.

    A ping at the start would call a program healthy that dies and is restarted before it has checked anything.
    """
    while True:
        now = health.health(monotonic())
        if not (now.is_good and now.has_checked):
            await asyncio.sleep(_POLL_SECONDS)
            continue
        log_unreached(await on_daemon_thread(lambda: ping(url), name="heartbeat"))
        await asyncio.sleep(_SECONDS)
