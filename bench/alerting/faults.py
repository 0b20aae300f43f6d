"""Histories of a month with its faults, and what checks meet in them. Times are seconds of the month."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from monitor.checks.observation import Outcome

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
MONTH = 30 * DAY
# How long the kernel waits before it sends a SYN again (tcp(7), tcp_syn_retries): 1 s, doubled.
_SYN_AT = (1.0, 3.0, 7.0, 15.0, 31.0)
_QUICK_SECONDS = 0.05
_SLOW_SECONDS = 1.0
_HUNG = (Outcome.CONNECTION_TIMEOUT, Outcome.OFFLINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """From `begin` to `end`, `share` of the checks end in `outcome`.

    One that is hung takes the whole timeout; a check succeeds after all when a SYN is repeated after the end.
    `OFFLINE` is the network of the tool itself.
    """

    begin: float
    end: float
    outcome: Outcome
    share: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What happens in a month. `outages` are what people should be told of, from begin to end; the rest is noise.

    Of all checks `loss` fails; after each of `singles` the next check does. `away` is when the channel cannot be
    reached, `kills` when our process dies.
    """

    faults: tuple[Fault, ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    loss: float = 0.0
    singles: tuple[float, ...] = ()
    away: tuple[tuple[float, float], ...] = ()
    kills: tuple[float, ...] = ()

    @property
    def offline(self) -> tuple[tuple[float, float], ...]:
        return tuple((fault.begin, fault.end) for fault in self.faults if fault.outcome is Outcome.OFFLINE)


class Host:
    """What the checks of one tool meet, in the order of their times; one `is_outside` has another network."""

    def __init__(self, history: History, chance: random.Random, *, is_outside: bool = False) -> None:
        faults = history.faults
        self._faults = [f for f in faults if not (is_outside and f.outcome is Outcome.OFFLINE)]
        self._singles = list(history.singles)
        self._kills = list(history.kills)
        self._loss = history.loss
        self._chance = chance
        self._until_lost = self._fine_before_lost()

    def fine_checks(self, at: float, interval: float) -> int:
        """How many checks, from `at` on and so far apart, are sure to be fine."""
        self._forget(at)
        ahead = [MONTH, *(fault.begin for fault in self._faults[:1]), *self._singles[:1], *self._kills[:1]]
        return int(min(self._until_lost, max(0, math.ceil((min(ahead) - at) / interval))))

    def skip(self, checks: int) -> None:
        """So many fine checks were not asked for one by one."""
        self._until_lost -= checks

    def check(self, at: float, timeout: float) -> tuple[Outcome, float]:
        """What a check that begins at `at` ends in, and how many seconds it takes."""
        self._forget(at)
        while self._kills and self._kills[0] < at:
            self._kills.pop(0)
        self._until_lost -= 1
        if self._until_lost < 0:
            self._until_lost = self._fine_before_lost()
            return self._lost(timeout)
        if self._singles and self._singles[0] <= at:
            self._singles.pop(0)
            return self._lost(timeout)
        fault = self._faults[0] if self._faults else None
        if fault is None or at < fault.begin or (fault.share < 1 and self._chance.random() >= fault.share):
            return Outcome.OK, _QUICK_SECONDS
        if fault.outcome is Outcome.SLOW:
            return Outcome.SLOW, _SLOW_SECONDS
        if fault.outcome not in _HUNG:
            return fault.outcome, _QUICK_SECONDS
        again = next((wait for wait in _SYN_AT if at + wait >= fault.end), timeout)
        return (fault.outcome, timeout) if again >= timeout or fault.share < 1 else (Outcome.OK, again)

    def _lost(self, timeout: float) -> tuple[Outcome, float]:
        if self._chance.random() < 0.5:
            return Outcome.CONNECTION_LOST, _QUICK_SECONDS
        return Outcome.CONNECTION_TIMEOUT, timeout

    def _fine_before_lost(self) -> float:
        """Of independent losses the distance is geometric; so most checks need no random number."""
        if not self._loss:
            return math.inf
        return float(int(math.log(1 - self._chance.random()) / math.log(1 - self._loss)))

    def _forget(self, at: float) -> None:
        while self._faults and self._faults[0].end <= at:
            self._faults.pop(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A kind of month. `months` of it are simulated in the reduced run, `full` times as many in the full one."""

    name: str
    make: Callable[[random.Random], History]
    months: int
    databases: int = 1
    is_noise: bool = False


def _times(chance: random.Random, number: int, length: float) -> list[float]:
    """Begins of so many faults, with an hour at least between the end of one and the next."""
    room = MONTH - number * (length + HOUR)
    return [begin + i * (length + HOUR) for i, begin in enumerate(sorted(_uniform(chance, number, room)))]


def _uniform(chance: random.Random, number: int, room: float) -> Iterator[float]:
    return (chance.random() * room for _ in range(number))


def _refused_or_hung(chance: random.Random) -> Outcome:
    return chance.choice((Outcome.CONNECTION_REFUSED, Outcome.CONNECTION_TIMEOUT))


def _outages(
    chance: random.Random, *, number: int, length: float, outcome: Outcome | None = None, share: float = 1.0
) -> History:
    faults = tuple(
        Fault(begin=begin, end=begin + length, outcome=outcome or _refused_or_hung(chance), share=share)
        for begin in _times(chance, number, length)
    )
    return History(faults=faults, outages=tuple((fault.begin, fault.end) for fault in faults))


def _blips(chance: random.Random, *, length: float) -> History:
    """One in each hour, at a moment of its own; two that touch would be an outage."""
    room = HOUR - length - 2 * MINUTE
    begins = [hour * HOUR + chance.random() * room for hour in range(int(MONTH / HOUR))]
    return History(
        faults=tuple(Fault(begin=at, end=at + length, outcome=_refused_or_hung(chance)) for at in begins)
    )


def _bursts(chance: random.Random, *, apart: float, length: float) -> History:
    """Fine and bad times by turns, both exponential; a minute and more of it is an outage."""
    faults, at = [], chance.expovariate(1 / apart)
    while at < MONTH:
        end = at + chance.expovariate(1 / length)
        faults.append(Fault(begin=at, end=end, outcome=_refused_or_hung(chance), share=0.8))
        at = end + chance.expovariate(1 / apart)
    outages = tuple((fault.begin, fault.end) for fault in faults if fault.end - fault.begin >= MINUTE)
    return History(faults=tuple(faults), outages=outages)


def _flapping(chance: random.Random, *, down: float, up: float, length: float) -> History:
    begins = _times(chance, 3, length)
    faults = tuple(
        Fault(begin=at, end=at + down, outcome=_refused_or_hung(chance))
        for begin in begins
        for at in (begin + period * (down + up) for period in range(int(length / (down + up))))
    )
    return History(faults=faults, outages=tuple((begin, begin + length - up) for begin in begins))


def _offline(chance: random.Random) -> History:
    begins = _times(chance, 8, 15 * MINUTE)
    lengths = [chance.uniform(MINUTE, 15 * MINUTE) for _ in begins]
    return History(
        faults=tuple(
            Fault(begin=at, end=at + length, outcome=Outcome.OFFLINE)
            for at, length in zip(begins, lengths, strict=True)
        )
    )


def _channel_away(chance: random.Random) -> History:
    """The channel breaks a minute before the database does, and stays away for half an hour."""
    history = _outages(chance, number=12, length=10 * MINUTE)
    return replace(history, away=tuple((begin - MINUTE, begin + 33 * MINUTE) for begin, _end in history.outages))


def _killed(chance: random.Random) -> History:
    history = _outages(chance, number=12, length=10 * MINUTE)
    return replace(history, kills=tuple(sorted(_uniform(chance, 6 * 30, MONTH))))


def _outage_rows() -> Iterator[Scenario]:
    lengths = {"30 s": 30.0, "60 s": 60.0, "90 s": 90.0, "2 min": 120.0, "5 min": 300.0, "10 min": 600.0}
    for words, length in lengths.items():
        yield Scenario(name=f"outage {words}", make=partial(_outages, number=12, length=length), months=20)
    yield Scenario(name="outage 60 min", make=partial(_outages, number=12, length=HOUR), months=10)
    yield Scenario(name="outage 8 h", make=partial(_outages, number=4, length=8 * HOUR), months=10)


def _noise(name: str, make: Callable[[random.Random], History], months: int) -> Scenario:
    return Scenario(name=name, make=make, months=months, is_noise=True)


def _loss(_chance: random.Random, *, share: float) -> History:
    return History(loss=share)


def _singles(chance: random.Random) -> History:
    return History(singles=tuple(day * DAY + chance.random() * DAY for day in range(30)))


def _half(words: str, share: float) -> Scenario:
    refused = Outcome.CONNECTION_REFUSED
    make = partial(_outages, number=2, length=6 * HOUR, outcome=refused, share=share)
    return Scenario(name=f"{words} host, 6 h", make=make, months=15)


def _of(outcome: Outcome, words: str, number: int, length: float) -> Scenario:
    return Scenario(name=words, make=partial(_outages, number=number, length=length, outcome=outcome), months=8)


CLEAN = _noise("clean", lambda _chance: History(), 20)
LOST_DAILY = _noise("one lost check a day", _singles, 40)
FLAPPING = Scenario(
    name="flapping 60/90 s, 4 h", make=partial(_flapping, down=60.0, up=90.0, length=4 * HOUR), months=15
)
LOSS_1 = _noise("1 % loss", partial(_loss, share=0.01), 60)
LOSS_5 = _noise("5 % loss", partial(_loss, share=0.05), 60)
BLIPS_20 = _noise("20-s blip each hour", partial(_blips, length=20.0), 20)
BLIPS_40 = _noise("40-s blip each hour", partial(_blips, length=40.0), 20)
OUTAGES: tuple[Scenario, ...] = tuple(_outage_rows())
SLOW = Scenario(
    name="slow 30 min (limit set)",
    make=partial(_outages, number=4, length=HOUR / 2, outcome=Outcome.SLOW, share=0.8),
    months=8,
)
CHANNEL_AWAY = Scenario(name="channel away, outage 10 min", make=_channel_away, months=4)
KILLED = Scenario(name="killed 6 a day, outage 10 min", make=_killed, months=3)
HALF, THIRD = _half("50 %", 0.5), _half("1-of-3", 1 / 3)
TWO = Scenario(
    name="two together, 10 min", make=partial(_outages, number=12, length=10 * MINUTE), months=4, databases=2
)
TWENTY = Scenario(
    name="twenty together (quota 3 h)",
    make=partial(_outages, number=2, length=3 * HOUR, outcome=Outcome.QUOTA_EXCEEDED),
    months=2,
    databases=20,
)
SCENARIOS: Sequence[Scenario] = (
    CLEAN,
    LOST_DAILY,
    LOSS_1,
    LOSS_5,
    BLIPS_20,
    BLIPS_40,
    Scenario(name="bursts 1 h / 20 s, 80 %", make=partial(_bursts, apart=HOUR, length=20.0), months=15),
    Scenario(name="bursts 6 h / 60 s, 80 %", make=partial(_bursts, apart=6 * HOUR, length=60.0), months=15),
    *OUTAGES,
    HALF,
    THIRD,
    FLAPPING,
    _of(Outcome.TOKEN_REJECTED, "token 30 min", 6, HOUR / 2),
    _of(Outcome.TOKEN_REJECTED, "token 10 h", 3, 10 * HOUR),
    _of(Outcome.TOKEN_REJECTED, "token 3 days", 2, 3 * DAY),
    _noise("own network away", _offline, 15),
    SLOW,
    CHANNEL_AWAY,
    KILLED,
    TWO,
    TWENTY,
)
