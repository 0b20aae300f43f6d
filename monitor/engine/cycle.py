"""One check of one database, from the network to the history: check, judge, record. This happens every minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loguru import logger

from monitor.checks.canary import (
    combine,
    is_due,
    judge_canary,
    judge_worker,
    remember,
    with_failed_canary,
    with_finding,
)
from monitor.checks.classify import CheckResult, classify
from monitor.checks.connection import ProbeError
from monitor.checks.connectivity import COUNTS_FOR, ConnectivityProbe, OtherWays, worker_ports
from monitor.checks.credentials import endpoint_of, hints, inspect
from monitor.checks.observation import CanaryResult, Check, Fact, Family, Observation, Outcome, with_certificate
from monitor.checks.rest import RestProbe, RestProbeFactory
from monitor.config.settings import AlertSettings, DatabaseSettings
from monitor.diagnosis.verdicts import DatabaseProfile, Verdict, judge_outcome
from monitor.engine.diagnose_on_open import Diagnoser
from monitor.incidents.rules import advance, fitted, is_in_doubt, opens_not_before
from monitor.incidents.state import IncidentState, Transition
from monitor.lib.process import own_limit
from monitor.lib.threads import SerialThread
from monitor.lib.times import Deadline, format_duration, from_ms, to_ms
from monitor.store.store import Recorded, Store

if TYPE_CHECKING:
    from monitor.checks.redis_tcp import WorkerProbe

_REFRESH_AFTER = timedelta(hours=12)
_TRY_FOR = timedelta(seconds=2)
_HEAD_START = timedelta(seconds=1)
# A check ends within its timeout + 0.5 s; the rest of that half second belongs to the disk and the machine.
_GRACE = timedelta(seconds=0.3)
# A canary needs three connections; one that fails because its time was cut would be our own hurry.
_LEAST_FOR_CANARY = timedelta(seconds=1)


class Connectivity:
    """Whether our own network is there, by the connectivity hosts. All databases share one try at a time.

    A host counts while it answered within the last day: so a firewall that lets only Upstash through cannot hide
    an outage, for longer than `wait_for_network`.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        store: Store,
        store_thread: SerialThread,
        clock: Callable[[], datetime],
        wait_for_network: timedelta = timedelta(0),
    ) -> None:
        self.hosts = tuple(hosts)
        self._hosts = frozenset(hosts)
        self._wait_for_network = wait_for_network
        self._in_vain_since: datetime | None = None
        self._was_reached = False
        self._probe = ConnectivityProbe(hosts)
        self._store = store
        self._store_thread = store_thread
        self._clock = clock
        self._refreshed_at: datetime | None = None
        self._trying: asyncio.Task[frozenset[str]] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def start_trying(self) -> asyncio.Task[frozenset[str]]:
        """Try the hosts, or join the try that is under way."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._probe.reachable(_TRY_FOR))
            # Asked for, since nobody may wait for it, which asyncio would log.
            self._trying.add_done_callback(lambda tried: tried.cancelled() or tried.exception())
        return self._trying

    async def reached(self, now: datetime, within: timedelta) -> frozenset[str] | None:
        """The hosts that answer now; `None` where none are set."""
        if not self._hosts:
            return None
        trying = self.start_trying()
        await asyncio.wait({trying}, timeout=within.total_seconds())
        reached = trying.result() if trying.done() else self._probe.accepted_so_far
        if reached:
            self._was_reached = True
            await self._store_thread.run(self._store.record_connectivity, reached, now)
        elif self._in_vain_since is None:
            self._in_vain_since = now
        return reached

    async def answered_lately(self, now: datetime) -> bool:
        """True when one of the hosts answered within the last day."""
        heard = await self._store_thread.run(self._store.connectivity_answered, now - COUNTS_FOR)
        return bool(heard & self._hosts)

    def may_come_yet(self, now: datetime) -> bool:
        """True while nothing at all was reached since the start, for less than `wait_for_network`: ours may be
        starting too. One that has been there is not starting: another database's being fine excuses nothing.
        """
        return (
            not self._was_reached
            and self._in_vain_since is not None
            and now - self._in_vain_since < self._wait_for_network
        )

    def refresh(self, now: datetime) -> None:
        """While the network is there, see twice a day which hosts answer at all; in the background."""
        self._was_reached = True
        last = self._refreshed_at
        if not self._hosts or (last is not None and timedelta(0) <= now - last < _REFRESH_AFTER):
            return
        self._refreshed_at = now
        task = asyncio.create_task(self._refresh())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def wait_background(self) -> None:
        """Wait for what goes on in the background; a program that ends at once calls this before."""
        if self._background:
            await asyncio.wait(set(self._background))

    def stop(self) -> None:
        """Break off what goes on in the background; the store is about to be closed."""
        for task in self._background:
            task.cancel()

    async def _refresh(self) -> None:
        with suppress(ProbeError):  # a limit of ours: there will be another time
            reached = await self.start_trying()
            if reached:
                await self._store_thread.run(self._store.record_connectivity, reached, self._clock())


class DatabaseChecker:
    """Checks one database; `worker` is `None` where `rediss://` is not checked, `other_ways` where none are tried.

    Without `first_canary` none is sent where none is remembered.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        *,
        probe: RestProbe,
        worker: WorkerProbe | None,
        connectivity: Connectivity,
        other_ways: OtherWays | None = None,
        first_canary: bool = True,
    ) -> None:
        self._database = database
        self._other_ways = other_ways
        self._probe = probe
        self._worker = worker
        self._first_canary = first_canary
        self._is_canary_held = False
        self._connectivity = connectivity

    def hold_canary(self) -> None:
        """From now on send a canary only after one that failed."""
        self._is_canary_held = True

    async def check(self, at: datetime, state: IncidentState, *, timeout: timedelta, is_in_doubt: bool) -> Check:
        """One check, within `timeout` and a moment for the connectivity hosts.

        `state` is what is remembered of the database, for the canary; `is_in_doubt` says that this check decides.
        """
        deadline = Deadline(timeout)
        pinging = asyncio.ensure_future(self._probe.ping(timeout=timeout))
        working = (
            asyncio.ensure_future(self._check_worker(self._worker, pinging, deadline)) if self._worker else None
        )
        try:
            observation = await self._await_ping(pinging, timeout)
            ping = classify(observation, slow=self._database.slow)
            rest, canary = await self._with_canary(ping, at, state, deadline, is_in_doubt=is_in_doubt)
            worker = await working if working else None
            result = rest if worker is None else combine(rest, worker)
            if ping.outcome is Outcome.TOKEN_REJECTED:
                shown = hints(self._database.url.reveal(), self._database.token.reveal())
                result = replace(result, facts=result.facts | shown)
            if ping.outcome.family is Family.NETWORK and (
                worker is None or worker.outcome.family is Family.NETWORK
            ):
                result = await self._unless_offline(result, at, deadline)
            else:
                self._connectivity.refresh(at)
        finally:
            pinging.cancel()
            if working is not None:
                working.cancel()
            if self._other_ways is not None:
                self._other_ways.stop()
        check = Check(
            database=self._database.name,
            at=at,
            outcome=result.outcome,
            detail=result.detail,
            http_status=observation.http_status,
            phases=observation.phases,
            canary=canary,
            facts=result.facts,
            certificate_ends_at=observation.certificate_ends_at,
        )
        return with_certificate(check, check.certificate_ends_at, at)

    async def _await_ping(self, pinging: asyncio.Future[Observation], timeout: timedelta) -> Observation:
        await asyncio.wait({pinging}, timeout=max(timeout / 2, timeout - _HEAD_START).total_seconds())
        if not pinging.done():
            # Begun before the deadline, so that a check that fails at it need not wait for the result.
            self._connectivity.start_trying()
            if self._other_ways is not None:
                self._other_ways.start()
        return await pinging

    async def _with_canary(
        self, ping: CheckResult, at: datetime, state: IncidentState, deadline: Deadline, *, is_in_doubt: bool
    ) -> tuple[CheckResult, CanaryResult | None]:
        """The result of REST: a canary is written after a PING that was fine, which gives the latency."""
        every, interval, last = self._database.canary, self._database.interval, state.canary
        if every is None or ping.outcome.family.is_failing or (last is None and not self._first_canary):
            return ping, None
        left = deadline.left()
        # With little time left it would fail for our own hurry; it stays due.
        has_time = left >= max(deadline.within / 2, min(_LEAST_FOR_CANARY, self._database.timeout / 2))
        is_held = self._is_canary_held and not (last is not None and last.outcome.family.is_failing)
        if has_time and not is_held and is_due(last, at, every=every, interval=interval, is_in_doubt=is_in_doubt):
            result = judge_canary(await self._probe.write(self._database.canary_prefix, timeout=left))
            canary = remember(result, at, last)
            if result.outcome.family.is_failing:
                return _found_by_canary(result), canary
            if canary.outcome.family.is_failing:  # one that told nothing leaves what was found before
                held = CheckResult(outcome=canary.outcome, detail=canary.detail, facts=canary.facts)
                return _found_by_canary(held), canary
            return with_finding(ping, result), canary
        if last is not None and last.outcome.family.is_failing:
            return _found_by_canary(with_failed_canary(last, at)), None
        # What the last one found stands until the next: so page, JSON and `check` have the verdict of the doctor.
        found = last.facts if last is not None else frozenset[Fact]()
        return replace(ping, facts=ping.facts | found), None

    async def _check_worker(
        self, worker: WorkerProbe, pinging: asyncio.Future[Observation], deadline: Deadline
    ) -> CheckResult:
        """`rediss://`, once the PING is timed, or after half the time when that hangs."""
        if worker.mistake is not None:
            return replace(worker.mistake, facts=worker.mistake.facts | {Fact.WORKER_URL_BROKEN})
        await asyncio.wait({pinging}, timeout=deadline.within.total_seconds() / 2)
        return judge_worker(await worker.ping(timeout=deadline.left()))

    async def _unless_offline(self, result: CheckResult, at: datetime, deadline: Deadline) -> CheckResult:
        within = min(_TRY_FOR, deadline.left() + grace(deadline.within))
        reached, facts = await asyncio.gather(
            self._connectivity.reached(at, within), self._facts_of_other_ways(result.outcome, within)
        )
        result = replace(result, facts=result.facts | facts)
        if reached is None and Fact.WORKER_PORT_ACCEPTS not in result.facts:
            return result
        if reached or reached is None:
            return replace(result, facts=result.facts | {Fact.NETWORK_REACHED})
        if not await self._connectivity.answered_lately(at) and not self._connectivity.may_come_yet(at):
            if Fact.WORKER_PORT_ACCEPTS in result.facts:
                return replace(result, facts=result.facts | {Fact.NETWORK_REACHED})
            nothing_else = f"nothing else was reached either: {', '.join(self._connectivity.hosts)}"
            return replace(
                result,
                facts=result.facts | {Fact.NOTHING_REACHED},
                detail=f"{result.detail}; {nothing_else}" if result.detail else nothing_else,
            )
        return CheckResult(
            outcome=Outcome.OFFLINE,
            detail=f"no connectivity host answers either ({result.summary})",
        )

    async def _facts_of_other_ways(self, outcome: Outcome, within: timedelta) -> frozenset[Fact]:
        return await self._other_ways.facts(outcome, within) if self._other_ways else frozenset()


