"""A channel's values: each mistake in words of its own, without the value where that may be a secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from monitor.config.channel_values import (
    WrongValueError,
    bot_token,
    chat_id,
    slack_warning,
    slack_webhook,
    web_url,
)
from monitor.config.settings import SlackSettings

KEY = "xyzAbc9k8k7k6k5k4KeyOfTests"
HOOK = f"https://hooks.slack.com/services/T0123/B0123/{KEY}"
BOT_KEY = "123456789:AAxyzAbc9k8k7k6k5k4KeyOfTests-_z"

SLACK = {
    "": "nothing",
    "  ": "only whitespace",
    f'"{HOOK}"': "one that is wrapped in quotes",
    f"'{HOOK}'": "one that is wrapped in quotes",
    f"{HOOK}\n": "one that ends with a newline",
    f" {HOOK}": "one that begins with a space",
    f"{HOOK}\\n": r"one that ends with \n written out, in place of a newline or nothing",
    f"SLACK_WEBHOOK_URL={HOOK}": "an assignment NAME=value",
    f'export SLACK_WEBHOOK_URL="{HOOK}"': "an assignment NAME=value",
    "${{ shared.SLACK_WEBHOOK_URL }}": "one that holds a reference that was not resolved, such as ${{ … }}",
    "${SLACK_WEBHOOK_URL}": "one that holds a reference that was not resolved, such as ${{ … }}",
    "undefined": "a placeholder",
    "your-webhook-url": "a placeholder",
    "https://hooks.slack.com/services/YOUR/WEBHOOK/URL": "a placeholder",
    "https://hooks.slack.com/services/xxx/yyy/zzz": "a placeholder",
    "https://hooks.slack.com/services/T0/B0/••••": "one that holds a character outside printable ASCII (bullet) at"
    " position 40",
    "https://hooks.slack.com/services/T0/B0/****": "one that was copied from where it is hidden",
    f"<{HOOK}>": "one in brackets, as a chat writes a link",
    f"<{HOOK}|alerts>": "one in brackets, as a chat writes a link",
    f"[alerts]({HOOK})": "one in brackets, as a chat writes a link",
    f"({HOOK})": "one in brackets, as a chat writes a link",
    "<your-webhook>": "a placeholder",
    "#alerts": "a channel's name ('#alerts')",
    "my channel": "a channel's name ('my channel')",
    "80000": "'80000'",
    BOT_KEY: "a Telegram bot's token",
    f"xoxb-12345-{KEY}": "a token of a Slack app",
    HOOK.removeprefix("https://"): "one without https:// in front",
    HOOK.replace("https", "http"): "http:// in front",
    f"https://hooks.slack.com/{KEY}": "another path at Slack's host",
    "https://hooks.slack.com/services": "another path at Slack's host",
    "https://myteam.slack.com/archives/C0123": "the address of a page of Slack",
    f"https://api.telegram.org/bot{BOT_KEY}/sendMessage": "an address of Telegram",
    f"{HOOK} and more": "one that holds a space",
}
BOT = {
    "": "nothing",
    f"bot{BOT_KEY}": "one with `bot` in front",
    f"{BOT_KEY}\n": "one that ends with a newline",
    f'"{BOT_KEY}"': "one that is wrapped in quotes",
    f"TELEGRAM_BOT_TOKEN={BOT_KEY}": "an assignment NAME=value",
    "${{ secrets.BOT }}": "one that holds a reference that was not resolved, such as ${{ … }}",
    HOOK: "a Slack webhook",
    f"https://api.telegram.org/bot{BOT_KEY}": "a URL",
    "-1001234567890": "a chat's number or name ('-1001234567890')",
    "@my_channel": "a chat's number or name ('@my_channel')",
    f"123456789: {KEY}": "one that holds a space or a slash",
    KEY: "one without a number and a colon in front",
    "your-bot-token": "a placeholder",
}
CHAT = {
    "": "nothing",
    "my channel": "a chat's title ('my channel')",
    "my_channel": "a name without @ ('my_channel')",
    "@my channel": "a name with ' ' in it, which none has",
    "@my-channel": "a name with '-' in it, which none has",
    "@канал": "one that holds a character outside printable ASCII (cyrillic small letter ka) at position 2",
    "0": "'0'",
    "-0": "'-0'",
    "-100 123": "a number with something between its digits ('-100 123')",
    "- 1001234567890": "a number with something between its digits ('- 1001234567890')",
    "-1001,234,567,890": "a number with something between its digits ('-1001,234,567,890')",
    "<https://t.me/my_channel>": "one in brackets, as a chat writes a link",
    "@ab": "a chat's title ('@ab')",
    "-1001234567890\n": "one that ends with a newline",
    '"-1001234567890"': "one that is wrapped in quotes",
    "TELEGRAM_CHAT_ID=42": "an assignment NAME=value",
    BOT_KEY: "a bot's token",
    HOOK: "a link",
    "https://t.me/my_channel": "a link",
    "t.me/my_channel": "a link",
    "-1001234567890_17": "a topic behind the chat's number ('-1001234567890_17')",
    "-1001234567890/17": "a topic behind the chat's number ('-1001234567890/17')",
    "${{ shared.CHAT }}": "one that holds a reference that was not resolved, such as ${{ … }}",
    KEY: "neither",
}


@pytest.mark.parametrize(
    ("judge", "value", "found"),
    [
        *((slack_webhook, value, found) for value, found in SLACK.items()),
        *((bot_token, value, found) for value, found in BOT.items()),
        *((chat_id, value, found) for value, found in CHAT.items()),
        (web_url, "https://host:0/x", "something that cannot be read as one"),
        (web_url, "host/x", "one without https:// in front"),
    ],
)
def test_each_mistake_has_words_of_its_own(judge: Callable[[str], str], value: str, found: str) -> None:
    """What was found instead; nothing of what may be a secret."""
    with pytest.raises(WrongValueError) as caught:
        judge(value)
    assert caught.value.found == found
    told = f"{caught.value} {caught.value.found} {caught.value.next_step}"
    assert not any(KEY[start : start + 8] in told for start in range(len(KEY) - 8))


@pytest.mark.parametrize(
    ("judge", "value"),
    [
        (slack_webhook, HOOK),
        (slack_webhook, "https://hooks.slack-gov.com/services/T0/B0/x0"),
        (slack_webhook, "http://127.0.0.1:8080/hooks/abc"),
        (slack_webhook, "https://chat.example/hooks/abc"),
        (slack_webhook, "https://discord.com/api/webhooks/1/abc/slack"),
        (bot_token, BOT_KEY),
        (bot_token, "1:x"),
        (chat_id, "-1001234567890"),
        (chat_id, "42"),
        (chat_id, "@durov"),
        (chat_id, "@gif4"),
    ],
)
def test_what_may_be_right_is_let_pass(judge: Callable[[str], str], value: str) -> None:
    """Only what cannot be right is refused: receivers of one's own have any address."""
    assert judge(value) == value


