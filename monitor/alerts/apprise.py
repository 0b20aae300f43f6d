"""Apprise: a message through any of the services that it knows. An optional extra, imported when it is used.

Its answer is coarse (github.com/caronc/apprise): true when the service took the message, false when it did not,
for whatever reason. So a message is never confirmed, and a failure is tried again; after some in a row it is taken
for a refusal.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from monitor.alerts.notification import Notification, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import NO_ORIGIN, Origin, compose, plain_text
from monitor.lib.threads import start_on_thread

MISSING = "Apprise is not installed. Next: pip install 'upstash-monitor[apprise]'"
_NOT_UNDERSTOOD = "Apprise does not understand url. Next: write it as its page for the service shows"
# So many failures in a row are no passing trouble.
_MOST_FAILURES = 5


class AppriseChannel:
    """Whatever an Apprise URL names. No message is ever confirmed, since nobody says that it arrived."""

    def __init__(self, *, name: str, url: str, origin: Origin = NO_ORIGIN) -> None:
        self.name = name
        self._url = url
        self._origin = origin
        self._failures = 0

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        """Send as plain text. What takes longer than `timeout` goes on unobserved, and may arrive twice."""
        if (wrong := self.probe(timeout)) is not None:
            return wrong
        message = compose(notification, notes, self._origin)
        title, _, body = plain_text(message).partition("\n")
        sending = start_on_thread(lambda: _notify(self._url, title, body or title, notification), name="apprise")
        is_sent, why = False, "Apprise could not send it; the log has what it says of that"
        try:
            failure = sending.exception(timeout=timeout.total_seconds())
        except TimeoutError:
            why = f"Apprise did not end within {timeout.total_seconds():.3g} s"
        else:
            is_sent = failure is None and sending.result()
            if failure is not None:  # whose text may hold the URL
                why = f"Apprise failed inside ({type(failure).__name__})"
        if is_sent:
            self._failures = 0
            detail = "Apprise sent it, and cannot tell whether it arrived"
            return DeliveryResult(status=DeliveryStatus.UNCONFIRMED, detail=detail)
        self._failures += 1
        if self._failures < _MOST_FAILURES:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=why)
        detail = f"{why}, as often before: check url, and that the service still takes messages"
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=detail)

    def probe(self, timeout: timedelta) -> DeliveryResult | None:
        """Without a message only this is known: whether Apprise is there, and understands the URL."""
        mistake = url_mistake(self._url)
        return None if mistake is None else DeliveryResult(status=DeliveryStatus.PERMANENT, detail=mistake)


def url_mistake(url: str) -> str | None:
    """Why nothing can be sent there; `None` where it may work. Nothing is sent."""
    try:
        return None if _service(url) is not None else _NOT_UNDERSTOOD
    except ImportError:
        return MISSING


def _notify(url: str, title: str, body: str, notification: Notification) -> bool:
    """True when Apprise says that it was sent."""
    from apprise import NotifyFormat, NotifyType

    kind = NotifyType.FAILURE if notification.severity is Severity.CRITICAL else NotifyType.WARNING
    if notification.is_good_news:
        kind = NotifyType.SUCCESS
    service = _service(url)
    return service is not None and bool(
        service.notify(title=title, body=body, notify_type=kind, body_format=NotifyFormat.TEXT)
    )


def _service(url: str) -> Any:
    from apprise import Apprise

    service = Apprise()
    return service if service.add(url) else None
