"""The worker's layer: whether a worker gets in over `rediss://`, and if not, what would work in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitor.checks.canary import judge_worker
from monitor.checks.classify import CheckResult
from monitor.checks.credentials import READ_ONLY_USER, host_of, legacy_port
from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.checks.redis_tcp import WorkerProbe
from monitor.diagnosis.layers import Layer, LayerResult, LayerState
from monitor.lib.times import Deadline

_USER = "default"  # of the URL that a worker builds
_LOGGED_IN = (Outcome.OK, Outcome.PERMISSION_DENIED)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Login:
    """One attempt to log in, and how it ended."""

    port: int
    user: str
    observation: Observation
    result: CheckResult

    @property
    def met_nobody(self) -> bool:
        """True when nothing came back on an encrypted connection: the database may listen on another port."""
        return Fact.WORKER_NOT_CONNECTED in self.result.facts or (
            Fact.WORKER_NOT_ENCRYPTED in self.result.facts
            and self.observation.fault in (ProbeFault.LOST, ProbeFault.TLS_TIMEOUT)
        )

    def describe(self, outcome: Outcome | None) -> str:
        """What it came to, in words that are read behind those of `outcome`."""
        where = f"port {self.port}" + (f" as {self.user}" if self.user != _USER else "")
        if self.result.outcome is Outcome.OK:
            return f"{where}: AUTH and PING work"
        if self.result.outcome is outcome:
            return ": ".join(filter(None, (where, self.result.detail)))
        return f"{where}: {self.result.summary}"


async def examine_worker(probe: WorkerProbe, *, timeout: timedelta) -> LayerResult:
    """Whether a worker gets in, all attempts within `timeout`.

    When nobody is met on the port, the port of older databases is tried; the layer passes on it, with a fact.
    When the token is refused, the user of read-only tokens is tried; the layer fails all the same, with a fact.
    """
    if probe.mistake is not None:
        return _not_tried(probe.mistake)
    deadline = Deadline(timeout)
    other_port = legacy_port(host_of(probe.url) or "")
    if other_port == probe.port:
        other_port = None
    # A port that drops everything must leave time for the other.
    logins = [await _log_in(probe, probe.port, _USER, timeout / 2 if other_port else timeout)]
    if other_port and logins[0].met_nobody:
        logins.append(await _log_in(probe, other_port, _USER, _left(deadline)))
    decisive = logins[0] if logins[-1].met_nobody else logins[-1]
    outcome = None if decisive.result.outcome is Outcome.OK else decisive.result.outcome
    if outcome is Outcome.TOKEN_REJECTED:
        as_reader = await _log_in(probe, decisive.port, READ_ONLY_USER, _left(deadline))
        if as_reader.result.outcome in _LOGGED_IN:
            logins.append(as_reader)
    return LayerResult(
        layer=Layer.WORKER,
        state=LayerState.FAILED if outcome else LayerState.PASSED,
        detail="; ".join(login.describe(outcome) for login in logins),
        outcome=outcome,
        facts=decisive.result.facts.union(_facts(decisive, logins)),
    )


async def _log_in(probe: WorkerProbe, port: int, user: str, timeout: timedelta) -> _Login:
    observation = await probe.ping(timeout=timeout, port=port, user=user)
    return _Login(port=port, user=user, observation=observation, result=judge_worker(observation))


def _facts(decisive: _Login, logins: Sequence[_Login]) -> Iterator[Fact]:
    outcome = decisive.result.outcome
    if outcome is Outcome.OK and decisive is not logins[0]:
        yield Fact.WORKER_ON_LEGACY_PORT
    if logins[-1].user == READ_ONLY_USER:
        yield Fact.WORKER_AS_READ_ONLY


def _not_tried(mistake: CheckResult) -> LayerResult:
    """Without a URL or a token nothing is tried; with a URL that leads to no host every worker fails."""
    if mistake.outcome in (Outcome.URL_MISSING, Outcome.TOKEN_MISSING):
        return LayerResult(layer=Layer.WORKER, state=LayerState.SKIPPED, detail=mistake.detail)
    return LayerResult(
        layer=Layer.WORKER,
        state=LayerState.FAILED,
        detail=mistake.detail,
        outcome=mistake.outcome,
        facts=frozenset({Fact.WORKER_URL_BROKEN}),
    )


def _left(deadline: Deadline) -> timedelta:
    """What is left, in whole hundredths of a second: the detail of a timeout names it."""
    return timedelta(milliseconds=10 * (deadline.left() // timedelta(milliseconds=10)))
