"""What pages say in words: states, headlines, incidents, figures; and foreign texts without addresses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.observation import Check, Outcome
from monitor.report.formatting import Redactor, format_ms, format_share, format_span
from monitor.store.rollups.model import DatabaseStatus
from monitor.web.pages.summary import DatabaseState, describe_incident, headline, path_of, state_of, worst_first
from tests.web.made import HIDDEN_HOST, HOSTILE_DETAIL, NOW, incident, schedule

CHECK = Check(database="main", at=NOW - timedelta(seconds=5), outcome=Outcome.OK)


def status(
    outcome: Outcome | None = Outcome.OK, *, cause: Outcome | None = None, age: float = 5
) -> DatabaseStatus:
    latest = None if outcome is None else replace(CHECK, outcome=outcome, at=NOW - timedelta(seconds=age))
    opened = None if cause is None else incident(1, NOW - timedelta(hours=1), cause)
    return DatabaseStatus(database="main", latest=latest, incident=opened, schedule=schedule(), days=())


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (status(), DatabaseState.UP),
        (status(Outcome.SLOW), DatabaseState.SLOW),
        (status(Outcome.TLS_FAILED), DatabaseState.IN_DOUBT),
        (status(Outcome.TLS_FAILED, cause=Outcome.TLS_FAILED), DatabaseState.DOWN),
        (status(Outcome.OK, cause=Outcome.TLS_FAILED), DatabaseState.DOWN),
        (status(Outcome.SLOW, cause=Outcome.SLOW), DatabaseState.SLOW),
        (status(Outcome.OFFLINE), DatabaseState.UNKNOWN),
        (status(Outcome.MONITOR_ERROR), DatabaseState.UNKNOWN),
        (status(None), DatabaseState.UNKNOWN),
        (status(age=189), DatabaseState.UP),
        (status(age=191), DatabaseState.UNKNOWN),
        (status(Outcome.TLS_FAILED, cause=Outcome.TLS_FAILED, age=3600), DatabaseState.UNKNOWN),
    ],
)
def test_the_state_follows_the_open_incident_and_then_the_latest_check(
    found: DatabaseStatus, state: DatabaseState
) -> None:
    """An open incident first, then the latest check; what is overdue by three intervals is not known any more."""
    assert state_of(found, NOW) is state


def test_the_worst_states_come_first() -> None:
    """Down, in doubt, slow, unknown, up; the order of the settings otherwise."""
    rows = [
        replace(status(outcome), database=name)
        for name, outcome in (("a", Outcome.OK), ("b", None), ("c", Outcome.OK), ("d", Outcome.TLS_FAILED))
    ]
    assert [row.database for row in worst_first(rows, NOW)] == ["d", "b", "a", "c"]


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([DatabaseState.UP], "The database is up"),
        ([DatabaseState.DOWN], "The database is down"),
        ([DatabaseState.UP] * 4, "All 4 databases are up"),
        ([DatabaseState.UP, DatabaseState.DOWN], "1 of 2 databases is down"),
        (
            [DatabaseState.UP, DatabaseState.DOWN, DatabaseState.SLOW, DatabaseState.DOWN, DatabaseState.UNKNOWN],
            "2 of 5 databases are down, 1 is slow, 1 is unknown",
        ),
        ([], "No database is checked"),
    ],
)
def test_the_headline_is_of_all_databases(states: list[DatabaseState], sentence: str) -> None:
    """The worst comes first and gives the colour."""
    assert headline(states)[1] == sentence
    assert headline(states)[0] is next(
        (state for state in DatabaseState if state in states), DatabaseState.UNKNOWN
    )


@given(st.floats(min_value=0, max_value=1))
def test_a_share_is_never_rounded_up_to_all(share: float) -> None:
    """`100 %` stands for nothing less; the figure is at most the share and close to it."""
    text = format_share(share)
    assert (text == "100 %") == (share >= 1)
    value = float(text.removesuffix(" %"))
    assert value <= share * 100 + 1e-6
    assert share * 100 - value < 0.0101


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "–"), (0.0, "0.00 ms"), (0.416, "0.42 ms"), (8.26, "8.3 ms"), (99.96, "100 ms"), (642.4, "642 ms"),
     (999.6, "1 s"), (1254.0, "1.25 s"), (10000.0, "10 s"), (123456.0, "123 s")],
)  # fmt: skip
def test_latencies_have_as_many_digits_as_matter(milliseconds: float | None, text: str) -> None:
    """And a unit, always."""
    assert format_ms(milliseconds) == text


def test_spans_are_as_short_as_can_be() -> None:
    """A whole day is its date, hours of one day share it."""
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert format_span(midnight, midnight + day) == "2026-11-23"
    assert format_span(midnight + 14 * hour, midnight + 15 * hour) == "2026-11-23 14:00 to 15:00"
    assert format_span(midnight + 23 * hour, midnight + day) == "2026-11-23 23:00 to 24:00"
    assert format_span(midnight, midnight + 2 * day) == "2026-11-23 00:00 to 2026-11-25 00:00"


def test_an_incident_is_described_from_its_beginning_to_its_end() -> None:
    """All that a person asks the morning after."""
    opened = NOW - timedelta(hours=2)
    closed = incident(
        7,
        opened,
        Outcome.TOKEN_REJECTED,
        causes=(Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED),
        acknowledged_at=opened + timedelta(minutes=5),
        closed_at=opened + timedelta(minutes=12, seconds=4),
    )
    assert describe_incident(closed, NOW) == (
        "Began 2026-11-25 12:20:31 UTC: response timed out, then token rejected; notified 21 s later. "
        "Acknowledged 2026-11-25 12:25:31 UTC. Recovered 2026-11-25 12:32:35 UTC, after 12 min 4 s. "
        "17 checks failed."
    )
    assert "notified at once." in describe_incident(replace(closed, notified_at=opened), NOW)
    assert "Open for 2 h." in describe_incident(replace(closed, closed_at=None), NOW)


@pytest.mark.parametrize("name", ["main", "a/b", "50%?x=1#y", "Ünïcödé 名", "..a", "<script>"])
def test_any_name_fits_into_an_address(name: str) -> None:
    """One path segment, whatever is in it."""
    path = path_of(name)
    assert path.count("/") == 2
    assert path.isascii()
    assert not set(path) & set("?#<>\"' ")


def test_addresses_and_credentials_are_taken_out_of_details() -> None:
    """Hosts of the databases, URLs, Upstash's names, what looks like a credential; and control characters."""
    text = Redactor([HIDDEN_HOST])(HOSTILE_DETAIL)
    for secret in (
        "ugly-host",
        "upstash.io",
        HIDDEN_HOST,
        "user:pass",
        "abcdefgh12345678",
        "\x1b",
        "\x00",
        "\u202e",
    ):
        assert secret not in text
    assert len(text) <= 300
    assert Redactor()("WRONGPASS invalid or missing auth token") == "WRONGPASS invalid or missing auth token"
    assert Redactor(["db.example"])("no route to DB.example:443") == "no route to ***:443"
