"""One look at one database: look, judge, record. What happens every minute is this file, top to bottom.

When it happens is decided by `daemon` or `round`; alerts that come of it are sent by `deliver`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from loguru import logger

from monitor.core.classify import Finding, classify
from monitor.core.credentials import inspect
from monitor.core.incident import advance, in_doubt
from monitor.core.observation import Family, Look, Outcome, Phases
from monitor.core.watch import Step, Watch
from monitor.durations import say_duration
from monitor.flow.ourside import OurSide
from monitor.probes.upstash import UpstashProbes
from monitor.settings import AlertSettings, DatabaseSettings
from monitor.store.keeper import Keeper
from monitor.store.store import Recorded, Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One look and what it led to. `is_in_doubt`: the next look should come after `confirm_interval`."""

    look: Look
    recorded: Recorded
    is_in_doubt: bool


class Cycle:
    """The looks of one database. `clock` gives aware UTC."""

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
    ) -> None:
        self.name = database.name
        self.interval = database.interval
        self.timeout = database.timeout
        self._slow = database.slow
        self._alerts = alerts
        self._our_side = our_side
        self._store = store
        self._keeper = keeper
        self._clock = clock
        url, token = database.url.get_secret_value(), database.token.get_secret_value()
        # The settings do not change while we run, so what is wrong with them is found once.
        self._mistake = inspect(url, token)
        self._probe = None if self._mistake else probes.database(url=url, token=token)

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
        recorded = await self._keeper.run(self._store.record, look, self._judge(look), interval=self.interval)
        _log(look, recorded)
        doubt = in_doubt(recorded.step.watch, self._alerts, slow_too=slow_too)
        return Turn(look=look, recorded=recorded, is_in_doubt=doubt)

    async def is_new(self) -> bool:
        """True when nothing is remembered of this database."""
        return await self._keeper.run(self._store.watch, self.name) == Watch()

    def unfinished(self, at: datetime, detail: str) -> Look:
        """A look that we ourselves broke off: nothing is known of the database."""
        return self._look_of(at, Finding(outcome=Outcome.MONITOR_ERROR, detail=detail))

    async def _look(self, at: datetime) -> Look:
        if self._probe is None:
            return self._look_of(at, self._mistake or Finding(outcome=Outcome.MONITOR_ERROR))
        started = monotonic()
        pinging = asyncio.ensure_future(self._probe.ping(timeout=self.timeout))
        try:
            await asyncio.wait({pinging}, timeout=self._our_side.patience(self.timeout).total_seconds())
            if not pinging.done():
                # Asked before the deadline, so that a look that fails at it need not wait for the answer.
                self._our_side.ask()
            observation = await pinging
        finally:
            pinging.cancel()
        finding = classify(observation, slow=self._slow)
        if finding.outcome.family is Family.NETWORK:
            elapsed = timedelta(seconds=monotonic() - started)
            if await self._our_side.is_offline(at, self._our_side.rest(self.timeout, elapsed)):
                finding = Finding(
                    outcome=Outcome.OFFLINE,
                    detail=f"no control host answers either ({finding.outcome.words}: {finding.detail})",
                )
        elif finding.outcome.family is not Family.UNKNOWN:
            self._our_side.remember_controls(at)
        return self._look_of(at, finding, observation.http_status, observation.phases)

    def _look_of(
        self, at: datetime, finding: Finding, http_status: int | None = None, phases: Phases | None = None
    ) -> Look:
        return Look(
            database=self.name,
            at=at,
            outcome=finding.outcome,
            detail=finding.detail,
            http_status=http_status,
            phases=phases or Phases(),
        )

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
