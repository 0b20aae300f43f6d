"""Latency over many days in a small picture: p50 as a line, up to p99 as a band. Pure drawing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from monitor.core.history import Slice
from monitor.status.scale import latency_scale
from monitor.status.steps import Steps
from monitor.status.svg import line, picture, polygon, stretched
from monitor.status.words import say_ms

_HEIGHT = 36
_UNITS = 100


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
                upper.append((x, round((1 - scale.height(day.latency.p99_ms)) * _UNITS)))
                lower.append((x, round((1 - scale.height(day.latency.p50_ms)) * _UNITS)))
        if len(upper) == 1:
            upper, lower = (
                [(upper[0][0] + dx, upper[0][1]) for dx in (-0.5, 0.5)],
                [(lower[0][0] + dx, lower[0][1]) for dx in (-0.5, 0.5)],
            )
        paths.append(Markup('<path class="outer" d="{}"/>').format(polygon(upper, lower)))
        paths.append(Markup('<path class="median" d="{}"/>').format(line(lower)))
    highest = max((one.p99_ms for one in spreads), default=None)
    return picture(
        stretched(*paths, y=1, height=_HEIGHT - 2, units=_UNITS, across=max(1, len(days))),
        title=f"{name}: latency in the last {len(days)} days",
        description="No answer yet." if highest is None else f"The highest p99 of a day was {say_ms(highest)}.",
        class_="band small",
        width="100%",
        height=_HEIGHT,
    )
