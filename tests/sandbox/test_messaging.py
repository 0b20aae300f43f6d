"""The inbox takes and refuses what Slack and Telegram document; a test of ours that it passes means something.

Each row is asked over HTTP with the standard library alone, so that no code of the channels comes into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

import pytest

from monitor.sandbox.messaging import MessagingFault, MessagingStandIn, ReceivedMessage


@pytest.fixture
def inbox() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as inbox:
        yield inbox


def ask(url: str, body: bytes = b"") -> tuple[int, dict[str, str], str]:
    """Status, headers in lower case and body of one POST."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("POST", f"{parts.path}?{parts.query}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def post(inbox: MessagingStandIn, payload: Any) -> tuple[int, str]:
    """Slack's answer to a payload."""
    status, _, body = ask(inbox.slack_url, json.dumps(payload).encode())
    return status, body


def call(inbox: MessagingStandIn, **values: Any) -> dict[str, Any]:
    """Telegram's answer to a message."""
    url = f"{inbox.telegram_api_url}/bot{inbox.bot_token}/sendMessage"
    status, _, body = ask(url, json.dumps({"chat_id": inbox.chat_id, **values}).encode())
    reply: dict[str, Any] = json.loads(body)
    assert status == (200 if reply["ok"] else reply["error_code"])
    return reply


def html(inbox: MessagingStandIn, text: str) -> str:
    """What Telegram's reader sees, or in which words it is refused."""
    reply = call(inbox, text=text, parse_mode="HTML")
    said: str = reply["result"]["text"] if reply["ok"] else reply["description"]
    return said


def plain(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, **more}


def marked(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, **more}


def attached(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {"color": "#17b26a", "fallback": "x", "blocks": blocks}


def test_both_services_take_a_good_message(inbox: MessagingStandIn) -> None:
    """`ok` from Slack, `"ok": true` with the message from Telegram; both read as they are shown."""
    blocks = [
        {"type": "header", "text": plain("a &amp; b")},
        {"type": "section", "text": marked("*Next*\n<https://status.upstash.com> &lt;x&gt;")},
        {"type": "section", "text": plain("two", emoji=False)},
        {"type": "context", "elements": [plain("incident 12 · opened")]},
    ]
    assert post(inbox, {"text": "fallback", "blocks": blocks}) == (200, "ok")
    reply = call(inbox, text="<b>a</b> &amp; <code>b</code>", parse_mode="HTML")
    assert reply["result"]["text"] == "a & b"
    slack, telegram = inbox.messages
    assert (slack.service, telegram.service) == ("slack", "telegram")
    assert slack.text == "a & b\nNext\nhttps://status.upstash.com <x>\ntwo\nincident 12 · opened"
    assert slack.payload["blocks"] == blocks
    assert telegram.text == "a & b"
    assert telegram.payload["parse_mode"] == "HTML"
    assert slack.at <= telegram.at
    assert inbox.requests == 2


def test_an_attachment_stands_below_the_blocks_and_below_the_text_where_there_are_none(
    inbox: MessagingStandIn,
) -> None:
    """With its colour; a moment is read in UTC, and calls nobody."""
    dated = {"type": "section", "text": marked("`code` since <!date^1^{time_secs}|00:00:01 UTC>")}
    head = {"type": "header", "text": plain("head")}
    post(inbox, {"text": "text", "blocks": [head], "attachments": [attached([dated])]})
    post(inbox, {"text": "text", "attachments": [attached([dated])]})
    assert [message.text.splitlines()[0] for message in inbox.messages] == ["head", "text"]
    assert [message.text.splitlines()[1] for message in inbox.messages] == ["code since 00:00:01 UTC"] * 2
    assert [message.mentions for message in inbox.messages] == [(), ()]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "header", "text": plain("x" * 150)},
        {"type": "section", "text": plain("x" * 3000)},
        {"type": "section", "text": marked("x" * 3000, verbatim=True)},
        {"type": "context", "elements": [marked("x")] * 10},
    ],
)
def test_slack_takes_blocks_up_to_the_limit(inbox: MessagingStandIn, block: dict[str, Any]) -> None:
    """The last length that is allowed is allowed."""
    assert post(inbox, {"text": "x", "blocks": [block]}) == (200, "ok")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "header", "text": plain("x" * 151)},
        {"type": "header", "text": marked("no markup in a header")},
        {"type": "header", "text": plain("")},
        {"type": "header", "text": "no object"},
        {"type": "section", "text": plain("x" * 3001)},
        {"type": "section", "text": plain(" \n")},
        {"type": "section", "text": plain("x", verbatim=True)},
        {"type": "section", "text": marked("x", emoji=False)},
        {"type": "section", "text": {"type": "markdown", "text": "x"}},
        {"type": "section", "text": plain("x", emoji="no")},
        {"type": "section", "text": {"type": "plain_text", "text": 5}},
        {"type": "section"},
        {"type": "section", "fields": [plain("never posted")]},
        {"type": "section", "text": plain("x"), "colour": "red"},
        {"type": "context", "elements": []},
        {"type": "context", "elements": [plain("x")] * 11},
        {"type": "context", "elements": [{"type": "image", "image_url": "https://x"}]},
        {"type": "surprise"},
        {"text": plain("without a type")},
        "no object",
    ],
)
def test_slack_refuses_blocks_that_break_a_rule(inbox: MessagingStandIn, block: Any) -> None:
    """400 invalid_blocks, and nothing arrives."""
    assert post(inbox, {"text": "x", "blocks": [block]}) == (400, "invalid_blocks")
    assert inbox.messages == ()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "no_text"),
        ({"text": "  "}, "no_text"),
        ({"blocks": []}, "no_text"),
        ({"text": 5}, "invalid_payload"),
        ({"text": "x", "blocks": {}}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section", "text": plain("x")}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section", "text": plain("x" * 2900)}] * 5}, "invalid_blocks"),
        ({"text": "x", "attachments": {}}, "invalid_attachments"),
        ({"text": "x", "attachments": ["no object"]}, "invalid_attachments"),
        ({"text": "x", "attachments": [attached([]) | {"color": "red"}]}, "invalid_attachments"),
        ({"text": "x", "attachments": [attached([]) | {"footer": "not posted"}]}, "invalid_attachments"),
        ({"text": "x", "attachments": [attached([{"type": "surprise"}])]}, "invalid_attachments"),
        (
            {
                "text": "x",
                "blocks": [{"type": "section", "text": plain("x" * 2900)}] * 3,
                "attachments": [attached([{"type": "section", "text": plain("x" * 2900)}] * 3)],
            },
            "invalid_blocks",
        ),
        ({"text": "a lone \ud800"}, "invalid_payload"),
        ([], "invalid_payload"),
        ("text", "invalid_payload"),
    ],
)
def test_slack_refuses_payloads_that_break_a_rule(inbox: MessagingStandIn, payload: Any, said: str) -> None:
    """400 and the word for it, in plain text."""
    assert post(inbox, payload) == (400, said)
    assert inbox.messages == ()


