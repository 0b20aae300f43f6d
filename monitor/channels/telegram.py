"""Telegram's dialect: a notice as HTML for sendMessage, and what the Bot API's answers mean.

Limits and answers: core.telegram.org/bots/api (sendMessage, formatting options, ResponseParameters).
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Any

from monitor.channels.http import trouble, wished_pause
from monitor.channels.text import Message, clean, compose, plain
from monitor.core.notice import Notice
from monitor.core.outbox import Receipt, Verdict
from monitor.outbound import Answer, NoAnswerError, ask

TEXT_LIMIT = 4096  # UTF-16 units, after entity parsing
_SHORT = 1000
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
    """A bot and a chat. Only `"ok": true` confirms a message. `chat_id` follows a chat that was upgraded."""

    def __init__(
        self, *, name: str, bot_token: str, chat_id: str, api_url: str, scrub: Callable[[str], str]
    ) -> None:
        self.name = name
        self.chat_id = chat_id
        self._url = f"{api_url.rstrip('/')}/bot{bot_token}/sendMessage"
        self._scrub = scrub

    def send(self, notice: Notice, *, footnotes: tuple[str, ...] = (), timeout: timedelta) -> Receipt:
        """Send as HTML; follow a moved chat; where Telegram refuses the form, once more as short plain text."""
        end = monotonic() + timeout.total_seconds()
        message = compose(notice, footnotes)
        form: dict[str, Any] = {"text": marked_up(message), "parse_mode": "HTML"}
        moved_to: str | None = None
        for _ in range(3):
            left = timedelta(seconds=max(0.1, end - monotonic()))
            try:
                answer = ask("POST", self._url, json=self._body(form), timeout=left)
            except NoAnswerError as error:
                return Receipt(verdict=Verdict.RETRY, detail=str(error), moved_to=moved_to)
            reply = _reply(answer)
            new_chat = _parameters(reply).get("migrate_to_chat_id")
            if isinstance(new_chat, int) and moved_to is None:
                self.chat_id = moved_to = str(new_chat)
            elif _is_about_form(reply) and "parse_mode" in form:
                form = {"text": clean(plain(message), _SHORT)}
            else:
                break
        return self._judge(answer, reply, moved_to)

    def _body(self, form: dict[str, Any]) -> dict[str, Any]:
        return {"chat_id": self.chat_id, "link_preview_options": {"is_disabled": True}, **form}

    def _judge(self, answer: Answer, reply: dict[str, Any], moved_to: str | None) -> Receipt:
        if answer.status == 200 and reply.get("ok") is True:
            return Receipt(verdict=Verdict.CONFIRMED, detail="ok", moved_to=moved_to)
        if answer.status == 429:
            wish = _parameters(reply).get("retry_after")
            pause = timedelta(seconds=wish) if isinstance(wish, int) and 0 <= wish < 1e6 else wished_pause(answer)
            return Receipt(
                verdict=Verdict.RETRY,
                detail="Telegram asks for patience (429)",
                retry_after=pause,
                moved_to=moved_to,
            )
        if answer.status >= 500:
            return trouble(answer.status)
        if not reply:
            return Receipt(
                verdict=Verdict.RETRY, detail=f"something that is not Telegram answered {answer.status}"
            )
        said = clean(self._scrub(str(reply.get("description", ""))), 150)
        advice = next((words for part, words in _ADVICE if part in said.lower()), "check bot_token and chat_id")
        detail = f"Telegram refused it ({answer.status} {said}): {advice}"
        return Receipt(verdict=Verdict.PERMANENT, detail=detail, moved_to=moved_to)


def marked_up(message: Message) -> str:
    """The message as Telegram's HTML: everything is escaped first, so the tags are ours alone."""
    steps = [f"{number}. {html.escape(step)}" for number, step in enumerate(message.steps, start=1)]
    lines = [
        f"{message.symbol} <b>{html.escape(message.headline)}</b>",
        *map(html.escape, message.facts),
        *steps,
        *(f"<i>{html.escape(line)}</i>" for line in message.footnotes),
        f"<code>{html.escape(message.tail)}</code>",
    ]
    return "\n".join(lines)


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
    said = str(reply.get("description", "")).lower()
    return "parse entities" in said or "too long" in said
