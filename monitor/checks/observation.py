"""What a check saw and what it ended in: observation, phases, outcome, family."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


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
    DNS_NOT_FOUND = "dns_not_found"
    DNS_FAILED = "dns_failed"
    CONNECTION_REFUSED = "connection_refused"
    NETWORK_UNREACHABLE = "network_unreachable"
    CONNECTION_TIMEOUT = "connection_timeout"
    TLS_FAILED = "tls_failed"
    CONNECTION_LOST = "connection_lost"
    RESPONSE_TIMEOUT = "response_timeout"
    SERVER_ERROR = "server_error"
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
    Outcome.DNS_NOT_FOUND: Family.NETWORK,
    Outcome.DNS_FAILED: Family.NETWORK,
    Outcome.CONNECTION_REFUSED: Family.NETWORK,
    Outcome.NETWORK_UNREACHABLE: Family.NETWORK,
    Outcome.CONNECTION_TIMEOUT: Family.NETWORK,
    Outcome.TLS_FAILED: Family.NETWORK,
    Outcome.CONNECTION_LOST: Family.NETWORK,
    Outcome.RESPONSE_TIMEOUT: Family.NETWORK,
    Outcome.SERVER_ERROR: Family.SERVICE,
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
    Outcome.TLS_FAILED: "TLS failed",
    Outcome.NOT_UPSTASH: "not an Upstash answer",
    Outcome.MONITOR_ERROR: "monitor error",
    Outcome.OFFLINE: "monitor offline",
    Outcome.CAPACITY_FULL: "database full",
    Outcome.SUSPENDED: "database suspended",
}


class ProbeFault(Enum):
    """What ended a probe before a whole answer was there."""

    DNS_NOT_FOUND = "dns_not_found"
    DNS_FAILED = "dns_failed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    LOST = "lost"
    RESPONSE_TIMEOUT = "response_timeout"
    NOT_HTTP = "not_http"
    OVERSIZED = "oversized"


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
    Secrets are already taken out of every text in here.
    """

    phases: Phases = Phases()
    fault: ProbeFault | None = None
    http_status: int | None = None
    error_text: str | None = None
    as_expected: bool = False
    content_type: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryResult:
    """What came of the last key that was written, read back and deleted."""

    sent_at: datetime
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check with its outcome, as it is stored and counted. `canary` is set when it wrote a key."""

    database: str
    at: datetime
    outcome: Outcome
    detail: str = ""
    http_status: int | None = None
    phases: Phases = Phases()
    canary: CanaryResult | None = None

    @property
    def latency_ms(self) -> float | None:
        return self.phases.latency_ms


def is_up(family: Family) -> bool | None:
    """True where the database can be used, `None` where nothing is known."""
    return None if family is Family.UNKNOWN else not family.is_failing
