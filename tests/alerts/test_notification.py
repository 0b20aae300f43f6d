"""The lines of a message before any channel adds its markup: the first line, the facts, the steps, the last."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity, from_json, to_json
from monitor.alerts.text import compose, facts, headline, next_steps, reference, written
from monitor.checks.observation import Family, Outcome
from monitor.diagnosis.advice import WhoseMove, advise, word
from monitor.lib.language import language
from tests.alerts.conftest import CHANGED, CLOSED, OPENED, REJECTED, REMINDER, SINCE, TIMEOUT
from tests.judging import PROFILE, explain

SLOW = Outcome.SLOW
MISSED = replace(CLOSED, kind=NotificationKind.MISSED, causes=(REJECTED,))
MONITOR = Notification(
    kind=NotificationKind.MONITOR, created_at=SINCE, title="upstash-monitor: a word", steps=("Do this.",)
)


@pytest.mark.parametrize(
    ("notification", "expected"),
    [
        (OPENED, "main: token rejected"),
        (CHANGED, "main: now: token rejected"),
        (REMINDER, "main: still: token rejected, for 1 h"),
        (CLOSED, "main: recovered after 12 min 4 s"),
        (replace(CLOSED, by_canary=True), "main: closed after 12 min 4 s: the canary that found it is off now"),
        (MISSED, "main: you missed this: down 14:02 to 14:14 UTC (token rejected), fine again"),
        (
            replace(MISSED, severity=Severity.WARNING, cause=SLOW),
            "main: you missed this: slow 14:02 to 14:14 UTC, fine again",
        ),
        (
            replace(MISSED, until=SINCE + timedelta(hours=10)),
            "main: you missed this: down 14:02 to 2026-11-24 00:02 UTC (token rejected), fine again",
        ),
        (
            replace(MISSED, until=SINCE + timedelta(hours=10), sent_at=SINCE + timedelta(hours=11)),
            "main: you missed this: down 2026-11-23 14:02 to 2026-11-24 00:02 UTC (token rejected), fine again",
        ),
        (
            replace(
                MISSED,
                until=SINCE + timedelta(hours=8),
                unchecked=((SINCE + timedelta(minutes=1), SINCE + timedelta(hours=8)),),
            ),
            "main: you missed this: down 14:02 to 14:03 UTC at least (token rejected), fine again",
        ),
        (MONITOR, "upstash-monitor: a word"),
        (replace(CLOSED, until=SINCE - timedelta(hours=1)), "main: recovered after less than 1 s"),
    ],
)
def test_the_first_line_is_what_happened(notification: Notification, expected: str) -> None:
    """In words, with the database in front; a closing with how long it lasted, never less than nothing."""
    assert headline(notification) == expected


def test_what_was_over_within_a_second_reads_well_in_russian() -> None:
    """Its length stands behind words that ask for a case."""
    least = replace(CLOSED, until=SINCE + timedelta(hours=3), unchecked=((SINCE, SINCE + timedelta(hours=3)),))
    assert [headline(one, language("ru")) for one in (replace(CLOSED, until=SINCE), least)] == [
        "main: снова в норме через долю секунды",
        "main: снова в норме через долю секунды – 3 ч: проверок в это время не было",
    ]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.family.is_failing])
def test_every_cause_reads_well_in_every_first_line(outcome: Outcome) -> None:
    """Short enough for a phone's lock screen, and without underscores."""
    for notification in (OPENED, CHANGED, REMINDER, CLOSED, MISSED):
        line = compose(replace(notification, cause=outcome, causes=(outcome,))).headline
        assert line.startswith("main: ")
        assert "_" not in line
        assert len(line) <= 105


