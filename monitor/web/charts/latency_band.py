"""Latency over time: a band from p50 to p99, failures marked below it by outcome, gaps left open. Pure drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from monitor.lib.times import format_duration
from monitor.report.formatting import format_minute, format_ms, format_slice
from monitor.store.rollups.model import Gap, History, Slice, Spread
from monitor.web.charts.svg import (
    STRETCH,
    LatencyScale,
    TimeScale,
    latency_scale,
    line,
    mark,
    number,
    percent,
    picture,
    polygon,
    stretched,
    tag,
    worst_outcome,
)
from monitor.web.steps import Steps

_TOP, _PLOT, _LANE, _FOOT = 16, 190, 24, 22
_HEIGHT = _TOP + _PLOT + _LANE + _FOOT
_TICKS = 8
_TICKS_TOO_MANY_FOR_A_PHONE = 2

Run = list[tuple[Slice, Spread]]


def latency_band(history: History) -> Steps[Markup]:
    """The chart. Each slice has a place of its own with its words as title, for pointers and for the script."""
    slices = history.slices
    spreads = [piece.latency for piece in slices if piece.latency is not None]
    scale = latency_scale([one.p50_ms for one in spreads], [one.p99_ms for one in spreads])
    ticks = _latency_ticks(scale) if spreads else _nothing()
    times = TimeScale(start=history.whole.start, end=history.whole.end)
    curves: list[Markup] = []
    recent: list[Markup] = []
    places: list[Markup] = []
    for run in _runs(slices):
        curves += yield from _band(run, scale, times)
    for piece in slices:
        recent += _failure(piece, times)
        places.append(_place(piece, times))
        yield
    return picture(
        *(_grid_line(_height(scale, tick)) for tick in scale.ticks_ms),
        stretched(*curves, y=_TOP, height=_PLOT, units=_PLOT),
        # Over the band: a day in which nobody looked for hours has figures, and a hole all the same.
        *_gaps(history.gaps, times),
        *ticks,
        _grid_line(_TOP + _PLOT + _LANE),
        *recent,
        *_time_ticks(times),
        *places,
        title=f"{history.database}: latency",
        description=_describe(history, scale),
        class_="band",
        width="100%",
        height=_HEIGHT,
    )


def _runs(slices: Sequence[Slice]) -> Iterator[Run]:
    """Stretches of slices with answers: nothing is drawn across a hole."""
    run: Run = []
    for piece in slices:
        if piece.latency is not None:
            run.append((piece, piece.latency))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _band(run: Run, scale: LatencyScale, times: TimeScale) -> Steps[list[Markup]]:
    """A run reaches to the edges of its first and last slice, so that one slice alone can be seen."""
    first, last = run[0], run[-1]
    at = [(piece.start + (piece.end - piece.start) / 2, spread) for piece, spread in run]
    edges: tuple[list[tuple[float, float]], ...] = ([], [], [])
    for moment, spread in [(first[0].start, first[1]), *at, (last[0].end, last[1])]:
        x = times.across(moment) * STRETCH
        for edge, latency_ms in zip(edges, (spread.p99_ms, spread.p90_ms, spread.p50_ms), strict=True):
            edge.append((x, (1 - scale.height(latency_ms)) * _PLOT))
        yield
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
            height=_PLOT + _LANE,
        )


def _latency_ticks(scale: LatencyScale) -> Iterator[Markup]:
    for tick in scale.ticks_ms:
        if tick > 0:
            words = format_ms(tick).replace(".0 ", " ").replace(".00 ", " ")
            yield tag("text", words, class_="tick", x=2, y=_height(scale, tick) - 4)


def _nothing() -> Iterator[Markup]:
    yield tag("text", "no answer in this time", class_="tick time", x="50%", y=_TOP + _PLOT / 2)


def _grid_line(y: float) -> Markup:
    return Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(number(y))


def _height(scale: LatencyScale, latency_ms: float) -> float:
    return _TOP + (1 - scale.height(latency_ms)) * _PLOT


def _time_ticks(times: TimeScale) -> Iterator[Markup]:
    for position, (moment, words) in enumerate(times.ticks(_TICKS)):
        across = times.across(moment)
        # A word that would be cut off at an edge is left out; every other one is, where there is little room.
        if 0.06 < across < 0.94:
            extra = " extra" if position % _TICKS_TOO_MANY_FOR_A_PHONE else ""
            yield tag("text", words, class_=f"tick time{extra}", x=percent(across), y=_HEIGHT - 5)


def _failure(piece: Slice, times: TimeScale) -> Iterator[Markup]:
    outcome = worst_outcome(piece.outcomes)
    if outcome is not None:
        across = times.across(piece.start + (piece.end - piece.start) / 2)
        yield mark(outcome, across=across, y=_TOP + _PLOT + _LANE / 2)


def _place(piece: Slice, times: TimeScale) -> Markup:
    left, right = times.across(piece.start), times.across(piece.end)
    return tag(
        "rect",
        tag("title", _say(piece)),
        class_="place",
        x=percent(left),
        width=percent(right - left),
        y=0,
        height=_HEIGHT,
    )


def _say(piece: Slice) -> str:
    outcome = worst_outcome(piece.outcomes)
    return format_slice(piece) + (f", most of them {outcome.words}" if outcome is not None else "")


def _describe(history: History, scale: LatencyScale) -> str:
    whole = history.whole
    if whole.latency is None:
        return f"No answer from {format_minute(whole.start)} to {format_minute(whole.end)}."
    open_time = sum(((gap.end - gap.start) for gap in history.gaps), start=whole.start - whole.start)
    gaps = f" Nobody looked for {format_duration(open_time)}." if history.gaps else ""
    kind = " The scale is logarithmic." if scale.is_logarithmic else ""
    return (
        f"From {format_minute(whole.start)} to {format_minute(whole.end)}: p50 {format_ms(whole.latency.p50_ms)}, "
        f"p99 {format_ms(whole.latency.p99_ms)}, {whole.checks_failed:,} of {whole.checks:,} checks failed."
        f"{gaps}{kind}"
    )
