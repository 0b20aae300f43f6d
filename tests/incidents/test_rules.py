"""Diaries of incidents: look, expect, look, expect. The rules are the contract's (design, 4.1 and 4.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import Check, Outcome
from monitor.config.settings import AlertSettings, Rule
from monitor.incidents.rules import acknowledge, advance, is_in_doubt_now
from monitor.incidents.state import Incident, IncidentState, state_from_json, state_to_json

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


class Diary:
    """One database whose checks are written as letters, a minute apart; it answers with what was said."""

    def __init__(self, alerts: AlertSettings | None = None) -> None:
        self.alerts = alerts or AlertSettings()
        self.state = IncidentState()
        self.now = START
        self.incidents: dict[int, Incident] = {}

    def check(self, letters: str, *, pause: timedelta = MINUTE) -> list[Notification]:
        said: list[Notification] = []
        for letter in letters:
            check = Check(database="main", at=self.now, outcome=LETTERS[letter], detail=f"seen {letter}")
            transition = advance(self.state, check, self.alerts, next_incident=len(self.incidents) + 1)
            # Every state goes through the file's dress, as it does between two checks in real life.
            self.state = state_from_json(state_to_json(transition.state))
            assert self.state == transition.state
            if transition.incident is not None:
                self.incidents[transition.incident.id] = transition.incident
            said += transition.notifications
            self.now += pause
        return said

    def kinds(self, letters: str, *, pause: timedelta = MINUTE) -> list[NotificationKind]:
        return [notification.kind for notification in self.check(letters, pause=pause)]

    @property
    def hurries(self) -> bool:
        return is_in_doubt_now(self.state, self.alerts)


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
    diary = Diary()
    opened = [
        number for number, letter in enumerate(checks, start=1) if NotificationKind.OPENED in diary.kinds(letter)
    ]
    assert opened == ([] if opens_at is None else [opens_at])


def test_a_timeout_is_told_once_and_its_recovery_once() -> None:
    """Three timeouts open, more of them say nothing, two fine checks close; the times are those of the checks."""
    diary = Diary()
    assert diary.check("...xx") == []
    [opened] = diary.check("x")
    assert (opened.kind, opened.cause, opened.incident) == (NotificationKind.OPENED, Outcome.RESPONSE_TIMEOUT, 1)
    assert (opened.since, opened.checks_failed, opened.detail) == (START + 3 * MINUTE, 3, "seen x")
    assert diary.check("xx.") == []
    [closed] = diary.check(".")
    assert (closed.kind, closed.incident, closed.checks_failed) == (NotificationKind.CLOSED, 1, 5)
    assert (closed.since, closed.until) == (START + 3 * MINUTE, START + 8 * MINUTE)
    assert closed.duration == 5 * MINUTE
    assert diary.check("....") == []


def test_a_closed_incident_leaves_nothing_that_counts_for_the_next() -> None:
    """After a recovery the window is empty: it takes a full count to open again."""
    diary = Diary()
    assert diary.kinds("xxx..") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    assert diary.kinds("xx") == []
    assert diary.kinds("x") == [NotificationKind.OPENED]
    assert list(diary.incidents) == [1, 2]


def test_unknown_checks_change_nothing_at_all() -> None:
    """Offline and monitor errors neither open, close, remind nor shift a window."""
    diary = Diary()
    diary.check("xx")
    before = diary.state
    diary.check("omomom", pause=timedelta(hours=5))
    assert diary.state == before
    diary.now = START + 2 * MINUTE
    assert diary.kinds("x") == [NotificationKind.OPENED]
    open_watch = diary.state
    diary.check("om", pause=timedelta(hours=30))
    assert diary.state == open_watch


def test_one_fine_check_in_the_middle_does_not_close() -> None:
    """Recovery is two fine checks in a row; a failure between them begins the count anew."""
    diary = Diary()
    diary.check("xxx")
    assert diary.check(".x.x.") == []
    assert diary.kinds(".") == [NotificationKind.CLOSED]


def test_a_confirmed_change_of_cause_is_told_once() -> None:
    """Two rejected tokens in a row change a timeout incident; going back and forth says nothing new."""
    diary = Diary()
    diary.check("xxx")
    assert diary.check("t") == []
    [changed] = diary.check("t")
    assert (changed.kind, changed.cause, changed.before) == (
        NotificationKind.CHANGED,
        Outcome.TOKEN_REJECTED,
        Outcome.RESPONSE_TIMEOUT,
    )
    assert diary.check("xxxttxxx") == []
    [closed] = diary.check("..")
    assert closed.causes == (Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED)


def test_a_slow_incident_that_begins_to_fail_becomes_critical() -> None:
    """Slow is a warning; a mixture of failures that would open an incident makes it critical and says so."""
    diary = Diary()
    [opened] = diary.check("sssss")
    assert (opened.severity, opened.checks_failed) == (Severity.WARNING, 5)
    assert diary.check("sxr") == []
    assert diary.hurries
    [worse] = diary.check("5")
    assert (worse.kind, worse.severity, worse.incident) == (NotificationKind.CHANGED, Severity.CRITICAL, 1)
    assert diary.kinds("..") == [NotificationKind.CLOSED]


def test_slow_checks_do_not_close_an_incident() -> None:
    """Slow is not fine: an incident stays open, and turns into a slow one when that is confirmed."""
    diary = Diary()
    diary.check("xxx")
    assert diary.kinds("ssss.") == []
    assert diary.kinds("s") == [NotificationKind.CHANGED]
    assert diary.state.incident is not None
    assert diary.state.incident.severity is Severity.WARNING


def test_reminders_come_after_one_and_four_hours_and_then_daily() -> None:
    """The list of the settings, its last entry repeating; counted from the message that opened."""
    diary = Diary()
    diary.check("xxx")
    told = diary.now - MINUTE
    reminded = []
    while diary.now < told + timedelta(hours=80):
        at = diary.now
        reminded += [
            at - told
            for notification in diary.check("x", pause=10 * MINUTE)
            if notification.kind is NotificationKind.REMINDER
        ]
    assert [round(after / timedelta(hours=1)) for after in reminded] == [1, 4, 24, 48, 72]


def test_after_a_long_sleep_one_reminder_stands_for_all_that_were_due() -> None:
    """A monitor that was away for two days reminds once, not four times."""
    diary = Diary()
    diary.check("xxx")
    diary.now += timedelta(days=2)
    assert diary.kinds("xx") == [NotificationKind.REMINDER]


def test_an_acknowledged_incident_does_not_remind_but_its_end_is_told() -> None:
    """Somebody knows: no reminders; a change of cause and the end are still news."""
    diary = Diary()
    diary.check("xxx")
    diary.state = acknowledge(diary.state, diary.now)
    assert acknowledge(diary.state, diary.now + MINUTE) == diary.state
    assert diary.kinds("x" * 30, pause=timedelta(hours=3)) == []
    assert diary.kinds("..") == [NotificationKind.CLOSED]
    assert diary.incidents[1].acknowledged_at == START + 3 * MINUTE


def test_the_cause_of_a_mixture_is_its_most_common_outcome() -> None:
    """Of equally common ones the latest; the detail is that of the check that decided."""
    diary = Diary()
    [opened] = diary.check("xr5")
    assert opened.cause is Outcome.SERVER_ERROR
    diary = Diary()
    [opened] = diary.check("xx5")
    assert opened.cause is Outcome.RESPONSE_TIMEOUT


def test_failures_of_yesterday_and_of_today_are_not_in_a_row() -> None:
    """Two timeouts before a day's break and one after it are no incident."""
    diary = Diary()
    diary.check("xx")
    diary.now += timedelta(hours=25)
    assert diary.check("x") == []


