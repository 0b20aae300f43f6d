"""What charts are made of: SVG elements as safe text, scales, and a shape for each family of outcomes.

A chart is as wide as the page lets it be: positions are percentages of the width, so that letters keep their size
on a phone, and curves are in a nested picture that is stretched. There are no style attributes, which the page's
content security policy forbids.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby

from markupsafe import Markup, escape

from monitor.checks.observation import Family, Outcome
from monitor.store.rollups.model import Slice, Spread

# What XML 1.0 allows in no form, not even escaped: most control characters, and halves of surrogate pairs.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# The width of a stretched picture in its own units.
FULL_WIDTH = 1000


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; an attribute that is `None` is left out.

    Children that are not `Markup` are text and are escaped; so are the values of attributes.
    """
    written = "".join(
        f' {_attribute(key)}="{_quoted(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else escape(clean(child)) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 - every part of it was escaped above


def picture(*children: str, title: str, description: str, **attributes: str | float | None) -> Markup:
    """A picture with a name and a description for screen readers."""
    return tag("svg", tag("title", title), tag("desc", description), *children, role="img", **attributes)


def stretched(*children: str, y: float, height: float, units: float, across: float = FULL_WIDTH) -> Markup:
    """A picture inside another, `across` by `units` wide and high, stretched over the whole width."""
    return tag(
        "svg",
        *children,
        y=y,
        width="100%",
        height=height,
        viewBox=f"0 0 {number(across)} {number(units)}",
        preserveAspectRatio="none",
    )


def percent(share: float) -> str:
    """A position across the width, from a share of it."""
    return f"{number(share * 100)}%"


def number(value: float) -> str:
    """A coordinate to a hundredth, without needless zeros."""
    return str(int(value)) if value == int(value) else f"{value:.2f}".rstrip("0").rstrip(".")


def polygon(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    """The path around a band, its upper edge from left to right and its lower edge back."""
    return f"{line(upper)}{line([*reversed(lower)]).replace('M', 'L', 1)}Z"


def line(points: Iterable[tuple[float, float]]) -> str:
    """The path through these points."""
    return "".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))


def clean(text: str) -> str:
    """The text with characters replaced that no XML document may hold."""
    return text if text.isprintable() else _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _quoted(value: str) -> str:
    # An XML parser reads a plain line end in an attribute as a space; HTML keeps both.
    return escape(clean(value)).replace("\n", Markup("&#10;"))


@cache
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


# Around the origin, five units to each side.
_SHAPES = {
    Family.CONFIGURATION: "M-4.4-4.4h8.8v8.8h-8.8z",
    Family.TOKEN: "M0-5.6 5.6 0 0 5.6-5.6 0z",
    Family.QUOTA: "M0-5.2 5.4 4.6H-5.4z",
    Family.NETWORK: "M-3.1-5.2 0-2.1 3.1-5.2 5.2-3.1 2.1 0 5.2 3.1 3.1 5.2 0 2.1-3.1 5.2-5.2 3.1-2.1 0-5.2-3.1z",
    Family.SERVICE: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0",
}


# Slices in a row that have latencies, each with its position among all slices.
Run = list[tuple[int, Slice, Spread]]


def answered_runs(slices: Sequence[Slice]) -> Iterator[Run]:
    """The runs in their order: nothing is drawn across slices without an answer."""
    for is_answered, run in groupby(enumerate(slices), key=lambda numbered: numbered[1].latency is not None):
        if is_answered:
            yield [(position, part, part.latency) for position, part in run if part.latency is not None]


def worst_outcome(outcomes: Mapping[Outcome, int]) -> Outcome | None:
    """The failing outcome that came most often, `None` where nothing failed."""
    failing = [(count, outcome.value, outcome) for outcome, count in outcomes.items() if outcome.family.is_failing]
    return max(failing)[2] if failing else None


def failure_shape(outcome: Outcome, *, across: float, y: float) -> Markup:
    """The shape of an outcome's family at a position of a chart."""
    return tag("svg", _shape(outcome), x=percent(across), y=y, overflow="visible", width=1, height=1)


