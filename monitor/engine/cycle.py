"""One look at one database: look, judge, record. What happens every minute is this file, top to bottom.

When it happens is decided by `daemon` or `round`; alerts that come of it are sent by `deliver`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

from loguru import logger

from monitor.checks.canary import carried, combine, is_due, judge_writing
from monitor.checks.classify import Finding, classify
from monitor.checks.credentials import inspect
from monitor.checks.observation import Canary, Family, Look, Observation, Outcome
from monitor.checks.rest import UpstashProbe, UpstashProbes
from monitor.config.settings import AlertSettings, DatabaseSettings
from monitor.engine.connectivity import OurSide
from monitor.engine.diagnose_on_open import Opinions
from monitor.incidents.rules import advance, in_doubt
from monitor.incidents.state import Step, Watch
from monitor.lib.durations import say_duration
from monitor.store.store import Recorded, Store
from monitor.store.thread import Keeper

if TYPE_CHECKING:
    from monitor.checks.redis_tcp import WorkerProbe


class Looker:
    """What a look at one database needs. `worker` is `None` where its way is not looked at."""

    def __init__(
        self,
        database: DatabaseSettings,
        *,
        probe: UpstashProbe,
        worker: WorkerProbe | None,
        our_side: OurSide,
    ) -> None:
        self._database = database
        self._probe = probe
        self._worker = worker
        self._our_side = our_side

    async def look(self, at: datetime, watch: Watch, *, is_in_doubt: bool) -> Look:
        """Look once, within the database's `timeout` and a moment for the control hosts.

        `watch` is what is remembered of the database, for the canary; `is_in_doubt` says that this look decides.
        """
        end = monotonic() + self._database.timeout.total_seconds()
        pinging = asyncio.ensure_future(self._probe.ping(timeout=self._database.timeout))
        working = asyncio.ensure_future(self._see_worker(self._worker, pinging, end)) if self._worker else None
        try:
            observation = await self._await_ping(pinging)
            ping = classify(observation, slow=self._database.slow)
            rest, canary = await self._with_canary(ping, at, watch, end, is_in_doubt=is_in_doubt)
            worker = await working if working else None
        finally:
            pinging.cancel()
            if working is not None:
                working.cancel()
        finding = rest if worker is None else combine(rest, worker)
        if ping.outcome.family is Family.NETWORK and (worker is None or worker.outcome.family is Family.NETWORK):
            finding = await self._unless_offline(finding, at, end)
        else:
            self._our_side.remember_controls(at)
        return Look(
            database=self._database.name,
            at=at,
            outcome=finding.outcome,
            detail=finding.detail,
            http_status=observation.http_status,
            phases=observation.phases,
            canary=canary,
        )

    async def _await_ping(self, pinging: asyncio.Future[Observation]) -> Observation:
        patience = self._our_side.patience(self._database.timeout)
        await asyncio.wait({pinging}, timeout=patience.total_seconds())
        if not pinging.done():
            # Asked before the deadline, so that a look that fails at it need not wait for the answer.
            self._our_side.ask()
        return await pinging

    async def _with_canary(
        self, ping: Finding, at: datetime, watch: Watch, end: float, *, is_in_doubt: bool
    ) -> tuple[Finding, Canary | None]:
        """What REST says in all: writing is tried after a PING that was fine, which gives the latency."""
        every, interval, last = self._database.canary, self._database.interval, watch.canary
        if every is None or ping.outcome.family.is_failing:
            return ping, None
        left = _until(end)
        # With little time left it would fail for our own hurry; it stays due.
        has_time = left >= self._database.timeout / 2
        if has_time and is_due(last, at, every=every, interval=interval, is_in_doubt=is_in_doubt):
            found = judge_writing(await self._probe.write(timeout=left))
            canary = Canary(sent_at=at, outcome=found.outcome, detail=found.detail)
            return (found if found.outcome.family.is_failing else ping), canary
        if last is not None and last.outcome.family.is_failing:
            return carried(last, at), None
        return ping, None

    async def _see_worker(self, worker: WorkerProbe, pinging: asyncio.Future[Observation], end: float) -> Finding:
        """The worker's way, once the PING is timed, or at half the time when that hangs."""
        if worker.mistake is not None:
            return worker.mistake
        await asyncio.wait({pinging}, timeout=self._database.timeout.total_seconds() / 2)
        return classify(await worker.ping(timeout=_until(end)), slow=None)

    async def _unless_offline(self, finding: Finding, at: datetime, end: float) -> Finding:
        elapsed = self._database.timeout - timedelta(seconds=end - monotonic())
        if not await self._our_side.is_offline(at, self._our_side.rest(self._database.timeout, elapsed)):
            return finding
        return Finding(
            outcome=Outcome.OFFLINE,
            detail=f"no control host answers either ({finding.outcome.words}: {finding.detail})",
        )


def _until(end: float) -> timedelta:
    """What is left, down to hundredths, as it may be spoken of."""
    return timedelta(milliseconds=max(0, int((end - monotonic()) * 100)) * 10)


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
        except Exception as error:  # noqa: BLE001 - the top of a climb: the message goes without an opinion
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
