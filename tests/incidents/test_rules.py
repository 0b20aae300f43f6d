"""Incidents as sequences of checks: what each check leads to, by the rules of the default settings and others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import CanaryResult, Check, Fact, Outcome
from monitor.config.settings import AlertSettings, Rule
from monitor.incidents import rules
from monitor.incidents.rules import acknowledge, advance
from monitor.incidents.state import Incident, IncidentState, state_from_json, state_to_json
from tests.judging import explain

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LETTERS = {
    ".": Outcome.OK,
    "s": Outcome.SLOW,
    "u": Outcome.URL_MALFORMED,
    "t": Outcome.TOKEN_REJECTED,
    "p": Outcome.PERMISSION_DENIED,
    "q": Outcome.QUOTA_EXCEEDED,
    "x": Outcome.RESPONSE_TIMEOUT,
    "r": Outcome.CONNECTION_REFUSED,
    "5": Outcome.SERVER_ERROR,
    "o": Outcome.OFFLINE,
    "m": Outcome.MONITOR_ERROR,
}


class History:
    """One database whose checks are written as letters, a minute apart; `check` returns the notifications."""

    def __init__(self, alerts: AlertSettings | None = None) -> None:
        self.alerts = alerts or AlertSettings()
        self.state = IncidentState()
        self.now = START
        self.incidents: dict[int, Incident] = {}

    def check(self, letters: str, *, pause: timedelta = MINUTE) -> list[Notification]:
        notifications: list[Notification] = []
        for letter in letters:
            check = Check(database="main", at=self.now, outcome=LETTERS[letter], detail=f"seen {letter}")
            transition = advance(
                self.state, check, self.alerts, next_incident=len(self.incidents) + 1, explain=explain
            )
            # Every state goes through JSON, as it does between two checks of the program.
            self.state = state_from_json(state_to_json(transition.state))
            assert self.state == transition.state
            if transition.incident is not None:
                self.incidents[transition.incident.id] = transition.incident
            notifications += transition.notifications
            self.now += pause
        return notifications

    def kinds(self, letters: str, *, pause: timedelta = MINUTE) -> list[NotificationKind]:
        return [notification.kind for notification in self.check(letters, pause=pause)]

    @property
    def is_in_doubt(self) -> bool:
        return rules.is_in_doubt(self.state, self.alerts)


@pytest.mark.parametrize(
    ("checks", "opens_at"),
    [
        ("u", 1),
        ("tt", 2),
        ("t.t", None),
        ("tp", 2),
        ("qq", 2),
        ("xxx", 3),
        ("x.x.x", 5),
        ("x..x", None),
        ("x...xx", None),
        ("x..x.x", None),
        ("5x5", 3),
        ("xt5", 3),
        ("t.tx", 4),
        ("s.s.s.s.s", 9),
        ("sssss", 5),
        ("ssss.....s", 10),
        ("ssss......s", None),
        ("xoxox", 5),
        ("tomt", 4),
        ("oooooooo", None),
        ("mmmmmmmm", None),
        ("xsx", None),
        ("xsxsx", 5),
    ],
)
def test_an_incident_opens_exactly_at_its_count(checks: str, opens_at: int | None) -> None:
    """The count of each family, of a mixture and of slow checks is met at the stated check and no earlier."""
    history = History()
    opened = [
        number for number, letter in enumerate(checks, start=1) if NotificationKind.OPENED in history.kinds(letter)
    ]
    assert opened == ([] if opens_at is None else [opens_at])


def test_a_timeout_opens_once_and_closes_once() -> None:
    """Three timeouts open, more of them notify nothing, two fine checks close; times are those of the checks."""
    history = History()
    assert history.check("...xx") == []
    [opened] = history.check("x")
    assert (opened.kind, opened.cause, opened.incident) == (NotificationKind.OPENED, Outcome.RESPONSE_TIMEOUT, 1)
    assert (opened.since, opened.checks_failed, opened.detail) == (START + 3 * MINUTE, 3, "seen x")
    assert history.check("xx.") == []
    [closed] = history.check(".")
    assert (closed.kind, closed.incident, closed.checks_failed) == (NotificationKind.CLOSED, 1, 5)
    assert (closed.since, closed.until) == (START + 3 * MINUTE, START + 8 * MINUTE)
    assert closed.duration == 5 * MINUTE
    assert history.check("....") == []


def test_an_incident_whose_canary_was_turned_off_is_not_called_recovered() -> None:
    """PING was fine all the time and shows nothing; a canary that was fine does."""
    full = CanaryResult(sent_at=START, outcome=Outcome.CAPACITY_FULL)
    for after, is_unconfirmed in ((None, True), (CanaryResult(sent_at=START, outcome=Outcome.OK), False)):
        state, kinds = IncidentState(), []
        for minute, (outcome, canary) in enumerate(
            ((full.outcome, full), (full.outcome, None), (Outcome.OK, after), (Outcome.OK, None))
        ):
            facts = frozenset({Fact.FOUND_BY_CANARY} if outcome is full.outcome else ())
            check = Check(database="main", at=START + minute * MINUTE, outcome=outcome, canary=canary, facts=facts)
            transition = advance(state, check, AlertSettings(), next_incident=1, explain=explain)
            state = state_from_json(state_to_json(transition.state))
            assert state == transition.state
            kinds += [(one.kind, one.by_canary) for one in transition.notifications]
        assert kinds == [(NotificationKind.OPENED, True), (NotificationKind.CLOSED, is_unconfirmed)]
        # What PING meets later is nobody's canary's.
        assert state.canary == after


def test_a_closed_incident_leaves_nothing_that_counts_for_the_next() -> None:
    """After a recovery nothing is remembered: it takes a full count to open again."""
    history = History()
    assert history.kinds("xxx..") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    assert history.kinds("xx") == []
    assert history.kinds("x") == [NotificationKind.OPENED]
    assert list(history.incidents) == [1, 2]


def test_unknown_checks_change_nothing_at_all() -> None:
    """Offline and monitor errors neither open, close, remind nor push other checks out of what counts."""
    history = History()
    history.check("xx")
    before = history.state
    history.check("omomom", pause=timedelta(hours=5))
    assert history.state == before
    history.now = START + 2 * MINUTE
    assert history.kinds("x") == [NotificationKind.OPENED]
    open_state = history.state
    history.check("om", pause=timedelta(hours=30))
    assert history.state == open_state


def test_one_fine_check_in_the_middle_does_not_close() -> None:
    """Recovery is two fine checks in a row; a failure between them begins the count anew."""
    history = History()
    history.check("xxx")
    assert history.check(".x.x.") == []
    assert history.kinds(".") == [NotificationKind.CLOSED]


def test_a_confirmed_change_of_cause_is_notified_once() -> None:
    """Two rejected tokens in a row change a timeout incident; going back and forth notifies nothing new."""
    history = History()
    history.check("xxx")
    assert history.check("t") == []
    [changed] = history.check("t")
    assert (changed.kind, changed.cause, changed.before) == (
        NotificationKind.CHANGED,
        Outcome.TOKEN_REJECTED,
        Outcome.RESPONSE_TIMEOUT,
    )
    assert history.check("xxxttxxx") == []
    [closed] = history.check("..")
    assert closed.causes == (Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED)


def test_a_slow_incident_that_begins_to_fail_becomes_critical() -> None:
    """Slow is a warning; a mixture of failures that would open an incident makes it critical and notifies."""
    history = History()
    [opened] = history.check("sssss")
    assert (opened.severity, opened.checks_failed) == (Severity.WARNING, 5)
    assert history.check("sxr") == []
    assert history.is_in_doubt
    [worse] = history.check("5")
    assert (worse.kind, worse.severity, worse.incident) == (NotificationKind.CHANGED, Severity.CRITICAL, 1)
    assert history.kinds("..") == [NotificationKind.CLOSED]


def test_slow_checks_do_not_close_an_incident() -> None:
    """Slow is not fine: an incident stays open, and turns into a slow one when that is confirmed."""
    history = History()
    history.check("xxx")
    assert history.kinds("ssss.") == []
    assert history.kinds("s") == [NotificationKind.CHANGED]
    assert history.state.incident is not None
    assert history.state.incident.severity is Severity.WARNING


def test_reminders_come_after_one_and_four_hours_and_then_daily() -> None:
    """The list of the settings, its last entry repeating; counted from the message that opened."""
    history = History()
    history.check("xxx")
    notified_at = history.now - MINUTE
    reminded = []
    while history.now < notified_at + timedelta(hours=80):
        at = history.now
        reminded += [
            at - notified_at
            for notification in history.check("x", pause=10 * MINUTE)
            if notification.kind is NotificationKind.REMINDER
        ]
    assert [round(after / timedelta(hours=1)) for after in reminded] == [1, 4, 24, 48, 72]


def test_after_a_long_sleep_one_reminder_stands_for_all_that_were_due() -> None:
    """A monitor that was away for two days reminds once, not four times."""
    history = History()
    history.check("xxx")
    history.now += timedelta(days=2)
    assert history.kinds("xx") == [NotificationKind.REMINDER]


def test_an_acknowledged_incident_does_not_remind_but_its_end_is_notified() -> None:
    """Somebody knows: no reminders; a change of cause and the end are still news."""
    history = History()
    history.check("xxx")
    history.state = acknowledge(history.state, history.now)
    assert acknowledge(history.state, history.now + MINUTE) == history.state
    assert history.kinds("x" * 30, pause=timedelta(hours=3)) == []
    assert history.kinds("..") == [NotificationKind.CLOSED]
    assert history.incidents[1].acknowledged_at == START + 3 * MINUTE


def test_the_cause_of_a_mixture_is_its_most_common_outcome() -> None:
    """Of equally common ones the latest; the detail is that of the check that decided."""
    history = History()
    [opened] = history.check("xr5")
    assert opened.cause is Outcome.SERVER_ERROR
    history = History()
    [opened] = history.check("xx5")
    assert opened.cause is Outcome.RESPONSE_TIMEOUT


def test_failures_of_yesterday_and_of_today_are_not_in_a_row() -> None:
    """Two timeouts before a day's break and one after it are no incident."""
    history = History()
    history.check("xx")
    history.now += timedelta(hours=25)
    assert history.check("x") == []


