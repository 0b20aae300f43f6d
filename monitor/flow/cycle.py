"""One look at one database: look, judge, record. What happens every minute is this file, top to bottom.

When it happens is decided by `daemon` or `round`; alerts that come of it are sent by `deliver`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from loguru import logger

from monitor.core.classify import Finding
from monitor.core.credentials import inspect
from monitor.core.incident import advance, in_doubt
from monitor.core.observation import Family, Look, Outcome
from monitor.core.watch import Step, Watch
from monitor.durations import say_duration
from monitor.flow.look import Looker
from monitor.flow.opinions import Opinions
from monitor.flow.ourside import OurSide
from monitor.probes.upstash import UpstashProbes
from monitor.settings import AlertSettings, DatabaseSettings
from monitor.store.keeper import Keeper
from monitor.store.store import Recorded, Store

if TYPE_CHECKING:
    from monitor.probes.worker import WorkerProbe


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One look and what it led to. `is_in_doubt`: the next look should come after `confirm_interval`."""

    look: Look
    recorded: Recorded
    is_in_doubt: bool


class Cycle:
    """The looks of one database. `clock` gives aware UTC; `worker` looks at the worker's way, where asked for.
    `opinions` are the doctor's, for the message that opens an incident; `None` leaves them out.

    What is remembered of the database, which the canary goes by, is read once and kept along.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        *,
        alerts: AlertSettings,
        probes: UpstashProbes,
        our_side: OurSide,
        store: Store,
        keeper: Keeper,
        clock: Callable[[], datetime],
        worker: WorkerProbe | None = None,
        opinions: Opinions | None = None,
    ) -> None:
        self.name = database.name
        self.interval = database.interval
        self.timeout = database.timeout
        self._database = database
        self._alerts = alerts
        self._opinions = opinions
        self._store = store
        self._keeper = keeper
        self._clock = clock
        url, token = database.url.get_secret_value(), database.token.get_secret_value()
        # The settings do not change while we run, so what is wrong with them is found once.
        self._mistake = inspect(url, token)
        self._looker = None
        if self._mistake is None:
            probe = probes.database(url=url, token=token)
            self._looker = Looker(database, probe=probe, worker=worker, our_side=our_side)
        self._watch: Watch | None = None

    async def turn(self) -> Turn:
        """Look once, judge, record."""
        return await self.record(await self.look())

    async def look(self) -> Look:
        """Look once; never takes longer than `timeout` + 0.5 s.

        Our own faults become the outcome `monitor_error`: this is the one place where everything is caught.
        """
        at = self._clock()
        try:
            return await self._look(at)
        except Exception as error:  # noqa: BLE001 - the top of a turn: a bug in one look must not end the watch
            logger.opt(exception=error).error("the look at {} failed inside", self.name)
            return self._look_of(at, Finding(outcome=Outcome.MONITOR_ERROR, detail=type(error).__name__))

    async def record(self, look: Look, *, slow_too: bool = False) -> Turn:
        """Judge a look and record it; with `slow_too` slow looks are a doubt as well."""
        hold = self._opinions.hold(self._database, look) if self._opinions else None
        recorded = await self._keeper.run(
            self._store.record, look, self._judge(look), interval=self.interval, hold=hold
        )
        self._watch = recorded.step.watch
        _log(look, recorded)
        if self._opinions is not None:
            self._opinions.heed(self._database, look, recorded.step, hold)
        doubt = in_doubt(recorded.step.watch, self._alerts, slow_too=slow_too)
        return Turn(look=look, recorded=recorded, is_in_doubt=doubt)

    async def is_new(self) -> bool:
        """True when nothing is remembered of this database."""
        return await self._keeper.run(self._store.watch, self.name) == Watch()

    def unfinished(self, at: datetime, detail: str) -> Look:
        """A look that we ourselves broke off: nothing is known of the database."""
        return self._look_of(at, Finding(outcome=Outcome.MONITOR_ERROR, detail=detail))

    async def _look(self, at: datetime) -> Look:
        if self._looker is None:
            return self._look_of(at, self._mistake or Finding(outcome=Outcome.MONITOR_ERROR))
        if self._database.canary is None:
            return await self._looker.look(at, Watch(), is_in_doubt=False)
        watch = self._watch
        if watch is None:
            watch = await self._keeper.run(self._store.watch, self.name)
        return await self._looker.look(at, watch, is_in_doubt=in_doubt(watch, self._alerts))

    def _look_of(self, at: datetime, finding: Finding) -> Look:
        return Look(database=self.name, at=at, outcome=finding.outcome, detail=finding.detail)

    def _judge(self, look: Look) -> Callable[[Watch, int], Step]:
        return lambda watch, number: advance(watch, look, self._alerts, next_incident=number)


def _log(look: Look, recorded: Recorded) -> None:
    if recorded.gap is not None:
        logger.warning("{}: nobody looked for {}", look.database, say_duration(recorded.gap))
    family = look.outcome.family
    level = "DEBUG" if family is Family.FINE else "WARNING"
    latency = "" if look.latency_ms is None else f" in {look.latency_ms:.1f} ms"
    detail = f" - {look.detail}" if look.detail else ""
    logger.log(level, "{}: {}{}{}", look.database, look.outcome.words, latency, detail)
    for notice in recorded.step.notices:
        logger.log(
            "INFO" if notice.is_good_news else "WARNING",
            "{}: incident {} {} ({})",
            look.database,
            notice.incident,
            notice.kind.value,
            notice.cause.value if notice.cause else "",
        )
