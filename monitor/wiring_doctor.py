"""Joins the parts that see a database from other sides than REST: the worker's way, and the doctor.

The monitor itself is joined in `wiring`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from monitor.core.scrub import Scrubber
from monitor.core.tokens import host_of
from monitor.probes.surroundings import Surroundings
from monitor.probes.upstash import UpstashProbes
from monitor.settings import Settings

if TYPE_CHECKING:
    from monitor.flow.examine import Examiner
    from monitor.probes.worker import WorkerProbe


def worker_probes(
    settings: Settings, probes: UpstashProbes, scrub: Callable[[str], str]
) -> list[WorkerProbe | None]:
    """A probe of the worker's way for each database that asks for it; redis-py is read in only for those."""
    if not any(database.worker for database in settings.databases):
        return [None] * len(settings.databases)
    from monitor.probes.worker import WorkerProbe  # noqa: PLC0415 - see above

    workers: list[WorkerProbe | None] = []
    tls = ssl.create_default_context()
    for database in settings.databases:
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


def build_examiner(
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    environ: Mapping[str, str] = os.environ,
    more_secrets: Iterable[str] = (),
    probes: UpstashProbes | None = None,
) -> Examiner:
    """The doctor's parts. The keys of the console and of Railway are those of the environment, where set.

    `probes` of a monitor that runs may be shared.
    """
    from monitor.flow.examine import Examiner  # noqa: PLC0415 - most words do without it
    from monitor.probes.console import ConsoleKey  # noqa: PLC0415 - as above
    from monitor.probes.railway_api import Railway, RailwayAccess  # noqa: PLC0415 - as above

    console, access = ConsoleKey.from_environment(environ), RailwayAccess.from_environment(environ)
    keys = [key.reveal() for key in (console and console.api_key, access and access.token) if key]
    scrub = Scrubber((*settings.secrets(), *keys, *more_secrets))
    doctor = settings.doctor
    return Examiner(
        probes=probes or UpstashProbes(scrub=scrub),
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
        worker_tls=ssl.create_default_context(),
    )


def attending_examiner(
    settings: Settings, *, probes: UpstashProbes, clock: Callable[[], datetime], environ: Mapping[str, str]
) -> Examiner:
    """The doctor of a monitor that runs; what is heavy is read in here, and not while looks are timed."""
    from monitor.probes.worker import read_in  # noqa: PLC0415 - see above

    read_in()
    return build_examiner(settings, clock=clock, environ=environ, probes=probes)
