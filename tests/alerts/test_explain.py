"""What the message that opens an incident takes from the doctor's ladder."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.alerts.notification import Kind, Notice, Opinion, explain, explanation, from_json, next_steps, to_json
from monitor.checks.observation import Outcome
from monitor.diagnosis.layers import Fact, Ladder, Rung, Seen, State
from monitor.diagnosis.verdicts import Code, judge

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BELOW = (Rung.CONFIGURATION, Rung.OUR_NETWORK, Rung.LOOKUP, Rung.CONNECTION, Rung.ENCRYPTION, Rung.HTTP)


def passed(*rungs: Rung) -> tuple[Seen, ...]:
    return tuple(Seen(rung=rung, state=State.PASSED) for rung in rungs)


def failed(rung: Rung, outcome: Outcome, *facts: Fact) -> Seen:
    return Seen(rung=rung, state=State.FAILED, outcome=outcome, facts=frozenset(facts))


def opinion(*rungs: Seen) -> Opinion:
    ladder = Ladder(database="main", rungs=rungs)
    return Opinion(ladder=ladder, verdict=judge(ladder))


def opened(cause: Outcome) -> Notice:
    return Notice(kind=Kind.OPENED, created_at=NOON, database="main", incident=12, cause=cause, causes=(cause,))


REST_IS_WRONG = opinion(*passed(*BELOW), failed(Rung.TOKEN, Outcome.TOKEN_REJECTED), *passed(Rung.WORKER))
DOWN = opinion(
    *passed(*BELOW[:3]),
    failed(Rung.CONNECTION, Outcome.CONNECTION_TIMEOUT),
    Seen(rung=Rung.HTTP, state=State.SKIPPED),
    failed(Rung.WORKER, Outcome.CONNECTION_TIMEOUT, Fact.WORKER_NOT_CONNECTED),
    Seen(rung=Rung.STATUS_PAGE, state=State.UNKNOWN),
    Seen(rung=Rung.CONSOLE, state=State.NOT_APPLICABLE),
)
FINE = opinion(*passed(*BELOW, Rung.TOKEN, Rung.WORKER))
FULL = opinion(
    *passed(*BELOW, Rung.TOKEN, Rung.WORKER),
    Seen(rung=Rung.CONSOLE, state=State.PASSED, facts=frozenset({Fact.CONSOLE_SUSPENDED})),
)


def test_the_verdict_takes_the_place_of_the_general_advice() -> None:
    """What it means, whose move it is and the steps are the verdict's; the ladder stands in one line."""
    told = explain(opened(Outcome.TOKEN_REJECTED), REST_IS_WRONG)
    verdict = REST_IS_WRONG.verdict
    assert verdict.code is Code.REST_TOKEN_WRONG
    assert explanation(told) == (
        verdict.says,
        f"whose move: {verdict.whose_move}",
        "doctor: configuration ✓ · our network ✓ · lookup ✓ · connection ✓ · encryption ✓ · HTTP ✓ · token ✗"
        " · rediss:// ✓",
    )
    assert next_steps(told) == verdict.next_steps[:3]


def test_the_line_tells_what_was_not_tried_and_not_known() -> None:
    """A dash for what a failed rung stopped, a question mark for what could not be seen, nothing for the rest."""
    line = explain(opened(Outcome.CONNECTION_TIMEOUT), DOWN).rungs
    assert line.endswith("lookup ✓ · connection ✗ · HTTP – · rediss:// ✗ · status page ?")


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        (Outcome.SERVER_ERROR, FINE),  # over by the time it was climbed
        (Outcome.SERVER_ERROR, REST_IS_WRONG),  # something else altogether
        (Outcome.RESPONSE_TIMEOUT, REST_IS_WRONG),
    ],
)
def test_a_verdict_on_something_else_stays_out(cause: Outcome, seen: Opinion) -> None:
    """The advice for the cause stands; the ladder is shown all the same."""
    told = explain(opened(cause), seen)
    assert told.verdict == ""
    assert explanation(told)[:2] == explanation(opened(cause))
    assert next_steps(told) == next_steps(opened(cause))
    assert told.rungs


def test_another_failure_of_the_same_kind_is_the_same_trouble() -> None:
    """The look timed out waiting for the answer, the ladder for the connection: the verdict counts."""
    assert explain(opened(Outcome.RESPONSE_TIMEOUT), DOWN).verdict == DOWN.verdict.says


def test_the_console_may_know_what_only_a_canary_saw() -> None:
    """PING passes every rung of a suspended database; the console's word fits what the canary found."""
    assert FULL.verdict.code is Code.SUSPENDED
    assert explain(opened(Outcome.QUOTA_EXCEEDED), FULL).verdict == FULL.verdict.says
    assert explain(opened(Outcome.SERVER_ERROR), FULL).verdict == ""


def test_it_survives_the_outbox_and_an_older_parcel_does_without() -> None:
    """A parcel of the first release has none of the three fields."""
    told = explain(opened(Outcome.TOKEN_REJECTED), REST_IS_WRONG)
    assert from_json(to_json(told)) == told
    old = to_json(opened(Outcome.TOKEN_REJECTED))
    for key in ("verdict", "whose_move", "rungs"):
        del old[key]
    assert from_json(old) == opened(Outcome.TOKEN_REJECTED)
