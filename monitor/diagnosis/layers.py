"""The layers that the doctor examines, in causal order: how each ended, and the facts that verdicts ask for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Fact, Outcome


class Layer(Enum):
    """What is examined, in the order in which one causes the next. The codes are stable."""

    CONFIGURATION = "configuration"
    CONNECTIVITY = "connectivity"
    LOOKUP = "lookup"
    CONNECTION = "connection"
    ENCRYPTION = "encryption"
    HTTP = "http"
    TOKEN = "token"
    PING = "ping"
    READING = "reading"
    WRITING = "writing"
    WORKER = "worker"
    STATUS_PAGE = "status_page"
    CONSOLE = "console"
    PLATFORM = "platform"

    @property
    def words(self) -> str:
        """The layer's name for people: `HTTP without a token`."""
        return _WORDS.get(self, self.value.replace("_", " "))

    @property
    def needs(self) -> tuple[Layer, ...]:
        """The layers without which this one is not tried. A failure of any other layer does not stop it."""
        return _NEEDS.get(self, ())


_WORDS = {
    Layer.CONNECTIVITY: "our network",
    Layer.HTTP: "HTTP without a token",
    Layer.PING: "PING",
    Layer.WORKER: "the worker's connection",
    Layer.STATUS_PAGE: "Upstash's status page",
    Layer.CONSOLE: "the Upstash console",
    Layer.PLATFORM: "the platform, Railway",
}
# HTTP does not need the configuration: a host can often be read off a malformed URL, and then everything below the
# token is examined all the same.
_NEEDS = {
    Layer.CONNECTION: (Layer.LOOKUP,),
    Layer.ENCRYPTION: (Layer.CONNECTION,),
    Layer.HTTP: (Layer.ENCRYPTION,),
    Layer.TOKEN: (Layer.CONFIGURATION, Layer.HTTP),
    Layer.PING: (Layer.TOKEN,),
    Layer.READING: (Layer.PING,),
    Layer.WRITING: (Layer.READING,),
    Layer.WORKER: (Layer.LOOKUP,),
}


class LayerState(Enum):
    """How a layer ended. `UNKNOWN`: it could not be examined in time, or the answer is not one we know."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerResult:
    """How one layer ended. `detail` is one line without secrets; `took_ms` is `None` where nothing was tried.

    `outcome` is set where the layer examined the database itself and it was not fine.
    """

    layer: Layer
    state: LayerState
    detail: str = ""
    took_ms: float | None = None
    outcome: Outcome | None = None
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerResults:
    """The examined layers of one database, in causal order. Layers that were left out count as not applicable."""

    database: str
    layers: tuple[LayerResult, ...]

    def result_of(self, layer: Layer) -> LayerResult:
        """How a layer ended."""
        not_examined = LayerResult(layer=layer, state=LayerState.NOT_APPLICABLE)
        return next((result for result in self.layers if result.layer is layer), not_examined)

    def passed(self, *layers: Layer) -> bool:
        """True when all of them passed."""
        return all(self.result_of(layer).state is LayerState.PASSED for layer in layers)

    def failed(self, *layers: Layer) -> bool:
        """True when any of them failed."""
        return any(self.result_of(layer).state is LayerState.FAILED for layer in layers)

    def outcome(self) -> Outcome | None:
        """The outcome of the first layer of REST that failed; `None` when none did."""
        for result in self.layers:
            if result.layer in REST_LAYERS and result.state is LayerState.FAILED and result.outcome is not None:
                return result.outcome
        return None

    def has(self, *facts: Fact) -> bool:
        """True when every one of these facts was found, on whichever layer."""
        found = frozenset[Fact]().union(*(result.facts for result in self.layers))
        return found.issuperset(facts)


REST_LAYERS = (
    Layer.CONFIGURATION,
    Layer.LOOKUP,
    Layer.CONNECTION,
    Layer.ENCRYPTION,
    Layer.HTTP,
    Layer.TOKEN,
    Layer.PING,
    Layer.READING,
    Layer.WRITING,
)
# The layers that send something to the database's host, and those of them that cost billed commands.
HOST_LAYERS = frozenset({*REST_LAYERS, Layer.WORKER}) - {Layer.CONFIGURATION}
BILLED_LAYERS = frozenset({Layer.READING, Layer.WRITING})


def blocked_by(layer: Layer, examined: Collection[LayerResult]) -> Layer | None:
    """The failed layer because of which this one cannot be tried; `None` when it can."""
    states = {result.layer: result.state for result in examined}
    for needed in layer.needs:
        if states.get(needed) is LayerState.FAILED:
            return needed
        if states.get(needed) is LayerState.SKIPPED:
            return blocked_by(needed, examined) or needed
    return None
