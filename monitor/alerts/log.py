"""The log as a channel: used by itself where nobody else is to be told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from monitor.alerts.notification import Notification, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import compose, plain


class LogChannel:
    """Writes each message through `write(level, text)`; what was written has arrived."""

    def __init__(self, *, name: str, write: Callable[[str, str], None]) -> None:
        self.name = name
        self._write = write

    def send(
        self, notification: Notification, *, footnotes: tuple[str, ...] = (), timeout: timedelta
    ) -> DeliveryResult:
        """Write the message as one entry of several lines."""
        bad = "ERROR" if notification.severity is Severity.CRITICAL else "WARNING"
        self._write("INFO" if notification.is_good_news else bad, plain(compose(notification, footnotes)))
        return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="written to the log")
