"""When a check also writes a key, reads it back and deletes it, what the results mean together, and what it costs.

PING alone is fine on a full database, with a spent quota and with a read-only token; the canary finds those
(docs/decisions/0001-ping-and-canary.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.observation import CanaryResult, Fact, Family, Observation, Outcome, ProbeFault
from monitor.lib.text import one_line
from monitor.lib.times import format_duration

# How often a canary that failed is repeated, if its own pause is not shorter: each costs three billed commands.
RETRY_AFTER = timedelta(minutes=1)
_FINDING_RETRY_AFTER = timedelta(hours=1)
_NO_CONNECTION = (ProbeFault.REFUSED, ProbeFault.UNREACHABLE, ProbeFault.CONNECT_TIMEOUT, ProbeFault.LOST)
_CERTIFICATE = frozenset(
    {Fact.CERTIFICATE_UNTRUSTED, Fact.CERTIFICATE_OUT_OF_DATE, Fact.CERTIFICATE_OF_ANOTHER_NAME}
)
_OF_PORT = frozenset({Fact.WORKER_NOT_CONNECTED, Fact.WORKER_PORT_ACCEPTS})
_FIRST_OF_THE_DAY = timedelta(minutes=5)
# Redis 6 to 7.0: "this user has no permissions to access one of the keys used as arguments"; since 7.2 "No
# permissions to access a key", or, where it is explained, "User U has no permissions to access the 'K' key".
_KEY_REFUSED = re.compile(
    r"-?noperm\b.*\bpermissions? to access (?:one of the|any of the|a|the '.*') keys?\b", re.IGNORECASE | re.DOTALL
)


def may_be_first(started_at: datetime, *, is_forgotten: bool) -> bool:
    """True when a one-shot check that began at `started_at` may write where no canary is remembered.

    Where everything `is_forgotten` with the end of the run each one would. There only runs that begin in the first
    five minutes of the UTC day do; a schedule may have none or two of them.
    """
    started_at = started_at.astimezone(UTC)
    midnight = started_at.replace(hour=0, minute=0, second=0, microsecond=0)
    return not is_forgotten or started_at - midnight < _FIRST_OF_THE_DAY


def is_due(
    last: CanaryResult | None, now: datetime, *, every: timedelta, interval: timedelta, is_in_doubt: bool
) -> bool:
    """True when the check at `now` should write. `interval` is the pause between checks.

    After one that failed the next comes with the next check while that decides something, else within a minute.
    After one whose key was not allowed it comes within the hour: somebody may have followed our advice.
    """
    if last is None or now < last.sent_at:
        return True
    # Checks do not come to the millisecond; one that is half an interval early is nearer than the next.
    if now - last.sent_at >= every - min(interval, every) / 2:
        return True
    if not last.outcome.family.is_failing:
        return Fact.KEY_NOT_ALLOWED in last.facts and now - last.sent_at >= _FINDING_RETRY_AFTER
    return is_in_doubt or now - last.sent_at >= RETRY_AFTER


def judge_canary(steps: Mapping[str, Observation]) -> CheckResult:
    """What the commands of `RestProbe.write` came to: the first that was not fine, by name, or that all were.

    Where the token may write other keys than the canary's nothing was found out about the database: the outcome is
    `ok`, and the fact says so. A key that may not be deleted shows no trouble either: it expires.
    """
    results = {command: classify(observation, slow=None) for command, observation in steps.items()}
    for command, result in results.items():
        observation = steps[command]
        # A SET that answered null is followed by a GET, which shows whether the key was written.
        is_left_to_get = command == "SET" and bool(observation.other_value) and "GET" in steps
        if result.outcome is Outcome.OK or is_left_to_get:
            continue
        get = results.get("GET")
        if command == "SET" and get is not None and result.outcome is get.outcome is Outcome.PERMISSION_DENIED:
            # The worse of the two, as the doctor finds it, who reads before it writes.
            detail = one_line(f"SET: {result.detail}; GET: {get.detail}", DETAIL_LIMIT)
            if not is_key_refused(steps["GET"]):
                return replace(get, detail=detail, facts=get.facts | {Fact.READING_NOT_ALLOWED})
        if command != "DEL" and is_key_refused(observation):
            return key_refused(f"{command}: {result.detail}")
        if command == "DEL" and result.outcome is Outcome.PERMISSION_DENIED:
            detail = f"a key was written and read back, and expires within a minute; DEL: {result.detail}"
            return _without_trouble(Fact.DELETE_NOT_ALLOWED, detail)
        if command == "GET" and observation.other_value and observation.http_status in (HTTPStatus.OK, None):
            before = "SET: null; " if steps["SET"].other_value else ""
            detail = f"{before}GET: {observation.other_value} in place of what was written"
            return CheckResult(outcome=Outcome.STALE_READ, detail=detail)
        rest = "; the key expires within a minute" if command == "DEL" else ""
        detail = f"{command}: {result.detail}" if result.detail else command
        is_unread = command == "GET" and result.outcome is Outcome.PERMISSION_DENIED
        facts = result.facts | {Fact.READING_NOT_ALLOWED} if is_unread else result.facts
        return replace(result, detail=f"{detail}{rest}", facts=facts)
    return CheckResult(outcome=Outcome.OK, detail="a key was written, read back and deleted")


def is_key_refused(observation: Observation) -> bool:
    """True for a refusal of the key; the command itself is allowed, since Redis asks for that first."""
    return observation.error_text is not None and _KEY_REFUSED.match(observation.error_text.strip()) is not None


def key_refused(text: str) -> CheckResult:
    """The canary's own key may not be touched, as this error text says: no trouble of the database."""
    return _without_trouble(Fact.KEY_NOT_ALLOWED, f"the canary's key is not allowed: {text}")


