"""Latency over time: a band from p50 to p99, failures marked below it by outcome, gaps left open. Pure drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from monitor.core.history import Gap, History, Slice, Spread
from monitor.durations import say_duration
from monitor.status.marks import mark, worst_outcome
from monitor.status.scale import LatencyScale, TimeScale, latency_scale
from monitor.status.svg import STRETCH, line, number, percent, picture, polygon, stretched, tag
from monitor.status.words import say_minute, say_ms, say_slice

_TOP, _PLOT, _LANE, _FOOT = 16, 190, 24, 22
_HEIGHT = _TOP + _PLOT + _LANE + _FOOT
_TICKS = 8
_TICKS_TOO_MANY_FOR_A_PHONE = 2

Run = list[tuple[Slice, Spread]]


def latency_band(history: History) -> Markup:
    """The chart. Each slice has a place of its own with its words as title, for pointers and for the script."""
    slices = history.slices
    spreads = [piece.latency for piece in slices if piece.latency is not None]
    scale = latency_scale([one.p50_ms for one in spreads], [one.p99_ms for one in spreads])
    times = TimeScale(start=history.whole.start, end=history.whole.end)
    curves = [curve for run in _runs(slices) for curve in _band(run, scale, times)]
    return picture(
        *_gaps(history.gaps, times),
        *(_grid_line(_height(scale, tick)) for tick in scale.ticks_ms),
        stretched(*curves, y=_TOP, height=_PLOT, units=_PLOT),
        *_latency_ticks(scale),
        *_failures(slices, times),
        *_time_ticks(times),
        *(_place(piece, times) for piece in slices),
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


def _band(run: Run, scale: LatencyScale, times: TimeScale) -> Iterator[Markup]:
    """A run reaches to the edges of its first and last slice, so that one slice alone can be seen."""
    first, last = run[0], run[-1]
    at = [(piece.start + (piece.end - piece.start) / 2, spread) for piece, spread in run]
    at = [(first[0].start, first[1]), *at, (last[0].end, last[1])]

    def edge(share: str) -> list[tuple[float, float]]:
        return [
            (times.across(moment) * STRETCH, (1 - scale.height(getattr(spread, share))) * _PLOT)
            for moment, spread in at
        ]

    median = edge("p50_ms")
    yield Markup('<path class="outer" d="{}"/>').format(polygon(edge("p99_ms"), median))
    yield Markup('<path class="inner" d="{}"/>').format(polygon(edge("p90_ms"), median))
    yield Markup('<path class="median" d="{}"/>').format(line(median))


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
            words = say_ms(tick).replace(".0 ", " ").replace(".00 ", " ")
            yield tag("text", words, class_="tick", x=2, y=_height(scale, tick) - 4)


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


def _failures(slices: Sequence[Slice], times: TimeScale) -> Iterator[Markup]:
    y = _TOP + _PLOT + _LANE / 2
    yield _grid_line(_TOP + _PLOT + _LANE)
    for piece in slices:
        outcome = worst_outcome(piece.outcomes)
        if outcome is not None:
            yield mark(outcome, across=times.across(piece.start + (piece.end - piece.start) / 2), y=y)


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
    return say_slice(piece) + (f", most of them {outcome.words}" if outcome is not None else "")


def _describe(history: History, scale: LatencyScale) -> str:
    whole = history.whole
    if whole.latency is None:
        return f"No answer from {say_minute(whole.start)} to {say_minute(whole.end)}."
    open_time = sum(((gap.end - gap.start) for gap in history.gaps), start=whole.start - whole.start)
    gaps = f" Nobody looked for {say_duration(open_time)}." if history.gaps else ""
    kind = " The scale is logarithmic." if scale.is_logarithmic else ""
    return (
        f"From {say_minute(whole.start)} to {say_minute(whole.end)}: p50 {say_ms(whole.latency.p50_ms)}, "
        f"p99 {say_ms(whole.latency.p99_ms)}, {whole.looks_failed:,} of {whole.looks:,} looks failed.{gaps}{kind}"
    )
