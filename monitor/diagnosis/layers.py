"""The words of the doctor: layers in causal order, how each ended, and the few facts that verdicts ask for.

Climbing is done in `flow/examine`; what a layers means as a whole is decided in `verdict`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Outcome


class Layer(Enum):
    """One thing to be seen, in the order in which one causes the next."""

    CONFIGURATION = "configuration"
    CONNECTIVITY = "our_network"
    LOOKUP = "lookup"
    CONNECTION = "connection"
    ENCRYPTION = "encryption"
    HTTP = "http"
    TOKEN = "token"
    READING = "reading"
    WRITING = "writing"
    WORKER = "worker"
    STATUS_PAGE = "status_page"
    CONSOLE = "console"
    PLATFORM = "platform"

    @property
    def words(self) -> str:
        """The layer as a person says it: `HTTP without a token`."""
        return _WORDS.get(self, self.value.replace("_", " "))

    @property
    def needs(self) -> tuple[Layer, ...]:
        """The layers that must not have failed before this one can be tried; nothing else stops it."""
        return _NEEDS.get(self, ())


_WORDS = {
    Layer.CONNECTION: "connection on 443",
    Layer.HTTP: "HTTP without a token",
    Layer.WORKER: "the worker's way",
    Layer.STATUS_PAGE: "Upstash's status page",
    Layer.CONSOLE: "the Upstash console",
    Layer.PLATFORM: "the platform, Railway",
}
# A host can often be told from a malformed URL, and then the network below the token can be seen all the same.
_NEEDS = {
    Layer.CONNECTION: (Layer.LOOKUP,),
    Layer.ENCRYPTION: (Layer.CONNECTION,),
    Layer.HTTP: (Layer.ENCRYPTION,),
    Layer.TOKEN: (Layer.CONFIGURATION, Layer.HTTP),
    Layer.READING: (Layer.TOKEN,),
    Layer.WRITING: (Layer.READING,),
    Layer.WORKER: (Layer.LOOKUP,),
}


class State(Enum):
    """How a layer ended. `UNKNOWN`: it could not be seen, or answered in a way that is not known to us."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


class Fact(Enum):
    """What a layer found beyond passing or failing; a closed set, and verdicts are rules over it."""

    TOKEN_IS_READ_ONLY = "token_is_read_only"
    TOKEN_OF_ANOTHER_DATABASE = "token_of_another_database"
    TOKEN_IS_A_PASSWORD = "token_is_a_password"  # 32 hex digits: an old database's TCP password
    NEWLINE_AROUND_TOKEN = "newline_around_token"  # URL parsers drop it, so TCP works where REST does not
    CERTIFICATE_ENDS_SOON = "certificate_ends_soon"
    WORKER_AUTH_REJECTED = "worker_auth_rejected"
    WORKER_AS_READ_ONLY = "worker_as_read_only"  # rejected for `default`, accepted for `default_ro`
    WORKER_URL_BROKEN = "worker_url_broken"  # what a worker builds from the values leads to no host or another
    WORKER_NOT_CONNECTED = "worker_not_connected"
    WORKER_ON_LEGACY_PORT = "worker_on_legacy_port"
    TROUBLE_POSTED = "trouble_posted"
    CONSOLE_HAS_NO_SUCH_DATABASE = "console_has_no_such_database"
    CONSOLE_TOKEN_DIFFERS = "console_token_differs"
    CONSOLE_TOKEN_IS_OURS = "console_token_is_ours"
    CONSOLE_SUSPENDED = "console_suspended"
    CONSOLE_ALLOWLIST = "console_allowlist"
    CONSOLE_COMMANDS_USED_UP = "console_commands_used_up"
    CONSOLE_STORAGE_FULL = "console_storage_full"
    WORKER_VARIABLE_MISSING = "worker_variable_missing"
    WORKER_VARIABLE_SEALED = "worker_variable_sealed"
    WORKER_VARIABLE_STAGED = "worker_variable_staged"  # set, but the running deployment has another value
    WORKER_VARIABLE_DIFFERS = "worker_variable_differs"  # from what this process sees
    WORKER_VARIABLE_IS_THE_CONSOLES = "worker_variable_is_the_consoles"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One layer as it was found. `seen` is one line without secrets; `took_ms` is `None` for one not tried.

    `outcome` is set where the layer looked at the database and it was not fine.
    """

    layer: Layer
    state: State
    seen: str = ""
    took_ms: float | None = None
    outcome: Outcome | None = None
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerResults:
    """All layers of one database, in causal order; layers that are left out count as not applicable."""

    database: str
    layers: tuple[Seen, ...]

    def at(self, layer: Layer) -> Seen:
        """How the layer was found."""
        return next(
            (seen for seen in self.layers if seen.layer is layer), Seen(layer=layer, state=State.NOT_APPLICABLE)
        )

    def passed(self, *layers: Layer) -> bool:
        return all(self.at(layer).state is State.PASSED for layer in layers)

    def failed(self, *layers: Layer) -> bool:
        """True when any of them failed."""
        return any(self.at(layer).state is State.FAILED for layer in layers)

    def outcome(self) -> Outcome | None:
        """The outcome of the lowest layer of the REST way that was not fine; `None` when all of it was."""
        for seen in self.layers:
            if seen.layer in REST_WAY and seen.state is State.FAILED and seen.outcome is not None:
                return seen.outcome
        return None

    def knows(self, *facts: Fact) -> bool:
        """True when every one of these facts was found, on whichever layer."""
        found = frozenset[Fact]().union(*(seen.facts for seen in self.layers))
        return found.issuperset(facts)


REST_WAY = (
    Layer.CONFIGURATION,
    Layer.LOOKUP,
    Layer.CONNECTION,
    Layer.ENCRYPTION,
    Layer.HTTP,
    Layer.TOKEN,
    Layer.READING,
    Layer.WRITING,
)
# What sends something to the database's host, and what of it costs commands.
AT_THE_HOST = frozenset({*REST_WAY, Layer.WORKER}) - {Layer.CONFIGURATION}
BILLED = frozenset({Layer.READING, Layer.WRITING})


def hindrance(layer: Layer, examined: Collection[Seen]) -> Layer | None:
    """The failed layer further down that keeps this one from being tried; `None` when it may be."""
    states = {seen.layer: seen.state for seen in examined}
    for needed in layer.needs:
        if states.get(needed) is State.FAILED:
            return needed
        if states.get(needed) is State.SKIPPED:
            return hindrance(needed, examined) or needed
    return None
