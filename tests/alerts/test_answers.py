"""What each answer of Slack, Telegram and any other receiver means: arrived, try again, or never.

The rows are the services' documented answers, and what stands between us and them may say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from monitor.alerts.retry_policy import ChatMove, DeliveryStatus
from monitor.alerts.slack import SlackChannel
from monitor.alerts.telegram import TelegramChannel
from monitor.alerts.webhook import WebhookChannel
from monitor.engine.heartbeat import ping
from monitor.lib.text import Scrubber
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.server import LoopbackServer
from tests.alerts.conftest import CLOSED, LONG, OPENED, telegram

CONFIRMED, UNCONFIRMED = DeliveryStatus.CONFIRMED, DeliveryStatus.UNCONFIRMED
RETRY, PERMANENT = DeliveryStatus.RETRY, DeliveryStatus.PERMANENT
TOKEN = "110201543:AAtokenOfTheTest_0123-456789"
PATH = "/services/T0TEST99/B0TEST77/pathOfTheTest0123456789"
PORTAL = "<html><body>Welcome! Please log in.</body></html>"


class Service(LoopbackServer):
    """A service that gives the replies it was told to give, one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.replies: list[Response] = [PlainTextResponse("ok")]
        super().__init__(self._reply)
        self.scrub = Scrubber([self.url + PATH, TOKEN])

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        await reply(scope, receive, send)

    def answers(self, status: int, body: str, **headers: str) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies = [Response(body, status, names, media_type="application/json")]

    @property
    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(request.body) for request in self.requests]

    def slack(self) -> SlackChannel:
        return SlackChannel(name="slack", webhook_url=self.url + PATH, scrub=self.scrub)

    def telegram(self) -> TelegramChannel:
        return TelegramChannel(name="telegram", bot_token=TOKEN, chat_id="-42", api_url=self.url, scrub=self.scrub)

    def webhook(self) -> WebhookChannel:
        return WebhookChannel(name="webhook", url=self.url + PATH)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.mark.parametrize(
    ("status", "body", "wanted", "detail"),
    [
        (200, "ok", CONFIRMED, "ok"),
        (200, "ok\n", CONFIRMED, "ok"),
        (200, "", UNCONFIRMED, "something that is not Slack answered 200"),
        (408, "", RETRY, "the service answered 408"),
        (425, PORTAL, RETRY, "the service answered 425"),
        (200, "okay", UNCONFIRMED, "something that is not Slack answered 200"),
        (200, PORTAL, UNCONFIRMED, "something that is not Slack answered 200"),
        (200, '{"success":true}', UNCONFIRMED, "something that is not Slack answered 200"),
        (200, '{"ok":true}', UNCONFIRMED, "something that is not Slack answered 200"),
        (201, "", UNCONFIRMED, "something that is not Slack answered 201"),
        (202, "", UNCONFIRMED, "something that is not Slack answered 202"),
        (204, "", UNCONFIRMED, "something that is not Slack answered 204"),
        (200, '{"ok":false,"error":"invalid_token"}', PERMANENT, "the webhook URL is not right"),
        (200, '{"success":false,"error":"Invalid webhook"}', PERMANENT, "(200 Invalid webhook)"),
        (302, "", PERMANENT, "Slack refused it (302): check webhook_url: it leads elsewhere"),
        (400, "invalid_payload", PERMANENT, "(400 invalid_payload)"),
        (400, "invalid_blocks", PERMANENT, "(400 invalid_blocks)"),
        (400, "no_text", PERMANENT, "(400 no_text)"),
        (400, "too_many_attachments", PERMANENT, "(400 too_many_attachments)"),
        (400, "user_not_found", PERMANENT, "(400 user_not_found)"),
        (400, "posting_to_general_channel_denied", PERMANENT, "make a webhook for another"),
        (403, "action_prohibited", PERMANENT, "an administrator forbids posting here"),
        (403, "invalid_token", PERMANENT, "the webhook URL is not right"),
        (404, "channel_not_found", PERMANENT, "the webhook's channel is gone"),
        (404, "no_service", PERMANENT, "the webhook was removed"),
        (404, "no_service_id", PERMANENT, "the webhook was removed"),
        (404, "no_team", PERMANENT, "the workspace is gone"),
        (404, "no_active_hooks", PERMANENT, "the webhook was disabled"),
        (404, "team_disabled", PERMANENT, "the workspace is disabled"),
        (404, PORTAL, PERMANENT, "check webhook_url"),
        (410, "channel_is_archived", PERMANENT, "the webhook's channel is archived"),
        (429, "rate_limited", RETRY, "Slack limits the rate (429)"),
        (500, "rollup_error", RETRY, "the service answered 500"),
        (502, PORTAL, RETRY, "the service answered 502"),
        (503, "", RETRY, "the service answered 503"),
        (504, "ok", RETRY, "the service answered 504"),
    ],
)
def test_what_slacks_answers_mean(
    service: Service, status: int, body: str, wanted: DeliveryStatus, detail: str
) -> None:
    """Nothing but status 200 with `ok` confirms; another 2xx counts as sent, unless it says that it is not.

    5xx and 429 are tried again; others never.
    """
    service.answers(status, body)
    result = service.slack().send(OPENED, timeout=LONG)
    assert result.status is wanted
    assert detail in result.detail
    assert "\n" not in result.detail
    # A 400 may be about the blocks: those are tried once more without.
    assert len(service.requests) == (2 if status == 400 else 1)


