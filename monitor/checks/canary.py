"""When a check also writes a key, reads it back and deletes it, and what a check means that does not.

PING alone is fine on a full database, with a spent quota and with a read-only token; the canary finds those
(docs/decisions/0001-ping-and-canary.md). What is sent is the business of `probes/upstash`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.observation import CanaryResult, Family, Observation, Outcome
from monitor.lib.text import one_line
from monitor.lib.times import format_duration

# A canary that failed is repeated so often, if its own pause is not shorter: each costs three billed commands.
RETRY_AFTER = timedelta(minutes=1)


def is_due(
    last: CanaryResult | None, now: datetime, *, every: timedelta, interval: timedelta, is_in_doubt: bool
) -> bool:
    """True when the check at `now` should write. `interval` is the pause between checks.

    After one that failed the next comes with the next check while that decides something, else within a minute.
    """
    if last is None or now < last.sent_at:
        return True
    # Looks do not come to the millisecond; one that is half an interval early is nearer than the next.
    if now - last.sent_at >= every - min(interval, every) / 2:
        return True
    if not last.outcome.family.is_failing:
        return False
    return is_in_doubt or now - last.sent_at >= RETRY_AFTER


def with_failed_canary(last: CanaryResult, now: datetime) -> CheckResult:
    """What a fine PING means while the last canary failed: the database is not fine."""
    age = format_duration(max(timedelta(0), now - last.sent_at))
    return CheckResult(
        outcome=last.outcome, detail=one_line(f"PING answers; {age} ago {last.detail}", DETAIL_LIMIT)
    )


_GOES_BY_ITSELF = "; the key goes by itself within a minute"


def judge_canary(steps: Mapping[str, Observation]) -> CheckResult:
    """What `RestProbe.write` means: the first step that was not fine, by name, or that all were."""
    for step, observation in steps.items():
        result = classify(observation, slow=None)
        if result.outcome is not Outcome.OK:
            rest = _GOES_BY_ITSELF if step == "DEL" else ""
            return CheckResult(outcome=result.outcome, detail=f"{step}: {result.detail}{rest}")
    return CheckResult(outcome=Outcome.OK, detail="a key was written, read back and deleted")


def combine(rest: CheckResult, worker: CheckResult) -> CheckResult:
    """What both say together. REST's word counts where REST fails; the difference stands in the detail."""
    worker_fails = worker.outcome.family.is_failing
    if rest.outcome.family is Family.UNKNOWN:
        return rest
    if not rest.outcome.family.is_failing:
        if not worker_fails:
            return rest
        return CheckResult(
            outcome=worker.outcome,
            detail=one_line(f"REST answers, rediss:// does not: {_words(worker)}", DETAIL_LIMIT),
        )
    if not worker_fails:
        said = "rediss:// answers"
    elif worker.outcome is rest.outcome:
        said = "rediss:// the same"
    else:
        said = one_line(f"rediss://: {_words(worker)}", DETAIL_LIMIT // 2)
    # The difference is the news: a long text makes room for it.
    return CheckResult(
        outcome=rest.outcome, detail=f"{one_line(_words(rest), DETAIL_LIMIT - len(said) - 2)}; {said}"
    )


def _words(result: CheckResult) -> str:
    return result.detail or result.outcome.words
