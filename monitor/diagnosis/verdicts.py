"""The words of a verdict on a whole layers: its code, what it says, whose move it is, what to do next.

Which verdict a layers gets is decided in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Family, Outcome
from monitor.diagnosis.advice import WhoseMove, advise
from monitor.diagnosis.layers import Fact, Layer, LayerResults, State
from monitor.lib.exit_status import ExitStatus

COPY_BOTH = "Copy URL and REST token again, both from the same database's page in the Upstash console."
SET_AND_DEPLOY = "Set UPSTASH_REDIS_REST_TOKEN of service {service} to the console's REST token, then deploy."
FIX = "With a console key and a Railway token, `upstash-monitor doctor --fix` does it for the worker."


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
    says: str
    whose_move: WhoseMove
    next_steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRule:
    """One row of the table. In its texts `{service}` stands for the name of the worker's service."""

    code: VerdictCode
    fits: Callable[[LayerResults], bool]
    says: str
    whose_move: WhoseMove
    next_steps: tuple[str, ...]


_NO_CONNECTION = (Outcome.CONNECTION_TIMEOUT, Outcome.CONNECTION_REFUSED, Outcome.NETWORK_UNREACHABLE)
_ELSEWHERE = (Layer.STATUS_PAGE, Layer.CONSOLE, Layer.PLATFORM)


def _ended(layers: LayerResults, *outcomes: Outcome) -> bool:
    return layers.outcome() in outcomes


def _rejected(layers: LayerResults) -> bool:
    return _ended(layers, Outcome.TOKEN_REJECTED)


def _malformed(layers: LayerResults) -> bool:
    return _ended(layers, Outcome.URL_MALFORMED, Outcome.TOKEN_MALFORMED)


def _missing(layers: LayerResults) -> bool:
    return _ended(layers, Outcome.URL_MISSING, Outcome.TOKEN_MISSING)


def _no_way_there(layers: LayerResults) -> bool:
    outcome = layers.outcome()
    return outcome is not None and outcome.family in (Family.NETWORK, Family.SERVICE)


def _network_is_there(layers: LayerResults) -> bool:
    """Anybody's answer proves it: a firewall may keep us from the connectivity hosts and from nobody else."""
    if layers.passed(Layer.CONNECTIVITY) or layers.passed(Layer.CONNECTION) or layers.passed(Layer.WORKER):
        return True
    # These fail by what they answer; where no answer came they are unknown.
    return any(layers.at(layer).state in (State.PASSED, State.FAILED) for layer in _ELSEWHERE)


