"""How many commands a schedule costs in a month, against those of the free plan (upstash.com/pricing).

PING and AUTH are not billed (docs: redis/troubleshooting and the pricing page's list of free commands); the
canary's three are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from monitor.checks.canary import RETRY_AFTER

MONTH = timedelta(days=30)
USUAL_SCHEDULE = timedelta(minutes=5)  # the least pause between two rounds that Railway and GitHub allow
FREE_PLAN_COMMANDS = 500_000
CANARY_COMMANDS = 3  # written, read back, deleted
STATE_COMMANDS = 2  # read at the start of a `check`, written at its end
CANARY_FINDS = "used-up commands, a full database and a read-only token"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Commands in 30 days.

    `confirmations` and `canary_retries` are the worst case beyond the ordinary ones: a database that is in doubt,
    and a canary that fails, all month.
    """

    checks: int
    confirmations: int
    canary: int
    canary_retries: int

    @property
    def billed(self) -> int:
        """What the schedule costs: checks and confirmations are PING, which is free."""
        return self.canary

    @property
    def sent(self) -> int:
        """Everything that may be sent, billed or not."""
        return self.checks + self.confirmations + self.canary + self.canary_retries


def budget(interval: timedelta, confirm_interval: timedelta, canary: timedelta | None) -> Budget:
    """The commands of one database."""
    checks = MONTH // interval
    canaries = 0 if canary is None else MONTH // max(canary, interval)
    retries = 0 if canary is None else MONTH // max(min(canary, RETRY_AFTER), interval) - canaries
    return Budget(
        checks=checks,
        confirmations=max(0, MONTH // min(interval, confirm_interval) - checks),
        canary=canaries * CANARY_COMMANDS,
        canary_retries=retries * CANARY_COMMANDS,
    )