@pytest.mark.parametrize(
    ("checks", "hurries"),
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
def test_checks_come_faster_exactly_while_a_decision_is_near(checks: str, hurries: bool) -> None:
    """In doubt: a failure below its count, a recovery below its count, a change of cause not yet confirmed."""
    diary = Diary()
    diary.check(checks)
    assert diary.hurries is hurries


def test_slow_is_a_doubt_only_where_asked_for() -> None:
    """`check` without a memory wants slow decided in one run."""
    diary = Diary()
    diary.check("s")
    assert not is_in_doubt_now(diary.state, diary.alerts)
    assert is_in_doubt_now(diary.state, diary.alerts, slow_too=True)


def test_the_counts_are_settings() -> None:
    """A rule of 1 of 1 opens at once, a recovery of 1 closes at once, no reminders means none."""
    one = Rule(failures=1)
    diary = Diary(AlertSettings(network=one, recovery=1, reminders=()))
    assert diary.kinds("x.") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    assert diary.kinds("x" * 5, pause=timedelta(days=2)) == [NotificationKind.OPENED]


def test_a_clock_that_jumps_does_not_lose_or_repeat_anything() -> None:
    """An hour forth and back in the middle of an incident: one opening, one end."""
    diary = Diary()
    diary.check("xx")
    diary.now += timedelta(hours=1)
    assert diary.kinds("x") == [NotificationKind.OPENED]
    diary.now -= timedelta(hours=1)
    assert diary.kinds("xx") == []
    diary.now += timedelta(hours=1)
    assert [kind for kind in diary.kinds("x..") if kind is not NotificationKind.REMINDER] == [
        NotificationKind.CLOSED
    ]
