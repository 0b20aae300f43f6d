"""What pages say in words: states, headlines, incidents, figures; and foreign texts without addresses."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Outcome
from monitor.incidents.state import Incident
from monitor.report.formatting import Redactor, format_ms, format_share, format_span
from monitor.store.rollups.model import DatabaseStatus, Grain, History, Slice, Spread, Uptime
from monitor.web.pages.pages import Pages
from monitor.web.pages.summary import (
    DatabaseState,
    PageSpan,
    card_of,
    compare,
    has_share,
    headline,
    path_of,
    state_of,
    worst_first,
)
from tests.web.made import HIDDEN_HOST, HOSTILE_DETAIL, NOW, incident, schedule

ZERO = timedelta(0)
PAGES = Pages(str, title="upstash-monitor")
CHECK = Check(database="main", at=NOW - timedelta(seconds=5), outcome=Outcome.OK)


def status(
    outcome: Outcome | None = Outcome.OK, *, cause: Outcome | None = None, age: float = 5
) -> DatabaseStatus:
    latest = None if outcome is None else replace(CHECK, outcome=outcome, at=NOW - timedelta(seconds=age))
    opened = None if cause is None else incident(1, NOW - timedelta(hours=1), cause)
    return DatabaseStatus(
        database="main", recent=(latest,) if latest else (), incident=opened, schedule=schedule(), days=()
    )


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


def test_the_headline_tells_those_that_were_never_checked_from_those_of_which_nothing_is_known() -> None:
    """They are of the same state, and a newcomer must not take a start for an outage."""
    unknown, up = DatabaseState.UNKNOWN, DatabaseState.UP
    assert headline([unknown], unchecked=1) == (unknown, "Waiting for the first check")
    assert headline([unknown] * 2, unchecked=2)[1] == "2 of 2 databases wait for their first check"
    assert headline([up, unknown, unknown], unchecked=1)[1] == (
        "1 of 3 databases is unknown, 1 waits for its first check"
    )


def test_advice_is_read_once_for_all_that_it_is_about() -> None:
    """One cause of many databases fills no ten screens of a phone; another cause has its own steps."""
    found = [
        replace(status(outcome, cause=outcome), database=name)
        for name, outcome in (
            ("one", Outcome.TOKEN_REJECTED),
            ("two", Outcome.TOKEN_REJECTED),
            ("three", Outcome.SUSPENDED),
        )
    ]
    page = PAGES.front([*found, replace(status(None), database="new")], NOW)
    assert page.count('<ol class="steps">') == 2
    assert page.count('The same verdict and steps as for <a href="#d-one">one</a>.') == 1
    assert page.count('class="number"') == 3
    assert "No result yet: the first check follows the start and takes 10 s at most." in page


def test_the_days_begin_with_the_first_check_and_the_first_is_scaled_to_what_is_left_of_it() -> None:
    """What was before it is no unknown time; the sum of all the days, which JSON has, stays as it is."""
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    first = NOW - timedelta(minutes=10)
    empty = Uptime(up=ZERO, down=ZERO, unknown=timedelta(days=1))
    today = Uptime(up=NOW - first, down=ZERO, unknown=first - midnight)
    days = [
        Slice(start=midnight - timedelta(days=1), end=midnight, outcomes={}, uptime=empty),
        Slice(start=midnight, end=NOW, outcomes={Outcome.OK: 10}, uptime=today),
    ]
    card = card_of(replace(status(), days=tuple(days), since=first), NOW)
    assert list(card.days) == [replace(days[1], start=first, uptime=replace(today, unknown=ZERO))]
    assert card.uptime == replace(today, unknown=empty.unknown + today.unknown)
    assert not has_share(card.uptime)
    old = card_of(replace(status(), days=tuple(days), since=midnight - timedelta(days=200)), NOW)
    assert list(old.days) == days
    assert not card_of(replace(status(None), days=tuple(days)), NOW).days


@pytest.mark.parametrize(
    ("age", "offered"),
    [(None, "day"), (timedelta(minutes=1), "day"), (timedelta(hours=30), "day week"),
     (timedelta(days=20), "day week month"), (timedelta(days=900), "day week month year")],
)  # fmt: skip
def test_spans_longer_than_the_history_are_not_offered(age: timedelta | None, offered: str) -> None:
    """The last one shows everything, a longer one would show the same."""
    spans = PageSpan.offered(None if age is None else NOW - age, NOW)
    assert " ".join(span.value for span in spans) == offered


@pytest.mark.parametrize(
    ("now", "before", "clauses"),
    [
        ((500, 2.0, 4.0), (500, 2.0, 4.1), []),
        ((500, 2.0, 4.0), (500, 1.6, 4.0), ["p50 25 % higher (1.6 ms before)"]),
        ((500, 1.0, 4.0), (500, 2.0, 8.0), ["p50 50 % lower (2.0 ms before)", "p99 50 % lower (8.0 ms before)"]),
        ((500, 2.0, 351.0), (500, 2.0, 4.0), ["p99 87.8 times as high (4.0 ms before)"]),
        ((60, 4.0, 9.0), (60, 2.0, 2.0), ["p50 2 times as high (2.0 ms before)"]),
        ((500, 9.0, 9.0), (40, 2.0, 2.0), []),
    ],
)  # fmt: skip
def test_only_a_change_of_a_figure_that_says_something_is_told(
    now: tuple[int, float, float], before: tuple[int, float, float], clauses: list[str]
) -> None:
    """Not what stayed, not a p99 of few answers, not against a time with hardly any; no thousands of percent."""

    def part(checks: int, p50: float, p99: float) -> Slice:
        latency = Spread(checks=checks, p50_ms=p50, p90_ms=p99, p95_ms=p99, p99_ms=p99, max_ms=p99)
        uptime = Uptime(up=timedelta(days=1), down=ZERO, unknown=ZERO)
        return Slice(start=NOW, end=NOW, outcomes={Outcome.OK: checks}, uptime=uptime, latency=latency)

    whole = part(*now)
    assert (
        compare(History(database="main", grain=Grain.DAY, whole=whole, slices=(whole,), before=part(*before)))
        == clauses
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
    assert told(closed) == (
        "Began 2026-11-25 12:20:31 UTC: response timed out, then token rejected; opened 21 s later. "
        "Acknowledged 2026-11-25 12:25:31 UTC. Recovered 2026-11-25 12:32:35 UTC, after 12 min 4 s. "
        "17 checks failed."
    )
    assert "opened at once." in told(replace(closed, notified_at=opened))
    assert "Open for 2 h. 17 checks failed." in told(replace(closed, closed_at=None))
    assert told(replace(closed, severity=Severity.WARNING, checks_failed=1)).endswith(" 1 check slow.")
    unchecked = replace(closed, unchecked=((opened, opened + timedelta(minutes=1)),))
    assert " after 12 min 4 s. Nobody checked" in told(unchecked)


def told(one: Incident) -> str:
    """The words on it on the front page."""
    item = PAGES.front([], NOW, past=[("main", one)]).partition("<p>Began")[2].partition("</li>")[0]
    return "Began" + re.sub(r"<[^>]+>", "", item)


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


def test_what_is_typed_as_it_stands_is_code() -> None:
    """Backticks of our own texts are marks, on the page as in the documents; what is between them is escaped."""
    found = PAGES.front([status(Outcome.TOKEN_MALFORMED, cause=Outcome.TOKEN_MALFORMED)], NOW)
    assert "no <code>Bearer</code> and" in found
    assert "`" not in found
