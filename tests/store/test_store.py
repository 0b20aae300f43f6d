"""History, state and outbox messages are one transaction on a real file, and survive restarts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from monitor.checks.observation import Check, Outcome
from monitor.incidents.state import IncidentState, Transition
from tests.store.conftest import INTERVAL, START, StoreSetup

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED


def rows(setup: StoreSetup, sql: str) -> list[dict[str, Any]]:
    """What anybody with a SQLite shell would see."""
    with closing(sqlite3.connect(setup.path)) as shell:
        shell.row_factory = sqlite3.Row
        return [dict(row) for row in shell.execute(sql)]


def test_the_view_history_shows_each_check_as_the_contract_says(setup: StoreSetup) -> None:
    """Columns, ISO times with milliseconds in UTC, figures in milliseconds, ok as 1 and 0, unknown as NULL."""
    setup.check(OK, after=timedelta(milliseconds=7))
    setup.check(TIMEOUT)
    setup.check(Outcome.SLOW)
    setup.check(Outcome.OFFLINE)
    first, second, third, fourth = rows(setup, "SELECT * FROM history")
    assert first == {
        "database": "main",
        "at": "2026-11-23T14:00:00.007Z",
        "outcome": "ok",
        "ok": 1,
        "latency_ms": 20.75,
        "total_ms": 24.0,
        "http_status": 200,
        "detail": None,
    }
    assert (second["outcome"], second["ok"], second["detail"]) == ("response_timeout", 0, "what was seen")
    assert (third["outcome"], third["ok"]) == ("slow", 1)
    assert (fourth["outcome"], fourth["ok"]) == ("offline", None)


def test_the_view_incident_log_follows_an_incident_to_its_end(setup: StoreSetup) -> None:
    """Opened with its first failing check, closed with its first fine one, counted in between."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT)
    [row] = rows(setup, "SELECT * FROM incident_log")
    assert row == {
        "id": 1,
        "database": "main",
        "opened_at": "2026-11-23T14:01:00.000Z",
        "closed_at": None,
        "cause": "response_timeout",
        "severity": "critical",
        "checks_failed": 3,
        "acknowledged_at": None,
    }
    assert setup.store.acknowledge_incident(1, setup.now)
    setup.checks(TIMEOUT, OK, OK)
    [row] = rows(setup, "SELECT * FROM incident_log")
    assert (row["closed_at"], row["checks_failed"]) == ("2026-11-23T14:05:00.000Z", 4)
    assert row["acknowledged_at"] == "2026-11-23T14:03:00.000Z"
    assert not setup.store.acknowledge_incident(1, setup.now)


def test_the_view_deliveries_has_a_row_for_each_channel_and_notification(setup: StoreSetup) -> None:
    """Columns of the contract; nothing delivered yet."""
    setup.checks(REJECTED, REJECTED)
    assert rows(setup, "SELECT * FROM deliveries") == [
        {
            "incident": 1,
            "kind": "opened",
            "channel": channel,
            "created_at": "2026-11-23T14:02:00.000Z",
            "delivered_at": None,
            "attempts": 0,
            "last_error": None,
        }
        for channel in ("slack", "telegram")
    ]


def test_a_restart_between_any_two_checks_changes_nothing(setup: StoreSetup) -> None:
    """Counts, open incidents and numbers go on as if it were one process."""
    said = []
    for outcome in (TIMEOUT, TIMEOUT, TIMEOUT, OK, OK, REJECTED, REJECTED):
        setup.restart()
        said += [
            (notification.kind.value, notification.incident)
            for notification in setup.check(outcome).transition.notifications
        ]
    assert said == [("opened", 1), ("closed", 1), ("opened", 2)]


def test_a_check_that_cannot_be_judged_leaves_no_trace(setup: StoreSetup) -> None:
    """All or nothing: an error inside the transaction takes the history row back as well."""

    def bug(_state: IncidentState, _number: int) -> Transition:
        raise KeyError("a bug of ours")

    with pytest.raises(KeyError):
        setup.store.record(Check(database="main", at=START, outcome=OK), bug, interval=INTERVAL)
    assert rows(setup, "SELECT * FROM history") == []
    assert rows(setup, "SELECT * FROM database") == []


def test_checks_at_the_same_millisecond_are_all_kept(setup: StoreSetup) -> None:
    """A clock that stands still or is set back loses no row."""
    for _ in range(3):
        setup.check(OK, after=timedelta(0))
    setup.check(OK, after=timedelta(hours=-1))
    assert len(rows(setup, "SELECT * FROM history")) == 4


