"""Whether each incident of a file was told from its beginning to its end, by what the channels heard."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from time import monotonic, sleep

# The last line of a message: `incident 12 · opened`, `incidents 3, 5-9 · closed`.
_REFERENCE = re.compile(r"\bincidents? (\d[\d, -]*) · (\w+)")
_LETTERS = {"opened": "o", "reopened": "o", "changed": "h", "reminder": "h", "closed": "c", "missed": "m"}
# What began is told to have ended. What began and ended while the channel was away is told once, as missed; so is
# what ended, began again and ended meanwhile.
_WHOLE = re.compile(r"(?:o[oh]*[cm]|m)+")


def wait_for_calm(file: Path, seconds: float) -> str:
    """Until no incident is open and no message waits; what there still is after so many seconds, or nothing."""
    end, left = monotonic() + seconds, ""
    while monotonic() < end:
        with closing(sqlite3.connect(file, timeout=30)) as shell:
            [open_ones] = shell.execute("SELECT count(*) FROM incident_log WHERE closed_at IS NULL").fetchone()
            [waiting] = shell.execute("SELECT count(*) FROM deliveries WHERE delivered_at IS NULL").fetchone()
        if not open_ones and not waiting:
            return ""
        left = f"after {seconds:.0f} s {open_ones} incidents are open and {waiting} messages wait"
        sleep(1)
    return left


def incidents(file: Path) -> list[int]:
    """The numbers of all that the file knows."""
    with closing(sqlite3.connect(file, timeout=30)) as shell:
        return [number for (number,) in shell.execute("SELECT id FROM incident_log ORDER BY id")]


def untold(numbers: Sequence[int], heard: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A line for each incident that closed and was not told whole on a channel; `heard` has its messages in order.

    A message that came twice in a row counts once: a process that is stopped while it sends does not hear that
    the message was taken.
    """
    for channel, texts in heard.items():
        kinds: dict[int, str] = dict.fromkeys(numbers, "")
        for text in texts:
            for ranges, kind in _REFERENCE.findall(text):
                for number in _numbers(ranges):
                    kinds[number] = kinds.get(number, "") + _LETTERS.get(kind, "?")
        for number, letters in kinds.items():
            if number not in numbers:
                yield f"{channel} heard of incident {number}, which the file does not have"
            elif not _WHOLE.fullmatch("".join(letter for letter, _ in groupby(letters))):
                yield f"{channel} heard of incident {number}: {letters or 'nothing'}"


def _numbers(ranges: str) -> Iterator[int]:
    for part in filter(str.strip, ranges.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
