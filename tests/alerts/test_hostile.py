"""Whatever stands in a name, an error text or a path: messages stay within the limits, and text stays text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.alerts.slack import payload
from monitor.alerts.telegram import as_html
from monitor.alerts.text import Origin, clean, compose, plain_text, short_text
from monitor.alerts.webhook import WebhookChannel
from monitor.checks.observation import Outcome
from monitor.lib.language import CODES, language
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.server import LoopbackServer
from tests.alerts.conftest import LONG, MISSED, MISSED_MANY, MONITOR, OPENED, ORIGIN, SINCE, slack, telegram

ORIGINS = tuple(replace(ORIGIN, language=language(code)) for code in CODES)

HOSTILE = (
    "<!channel> <!here> <!everyone> <@U1> <#C1> <!subteam^S1> <https://evil.example|click>",
    "@channel @here @everyone @ann_example ＠full",
    "&amp; & < > &lt;b&gt; &#60;b&#62; &nbsp;",
    "*bold* _it_ ~no~ `code` ```block``` > quote\n• list",
    "<b>bold</b> <a href='x'>y</a> </code></b><script>alert(1)</script>",
    "\x00\x01\x1b[2J\x07\r\n\t\x7f\x85\u2028\u2029",
    "\u202eevil\u202c \u2066x\u2069 \u200f \u200b\u200d\ufeff \u061c",
    "\ud800 lone \udfff",
    "🟥" * 3000,
    "e" + "\u0301" * 3000,
    "👩\u200d👩\u200d👧" * 500,
    "&" * 10_000,
    "<" * 10_000,
    "x" * 10_000,
    "@a" * 5_000,
    "_a" * 5_000,
    "\n".join(["line"] * 500),
    " " * 10_000 + "x",
    "\u200b" * 10_000,
    "שלום עולם " * 500,
)


# The only markup in Slack: a moment, a link to the page, the status page.
OURS = re.compile(
    r"<!date\^[0-9]+\^(?:\{date_short_pretty\} )?\{time_secs\}\|[0-9:. -]+ UTC>"
    r"|<https://monitor\.example/[A-Za-z0-9%._~/-]*\|(?:Open the page|Открыть страницу)>"
    r"|<https://status\.upstash\.com>"
)


def fields(text: str) -> list[Notification]:
    """The text in each field that can hold somebody else's words, one at a time and then in all of them."""
    return [
        replace(OPENED, database=text),
        replace(OPENED, detail=text),
        replace(OPENED, layers=text),
        replace(MONITOR, title=text),
        replace(MONITOR, detail=text),
        replace(MONITOR, steps=(text, text, text)),
        replace(OPENED, database=text, title=text, detail=text, steps=(text, text, text)),
        replace(
            MISSED_MANY,
            title=text,
            includes=(*(replace(MISSED, database=text) for _ in range(20)), replace(MONITOR, title=text)),
        ),
    ]


