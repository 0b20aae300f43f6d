"""The verdict on the layers of one database: the first rule that fits what they show together.

A rule says something of its own only where the combination of layers tells more than the outcome alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from monitor.checks.observation import Fact, Family, Outcome
from monitor.diagnosis.advice import (
    ALLOWLIST,
    ASK_WHO_RESET,
    COPY_BOTH,
    STATUS_PAGE,
    Advice,
    WhoseMove,
    advice,
    advise,
)
from monitor.diagnosis.layers import Layer, LayerResults, LayerState
from monitor.lib.exit_status import ExitStatus, worst


class VerdictCode(Enum):
    """The verdicts. The codes are stable: `doctor --json` and messages use them."""

    OFFLINE = "offline"
    VARIABLE_STAGED = "variable_staged"
    VARIABLE_MISSING = "variable_missing"
    REST_VALUE_MANGLED = "rest_value_mangled"
    VALUE_MALFORMED = "value_malformed"
    WORKER_HAS_AN_OLD_TOKEN = "worker_has_an_old_token"
    NEW_TOKEN_NOT_DEPLOYED = "new_token_not_deployed"
    MONITOR_HAS_AN_OLD_TOKEN = "monitor_has_an_old_token"
    CONSOLE_TOKEN_REFUSED = "console_token_refused"
    TOKEN_OF_ANOTHER_DATABASE = "token_of_another_database"
    TOKEN_IS_A_PASSWORD = "token_is_a_password"
    REST_TOKEN_WRONG = "rest_token_wrong"
    TOKEN_STALE = "token_stale"
    DATABASE_GONE = "database_gone"
    SUSPENDED = "suspended"
    QUOTA_BEHIND_PING = "quota_behind_ping"
    DATABASE_FULL = "database_full"
    TOKEN_READ_ONLY = "token_read_only"
    PROVIDER_TROUBLE = "provider_trouble"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    BLOCKED_OR_DOWN = "blocked_or_down"
    OTHER_DATABASE = "other_database"
    WORKER_READ_ONLY = "worker_read_only"
    WORKER_LEGACY_PORT = "worker_legacy_port"
    WORKER_URL_WRONG = "worker_url_wrong"
    WORKER_PORT_BLOCKED = "worker_port_blocked"
    WORKER_VARIABLE_MISSING = "worker_variable_missing"
    WORKER_VALUE_DIFFERS = "worker_value_differs"
    AS_THE_OUTCOME_SAYS = "as_the_outcome_says"
    SLOW = "slow"
    ALL_GOOD = "all_good"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One sentence on what is the matter, whose move it is, and at most three steps."""

    code: VerdictCode
    meaning: str
    whose_move: WhoseMove
    next_steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """The examined layers of a database and the verdict on them."""

    layers: LayerResults
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRule:
    """One row of the table. In its advice `{service}` stands for the name of the worker's service.

    `advice` is `None` where the advice for the outcome of the layers says it all.
    """

    code: VerdictCode
    fits: Callable[[LayerResults], bool]
    advice: Advice | None


_NO_CONNECTION = (Outcome.CONNECTION_TIMEOUT, Outcome.CONNECTION_REFUSED, Outcome.NETWORK_UNREACHABLE)
_BEYOND_THE_HOST = (Layer.STATUS_PAGE, Layer.CONSOLE, Layer.PLATFORM)

_YOURS, _UPSTASH = WhoseMove.YOURS, WhoseMove.UPSTASH
_SET_TOKEN = "Set UPSTASH_REDIS_REST_TOKEN of service {service} to the console's REST token, then deploy."
_SET_BOTH = "Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN on service {service} and deploy."
_DEPLOY_STAGED = "Deploy the staged change of service {service}."
_FIX = "With a console key and a Railway token, `upstash-monitor doctor --fix` does it for the worker."


def _ended(layers: LayerResults, *outcomes: Outcome) -> bool:
    return layers.outcome() in outcomes


def _rejected(layers: LayerResults) -> bool:
    return _ended(layers, Outcome.TOKEN_REJECTED)


def _malformed(layers: LayerResults) -> bool:
    return _ended(layers, Outcome.URL_MALFORMED, Outcome.TOKEN_MALFORMED)


def _missing(layers: LayerResults) -> bool:
    return _ended(layers, Outcome.URL_MISSING, Outcome.TOKEN_MISSING)


def _unreachable(layers: LayerResults) -> bool:
    """The database could not be used for a reason on the network or at Upstash."""
    outcome = layers.outcome()
    return outcome is not None and outcome.family in (Family.NETWORK, Family.SERVICE)


