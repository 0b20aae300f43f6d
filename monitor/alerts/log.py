"""The log as a channel: used by itself where nobody else is to be told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from monitor.alerts.notification import Notice, Severity
from monitor.alerts.retry_policy import Receipt, Verdict
from monitor.alerts.text import compose, plain


class LogChannel:
    """Writes each message through `write(level, text)`; what was written has arrived."""

    def __init__(self, *, name: str, write: Callable[[str, str], None]) -> None:
        self.name = name
        self._write = write

    def send(self, notice: Notice, *, footnotes: tuple[str, ...] = (), timeout: timedelta) -> Receipt:
        """Write the message as one entry of several lines."""
        bad = "ERROR" if notice.severity is Severity.CRITICAL else "WARNING"
        self._write("INFO" if notice.is_good_news else bad, plain(compose(notice, footnotes)))
        return Receipt(verdict=Verdict.CONFIRMED, detail="written to the log")
