"""What the Upstash console's data on a database mean: its state, its limits, and whether our token is its token.

The data come from `probes/console`. Nothing of a foreign text gets into the words but what is on a list here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from monitor.core.ladder import Fact, Rung, Seen, State
from monitor.core.secret import Secret

_UPSTASH_DOMAIN = ".upstash.io"
_PLANS = re.compile(r"free|payg|pro|paid|fixed_[0-9]{1,4}(?:mb|gb|tb)", re.IGNORECASE)
# Upstash writes the largest 64-bit number for "no limit"; nobody's limit is above this one.
_NO_LIMIT = 2**53
_MEGABYTE = 2**20
_FAILING = frozenset(
    {
        Fact.CONSOLE_HAS_NO_SUCH_DATABASE,
        Fact.CONSOLE_SUSPENDED,
        Fact.CONSOLE_COMMANDS_USED_UP,
        Fact.CONSOLE_STORAGE_FULL,
        Fact.CONSOLE_TOKEN_DIFFERS,
        Fact.TOKEN_IS_A_PASSWORD,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsoleDatabase:
    """A database's URL and credentials as the console has them now; an empty secret is one it did not give."""

    url: str
    rest_token: Secret
    read_only_rest_token: Secret
    password: Secret

    def accepts_over_rest(self, token: str) -> bool:
        """True for one of its REST tokens, the read-only one included."""
        return self.rest_token.is_same_as(token) or self.is_read_only(token)

    def accepts_over_tcp(self, password: str) -> bool:
        """True for what a `rediss://` URL may hold: on older databases the password differs from the token."""
        known = self.accepts_over_rest(password)
        return known or (bool(self.password) and self.password.is_same_as(password))

    def is_read_only(self, token: str) -> bool:
        return bool(self.read_only_rest_token) and self.read_only_rest_token.is_same_as(token)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A rung, and the database for those that compare with it; `None` where the console gave no token."""

    seen: Seen
    database: ConsoleDatabase | None = None


def find(entries: Sequence[Mapping[str, Any]], origin: str) -> Mapping[str, Any] | None:
    """The entry of the database at `origin`; its `endpoint` may be a whole host or the first label of one."""
    parts = urlsplit(origin)
    host = (parts.hostname or "").removesuffix(".")
    places = {host, parts.netloc.lower(), host.removesuffix(_UPSTASH_DOMAIN)} - {""}
    return next((entry for entry in entries if _text(entry, "endpoint").lower() in places), None)


def absent() -> Reading:
    """The reading when no entry of the account is the database."""
    return Reading(
        seen=Seen(
            rung=Rung.CONSOLE,
            state=State.FAILED,
            seen="this account has no database with that endpoint",
            facts=frozenset({Fact.CONSOLE_HAS_NO_SUCH_DATABASE}),
        )
    )


def read(
    entry: Mapping[str, Any],
    stats: Mapping[str, Any] | None,
    *,
    origin: str,
    token: str,
) -> Reading:
    """The reading of a database's entry; `stats` is `None` where its usage is not known."""
    database = _database(entry, origin)
    state_words, state_facts, is_known_state = _state(entry)
    token_words, token_facts = _compare(database, token)
    usage_words, usage_facts = _usage(entry, stats)
    facts = state_facts | token_facts | usage_facts
    words = [state_words, _plan(entry), *usage_words]
    if _has_allowlist(entry):
        facts |= {Fact.CONSOLE_ALLOWLIST}
        words.append("IP allowlist on")
    words.append(token_words)
    state = State.FAILED if facts & _FAILING else State.PASSED if is_known_state else State.UNKNOWN
    seen = Seen(rung=Rung.CONSOLE, state=state, seen=" · ".join(filter(None, words)), facts=frozenset(facts))
    return Reading(seen=seen, database=database)


def _database(entry: Mapping[str, Any], origin: str) -> ConsoleDatabase | None:
    rest_token = _text(entry, "rest_token")
    if not rest_token or "*" in rest_token:  # stars: a mask and not a token
        return None
    return ConsoleDatabase(
        url=origin,
        rest_token=Secret(rest_token),
        read_only_rest_token=Secret(_text(entry, "read_only_rest_token")),
        password=Secret(_text(entry, "password")),
    )


def _state(entry: Mapping[str, Any]) -> tuple[str, set[Fact], bool]:
    changing = ", being modified" if _text(entry, "modifying_state") else ""
    match _text(entry, "state"):
        case "active":
            return f"active{changing}", set(), True
        case "suspended":
            return "suspended", {Fact.CONSOLE_SUSPENDED}, True
        case "deleted":
            return "deleted", {Fact.CONSOLE_HAS_NO_SUCH_DATABASE}, True
        case "passive":
            return f"passive, which Upstash does not explain{changing}", set(), False
    return f"in a state that is not known here{changing}", set(), False


def _plan(entry: Mapping[str, Any]) -> str:
    plan = _text(entry, "type")
    return f"plan {plan.lower()}" if _PLANS.fullmatch(plan) else ""


def _compare(database: ConsoleDatabase | None, token: str) -> tuple[str, set[Fact]]:
    if database is None:
        return "its token was not given", set()
    if not token.strip():
        return "no token here to compare", set()
    if database.rest_token.is_same_as(token):
        return "token equal", {Fact.CONSOLE_TOKEN_IS_OURS}
    if database.is_read_only(token):
        return "token equal to the read-only one", {Fact.CONSOLE_TOKEN_IS_OURS, Fact.TOKEN_IS_READ_ONLY}
    if database.password and database.password.is_same_as(token):
        return "the token here is the database's password", {Fact.TOKEN_IS_A_PASSWORD}
    if database.accepts_over_rest(token.strip()):
        return "token equal but for the space around it", set()
    return "token different", {Fact.CONSOLE_TOKEN_DIFFERS}


def _usage(entry: Mapping[str, Any], stats: Mapping[str, Any] | None) -> tuple[list[str], set[Fact]]:
    if stats is None:
        return ["usage not read"], set()
    words, facts = [], set()
    commands, most_commands = _number(stats, "total_monthly_requests"), _limit(entry, "db_request_limit")
    if commands is not None:
        words.append(f"{commands:,.0f}{_of(most_commands)} commands this month")
        if most_commands is not None and commands >= most_commands:
            facts.add(Fact.CONSOLE_COMMANDS_USED_UP)
    spent, budget = _number(stats, "total_monthly_billing"), _limit(entry, "budget")
    if spent is not None and budget is not None:
        words.append(f"${spent:,.2f} of a ${budget:,.0f} budget")
    stored, most_stored = _number(stats, "current_storage"), _limit(entry, "db_disk_threshold")
    if stored is not None:
        most = None if most_stored is None else most_stored / _MEGABYTE
        words.append(f"{stored / _MEGABYTE:,.1f}{_of(most)} MB stored")
        # With eviction a database at its limit makes room by itself.
        if most_stored is not None and stored >= most_stored and entry.get("eviction") is not True:
            facts.add(Fact.CONSOLE_STORAGE_FULL)
    return words, facts


def _of(limit: float | None) -> str:
    return "" if limit is None else f" of {limit:,.0f}"


def _has_allowlist(entry: Mapping[str, Any]) -> bool:
    security = entry.get("securityAddons")
    return isinstance(security, dict) and security.get("ipWhitelisting") is True


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _number(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < _NO_LIMIT else None


def _limit(entry: Mapping[str, Any], name: str) -> float | None:
    """A figure that limits something; nothing, zero and the largest number mean no limit."""
    return _number(entry, name) or None
