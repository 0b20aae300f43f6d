"""What may be typed: `python -m bench [LINE…] [--quick] [--json FILE]`; what is measured stands in `lines`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from bench import peers
from bench.goals import NO_GOAL, PEERS_SOURCE
from bench.lines import check, cpu, detection, disk, history, latency, memory, pace, page, thousand
from bench.plan import Line, Plan, say
from bench.plot import bars
from bench.table import Row, document, markdown, text

_INTERRUPTED = 130
_MARK = "<!-- below: made by `make bench` -->\n"

LINES: dict[str, Line] = {
    "detection": detection.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "pace": pace.measure,
    "cpu": cpu.measure,
    "check": check.measure,
    "thousand": thousand.measure,
    "disk": disk.measure,
    "history": history.measure,
    "page": page.measure,
}


def main() -> int:
    """Measure and print the table. Returns 0 whatever the goals, 1 when a line failed, 130 when interrupted."""
    asked = _parse()
    signal.signal(signal.SIGTERM, _interrupt)
    heading = [_machine(), _load("at the start"), *peers.about(), PEERS_SOURCE]
    rows: list[Row] = []
    status = 0
    with tempfile.TemporaryDirectory(prefix="upstash-monitor-bench-") as folder:
        plan = Plan(
            folder=Path(folder),
            quick=asked.quick,
            seed=asked.seed,
            faults=asked.faults,
            memory_seconds=asked.memory_seconds,
        )
        try:
            for name in asked.lines or LINES:
                status |= _measure(name, plan, rows)
        except KeyboardInterrupt:
            heading.append("INTERRUPTED: not all lines were measured")
            status = _INTERRUPTED
    heading.insert(2, _load("at the end, the bench's own included"))
    if asked.quick:
        heading.append("a quick run: it shows that the bench works; its figures are not to be quoted")
    print("\n".join(heading) + "\n\n" + text(rows))
    if asked.json is not None:
        asked.json.write_text(json.dumps(document(rows, heading), indent=2, ensure_ascii=False) + "\n")
    if asked.docs is not None:
        _write_docs(asked.docs, rows, heading)
    return status


def _write_docs(docs: Path, rows: list[Row], heading: list[str]) -> None:
    """What stands below the mark of the page, and a plot for each row that has us beside others."""
    page = docs / "bench.md"
    head = page.read_text(encoding="utf-8").partition(_MARK)[0] if page.exists() else ""
    plots = docs / "bench"
    plots.mkdir(exist_ok=True)
    shown = []
    for row in rows:
        if row.figures:
            name = re.sub(r"\W+", "-", row.what.split(";")[0]).strip("-").lower()
            (plots / f"{name}.svg").write_text(bars(row) + "\n", encoding="utf-8")
            shown.append(f"![{row.what}](bench/{name}.svg)")
    page.write_text(
        head + _MARK + "\n" + "\n\n".join([markdown(rows, heading), *shown]).rstrip() + "\n", encoding="utf-8"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure; print one table.")
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"some lines only: {', '.join(LINES)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run: everything once and briefly")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write the table and the plots into its bench.md and bench/"
    )
    parser.add_argument("--faults", type=int, default=5, metavar="N", help="how often each fault comes (5)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="for phases and delays (1)")
    parser.add_argument(
        "--memory-seconds",
        type=float,
        default=60,
        metavar="S",
        help="how long `run` runs before it is weighed (60)",
    )
    asked = parser.parse_args()
    for line in asked.lines:
        if line not in LINES:
            parser.error(f"no such line: {line!r}; there are {', '.join(LINES)}")
    return asked


def _measure(name: str, plan: Plan, rows: list[Row]) -> int:
    """One line, its rows as they come; a line that fails says so and leaves the others alone."""
    started = time.monotonic()
    say(f"{name} …")
    try:
        for row in LINES[name](plan):
            rows.append(row)
            say("  " + row.measured.replace("\n", "; "))
    except (RuntimeError, OSError) as error:
        say(f"  not measured: {error}")
        rows.append(Row(what=name, measured="not measured, see above", count="", goal=NO_GOAL, reached=None))
        return 1
    say(f"  {name} took {time.monotonic() - started:.0f} s")
    return 0


def _interrupt(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    # httpx reads both in when they are there: 5 MB and 30 ms that an ordinary installation does not pay.
    extra = [name for name in ("rich", "pygments") if importlib.util.find_spec(name)]
    also = f"; {' and '.join(extra)} installed, which httpx reads in (up to 5 MB and 30 ms more)" if extra else ""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"{today}, {platform.system()} {platform.release()}, {os.cpu_count()} cores, {memory_gb:.0f} GB,"
        f" Python {platform.python_version()}{also}"
    )


def _load(when: str) -> str:
    return f"load average {when}: " + ", ".join(f"{load:.2f}" for load in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
