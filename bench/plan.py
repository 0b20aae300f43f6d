"""What a run of the bench was asked for, as every line takes it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.table import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`folder` is scratch space. In a `quick` run everything is done once and briefly, and no goal is judged."""

    folder: Path
    quick: bool
    seed: int
    faults: int
    memory_seconds: float

    def choose(self, full: float, quick: float) -> float:
        return quick if self.quick else full

    def judged(self, *, reached: bool | None) -> bool | None:
        """What a quick run shows is that the bench works, no more."""
        return None if self.quick else reached

    def chance(self, purpose: str) -> random.Random:
        """Random, and the same for the same seed."""
        return random.Random(f"{self.seed} {purpose}")

    def scratch(self, name: str) -> Path:
        """A folder of a line's own."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


Line = Callable[[Plan], Iterator[Row]]
