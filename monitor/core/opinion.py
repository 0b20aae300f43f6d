"""What the doctor's ladder adds to the message that opens an incident.

Verdicts are given in `verdicts`; here is only whether one fits the incident at hand, and the ladder in one line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from monitor.core.ladder import Ladder, Rung, State
from monitor.core.notice import Notice
from monitor.core.observation import Family, Outcome
from monitor.core.verdict import Code, Verdict

# These say no more than the incident's own cause does.
_SAYS_NOTHING_NEW = (
    Code.AS_THE_OUTCOME_SAYS,
    Code.VARIABLE_MISSING,
    Code.VALUE_MALFORMED,
    Code.NOT_KNOWN,
    Code.ALL_GOOD,
    Code.SLOW,
)
# Seen by the canary alone: the ladder of an alert does not write, but the console may know.
_ABOUT_LIMITS = (Code.SUSPENDED, Code.QUOTA_BEHIND_PING, Code.DATABASE_FULL)
_SIGNS = {State.PASSED: "✓", State.FAILED: "✗", State.SKIPPED: "–", State.UNKNOWN: "?"}
_SHORT = {
    Rung.CONNECTION: "connection",
    Rung.HTTP: "HTTP",
    Rung.WORKER: "rediss://",
    Rung.STATUS_PAGE: "status page",
    Rung.CONSOLE: "console",
    Rung.PLATFORM: "Railway",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """A ladder and the verdict on it."""

    ladder: Ladder
    verdict: Verdict


def explain(notice: Notice, opinion: Opinion) -> Notice:
    """The notice with the ladder in one line and, where it is about this very trouble, the verdict.

    A database that is fine again by then, or fails in another way, keeps the advice for its cause.
    """
    told = replace(notice, rungs=_in_one_line(opinion.ladder))
    verdict = opinion.verdict
    if notice.cause is None or verdict.code in _SAYS_NOTHING_NEW or not _is_about(notice.cause, opinion):
        return told
    return replace(told, verdict=verdict.says, whose_move=verdict.whose_move, steps=verdict.next_steps)


def _is_about(cause: Outcome, opinion: Opinion) -> bool:
    ladder = opinion.ladder
    seen = ladder.outcome() or ladder.at(Rung.WORKER).outcome
    if seen is not None:
        return seen.family is cause.family
    return cause.family is Family.QUOTA and opinion.verdict.code in _ABOUT_LIMITS


def _in_one_line(ladder: Ladder) -> str:
    """`configuration ✓ · lookup ✓ · token ✗`; what does not apply is left out."""
    return " · ".join(
        f"{_SHORT.get(seen.rung, seen.rung.words)} {_SIGNS[seen.state]}"
        for seen in ladder.rungs
        if seen.state in _SIGNS
    )
