"""The outcome of an observation: known error texts first, then the HTTP status, then whatever else came."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from monitor.checks.error_texts import known_error
from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.lib.text import one_line

DETAIL_LIMIT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """An outcome, a detail (in one short line without secrets, what was seen), and facts for the verdict.

    The detail is shown behind the outcome's words and repeats none of them; it is empty where it would.
    """

    outcome: Outcome
    detail: str = ""
    facts: frozenset[Fact] = frozenset()

    @property
    def summary(self) -> str:
        """The outcome's words and the detail, for where no outcome stands beside it."""
        return f"{self.outcome.words}: {self.detail}" if self.detail else self.outcome.words


# Redis and Upstash begin an error with a word in capitals: ERR, WRONGTYPE, LOADING, MISCONF.
_REDIS_ERROR = re.compile(r"^-?[A-Z]{3,}\s")
_NO_FACTS: frozenset[Fact] = frozenset()

_FAULTS = {
    ProbeFault.DNS_NOT_FOUND: Outcome.DNS_NOT_FOUND,
    ProbeFault.DNS_FAILED: Outcome.DNS_FAILED,
    ProbeFault.REFUSED: Outcome.CONNECTION_REFUSED,
    ProbeFault.UNREACHABLE: Outcome.NETWORK_UNREACHABLE,
    ProbeFault.CONNECT_TIMEOUT: Outcome.CONNECTION_TIMEOUT,
    ProbeFault.TLS_TIMEOUT: Outcome.TLS_TIMEOUT,
    ProbeFault.TLS: Outcome.TLS_FAILED,
    ProbeFault.LOST: Outcome.CONNECTION_LOST,
    ProbeFault.RESPONSE_TIMEOUT: Outcome.RESPONSE_TIMEOUT,
    ProbeFault.NOT_HTTP: Outcome.NOT_UPSTASH,
    ProbeFault.OVERSIZED: Outcome.NOT_UPSTASH,
    ProbeFault.OURS: Outcome.MONITOR_ERROR,
}
# With these a status line that did arrive says more than the broken rest of the answer.
_STATUS_OUTRANKS = (ProbeFault.LOST, ProbeFault.NOT_HTTP, ProbeFault.OVERSIZED)
# What stands between us and the database answers with these, whatever it writes below.
_WALLS = {
    HTTPStatus.FORBIDDEN: _NO_FACTS,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: frozenset({Fact.PROXY_ASKS_LOGIN}),
    HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS: frozenset({Fact.BLOCKED_BY_LAW}),
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: frozenset({Fact.PORTAL}),
}
_HTML = ("text/html", "application/xhtml+xml")


def classify(observation: Observation, *, slow: timedelta | None) -> CheckResult:
    """Return the one outcome of a check; raises nothing. `slow` is the database's limit, if it has one."""
    status = observation.http_status
    if observation.fault is not None:
        by_status = _by_status(status) if observation.fault in _STATUS_OUTRANKS else None
        result = by_status or CheckResult(outcome=_FAULTS[observation.fault])
        return _completed(result, observation, observation.description, status if by_status else None)
    if observation.error_text is not None:
        return _by_text(observation, observation.error_text)
    # rediss:// has no status: there the value alone decides.
    if status in (HTTPStatus.OK, None) and observation.as_expected:
        return by_latency(observation.phases.latency_ms, slow)
    result = _by_status(status) or CheckResult(outcome=Outcome.NOT_UPSTASH, facts=_wall(observation))
    return _completed(result, observation, observation.description, status)


def by_latency(latency_ms: float | None, slow: timedelta | None) -> CheckResult:
    """What an answer as it should be is with that limit: fine or slow."""
    if slow is None or latency_ms is None or latency_ms <= slow / timedelta(milliseconds=1):
        return CheckResult(outcome=Outcome.OK)
    limit_ms = slow / timedelta(milliseconds=1)
    return CheckResult(
        outcome=Outcome.SLOW, detail=f"answered in {latency_ms:.0f} ms, the limit is {limit_ms:g} ms"
    )


def _by_text(observation: Observation, text: str) -> CheckResult:
    """What the text of `{"error": …}` means, or the status it came with where nobody knows the text."""
    status = observation.http_status
    known = known_error(text)
    if known is not None:
        return _completed(CheckResult(outcome=known.outcome, facts=known.facts), observation, text, None)
    if status == HTTPStatus.UNAUTHORIZED:
        return _completed(CheckResult(outcome=Outcome.TOKEN_REJECTED), observation, text, status)
    by_status = _by_status(status)
    if by_status is not None:
        return _completed(by_status, observation, text, status)
    is_plain = status in (None, HTTPStatus.OK, HTTPStatus.BAD_REQUEST) and text.strip()
    if is_plain or _REDIS_ERROR.match(text.strip()):
        unknown = CheckResult(outcome=Outcome.COMMAND_ERROR, facts=frozenset({Fact.UNKNOWN_TEXT}))
        return _completed(unknown, observation, text, None)
    return _completed(CheckResult(outcome=Outcome.NOT_UPSTASH), observation, text, status)


def _by_status(status: int | None) -> CheckResult | None:
    """What a status means by itself; `None` where that depends on what stands below it, as with a 401."""
    if status is None:
        return None
    if status in _WALLS:
        return CheckResult(outcome=Outcome.ACCESS_DENIED, facts=_WALLS[HTTPStatus(status)])
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return CheckResult(outcome=Outcome.RATE_LIMITED)
    is_5xx = HTTPStatus.INTERNAL_SERVER_ERROR <= status <= 599
    return CheckResult(outcome=Outcome.SERVER_ERROR) if is_5xx else None


def _wall(observation: Observation) -> frozenset[Fact]:
    """A 401 that is not Upstash's, or a page in place of an answer: somebody wants a person to log in."""
    status = observation.http_status
    is_page = status == HTTPStatus.OK and observation.content_type in _HTML
    return frozenset({Fact.WALL}) if is_page or status == HTTPStatus.UNAUTHORIZED else _NO_FACTS


def _completed(result: CheckResult, observation: Observation, text: str, status: int | None) -> CheckResult:
    """The result with the text, shortened and behind the HTTP status where that says more, and with all facts."""
    line = one_line(text, DETAIL_LIMIT)
    if status is not None:
        line = one_line(f"HTTP {status}: {line}" if line else f"HTTP {status}", DETAIL_LIMIT)
    return CheckResult(outcome=result.outcome, detail=line, facts=result.facts | observation.facts)
