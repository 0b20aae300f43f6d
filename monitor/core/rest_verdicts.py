"""Verdicts on a REST way that does not work: from the network up to a full database.

The table is read from the top by `verdicts`; what to say when REST works stands in `worker_verdicts`.
"""

from __future__ import annotations

from monitor.core.ladder import Fact, Ladder, Rung, State
from monitor.core.observation import Family, Outcome
from monitor.core.verdict import COPY_BOTH, FIX, SET_AND_DEPLOY, UPSTASH, YOURS, Code, Row

_NO_CONNECTION = (Outcome.CONNECTION_TIMEOUT, Outcome.CONNECTION_REFUSED, Outcome.NETWORK_UNREACHABLE)
_ELSEWHERE = (Rung.STATUS_PAGE, Rung.CONSOLE, Rung.PLATFORM)


def _ended(ladder: Ladder, *outcomes: Outcome) -> bool:
    return ladder.outcome() in outcomes


def _rejected(ladder: Ladder) -> bool:
    return _ended(ladder, Outcome.TOKEN_REJECTED)


def _malformed(ladder: Ladder) -> bool:
    return _ended(ladder, Outcome.URL_MALFORMED, Outcome.TOKEN_MALFORMED)


def _missing(ladder: Ladder) -> bool:
    return _ended(ladder, Outcome.URL_MISSING, Outcome.TOKEN_MISSING)


def _no_way_there(ladder: Ladder) -> bool:
    outcome = ladder.outcome()
    return outcome is not None and outcome.family in (Family.NETWORK, Family.SERVICE)


def _network_is_there(ladder: Ladder) -> bool:
    """Anybody's answer proves it: a firewall may keep us from the control hosts and from nobody else."""
    if ladder.passed(Rung.OUR_NETWORK) or ladder.passed(Rung.CONNECTION) or ladder.passed(Rung.WORKER):
        return True
    # These fail by what they answer; where no answer came they are unknown.
    return any(ladder.at(rung).state in (State.PASSED, State.FAILED) for rung in _ELSEWHERE)


