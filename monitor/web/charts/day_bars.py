"""A bar for each day: what was up, slow, down and unknown, as parts of its height. Pure drawing.

A bar is one day whatever its length, so the parts are shares of that day. They differ in place as well as in
colour: what was down hangs from the top, what is unknown stands on the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from monitor.checks.observation import Outcome
from monitor.report.formatting import format_ms, format_share, format_slice
from monitor.store.rollups.model import Slice
from monitor.web.charts.svg import latency_scale, line, picture, polygon, stretched
from monitor.web.steps import Steps

_HEIGHT = 36
_UNITS = 100
_WIDTH, _FILLED = 8, 6
# A minute of a day would be less than a pixel, and it is what people look for.
_LEAST = 0.16
# Most days are like this one.
_FINE = [("up", 1.0)]
_KINDS = ("up", "slow", "down", "unknown")


def day_bars(days: Sequence[Slice], *, name: str) -> Steps[Markup]:
    """The bars, oldest first. The words on each day stand in `data-says`, a line each, for the script."""
    paths = dict.fromkeys(_KINDS, "")
    says = []
    for position, day in enumerate(days):
        top = 0
        for kind, share in _parts(day):
            height = round(share * _UNITS)
            paths[kind] += f"M{position * _WIDTH} {top}h{_FILLED}v{height}h-{_FILLED}z"
            top += height
        says.append(format_slice(day))
        yield
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
        data_says="\n".join(says),
    )


def _parts(day: Slice) -> list[tuple[str, float]]:
    """From the top down: down, up, slow, unknown; together the whole bar."""
    if not day.uptime.down and not day.uptime.unknown and day.uptime.up and Outcome.SLOW not in day.outcomes:
        return _FINE
    whole = day.uptime.up + day.uptime.down + day.uptime.unknown
    if not whole or not day.uptime.known:
        return [("unknown", 1.0)]
    down, unknown = day.uptime.down / whole, day.uptime.unknown / whole
    down = max(down, _LEAST) if day.uptime.down else 0.0
    # An hour at midnight, or the rest of today, is no gap worth a mark.
    unknown = unknown if unknown >= 0.02 else 0.0
    # On the first day too there is something to see.
    up = min(1.0 - down, max(1.0 - down - unknown, _LEAST if day.uptime.up else 0.0))
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


_LINE_HEIGHT = 36
_LINE_UNITS = 100


def sparkline(days: Sequence[Slice], *, name: str) -> Steps[Markup]:
    """The picture; days without an answer are left open."""
    spreads = [day.latency for day in days if day.latency is not None]
    scale = latency_scale([one.p50_ms for one in spreads], [one.p99_ms for one in spreads])
    paths = []
    for is_known, run in groupby(enumerate(days), key=lambda numbered: numbered[1].latency is not None):
        if not is_known:
            continue
        upper, lower = [], []
        for position, day in run:
            yield
            if day.latency is not None:
                x = position + 0.5
                upper.append((x, round((1 - scale.height(day.latency.p99_ms)) * _LINE_UNITS)))
                lower.append((x, round((1 - scale.height(day.latency.p50_ms)) * _LINE_UNITS)))
        if len(upper) == 1:
            upper, lower = (
                [(upper[0][0] + dx, upper[0][1]) for dx in (-0.5, 0.5)],
                [(lower[0][0] + dx, lower[0][1]) for dx in (-0.5, 0.5)],
            )
        paths.append(Markup('<path class="outer" d="{}"/>').format(polygon(upper, lower)))
        paths.append(Markup('<path class="median" d="{}"/>').format(line(lower)))
    highest = max((one.p99_ms for one in spreads), default=None)
    return picture(
        stretched(*paths, y=1, height=_LINE_HEIGHT - 2, units=_LINE_UNITS, across=max(1, len(days))),
        title=f"{name}: latency in the last {len(days)} days",
        description="No answer yet." if highest is None else f"The highest p99 of a day was {format_ms(highest)}.",
        class_="band small",
        width="100%",
        height=_LINE_HEIGHT,
    )
