"""From a fault to the message: for each fault one stand-in that fails, and we and the peers who watch it.

The clock starts just before the fault is switched on and stops at a message's last byte in the inbox of whoever
sent it. The faults come at a random phase of the interval, a new one after all were told that the last is over.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from bench import peers
from bench.goals import CAUSE, HUNG, KILLED, WRONG_TOKEN, Goal
from bench.inbox import Inbox, TimedMessage
from bench.peers import INTERVAL_SECONDS, TIMEOUT_SECONDS, Peer, Target
from bench.plan import Plan, say
from bench.program import database, watching
from bench.samples import median_and_worst
from bench.server import TOKEN_PREFIX
from bench.table import Row
from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import word
from monitor.diagnosis.verdicts import DatabaseProfile, HostKind, Verdict, VerdictCode
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn

# Three failures, as the peers count them.
_ALERTS = {
    "confirm_interval": "1s",
    "failing": {"failures": 3, "for": "0s"},
    "flapping": {"within": "0s"},
    "recovery": {"checks": 2, "for": "0s"},
}
_DATABASE = {"interval": f"{INTERVAL_SECONDS}s", "timeout": f"{TIMEOUT_SECONDS}s"}
_TOKEN = f"{TOKEN_PREFIX}main"
_MESSAGE_WITHIN_SECONDS = 60.0
# Prometheus looks once before it can find a change.
_PEERS_START_SECONDS = 10.0
_OURS = Peer(name="upstash-monitor", opened="· opened", closed="· closed", programs={})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Trouble:
    """One way to break, how it is mended, and what the message must name."""

    name: str
    goal: Goal
    outcome: Outcome
    break_: Callable[[UpstashStandIn], None]
    mend: Callable[[UpstashStandIn], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """One fault: seconds until the message of each who watched, and until that of its end; was the cause named."""

    told: Mapping[str, float | None]
    closed: Mapping[str, float | None]
    names_cause: bool


def _set_fault(fault: UpstashFault) -> Callable[[UpstashStandIn], None]:
    return lambda server: setattr(server, "fault", fault)


def _set_token(token: str) -> Callable[[UpstashStandIn], None]:
    return lambda server: setattr(server, "token", token)


_TROUBLES = (
    _Trouble(
        name="killed",
        goal=KILLED,
        outcome=Outcome.CONNECTION_REFUSED,
        break_=_set_fault(UpstashFault.REFUSE),
        mend=_set_fault(UpstashFault.NONE),
    ),
    _Trouble(
        name="hung",
        goal=HUNG,
        outcome=Outcome.RESPONSE_TIMEOUT,
        break_=_set_fault(UpstashFault.HANG),
        mend=_set_fault(UpstashFault.NONE),
    ),
    _Trouble(
        name="wrong token",
        goal=WRONG_TOKEN,
        outcome=Outcome.TOKEN_REJECTED,
        break_=_set_token("rotated"),
        mend=_set_token(_TOKEN),
    ),
)


def measure(plan: Plan) -> Iterator[Row]:
    """A row per fault, then one on what the messages name."""
    times = 1 if plan.quick else plan.faults
    over = threading.Event()
    with ThreadPoolExecutor(len(_TROUBLES)) as pool:
        running = [pool.submit(_suffer, trouble, plan, times, over) for trouble in _TROUBLES]
        try:
            found = [future.result() for future in running]
        finally:
            over.set()
    for trouble, cases in zip(_TROUBLES, found, strict=True):
        yield _row(trouble, cases, plan)
    every = [case for cases in found for case in cases]
    named = sum(case.names_cause for case in every)
    yield Row(
        what="the cause in the message",
        measured=f"outcome, meaning and next step in {named} of {len(every)}",
        count=str(len(every)),
        goal=CAUSE,
        reached=plan.judged(reached=named == len(every)),
    )


def _row(trouble: _Trouble, cases: list[_Case], plan: Plan) -> Row:
    told, closed = _by_name([case.told for case in cases]), _by_name([case.closed for case in cases])
    medians = {name: statistics.median(values) for name, values in told.items() if values}
    ours = medians.get(_OURS.name)
    best = min((median for name, median in medians.items() if name != _OURS.name), default=None)
    lines = [
        f"{name}: {_figures(told[name])}, its end after {_figures(closed[name])}"
        if told[name]
        else f"{name}: nothing"
        for name in told
    ]
    is_told = len(told[_OURS.name]) == len(cases)
    reached = None
    if ours is not None and best is not None:
        lines.append(f"{ours / best:.2f} of the best peer's")
        reached = is_told and trouble.goal.is_reached(ours / best)
    return Row(
        what=f"fault to message, {trouble.name}; interval 5 s, timeout 2 s, confirm 1 s (median / worst)",
        measured="\n".join(lines),
        count=f"{len(told[_OURS.name])} of {len(cases)}",
        goal=trouble.goal,
        reached=plan.judged(reached=reached if is_told else False),
        figures=medians,
        unit="s",
    )


def _by_name(found: Sequence[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """The seconds of each who watched, of those faults that it told."""
    return {name: [seconds for each in found if (seconds := each[name]) is not None] for name in found[0]}


def _figures(seconds: Sequence[float]) -> str:
    return median_and_worst(seconds, "s") if seconds else "no message"


def _suffer(trouble: _Trouble, plan: Plan, times: int, over: threading.Event) -> list[_Case]:
    chance = plan.chance(trouble.name)
    folder = plan.scratch(f"detection {trouble.name}".replace(" ", "-"))  # Monit takes no spaces
    with UpstashStandIn(_TOKEN) as server, ExitStack() as stack:
        inboxes = {peer: stack.enter_context(Inbox()) for peer in (_OURS, *peers.installed())}
        ours = inboxes[_OURS]
        config = {
            "databases": [database("main", server.url, **_DATABASE)],
            "alerts": _ALERTS,
            "channels": [{"type": "slack", "webhook_url": ours.webhook_url}],
            "connectivity": [ours.address],
        }
        stack.enter_context(watching(folder, config))
        for peer, inbox in inboxes.items():
            if peer is not _OURS:
                target = Target(url=server.url, token=_TOKEN, webhook_url=inbox.webhook_url)
                stack.enter_context(peers.watching(peer, folder / peer.name.split()[0], target))
        over.wait(_PEERS_START_SECONDS)
        cases: list[_Case] = []
        # At least one fine check comes first: an interval passes after the start and after each recovery.
        while len(cases) < times and not over.wait(chance.uniform(1, 2) * INTERVAL_SECONDS):
            cases.append(_case(trouble, server, inboxes, over))
            told = cases[-1].told.items()
            words = ", ".join(f"{name} {'nothing' if at is None else f'{at:.2f} s'}" for name, at in told)
            say(f"  {trouble.name}, {len(cases)} of {times}: {words}")
        return cases


def _case(
    trouble: _Trouble, server: UpstashStandIn, inboxes: Mapping[Peer, Inbox], over: threading.Event
) -> _Case:
    broken_at = time.monotonic()
    trouble.break_(server)
    opened = {
        peer.name: inbox.wait_for(peer.opened, seconds=_MESSAGE_WITHIN_SECONDS, over=over)
        for peer, inbox in inboxes.items()
    }
    mended_at = time.monotonic()
    trouble.mend(server)
    closed = {
        peer.name: inbox.wait_for(peer.closed, seconds=_MESSAGE_WITHIN_SECONDS, over=over)
        for peer, inbox in inboxes.items()
    }
    ours = opened[_OURS.name]
    return _Case(
        told=_since(broken_at, opened),
        closed=_since(mended_at, closed),
        names_cause=ours is not None and _names_cause(ours.text, trouble.outcome),
    )


def _since(begun: float, messages: Mapping[str, TimedMessage | None]) -> dict[str, float | None]:
    return {name: None if message is None else message.at - begun for name, message in messages.items()}


def _names_cause(text: str, outcome: Outcome) -> bool:
    """The outcome in words, whose move it is, what it means by the general advice or the doctor, a first step."""
    profile = DatabaseProfile(database="main", host_kind=HostKind.OTHER)
    verdicts = (Verdict(code=code, outcome=outcome, profile=profile) for code in VerdictCode)
    told = any(word(verdict).meaning in text for verdict in verdicts)
    return outcome.words in text and told and " move" in text.splitlines()[0] and "\n1. " in text