def legend_shape(outcome: Outcome) -> Markup:
    """The same shape beside a word; hidden from screen readers, which read the word."""
    return tag(
        "svg", _shape(outcome), class_="shape", viewBox="-7 -7 14 14", width=14, height=14, aria_hidden="true"
    )


def _shape(outcome: Outcome) -> Markup:
    family = outcome.family
    return tag("path", class_=f"family-{family.value}", d=_SHAPES.get(family, _SHAPES[Family.SERVICE]))


_STEPS = (1, 2, 5, 10)
# From this ratio of the highest to the usual on, a linear scale would show everything usual as a flat line.
_LOGARITHMIC_FROM = 12.0
_TICKS = 5
_LEAST_MS = 0.001
_TIME_STEPS = tuple(
    timedelta(hours=hours) for hours in (1, 2, 3, 4, 6, 12, 24, 48, 96, 168, 336, 720, 1464, 2928, 8784)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyScale:
    """From `bottom_ms` to `top_ms`; a logarithmic one begins above 0."""

    bottom_ms: float
    top_ms: float
    is_logarithmic: bool
    ticks_ms: tuple[float, ...]

    def height(self, latency_ms: float) -> float:
        """From 0 at the bottom to 1 at the top; what lies outside is drawn at the edge."""
        if self.is_logarithmic:
            share = math.log(max(latency_ms, self.bottom_ms) / self.bottom_ms) / math.log(
                self.top_ms / self.bottom_ms
            )
        else:
            share = latency_ms / self.top_ms
        return min(1.0, max(0.0, share))


def latency_scale(medians_ms: Sequence[float], tops_ms: Sequence[float]) -> LatencyScale:
    """A scale on which the highest fits; logarithmic when the highest is far above the usual."""
    highest = max(_LEAST_MS, max(tops_ms, default=1.0))
    usual = max(_LEAST_MS, sorted(tops_ms)[len(tops_ms) // 2]) if tops_ms else highest
    if highest > _LOGARITHMIC_FROM * usual:
        lowest = max(_LEAST_MS, min(medians_ms, default=usual))
        bottom = 10.0 ** math.floor(math.log10(lowest))
        decades = math.ceil(math.log10(highest / bottom))
        return LatencyScale(
            bottom_ms=bottom,
            top_ms=bottom * 10**decades,
            is_logarithmic=True,
            ticks_ms=tuple(bottom * 10**power for power in range(decades + 1)),
        )
    step = _nice(highest / (_TICKS - 1))
    count = math.ceil(highest / step)
    return LatencyScale(
        bottom_ms=0.0,
        top_ms=step * count,
        is_logarithmic=False,
        ticks_ms=tuple(step * multiple for multiple in range(count + 1)),
    )


def _nice(rough: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.999)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeScale:
    """From `start` on the left to `end` on the right."""

    start: datetime
    end: datetime

    def across(self, moment: datetime) -> float:
        """From 0 on the left to 1 on the right."""
        return min(1.0, max(0.0, (moment - self.start) / (self.end - self.start)))

    def ticks(self, most: int) -> tuple[tuple[datetime, str], ...]:
        """At most so many moments with their labels: times of day within two days, else dates; in UTC."""
        span = self.end - self.start
        step = next((step for step in _TIME_STEPS if span / step <= most), _TIME_STEPS[-1])
        first_day = self.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        moment = first_day + -((first_day - self.start) // step) * step
        found = []
        while moment < self.end:
            found.append((moment, _tick_label(moment, span, step)))
            moment += step
        return tuple(found[:most])


def _tick_label(moment: datetime, span: timedelta, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return moment.strftime("%b %Y" if span > timedelta(days=400) else "%d %b").lstrip("0")
    is_midnight = moment.hour == 0 and span > timedelta(days=1)
    return moment.strftime("%d %b").lstrip("0") if is_midnight else moment.strftime("%H:%M")