ROWS: tuple[VerdictRule, ...] = (
    VerdictRule(
        code=VerdictCode.OFFLINE,
        fits=lambda layers: (
            layers.failed(Layer.CONNECTIVITY) and _no_way_there(layers) and not _network_is_there(layers)
        ),
        says="Our own side has no network: the connectivity hosts do not answer either.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Check the network of the machine or container that runs this.",),
    ),
    VerdictRule(
        code=VerdictCode.VARIABLE_STAGED,
        fits=lambda layers: _missing(layers) and layers.knows(Fact.WORKER_VARIABLE_STAGED),
        says="The variable is set on Railway, but the change is staged and not deployed.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Deploy the staged change of service {service}.", "Redeploy this monitor too."),
    ),
    VerdictRule(
        code=VerdictCode.VARIABLE_MISSING,
        fits=_missing,
        says="The URL or the token is not there at all.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            COPY_BOTH,
            "Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN on this service and deploy.",
            "Sealed variables are not copied to duplicated or pull request environments: set them there again.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.REST_VALUE_MANGLED,
        fits=lambda layers: _malformed(layers) and layers.passed(Layer.WORKER),
        says="The REST value is mangled; rediss:// works all the same, because URL parsers drop what is wrong.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Copy the value again, without newline, quotes or spaces.", "Deploy the change."),
    ),
    VerdictRule(
        code=VerdictCode.VALUE_MALFORMED,
        fits=_malformed,
        says="The URL or the token cannot be right as it stands; nothing was sent with it.",
        whose_move=WhoseMove.YOURS,
        next_steps=(COPY_BOTH, "Set both on service {service} as well, and deploy."),
    ),
    VerdictRule(
        code=VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
        fits=lambda layers: (
            _rejected(layers) and layers.knows(Fact.WORKER_VARIABLE_IS_THE_CONSOLES, Fact.WORKER_VARIABLE_STAGED)
        ),
        says="The new token is set on service {service}, but the change is staged and not deployed.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Deploy the staged change of service {service}.", "Give this monitor the new token too."),
    ),
    VerdictRule(
        code=VerdictCode.MONITOR_HAS_AN_OLD_TOKEN,
        fits=lambda layers: (
            _rejected(layers) and layers.knows(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
        ),
        says="The worker has the console's token; only this monitor's variable is an old one.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Set UPSTASH_REDIS_REST_TOKEN of this monitor to the console's REST token and deploy.",),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_HAS_AN_OLD_TOKEN,
        fits=lambda layers: _rejected(layers) and layers.knows(Fact.CONSOLE_TOKEN_DIFFERS),
        says="The console has a newer token than the worker.",
        whose_move=WhoseMove.YOURS,
        next_steps=(SET_AND_DEPLOY, "Give this monitor the same token.", FIX),
    ),
    VerdictRule(
        code=VerdictCode.CONSOLE_TOKEN_REFUSED,
        fits=lambda layers: _rejected(layers) and layers.knows(Fact.CONSOLE_TOKEN_IS_OURS),
        says="The token is the console's own, and the database refuses it all the same.",
        whose_move=WhoseMove.UPSTASH,
        next_steps=(
            "Wait a minute and check again: a reset may still be on its way to every region.",
            "Then write to Upstash support with the time of this check.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_OF_ANOTHER_DATABASE,
        fits=lambda layers: _rejected(layers) and layers.knows(Fact.TOKEN_OF_ANOTHER_DATABASE),
        says="The token seems to belong to another database than the URL.",
        whose_move=WhoseMove.YOURS,
        next_steps=(COPY_BOTH, "Set both on service {service} and deploy."),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_IS_A_PASSWORD,
        fits=lambda layers: _rejected(layers) and layers.knows(Fact.TOKEN_IS_A_PASSWORD),
        says="The token looks like the password of an older database, which differs from its REST token.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Copy the token from the REST section of the database's page in the Upstash console.",),
    ),
    VerdictRule(
        code=VerdictCode.REST_TOKEN_WRONG,
        fits=lambda layers: _rejected(layers) and layers.passed(Layer.WORKER),
        says="REST rejects the value that rediss:// accepts: it is the password, and the REST token is another.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Copy the REST token, not the password, from the database's page in the Upstash console.",),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_STALE,
        fits=_rejected,
        says="The database was reached and does not accept this token: it was reset, or belongs elsewhere.",
        whose_move=WhoseMove.YOURS,
        next_steps=(COPY_BOTH, SET_AND_DEPLOY, "If it worked before, ask who reset the credentials."),
    ),
    VerdictRule(
        code=VerdictCode.DATABASE_GONE,
        fits=lambda layers: (
            _ended(layers, Outcome.DNS_NOT_FOUND) and layers.knows(Fact.CONSOLE_HAS_NO_SUCH_DATABASE)
        ),
        says="The host does not exist, and the console knows no such database: deleted, archived, or mistyped.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Compare the host with the databases in the Upstash console.",
            "An archived database is restored there, with a new URL and token.",
            "Set the new values on service {service} and deploy.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.SUSPENDED,
        fits=lambda layers: _ended(layers, Outcome.SUSPENDED) or layers.knows(Fact.CONSOLE_SUSPENDED),
        says="Upstash has suspended the database or the account.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Open the Upstash console: raise the budget, or settle the bill.",),
    ),
    VerdictRule(
        code=VerdictCode.QUOTA_BEHIND_PING,
        fits=lambda layers: (
            layers.passed(Layer.TOKEN)
            and (
                _ended(layers, Outcome.QUOTA_EXCEEDED)
                # The console's count is no proof against a command that was answered.
                or (layers.knows(Fact.CONSOLE_COMMANDS_USED_UP) and not layers.passed(Layer.READING))
            )
        ),
        says="The plan's commands are used up: PING still answers, real commands do not.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Upgrade the plan in the Upstash console, or wait for the reset at the turn of the month.",
            "Look at its usage page for what uses so many commands.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.DATABASE_FULL,
        fits=lambda layers: (
            _ended(layers, Outcome.CAPACITY_FULL)
            or (layers.knows(Fact.CONSOLE_STORAGE_FULL) and not layers.passed(Layer.WRITING))
        ),
        says="The database is full: it reads and deletes, but refuses writes.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Delete keys, set expiries, or turn on eviction.", "Upgrade to a plan with more storage."),
    ),
    VerdictRule(
        code=VerdictCode.TOKEN_READ_ONLY,
        fits=lambda layers: (
            layers.passed(Layer.TOKEN)
            and layers.failed(Layer.WRITING)
            and _ended(layers, Outcome.PERMISSION_DENIED)
            # Then a worker as it is usually built does not get in at all, which is said further down.
            and not layers.knows(Fact.WORKER_AS_READ_ONLY)
        ),
        says="The token may read and not write.",
        whose_move=WhoseMove.YOURS,
        next_steps=("If the worker writes, give it the standard token, or grant the command to its ACL user.",),
    ),
    VerdictRule(
        code=VerdictCode.PROVIDER_TROUBLE,
        fits=lambda layers: _no_way_there(layers) and layers.knows(Fact.TROUBLE_POSTED),
        says="Upstash has posted trouble with Redis on its status page, and the database cannot be used.",
        whose_move=WhoseMove.UPSTASH,
        next_steps=("Watch https://status.upstash.com.", "Keep the times of this incident for a claim."),
    ),
    VerdictRule(
        code=VerdictCode.ADDRESS_NOT_ALLOWED,
        fits=lambda layers: _ended(layers, *_NO_CONNECTION) and layers.knows(Fact.CONSOLE_ALLOWLIST),
        says="No connection stands, and the database has an IP allowlist: this address is probably not on it.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Compare the service's outbound address with the allowlist in the Upstash console.",
            "On Railway a fixed outbound address needs the Pro plan and a deployment.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.BLOCKED_OR_DOWN,
        fits=lambda layers: (
            _ended(layers, *_NO_CONNECTION) and _network_is_there(layers) and layers.failed(Layer.WORKER)
        ),
        says="No way leads to the host while our own network is fine: Upstash is down, or we are blocked.",
        whose_move=WhoseMove.NETWORK,
        next_steps=(
            "See whether Upstash knows of it: https://status.upstash.com.",
            "If the database has an IP allowlist, check that this service's outbound address is on it.",
        ),
    ),
)


