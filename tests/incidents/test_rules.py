"""Diaries of incidents: look, expect, look, expect. The rules are the contract's (design, 4.1 and 4.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.alerts.notification import Kind, Notice, Severity
from monitor.checks.observation import Look, Outcome
from monitor.config.settings import AlertSettings, Rule
from monitor.incidents.rules import acknowledge, advance, in_doubt
from monitor.incidents.state import Incident, Watch, watch_from_json, watch_to_json

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
    """One database whose looks are written as letters, a minute apart; it answers with what was said."""

    def __init__(self, alerts: AlertSettings | None = None) -> None:
        self.alerts = alerts or AlertSettings()
        self.watch = Watch()
        self.now = START
        self.incidents: dict[int, Incident] = {}

    def look(self, letters: str, *, pause: timedelta = MINUTE) -> list[Notice]:
        said: list[Notice] = []
        for letter in letters:
            look = Look(database="main", at=self.now, outcome=LETTERS[letter], detail=f"seen {letter}")
            step = advance(self.watch, look, self.alerts, next_incident=len(self.incidents) + 1)
            # Every state goes through the file's dress, as it does between two looks in real life.
            self.watch = watch_from_json(watch_to_json(step.watch))
            assert self.watch == step.watch
            if step.incident is not None:
                self.incidents[step.incident.id] = step.incident
            said += step.notices
            self.now += pause
        return said

    def kinds(self, letters: str, *, pause: timedelta = MINUTE) -> list[Kind]:
        return [notice.kind for notice in self.look(letters, pause=pause)]

    @property
    def hurries(self) -> bool:
        return in_doubt(self.watch, self.alerts)


@pytest.mark.parametrize(
    ("looks", "opens_at"),
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
def test_an_incident_opens_exactly_at_its_count(looks: str, opens_at: int | None) -> None:
    """The count of each family, of a mixture and of slow looks is met at the stated look and no earlier."""
    diary = Diary()
    opened = [number for number, letter in enumerate(looks, start=1) if Kind.OPENED in diary.kinds(letter)]
    assert opened == ([] if opens_at is None else [opens_at])


def test_a_timeout_is_told_once_and_its_recovery_once() -> None:
    """Three timeouts open, more of them say nothing, two fine looks close; the times are those of the looks."""
    diary = Diary()
    assert diary.look("...xx") == []
    [opened] = diary.look("x")
    assert (opened.kind, opened.cause, opened.incident) == (Kind.OPENED, Outcome.RESPONSE_TIMEOUT, 1)
    assert (opened.since, opened.looks_failed, opened.detail) == (START + 3 * MINUTE, 3, "seen x")
    assert diary.look("xx.") == []
    [closed] = diary.look(".")
    assert (closed.kind, closed.incident, closed.looks_failed) == (Kind.CLOSED, 1, 5)
    assert (closed.since, closed.until) == (START + 3 * MINUTE, START + 8 * MINUTE)
    assert closed.duration == 5 * MINUTE
    assert diary.look("....") == []


def test_a_closed_incident_leaves_nothing_that_counts_for_the_next() -> None:
    """After a recovery the window is empty: it takes a full count to open again."""
    diary = Diary()
    assert diary.kinds("xxx..") == [Kind.OPENED, Kind.CLOSED]
    assert diary.kinds("xx") == []
    assert diary.kinds("x") == [Kind.OPENED]
    assert list(diary.incidents) == [1, 2]


def test_unknown_looks_change_nothing_at_all() -> None:
    """Offline and monitor errors neither open, close, remind nor shift a window."""
    diary = Diary()
    diary.look("xx")
    before = diary.watch
    diary.look("omomom", pause=timedelta(hours=5))
    assert diary.watch == before
    diary.now = START + 2 * MINUTE
    assert diary.kinds("x") == [Kind.OPENED]
    open_watch = diary.watch
    diary.look("om", pause=timedelta(hours=30))
    assert diary.watch == open_watch


def test_one_fine_look_in_the_middle_does_not_close() -> None:
    """Recovery is two fine looks in a row; a failure between them begins the count anew."""
    diary = Diary()
    diary.look("xxx")
    assert diary.look(".x.x.") == []
    assert diary.kinds(".") == [Kind.CLOSED]


def test_a_confirmed_change_of_cause_is_told_once() -> None:
    """Two rejected tokens in a row change a timeout incident; going back and forth says nothing new."""
    diary = Diary()
    diary.look("xxx")
    assert diary.look("t") == []
    [changed] = diary.look("t")
    assert (changed.kind, changed.cause, changed.before) == (
        Kind.CHANGED,
        Outcome.TOKEN_REJECTED,
        Outcome.RESPONSE_TIMEOUT,
    )
    assert diary.look("xxxttxxx") == []
    [closed] = diary.look("..")
    assert closed.causes == (Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED)


def test_a_slow_incident_that_begins_to_fail_becomes_critical() -> None:
    """Slow is a warning; a mixture of failures that would open an incident makes it critical and says so."""
    diary = Diary()
    [opened] = diary.look("sssss")
    assert (opened.severity, opened.looks_failed) == (Severity.WARNING, 5)
    assert diary.look("sxr") == []
    assert diary.hurries
    [worse] = diary.look("5")
    assert (worse.kind, worse.severity, worse.incident) == (Kind.CHANGED, Severity.CRITICAL, 1)
    assert diary.kinds("..") == [Kind.CLOSED]


def test_slow_looks_do_not_close_an_incident() -> None:
    """Slow is not fine: an incident stays open, and turns into a slow one when that is confirmed."""
    diary = Diary()
    diary.look("xxx")
    assert diary.kinds("ssss.") == []
    assert diary.kinds("s") == [Kind.CHANGED]
    assert diary.watch.incident is not None
    assert diary.watch.incident.severity is Severity.WARNING


def test_reminders_come_after_one_and_four_hours_and_then_daily() -> None:
    """The list of the settings, its last entry repeating; counted from the message that opened."""
    diary = Diary()
    diary.look("xxx")
    told = diary.now - MINUTE
    reminded = []
    while diary.now < told + timedelta(hours=80):
        at = diary.now
        reminded += [at - told for notice in diary.look("x", pause=10 * MINUTE) if notice.kind is Kind.REMINDER]
    assert [round(after / timedelta(hours=1)) for after in reminded] == [1, 4, 24, 48, 72]


def test_after_a_long_sleep_one_reminder_stands_for_all_that_were_due() -> None:
    """A monitor that was away for two days reminds once, not four times."""
    diary = Diary()
    diary.look("xxx")
    diary.now += timedelta(days=2)
    assert diary.kinds("xx") == [Kind.REMINDER]


def test_an_acknowledged_incident_does_not_remind_but_its_end_is_told() -> None:
    """Somebody knows: no reminders; a change of cause and the end are still news."""
    diary = Diary()
    diary.look("xxx")
    diary.watch = acknowledge(diary.watch, diary.now)
    assert acknowledge(diary.watch, diary.now + MINUTE) == diary.watch
    assert diary.kinds("x" * 30, pause=timedelta(hours=3)) == []
    assert diary.kinds("..") == [Kind.CLOSED]
    assert diary.incidents[1].acknowledged_at == START + 3 * MINUTE


def test_the_cause_of_a_mixture_is_its_most_common_outcome() -> None:
    """Of equally common ones the latest; the detail is that of the look that decided."""
    diary = Diary()
    [opened] = diary.look("xr5")
    assert opened.cause is Outcome.SERVER_ERROR
    diary = Diary()
    [opened] = diary.look("xx5")
    assert opened.cause is Outcome.RESPONSE_TIMEOUT


def test_failures_of_yesterday_and_of_today_are_not_in_a_row() -> None:
    """Two timeouts before a day's break and one after it are no incident."""
    diary = Diary()
    diary.look("xx")
    diary.now += timedelta(hours=25)
    assert diary.look("x") == []


