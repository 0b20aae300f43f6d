"""The system's clock is set: what is open or waits is as old as before. Time in which nobody checked is told."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest

from monitor.alerts.holds import Silence
from monitor.alerts.retry_policy import LEASE, DeliveryResult, DeliveryStatus
from monitor.alerts.text import compose, plain_text
from monitor.checks.observation import Outcome
from monitor.store.store import Store
from tests.store.conftest import CONFIRMED, START, StoreSetup
from tests.store.disks import locked

OK, TIMEOUT, REJECTED, OFFLINE = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED, Outcome.OFFLINE
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="503")
LIMITED = DeliveryResult(status=DeliveryStatus.RETRY, detail="429", retry_after=timedelta(minutes=10))
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
STEPS = pytest.mark.parametrize("step", [8 * HOUR, -8 * HOUR, timedelta(days=-40), timedelta(days=40)])


def set_clock(setup: StoreSetup, step: timedelta) -> None:
    """As the scheduler does when it notices."""
    setup.now += step
    setup.store.move_times(step)


def told(setup: StoreSetup, channel: str = "slack") -> list[str]:
    """Deliver what is due; return the messages."""
    texts = []
    while delivery := setup.store.claim(channel, setup.now):
        texts.append(plain_text(compose(delivery.notification)))
        setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)
    return texts


@STEPS
@pytest.mark.faults("clock steps")
def test_an_incident_is_as_long_as_it_took(setup: StoreSetup, step: timedelta) -> None:
    """In the message, in the file, and nobody failed to check; no reminder comes of the step."""
    setup.checks(REJECTED, REJECTED)
    setup.deliver()
    set_clock(setup, step)
    assert setup.checks(REJECTED, OK, OK) == ["closed"]
    [text] = told(setup)
    assert text.splitlines()[0] == "🟢 main: recovered after 3 min"
    assert "nobody checked" not in text
    [(_, incident)] = setup.store.incidents(closed_too=True)
    assert incident.closed_at is not None
    assert incident.closed_at - incident.opened_at == 3 * MINUTE


@STEPS
def test_failures_before_and_after_a_step_are_in_a_row(setup: StoreSetup, step: timedelta) -> None:
    """The first of two came before the clock was set."""
    setup.checks(REJECTED)
    set_clock(setup, step)
    assert setup.checks(REJECTED) == ["opened"]


@STEPS
@pytest.mark.faults("clock steps")
def test_what_waits_is_neither_late_nor_held_by_a_step(setup: StoreSetup, step: timedelta) -> None:
    """Retries come when they would have come, leases end when they would have ended, and nothing is a day old."""
    setup.checks(REJECTED, REJECTED)
    for result in (AWAY, AWAY):
        delivery = setup.store.claim("slack", setup.now)
        assert delivery is not None
        setup.store.acknowledge_delivery(delivery, result, setup.now, 0.0)
        setup.now += SECOND if delivery.attempts == 0 else timedelta(0)
    leased = setup.store.claim("telegram", setup.now)
    assert leased is not None
    set_clock(setup, step)
    assert setup.store.claim("slack", setup.now) is None
    assert setup.store.next_due("slack") == setup.now + 2 * SECOND
    assert setup.store.next_due("telegram") == setup.now + LEASE
    setup.now += LEASE
    assert [setup.deliver("slack"), setup.deliver("telegram")] == [["1 opened"], ["1 opened"]]


@STEPS
def test_a_pause_that_a_channel_asked_for_is_as_long(setup: StoreSetup, step: timedelta) -> None:
    """A `Retry-After` of ten minutes is neither over nor endless."""
    setup.checks(REJECTED, REJECTED)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    setup.store.acknowledge_delivery(delivery, LIMITED, setup.now, 0.0)
    set_clock(setup, step)
    assert setup.store.claim("slack", setup.now + 9 * MINUTE) is None
    assert setup.store.claim("slack", setup.now + 10 * MINUTE) is not None


@STEPS
@pytest.mark.faults("clock steps")
def test_a_step_while_the_file_is_locked_moves_the_file_too(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    """The file is brought what memory holds: the incident is the same one, and no message is there twice."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)
    setup.restart()
    setup.checks(REJECTED, REJECTED)
    with locked(setup.path):
        setup.check(REJECTED, after=SECOND)
        assert setup.in_memory()
        set_clock(setup, step)
        setup.check(REJECTED, after=SECOND)
    setup.check(REJECTED, after=MINUTE)
    assert not setup.in_memory()
    [(_, incident)] = setup.store.incidents(closed_too=True)
    assert (incident.id, incident.opened_at) == (1, START + MINUTE + step)
    for channel in setup.channels:
        assert [text for text in setup.deliver(channel) if "going on from memory" not in text] == ["1 opened"]
    assert setup.checks(OK, OK) == ["closed"]
    assert setup.deliver() == ["1 closed"]


