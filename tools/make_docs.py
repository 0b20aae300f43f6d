"""The pages of the documentation that are made from the program's own tables.

`python -m tools.make_docs` from the root of the project writes them; a test holds the files against the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import Advice, word
from monitor.diagnosis.verdicts import DatabaseProfile, HostKind, Platform, Verdict, VerdictCode
from tools.outcomes_page import outcomes_page

DOCS = Path(__file__).parents[1] / "docs"
# A database of Upstash's, read from the usual variables, with a worker on Railway.
USUAL = DatabaseProfile(
    database="main",
    url_variable="UPSTASH_REDIS_REST_URL",
    token_variable="UPSTASH_REDIS_REST_TOKEN",  # noqa: S106 - the name of a variable
    service="worker",
    platform=Platform.RAILWAY,
    proxy_variable="HTTPS_PROXY",
    canary_prefix="upstash-monitor:canary:",
)
# As the codes without words of their own are told.
_OUTCOMES = {
    VerdictCode.VARIABLE_MISSING: Outcome.TOKEN_MISSING,
    VerdictCode.VALUE_MALFORMED: Outcome.TOKEN_MALFORMED,
    VerdictCode.WORKER_FAILS: Outcome.TLS_FAILED,
    VerdictCode.AS_THE_OUTCOME_SAYS: Outcome.SERVER_ERROR,
}
# The words where the database says so itself.
_BY_ITSELF = dict.fromkeys((VerdictCode.SUSPENDED, VerdictCode.SUSPENDED_FOR_BANDWIDTH), Outcome.SUSPENDED)
_PROFILES = {
    VerdictCode.PRIVATE_NAME: replace(USUAL, host_kind=HostKind.RAILWAY_PRIVATE),
    VerdictCode.KV_NAME_GONE: replace(USUAL, host_kind=HostKind.VERCEL_KV),
}
COMMAND = "python -m tools.make_docs"
_HEAD = f"""# The verdicts

Made by `{COMMAND}` from the table that messages, page, JSON, `check` and `doctor` take their words
from. The words are those for a database of Upstash's that is read from the usual variables, beside a worker on
Railway. Others get their own: the names of their variables, and no step that needs a console, a status page or a
service that they do not have.

Of several verdicts that fit the layers the first in this order counts.

## Troubles and their verdicts

Each row is made on real servers by a test (`tests/doctor/troubles.py`): real TLS, a real redis-server, and
stand-ins for REST, console, status page and Railway. The outcome is that of the layer of REST that failed first,
or of the worker's connection where REST works.

"""


def verdicts_page() -> str:
    """docs/verdicts.md: every verdict with its words."""
    return "\n".join([_HEAD + _troubles(), *_sections()])


def _troubles() -> str:
    """The table of what tests make happen, and what comes of it."""
    # Heavy, and of the tests: only those who write the pages need it.
    from tests.doctor.troubles import TROUBLES

    rows = ["| what happened | outcome | verdict | whose move |", "|---|---|---|---|"]
    for one in TROUBLES:
        code = one.code.value
        outcome = f"`{one.outcome.value}`" if one.outcome else "–"
        rows.append(f"| {one.words} | {outcome} | [`{code}`](#{code}) | {one.whose_move.words} |")
    return "".join(f"{row}\n" for row in rows)


def _sections() -> Iterator[str]:
    for code in VerdictCode:
        outcome = _OUTCOMES.get(code) or _BY_ITSELF.get(code)
        verdict = Verdict(code=code, outcome=outcome, profile=_PROFILES.get(code, USUAL))
        yield f"## `{code.value}`\n"
        if code in _OUTCOMES:
            yield f"As the outcome says, here `{_OUTCOMES[code].value}` ([outcomes](outcomes.md)).\n"
        yield from _words(word(verdict))


def _words(advice: Advice) -> Iterator[str]:
    yield f"{advice.meaning}\n"
    yield f"*Whose move:* {advice.whose_move.words}.\n"
    if advice.next_steps:
        yield "".join(f"{number}. {step}\n" for number, step in enumerate(advice.next_steps, start=1))


PAGES: dict[str, Callable[[], str]] = {
    "outcomes.md": lambda: outcomes_page(USUAL, command=COMMAND),
    "verdicts.md": verdicts_page,
}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}", file=sys.stderr)
