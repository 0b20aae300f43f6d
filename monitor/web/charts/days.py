"""Days in a small picture: a bar for each. Pure drawing.

The parts of a bar are shares of its day. They differ in place as well as in colour, for readers who do not tell
colours apart: downtime hangs from the top, unknown time stands at the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from monitor.checks.observation import Outcome
from monitor.report.formatting import format_share, format_slice
from monitor.store.rollups.model import Slice
from monitor.web.charts.svg import number, picture, stretched

_HEIGHT = 36
_UNITS = 100
_ACROSS, _BETWEEN = 720, 2
# A minute of a day would be less than a pixel high, and it is what people look for.
_LEAST_SHARE = 0.16
_KINDS = ("up", "slow", "down", "unknown")


def day_bars(days: Sequence[Slice], *, name: str) -> Markup:
    """The bars, oldest first. `data-labels` has a line of text on each day, which the script shows on hover."""
    paths = dict.fromkeys(_KINDS, "")
    width = _ACROSS / max(1, len(days))
    filled = number(width - min(_BETWEEN, width / 4))
    for position, day in enumerate(days):
        top = 0
        for kind, share in _parts(day):
            height = round(share * _UNITS)
            paths[kind] += f"M{number(position * width)} {top}h{filled}v{height}h-{filled}z"
            top += height
    return picture(
        stretched(
            *(Markup('<path class="{}" d="{}"/>').format(kind, path) for kind, path in paths.items() if path),
            y=0,
            height=_HEIGHT,
            units=_UNITS,
            across=_ACROSS,
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
