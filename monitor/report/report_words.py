"""How a report says its figures: shares, milliseconds, uptime, counts by outcome.

The figures come from `history`; how they are laid out on a screen is the command's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from monitor.checks.observation import Family, Outcome
from monitor.lib.durations import format_duration
from monitor.lib.text import one_line
from monitor.store.rollups.model import Grain, Slice, Uptime

NAME_LIMIT = 60
NOTHING = "–"


def format_name(name: str) -> str:
    """A database's name for a line of text; nothing in it steers a display."""
    return one_line(name, NAME_LIMIT)


def format_share(share: float | None, *, digits: int = 2) -> str:
    """`99.95 %`, cut and never rounded up: only what was never down is `100 %`."""
    if share is None:
        return NOTHING
    if share >= 1:
        return "100 %"
    # The first rounding takes back what a binary fraction lost: 0.9995 is 99.95 %, not 99.94.
    cut = math.floor(round(share * 100 * 10**digits, 6)) / 10**digits
    return f"{min(cut, 100 - 10**-digits):.{digits}f} %"


def format_ms(value: float) -> str:
    """`8.9` or `1,204`, without its unit: tenths matter only to small ones."""
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def format_uptime(uptime: Uptime) -> str:
    """`99.95 % of 6 d 22 h known; 2 h unknown`."""
    unknown = f"; {format_duration(uptime.unknown)} unknown" if uptime.unknown else ""
    if uptime.share is None:
        return f"not known: nothing is known of {format_duration(uptime.unknown)}"
    return f"{format_share(uptime.share)} of {format_duration(uptime.known)} known{unknown}"


def format_checks(found: Slice) -> str:
    """`10,060, 5 failed: 3 response timed out, 2 connection refused; 12 slow; 4 monitor offline (not counted)`."""
    failed = found.checks_failed
    parts = [f"{found.checks:,}, {failed:,} failed"]
    if failed:
        parts[0] += f": {format_counts(failures(found.outcomes))}"
    if slow := found.outcomes.get(Outcome.SLOW, 0):
        parts.append(f"{slow:,} slow")
    unknown = {outcome: count for outcome, count in found.outcomes.items() if outcome.family is Family.UNKNOWN}
    if unknown:
        parts.append(f"{format_counts(unknown)} (not counted)")
    return "; ".join(parts)


def failures(outcomes: Mapping[Outcome, int]) -> dict[Outcome, int]:
    """The failing ones among them."""
    return {outcome: count for outcome, count in outcomes.items() if outcome.family.is_failing}


def format_counts(outcomes: Mapping[Outcome, int], *, most: int | None = None) -> str:
    """`3 response timed out, 2 connection refused`: the most frequent first, at most so many."""
    ordered = sorted(outcomes.items(), key=lambda item: (-item[1], item[0].value))
    said = [f"{count:,} {outcome.words}" for outcome, count in ordered[:most]]
    rest = sum(count for _, count in ordered[len(said) :])
    return ", ".join([*said, f"{rest:,} others"] if rest else said)


def format_start(moment: datetime, grain: Grain) -> str:
    """The beginning of a slice: `Thu 19 Nov`, or with the hour `19 Nov 14:00`."""
    return f"{moment:%d %b %H:%M}" if grain is Grain.HOUR else f"{moment:%a %d %b}"
