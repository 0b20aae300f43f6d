"""A host that hangs at any rung of the doctor's ladder: that rung ends by itself, and everything else is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest

from monitor.diagnosis.layers import REST_WAY, Rung, State
from monitor.doctor.examine import WITHIN
from monitor.sandbox.loopback import Mood
from monitor.sandbox.upstash import Fault
from tests.checks.listener import Listener, hang, port_that_drops
from tests.doctor.clinic import Clinic

# What makes it hang; servers of its own last as long as the stack.
Trouble = Callable[[Clinic, ExitStack], object]
AFTER = {rung: REST_WAY[number + 1 :] for number, rung in enumerate(REST_WAY)}
AFTER[Rung.LOOKUP] += (Rung.WORKER,)
# Each test waits this long for what hangs; what does not must be done by then, on a busy machine too.
SHORT = timedelta(seconds=1.5)
ELSEWHERE = (Rung.STATUS_PAGE, Rung.CONSOLE, Rung.PLATFORM)


def _controls(clinic: Clinic, stack: ExitStack) -> None:
    clinic.controls = [f"127.0.0.1:{stack.enter_context(port_that_drops())}"]


def _no_handshake(clinic: Clinic, stack: ExitStack) -> None:
    clinic.move_to(port=stack.enter_context(Listener(hang)).port)


def _silent_on(command: str) -> Trouble:
    return lambda clinic, _stack: setattr(clinic.upstash, "silent_on", frozenset({command}))


def _no_handshake_for_the_worker(clinic: Clinic, stack: ExitStack) -> None:
    clinic.worker_port = stack.enter_context(Listener(hang)).port


def _no_login_for_the_worker(clinic: Clinic, stack: ExitStack) -> None:
    tls = clinic.ward.certificates.server(clinic.host)
    clinic.worker_port = stack.enter_context(Listener(hang, tls=tls)).port


HANGS: list[tuple[Rung, Trouble]] = [
    (Rung.OUR_NETWORK, _controls),
    (Rung.LOOKUP, lambda clinic, _stack: clinic.resolver_answers.clear()),
    (Rung.CONNECTION, lambda clinic, stack: clinic.move_to(port=stack.enter_context(port_that_drops()))),
    (Rung.ENCRYPTION, _no_handshake),
    (Rung.HTTP, lambda clinic, _stack: setattr(clinic.upstash, "fault", Fault.HANG)),
    (Rung.TOKEN, _silent_on("PING")),
    (Rung.READING, _silent_on("GET")),
    (Rung.WRITING, _silent_on("SET")),
    (Rung.WORKER, _no_handshake_for_the_worker),
    (Rung.WORKER, _no_login_for_the_worker),
    (Rung.STATUS_PAGE, lambda clinic, _stack: setattr(clinic.page, "mood", Mood.HANG)),
    (Rung.CONSOLE, lambda clinic, _stack: setattr(clinic.console, "mood", Mood.HANG)),
    (Rung.PLATFORM, lambda clinic, _stack: setattr(clinic.railway, "mood", Mood.HANG)),
]


@pytest.mark.parametrize(
    ("rung", "trouble"), HANGS, ids=[f"{rung.value}-{trouble.__name__.strip('_<>')}" for rung, trouble in HANGS]
)
def test_a_rung_that_hangs_costs_itself_and_what_needs_it(clinic: Clinic, rung: Rung, trouble: Trouble) -> None:
    """It fails at its own deadline, or is unknown where that is no fault of the database; the others pass."""
    wanted = dict.fromkeys(Rung, State.PASSED) | dict.fromkeys(AFTER.get(rung, ()), State.SKIPPED)
    wanted[rung] = State.UNKNOWN if rung in ELSEWHERE else State.FAILED
    clinic.knobs["timeout"] = SHORT
    if rung in ELSEWHERE:
        clinic.others_timeout = SHORT
    with ExitStack() as stack:
        trouble(clinic, stack)
        ladder = clinic.examine()
    assert {seen.rung: seen.state for seen in ladder.rungs} == wanted, ladder
    assert not [seen for seen in ladder.rungs if seen.seen.startswith("not known within")]


def test_every_rung_that_waits_for_somebody_is_made_to_hang_here() -> None:
    """The first rung alone waits for nobody."""
    assert {rung for rung, _ in HANGS} == set(Rung) - {Rung.CONFIGURATION}


def test_when_everything_hangs_the_doctor_ends_all_the_same(clinic: Clinic) -> None:
    """The bound of the whole climb, half a minute out of the box, needs nobody's consent."""
    clinic.resolver_answers.clear()
    with port_that_drops() as port:
        clinic.controls = [f"127.0.0.1:{port}"]
        for service in (clinic.page, clinic.console, clinic.railway):
            service.mood = Mood.HANG
        ladder = clinic.examine(within=timedelta(seconds=0.3))
    known = [seen.rung for seen in ladder.rungs if seen.seen != "not known within 0.3 s"]
    assert known == [Rung.CONFIGURATION]
    assert ladder.passed(Rung.CONFIGURATION)
    assert timedelta(seconds=20) < WITHIN < timedelta(seconds=30)