def failed(status: int, description: str, **parameters: object) -> str:
    body = {"ok": False, "error_code": status, "description": description}
    return json.dumps({**body, "parameters": parameters} if parameters else body)


@pytest.mark.parametrize(
    ("status", "body", "wanted", "detail"),
    [
        (200, '{"ok": true, "result": {}}', CONFIRMED, "ok"),
        (200, '{"ok": false}', PERMANENT, "Telegram refused it (200)"),
        (200, failed(403, "Forbidden: bot was blocked by the user"), PERMANENT, "unblock the bot"),
        (200, failed(429, "Too Many Requests: retry after 3", retry_after=3), RETRY, "Telegram limits the rate"),
        (200, failed(502, "Bad Gateway"), RETRY, "the service answered 502"),
        (200, '{"ok": "true"}', UNCONFIRMED, "something that is not Telegram answered 200"),
        (200, "", UNCONFIRMED, "something that is not Telegram answered 200"),
        (200, "ok", UNCONFIRMED, "something that is not Telegram answered 200"),
        (200, PORTAL, UNCONFIRMED, "something that is not Telegram answered 200"),
        (200, "[" * 10_000, UNCONFIRMED, "something that is not Telegram answered 200"),
        (202, "", UNCONFIRMED, "something that is not Telegram answered 202"),
        (302, "", PERMANENT, "something that is not Telegram answered 302: check api_url"),
        (404, PORTAL, PERMANENT, "something that is not Telegram answered 404: check api_url"),
        (400, failed(400, "Bad Request: chat not found"), PERMANENT, "check chat_id"),
        (400, failed(400, "Bad Request: chat_id is empty"), PERMANENT, "set chat_id"),
        (400, failed(400, "Bad Request: message thread not found"), PERMANENT, "the topic is gone; set topic"),
        (400, failed(400, "Bad Request: TOPIC_DELETED"), PERMANENT, "the topic is gone; set topic"),
        (400, failed(400, "Bad Request: TOPIC_ID_INVALID"), PERMANENT, "the topic is gone; set topic"),
        (400, failed(400, "Bad Request: PEER_ID_INVALID"), PERMANENT, "check chat_id, and that the bot was added"),
        (400, failed(400, "Bad Request: CHAT_ADMIN_REQUIRED"), PERMANENT, "make the bot an administrator"),
        (400, failed(400, "Bad Request: CHAT_RESTRICTED"), PERMANENT, "allow the bot to send"),
        (400, failed(400, "Bad Request: USER_IS_BLOCKED"), PERMANENT, "unblock the bot"),
        (400, failed(400, "Bad Request: CHANNEL_PRIVATE"), PERMANENT, "add the bot to the chat again"),
        (408, PORTAL, RETRY, "the service answered 408"),
        (400, failed(400, "Bad Request: TOPIC_CLOSED"), PERMANENT, "the topic is closed; open it again"),
        (400, failed(400, "Bad Request: CHAT_WRITE_FORBIDDEN"), PERMANENT, "allow the bot to send"),
        (
            400,
            failed(400, "Bad Request: not enough rights to send text messages to the chat"),
            PERMANENT,
            "allow the bot to send messages",
        ),
        (400, failed(400, "Bad Request: have no rights to send a message"), PERMANENT, "allow the bot to send"),
        (
            400,
            failed(400, "Bad Request: need administrator rights in the channel chat"),
            PERMANENT,
            "make the bot an administrator",
        ),
        (403, failed(403, "Forbidden: bot can't initiate conversation with a user"), PERMANENT, "press Start"),
        (403, failed(403, "Forbidden: bots can't send messages to bots"), PERMANENT, "the number of a bot"),
        (401, failed(401, "Unauthorized"), PERMANENT, "the bot token is not valid any more"),
        (403, failed(403, "Forbidden: bot was blocked by the user"), PERMANENT, "unblock the bot"),
        (403, failed(403, "Forbidden: bot was kicked from the supergroup chat"), PERMANENT, "add the bot"),
        (403, failed(403, "Forbidden: bot is not a member of the channel chat"), PERMANENT, "add the bot"),
        (403, failed(403, "Forbidden: user is deactivated"), PERMANENT, "set another chat_id"),
        (403, failed(403, "Forbidden: the group chat was deleted"), PERMANENT, "set another chat_id"),
        (404, failed(404, "Not Found"), PERMANENT, "the bot token is not right"),
        (421, failed(421, "Misdirected Request"), PERMANENT, "check bot_token and chat_id"),
        (429, failed(429, "Too Many Requests: retry after 3", retry_after=3), RETRY, "Telegram limits the rate"),
        (429, PORTAL, RETRY, "Telegram limits the rate"),
        (500, failed(500, "Internal Server Error"), RETRY, "the service answered 500"),
        (502, PORTAL, RETRY, "the service answered 502"),
        (503, '{"ok": true}', RETRY, "the service answered 503"),
    ],
)
def test_what_telegrams_answers_mean(
    service: Service, status: int, body: str, wanted: DeliveryStatus, detail: str
) -> None:
    """Nothing but status 200 with `"ok": true` confirms; another 2xx is sent, unless it says that it is not.

    5xx, 429 and 408 are tried again; others never.
    """
    service.answers(status, body)
    result = service.telegram().send(OPENED, timeout=LONG)
    assert result.status is wanted
    assert detail in result.detail
    assert "\n" not in result.detail
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "seconds"),
    [
        (400, failed(400, "Bad Request: SLOWMODE_WAIT_17"), 17),
        (420, failed(420, "FLOOD_WAIT_33"), 33),
        (420, failed(420, "Too fast"), 60),
        (400, failed(400, "Too Many Requests: retry after 12"), 12),
        (200, json.dumps({"ok": False, "description": "Too Many Requests: retry after 12"}), 12),
        (429, failed(429, "Too Many Requests: retry after 5", retry_after="5"), 5),
        (429, failed(429, "Too Many Requests", retry_after=2.5), 2.5),
        (429, failed(429, "Too Many Requests", retry_after=True), 60),
        (429, failed(429, "Too Many Requests", retry_after=-3), 60),
        (429, failed(429, "Too Many Requests", retry_after=10**20), 60),
        (400, failed(400, "Bad Request: SLOWMODE_WAIT_99999999999"), 60),
        (403, json.dumps({"ok": False, "error_code": "429", "description": "slow down"}), 60),
    ],
)
def test_a_pause_that_telegram_asks_for_in_any_shape_is_no_refusal(
    service: Service, status: int, body: str, seconds: float
) -> None:
    """So many seconds, or a minute; a refusal would be tried again in an hour."""
    service.answers(status, body)
    result = service.telegram().send(OPENED, timeout=LONG)
    assert (result.status, result.retry_after) == (RETRY, timedelta(seconds=seconds))


