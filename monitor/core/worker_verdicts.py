"""Verdicts on a REST way that works: what is the matter with the worker's, if anything.

The table is read from the top by `verdicts`, after the rows for a REST way that does not work.
"""

from __future__ import annotations

from monitor.core.diagnosis import advise
from monitor.core.ladder import Fact, Ladder, Rung
from monitor.core.observation import Outcome
from monitor.core.verdict import FIX, NOBODY, SET_AND_DEPLOY, YOURS, Code, Row


def _rest_is_good(ladder: Ladder) -> bool:
    return ladder.passed(Rung.TOKEN) and ladder.outcome() is None


def _rest_lets_read(ladder: Ladder) -> bool:
    return ladder.passed(Rung.TOKEN) and ladder.outcome() in (None, Outcome.PERMISSION_DENIED)


ROWS: tuple[Row, ...] = (
    Row(
        code=Code.OTHER_DATABASE,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.CONSOLE_HAS_NO_SUCH_DATABASE),
        says="The database works, but it is not one of this console account's.",
        whose_move=YOURS,
        next_steps=("Check that URL and token are those of the database you mean.",),
    ),
    Row(
        code=Code.WORKER_VARIABLE_MISSING,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_VARIABLE_MISSING),
        says="URL and token work here, but service {service} does not have them.",
        whose_move=YOURS,
        next_steps=(
            "Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN on service {service} and deploy.",
            FIX,
        ),
    ),
    # Before the next row: to deploy a staged value that is not the right one would break a worker that works.
    Row(
        code=Code.WORKER_VALUE_DIFFERS,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_VARIABLE_DIFFERS),
        says="URL and token work here, but service {service} has other values.",
        whose_move=YOURS,
        next_steps=(SET_AND_DEPLOY, FIX),
    ),
    Row(
        code=Code.NEW_TOKEN_NOT_DEPLOYED,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_VARIABLE_STAGED),
        says="The right values are set on service {service}, but the change is staged and not deployed.",
        whose_move=YOURS,
        next_steps=("Deploy the staged change of service {service}.",),
    ),
    Row(
        code=Code.WORKER_LEGACY_PORT,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_ON_LEGACY_PORT),
        says="REST works, and rediss:// only on the port of older databases, the number in the host's name.",
        whose_move=YOURS,
        next_steps=("Build the worker's URL with that port in place of 6379.",),
    ),
    Row(
        code=Code.WORKER_READ_ONLY,
        fits=lambda ladder: _rest_lets_read(ladder) and ladder.knows(Fact.WORKER_AS_READ_ONLY),
        says="The token is a read-only one, and rediss:// takes it only with the user default_ro.",
        whose_move=YOURS,
        next_steps=(
            "Build the worker's URL as rediss://default_ro:TOKEN@HOST:6379,",
            "or give it the standard token, with the user default.",
        ),
    ),
    Row(
        code=Code.WORKER_URL_WRONG,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_AUTH_REJECTED),
        says="REST accepts the token and rediss:// does not: an older database whose password differs.",
        whose_move=YOURS,
        next_steps=(
            "Copy the rediss:// URL from the database's page in the Upstash console into the worker's variable,",
            "or let the worker use the REST client, as this monitor does.",
        ),
    ),
    Row(
        code=Code.WORKER_URL_WRONG,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_URL_BROKEN),
        says="REST works, but a rediss:// URL built from these values leads nowhere: a character cuts it short.",
        whose_move=YOURS,
        next_steps=(
            "Percent-encode the token where the worker builds its URL, and see that the URL is https://HOST.",
            "Or let the worker use the REST client, as this monitor does.",
        ),
    ),
    Row(
        code=Code.WORKER_PORT_BLOCKED,
        fits=lambda ladder: _rest_is_good(ladder) and ladder.knows(Fact.WORKER_NOT_CONNECTED),
        says="REST works, but no rediss:// connection stands: port 6379 is blocked on the way.",
        whose_move=YOURS,
        next_steps=("Open outgoing port 6379 for the worker, or let it use the REST client.",),
    ),
    Row(
        code=Code.SLOW,
        fits=lambda ladder: ladder.at(Rung.TOKEN).outcome is Outcome.SLOW and not ladder.failed(Rung.WORKER),
        says="Everything works, but slower than the limit that was set.",
        whose_move="yours, then Upstash",
        next_steps=advise(Outcome.SLOW).next_steps,
    ),
    Row(
        code=Code.ALL_GOOD,
        fits=lambda ladder: _rest_is_good(ladder) and not ladder.failed(Rung.WORKER),
        says="Everything that can be seen from here works.",
        whose_move=NOBODY,
        next_steps=(
            "If a worker still fails, read its log around its Redis calls: the cause is in its own code.",
        ),
    ),
)
