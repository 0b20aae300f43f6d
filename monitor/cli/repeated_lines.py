"""Keeps a log line that repeats itself from filling the disk: a few a minute are written, the rest is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Record

_WINDOW_SECONDS = 60.0
_MOST_PER_WINDOW = 6
_MOST_LINES = 256
# What differs each time in a line that is otherwise the same: how long it took, how often so far.
_MEASURED = re.compile(r"\b\d[\d.,]* (?=(?:ms|s|min|h|d|so far)\b)")


class RepeatedLines:
    """A filter for loguru. `clock` gives monotonic seconds.

    Of the same line (level, message, kind of exception) six are let through within a minute. The last of them says
    that more are left out, and the first one after that minute how many were. Lines that differ in a duration or
    a count so far are the same line; in any other figure (an incident's, one in a name) they are not. At most 256
    lines are remembered. The message of a record that is let through may be changed.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # By line: when its minute began, how many came since. In the order in which the minutes began.
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def __call__(self, record: Record) -> bool:
        error, now = record["exception"], self._clock()
        kind = error.type.__name__ if error is not None and error.type is not None else ""
        line = (record["level"].name, _MEASURED.sub("", record["message"]), kind)
        began, count = self._seen.get(line, (now, 0))
        if now - began < _WINDOW_SECONDS:
            left_out = 0
        else:
            del self._seen[line]
            left_out, began, count = max(0, count - _MOST_PER_WINDOW), now, 0
        self._seen[line] = (began, count + 1)
        if len(self._seen) > _MOST_LINES:
            del self._seen[next(iter(self._seen))]
        if left_out:
            record["message"] += f" ({left_out} more of these were left out)"
        elif count + 1 == _MOST_PER_WINDOW:
            record["message"] += " (more of these within a minute are left out)"
        return count < _MOST_PER_WINDOW
