"""The layers of configuration and REST: HTTP without a token, the token and PING, reading, writing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from http import HTTPStatus

from monitor.checks.canary import is_key_refused, judge_canary, key_refused
from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.credentials import hints, inspect
from monitor.checks.observation import Fact, Observation, Outcome
from monitor.checks.rest import RestProbe
from monitor.diagnosis.layers import Layer, LayerResult, LayerState
from monitor.lib.text import one_line

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
