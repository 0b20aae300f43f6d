"""The word `run`: the always-on mode. Parts are joined in `wiring`, the clock is `daemon`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from time import monotonic

import click
from loguru import logger

from monitor.channels.heartbeat import Heartbeat
from monitor.commands.options import config_option, fail, load_settings, settings_warnings
from monitor.core.outbox import Verdict
from monitor.core.pulse import Pulse
from monitor.daemon import Beside, Daemon
from monitor.durations import write_duration
from monitor.settings import Settings
from monitor.store.faults import NewerFileError
from monitor.wiring import build, now_utc, told

_HEARTBEAT_SECONDS = 60.0
_HEARTBEAT_TIMEOUT = timedelta(seconds=10)


@click.command()
@config_option
@click.pass_context
def command(context: click.Context) -> None:
    """Look on schedule until stopped; serve /healthz when a port is set."""
    settings = load_settings(context, stream=sys.stdout)
    pulse = Pulse()
    beside = [*_status_server(settings, pulse), *_heartbeat(settings, pulse)]
    try:
        monitor = build(settings)
    except NewerFileError as error:
        fail(str(error))
    for line in (*settings_warnings(settings), *_disk_warnings(settings, os.environ)):
        logger.warning("{}", line)
    logger.info("{}", _start_line(settings))
    try:
        asyncio.run(Daemon(monitor, pulse=pulse, clock=now_utc, beside=beside).run())
    finally:
        monitor.close()
    logger.info("stopped; everything known is in {}", settings.history.path)


def _status_server(settings: Settings, pulse: Pulse) -> list[Beside]:
    """The web server is 10 MB that a monitor without a port does not pay."""
    if settings.status_page.port is None:
        return []
    from monitor.status.app import build_app  # noqa: PLC0415 - see above
    from monitor.status.server import CannotListenError, StatusServer  # noqa: PLC0415 - see above

    app = build_app(lambda: pulse.health(monotonic()))
    try:
        server = StatusServer(settings.status_page.host, settings.status_page.port, app)
    except CannotListenError as error:
        fail(str(error))
    return [server.serve]


def _heartbeat(settings: Settings, pulse: Pulse) -> list[Beside]:
    if settings.heartbeat.url is None:
        return []
    heartbeat = Heartbeat(url=settings.heartbeat.url.get_secret_value())

    async def beat() -> None:
        """Ping while looks happen when due; silence is the alarm."""
        while True:
            if pulse.health(monotonic()).is_good:
                receipt = await asyncio.to_thread(heartbeat.ping, timeout=_HEARTBEAT_TIMEOUT)
                if receipt.verdict is not Verdict.CONFIRMED:
                    logger.warning("the heartbeat URL was not reached: {}", receipt.detail)
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    return [beat]


def _start_line(settings: Settings) -> str:
    watched = [f"{database.name} every {write_duration(database.interval)}" for database in settings.databases]
    more = f" and {len(watched) - 5} more" if len(watched) > 5 else ""
    channels = ", ".join(channel.name for channel in told(settings))
    port = settings.status_page.port
    page = "" if port is None else f"; /healthz on port {port}"
    path = Path(settings.history.path).absolute()
    return f"watching {', '.join(watched[:5])}{more}; telling {channels}; history in {path}{page}"


def _disk_warnings(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Railway's disk is thrown away with each deployment unless it is a volume (docs.railway.com, volumes)."""
    if not any(name.startswith("RAILWAY_") for name in environ):
        return ()
    volume = environ.get("RAILWAY_VOLUME_MOUNT_PATH")
    if volume is None:
        return ("no Railway volume: the history is lost with each deployment. Next: attach one (docs/railway.md)",)
    if not Path(settings.history.path).absolute().is_relative_to(volume):
        return (f"the history is not on the volume at {volume} and is lost with each deployment",)
    return ()
