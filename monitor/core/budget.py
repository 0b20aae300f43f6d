"""How many commands a schedule costs in a month, against what the free plan gives (upstash.com/pricing).

PING is not billed (docs: redis/troubleshooting and the pricing page's list of free commands); the canary's are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

MONTH = timedelta(days=30)
FREE_PLAN_COMMANDS = 500_000
_CANARY_COMMANDS = 3  # written, read back, deleted


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Commands in 30 days. `confirmations` is the worst case: in doubt all month, beyond the ordinary looks."""

    looks: int
    confirmations: int
    canary: int

    @property
    def billed(self) -> int:
        """Looks and confirmations are PING, which is free."""
        return self.canary

    @property
    def sent(self) -> int:
        """Everything that may be sent, billed or not."""
        return self.looks + self.confirmations + self.canary


def budget(interval: timedelta, confirm_interval: timedelta, canary: timedelta | None) -> Budget:
    """The commands of one database."""
    looks = MONTH // interval
    return Budget(
        looks=looks,
        confirmations=max(0, MONTH // min(interval, confirm_interval) - looks),
        canary=0 if canary is None else MONTH // canary * _CANARY_COMMANDS,
    )
