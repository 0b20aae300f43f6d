"""All that is known of one incident: its checks in runs, its messages, its gaps."""

from __future__ import annotations

from datetime import timedelta

from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.checks.observation import Outcome
from monitor.store.queries import IncidentRecord, incident_record
from tests.store.conftest import INTERVAL, StoreSetup

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="the service answered 503")
INTERVALS = {"main": INTERVAL}


def record(setup: StoreSetup, number: int = 1) -> IncidentRecord:
    found = setup.store.read(lambda c: incident_record(c, number, intervals=INTERVALS, now=setup.now))
    assert found is not None
    return found


def runs(found: IncidentRecord) -> list[tuple[Outcome, int]]:
    return [(outcome, count) for run in found.runs for outcome, count in run.outcomes.items()]


def test_runs_go_from_the_first_failure_that_counts_to_the_check_that_closed_it(setup: StoreSetup) -> None:
    """Neither the checks before it nor those after it; what was seen goes with each run."""
    setup.checks(OK, OK, REJECTED, REJECTED, REJECTED, OK, OK, OK, OK)
    found = record(setup)
    assert runs(found) == [(REJECTED, 3), (OK, 2)]
    assert (found.runs[0].start, found.runs[0].detail) == (found.incident.opened_at, "what was seen")
    assert (found.runs[1].start, found.are_checks_complete) == (found.incident.closed_at, True)


def test_each_message_is_there_with_its_attempts_and_its_last_error(setup: StoreSetup) -> None:
    """One for each channel: tried in vain, delivered, waiting."""
    setup.checks(REJECTED, REJECTED)
    for _ in range(2):
        delivery = setup.store.claim("slack", setup.now)
        assert delivery is not None
        setup.store.acknowledge_delivery(delivery, AWAY, setup.now, 0.0)
        setup.now += timedelta(seconds=10)
    setup.deliver("telegram")
    slack, telegram = record(setup).messages
    assert (slack.attempts, slack.delivered_at, slack.last_error) == (2, None, "the service answered 503")
    assert (telegram.kind, telegram.attempts, telegram.delivered_at) == ("opened", 1, setup.now)
    assert telegram.last_error == ""


def test_no_run_goes_on_across_a_time_in_which_nobody_checked(setup: StoreSetup) -> None:
    """A gap in the middle, and one that goes on until now."""
    setup.checks(REJECTED, REJECTED)
    setup.check(REJECTED, after=timedelta(hours=1))
    setup.now += timedelta(hours=2)
    found = record(setup)
    assert runs(found) == [(REJECTED, 2), (REJECTED, 1)]
    lasted = [(gap.end - gap.start) // timedelta(hours=1) for gap in found.gaps]
    assert lasted == [1, 2]


def test_a_host_that_comes_and_goes_is_summed_up_in_the_middle(setup: StoreSetup) -> None:
    """As many lines as people read; every check is counted."""
    setup.checks(REJECTED, REJECTED, *(OK, TIMEOUT) * 60)
    found = record(setup)
    assert len(found.runs) <= 40
    assert sum(run.checks for run in found.runs) == 122
    assert max(len(run.outcomes) for run in found.runs) == 2


def test_a_number_that_was_not_given_has_no_record(setup: StoreSetup) -> None:
    """Not even while there are no checks."""
    assert setup.store.read(lambda c: incident_record(c, 7, intervals=INTERVALS, now=setup.now)) is None
