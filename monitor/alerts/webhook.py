"""Any other receiver: the notice as JSON, posted to a URL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from monitor.alerts.channel import trouble, wished_pause
from monitor.alerts.notification import Notice, to_json
from monitor.alerts.retry_policy import Receipt, Verdict
from monitor.alerts.text import LINE_LIMIT, clean, compose
from monitor.lib.bounded_http.line import NoAnswerError
from monitor.lib.bounded_http.request import ask


class WebhookChannel:
    """A URL that takes a POST. Any status from 200 to 299 confirms a message."""

    def __init__(self, *, name: str, url: str, scrub: Callable[[str], str]) -> None:
        self.name = name
        self._url = url
        self._scrub = scrub

    def send(self, notice: Notice, *, footnotes: tuple[str, ...] = (), timeout: timedelta) -> Receipt:
        """Send the fields of the notice and, for people, the lines that the other channels show."""
        message = compose(notice, footnotes)
        fields = {key: _harmless(value) for key, value in to_json(notice).items()}
        body = {
            "version": 1,
            **fields,
            "headline": message.headline,
            "facts": list(message.body),
            "next_steps": list(message.steps),
            "footnotes": list(message.footnotes),
            "tail": message.tail,
        }
        try:
            answer = ask("POST", self._url, json=body, timeout=timeout)
        except NoAnswerError as error:
            return Receipt(verdict=Verdict.RETRY, detail=str(error))
        if 200 <= answer.status < 300:
            return Receipt(verdict=Verdict.CONFIRMED, detail=f"the receiver answered {answer.status}")
        if answer.status == 429:
            detail = "the receiver asks for patience (429)"
            return Receipt(verdict=Verdict.RETRY, detail=detail, retry_after=wished_pause(answer))
        if answer.status >= 500 or answer.status == 408:
            return trouble(answer.status)
        detail = f"the receiver refused it ({answer.status}): check the url of this channel"
        return Receipt(verdict=Verdict.PERMANENT, detail=detail)


def _harmless(value: Any) -> Any:
    """Foreign text in the fields is cleaned as in the lines: many receivers refuse JSON with a lone surrogate."""
    if isinstance(value, list):
        return [_harmless(item) for item in value]
    return clean(value, LINE_LIMIT) if isinstance(value, str) else value
