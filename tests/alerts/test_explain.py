"""What the message that opens an incident takes from the diagnosis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.alerts.notification import Notification, NotificationKind, from_json, to_json, with_diagnosis
from monitor.alerts.text import compose, next_steps
from monitor.checks.observation import Fact, Outcome
from monitor.diagnosis.advice import word
from monitor.diagnosis.rules import judge
from monitor.diagnosis.verdicts import (
    Diagnosis,
    Layer,
    LayerResult,
    LayerResults,
    LayerState,
    Verdict,
    VerdictCode,
)
from tests.judging import PROFILE, explain

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BELOW = (Layer.CONFIGURATION, Layer.CONNECTIVITY, Layer.LOOKUP, Layer.CONNECTION, Layer.ENCRYPTION, Layer.HTTP)


def passed(*layers: Layer) -> tuple[LayerResult, ...]:
    return tuple(LayerResult(layer=layer, state=LayerState.PASSED) for layer in layers)


def failed(layer: Layer, outcome: Outcome, *facts: Fact) -> LayerResult:
    return LayerResult(layer=layer, state=LayerState.FAILED, outcome=outcome, facts=frozenset(facts))


def diagnosis(*layers: LayerResult) -> Diagnosis:
    found = LayerResults(database="main", layers=layers)
    return Diagnosis(layers=found, verdict=judge(found, PROFILE))


def opened(cause: Outcome) -> Notification:
    return Notification(
        kind=NotificationKind.OPENED,
        created_at=NOON,
        database="main",
        incident=12,
        cause=cause,
        causes=(cause,),
        verdict=explain(cause),
    )


REST_IS_WRONG = diagnosis(*passed(*BELOW), failed(Layer.TOKEN, Outcome.TOKEN_REJECTED), *passed(Layer.WORKER))
DOWN = diagnosis(
    *passed(*BELOW[:3]),
    failed(Layer.CONNECTION, Outcome.CONNECTION_TIMEOUT),
    LayerResult(layer=Layer.HTTP, state=LayerState.SKIPPED),
    failed(Layer.WORKER, Outcome.CONNECTION_TIMEOUT, Fact.WORKER_NOT_CONNECTED),
    LayerResult(layer=Layer.STATUS_PAGE, state=LayerState.UNKNOWN),
    LayerResult(layer=Layer.CONSOLE, state=LayerState.NOT_APPLICABLE),
)
FINE = diagnosis(*passed(*BELOW, Layer.TOKEN, Layer.PING, Layer.WORKER))
FULL = diagnosis(
    *passed(*BELOW, Layer.TOKEN, Layer.PING, Layer.WORKER),
    LayerResult(layer=Layer.CONSOLE, state=LayerState.PASSED, facts=frozenset({Fact.CONSOLE_SUSPENDED})),
)


def test_the_verdict_takes_the_place_of_the_general_advice() -> None:
    """What it means, whose move it is and the steps are the verdict's; what did not pass stands behind."""
    notification = with_diagnosis(opened(Outcome.TOKEN_REJECTED), REST_IS_WRONG)
    advice = word(REST_IS_WRONG.verdict)
    assert REST_IS_WRONG.verdict.code is VerdictCode.REST_TOKEN_WRONG
    message = compose(notification)
    assert message.headline == f"main: token rejected · {advice.whose_move.as_move}"
    assert (message.verdict, message.layers) == (advice.meaning, "did not pass: token")
    assert next_steps(notification) == advice.next_steps


def test_the_line_of_layers_shows_what_was_not_tried_and_not_known() -> None:
    """What failed, what that stopped, what is not known; nothing of the rest."""
    line = with_diagnosis(opened(Outcome.CONNECTION_TIMEOUT), DOWN).layers
    assert line == "did not pass: connection, rediss:// · not tried: HTTP · not known: status page"


@pytest.mark.parametrize(
    ("cause", "found"),
    [
        (Outcome.SERVER_ERROR, FINE),  # over by the time it was examined
        (Outcome.SERVER_ERROR, REST_IS_WRONG),  # something else altogether
        (Outcome.RESPONSE_TIMEOUT, REST_IS_WRONG),
    ],
)
def test_a_verdict_on_something_else_stays_out(cause: Outcome, found: Diagnosis) -> None:
    """The advice for the cause stands; the layers that did not pass are shown all the same."""
    notification = with_diagnosis(opened(cause), found)
    assert notification.verdict == explain(cause)
    assert replace(compose(notification), layers="") == compose(opened(cause))
    assert notification.layers == ("" if found is FINE else "did not pass: token")


def test_another_failure_of_the_same_kind_is_the_same_trouble() -> None:
    """The check timed out waiting for the answer, the layers for the connection: the verdict counts."""
    assert with_diagnosis(opened(Outcome.RESPONSE_TIMEOUT), DOWN).verdict == DOWN.verdict


def test_the_console_may_know_what_only_a_canary_saw() -> None:
    """PING passes every layer of a suspended database; what the console says fits what the canary found."""
    assert FULL.verdict.code is VerdictCode.SUSPENDED
    told = with_diagnosis(opened(Outcome.QUOTA_EXCEEDED), FULL).verdict
    assert told == replace(FULL.verdict, outcome=Outcome.QUOTA_EXCEEDED)
    assert with_diagnosis(opened(Outcome.SERVER_ERROR), FULL).verdict == explain(Outcome.SERVER_ERROR)


def test_a_workers_port_explains_no_trouble_of_rest() -> None:
    """REST timed out and answers by now; that the worker's port is blocked may have been so for ever."""
    worker = failed(Layer.WORKER, Outcome.CONNECTION_TIMEOUT, Fact.WORKER_NOT_CONNECTED)
    found = diagnosis(*passed(*BELOW, Layer.TOKEN, Layer.PING), worker)
    assert found.verdict.code is VerdictCode.WORKER_PORT_BLOCKED
    notification = opened(Outcome.CONNECTION_TIMEOUT)
    assert with_diagnosis(notification, found).verdict == notification.verdict
    by_worker = Verdict(code=VerdictCode.WORKER_FAILS, outcome=Outcome.CONNECTION_TIMEOUT, profile=PROFILE)
    assert with_diagnosis(replace(notification, verdict=by_worker), found).verdict == found.verdict


def test_it_survives_the_outbox() -> None:
    """The verdict is stored by its code and by what its words depend on."""
    notification = with_diagnosis(opened(Outcome.TOKEN_REJECTED), REST_IS_WRONG)
    assert from_json(to_json(notification)) == notification


def test_what_the_canary_found_is_a_layer_that_failed() -> None:
    """The doctor does not write for an alert; a line of layers that all passed would contradict the message."""
    by_canary = replace(opened(Outcome.CAPACITY_FULL), by_canary=True)
    assert with_diagnosis(by_canary, FINE).layers == "did not pass: writing"
    assert "writing" not in with_diagnosis(opened(Outcome.SERVER_ERROR), FINE).layers
