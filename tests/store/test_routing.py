"""Channels that take some databases or severities alone: who is told the opening is told what follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.alerts.notification import Notification, NotificationKind, Route, Severity, receivers
from monitor.checks.observation import Outcome
from tests.alerts.conftest import MONITOR, OPENED, SLOW, WARNING
from tests.store.conftest import START, StoreSetup
from tests.store.disks import locked

OK, REJECTED, SLOW_ONE = Outcome.OK, Outcome.TOKEN_REJECTED, Outcome.SLOW
CRITICAL = Route(severities=frozenset({Severity.CRITICAL}))
CACHE = Route(only=frozenset({"cache"}))
CHANNELS = ("all", "pager", "cache")


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[StoreSetup]:
    setup = StoreSetup(tmp_path / "history.db", CHANNELS, routes={"pager": CRITICAL, "cache": CACHE})
    yield setup
    setup.store.close()


def told(setup: StoreSetup) -> dict[str, list[str]]:
    return {name: setup.deliver(name) for name in CHANNELS}


@pytest.mark.parametrize(
    ("notification", "names"),
    [
        (OPENED, ["all", "pager"]),
        (SLOW, ["all"]),
        (replace(OPENED, database="cache"), ["all", "pager", "cache"]),
        (replace(SLOW, database="cache"), ["all", "cache"]),
        (WARNING, ["all"]),
        (MONITOR, ["all", "cache"]),
    ],
)
def test_a_channel_takes_what_its_route_says(notification: Notification, names: list[str]) -> None:
    """What is about the monitor itself is about every database."""
    assert receivers(notification, CHANNELS, {"pager": CRITICAL, "cache": CACHE}) == names


def test_what_is_about_the_monitor_is_told_to_somebody() -> None:
    """That a channel is broken must not be told to nobody, because the other one takes critical messages alone."""
    assert receivers(MONITOR, ["pager"], {"pager": CRITICAL}) == ["pager"]
    assert receivers(SLOW, ["pager"], {"pager": CRITICAL}) == []


def test_an_incident_is_told_to_the_channels_that_take_it_from_beginning_to_end(setup: StoreSetup) -> None:
    """Opening, reminder and end; nothing of it to the others."""
    setup.checks(REJECTED, REJECTED)
    assert told(setup) == {"all": ["1 opened"], "pager": ["1 opened"], "cache": []}
    setup.now += timedelta(hours=1)
    setup.check(REJECTED)
    assert told(setup) == {"all": ["1 reminder"], "pager": ["1 reminder"], "cache": []}
    setup.checks(OK, OK, OK)
    assert told(setup) == {"all": ["1 closed"], "pager": ["1 closed"], "cache": []}


def test_a_slow_incident_that_becomes_critical_opens_for_a_critical_only_channel(setup: StoreSetup) -> None:
    """As what it is now; whoever heard of it before is told the change."""
    setup.checks(*[SLOW_ONE] * 6)
    assert told(setup) == {"all": ["1 opened"], "pager": [], "cache": []}
    setup.checks(*[REJECTED] * 3)
    assert setup.deliver("all") == ["1 changed"]
    delivery = setup.store.claim("pager", setup.now)
    assert delivery is not None
    found = delivery.notification
    assert (found.kind, found.severity, found.cause) == (NotificationKind.OPENED, Severity.CRITICAL, REJECTED)
    setup.now += timedelta(minutes=1)  # the lease is over
    assert setup.deliver("pager") == ["1 opened"]
    setup.checks(OK, OK, OK)
    assert told(setup) == {"all": ["1 closed"], "pager": ["1 closed"], "cache": []}


def test_a_slow_incident_that_ends_is_not_told_to_a_critical_only_channel(setup: StoreSetup) -> None:
    """Nor at a restart while it is open."""
    setup.checks(*[SLOW_ONE] * 6)
    setup.restart()
    setup.checks(*[OK] * 10)
    assert told(setup) == {"all": ["1 missed"], "pager": [], "cache": []}


def test_a_channel_whose_route_changes_hears_the_end_of_what_it_was_told(setup: StoreSetup) -> None:
    """And one whose route takes more is told where things stand."""
    setup.check(Outcome.TOKEN_MISSING, database="main")
    setup.check(Outcome.TOKEN_MISSING, database="cache")
    assert told(setup) == {
        "all": ["1 opened", "2 opened"],
        "pager": ["1 opened", "2 opened"],
        "cache": ["2 opened"],
    }
    setup._options["routes"] = {"pager": CACHE}
    setup.now += timedelta(seconds=1)
    setup.restart()
    setup.check(Outcome.TOKEN_MISSING)
    assert told(setup) == {"all": [], "pager": [], "cache": ["1 ongoing"]}
    setup.checks(OK, OK, OK)
    assert told(setup) == {"all": ["1 closed"], "pager": ["1 closed"], "cache": ["1 closed"]}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["main", "cache"]), st.sampled_from([OK, SLOW_ONE, REJECTED])), max_size=30)
)
def test_whoever_was_told_an_opening_is_told_its_end_and_nobody_else(
    tmp_path_factory: pytest.TempPathFactory, checks: list[tuple[str, Outcome]]
) -> None:
    """Whatever happens: each channel hears of an incident from an opening to an end, or nothing at all."""
    setup = StoreSetup(
        tmp_path_factory.mktemp("routing") / "history.db",
        CHANNELS,
        routes={"pager": CRITICAL, "cache": CACHE},
        now=START,
    )
    heard: dict[str, list[str]] = {name: [] for name in CHANNELS}
    # All is well in the end, for long enough to close whatever is open.
    for database, outcome in [*checks, *[(name, OK) for name in ("main", "cache") for _ in range(11)]]:
        setup.check(outcome, database=database)
        for name, words in told(setup).items():
            heard[name] += words
    for name, words in heard.items():
        for number in {each.split()[0] for each in words}:
            kinds = [each.split()[1] for each in words if each.split()[0] == number]
            assert (kinds[0], kinds[-1]) == ("opened", "closed"), name
            assert (kinds.count("opened"), kinds.count("closed")) == (1, 1 + kinds.count("reopened"))
    assert {each for each in heard["pager"] if each.endswith("opened")} <= {*heard["all"], *_changed(heard["all"])}
    setup.store.close()


def _changed(words: list[str]) -> list[str]:
    """What a change is for a channel that did not hear of the incident before."""
    return [each.replace("changed", "opened").replace("reopened", "opened") for each in words]


@pytest.mark.usefixtures("_short_locks")
def test_what_became_critical_and_ended_before_a_kill_is_told_to_who_takes_that(setup: StoreSetup) -> None:
    """Memory alone saw it: the file has it as slow, so no message of it waits there for the pager."""
    setup.checks(*[SLOW_ONE] * 5)
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED, OK, OK) == ["changed", "closed"]
    setup.restart_after_a_kill()
    assert told(setup) == {"all": ["1 missed"], "pager": ["1 missed"], "cache": []}
