"""What a check saw and what it ended in: observation, phases, outcome, family, and the end of a certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

# Whoever renews by a clock has renewed by then: Let's Encrypt's clients do so 30 days before the end.
_CERTIFICATE_ENDS_SOON = timedelta(days=14)


class Family(Enum):
    """What kind of trouble an outcome is; incidents are counted by family."""

    FINE = "fine"
    SLOW = "slow"
    CONFIGURATION = "configuration"
    TOKEN = "token"
    QUOTA = "quota"
    NETWORK = "network"
    SERVICE = "service"
    UNKNOWN = "unknown"

    @property
    def is_failing(self) -> bool:
        """True where the database could not be used; slow and unknown are not failures."""
        return self not in (Family.FINE, Family.SLOW, Family.UNKNOWN)


class Outcome(Enum):
    """The one result of a check. The codes are stable: history, JSON, metrics and docs use them."""

    OK = "ok"
    SLOW = "slow"
    URL_MISSING = "url_missing"
    TOKEN_MISSING = "token_missing"
    URL_MALFORMED = "url_malformed"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_REJECTED = "token_rejected"
    PERMISSION_DENIED = "permission_denied"
    QUOTA_EXCEEDED = "quota_exceeded"
    SUSPENDED = "suspended"
    CAPACITY_FULL = "capacity_full"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    DNS_NOT_FOUND = "dns_not_found"
    DNS_FAILED = "dns_failed"
    CONNECTION_REFUSED = "connection_refused"
    NETWORK_UNREACHABLE = "network_unreachable"
    CONNECTION_TIMEOUT = "connection_timeout"
    TLS_TIMEOUT = "tls_timeout"
    TLS_FAILED = "tls_failed"
    CONNECTION_LOST = "connection_lost"
    RESPONSE_TIMEOUT = "response_timeout"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    STALE_READ = "stale_read"
    ACCESS_DENIED = "access_denied"
    NOT_UPSTASH = "not_upstash"
    COMMAND_ERROR = "command_error"
    OFFLINE = "offline"
    MONITOR_ERROR = "monitor_error"

    @property
    def family(self) -> Family:
        return _FAMILIES[self]

    @property
    def words(self) -> str:
        """The outcome as a person says it: `token rejected`."""
        return _WORDS.get(self, self.value.replace("_", " "))


_FAMILIES = {
    Outcome.OK: Family.FINE,
    Outcome.SLOW: Family.SLOW,
    Outcome.URL_MISSING: Family.CONFIGURATION,
    Outcome.TOKEN_MISSING: Family.CONFIGURATION,
    Outcome.URL_MALFORMED: Family.CONFIGURATION,
    Outcome.TOKEN_MALFORMED: Family.CONFIGURATION,
    Outcome.TOKEN_REJECTED: Family.TOKEN,
    Outcome.PERMISSION_DENIED: Family.TOKEN,
    Outcome.QUOTA_EXCEEDED: Family.QUOTA,
    Outcome.SUSPENDED: Family.QUOTA,
    Outcome.CAPACITY_FULL: Family.QUOTA,
    Outcome.RATE_LIMITED: Family.QUOTA,
    Outcome.TOO_MANY_CONNECTIONS: Family.QUOTA,
    Outcome.DNS_NOT_FOUND: Family.NETWORK,
    Outcome.DNS_FAILED: Family.NETWORK,
    Outcome.CONNECTION_REFUSED: Family.NETWORK,
    Outcome.NETWORK_UNREACHABLE: Family.NETWORK,
    Outcome.CONNECTION_TIMEOUT: Family.NETWORK,
    Outcome.TLS_TIMEOUT: Family.NETWORK,
    Outcome.TLS_FAILED: Family.NETWORK,
    Outcome.CONNECTION_LOST: Family.NETWORK,
    Outcome.RESPONSE_TIMEOUT: Family.NETWORK,
    Outcome.SERVER_ERROR: Family.SERVICE,
    Outcome.UNAVAILABLE: Family.SERVICE,
    Outcome.STALE_READ: Family.SERVICE,
    Outcome.ACCESS_DENIED: Family.SERVICE,
    Outcome.NOT_UPSTASH: Family.SERVICE,
    Outcome.COMMAND_ERROR: Family.SERVICE,
    Outcome.OFFLINE: Family.UNKNOWN,
    Outcome.MONITOR_ERROR: Family.UNKNOWN,
}

_WORDS = {
    Outcome.URL_MISSING: "URL missing",
    Outcome.URL_MALFORMED: "URL malformed",
    Outcome.DNS_NOT_FOUND: "host name not found",
    Outcome.DNS_FAILED: "host name lookup failed",
    Outcome.CONNECTION_TIMEOUT: "connection timed out",
    Outcome.RESPONSE_TIMEOUT: "response timed out",
    Outcome.TLS_TIMEOUT: "TLS handshake timed out",
    Outcome.TLS_FAILED: "TLS failed",
    Outcome.UNAVAILABLE: "database unavailable",
    Outcome.STALE_READ: "stale read",
    Outcome.NOT_UPSTASH: "not an Upstash answer",
    Outcome.MONITOR_ERROR: "monitor error",
    Outcome.OFFLINE: "monitor offline",
    Outcome.CAPACITY_FULL: "database full",
    Outcome.SUSPENDED: "database suspended",
}

NO_CONNECTION = (Outcome.CONNECTION_TIMEOUT, Outcome.CONNECTION_REFUSED, Outcome.NETWORK_UNREACHABLE)
# How a check ends that happens to go by the address family which does not get through.
NOT_THROUGH = (Outcome.TLS_TIMEOUT, Outcome.TLS_FAILED, Outcome.CONNECTION_TIMEOUT, Outcome.CONNECTION_LOST)


class Fact(Enum):
    """What a check or a layer found beyond its outcome; a closed set, so that verdicts can be rules over it."""

    # What stands at the place of the URL or the token.
    PLACEHOLDER = "placeholder"  # `undefined`, `your-token-here`
    MASKED = "masked"  # asterisks or bullets, copied from a field that hides its value
    SWAPPED = "swapped"  # the URL in the token's place and the token in the URL's
    REDIS_PORT_IN_URL = "redis_port_in_url"  # 6379 behind an Upstash host: REST is on 443
    TOKEN_IS_READ_ONLY = "token_is_read_only"
    TOKEN_OF_ANOTHER_DATABASE = "token_of_another_database"
    TOKEN_IS_A_PASSWORD = "token_is_a_password"  # 32 hex digits: an old database's TCP password
    NEWLINE_AROUND_TOKEN = "newline_around_token"  # URL parsers drop it, so TCP works where REST does not
    # What the network showed.
    NAME_FILTERED = "name_filtered"  # a public name leads to 0.0.0.0 or 127.0.0.1
    IPV4_FAILS = "ipv4_fails"  # one address family does not get through TLS while the other does
    IPV6_FAILS = "ipv6_fails"
    NOT_TLS = "not_tls"  # the port does not speak TLS
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    CERTIFICATE_OUT_OF_DATE = "certificate_out_of_date"  # expired, or not valid yet
    CERTIFICATE_OF_ANOTHER_NAME = "certificate_of_another_name"
    CERTIFICATE_ENDS_SOON = "certificate_ends_soon"
    NETWORK_REACHED = "network_reached"  # somebody else answers, where the database failed on the network
    NOTHING_REACHED = "nothing_reached"  # no connectivity host answers either, and none has within the last day
    ANSWERED_LATELY = "answered_lately"  # a connectivity host, within the last day, and none does now
    # What answered in place of an Upstash database.
    WALL = "wall"  # a 401 page, or one that is no Upstash answer: a proxy's or a portal's
    PROXY_ASKS_LOGIN = "proxy_asks_login"  # 407
    PORTAL = "portal"  # 511: a network that asks to log in first
    BLOCKED_BY_LAW = "blocked_by_law"  # 451
    REDIRECT_TO_HTTPS = "redirect_to_https"  # of the same host
    REDIRECT = "redirect"
    # What the database's error text told.
    USER_MAY_BE_DISABLED = "user_may_be_disabled"  # the WRONGPASS text that names a user
    BANDWIDTH = "bandwidth"
    DAILY_LIMIT = "daily_limit"
    TOO_LARGE = "too_large"  # request, record or key
    NOT_OVER_REST = "not_over_rest"  # a command that REST does not have
    UNKNOWN_TEXT = "unknown_text"  # on nobody's list
    # What found the trouble, where PING over REST was fine.
    FOUND_BY_CANARY = "found_by_canary"
    FOUND_BY_WORKER = "found_by_worker"  # the worker's connection, where it is checked too
    WORKER_ANSWERS = "worker_answers"  # where it is checked too and REST fails
    WORKER_FAILS_TOO = "worker_fails_too"
    # What the canary met.
    KEY_NOT_ALLOWED = "key_not_allowed"  # NOPERM for the canary's own key, not for the command
    DELETE_NOT_ALLOWED = "delete_not_allowed"
    READING_NOT_ALLOWED = "reading_not_allowed"  # NOPERM for GET, where SET was allowed
    # The worker's way.
    WORKER_AUTH_REJECTED = "worker_auth_rejected"
    WORKER_AS_READ_ONLY = "worker_as_read_only"  # rejected for `default`, accepted for `default_ro`
    WORKER_URL_BROKEN = "worker_url_broken"  # what a worker builds from the values leads to no host or another
    WORKER_NOT_CONNECTED = "worker_not_connected"  # no TCP connection stood
    WORKER_PORT_ACCEPTS = "worker_port_accepts"  # one stood, though not all went well after it, or was tried
    WORKER_NOT_ENCRYPTED = "worker_not_encrypted"  # TCP stood, TLS did not
    WORKER_ON_LEGACY_PORT = "worker_on_legacy_port"
    # What Upstash and the platform say.
    TROUBLE_POSTED = "trouble_posted"
    CONSOLE_HAS_NO_SUCH_DATABASE = "console_has_no_such_database"
    CONSOLE_TOKEN_DIFFERS = "console_token_differs"
    CONSOLE_TOKEN_IS_OURS = "console_token_is_ours"
    CONSOLE_HIDES_TOKEN = "console_hides_token"  # credential protection
    CONSOLE_SUSPENDED = "console_suspended"
    CONSOLE_ALLOWLIST = "console_allowlist"
    CONSOLE_COMMANDS_USED_UP = "console_commands_used_up"
    CONSOLE_BANDWIDTH_USED_UP = "console_bandwidth_used_up"
    CONSOLE_STORAGE_FULL = "console_storage_full"
    WORKER_VARIABLE_MISSING = "worker_variable_missing"
    WORKER_VARIABLE_SEALED = "worker_variable_sealed"
    WORKER_VARIABLE_STAGED = "worker_variable_staged"  # set, but the running deployment has another value
    WORKER_VARIABLE_DIFFERS = "worker_variable_differs"  # from what this process sees
    WORKER_VARIABLE_IS_THE_CONSOLES = "worker_variable_is_the_consoles"
    # The worker's token was tried with the database. An ACL user's differs from the console's by design.
    WORKER_HAS_ANOTHER_TOKEN = "worker_has_another_token"  # than here and in the console, and it is accepted
    WORKER_TOKEN_REFUSED = "worker_token_refused"
    WORKER_USER_MAY_BE_DISABLED = "worker_user_may_be_disabled"  # the same, in words that fit a user switched off
    WORKER_USES_ANOTHER_DATABASE = "worker_uses_another_database"  # its URL's host is another, and accepts it


class ProbeFault(Enum):
    """What ended a probe before a whole answer was there."""

    DNS_NOT_FOUND = "dns_not_found"
    DNS_FAILED = "dns_failed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_TIMEOUT = "tls_timeout"
    TLS = "tls"
    LOST = "lost"
    RESPONSE_TIMEOUT = "response_timeout"
    NOT_HTTP = "not_http"
    OVERSIZED = "oversized"
    OURS = "ours"  # a limit of this process or machine; nothing is known of the other side


@dataclass(frozen=True, kw_only=True, slots=True)
class Phases:
    """Milliseconds each part of a check took; `None` for a part that was not reached or not finished."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    wait: float | None = None
    read: float | None = None
    total: float | None = None

    @property
    def latency_ms(self) -> float | None:
        """Request sent to last byte, what an application with a warm connection feels."""
        if self.wait is None or self.read is None:
            return None
        return self.wait + self.read


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What came back from one request, not yet judged.

    `fault` is set when no whole answer arrived; `description` then tells in a few words what was seen.
    `error_text` is the text of an Upstash-shaped `{"error": …}` body.
    `as_expected` means that the body held exactly the value that was asked for; `content_type` is noted if not.
    `other_value` is set where it held a whole answer of Upstash's shape with another one: `null`, `another value`.
    `facts` are what the network or the answer showed beside it; `certificate_ends_at` is `None` without TLS.
    Secrets are already taken out of every text in here.
    """

    phases: Phases = Phases()
    fault: ProbeFault | None = None
    facts: frozenset[Fact] = frozenset()
    http_status: int | None = None
    certificate_ends_at: datetime | None = None
    error_text: str | None = None
    as_expected: bool = False
    other_value: str = ""
    content_type: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryResult:
    """What came of the last key that was written, read back and deleted; `facts` as in a check."""

    sent_at: datetime
    outcome: Outcome
    detail: str = ""
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check with its outcome, as it is stored and counted. `canary` is set when it wrote a key.

    `facts` are what the verdict asks for beside the outcome; they are stored of the latest check only, as is
    `certificate_ends_at`, which is `None` where no TLS connection stood.
    """

    database: str
    at: datetime
    outcome: Outcome
    detail: str = ""
    http_status: int | None = None
    phases: Phases = Phases()
    canary: CanaryResult | None = None
    facts: frozenset[Fact] = frozenset()
    certificate_ends_at: datetime | None = None

    @property
    def latency_ms(self) -> float | None:
        return self.phases.latency_ms


def is_up(family: Family) -> bool | None:
    """True where the database can be used, `None` where nothing is known."""
    return None if family is Family.UNKNOWN else not family.is_failing


def certificate_ends_soon(ends_at: datetime | None, now: datetime) -> bool:
    """True within 14 days of the end; `None` is a certificate that was not seen."""
    return ends_at is not None and ends_at - now < _CERTIFICATE_ENDS_SOON


def with_certificate(check: Check, ends_at: datetime | None, now: datetime) -> Check:
    """The check with the fact that the certificate ends soon, where that is the only thing to tell of it."""
    if check.outcome is not Outcome.OK or not certificate_ends_soon(ends_at, now):
        return check
    return replace(check, facts=check.facts | {Fact.CERTIFICATE_ENDS_SOON})


def describe_certificate_end(ends_at: datetime, now: datetime) -> str:
    """`the certificate ends in 13 days (2026-12-11)`."""
    days = (ends_at - now).days
    when = "within a day" if days < 1 else f"in {days} day{'' if days == 1 else 's'}"
    return f"the certificate ends {when} ({ends_at.astimezone(UTC):%Y-%m-%d})"
