"""A host that hangs at any layer: that layer ends by itself, and everything else is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest

from monitor.checks.observation import Fact, Outcome
from monitor.diagnosis.verdicts import REST_LAYERS, Layer, LayerState
from monitor.doctor.examine import WITHIN
from monitor.sandbox.server import WebFault
from monitor.sandbox.upstash import UpstashFault
from tests.checks.listener import Listener, hang, port_that_drops
from tests.doctor.examined_database import ExaminedDatabase

# What makes the layer hang; servers that it starts last as long as the stack.
Trouble = Callable[[ExaminedDatabase, ExitStack], object]
AFTER = {layer: REST_LAYERS[number + 1 :] for number, layer in enumerate(REST_LAYERS)}
AFTER[Layer.LOOKUP] += (Layer.WORKER,)
# Each test waits this long for what hangs; what does not must be done by then, on a busy machine too.
SHORT = timedelta(seconds=2)
ELSEWHERE = (Layer.STATUS_PAGE, Layer.CONSOLE, Layer.PLATFORM)


def _hosts(examined: ExaminedDatabase, stack: ExitStack) -> None:
    examined.connectivity = [f"127.0.0.1:{stack.enter_context(port_that_drops())}"]


def _no_handshake(examined: ExaminedDatabase, stack: ExitStack) -> None:
    examined.move_to(port=stack.enter_context(Listener(hang)).port)


def _silent_on(command: str) -> Trouble:
    return lambda examined, _stack: setattr(examined.upstash, "silent_on", frozenset({command}))


def _no_handshake_for_the_worker(examined: ExaminedDatabase, stack: ExitStack) -> None:
    examined.worker_port = stack.enter_context(Listener(hang)).port


def _no_login_for_the_worker(examined: ExaminedDatabase, stack: ExitStack) -> None:
    tls = examined.shared.certificates.server(examined.host)
    examined.worker_port = stack.enter_context(Listener(hang, tls=tls)).port


HANGS: list[tuple[Layer, Trouble]] = [
    (Layer.CONNECTIVITY, _hosts),
    (Layer.LOOKUP, lambda examined, _stack: examined.resolver_answers.clear()),
    (Layer.CONNECTION, lambda examined, stack: examined.move_to(port=stack.enter_context(port_that_drops()))),
    (Layer.ENCRYPTION, _no_handshake),
    (Layer.HTTP, lambda examined, _stack: setattr(examined.upstash, "fault", UpstashFault.HANG)),
    (Layer.PING, _silent_on("PING")),
    (Layer.READING, _silent_on("GET")),
    (Layer.WRITING, _silent_on("SET")),
    (Layer.WORKER, _no_handshake_for_the_worker),
    (Layer.WORKER, _no_login_for_the_worker),
    (Layer.STATUS_PAGE, lambda examined, _stack: setattr(examined.page, "fault", WebFault.HANG)),
    (Layer.CONSOLE, lambda examined, _stack: setattr(examined.console, "fault", WebFault.HANG)),
    (Layer.PLATFORM, lambda examined, _stack: setattr(examined.railway, "fault", WebFault.HANG)),
]


@pytest.mark.parametrize(
    ("layer", "trouble"), HANGS, ids=[f"{layer.value}-{trouble.__name__.strip('_<>')}" for layer, trouble in HANGS]
)
def test_a_layer_that_hangs_costs_itself_and_what_needs_it(
    examined: ExaminedDatabase, layer: Layer, trouble: Trouble
) -> None:
    """It fails at its own deadline, or is unknown where that is no fault of the database; the others pass."""
    wanted = dict.fromkeys(Layer, LayerState.PASSED) | dict.fromkeys(AFTER.get(layer, ()), LayerState.SKIPPED)
    if layer is Layer.PING:
        wanted[Layer.TOKEN] = LayerState.UNKNOWN  # the same request
    wanted[layer] = LayerState.UNKNOWN if layer in ELSEWHERE else LayerState.FAILED
    examined.settings["timeout"] = SHORT
    if layer in ELSEWHERE:
        examined.others_timeout = SHORT
    with ExitStack() as stack:
        trouble(examined, stack)
        layers = examined.examine()
    assert {result.layer: result.state for result in layers.layers} == wanted, layers
    assert not [result for result in layers.layers if result.detail.startswith("not known within")]


def test_one_family_whose_handshake_hangs_is_told_apart(examined: ExaminedDatabase) -> None:
    """Checks take the family that the resolver names first, and hang with it; the other one works."""
    examined.settings["timeout"] = SHORT
    examined.addresses = ["::1", "127.0.0.1"]
    with Listener(hang, host="::1", port=examined.port):
        layers = examined.examine(is_billed=False)
    assert layers.passed(Layer.CONNECTION, Layer.ENCRYPTION)
    assert layers.has(Fact.IPV6_FAILS)
    assert not layers.has(Fact.IPV4_FAILS)
    assert layers.outcome() is Outcome.TLS_TIMEOUT


def test_an_alerts_examination_has_time_for_the_request_with_the_token(examined: ExaminedDatabase) -> None:
    """Of its 8 s a layer may take 5: a host that hangs on strangers and on the token is known all the same."""
    examined.settings["timeout"] = SHORT
    examined.upstash.fault = UpstashFault.HANG
    layers = examined.examine(is_billed=False, within=SHORT * 8 / 5)
    assert (layers.failed(Layer.HTTP), layers.outcome()) == (True, Outcome.RESPONSE_TIMEOUT)
    assert not [result for result in layers.layers if result.detail.startswith("not known within")]


def test_every_layer_that_uses_the_network_is_made_to_hang_here() -> None:
    """The first layer does not, and the token's is the request of PING."""
    assert {layer for layer, _ in HANGS} == set(Layer) - {Layer.CONFIGURATION, Layer.TOKEN}


def test_when_everything_hangs_the_doctor_ends_all_the_same(examined: ExaminedDatabase) -> None:
    """The bound of the whole examination, half a minute by default, holds whatever hangs."""
    examined.resolver_answers.clear()
    with port_that_drops() as port:
        examined.connectivity = [f"127.0.0.1:{port}"]
        for service in (examined.page, examined.console, examined.railway):
            service.fault = WebFault.HANG
        layers = examined.examine(within=timedelta(seconds=0.3))
    known = [result.layer for result in layers.layers if result.detail != "not known within 0.3 s"]
    assert known == [Layer.CONFIGURATION]
    assert layers.passed(Layer.CONFIGURATION)
    assert timedelta(seconds=20) < WITHIN < timedelta(seconds=30)
