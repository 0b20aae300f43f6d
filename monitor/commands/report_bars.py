"""Small bars of latency for the rows of a report: solid to the median, light to the 99th percentile.

Failures and times without a look have marks of their own; where a terminal cannot show blocks, letters stand in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from statistics import median

from rich.console import Console
from rich.text import Text

from monitor.core.history import Slice, Spread
from monitor.core.report_words import say_ms

_WIDTH = 12
# One bad hour must not flatten all the others; what is longer ends with an arrow.
_TOP_PER_MEDIAN = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Symbols:
    solid: str
    light: str
    failed: str
    nothing: str
    beyond: str


_BLOCKS = _Symbols(solid="█", light="░", failed="✗", nothing="·", beyond="▸")
_LETTERS = _Symbols(solid="#", light="-", failed="x", nothing=".", beyond=">")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """The scale that all rows of a report share: `top_ms` fills the whole bar."""

    top_ms: float
    symbols: _Symbols

    @classmethod
    def of(cls, console: Console, slices: Sequence[Slice]) -> Bars:
        """The scale for these rows, in what the console can show."""
        highest = [part.latency.p99_ms for part in slices if part.latency is not None]
        top = min(max(highest), _TOP_PER_MEDIAN * median(highest)) if highest else 1.0
        return cls(
            top_ms=max(top, 1e-3), symbols=_BLOCKS if can_show(console, "".join(astuple(_BLOCKS))) else _LETTERS
        )

    @property
    def title(self) -> str:
        """What the bar's whole width stands for."""
        return f"to {say_ms(self.top_ms)} ms"

    def bar(self, part: Slice) -> Text:
        """The bar of one row, its last place a mark where looks failed."""
        symbols = self.symbols
        if not part.looks:
            return Text(symbols.nothing, style="dim")
        bar = Text()
        if part.latency is not None:
            whole, filled = self._cells(part.latency.p99_ms), self._cells(part.latency.p50_ms)
            bar.append(symbols.solid * filled, style="green")
            bar.append(symbols.light * (whole - filled), style="green")
            if self._is_beyond(part.latency):
                bar = bar[:-1].append(symbols.beyond, style="yellow")
        if part.looks_failed:
            bar.append(symbols.failed, style="bold red")
        return bar

    def _cells(self, value_ms: float) -> int:
        return min(_WIDTH, max(1, round(_WIDTH * value_ms / self.top_ms)))

    def _is_beyond(self, latency: Spread) -> bool:
        return latency.p99_ms > self.top_ms


def can_show(console: Console, text: str) -> bool:
    """Whether the console's encoding has all these letters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
