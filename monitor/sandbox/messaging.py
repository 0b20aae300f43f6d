"""A stand-in for Slack's incoming webhooks and Telegram's Bot API, with faults that can be switched."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from monitor.sandbox import slack, telegram
from monitor.sandbox.server import Drip, FaultyServer, HangUp, RecordedRequest

_SLACK_PATH = "/services/T0SANDBOX/B0SANDBOX/standInForTheRealOne0123"
_BOT_TOKEN = "110201543:AAstandInForTheRealOne-0123456789ab"
_GROUP, _SUPERGROUP = "-4012345678", "-1002012345678"
_PORTAL = "<html><body>Welcome to our network. Please log in.</body></html>"


class MessagingFault(Enum):
    """What a service does instead of taking messages."""

    NONE = "none"
    # 503, always or for every other request.
    DOWN = "down"
    FLAKY = "flaky"
    # 429, asking for `retry_after_seconds`.
    RATE_LIMITED = "rate_limited"
    # Slack: 404 no_service. Telegram: 401 Unauthorized.
    GONE = "gone"
    # Telegram: the group has become a supergroup with another number. Slack knows nothing like it.
    MIGRATED = "migrated"
    # 200 and a page of the network's.
    CAPTIVE_PORTAL = "captive_portal"
    # 302 to the very same address.
    REDIRECT = "redirect"
    # The message is taken, and the connection ends without an answer.
    ANSWER_LOST = "answer_lost"
    # The answer comes a byte every `drip_seconds`; the message is not taken.
    DRIP = "drip"
    # Nothing is answered until the fault is switched; then the connection ends.
    HANG = "hang"
    # No connection.
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """One message that was taken: `text` as a person reads it, `payload` as it was posted, `at` in UTC.

    `mentions` names whom it would call, by a push for each member of a channel perhaps.
    """

    service: str
    text: str
    mentions: tuple[str, ...]
    payload: Mapping[str, Any]
    at: datetime


class MessagingStandIn:
    """One Slack channel and one Telegram group. Used as a context manager.

    `slack_url`, `telegram_api_url`, `bot_token` and `chat_id` are what a sender needs. The faults,
    `retry_after_seconds` and `drip_seconds` may be changed at any time from any thread.
    `telegram_refusal` is what Telegram answers about every chat, where set.
    `on_message` is called for each message that was taken, one at a time, before the sender has its answer; it is
    called in a server's thread and must not block.
    """

    def __init__(self, *, on_message: Callable[[ReceivedMessage], None] | None = None) -> None:
        self.bot_token = _BOT_TOKEN
        self.chat_id, self.migrated_chat_id = _GROUP, _SUPERGROUP
        self.retry_after_seconds = 1
        self.drip_seconds = 1.0
        self.telegram_refusal: telegram.TelegramRefusedError | None = None
        self._on_message = on_message
        self._messages: list[ReceivedMessage] = []
        self._lock = threading.Lock()
        self._slack = _Service(self, Route(_SLACK_PATH, self._post, methods=["POST"]))
        self._telegram = _Service(
            self,
            Route("/bot{token}/sendMessage", self._send_message, methods=["POST"]),
            Route("/bot{token}/getMe", self._get_me, methods=["GET", "POST"]),
            Route("/bot{token}/getChat", self._get_chat, methods=["GET", "POST"]),
        )

    @property
    def slack_url(self) -> str:
        return self._slack.url + _SLACK_PATH

    @property
    def telegram_api_url(self) -> str:
        return self._telegram.url

    @property
    def messages(self) -> tuple[ReceivedMessage, ...]:
        """What was taken so far, in order."""
        return tuple(self._messages)

    @property
    def requests(self) -> int:
        """How many arrived at both services, taken or not."""
        return len(self._slack.requests) + len(self._telegram.requests)

    @property
    def slack_fault(self) -> MessagingFault:
        return self._slack.fault

    @slack_fault.setter
    def slack_fault(self, fault: MessagingFault) -> None:
        self._slack.fault = fault

    @property
    def telegram_fault(self) -> MessagingFault:
        return self._telegram.fault

    @telegram_fault.setter
    def telegram_fault(self, fault: MessagingFault) -> None:
        self._telegram.fault = fault

    @property
    def fault(self) -> MessagingFault:
        """Of both services when set; Slack's when read."""
        return self._slack.fault

    @fault.setter
    def fault(self, fault: MessagingFault) -> None:
        self._slack.fault = self._telegram.fault = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._slack.stop()
        self._telegram.stop()

    async def _post(self, request: Request) -> Response:
        """A message to Slack."""
        payload = _json_object(await request.body())
        if payload is None:
            raise slack.SlackRefusedError("invalid_payload")
        slack.check(payload)
        self._take("slack", slack.shown(payload), slack.mentions(payload), payload)
        return PlainTextResponse("ok")

    async def _get_me(self, request: Request) -> Response:
        """Telegram: which bot has this token."""
        self._require_token(request)
        bot = {"id": int(self.bot_token.partition(":")[0]), "is_bot": True, "first_name": "Stand-in"}
        return JSONResponse({"ok": True, "result": {**bot, "username": "stand_in_bot"}})

    async def _get_chat(self, request: Request) -> Response:
        """Telegram: what the bot knows of a chat."""
        self._require_token(request)
        chat_id = self._known_chat(_json_object(await request.body()))
        return JSONResponse({"ok": True, "result": {"id": int(chat_id), "type": "group", "title": "Stand-in"}})

    async def _send_message(self, request: Request) -> Response:
        """A message to Telegram."""
        self._require_token(request)
        values = _json_object(await request.body())
        chat_id = self._known_chat(values)
        text, mentions = telegram.read(values or {})
        number, at = self._take("telegram", text, mentions, values or {})
        chat = {"id": int(chat_id), "type": "group", "title": "Stand-in"}
        result = {"message_id": number, "chat": chat, "date": int(at.timestamp()), "text": text}
        return JSONResponse({"ok": True, "result": result})

    def _require_token(self, request: Request) -> None:
        if request.path_params["token"] != self.bot_token:
            raise telegram.TelegramRefusedError("Unauthorized", status=401)

    def _known_chat(self, values: Mapping[str, Any] | None) -> str:
        """The chat that a request names, if there is one."""
        if values is None:
            raise telegram.TelegramRefusedError("can't parse JSON object")
        if self.telegram_refusal is not None:
            raise self.telegram_refusal
        chat_id = str(values.get("chat_id", ""))
        if self.telegram_fault is MessagingFault.MIGRATED and chat_id == self.chat_id:
            migrated = {"migrate_to_chat_id": int(self.migrated_chat_id)}
            raise telegram.TelegramRefusedError("group chat was upgraded to a supergroup chat", migrated)
        if chat_id not in (self.chat_id, self.migrated_chat_id):
            raise telegram.TelegramRefusedError("chat not found" if chat_id else "chat_id is empty")
        return chat_id

    def _take(
        self, service: str, text: str, mentions: tuple[str, ...], payload: Mapping[str, Any]
    ) -> tuple[int, datetime]:
        # The two services run on a thread each.
        with self._lock:
            at = datetime.now(UTC)
            message = ReceivedMessage(service=service, text=text, mentions=mentions, payload=payload, at=at)
            self._messages.append(message)
            if self._on_message is not None:
                self._on_message(message)
            return len(self._messages), at