def strings(value: object) -> Iterator[str]:
    """Every text in a payload."""
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def check(inbox: MessagingStandIn, notification: Notification, notes: tuple[str, ...], origin: Origin) -> None:
    """Taken by both services at the first try, with nobody mentioned and no foreign text become markup."""
    message = compose(notification, notes, origin)
    assert units(plain_text(message)) <= 900
    assert not message.verdict or message.verdict in plain_text(message).splitlines()
    link = r'<a href="https://monitor\.example/[A-Za-z0-9%._~/-]*">(?:Open the page|Открыть страницу)</a>'
    html = re.sub(link, "", as_html(message))
    for tag in ("b", "i", "code"):
        assert html.count(f"<{tag}>") == html.count(f"</{tag}>") <= 2 + len(message.notes)
        html = html.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    for text in (html, *strings(payload(message))):
        text_alone = OURS.sub("", text)
        assert "<" not in text_alone
        assert ">" not in text_alone
    for line in (*plain_text(message).splitlines(), *short_text(message).splitlines()):
        assert {unicodedata.category(character) for character in line}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    before, arrived = inbox.requests, len(inbox.messages)
    for channel in (slack(inbox, origin=origin), telegram(inbox, origin=origin)):
        result = channel.send(notification, notes=notes, timeout=LONG)
        assert result.status is DeliveryStatus.CONFIRMED
    # A form that was refused would have been sent a second time, as plain text.
    assert inbox.requests == before + 2
    for received in inbox.messages[arrived:]:
        assert units(received.text.replace("\u2060", "")) <= 900  # a mark without width
        assert received.mentions == ()
        assert received.text.splitlines()[-1] == message.reference
    [in_slack, _] = inbox.messages[arrived:]
    assert len(in_slack.payload["text"]) <= 4000
    assert len(json.dumps(in_slack.payload, ensure_ascii=False)) < 10_000


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_text_in_every_field_is_inert_and_taken(inbox: MessagingStandIn, text: str) -> None:
    """No mention, no link, no style; never above a limit, never refused for its form; in each language."""
    for number, notification in enumerate(fields(text), start=HOSTILE.index(text)):
        check(inbox, notification, (text, text, text, text), ORIGINS[number % len(ORIGINS)])


NOTIFICATIONS = st.builds(
    Notification,
    kind=st.sampled_from(list(NotificationKind)),
    created_at=st.just(SINCE),
    title=st.one_of(st.text(max_size=400), st.sampled_from(HOSTILE)),
    database=st.one_of(st.none(), st.text(max_size=200), st.sampled_from(HOSTILE)),
    incident=st.one_of(st.none(), st.integers(1, 10**12)),
    severity=st.sampled_from(list(Severity)),
    cause=st.one_of(st.none(), st.sampled_from(list(Outcome))),
    causes=st.lists(st.sampled_from(list(Outcome)), max_size=25).map(tuple),
    since=st.one_of(st.none(), st.just(SINCE - timedelta(days=400))),
    until=st.one_of(st.none(), st.just(SINCE)),
    checks_failed=st.integers(0, 10**9),
    detail=st.one_of(st.text(max_size=400), st.sampled_from(HOSTILE)),
    steps=st.lists(st.one_of(st.text(max_size=300), st.sampled_from(HOSTILE)), max_size=5).map(tuple),
)
NOTES = st.lists(st.one_of(st.text(max_size=400), st.sampled_from(HOSTILE)), max_size=5).map(tuple)


def test_any_text_in_any_field_is_inert_and_taken(inbox: MessagingStandIn) -> None:
    """The same for whatever hypothesis thinks of."""

    @given(notification=NOTIFICATIONS, notes=NOTES, origin=st.sampled_from(ORIGINS))
    @settings(max_examples=75)
    def any_message(notification: Notification, notes: tuple[str, ...], origin: Origin) -> None:
        check(inbox, notification, notes, origin)

    any_message()


def test_a_message_that_is_full_everywhere_fits_into_telegram() -> None:
    """4,096 units: every line at its longest, and every @ followed by a word joiner."""
    full = "@a" * 5000
    notification = replace(
        OPENED,
        kind=NotificationKind.REMINDER,
        database=full,
        detail=full,
        steps=(full,) * 3,
        causes=tuple(Outcome),
    )
    shown = as_html(compose(notification, (full,) * 5))
    assert len(shown.encode("utf-16-le")) // 2 <= 4096


def test_a_step_begins_no_style_in_slack(inbox: MessagingStandIn) -> None:
    """Steps stand in markup; a variable's name keeps its underscores, foreign asterisks have no effect."""
    step = "Set UPSTASH_REDIS_REST_TOKEN, not *bold* _it_ ~no~ `code`"
    slack(inbox).send(replace(MONITOR, steps=(step,)), timeout=LONG)
    text = inbox.messages[0].payload["attachments"][0]["blocks"][1]["text"]["text"]
    assert text == "*Next*\n1. Set UPSTASH_REDIS_REST_TOKEN, not ∗bold∗ ＿it＿ ∼no∼ 'code'"