@pytest.mark.parametrize("code", [10**400, -1, 0, 7, True, None, "x", [], 1e308, "9" * 300, 200])
def test_an_odd_error_code_of_telegram_is_not_believed(service: Service, code: object) -> None:
    """It is a refusal all the same, told with the answer's own status, and short."""
    service.answers(200, json.dumps({"ok": False, "error_code": code, "description": "Bad Request"}))
    result = service.telegram().send(OPENED, timeout=LONG)
    assert result.status is PERMANENT
    assert result.detail == "Telegram refused it (200 Bad Request): check bot_token and chat_id"


def test_two_programs_that_use_one_bot_are_told_of_and_tried_again(service: Service) -> None:
    """The other one may end at any moment."""
    service.answers(409, failed(409, "Conflict: terminated by other getUpdates request"))
    result = service.telegram().send(OPENED, timeout=LONG)
    assert result.status is RETRY
    assert result.detail.endswith("another program uses this bot; give the monitor one of its own")


@pytest.mark.parametrize("number", [-1001234567890, "-1001234567890", -1001234567890.0])
def test_the_new_number_of_a_group_is_followed_in_any_shape(service: Service, number: object) -> None:
    """And nothing that is no chat's number is."""
    upgraded = "Bad Request: group chat was upgraded to a supergroup chat"
    service.replies = [
        Response(failed(400, upgraded, migrate_to_chat_id=number), 400),
        Response('{"ok": true}', 200),
    ]
    result = service.telegram().send(OPENED, timeout=LONG)
    assert (result.status, result.move) == (
        CONFIRMED,
        ChatMove(old_chat_id="-42", new_chat_id="-1001234567890"),
    )
    odd_ones: tuple[object, ...] = (True, 0, "", None, [], 10**40, "x")
    for odd in odd_ones:
        service.answers(400, failed(400, upgraded, migrate_to_chat_id=odd))
        result = service.telegram().send(OPENED, timeout=LONG)
        assert (result.status, result.move) == (PERMANENT, None)
        assert result.detail.endswith("the group has a new number; set it as chat_id")