@pytest.mark.parametrize("step", [8 * HOUR, -8 * HOUR])
def test_what_ended_and_was_told_before_a_step_is_known_to_the_file_after_it(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    """Told from memory, and its times are not moved any more: it keeps its number, and nothing is told twice."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)
    setup.restart()
    setup.checks(REJECTED, REJECTED)
    with locked(setup.path):
        setup.check(REJECTED, after=SECOND)
        assert setup.deliver() == ["1 opened"]
        assert setup.checks(OK, OK) == ["closed"]
        assert setup.deliver()[-1] == "1 closed"
        set_clock(setup, step)
    setup.check(OK)
    assert not setup.in_memory()
    assert setup.shell("SELECT id, closed_at IS NULL FROM incident_log") == [(1, 0)]
    assert setup.deliver() == []


@pytest.mark.faults("clock steps")
def test_a_clock_set_back_between_two_starts_makes_no_end_before_the_beginning(setup: StoreSetup) -> None:
    """Not `down 08:26 to 06:27, recovered after 0 s`: what is open is moved along with the clock."""
    setup.checks(REJECTED, REJECTED, REJECTED)
    setup.deliver()
    setup.now -= 2 * HOUR
    setup.restart()
    assert ("WARNING", "the clock was set back by 2 h while nobody checked") in setup.logged
    setup.checks(OK, OK)
    [text] = told(setup)
    assert text.splitlines()[:2] == [
        "🟢 main: recovered after 3 min",
        "down 12:01:00 to 12:04:00 UTC, 3 checks failed",
    ]


def test_a_silence_that_was_given_when_the_clock_was_right_again_holds(setup: StoreSetup) -> None:
    """By a command, before the start that finds the clock set back; one from before is as long as it was."""
    setup.now += timedelta(days=40)
    setup.checks(OK)
    setup.store.silence(Silence(id=0, databases=("other",), start=setup.now, end=setup.now + HOUR))
    setup.store.close()
    setup.now -= timedelta(days=40)
    with closing(Store(setup.path, channels=(), log=lambda *_: None, clock=lambda: setup.now)) as command:
        command.silence(Silence(id=0, databases=("main",), start=setup.now, end=setup.now + HOUR))
    setup.now += MINUTE
    setup.restart_after_a_kill()
    assert [one.end - setup.now for one in setup.store.silences(setup.now)] == [HOUR, HOUR - MINUTE]
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver() == []


def test_an_end_that_nobody_saw_is_told_as_that(setup: StoreSetup) -> None:
    """The program was stopped for eight hours: it recovered some time in them."""
    setup.checks(REJECTED, REJECTED, REJECTED)
    setup.deliver()
    setup.now += 8 * HOUR
    setup.restart()
    setup.checks(OK, OK)
    [text] = told(setup)
    assert text.splitlines() == [
        "🟢 main: recovered while nobody checked, after 2 min to 8 h 3 min",
        "down 14:01:00 to 14:03:00 UTC, 3 checks failed",
        "nobody checked 14:03:00 to 22:04:00 UTC",
        "cause: token rejected",
        "incident 1 · closed",
    ]


def test_a_pause_within_an_incident_is_told_with_its_end(setup: StoreSetup) -> None:
    """It failed before and after; what it took is known, and what nobody saw is said."""
    setup.checks(REJECTED, REJECTED)
    setup.now += 8 * HOUR
    setup.checks(REJECTED, OK, OK)
    setup.deliver("telegram")
    [text] = told(setup)
    assert "you missed this" in text.splitlines()[0]
    assert "nobody checked 14:02:00 to 22:03:00 UTC" in text


def test_hours_without_our_own_network_are_hours_in_which_nobody_checked(setup: StoreSetup) -> None:
    """Checks that end as `offline` tell nothing of the database."""
    setup.checks(REJECTED, REJECTED)
    setup.deliver()
    setup.checks(*[OFFLINE] * 60, OK, OK)
    [text] = told(setup)
    assert text.splitlines()[0] == "🟢 main: recovered while nobody checked, after 1 min to 1 h 2 min"


def test_many_pauses_are_told_in_one_line(setup: StoreSetup) -> None:
    """A `check` that runs every half hour: how long in all, and the longest."""
    for minutes in (1, 1, 30, 30, 45, 30):
        setup.check(REJECTED, after=minutes * MINUTE)
    setup.checks(OK, OK)
    [text] = told(setup)
    longest = "15:02:00 to 15:47:00 UTC"
    assert f"nobody checked for 2 h 15 min in all, the longest {longest}" in text
