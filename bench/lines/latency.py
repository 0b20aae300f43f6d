"""The truth of the latency: what is reported of an answer against the delay that the server really had.

The server is another process and notes for each answer the time from the request's last byte to its departure;
what lies between both figures is the way there and back, and our own slowness. The n-th check of a database met
the
n-th answer, so the two are compared one by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from bench.certificates import make_certificates
from bench.goals import LATENCY_OF_ONE, Goal
from bench.load import Seen, serving
from bench.plan import Plan, say
from bench.program import CheckRow, database, watching
from bench.samples import percentile
from bench.server import Options
from bench.table import Row

DELAY_MS = (2.0, 80.0)
_RANGE = f"{DELAY_MS[0]:.0f} to {DELAY_MS[1]:.0f} ms"


def measure(plan: Plan) -> Iterator[Row]:
    """One database every second, over TLS."""
    seconds = plan.choose(120, 4)
    say(f"  one database every second for {seconds:.0f} s")
    folder = plan.scratch("latency")
    certificates = make_certificates(folder)
    with serving(Options(chain=str(certificates.chain), delay_ms=DELAY_MS, seed=plan.seed)) as load:
        config = {"databases": [database("main", load.url, interval="1s")], "connectivity": [load.host]}
        with watching(folder, config, trusted=certificates.trusted) as program:
            time.sleep(seconds)
            program.stop()
            checks, seen = program.checks(), load.seen()
    yield truth_row("one database every 1 s", LATENCY_OF_ONE, checks, seen, plan)


def truth_row(what: str, goal: Goal, checks: Sequence[CheckRow], seen: Seen, plan: Plan) -> Row:
    """How far the reported latencies are from the server's delays."""
    reported: dict[str, list[float]] = {}
    for check in checks:
        if check.latency_ms is not None:
            reported.setdefault(check.database, []).append(check.latency_ms)
    errors = errors_ms(reported, seen)
    middle, most, worst = percentile(errors, 0.5), percentile(errors, 0.99), max(errors)
    return Row(
        what=f"reported latency against the server's real delay ({_RANGE}), {what}",
        measured=f"p50 {middle:.2f}, p99 {most:.2f}, worst {worst:.2f} ms",
        count=str(len(errors)),
        goal=goal,
        reached=plan.judged(reached=goal.is_reached(most)),
    )


def errors_ms(reported: Mapping[str, Sequence[float]], seen: Seen) -> list[float]:
    """The distance of each answered check of each database; a check that was broken off at the end has no
    figure.
    """
    return [
        abs(latency - answer.delay_ms)
        for name, latencies in reported.items()
        for latency, answer in zip(latencies, seen.answers[name], strict=False)
    ]