@pytest.mark.parametrize(
    ("looks", "hurries"),
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
def test_looks_come_faster_exactly_while_a_decision_is_near(looks: str, hurries: bool) -> None:
    """In doubt: a failure below its count, a recovery below its count, a change of cause not yet confirmed."""
    diary = Diary()
    diary.look(looks)
    assert diary.hurries is hurries


def test_slow_is_a_doubt_only_where_asked_for() -> None:
    """`check` without a memory wants slow decided in one run."""
    diary = Diary()
    diary.look("s")
    assert not in_doubt(diary.watch, diary.alerts)
    assert in_doubt(diary.watch, diary.alerts, slow_too=True)


def test_the_counts_are_settings() -> None:
    """A rule of 1 of 1 opens at once, a recovery of 1 closes at once, no reminders means none."""
    one = Rule(failures=1, within=1)
    diary = Diary(AlertSettings(network=one, recovery=1, reminders=()))
    assert diary.kinds("x.") == [Kind.OPENED, Kind.CLOSED]
    assert diary.kinds("x" * 5, pause=timedelta(days=2)) == [Kind.OPENED]


def test_a_clock_that_jumps_does_not_lose_or_repeat_anything() -> None:
    """An hour forth and back in the middle of an incident: one opening, one end."""
    diary = Diary()
    diary.look("xx")
    diary.now += timedelta(hours=1)
    assert diary.kinds("x") == [Kind.OPENED]
    diary.now -= timedelta(hours=1)
    assert diary.kinds("xx") == []
    diary.now += timedelta(hours=1)
    assert [kind for kind in diary.kinds("x..") if kind is not Kind.REMINDER] == [Kind.CLOSED]
