"""A stand-in for Slack's incoming webhooks and Telegram's Bot API on loopback, with faults that can be switched.

What a message may look like is known to `slackapi` and `telegramapi`. It imports nothing of the house:
a fault of ours must not hide here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from monitor.sandbox import slackapi, telegramapi
from monitor.sandbox.listener import Listener, Reply, Request

_SLACK_PATH = "/services/T0SANDBOX/B0SANDBOX/standInForTheRealOne0123"
_BOT_TOKEN = "110201543:AAstandInForTheRealOne-0123456789ab"
_GROUP, _SUPERGROUP = "-4012345678", "-1002012345678"
_PORTAL = "<html><body>Welcome to our network. Please log in.</body></html>"


class InboxFault(Enum):
    """What a service does instead of taking messages."""

    NONE = "none"
    # 503, always or for every other request, beginning with the next one.
    DOWN = "down"
    FLAKY = "flaky"
    # 429, asking for `retry_after_seconds`.
    RATE_LIMITED = "rate_limited"
    # Slack: 404 no_service. Telegram: 401 Unauthorized.
    GONE = "gone"
    # Telegram: the group has become a supergroup with another number. Slack knows nothing like it.
    MIGRATED = "migrated"
    # 200 and a page of somebody else's.
    CAPTIVE_PORTAL = "captive_portal"
    # 302 to the very same address.
    REDIRECT = "redirect"
    # The message is taken, and the connection ends without an answer.
    UNHEARD = "unheard"
    # The answer comes a byte every `drip_seconds`; the message is not taken.
    DRIP = "drip"
    # The connection stands and nothing is said, until the fault is switched.
    HANG = "hang"
    # No connection.
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Received:
    """One message that was taken: `text` as a person reads it, `payload` as it was posted, `at` in UTC.

    `mentions` names whom it would call, by a push for each member of a channel perhaps.
    """

    service: str
    text: str
    mentions: tuple[str, ...]
    payload: Mapping[str, Any]
    at: datetime


class InboxStandIn:
    """One Slack channel and one Telegram group. Used as a context manager.

    `slack_url`, `telegram_api_url`, `bot_token` and `chat_id` are what a sender needs. The faults,
    `retry_after_seconds` and `drip_seconds` may be changed at any time from any thread.
    `on_message` is called for each message that was taken, one at a time, before the sender has its answer.
    """

    def __init__(self, *, on_message: Callable[[Received], None] | None = None) -> None:
        self.bot_token = _BOT_TOKEN
        self.chat_id, self.migrated_chat_id = _GROUP, _SUPERGROUP
        self.retry_after_seconds = 1
        self.drip_seconds = 1.0
        self._on_message = on_message
        self._messages: list[Received] = []
        self._lock = threading.RLock()
        self._slack = _Service("slack", self, self._post)
        self._telegram = _Service("telegram", self, self._call)

    @property
    def slack_url(self) -> str:
        return self._slack.listener.url + _SLACK_PATH

    @property
    def telegram_api_url(self) -> str:
        return self._telegram.listener.url

    @property
    def messages(self) -> tuple[Received, ...]:
        """What was taken so far, in order."""
        with self._lock:
            return tuple(self._messages)

    @property
    def requests(self) -> int:
        """What arrived at both services, taken or not."""
        return self._slack.requests + self._telegram.requests

    @property
    def slack_fault(self) -> InboxFault:
        return self._slack.fault

    @slack_fault.setter
    def slack_fault(self, fault: InboxFault) -> None:
        self._slack.switch(fault)

    @property
    def telegram_fault(self) -> InboxFault:
        return self._telegram.fault

    @telegram_fault.setter
    def telegram_fault(self, fault: InboxFault) -> None:
        self._telegram.switch(fault)

    @property
    def fault(self) -> InboxFault:
        """Of both services when set; Slack's when read."""
        return self._slack.fault

    @fault.setter
    def fault(self, fault: InboxFault) -> None:
        self._slack.switch(fault)
        self._telegram.switch(fault)

    def __enter__(self) -> InboxStandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, let hanging requests go and cut every connection."""
        self.fault = InboxFault.REFUSE

    def _post(self, request: Request, fault: InboxFault) -> Reply:
        """One request at Slack."""
        if fault is InboxFault.RATE_LIMITED:
            return Reply(status=429, body="rate_limited", kind="text/plain", headers=self._patience())
        if fault is InboxFault.GONE or urlsplit(request.target).path != _SLACK_PATH:
            return Reply(status=404, body="no_service", kind="text/plain")
        try:
            payload = slackapi.read(request.body, request.kind)
        except slackapi.RefusedError as error:
            return Reply(status=400, body=str(error), kind="text/plain")
        self._take("slack", slackapi.shown(payload), slackapi.mentions(payload), payload)
        return Reply(status=200, body="ok", kind="text/plain")

    def _call(self, request: Request, fault: InboxFault) -> Reply:
        """One request at Telegram."""
        url = urlsplit(request.target)
        token, _, method = url.path.removeprefix("/bot").partition("/")
        if fault is InboxFault.RATE_LIMITED:
            text = f"Too Many Requests: retry after {self.retry_after_seconds}"
            return _failed(429, text, {"retry_after": self.retry_after_seconds}, self._patience())
        if fault is InboxFault.GONE or token != self.bot_token:
            return _failed(401, "Unauthorized")
        if method.lower() == "getme":
            return _result({"id": int(token.partition(":")[0]), "is_bot": True, "first_name": "Stand-in"})
        if method.lower() != "sendmessage":
            return _failed(404, "Not Found: method not found")
        try:
            values = telegramapi.parameters(url.query, request.body, request.kind)
            self._check_chat(str(values.get("chat_id", "")), has_moved=fault is InboxFault.MIGRATED)
            shown = telegramapi.read(values)
        except telegramapi.RefusedError as error:
            return _failed(400, str(error), error.parameters)
        number, at = self._take("telegram", shown.text, shown.mentions, values)
        chat = {"id": int(values["chat_id"]), "type": "group", "title": "Stand-in"}
        return _result({"message_id": number, "chat": chat, "date": int(at.timestamp()), "text": shown.text})

    def _check_chat(self, chat_id: str, *, has_moved: bool) -> None:
        if not chat_id:
            raise telegramapi.RefusedError("Bad Request: chat_id is empty")
        if has_moved and chat_id == self.chat_id:
            raise telegramapi.RefusedError(
                "Bad Request: group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": int(self.migrated_chat_id)},
            )
        if chat_id not in (self.chat_id, self.migrated_chat_id):
            raise telegramapi.RefusedError("Bad Request: chat not found")

    def _take(
        self, service: str, text: str, mentions: tuple[str, ...], payload: Mapping[str, Any]
    ) -> tuple[int, datetime]:
        with self._lock:
            at = datetime.now(UTC)
            message = Received(service=service, text=text, mentions=mentions, payload=payload, at=at)
            self._messages.append(message)
            number = len(self._messages)
            if self._on_message is not None:
                self._on_message(message)
        return number, message.at

    def _patience(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class _Service:
    """One of the two services: its listener, its fault, and what each does before it reads a request."""

    def __init__(self, name: str, inbox: InboxStandIn, answer: Callable[[Request, InboxFault], Reply]) -> None:
        self.fault = InboxFault.NONE
        self.requests = 0
        self._inbox = inbox
        self._answer = answer
        self._changed = threading.Condition()
        self._is_next_down = True
        self.listener = Listener(f"stand-in {name}", self._receive)

    def switch(self, fault: InboxFault) -> None:
        """Requests that hang are let go, without an answer."""
        with self._changed:
            self.fault, self._is_next_down = fault, True
            self._changed.notify_all()
        if fault is InboxFault.REFUSE:
            self.listener.stop()
        else:
            self.listener.start()

    def _receive(self, request: Request) -> Reply | None:
        with self._changed:
            self.requests += 1
            fault = self.fault
            if fault is InboxFault.HANG:
                self._changed.wait_for(lambda: self.fault is not InboxFault.HANG)
                return None
            is_down = fault is InboxFault.DOWN or (fault is InboxFault.FLAKY and self._is_next_down)
            self._is_next_down = not self._is_next_down
        if is_down:
            return Reply(status=503, body="Service Unavailable", kind="text/plain")
        if fault is InboxFault.REFUSE:
            return None
        if fault is InboxFault.CAPTIVE_PORTAL:
            return Reply(status=200, body=_PORTAL, kind="text/html")
        if fault is InboxFault.REDIRECT:
            return Reply(status=302, body="", kind="text/html", headers={"Location": request.target})
        if fault is InboxFault.DRIP:
            return Reply(status=200, body="ok" * 10_000, kind="text/plain", drip_seconds=self._inbox.drip_seconds)
        reply = self._answer(request, fault)
        return None if fault is InboxFault.UNHEARD else reply


def _result(result: Mapping[str, Any]) -> Reply:
    return Reply(status=200, body=json.dumps({"ok": True, "result": result}))


def _failed(
    status: int,
    description: str,
    parameters: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return Reply(status=status, body=json.dumps(body), headers=headers or {})