def test_slack_reads_json_and_nothing_else(inbox: MessagingStandIn) -> None:
    """A body that is JSON in UTF-8, at the webhook's own path. The webhook's other form, a form, we never send."""
    assert ask(inbox.slack_url, b'{"text": "a & b"}')[::2] == (200, "ok")
    assert ask(inbox.slack_url, b"{'text': 'x'}")[::2] == (400, "invalid_payload")
    assert ask(inbox.slack_url, b"\xff")[::2] == (400, "invalid_payload")
    assert ask(inbox.slack_url + "x", b'{"text": "x"}')[0] == 404


def test_telegram_counts_what_is_shown_in_utf16(inbox: MessagingStandIn) -> None:
    """4,096 units after entity parsing: tags do not count, an emoji counts twice."""
    assert html(inbox, f"<b>{'x' * 4096}</b>") == "x" * 4096
    assert html(inbox, "&amp;" * 4096) == "&" * 4096
    assert html(inbox, "x" * 4097) == "Bad Request: message is too long"
    assert html(inbox, "🔴" * 2048) == "🔴" * 2048
    assert html(inbox, "🔴" * 2048 + "x") == "Bad Request: message is too long"
    assert html(inbox, "<b> </b>\n") == "Bad Request: message text is empty"
    assert call(inbox)["description"] == "Bad Request: message text is empty"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>a <i>b</i></b>", "a b"),
        ("<pre><code>x</code></pre>", "x"),
        ("&lt;b&gt; &quot;&amp;&quot; &#39;&#x27;", "<b> \"&\" ''"),
    ],
)
def test_telegram_takes_its_own_html(inbox: MessagingStandIn, text: str, shown: str) -> None:
    """Every tag that the program sends, and every entity."""
    assert html(inbox, text) == shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<b>a", 'Can\'t find end tag corresponding to start tag "b"'),
        ("a</b>", "Unexpected end tag at byte offset 1"),
        ("<b><i>a</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("é<br>", 'Unsupported start tag "br" at byte offset 2'),
        ("<h1>a</h1>", 'Unsupported start tag "h1" at byte offset 0'),
        ("<script>", 'Unsupported start tag "script" at byte offset 0'),
        ('<b class="x">a</b>', 'Unexpected attributes of the tag "b" at byte offset 0'),
        ("<u>b</u>", 'Unsupported start tag "u" at byte offset 0'),
        ("<a>b</a>", 'Unexpected attributes of the tag "a" at byte offset 0'),
        ("<a href='x'>b</a>", 'Unexpected attributes of the tag "a" at byte offset 0'),
        ("a < b", "Character '<' is reserved and must be escaped at byte offset 2"),
        ("a > b", "Character '>' is reserved and must be escaped at byte offset 2"),
        ("a & b", "Character '&' is reserved and must be escaped at byte offset 2"),
        ("&nbsp;", "Character '&' is reserved and must be escaped at byte offset 0"),
    ],
)
def test_telegram_refuses_broken_html(inbox: MessagingStandIn, text: str, reason: str) -> None:
    """400 can't parse entities; without parse_mode the same text is only text."""
    assert html(inbox, text) == f"Bad Request: can't parse entities: {reason}"
    assert inbox.messages == ()
    assert call(inbox, text=text)["result"]["text"] == text


