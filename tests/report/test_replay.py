"""The past through the rules of today: the messages that they would have sent, and what was told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import AlertSettings, DatabaseSettings, EvidenceRule, HistorySettings, Settings
from monitor.lib.text import Secret
from monitor.report.overview import Archive
from monitor.report.replay import Replay, Rules, counted, differences, replayed, with_limit
from tests.judging import PROFILE, QUICK
from tests.store.conftest import INTERVAL, START, StoreSetup

OK, SLOW, TIMEOUT, REJECTED = Outcome.OK, Outcome.SLOW, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
RULES = Rules(alerts=AlertSettings(), slow=None, interval=INTERVAL, profile=PROFILE)
EAGER = AlertSettings(failing=EvidenceRule.model_validate({"failures": 1, "for": "0s"}))
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def check(minute: float, outcome: Outcome, latency_ms: float | None = 20.0) -> Check:
    phases = Phases(wait=latency_ms, read=None if latency_ms is None else 0.0)
    return Check(database="main", at=START + minute * MINUTE, outcome=outcome, phases=phases)


def series(*outcomes: Outcome) -> Iterator[Check]:
    return (check(minute, outcome) for minute, outcome in enumerate(outcomes))


def told_as(replay: Replay, alerts: AlertSettings) -> Replay:
    """What was told by the rules of the replay, and what it would be by others."""
    outcomes = (OK, TIMEOUT, *(OK,) * 25, *(TIMEOUT,) * 6, *(OK,) * 4)
    rules = replace(RULES, alerts=alerts)
    number, incidents, messages = replayed(series(*outcomes), rules, start=START)
    return replace(replay, checks=number, told=replay.incidents, incidents=incidents, messages=messages)


@pytest.fixture
def eager() -> Replay:
    """A history that was told by a rule that a single failure meets: a blip of a minute, and six minutes."""
    nothing = Replay(
        database="main",
        start=START,
        end=START + 60 * MINUTE,
        checks=0,
        incidents=(),
        messages=(),
        told=(),
        told_messages={},
    )
    return told_as(nothing, EAGER)


def test_the_same_rules_send_the_same(eager: Replay) -> None:
    """Then nothing differs."""
    assert differences(told_as(eager, EAGER)) == []


def test_what_was_told_and_would_not_be_is_said(eager: Replay) -> None:
    """And what would be told at another moment; the checks are counted, the messages too."""
    now = told_as(eager, AlertSettings())
    assert (now.checks, counted(now.messages)) == (37, {"opened": 1, "closed": 1})
    blip, outage = differences(now)
    assert blip == "incident 1 (response timed out at 2026-11-23 14:01:00 UTC, 1 min) would not have been told"
    assert outage.startswith(
        "incident 2 (response timed out at 2026-11-23 14:27:00 UTC, 6 min) would have been told "
    )
    assert outage.endswith(" later")


def test_what_would_be_told_and_was_not_is_said(eager: Replay) -> None:
    """The other way round."""
    lazy = told_as(eager, AlertSettings())
    [blip, outage] = differences(told_as(lazy, EAGER))
    assert blip.startswith("an incident more would have been told: response timed out at 2026-11-23 14:01:00 UTC")
    assert outage.endswith(" earlier")


def test_what_comes_and_goes_would_have_been_one(eager: Replay) -> None:
    """Several that were told, and what they overlap with."""
    [long] = [one for one in eager.incidents if one.id == 2]
    whole = replace(long, id=1, opened_at=START, is_unstable=True)
    now = replace(eager, told=eager.incidents, incidents=(whole,))
    [words] = differences(now)
    assert words.startswith("2 incidents (1 to 2, the first ")
    assert words.endswith(" would have been one incident, unstable")


def test_what_was_told_before_the_start_is_not_compared(eager: Replay) -> None:
    """The rules may not have seen how it began."""
    later = replace(told_as(eager, AlertSettings()), start=START + 36 * MINUTE)
    assert differences(later) == []


@pytest.mark.parametrize(
    ("outcome", "latency_ms", "limit_ms", "wanted"),
    [
        (OK, 600.0, 500, SLOW),
        (OK, 500.0, 500, OK),
        (SLOW, 600.0, 800, OK),
        (SLOW, 600.0, None, OK),
        (SLOW, 900.0, 800, SLOW),
        (TIMEOUT, 900.0, 800, TIMEOUT),
        (OK, None, 800, OK),
    ],
)
def test_slow_is_what_the_limit_of_today_says(
    outcome: Outcome, latency_ms: float | None, limit_ms: int | None, wanted: Outcome
) -> None:
    """By the latency that was measured; a failure stays one."""
    limit = None if limit_ms is None else timedelta(milliseconds=limit_ms)
    assert with_limit(check(0, outcome, latency_ms), limit).outcome is wanted


def test_what_somebody_knew_of_does_not_remind() -> None:
    """An acknowledgement counts when it was given."""
    outcomes = (REJECTED,) * 130
    reminded = counted(replayed(series(*outcomes), RULES, start=START)[2])
    assert reminded == {"opened": 1, "reminder": 1}
    known = replayed(series(*outcomes), RULES, start=START, acknowledged=[START + 30 * MINUTE])
    assert counted(known[2]) == {"opened": 1}


def test_a_history_is_read_with_what_was_told_of_it(tmp_path: Path) -> None:
    """By the rules that it was told by nothing differs, even where it begins within an incident."""
    setup = StoreSetup(tmp_path / "history.db", ("slack", "telegram"))
    setup.checks(OK, REJECTED, REJECTED, REJECTED, OK, OK, *(TIMEOUT,) * 6)
    main = DatabaseSettings(name="main", url=Secret("https://h.upstash.io"), token=Secret("t"), interval=INTERVAL)
    settings = Settings(databases=(main,), alerts=QUICK, history=HistorySettings(path=str(setup.path)))
    archive = Archive(settings, file=setup.store, clock=lambda: setup.now + SECOND)
    for start, told in (
        (datetime(2026, 1, 1, tzinfo=UTC), {"opened": 2, "closed": 1}),
        (START + 4.5 * MINUTE, {"opened": 1, "closed": 1}),
    ):
        found = archive.replay("main", start=start)
        assert (found.told_messages, counted(found.messages), differences(found)) == (told, told, [])
    setup.store.close()
