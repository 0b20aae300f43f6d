"""When a check writes a key, and what one means that does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.checks.canary import RETRY_AFTER, is_due, with_failed_canary
from monitor.checks.observation import CanaryResult, Check, Outcome
from monitor.config.settings import AlertSettings
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, state_from_json, state_to_json
from tests.judging import explain

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FINE = CanaryResult(sent_at=NOON, outcome=Outcome.OK, detail="a key was written, read back and deleted")
FULL = CanaryResult(sent_at=NOON, outcome=Outcome.CAPACITY_FULL, detail="SET: ERR DB capacity quota exceeded")


@pytest.mark.parametrize(
    ("last", "after", "is_in_doubt", "expected"),
    [
        (None, timedelta(0), False, True),  # nothing was ever written
        (FINE, MINUTE, False, False),
        (FINE, MINUTE, True, False),  # a doubt about something else is no reason to write
        (FINE, HOUR - 31 * timedelta(seconds=1), False, False),
        (FINE, HOUR - timedelta(milliseconds=40), False, True),  # the nearest check of all
        (FINE, HOUR, False, True),
        (FINE, -MINUTE, False, True),  # the clock was set back
        (FULL, timedelta(seconds=10), False, False),
        (FULL, timedelta(seconds=10), True, True),  # the check that decides must know
        (FULL, RETRY_AFTER, False, True),
    ],
)
def test_a_canary_comes_as_often_as_it_must(
    last: CanaryResult | None, after: timedelta, expected: bool, is_in_doubt: bool
) -> None:
    """At its own pause; after a failure with each check that decides something, else once a minute."""
    assert is_due(last, NOON + after, every=HOUR, interval=MINUTE, is_in_doubt=is_in_doubt) is expected


def test_a_canary_with_every_check_really_comes_with_every_check() -> None:
    """Checks come some milliseconds early or late; one that is a hair early must not wait for the next."""
    early = NOON + MINUTE - timedelta(milliseconds=3)
    assert is_due(FINE, early, every=MINUTE, interval=MINUTE, is_in_doubt=False)
    assert not is_due(FINE, NOON + timedelta(seconds=20), every=MINUTE, interval=MINUTE, is_in_doubt=False)


def test_a_fine_ping_does_not_hide_a_canary_that_failed() -> None:
    """The database is as it was when it was last written to; how long that is ago stands beside it."""
    result = with_failed_canary(FULL, NOON + timedelta(seconds=30))
    assert result.outcome is Outcome.CAPACITY_FULL
    assert result.detail == "PING answers; 30 s ago SET: ERR DB capacity quota exceeded"


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.OFFLINE, Outcome.RESPONSE_TIMEOUT])
def test_the_last_canary_is_remembered_whatever_the_check_leads_to(outcome: Outcome) -> None:
    """A check without a canary keeps the one before; it survives the file."""
    check = Check(database="main", at=NOON + MINUTE, outcome=outcome)
    transition = advance(IncidentState(canary=FULL), check, AlertSettings(), next_incident=1, explain=explain)
    assert state_from_json(state_to_json(transition.state)).canary == FULL


def test_a_state_of_the_first_release_has_no_canary() -> None:
    """It knew none, and its file is read all the same."""
    old: dict[str, Any] = {"recent": [], "incident": None}
    assert state_from_json(old) == IncidentState()
