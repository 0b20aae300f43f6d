"""Telegram: a notification as HTML for sendMessage, and what the Bot API's answers mean.

Limits and answers: core.telegram.org/bots/api (sendMessage, formatting options, ResponseParameters).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from monitor.alerts.channel import excerpt, try_again, unconfirmed
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import ChatMove, DeliveryResult, DeliveryStatus
from monitor.alerts.text import NO_ORIGIN, MessageText, Origin, compose, short_text
from monitor.lib.bounded_http import Answer, NoAnswerError, ask
from monitor.lib.times import Deadline

# Telegram makes a mention, with a push for whoever is meant, of every @name outside of code.
_MENTION = re.compile(r"@(?=\w)")
_REF_SEPARATOR = " "
_WORD_JOINER = "\u2060"  # has no width
# By a part of the error's text, in lower case; the first that fits. The texts are those of the Bot API's server,
# whose errors in capitals are Telegram's own.
_ADVICE = (
    ("topic_id_invalid", "the topic is gone; set topic to one that is still there, or leave it out"),
    ("topic_deleted", "the topic is gone; set topic to one that is still there, or leave it out"),
    ("thread not found", "the topic is gone; set topic to one that is still there, or leave it out"),
    ("topic_closed", "the topic is closed; open it again, or let the bot manage topics"),
    ("chat not found", "check chat_id, and that the bot was added to the chat"),
    ("peer_id_invalid", "check chat_id, and that the bot was added to the chat"),
    ("chat_id is empty", "set chat_id"),
    ("initiate conversation", "open the bot's chat in Telegram and press Start: a bot may not write first"),
    ("messages to bots", "chat_id is the number of a bot; set that of a person or a group"),
    ("not enough rights", "allow the bot to send messages in this chat; in a channel make it an administrator"),
    ("no rights to send", "allow the bot to send messages in this chat; in a channel make it an administrator"),
    ("chat_admin_required", "make the bot an administrator of the channel, with the right to post"),
    ("chat_restricted", "allow the bot to send messages in this chat; in a channel make it an administrator"),
    ("administrator rights", "make the bot an administrator of the channel, with the right to post"),
    ("write_forbidden", "allow the bot to send messages in this chat; in a channel make it an administrator"),
    ("plain_forbidden", "allow text messages in this chat"),
    ("upgraded to a supergroup", "the group has a new number; set it as chat_id"),
    ("conflict", "another program uses this bot; give the monitor one of its own"),
    ("logged out", "the bot works with another Bot API server; set api_url, or wait ten minutes"),
    ("unauthorized", "the bot token is not valid any more; ask @BotFather for the present one"),
    ("blocked by the user", "unblock the bot, or set another chat_id"),
    ("user_is_blocked", "unblock the bot, or set another chat_id"),
    ("channel_private", "add the bot to the chat again"),
    ("kicked", "add the bot to the chat again"),
    ("not a member", "add the bot to the chat"),
    ("deactivated", "the account of this chat is gone; set another chat_id"),
    ("deleted", "the chat is gone; set another chat_id"),
    ("not found", "the bot token is not right; copy it again from @BotFather"),
)
# How Telegram asks for a pause where no `retry_after` stands beside it: slow mode, flood control.
_WAIT = re.compile(r"(?:_wait_|retry after )([0-9]{1,6})\b")
_RATE_LIMITED = ("too many requests", "_wait_", "flood", "retry after")
# A link to a message (`https://t.me/c/123/17`), or a topic behind the chat (`-100123_17`, `-100123/17`).
_LINK = re.compile(r"(?:https?://)?t\.me/c/(\d+)(?:/.*)?")
_WITH_TOPIC = re.compile(r"(-\d+)[_/:#]\d+")
# As html.escape does it; that module holds half a megabyte of entities.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


class TelegramChannel:
    """A bot and a chat. Only `"ok": true` confirms a message. A chat that got a new id is followed.

    Any other 2xx counts as sent, unless it is JSON that says `"ok": false`.
    """

    def __init__(
        self,
        *,
        name: str,
        bot_token: str,
        chat_id: str,
        topic: int | None = None,
        api_url: str,
        scrub: Callable[[str], str],
        origin: Origin = NO_ORIGIN,
    ) -> None:
        self.name = name
        self._topic = topic
        self._origin = origin
        self._configured_chat_id = self._chat_id = chat_id
        self._url = f"{api_url.rstrip('/')}/bot{bot_token}/"
        self._scrub = scrub

    def follow(self, move: ChatMove) -> None:
        """Send to the new chat id from now on, if it is this channel's chat that moved."""
        if move.old_chat_id == self._configured_chat_id:
            self._chat_id = move.new_chat_id

    def probe(self, timeout: timedelta) -> DeliveryResult:
        """Ask for the bot and for the chat: what is wrong with the token or the chat is found without a message.

        Whether the bot may write there shows only when it does.
        """
        deadline = Deadline(timeout)
        move: ChatMove | None = None
        try:
            result = self._result(*_ask(self._url + "getMe", {}, deadline))
            if result.status is not DeliveryStatus.CONFIRMED:
                return result
            answer, reply = _ask(self._url + "getChat", {"chat_id": self._chat_id}, deadline)
            if new_chat := _new_chat_id(reply):
                move = ChatMove(old_chat_id=self._configured_chat_id, new_chat_id=new_chat)
                self.follow(move)
                answer, reply = _ask(self._url + "getChat", {"chat_id": self._chat_id}, deadline)
        except NoAnswerError as error:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error), move=move)
        return replace(self._result(answer, reply), move=move)

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        """Send as HTML; follow a moved chat; where Telegram refuses the form, once more as short plain text."""
        deadline = Deadline(timeout)
        message = compose(notification, notes, self._origin)
        is_silent = notification.severity is Severity.WARNING and notification.kind is not NotificationKind.TEST
        form: dict[str, Any] = {"text": as_html(message), "parse_mode": "HTML"}
        move: ChatMove | None = None
        while True:
            try:
                answer, reply = _ask(
                    self._url + "sendMessage", self._body(form, reply_to, is_silent=is_silent), deadline
                )
            except NoAnswerError as error:
                return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error), move=move)
            new_chat = _new_chat_id(reply)
            if new_chat and move is None:
                move = ChatMove(old_chat_id=self._configured_chat_id, new_chat_id=new_chat)
                self.follow(move)
            elif _is_about_form(reply) and "parse_mode" in form:
                form = {"text": short_text(message)}
            else:
                return replace(self._result(answer, reply), move=move, message_ref=self._ref(reply))

    def _body(self, form: dict[str, Any], reply_to: str | None, *, is_silent: bool) -> dict[str, Any]:
        body = {"chat_id": self._chat_id, "link_preview_options": {"is_disabled": True}, **form}
        if self._topic is not None:
            body["message_thread_id"] = self._topic
        if is_silent:
            body["disable_notification"] = True
        # A number counts in its own chat alone: in another one it is somebody else's message.
        chat, _, number = (reply_to or "").rpartition(_REF_SEPARATOR)
        if chat == self._chat_id and number.isdecimal():
            body["reply_parameters"] = {"message_id": int(number), "allow_sending_without_reply": True}
        return body

    def _ref(self, reply: dict[str, Any]) -> str | None:
        result = reply.get("result")
        number = result.get("message_id") if isinstance(result, dict) else None
        return f"{self._chat_id}{_REF_SEPARATOR}{number}" if isinstance(number, int) else None

    def _result(self, answer: Answer, reply: dict[str, Any]) -> DeliveryResult:
        if answer.status == 200 and reply.get("ok") is True:
            return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
        is_refusal = reply.get("ok") is False
        error = excerpt(str(reply.get("description", "")), self._scrub, 150)
        if is_refusal and answer.status < 500:
            answer = replace(answer, status=_own_status(reply, error) or answer.status)
        if (later := try_again(answer, "Telegram")) is not None:
            # The Bot API asks for a pause in its JSON; what stands before it may do so in a header.
            seconds = _number(_parameters(reply).get("retry_after"))
            if seconds is None and (found := _WAIT.search(error.lower())):
                seconds = int(found[1])
            if answer.status == 429 and seconds is not None and 0 <= seconds < 1e6:
                return replace(later, retry_after=timedelta(seconds=seconds))
            return later
        if 200 <= answer.status < 300 and not is_refusal:
            return unconfirmed(answer, "Telegram", "that the message arrived, api_url and any proxy")
        if not reply:
            detail = f"something that is not Telegram answered {answer.status}: check api_url and any proxy"
            return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=detail)
        answered = f"{answer.status} {error}".strip()
        detail = f"Telegram refused it ({answered}): {self._advice(error.lower(), reply)}"
        is_passing = answer.status == 409  # the other program may end at any moment
        return DeliveryResult(
            status=DeliveryStatus.RETRY if is_passing else DeliveryStatus.PERMANENT, detail=detail
        )

    def _advice(self, error: str, reply: dict[str, Any]) -> str:
        chat = self._configured_chat_id.strip()
        meant = ""
        if found := _LINK.fullmatch(chat):
            meant = f"-100{found[1]}"
        elif found := _WITH_TOPIC.fullmatch(chat):
            meant = found[1]
        if meant and ("chat" in error or "bad request" in error):
            return f"chat_id is the number of the chat alone, without a topic: {meant}"
        if new_chat := _new_chat_id(reply):
            return f"the group has a new number; set chat_id to {new_chat}"
        return next((words for part, words in _ADVICE if part in error), "check bot_token and chat_id")