@pytest.mark.parametrize(
    ("checks", "is_in_doubt"),
    [
        ("", False),
        (".....", False),
        ("x", True),
        ("x.", True),
        ("x..", True),
        ("x...", False),
        ("t", True),
        ("q.", True),
        ("xxx", False),
        ("xxxx", False),
        ("xxx.", True),
        ("xxx..", False),
        ("xxxt", True),
        ("xxxtt", False),
        ("xxxr", True),
        ("s", False),
        ("sssss", False),
        ("o", False),
        ("xo", True),
    ],
)
def test_checks_come_faster_exactly_while_a_decision_is_near(checks: str, is_in_doubt: bool) -> None:
    """In doubt: a failure below its count, a recovery below its count, a change of cause not yet confirmed."""
    history = History()
    history.check(checks)
    assert history.is_in_doubt is is_in_doubt


def test_slow_is_a_doubt_only_where_asked_for() -> None:
    """`check` without a memory wants slow decided in one run."""
    history = History()
    history.check("s")
    assert not rules.is_in_doubt(history.state, history.alerts)
    assert rules.is_in_doubt(history.state, history.alerts, with_slow=True)


def test_the_counts_are_settings() -> None:
    """A rule of 1 of 1 opens at once, a recovery of 1 closes at once, no reminders means none."""
    one = Rule(failures=1)
    history = History(AlertSettings(network=one, recovery=1, reminders=()))
    assert history.kinds("x.") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    assert history.kinds("x" * 5, pause=timedelta(days=2)) == [NotificationKind.OPENED]


def test_a_clock_that_jumps_does_not_lose_or_repeat_anything() -> None:
    """An hour forth and back in the middle of an incident: one opening, one end."""
    history = History()
    history.check("xx")
    history.now += timedelta(hours=1)
    assert history.kinds("x") == [NotificationKind.OPENED]
    history.now -= timedelta(hours=1)
    assert history.kinds("xx") == []
    history.now += timedelta(hours=1)
    assert [kind for kind in history.kinds("x..") if kind is not NotificationKind.REMINDER] == [
        NotificationKind.CLOSED
    ]
