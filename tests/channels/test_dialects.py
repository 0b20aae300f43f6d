"""Every kind of message as it arrives in Slack and Telegram, and what their answers mean.

The inbox refuses what the real services refuse by their documented limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.channels.slack import SlackChannel, payload
from monitor.channels.telegram import TelegramChannel, marked_up
from monitor.channels.text import compose
from monitor.channels.webhook import WebhookChannel
from monitor.core.notice import Kind, Notice, Severity, from_json, to_json
from monitor.core.observation import Outcome
from monitor.core.outbox import Receipt, Verdict
from monitor.core.scrub import Scrubber
from monitor.sandbox.inbox import Fault, InboxStandIn

AT = datetime(2026, 11, 23, 14, 2, 9, tzinfo=UTC)
LONG = timedelta(seconds=20)
OPENED = Notice(
    kind=Kind.OPENED,
    created_at=AT,
    database="main",
    incident=12,
    cause=Outcome.TOKEN_REJECTED,
    causes=(Outcome.TOKEN_REJECTED,),
    since=AT - timedelta(seconds=10),
    looks_failed=2,
    detail="WRONGPASS invalid or missing auth token",
)
CLOSED = replace(
    OPENED,
    kind=Kind.CLOSED,
    until=AT + timedelta(minutes=11, seconds=54),
    detail="",
    causes=(Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED),
)


@pytest.fixture
def inbox() -> Iterator[InboxStandIn]:
    with InboxStandIn() as inbox:
        yield inbox


def slack(inbox: InboxStandIn) -> SlackChannel:
    return SlackChannel(name="slack", webhook_url=inbox.slack_url, scrub=Scrubber([inbox.slack_url]))


def telegram(inbox: InboxStandIn) -> TelegramChannel:
    return TelegramChannel(
        name="telegram",
        bot_token=inbox.bot_token,
        chat_id=inbox.chat_id,
        api_url=inbox.telegram_api_url,
        scrub=Scrubber([inbox.bot_token]),
    )


Send = Callable[[InboxStandIn, Notice], Receipt]
EACH_SERVICE = pytest.mark.parametrize(
    "send",
    [
        lambda inbox, notice: slack(inbox).send(notice, timeout=LONG),
        lambda inbox, notice: telegram(inbox).send(notice, timeout=LONG),
    ],
    ids=["slack", "telegram"],
)


@EACH_SERVICE
def test_an_opening_reads_from_what_to_what_next(inbox: InboxStandIn, send: Send) -> None:
    """First line what, then since when, what was seen, what it means, three steps, the number with the kind."""
    assert send(inbox, OPENED).verdict is Verdict.CONFIRMED
    lines = [line for line in inbox.messages[0].text.splitlines() if line.strip() and line.strip("* ") != "Next"]
    assert lines[0].endswith("main: token rejected")
    assert lines[1].startswith("since 2026-11-23 14:01:59 UTC")
    assert lines[2] == "WRONGPASS invalid or missing auth token"
    assert lines[4] == "whose move: yours"
    assert [line[:2] for line in lines[5:8]] == ["1.", "2.", "3."]
    assert lines[-1] == "incident 12 · opened"


@EACH_SERVICE
def test_a_closing_says_how_long_it_lasted_and_what_the_causes_were(inbox: InboxStandIn, send: Send) -> None:
    """`main: recovered after 12 min 4 s`, both ends in UTC, the causes in order, and no steps."""
    assert send(inbox, CLOSED).verdict is Verdict.CONFIRMED
    said = inbox.messages[0].text
    assert said.splitlines()[0].endswith("main: recovered after 12 min 4 s")
    assert "2026-11-23 14:01:59 UTC to 2026-11-23 14:14:03 UTC" in said
    assert "response timed out, then token rejected" in said
    assert "1." not in said
    assert said.splitlines()[-1] == "incident 12 · closed"


@EACH_SERVICE
@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_notice_arrives_and_survives_the_file(inbox: InboxStandIn, send: Send, kind: Kind) -> None:
    """Whatever is said goes through the outbox' JSON unchanged and is taken by both services."""
    notice = replace(OPENED, kind=kind, before=Outcome.RESPONSE_TIMEOUT, until=AT, title="upstash-monitor: a word")
    assert from_json(json.loads(json.dumps(to_json(notice)))) == notice
    assert send(inbox, notice).verdict is Verdict.CONFIRMED
    assert inbox.messages[0].text.splitlines()[-1] == f"incident 12 · {kind.value}"


