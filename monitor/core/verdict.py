"""The words of a verdict on a whole ladder: its code, what it says, whose move it is, what to do next.

Which verdict a ladder gets is decided in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from monitor.core.ladder import Ladder

YOURS, UPSTASH, NOBODY = "yours", "Upstash", "nobody"
COPY_BOTH = "Copy URL and REST token again, both from the same database's page in the Upstash console."
SET_AND_DEPLOY = "Set UPSTASH_REDIS_REST_TOKEN of service {service} to the console's REST token, then deploy."
FIX = "With a console key and a Railway token, `upstash-monitor doctor --fix` does it for the worker."


class Code(Enum):
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

    code: Code
    says: str
    whose_move: str
    next_steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table. In its texts `{service}` stands for the name of the worker's service."""

    code: Code
    fits: Callable[[Ladder], bool]
    says: str
    whose_move: str
    next_steps: tuple[str, ...]
