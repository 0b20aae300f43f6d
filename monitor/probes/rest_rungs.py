"""The rungs that REST is spoken on, a function each: HTTP without a token, the token, reading, writing.

What is sent and how long it may take is `upstash`'s business; the layers below are in `layers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus

from monitor.core.classify import Finding, classify
from monitor.core.ladder import Rung, Seen, State
from monitor.core.observation import Observation, Outcome
from monitor.probes.upstash import UpstashProbe

_WEB_PAGES = ("text/html", "application/xhtml+xml")
_GOES_BY_ITSELF = "; the key goes by itself within a minute"


async def see_http(probe: UpstashProbe, *, timeout: timedelta) -> Seen:  # noqa: ASYNC109 - handed on
    """See who answers without a token: an Upstash endpoint says 401 in JSON, whatever the token may be."""
    observation = await probe.knock(timeout=timeout)
    state, words, outcome = _judge_the_door(observation, classify(observation, slow=None))
    return Seen(rung=Rung.HTTP, state=state, seen=words, outcome=outcome)


async def see_token(
    probe: UpstashProbe,
    *,
    timeout: timedelta,  # noqa: ASYNC109 - handed on
    slow: timedelta | None,
) -> Seen:
    """See whether the token is let in, with the same `PING` as every look."""
    observation = await probe.ping(timeout=timeout)
    finding = classify(observation, slow=slow)
    latency_ms = observation.phases.latency_ms
    if finding.outcome is Outcome.OK and latency_ms is not None:
        finding = Finding(outcome=Outcome.OK, detail=f"PING answered in {latency_ms:.1f} ms")
    return _seen(Rung.TOKEN, finding)


async def see_reading(probe: UpstashProbe, *, timeout: timedelta) -> Seen:  # noqa: ASYNC109 - handed on
    """See whether a key can be read; costs one billed command."""
    observation = await probe.read(timeout=timeout)
    finding = classify(observation, slow=None)
    if finding.outcome is Outcome.OK:
        finding = Finding(outcome=Outcome.OK, detail="GET of a key that is not there: null")
    return _seen(Rung.READING, finding)


async def see_writing(probe: UpstashProbe, *, timeout: timedelta) -> Seen:  # noqa: ASYNC109 - handed on
    """See whether a key can be written, read back and deleted; costs three billed commands."""
    return _seen(Rung.WRITING, judge_writing(await probe.write(timeout=timeout)))


def judge_writing(steps: Mapping[str, Observation]) -> Finding:
    """What `UpstashProbe.write` means: the first step that was not fine, by name, or that all were."""
    for step, observation in steps.items():
        finding = classify(observation, slow=None)
        if finding.outcome is not Outcome.OK:
            rest = _GOES_BY_ITSELF if step == "DEL" else ""
            return Finding(outcome=finding.outcome, detail=f"{step}: {finding.detail}{rest}")
    return Finding(outcome=Outcome.OK, detail="a key was written, read back and deleted")


def _seen(rung: Rung, finding: Finding) -> Seen:
    """A slow answer passes and keeps its outcome: the verdicts ask for it."""
    is_fine = not finding.outcome.family.is_failing
    return Seen(
        rung=rung,
        state=State.PASSED if is_fine else State.FAILED,
        seen=finding.detail,
        outcome=None if finding.outcome is Outcome.OK else finding.outcome,
    )


def _judge_the_door(observation: Observation, finding: Finding) -> tuple[State, str, Outcome | None]:
    status = observation.http_status
    if observation.fault is not None or finding.outcome is Outcome.SERVER_ERROR:
        return State.FAILED, finding.detail, finding.outcome
    if observation.as_expected:
        return State.PASSED, "answers PING without a token: an emulator, or open to everybody", None
    if observation.error_text is not None and status == HTTPStatus.UNAUTHORIZED:
        return State.PASSED, "401 in JSON: the edge is alive and asks for a token", None
    if observation.error_text is not None and status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST):
        return State.PASSED, f"{status} in JSON where Upstash says 401: an emulator?", None
    if observation.content_type in _WEB_PAGES or _is_redirect(status):
        return State.FAILED, finding.detail, Outcome.NOT_UPSTASH
    return State.UNKNOWN, finding.detail, None


def _is_redirect(status: int | None) -> bool:
    return status is not None and 300 <= status < 400
