"""From a fault to the message: for each fault the real program, a stand-in that fails, and an inbox.

The clock starts just before the fault is switched on and stops at the message's last byte. The faults come at a
random phase of the interval, a new one after the last was recovered from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.goals import CAUSE, HUNG, KILLED, WRONG_TOKEN, Goal
from bench.inbox import Inbox
from bench.plan import Plan, say
from bench.program import database, watching
from bench.samples import median_and_worst, several
from bench.server import TOKEN_PREFIX
from bench.table import Row
from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import word
from monitor.diagnosis.profile import DatabaseProfile, HostKind
from monitor.diagnosis.verdicts import Verdict, VerdictCode
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn

_INTERVAL_SECONDS = 5
_ALERTS = {
    "confirm_interval": "1s",
    "failing": {"failures": 3, "for": "0s"},
    "flapping": {"within": "0s"},
    "recovery": {"checks": 2, "for": "0s"},
}
_DATABASE = {"interval": f"{_INTERVAL_SECONDS}s", "timeout": "2s"}
_TOKEN = f"{TOKEN_PREFIX}main"
_MESSAGE_WITHIN_SECONDS = 60.0


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
    """One fault: seconds until its message and until that of its end, and whether the cause was named."""

    told: float | None
    closed: float | None
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
    told = [case.told for case in cases if case.told is not None]
    closed = [case.closed for case in cases if case.closed is not None]
    measured = median_and_worst(told, "s", 2) if told else "no message"
    if closed:
        measured += f"\nits end told after {several(closed, 's')}"
    on_time = len(told) == len(cases) and trouble.goal.is_reached(max(told))
    return Row(
        what=f"fault to message, {trouble.name}; interval 5 s, timeout 2 s, confirm 1 s (median / worst)",
        measured=measured,
        count=f"{len(told)} of {len(cases)}",
        goal=trouble.goal,
        reached=plan.judged(reached=on_time),
    )


def _suffer(trouble: _Trouble, plan: Plan, times: int, over: threading.Event) -> list[_Case]:
    chance = plan.chance(trouble.name)
    with UpstashStandIn(_TOKEN) as server, Inbox() as inbox:
        config = {
            "databases": [database("main", server.url, **_DATABASE)],
            "alerts": _ALERTS,
            "channels": [{"type": "slack", "webhook_url": inbox.webhook_url}],
            "connectivity": [inbox.address],
        }
        with watching(plan.scratch(f"detection {trouble.name}"), config):
            cases: list[_Case] = []
            # At least one fine check comes first: an interval passes after the start and after each recovery.
            while len(cases) < times and not over.wait(chance.uniform(1, 2) * _INTERVAL_SECONDS):
                cases.append(_case(trouble, server, inbox, over))
                told = cases[-1].told
                words = "no message" if told is None else f"told after {told:.2f} s"
                say(f"  {trouble.name}, {len(cases)} of {times}: {words}")
            return cases


def _case(trouble: _Trouble, server: UpstashStandIn, inbox: Inbox, over: threading.Event) -> _Case:
    broken_at = time.monotonic()
    trouble.break_(server)
    opened = inbox.wait_for("· opened", seconds=_MESSAGE_WITHIN_SECONDS, over=over)
    mended_at = time.monotonic()
    trouble.mend(server)
    closed = inbox.wait_for("· closed", seconds=_MESSAGE_WITHIN_SECONDS, over=over)
    told = None if opened is None else opened.at - broken_at
    return _Case(
        told=told,
        closed=None if closed is None else closed.at - mended_at,
        names_cause=opened is not None and _names_cause(opened.text, trouble.outcome),
    )


def _names_cause(text: str, outcome: Outcome) -> bool:
    """The outcome in words, whose move it is, what it means by the general advice or the doctor, a first step."""
    profile = DatabaseProfile(database="main", host_kind=HostKind.OTHER)
    verdicts = (Verdict(code=code, outcome=outcome, profile=profile) for code in VerdictCode)
    told = any(word(verdict).meaning in text for verdict in verdicts)
    return outcome.words in text and told and " move" in text.splitlines()[0] and "\n1. " in text
