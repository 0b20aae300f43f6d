"""Whatever checks find, and whoever makes them: what is told of a database fits together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.alerts.notification import Notification, NotificationKind
from monitor.checks.observation import Check, Outcome
from monitor.config.settings import AlertSettings
from monitor.incidents.rules import advance, fitted
from monitor.incidents.state import IncidentState, state_from_json, state_to_json
from tests.judging import explain

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
RUN = AlertSettings()
CHECK, _ = fitted(RUN, timedelta(seconds=10), timedelta(seconds=53))
SHORT_CHECK, _ = fitted(RUN, timedelta(seconds=10), timedelta(seconds=12))
FAILING = (
    Outcome.URL_MALFORMED,
    Outcome.TOKEN_REJECTED,
    Outcome.QUOTA_EXCEEDED,
    Outcome.CONNECTION_REFUSED,
    Outcome.RESPONSE_TIMEOUT,
    Outcome.SERVER_ERROR,
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A check that comes `pause` seconds after the last, by `run` or a `check`, perhaps after a kill."""

    outcome: Outcome
    pause: int
    alerts: AlertSettings
    after_a_kill: bool


STEPS = st.builds(
    Step,
    outcome=st.sampled_from((Outcome.OK, Outcome.OK, Outcome.SLOW, Outcome.OFFLINE, *FAILING)),
    pause=st.sampled_from((5, 5, 15, 60, 300, 1000, 90_000)),
    alerts=st.sampled_from((RUN, RUN, CHECK, SHORT_CHECK)),
    after_a_kill=st.booleans(),
)


class Told:
    """One database and what was told of it, each notification held against those before it."""

    def __init__(self) -> None:
        self.state = IncidentState()
        self.now = START
        self.open: int | None = None
        self.closed: list[int] = []

    def check(self, outcome: Outcome, pause: float, alerts: AlertSettings) -> None:
        self.now += timedelta(seconds=pause)
        check = Check(database="main", at=self.now, outcome=outcome)
        number = len(set(self.closed)) + 1
        transition = advance(self.state, check, alerts, next_incident=number, explain=explain)
        self.state = transition.state
        for notification in transition.notifications:
            self._hear(notification, number)
        assert (self.state.incident.id if self.state.incident else None) == self.open

    def kill(self) -> None:
        self.state = state_from_json(state_to_json(self.state))

    def _hear(self, notification: Notification, number: int) -> None:
        incident, kind = notification.incident, notification.kind
        assert incident is not None
        assert notification.since is not None
        assert notification.since <= self.now
        if kind is NotificationKind.OPENED:
            assert (self.open, incident) == (None, number)
            self.open = incident
        elif kind is NotificationKind.REOPENED:
            assert (self.open, incident) == (None, self.closed[-1])
            assert notification.is_unstable
            self.open = incident
        else:
            assert self.open == incident
        if kind is NotificationKind.CLOSED:
            assert notification.until is not None
            assert notification.since <= notification.until <= self.now
            self.closed.append(incident)
            self.open = None


@settings(max_examples=40)
@given(steps=st.lists(STEPS, max_size=40), last=st.sampled_from(FAILING), alerts=st.sampled_from((RUN, CHECK)))
@example(steps=[], last=Outcome.CONNECTION_REFUSED, alerts=RUN)
def test_each_beginning_and_each_end_is_told_once_in_order(
    steps: list[Step], last: Outcome, alerts: AlertSettings
) -> None:
    """`run` and `check` take turns, with kills between: what fails on is open, what is fine for long is closed."""
    told = Told()
    for step in steps:
        if step.after_a_kill:
            told.kill()
        told.check(step.outcome, step.pause, step.alerts)
    for _ in range(10):
        told.check(last, 15, alerts)
    assert told.open is not None
    for _ in range(23):  # longer than half of `flapping.within`
        told.kill()
        told.check(Outcome.OK, 30, alerts)
    assert told.open is None
