"""The only place where parts are made and joined: settings go in, a monitor that has not started comes out.

What the parts do stands in their own files; when they do it, in `daemon` and `flow/round`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from monitor.channels.channel import Channel
from monitor.channels.log import LogChannel
from monitor.channels.slack import SlackChannel
from monitor.channels.telegram import TelegramChannel
from monitor.channels.webhook import WebhookChannel
from monitor.core.scrub import Scrubber
from monitor.core.tokens import host_of
from monitor.flow.cycle import Cycle
from monitor.flow.deliver import SEND_TIMEOUT, Deliverer, Delivery
from monitor.flow.ourside import OurSide
from monitor.probes.surroundings import Surroundings
from monitor.probes.upstash import UpstashProbes
from monitor.probes.worker import WorkerProbe
from monitor.settings import (
    ChannelSettings,
    LogSettings,
    Settings,
    SlackSettings,
    TelegramSettings,
    WebhookSettings,
)
from monitor.store.keeper import Keeper
from monitor.store.store import Store

if TYPE_CHECKING:
    from monitor.flow.examine import Examiner

Scrub = Callable[[str], str]


def now_utc() -> datetime:
    """The clock of the whole house; tests hand in another."""
    return datetime.now(UTC)


def log_line(level: str, text: str) -> None:
    """What parts below may say in the log without knowing it."""
    logger.log(level, "{}", text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitor:
    """All parts, joined. `cycles` has one entry per database, in the order of the settings."""

    settings: Settings
    store: Store
    keeper: Keeper
    our_side: OurSide
    cycles: tuple[Cycle, ...]
    deliverer: Deliverer

    def close(self) -> None:
        """Commit what is known and end the store's thread. Blocks."""
        self.keeper.stop(self.store.close)


def build(
    settings: Settings,
    *,
    scrub: Scrub | None = None,
    clock: Callable[[], datetime] = now_utc,
    tell_unwritable: bool = True,
    send_timeout: Callable[[], timedelta] = lambda: SEND_TIMEOUT,
    on_delivery: Callable[[Delivery], None] | None = None,
) -> Monitor:
    """Join the parts; raises `RefusedFileError` when the history file is not ours to write."""
    scrub = scrub or Scrubber(settings.secrets())
    channels = build_channels(settings, scrub)
    store = open_store(settings, clock=clock, tell_unwritable=tell_unwritable)
    store.wake()
    for name, state in store.channel_states().items():
        channel = channels.get(name)
        if state.move is not None and isinstance(channel, TelegramChannel):
            channel.follow(state.move)
    keeper = Keeper()
    our_side = OurSide(
        settings.controls,
        surroundings=Surroundings(settings.controls),
        store=store,
        keeper=keeper,
        clock=clock,
    )
    probes = UpstashProbes(scrub=scrub)
    workers = _worker_probes(settings, probes, scrub)
    return Monitor(
        settings=settings,
        store=store,
        keeper=keeper,
        our_side=our_side,
        cycles=tuple(
            Cycle(
                database,
                alerts=settings.alerts,
                probes=probes,
                our_side=our_side,
                store=store,
                keeper=keeper,
                clock=clock,
                worker=worker,
            )
            for database, worker in zip(settings.databases, workers, strict=True)
        ),
        deliverer=Deliverer(
            channels,
            store=store,
            keeper=keeper,
            clock=clock,
            send_timeout=send_timeout,
            on_delivery=on_delivery,
        ),
    )


def open_store(
    settings: Settings, *, clock: Callable[[], datetime] = now_utc, tell_unwritable: bool = True
) -> Store:
    """The store alone, for commands that look at nothing; raises `RefusedFileError`."""
    return Store(
        Path(settings.history.path),
        channels=[channel.name for channel in told(settings)],
        say=log_line,
        clock=clock,
        tell_unwritable=tell_unwritable,
    )


def build_examiner(
    settings: Settings,
    *,
    environ: Mapping[str, str] = os.environ,
    more_secrets: Iterable[str] = (),
    clock: Callable[[], datetime] = now_utc,
) -> Examiner:
    """The doctor's parts. The keys of the console and of Railway are those of the environment, where set."""
    from monitor.flow.examine import Examiner  # noqa: PLC0415 - not every word needs it
    from monitor.probes.console import ConsoleKey  # noqa: PLC0415 - as above
    from monitor.probes.railway_api import Railway, RailwayAccess  # noqa: PLC0415 - as above

    console, access = ConsoleKey.from_environment(environ), RailwayAccess.from_environment(environ)
    keys = [key.reveal() for key in (console and console.api_key, access and access.token) if key]
    scrub = Scrubber((*settings.secrets(), *keys, *more_secrets))
    doctor = settings.doctor
    return Examiner(
        probes=UpstashProbes(scrub=scrub),
        surroundings=Surroundings(settings.controls),
        controls=settings.controls,
        doctor=doctor,
        console=console,
        railway=None
        if access is None
        else Railway(access, url=doctor.railway_url, service=doctor.service, scrub=scrub),
        hosts=frozenset(filter(None, (host_of(one.url.get_secret_value()) for one in settings.databases))),
        scrub=scrub,
        clock=clock,
    )


def _worker_probes(settings: Settings, probes: UpstashProbes, scrub: Scrub) -> list[WorkerProbe | None]:
    """A probe of the worker's way for each database that asks for it; redis-py is read in only for those."""
    workers: list[WorkerProbe | None] = []
    tls: ssl.SSLContext | None = None
    for database in settings.databases:
        if database.worker and tls is None:
            tls = ssl.create_default_context()
        workers.append(
            WorkerProbe(
                url=database.url.get_secret_value(),
                token=database.token.get_secret_value(),
                port=settings.doctor.worker_port,
                scrub=scrub,
                tls=tls,
                resolver=probes.resolver,
            )
            if database.worker
            else None
        )
    return workers


def told(settings: Settings) -> tuple[ChannelSettings, ...]:
    """Who is told: the channels of the settings, or the log when there are none."""
    return settings.channels or (LogSettings(type="log"),)


def build_channels(settings: Settings, scrub: Scrub) -> Mapping[str, Channel]:
    """The channels by name."""
    return {channel.name: _channel(channel, scrub) for channel in told(settings)}


def _channel(settings: ChannelSettings, scrub: Scrub) -> Channel:
    match settings:
        case SlackSettings():
            url = settings.webhook_url.get_secret_value()
            return SlackChannel(name=settings.name, webhook_url=url, scrub=scrub)
        case TelegramSettings():
            return TelegramChannel(
                name=settings.name,
                bot_token=settings.bot_token.get_secret_value(),
                chat_id=settings.chat_id,
                api_url=settings.api_url,
                scrub=scrub,
            )
        case WebhookSettings():
            return WebhookChannel(name=settings.name, url=settings.url.get_secret_value(), scrub=scrub)
        case LogSettings():
            return LogChannel(name=settings.name, write=log_line)
