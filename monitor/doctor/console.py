"""The console layer: what the Upstash Developer API says of one database, with calls that only read.

The key gives access to the whole account, so it goes nowhere but into the request, and no other call may ever be
made with it: above all not the one that resets a password.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlsplit

from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.web import WebError, fetch, read_json
from monitor.lib.text import Secret
from monitor.lib.times import Deadline

_UPSTASH_DOMAIN = ".upstash.io"
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_PLANS = re.compile(r"free|payg|pro|paid|fixed_[0-9]{1,4}(?:mb|gb|tb)", re.IGNORECASE)
_OTHER_SHAPE = "its answer has another shape than the Developer API's"
# Upstash writes the largest 64-bit number for "no limit"; nobody's limit is above this one.
_NO_LIMIT = 2**53
_MEGABYTE, _GIGABYTE = 2**20, 2**30
_MASKS = frozenset("*•●")
_FAILING = frozenset(
    {
        Fact.CONSOLE_HAS_NO_SUCH_DATABASE,
        Fact.CONSOLE_SUSPENDED,
        Fact.CONSOLE_COMMANDS_USED_UP,
        Fact.CONSOLE_STORAGE_FULL,
        Fact.TOKEN_IS_A_PASSWORD,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsoleKey:
    """What gives access to the Developer API: an account's e-mail address and one of its API keys."""

    email: str
    api_key: Secret

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """The key in `UPSTASH_EMAIL` and `UPSTASH_API_KEY`; `None` when one of them is not set."""
        email, api_key = (environment.get(name, "").strip() for name in ("UPSTASH_EMAIL", "UPSTASH_API_KEY"))
        return cls(email=email, api_key=Secret(api_key)) if email and api_key else None

    def header(self) -> dict[str, str]:
        pair = f"{self.email}:{self.api_key.reveal()}".encode("utf-8", "surrogatepass")
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


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
class ConsoleResult:
    """The layer, and the database for the layers that compare with it; `None` where the console gave no token."""

    result: LayerResult
    database: ConsoleDatabase | None = None


def read_console(
    key: ConsoleKey, *, console_url: str, origin: str, token: str, timeout: timedelta
) -> ConsoleResult:
    """What the console says of the database at `origin` (`https://HOST`). Blocks at most `timeout`.

    `token` is the one this process has, compared in memory. Anything unexpected is unknown, never a verdict.
    """
    api = _Api(key, f"{console_url.rstrip('/')}/v2/redis", Deadline(timeout))
    try:
        entry = _find(api.databases(), origin)
        if entry is None:
            facts = frozenset({Fact.CONSOLE_HAS_NO_SUCH_DATABASE})
            detail = "this account has no database with that endpoint"
            return ConsoleResult(result=_result(LayerState.FAILED, detail, facts))
        details = api.details(entry)
    except WebError as error:
        return ConsoleResult(result=_result(LayerState.UNKNOWN, f"not read: {error}"))
    except ValueError:  # from urlsplit
        return ConsoleResult(result=_result(LayerState.UNKNOWN, "the URL has no host to search for"))
    return _compare(details, api.stats(details), origin=origin, token=token)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """How much of a limit is used: of the month's commands or bandwidth, or of the storage."""

    resource: str
    used: float
    limit: float
    unit: str
    is_monthly: bool

    @property
    def share(self) -> float:
        return self.used / self.limit


def read_usage(key: ConsoleKey, *, console_url: str, origin: str, timeout: timedelta) -> tuple[Usage, ...]:
    """What is limited of the database at `origin`, and how much of it is used. Blocks at most `timeout`.

    Raises `WebError`. Nothing where the account has no such database; storage not where it makes room by itself.
    """
    api = _Api(key, f"{console_url.rstrip('/')}/v2/redis", Deadline(timeout))
    entry = _find(api.databases(), origin)
    stats = None if entry is None else api.stats(details := api.details(entry))
    if entry is None or stats is None:
        return ()
    stored = None if details.get("eviction") is True else _limit(details, "db_disk_threshold")
    rows = (
        ("commands", "total_monthly_requests", _limit(details, "db_request_limit"), 1, "commands", True),
        (
            "bandwidth",
            "total_monthly_bandwidth",
            _limit(details, "db_monthly_bandwidth_limit"),
            _GIGABYTE,
            "GB",
            True,
        ),
        ("storage", "current_storage", None if stored is None else stored / _MEGABYTE, _MEGABYTE, "MB", False),
    )
    return tuple(
        Usage(resource=resource, used=used / size, limit=limit, unit=unit, is_monthly=is_monthly)
        for resource, field, limit, size, unit, is_monthly in rows
        if limit is not None and (used := _number(stats, field)) is not None
    )


