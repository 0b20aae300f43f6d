"""Everybody beside everybody at the schedule's pace: one database every 5 s over plain HTTP, in one window.

We with the page's port on, the peers that are installed, the client alone and a bare socket ask the same server.
What other work takes from the machine meanwhile is taken from all of them alike, so that the ratios stand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import peers
from bench.goals import CPU_AT_PACE, MEMORY_AT_PACE, NO_GOAL
from bench.load import Load, serving
from bench.peers import INTERVAL_SECONDS, STACK, Target
from bench.plan import Plan, say
from bench.ports import free_port
from bench.processes import Memory, cpu_seconds, memory
from bench.program import calling, database, watching
from bench.server import TOKEN_PREFIX, Options
from bench.table import Row

OURS, CLIENT, SOCKET = "upstash-monitor, page on", "the client alone", "a bare socket"
# What is read in at the start is not what a check costs.
_SETTLE_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    """What one of them took: CPU seconds per 1,000 checks, its idle time included, and memory at the end."""

    cpu: float
    memory: Memory


def measure(plan: Plan) -> Iterator[Row]:
    """A row for CPU and one for memory."""
    seconds = plan.choose(300, 10)
    costs = _costs(plan, seconds)
    ours, others = costs[OURS], {name: cost for name, cost in costs.items() if name != OURS}
    stack = costs.get(STACK.name)
    checks = f"{seconds / INTERVAL_SECONDS:.0f} checks"
    yield Row(
        what="CPU per 1,000 checks at the schedule's pace, idle time included; one database every 5 s, plain HTTP",
        measured=f"{ours.cpu:.2f} s\n"
        + "\n".join(f"{ours.cpu / cost.cpu:.2f} of {name}, {cost.cpu:.2f} s" for name, cost in others.items()),
        count=checks,
        goal=CPU_AT_PACE,
        reached=plan.judged(reached=None if stack is None else ours.cpu <= stack.cpu),
        figures={name: cost.cpu for name, cost in costs.items()},
        unit="s",
    )
    yield Row(
        what="memory of the same, resident; and the part that is not shared with other programs",
        measured=f"{ours.memory.rss:.1f} MB, {ours.memory.pss:.1f}\n"
        + "\n".join(
            f"{ours.memory.rss / cost.memory.rss:.2f} of {name}, {cost.memory.rss:.1f} MB, {cost.memory.pss:.1f}"
            for name, cost in others.items()
        ),
        count=checks,
        goal=MEMORY_AT_PACE,
        reached=plan.judged(reached=MEMORY_AT_PACE.is_reached(ours.memory.rss)),
        figures={name: cost.memory.rss for name, cost in costs.items()},
        unit="MB",
    )
    for peer in peers.PEERS:
        if peer.missing:
            yield Row(
                what=f"{peer.name} beside us",
                measured=f"not installed. Next: apt-get install {' '.join(peer.missing)}",
                count="",
                goal=NO_GOAL,
                reached=None,
            )


def _costs(plan: Plan, seconds: float) -> dict[str, _Cost]:
    beside = ", ".join(peer.name for peer in peers.installed())
    say(f"  {seconds:.0f} s after {_SETTLE_SECONDS:.0f}, beside: {beside or 'no peer'}")
    folder = plan.scratch("pace")
    with serving(Options()) as load, ExitStack() as stack:
        pids = _start(stack, load, folder)
        time.sleep(_SETTLE_SECONDS)
        before = {name: cpu_seconds(group) for name, group in pids.items()}
        time.sleep(seconds)
        costs = {
            name: _Cost(
                cpu=(cpu_seconds(group) - before[name]) / (seconds / INTERVAL_SECONDS) * 1000, memory=memory(group)
            )
            for name, group in pids.items()
        }
        asked = load.seen().answers
    least = seconds / INTERVAL_SECONDS
    for name in pids:
        # One whose checks fail, or that does not check, would look cheap.
        if len(asked.get(_token_of(name).removeprefix(TOKEN_PREFIX), ())) < least:
            raise RuntimeError(f"{name} did not ask the server every {INTERVAL_SECONDS} s")
    return costs


def _start(stack: ExitStack, load: Load, folder: Path) -> dict[str, tuple[int, ...]]:
    """The numbers of everybody's processes, by name."""
    url = load.address_url
    call = partial(calling, folder, url, every=INTERVAL_SECONDS)
    config = {
        "databases": [database("ours", url, interval=f"{INTERVAL_SECONDS}s", token=_token_of(OURS))],
        "connectivity": [load.host],
        "page": {"host": "127.0.0.1", "port": free_port()},
    }
    found: dict[str, tuple[int, ...]] = {OURS: (stack.enter_context(watching(folder, config)).pid,)}
    for peer in peers.installed():
        # Nobody takes a message: the server answers well throughout.
        target = Target(url=url, token=_token_of(peer.name), webhook_url=url)
        found[peer.name] = stack.enter_context(peers.watching(peer, folder / peer.name.split()[0], target))
    found[CLIENT] = (stack.enter_context(call(_token_of(CLIENT))),)
    found[SOCKET] = (stack.enter_context(call(_token_of(SOCKET), raw=True)),)
    return found


def _token_of(name: str) -> str:
    return TOKEN_PREFIX + name.replace(" ", "-").replace(",", "")