def grace(timeout: timedelta) -> timedelta:
    """What a check may take beyond its `timeout`, to see which connectivity hosts answer."""
    return min(_GRACE, timeout / 3)


def _found_by_canary(result: CheckResult) -> CheckResult:
    return replace(result, facts=result.facts | {Fact.FOUND_BY_CANARY})


@dataclass(frozen=True, kw_only=True, slots=True)
class CycleResult:
    """One check and what it led to. `is_in_doubt`: the next check should come after `confirm_interval`.

    `opens_not_before` is from when on a failing check may open an incident, where there is evidence for one.
    """

    check: Check
    recorded: Recorded
    is_in_doubt: bool
    opens_not_before: datetime | None = None


class Cycle:
    """The checks of one database: check, judge, record.

    `clock` gives aware UTC; verdicts are worded by `profile`; `worker` checks `rediss://` where that is asked for;
    `worker_port` is where a worker of a database of Upstash's would connect, whether or not it is checked;
    `diagnoser` asks the doctor for the message that opens an incident, `None` leaves that out; `look_alikes` are
    the names of variables that may be meant where the URL or the token is missing. What is remembered of the
    database, which the canary goes by, is read once and then kept; `first_canary` as in `DatabaseChecker`,
    and without it nothing is notified of a certificate either.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        *,
        alerts: AlertSettings,
        probes: RestProbeFactory,
        connectivity: Connectivity,
        store: Store,
        store_thread: SerialThread,
        clock: Callable[[], datetime],
        profile: DatabaseProfile,
        worker: WorkerProbe | None = None,
        worker_port: int | None = None,
        diagnoser: Diagnoser | None = None,
        first_canary: bool = True,
        look_alikes: Sequence[str] = (),
    ) -> None:
        self.name = database.name
        self.interval = database.interval
        self.timeout = database.timeout
        self._database = database
        self._alerts = alerts
        self._profile = profile
        self._diagnoser = diagnoser
        self._store = store
        self._store_thread = store_thread
        self._clock = clock
        url, token = database.url.reveal(), database.token.reveal()
        # The settings do not change while we run, so what is wrong with them is found once.
        self._mistake = inspect(url, token, look_alikes)
        self._checker = None
        if self._mistake is None:
            self._checker = DatabaseChecker(
                database,
                probe=probes.probe(url=url, token=token),
                worker=worker,
                connectivity=connectivity,
                other_ways=self._other_ways(probes, worker, worker_port),
                first_canary=first_canary,
            )
        self._warns = first_canary
        self._in_one_run = False
        self._state: IncidentState | None = None

    def fit(self, time: timedelta) -> None:
        """From now on decide within `time`, as one run of `check` must: by its own timeout and rule."""
        self._alerts, self.timeout = fitted(self._alerts, self.timeout, time)
        self._in_one_run = True

    def _other_ways(
        self, probes: RestProbeFactory, worker: WorkerProbe | None, worker_port: int | None
    ) -> OtherWays | None:
        url, token = self._database.url.reveal(), self._database.token.reveal()
        endpoint = endpoint_of(url)
        if endpoint is None:
            return None
        ports: list[int] = []
        # Where the doctor examines the worker's way as well. One that is checked needs no other try.
        if worker is None and worker_port is not None and endpoint.is_encrypted and self._profile.is_upstash:
            ports = worker_ports(url, token, worker_port)
        return OtherWays(endpoint, worker_ports=ports, tls=probes.tls, resolver=probes.resolver)

    async def check(self, *, timeout: timedelta | None = None) -> Check:
        """One check; never takes longer than `timeout` + 0.5 s, the database's own where it is left out.

        Our own faults become the outcome `monitor_error`: this is the one place where everything is caught.
        """
        # To the millisecond, as the history has it, so that `replay` decides of it as is decided now.
        at = from_ms(to_ms(self._clock()))
        try:
            return await self._check(at, self.timeout if timeout is None else timeout)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not end the checks of this database
            limit = own_limit(error)
            if limit is None:
                logger.opt(exception=error).error("the check of {} failed inside", self.name)
            detail = limit or type(error).__name__
            return self._check_of(at, CheckResult(outcome=Outcome.MONITOR_ERROR, detail=detail))

    async def record(self, check: Check, *, with_slow: bool = False) -> CycleResult:
        """Judge a check and record it; with `with_slow` slow checks are a doubt as well."""
        hold = self._diagnoser.wait_for(self._database, check) if self._diagnoser else None
        recorded = await self._store_thread.run(
            self._store.record, check, self._judge(check), interval=self.interval, hold=hold
        )
        self._state = recorded.transition.state
        _log(check, recorded)
        if self._diagnoser is not None:
            self._diagnoser.on_recorded(self._database, check, recorded.transition, hold)
        state = recorded.transition.state
        doubt = is_in_doubt(state, self._alerts, in_one_run=self._in_one_run, with_slow=with_slow)
        return CycleResult(
            check=check,
            recorded=recorded,
            is_in_doubt=doubt,
            opens_not_before=opens_not_before(state, self._alerts),
        )

    async def has_canary_due(self) -> bool:
        """True when the last canary that is remembered was fine, and the next check would send another."""
        last = (await self._store_thread.run(self._store.state, self.name)).canary
        every, interval = self._database.canary, self.interval
        if every is None or last is None or last.outcome.family.is_failing:
            return False
        return is_due(last, self._clock(), every=every, interval=interval, is_in_doubt=False)

    def hold_canary(self) -> None:
        """From now on send a canary only after one that failed: what it finds would not be remembered."""
        if self._checker is not None:
            self._checker.hold_canary()

    async def is_new(self) -> bool:
        """True when nothing is remembered of this database."""
        return await self._store_thread.run(self._store.state, self.name) == IncidentState()

    def unfinished(self, at: datetime, detail: str) -> Check:
        """A check that we ourselves broke off: nothing is known of the database."""
        return self._check_of(at, CheckResult(outcome=Outcome.MONITOR_ERROR, detail=detail))

    async def _check(self, at: datetime, timeout: timedelta) -> Check:
        if self._checker is None:
            return self._check_of(at, self._mistake or CheckResult(outcome=Outcome.MONITOR_ERROR))
        if self._database.canary is None:
            return await self._checker.check(at, IncidentState(), timeout=timeout, is_in_doubt=False)
        state = self._state
        if state is None:
            state = await self._store_thread.run(self._store.state, self.name)
        in_doubt = is_in_doubt(state, self._alerts)
        return await self._checker.check(at, state, timeout=timeout, is_in_doubt=in_doubt)

    def _check_of(self, at: datetime, result: CheckResult) -> Check:
        return Check(database=self.name, at=at, outcome=result.outcome, detail=result.detail, facts=result.facts)

    def _judge(self, check: Check) -> Callable[[IncidentState, int], Transition]:
        return lambda state, number: advance(
            state,
            check,
            self._alerts,
            next_incident=number,
            explain=lambda cause: self._explain(check, cause),
            warns=self._warns,
            interval=self._database.interval,
        )

    def _explain(self, check: Check, cause: Outcome) -> Verdict:
        # Imported with the first incident: the rules of verdicts are no part of a check that finds nothing.
        from monitor.diagnosis.rules import judge_check

        if check.outcome is cause:
            return judge_check(check, self._profile)
        return judge_outcome(cause, self._profile)


def _log(check: Check, recorded: Recorded) -> None:
    if recorded.gap is not None:
        logger.warning("{}: no check for {}", check.database, format_duration(recorded.gap))
    family = check.outcome.family
    level = "DEBUG" if family is Family.FINE else "WARNING"
    latency = "" if check.latency_ms is None else f" in {check.latency_ms:.1f} ms"
    detail = f" - {check.detail}" if check.detail else ""
    logger.log(level, "{}: {}{}{}", check.database, check.outcome.words, latency, detail)
    _log_findings(check.canary, recorded.before.canary, check.database)
    for notification in recorded.transition.notifications:
        if notification.incident is None:
            logger.warning("{}: {}", check.database, notification.title)
            continue
        logger.log(
            "INFO" if notification.is_good_news else "WARNING",
            "{}: incident {} {} ({})",
            check.database,
            notification.incident,
            notification.kind.value,
            notification.cause.words if notification.cause else "",
        )


def _log_findings(canary: CanaryResult | None, before: CanaryResult | None, database: str) -> None:
    """What is no trouble of the database is told when it is found, and not again with each canary."""
    if canary is None:
        return
    new = canary.facts - (before.facts if before else frozenset())
    if Fact.KEY_NOT_ALLOWED in new:
        step = "allow keys of `canary_prefix`, or set `canary: off`"
        logger.warning("{}: {}. Next: {}", database, canary.detail, step)
    elif Fact.DELETE_NOT_ALLOWED in new:
        logger.info("{}: {}", database, canary.detail)