def test_time_without_checks_is_a_gap(setup: StoreSetup) -> None:
    """More than three intervals without a check are noted; a pause of three is not."""
    assert setup.check(OK).gap is None
    assert setup.check(OK, after=3 * INTERVAL).gap is None
    assert setup.check(OK, after=timedelta(hours=2)).gap == timedelta(hours=2)
    [gap] = rows(setup, "SELECT (to_ms - from_ms) / 60000 AS minutes FROM gap")
    assert gap == {"minutes": 120}


def test_what_is_older_than_keep_is_deleted_and_incidents_stay(setup: StoreSetup) -> None:
    """`keep` holds for checks and finished outbox messages, ten times as long for checks that failed; an
    undelivered outbox message
    is never thrown away."""
    setup.checks(TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    setup.now += timedelta(days=91)
    setup.check(OK, after=timedelta(0))
    assert setup.store.prune(setup.now, timedelta(days=90)) == 2
    assert setup.outcomes() == ["response_timeout"] * 3 + ["ok"]
    setup.now += timedelta(days=810)
    assert setup.store.prune(setup.now, timedelta(days=90)) == 4
    assert rows(setup, "SELECT * FROM history") == []
    assert rows(setup, "SELECT * FROM check_detail") == []
    assert len(rows(setup, "SELECT * FROM incident_log")) == 1
    assert len(rows(setup, "SELECT * FROM deliveries")) == 4


def test_pruned_space_is_given_back_to_the_disk(setup: StoreSetup) -> None:
    """A volume is billed by the gigabyte, and `keep` is how an operator holds it small."""
    for _ in range(4000):
        setup.check(Outcome.SLOW, after=timedelta(seconds=1))
    setup.restart()
    before = setup.path.stat().st_size
    setup.now += timedelta(days=2)
    assert setup.store.prune(setup.now, timedelta(days=1)) == 4000
    assert setup.path.stat().st_size < before / 2
    assert setup.store.prune(setup.now, timedelta(days=1)) == 0


def test_a_check_every_few_minutes_prunes_now_and_then(setup: StoreSetup) -> None:
    """Not each time, but before much is too old."""
    setup.check(OK)
    setup.check(OK, after=timedelta(days=1))
    day = timedelta(days=1)
    assert setup.store.prune_now_and_then(setup.now, day) == 0
    assert setup.store.prune_now_and_then(setup.now + timedelta(minutes=30), day) == 1


def test_a_clock_set_back_and_forth_makes_no_gap_where_checks_were(setup: StoreSetup) -> None:
    """Back an hour, some checks, forward again: only the hour in which no clock saw a check is a gap."""
    for _ in range(60):
        setup.check(OK)
    setup.now -= timedelta(minutes=30)
    assert all(setup.check(OK, after=timedelta(seconds=31)).gap is None for _ in range(3))
    setup.now = START + timedelta(minutes=60)
    assert setup.check(OK).gap is None
    assert setup.check(OK, after=timedelta(hours=1)).gap == timedelta(hours=1)
    assert len(rows(setup, "SELECT * FROM history")) == 65
    assert rows(setup, "SELECT count(*) AS gaps FROM gap") == [{"gaps": 1}]


def test_the_views_can_be_read_in_a_shell_while_we_write(setup: StoreSetup) -> None:
    """A reader that takes its time sees one moment, and holds nobody up."""
    setup.checks(REJECTED, REJECTED)
    with closing(sqlite3.connect(setup.path, isolation_level=None)) as shell:
        shell.execute("BEGIN")
        assert shell.execute("SELECT count(*) FROM history").fetchone() == (2,)
        setup.checks(OK, OK)
        assert shell.execute("SELECT count(*) FROM history").fetchone() == (2,)
        assert shell.execute("SELECT closed_at FROM incident_log").fetchone() == (None,)
        shell.execute("COMMIT")
        assert shell.execute("SELECT count(*) FROM history").fetchone() == (4,)
    assert setup.logged == []


def test_connectivity_hosts_are_remembered_by_when_they_answered(setup: StoreSetup) -> None:
    """Only those that answered since the given moment are returned."""
    setup.store.record_connectivity(["1.1.1.1:443", "8.8.8.8:443"], START)
    setup.store.record_connectivity(["8.8.8.8:443"], START + timedelta(hours=5))
    assert setup.store.connectivity_answered(START + timedelta(hours=1)) == {"8.8.8.8:443"}
    assert setup.store.connectivity_answered(START) == {"1.1.1.1:443", "8.8.8.8:443"}
