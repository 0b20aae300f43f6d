"""`check` of one healthy database, the whole process: its time beyond the round trip, and its peak of memory.

The round trip is the check's own total, as `check --json` reports it: lookup, connection, encryption and answer.
The rest is set beside what importing the client alone takes, measured in turn with it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator

from bench.certificates import make_certificates
from bench.goals import DURATION_OF_CHECK, LATENCY_OF_FIRST, MEMORY_OF_CHECK
from bench.lines.latency import errors_ms
from bench.load import serving
from bench.plan import Plan, say
from bench.program import Ran, check, database, import_client
from bench.samples import several
from bench.server import Options
from bench.table import Row

_DELAY_MS = (20.0, 20.0)


def measure(plan: Plan) -> Iterator[Row]:
    """Three rows."""
    times = int(plan.choose(15, 2))
    say(f"  {times} runs over TLS, after one that compiles")
    folder = plan.scratch("check")
    certificates = make_certificates(folder)
    with serving(Options(chain=str(certificates.chain), delay_ms=_DELAY_MS)) as load:
        config = {"databases": [database("main", load.url)], "connectivity": [load.host]}
        check(folder, config, trusted=certificates.trusted)
        import_client(folder)
        runs, imports = [], []
        for _ in range(times):
            runs.append(check(folder, config, trusted=certificates.trusted))
            imports.append(import_client(folder))
        seen = load.seen()
    # The first answer met the run that compiled.
    seen.answers["main"].pop(0)
    beyond = [run.wall_seconds - _figure(run, "total") / 1000 for run in runs]
    errors = errors_ms({"main": [_figure(run, "wait") + _figure(run, "read") for run in runs]}, seen)
    peaks = [run.peak_mb for run in runs]
    ratio = statistics.median(beyond) / statistics.median(imports)
    yield Row(
        what="`check` of one healthy database over TLS, whole process, beyond the round trip",
        measured=f"{ratio:.1f} times the import, {several(imports, 's', 2)}\n{several(beyond, 's', 2)}"
        f"\nof it CPU {several([run.cpu_seconds for run in runs], 's', 2)}",
        count=str(times),
        goal=DURATION_OF_CHECK,
        reached=plan.judged(reached=DURATION_OF_CHECK.is_reached(ratio)),
    )
    yield Row(
        what="memory of `check`, peak",
        measured=several(peaks, "MB"),
        count=str(times),
        goal=MEMORY_OF_CHECK,
        reached=plan.judged(reached=MEMORY_OF_CHECK.is_reached(max(peaks))),
    )
    yield Row(
        what="reported latency against the server's real delay (20 ms), `check`: the first check of a process",
        measured=f"median {statistics.median(errors):.2f}, worst {max(errors):.2f} ms",
        count=str(len(errors)),
        goal=LATENCY_OF_FIRST,
        reached=None,
    )


def _figure(run: Ran, phase: str) -> float:
    milliseconds: float = json.loads(run.output)["databases"][0]["phases_ms"][phase]
    return milliseconds