def _rest_is_good(layers: LayerResults) -> bool:
    return layers.passed(Layer.TOKEN) and layers.outcome() is None


def _rest_lets_read(layers: LayerResults) -> bool:
    return layers.passed(Layer.TOKEN) and layers.outcome() in (None, Outcome.PERMISSION_DENIED)


WORKER_ROWS: tuple[VerdictRule, ...] = (
    VerdictRule(
        code=VerdictCode.OTHER_DATABASE,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.CONSOLE_HAS_NO_SUCH_DATABASE),
        says="The database works, but it is not one of this console account's.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Check that URL and token are those of the database you mean.",),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_VARIABLE_MISSING,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_VARIABLE_MISSING),
        says="URL and token work here, but service {service} does not have them.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN on service {service} and deploy.",
            FIX,
        ),
    ),
    # Before the next row: to deploy a staged value that is not the right one would break a worker that works.
    VerdictRule(
        code=VerdictCode.WORKER_VALUE_DIFFERS,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_VARIABLE_DIFFERS),
        says="URL and token work here, but service {service} has other values.",
        whose_move=WhoseMove.YOURS,
        next_steps=(SET_AND_DEPLOY, FIX),
    ),
    VerdictRule(
        code=VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_VARIABLE_STAGED),
        says="The right values are set on service {service}, but the change is staged and not deployed.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Deploy the staged change of service {service}.",),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_LEGACY_PORT,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_ON_LEGACY_PORT),
        says="REST works, and rediss:// only on the port of older databases, the number in the host's name.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Build the worker's URL with that port in place of 6379.",),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_READ_ONLY,
        fits=lambda layers: _rest_lets_read(layers) and layers.knows(Fact.WORKER_AS_READ_ONLY),
        says="The token is a read-only one, and rediss:// takes it only with the user default_ro.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Build the worker's URL as rediss://default_ro:TOKEN@HOST:6379,",
            "or give it the standard token, with the user default.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_URL_WRONG,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_AUTH_REJECTED),
        says="REST accepts the token and rediss:// does not: an older database whose password differs.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Copy the rediss:// URL from the database's page in the Upstash console into the worker's variable,",
            "or let the worker use the REST client, as this monitor does.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_URL_WRONG,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_URL_BROKEN),
        says="REST works, but a rediss:// URL built from these values leads nowhere: a character cuts it short.",
        whose_move=WhoseMove.YOURS,
        next_steps=(
            "Percent-encode the token where the worker builds its URL, and see that the URL is https://HOST.",
            "Or let the worker use the REST client, as this monitor does.",
        ),
    ),
    VerdictRule(
        code=VerdictCode.WORKER_PORT_BLOCKED,
        fits=lambda layers: _rest_is_good(layers) and layers.knows(Fact.WORKER_NOT_CONNECTED),
        says="REST works, but no rediss:// connection stands: port 6379 is blocked on the way.",
        whose_move=WhoseMove.YOURS,
        next_steps=("Open outgoing port 6379 for the worker, or let it use the REST client.",),
    ),
    VerdictRule(
        code=VerdictCode.SLOW,
        fits=lambda layers: layers.at(Layer.TOKEN).outcome is Outcome.SLOW and not layers.failed(Layer.WORKER),
        says="Everything works, but slower than the limit that was set.",
        whose_move=WhoseMove.YOURS_THEN_UPSTASH,
        next_steps=advise(Outcome.SLOW).next_steps,
    ),
    VerdictRule(
        code=VerdictCode.ALL_GOOD,
        fits=lambda layers: _rest_is_good(layers) and not layers.failed(Layer.WORKER),
        says="Everything that can be seen from here works.",
        whose_move=WhoseMove.NOBODY,
        next_steps=(
            "If a worker still fails, read its log around its Redis calls: the cause is in its own code.",
        ),
    ),
)


