"""What one process takes while it runs, as rows of a table and as strips of a plot, one figure below the other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bench.processes import cpu_seconds, memory
from monitor.web.pages.svg import picture, tag

_WIDTH, _HEIGHT, _LEFT, _GAP = 760.0, 90.0, 60.0, 34.0
# One look: `seconds` since the start, and each figure by its key.
Sample = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What is shown of the samples, with so many digits."""

    key: str
    words: str
    digits: int = 1


RSS = Figure(key="rss_mb", words="memory (RSS), MB")
MEMORY = (
    RSS,
    Figure(key="pss_mb", words="of it with our part of what other programs share (PSS), MB"),
    Figure(key="own_mb", words="of it in no file: heap and stacks, MB"),
)
PROCESS = (
    Figure(key="descriptors", words="file descriptors", digits=0),
    Figure(key="threads", words="threads", digits=0),
)


def look(pid: int) -> dict[str, float]:
    """The figures of `MEMORY` and `PROCESS`, and `cpu_seconds` so far."""
    proc, taken = Path(f"/proc/{pid}"), memory([pid])
    return {
        "rss_mb": taken.rss,
        "pss_mb": taken.pss,
        "own_mb": taken.own,
        "descriptors": float(len([*(proc / "fd").iterdir()])),
        "threads": float(len([*(proc / "task").iterdir()])),
        "cpu_seconds": cpu_seconds([pid]),
    }


def rows(samples: Sequence[Sample], figures: Sequence[Figure]) -> str:
    """A table. The first tenth is left out: the program starts."""
    tenth = max(1, len(samples) // 10)
    lines = ["| what | second tenth, median | last tenth, median | highest |", "|---|---|---|---|"]
    for figure in figures:
        values = [sample[figure.key] for sample in samples]
        shown = (statistics.median(values[tenth : 2 * tenth]), statistics.median(values[-tenth:]), max(values))
        lines.append(f"| {figure.words} | {' | '.join(f'{value:.{figure.digits}f}' for value in shown)} |")
    return "\n".join(lines)


def plot(
    samples: Sequence[Sample], figures: Sequence[Figure], *, title: str, moments: Sequence[float] = ()
) -> str:
    """An SVG file. `moments` are seconds at which something happened, a line each through all strips."""
    end, height = samples[-1]["seconds"], len(figures) * (_HEIGHT + _GAP) + _GAP

    def x(seconds: float) -> float:
        return _LEFT + seconds / end * (_WIDTH - _LEFT - 10)

    parts: list[Markup] = [tag("rect", width=_WIDTH, height=height, fill="#fff")]
    parts += [tag("path", d=f"M{x(moment):.1f} {_GAP}V{height - _GAP}", stroke="#f3b6ab") for moment in moments]
    for number, figure in enumerate(figures):
        top = _GAP + number * (_HEIGHT + _GAP)
        values = [sample[figure.key] for sample in samples]
        most = max(values) * 1.05 or 1.0
        places = [
            (x(sample["seconds"]), top + _HEIGHT * (1 - value / most))
            for sample, value in zip(samples, values, strict=True)
        ]
        line = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
        parts += [
            tag("path", d=f"M{_LEFT} {top}V{top + _HEIGHT}H{_WIDTH - 10}", stroke="#999", fill="none"),
            tag("path", d=line, stroke="#1d70b8", fill="none"),
            tag("text", figure.words, x=_LEFT, y=top - 8, fill="#222"),
            tag("text", f"{most:.{figure.digits}f}", x=_LEFT - 6, y=top + 8, text_anchor="end", fill="#222"),
            tag("text", "0", x=_LEFT - 6, y=top + _HEIGHT, text_anchor="end", fill="#222"),
        ]
    parts.append(tag("text", f"{end / 60:.0f} min", x=_WIDTH - 10, y=height - 10, text_anchor="end", fill="#222"))
    return str(
        picture(
            *parts,
            title=title,
            description="; ".join(figure.words for figure in figures),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}",
            font_family="sans-serif",
            font_size=12,
        )
    )