class _Service(FaultyServer[MessagingFault]):
    """One of the two services."""

    def __init__(self, owner: MessagingStandIn, *routes: Route) -> None:
        self._owner = owner
        refusals = {slack.SlackRefusedError: _refused, telegram.TelegramRefusedError: _refused}
        super().__init__(Starlette(routes=routes, exception_handlers=refusals), MessagingFault.NONE)

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """What the fault has in place of an answer, or the service's own."""
        fault = self.fault
        if fault is MessagingFault.ANSWER_LOST:
            await self.app(scope, receive, _discard)
        if fault is MessagingFault.HANG:
            await self.wait_until(lambda: self.fault is not MessagingFault.HANG)
        await (self._fault_response(fault, request.target) or self.app)(scope, receive, send)

    def _fault_response(self, fault: MessagingFault, target: str) -> Response | None:
        seconds = self._owner.retry_after_seconds
        is_slack = target.startswith(_SLACK_PATH)
        match fault:
            case MessagingFault.DOWN:
                return PlainTextResponse("Service Unavailable", 503)
            case MessagingFault.FLAKY if len(self.requests) % 2:
                return PlainTextResponse("Service Unavailable", 503)
            case MessagingFault.RATE_LIMITED:
                headers = {"Retry-After": str(seconds)}
                if is_slack:
                    return PlainTextResponse("rate_limited", 429, headers)
                text = f"Too Many Requests: retry after {seconds}"
                return _failed(429, text, {"retry_after": seconds}, headers)
            case MessagingFault.GONE:
                return PlainTextResponse("no_service", 404) if is_slack else _failed(401, "Unauthorized")
            case MessagingFault.CAPTIVE_PORTAL:
                return HTMLResponse(_PORTAL)
            case MessagingFault.REDIRECT:
                return RedirectResponse(target, 302)
            case MessagingFault.DRIP:
                return Drip(self._owner.drip_seconds)
            case MessagingFault.ANSWER_LOST | MessagingFault.HANG | MessagingFault.REFUSE:
                return HangUp()
        return None


def _json_object(body: bytes) -> dict[str, Any] | None:
    """The object in a body, `None` for anything else."""
    try:
        value = json.loads(body)
        # Half of a surrogate pair is valid JSON and no text.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


async def _discard(_message: Message) -> None:
    """Send nothing."""


def _failed(
    status: int,
    description: str,
    parameters: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {"ok": False, "error_code": status, "description": description}
    return JSONResponse({**body, "parameters": parameters} if parameters else body, status, headers)


async def _refused(_request: Request, error: Exception) -> Response:
    """The answer to a message that breaks a rule of its service."""
    if isinstance(error, telegram.TelegramRefusedError):
        return _failed(error.status, str(error), error.parameters)
    return PlainTextResponse(str(error), 400)