@pytest.mark.parametrize(
    ("body", "wanted", "detail"),
    [
        ("invalid_token", PERMANENT, "copy it again"),
        ("no_service\n", PERMANENT, "the webhook was removed"),
        ('"channel_is_archived"', PERMANENT, "is archived; restore it"),
        ("NO_TEAM", PERMANENT, "the workspace is gone"),
        ('{"error": "invalid_token"}', PERMANENT, "copy it again"),
        ('{"ok": false, "error": "token_revoked"}', PERMANENT, "the webhook was removed"),
        ('{"ok": false, "error": "ratelimited"}', RETRY, "limits the rate"),
        ("rate_limited", RETRY, "limits the rate"),
        ("internal_error", RETRY, "cannot take it now"),
        ("message_taken", UNCONFIRMED, "something that is not Slack"),
    ],
)
def test_a_refusal_of_slack_is_one_whatever_its_status(
    service: Service, body: str, wanted: DeliveryStatus, detail: str
) -> None:
    """What stands in between may call every answer 200; only Slack's own words are taken for refusals."""
    service.answers(200, body)
    result = service.slack().send(OPENED, timeout=LONG)
    assert result.status is wanted
    assert detail in result.detail


def test_slack_gets_plain_text_when_a_200_refuses_the_blocks(service: Service) -> None:
    """As with a 400."""
    service.replies = [Response("invalid_blocks", 200), Response("ok", 200)]
    assert service.slack().send(OPENED, timeout=LONG).status is CONFIRMED
    assert "blocks" not in service.bodies[1]


@pytest.mark.parametrize(
    ("status", "wanted", "detail"),
    [
        (200, CONFIRMED, "the receiver answered 200"),
        (204, CONFIRMED, "the receiver answered 204"),
        (206, CONFIRMED, "the receiver answered 206"),
        (301, PERMANENT, "the receiver refused it (301)"),
        (400, PERMANENT, "the receiver refused it (400)"),
        (401, PERMANENT, "the receiver refused it (401)"),
        (404, PERMANENT, "the receiver refused it (404)"),
        (408, RETRY, "the service answered 408"),
        (429, RETRY, "the receiver limits the rate (429)"),
        (500, RETRY, "the service answered 500"),
        (503, RETRY, "the service answered 503"),
    ],
)
def test_what_a_receivers_answers_mean(service: Service, status: int, wanted: DeliveryStatus, detail: str) -> None:
    """Any 2xx confirms, whatever the body."""
    service.answers(status, PORTAL)
    result = service.webhook().send(OPENED, timeout=LONG)
    assert result.status is wanted
    assert detail in result.detail


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("7200", 7200.0),
        ("", 60.0),
        ("soon", 60.0),
        ("-5", 60.0),
        ("nan", 60.0),
        ("inf", 60.0),
        ("Mon, 23 Nov 2026 14:02:09 GMT", 60.0),
    ],
)
@pytest.mark.parametrize("channel", [Service.slack, Service.telegram, Service.webhook])
def test_a_429_names_its_pause_in_a_header(
    service: Service,
    channel: Callable[[Service], SlackChannel | TelegramChannel | WebhookChannel],
    header: str,
    seconds: float,
) -> None:
    """`Retry-After` in seconds; a minute where it says nothing that can be read."""
    service.answers(429, "rate_limited", Retry_After=header)
    result = channel(service).send(OPENED, timeout=LONG)
    assert (result.status, result.retry_after) == (RETRY, timedelta(seconds=seconds))


