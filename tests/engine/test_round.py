"""What time a round gives its checks, and what it does without any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from monitor.alerts.retry_policy import LEASE
from monitor.engine.cycle import Connectivity, Cycle, grace
from monitor.engine.delivery import Deliverer
from monitor.engine.round import NoTimeError, Round, run_round
from monitor.lib.times import Deadline

TIMEOUT = timedelta(seconds=10)


@dataclass
class Patient:
    """Of a cycle nothing but its timeout is asked here."""

    timeout: timedelta = TIMEOUT


def plan(within: float, *, spent: float = 0.0, is_sending: bool = True) -> Round:
    return Round(
        confirm_interval=timedelta(seconds=5),
        connectivity=cast("Connectivity", None),
        deliverer=cast("Deliverer", object()) if is_sending else None,
        deadline=Deadline(timedelta(seconds=within), spent=timedelta(seconds=spent)),
        clock=lambda: datetime.now(UTC),
    )


@pytest.mark.parametrize("is_sending", [True, False])
@pytest.mark.parametrize("within", [2, 3, 5, 9.5, 10, 10.5, 12, 15, 20, 30, 60])
def test_a_check_that_hangs_has_its_result_before_the_time_for_checks_is_over(
    within: float, is_sending: bool
) -> None:
    """Its timeout is cut so that the connectivity hosts can be asked as well; it is cut no shorter than that."""
    round_ = plan(within, spent=0.5, is_sending=is_sending)
    left = round_.time_for_checks
    timeout = round_.timeout(cast("Cycle", Patient()))
    assert timedelta(seconds=0.5) < timeout <= TIMEOUT
    assert timeout + grace(timeout) <= left + timedelta(milliseconds=1) or timeout == TIMEOUT <= left
    assert timeout == TIMEOUT or timeout >= left * 0.7


def test_a_time_that_is_over_before_a_check_could_begin_is_told_as_that() -> None:
    """No database is called failing for our own hurry, and nothing asks to report a bug."""
    with pytest.raises(NoTimeError, match=r"--within 2s.*Next: give --within more"):
        asyncio.run(run_round([], plan(2, spent=1.4)))


class Sending:
    """A deliverer that claims a second message while the round asks what is due and sees its lease."""

    is_sending = False
    sent = 0

    async def work(self) -> None:
        await asyncio.Event().wait()

    async def release_groups(self) -> None:
        """Nothing is held."""

    def wake(self) -> None:
        """It works anyway."""

    async def wait_idle(self) -> None:
        self.sent += self.is_sending
        self.is_sending = False

    async def next_due(self) -> datetime | None:
        if self.sent:
            return None
        self.is_sending = True
        return datetime.now(UTC) + LEASE


class Idle:
    """Connectivity hosts that nobody asks."""

    async def wait_background(self) -> None:
        """There is nothing in the background."""


def test_a_second_message_that_is_claimed_at_the_end_is_waited_for() -> None:
    """A lease that ends after the deadline is no reason to end: its message would be cut off, and sent again."""
    sending = Sending()
    round_ = replace(plan(10), deliverer=cast("Deliverer", sending), connectivity=cast("Connectivity", Idle()))
    asyncio.run(run_round([], round_))
    assert sending.sent == 1
