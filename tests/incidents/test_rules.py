"""Incidents as sequences of checks: what each check leads to, by the rules of the default settings and others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import CanaryResult, Check, Fact, Outcome
from monitor.config.settings import AlertSettings
from monitor.incidents import rules
from monitor.incidents.rules import acknowledge, advance, fitted
from monitor.incidents.state import Incident, IncidentState, moved, state_from_json, state_to_json
from tests.judging import explain

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# The pause while a decision is near.
SOON = timedelta(seconds=5)
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
        ("tqtq", 4),
        ("xxx", None),
        ("xxxx", 4),
        ("xx.xx", 5),
        ("x.xxx", 5),
        ("xx..xx", None),
        ("xx..xxx", 7),
        ("x.x.x.x.x", 9),
        ("x...x...x...x...x...x...x...x...x", None),
        ("5x5x", 4),
        ("xt5r", 4),
        ("t.txx", 5),
        ("s.s.s.s.s", 9),
        ("sssss", 5),
        ("ssss.....s", 10),
        ("ssss......s", None),
        ("xoxoxox", 7),
        ("tomt", 4),
        ("oooooooo", None),
        ("mmmmmmmm", None),
        ("xsxsx", None),
        ("xsxxx", 5),
    ],
)
def test_an_incident_opens_exactly_when_the_evidence_is_enough(checks: str, opens_at: int | None) -> None:
    """In a row where that is the rule; else a failure weighs three times what a fine or slow check takes away."""
    history = History()
    opened = [
        number for number, letter in enumerate(checks, start=1) if NotificationKind.OPENED in history.kinds(letter)
    ]
    assert opened == ([] if opens_at is None else [opens_at])


def test_a_blip_wakes_nobody_however_often_it_is_looked_at() -> None:
    """Forty seconds lie between the first failing check and the one that opens; with `for: 0s` none need to."""
    history = History()
    assert history.kinds("x" * 8, pause=SOON) == []
    assert history.kinds("x", pause=SOON) == [NotificationKind.OPENED]
    assert history.incidents[1].opened_at == START
    at_once = History(AlertSettings.model_validate({"failing": {"failures": 4, "for": "0s"}}))
    assert at_once.kinds("xxxx", pause=SOON) == [NotificationKind.OPENED]


def test_what_does_not_flicker_need_not_last() -> None:
    """A wrong token is told at the second check, five seconds after the first."""
    assert History().kinds("tt", pause=SOON) == [NotificationKind.OPENED]


def test_evidence_is_dropped_after_a_quarter_of_an_hour_without_a_check() -> None:
    """A restart in between keeps it, a long sleep does not."""
    history = History()
    history.check("xxx")
    history.now += timedelta(minutes=10)
    assert history.kinds("x") == [NotificationKind.OPENED]
    history = History()
    history.check("xxx")
    history.now += timedelta(minutes=16)
    assert history.check("xxx") == []
    assert history.kinds("x") == [NotificationKind.OPENED]


def test_the_longest_memory_of_failures_is_a_few_fine_checks() -> None:
    """After an hour's outage the evidence is no more than after four checks: what counts is now."""
    history = History(AlertSettings.model_validate({"failing": {"failures": 4, "for": "2h"}}))
    history.check("x" * 60)
    assert history.check("." * 11) == []
    assert history.is_in_doubt
    history.check(".")
    assert not history.is_in_doubt


def test_a_timeout_opens_once_and_closes_once() -> None:
    """Four timeouts open, more notify nothing, two minutes of fine checks close; times are those of the checks."""
    history = History()
    assert history.check("...xxx") == []
    [opened] = history.check("x")
    assert (opened.kind, opened.cause, opened.incident) == (NotificationKind.OPENED, Outcome.RESPONSE_TIMEOUT, 1)
    assert (opened.since, opened.checks_failed, opened.detail) == (START + 3 * MINUTE, 4, "seen x")
    assert not opened.is_unstable
    assert history.check("xx..") == []
    [closed] = history.check(".")
    assert (closed.kind, closed.incident, closed.checks_failed) == (NotificationKind.CLOSED, 1, 6)
    assert (closed.since, closed.until) == (START + 3 * MINUTE, START + 9 * MINUTE)
    assert closed.duration == 6 * MINUTE
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
    """Once it may not open again, it takes a full count for one of a new number."""
    history = History()
    assert history.kinds("xxxx...") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    assert history.kinds("." * 20) == []
    assert history.kinds("xxx") == []
    assert history.kinds("x") == [NotificationKind.OPENED]
    assert list(history.incidents) == [1, 2]


