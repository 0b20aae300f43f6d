"""The words of the doctor: rungs in causal order, how each ended, and the few facts that verdicts ask for.

Climbing is done in `flow/examine`; what a ladder means as a whole is decided in `verdict`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Outcome


class Rung(Enum):
    """One thing to be seen, in the order in which one causes the next."""

    CONFIGURATION = "configuration"
    OUR_NETWORK = "our_network"
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
        """The rung as a person says it: `HTTP without a token`."""
        return _WORDS.get(self, self.value.replace("_", " "))

    @property
    def needs(self) -> tuple[Rung, ...]:
        """The rungs that must not have failed before this one can be tried; nothing else stops it."""
        return _NEEDS.get(self, ())


_WORDS = {
    Rung.CONNECTION: "connection on 443",
    Rung.HTTP: "HTTP without a token",
    Rung.WORKER: "the worker's way",
    Rung.STATUS_PAGE: "Upstash's status page",
    Rung.CONSOLE: "the Upstash console",
    Rung.PLATFORM: "the platform, Railway",
}
# A host can often be told from a malformed URL, and then the network below the token can be seen all the same.
_NEEDS = {
    Rung.CONNECTION: (Rung.LOOKUP,),
    Rung.ENCRYPTION: (Rung.CONNECTION,),
    Rung.HTTP: (Rung.ENCRYPTION,),
    Rung.TOKEN: (Rung.CONFIGURATION, Rung.HTTP),
    Rung.READING: (Rung.TOKEN,),
    Rung.WRITING: (Rung.READING,),
    Rung.WORKER: (Rung.LOOKUP,),
}


class State(Enum):
    """How a rung ended. `UNKNOWN`: it could not be seen, or answered in a way that is not known to us."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


class Fact(Enum):
    """What a rung found beyond passing or failing; a closed set, and verdicts are rules over it."""

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
    """One rung as it was found. `seen` is one line without secrets; `took_ms` is `None` for one not tried.

    `outcome` is set where the rung looked at the database and it was not fine.
    """

    rung: Rung
    state: State
    seen: str = ""
    took_ms: float | None = None
    outcome: Outcome | None = None
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """All rungs of one database, in causal order; rungs that are left out count as not applicable."""

    database: str
    rungs: tuple[Seen, ...]

    def at(self, rung: Rung) -> Seen:
        """How the rung was found."""
        return next(
            (seen for seen in self.rungs if seen.rung is rung), Seen(rung=rung, state=State.NOT_APPLICABLE)
        )

    def passed(self, *rungs: Rung) -> bool:
        return all(self.at(rung).state is State.PASSED for rung in rungs)

    def failed(self, *rungs: Rung) -> bool:
        """True when any of them failed."""
        return any(self.at(rung).state is State.FAILED for rung in rungs)

    def outcome(self) -> Outcome | None:
        """The outcome of the lowest rung of the REST way that was not fine; `None` when all of it was."""
        for seen in self.rungs:
            if seen.rung in REST_WAY and seen.state is State.FAILED and seen.outcome is not None:
                return seen.outcome
        return None

    def knows(self, *facts: Fact) -> bool:
        """True when every one of these facts was found, on whichever rung."""
        found = frozenset[Fact]().union(*(seen.facts for seen in self.rungs))
        return found.issuperset(facts)


REST_WAY = (
    Rung.CONFIGURATION,
    Rung.LOOKUP,
    Rung.CONNECTION,
    Rung.ENCRYPTION,
    Rung.HTTP,
    Rung.TOKEN,
    Rung.READING,
    Rung.WRITING,
)
# What sends something to the database's host, and what of it costs commands.
AT_THE_HOST = frozenset({*REST_WAY, Rung.WORKER}) - {Rung.CONFIGURATION}
BILLED = frozenset({Rung.READING, Rung.WRITING})


def hindrance(rung: Rung, climbed: Collection[Seen]) -> Rung | None:
    """The failed rung further down that keeps this one from being tried; `None` when it may be."""
    states = {seen.rung: seen.state for seen in climbed}
    for needed in rung.needs:
        if states.get(needed) is State.FAILED:
            return needed
        if states.get(needed) is State.SKIPPED:
            return hindrance(needed, climbed) or needed
    return None
