"""A webhook: the notification as JSON, posted to a URL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from monitor.alerts.channel import try_again
from monitor.alerts.notification import Notification, to_json
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import LINE_LIMIT, NO_ORIGIN, Origin, advice_of, clean, compose
from monitor.lib.bounded_http import NoAnswerError, ask


class WebhookChannel:
    """A URL that takes a POST. Any status from 200 to 299 confirms a message."""

    def __init__(self, *, name: str, url: str, origin: Origin = NO_ORIGIN) -> None:
        self.name = name
        self._url = url
        self._origin = origin

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        """Send the fields of the notification and, for people, the lines that the other channels show."""
        message = compose(notification, notes, self._origin)
        advice = advice_of(notification)
        # For a receiver the verdict is its code and its words; what these were chosen by is the outbox's alone.
        fields = {key: _cleaned(value) for key, value in to_json(notification).items() if key != "verdict"}
        body = {
            "version": 1,
            **fields,
            "environment": self._origin.environment or None,
            "region": self._origin.region or None,
            "verdict": None if notification.verdict is None else notification.verdict.code.value,
            "meaning": None if advice is None else advice.meaning,
            "whose_move": None if advice is None else advice.whose_move.value,
            "headline": message.headline,
            "facts": list(message.written_facts),
            "next_steps": list(message.steps),
            "notes": list(message.notes),
            "page_url": message.link or None,
            "reference": message.reference,
        }
        try:
            answer = ask("POST", self._url, json=body, timeout=timeout)
        except NoAnswerError as error:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error))
        if 200 <= answer.status < 300:
            return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail=f"the receiver answered {answer.status}")
        if (later := try_again(answer, "the receiver")) is not None:
            return later
        hint = "check the url of this channel"
        if 300 <= answer.status < 400:
            hint = f"{hint}: it leads elsewhere, where nothing is sent; enter the final address"
        detail = f"the receiver refused it ({answer.status}): {hint}"
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=detail)

    def probe(self, timeout: timedelta) -> None:
        """Whatever is posted to a receiver is a message to it."""


def _cleaned(value: Any) -> Any:
    """Foreign text in the fields is cleaned as in the lines: many receivers refuse JSON with a lone surrogate."""
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    return clean(value, LINE_LIMIT) if isinstance(value, str) else value