def test_unknown_checks_change_nothing_at_all() -> None:
    """Offline and monitor errors neither open, close, remind nor push other checks out of what counts."""
    history = History()
    history.check("xxx")
    before = history.state
    history.check("omomom", pause=timedelta(hours=5))
    assert history.state == before
    history.now = START + 3 * MINUTE
    assert history.kinds("x") == [NotificationKind.OPENED]
    open_state = history.state
    history.check("om", pause=timedelta(hours=30))
    assert history.state == open_state


def test_a_failure_in_between_begins_the_recovery_anew() -> None:
    """It is over after two minutes without one, seen by two checks; for a token the checks are enough."""
    history = History()
    history.check("xxxx")
    assert history.check("..x..x..") == []
    assert history.kinds(".") == [NotificationKind.CLOSED]
    token = History()
    assert token.kinds("tt.t.", pause=SOON) == [NotificationKind.OPENED]
    assert token.kinds(".", pause=SOON) == [NotificationKind.CLOSED]


def test_slow_checks_are_up() -> None:
    """A host that answers slowly has recovered; an incident of slow answers has not."""
    failing = History()
    failing.check("xxxx")
    assert failing.kinds("s.s") == [NotificationKind.CLOSED]
    slow = History()
    slow.check("sssss")
    assert slow.check("..s..") == []
    assert slow.kinds(".") == [NotificationKind.CLOSED]


def test_after_a_pause_recovery_is_seen_anew() -> None:
    """One fine check after an hour's sleep does not close; a second does, and the end is the first of all."""
    history = History()
    history.check("xxxx.")
    history.now += timedelta(hours=1)
    assert history.check(".", pause=SOON) == []
    [closed] = history.check(".")
    assert (closed.kind, closed.until) == (NotificationKind.CLOSED, START + 4 * MINUTE)


def test_a_run_of_check_closes_what_was_fine_before() -> None:
    """Two checks in a run every hour: the first run begins the time, the second closes."""
    history = History()
    history.check("xxxx")
    hour = timedelta(hours=1)
    assert history.check("..", pause=SOON) == []
    assert not rules.is_in_doubt(history.state, history.alerts, in_one_run=True)
    assert history.is_in_doubt
    history.now += hour
    assert history.check(".", pause=SOON) == []
    assert rules.is_in_doubt(history.state, history.alerts, in_one_run=True)
    assert history.kinds(".") == [NotificationKind.CLOSED]


def test_what_opens_again_soon_is_the_same_incident_unstable() -> None:
    """Within twenty minutes it is reopened, counts on, and is over only after ten fine minutes."""
    history = History()
    history.check("xxxx...")
    assert history.check("....xxx") == []
    [reopened] = history.check("x")
    assert (reopened.kind, reopened.incident, reopened.is_unstable) == (NotificationKind.REOPENED, 1, True)
    assert (reopened.since, reopened.until, reopened.checks_failed) == (START, None, 8)
    assert history.check("..........") == []
    [closed] = history.check(".")
    assert (closed.kind, closed.incident, closed.is_unstable) == (NotificationKind.CLOSED, 1, True)
    assert list(history.incidents) == [1]


def test_what_opened_again_keeps_the_time_of_its_first_message() -> None:
    """Reminders begin anew with the second one, also by a clock that was set and after a restart."""
    history = History()
    history.check("xxxx...")
    opened = history.incidents[1].notified_at
    history.check("....xxxx")
    reopened_at = history.now - MINUTE
    incident = history.state.incident
    assert incident is not None
    assert (incident.notified_at, incident.reopened_at) == (opened, reopened_at)
    later = moved(state_from_json(state_to_json(history.state)), timedelta(hours=1)).incident
    assert later is not None
    assert later.reopened_at == reopened_at + timedelta(hours=1)
    history.now = opened + timedelta(hours=1)
    assert history.kinds("x") == []
    history.now = reopened_at + timedelta(hours=1)
    assert history.kinds("x") == [NotificationKind.REMINDER]


def test_another_severity_is_another_incident() -> None:
    """What was slow a moment ago and fails now is no flapping."""
    history = History()
    assert history.kinds("sssss...") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    assert history.kinds("xxxx") == [NotificationKind.OPENED]
    assert [incident.severity for incident in history.incidents.values()] == [Severity.WARNING, Severity.CRITICAL]


