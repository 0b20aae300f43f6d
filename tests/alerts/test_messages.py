"""Every kind of message, whole, as it is posted to Slack and Telegram."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.alerts.notification import Notification
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.checks.observation import Outcome
from monitor.sandbox.messaging import MessagingStandIn
from tests.alerts.conftest import (
    CHANGED,
    CLOSED,
    LONG,
    MISSED,
    MONITOR,
    OPENED,
    REMINDER,
    TEST,
    slack,
    telegram,
)
from tests.judging import explain

LATE = "This comes 58 min late: it could not be delivered before."
MEANING = "The database was reached and does not accept this token."
STEPS = """\
1. Copy URL and token of one database in the Upstash console into UPSTASH_REDIS_REST_URL and\
 UPSTASH_REDIS_REST_TOKEN.
2. A worker that reads the same value needs the same change, and a deployment.
3. If it worked before, ask who reset the credentials: that revokes every older token."""
STEPS_HTML = STEPS.replace("'", "&#x27;")


def header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": False}}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}


def next_section(steps: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": f"*Next*\n{steps}", "verbatim": True}}


def context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "plain_text", "text": text, "emoji": False}]}


EACH_KIND = pytest.mark.parametrize(
    ("notification", "notes", "blocks", "html"),
    [
        pytest.param(
            OPENED,
            (),
            [
                header("🔴 main: token rejected"),
                section(
                    "since 2026-11-23 14:02:09 UTC, 2 checks failed\n"
                    "WRONGPASS invalid or missing auth token\n"
                    f"{MEANING}\n"
                    "whose move: yours"
                ),
                next_section(STEPS),
                context("incident 12 · opened"),
            ],
            "🔴 <b>main: token rejected</b>\n"
            "since 2026-11-23 14:02:09 UTC, 2 checks failed\n"
            "<code>WRONGPASS invalid or missing auth token</code>\n"
            f"{MEANING}\n"
            "whose move: yours\n"
            f"{STEPS_HTML}\n"
            "<code>incident 12 · opened</code>",
            id="opened",
        ),
        pytest.param(
            CHANGED,
            (),
            [
                header("🔴 main: now token rejected"),
                section(
                    "since 2026-11-23 14:02:09 UTC, 9 checks failed\n"
                    "before: response timed out\n"
                    "WRONGPASS invalid or missing auth token\n"
                    f"{MEANING}\n"
                    "whose move: yours"
                ),
                next_section(STEPS),
                context("incident 12 · changed"),
            ],
            "🔴 <b>main: now token rejected</b>\n"
            "since 2026-11-23 14:02:09 UTC, 9 checks failed\n"
            "before: response timed out\n"
            "<code>WRONGPASS invalid or missing auth token</code>\n"
            f"{MEANING}\n"
            "whose move: yours\n"
            f"{STEPS_HTML}\n"
            "<code>incident 12 · changed</code>",
            id="changed",
        ),
        pytest.param(
            REMINDER,
            (),
            [
                header("🔴 main: still token rejected after 1 h"),
                section(
                    "since 2026-11-23 14:02:09 UTC, 62 checks failed\n"
                    "WRONGPASS invalid or missing auth token\n"
                    f"{MEANING}\n"
                    "whose move: yours\n"
                    "To stop these reminders: upstash-monitor incidents ack 12"
                ),
                next_section(STEPS),
                context("incident 12 · reminder"),
            ],
            "🔴 <b>main: still token rejected after 1 h</b>\n"
            "since 2026-11-23 14:02:09 UTC, 62 checks failed\n"
            "<code>WRONGPASS invalid or missing auth token</code>\n"
            f"{MEANING}\n"
            "whose move: yours\n"
            "To stop these reminders: upstash-monitor incidents ack 12\n"
            f"{STEPS_HTML}\n"
            "<code>incident 12 · reminder</code>",
            id="reminder",
        ),
        pytest.param(
            CLOSED,
            (),
            [
                header("🟢 main: recovered after 12 min 4 s"),
                section(
                    "down 2026-11-23 14:02:09 UTC to 2026-11-23 14:14:13 UTC, 9 checks failed\n"
                    "causes: response timed out, then token rejected"
                ),
                context("incident 12 · closed"),
            ],
            "🟢 <b>main: recovered after 12 min 4 s</b>\n"
            "down 2026-11-23 14:02:09 UTC to 2026-11-23 14:14:13 UTC, 9 checks failed\n"
            "causes: response timed out, then token rejected\n"
            "<code>incident 12 · closed</code>",
            id="closed",
        ),
        pytest.param(
            MISSED,
            (LATE,),
            [
                header("🟢 main: you missed this: down 14:02 to 14:14 UTC (token rejected), fine again"),
                section(
                    "down 2026-11-23 14:02:09 UTC to 2026-11-23 14:14:13 UTC, 9 checks failed\n"
                    "causes: response timed out, then token rejected"
                ),
                section(LATE),
                context("incident 12 · missed"),
            ],
            "🟢 <b>main: you missed this: down 14:02 to 14:14 UTC (token rejected), fine again</b>\n"
            "down 2026-11-23 14:02:09 UTC to 2026-11-23 14:14:13 UTC, 9 checks failed\n"
            "causes: response timed out, then token rejected\n"
            f"<i>{LATE}</i>\n"
            "<code>incident 12 · missed</code>",
            id="missed",
        ),
        pytest.param(
            MONITOR,
            (),
            [
                header("🟡 upstash-monitor: the channel slack is broken"),
                section(
                    "Slack refused it (404 no_service): the webhook was removed; make a new one and set "
                    "webhook_url"
                ),
                next_section("1. Correct the settings of slack and restart: what it missed is told then."),
                context("upstash-monitor · monitor"),
            ],
            "🟡 <b>upstash-monitor: the channel slack is broken</b>\n"
            "<code>Slack refused it (404 no_service): the webhook was removed; make a new one and set "
            "webhook_url</code>\n"
            "1. Correct the settings of slack and restart: what it missed is told then.\n"
            "<code>upstash-monitor · monitor</code>",
            id="monitor",
        ),
        pytest.param(
            TEST,
            (),
            [
                header("⚪ upstash-monitor: a test message for slack; nothing is wrong"),
                section("If you can read this, alerts will arrive here."),
                context("upstash-monitor · test"),
            ],
            "⚪ <b>upstash-monitor: a test message for slack; nothing is wrong</b>\n"
            "<code>If you can read this, alerts will arrive here.</code>\n"
            "<code>upstash-monitor · test</code>",
            id="test",
        ),
    ],
)


@EACH_KIND
def test_a_message_as_slack_gets_it(
    inbox: MessagingStandIn, notification: Notification, notes: tuple[str, ...], blocks: list[Any], html: str
) -> None:
    """Blocks, and the same words as a fallback for notifications; links stay folded, names are not linked."""
    assert slack(inbox).send(notification, notes=notes, timeout=LONG).status is DeliveryStatus.CONFIRMED
    [message] = inbox.messages
    payload = dict(message.payload)
    fallback = payload.pop("text")
    assert payload == {"blocks": blocks, "unfurl_links": False, "unfurl_media": False, "link_names": False}
    assert fallback.splitlines() == [line for line in message.text.splitlines() if line != "Next"]


@EACH_KIND
def test_a_message_as_telegram_gets_it(
    inbox: MessagingStandIn, notification: Notification, notes: tuple[str, ...], blocks: list[Any], html: str
) -> None:
    """HTML without a preview of links."""
    assert telegram(inbox).send(notification, notes=notes, timeout=LONG).status is DeliveryStatus.CONFIRMED
    [message] = inbox.messages
    assert message.payload == {
        "chat_id": inbox.chat_id,
        "text": html,
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }


def test_the_status_page_is_a_link(inbox: MessagingStandIn) -> None:
    """In Slack a URL in markup is only a link when it says so; it is our own, and the only one."""
    cause = Outcome.SERVER_ERROR
    notification = replace(OPENED, cause=cause, causes=(cause,), verdict=explain(cause))
    slack(inbox).send(notification, timeout=LONG)
    [message] = inbox.messages
    steps = message.payload["blocks"][2]["text"]["text"]
    assert steps.splitlines()[1] == "1. See whether Upstash knows of it: <https://status.upstash.com>."
    assert "1. See whether Upstash knows of it: https://status.upstash.com." in message.text.splitlines()


def test_a_long_name_leaves_room_for_what_happened(inbox: MessagingStandIn) -> None:
    """A name of 200 characters is cut, not the words behind it."""
    for channel in (slack(inbox), telegram(inbox)):
        channel.send(replace(MISSED, database="n" * 200), timeout=LONG)
    for message in inbox.messages:
        first = message.text.splitlines()[0]
        assert first.endswith("…: you missed this: down 14:02 to 14:14 UTC (token rejected), fine again")
        assert len(first) < 150
