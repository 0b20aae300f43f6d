"""The outcome of an observation: known error texts first, then the HTTP status, then whatever else came.

The texts are Upstash's own (docs: redis/troubleshooting, and field reports where the docs are silent); tails vary,
prefixes do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.lib.text import one_line

DETAIL_LIMIT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """An outcome, a detail (in one short line without secrets, what was seen), and facts for the verdict."""

    outcome: Outcome
    detail: str = ""
    facts: frozenset[Fact] = frozenset()


_KNOWN_PREFIXES: tuple[tuple[str, Outcome], ...] = (
    ("wrongpass", Outcome.TOKEN_REJECTED),
    ("noauth", Outcome.TOKEN_REJECTED),
    ("noperm", Outcome.PERMISSION_DENIED),
    ("err max requests limit exceeded", Outcome.QUOTA_EXCEEDED),
    ("err max daily request limit exceeded", Outcome.QUOTA_EXCEEDED),
    ("err db capacity quota exceeded", Outcome.CAPACITY_FULL),
)
# Only the budget text is known word for word; the one for unpaid accounts is not documented.
_SUSPENDED = re.compile(r"\bsuspended\b")
# Redis and Upstash begin an error with a word in capitals: ERR, WRONGTYPE, LOADING, MISCONF.
_REDIS_ERROR = re.compile(r"^[A-Z][A-Z_]{2,}\b")

_FAULTS: dict[ProbeFault, tuple[Outcome, str]] = {
    ProbeFault.DNS_NOT_FOUND: (Outcome.DNS_NOT_FOUND, "the host name does not exist"),
    ProbeFault.DNS_FAILED: (Outcome.DNS_FAILED, "the resolver failed"),
    ProbeFault.REFUSED: (Outcome.CONNECTION_REFUSED, "connection refused"),
    ProbeFault.UNREACHABLE: (Outcome.NETWORK_UNREACHABLE, "no route to the host"),
    ProbeFault.CONNECT_TIMEOUT: (Outcome.CONNECTION_TIMEOUT, "no connection before the deadline"),
    ProbeFault.TLS_TIMEOUT: (Outcome.TLS_TIMEOUT, "the handshake did not end before the deadline"),
    ProbeFault.TLS: (Outcome.TLS_FAILED, "the TLS handshake failed"),
    ProbeFault.LOST: (Outcome.CONNECTION_LOST, "the connection was cut"),
    ProbeFault.RESPONSE_TIMEOUT: (Outcome.RESPONSE_TIMEOUT, "no whole answer before the deadline"),
    ProbeFault.NOT_HTTP: (Outcome.NOT_UPSTASH, "the answer is not HTTP"),
    ProbeFault.OVERSIZED: (Outcome.NOT_UPSTASH, "the answer is larger than 1 MiB"),
}
# With these a status line that did arrive says more than the broken rest of the answer.
_STATUS_OUTRANKS = (ProbeFault.LOST, ProbeFault.NOT_HTTP, ProbeFault.OVERSIZED)


def classify(observation: Observation, *, slow: timedelta | None) -> CheckResult:
    """Return the one outcome of a check; raises nothing. `slow` is the database's limit, if it has one."""
    status = observation.http_status
    if observation.fault is not None:
        outcome, words = _FAULTS[observation.fault]
        by_status = _by_status(status) if observation.fault in _STATUS_OUTRANKS else None
        detail = _behind_status(observation.description or words, status if by_status else None)
        return CheckResult(outcome=by_status or outcome, detail=detail)
    if observation.error_text is not None:
        outcome = _by_text(observation.error_text, status)
        is_clear = outcome is Outcome.COMMAND_ERROR or text_outcome(observation.error_text) is not None
        return CheckResult(
            outcome=outcome, detail=_behind_status(observation.error_text, None if is_clear else status)
        )
    # rediss:// has no status: there the value alone decides.
    if status in (HTTPStatus.OK, None) and observation.as_expected:
        return _by_latency(observation, slow)
    return CheckResult(
        outcome=_by_status(status) or Outcome.NOT_UPSTASH, detail=_behind_status(observation.description, status)
    )


def text_outcome(text: str) -> Outcome | None:
    """The outcome that an error text stands for by itself, whatever the HTTP status; `None` if unknown."""
    lowered = text.strip().lower()
    for prefix, outcome in _KNOWN_PREFIXES:
        if lowered.startswith(prefix):
            return outcome
    if lowered.rstrip(".") == "unauthorized":
        return Outcome.TOKEN_REJECTED
    return Outcome.SUSPENDED if _SUSPENDED.search(lowered) else None


def _by_latency(observation: Observation, slow: timedelta | None) -> CheckResult:
    latency_ms = observation.phases.latency_ms
    if slow is None or latency_ms is None or latency_ms <= slow / timedelta(milliseconds=1):
        return CheckResult(outcome=Outcome.OK)
    limit_ms = slow / timedelta(milliseconds=1)
    return CheckResult(
        outcome=Outcome.SLOW, detail=f"answered in {latency_ms:.0f} ms, the limit is {limit_ms:g} ms"
    )


def _by_text(text: str, status: int | None) -> Outcome:
    decided = text_outcome(text) or _by_status(status)
    if decided is not None:
        return decided
    if status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST) or _REDIS_ERROR.match(text.strip()):
        return Outcome.COMMAND_ERROR
    return Outcome.NOT_UPSTASH


def _by_status(status: int | None) -> Outcome | None:
    if status is None:
        return None
    if status == HTTPStatus.UNAUTHORIZED:
        return Outcome.TOKEN_REJECTED
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Outcome.RATE_LIMITED
    return Outcome.SERVER_ERROR if HTTPStatus.INTERNAL_SERVER_ERROR <= status <= 599 else None


def _behind_status(text: str, status: int | None) -> str:
    """The text, shortened, behind the HTTP status where that says more."""
    line = one_line(text, DETAIL_LIMIT)
    if status is None:
        return line
    return one_line(f"HTTP {status}: {line}" if line else f"HTTP {status}", DETAIL_LIMIT)
