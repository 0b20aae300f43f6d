"""When a check also writes a key, reads it back and deletes it, and what the results mean together.

PING alone is fine on a full database, with a spent quota and with a read-only token; the canary finds those
(docs/decisions/0010-the-canary.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.observation import CanaryResult, Fact, Family, Observation, Outcome
from monitor.lib.text import one_line
from monitor.lib.times import format_duration

# How often a canary that failed is repeated, if its own pause is not shorter: each costs three billed commands.
RETRY_AFTER = timedelta(minutes=1)


def is_due(
    last: CanaryResult | None, now: datetime, *, every: timedelta, interval: timedelta, is_in_doubt: bool
) -> bool:
    """True when the check at `now` should write. `interval` is the pause between checks.

    After one that failed the next comes with the next check while that decides something, else within a minute.
    """
    if last is None or now < last.sent_at:
        return True
    # Checks do not come to the millisecond; one that is half an interval early is nearer than the next.
    if now - last.sent_at >= every - min(interval, every) / 2:
        return True
    if not last.outcome.family.is_failing:
        return False
    return is_in_doubt or now - last.sent_at >= RETRY_AFTER


def judge_canary(steps: Mapping[str, Observation]) -> CheckResult:
    """What the commands of `RestProbe.write` came to: the first that was not fine, by name, or that all were."""
    for command, observation in steps.items():
        result = classify(observation, slow=None)
        if result.outcome is not Outcome.OK:
            rest = "; the key expires within a minute" if command == "DEL" else ""
            detail = f"{command}: {result.detail}" if result.detail else command
            return CheckResult(outcome=result.outcome, detail=f"{detail}{rest}", facts=result.facts)
    return CheckResult(outcome=Outcome.OK, detail="a key was written, read back and deleted")


def with_failed_canary(last: CanaryResult, now: datetime) -> CheckResult:
    """What a fine PING means while the last canary failed: the database is not fine."""
    age = format_duration(max(timedelta(0), now - last.sent_at))
    detail = one_line(f"PING answers; {age} ago {last.detail}", DETAIL_LIMIT)
    return CheckResult(outcome=last.outcome, detail=detail)


def combine(rest: CheckResult, worker: CheckResult) -> CheckResult:
    """One result of REST and of `rediss://`: where REST fails, that counts. The detail names the difference."""
    worker_fails = worker.outcome.family.is_failing
    if rest.outcome.family is Family.UNKNOWN:
        return rest
    if not rest.outcome.family.is_failing:
        if not worker_fails:
            return rest
        detail = "REST answers, rediss:// does not" + (f": {worker.detail}" if worker.detail else "")
        return replace(worker, detail=one_line(detail, DETAIL_LIMIT), facts=worker.facts | {Fact.FOUND_BY_WORKER})
    if not worker_fails:
        difference = "rediss:// answers"
    elif worker.outcome is rest.outcome:
        difference = "rediss:// the same"
    else:
        difference = one_line(f"rediss://: {worker.summary}", DETAIL_LIMIT // 2)
    # A long text of REST's is shortened, so that the difference is read.
    text = one_line(rest.detail, DETAIL_LIMIT - len(difference) - 2)
    return replace(rest, detail=f"{text}; {difference}" if text else difference)
