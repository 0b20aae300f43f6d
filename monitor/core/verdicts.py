"""From a whole ladder to one verdict: a table, read from the top; the first row that fits is the verdict.

It asks for combinations of rungs and not for the first error alone. What a single outcome means stands in
`diagnosis`, and is the last resort here. docs/doctor.md has an entry for each row.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.core import rest_verdicts, worker_verdicts
from monitor.core.diagnosis import advise
from monitor.core.ladder import Ladder, Rung
from monitor.core.plugin import ExitStatus
from monitor.core.verdict import YOURS, Code, Verdict

_STATUS = {
    Code.ALL_GOOD: ExitStatus.OK,
    Code.SLOW: ExitStatus.WARNING,
    Code.OFFLINE: ExitStatus.UNKNOWN,
    Code.OTHER_DATABASE: ExitStatus.UNKNOWN,
    Code.NOT_KNOWN: ExitStatus.UNKNOWN,
}
# As in `check`: what is down outranks what is not known.
_PRECEDENCE = (ExitStatus.CRITICAL, ExitStatus.UNKNOWN, ExitStatus.WARNING)

TABLE = (*rest_verdicts.ROWS, *worker_verdicts.ROWS)


def judge(ladder: Ladder, *, service: str = "worker") -> Verdict:
    """The verdict on a ladder; every ladder has one. `service` is the name of the worker's service."""
    row = next((row for row in TABLE if row.fits(ladder)), None)
    if row is not None:
        return Verdict(
            code=row.code,
            says=row.says.replace("{service}", service),
            whose_move=row.whose_move,
            next_steps=tuple(step.replace("{service}", service) for step in row.next_steps),
        )
    outcome, which_way = ladder.outcome(), ""
    if outcome is None and ladder.failed(Rung.WORKER):
        outcome, which_way = ladder.at(Rung.WORKER).outcome, "REST works, but not the worker's way. "
    if outcome is None:
        return Verdict(
            code=Code.NOT_KNOWN,
            says="Not enough could be seen to say what is the matter.",
            whose_move=YOURS,
            next_steps=("Read the rungs above; run the doctor again when the network is back.",),
        )
    advice = advise(outcome)
    return Verdict(
        code=Code.AS_THE_OUTCOME_SAYS,
        says=which_way + advice.meaning,
        whose_move=advice.whose_move,
        next_steps=advice.next_steps,
    )


def worst_status(verdicts: Sequence[Verdict]) -> ExitStatus:
    """The exit status of the doctor, by the convention of `check`; unknown when there is no verdict."""
    found = {_STATUS.get(verdict.code, ExitStatus.CRITICAL) for verdict in verdicts}
    if not found:
        return ExitStatus.UNKNOWN
    return next((status for status in _PRECEDENCE if status in found), ExitStatus.OK)
