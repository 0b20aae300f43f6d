"""The last checks of a database in a small picture: a bar for each, as high as it took long. Pure drawing.

A failed check fills its whole place, one whose result is unknown is a low bar, and a time without checks is left
open. So they differ in shape as well as in colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from markupsafe import Markup

from monitor.checks.observation import Check, Family
from monitor.lib.times import format_duration, format_time
from monitor.report.formatting import format_ms
from monitor.store.tables.spans import is_too_long
from monitor.web.charts.svg import latency_scale, picture, stretched

_HEIGHT = 36
_UNITS = 100
_WIDTH, _FILLED = 8, 6
# So many places; they are taken from the left, until the oldest has to make room.
_PLACES = 40
# The height of what was quickest, or gave no latency.
_LEAST = 20


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
        description=_describe(checks),
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


def _describe(checks: Sequence[Check]) -> str:
    if not checks:
        return "No check yet."
    families = [check.outcome.family for check in checks]
    failed, slow = sum(family.is_failing for family in families), families.count(Family.SLOW)
    return f"{len(checks):,} of them, {failed:,} failed and {slow:,} slow; the latest: {checks[0].outcome.words}."
