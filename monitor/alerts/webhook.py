"""Any other receiver: the notification as JSON, posted to a URL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from monitor.alerts.channel import trouble, wished_pause
from monitor.alerts.notification import Notification, to_json, whose_move
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import LINE_LIMIT, clean, compose
from monitor.lib.bounded_http.line import NoAnswerError
from monitor.lib.bounded_http.request import ask


class WebhookChannel:
    """A URL that takes a POST. Any status from 200 to 299 confirms a message."""

    def __init__(self, *, name: str, url: str, scrub: Callable[[str], str]) -> None:
        self.name = name
        self._url = url
        self._scrub = scrub

    def send(
        self, notification: Notification, *, footnotes: tuple[str, ...] = (), timeout: timedelta
    ) -> DeliveryResult:
        """Send the fields of the notification and, for people, the lines that the other channels show."""
        message = compose(notification, footnotes)
        move = whose_move(notification)
        fields = {key: _harmless(value) for key, value in to_json(notification).items()}
        body = {
            "version": 1,
            **fields,
            "whose_move": None if move is None else move.value,
            "headline": message.headline,
            "facts": list(message.body),
            "next_steps": list(message.steps),
            "footnotes": list(message.footnotes),
            "tail": message.tail,
        }
        try:
            answer = ask("POST", self._url, json=body, timeout=timeout)
        except NoAnswerError as error:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error))
        if 200 <= answer.status < 300:
            return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail=f"the receiver answered {answer.status}")
        if answer.status == 429:
            detail = "the receiver asks for patience (429)"
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=detail, retry_after=wished_pause(answer))
        if answer.status >= 500 or answer.status == 408:
            return trouble(answer.status)
        detail = f"the receiver refused it ({answer.status}): check the url of this channel"
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=detail)


def _harmless(value: Any) -> Any:
    """Foreign text in the fields is cleaned as in the lines: many receivers refuse JSON with a lone surrogate."""
    if isinstance(value, list):
        return [_harmless(item) for item in value]
    return clean(value, LINE_LIMIT) if isinstance(value, str) else value