def with_finding(ping: CheckResult, canary: CheckResult) -> CheckResult:
    """A PING that was fine or slow, with what the canary found that is no trouble of the database."""
    if not canary.facts:
        return ping
    detail = "; ".join(filter(None, (ping.detail, canary.detail)))
    return replace(ping, detail=one_line(detail, DETAIL_LIMIT), facts=ping.facts | canary.facts)


def remember(result: CheckResult, at: datetime, last: CanaryResult | None) -> CanaryResult:
    """What is remembered of a canary that was sent at `at`, after `last`.

    One whose key is not allowed tells nothing, so that a trouble found before still stands. Only a command that
    was refused is allowed by then, or Redis would not have come to the key.
    """
    sent = CanaryResult(sent_at=at, outcome=result.outcome, detail=result.detail, facts=result.facts)
    if (
        last is None
        or Fact.KEY_NOT_ALLOWED not in result.facts
        or not last.outcome.family.is_failing
        or last.outcome is Outcome.PERMISSION_DENIED
    ):
        return sent
    detail = last.detail
    if Fact.KEY_NOT_ALLOWED not in last.facts:
        detail = one_line(f"by now the canary's key is not allowed; before: {detail}", DETAIL_LIMIT)
    return replace(last, sent_at=at, detail=detail, facts=last.facts | result.facts)


def with_failed_canary(last: CanaryResult, now: datetime) -> CheckResult:
    """What a fine PING means while the last canary failed: the database is not fine."""
    age = format_duration(max(timedelta(0), now - last.sent_at))
    detail = one_line(f"PING answers; {age} ago {last.detail}", DETAIL_LIMIT)
    return CheckResult(outcome=last.outcome, detail=detail, facts=last.facts)


