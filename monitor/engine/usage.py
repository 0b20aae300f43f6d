"""A warning before the outage: what is limited in a month is read a few times a day, and told once at 80 %."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from math import floor

from loguru import logger

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.config.settings import DatabaseSettings
from monitor.doctor.console import ConsoleKey, Usage, read_usage
from monitor.doctor.web import WebError
from monitor.engine.wiring import Monitor
from monitor.lib.threads import on_daemon_thread
from monitor.lib.times import Clock

WARN_FROM = 0.8
_EVERY = timedelta(hours=6)
# After the first checks, which nothing should delay.
_FIRST_AFTER = timedelta(minutes=1)
_TIMEOUT = timedelta(seconds=20)
# The console's figures lag behind: at the turn of the month they may still be those of the month before.
_MAY_BE_STALE = timedelta(days=1)


async def keep_reading_usage(monitor: Monitor, key: ConsoleKey, clock: Clock) -> None:
    """Warn of what is nearly used up, until cancelled. What the console does not say is a line in the log."""
    await asyncio.sleep(_FIRST_AFTER.total_seconds())
    while True:
        for database in monitor.settings.databases:
            try:
                await warn(monitor, database, key, clock())
            except Exception as error:  # noqa: BLE001 - a bug of ours must not end the program
                logger.opt(exception=error).error("reading the usage of {} failed inside", database.name)
        await asyncio.sleep(_EVERY.total_seconds())


async def warn(monitor: Monitor, database: DatabaseSettings, key: ConsoleKey, now: datetime) -> None:
    """Read the usage of one database, and enqueue a warning of each resource that was not told this month."""
    read = partial(
        read_usage,
        key,
        console_url=monitor.settings.doctor.console_url,
        origin=database.url.reveal(),
        timeout=_TIMEOUT,
    )
    try:
        usages = await on_daemon_thread(read, name="usage")
    except (WebError, ValueError) as error:  # ValueError: a URL without a host
        reason = str(error) if isinstance(error, WebError) else "the URL has no host"
        logger.warning("the usage of {} was not read: {}", database.name, reason)
        return
    enqueue = partial(monitor.store.enqueue_once, since=month_of(now))
    added = [
        await monitor.store_thread.run(enqueue, warning_of(usage, database.name, now))
        for usage in usages
        if usage.share >= WARN_FROM and not (usage.is_monthly and now - month_of(now) < _MAY_BE_STALE)
    ]
    if any(added):
        monitor.deliverer.wake()


def month_of(now: datetime) -> datetime:
    """When the month began, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def warning_of(usage: Usage, database: str, now: datetime) -> Notification:
    """The warning; its title is the same for the whole month, by which it is told once."""
    what = f"the month's {usage.resource}" if usage.is_monthly else f"the {usage.resource}"
    used, limit, share = _rounded(usage.used), _rounded(usage.limit), floor(100 * usage.share)
    return Notification(
        kind=NotificationKind.WARNING,
        created_at=now,
        title=f"at least {WARN_FROM:.0%} of {what} used",
        database=database,
        severity=Severity.WARNING,
        detail=f"{used} of {limit} {usage.unit} used, {share}%; {_when(usage, now)}",
        steps=(
            "Look at the database's usage page: https://console.upstash.com.",
            "Raise the limit or the plan there, or use less: past the limit commands are refused.",
        ),
    )


def _rounded(figure: float) -> str:
    """With a tenth where there is one, rounded down: what is not used up must not read as if it were."""
    return f"{floor(10 * figure) / 10:,.1f}".removesuffix(".0")


def _when(usage: Usage, now: datetime) -> str:
    """When it is used up; a monthly figure begins anew with the month."""
    if usage.share >= 1:
        return "it is used up"
    if not usage.is_monthly:
        return "how fast it grows is not known"
    began = month_of(now)
    ends_at = began + (now - began) / usage.share
    next_month = month_of(began + timedelta(days=32))
    if ends_at >= next_month:
        return "at this pace it lasts until the month ends"
    return f"at this pace it is used up on {ends_at:%Y-%m-%d}"
