"""Which phase of a check moved since the span before, and whose part that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Phases
from monitor.report.formatting import format_ms

# What a median moves by chance is less than this.
_LEAST_MS = 2.0
_LEAST_RATIO = 1.25
# A wait contains one round trip, which is what a TCP connection takes; up to so many times that is still the way.
_WAY_RATIO = 1.5


class Phase(Enum):
    """The parts of a check, in their order; the values are the names of `Phases`."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    WAIT = "wait"
    READ = "read"

    def of(self, phases: Phases) -> float | None:
        """Its milliseconds."""
        value: float | None = getattr(phases, self.value)
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """One phase whose median moved, in milliseconds, and what that means in words."""

    phase: Phase
    before_ms: float
    now_ms: float
    meaning: str

    def __str__(self) -> str:
        """`dns 1.2 ms → 8.9 ms: your lookup got slower, Upstash's wait did not`."""
        return f"{self.phase.value} {format_ms(self.before_ms)} → {format_ms(self.now_ms)}: {self.meaning}"


def shifts(now: Phases | None, before: Phases | None) -> tuple[Shift, ...]:
    """The phases that moved by more than chance, in their order; none where there is nothing to compare with."""
    if now is None or before is None:
        return ()
    moved = {phase for phase in Phase if _has_moved(phase.of(now), phase.of(before))}
    found: list[Shift] = []
    for phase in Phase:
        was, is_now = phase.of(before), phase.of(now)
        if phase in moved and was is not None and is_now is not None:
            meaning = _meaning(phase, now, before, moved)
            found.append(Shift(phase=phase, before_ms=was, now_ms=is_now, meaning=meaning))
    return tuple(found)


def _has_moved(now: float | None, before: float | None) -> bool:
    if now is None or before is None or abs(now - before) < _LEAST_MS:
        return False
    return max(now, before) >= _LEAST_RATIO * min(now, before)


def _meaning(phase: Phase, now: Phases, before: Phases, moved: set[Phase]) -> str:
    grew = (phase.of(now) or 0.0) > (phase.of(before) or 0.0)
    slower, longer = ("slower", "longer") if grew else ("faster", "shorter")
    if phase is Phase.WAIT:
        if _is_the_way(now, before, moved):
            return f"the way to Upstash got {longer}, Upstash itself did not get {slower}"
        return f"Upstash got {slower} to answer"
    words = {
        Phase.DNS: f"your lookup got {slower}",
        Phase.CONNECT: f"the way to Upstash got {longer}",
        Phase.TLS: f"the encryption handshake got {slower}",
        Phase.READ: f"reading the answer got {slower}",
    }[phase]
    return f"{words}, Upstash's wait did not" if grew and Phase.WAIT not in moved else words


def _is_the_way(now: Phases, before: Phases, moved: set[Phase]) -> bool:
    """True where the connection moved with the wait, so that the way there explains both."""
    if Phase.CONNECT not in moved:
        return False
    wait = (now.wait or 0.0) - (before.wait or 0.0)
    way = (now.connect or 0.0) - (before.connect or 0.0)
    return wait * way > 0 and abs(wait) <= _WAY_RATIO * abs(way)
