"""Days, and the last checks, in a small picture: a bar for each. Pure drawing.

The parts of a day's bar are shares of it: downtime hangs from the top, unknown time stands at the bottom. The bar
of a check is as high as it took long; a failed one fills its whole place, one whose result is unknown is low, and
a time without checks is left open. Shapes differ as well as colours, for readers who do not tell colours apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from markupsafe import Markup

from monitor.checks.observation import Check, Family, Outcome
from monitor.lib.times import format_duration, format_time
from monitor.report.formatting import format_ms, format_share, format_slice
from monitor.store.rollups.model import Slice
from monitor.store.tables.spans import is_too_long
from monitor.web.charts.svg import latency_scale, number, picture, stretched

_HEIGHT = 36
_UNITS = 100
_WIDTH, _FILLED = 8, 6
# So many places; they are taken from the left, until the oldest has to make room.
_PLACES = 40
# The height of what was quickest, or gave no latency.
_LEAST = 20
_ACROSS, _BETWEEN = 720, 2
# A minute of a day would be less than a pixel high, and it is what people look for.
_LEAST_OF_DAY = 0.16
_KINDS = ("up", "slow", "down", "unknown")


def check_bars(checks: Sequence[Check], *, interval: timedelta, name: str) -> Markup:
    """The bars of these checks, which are given with the newest first. `data-labels` as in `day_bars`."""
    bars = list(_bars(checks, interval))[-_PLACES:]
    paths = {kind: "" for kind, _, _ in bars if kind}
    for place, (kind, height, _) in enumerate(bars):
        if kind:
            paths[kind] += f"M{place * _WIDTH} {_UNITS - height}h{_FILLED}v{height}h-{_FILLED}z"
    return picture(
        stretched(
            *(Markup('<path class="{}" d="{}"/>').format(kind, path) for kind, path in paths.items()),
            y=0,
            height=_HEIGHT,
            units=_UNITS,
            across=_WIDTH * _PLACES,
        ),
        title=f"{name}: the last checks",
        description=_describe_checks(checks),
        class_="days",
        width="100%",
        height=_HEIGHT,
        data_labels="\n".join([*(label for _, _, label in bars), *[""] * (_PLACES - len(bars))]),
    )


def _bars(checks: Sequence[Check], interval: timedelta) -> Iterator[tuple[str, int, str]]:
    """Kind, height and label of each bar, the oldest first; no kind where nobody checked."""
    good = [check.latency_ms or 0.0 for check in checks if check.outcome.family in (Family.FINE, Family.SLOW)]
    scale = latency_scale(good, good)
    before = None
    for check in reversed(checks):
        if before is not None and is_too_long(check.at - before, interval):
            yield "", 0, f"{format_time(before)} · nobody checked for {format_duration(check.at - before)}"
        before = check.at
        label, family = f"{format_time(check.at)} · {check.outcome.words}", check.outcome.family
        if check.latency_ms is not None:
            label += f" · {format_ms(check.latency_ms)}"
        if family.is_failing:
            yield "down", _UNITS, label
        elif family is Family.UNKNOWN:
            yield "unknown", _LEAST, label
        else:
            height = max(_LEAST, round(scale.height(check.latency_ms or 0.0) * _UNITS))
            yield "slow" if family is Family.SLOW else "up", height, label


def _describe_checks(checks: Sequence[Check]) -> str:
    if not checks:
        return "No check yet."
    families = [check.outcome.family for check in checks]
    failed, slow = sum(family.is_failing for family in families), families.count(Family.SLOW)
    return f"{len(checks):,} of them, {failed:,} failed and {slow:,} slow; the latest: {checks[0].outcome.words}."


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
        description=_describe_days(days),
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
    down = max(down, _LEAST_OF_DAY) if day.uptime.down else 0.0
    # Minutes around a restart would be a thin line under many days, which reads as trouble.
    unknown = unknown if unknown >= 0.02 else 0.0
    up = min(1.0 - down, max(1.0 - down - unknown, _LEAST_OF_DAY if day.uptime.up else 0.0))
    fine = day.checks - day.checks_failed
    slow = up * day.outcomes.get(Outcome.SLOW, 0) / fine if fine else 0.0
    parts = (("down", down), ("up", up - slow), ("slow", slow), ("unknown", 1.0 - down - up))
    return [(kind, share) for kind, share in parts if share > 0.001]


def _describe_days(days: Sequence[Slice]) -> str:
    shares = [day.uptime.share for day in days if day.uptime.share is not None]
    if not shares:
        return "Nothing is known of them."
    troubled = sum(share < 1 for share in shares)
    worst = format_share(min(shares))
    return f"{len(shares)} days are known, {troubled} of them with downtime; the worst day was {worst} up."
