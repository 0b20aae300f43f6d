"""What came out, in words: the tables of docs/alerting.md, its picture, and the list of what must hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from bench.alerting.faults import (
    BLIPS_20,
    BLIPS_40,
    CHANNEL_AWAY,
    CLEAN,
    FLAPPING,
    HALF,
    KILLED,
    LOSS_1,
    LOSS_5,
    LOST_DAILY,
    OUTAGES,
    THIRD,
    TWENTY,
)
from bench.alerting.models import PEERS
from bench.alerting.run import Figures
from bench.samples import percentile
from monitor.web.pages.svg import picture, tag

OURS = "ours"
NAMES = (OURS, *(peer.name for peer in PEERS))
INTERVALS = (5, 10, 30)
# The rules before issue 15 (3 of 5 by family), by this simulation: false alarms a month of a cron every 5 minutes,
# with a disk and without.
BEFORE = {LOSS_5.name: (6.6, 6.5), BLIPS_40.name: (38.8, 38.9)}
# Figures, by scenario and tool.
Rows = Mapping[str, Mapping[str, Figures]]


@dataclass(kw_only=True)
class Results:
    """All that was simulated: by scenario and tool, by interval, of a cron; how many months through the store."""

    rows: dict[str, dict[str, Figures]] = field(default_factory=dict)
    intervals: dict[int, dict[str, Figures]] = field(default_factory=dict)
    cron: dict[str, tuple[Figures, Figures]] = field(default_factory=dict)
    stored: int = 0
    unlike: list[str] = field(default_factory=list)


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def cell(figures: Figures | None) -> str:
    """The figures of one tool for one scenario, in the order that docs/alerting.md tells."""
    if figures is None:
        return "?"
    if not figures.episodes:
        a_month = figures.messages / figures.months
        return f"{figures.false_a_month:.2f} · {a_month:.1f} · {figures.worst_day}"
    each = figures.messages_each
    early = sum(episode.too_early for episode in figures.episodes) / len(figures.episodes)
    parts = [
        f"{figures.told:.0%}",
        f"{statistics.median(each):.0f}/{percentile(each, 0.95)}/{max(each)}",
        f"{seconds(figures.delay())}/{seconds(figures.delay(0.99))}",
        f"+{seconds(figures.over_after())}",
        f"{early:.1f} too early" if early else "",
        f"{figures.false_a_month:.1f} false" if figures.false else "",
        f"{figures.lost / figures.months:.1f} lost" if figures.lost else "",
        f"{figures.duplicates} twice" if figures.duplicates else "",
        str(figures.worst_day),
    ]
    return " · ".join(part for part in parts if part)


def main_table(rows: Rows) -> list[str]:
    lines = [_line("scenario (months)", *NAMES), "|---" * (len(NAMES) + 1) + "|"]
    for name, by_tool in rows.items():
        head = f"{name} ({by_tool[OURS].months})"
        lines.append(_line(head, *(cell(by_tool.get(tool)) for tool in NAMES)))
    return lines


def interval_table(intervals: Mapping[int, Mapping[str, Figures]]) -> list[str]:
    names = list(next(iter(intervals.values())))
    lines = [_line("interval", *names), "|---" * (len(names) + 1) + "|"]
    return lines + [_line(f"{i} s", *(cell(row[name]) for name in names)) for i, row in intervals.items()]


def cron_table(cron: Mapping[str, tuple[Figures, Figures]]) -> list[str]:
    lines = [_line("scenario (months)", "with a disk", "empty disk at each start"), "|---|---|---|"]
    return lines + [
        _line(f"{name} ({both[0].months})", cell(both[0]), cell(both[1])) for name, both in cron.items()
    ]


def peers_table() -> list[str]:
    lines = ["| model | rule, in one line | source |", "|---|---|---|"]
    return lines + [_line(peer.name, peer.rule, peer.source) for peer in PEERS]


def better_rows(rows: Rows) -> Iterator[str]:
    """Each row and figure in which a peer is clearly better than we are."""
    for name, by_tool in rows.items():
        found = [words for what in _COMPARED if (words := _better(by_tool, what))]
        if found:
            yield f"- {name}: " + "; ".join(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """A figure of which less is better; a difference below `least` is none."""

    words: str
    value: Callable[[Figures], float | None]
    least: float
    write: Callable[[float], str]


_COMPARED = (
    _Compared(words="false alarms", value=lambda f: f.false_a_month, least=0.1, write=lambda v: f"{v:.1f}"),
    _Compared(
        words="not told",
        value=lambda f: 1 - f.told if f.episodes else None,
        least=0.02,
        write=lambda v: f"{v:.0%}",
    ),
    _Compared(
        words="messages each",
        value=lambda f: statistics.median(f.messages_each) if f.episodes and f.told > 0.5 else None,
        least=0.5,
        write=lambda v: f"{v:.0f}",
    ),
    _Compared(words="delay", value=lambda f: f.delay() if f.told_at_all else None, least=5.0, write=seconds),
    _Compared(words="over after", value=lambda f: f.over_after(), least=10.0, write=seconds),
)


def _better(by_tool: Mapping[str, Figures], what: _Compared) -> str:
    here = what.value(by_tool[OURS])
    if here is None:
        return ""
    peers = {name: what.value(figures) for name, figures in by_tool.items() if name != OURS}
    better = {name: there for name, there in peers.items() if there is not None and there < here - what.least}
    listed = ", ".join(f"{name} {what.write(there)}" for name, there in better.items())
    return f"{what.words} (we {what.write(here)}): {listed}" if better else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Criterion:
    """Something that must hold, and what was measured."""

    words: str
    measured: str
    holds: bool

    def __str__(self) -> str:
        return f"[{'x' if self.holds else ' '}] {self.words}: {self.measured}"


def criteria(results: Results) -> Iterator[Criterion]:
    """What must hold for the default rules."""
    ours = {name: by_tool[OURS] for name, by_tool in results.rows.items()}
    for scenario in (CLEAN, LOST_DAILY, LOSS_1, BLIPS_20, BLIPS_40):
        yield _at_most(f"no false alarm: {scenario.name}", ours[scenario.name].false_a_month, 0)
    yield _at_most("at most 4 false alarms a month: 5 % loss", ours[LOSS_5.name].false_a_month, 4)
    long = [ours[scenario.name] for scenario in OUTAGES[3:]]
    told, delays = min(f.told for f in long), [delay for f in long for delay in f.delays]
    yield Criterion(words="outages of 2 min and longer all told", measured=f"{told:.1%}", holds=told == 1)
    yield _at_most("their delay, median, at most 80 s", statistics.median(delays), 80)
    yield _at_most("their delay, p99, at most 130 s", percentile(delays, 0.99), 130)
    for scenario in (HALF, THIRD, FLAPPING):
        figures = ours[scenario.name]
        yield _at_most(f"at most 8 messages: {scenario.name}", max(figures.messages_each), 8)
        yield _at_most(f"false all-clear in at most 0.1: {scenario.name}", figures.too_early_share, 0.1)
    flapping = ours[FLAPPING.name].told
    yield Criterion(words="every flapping host told", measured=f"{flapping:.0%}", holds=flapping == 1)
    twenty = statistics.median(ours[TWENTY.name].messages_each)
    yield _at_most("twenty together, at most 6 messages in the median", twenty, 6)
    yield _at_most("nothing lost", sum(figures.lost for figures in ours.values()), 0)
    missed = sum(not e.is_told for s in (CHANNEL_AWAY, KILLED) for e in ours[s.name].episodes)
    yield _at_most("all told though the channel is away or we are killed, not told", missed, 0)
    twice = sum(figures.duplicates for name, figures in ours.items() if name != KILLED.name)
    yield _at_most("nothing told twice but after a kill", twice, 0)
    yield from _by_interval(results.intervals)
    yield from _of_cron(results.cron)
    words = f"{results.stored} months through store and delivery told alike"
    yield Criterion(words=words, measured=", ".join(results.unlike) or "yes", holds=not results.unlike)


def _by_interval(intervals: Mapping[int, Mapping[str, Figures]]) -> Iterator[Criterion]:
    for (interval, row), most in zip(intervals.items(), (14, 8, 3), strict=True):
        every, flapping = f"every {interval} s", row[FLAPPING.name]
        yield _at_most(f"{every}, no false alarm: 1 % loss", row[LOSS_1.name].false_a_month, 0)
        yield _at_most(f"{every}, at most {most} a month: 5 % loss", row[LOSS_5.name].false_a_month, most)
        yield Criterion(
            words=f"{every}, each flapping host told in at most 4 messages",
            measured=f"{flapping.told:.0%}, {max(flapping.messages_each)}",
            holds=flapping.told == 1 and max(flapping.messages_each) <= 4,
        )


def _of_cron(cron: Mapping[str, tuple[Figures, Figures]]) -> Iterator[Criterion]:
    for place, words in enumerate(("with a disk", "without a disk")):
        told = min(both[place].told for name, both in cron.items() if name in _TEN_MINUTES)
        yield Criterion(
            words=f"cron {words}: outages of 10 min and more all told", measured=f"{told:.1%}", holds=told == 1
        )
        for name, before in BEFORE.items():
            now = cron[name][place].false_a_month
            yield Criterion(
                words=f"cron {words}: fewer false alarms than before, {name}",
                measured=f"{now:.1f}, before {before[place]:.1f}",
                holds=now < before[place],
            )


_TEN_MINUTES = {scenario.name for scenario in OUTAGES[5:]}


def _at_most(words: str, value: float, most: float) -> Criterion:
    return Criterion(words=words, measured=f"{value:.2f}".rstrip("0").rstrip("."), holds=value <= most)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 800.0, 440.0, 50.0, 60.0, 50.0, 130.0
_MOST_SECONDS = 300.0
_TICKS = (0, 1, 10, 100, 1000)


def plot(rows: Rows) -> str:
    """False alarms a month against delay, each tool a point; as an SVG file of its own."""
    noisy, outage = (LOSS_1, LOSS_5, BLIPS_20, BLIPS_40), OUTAGES[4]
    points = {
        name: (rows[outage.name][name].delay(), statistics.mean(rows[s.name][name].false_a_month for s in noisy))
        for name in NAMES
    }
    parts, used = [*_axes()], list[tuple[float, float]]()
    for name, (delay, false) in points.items():
        x, y = _x(min(delay or _MOST_SECONDS, _MOST_SECONDS)), _y(false)
        is_ours = name == OURS
        parts.append(tag("circle", cx=x, cy=y, r=6 if is_ours else 4, fill="#d4351c" if is_ours else "#1d70b8"))
        label_y = y + 4
        while any(abs(label_y - other_y) < 14 and abs(x - other_x) < 160 for other_x, other_y in used):
            label_y -= 14
        used.append((x, label_y))
        parts.append(_text(f"{name} ({seconds(delay)}, {false:.1f})", x + 9, label_y, weight=is_ours))
    return str(
        picture(
            *parts,
            title="False alarms against delay",
            description="; ".join(f"{n}: {seconds(delay)}, {false:.1f}" for n, (delay, false) in points.items()),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
            font_family="sans-serif",
            font_size=12,
        )
    )


def _x(delay: float) -> float:
    return _LEFT + delay / _MOST_SECONDS * (_WIDTH - _LEFT - _RIGHT)


def _y(false: float) -> float:
    share = math.log10(1 + false) / math.log10(1 + _TICKS[-1])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _axes() -> Iterator[Markup]:
    yield tag("rect", width=_WIDTH, height=_HEIGHT, fill="#fff")
    for tick in _TICKS:
        yield tag("path", d=f"M{_LEFT} {_y(tick):.1f}H{_WIDTH - _RIGHT}", stroke="#ddd")
        yield _text(str(tick), _LEFT - 8, _y(tick) + 4, anchor="end")
    for tick in range(0, 301, 60):
        yield tag("path", d=f"M{_x(tick)} {_TOP}V{_HEIGHT - _BOTTOM}", stroke="#ddd")
        yield _text(str(tick), _x(tick), _HEIGHT - _BOTTOM + 18, anchor="middle")
    yield _text("delay of a 5-minute outage, median, s", _x(150), _HEIGHT - 16, anchor="middle")
    yield _text("false alarms a month, mean of 1 % and 5 % loss, blips of 20 and 40 s an hour", 8, 18)


def _text(words: str, x: float, y: float, *, anchor: str | None = None, weight: bool = False) -> Markup:
    return tag("text", words, x=x, y=y, text_anchor=anchor, font_weight="bold" if weight else None, fill="#222")


def document(results: Results, about: Sequence[str]) -> str:
    """What docs/alerting.md shows below its mark."""
    parts = [
        *about,
        "",
        *main_table(results.rows),
        "",
        "## By interval, our rules",
        "",
        *interval_table(results.intervals),
        "",
        "## `check` from cron, every five minutes",
        "",
        *cron_table(results.cron),
        "",
        "## Where a peer is better",
        "",
        *better_rows(results.rows),
        "",
        "## What must hold for our default rules",
        "",
        *(f"- {criterion}" for criterion in criteria(results)),
        "",
        "## The models",
        "",
        *peers_table(),
    ]
    return "\n".join(parts) + "\n"
