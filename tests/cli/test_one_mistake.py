"""One mistake never silences the rest: a channel, the heartbeat or the given port is left out, and told."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from monitor.config.load import read
from monitor.config.mistakes import ConfigMistakesError
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, Program, database, settings, told, until

TOKEN = "AXoneMistake0TokenOfTests=="
BOT_TOKEN = "110201543:AAstandInForTheRealOne-0123456789ab"  # the stand-in knows this one
HOOK = "hooks.slack.com/services/T0/B0/x9y8z7w6v5u4t3s2"
MISTAKE = (
    "channels[0].webhook_url (line 1): wanted a webhook's URL, https://hooks.slack.com/services/…,"
    " found one without https:// in front (in SLACK)"
)


def telegram(people: MessagingStandIn) -> dict[str, Any]:
    return {
        "type": "telegram",
        "bot_token": BOT_TOKEN,
        "chat_id": "-4012345678",
        "api_url": people.telegram_api_url,
    }


def test_a_mistyped_channel_is_told_through_the_other_and_shown_on_the_page(
    tmp_path: Path, upstash: UpstashStandIn, people: MessagingStandIn
) -> None:
    """`run` starts, Telegram has the mistake once, whatever starts again, and then the alarm as ever."""
    program = Program(
        tmp_path,
        settings(
            database("main", upstash.url, TOKEN),
            channels=[{"type": "slack", "webhook_url": "${SLACK}"}, telegram(people)],
            page={"host": "127.0.0.1", "port": 0},
        ),
        SLACK=HOOK,
    )
    with program.running() as running:
        running.wait_for(f"channel slack is left out: {MISTAKE}")
        running.wait_for("telling telegram; history in")
        running.wait_for("/healthz on port")
        [line] = [line for line in running.lines if "/healthz on port" in line]
        port = int(line.rpartition(" ")[2])
        until(lambda: people.messages, "the message about the channel")
        with closing(HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT_SECONDS)) as connection:
            connection.request("GET", "/")
            page = connection.getresponse().read().decode()
        running.end()
    assert "channel slack is left out" in people.messages[0].text
    assert "found one without https:// in front" in people.messages[0].text
    assert "channel slack: channels[0].webhook_url" in page
    upstash.token = "another"
    with program.running() as running:
        running.wait_for("incident 1 opened delivered")
        running.end()
    assert told(people) == [(1, "opened")]
    assert len([message for message in people.messages if "left out" in message.text]) == 1
    tested = program.end("test-alerts")
    assert tested.status == 2
    assert "telegram: delivered" in tested.stdout
    assert "slack: NOT delivered (channels[0].webhook_url" in tested.stdout
    checked = program.end("config", "check")
    assert (checked.status, checked.stderr.strip()) == (3, f"config.yaml: {MISTAKE}")


def test_without_any_channel_that_can_be_right_the_log_is_told(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """From the environment alone: `check` decides, its log has the alarm; the port is shown as it was given."""
    program = Program(
        tmp_path,
        {},
        UPSTASH_REDIS_REST_URL=upstash.url,
        UPSTASH_REDIS_REST_TOKEN="AXanother0TokenOfTests==",
        SLACK_WEBHOOK_URL="#alerts",
        TELEGRAM_BOT_TOKEN="bot110201543:AAanotherOne-x9y8z7w6v5u4",
        TELEGRAM_CHAT_ID="my channel",
        HEARTBEAT_URL="hc-ping.example/x9y8z7w6v5u4t3s2",
        PORT="80000",
    )
    (tmp_path / "config.yaml").unlink()
    ended = program.end("check", "--within", "20s")
    assert ended.status == 2
    assert "incident 1 · opened" in ended.stderr
    for line in (
        "channel slack is left out: SLACK_WEBHOOK_URL: wanted a webhook's URL, https://hooks.slack.com/services/…,"
        " found a channel's name ('#alerts'). Next: make an incoming webhook",
        "channel telegram is left out: TELEGRAM_BOT_TOKEN: wanted the token alone, such as 123456:ABC…,"
        " found one with `bot` in front. Next: leave `bot` out",
        "heartbeat is left out: HEARTBEAT_URL: wanted a URL such as https://host/path, found one without https://",
        "page is left out: PORT: wanted at most 65535, found '80000'",
    ):
        assert line in ended.stderr
    checked = program.end("config", "check")
    assert checked.status == 3
    places = [line.removeprefix("environment: ").partition(": wanted")[0] for line in checked.stderr.splitlines()]
    assert places == ["HEARTBEAT_URL", "PORT", "SLACK_WEBHOOK_URL", "TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"]


@pytest.mark.parametrize(
    "rest",
    [
        {"channels": [{"type": "slack", "webook_url": f"https://{HOOK}"}, {"type": "log"}]},
        {"channels": [{"type": "slack"}, {"type": "log"}]},
        {"page": {"port": 80000}},
    ],
)
def test_a_file_that_is_wrong_in_itself_still_ends_with_3(tmp_path: Path, rest: dict[str, Any]) -> None:
    """A key that is misspelt or missing, a number that somebody wrote down: seen by whoever starts it."""
    file = tmp_path / "config.yaml"
    file.write_text(
        json.dumps(settings(database("main", "https://h.upstash.io", TOKEN), **rest)), encoding="utf-8"
    )
    with pytest.raises(ConfigMistakesError):
        read(file, {})
