"""From checks to outages: where they begin, where they end, and that they add up to the uptime."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Outcome
from monitor.config.windows import Window
from monitor.report.claim import Claim, outages_from_checks, troubled_runs
from monitor.report.report import Period, read_claim
from monitor.store.rollups.model import Gap, Grain, Slice, Uptime
from tests.report.made_history import (
    MINUTE,
    START,
    MadeArchive,
    Recorded,
    check,
    every_minute,
    incident,
    states,
)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONTH_END = START + 31 * DAY


def claimed(recorded: Recorded, *, hours: int = 24) -> Claim:
    """The claim of the first hours of October."""
    period = Period(start=START, end=START + hours * HOUR, grain=Grain.DAY)
    return read_claim(MadeArchive(recorded={"main": recorded}), "main", period, month_end=MONTH_END)


def day_with(*troubled: Check) -> list[Check]:
    """A day of fine checks but for these."""
    others = {one.at: one for one in troubled}
    return [others.get(one.at, one) for one in every_minute(START, START + DAY)]


def test_an_outage_lasts_from_its_first_failing_check_to_the_first_fine_one() -> None:
    """With its checks by outcome, its most frequent cause, first and last evidence, statuses and incident."""
    at = START + 3 * HOUR + 58 * MINUTE
    outcomes = [Outcome.SERVER_ERROR, Outcome.RESPONSE_TIMEOUT, Outcome.RESPONSE_TIMEOUT, Outcome.RESPONSE_TIMEOUT]
    troubled = [check(at + number * MINUTE, outcome) for number, outcome in enumerate(outcomes)]
    known = incident(12, at, at + 4 * MINUTE, Outcome.RESPONSE_TIMEOUT)
    [outage] = claimed(Recorded(checks=day_with(*troubled), incidents=[known])).outages
    assert (outage.start, outage.end) == (at, at + 4 * MINUTE)
    assert outage.outcomes == {Outcome.SERVER_ERROR: 1, Outcome.RESPONSE_TIMEOUT: 3}
    assert outage.cause is Outcome.RESPONSE_TIMEOUT
    assert (outage.first, outage.last) == (troubled[0], troubled[-1])
    assert outage.http_statuses == (503,)
    assert outage.incident == 12


def test_maintenance_cuts_an_outage_out() -> None:
    """What was down before it and still is after it is two outages, and what was down only in it is none."""
    at = START + 3 * HOUR
    failing = [check(at + minute * MINUTE, Outcome.SERVER_ERROR) for minute in range(60)]
    uptime = Uptime(up=timedelta(0), down=40 * MINUTE, unknown=timedelta(0), maintenance=20 * MINUTE)
    hour = Slice(start=at, end=at + HOUR, outcomes={Outcome.SERVER_ERROR: 60}, uptime=uptime)
    window = Window(start=at + 10 * MINUTE + SECOND, end=at + 30 * MINUTE + SECOND)
    before, after = outages_from_checks(failing, [], [hour], maintenance=[window])
    assert (before.start, before.end) == (at, window.start)
    assert (after.start, after.end, after.first) == (window.end, at + HOUR, failing[30])
    assert outages_from_checks(failing, [], [hour], maintenance=[Window(start=at, end=at + HOUR)]) == []


def test_a_slow_check_ends_an_outage_and_one_that_saw_nothing_cuts_it() -> None:
    """Slow is up. While we were offline nothing is known, so two outages lie around it."""
    at = START + HOUR
    troubled = [
        check(at, Outcome.RESPONSE_TIMEOUT),
        check(at + MINUTE, Outcome.OFFLINE),
        check(at + 2 * MINUTE, Outcome.RESPONSE_TIMEOUT),
        check(at + 3 * MINUTE, Outcome.SLOW),
    ]
    claim = claimed(Recorded(checks=day_with(*troubled)))
    assert [(one.start, one.end) for one in claim.outages] == [
        (at, at + MINUTE),
        (at + 2 * MINUTE, at + 3 * MINUTE),
    ]
    assert [(one.start, one.end, one.cause) for one in claim.unknown] == [
        (at + MINUTE, at + 2 * MINUTE, Outcome.OFFLINE)
    ]


def test_an_outage_ends_where_nobody_checks_any_more() -> None:
    """What happened in a gap nobody knows; what failed after it is an outage of its own."""
    at = START + 2 * HOUR
    checks = [*every_minute(START, at), *every_minute(at, at + 5 * MINUTE, Outcome.CONNECTION_LOST)]
    back = at + 2 * HOUR
    checks += [*every_minute(back, back + 3 * MINUTE, Outcome.CONNECTION_LOST), check(back + 3 * MINUTE)]
    gap = Gap(start=at + 4 * MINUTE, end=back)
    claim = claimed(Recorded(checks=checks, gaps=[gap]), hours=5)
    assert [(one.start, one.end) for one in claim.outages] == [
        (at, at + 4 * MINUTE),
        (back, back + 3 * MINUTE),
    ]
    assert claim.down_unlisted == timedelta(0)
    assert claim.gaps == (gap,)


def test_an_outage_that_began_before_the_month_is_cut_to_it() -> None:
    """Its evidence stays the check that was there; before a gap nothing is taken over."""
    before = check(START - 2 * MINUTE, Outcome.SERVER_ERROR)
    checks = [check(START - 9 * MINUTE), before, *every_minute(START + 5 * MINUTE, START + DAY)]
    [outage] = claimed(Recorded(checks=checks)).outages
    assert (outage.start, outage.end, outage.first) == (START, START + 5 * MINUTE, before)
    gap = Gap(start=before.at, end=START + 5 * MINUTE)
    assert claimed(Recorded(checks=checks, gaps=[gap])).outages == ()


def test_an_outage_that_is_not_over_lasts_to_the_end_of_what_was_seen() -> None:
    """Over hours and midnights, and never longer than the uptime counts as down."""
    checks = [*every_minute(START, START + 20 * HOUR), *every_minute(START + 20 * HOUR, START + 30 * HOUR)]
    checks[-600:] = every_minute(START + 20 * HOUR, START + 30 * HOUR, Outcome.DNS_FAILED)
    [outage] = claimed(Recorded(checks=checks), hours=30).outages
    assert (outage.start, outage.end) == (START + 20 * HOUR, START + 30 * HOUR)
    assert outage.outcomes == {Outcome.DNS_FAILED: 600}


def test_an_outage_that_nothing_ends_lasts_as_long_as_it_was_counted() -> None:
    """Whoever counts the uptime may know better when nobody checks any more; both must agree."""
    uptime = Uptime(up=20 * MINUTE, down=12 * MINUTE, unknown=28 * MINUTE)
    failing = every_minute(START + 20 * MINUTE, START + 30 * MINUTE, Outcome.SERVER_ERROR)
    hour = Slice(start=START, end=START + HOUR, outcomes={Outcome.SERVER_ERROR: 10}, uptime=uptime)
    [outage] = outages_from_checks(failing, [], [hour])
    assert (outage.start, outage.end) == (START + 20 * MINUTE, START + 32 * MINUTE)


def test_of_equally_frequent_causes_it_is_the_one_it_began_with() -> None:
    """Or the first by name, where it began with another."""
    at = START + HOUR
    lost, error, late = Outcome.CONNECTION_LOST, Outcome.SERVER_ERROR, Outcome.RESPONSE_TIMEOUT
    for outcomes, cause in (
        ((error, lost), error),
        ((lost, error), lost),
        ((error, late, lost, late, lost), lost),
        ((error, lost, late, lost), lost),
    ):
        troubled = [check(at + number * MINUTE, outcome) for number, outcome in enumerate(outcomes)]
        [outage] = claimed(Recorded(checks=day_with(*troubled))).outages
        assert outage.cause is cause


def test_where_fine_checks_are_gone_incidents_say_how_long_it_was_down() -> None:
    """Failing checks are kept longer: they are the evidence. What no incident covers is down, and not listed."""
    at = START + 7 * HOUR
    failing = every_minute(at, at + 4 * MINUTE, Outcome.RESPONSE_TIMEOUT)
    single = check(START + 9 * HOUR, Outcome.CONNECTION_LOST)
    fine = [one for one in day_with(*failing, single) if one.outcome is Outcome.OK]
    known = incident(3, at, at + 4 * MINUTE, Outcome.RESPONSE_TIMEOUT, failed=4)
    slow = replace(known, id=4, opened_at=START, closed_at=START + 23 * HOUR, severity=Severity.WARNING)
    claim = claimed(Recorded(checks=[*failing, single], pruned=fine, incidents=[known, slow]))
    [outage] = claim.outages
    assert (outage.start, outage.end, outage.incident) == (at, at + 4 * MINUTE, 3)
    assert outage.outcomes == {Outcome.RESPONSE_TIMEOUT: 4}
    assert claim.down_unlisted == MINUTE


def test_only_the_hours_in_which_something_was_wrong_are_read() -> None:
    """A month of checks at a minute is 44,640; a claim asks for those of two hours."""
    troubled = (
        check(START + 5 * DAY + 59 * MINUTE, Outcome.SERVER_ERROR),
        check(START + 5 * DAY + HOUR, Outcome.OFFLINE),
    )
    others = {one.at: one for one in troubled}
    checks = [others.get(one.at, one) for one in every_minute(START, START + 10 * DAY)]
    archive = MadeArchive(recorded={"main": Recorded(checks=checks)})
    period = Period(start=START, end=START + 10 * DAY, grain=Grain.DAY)
    read_claim(archive, "main", period, month_end=MONTH_END)
    assert archive.asked == [
        (START + 5 * DAY, START + 5 * DAY + HOUR),
        (START + 5 * DAY + HOUR, START + 5 * DAY + 2 * HOUR),
    ]


def test_more_checks_in_an_hour_than_one_page_are_all_read() -> None:
    """A check each second, all of them failing."""
    checks = [check(START + timedelta(seconds=number), Outcome.CONNECTION_REFUSED) for number in range(3600)]
    [outage] = claimed(Recorded(checks=checks), hours=1).outages
    assert outage.outcomes == {Outcome.CONNECTION_REFUSED: 3600}
    assert outage.duration == HOUR


_OUTCOMES = st.sampled_from(
    [Outcome.OK, Outcome.OK, Outcome.SLOW, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED, Outcome.OFFLINE]
)


@given(st.lists(st.tuples(st.integers(1, 5400), _OUTCOMES, st.booleans()), min_size=1, max_size=40))
def test_what_is_listed_adds_up_to_what_was_counted(steps: list[tuple[int, Outcome, bool]]) -> None:
    """Whatever the pauses, outcomes and gaps: the outages are the times that are down, to the second."""
    checks, gaps, at = [check(START)], [], START
    for pause, outcome, is_gap in steps:
        if is_gap:
            gaps.append(Gap(start=at, end=at + timedelta(seconds=pause)))
        at += timedelta(seconds=pause)
        checks.append(check(at, outcome))
    recorded = Recorded(checks=checks, gaps=gaps)
    end = at + 10 * MINUTE
    archive = MadeArchive(recorded={"main": recorded})
    history = archive.history("main", start=START, end=end, grain=Grain.HOUR)
    found = [
        one
        for run in troubled_runs(history.slices)
        for one in outages_from_checks([one for one in checks if run[0].start <= one.at < run[-1].end], gaps, run)
    ]
    down = [(begin, until) for begin, until, state in states(recorded, START, end) if state is False]
    merged: list[tuple[object, object]] = []
    for begin, until in down:
        if merged and merged[-1][1] == begin:
            merged[-1] = (merged[-1][0], until)
        else:
            merged.append((begin, until))
    assert [(one.start, one.end) for one in found if one.is_down] == merged
    assert sum((one.duration for one in found if one.is_down), timedelta(0)) == history.whole.uptime.down
