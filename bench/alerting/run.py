"""Months through every tool, and the figures that come out of them."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.alerting.faults import DAY, MONTH, History, Host, Scenario
from bench.alerting.models import Inbox, Kind, Make, Message, Tool
from bench.alerting.ours import Cron, Office, Ours, Stored
from bench.samples import percentile

# How much later than its end an outage is still looked for in what tools count as its beginning.
_SLACK = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """One outage as people heard of it. Seconds; `delays` by database, `over_after` `None` where it never was."""

    delays: tuple[float, ...]
    messages: int
    over_after: float | None
    too_early: int
    is_told: bool


@dataclass(kw_only=True)
class Figures:
    """What came out of the months of one scenario for one tool."""

    months: int = 0
    messages: int = 0
    false: int = 0
    lost: int = 0
    duplicates: int = 0
    worst_day: int = 0
    episodes: list[Episode] = field(default_factory=list)

    @property
    def told(self) -> float:
        return sum(episode.is_told for episode in self.episodes) / len(self.episodes)

    @property
    def told_at_all(self) -> bool:
        return any(episode.is_told for episode in self.episodes)

    @property
    def delays(self) -> list[float]:
        return [delay for episode in self.episodes for delay in episode.delays]

    @property
    def messages_each(self) -> list[int]:
        return [episode.messages for episode in self.episodes]

    @property
    def false_a_month(self) -> float:
        return self.false / self.months

    @property
    def too_early_share(self) -> float:
        """The share of outages in which people were told at least once that it is over while it was not."""
        return sum(episode.too_early > 0 for episode in self.episodes) / len(self.episodes)

    def over_after(self) -> float | None:
        after = [episode.over_after for episode in self.episodes if episode.over_after is not None]
        return statistics.median(after) if after else None

    def delay(self, share: float = 0.5) -> float | None:
        """A percentile of the delays; `None` where nothing was told."""
        return percentile(self.delays, share) if self.delays else None


def simulate(tools: Sequence[Tool], hosts: Sequence[Host], *, until: float, skips: bool) -> None:
    """One month: each tool checks its own host when it is due. Without `skips` every check is made."""
    pairs = list(zip(tools, hosts, strict=True))
    while True:
        tool, host = min(pairs, key=lambda pair: pair[0].next_at)
        at = tool.next_at
        if at >= until:
            break
        fine = host.fine_checks(at, tool.interval) if skips and tool.is_at_rest else 0
        if fine:
            host.skip(fine)
            tool.skip(fine)
            continue
        outcome, took = host.check(at, tool.timeout)
        tool.checked(at, at + took, outcome)
    for tool in tools:
        tool.finish()


def run_month(
    history: History,
    databases: int,
    make: Make,
    seed: str,
    *,
    is_outside: bool = False,
    until: float = MONTH,
    skips: bool = True,
) -> Inbox:
    """What people read of a month, or of its beginning."""
    chance = random.Random(seed)
    away = history.away if is_outside else (*history.away, *history.offline)
    inbox = Inbox(away=away)
    tools = make(inbox, databases, chance)
    hosts = [Host(history, random.Random(f"{seed} {n}"), is_outside=is_outside) for n in range(databases)]
    simulate(tools, hosts, until=until, skips=skips)
    inbox.messages.sort(key=lambda message: message.at)
    return inbox


def run_scenario(
    scenario: Scenario, make: Callable[[History], Make], *, months: int, seed: int, is_outside: bool = False
) -> Figures:
    """So many months of one scenario; the histories are the same for every tool."""
    figures = Figures()
    for month in range(months):
        name = f"{seed} {scenario.name} {month}"
        history = scenario.make(random.Random(name))
        inbox = run_month(history, scenario.databases, make(history), name, is_outside=is_outside)
        add_month(figures, history, scenario.databases, inbox)
    return figures


def add_month(figures: Figures, history: History, databases: int, inbox: Inbox) -> None:
    """Count what people read against what there was to be told."""
    by_outage: dict[int, list[Message]] = defaultdict(list)
    outage_of: dict[tuple[int, tuple[int, ...]], int | None] = {}
    for message in inbox.messages:
        whose = (message.incident, message.databases if databases == 1 else ())
        if whose not in outage_of:
            outage_of[whose] = _outage_at(history, message)
            figures.false += outage_of[whose] is None and message.kind is not Kind.CLOSED
        outage = outage_of[whose]
        if outage is not None:
            by_outage[outage].append(message)
    for number, (begin, end) in enumerate(history.outages):
        figures.episodes.append(_episode(begin, end, databases, by_outage[number]))
    days = Counter(int(message.at / DAY) for message in inbox.messages)
    figures.worst_day = max(figures.worst_day, *days.values(), 0)
    figures.months += 1
    figures.messages += len(inbox.messages)
    figures.lost += inbox.lost
    figures.duplicates += inbox.duplicates


def _outage_at(history: History, message: Message) -> int | None:
    for number, (begin, end) in enumerate(history.outages):
        if begin - _SLACK <= message.since < end + _SLACK:
            return number
    return None


def _episode(begin: float, end: float, databases: int, messages: Sequence[Message]) -> Episode:
    first: dict[int, float] = {}
    for message in messages:
        for database in message.databases:
            first.setdefault(database, message.at - begin)
    closings = [message.at for message in messages if message.kind in (Kind.CLOSED, Kind.BOTH)]
    after = [at - end for at in closings if at >= end]
    return Episode(
        delays=tuple(first.values()),
        messages=len(messages),
        over_after=max(after, default=None),
        too_early=sum(at < end for at in closings),
        is_told=len(first) == databases,
    )


def ours(*, interval: float = 60.0) -> Make:
    """`run` with the default settings."""

    def make(inbox: Inbox, databases: int, chance: random.Random) -> list[Tool]:
        start = chance.random() * interval
        return [Ours(inbox, number, start + number * 0.1, interval=interval) for number in range(databases)]

    return make


def cron(*, has_disk: bool) -> Make:
    """`check` every five minutes."""

    def make(inbox: Inbox, databases: int, chance: random.Random) -> list[Tool]:
        start = chance.random() * 300
        return [Cron(inbox, number, start, has_disk=has_disk) for number in range(databases)]

    return make


def through_the_store(folder: Path, history: History) -> Make:
    """`run` with the real store, in a file of its own, and the real deliverer."""

    def make(inbox: Inbox, databases: int, chance: random.Random) -> list[Tool]:
        start = chance.random() * 60
        path = Path(tempfile.mkdtemp(dir=folder)) / "history.db"
        office = Office(
            inbox,
            path,
            databases=databases,
            kills=history.kills,
            chance=random.Random(chance.random()),
        )
        return [Stored(inbox, number, start + number * 0.1, office) for number in range(databases)]

    return make


def told_alike(scenarios: Iterable[Scenario], folder: Path, *, seed: int) -> tuple[int, list[str]]:
    """Months of our rules both ways, in memory and through the store; and those where the messages differ."""
    number, unlike = 0, []
    for scenario in scenarios:
        name = f"{seed} {scenario.name} 0"
        history = scenario.make(random.Random(name))
        number += 1
        both = [
            run_month(history, scenario.databases, make, name)
            for make in (ours(), through_the_store(folder, history))
        ]
        if _rounded(both[0].messages) != _rounded(both[1].messages):
            unlike.append(scenario.name)
    return number, unlike


def _rounded(messages: Sequence[Message]) -> list[tuple[float, Kind, tuple[int, ...], float]]:
    """Without the numbers of incidents; the file keeps whole milliseconds."""
    return [(round(m.at, 2), m.kind, m.databases, round(m.since, 2)) for m in messages]