def judge_worker(observation: Observation) -> CheckResult:
    """What an attempt over `rediss://` came to, with the facts that tell it from the same trouble of REST."""
    result = classify(observation, slow=None)
    phases, fault = observation.phases, observation.fault
    facts: set[Fact] = set()
    if phases.connect is None and fault in _NO_CONNECTION:
        facts.add(Fact.WORKER_NOT_CONNECTED)
    if phases.connect is not None and result.outcome is not Outcome.OK:
        facts.add(Fact.WORKER_PORT_ACCEPTS)
    # An error that is told in plain says more, and so does a certificate that came and was not believed.
    if phases.connect is not None and phases.tls is None and fault is not None and not result.facts & _CERTIFICATE:
        facts.add(Fact.WORKER_NOT_ENCRYPTED)
    if result.outcome is Outcome.TOKEN_REJECTED:
        facts.add(Fact.WORKER_AUTH_REJECTED)
    return replace(result, facts=result.facts | facts)


def combine(rest: CheckResult, worker: CheckResult) -> CheckResult:
    """One result of REST and of `rediss://`: where REST fails, that counts. The detail names the difference."""
    worker_fails = worker.outcome.family.is_failing
    if rest.outcome.family is Family.UNKNOWN:
        return rest
    if not rest.outcome.family.is_failing:
        if not worker_fails:
            return rest
        detail = "REST answers, rediss:// does not" + (f": {worker.detail}" if worker.detail else "")
        facts = worker.facts | rest.facts | {Fact.FOUND_BY_WORKER}
        return replace(worker, detail=one_line(detail, DETAIL_LIMIT), facts=facts)
    if not worker_fails:
        difference = "rediss:// answers"
    elif worker.outcome is rest.outcome:
        difference = "rediss:// the same"
    else:
        difference = one_line(f"rediss://: {worker.summary}", DETAIL_LIMIT // 2)
    # A long text of REST's is shortened, so that the difference is read.
    text = one_line(rest.detail, DETAIL_LIMIT - len(difference) - 2)
    fact = Fact.WORKER_FAILS_TOO if worker_fails else Fact.WORKER_ANSWERS
    facts = rest.facts | {fact} | worker.facts & _OF_PORT
    return replace(rest, detail=f"{text}; {difference}" if text else difference, facts=facts)


def _without_trouble(fact: Fact, detail: str) -> CheckResult:
    return CheckResult(outcome=Outcome.OK, detail=one_line(detail, DETAIL_LIMIT), facts=frozenset({fact}))


# PING and AUTH are not billed (docs: redis/troubleshooting and the pricing page's list of free commands); the
# canary's three are. The free plan is that of upstash.com/pricing.
MONTH = timedelta(days=30)
USUAL_SCHEDULE = timedelta(minutes=5)  # the least pause between two rounds that Railway and GitHub allow
FREE_PLAN_COMMANDS = 500_000
CANARY_COMMANDS = 3  # written, read back, deleted
STATE_COMMANDS = 2  # read at the start of a `check`, written at its end
CANARY_FINDS = "used-up commands, a full database and a read-only token"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Commands in 30 days.

    `confirmations` and `canary_retries` are the worst case beyond the ordinary ones: a database that is in doubt,
    and a canary that fails, all month.
    """

    checks: int
    confirmations: int
    canary: int
    canary_retries: int

    @property
    def billed(self) -> int:
        """What the schedule costs: checks and confirmations are PING, which is free."""
        return self.canary

    @property
    def sent(self) -> int:
        """Everything that may be sent, billed or not."""
        return self.checks + self.confirmations + self.canary + self.canary_retries


def budget(interval: timedelta, confirm_interval: timedelta, canary: timedelta | None) -> Budget:
    """The commands of one database."""
    checks = MONTH // interval
    canaries = 0 if canary is None else MONTH // max(canary, interval)
    retries = 0 if canary is None else MONTH // max(min(canary, RETRY_AFTER), interval) - canaries
    return Budget(
        checks=checks,
        confirmations=max(0, MONTH // min(interval, confirm_interval) - checks),
        canary=canaries * CANARY_COMMANDS,
        canary_retries=retries * CANARY_COMMANDS,
    )
