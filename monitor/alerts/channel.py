"""What every channel offers to whoever delivers; how one does it stands in its own file."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from monitor.alerts.notification import Notification
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.lib.bounded_http.line import Answer


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str: ...

    def send(
        self, notification: Notification, *, footnotes: tuple[str, ...] = (), timeout: timedelta
    ) -> DeliveryResult:
        """Send one message. Blocks at most `timeout` by the wall clock, raises nothing for what a host does."""
        ...


def trouble(status: int) -> DeliveryResult:
    """The receipt for a status that by itself only means: try again later."""
    return DeliveryResult(status=DeliveryStatus.RETRY, detail=f"the service answered {status}")


def wished_pause(answer: Answer) -> timedelta:
    """The wait a 429 asks for in `Retry-After`, in seconds; one minute where it says nothing that can be read."""
    with suppress(ValueError, OverflowError):
        seconds = float(answer.headers.get("retry-after", ""))
        if 0 <= seconds < 1e6:
            return timedelta(seconds=seconds)
    return timedelta(minutes=1)
