"""A webhook: the notification as JSON, or what a template makes of it, posted to a URL."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.alerts.channel import try_again
from monitor.alerts.notification import Notification, NotificationKind, to_json
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import LINE_LIMIT, NO_ORIGIN, Origin, advice_of, clean, compose
from monitor.checks.observation import Outcome
from monitor.config.mistakes import nearest
from monitor.lib.bounded_http import NoAnswerError, ask
from monitor.lib.text import one_line

_MOST_RENDERED = 256 * 1024


class WebhookChannel:
    """A URL that takes a POST. Any status from 200 to 299 confirms a message.

    With a `template` (Jinja2, sandboxed) the body is what it makes of the fields that are sent otherwise.
    """

    def __init__(self, *, name: str, url: str, template: str = "", origin: Origin = NO_ORIGIN) -> None:
        self.name = name
        self._url = url
        self._template = template
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
        fields = document(notification, notes, self._origin)
        try:
            body = rendered(self._template, fields) if self._template else fields
        except TemplateError as error:
            return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=f"check template: {error}")
        try:
            answer = ask("POST", self._url, json=body, timeout=timeout)
        except NoAnswerError as error:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error))
        if 200 <= answer.status < 300:
            return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail=f"the receiver answered {answer.status}")
        if (later := try_again(answer, "the receiver")) is not None:
            return later
        hint = "check the url of this channel" + (" and its template" if self._template else "")
        if 300 <= answer.status < 400:
            hint = (
                "check the url of this channel: it leads elsewhere, where nothing is sent; enter the final address"
            )
        detail = f"the receiver refused it ({answer.status}): {hint}"
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=detail)

    def probe(self, timeout: timedelta) -> DeliveryResult | None:
        """Whatever is posted to a receiver is a message to it; whether the template works is known without."""
        mistake = template_mistake(self._template) if self._template else None
        if mistake is None:
            return None
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=f"check template: {mistake}")


def document(notification: Notification, notes: tuple[str, ...], origin: Origin) -> dict[str, Any]:
    """What a receiver gets, and a template is made of (docs/webhook.md)."""
    message = compose(notification, notes, origin)
    advice = advice_of(notification)
    # For a receiver the verdict is its code and its words; what these were chosen by is the outbox's alone.
    fields = {key: _cleaned(value) for key, value in to_json(notification).items() if key != "verdict"}
    return {
        "version": 1,
        **fields,
        "environment": origin.environment or None,
        "region": origin.region or None,
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


class TemplateError(ValueError):
    """A template that makes no JSON of a notification. The text says why, and nothing of the notification."""


def rendered(template: str, fields: dict[str, Any]) -> Any:
    """The JSON that the template makes of the fields; raises `TemplateError`."""
    import jinja2  # for those who have a template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    try:
        text = environment.from_string(template).render(fields)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{one_line(error.message or 'a mistake', 100)} (its line {error.lineno})") from None
    except jinja2.UndefinedError as error:
        raise TemplateError(one_line(error.message or "a field that there is not", 100)) from None
    except Exception as error:  # noqa: BLE001 - an expression may raise anything, with a field's text in it
        raise TemplateError(f"it cannot be filled in ({type(error).__name__})") from None
    if len(text) > _MOST_RENDERED:
        raise TemplateError(f"it makes more than {_MOST_RENDERED} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise TemplateError(f"what it makes is no JSON{where}: put `| tojson` behind each field") from None


def template_mistake(template: str) -> str | None:
    """Why a template does not make JSON of each notification; `None` where it does."""
    moment = datetime(2026, 11, 23, 14, 2, 9, tzinfo=UTC)
    opening = Notification(
        kind=NotificationKind.OPENED,
        created_at=moment,
        database="main",
        incident=12,
        cause=Outcome.TOKEN_REJECTED,
        causes=(Outcome.TOKEN_REJECTED,),
        since=moment,
        checks_failed=2,
        # What breaks JSON that is put together by hand.
        detail='he said "no" \\ and left',
        layers='did not pass: "token"',
    )
    about_itself = Notification(
        kind=NotificationKind.MONITOR, created_at=moment, title='the channel "x" is broken'
    )
    ending = replace(opening, kind=NotificationKind.CLOSED, until=moment)
    try:
        for sample in (opening, ending, about_itself):
            fields = document(sample, (), NO_ORIGIN)
            if unknown := _unknown_field(template, fields):
                near = nearest(unknown, fields)
                return f"there is no field {unknown!r}" + (f": did you mean {near}?" if near else "")
            rendered(template, fields)
    except TemplateError as error:
        return str(error)
    return None


def _unknown_field(template: str, fields: dict[str, Any]) -> str | None:
    """The first name that the template uses and does not have; a filter would tell of it in words of its own."""
    import jinja2
    from jinja2.meta import find_undeclared_variables

    try:
        names = find_undeclared_variables(jinja2.Environment().parse(template))  # noqa: S701 - it makes JSON
    except jinja2.TemplateError:
        return None
    return min(names - fields.keys(), default=None)


def _cleaned(value: Any) -> Any:
    """Foreign text in the fields is cleaned as in the lines: many receivers refuse JSON with a lone surrogate."""
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    return clean(value, LINE_LIMIT) if isinstance(value, str) else value
