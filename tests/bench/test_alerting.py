"""The simulation of alert rules: its shortcuts change nothing, and its models do what their sources say."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger

from bench.alerting.faults import (
    BLIPS_40,
    CHANNEL_AWAY,
    DAY,
    FLAPPING,
    HALF,
    HOUR,
    KILLED,
    LOSS_1,
    OUTAGES,
    SCENARIOS,
    Fault,
    History,
    Host,
    Scenario,
)
from bench.alerting.models import PEERS, Inbox, Kind, Make, Peer
from bench.alerting.run import Figures, add_month, cron, ours, run_month, run_scenario, through_the_store
from bench.alerting.table import cell
from monitor.checks.observation import Outcome

NAME = "7 a month"
TOOLS = {
    "ours": ours(),
    "ours, often": ours(interval=10),
    "cron": cron(has_disk=True),
    "cron, no disk": cron(has_disk=False),
} | {peer.name: peer.make for peer in PEERS}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logger.remove()


@pytest.mark.parametrize("tool", TOOLS)
def test_skipping_checks_at_rest_changes_no_message(tool: str) -> None:
    """A month check by check and a month from fault to fault give the same messages."""
    history = replace(BLIPS_40.make(random.Random(1)), loss=0.02, singles=(50_000.0, 100_000.0))
    skipped, every = (
        run_month(history, 1, TOOLS[tool], NAME, until=2 * DAY, skips=skips) for skips in (True, False)
    )
    assert _in_short(skipped) == _in_short(every)


def _in_short(inbox: Inbox) -> list[tuple[float, Kind]]:
    """To a hundredth of a second: the file keeps whole milliseconds."""
    return [(round(message.at, 2), message.kind) for message in inbox.messages]


@pytest.mark.parametrize("scenario", [OUTAGES[5], HALF, FLAPPING], ids=lambda scenario: scenario.name)
def test_store_and_delivery_tell_what_the_rules_alone_tell(scenario: Scenario, tmp_path: Path) -> None:
    """Through a real file and the real deliverer come the same messages, at the same moments."""
    history = scenario.make(random.Random(2))
    until = history.outages[0][0] + 1.5 * HOUR
    alone, stored = (
        run_month(history, 1, make, NAME, until=until) for make in (ours(), through_the_store(tmp_path, history))
    )
    assert _in_short(alone) == _in_short(stored) != []


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    """Killed six times a day, also while sending: each outage is told, and so is its end."""
    history = KILLED.make(random.Random(3))
    history = replace(history, outages=history.outages[:3])
    until = history.outages[-1][1] + HOUR
    inbox = run_month(history, 1, through_the_store(tmp_path, history), NAME, until=until)
    figures = Figures()
    add_month(figures, history, 1, inbox)
    assert figures.told == 1
    assert all(episode.over_after is not None for episode in figures.episodes)


def test_a_channel_that_is_away_gets_one_message(tmp_path: Path) -> None:
    """What opened and closed meanwhile is told as one once it is back."""
    history = CHANNEL_AWAY.make(random.Random(4))
    until = history.outages[2][1] + HOUR
    inbox = run_month(history, 1, through_the_store(tmp_path, history), NAME, until=until)
    assert [message.kind for message in inbox.messages] == [Kind.BOTH] * 3


def test_a_seed_gives_the_same_month_again() -> None:
    """Figures can be quoted: the same seed makes the same table, another one another."""
    one, again, another = (
        run_scenario(LOSS_1, lambda _history: TOOLS["Kuma r0"], months=1, seed=seed) for seed in (1, 1, 2)
    )
    assert cell(one) == cell(again) != cell(another)


def _hour_down(make: Make) -> tuple[list[float], list[Kind]]:
    """Minutes from the begin of an hour's outage, and what came then."""
    history = History(
        faults=(Fault(begin=86_400.0, end=90_000.0, outcome=Outcome.CONNECTION_REFUSED),),
        outages=((86_400.0, 90_000.0),),
    )
    messages = run_month(history, 1, make, NAME).messages
    return [(message.at - 86_400) / 60 for message in messages], [message.kind for message in messages]


@pytest.mark.parametrize(
    ("name", "told", "over"),
    [
        ("Kuma r0", (0, 1), (60, 61)),
        ("Kuma r1", (1, 2), (60, 61)),
        ("Gatus", (2, 3), (61, 62)),
        ("Prom+AM", (3.5, 5.5), (60.5, 65.5)),
        ("healthchecks", (1, 2.1), (60, 61)),
        ("Better Stack", (0, 1), (63, 64)),
        ("updown.io", (1, 2), (61, 62)),
    ],
)
def test_a_peer_takes_as_long_as_its_rule_says(
    name: str, told: tuple[float, float], over: tuple[float, float]
) -> None:
    """An outage of an hour that refuses connections is one opening and one closing, each in its time."""
    [peer] = [peer for peer in PEERS if peer.name == name]
    at, kinds = _hour_down(peer.make)
    assert kinds == [Kind.OPENED, Kind.CLOSED]
    assert told[0] <= at[0] <= told[1]
    assert over[0] <= at[1] <= over[1]


def test_a_connection_that_hangs_succeeds_by_a_repeated_syn() -> None:
    """Two seconds before the end the retry after 3 s gets through; ten seconds before, only a longer timeout's."""
    history = History(faults=(Fault(begin=0.0, end=100.0, outcome=Outcome.CONNECTION_TIMEOUT),))
    assert Host(history, random.Random(1)).check(98.0, 10) == (Outcome.OK, 3.0)
    assert Host(history, random.Random(1)).check(90.0, 10) == (Outcome.CONNECTION_TIMEOUT, 10)
    assert Host(history, random.Random(1)).check(90.0, 48) == (Outcome.OK, 15.0)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_losing_a_message_is_counted(peer: Peer) -> None:
    """With the channel away for the whole outage nothing arrives, and something is counted as lost."""
    history = CHANNEL_AWAY.make(random.Random(5))
    inbox = run_month(history, 1, peer.make, NAME)
    assert (inbox.messages, inbox.lost >= len(history.outages)) == ([], True)


def test_each_scenario_has_a_name_of_its_own() -> None:
    """Its histories are made from it."""
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