_STATUS = {
    VerdictCode.ALL_GOOD: ExitStatus.OK,
    VerdictCode.SLOW: ExitStatus.WARNING,
    VerdictCode.OFFLINE: ExitStatus.UNKNOWN,
    VerdictCode.OTHER_DATABASE: ExitStatus.UNKNOWN,
    VerdictCode.NOT_KNOWN: ExitStatus.UNKNOWN,
}
# As in `check`: what is down outranks what is not known.
_PRECEDENCE = (ExitStatus.CRITICAL, ExitStatus.UNKNOWN, ExitStatus.WARNING)

TABLE = (*ROWS, *WORKER_ROWS)


def judge(layers: LayerResults, *, service: str = "worker") -> Verdict:
    """The verdict on a layers; every layers has one. `service` is the name of the worker's service."""
    row = next((row for row in TABLE if row.fits(layers)), None)
    if row is not None:
        return Verdict(
            code=row.code,
            says=row.says.replace("{service}", service),
            whose_move=row.whose_move,
            next_steps=tuple(step.replace("{service}", service) for step in row.next_steps),
        )
    outcome, which_way = layers.outcome(), ""
    if outcome is None and layers.failed(Layer.WORKER):
        outcome, which_way = layers.at(Layer.WORKER).outcome, "REST works, but not the worker's way. "
    if outcome is None:
        return Verdict(
            code=VerdictCode.NOT_KNOWN,
            says="Not enough could be seen to say what is the matter.",
            whose_move=WhoseMove.YOURS,
            next_steps=("Read the layers above; run the doctor again when the network is back.",),
        )
    advice = advise(outcome)
    return Verdict(
        code=VerdictCode.AS_THE_OUTCOME_SAYS,
        says=which_way + advice.meaning,
        whose_move=advice.whose_move,
        next_steps=advice.next_steps,
    )


def worst_status(verdicts: Sequence[Verdict]) -> ExitStatus:
    """The exit status of the doctor, by the convention of `check`; unknown when there is no verdict."""
    found = {_STATUS.get(verdict.code, ExitStatus.CRITICAL) for verdict in verdicts}
    if not found:
        return ExitStatus.UNKNOWN
    return next((status for status in _PRECEDENCE if status in found), ExitStatus.OK)
