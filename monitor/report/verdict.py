"""Which verdict is shown beside a check: what was told of its incident, or what the check alone shows."""

from __future__ import annotations

from monitor.checks.observation import Check, Outcome
from monitor.diagnosis.verdicts import DatabaseProfile, Verdict, judge_outcome


def verdict_shown(check: Check, told: Verdict | None, profile: DatabaseProfile) -> Verdict:
    """The verdict to show beside a check: that `told` of its open incident, where it is of the same trouble."""
    if told is not None and told.outcome is not None and told.outcome.family is check.outcome.family:
        return told
    if check.outcome is Outcome.OK and not check.facts:
        return judge_outcome(check.outcome, profile)
    # Half a megabyte that a check which finds nothing does without.
    from monitor.diagnosis.rules import judge_check

    return judge_check(check, profile)