def test_a_name_in_telegram_mentions_nobody(inbox: MessagingStandIn) -> None:
    """Outside of code an invisible mark keeps @ann from being a mention; the error text is code, and as it was."""
    telegram(inbox).send(replace(OPENED, database="@ann", detail="ask @bob"), timeout=LONG)
    [message] = inbox.messages
    lines = message.text.splitlines()
    assert lines[0] == "🔴 @\u2060ann: token rejected · your move"
    assert "ask @bob" in lines


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("a\r\n\tb", 10, "a b"),
        ("  a  ", 10, "a"),
        ("a\x00b\x1b[31mc", 20, "a b [31mc"),
        ("\u202eab\u202c\u200b", 10, "ab"),
        ("a\ud800b", 10, "ab"),
        ("abcdefghij", 10, "abcdefghij"),
        ("abcdefghijk", 10, "abcdefghi…"),
        ("abcdefgh ij k", 10, "abcdefgh…"),
        ("🔴🔴🔴🔴🔴", 10, "🔴🔴🔴🔴🔴"),
        ("🔴🔴🔴🔴🔴x", 10, "🔴🔴🔴🔴…"),
        ("x🔴🔴🔴🔴🔴", 10, "x🔴🔴🔴🔴…"),
        ("", 10, ""),
        ("\u2028\u200b", 10, ""),
    ],
)
def test_foreign_text_is_cleaned_and_cut(text: str, limit: int, shown: str) -> None:
    """One line without anything that steers a display; the limit counts UTF-16 units and splits no character."""
    assert clean(text, limit) == shown


def test_a_webhook_gets_clean_fields_and_the_lines_that_people_see() -> None:
    """The notification's fields, and ready-made lines; nothing that a strict JSON reader refuses."""
    with LoopbackServer(Response(status_code=204)) as receiver:
        hook = WebhookChannel(name="hook", url=receiver.url + "/hook")
        notification = replace(OPENED, detail="\ud800 WRONGPASS\x1b[2J " + "x" * 1000)
        assert hook.send(notification, notes=("a line",), timeout=LONG).status is DeliveryStatus.CONFIRMED
    body = json.loads(receiver.requests[0].body)
    assert body.pop("detail").startswith("WRONGPASS [2J xxx")
    meaning = body["meaning"]
    steps = body.pop("next_steps")
    assert len(steps) == 3
    assert body == {
        "version": 1,
        "kind": "opened",
        "created_at": "2026-11-23T14:02:19+00:00",
        "title": "",
        "database": "main",
        "incident": 12,
        "severity": "critical",
        "cause": "token_rejected",
        "causes": ["token_rejected"],
        "before": None,
        "is_unstable": False,
        "fails_for": None,
        "fails_every": None,
        "since": "2026-11-23T14:02:09+00:00",
        "until": None,
        "checks_failed": 2,
        "steps": [],
        "verdict": "as_the_outcome_says",
        "by_canary": False,
        "meaning": meaning,
        "whose_move": "yours",
        "layers": "",
        "includes": [],
        "unchecked": [],
        "nothing_reached": False,
        "sent_at": None,
        "environment": None,
        "region": None,
        "headline": "main: token rejected · your move",
        "facts": ["since 14:02:09 UTC, 2 checks failed"],
        "notes": ["a line"],
        "page_url": None,
        "reference": "incident 12 · opened",
    }


@pytest.mark.parametrize("kind", [NotificationKind.OPENED, NotificationKind.MISSED])
def test_a_thousand_incidents_whose_numbers_have_gaps_are_one_message_that_is_taken(
    inbox: MessagingStandIn, kind: NotificationKind
) -> None:
    """Of so many only the first numbers stand in its last line: the services refuse what is too long."""
    numbers = range(1000, 3000, 2)
    each = tuple(replace(OPENED, kind=kind, incident=number, database=f"db-{number}") for number in numbers)
    for origin in ORIGINS:
        check(inbox, replace(OPENED, kind=kind, incident=None, database=None, includes=each), (), origin)
