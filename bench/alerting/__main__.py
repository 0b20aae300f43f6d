"""What may be typed: `python -m bench.alerting [--full] [--seed N] [--share S] [--docs FOLDER]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loguru import logger

from bench.alerting.faults import (
    BLIPS_20,
    BLIPS_40,
    CHANNEL_AWAY,
    FLAPPING,
    HALF,
    KILLED,
    LOSS_1,
    LOSS_5,
    OUTAGES,
    SCENARIOS,
    SLOW,
    THIRD,
    TWENTY,
    TWO,
    History,
    Scenario,
)
from bench.alerting.models import PEERS, Make
from bench.alerting.run import cron, ours, run_scenario, through_the_store, told_alike
from bench.alerting.table import INTERVALS, OURS, Results, criteria, document, plot

_DOCS = Path(__file__).parents[2] / "docs"
_MARK = "<!-- below: made by `make simulate` -->\n"
_FULL = 5
# These go through the store and the deliverer, which are what they try; what comes together is grouped there.
_STORED = {CHANNEL_AWAY.name, KILLED.name, TWO.name, TWENTY.name}
_SAMPLE = (LOSS_1, BLIPS_40, OUTAGES[3], OUTAGES[5], HALF, FLAPPING, SLOW)
_CRON = (LOSS_1, LOSS_5, BLIPS_20, BLIPS_40, *OUTAGES[2:], HALF, THIRD, FLAPPING)


def main() -> int:
    """Simulate, write docs/alerting.md and its picture, print the check list. Returns 0 whatever holds."""
    asked = _parse()
    logger.remove()
    started = time.monotonic()
    months = partial(_months, factor=asked.share * (_FULL if asked.full else 1))
    with tempfile.TemporaryDirectory(prefix="upstash-monitor-simulation-") as folder:
        results = _simulate(Path(folder), asked.seed, months)
    number = sum(figures.months for row in results.rows.values() for figures in row.values())
    about = [
        f"Seed {asked.seed}, {'full' if asked.full else 'reduced'} run: {number} months by tool"
        f" and {results.stored} through store and delivery."
    ]
    page = asked.docs / "alerting.md"
    head = page.read_text(encoding="utf-8").partition(_MARK)[0] if page.exists() else ""
    text = document(results, about)
    page.write_text(head + _MARK + "\n" + text, encoding="utf-8")
    (asked.docs / "alerting.svg").write_text(plot(results.rows) + "\n", encoding="utf-8")
    print(text)
    held = [criterion.holds for criterion in criteria(results)]
    print(f"{sum(held)} of {len(held)} hold; {time.monotonic() - started:.0f} s; see {page}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.alerting", description="Simulate alert rules.")
    parser.add_argument("--full", action="store_true", help=f"{_FULL} times as many months")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="for the histories (1)")
    parser.add_argument("--share", type=float, default=1.0, metavar="S", help="of the months; for trials")
    parser.add_argument("--docs", type=Path, default=_DOCS, metavar="FOLDER", help="where the page is written")
    return parser.parse_args()


def _months(scenario: Scenario, *, factor: float, part: float = 1.0) -> int:
    return max(1, round(scenario.months * factor * part))


def _simulate(folder: Path, seed: int, months: Callable[..., int]) -> Results:
    results = Results()
    for scenario in SCENARIOS:
        _say(scenario.name)
        number = months(scenario)
        make = partial(through_the_store, folder) if scenario.name in _STORED else _always(ours())
        row = {OURS: run_scenario(scenario, make, months=number, seed=seed)}
        for peer in PEERS:
            if scenario is CHANNEL_AWAY and not peer.is_delivery_known:
                continue
            row[peer.name] = run_scenario(
                scenario, _always(peer.make), months=number, seed=seed, is_outside=peer.is_outside
            )
        results.rows[scenario.name] = row
    for interval in INTERVALS:
        _say(f"every {interval} s")
        # At a short interval a month has more checks to be lost.
        part = interval / 600
        results.intervals[interval] = {
            scenario.name: run_scenario(
                scenario, _always(ours(interval=interval)), months=months(scenario, part=part), seed=seed
            )
            for scenario in (LOSS_1, LOSS_5, OUTAGES[3], FLAPPING)
        }
    for scenario in _CRON:
        _say(f"cron, {scenario.name}")
        number = months(scenario, part=0.4)
        both = [
            run_scenario(scenario, _always(cron(has_disk=disk)), months=number, seed=seed)
            for disk in (True, False)
        ]
        results.cron[scenario.name] = (both[0], both[1])
    _say("through the store")
    results.stored, results.unlike = told_alike(_SAMPLE, folder, seed=seed)
    return results


def _always(make: Make) -> Callable[[History], Make]:
    return lambda _history: make


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
