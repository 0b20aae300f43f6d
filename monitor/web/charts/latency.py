"""Latency over time: a band from p50 to p99, failures below it by outcome, gaps left open. Pure drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from markupsafe import Markup

from monitor.lib.times import format_duration
from monitor.report.formatting import format_minute, format_ms, format_slice
from monitor.store.rollups.model import Gap, History, Slice
from monitor.web.charts.svg import (
    FULL_WIDTH,
    LatencyScale,
    Run,
    TimeScale,
    answered_runs,
    failure_shape,
    latency_scale,
    line,
    number,
    percent,
    picture,
    polygon,
    stretched,
    tag,
    worst_outcome,
)

# From the top down, in pixels: room for the highest label, the band, the failures, the labels of the time axis.
_TOP, _PLOT, _FAILURES, _AXIS = 16, 190, 24, 22
_HEIGHT = _TOP + _PLOT + _FAILURES + _AXIS
_NO_ANSWER = tag("text", "no answer in this time", class_="tick time", x="50%", y=_TOP + _PLOT / 2)
_TICKS = 8
# On a phone every second label of the time axis is left out.
_PHONE_TICKS = 2


def latency_band(history: History) -> Markup:
    """The chart. Each slice has an invisible area with its text as title, for pointers and for the script."""
    slices = history.slices
    spreads = [part.latency for part in slices if part.latency is not None]
    scale = latency_scale([spread.p50_ms for spread in spreads], [spread.p99_ms for spread in spreads])
    times = TimeScale(start=history.whole.start, end=history.whole.end)
    return picture(
        *(_grid_line(_height(scale, tick)) for tick in scale.ticks_ms),
        stretched(
            *(path for run in answered_runs(slices) for path in _band(run, scale, times)),
            y=_TOP,
            height=_PLOT,
            units=_PLOT,
        ),
        # Over the band: a day with a gap of hours has figures of its other hours, and the gap must be seen.
        *_gaps(history.gaps, times),
        *(_latency_ticks(scale) if spreads else [_NO_ANSWER]),
        _grid_line(_TOP + _PLOT + _FAILURES),
        *(shape for part in slices for shape in _failure(part, times)),
        *_time_ticks(times),
        *(_hover_area(part, times) for part in slices),
        title=f"{history.database}: latency",
        description=_describe(history, scale),
        class_="band",
        width="100%",
        height=_HEIGHT,
    )


def _band(run: Run, scale: LatencyScale, times: TimeScale) -> list[Markup]:
    """A run reaches to the edges of its first and last slice, so that one slice alone can be seen."""
    (_, first, first_spread), (_, last, last_spread) = run[0], run[-1]
    middles = [(part.start + (part.end - part.start) / 2, spread) for _, part, spread in run]
    edges: tuple[list[tuple[float, float]], ...] = ([], [], [])
    for moment, spread in [(first.start, first_spread), *middles, (last.end, last_spread)]:
        x = times.across(moment) * FULL_WIDTH
        for edge, latency_ms in zip(edges, (spread.p99_ms, spread.p90_ms, spread.p50_ms), strict=True):
            edge.append((x, (1 - scale.height(latency_ms)) * _PLOT))
    p99, p90, p50 = edges
    outer, inner, median = polygon(p99, p50), polygon(p90, p50), line(p50)
    paths = (("outer", outer), ("inner", inner), ("median", median))
    return [Markup('<path class="{}" d="{}"/>').format(kind, path) for kind, path in paths]


def _gaps(gaps: Sequence[Gap], times: TimeScale) -> Iterator[Markup]:
    for gap in gaps:
        left, right = times.across(gap.start), times.across(gap.end)
        yield tag(
            "rect",
            class_="gap",
            x=percent(left),
            y=_TOP,
            width=percent(max(right - left, 0.001)),
            height=_PLOT + _FAILURES,
        )


def _latency_ticks(scale: LatencyScale) -> Iterator[Markup]:
    for tick in scale.ticks_ms:
        if tick > 0:
            text = format_ms(tick).replace(".0 ", " ").replace(".00 ", " ")
            yield tag("text", text, class_="tick", x=2, y=_height(scale, tick) - 4)


def _grid_line(y: float) -> Markup:
    return Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(number(y))


def _height(scale: LatencyScale, latency_ms: float) -> float:
    return _TOP + (1 - scale.height(latency_ms)) * _PLOT


def _time_ticks(times: TimeScale) -> Iterator[Markup]:
    for position, (moment, text) in enumerate(times.ticks(_TICKS)):
        across = times.across(moment)
        # A label so near to an edge would be cut off there.
        if 0.06 < across < 0.94:
            extra = " extra" if position % _PHONE_TICKS else ""
            yield tag("text", text, class_=f"tick time{extra}", x=percent(across), y=_HEIGHT - 5)


def _failure(part: Slice, times: TimeScale) -> Iterator[Markup]:
    outcome = worst_outcome(part.outcomes)
    if outcome is not None:
        across = times.across(part.start + (part.end - part.start) / 2)
        yield failure_shape(outcome, across=across, y=_TOP + _PLOT + _FAILURES / 2)


def _hover_area(part: Slice, times: TimeScale) -> Markup:
    left, right = times.across(part.start), times.across(part.end)
    return tag(
        "rect",
        tag("title", _label(part)),
        class_="hover-area",
        x=percent(left),
        width=percent(right - left),
        y=0,
        height=_HEIGHT,
    )


def _label(part: Slice) -> str:
    outcome = worst_outcome(part.outcomes)
    return format_slice(part) + (f", most of them {outcome.words}" if outcome is not None else "")


def _describe(history: History, scale: LatencyScale) -> str:
    whole = history.whole
    if whole.latency is None:
        return f"No answer from {format_minute(whole.start)} to {format_minute(whole.end)}."
    unchecked = sum(((gap.end - gap.start) for gap in history.gaps), start=timedelta(0))
    gaps = f" Nobody checked for {format_duration(unchecked)}." if history.gaps else ""
    kind = " The scale is logarithmic." if scale.is_logarithmic else ""
    return (
        f"From {format_minute(whole.start)} to {format_minute(whole.end)}: p50 {format_ms(whole.latency.p50_ms)}, "
        f"p99 {format_ms(whole.latency.p99_ms)}, {whole.checks_failed:,} of {whole.checks:,} checks failed."
        f"{gaps}{kind}"
    )