def test_a_host_that_comes_and_goes_is_told_as_unstable() -> None:
    """Eight runs of failures within twenty minutes open, with the pattern; so often is what random loss is not."""
    history = History()
    half_a_minute = timedelta(seconds=30)
    assert history.check("x..." * 7, pause=half_a_minute) == []
    [opened] = history.check("x", pause=half_a_minute)
    assert (opened.kind, opened.is_unstable, opened.since) == (NotificationKind.OPENED, True, START)
    assert (opened.fails_for, opened.fails_every) == (half_a_minute, 4 * half_a_minute)
    assert opened.checks_failed == 8
    assert history.check("x....." * 3, pause=half_a_minute) == []
    assert history.check("." * 15, pause=half_a_minute) == []
    assert history.kinds(".", pause=half_a_minute) == [NotificationKind.CLOSED]
    lossy = History()
    assert lossy.check("x....." * 30, pause=timedelta(seconds=10)) == []


def test_an_open_incident_that_comes_and_goes_becomes_unstable() -> None:
    """No message more, but its end takes longer."""
    history = History(
        AlertSettings.model_validate({"flapping": {"times": 3, "within": "10m"}, "reminders": ["10m"]})
    )
    history.check("xxxx.x.x")
    assert history.check("....") == []
    history.check("x")
    assert history.kinds("." * 6) == [NotificationKind.CLOSED]


def test_flapping_can_be_turned_off() -> None:
    """With `within: 0s` each incident is one of its own."""
    history = History(AlertSettings.model_validate({"flapping": {"within": "0s"}}))
    history.check("xxxx...xxxx")
    assert list(history.incidents) == [1, 2]


def test_a_confirmed_change_of_cause_is_notified_once() -> None:
    """Two rejected tokens in a row change a timeout incident; going back and forth notifies nothing new."""
    history = History()
    history.check("xxxx")
    assert history.check("txt") == []
    [changed] = history.check("t")
    assert (changed.kind, changed.cause, changed.before) == (
        NotificationKind.CHANGED,
        Outcome.TOKEN_REJECTED,
        Outcome.RESPONSE_TIMEOUT,
    )
    assert history.check("xxttxx") == []
    [closed] = history.check("...")
    assert closed.causes == (Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED)


def test_it_closes_by_the_rule_of_its_present_cause() -> None:
    """Timeouts that turn into a rejected token are over with the token."""
    history = History()
    history.check("xxxxtt")
    assert history.kinds("..", pause=SOON) == [NotificationKind.CLOSED]


def test_a_slow_incident_that_begins_to_fail_becomes_critical() -> None:
    """Slow is a warning; failures that would open an incident make it critical and notify."""
    history = History()
    [opened] = history.check("sssss")
    assert (opened.severity, opened.checks_failed) == (Severity.WARNING, 5)
    assert history.check("sxrx") == []
    assert history.is_in_doubt
    [worse] = history.check("5")
    assert (worse.kind, worse.severity, worse.incident) == (NotificationKind.CHANGED, Severity.CRITICAL, 1)
    assert history.kinds("...") == [NotificationKind.CLOSED]


def test_reminders_come_after_one_and_four_hours_and_then_daily() -> None:
    """The list of the settings, its last entry repeating; counted from the message that opened."""
    history = History()
    history.check("xxxx")
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
    history.check("xxxx")
    history.now += timedelta(days=2)
    assert history.kinds("xx") == [NotificationKind.REMINDER]


def test_an_acknowledged_incident_does_not_remind_but_its_end_is_notified() -> None:
    """Somebody knows: no reminders; a change of cause and the end are still news."""
    history = History()
    history.check("xxxx")
    history.state = acknowledge(history.state, history.now)
    assert acknowledge(history.state, history.now + MINUTE) == history.state
    assert history.kinds("x" * 30, pause=timedelta(hours=3)) == []
    assert history.kinds("...") == [NotificationKind.CLOSED]
    assert history.incidents[1].acknowledged_at == START + 4 * MINUTE


def test_the_cause_of_several_is_the_most_common_outcome() -> None:
    """Of equally common ones the latest; the detail is that of the check that decided."""
    history = History()
    [opened] = history.check("xrxr")
    assert opened.cause is Outcome.CONNECTION_REFUSED
    history = History()
    [opened] = history.check("xxx5")
    assert (opened.cause, opened.detail) == (Outcome.RESPONSE_TIMEOUT, "seen 5")


def test_slow_checks_of_yesterday_and_of_today_are_not_counted_together() -> None:
    """Four before a day's break and one after it are no incident."""
    history = History()
    history.check("ssss")
    history.now += timedelta(hours=25)
    assert history.check("s") == []