HOSTILE = st.one_of(
    st.text(max_size=400),
    st.sampled_from(
        [
            "<!channel> <!here> <@U1> <#C1> <https://evil.example|click>",
            "&amp; & < > &lt;b&gt;",
            "*bold* _it_ ~no~ `code` ```block```",
            "<b>bold</b> <a href='x'>y</a> </code><script>",
            "\x00\x1b[2J\x07\r\n\u2028\u202e\u2066\u200f",
            "\ud800 lone \udfff",
            "🟥" * 3000,
            "&" * 10_000,
            "x" * 10_000,
            "\n".join(["line"] * 500),
        ]
    ),
)
NOTICES = st.builds(
    Notice,
    kind=st.sampled_from(list(Kind)),
    created_at=st.just(AT),
    title=HOSTILE,
    database=st.one_of(st.none(), HOSTILE),
    incident=st.one_of(st.none(), st.integers(1, 10**12)),
    severity=st.sampled_from(list(Severity)),
    cause=st.one_of(st.none(), st.sampled_from(list(Outcome))),
    causes=st.lists(st.sampled_from(list(Outcome)), max_size=25).map(tuple),
    since=st.one_of(st.none(), st.just(AT - timedelta(days=400))),
    until=st.one_of(st.none(), st.just(AT)),
    looks_failed=st.integers(0, 10**9),
    detail=HOSTILE,
    steps=st.lists(HOSTILE, max_size=5).map(tuple),
)


def test_hostile_text_in_every_field_is_inert_and_taken(inbox: InboxStandIn) -> None:
    """No mention, no link, no markup of a stranger's; never above a limit, never refused for its form."""

    @given(notice=NOTICES, footnotes=st.lists(HOSTILE, max_size=5).map(tuple))
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    def check(notice: Notice, footnotes: tuple[str, ...]) -> None:
        message = compose(notice, footnotes)
        html = marked_up(message)
        for tag in ("b", "i", "code"):
            html = html.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
        for text in (html, *_strings(payload(message))):
            assert "<" not in text
            assert ">" not in text
        before = inbox.requests
        assert slack(inbox).send(notice, footnotes=footnotes, timeout=LONG).verdict is Verdict.CONFIRMED
        assert telegram(inbox).send(notice, footnotes=footnotes, timeout=LONG).verdict is Verdict.CONFIRMED
        # A form that was refused would have been sent a second time, as plain text.
        assert inbox.requests == before + 2

    check()


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


@EACH_SERVICE
@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault.DOWN, Verdict.RETRY),
        (Fault.REFUSE, Verdict.RETRY),
        (Fault.CAPTIVE_PORTAL, Verdict.RETRY),
        (Fault.UNHEARD, Verdict.RETRY),
        (Fault.RATE_LIMITED, Verdict.RETRY),
        (Fault.GONE, Verdict.PERMANENT),
    ],
)
def test_an_answer_says_whether_to_try_again(
    inbox: InboxStandIn, send: Send, fault: Fault, verdict: Verdict
) -> None:
    """Trouble is retried, a revoked address is not; nothing but the service's own word confirms."""
    inbox.fault = fault
    inbox.retry_after_seconds = 17
    receipt = send(inbox, OPENED)
    assert receipt.verdict is verdict
    assert receipt.retry_after == (timedelta(seconds=17) if fault is Fault.RATE_LIMITED else None)
    for secret in (inbox.bot_token, inbox.slack_url.rpartition("/")[2]):
        assert secret not in receipt.detail


@EACH_SERVICE
def test_a_redirect_is_not_followed(inbox: InboxStandIn, send: Send) -> None:
    """Whoever answers in a service's place does not get the secret sent on to another address."""
    inbox.fault = Fault.REDIRECT
    assert send(inbox, OPENED).verdict is not Verdict.CONFIRMED
    assert inbox.messages == ()


@pytest.mark.parametrize("fault", [Fault.DRIP, Fault.HANG])
def test_a_service_that_drips_or_hangs_is_left_at_the_deadline(inbox: InboxStandIn, fault: Fault) -> None:
    """The wall clock ends a send, whatever still trickles in."""
    inbox.fault = fault
    inbox.drip_seconds = 0.05
    for channel in (slack(inbox), telegram(inbox)):
        started = monotonic()
        receipt = channel.send(OPENED, timeout=timedelta(seconds=0.5))
        assert monotonic() - started < 5
        assert receipt.verdict is Verdict.RETRY


def test_a_chat_that_moved_is_followed_and_remembered(inbox: InboxStandIn) -> None:
    """Telegram names the new number; the message goes there at once, and so does the next one."""
    inbox.telegram_fault = Fault.MIGRATED
    channel = telegram(inbox)
    receipt = channel.send(OPENED, timeout=LONG)
    assert (receipt.verdict, receipt.moved_to) == (Verdict.CONFIRMED, inbox.migrated_chat_id)
    assert channel.send(CLOSED, timeout=LONG).moved_to is None
    assert [message.payload["chat_id"] for message in inbox.messages] == [inbox.migrated_chat_id] * 2


def test_a_webhook_gets_the_fields_and_the_lines(inbox: InboxStandIn) -> None:
    """Any receiver: version, the notice's fields, and what the other channels show; 2xx confirms, 404 is final."""
    inbox.slack_fault = Fault.GONE
    refused = WebhookChannel(name="hook", url=inbox.slack_url, scrub=str).send(OPENED, timeout=LONG)
    assert refused.verdict is Verdict.PERMANENT
    inbox.slack_fault = Fault.CAPTIVE_PORTAL
    taken = WebhookChannel(name="hook", url=inbox.slack_url, scrub=str).send(OPENED, timeout=LONG)
    assert taken.verdict is Verdict.CONFIRMED
