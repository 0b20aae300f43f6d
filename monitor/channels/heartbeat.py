"""The dead man's switch: a URL that is fetched while the monitor does its job, as healthchecks.io expects."""

from __future__ import annotations

from datetime import timedelta

from monitor.core.outbox import Receipt, Verdict
from monitor.outbound.line import NoAnswerError
from monitor.outbound.request import ask


class Heartbeat:
    """One URL. When the pings stop, whoever owns it says so: it is the only alarm for a monitor that died."""

    def __init__(self, *, url: str) -> None:
        self._url = url

    def ping(self, *, timeout: timedelta) -> Receipt:
        """Fetch the URL; blocks at most `timeout`, raises nothing for what the host does."""
        try:
            answer = ask("GET", self._url, timeout=timeout)
        except NoAnswerError as error:
            return Receipt(verdict=Verdict.RETRY, detail=str(error))
        fine = 200 <= answer.status < 300
        return Receipt(verdict=Verdict.CONFIRMED if fine else Verdict.RETRY, detail=f"answered {answer.status}")
