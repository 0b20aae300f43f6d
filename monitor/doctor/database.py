"""The layers of the database itself: configuration, HTTP, token, PING, reading and writing; and `rediss://`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from monitor.checks.canary import is_key_refused, judge_canary, judge_worker, key_refused
from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.credentials import READ_ONLY_USER, hints, host_of, inspect, legacy_port
from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.checks.redis_tcp import WorkerProbe
from monitor.checks.rest import RestProbe
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.lib.text import one_line
from monitor.lib.times import Deadline

# The database says these to those whose token it has accepted.
_AFTER_LOGIN = frozenset(
    {
        Outcome.PERMISSION_DENIED,
        Outcome.QUOTA_EXCEEDED,
        Outcome.CAPACITY_FULL,
        Outcome.UNAVAILABLE,
        Outcome.COMMAND_ERROR,
    }
)
_HINTS = {
    Fact.TOKEN_IS_READ_ONLY: "the token looks like a read-only one",
    Fact.TOKEN_OF_ANOTHER_DATABASE: "the token looks like another database's",
    Fact.TOKEN_IS_A_PASSWORD: "the token looks like an older database's password",
}
_USER = "default"  # of the URL that a worker builds
_LOGGED_IN = (Outcome.OK, Outcome.PERMISSION_DENIED)


def examine_configuration(url: str, token: str, look_alikes: Sequence[str] = ()) -> LayerResult:
    """URL and token as they stand, and hints that can be read off the token; `look_alikes` as for `inspect`."""
    mistake = inspect(url, token, look_alikes)
    facts = hints(url, token) | (mistake.facts if mistake else frozenset())
    found = mistake.detail if mistake else "URL and token are there and well-formed"
    return LayerResult(
        layer=Layer.CONFIGURATION,
        state=LayerState.FAILED if mistake else LayerState.PASSED,
        detail="; ".join(filter(None, [found, *(words for fact, words in _HINTS.items() if fact in facts)])),
        outcome=mistake.outcome if mistake else None,
        facts=facts,
    )


async def examine_http(
    probe: RestProbe, *, timeout: timedelta, ping: Callable[[], Awaitable[Observation]] | None
) -> LayerResult:
    """Whether anything answers HTTP; passed with any answer, since the request with the token tells what it is.

    Some edges answer nobody who comes without a token, so `ping`, which brings it, is asked before the layer
    fails; `None` where the token cannot be sent.
    """
    observation = await probe.ping_without_token(timeout=timeout)
    if observation.http_status is not None:
        return LayerResult(layer=Layer.HTTP, state=LayerState.PASSED, detail=_describe_answer(observation))
    if ping is not None:
        observation = await ping()
    if observation.http_status is not None:
        return LayerResult(
            layer=Layer.HTTP, state=LayerState.PASSED, detail="no answer without a token, but one with it"
        )
    return _layer_result(Layer.HTTP, classify(observation, slow=None))


def judge_token_and_ping(observation: Observation, *, slow: timedelta | None) -> tuple[LayerResult, LayerResult]:
    """Whether the token is accepted, and whether the same `PING` as every check's is answered: one request."""
    result = classify(observation, slow=slow)
    if result.outcome is Outcome.TOKEN_REJECTED:
        return _layer_result(Layer.TOKEN, result), LayerResult(layer=Layer.PING, state=LayerState.SKIPPED)
    latency_ms = observation.phases.latency_ms
    if result.outcome is Outcome.OK and latency_ms is not None:
        result = CheckResult(outcome=Outcome.OK, detail=f"answered in {latency_ms:.1f} ms")
    return _judge_token(result), _layer_result(Layer.PING, result)


async def examine_reading(probe: RestProbe, prefix: str, *, timeout: timedelta) -> LayerResult:
    """Whether a key of this prefix can be read; costs one billed command."""
    observation = await probe.read(prefix, timeout=timeout)
    result = classify(observation, slow=None)
    if is_key_refused(observation):
        result = key_refused(f"GET: {result.detail}")
    elif result.outcome is Outcome.OK:
        result = CheckResult(outcome=Outcome.OK, detail="GET of a key that is not there: null")
    elif observation.other_value and observation.http_status == HTTPStatus.OK:
        # What is written and read back decides.
        detail = f"GET of a key that was never written: {observation.other_value}"
        return LayerResult(layer=Layer.READING, state=LayerState.UNKNOWN, detail=detail)
    return _layer_result(Layer.READING, result)


async def examine_writing(probe: RestProbe, prefix: str, *, timeout: timedelta) -> LayerResult:
    """Whether a key of this prefix can be written, read back and deleted; costs three billed commands."""
    return _layer_result(Layer.WRITING, judge_canary(await probe.write(prefix, timeout=timeout)))


def _layer_result(layer: Layer, result: CheckResult) -> LayerResult:
    """A slow answer passes and keeps its outcome, since there is a verdict for it.

    With a key that is not allowed it is not known whether the worker may use its own keys.
    """
    state = LayerState.FAILED if result.outcome.family.is_failing else LayerState.PASSED
    return LayerResult(
        layer=layer,
        state=LayerState.UNKNOWN if Fact.KEY_NOT_ALLOWED in result.facts else state,
        detail=result.detail,
        outcome=None if result.outcome is Outcome.OK else result.outcome,
        facts=result.facts,
    )


def _judge_token(result: CheckResult) -> LayerResult:
    """What an answer that is no refusal of the token says about the token."""
    if Fact.UNKNOWN_TEXT in result.facts:
        # It may be a refusal of the token in words that nobody knows.
        detail = "the error text is on nobody's list"
        return LayerResult(layer=Layer.TOKEN, state=LayerState.UNKNOWN, detail=detail)
    if not result.outcome.family.is_failing or result.outcome in _AFTER_LOGIN:
        return LayerResult(layer=Layer.TOKEN, state=LayerState.PASSED, detail="accepted")
    return LayerResult(layer=Layer.TOKEN, state=LayerState.UNKNOWN, detail="nothing was said about it")


def _describe_answer(observation: Observation) -> str:
    """What the answer to a request without a token suggests about who gave it."""
    status, text = observation.http_status, observation.error_text
    if observation.as_expected:
        return "answers PING without a token: an emulator, or open to everybody"
    if text is not None and status == HTTPStatus.UNAUTHORIZED:
        return "401 in JSON: asks for a token"
    if text is not None:
        return one_line(f"{status} in JSON: {text}", DETAIL_LIMIT)
    return f"{status}: {observation.description}" if observation.description else str(status)


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
