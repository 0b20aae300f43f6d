"""The worker's layer: the URL that a worker builds, and where it fails, what would work in its place.

How a single check is made stands in `worker`; what follows from the layer is decided in `core.verdicts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

from monitor.checks.classify import CheckResult, classify
from monitor.checks.credentials import READ_ONLY_USER, host_of, legacy_port
from monitor.checks.observation import Observation, Outcome, ProbeFault
from monitor.checks.redis_tcp import WorkerProbe
from monitor.diagnosis.layers import Fact, Layer, LayerResult, LayerState

_WORKERS_USER = "default"
_LOGGED_IN = (Outcome.OK, Outcome.PERMISSION_DENIED)
_NO_LINE = (ProbeFault.REFUSED, ProbeFault.UNREACHABLE, ProbeFault.CONNECT_TIMEOUT, ProbeFault.LOST)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Try:
    """One attempt to get in."""

    port: int
    user: str
    observation: Observation
    result: CheckResult

    @property
    def is_shut_out(self) -> bool:
        """True when no encrypted connection came about, and the way to the port is to blame."""
        return self.observation.phases.tls is None and self.observation.fault in _NO_LINE

    @property
    def words(self) -> str:
        where = f"port {self.port}" + (f" as {self.user}" if self.user != _WORKERS_USER else "")
        what = "AUTH and PING work" if self.result.outcome is Outcome.OK else self.result.detail
        return f"{where}: {what}"


async def see_worker(probe: WorkerProbe, *, timeout: timedelta) -> LayerResult:
    """See whether a worker gets in, all tries within `timeout`.

    When the port lets nobody through, the port of older databases is tried; the layer passes on it, with a fact.
    When the token is refused, the user of read-only tokens is tried; the layer fails all the same, and names it.
    """
    if probe.mistake is not None:
        return _not_tried(probe.mistake)
    end = perf_counter() + timeout.total_seconds()
    other_port = legacy_port(host_of(probe.url) or "")
    if other_port == probe.port:
        other_port = None
    # A port that drops everything must leave time for the other.
    tries = [await _try(probe, probe.port, _WORKERS_USER, timeout / 2 if other_port else timeout)]
    if other_port and tries[0].is_shut_out:
        tries.append(await _try(probe, other_port, _WORKERS_USER, _until(end)))
    told = tries[0] if tries[-1].is_shut_out else tries[-1]
    if told.result.outcome is Outcome.TOKEN_REJECTED:
        as_reader = await _try(probe, told.port, READ_ONLY_USER, _until(end))
        if as_reader.result.outcome in _LOGGED_IN:
            tries.append(as_reader)
    is_fine = told.result.outcome is Outcome.OK
    return LayerResult(
        layer=Layer.WORKER,
        state=LayerState.PASSED if is_fine else LayerState.FAILED,
        detail="; ".join(each.words for each in tries),
        outcome=None if is_fine else told.result.outcome,
        facts=frozenset(_facts(told, tries)),
    )


async def _try(probe: WorkerProbe, port: int, user: str, timeout: timedelta) -> _Try:
    observation = await probe.ping(timeout=timeout, port=port, user=user)
    return _Try(port=port, user=user, observation=observation, result=classify(observation, slow=None))


def _facts(told: _Try, tries: Sequence[_Try]) -> Iterator[Fact]:
    if told.is_shut_out:
        yield Fact.WORKER_NOT_CONNECTED
    if told.result.outcome is Outcome.TOKEN_REJECTED:
        yield Fact.WORKER_AUTH_REJECTED
    if told.result.outcome is Outcome.OK and told is not tries[0]:
        yield Fact.WORKER_ON_LEGACY_PORT
    if tries[-1].user == READ_ONLY_USER:
        yield Fact.WORKER_AS_READ_ONLY


def _not_tried(mistake: CheckResult) -> LayerResult:
    """Without a URL or a token there is nothing to try; with a URL that leads astray every worker fails."""
    if mistake.outcome in (Outcome.URL_MISSING, Outcome.TOKEN_MISSING):
        return LayerResult(layer=Layer.WORKER, state=LayerState.SKIPPED, detail=mistake.detail)
    facts = frozenset({Fact.WORKER_URL_BROKEN})
    return LayerResult(
        layer=Layer.WORKER, state=LayerState.FAILED, detail=mistake.detail, outcome=mistake.outcome, facts=facts
    )


def _until(end: float) -> timedelta:
    return timedelta(milliseconds=max(0, int((end - perf_counter()) * 100)) * 10)
