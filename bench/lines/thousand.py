"""1,000 databases every 10 s over TLS; then the same with 200 of them behind a host that drops every packet.

How late a check starts is taken from the history: `at` is noted when a check begins, and the slots of a database
are ten seconds apart with an offset of its own (`Slots` in monitor/engine/scheduler.py). Where the grid
begins is written
nowhere, so the most punctual check of all stands for it; the figures are too small by that check's own lateness, a
millisecond or so. What lies between a check's beginning and its first packet cannot be seen in the history, so the
request's arrival at the server is shown as well: it holds lookup, connection, encryption and the server's own
queue, and is therefore more than the truth. A check is missed when a slot passed without one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.certificates import Certificates, make_certificates
from bench.goals import (
    BLACK_HOLED,
    BLACK_HOLED_COST,
    BLACK_HOLED_MISSED,
    LATENCY_OF_MANY,
    THOUSAND_CPU,
    THOUSAND_LATENESS,
    THOUSAND_MEMORY,
    THOUSAND_MISSED,
    Goal,
)
from bench.inbox import Inbox
from bench.lines.latency import DELAY_MS, truth_row
from bench.load import Load, Seen, serving
from bench.plan import Plan, say
from bench.program import CheckRow, Config, Program, database, watching
from bench.samples import percentile
from bench.server import Options
from bench.table import Row

_NAMES = [f"db-{number:04}" for number in range(1000)]
# Every fifth, so that they stand among the others.
_DEAD = frozenset(_NAMES[4::5])
_INTERVAL_SECONDS = 10.0
_OFFSETS = {name: number * _INTERVAL_SECONDS / len(_NAMES) for number, name in enumerate(_NAMES)}
# Until each database was checked; until those that are dead were checked four times and told.
_SETTLE_SECONDS = 15.0
_SETTLE_DEAD_SECONDS = 80.0
# `at` has whole milliseconds; a check cannot begin before its slot.
_GRAIN_SECONDS = 0.002


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """One run. Lateness in milliseconds, and missed checks, are those of the window and of databases alive."""

    checks: Sequence[CheckRow]
    seen: Seen
    missed: int
    started_late: Sequence[float]
    arrived_late: Sequence[float]
    cpu_percent: float
    cpu_seconds_per_thousand: float
    resident_mb: float
    peak_mb: float
    told: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """From when to when, in epoch seconds; what the process took, and what it weighed at the end."""

    begin: float
    end: float
    cpu_seconds: float
    resident_mb: float
    peak_mb: float


def measure(plan: Plan) -> Iterator[Row]:
    """First all alive, then 200 of them dead."""
    certificates = make_certificates(plan.scratch("thousand certificates"))
    found = _run(plan, certificates, dead=frozenset())
    what = "1,000 every 10 s over TLS"
    yield _row(
        f"{what}: missed checks", str(found.missed), found, goal=THOUSAND_MISSED, figure=found.missed, plan=plan
    )
    yield _lateness_row(f"{what}: how late checks start", found, THOUSAND_LATENESS, plan)
    cpu = f"{found.cpu_percent:.1f} % of a core\n{found.cpu_seconds_per_thousand:.2f} s per 1,000 checks"
    yield _row(f"{what}: CPU", cpu, found, goal=THOUSAND_CPU, figure=found.cpu_percent, plan=plan)
    memory = f"{found.resident_mb:.1f} MB, peak {found.peak_mb:.1f} MB"
    yield _row(f"{what}: memory", memory, found, goal=THOUSAND_MEMORY, figure=found.peak_mb, plan=plan)
    yield truth_row("1,000 databases every 10 s", LATENCY_OF_MANY, found.checks, found.seen, plan)

    found = _run(plan, certificates, dead=_DEAD)
    what = f"{len(_DEAD)} of the 1,000 black-holed"
    missed = f"{found.missed}\n{found.told} of {len(_DEAD)} incidents told"
    yield _row(
        f"{what}: missed checks of the others",
        missed,
        found,
        goal=BLACK_HOLED_MISSED,
        figure=found.missed,
        plan=plan,
    )
    yield _lateness_row(f"{what}: how late the others start", found, BLACK_HOLED, plan)
    cost = f"{found.cpu_percent:.1f} % of a core\n{found.resident_mb:.1f} MB, peak {found.peak_mb:.1f} MB"
    yield _row(f"{what}: CPU and memory", cost, found, goal=BLACK_HOLED_COST, figure=found.peak_mb, plan=plan)


def _run(plan: Plan, certificates: Certificates, *, dead: frozenset[str]) -> _Found:
    settle = plan.choose(_SETTLE_DEAD_SECONDS if dead else _SETTLE_SECONDS, 2)
    seconds = plan.choose(100, 12)
    say(f"  {len(_NAMES)}, {len(dead)} of them black-holed, for {seconds:.0f} s after {settle:.0f} s")
    folder = plan.scratch(f"thousand {len(dead)}")
    options = Options(chain=str(certificates.chain), delay_ms=DELAY_MS, seed=plan.seed)
    with serving(options) as load, Inbox() as inbox:
        config = _config(load, inbox, dead)
        with watching(folder, config, trusted=certificates.trusted) as program:
            time.sleep(settle)
            window = _watch(program, seconds)
            program.stop()
            checks, log = program.checks(), program.log
        seen = load.seen()
    moments = {
        name: [check.at for check in checks if check.database == name] for name in _NAMES if name not in dead
    }
    arrivals = {name: [answer.arrived for answer in seen.answers[name]] for name in moments}
    grid = min(at - _OFFSETS[name] for name, times in moments.items() for at in times)
    in_window = sum(window.begin <= check.at < window.end for check in checks)
    started, missed = _lateness(moments, grid, window)
    return _Found(
        checks=checks,
        seen=seen,
        missed=missed,
        started_late=started,
        arrived_late=_lateness(arrivals, grid, window)[0],
        cpu_percent=window.cpu_seconds / (window.end - window.begin) * 100,
        cpu_seconds_per_thousand=window.cpu_seconds / in_window * 1000,
        resident_mb=window.resident_mb,
        peak_mb=window.peak_mb,
        told=log.count("opened delivered"),
    )


def _config(load: Load, inbox: Inbox, dead: frozenset[str]) -> Config:
    return {
        "databases": [database(name, load.black_hole_url if name in dead else load.url) for name in _NAMES],
        "defaults": {"interval": f"{_INTERVAL_SECONDS:.0f}s", "timeout": "5s"},
        "channels": [{"type": "slack", "webhook_url": inbox.webhook_url}],
        "connectivity": [load.host],
    }


def _watch(program: Program, seconds: float) -> _Window:
    begin, before = time.time(), program.cpu_seconds()
    time.sleep(seconds)
    return _Window(
        begin=begin,
        end=time.time(),
        cpu_seconds=program.cpu_seconds() - before,
        resident_mb=program.resident_mb(),
        peak_mb=program.peak_mb(),
    )


def _lateness(moments: dict[str, list[float]], grid: float, window: _Window) -> tuple[list[float], int]:
    """How late each slot of the window was begun, in milliseconds, and how many were not begun at all."""
    late: list[float] = []
    missed = 0
    for name, times in moments.items():
        first = grid + _OFFSETS[name]
        begun: dict[int, float] = {}
        for at in times:
            begun.setdefault(int((at - first + _GRAIN_SECONDS) // _INTERVAL_SECONDS), at)
        slot = int((window.begin - first) // _INTERVAL_SECONDS) + 1
        while (due := first + slot * _INTERVAL_SECONDS) < window.end - 1:
            if slot in begun:
                late.append(max(0.0, begun[slot] - due) * 1000)
            else:
                missed += 1
            slot += 1
    return late, missed


def _lateness_row(what: str, found: _Found, goal: Goal, plan: Plan) -> Row:
    def format_three(late: Sequence[float]) -> str:
        return f"p50 {percentile(late, 0.5):.0f}, p99 {percentile(late, 0.99):.0f}, worst {max(late):.0f} ms"

    measured = f"{format_three(found.started_late)}\nat the server: {format_three(found.arrived_late)}"
    figure = percentile(found.started_late, 0.99)
    return _row(what, measured, found, goal=goal, figure=figure, plan=plan)


def _row(what: str, measured: str, found: _Found, *, goal: Goal, figure: float, plan: Plan) -> Row:
    return Row(
        what=what,
        measured=measured,
        count=f"{len(found.started_late):,}",
        goal=goal,
        reached=plan.judged(reached=goal.is_reached(figure)),
    )
