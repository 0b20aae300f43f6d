"""Telegram: a notification as HTML for sendMessage, and what the Bot API's answers mean.

Limits and answers: core.telegram.org/bots/api (sendMessage, formatting options, ResponseParameters).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from monitor.alerts.channel import try_again
from monitor.alerts.notification import Notification
from monitor.alerts.retry_policy import ChatMove, DeliveryResult, DeliveryStatus
from monitor.alerts.text import MessageText, clean, compose, short_text
from monitor.lib.bounded_http import Answer, NoAnswerError, ask
from monitor.lib.times import Deadline

# Telegram makes a mention, with a push for whoever is meant, of every @name outside of code.
_MENTION = re.compile(r"@(?=\w)")
_WORD_JOINER = "\u2060"  # has no width
_ADVICE = (
    ("chat not found", "check chat_id, and that the bot was added to the chat"),
    ("unauthorized", "the bot token is not valid any more; ask @BotFather for the present one"),
    ("not found", "the bot token is not right; copy it again from @BotFather"),
    ("blocked by the user", "unblock the bot, or set another chat_id"),
    ("kicked", "add the bot to the chat again"),
    ("not a member", "add the bot to the chat"),
    ("deactivated", "the account of this chat is gone; set another chat_id"),
    ("deleted", "the chat is gone; set another chat_id"),
)


class TelegramChannel:
    """A bot and a chat. Only `"ok": true` confirms a message. A chat that got a new id is followed."""

    def __init__(
        self, *, name: str, bot_token: str, chat_id: str, api_url: str, scrub: Callable[[str], str]
    ) -> None:
        self.name = name
        self._configured_chat_id = self._chat_id = chat_id
        self._url = f"{api_url.rstrip('/')}/bot{bot_token}/sendMessage"
        self._scrub = scrub

    def follow(self, move: ChatMove) -> None:
        """Send to the new chat id from now on, if it is this channel's chat that moved."""
        if move.old_chat_id == self._configured_chat_id:
            self._chat_id = move.new_chat_id

    def send(
        self, notification: Notification, *, notes: tuple[str, ...] = (), timeout: timedelta
    ) -> DeliveryResult:
        """Send as HTML; follow a moved chat; where Telegram refuses the form, once more as short plain text."""
        deadline = Deadline(timeout)
        message = compose(notification, notes)
        form: dict[str, Any] = {"text": as_html(message), "parse_mode": "HTML"}
        move: ChatMove | None = None
        while True:
            try:
                answer = ask("POST", self._url, json=self._body(form), timeout=deadline.left())
            except NoAnswerError as error:
                return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error), move=move)
            reply = _reply(answer)
            new_chat = _parameters(reply).get("migrate_to_chat_id")
            if isinstance(new_chat, int) and move is None:
                move = ChatMove(old_chat_id=self._configured_chat_id, new_chat_id=str(new_chat))
                self.follow(move)
            elif _is_about_form(reply) and "parse_mode" in form:
                form = {"text": short_text(message)}
            else:
                return replace(self._result(answer, reply), move=move)

    def _body(self, form: dict[str, Any]) -> dict[str, Any]:
        return {"chat_id": self._chat_id, "link_preview_options": {"is_disabled": True}, **form}

    def _result(self, answer: Answer, reply: dict[str, Any]) -> DeliveryResult:
        if answer.status == 200 and reply.get("ok") is True:
            return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
        if (later := try_again(answer, "Telegram")) is not None:
            # The Bot API asks for a pause in its JSON; what stands before it may do so in a header.
            seconds = _parameters(reply).get("retry_after")
            if answer.status == 429 and isinstance(seconds, int) and 0 <= seconds < 1e6:
                return replace(later, retry_after=timedelta(seconds=seconds))
            return later
        if not reply:
            status = DeliveryStatus.RETRY if answer.status == 200 else DeliveryStatus.PERMANENT
            detail = f"something that is not Telegram answered {answer.status}: check api_url and any proxy"
            return DeliveryResult(status=status, detail=detail)
        # Scrubbed before it is cut for show: half a secret would not be found any more.
        error = clean(self._scrub(clean(str(reply.get("description", "")), 1000)), 150)
        advice = next((words for part, words in _ADVICE if part in error.lower()), "check bot_token and chat_id")
        detail = f"Telegram refused it ({f'{answer.status} {error}'.strip()}): {advice}"
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=detail)


def as_html(message: MessageText) -> str:
    """The message as Telegram's HTML: everything is escaped first, so the tags are ours alone."""
    steps = [f"{number}. {_inert(step)}" for number, step in enumerate(message.steps, start=1)]
    lines = [
        f"{message.symbol} <b>{_inert(message.headline)}</b>",
        *map(_inert, message.facts),
        *((f"<code>{_escape(message.detail)}</code>",) if message.detail else ()),
        *map(_inert, message.explanation),
        *steps,
        *(f"<i>{_inert(line)}</i>" for line in message.notes),
        f"<code>{_escape(message.reference)}</code>",
    ]
    return "\n".join(lines)


def _inert(text: str) -> str:
    """Text in which Telegram finds neither a tag nor a name to mention."""
    return _MENTION.sub(f"@{_WORD_JOINER}", _escape(text))


def _reply(answer: Answer) -> dict[str, Any]:
    """The Bot API's JSON; empty for anything else, such as a captive portal's page."""
    try:
        reply = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}


def _parameters(reply: dict[str, Any]) -> dict[str, Any]:
    parameters = reply.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _is_about_form(reply: dict[str, Any]) -> bool:
    error = str(reply.get("description", "")).lower()
    return "parse entities" in error or "too long" in error


def _escape(text: str) -> str:
    import html  # half a megabyte of entities, for those who have a message to send

    return html.escape(text)
