"""What the system says of processes that run: their CPU and their memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_FIGURE = re.compile(r"^(Rss|Pss|Anonymous):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """MB in memory: with what is shared with other programs (`rss`), with our part of that (`pss`).

    `own` is what belongs to no file: heap and stacks.
    """

    rss: float
    pss: float
    own: float


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all their threads, those that have ended included, to the nanosecond."""
    # The kernel's clock of another process; see clock_getcpuclockid(3).
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pids: Iterable[int]) -> Memory:
    """What several processes take together."""
    found = [dict(_FIGURE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())) for pid in pids]
    rss, pss, own = (sum(int(each[name]) for each in found) / 1024 for name in ("Rss", "Pss", "Anonymous"))
    return Memory(rss=rss, pss=pss, own=own)