def test_telegrams_own_pause_comes_before_the_header(service: Service) -> None:
    """`retry_after` in the body is what the Bot API documents."""
    service.answers(429, failed(429, "Too Many Requests", retry_after=185), Retry_After="5")
    assert service.telegram().send(OPENED, timeout=LONG).retry_after == timedelta(seconds=185)


def test_slack_gets_plain_text_when_it_refuses_the_blocks(service: Service) -> None:
    """What, why, since when, and the number: short, without blocks; the alert arrives."""
    service.replies = [Response("invalid_blocks", 400), Response("ok", 200)]
    assert service.slack().send(OPENED, timeout=LONG).status is CONFIRMED
    first, second = service.bodies
    assert "blocks" in first
    assert second.keys().isdisjoint({"blocks", "attachments"})
    assert str(second["text"]).splitlines() == [
        "🔴 main: token rejected · your move",
        "The database was reached and does not accept this token.",
        "since 14:02:09 UTC, 2 checks failed",
        "incident 12 · opened",
    ]


@pytest.mark.parametrize(
    "description",
    [
        "Bad Request: can't parse entities: Unsupported start tag",
        "Bad Request: message is too long",
        "Bad Request: Text is too long",
    ],
)
def test_telegram_gets_plain_text_when_it_refuses_the_form(service: Service, description: str) -> None:
    """The same, without parse_mode; and only once: a second refusal is final."""
    service.replies = [
        Response(failed(400, description), 400),
        Response('{"ok": true}', 200),
        Response(failed(400, description), 400),
    ]
    assert service.telegram().send(OPENED, timeout=LONG).status is CONFIRMED
    second = service.bodies[1]
    assert "parse_mode" not in second
    assert str(second["text"]).splitlines()[0] == "🔴 main: token rejected · your move"
    assert str(second["text"]).splitlines()[-1] == "incident 12 · opened"
    assert service.telegram().send(OPENED, timeout=LONG).status is PERMANENT
    assert len(service.requests) == 4


def test_a_chat_that_moved_is_followed(inbox: MessagingStandIn) -> None:
    """Telegram names the new id; the message goes there at once, and the next one goes there directly."""
    inbox.telegram_fault = MessagingFault.MIGRATED
    channel = telegram(inbox)
    move = ChatMove(old_chat_id=inbox.chat_id, new_chat_id=inbox.migrated_chat_id)
    result = channel.send(OPENED, timeout=LONG)
    assert (result.status, result.move) == (CONFIRMED, move)
    assert channel.send(CLOSED, timeout=LONG).move is None
    assert [message.payload["chat_id"] for message in inbox.messages] == [inbox.migrated_chat_id] * 2
    assert inbox.requests == 3


def test_a_move_that_is_remembered_saves_a_request(inbox: MessagingStandIn) -> None:
    """After a restart; but not when the settings name another chat by now."""
    inbox.telegram_fault = MessagingFault.MIGRATED
    channel = telegram(inbox)
    channel.follow(ChatMove(old_chat_id="-1", new_chat_id="-2"))
    channel.follow(ChatMove(old_chat_id=inbox.chat_id, new_chat_id=inbox.migrated_chat_id))
    assert channel.send(OPENED, timeout=LONG).status is CONFIRMED
    assert inbox.requests == 1