@pytest.mark.parametrize(
    ("notification", "expected"),
    [
        (OPENED, ("since 14:02:09 UTC, 2 checks failed",)),
        (replace(OPENED, checks_failed=1), ("since 14:02:09 UTC, 1 check failed",)),
        (
            replace(OPENED, severity=Severity.WARNING, cause=SLOW, causes=(SLOW,), checks_failed=5),
            ("since 14:02:09 UTC, 5 checks slow",),
        ),
        (CHANGED, ("since 14:02:09 UTC, 9 checks failed", "before: response timed out")),
        (
            replace(
                CHANGED,
                kind=NotificationKind.REMINDER,
                causes=(TIMEOUT, REJECTED, SLOW),
                cause=TIMEOUT,
                checks_failed=0,
            ),
            ("since 14:02:09 UTC", "before: token rejected, then slow"),
        ),
        (
            CLOSED,
            (
                "down 14:02:09 to 14:14:13 UTC, 9 checks failed",
                "causes: response timed out, then token rejected",
            ),
        ),
        (
            MISSED,
            (
                "down 14:02:09 to 14:14:13 UTC, 9 checks failed",
                "cause: token rejected",
            ),
        ),
        (MONITOR, ()),
    ],
)
def test_the_facts_are_since_when_and_what_the_causes_were(
    notification: Notification, expected: tuple[str, ...]
) -> None:
    """Times in UTC; an open incident names earlier causes, a closed one all of them in order."""
    assert tuple(written(line, SINCE.date()) for line in facts(notification)) == expected


def test_an_open_incident_is_explained_and_good_news_is_not() -> None:
    """The verdict, whose move it is and at most three steps; a reminder says how to stop the reminders."""
    advice = advise(REJECTED, PROFILE)
    for notification in (OPENED, CHANGED, REMINDER):
        message = compose(notification)
        assert message.headline.endswith("token rejected · your move") or notification is REMINDER
        assert (message.verdict, message.steps) == (advice.meaning, advice.next_steps)
    assert compose(REMINDER).headline == "main: still: token rejected, for 1 h · your move"
    assert compose(REMINDER).notes == ("To stop these reminders: upstash-monitor incidents ack 12",)
    for notification in (CLOSED, MISSED, replace(MONITOR, kind=NotificationKind.TEST)):
        message = compose(notification)
        assert "move" not in message.headline
        assert (message.verdict, message.steps) == ("", ())


@pytest.mark.parametrize("move", list(WhoseMove))
def test_the_first_line_ends_with_whose_move_it_is(move: WhoseMove) -> None:
    """For every verdict; where nobody can do anything, it says nothing."""
    found = {word(replace(explain(outcome), profile=PROFILE)).whose_move: outcome for outcome in Outcome}
    if move not in found:
        return
    message = compose(replace(OPENED, cause=found[move], verdict=explain(found[move])))
    assert message.headline.endswith(f" · {move.as_move}" if move.as_move else found[move].words)


def test_a_notification_of_the_monitor_brings_its_own_steps() -> None:
    """At most three of them."""
    assert next_steps(MONITOR) == ("Do this.",)
    assert next_steps(replace(MONITOR, steps=("1", "2", "3", "4"))) == ("1", "2", "3")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_advice_that_fits_in_a_message(outcome: Outcome) -> None:
    """A meaning and, where something is wrong, one to three steps, none of which would be cut."""
    advice = advise(outcome, PROFILE)
    assert advice.meaning.endswith(".")
    assert len(advice.meaning) <= 120
    assert len(advice.next_steps) <= 3
    assert bool(advice.next_steps) is (outcome.family is not Family.FINE)
    for step in advice.next_steps:
        assert step.endswith((".", "?"))
        assert len(step) <= 120


@pytest.mark.parametrize(
    ("notification", "expected"),
    [
        *((replace(OPENED, kind=kind), f"incident 12 · {kind.value}") for kind in NotificationKind),
        (MONITOR, "upstash-monitor · monitor"),
    ],
)
def test_the_last_line_is_the_same_for_a_message_that_comes_twice(
    notification: Notification, expected: str
) -> None:
    """The incident's number and the kind, the same each time the message is sent."""
    assert reference(notification) == expected


@pytest.mark.parametrize("notification", [OPENED, CHANGED, REMINDER, CLOSED, MISSED, MONITOR])
def test_a_notification_survives_the_outbox(notification: Notification) -> None:
    """Through JSON and back, with every field."""
    assert from_json(json.loads(json.dumps(to_json(notification)))) == notification
