"""The layers that REST is spoken on, a function each: HTTP without a token, the token, reading, writing.

What is sent and how long it may take is `upstash`'s business; the layers below are in `layers`.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from http import HTTPStatus

from monitor.checks.canary import judge_canary
from monitor.checks.classify import CheckResult, classify
from monitor.checks.credentials import host_of, inspect, number_in
from monitor.checks.observation import Observation, Outcome
from monitor.checks.rest import RestProbe
from monitor.diagnosis.layers import Fact, Layer, LayerResult, LayerState

_WEB_PAGES = ("text/html", "application/xhtml+xml")


async def see_http(probe: RestProbe, *, timeout: timedelta) -> LayerResult:
    """See who answers without a token: an Upstash endpoint says 401 in JSON, whatever the token may be."""
    observation = await probe.ping_without_token(timeout=timeout)
    state, words, outcome = _judge_the_door(observation, classify(observation, slow=None))
    return LayerResult(layer=Layer.HTTP, state=state, detail=words, outcome=outcome)


async def see_token(
    probe: RestProbe,
    *,
    timeout: timedelta,
    slow: timedelta | None,
) -> LayerResult:
    """See whether the token is let in, with the same `PING` as every check."""
    observation = await probe.ping(timeout=timeout)
    result = classify(observation, slow=slow)
    latency_ms = observation.phases.latency_ms
    if result.outcome is Outcome.OK and latency_ms is not None:
        result = CheckResult(outcome=Outcome.OK, detail=f"PING answered in {latency_ms:.1f} ms")
    return _seen(Layer.TOKEN, result)


async def see_reading(probe: RestProbe, *, timeout: timedelta) -> LayerResult:
    """See whether a key can be read; costs one billed command."""
    observation = await probe.read(timeout=timeout)
    result = classify(observation, slow=None)
    if result.outcome is Outcome.OK:
        result = CheckResult(outcome=Outcome.OK, detail="GET of a key that is not there: null")
    return _seen(Layer.READING, result)


async def see_writing(probe: RestProbe, *, timeout: timedelta) -> LayerResult:
    """See whether a key can be written, read back and deleted; costs three billed commands."""
    return _seen(Layer.WRITING, judge_canary(await probe.write(timeout=timeout)))


def _seen(layer: Layer, result: CheckResult) -> LayerResult:
    """A slow answer passes and keeps its outcome: the verdicts ask for it."""
    is_fine = not result.outcome.family.is_failing
    return LayerResult(
        layer=layer,
        state=LayerState.PASSED if is_fine else LayerState.FAILED,
        detail=result.detail,
        outcome=None if result.outcome is Outcome.OK else result.outcome,
    )


def _judge_the_door(observation: Observation, result: CheckResult) -> tuple[LayerState, str, Outcome | None]:
    status = observation.http_status
    if observation.fault is not None or result.outcome is Outcome.SERVER_ERROR:
        return LayerState.FAILED, result.detail, result.outcome
    if observation.as_expected:
        return LayerState.PASSED, "answers PING without a token: an emulator, or open to everybody", None
    if observation.error_text is not None and status == HTTPStatus.UNAUTHORIZED:
        return LayerState.PASSED, "401 in JSON: the edge is alive and asks for a token", None
    if observation.error_text is not None and status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST):
        return LayerState.PASSED, f"{status} in JSON where Upstash says 401: an emulator?", None
    if observation.content_type in _WEB_PAGES or _is_redirect(status):
        return LayerState.FAILED, result.detail, Outcome.NOT_UPSTASH
    return LayerState.UNKNOWN, result.detail, None


def _is_redirect(status: int | None) -> bool:
    return status is not None and 300 <= status < 400


_URL_SAFE = re.compile(r"^[A-Za-z0-9_-]+={0,2}$")


_PASSWORD = re.compile(r"^[0-9A-Fa-f]{32}$")


_DROPPED_BY_URL_PARSERS = "\t\r\n"


_HINTS = {
    Fact.TOKEN_IS_READ_ONLY: "the token looks like a read-only one",
    Fact.TOKEN_OF_ANOTHER_DATABASE: "the token looks like another database's",
    Fact.TOKEN_IS_A_PASSWORD: "the token looks like an older database's password",
}


def hints(url: str, token: str) -> frozenset[Fact]:
    """What the token's looks suggest. Read only as a hint, and next to what the layers above found."""
    core = token.strip()
    found: set[Fact] = set()
    around = token.replace(core, "", 1) if core else ""
    if any(character in around for character in _DROPPED_BY_URL_PARSERS):
        found.add(Fact.NEWLINE_AROUND_TOKEN)
    if _PASSWORD.match(core):
        found.add(Fact.TOKEN_IS_A_PASSWORD)
    layout = _legacy_layout(core)
    if layout is not None:
        is_read_only, number = layout
        if is_read_only:
            found.add(Fact.TOKEN_IS_READ_ONLY)
        expected = number_in(host_of(url) or "")
        # The layout has two bytes for the number; a host with a larger one is of a newer kind.
        if expected is not None and expected < 65536 and expected != number:
            found.add(Fact.TOKEN_OF_ANOTHER_DATABASE)
    return frozenset(found)


def _legacy_layout(token: str) -> tuple[bool, int] | None:
    """Whether an older token is read-only, and the number of its database; `None` for any other token.

    Base64 of: kind (1 standard, 2 read-only), number (two bytes), 1, lengths of id and secret, id, secret.
    """
    if not _URL_SAFE.match(token):
        return None
    core = token.rstrip("=")
    try:
        raw = base64.urlsafe_b64decode(core + "=" * (-len(core) % 4))
    except ValueError:
        return None
    if len(raw) <= 6 or raw[0] not in (1, 2) or raw[3] != 1 or len(raw) != 6 + raw[4] + raw[5]:
        return None
    return raw[0] == 2, int.from_bytes(raw[1:3], "big")


def see_configuration(url: str, token: str) -> LayerResult:
    """The first layer: URL and token as they stand, and what their looks suggest."""
    mistake = inspect(url, token)
    facts = hints(url, token)
    guesses = [words for fact, words in _HINTS.items() if fact in facts]
    if mistake is not None:
        return LayerResult(
            layer=Layer.CONFIGURATION,
            state=LayerState.FAILED,
            detail="; ".join([mistake.detail, *guesses]),
            outcome=mistake.outcome,
            facts=facts,
        )
    return LayerResult(
        layer=Layer.CONFIGURATION,
        state=LayerState.PASSED,
        detail="; ".join(["URL and token are there and well-formed", *guesses]),
        facts=facts,
    )
