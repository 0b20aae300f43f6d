"""A verdict: what is the matter with a database, in a code that is stored and in what its words depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from monitor.checks.observation import Outcome
from monitor.diagnosis.layers import LayerResults
from monitor.diagnosis.profile import DatabaseProfile, profile_from_json, profile_to_json


class VerdictCode(Enum):
    """The verdicts. The codes are stable: `doctor --json`, the history and messages use them."""

    OFFLINE = "offline"
    PROXY_NEEDED = "proxy_needed"
    VARIABLE_STAGED = "variable_staged"
    VARIABLE_MISSING = "variable_missing"
    VALUES_SWAPPED = "values_swapped"
    VALUE_IS_A_PLACEHOLDER = "value_is_a_placeholder"
    VALUE_IS_MASKED = "value_is_masked"
    REDIS_PORT_IN_URL = "redis_port_in_url"
    REST_VALUE_MANGLED = "rest_value_mangled"
    VALUE_MALFORMED = "value_malformed"
    NEW_TOKEN_NOT_DEPLOYED = "new_token_not_deployed"
    WORKER_TOKEN_WORKS = "worker_token_works"
    MONITOR_HAS_AN_OLD_TOKEN = "monitor_has_an_old_token"
    ACL_USER_DISABLED = "acl_user_disabled"
    WORKER_HAS_AN_OLD_TOKEN = "worker_has_an_old_token"
    CONSOLE_TOKEN_REFUSED = "console_token_refused"
    CONSOLE_HIDES_TOKEN = "console_hides_token"
    TOKEN_OF_ANOTHER_DATABASE = "token_of_another_database"
    TOKEN_IS_A_PASSWORD = "token_is_a_password"
    REST_TOKEN_WRONG = "rest_token_wrong"
    TOKEN_STALE = "token_stale"
    NAME_FILTERED = "name_filtered"
    PRIVATE_NAME = "private_name"
    KV_NAME_GONE = "kv_name_gone"
    DATABASE_GONE = "database_gone"
    SUSPENDED_FOR_BANDWIDTH = "suspended_for_bandwidth"
    SUSPENDED = "suspended"
    BANDWIDTH_USED_UP = "bandwidth_used_up"
    DAILY_LIMIT_REACHED = "daily_limit_reached"
    QUOTA_BEHIND_PING = "quota_behind_ping"
    DATABASE_FULL = "database_full"
    TOKEN_READ_ONLY = "token_read_only"
    PROVIDER_TROUBLE = "provider_trouble"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NO_ROUTE = "no_route"
    ONE_FAMILY_FAILS = "one_family_fails"
    BLOCKED_OR_DOWN = "blocked_or_down"
    NOT_TLS = "not_tls"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    CERTIFICATE_OUT_OF_DATE = "certificate_out_of_date"
    CERTIFICATE_OF_ANOTHER_NAME = "certificate_of_another_name"
    PROXY_ASKS_LOGIN = "proxy_asks_login"
    PORTAL = "portal"
    BLOCKED_BY_LAW = "blocked_by_law"
    LOGIN_WALL = "login_wall"
    REDIRECT_TO_HTTPS = "redirect_to_https"
    REDIRECT = "redirect"
    REQUEST_TOO_LARGE = "request_too_large"
    COMMAND_NOT_OVER_REST = "command_not_over_rest"
    ERROR_UNKNOWN = "error_unknown"
    OTHER_DATABASE = "other_database"
    WORKER_READ_ONLY = "worker_read_only"
    WORKER_LEGACY_PORT = "worker_legacy_port"
    ACL_USER_TOKEN = "acl_user_token"
    WORKER_URL_WRONG = "worker_url_wrong"
    WORKER_URL_BROKEN = "worker_url_broken"
    WORKER_PORT_BLOCKED = "worker_port_blocked"
    WORKER_NOT_TLS = "worker_not_tls"
    WORKER_NOT_ENCRYPTED = "worker_not_encrypted"
    WORKER_VARIABLE_MISSING = "worker_variable_missing"
    WORKER_USER_DISABLED = "worker_user_disabled"
    WORKER_VALUE_DIFFERS = "worker_value_differs"
    WORKER_FAILS = "worker_fails"
    AS_THE_OUTCOME_SAYS = "as_the_outcome_says"
    SLOW = "slow"
    CANARY_KEY_NOT_ALLOWED = "canary_key_not_allowed"
    CANARY_CANNOT_DELETE = "canary_cannot_delete"
    CERTIFICATE_ENDS_SOON = "certificate_ends_soon"
    ALL_GOOD = "all_good"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is the matter. `advice.word` puts it into words; it is stored as it stands here.

    `outcome` is that of the check or of the layer that failed first; `None` where nothing failed.
    """

    code: VerdictCode
    outcome: Outcome | None
    profile: DatabaseProfile


def judge_outcome(outcome: Outcome, profile: DatabaseProfile) -> Verdict:
    """The verdict on an outcome of which no more is known."""
    return Verdict(code=VerdictCode.AS_THE_OUTCOME_SAYS, outcome=outcome, profile=profile)


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """The examined layers of a database and the verdict on them."""

    layers: LayerResults
    verdict: Verdict


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain JSON values, for the file."""
    return {
        "code": verdict.code.value,
        "outcome": verdict.outcome.value if verdict.outcome else None,
        "profile": profile_to_json(verdict.profile),
    }


def verdict_from_json(values: Mapping[str, Any]) -> Verdict:
    """The verdict that `verdict_to_json` wrote."""
    return Verdict(
        code=VerdictCode(values["code"]),
        outcome=Outcome(values["outcome"]) if values["outcome"] else None,
        profile=profile_from_json(values["profile"]),
    )
