"""The dead man's switch, which somebody else watches: pinged while checks happen, whatever they find."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loguru import logger

from monitor.lib.bounded_http import NoAnswerError, ask
from monitor.lib.threads import on_daemon_thread

if TYPE_CHECKING:
    from monitor.engine.scheduler import HealthTracker  # and APScheduler, which `check` does not need

LONGEST_PING = timedelta(seconds=10)
STUCK_AFTER = timedelta(minutes=10)
_SECONDS = 60.0
_POLL_SECONDS = 1.0


def are_stuck(waiting_since: datetime | None, now: datetime) -> bool:
    """True when a message has waited so long that people may not hear of an outage."""
    return waiting_since is not None and now - waiting_since >= STUCK_AFTER


def ping(url: str, *, has_failed: bool = False, timeout: timedelta = LONGEST_PING) -> str | None:
    """Fetch the URL of a dead man's switch; return why it was not reached, or `None`. Blocks at most `timeout`.

    With `has_failed` it is that URL's `/fail`, by which healthchecks.io and Better Stack alert at once.
    """
    try:
        answer = ask("GET", _fail_url(url) if has_failed else url, timeout=timeout)
    except NoAnswerError as error:
        return str(error)
    return None if 200 <= answer.status < 300 else f"answered {answer.status}"


def _fail_url(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/fail").geturl()


def log_unreached(failure: str | None) -> None:
    """A line in the log for what `ping` returned, where it says that the URL was not reached."""
    if failure is not None:
        logger.warning("the heartbeat URL was not reached: {}", failure)


async def keep_pinging(
    url: str, health: HealthTracker, deliveries_are_stuck: Callable[[], Awaitable[bool]]
) -> None:
    """Ping about once a minute from the first finished check on, never while a check is overdue; until cancelled.

    While deliveries are stuck it is a failure that is pinged. A ping at the start would call a program healthy
    that dies and is restarted before it has checked anything.
    """
    while True:
        now = health.health(monotonic())
        if not (now.is_good and now.has_checked):
            await asyncio.sleep(_POLL_SECONDS)
            continue
        send = partial(ping, url, has_failed=await deliveries_are_stuck())
        log_unreached(await on_daemon_thread(send, name="heartbeat"))
        await asyncio.sleep(_SECONDS)
