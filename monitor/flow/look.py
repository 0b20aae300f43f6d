"""One look at one database, whatever it consists of: PING over REST, now and then a canary, the worker's way.

It ends in one finding; judging it against the rules and recording it is `cycle`'s business.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

from monitor.core.canary import carried, is_due
from monitor.core.classify import Finding, classify
from monitor.core.observation import Canary, Family, Look, Observation, Outcome
from monitor.core.watch import Watch
from monitor.core.ways import combine
from monitor.flow.ourside import OurSide
from monitor.probes.rest_rungs import judge_writing
from monitor.probes.upstash import UpstashProbe
from monitor.settings import DatabaseSettings

if TYPE_CHECKING:
    from monitor.probes.worker import WorkerProbe


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