def _has_network(layers: LayerResults) -> bool:
    """Anybody's answer proves it: a firewall may keep us from the connectivity hosts and from nobody else."""
    if any(layers.passed(layer) for layer in (Layer.CONNECTIVITY, Layer.CONNECTION, Layer.WORKER)):
        return True
    # These fail by what they answer; where no answer came they are unknown.
    return any(
        layers.result_of(layer).state in (LayerState.PASSED, LayerState.FAILED) for layer in _BEYOND_THE_HOST
    )


def _rest_works(layers: LayerResults) -> bool:
    return layers.passed(Layer.PING) and layers.outcome() is None


def _rest_reads(layers: LayerResults) -> bool:
    return layers.passed(Layer.TOKEN) and layers.outcome() in (None, Outcome.PERMISSION_DENIED)


# Ordered: of several rules that fit the first counts. First what keeps REST from working, the certain before the
# probable; then, with REST in order, what may be wrong with the worker; then that nothing is.
RULES: tuple[VerdictRule, ...] = (
    VerdictRule(
        code=VerdictCode.OFFLINE,
        fits=lambda layers: (
            layers.failed(Layer.CONNECTIVITY) and _unreachable(layers) and not _has_network(layers)
        ),
        advice=advise(Outcome.OFFLINE),
    ),
    VerdictRule(
        code=VerdictCode.VARIABLE_STAGED,
        fits=lambda layers: _missing(layers) and layers.has(Fact.WORKER_VARIABLE_STAGED),
        advice=advice(
            _YOURS,
            "The variable is set on Railway, but the change is staged and not deployed.",
            _DEPLOY_STAGED,
            "Redeploy this monitor too.",
        ),
    ),
    VerdictRule(code=VerdictCode.VARIABLE_MISSING, fits=_missing, advice=None),
    VerdictRule(
        code=VerdictCode.REST_VALUE_MANGLED,
        fits=lambda layers: _malformed(layers) and layers.passed(Layer.WORKER),
        advice=advice(
            _YOURS,
            "The REST value is mangled; rediss:// works all the same, because URL parsers drop what is wrong.",
            "Copy the value again, without newline, quotes or spaces.",
            "Deploy the change.",
        ),
    ),
    VerdictRule(code=VerdictCode.VALUE_MALFORMED, fits=_malformed, advice=None),
    VerdictRule(
        code=VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
        fits=lambda layers: (
            _rejected(layers) and layers.has(Fact.WORKER_VARIABLE_IS_THE_CONSOLES, Fact.WORKER_VARIABLE_STAGED)
        ),
        advice=advice(
            _YOURS,
            "The new token is set on service {service}, but the change is staged and not deployed.",
            _DEPLOY_STAGED,
            "Give this monitor the new token too.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.MONITOR_HAS_AN_OLD_TOKEN,
        fits=lambda layers: (
            _rejected(layers) and layers.has(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
        ),
        advice=advice(
            _YOURS,
            "The worker has the console's token; only this monitor's variable is an old one.",
            "Set UPSTASH_REDIS_REST_TOKEN of this monitor to the console's REST token and deploy.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_HAS_AN_OLD_TOKEN,
        fits=lambda layers: _rejected(layers) and layers.has(Fact.CONSOLE_TOKEN_DIFFERS),
        advice=advice(
            _YOURS,
            "The console has a newer token than the worker.",
            _SET_TOKEN,
            "Give this monitor the same token.",
            _FIX,
        ),
    ),
    VerdictRule(
        code=VerdictCode.CONSOLE_TOKEN_REFUSED,
        fits=lambda layers: _rejected(layers) and layers.has(Fact.CONSOLE_TOKEN_IS_OURS),
        advice=advice(
            _UPSTASH,
            "The token is the console's own, and the database refuses it all the same.",
            "Wait a minute and check again: a reset may not have reached every region yet.",
            "Then write to Upstash support with the time of this check.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_OF_ANOTHER_DATABASE,
        fits=lambda layers: _rejected(layers) and layers.has(Fact.TOKEN_OF_ANOTHER_DATABASE),
        advice=advice(_YOURS, "The token seems to belong to another database than the URL.", COPY_BOTH, _SET_BOTH),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_IS_A_PASSWORD,
        fits=lambda layers: _rejected(layers) and layers.has(Fact.TOKEN_IS_A_PASSWORD),
        advice=advice(
            _YOURS,
            "The token looks like the password of an older database, which differs from its REST token.",
            "Copy the token from the REST section of the database's page in the Upstash console.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.REST_TOKEN_WRONG,
        fits=lambda layers: _rejected(layers) and layers.passed(Layer.WORKER),
        advice=advice(
            _YOURS,
            "REST rejects the value that rediss:// accepts: it is the password, and the REST token is another.",
            "Copy the REST token, not the password, from the database's page in the Upstash console.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_STALE,
        fits=_rejected,
        advice=replace(advise(Outcome.TOKEN_REJECTED), next_steps=(COPY_BOTH, _SET_TOKEN, ASK_WHO_RESET)),
    ),
    VerdictRule(
        code=VerdictCode.DATABASE_GONE,
        fits=lambda layers: (
            _ended(layers, Outcome.DNS_NOT_FOUND) and layers.has(Fact.CONSOLE_HAS_NO_SUCH_DATABASE)
        ),
        advice=advice(
            _YOURS,
            "The host does not exist, and the console knows no such database: deleted, archived, or mistyped.",
            "Compare the host with the databases in the Upstash console.",
            "An archived database is restored there, with a new URL and token.",
            _SET_BOTH,
        ),
    ),
    VerdictRule(
        code=VerdictCode.SUSPENDED,
        fits=lambda layers: _ended(layers, Outcome.SUSPENDED) or layers.has(Fact.CONSOLE_SUSPENDED),
        advice=advise(Outcome.SUSPENDED),
    ),
    VerdictRule(
        code=VerdictCode.QUOTA_BEHIND_PING,
        fits=lambda layers: (
            layers.passed(Layer.PING)
            and (
                _ended(layers, Outcome.QUOTA_EXCEEDED)
                # The console's count is no proof against a command that was answered.
                or (layers.has(Fact.CONSOLE_COMMANDS_USED_UP) and not layers.passed(Layer.READING))
            )
        ),
        advice=replace(
            advise(Outcome.QUOTA_EXCEEDED),
            meaning="The plan's commands are used up: PING still answers, real commands do not.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.DATABASE_FULL,
        fits=lambda layers: (
            _ended(layers, Outcome.CAPACITY_FULL)
            or (layers.has(Fact.CONSOLE_STORAGE_FULL) and not layers.passed(Layer.WRITING))
        ),
        advice=advise(Outcome.CAPACITY_FULL),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_READ_ONLY,
        fits=lambda layers: (
            layers.passed(Layer.TOKEN)
            and layers.failed(Layer.WRITING)
            and _ended(layers, Outcome.PERMISSION_DENIED)
            # Then a worker as it is usually built does not get in at all, which a later rule says.
            and not layers.has(Fact.WORKER_AS_READ_ONLY)
        ),
        advice=advice(
            _YOURS,
            "The token may read and not write.",
            "If the worker writes, give it the standard token, or grant the command to its ACL user.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.PROVIDER_TROUBLE,
        fits=lambda layers: _unreachable(layers) and layers.has(Fact.TROUBLE_POSTED),
        advice=advice(
            _UPSTASH,
            "Upstash has posted trouble with Redis on its status page, and the database cannot be used.",
            "Watch https://status.upstash.com.",
            "Keep the times of this incident for a claim.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.ADDRESS_NOT_ALLOWED,
        fits=lambda layers: _ended(layers, *_NO_CONNECTION) and layers.has(Fact.CONSOLE_ALLOWLIST),
        advice=advice(
            _YOURS,
            "No connection stands, and the database has an IP allowlist: this address is probably not on it.",
            "Compare the service's outbound address with the allowlist in the Upstash console.",
            "On Railway a fixed outbound address needs the Pro plan and a deployment.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.BLOCKED_OR_DOWN,
        fits=lambda layers: (
            _ended(layers, *_NO_CONNECTION) and _has_network(layers) and layers.failed(Layer.WORKER)
        ),
        advice=advice(
            WhoseMove.NETWORK,
            "The host cannot be reached while our own network is fine: Upstash is down, or we are blocked.",
            STATUS_PAGE,
            ALLOWLIST,
        ),
    ),
    VerdictRule(
        code=VerdictCode.OTHER_DATABASE,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.CONSOLE_HAS_NO_SUCH_DATABASE),
        advice=advice(
            _YOURS,
            "The database works, but it is not one of this console account's.",
            "Check that URL and token are those of the database you mean.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_VARIABLE_MISSING,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_VARIABLE_MISSING),
        advice=advice(
            _YOURS, "URL and token work here, but service {service} does not have them.", _SET_BOTH, _FIX
        ),
    ),
    # Before the next rule: to deploy a staged value that is not the right one would break a worker that works.
    VerdictRule(
        code=VerdictCode.WORKER_VALUE_DIFFERS,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_VARIABLE_DIFFERS),
        advice=advice(
            _YOURS, "URL and token work here, but service {service} has other values.", _SET_TOKEN, _FIX
        ),
    ),
    VerdictRule(
        code=VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_VARIABLE_STAGED),
        advice=advice(
            _YOURS,
            "The right values are set on service {service}, but the change is staged and not deployed.",
            _DEPLOY_STAGED,
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_LEGACY_PORT,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_ON_LEGACY_PORT),
        advice=advice(
            _YOURS,
            "REST works, and rediss:// only on the port of older databases, the number in the host's name.",
            "Build the worker's URL with that port in place of 6379.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_READ_ONLY,
        fits=lambda layers: _rest_reads(layers) and layers.has(Fact.WORKER_AS_READ_ONLY),
        advice=advice(
            _YOURS,
            "The token is a read-only one, and rediss:// takes it only with the user default_ro.",
            "Build the worker's URL as rediss://default_ro:TOKEN@HOST:6379,",
            "or give it the standard token, with the user default.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_URL_WRONG,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_AUTH_REJECTED),
        advice=advice(
            _YOURS,
            "REST accepts the token and rediss:// does not: an older database whose password differs.",
            "Copy the rediss:// URL from the database's page in the Upstash console into the worker's variable,",
            "or let the worker use the REST client, as this monitor does.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_URL_WRONG,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_URL_BROKEN),
        advice=advice(
            _YOURS,
            "REST works, but a rediss:// URL built from these values leads nowhere: a character cuts it short.",
            "Percent-encode the token where the worker builds its URL, and see that the URL is https://HOST.",
            "Or let the worker use the REST client, as this monitor does.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_PORT_BLOCKED,
        fits=lambda layers: _rest_works(layers) and layers.has(Fact.WORKER_NOT_CONNECTED),
        advice=advice(
            _YOURS,
            "REST works, but no rediss:// connection stands: port 6379 is blocked on the way.",
            "Open outgoing port 6379 for the worker, or let it use the REST client.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.SLOW,
        fits=lambda layers: (
            layers.result_of(Layer.PING).outcome is Outcome.SLOW and not layers.failed(Layer.WORKER)
        ),
        advice=advise(Outcome.SLOW),
    ),
    VerdictRule(
        code=VerdictCode.ALL_GOOD,
        fits=lambda layers: _rest_works(layers) and not layers.failed(Layer.WORKER),
        advice=advice(
            WhoseMove.NOBODY,
            "Everything that can be examined from here works.",
            "If a worker still fails, read its log around its Redis calls: the cause is in its own code.",
        ),
    ),
)
_NOT_KNOWN = advice(
    _YOURS,
    "Not enough could be examined to say what is the matter.",
    "Read the layers above; run the doctor again when the network is back.",
)

_STATUS = {
    VerdictCode.ALL_GOOD: ExitStatus.OK,
    VerdictCode.SLOW: ExitStatus.WARNING,
    VerdictCode.OFFLINE: ExitStatus.UNKNOWN,
    VerdictCode.OTHER_DATABASE: ExitStatus.UNKNOWN,
    VerdictCode.NOT_KNOWN: ExitStatus.UNKNOWN,
}


def judge(layers: LayerResults, *, service: str = "worker") -> Verdict:
    """The verdict on the layers; there always is one. `service` is the name of the worker's service."""
    rule = next((rule for rule in RULES if rule.fits(layers)), None)
    outcome, worker_outcome = layers.outcome(), layers.result_of(Layer.WORKER).outcome
    if rule is not None and rule.advice is not None:
        return _verdict(rule.code, rule.advice, service)
    if outcome is not None:
        return _verdict(rule.code if rule else VerdictCode.AS_THE_OUTCOME_SAYS, advise(outcome), service)
    if layers.failed(Layer.WORKER) and worker_outcome is not None:
        found = advise(worker_outcome)
        found = replace(found, meaning=f"REST works, but not the worker's connection. {found.meaning}")
        return _verdict(VerdictCode.AS_THE_OUTCOME_SAYS, found, service)
    return _verdict(VerdictCode.NOT_KNOWN, _NOT_KNOWN, service)


def worst_status(verdicts: Sequence[Verdict]) -> ExitStatus:
    """The exit status of the doctor, by the convention of `check`; unknown when there is no verdict."""
    return worst(_STATUS.get(verdict.code, ExitStatus.CRITICAL) for verdict in verdicts)


def _verdict(code: VerdictCode, found: Advice, service: str) -> Verdict:
    return Verdict(
        code=code,
        meaning=found.meaning.replace("{service}", service),
        whose_move=found.whose_move,
        next_steps=tuple(step.replace("{service}", service) for step in found.next_steps),
    )