def test_an_address_that_is_seldom_meant_is_a_warning() -> None:
    """Workflow triggers, Discord without its /slack, any other host; Slack's own and Discord's /slack are fine."""
    assert "/triggers/ starts a workflow" in str(slack_warning("https://hooks.slack.com/triggers/T0/1/x"))
    assert "/workflows/ starts a workflow" in str(slack_warning("https://hooks.slack.com/workflows/T0/A0/x"))
    assert "put /slack behind" in str(slack_warning("https://discord.com/api/webhooks/1/x"))
    assert "chat.example is not Slack" in str(slack_warning("https://chat.example/hooks/x"))
    assert slack_warning(HOOK) is None
    assert slack_warning("https://discord.com/api/webhooks/1/x/slack") is None


@pytest.mark.parametrize(
    ("mention", "is_taken"),
    [
        ("", True),
        ("<!here>", True),
        ("<!channel> <@U0123ABC>", True),
        ("<!subteam^S0123ABC>", True),
        ("@here", False),
        ("<!here> help", False),
        ("<https://evil.example|click>", False),
        ("<!here> <!here> <!here> <!here> <!here>", False),
    ],
)
def test_a_mention_is_slacks_markup_for_one_and_nothing_else(mention: str, is_taken: bool) -> None:
    """It goes into a message as it stands."""
    entry = {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T/B/x", "mention": mention}
    if is_taken:
        assert SlackSettings.model_validate(entry).mention == mention
    else:
        with pytest.raises(ValidationError, match="wanted <!here>"):
            SlackSettings.model_validate(entry)
