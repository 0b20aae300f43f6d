"""What an SLA claim for a month needs: when a database was down, why, on whose side, and what is not known.

The stretches are made in `report_outages`; Upstash's terms are those of its documentation (page SLA,
`common/help/sla.mdx` in its repository upstash/docs, read in August 2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from monitor.core.diagnosis import advise
from monitor.core.history import Gap, History, Uptime
from monitor.core.observation import Outcome
from monitor.core.report_outages import Stretch

SLA_SOURCE = "https://upstash.com/docs/common/help/sla"
SLA_READ = "August 2026"
SLA_MAIL = "support@upstash.com"
SLA_TARGET = 0.9999
# Below this monthly share, so many per cent of the month's bill; the lowest share first.
_CREDITS = ((0.95, 60), (0.99, 30), (SLA_TARGET, 10))
_WHOSE_OWN = "yours"


class Side(Enum):
    """Where the cause of an outage lies."""

    UPSTASH = "upstash"
    OWN = "own"

    @property
    def words(self) -> str:
        return "Upstash's side or the way there" if self is Side.UPSTASH else "our own side"


def side_of(cause: Outcome) -> Side:
    """Our own side where the advice for it leaves nobody else a move: a token, a quota, our resolver."""
    return Side.OWN if advise(cause).whose_move == _WHOSE_OWN else Side.UPSTASH


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One database in one month of UTC.

    `outages` are down, `blind` are looks that said nothing of the database (we were offline), `gaps` are times
    without a look: all the oldest first and cut to the month. While the month runs, `end` is before `month_end`.
    """

    database: str
    start: datetime
    end: datetime
    month_end: datetime
    uptime: Uptime
    looks: int
    outages: tuple[Stretch, ...]
    blind: tuple[Stretch, ...]
    gaps: tuple[Gap, ...]

    def down(self, side: Side) -> timedelta:
        """The listed time down for causes on that side, never more than was counted as down.

        Incidents, which stand in for looks that are gone, may hold single fine looks.
        """
        return min(_sum(one.duration for one in self.outages if side_of(one.cause) is side), self.uptime.down)

    @property
    def down_unlisted(self) -> timedelta:
        """Down by the rollups, but the single looks that would show when are not kept any more."""
        return max(timedelta(0), self.uptime.down - _sum(one.duration for one in self.outages))

    @property
    def unknown_unlisted(self) -> timedelta:
        """Unknown, and neither a gap nor a look: before the first one, and after the last until the next."""
        listed = _sum(one.duration for one in self.blind) + _sum(gap.end - gap.start for gap in self.gaps)
        return max(timedelta(0), self.uptime.unknown - listed)

    @property
    def share(self) -> float | None:
        """The known time without what was down on Upstash's side, from 0 to 1; `None` when nothing is known."""
        return 1 - self.down(Side.UPSTASH) / self.uptime.known if self.uptime.known else None

    @property
    def share_at_best(self) -> float:
        """The same of the whole month, had all the time that is unknown or still to come been up."""
        return 1 - self.down(Side.UPSTASH) / (self.month_end - self.start)

    @property
    def credit_percent(self) -> int:
        """What Upstash's table gives for `share_at_best`: nothing is claimed for time that nobody saw."""
        return next((percent for below, percent in _CREDITS if self.share_at_best < below), 0)


def claim(history: History, found: Sequence[Stretch], *, month_end: datetime) -> Claim:
    """The claim of a month's history and the stretches that were found in it."""
    ordered = sorted(found, key=lambda one: one.start)
    return Claim(
        database=history.database,
        start=history.whole.start,
        end=history.whole.end,
        month_end=month_end,
        uptime=history.whole.uptime,
        looks=history.whole.looks,
        outages=tuple(one for one in ordered if one.is_down),
        blind=tuple(one for one in ordered if not one.is_down),
        gaps=history.gaps,
    )


def _sum(times: Iterable[timedelta]) -> timedelta:
    return sum(times, timedelta(0))