@pytest.mark.parametrize("second", [Response(failed(429, "wait", retry_after=3), 429), Response(PORTAL, 502)])
def test_a_move_is_remembered_even_if_the_new_chat_does_not_take_the_message(
    service: Service, second: Response
) -> None:
    """And a service that names a new id for each new id is not followed for ever."""
    moved = failed(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100)
    service.replies = [Response(moved, 400), second]
    result = service.telegram().send(OPENED, timeout=LONG)
    assert (result.status, result.move) == (RETRY, ChatMove(old_chat_id="-42", new_chat_id="-100"))
    assert [body["chat_id"] for body in service.bodies] == ["-42", "-100"]
    service.replies = [Response(moved, 400)]
    assert service.telegram().send(OPENED, timeout=LONG).status is PERMANENT
    assert len(service.requests) == 4


@pytest.mark.parametrize(
    ("chat_id", "meant"),
    [
        ("-100123_17", "-100123"),
        ("-100123/17", "-100123"),
        ("https://t.me/c/123/17", "-100123"),
        ("t.me/c/123", "-100123"),
    ],
)
def test_a_topic_behind_the_chat_is_told(service: Service, chat_id: str, meant: str) -> None:
    """A number is no secret: what is to be entered is in the advice."""
    service.answers(400, failed(400, "Bad Request: chat not found"))
    channel = TelegramChannel(
        name="telegram", bot_token=TOKEN, chat_id=chat_id, api_url=service.url, scrub=service.scrub
    )
    wanted = f"chat_id is the number of the chat alone, without a topic: {meant}"
    assert channel.send(OPENED, timeout=LONG).detail.endswith(wanted)
    assert channel.probe(LONG).detail.endswith(wanted)


def test_telegram_is_probed_without_a_message(inbox: MessagingStandIn) -> None:
    """The bot, then the chat; a chat that moved is followed; the other channels have no such question."""
    channel = telegram(inbox)
    assert channel.probe(LONG).status is CONFIRMED
    inbox.telegram_fault = MessagingFault.MIGRATED
    result = channel.probe(LONG)
    move = ChatMove(old_chat_id=inbox.chat_id, new_chat_id=inbox.migrated_chat_id)
    assert (result.status, result.move) == (CONFIRMED, move)
    inbox.telegram_fault = MessagingFault.GONE
    assert "the bot token is not valid any more" in channel.probe(LONG).detail
    inbox.telegram_fault = MessagingFault.DOWN
    assert channel.probe(LONG).status is RETRY
    inbox.telegram_fault = MessagingFault.REFUSE
    assert channel.probe(LONG).status is RETRY
    assert inbox.messages == ()


def test_a_number_that_the_group_has_now_is_told(service: Service) -> None:
    """Where it cannot be followed, because it moved twice."""
    moved = failed(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100)
    service.answers(400, moved)
    assert service.telegram().send(OPENED, timeout=LONG).detail.endswith("set chat_id to -100")


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("channel", [Service.slack, Service.telegram, Service.webhook])
def test_no_result_holds_a_secret(
    service: Service,
    channel: Callable[[Service], SlackChannel | TelegramChannel | WebhookChannel],
    status: int,
) -> None:
    """Not even when the other side sends it back: plain, URL-encoded, or with invisible marks in between."""
    for secret in (TOKEN, PATH, quote(TOKEN, safe=""), quote(PATH, safe=""), "\u200b".join(TOKEN + PATH)):
        for body in (f"you sent {secret}", failed(status, f"you sent {secret}"), secret):
            service.answers(status, body)
            said = repr(channel(service).send(OPENED, timeout=LONG))
            for part in (TOKEN[10:], PATH[10:], quote(TOKEN, safe="")[-15:], quote(PATH, safe="")[-15:]):
                assert part not in said


@pytest.mark.parametrize(
    ("status", "failure"), [(200, None), (204, None), (302, "answered 302"), (404, "answered 404")]
)
def test_a_heartbeat_is_confirmed_by_any_2xx(service: Service, status: int, failure: str | None) -> None:
    """Everything else is only noted: the switch itself raises the alarm when pings stay away."""
    service.answers(status, "OK")
    assert ping(service.url + PATH, timeout=LONG) == failure
    assert service.requests[0].method == "GET"
