"""What every channel offers to whoever delivers, what their answers have in common, and the log as a channel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from monitor.alerts.notification import Notification, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import NO_ORIGIN, Origin, clean, compose, plain_text
from monitor.lib.bounded_http import Answer
from monitor.lib.text import Scrub

# What stands before a service answers so where a request came too slowly or too early; the next one may pass.
_PASSING = (408, 425)
_READ_LIMIT = 1000


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str: ...

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        """Send one message. Blocks at most `timeout` by the wall clock, raises nothing for what a host does.

        `reply_to` is the `message_ref` of the first message about the same incident, where there is one.
        """
        ...

    def probe(self, timeout: timedelta) -> DeliveryResult | None:
        """Find out without a message whether one would arrive; `None` where the service has no way to ask.

        Blocks and raises as `send` does.
        """
        ...


class LogChannel:
    """Writes each message through `write(level, text)`, as one entry of several lines; it always arrives.

    Used by itself where no other channel is set.
    """

    def __init__(self, *, name: str, write: Callable[[str, str], None], origin: Origin = NO_ORIGIN) -> None:
        self.name = name
        self._write = write
        self._origin = origin

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        level = "ERROR" if notification.severity is Severity.CRITICAL else "WARNING"
        text = plain_text(compose(notification, notes, self._origin))
        self._write("INFO" if notification.is_good_news else level, text)
        return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="written to the log")

    def probe(self, timeout: timedelta) -> None:
        """Nothing to ask."""


def try_again(answer: Answer, service: str) -> DeliveryResult | None:
    """The result for a status that by itself means: try again later. `None` for any other."""
    if answer.status == 429:
        detail = f"{service} limits the rate (429)"
        return DeliveryResult(status=DeliveryStatus.RETRY, detail=detail, retry_after=_requested_pause(answer))
    if answer.status >= 500 or answer.status in _PASSING:
        return DeliveryResult(status=DeliveryStatus.RETRY, detail=f"the service answered {answer.status}")
    return None


def unconfirmed(answer: Answer, service: str, check: str) -> DeliveryResult:
    """The result for a 2xx that is not the service's confirmation."""
    detail = f"something that is not {service} answered {answer.status}: check {check}"
    return DeliveryResult(status=DeliveryStatus.UNCONFIRMED, detail=detail)


def excerpt(text: str, scrub: Scrub, limit: int) -> str:
    """A service's own words, for a detail. Scrubbed before they are cut: half a secret would not be found."""
    return clean(scrub(clean(text, _READ_LIMIT)), limit)


def _requested_pause(answer: Answer) -> timedelta:
    """The wait that `Retry-After` asks for, in seconds; one minute where it has nothing that can be read."""
    with suppress(ValueError, OverflowError):
        seconds = float(answer.headers.get("retry-after", ""))
        if 0 <= seconds < 1e6:
            return timedelta(seconds=seconds)
    return timedelta(minutes=1)
