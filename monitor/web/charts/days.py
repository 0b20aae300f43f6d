"""Ninety days in a small picture: a bar for each day, and a band of each day's latency. Pure drawing.

The parts of a bar are shares of its day. They differ in place as well as in colour, for readers who do not tell
colours apart: downtime hangs from the top, unknown time stands at the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from monitor.checks.observation import Outcome
from monitor.report.formatting import format_ms, format_share, format_slice
from monitor.store.rollups.model import Slice
from monitor.web.charts.svg import answered_runs, latency_scale, line, picture, polygon, stretched

_HEIGHT = 36
_UNITS = 100
_WIDTH, _FILLED = 8, 6
# A minute of a day would be less than a pixel high, and it is what people look for.
_LEAST_SHARE = 0.16
_KINDS = ("up", "slow", "down", "unknown")


def day_bars(days: Sequence[Slice], *, name: str) -> Markup:
    """The bars, oldest first. `data-labels` has a line of text on each day, which the script shows on hover."""
    paths = dict.fromkeys(_KINDS, "")
    for position, day in enumerate(days):
        top = 0
        for kind, share in _parts(day):
            height = round(share * _UNITS)
            paths[kind] += f"M{position * _WIDTH} {top}h{_FILLED}v{height}h-{_FILLED}z"
            top += height
    return picture(
        stretched(
            *(Markup('<path class="{}" d="{}"/>').format(kind, path) for kind, path in paths.items() if path),
            y=0,
            height=_HEIGHT,
            units=_UNITS,
            across=_WIDTH * max(1, len(days)),
        ),
        title=f"{name}: the last {len(days)} days",
        description=_describe(days),
        class_="days",
        width="100%",
        height=_HEIGHT,
        data_labels="\n".join(map(format_slice, days)),
    )


def _parts(day: Slice) -> list[tuple[str, float]]:
    """From the top down: down, up, slow, unknown; together the whole bar."""
    if not day.uptime.down and not day.uptime.unknown and day.uptime.up and Outcome.SLOW not in day.outcomes:
        return [("up", 1.0)]  # most days: no arithmetic
    whole = day.uptime.up + day.uptime.down + day.uptime.unknown
    if not whole or not day.uptime.known:
        return [("unknown", 1.0)]
    down, unknown = day.uptime.down / whole, day.uptime.unknown / whole
    down = max(down, _LEAST_SHARE) if day.uptime.down else 0.0
    # Minutes around a restart would be a thin line under many days, which reads as trouble.
    unknown = unknown if unknown >= 0.02 else 0.0
    up = min(1.0 - down, max(1.0 - down - unknown, _LEAST_SHARE if day.uptime.up else 0.0))
    fine = day.checks - day.checks_failed
    slow = up * day.outcomes.get(Outcome.SLOW, 0) / fine if fine else 0.0
    parts = (("down", down), ("up", up - slow), ("slow", slow), ("unknown", 1.0 - down - up))
    return [(kind, share) for kind, share in parts if share > 0.001]


def _describe(days: Sequence[Slice]) -> str:
    shares = [day.uptime.share for day in days if day.uptime.share is not None]
    if not shares:
        return "Nothing is known of them."
    troubled = sum(share < 1 for share in shares)
    worst = format_share(min(shares))
    return f"{len(shares)} days are known, {troubled} of them with downtime; the worst day was {worst} up."


def sparkline(days: Sequence[Slice], *, name: str) -> Markup:
    """A band from each day's p50 to its p99; days without an answer are left open."""
    spreads = [day.latency for day in days if day.latency is not None]
    scale = latency_scale([spread.p50_ms for spread in spreads], [spread.p99_ms for spread in spreads])

    def point(position: int, latency_ms: float) -> tuple[float, float]:
        return position + 0.5, round((1 - scale.height(latency_ms)) * _UNITS)

    paths = []
    for run in answered_runs(days):
        upper = [point(position, spread.p99_ms) for position, _, spread in run]
        lower = [point(position, spread.p50_ms) for position, _, spread in run]
        if len(run) == 1:
            # A single point has no width: it is drawn over the whole day.
            upper, lower = ([(x + dx, y) for x, y in edge for dx in (-0.5, 0.5)] for edge in (upper, lower))
        paths.append(Markup('<path class="outer" d="{}"/>').format(polygon(upper, lower)))
        paths.append(Markup('<path class="median" d="{}"/>').format(line(lower)))
    highest = max((spread.p99_ms for spread in spreads), default=None)
    return picture(
        stretched(*paths, y=1, height=_HEIGHT - 2, units=_UNITS, across=max(1, len(days))),
        title=f"{name}: latency in the last {len(days)} days",
        description="No answer yet." if highest is None else f"The highest p99 of a day was {format_ms(highest)}.",
        class_="band small",
        width="100%",
        height=_HEIGHT,
    )
