"""What is counted since the history began, as metrics tell it: figures that only grow, and how things stand now.

Only words live here: they are read in `flow/overview`, and put into Prometheus' language in `status/metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from monitor.core.observation import Look, Outcome


class Latencies(Protocol):
    """How latencies are spread, as far as a histogram of metrics has to know it."""

    @property
    def count(self) -> int: ...

    @property
    def sum_ms(self) -> float: ...

    def count_at_most(self, ms: float, /) -> int:
        """How many took at most so long; never less for a longer time, and never more than `count`.

        For the same time it must not fall when another latency is added, not even by what an approximation is
        off: Prometheus takes a count that falls for one that began anew, and counts all of it again.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseTotals:
    """One database. `outcomes` has all its looks ever by outcome, zeros may be left out.

    `latest` is `None` before the first look, `last_success_at` before the first that ended well. `latency` is of
    all looks ever that ended fine, slow ones left out. None of it shrinks when old looks are deleted.
    """

    database: str
    latest: Look | None
    outcomes: Mapping[Outcome, int]
    latency: Latencies
    last_success_at: datetime | None
    is_incident_open: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Everything that is watched. `notifications` counts tries by channel and result, which is "sent" or "failed".

    Every channel of the settings is in it from the start: a counter that begins at 1 hides its first event.
    `outbox_pending` is how many parcels wait to be sent or are on their way.
    """

    databases: tuple[DatabaseTotals, ...]
    notifications: Mapping[tuple[str, str], int]
    outbox_pending: int
