"""The order of the layers: what waits for what, what a failure stops, and the end that nothing outlasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.examine import examine_layers

LONG = timedelta(seconds=30)


class FakeLayers:
    """Layers that end as a test wants, and the order in which they were examined."""

    def __init__(self) -> None:
        self.asked: list[Layer] = []

    def that(self, layer: Layer, state: LayerState = LayerState.PASSED) -> Callable[[], Awaitable[LayerResult]]:
        async def check() -> LayerResult:
            self.asked.append(layer)
            return LayerResult(layer=layer, state=state)

        return check

    def that_hangs(self, layer: Layer) -> Callable[[], Awaitable[LayerResult]]:
        async def check() -> LayerResult:
            self.asked.append(layer)
            await asyncio.Event().wait()
            raise AssertionError("nobody sets that event")

        return check


def states(layers: tuple[LayerResult, ...]) -> dict[str, str]:
    return {result.layer.value: result.state.value for result in layers}


def test_layers_are_examined_in_causal_order() -> None:
    """Encryption is not tried before the connection stands, whatever the order they were given in."""
    probes = FakeLayers()
    order = (Layer.HTTP, Layer.CONNECTION, Layer.ENCRYPTION, Layer.LOOKUP)
    layers = asyncio.run(examine_layers("main", {layer: probes.that(layer) for layer in order}, within=LONG))
    assert probes.asked == [Layer.LOOKUP, Layer.CONNECTION, Layer.ENCRYPTION, Layer.HTTP]
    assert [result.layer for result in layers.layers] == probes.asked
    assert all(result.took_ms is not None for result in layers.layers)


def test_the_ping_has_no_time_beside_the_tokens() -> None:
    """Both come from one request: its time stands at the token, and no `0.0 ms` beside it."""
    probes = FakeLayers()
    order = (Layer.HTTP, Layer.TOKEN, Layer.PING)
    layers = asyncio.run(examine_layers("main", {layer: probes.that(layer) for layer in order}, within=LONG))
    assert [result.took_ms is None for result in layers.layers] == [False, False, True]


def test_a_failed_layer_skips_what_needs_it_and_the_rest_is_examined() -> None:
    """No connection: no encryption, no HTTP; the status page and the worker are examined all the same."""
    probes = FakeLayers()
    layers = asyncio.run(
        examine_layers(
            "main",
            {
                Layer.LOOKUP: probes.that(Layer.LOOKUP),
                Layer.CONNECTION: probes.that(Layer.CONNECTION, LayerState.FAILED),
                Layer.ENCRYPTION: probes.that(Layer.ENCRYPTION),
                Layer.HTTP: probes.that(Layer.HTTP),
                Layer.WORKER: probes.that(Layer.WORKER),
                Layer.STATUS_PAGE: probes.that(Layer.STATUS_PAGE),
            },
            within=LONG,
        )
    )
    assert states(layers.layers) == {
        "lookup": "passed",
        "connection": "failed",
        "encryption": "skipped",
        "http": "skipped",
        "worker": "passed",
        "status_page": "passed",
    }
    assert Layer.HTTP not in probes.asked


def test_a_layer_that_was_not_tried_took_no_time() -> None:
    """Neither one that does not apply, nor one that its own probe skips."""
    probes = FakeLayers()
    states = {Layer.LOOKUP: LayerState.NOT_APPLICABLE, Layer.CONSOLE: LayerState.SKIPPED}
    examined = {layer: probes.that(layer, state) for layer, state in states.items()}
    layers = asyncio.run(examine_layers("main", examined, within=LONG))
    assert [result.took_ms for result in layers.layers] == [None, None]


def test_the_token_is_not_sent_when_the_configuration_is_wrong() -> None:
    """A malformed value stops the token alone: the layers below it need only the host."""
    probes = FakeLayers()
    layers = {
        layer: probes.that(layer) for layer in (Layer.LOOKUP, Layer.CONNECTION, Layer.ENCRYPTION, Layer.HTTP)
    }
    layers[Layer.CONFIGURATION] = probes.that(Layer.CONFIGURATION, LayerState.FAILED)
    layers[Layer.TOKEN] = probes.that(Layer.TOKEN)
    found = asyncio.run(examine_layers("main", layers, within=LONG))
    assert found.passed(Layer.HTTP)
    assert found.result_of(Layer.TOKEN).state is LayerState.SKIPPED
    assert Layer.TOKEN not in probes.asked


def test_a_layer_that_hangs_costs_only_itself_and_what_needs_it() -> None:
    """At the end everything else is known; what hung, and what waited for it, is unknown."""
    probes = FakeLayers()
    layers = asyncio.run(
        examine_layers(
            "main",
            {
                Layer.LOOKUP: probes.that(Layer.LOOKUP),
                Layer.CONNECTION: probes.that_hangs(Layer.CONNECTION),
                Layer.ENCRYPTION: probes.that(Layer.ENCRYPTION),
                Layer.CONSOLE: probes.that_hangs(Layer.CONSOLE),
                Layer.PLATFORM: probes.that(Layer.PLATFORM),
                Layer.STATUS_PAGE: probes.that(Layer.STATUS_PAGE),
            },
            within=timedelta(seconds=0.2),
        )
    )
    assert states(layers.layers) == {
        "lookup": "passed",
        "connection": "unknown",
        "encryption": "unknown",
        "status_page": "passed",
        "console": "unknown",
        "platform": "unknown",
    }
    assert layers.result_of(Layer.CONNECTION).detail == "not known within 0.2 s"


def test_a_bug_in_a_layer_is_unknown_and_not_a_verdict() -> None:
    """Our own fault tells nothing of the database; the detail holds the kind of error and not its text."""

    async def broken() -> LayerResult:
        raise ValueError("Bearer AXtoken")

    probes = FakeLayers()
    layers = asyncio.run(
        examine_layers(
            "main", {Layer.LOOKUP: broken, Layer.CONNECTION: probes.that(Layer.CONNECTION)}, within=LONG
        )
    )
    assert layers.result_of(Layer.LOOKUP).detail == "the monitor failed inside (ValueError)"
    assert states(layers.layers) == {"lookup": "unknown", "connection": "passed"}


def test_an_examination_of_no_layers_is_empty() -> None:
    """Nothing was asked for, nothing is waited for."""
    assert asyncio.run(examine_layers("main", {}, within=LONG)).layers == ()
