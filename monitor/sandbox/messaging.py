"""A stand-in for Slack's incoming webhooks and Telegram's Bot API, with faults that can be switched."""

from __future__ import annotations

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
from monitor.sandbox.server import Drip, HangUp, LoopbackServer, RecordedRequest

_SLACK_PATH = "/services/T0SANDBOX/B0SANDBOX/standInForTheRealOne0123"
_BOT_TOKEN = "110201543:AAstandInForTheRealOne-0123456789ab"
_GROUP, _SUPERGROUP = "-4012345678", "-1002012345678"
_PORTAL = "<html><body>Welcome to our network. Please log in.</body></html>"


class MessagingFault(Enum):
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
    `on_message` is called for each message that was taken, one at a time, before the sender has its answer; it is
    called in a server's thread and must not block.
    """

    def __init__(self, *, on_message: Callable[[ReceivedMessage], None] | None = None) -> None:
        self.bot_token = _BOT_TOKEN
        self.chat_id, self.migrated_chat_id = _GROUP, _SUPERGROUP
        self.retry_after_seconds = 1
        self.drip_seconds = 1.0
        self._on_message = on_message
        self._messages: list[ReceivedMessage] = []
        self._lock = threading.Lock()
        slack_routes = [Route(_SLACK_PATH, self._post, methods=["POST"])]
        telegram_routes = [Route("/bot{token}/{method}", self._call, methods=["GET", "POST"])]
        self._slack = _Service(
            Starlette(routes=slack_routes, exception_handlers={404: _no_service}), self, self._slack_refusal
        )
        self._telegram = _Service(Starlette(routes=telegram_routes), self, self._telegram_refusal)

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
        self._slack.switch(fault)

    @property
    def telegram_fault(self) -> MessagingFault:
        return self._telegram.fault

    @telegram_fault.setter
    def telegram_fault(self, fault: MessagingFault) -> None:
        self._telegram.switch(fault)

    @property
    def fault(self) -> MessagingFault:
        """Of both services when set; Slack's when read."""
        return self._slack.fault

    @fault.setter
    def fault(self, fault: MessagingFault) -> None:
        self._slack.switch(fault)
        self._telegram.switch(fault)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self.fault = MessagingFault.REFUSE

    def _slack_refusal(self, fault: MessagingFault) -> Response | None:
        if fault is MessagingFault.RATE_LIMITED:
            return PlainTextResponse("rate_limited", 429, self._retry_after())
        return PlainTextResponse("no_service", 404) if fault is MessagingFault.GONE else None

    def _telegram_refusal(self, fault: MessagingFault) -> Response | None:
        if fault is MessagingFault.RATE_LIMITED:
            seconds = self.retry_after_seconds
            text, parameters = f"Too Many Requests: retry after {seconds}", {"retry_after": seconds}
            return _failed(429, text, parameters, self._retry_after())
        return _failed(401, "Unauthorized") if fault is MessagingFault.GONE else None

    async def _post(self, request: Request) -> Response:
        """One request at Slack."""
        try:
            payload = slack.read(await request.body())
        except slack.SlackRefusedError as error:
            return PlainTextResponse(str(error), 400)
        self._take("slack", slack.shown(payload), slack.mentions(payload), payload)
        return PlainTextResponse("ok")

    async def _call(self, request: Request) -> Response:
        """One request at Telegram."""
        token, method = request.path_params["token"], request.path_params["method"].lower()
        if token != self.bot_token:
            return _failed(401, "Unauthorized")
        if method == "getme":
            return _result({"id": int(token.partition(":")[0]), "is_bot": True, "first_name": "Stand-in"})
        if method != "sendmessage":
            return _failed(404, "Not Found: method not found")
        try:
            values = telegram.parameters(
                request.url.query, await request.body(), request.headers.get("content-type", "")
            )
            self._check_chat(str(values.get("chat_id", "")))
            shown = telegram.read(values)
        except telegram.TelegramRefusedError as error:
            return _failed(400, str(error), error.parameters)
        number, at = self._take("telegram", shown.text, shown.mentions, values)
        chat = {"id": int(values["chat_id"]), "type": "group", "title": "Stand-in"}
        return _result({"message_id": number, "chat": chat, "date": int(at.timestamp()), "text": shown.text})

    def _check_chat(self, chat_id: str) -> None:
        if not chat_id:
            raise telegram.TelegramRefusedError("Bad Request: chat_id is empty")
        if self.telegram_fault is MessagingFault.MIGRATED and chat_id == self.chat_id:
            raise telegram.TelegramRefusedError(
                "Bad Request: group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": int(self.migrated_chat_id)},
            )
        if chat_id not in (self.chat_id, self.migrated_chat_id):
            raise telegram.TelegramRefusedError("Bad Request: chat not found")

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

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class _Service(LoopbackServer):
    """One of the two services, and what its fault does before a request is read."""

    def __init__(
        self, app: Starlette, owner: MessagingStandIn, refusal: Callable[[MessagingFault], Response | None]
    ) -> None:
        self.fault = MessagingFault.NONE
        self._owner = owner
        self._refusal = refusal
        self._is_next_down = True
        super().__init__(app)

    def switch(self, fault: MessagingFault) -> None:
        self.fault, self._is_next_down = fault, True
        self.notify()
        if fault is MessagingFault.REFUSE:
            self.stop()
        else:
            self.start()

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """What the fault has in place of an answer, or the service's own."""
        fault = self.fault
        if fault is MessagingFault.ANSWER_LOST:
            await self.app(scope, receive, _discard)
        if fault is MessagingFault.HANG:
            await self.wait_until(lambda: self.fault is not MessagingFault.HANG)
        response = self._fault_response(fault, request.target) or self._refusal(fault) or self.app
        await response(scope, receive, send)

    def _fault_response(self, fault: MessagingFault, target: str) -> Response | None:
        if fault is MessagingFault.FLAKY:
            fault = MessagingFault.DOWN if self._is_next_down else MessagingFault.NONE
            self._is_next_down = not self._is_next_down
        match fault:
            case MessagingFault.DOWN:
                return PlainTextResponse("Service Unavailable", 503)
            case MessagingFault.CAPTIVE_PORTAL:
                return HTMLResponse(_PORTAL)
            case MessagingFault.REDIRECT:
                return RedirectResponse(target, 302)
            case MessagingFault.DRIP:
                return Drip(self._owner.drip_seconds)
            case MessagingFault.ANSWER_LOST | MessagingFault.HANG | MessagingFault.REFUSE:
                return HangUp()
        return None


async def _discard(_message: Message) -> None:
    """Send nothing."""


async def _no_service(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("no_service", 404)


def _result(result: Mapping[str, Any]) -> Response:
    return JSONResponse({"ok": True, "result": result})


def _failed(
    status: int,
    description: str,
    parameters: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {"ok": False, "error_code": status, "description": description}
    return JSONResponse({**body, "parameters": parameters} if parameters else body, status, headers)