ROWS: tuple[Row, ...] = (
    Row(
        code=Code.OFFLINE,
        fits=lambda ladder: (
            ladder.failed(Rung.OUR_NETWORK) and _no_way_there(ladder) and not _network_is_there(ladder)
        ),
        says="Our own side has no network: the control hosts do not answer either.",
        whose_move=YOURS,
        next_steps=("Check the network of the machine or container that runs this.",),
    ),
    Row(
        code=Code.VARIABLE_STAGED,
        fits=lambda ladder: _missing(ladder) and ladder.knows(Fact.WORKER_VARIABLE_STAGED),
        says="The variable is set on Railway, but the change is staged and not deployed.",
        whose_move=YOURS,
        next_steps=("Deploy the staged change of service {service}.", "Redeploy this monitor too."),
    ),
    Row(
        code=Code.VARIABLE_MISSING,
        fits=_missing,
        says="The URL or the token is not there at all.",
        whose_move=YOURS,
        next_steps=(
            COPY_BOTH,
            "Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN on this service and deploy.",
            "Sealed variables are not copied to duplicated or pull request environments: set them there again.",
        ),
    ),
    Row(
        code=Code.REST_VALUE_MANGLED,
        fits=lambda ladder: _malformed(ladder) and ladder.passed(Rung.WORKER),
        says="The REST value is mangled; rediss:// works all the same, because URL parsers drop what is wrong.",
        whose_move=YOURS,
        next_steps=("Copy the value again, without newline, quotes or spaces.", "Deploy the change."),
    ),
    Row(
        code=Code.VALUE_MALFORMED,
        fits=_malformed,
        says="The URL or the token cannot be right as it stands; nothing was sent with it.",
        whose_move=YOURS,
        next_steps=(COPY_BOTH, "Set both on service {service} as well, and deploy."),
    ),
    Row(
        code=Code.NEW_TOKEN_NOT_DEPLOYED,
        fits=lambda ladder: (
            _rejected(ladder) and ladder.knows(Fact.WORKER_VARIABLE_IS_THE_CONSOLES, Fact.WORKER_VARIABLE_STAGED)
        ),
        says="The new token is set on service {service}, but the change is staged and not deployed.",
        whose_move=YOURS,
        next_steps=("Deploy the staged change of service {service}.", "Give this monitor the new token too."),
    ),
    Row(
        code=Code.MONITOR_HAS_AN_OLD_TOKEN,
        fits=lambda ladder: (
            _rejected(ladder) and ladder.knows(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
        ),
        says="The worker has the console's token; only this monitor's variable is an old one.",
        whose_move=YOURS,
        next_steps=("Set UPSTASH_REDIS_REST_TOKEN of this monitor to the console's REST token and deploy.",),
    ),
    Row(
        code=Code.WORKER_HAS_AN_OLD_TOKEN,
        fits=lambda ladder: _rejected(ladder) and ladder.knows(Fact.CONSOLE_TOKEN_DIFFERS),
        says="The console has a newer token than the worker.",
        whose_move=YOURS,
        next_steps=(SET_AND_DEPLOY, "Give this monitor the same token.", FIX),
    ),
    Row(
        code=Code.CONSOLE_TOKEN_REFUSED,
        fits=lambda ladder: _rejected(ladder) and ladder.knows(Fact.CONSOLE_TOKEN_IS_OURS),
        says="The token is the console's own, and the database refuses it all the same.",
        whose_move=UPSTASH,
        next_steps=(
            "Wait a minute and look again: a reset may still be on its way to every region.",
            "Then write to Upstash support with the time of this look.",
        ),
    ),
    Row(
        code=Code.TOKEN_OF_ANOTHER_DATABASE,
        fits=lambda ladder: _rejected(ladder) and ladder.knows(Fact.TOKEN_OF_ANOTHER_DATABASE),
        says="The token seems to belong to another database than the URL.",
        whose_move=YOURS,
        next_steps=(COPY_BOTH, "Set both on service {service} and deploy."),
    ),
    Row(
        code=Code.TOKEN_IS_A_PASSWORD,
        fits=lambda ladder: _rejected(ladder) and ladder.knows(Fact.TOKEN_IS_A_PASSWORD),
        says="The token looks like the password of an older database, which differs from its REST token.",
        whose_move=YOURS,
        next_steps=("Copy the token from the REST section of the database's page in the Upstash console.",),
    ),
    Row(
        code=Code.REST_TOKEN_WRONG,
        fits=lambda ladder: _rejected(ladder) and ladder.passed(Rung.WORKER),
        says="REST rejects the value that rediss:// accepts: it is the password, and the REST token is another.",
        whose_move=YOURS,
        next_steps=("Copy the REST token, not the password, from the database's page in the Upstash console.",),
    ),
    Row(
        code=Code.TOKEN_STALE,
        fits=_rejected,
        says="The database was reached and does not accept this token: it was reset, or belongs elsewhere.",
        whose_move=YOURS,
        next_steps=(COPY_BOTH, SET_AND_DEPLOY, "If it worked before, ask who reset the credentials."),
    ),
    Row(
        code=Code.DATABASE_GONE,
        fits=lambda ladder: (
            _ended(ladder, Outcome.DNS_NOT_FOUND) and ladder.knows(Fact.CONSOLE_HAS_NO_SUCH_DATABASE)
        ),
        says="The host does not exist, and the console knows no such database: deleted, archived, or mistyped.",
        whose_move=YOURS,
        next_steps=(
            "Compare the host with the databases in the Upstash console.",
            "An archived database is restored there, with a new URL and token.",
            "Set the new values on service {service} and deploy.",
        ),
    ),
    Row(
        code=Code.SUSPENDED,
        fits=lambda ladder: _ended(ladder, Outcome.SUSPENDED) or ladder.knows(Fact.CONSOLE_SUSPENDED),
        says="Upstash has suspended the database or the account.",
        whose_move=YOURS,
        next_steps=("Open the Upstash console: raise the budget, or settle the bill.",),
    ),
    Row(
        code=Code.QUOTA_BEHIND_PING,
        fits=lambda ladder: (
            ladder.passed(Rung.TOKEN)
            and (
                _ended(ladder, Outcome.QUOTA_EXCEEDED)
                # The console's count is no proof against a command that was answered.
                or (ladder.knows(Fact.CONSOLE_COMMANDS_USED_UP) and not ladder.passed(Rung.READING))
            )
        ),
        says="The plan's commands are used up: PING still answers, real commands do not.",
        whose_move=YOURS,
        next_steps=(
            "Upgrade the plan in the Upstash console, or wait for the reset at the turn of the month.",
            "Look at its usage page for what uses so many commands.",
        ),
    ),
    Row(
        code=Code.DATABASE_FULL,
        fits=lambda ladder: (
            _ended(ladder, Outcome.CAPACITY_FULL)
            or (ladder.knows(Fact.CONSOLE_STORAGE_FULL) and not ladder.passed(Rung.WRITING))
        ),
        says="The database is full: it reads and deletes, but refuses writes.",
        whose_move=YOURS,
        next_steps=("Delete keys, set expiries, or turn on eviction.", "Upgrade to a plan with more storage."),
    ),
    Row(
        code=Code.TOKEN_READ_ONLY,
        fits=lambda ladder: (
            ladder.passed(Rung.TOKEN)
            and ladder.failed(Rung.WRITING)
            and _ended(ladder, Outcome.PERMISSION_DENIED)
            # Then a worker as it is usually built does not get in at all, which is said further down.
            and not ladder.knows(Fact.WORKER_AS_READ_ONLY)
        ),
        says="The token may read and not write.",
        whose_move=YOURS,
        next_steps=("If the worker writes, give it the standard token, or grant the command to its ACL user.",),
    ),
    Row(
        code=Code.PROVIDER_TROUBLE,
        fits=lambda ladder: _no_way_there(ladder) and ladder.knows(Fact.TROUBLE_POSTED),
        says="Upstash has posted trouble with Redis on its status page, and the database cannot be used.",
        whose_move=UPSTASH,
        next_steps=("Watch https://status.upstash.com.", "Keep the times of this incident for a claim."),
    ),
    Row(
        code=Code.ADDRESS_NOT_ALLOWED,
        fits=lambda ladder: _ended(ladder, *_NO_CONNECTION) and ladder.knows(Fact.CONSOLE_ALLOWLIST),
        says="No connection stands, and the database has an IP allowlist: this address is probably not on it.",
        whose_move=YOURS,
        next_steps=(
            "Compare the service's outbound address with the allowlist in the Upstash console.",
            "On Railway a fixed outbound address needs the Pro plan and a deployment.",
        ),
    ),
    Row(
        code=Code.BLOCKED_OR_DOWN,
        fits=lambda ladder: (
            _ended(ladder, *_NO_CONNECTION) and _network_is_there(ladder) and ladder.failed(Rung.WORKER)
        ),
        says="No way leads to the host while our own network is fine: Upstash is down, or we are blocked.",
        whose_move="Upstash, unless an allowlist or firewall is yours",
        next_steps=(
            "See whether Upstash knows of it: https://status.upstash.com.",
            "If the database has an IP allowlist, check that this service's outbound address is on it.",
        ),
    ),
)
