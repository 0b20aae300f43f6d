"""Latency over time, days, and the last checks, as pictures. Pure drawing.

Latency is a band from p50 to p99, with failures below it by outcome and gaps left open. The parts of a day's bar
are shares of it: downtime hangs from the top, unknown time stands at the bottom. The bar of a check is as high as
it took long; a failed one fills its whole place, one whose result is unknown is low, and a time without checks is
left open. Shapes differ as well as colours, for readers who do not tell colours apart.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from datetime import datetime, timedelta

from markupsafe import Markup

from monitor.checks.observation import Check, Family, Outcome
from monitor.lib.language import ENGLISH, Language
from monitor.lib.times import format_time
from monitor.report.formatting import format_minute, format_ms, format_share, format_slice
from monitor.store.rollups.model import Gap, History, Slice
from monitor.web.pages.svg import (
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
# From the top down, in pixels: room for the highest label, the band, the failures, the labels of the time axis.
_TOP, _PLOT, _FAILURES, _AXIS = 16, 190, 24, 22
_BAND_HEIGHT = _TOP + _PLOT + _FAILURES + _AXIS
_TICKS = 8
# On a phone every second label of the time axis is left out.
_PHONE_TICKS = 2


def check_bars(checks: Sequence[Check], *, gaps: Sequence[Gap], name: str, language: Language = ENGLISH) -> Markup:
    """The bars of these checks, which are given with the newest first. `data-labels` as in `day_bars`."""
    bars = list(_bars(checks, {gap.start for gap in gaps}, language))[-_PLACES:]
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
        title=language.say("{name}: the last checks", name=name),
        description=_describe_checks(checks, language),
        class_="days",
        width="100%",
        height=_HEIGHT,
        data_labels="\n".join([*(label for _, _, label in bars), *[""] * (_PLACES - len(bars))]),
    )


def _bars(
    checks: Sequence[Check], gaps: Container[datetime], language: Language
) -> Iterator[tuple[str, int, str]]:
    """Kind, height and label of each bar, the oldest first; no kind where a gap begins."""
    good = [check.latency_ms or 0.0 for check in checks if check.outcome.family in (Family.FINE, Family.SLOW)]
    scale = latency_scale(good, good)
    before = None
    for check in reversed(checks):
        if before is not None and before in gaps:
            words = language.say("nobody checked for {time}", time=language.duration(check.at - before))
            yield "", 0, f"{language.sentence(format_time(before))} · {words}"
        before = check.at
        family = check.outcome.family
        label = f"{language.sentence(format_time(check.at))} · {language.say(check.outcome.words)}"
        if check.latency_ms is not None:
            label += f" · {language.sentence(format_ms(check.latency_ms))}"
        if family.is_failing:
            yield "down", _UNITS, label
        elif family is Family.UNKNOWN:
            yield "unknown", _LEAST, label
        else:
            height = max(_LEAST, round(scale.height(check.latency_ms or 0.0) * _UNITS))
            yield "slow" if family is Family.SLOW else "up", height, label


def _describe_checks(checks: Sequence[Check], language: Language) -> str:
    if not checks:
        return language.say("No check yet.")
    families = [check.outcome.family for check in checks]
    failed, slow = sum(family.is_failing for family in families), families.count(Family.SLOW)
    words = "{number} of them, {failed} failed and {slow} slow; the latest: {outcome}."
    latest = language.say(checks[0].outcome.words)
    return language.say(words, number=len(checks), failed=failed, slow=slow, outcome=latest)


def day_bars(days: Sequence[Slice], *, name: str, language: Language = ENGLISH) -> Markup:
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
        title=language.say("{name}: the last {n} days", name=name, n=len(days)),
        description=_describe_days(days, language),
        class_="days",
        width="100%",
        height=_HEIGHT,
        data_labels="\n".join(format_slice(day, language) for day in days),
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


def _describe_days(days: Sequence[Slice], language: Language) -> str:
    shares = [day.uptime.share for day in days if day.uptime.share is not None]
    if not shares:
        return language.say("Nothing is known of them.")
    troubled = sum(share < 1 for share in shares)
    words = "{n} days are known, {troubled} of them with downtime; the worst day was {share} up."
    worst = language.sentence(format_share(min(shares)))
    return language.say(words, n=len(shares), troubled=troubled, share=worst)


def latency_band(history: History, language: Language = ENGLISH) -> Markup:
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
        *(_latency_ticks(scale, language) if spreads else [_no_answer(language)]),
        _grid_line(_TOP + _PLOT + _FAILURES),
        *(shape for part in slices for shape in _failure(part, times)),
        *_time_ticks(times, language),
        *(_hover_area(part, times, language) for part in slices),
        title=language.say("{name}: latency", name=history.database),
        description=_describe(history, scale, language),
        class_="band",
        width="100%",
        height=_BAND_HEIGHT,
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


def _no_answer(language: Language) -> Markup:
    words = language.say("no answer in this time")
    return tag("text", words, class_="tick time", x="50%", y=_TOP + _PLOT / 2)


def _latency_ticks(scale: LatencyScale, language: Language) -> Iterator[Markup]:
    for tick in scale.ticks_ms:
        if tick > 0:
            text = format_ms(tick).replace(".0 ", " ").replace(".00 ", " ")
            yield tag("text", language.sentence(text), class_="tick", x=2, y=_height(scale, tick) - 4)


def _grid_line(y: float) -> Markup:
    return Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(number(y))


def _height(scale: LatencyScale, latency_ms: float) -> float:
    return _TOP + (1 - scale.height(latency_ms)) * _PLOT


def _time_ticks(times: TimeScale, language: Language) -> Iterator[Markup]:
    for position, (moment, text) in enumerate(times.ticks(_TICKS)):
        across = times.across(moment)
        # A label so near to an edge would be cut off there.
        if 0.06 < across < 0.94:
            extra = " extra" if position % _PHONE_TICKS else ""
            yield tag(
                "text", language.sentence(text), class_=f"tick time{extra}", x=percent(across), y=_BAND_HEIGHT - 5
            )


def _failure(part: Slice, times: TimeScale) -> Iterator[Markup]:
    outcome = worst_outcome(part.outcomes)
    if outcome is not None:
        across = times.across(part.start + (part.end - part.start) / 2)
        yield failure_shape(outcome, across=across, y=_TOP + _PLOT + _FAILURES / 2)


def _hover_area(part: Slice, times: TimeScale, language: Language) -> Markup:
    left, right = times.across(part.start), times.across(part.end)
    return tag(
        "rect",
        tag("title", _label(part, language)),
        class_="hover-area",
        x=percent(left),
        width=percent(right - left),
        y=0,
        height=_BAND_HEIGHT,
    )


def _label(part: Slice, language: Language) -> str:
    outcome, label = worst_outcome(part.outcomes), format_slice(part, language)
    if outcome is None:
        return label
    return label + language.say(", most of them {outcome}", outcome=language.say(outcome.words))


def _describe(history: History, scale: LatencyScale, language: Language) -> str:
    say, sentence = language.say, language.sentence
    whole = history.whole
    if whole.latency is None:
        start, end = sentence(format_minute(whole.start)), sentence(format_minute(whole.end))
        return say("No answer from {start} to {end}.", start=start, end=end)
    unchecked = sum(((gap.end - gap.start) for gap in history.gaps), start=timedelta(0))
    gaps = say(" Nobody checked for {time}.", time=language.duration(unchecked)) if history.gaps else ""
    kind = say(" The scale is logarithmic.") if scale.is_logarithmic else ""
    words = "From {start} to {end}: p50 {p50}, p99 {p99}, {failed} of {checks} checks failed."
    figures = {
        "start": format_minute(whole.start),
        "end": format_minute(whole.end),
        "p50": format_ms(whole.latency.p50_ms),
        "p99": format_ms(whole.latency.p99_ms),
        "failed": f"{whole.checks_failed:,}",
        "checks": f"{whole.checks:,}",
    }
    return say(words, **{name: sentence(figure) for name, figure in figures.items()}) + gaps + kind