def test_telegram_refuses_the_wrong_place_and_the_wrong_key(inbox: MessagingStandIn) -> None:
    """Another chat, another token, another method, another mode, no text."""
    assert call(inbox, text="x", chat_id="-1")["description"] == "Bad Request: chat not found"
    assert call(inbox, text="x", chat_id="")["description"] == "Bad Request: chat_id is empty"
    assert call(inbox, text="x", chat_id=int(inbox.chat_id))["ok"]
    assert call(inbox, text="x", parse_mode="Markdown")["description"] == "Bad Request: unsupported parse_mode"
    assert call(inbox, text=5)["description"] == "Bad Request: wrong type of the parameter"
    assert call(inbox, text="\ud800")["description"] == "Bad Request: can't parse JSON object"
    status, _, body = ask(f"{inbox.telegram_api_url}/bot1:x/sendMessage", b"{}")
    assert (status, json.loads(body)["description"]) == (401, "Unauthorized")
    url = f"{inbox.telegram_api_url}/bot{inbox.bot_token}/sendMessage"
    assert ask(url, b"{")[0] == 400
    assert ask(url, b"[]")[0] == 400
    assert ask(url.replace("sendMessage", "sendPhoto"), b"{}")[0] == 404


def test_it_notes_whom_a_message_would_call(inbox: MessagingStandIn) -> None:
    """Slack's `<!channel>` and `<@U1>` in markup, Telegram's @name outside of code; escaped or quoted ones not."""
    text = "<!channel> <@U1|ann> &lt;!here&gt; <https://x>"
    post(inbox, {"text": text, "blocks": [{"type": "section", "text": marked("<!here|all>")}]})
    post(inbox, {"text": "&lt;!here&gt;", "blocks": [{"type": "section", "text": plain("<!here>")}]})
    call(inbox, text="@ann <code>@bob</code> mail@example.org <pre>@eve</pre> &#64;zoe", parse_mode="HTML")
    call(inbox, text="@\u2060ann")
    assert [message.mentions for message in inbox.messages] == [
        ("!channel", "@U1", "!here"),
        (),
        ("@ann", "@zoe"),
        (),
    ]


def test_the_callback_has_each_message_before_its_sender_has_the_answer() -> None:
    """So that whoever waits for an answer may look at what arrived."""
    heard: list[ReceivedMessage] = []
    with MessagingStandIn(on_message=heard.append) as inbox:
        post(inbox, {"text": "one"})
        assert [message.text for message in heard] == ["one"]
        post(inbox, {})
        call(inbox, text="two")
        assert [message.text for message in heard] == ["one", "two"]
        assert tuple(heard) == inbox.messages


