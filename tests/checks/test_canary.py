"""When a check writes a key, and what one means that does not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import redis

from monitor.checks.canary import (
    RETRY_AFTER,
    is_due,
    judge_canary,
    key_refused,
    may_be_first,
    remember,
    with_failed_canary,
)
from monitor.checks.classify import CheckResult
from monitor.checks.observation import CanaryResult, Check, Fact, Observation, Outcome
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, state_from_json, state_to_json
from tests.checks.redis_server import redis_server
from tests.judging import QUICK, explain

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FINE = CanaryResult(sent_at=NOON, outcome=Outcome.OK, detail="a key was written, read back and deleted")
FULL = CanaryResult(sent_at=NOON, outcome=Outcome.CAPACITY_FULL, detail="SET: ERR DB capacity quota exceeded")
NO_KEY = CanaryResult(sent_at=NOON, outcome=Outcome.OK, facts=frozenset({Fact.KEY_NOT_ALLOWED}))


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


def test_a_key_that_was_not_allowed_is_tried_again_within_the_hour() -> None:
    """Whoever grants it need not wait a day to see that it helped; a fine canary a day costs what it did."""
    day = 24 * HOUR
    assert not is_due(NO_KEY, NOON + MINUTE, every=day, interval=MINUTE, is_in_doubt=True)
    assert is_due(NO_KEY, NOON + HOUR, every=day, interval=MINUTE, is_in_doubt=False)
    assert not is_due(FINE, NOON + HOUR, every=day, interval=MINUTE, is_in_doubt=False)


def test_a_fine_ping_does_not_hide_a_canary_that_failed() -> None:
    """The database is as it was when it was last written to; how long that is ago stands beside it."""
    result = with_failed_canary(FULL, NOON + timedelta(seconds=30))
    assert result.outcome is Outcome.CAPACITY_FULL
    assert result.detail == "PING answers; 30 s ago SET: ERR DB capacity quota exceeded"


@pytest.mark.parametrize("canary", [FULL, NO_KEY])
@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.OFFLINE, Outcome.RESPONSE_TIMEOUT])
def test_the_last_canary_is_remembered_whatever_the_check_leads_to(outcome: Outcome, canary: CanaryResult) -> None:
    """A check without a canary keeps the one before; it survives the file."""
    check = Check(database="main", at=NOON + MINUTE, outcome=outcome)
    transition = advance(IncidentState(canary=canary), check, QUICK, next_incident=1, explain=explain)
    assert state_from_json(state_to_json(transition.state)).canary == canary


def test_a_state_of_the_first_release_has_no_canary() -> None:
    """It knew none, and its file is read all the same."""
    old: dict[str, Any] = {"recent": [], "incident": None}
    assert state_from_json(old) == IncidentState()


MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("started_at", "expected"),
    [
        (MIDNIGHT, True),
        (MIDNIGHT + timedelta(minutes=4, seconds=59), True),
        (MIDNIGHT + timedelta(minutes=5), False),
        (MIDNIGHT - timedelta(seconds=1), False),  # it straddles midnight; the next run sends
        (NOON, False),
        (datetime(2026, 11, 24, 3, 2, tzinfo=timezone(timedelta(hours=3))), True),  # the day is that of UTC
        (datetime(2026, 11, 24, 0, 2, tzinfo=timezone(timedelta(hours=3))), False),
    ],
)
def test_where_everything_is_forgotten_only_the_first_runs_of_a_day_write(
    started_at: datetime, expected: bool
) -> None:
    """Otherwise each run of a cron job would, at three billed commands; elsewhere the first check always does."""
    assert may_be_first(started_at, is_forgotten=True) is expected
    assert may_be_first(started_at, is_forgotten=False)


def test_a_canary_that_told_nothing_leaves_the_trouble_that_was_found() -> None:
    """Only a fine canary counts as fine; that the key is not allowed is said once, however often it is tried."""
    refused = key_refused("SET: NOPERM this user has no permissions to access one of the keys used as arguments")
    first = remember(refused, NOON + MINUTE, FULL)
    assert (first.outcome, set(first.facts)) == (Outcome.CAPACITY_FULL, {Fact.KEY_NOT_ALLOWED})
    assert first.detail == f"by now the canary's key is not allowed; before: {FULL.detail}"
    again = remember(refused, NOON + 2 * MINUTE, first)
    assert again == replace(first, sent_at=NOON + 2 * MINUTE)
    fine = CheckResult(outcome=Outcome.OK, detail=FINE.detail)
    assert remember(fine, NOON + HOUR, again) == replace(FINE, sent_at=NOON + HOUR)


def test_a_key_that_is_refused_shows_that_the_command_is_not() -> None:
    """Redis asks for the command first: a token that could not write can by now."""
    denied = CanaryResult(sent_at=NOON, outcome=Outcome.PERMISSION_DENIED, detail="SET: NOPERM …")
    after = remember(key_refused("SET: NOPERM …"), NOON + MINUTE, denied)
    assert (after.outcome, set(after.facts)) == (Outcome.OK, {Fact.KEY_NOT_ALLOWED})


@pytest.mark.parametrize(
    "user", ["~cache:* +@all", "~* -@all +@read +ping", "~* -@all +get +set +ping", "%W~* +@all", "~* +@all"]
)
def test_a_real_server_refuses_in_the_words_that_are_known(tmp_path: Path, user: str) -> None:
    """Key, command, deletion, reading alone: asked of redis-server itself, through redis-py."""
    wanted: tuple[Outcome, set[Fact]] = {
        "~cache:* +@all": (Outcome.OK, {Fact.KEY_NOT_ALLOWED}),
        "~* -@all +@read +ping": (Outcome.PERMISSION_DENIED, set()),
        "~* -@all +get +set +ping": (Outcome.OK, {Fact.DELETE_NOT_ALLOWED}),
        "%W~* +@all": (Outcome.OK, {Fact.KEY_NOT_ALLOWED}),
        "~* +@all": (Outcome.OK, set()),
    }[user]
    with redis_server(tmp_path) as server:
        way: dict[str, Any] = {"port": server.port, "ssl": True, "ssl_ca_certs": str(tmp_path / "ca.pem")}
        admin: Any = redis.Redis(password=server.token, **way)
        app: Any = redis.Redis(username="app", password="secret", **way)
        with closing(admin), closing(app):
            admin.execute_command("ACL", "SETUSER", "app", "on", ">secret", *user.split())
            steps = {}
            for words in (("SET", "a:canary:1", "v", "EX", 60), ("GET", "a:canary:1"), ("DEL", "a:canary:1")):
                try:
                    app.execute_command(*words)
                    steps[str(words[0])] = Observation(as_expected=True)
                except redis.exceptions.NoPermissionError as error:
                    steps[str(words[0])] = Observation(error_text=f"NOPERM {error}")
    result = judge_canary(steps)
    assert (result.outcome, set(result.facts)) == wanted
