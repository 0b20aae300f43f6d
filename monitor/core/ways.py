"""One finding from two ways into the same database: REST, and `rediss://` as a worker goes.

Looking is done in `probes`; a whole ladder of rungs is judged in `verdicts`.
"""

from __future__ import annotations

from monitor.core.classify import DETAIL_LIMIT, Finding, shorten
from monitor.core.observation import Family


def combine(rest: Finding, worker: Finding) -> Finding:
    """What both say together. REST's word counts where REST fails; the difference stands in the detail."""
    worker_fails = worker.outcome.family.is_failing
    if rest.outcome.family is Family.UNKNOWN:
        return rest
    if not rest.outcome.family.is_failing:
        if not worker_fails:
            return rest
        return Finding(
            outcome=worker.outcome, detail=shorten(f"REST answers, rediss:// does not: {_words(worker)}")
        )
    if not worker_fails:
        said = "rediss:// answers"
    elif worker.outcome is rest.outcome:
        said = "rediss:// the same"
    else:
        said = shorten(f"rediss://: {_words(worker)}", DETAIL_LIMIT // 2)
    # The difference is the news: a long text makes room for it.
    return Finding(outcome=rest.outcome, detail=f"{shorten(_words(rest), DETAIL_LIMIT - len(said) - 2)}; {said}")


def _words(finding: Finding) -> str:
    return finding.detail or finding.outcome.words
