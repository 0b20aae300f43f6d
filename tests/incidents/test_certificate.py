"""A certificate that ends soon, check by check: when it is notified, and that this happens once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity, from_json, to_json
from monitor.alerts.text import compose, plain_text
from monitor.checks.observation import (
    Check,
    Fact,
    Outcome,
    certificate_ends_soon,
    describe_certificate_end,
    with_certificate,
)
from monitor.diagnosis.verdicts import DatabaseProfile, HostKind, VerdictCode, judge_outcome
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, state_from_json, state_to_json
from tests.judging import QUICK, explain

START = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class OneDatabase:
    """One database behind TLS; every state goes through JSON, as from one run of the program to the next."""

    def __init__(self) -> None:
        self.state = IncidentState()
        self.now = START

    def check(
        self,
        ends_at: datetime | None,
        outcome: Outcome = Outcome.OK,
        *,
        warns: bool = True,
        status: int | None = 200,
    ) -> list[Notification]:
        check = Check(
            database="main", at=self.now, outcome=outcome, http_status=status, certificate_ends_at=ends_at
        )
        transition = advance(self.state, check, QUICK, next_incident=1, explain=explain, warns=warns)
        self.state = state_from_json(state_to_json(transition.state))
        assert self.state == transition.state
        return [one for one in transition.notifications if one.kind is NotificationKind.WARNING]

    def days(self, number: int, ends_at: datetime | None, *, every: timedelta = HOUR) -> int:
        """How many warnings come within so many days."""
        count, end = 0, self.now + number * DAY
        while self.now < end:
            count += len(self.check(ends_at))
            self.now += every
        return count


@pytest.mark.parametrize(("days", "warnings"), [(15, 0), (14.01, 0), (13.99, 1), (13, 1), (0.5, 1)])
def test_it_is_notified_within_14_days(days: float, warnings: int) -> None:
    """Not before, and by the first check that sees it."""
    assert len(OneDatabase().check(START + days * DAY)) == warnings


def test_a_certificate_is_notified_once_as_it_ages_and_so_is_the_next() -> None:
    """Half a year of hourly checks; the certificate is renewed at the last hour."""
    database = OneDatabase()
    first = START + 90 * DAY
    assert database.days(76, first) == 0
    assert database.days(14, first) == 1
    assert database.days(76, first + 90 * DAY) == 0
    assert database.days(13, first + 90 * DAY) == 1


def test_one_that_is_renewed_in_time_is_silence() -> None:
    """Thirty days before its end, for good."""
    database = OneDatabase()
    assert [database.days(60, START + (number * 60 + 90) * DAY, every=DAY) for number in range(6)] == [0] * 6


def test_servers_with_certificates_of_their_own_are_each_notified_once() -> None:
    """Behind one name one has renewed, two have not: that the answers take turns is no news."""
    database = OneDatabase()
    ends = [START + days * DAY for days in (13, 90, 10)]
    count = 0
    for number in range(300):
        count += len(database.check(ends[number % 3]))
        database.now += timedelta(minutes=1)
    assert count == 2


def test_certificates_that_live_for_hours_are_notified_once() -> None:
    """A server that issues its own every eight hours, for twelve, also while it fails otherwise."""
    database = OneDatabase()
    count = 0
    for hours in range(24 * 30):
        ends_at = START + (hours // 8) * 8 * HOUR + 12 * HOUR
        count += len(database.check(ends_at, Outcome.TOKEN_REJECTED if 100 < hours < 140 else Outcome.OK))
        database.now += HOUR
    assert count == 1


def test_it_waits_while_the_database_fails() -> None:
    """Then there is other trouble to read about; it is told with the first check that finds it usable, or slow."""
    database = OneDatabase()
    ends_at = START + 13 * DAY
    for outcome in (Outcome.TOKEN_REJECTED, Outcome.OFFLINE, Outcome.MONITOR_ERROR, Outcome.SERVER_ERROR):
        assert database.check(ends_at, outcome) == []
    assert len(database.check(ends_at, Outcome.SLOW)) == 1
    assert database.check(ends_at) == []


def test_it_is_not_notified_where_it_would_be_forgotten() -> None:
    """A run whose memory ends with it tells only where it is asked to."""
    database = OneDatabase()
    assert database.check(START + 13 * DAY, warns=False) == []
    assert len(database.check(START + 13 * DAY)) == 1


def test_what_the_latest_connection_showed_is_remembered() -> None:
    """A failed connection leaves it; an answer over http:// ends it."""
    database = OneDatabase()
    database.check(START + 90 * DAY)
    database.check(None, Outcome.CONNECTION_REFUSED, status=None)
    assert database.state.certificate_ends_at == START + 90 * DAY
    database.check(None)
    assert database.state.certificate_ends_at is None


def test_a_state_of_an_older_build_has_seen_no_certificate() -> None:
    """Its JSON has neither field."""
    values = state_to_json(IncidentState())
    del values["certificate_ends_at"], values["certificate_warnings"]
    assert state_from_json(values) == IncidentState()


@pytest.mark.parametrize(
    ("kind", "move", "step"),
    [
        (HostKind.UPSTASH, "Upstash's move", "Upstash renews it as a rule"),
        (HostKind.OTHER, "your move", "Renew the server's certificate."),
    ],
)
def test_the_message_says_when_and_whose_move_it_is(kind: HostKind, move: str, step: str) -> None:
    """The first line says what and when; through the outbox and back it is the same."""
    [warning] = OneDatabase().check(START + 13.5 * DAY)
    assert warning.verdict is not None
    assert (warning.severity, warning.verdict.code) == (Severity.WARNING, VerdictCode.CERTIFICATE_ENDS_SOON)
    assert from_json(to_json(warning)) == warning
    profile = DatabaseProfile(database="main", host_kind=kind)
    verdict = judge_outcome(Outcome.OK, profile)
    check = Check(database="main", at=START, outcome=Outcome.OK, certificate_ends_at=START + 13.5 * DAY)
    [warning] = advance(
        IncidentState(), check, QUICK, next_incident=1, explain=lambda _cause: verdict
    ).notifications
    assert plain_text(compose(warning)).splitlines() == [
        f"🟡 main: the certificate ends in 13 days (2026-12-12) · {move}",
        "Everything works, and the host's certificate ends within two weeks.",
        next(line for line in plain_text(compose(warning)).splitlines() if line.startswith(f"1. {step}")),
        "upstash-monitor · warning",
    ]


@pytest.mark.parametrize(
    ("left", "words"),
    [(14 * DAY, "in 14 days"), (1.5 * DAY, "in 1 day"), (HOUR, "within a day"), (-HOUR, "within a day")],
)
def test_the_end_is_told_in_days(left: timedelta, words: str) -> None:
    """Whole ones; with its date in UTC."""
    assert (
        describe_certificate_end(START + left, START) == f"the certificate ends {words} ({START + left:%Y-%m-%d})"
    )


def test_the_fact_is_for_checks_that_have_nothing_else_to_tell() -> None:
    """A slow or failing check keeps its own verdict."""
    soon = START + 13 * DAY
    for outcome in Outcome:
        check = with_certificate(Check(database="main", at=START, outcome=outcome), soon, START)
        assert (Fact.CERTIFICATE_ENDS_SOON in check.facts) == (outcome is Outcome.OK)
    assert not certificate_ends_soon(None, START)