@pytest.mark.parametrize(
    ("checks", "is_in_doubt"),
    [
        ("", False),
        (".....", False),
        ("x", True),
        ("x.", True),
        ("x..", True),
        ("x...", False),
        ("xx....", True),
        ("t", True),
        ("q.", True),
        ("xxxx", False),
        ("xxxxx", False),
        ("xxxx.", True),
        ("xxxx..", True),
        ("xxxx...", False),
        ("tt.", True),
        ("tt..", False),
        ("xxxxt", True),
        ("xxxxtt", False),
        ("xxxxttx", False),
        ("xxxxr", True),
        ("s", False),
        ("sssss", False),
        ("sssssx", True),
        ("o", False),
        ("xo", True),
    ],
)
def test_checks_come_faster_exactly_while_a_decision_is_near(checks: str, is_in_doubt: bool) -> None:
    """In doubt: evidence that is not enough, a recovery that is not complete, a new cause not yet confirmed."""
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
    """One failure opens at once, one fine check closes at once, no reminders means none."""
    quick = {"failing": {"failures": 1, "for": "0s"}, "recovery": {"checks": 1, "for": "0s"}, "reminders": []}
    history = History(AlertSettings.model_validate(quick))
    assert history.kinds("x.") == [NotificationKind.OPENED, NotificationKind.CLOSED]
    history.now += timedelta(hours=1)
    assert history.kinds("x" * 5, pause=timedelta(days=2)) == [NotificationKind.OPENED]


def test_a_clock_that_jumps_does_not_lose_or_repeat_anything() -> None:
    """Ten minutes forth and back in the middle of an incident: one opening, one end."""
    history = History()
    history.check("xxx")
    history.now += 10 * MINUTE
    assert history.kinds("x") == [NotificationKind.OPENED]
    history.now -= 10 * MINUTE
    assert history.kinds("xx") == []
    history.now += 10 * MINUTE
    assert [kind for kind in history.kinds("x...") if kind is not NotificationKind.REMINDER] == [
        NotificationKind.CLOSED
    ]


@pytest.mark.parametrize(
    ("seconds", "failures", "lasting", "timeout"),
    [
        (600, 4, 40, 10),
        (53.5, 4, 40, 9),
        (49, 4, 40, 8),
        (46, 4, 40, 7),
        (24, 3, 21, 4),
        (14, 2, 11, 4),
        (6, 4, 40, 10),
    ],
)
def test_one_run_of_check_decides_in_the_time_that_it_has(
    seconds: float, failures: int, lasting: int, timeout: int
) -> None:
    """The timeout is cut first; with less time fewer checks decide, at its end; with too little, none do."""
    alerts, each = fitted(AlertSettings(), timedelta(seconds=10), timedelta(seconds=seconds))
    rule = alerts.failing
    found = (rule.failures, round(rule.lasting.total_seconds()), int(each.total_seconds()))
    assert found == (failures, lasting, timeout)
    if seconds < 10:
        return
    # As many checks that hang fit in, and so does half of one that begins at the first moment at which it decides.
    taken = each + timedelta(seconds=0.5)
    time = timedelta(seconds=seconds, milliseconds=1)
    assert rule.failures * taken + (rule.failures - 1) * alerts.confirm_interval <= time
    assert rule.lasting + taken / 2 <= time


def test_the_last_check_of_one_run_begins_when_it_may_decide() -> None:
    """Later than the usual pause where none might follow; never where it could not end, or decides anyway."""
    second = timedelta(seconds=1)

    def pause(*, opens_in: float | None, left: float) -> float:
        return rules.pause_in_one_run(
            5 * second,
            opens_in=None if opens_in is None else opens_in * second,
            left=left * second,
            timeout=8 * second,
        ).total_seconds()

    assert pause(opens_in=9, left=18) == 9.5
    assert pause(opens_in=9, left=13.7) == pytest.approx(9.2)
    assert pause(opens_in=9, left=27) == 5  # another check fits in after the next, however long that takes
    assert pause(opens_in=9, left=13) == 5  # it could not have half of its timeout
    assert pause(opens_in=4, left=18) == 5
    assert pause(opens_in=-300, left=18) == 5  # the evidence is remembered from a run before
    assert pause(opens_in=None, left=18) == 5


def test_a_state_of_the_version_before_is_read() -> None:
    """It knows nothing of evidence, runs and what was closed; an open incident goes on."""
    history = History()
    history.check("xxxx")
    values = state_to_json(history.state)
    for key in ("evidence", "runs", "fine", "closed", "known_at"):
        del values[key]
    for key in ("closed_at", "is_unstable"):
        del values["incident"][key]
    values["recent"] = [[START.isoformat(), "response_timeout"], [START.isoformat(), "ok"]]
    history.state = state_from_json(values)
    assert history.kinds("...") == [NotificationKind.CLOSED]
