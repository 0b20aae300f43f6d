"""The command `run`: checks on schedule until it is stopped, with the page when a port is set."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from loguru import logger

from monitor.checks.canary import CANARY_FINDS, budget
from monitor.cli.options import config_option, fail, load_settings, settings_source
from monitor.config.load import readable_secrets, warnings
from monitor.config.settings import Settings
from monitor.engine.heartbeat import are_stuck, keep_pinging
from monitor.engine.scheduler import BackgroundTask, HealthTracker, Scheduler
from monitor.engine.wiring import Monitor, build, channels_of
from monitor.lib.process import keep_one_heap, raise_descriptor_limit, stop_on_signals
from monitor.lib.times import now_utc, write_duration
from monitor.store.errors import RefusedFileError

if TYPE_CHECKING:
    from monitor.web.server import PageServer

# A container may be started before its network.
_WAIT_FOR_NETWORK = timedelta(minutes=5)
_NOBODY_WATCHES = (
    "no heartbeat: nobody is told when this monitor itself is gone. Next: set HEARTBEAT_URL to the ping URL of a "
    "dead man's switch (healthchecks.io and the like)"
)
# The same file may serve both, and a refusal to start would be worse.
_NO_STATE = "state is for `check`: `run` goes by the history file alone, and leaves state as it is"


@click.command()
@config_option
@click.pass_context
def command(context: click.Context) -> None:
    """Check on schedule until stopped; serve the page when a port is set."""
    stop_on_signals(sys.exit)
    keep_one_heap()
    raise_descriptor_limit()
    settings = load_settings(context, stream=sys.stdout)
    health = HealthTracker()
    try:
        monitor = build(settings, wait_for_network=_WAIT_FOR_NETWORK)
    except RefusedFileError as error:
        fail(str(error))
    server = _status_server(monitor, health, lambda: scheduler.missed_checks)
    background: dict[str, BackgroundTask] = {"probing the channels": monitor.deliverer.keep_probing}
    if settings.heartbeat.url is not None:

        async def deliveries_are_stuck() -> bool:
            return are_stuck(await monitor.store_thread.run(monitor.store.waiting_since), now_utc())

        url = settings.heartbeat.url.reveal()
        background["the heartbeat"] = partial(keep_pinging, url, health, deliveries_are_stuck)
    if os.environ.get("UPSTASH_API_KEY"):
        # The doctor's code, which a monitor without the console's key does not pay for.
        from monitor.doctor.console import ConsoleKey
        from monitor.engine.usage import keep_reading_usage

        console = ConsoleKey.from_environment(os.environ)
        if console is not None:
            background["reading the usage"] = partial(keep_reading_usage, monitor, console, now_utc)
    if server is not None:
        background["the web server"] = server.serve
    scheduler = Scheduler(monitor, health=health, clock=now_utc, background=background)
    stop_on_signals(scheduler.stop)
    open_file = readable_secrets(Path(settings_source(context)))
    unwatched = _NOBODY_WATCHES if settings.heartbeat.url is None else None
    state = _NO_STATE if settings.state is not None else None
    for line in filter(None, (*warnings(settings, os.environ), open_file, unwatched, state)):
        logger.warning("{}", line)
    where = "in memory only" if monitor.store.is_in_memory else f"in {Path(settings.history.path).absolute()}"
    logger.info("{}", _start_line(settings, where, server.port if server else None))
    # What is loaded by now stays. Going through all of it again would take the collector some milliseconds each
    # time, in which no check and no visitor is served.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(scheduler.run())
    finally:
        monitor.close()
    if not monitor.store.is_in_memory:
        logger.info("stopped; everything known is in {}", settings.history.path)


def _status_server(monitor: Monitor, health: HealthTracker, missed_checks: Callable[[], int]) -> PageServer | None:
    """The web server is 2 MB that a monitor without a port does not pay."""
    page = monitor.settings.page
    if page.port is None:
        return None
    from monitor.web.app import build_server
    from monitor.web.server import CannotListenError

    try:
        return build_server(monitor, health, host=page.host, port=page.port, missed_checks=missed_checks)
    except CannotListenError as error:
        monitor.close()
        fail(str(error))


def _start_line(settings: Settings, where: str, port: int | None) -> str:
    watched = [f"{database.name} every {write_duration(database.interval)}" for database in settings.databases]
    more = f" and {len(watched) - 5} more" if len(watched) > 5 else ""
    channels = ", ".join(channel.name for channel in channels_of(settings))
    page = "" if port is None else f"; the page and /healthz on port {port}"
    watched_words = f"watching {', '.join(watched[:5])}{more}; telling {channels}; history {where}"
    return f"{watched_words}; {_canary_words(settings)}{page}"


def _canary_words(settings: Settings) -> str:
    """What the canary costs and finds, or what is not found without it."""
    every = sorted({database.canary for database in settings.databases if database.canary is not None})
    if not every:
        return f"no canary, so {CANARY_FINDS} are not noticed"
    interval = settings.alerts.confirm_interval
    billed = sum(budget(one.interval, interval, one.canary).billed for one in settings.databases)
    often = ", ".join(map(write_duration, every))
    return f"a canary every {often} ({billed:,} billed commands in 30 days) finds {CANARY_FINDS}"