def test_the_faults_that_answer(inbox: MessagingStandIn) -> None:
    """Each fault as its service shows it; nothing arrives meanwhile, everything afterwards."""
    inbox.retry_after_seconds = 17
    expected = {
        MessagingFault.DOWN: ((503, "Service Unavailable"), 503),
        MessagingFault.RATE_LIMITED: ((429, "rate_limited"), 429),
        MessagingFault.GONE: ((404, "no_service"), 401),
        MessagingFault.CAPTIVE_PORTAL: (
            (200, "<html><body>Welcome to our network. Please log in.</body></html>"),
            200,
        ),
        MessagingFault.REDIRECT: ((302, ""), 302),
    }
    telegram = f"{inbox.telegram_api_url}/bot{inbox.bot_token}/sendMessage"
    message = json.dumps({"chat_id": inbox.chat_id, "text": "x"}).encode()
    for fault, (slack_says, telegram_says) in expected.items():
        inbox.fault = fault
        assert post(inbox, {"text": "x"}) == slack_says
        assert ask(telegram, message)[0] == telegram_says
    assert inbox.messages == ()
    inbox.fault = MessagingFault.RATE_LIMITED
    assert ask(inbox.slack_url, b"{}")[1]["retry-after"] == "17"
    assert json.loads(ask(telegram, message)[2])["parameters"] == {"retry_after": 17}
    inbox.fault = MessagingFault.FLAKY
    assert [post(inbox, {"text": "x"})[0] for _ in range(4)] == [503, 200, 503, 200]
    inbox.fault = MessagingFault.NONE
    assert post(inbox, {"text": "x"}) == (200, "ok")
    assert ask(telegram, message)[0] == 200


def test_a_group_that_became_a_supergroup_names_its_new_number(inbox: MessagingStandIn) -> None:
    """400 with migrate_to_chat_id for the old number; the new one takes messages."""
    inbox.telegram_fault = MessagingFault.MIGRATED
    reply = call(inbox, text="x")
    assert reply["parameters"] == {"migrate_to_chat_id": int(inbox.migrated_chat_id)}
    assert call(inbox, text="x", chat_id=inbox.migrated_chat_id)["ok"]


def test_the_faults_that_do_not_answer(inbox: MessagingStandIn) -> None:
    """Refused, hung up after the message was taken, and silence that a switch ends."""
    inbox.fault = MessagingFault.REFUSE
    with pytest.raises(ConnectionRefusedError):
        post(inbox, {"text": "x"})
    inbox.fault = MessagingFault.ANSWER_LOST
    with pytest.raises(RemoteDisconnected):
        post(inbox, {"text": "taken"})
    assert [message.text for message in inbox.messages] == ["taken"]
    inbox.fault = MessagingFault.HANG
    parts = urlsplit(inbox.slack_url)
    connection = HTTPConnection("127.0.0.1", parts.port, timeout=10)
    connection.request("POST", parts.path, b'{"text": "x"}')
    inbox.fault = MessagingFault.NONE
    # Whether it was read before the switch or after it: it ends.
    try:
        assert connection.getresponse().read() == b"ok"
    except RemoteDisconnected:
        pass
    finally:
        connection.close()


def test_it_drips_from_the_first_byte_on(inbox: MessagingStandIn) -> None:
    """Even the status line takes its time, so that no pause between two bytes is long."""
    inbox.fault = MessagingFault.DRIP
    inbox.drip_seconds = 0.1
    parts = urlsplit(inbox.slack_url)
    connection = HTTPConnection("127.0.0.1", parts.port, timeout=10)
    connection.request("POST", parts.path, b'{"text": "x"}')
    assert connection.sock is not None
    first = connection.sock.recv(100)
    assert b"HTTP/1.1 200 OK".startswith(first)
    assert b"HTTP/1.1 200 OK".startswith(first + connection.sock.recv(100))
    connection.close()
    assert inbox.messages == ()


def test_each_service_has_faults_of_its_own(inbox: MessagingStandIn) -> None:
    """Slack down, Telegram up, and the other way round."""
    inbox.slack_fault = MessagingFault.REFUSE
    assert call(inbox, text="x")["ok"]
    inbox.slack_fault, inbox.telegram_fault = MessagingFault.NONE, MessagingFault.GONE
    assert post(inbox, {"text": "x"}) == (200, "ok")
    assert call(inbox, text="x")["error_code"] == 401
    assert (inbox.slack_fault, inbox.telegram_fault) == (MessagingFault.NONE, MessagingFault.GONE)
