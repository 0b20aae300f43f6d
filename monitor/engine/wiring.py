"""Where the parts are made and joined: settings go in, a monitor that has not started comes out."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loguru import logger

from monitor.alerts.channel import Channel, LogChannel
from monitor.alerts.notification import Notification, NotificationKind, Route, Severity
from monitor.alerts.text import Origin
from monitor.checks.connectivity import ConnectivityProbe
from monitor.checks.credentials import host_of, is_private_name, look_alikes
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import (
    AppriseSettings,
    ChannelSettings,
    LogSettings,
    Settings,
    SlackSettings,
    TelegramSettings,
    UnusablePart,
    WebhookSettings,
)
from monitor.diagnosis.verdicts import DatabaseProfile, profile_of
from monitor.engine.cycle import Connectivity, Cycle
from monitor.engine.delivery import Deliverer, DeliveryAttempt
from monitor.engine.diagnose_on_open import Diagnoser
from monitor.lib.language import ENGLISH, language
from monitor.lib.text import Scrub, Scrubber
from monitor.lib.threads import SerialThread
from monitor.lib.times import Deadline, now_utc
from monitor.store.file.document import StateDocument
from monitor.store.store import Store

if TYPE_CHECKING:
    from monitor.checks.redis_tcp import WorkerProbe
    from monitor.doctor.examine import Examiner


def worker_probes(
    settings: Settings, probes: RestProbeFactory, scrub: Callable[[str], str]
) -> list[WorkerProbe | None]:
    """A probe of `rediss://` for each database that asks for it."""
    if not any(database.worker for database in settings.databases):
        return [None] * len(settings.databases)
    from monitor.checks.redis_tcp import WorkerProbe

    tls = ssl.create_default_context()
    return [
        WorkerProbe(
            url=database.url.reveal(),
            token=database.token.reveal(),
            port=settings.doctor.worker_port,
            scrub=scrub,
            tls=tls,
            resolver=probes.resolver,
        )
        if database.worker
        else None
        for database in settings.databases
    ]


def profiles_of(settings: Settings, environ: Mapping[str, str]) -> dict[str, DatabaseProfile]:
    """What is known of each database, by its name; verdicts are worded by it."""
    return {one.name: profile_of(one, settings.doctor, environ) for one in settings.databases}


def _unused_look_alikes(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that may be meant where a URL or a token is missing: those that no database is read from."""
    used = {name for one in settings.databases for name in (one.url_variable, one.token_variable)}
    return tuple(name for name in look_alikes(environ) if name not in used)


def build_examiner(
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    environ: Mapping[str, str] = os.environ,
    more_secrets: Iterable[str] = (),
    probes: RestProbeFactory | None = None,
    answered_lately: bool = False,
) -> Examiner:
    """The doctor's parts. The keys of the console and of Railway are those of the environment, where set.

    `probes` of a monitor that runs may be shared; `answered_lately` as in `Examiner`.
    """
    from monitor.doctor.console import ConsoleKey
    from monitor.doctor.examine import Examiner
    from monitor.doctor.railway import Railway, RailwayAccess

    console, access = ConsoleKey.from_environment(environ), RailwayAccess.from_environment(environ)
    keys = [key.reveal() for key in (console and console.api_key, access and access.token) if key]
    scrub = Scrubber((*settings.secrets(), *keys, *more_secrets))
    doctor = settings.doctor
    return Examiner(
        probes=probes or RestProbeFactory(scrub=scrub),
        connectivity=ConnectivityProbe(connectivity_hosts(settings)),
        answered_lately=answered_lately,
        doctor=doctor,
        console=console,
        railway=None
        if access is None
        else Railway(access, url=doctor.railway_url, service=doctor.service, scrub=scrub),
        databases=settings.databases,
        scrub=scrub,
        clock=clock,
        worker_tls=ssl.create_default_context(),
        look_alikes=_unused_look_alikes(settings, environ),
    )


