"""What an outcome means, whose move it is, and what to do next: one entry for each outcome.

A step that more than one entry gives, here or among the verdicts, is a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Outcome


class WhoseMove(Enum):
    """Who can put it right. JSON carries the value, messages and the terminal the words."""

    YOURS = "yours"
    UPSTASH = "upstash"
    YOURS_THEN_UPSTASH = "yours_then_upstash"
    NETWORK = "network"
    NOBODY = "nobody"

    @property
    def words(self) -> str:
        """What stands after `whose move:`."""
        return _WORDS[self]


_WORDS = {
    WhoseMove.YOURS: "yours",
    WhoseMove.UPSTASH: "Upstash",
    WhoseMove.YOURS_THEN_UPSTASH: "yours, then Upstash",
    WhoseMove.NETWORK: "the network on the way",
    WhoseMove.NOBODY: "nobody",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """One sentence on the meaning, whose move it is, and at most three steps."""

    meaning: str
    whose_move: WhoseMove
    next_steps: tuple[str, ...]


def advice(whose_move: WhoseMove, meaning: str, *next_steps: str) -> Advice:
    """An entry of a table, without the names that would be repeated in each."""
    return Advice(meaning=meaning, whose_move=whose_move, next_steps=next_steps)


COPY_BOTH = "Copy URL and REST token again, both from the same database's page in the Upstash console."
ASK_WHO_RESET = "If it worked before, ask who reset the credentials: that revokes every older token."
STATUS_PAGE = "See whether Upstash knows of it: https://status.upstash.com."
ALLOWLIST = "If the database has an IP allowlist, check that this service's outbound address is on it."
_DEPLOY_HERE = "On Railway, set it on this service and deploy the staged change; sealed variables are not copied."
_DEPLOY_WORKER = "Set the variable on the worker's service too and redeploy: a staged change is not live."

_YOURS, _UPSTASH, _UNSURE = WhoseMove.YOURS, WhoseMove.UPSTASH, WhoseMove.YOURS_THEN_UPSTASH

_ADVICE: dict[Outcome, Advice] = {
    Outcome.OK: advice(WhoseMove.NOBODY, "The database answers."),
    Outcome.SLOW: advice(
        _UNSURE,
        "The database answers, but slower than the limit set for it.",
        "See where the time goes (check --json): wait is database and network, the rest network alone.",
        "Look at the console's usage page: throttled commands or bandwidth show there.",
        STATUS_PAGE,
    ),
    Outcome.URL_MISSING: advice(
        _YOURS,
        "There is no URL to check.",
        "Copy the REST URL from the database's page in the Upstash console into UPSTASH_REDIS_REST_URL.",
        _DEPLOY_HERE,
    ),
    Outcome.TOKEN_MISSING: advice(
        _YOURS,
        "There is no token to log in with.",
        "Copy the REST token from the database's page in the Upstash console into UPSTASH_REDIS_REST_TOKEN.",
        _DEPLOY_HERE,
    ),
    Outcome.URL_MALFORMED: advice(
        _YOURS,
        "The URL cannot be a REST URL as it stands, so nothing was sent.",
        "Copy the REST URL again: https://HOST, without quotes, spaces or a path.",
        _DEPLOY_WORKER,
    ),
    Outcome.TOKEN_MALFORMED: advice(
        _YOURS,
        "The token cannot be right as it stands, so nothing was sent.",
        "Copy the REST token again, without quotes, spaces, `Bearer` or `NAME=` in front.",
        _DEPLOY_WORKER,
    ),
    Outcome.TOKEN_REJECTED: advice(
        _YOURS,
        "The database was reached and it does not accept this token: it was reset, or belongs elsewhere.",
        COPY_BOTH,
        _DEPLOY_WORKER,
        ASK_WHO_RESET,
    ),
    Outcome.PERMISSION_DENIED: advice(
        _YOURS,
        "Host and token are right, but this token's user may not run the command.",
        "Use the standard token, or grant the command to the ACL user.",
        "If the read-only token was meant, check that the worker only reads.",
    ),
    Outcome.QUOTA_EXCEEDED: advice(
        _YOURS,
        "The plan's number of commands is used up; commands are refused.",
        "Upgrade the plan in the Upstash console, or wait for the reset (monthly, or daily on old plans).",
        "Look at the usage page for what uses so many commands.",
    ),
    Outcome.SUSPENDED: advice(
        _YOURS,
        "Upstash has suspended the database or the account.",
        "Open the Upstash console: raise the budget, or settle the bill.",
        "A database on a fixed plan has no budget limit.",
    ),
    Outcome.CAPACITY_FULL: advice(
        _YOURS,
        "The database is full: it reads and deletes, but refuses writes.",
        "Delete keys, set expiries, or turn on eviction.",
        "Upgrade to a plan with more storage.",
    ),
    Outcome.RATE_LIMITED: advice(
        _YOURS,
        "The service asks for fewer requests.",
        "Look at what sends so many requests; lengthen the interval if it is this monitor.",
        STATUS_PAGE,
    ),
    Outcome.TOO_MANY_CONNECTIONS: advice(
        _YOURS,
        "The database has as many connections as it may have, and takes no more.",
        "Look for clients that open connections and never close them; use one pool for each process.",
    ),
    Outcome.DNS_NOT_FOUND: advice(
        _YOURS,
        "The host name does not exist: mistyped, or the database was deleted, archived or has expired.",
        "Compare the host with the database's page in the Upstash console.",
        "A free database idle for a month is archived; restoring it gives a new URL and token.",
    ),
    Outcome.DNS_FAILED: advice(
        _YOURS,
        "The resolver failed or did not answer, so the host name could not be looked up.",
        "Check the resolver of this machine or container: do other names resolve?",
        "On Railway, redeploy the service if its DNS stays broken.",
    ),
    Outcome.CONNECTION_REFUSED: advice(
        _UNSURE,
        "The host was reached and refused the connection.",
        "Check the port in the URL: REST is on 443, so none is needed.",
        STATUS_PAGE,
    ),
    Outcome.NETWORK_UNREACHABLE: advice(
        _YOURS,
        "This machine has no route to the host.",
        "Check this machine's network; on Railway outbound IPv6 is off unless turned on.",
        STATUS_PAGE,
    ),
    Outcome.CONNECTION_TIMEOUT: advice(
        _UNSURE,
        "No connection stood before the deadline: packets are dropped, or the host is down.",
        STATUS_PAGE,
        ALLOWLIST,
    ),
    Outcome.TLS_TIMEOUT: advice(
        _UNSURE,
        "The connection stood, but the TLS handshake did not end before the deadline.",
        STATUS_PAGE,
        "Check the way there: an MTU that is too large and inspection of TLS both look like this.",
    ),
    Outcome.TLS_FAILED: advice(
        _UNSURE,
        "The connection could not be encrypted with a certificate this machine trusts.",
        "Read the detail: wrong name means wrong host, not trusted means a proxy or a missing CA bundle.",
        "Check this machine's clock and CA certificates (SSL_CERT_FILE).",
    ),
    Outcome.CONNECTION_LOST: advice(
        _UPSTASH,
        "The connection stood and was cut before the answer was complete.",
        STATUS_PAGE,
        "Check for a proxy or firewall that cuts connections, and that the URL has no port.",
    ),
    Outcome.RESPONSE_TIMEOUT: advice(
        _UPSTASH,
        "The host was reached, but the answer was not there before the deadline.",
        STATUS_PAGE,
        "Look at the console's usage page: throttled databases answer late.",
        "Look at the history: did the latency rise before?",
    ),
    Outcome.SERVER_ERROR: advice(
        _UPSTASH,
        "The service answered that it has a fault of its own.",
        STATUS_PAGE,
        "If nothing is posted there, write to Upstash support with the times of this incident.",
    ),
    Outcome.UNAVAILABLE: advice(
        _UPSTASH,
        "The database answers that it cannot serve now: it loads, fails over, or has lost its primary.",
        STATUS_PAGE,
        "It passes by itself as a rule; the detail is the database's own text.",
    ),
    Outcome.STALE_READ: advice(
        _UPSTASH,
        "A key was written, and read back as nothing or as another value: a replica lags, or keys are evicted.",
        "Look at the console's usage page: with eviction on, a full database drops new keys.",
        STATUS_PAGE,
    ),
    Outcome.ACCESS_DENIED: advice(
        _YOURS,
        "Something on the way, or the database's edge, does not let this caller through.",
        ALLOWLIST,
        "Look for a proxy or firewall on the way that answers in its place.",
    ),
    Outcome.NOT_UPSTASH: advice(
        _YOURS,
        "Something answers at this address that is no Upstash database.",
        "Compare the URL with the REST URL in the Upstash console (not the console's own address).",
        "Look for a proxy or captive portal that answers in its place.",
    ),
    Outcome.COMMAND_ERROR: advice(
        _UNSURE,
        "The database was reached and refused the command with an error that is not in our list.",
        "Read the detail: it is the database's own text.",
        "If it is new, tell the makers of this monitor.",
    ),
    Outcome.OFFLINE: advice(
        _YOURS,
        "Our own network is down: the connectivity hosts do not answer either, so nothing is known.",
        "Check the network of the machine or container that runs the monitor.",
    ),
    Outcome.MONITOR_ERROR: advice(
        _YOURS,
        "The monitor itself failed; nothing is known about the database.",
        "Read the monitor's log around this time and report it as a bug.",
    ),
}


def advise(outcome: Outcome) -> Advice:
    """The advice for an outcome; every outcome has one."""
    return _ADVICE[outcome]
