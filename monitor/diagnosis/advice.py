"""What an outcome means and what to do next: one table for alerts, `check` and the docs.

How an outcome is recognised is decided in `classify`; docs/outcomes.md has an entry for each row.
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
        return _MOVE_WORDS[self]


_MOVE_WORDS = {
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


_STATUS_PAGE = "See whether Upstash knows of it: https://status.upstash.com."
_REDEPLOY = "Set the variable on the worker's service too and redeploy: a staged change is not live."

_TABLE: dict[Outcome, tuple[str, WhoseMove, tuple[str, ...]]] = {
    Outcome.OK: ("The database answers.", WhoseMove.NOBODY, ()),
    Outcome.SLOW: (
        "The database answers, but slower than the limit set for it.",
        WhoseMove.YOURS_THEN_UPSTASH,
        (
            "See where the time goes (check --json): wait is database and way together, the rest the way alone.",
            "Look at the console's usage page: throttled commands or bandwidth show there.",
            _STATUS_PAGE,
        ),
    ),
    Outcome.URL_MISSING: (
        "There is no URL to look at.",
        WhoseMove.YOURS,
        (
            "Copy the REST URL from the database's page in the Upstash console into UPSTASH_REDIS_REST_URL.",
            "On Railway, set it on this service and deploy the staged change; sealed variables are not copied.",
        ),
    ),
    Outcome.TOKEN_MISSING: (
        "There is no token to log in with.",
        WhoseMove.YOURS,
        (
            "Copy the REST token from the database's page in the Upstash console into UPSTASH_REDIS_REST_TOKEN.",
            "On Railway, set it on this service and deploy the staged change; sealed variables are not copied.",
        ),
    ),
    Outcome.URL_MALFORMED: (
        "The URL cannot be a REST URL as it stands, so nothing was sent.",
        WhoseMove.YOURS,
        (
            "Copy the REST URL again: https://HOST, without quotes, spaces or a path.",
            _REDEPLOY,
        ),
    ),
    Outcome.TOKEN_MALFORMED: (
        "The token cannot be right as it stands, so nothing was sent.",
        WhoseMove.YOURS,
        (
            "Copy the REST token again, without quotes, spaces, `Bearer` or `NAME=` in front.",
            _REDEPLOY,
        ),
    ),
    Outcome.TOKEN_REJECTED: (
        "The database was reached and it does not accept this token: it was reset, or belongs elsewhere.",
        WhoseMove.YOURS,
        (
            "Copy URL and REST token again, both from the same database's page in the Upstash console.",
            _REDEPLOY,
            "If it worked before, ask who reset the credentials: that revokes every older token.",
        ),
    ),
    Outcome.PERMISSION_DENIED: (
        "Host and token are right, but this token's user may not run the command.",
        WhoseMove.YOURS,
        (
            "Use the standard token, or grant the command to the ACL user.",
            "If the read-only token was meant, check that the worker only reads.",
        ),
    ),
    Outcome.QUOTA_EXCEEDED: (
        "The plan's number of commands is used up; commands are refused.",
        WhoseMove.YOURS,
        (
            "Upgrade the plan in the Upstash console, or wait for the reset (monthly, or daily on old plans).",
            "Look at the usage page for what uses so many commands.",
        ),
    ),
    Outcome.SUSPENDED: (
        "Upstash has suspended the database or the account.",
        WhoseMove.YOURS,
        (
            "Open the Upstash console: raise the budget, or settle the bill.",
            "A database on a fixed plan has no budget limit.",
        ),
    ),
    Outcome.CAPACITY_FULL: (
        "The database is full: it reads and deletes, but refuses writes.",
        WhoseMove.YOURS,
        (
            "Delete keys, set expiries, or turn on eviction.",
            "Upgrade to a plan with more storage.",
        ),
    ),
    Outcome.RATE_LIMITED: (
        "The service asks for fewer requests.",
        WhoseMove.YOURS,
        ("Look at what sends so many requests; lengthen the interval if it is this monitor.", _STATUS_PAGE),
    ),
    Outcome.DNS_NOT_FOUND: (
        "The host name does not exist: mistyped, or the database was deleted, archived or has expired.",
        WhoseMove.YOURS,
        (
            "Compare the host with the database's page in the Upstash console.",
            "A free database idle for a month is archived; restoring it gives a new URL and token.",
        ),
    ),
    Outcome.DNS_FAILED: (
        "The resolver failed or did not answer, so the host name could not be looked up.",
        WhoseMove.YOURS,
        (
            "Check the resolver of this machine or container: do other names resolve?",
            "On Railway, redeploy the service if its DNS stays broken.",
        ),
    ),
    Outcome.CONNECTION_REFUSED: (
        "The host was reached and refused the connection.",
        WhoseMove.YOURS_THEN_UPSTASH,
        ("Check the port in the URL: REST is on 443, so none is needed.", _STATUS_PAGE),
    ),
    Outcome.NETWORK_UNREACHABLE: (
        "This machine has no route to the host.",
        WhoseMove.YOURS,
        (
            "Check this machine's network; on Railway outbound IPv6 is off unless turned on.",
            _STATUS_PAGE,
        ),
    ),
    Outcome.CONNECTION_TIMEOUT: (
        "No connection stood before the deadline: packets are dropped, or the host is down.",
        WhoseMove.YOURS_THEN_UPSTASH,
        (
            _STATUS_PAGE,
            "If the database has an IP allowlist, check that this service's outbound address is on it.",
        ),
    ),
    Outcome.TLS_FAILED: (
        "The connection could not be encrypted with a certificate this machine trusts.",
        WhoseMove.YOURS_THEN_UPSTASH,
        (
            "Read the detail: wrong name means wrong host, not trusted means a proxy or a missing CA bundle.",
            "Check this machine's clock and CA certificates (SSL_CERT_FILE).",
        ),
    ),
    Outcome.CONNECTION_LOST: (
        "The connection stood and was cut before the answer was complete.",
        WhoseMove.UPSTASH,
        (_STATUS_PAGE, "Check for a proxy or firewall that cuts connections, and that the URL has no port."),
    ),
    Outcome.RESPONSE_TIMEOUT: (
        "The host was reached, but the answer was not there before the deadline.",
        WhoseMove.UPSTASH,
        (
            _STATUS_PAGE,
            "Look at the console's usage page: throttled databases answer late.",
            "Look at the history: did the latency rise before?",
        ),
    ),
    Outcome.SERVER_ERROR: (
        "The service answered that it is in trouble itself.",
        WhoseMove.UPSTASH,
        (
            _STATUS_PAGE,
            "If nothing is posted there, write to Upstash support with the times of this incident.",
        ),
    ),
    Outcome.NOT_UPSTASH: (
        "Something answers at this address that is no Upstash database.",
        WhoseMove.YOURS,
        (
            "Compare the URL with the REST URL in the Upstash console (not the console's own address).",
            "Look for a proxy or captive portal that answers in its place.",
        ),
    ),
    Outcome.COMMAND_ERROR: (
        "The database was reached and refused the command with an error that is not in our list.",
        WhoseMove.YOURS_THEN_UPSTASH,
        ("Read the detail: it is the database's own text.", "If it is new, tell the makers of this monitor."),
    ),
    Outcome.OFFLINE: (
        "Our own side has no network: the connectivity hosts do not answer either, so nothing is known.",
        WhoseMove.YOURS,
        ("Check the network of the machine that runs the monitor.",),
    ),
    Outcome.MONITOR_ERROR: (
        "The monitor itself failed; nothing is known about the database.",
        WhoseMove.YOURS,
        ("Read the monitor's log around this time and report it as a bug.",),
    ),
}


def advise(outcome: Outcome) -> Advice:
    """The advice for an outcome; every outcome has one."""
    meaning, whose_move, next_steps = _TABLE[outcome]
    return Advice(meaning=meaning, whose_move=whose_move, next_steps=next_steps)