class _Api:
    def __init__(self, key: ConsoleKey, base: str, deadline: Deadline) -> None:
        self._key = key
        self._base = base
        self._deadline = deadline

    def databases(self) -> list[Mapping[str, Any]]:
        entries = self._get("/databases")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise WebError(_OTHER_SHAPE)
        return entries

    def details(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        identity = entry.get("database_id")
        if not isinstance(identity, str) or not _ID.fullmatch(identity):
            raise WebError(_OTHER_SHAPE)
        details = self._get(f"/database/{identity}")
        if not isinstance(details, dict) or details.get("database_id") != identity:
            raise WebError(_OTHER_SHAPE)
        return details

    def stats(self, details: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """`None` where they cannot be read: the layer says so, and is known without them."""
        try:
            stats = self._get(f"/stats/{details['database_id']}")
        except WebError:
            return None
        return stats if isinstance(stats, dict) else None

    def _get(self, path: str) -> Any:
        return read_json(fetch("GET", f"{self._base}{path}", deadline=self._deadline, headers=self._key.header()))


def _result(state: LayerState, detail: str, facts: frozenset[Fact] = frozenset()) -> LayerResult:
    return LayerResult(layer=Layer.CONSOLE, state=state, detail=detail, facts=facts)


def _find(entries: Sequence[Mapping[str, Any]], origin: str) -> Mapping[str, Any] | None:
    """The entry of the database at `origin`; its `endpoint` may be a whole host or the first label of one.

    One that was deleted may be listed beside the one that has its endpoint now.
    """
    parts = urlsplit(origin)
    host = (parts.hostname or "").removesuffix(".")
    endpoints = {host, parts.netloc.lower(), host.removesuffix(_UPSTASH_DOMAIN)} - {""}
    found = (entry for entry in entries if _text(entry, "endpoint").lower() in endpoints)
    return min(found, key=lambda entry: _text(entry, "state") == "deleted", default=None)


def _compare(
    entry: Mapping[str, Any], stats: Mapping[str, Any] | None, *, origin: str, token: str
) -> ConsoleResult:
    """The layer of a database's entry; `stats` is `None` where its usage is not known."""
    database = _database(entry, origin)
    state_words, state_facts, is_known_state = _state(entry)
    token_words, token_facts = _compare_token(database, token)
    usage_words, usage_facts = _usage(entry, stats)
    facts = state_facts | token_facts | usage_facts
    words = [state_words, _plan(entry), *usage_words]
    if _has_allowlist(entry):
        facts |= {Fact.CONSOLE_ALLOWLIST}
        words.append("IP allowlist on")
    words.append(token_words)
    state = LayerState.PASSED if is_known_state else LayerState.UNKNOWN
    if facts & _FAILING:
        state = LayerState.FAILED
    return ConsoleResult(
        result=_result(state, " · ".join(filter(None, words)), frozenset(facts)), database=database
    )


def _database(entry: Mapping[str, Any], origin: str) -> ConsoleDatabase | None:
    rest_token = _secret(entry, "rest_token")
    if not rest_token:
        return None
    return ConsoleDatabase(
        url=origin,
        rest_token=rest_token,
        read_only_rest_token=_secret(entry, "read_only_rest_token"),
        password=_secret(entry, "password"),
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


def _compare_token(database: ConsoleDatabase | None, token: str) -> tuple[str, set[Fact]]:
    if database is None:
        return "it does not show the token", {Fact.CONSOLE_HIDES_TOKEN}
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
    # No failure by itself: an ACL user's token is another by design, and works.
    return "another token than the console's", {Fact.CONSOLE_TOKEN_DIFFERS}


def _usage(entry: Mapping[str, Any], stats: Mapping[str, Any] | None) -> tuple[list[str], set[Fact]]:
    if stats is None:
        return ["usage not read"], set()
    words, facts = [], set()
    commands, most_commands = _number(stats, "total_monthly_requests"), _limit(entry, "db_request_limit")
    if commands is not None:
        words.append(f"{commands:,.0f}{_of(most_commands)} commands this month")
        if most_commands is not None and commands >= most_commands:
            facts.add(Fact.CONSOLE_COMMANDS_USED_UP)
    moved, most_moved = _number(stats, "total_monthly_bandwidth"), _limit(entry, "db_monthly_bandwidth_limit")
    # The limit is in gigabytes by what others make of it; the documents do not say. So this fact fails nothing.
    if moved is not None and most_moved is not None:
        words.append(f"{moved / _GIGABYTE:,.1f}{_of(most_moved)} GB bandwidth this month")
        if moved >= most_moved * _GIGABYTE:
            facts.add(Fact.CONSOLE_BANDWIDTH_USED_UP)
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


def _secret(entry: Mapping[str, Any], name: str) -> Secret:
    """Empty where it is missing or masked."""
    value = _text(entry, name)
    return Secret(value if _MASKS.isdisjoint(value) else "")


def _number(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < _NO_LIMIT else None


def _limit(entry: Mapping[str, Any], name: str) -> float | None:
    """A figure that limits something; nothing, zero and the largest number mean no limit."""
    return _number(entry, name) or None