def log_line(level: str, text: str) -> None:
    """Writes to the log for modules below, which do not know loguru."""
    logger.log(level, "{}", text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitor:
    """All parts, joined. `cycles` has one entry per database, in the order of the settings, `profiles` by name."""

    settings: Settings
    profiles: Mapping[str, DatabaseProfile]
    store: Store
    store_thread: SerialThread
    connectivity: Connectivity
    cycles: tuple[Cycle, ...]
    deliverer: Deliverer
    diagnoser: Diagnoser | None

    def stop(self) -> None:
        """Break off what goes on beside checks and deliveries. To be called in the loop."""
        self.connectivity.stop()
        if self.diagnoser is not None:
            self.diagnoser.stop()

    def close(self) -> None:
        """Commit what is known and end the store's thread. Blocks."""
        self.store_thread.stop(self.store.close)


def build(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = now_utc,
    notify_unwritable: bool = True,
    deadline: Deadline | None = None,
    on_delivery: Callable[[DeliveryAttempt], None] | None = None,
    environ: Mapping[str, str] = os.environ,
    first_canary: bool = True,
    wait_for_network: timedelta = timedelta(0),
    remembered: StateDocument | None = None,
    probes: RestProbeFactory | None = None,
) -> Monitor:
    """Join the parts; raises `RefusedFileError` when the history file is not ours to write.

    Deliveries, and how long they wait for the doctor, are cut to end before a `deadline`. `environ` may hold the
    keys of the doctor's other sources. Without `first_canary` none is sent where none is remembered. For
    `wait_for_network` it counts as no failure that nothing at all is reached. `remembered` is what another run
    left that had another disk; `probes` of whoever read it may be shared.
    """
    scrub = Scrubber(settings.secrets())
    channels = build_channels(settings, scrub)
    store = open_store(
        settings,
        clock=clock,
        notify_unwritable=notify_unwritable,
        # While checks go on the next one is never far; a single round has had its checks before it delivers.
        recheck_within=timedelta(seconds=2) if wait_for_network else timedelta(minutes=1),
    )
    if remembered is not None:
        store.take_up(remembered)
    store.begin(
        databases={database.name for database in settings.databases},
        destinations={channel.name: _destination(channel) for channel in channels_of(settings)},
        credentials={
            channel.name: channel.bot_token.reveal()
            for channel in channels_of(settings)
            if isinstance(channel, TelegramSettings)
        },
        left_out=[part.name.removeprefix("channel ") for part in settings.unusable],
    )
    if notify_unwritable:
        for part in settings.unusable:
            store.enqueue_once(_unusable(part, clock()), since=clock() - timedelta(days=1))
    for name, state in store.channel_states().items():
        channel = channels.get(name)
        if state.move is not None and channel is not None:
            from monitor.alerts.telegram import TelegramChannel

            if isinstance(channel, TelegramChannel):
                channel.follow(state.move)
    store_thread = SerialThread("store")
    connectivity = Connectivity(
        connectivity_hosts(settings),
        store=store,
        store_thread=store_thread,
        clock=clock,
        wait_for_network=wait_for_network,
    )
    probes = probes or RestProbeFactory(scrub=scrub)
    deliverer = Deliverer(
        channels,
        store=store,
        store_thread=store_thread,
        clock=clock,
        deadline=deadline,
        on_delivery=on_delivery,
    )
    profiles = profiles_of(settings, environ)
    diagnoser = None
    if settings.alerts.diagnose:

        def make_examiner() -> Examiner:
            """What is heavy is imported with the first trouble, on a thread, and not while checks are timed."""
            return build_examiner(settings, clock=clock, environ=environ, probes=probes)

        diagnoser = Diagnoser(
            make_examiner,
            profiles=profiles,
            store=store,
            store_thread=store_thread,
            on_release=deliverer.wake,
            deadline=deadline,
        )
    workers = worker_probes(settings, probes, scrub)
    may_be_meant = _unused_look_alikes(settings, environ)
    return Monitor(
        settings=settings,
        profiles=profiles,
        store=store,
        store_thread=store_thread,
        connectivity=connectivity,
        cycles=tuple(
            Cycle(
                database,
                alerts=settings.alerts,
                probes=probes,
                connectivity=connectivity,
                store=store,
                store_thread=store_thread,
                clock=clock,
                profile=profiles[database.name],
                look_alikes=may_be_meant,
                worker=worker,
                worker_port=settings.doctor.worker_port,
                diagnoser=diagnoser,
                first_canary=first_canary,
            )
            for database, worker in zip(settings.databases, workers, strict=True)
        ),
        deliverer=deliverer,
        diagnoser=diagnoser,
    )


def open_store(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = now_utc,
    notify_unwritable: bool = True,
    recheck_within: timedelta = timedelta(minutes=1),
    log: Callable[[str, str], None] = log_line,
) -> Store:
    """The store alone, for commands that check nothing; raises `RefusedFileError`."""
    return Store(
        Path(settings.history.path),
        channels=[channel.name for channel in channels_of(settings)],
        log=log,
        clock=clock,
        notify_unwritable=notify_unwritable,
        recheck_within=recheck_within,
        routes=routes_of(settings),
        group_within=settings.alerts.group_within,
        # A receiver knows an incident by its number: what is told of several has none.
        apart=[channel.name for channel in channels_of(settings) if isinstance(channel, WebhookSettings)],
        maintenance=settings.maintenance,
    )


def _unusable(part: UnusablePart, now: datetime) -> Notification:
    return Notification(
        kind=NotificationKind.MONITOR,
        created_at=now,
        title=f"upstash-monitor: {part.name} is left out",
        severity=Severity.WARNING,
        detail=part.mistake,
        steps=("Everything else goes on. Correct it, then restart; `config check` tells whether it is right.",),
    )


def channels_of(settings: Settings) -> tuple[ChannelSettings, ...]:
    """The channels of the settings, or the log when there are none."""
    return settings.channels or (LogSettings(type="log"),)


def routes_of(settings: Settings) -> dict[str, Route]:
    """Which databases and severities each channel takes that does not take all."""
    return {
        channel.name: Route(only=frozenset(channel.only), severities=frozenset(map(Severity, channel.severities)))
        for channel in settings.channels
        if channel.only or channel.severities
    }


def build_channels(settings: Settings, scrub: Scrub) -> Mapping[str, Channel]:
    """The channels by name."""
    origin = Origin(
        environment=settings.environment or "",
        region=settings.region or "",
        page_url=settings.page.url or "",
        language=language(settings.alerts.language),
    )
    return {channel.name: _channel(channel, scrub, origin) for channel in channels_of(settings)}


def connectivity_hosts(settings: Settings) -> tuple[str, ...]:
    """The connectivity hosts of the settings, and the channels' own; none where they are turned off.

    A channel in a private network tells nothing of the way to a database that is not in one.
    """
    if not settings.connectivity:
        return ()
    are_private = all(_is_private(host_of(one.url.reveal()) or "") for one in settings.databases)
    urls = [urlsplit(_destination(channel).partition(" ")[0]) for channel in channels_of(settings)]
    hosts = [
        f"[{url.hostname}]:{port}" if ":" in url.hostname else f"{url.hostname}:{port}"
        for url in urls
        if url.hostname and (are_private or not _is_private(url.hostname))
        for port in (url.port or {"http": 80}.get(url.scheme, 443),)
    ]
    return tuple(dict.fromkeys((*settings.connectivity, *hosts)))


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return not host or is_private_name(host)


def _destination(settings: ChannelSettings) -> str:
    """Where a channel's messages go. Another bot in the same chat is the same destination. It may be a secret."""
    match settings:
        case SlackSettings():
            return settings.webhook_url.reveal()
        case TelegramSettings():
            return f"{settings.api_url} {settings.chat_id}"
        case WebhookSettings():
            return settings.url.reveal()
        case AppriseSettings():
            return f"apprise {settings.url.reveal()}"
        case LogSettings():
            return "the log"


def _channel(settings: ChannelSettings, scrub: Scrub, origin: Origin) -> Channel:
    """A channel, by its kind's module: most monitors have one kind of the four."""
    # What programs read, and the log, is English.
    if isinstance(settings, WebhookSettings | LogSettings):
        origin = replace(origin, language=ENGLISH)
    match settings:
        case SlackSettings():
            from monitor.alerts.slack import SlackChannel

            url = settings.webhook_url.reveal()
            return SlackChannel(
                name=settings.name, webhook_url=url, mention=settings.mention, scrub=scrub, origin=origin
            )
        case TelegramSettings():
            from monitor.alerts.telegram import TelegramChannel

            return TelegramChannel(
                name=settings.name,
                bot_token=settings.bot_token.reveal(),
                chat_id=settings.chat_id,
                topic=settings.topic,
                api_url=settings.api_url,
                scrub=scrub,
                origin=origin,
            )
        case WebhookSettings():
            from monitor.alerts.webhook import WebhookChannel

            return WebhookChannel(
                name=settings.name,
                url=settings.url.reveal(),
                template=settings.template.reveal(),
                origin=origin,
            )
        case AppriseSettings():
            from monitor.alerts.apprise import AppriseChannel

            return AppriseChannel(name=settings.name, url=settings.url.reveal(), origin=origin)
        case LogSettings():
            return LogChannel(name=settings.name, write=log_line, origin=origin)
