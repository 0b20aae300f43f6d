"""Figures of one kind, and how they are written: median, percentiles, worst.

What was measured, and how, is told by the lines.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above; no interpolation between two of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_and_worst(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """`7.0 / 7.2 s`."""
    return f"{statistics.median(values):.{digits}f} / {max(values):.{digits}f} {unit}"


def several(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """`0.41 s (0.39 to 0.44)`, or one figure by itself."""
    middle = f"{statistics.median(values):.{digits}f} {unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"
