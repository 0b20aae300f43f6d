"""Two ways into one database, and the one thing that is said about them."""

from __future__ import annotations

import pytest

from monitor.checks.canary import combine
from monitor.checks.classify import DETAIL_LIMIT, CheckResult
from monitor.checks.observation import Fact, Outcome

FINE = CheckResult(outcome=Outcome.OK)
SLOW = CheckResult(outcome=Outcome.SLOW, detail="answered in 900 ms, the limit is 500 ms")
REFUSED = CheckResult(outcome=Outcome.CONNECTION_REFUSED)
REJECTED = CheckResult(outcome=Outcome.TOKEN_REJECTED, detail="WRONGPASS invalid or missing auth token")
WRONG_PASSWORD = CheckResult(outcome=Outcome.TOKEN_REJECTED, detail="WRONGPASS invalid username-password pair")
OFFLINE = CheckResult(outcome=Outcome.OFFLINE, detail="no connectivity host answers either")


@pytest.mark.parametrize(
    ("rest", "worker", "outcome", "detail"),
    [
        (FINE, FINE, Outcome.OK, ""),
        (SLOW, FINE, Outcome.SLOW, SLOW.detail),
        (FINE, REFUSED, Outcome.CONNECTION_REFUSED, "REST answers, rediss:// does not"),
        (SLOW, REFUSED, Outcome.CONNECTION_REFUSED, "REST answers, rediss:// does not"),
        (REJECTED, FINE, Outcome.TOKEN_REJECTED, f"{REJECTED.detail}; rediss:// answers"),
        (REJECTED, WRONG_PASSWORD, Outcome.TOKEN_REJECTED, f"{REJECTED.detail}; rediss:// the same"),
        (REJECTED, REFUSED, Outcome.TOKEN_REJECTED, f"{REJECTED.detail}; rediss://: connection refused"),
        (
            FINE,
            WRONG_PASSWORD,
            Outcome.TOKEN_REJECTED,
            f"REST answers, rediss:// does not: {WRONG_PASSWORD.detail}",
        ),
        (REFUSED, FINE, Outcome.CONNECTION_REFUSED, "rediss:// answers"),
        (REFUSED, REFUSED, Outcome.CONNECTION_REFUSED, "rediss:// the same"),
        (OFFLINE, REFUSED, Outcome.OFFLINE, OFFLINE.detail),
    ],
)
def test_the_difference_between_rest_and_rediss_is_named(
    rest: CheckResult, worker: CheckResult, outcome: Outcome, detail: str
) -> None:
    """REST's outcome counts where REST fails; what the other way says stands in the detail, and a fact with it."""
    only_the_worker = not rest.outcome.family.is_failing and worker.outcome.family.is_failing
    facts = frozenset({Fact.FOUND_BY_WORKER} if only_the_worker and outcome is worker.outcome else ())
    if rest.outcome.family.is_failing:
        worker_fails = worker.outcome.family.is_failing
        facts |= {Fact.WORKER_FAILS_TOO if worker_fails else Fact.WORKER_ANSWERS}
    assert combine(rest, worker) == CheckResult(outcome=outcome, detail=detail, facts=facts)


def test_the_detail_stays_one_short_line() -> None:
    """Two long details are still one, and the difference is not what is cut off."""
    long = CheckResult(outcome=Outcome.COMMAND_ERROR, detail="ERR " + "x" * (DETAIL_LIMIT - 4))
    assert len(combine(long, REFUSED).detail) == DETAIL_LIMIT
    assert combine(long, REFUSED).detail.endswith("…; rediss://: connection refused")
    assert combine(long, FINE).detail.endswith("…; rediss:// answers")
    assert len(combine(FINE, long).detail) == DETAIL_LIMIT