def as_html(message: MessageText) -> str:
    """The message as Telegram's HTML: everything is escaped first, so the tags are ours alone."""
    lines = (
        f"{message.symbol} <b>{_inert(message.headline)}</b>",
        _inert(message.verdict),
        f"<code>{_escape(message.detail)}</code>" if message.detail else "",
        *map(_inert, message.written_facts),
        *map(_inert, message.numbered_steps),
        *(f"<i>{_inert(line)}</i>" for line in message.notes),
        _inert(message.layers),
        f'<a href="{_escape(message.link)}">{_escape(message.language.say("Open the page"))}</a>'
        if message.link
        else "",
        f"<code>{_escape(message.reference)}</code>",
    )
    return "\n".join(filter(None, lines))


def _inert(text: str) -> str:
    """Text in which Telegram finds neither a tag nor a name to mention."""
    return _MENTION.sub(f"@{_WORD_JOINER}", _escape(text))


def _ask(url: str, values: dict[str, Any], deadline: Deadline) -> tuple[Answer, dict[str, Any]]:
    """The answer and the Bot API's JSON in it; raises `NoAnswerError`."""
    answer = ask("POST", url, json=values, timeout=deadline.left())
    return answer, answer.json_object()


def _parameters(reply: dict[str, Any]) -> dict[str, Any]:
    parameters = reply.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _new_chat_id(reply: dict[str, Any]) -> str:
    """The number that the chat has now, where it got another one; else empty."""
    number = _number(_parameters(reply).get("migrate_to_chat_id"))
    return "" if not number else f"{number:.0f}"


def _own_status(reply: dict[str, Any], error: str) -> int | None:
    """What the Bot API itself says that its status is: what stands in between may call everything 200."""
    code = _number(reply.get("error_code"))
    if code == 420 or any(words in error.lower() for words in _RATE_LIMITED):
        return 429
    return int(code) if code is not None and 300 <= code < 600 else None


def _number(value: object) -> float | None:
    """A number that may stand in quotes; `None` for anything else, and for one that no chat and no wait has."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**53 else None


def _is_about_form(reply: dict[str, Any]) -> bool:
    error = str(reply.get("description", "")).lower()
    return "parse entities" in error or "too long" in error


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
