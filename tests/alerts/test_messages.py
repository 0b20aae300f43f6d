"""Every kind of message, whole, as each channel posts it and as people read it: the files in `golden`.

After a change of the words, `UPSTASH_MONITOR_GOLDEN=write` writes them anew; then they are to be read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from monitor.alerts.apprise import AppriseChannel
from monitor.alerts.channel import Channel, LogChannel
from monitor.alerts.holds import told_together
from monitor.alerts.notification import Notification, NotificationKind, Severity, from_json, to_json
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.alerts.slack import payload
from monitor.alerts.text import NO_ORIGIN, Origin, compose, plain_text, whose_move
from monitor.alerts.webhook import WebhookChannel
from monitor.checks.classify import DETAIL_LIMIT
from monitor.checks.observation import Outcome
from monitor.lib.language import CODES, ENGLISH, language
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.server import LoopbackServer
from tests.alerts.conftest import (
    APPRISE_URL,
    CHANGED,
    CLOSED,
    DIAGNOSED,
    LONG,
    MISSED,
    MISSED_MANY,
    MONITOR,
    ONGOING,
    OPENED,
    ORIGIN,
    REMINDER,
    REOPENED,
    SINCE,
    SLOW,
    TEST,
    UNWATCHED,
    WARNING,
    WORSE,
    AppriseLibrary,
    slack,
    telegram,
)
from tests.judging import explain

GOLDEN = Path(__file__).parent / "golden"
LATE = "This comes 58 min late: it could not be delivered before."
MENTION = "<!here>"


def several(notification: Notification) -> Notification:
    """The same of twenty databases, in one message."""
    return told_together(
        [replace(notification, database=f"cache-{number}", incident=number) for number in range(11, 31)]
    )


KINDS: dict[str, tuple[Notification, tuple[str, ...], Origin]] = {
    "opened": (OPENED, (), NO_ORIGIN),
    "opened with all there is": (DIAGNOSED, (LATE,), ORIGIN),
    "opened as a warning": (SLOW, (), NO_ORIGIN),
    "opened, several": (several(OPENED), (), ORIGIN),
    "reminder, several": (several(REMINDER), (), NO_ORIGIN),
    "closed, several": (several(CLOSED), (), NO_ORIGIN),
    "changed": (CHANGED, (), NO_ORIGIN),
    "changed, several that were slow": (several(WORSE), (), NO_ORIGIN),
    "reopened, several": (several(REOPENED), (), NO_ORIGIN),
    "closed, slow at first": (replace(WORSE, kind=NotificationKind.CLOSED, until=CLOSED.until), (), NO_ORIGIN),
    "reopened": (REOPENED, (), NO_ORIGIN),
    "reminder": (REMINDER, (), NO_ORIGIN),
    "ongoing": (ONGOING, (), NO_ORIGIN),
    "closed": (CLOSED, (), ORIGIN),
    "unwatched": (UNWATCHED, (), NO_ORIGIN),
    "missed": (MISSED, (LATE,), NO_ORIGIN),
    "missed, many": (MISSED_MANY, (), NO_ORIGIN),
    "warning": (WARNING, (), NO_ORIGIN),
    "monitor": (MONITOR, (), ORIGIN),
    "test": (TEST, (), NO_ORIGIN),
}


def as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2)


def shown(
    inbox: MessagingStandIn,
    library: AppriseLibrary,
    notification: Notification,
    notes: tuple[str, ...],
    origin: Origin,
) -> str:
    """What each channel posts, and how that reads; in another language, of those that write in it."""
    written: list[str] = []
    with LoopbackServer(Response(status_code=204)) as receiver:
        channels: list[Channel] = [
            slack(inbox, mention=MENTION, origin=origin),
            telegram(inbox, topic=17, origin=origin),
            LogChannel(name="log", write=lambda level, text: written.append(f"{level}\n{text}"), origin=origin),
            WebhookChannel(name="hook", url=receiver.url + "/hook", origin=origin),
        ]
        channels = channels if origin.language is ENGLISH else channels[:2]
        is_follow_up = notification.incident is not None and notification.kind is not NotificationKind.OPENED
        reply_to = f"{inbox.chat_id} 7" if is_follow_up else None
        for channel in channels:
            result = channel.send(notification, notes=notes, reply_to=reply_to, timeout=LONG)
            assert result.status is DeliveryStatus.CONFIRMED
    apprise = AppriseChannel(name="apprise", url=APPRISE_URL, origin=origin)
    apprise.send(notification, notes=notes, reply_to=reply_to, timeout=LONG)
    [sent] = library.sent
    parts = {
        **{f"{one.service}, as it is read": one.text for one in inbox.messages},
        "apprise": f"{sent['notify_type']}: {sent['title']}\n\n{sent['body']}",
        **({"log": written[0]} if written else {}),
        **{f"{one.service}, as it is posted": as_json(one.payload) for one in inbox.messages},
        **({"webhook": as_json(json.loads(receiver.requests[0].body))} if receiver.requests else {}),
    }
    return "\n".join(f"--- {name}\n{text}\n" for name, text in parts.items())


def file_of(kind: str) -> str:
    return f"{kind.replace(',', '').replace(' ', '_')}.txt"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_as_it_stands_in_its_file(
    inbox: MessagingStandIn, library: AppriseLibrary, kind: str, code: str
) -> None:
    """To the letter, in each channel and language; taken at the first try."""
    notification, notes, origin = KINDS[kind]
    text = shown(inbox, library, notification, notes, replace(origin, language=language(code)))
    file = (GOLDEN if code == "en" else GOLDEN / code) / file_of(kind)
    if os.environ.get("UPSTASH_MONITOR_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    assert inbox.requests == 2


def test_each_kind_has_a_file_and_each_file_a_kind() -> None:
    """None is left over, and no kind of notification is without one."""
    files = {file_of(kind) for kind in KINDS}
    for code in CODES:
        folder = GOLDEN if code == "en" else GOLDEN / code
        assert {file.name for file in folder.glob("*.txt")} == files
    assert {notification.kind for notification, _, _ in KINDS.values()} == set(NotificationKind)


def test_the_status_page_is_a_link(inbox: MessagingStandIn) -> None:
    """In Slack a URL in markup is only a link when it says so; it is our own, and the only one."""
    cause = Outcome.SERVER_ERROR
    notification = replace(OPENED, cause=cause, causes=(cause,), verdict=explain(cause))
    slack(inbox).send(notification, timeout=LONG)
    [message] = inbox.messages
    steps = message.payload["attachments"][0]["blocks"][1]["text"]["text"]
    assert steps.splitlines()[1] == "1. See whether Upstash knows of it: <https://status.upstash.com>."
    assert "1. See whether Upstash knows of it: https://status.upstash.com." in message.text.splitlines()


def test_a_long_name_leaves_room_for_what_happened(inbox: MessagingStandIn) -> None:
    """A name of 200 characters is cut, not the words behind it; nor is a name so long part of a link."""
    for channel in (slack(inbox, origin=ORIGIN), telegram(inbox, origin=ORIGIN)):
        channel.send(replace(MISSED, database="n" * 200), timeout=LONG)
        channel.send(replace(OPENED, database="n" * 200), timeout=LONG)
    for message in inbox.messages:
        first = message.text.splitlines()[0]
        ends = ("… (staging, fra): token rejected · your move", "14:14 UTC (token rejected), fine again")
        assert first.endswith(ends)
        assert len(first) < 150
    assert compose(replace(OPENED, database="n" * 200), origin=ORIGIN).link == "https://monitor.example/"


def test_a_long_place_leaves_room_for_what_tells_names_apart() -> None:
    """Of both the beginning; a short name leaves more of the place."""
    origin = Origin(environment="production-of-customers", region="europe-west4-frankfurt")
    names = ("orders-service-of-customer-007-in-frankfurt-primary", "main")
    assert [compose(replace(CLOSED, database=name), origin=origin).headline for name in names] == [
        "orders-service-of-customer-007-in-frankfu… (production-of-…): recovered after 12 min 4 s",
        "main (production-of-customers, euro…): recovered after 12 min 4 s",
    ]


def test_a_mention_calls_for_critical_openings_only(inbox: MessagingStandIn) -> None:
    """What is set is what calls; a warning, a change, a reminder and good news call nobody.

    What was only slow and fails now is critical from then on: it calls, of one database or of several.
    """
    channel = slack(inbox, mention="<!here> <@U0123>")
    for notification in (OPENED, WORSE, several(WORSE), SLOW, CHANGED, REMINDER, CLOSED, MONITOR, TEST):
        channel.send(replace(notification, detail="<!channel> @everyone"), timeout=LONG)
    assert [message.mentions for message in inbox.messages] == [*[("!here", "@U0123")] * 3, *[()] * 6]


@pytest.mark.parametrize(
    ("notification", "is_silent"),
    [(OPENED, False), (CLOSED, False), (TEST, False), (SLOW, True), (WARNING, True), (MONITOR, True)],
)
def test_a_warning_rings_no_phone_in_telegram(
    inbox: MessagingStandIn, notification: Notification, is_silent: bool
) -> None:
    """It is there to be read; a test message must show that the phone rings."""
    telegram(inbox).send(notification, timeout=LONG)
    assert inbox.messages[0].payload.get("disable_notification", False) is is_silent


def test_follow_ups_reply_to_the_opening_in_telegram(inbox: MessagingStandIn) -> None:
    """In its own chat only: a moved group counts its messages anew; one that was deleted is no obstacle."""
    channel = telegram(inbox, topic=17)
    opened = channel.send(OPENED, timeout=LONG)
    assert opened.message_ref == f"{inbox.chat_id} 1"
    channel.send(CLOSED, reply_to=opened.message_ref, timeout=LONG)
    inbox.telegram_fault = MessagingFault.MIGRATED
    channel.send(CLOSED, reply_to=opened.message_ref, timeout=LONG)
    replies = [message.payload.get("reply_parameters") for message in inbox.messages]
    assert replies == [None, {"message_id": 1, "allow_sending_without_reply": True}, None]
    assert {message.payload["message_thread_id"] for message in inbox.messages} == {17}


@pytest.mark.parametrize(
    ("created_after", "until_after", "first", "second"),
    [
        (timedelta(seconds=10), None, "main: token rejected · your move", "since 14:02:09 UTC"),
        (timedelta(days=1), None, "main: token rejected · your move", "since 2026-11-23 14:02:09 UTC"),
        (None, timedelta(0), "main: recovered after less than 1 s", "down 14:02:09 to 14:02:09 UTC"),
        (None, timedelta(seconds=1), "main: recovered after 1 s", "down 14:02:09 to 14:02:10 UTC"),
        (
            None,
            timedelta(hours=10),
            "main: recovered after 10 h",
            "down 2026-11-23 14:02:09 to 2026-11-24 ",
        ),
        (
            None,
            timedelta(days=7),
            "main: recovered after 7 d",
            "down 2026-11-23 14:02:09 to 2026-11-30 ",
        ),
        (
            timedelta(days=2),
            timedelta(minutes=5),
            "main: recovered after 5 min",
            "down 2026-11-23 14:02:09 to 14:07:09 UTC",
        ),
    ],
)
def test_times_have_a_date_where_it_is_not_today(
    created_after: timedelta | None, until_after: timedelta | None, first: str, second: str
) -> None:
    """Over midnight, within a second, of a week; what is told a day later says of which day it tells."""
    if until_after is None:
        notification = OPENED
    else:
        notification = replace(CLOSED, until=SINCE + until_after, created_at=SINCE + until_after, checks_failed=0)
    if created_after is not None:
        notification = replace(notification, sent_at=SINCE + created_after)
    lines = plain_text(compose(notification)).splitlines()
    assert lines[0][2:] == first
    assert [line for line in lines if line.startswith(second)]


def test_slack_shows_times_in_the_readers_zone() -> None:
    """With the day where it is not today, and in UTC where Slack cannot show it."""
    [seen, *_] = payload(compose(replace(OPENED, sent_at=SINCE + timedelta(days=1))))["attachments"][0]["blocks"]
    at = int(SINCE.timestamp())
    assert (
        f"since <!date^{at}^{{date_short_pretty}} {{time_secs}}|2026-11-23 14:02:09 UTC>, 2 checks failed"
        in seen["text"]["text"]
    )
    [seen, *_] = payload(compose(OPENED))["attachments"][0]["blocks"]
    assert f"since <!date^{at}^{{time_secs}}|14:02:09 UTC>" in seen["text"]["text"]


def test_what_is_cut_is_never_the_headline_or_the_verdict() -> None:
    """At most 900 characters, whatever there is to say: the least important goes first."""
    long = "word " * 200
    full = replace(DIAGNOSED, detail=long, layers=long, database="n" * 200, severity=Severity.CRITICAL)
    message = compose(full, (long, long, long), ORIGIN)
    text = plain_text(message)
    assert len(text) <= 900
    whole = compose(DIAGNOSED, (), ORIGIN)
    assert message.headline.endswith("… (staging, fra): token rejected · your move")
    assert (message.verdict, message.facts, message.steps) == (whole.verdict, whole.facts, whole.steps)
    assert (message.reference, message.detail[-1]) == (whole.reference, "…")


def test_what_a_check_put_last_into_a_full_detail_is_read_in_a_longer_language() -> None:
    """A check leaves room for how rediss:// differs; the same in Russian takes more."""
    detail = f"certificate refused: {'y' * 147}…; rediss://: connection refused"
    assert len(detail) == DETAIL_LIMIT
    message = compose(replace(OPENED, detail=detail), origin=replace(ORIGIN, language=language("ru")))
    assert message.detail.startswith("сертификат отвергнут: yyy")
    assert message.detail.endswith("yyy…; rediss://: соединение отклонено")


LONG_ORIGIN = Origin(environment="e" * 200, region="r" * 200, page_url="https://monitor.example/" + "p" * 100)
NOTES = (LATE, "Held back until 2026-11-23 14:02:09 UTC: maintenance.", "slack is broken since " + "w " * 150)


def many(notification: Notification, number: int) -> Notification:
    """Told together, of databases with long names; the numbers of the incidents are apart from each other."""
    names = (f"{one:04}-{'n' * 200}" for one in range(number))
    each = [replace(notification, database=name, incident=9000 + 2 * at) for at, name in enumerate(names)]
    if notification is ONGOING:  # the one that a channel is told after a day
        title = f"you missed this: {number} messages in 1 d 2 h, {number} still open"
        each = [replace(one, kind=NotificationKind.MISSED) for one in each]
        return replace(MISSED_MANY, title=title, includes=tuple(each))
    return told_together(each)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("one", [OPENED, SLOW, REMINDER, CLOSED, MISSED, ONGOING], ids=lambda one: one.kind.value)
def test_a_message_of_many_incidents_says_what_matters_within_900_characters(one: Notification, code: str) -> None:
    """Whose move, the verdict, how many, which are the first, how many more, and how to see them all."""
    say = language(code).say
    for number in (2, 3, 7, 8, 20, 100, 1000):
        notification = many(one, number)
        message = compose(notification, NOTES, replace(LONG_ORIGIN, language=language(code)))
        text = plain_text(message)
        assert len(text) <= 900
        assert str(number) in message.headline.replace("\u00a0", "").replace(",", "")
        assert message.headline.endswith(whose_move(notification, language(code)))
        assert (message.verdict != "") is (notification.verdict is not None and not notification.is_good_news)
        assert message.link.startswith(LONG_ORIGIN.page_url)
        assert message.reference.split()[1].startswith("9000")
        shown = sum(f"{at:04}-nnn" in text for at in range(number))
        assert shown >= 2
        if shown < number:
            assert say("and {n} more", n=number - shown) in text
            command = "upstash-monitor incidents" + (" --all" if one in (CLOSED, MISSED, ONGOING) else "")
            assert message.written_facts[-1] == say("to see all of them: {command}", command=command)
        if message.verdict and one is not SLOW:
            assert len(message.steps) == 3 or (one is ONGOING and message.steps)


@pytest.mark.parametrize(
    ("fails_for", "fails_every", "pattern"),
    [
        (timedelta(seconds=60.2), timedelta(seconds=149.6), "fails for about 60 s every 150 s"),
        (timedelta(seconds=0), timedelta(minutes=9, seconds=40), "fails for about 1 s every 10 min"),
        (None, None, "comes and goes"),
    ],
)
def test_what_comes_and_goes_is_called_unstable_with_its_pattern(
    fails_for: timedelta | None, fails_every: timedelta | None, pattern: str
) -> None:
    """In the headline and in words below it, also once it was in the file; its end does not call it down."""
    unstable = replace(OPENED, is_unstable=True, fails_for=fails_for, fails_every=fails_every)
    assert from_json(to_json(unstable)) == unstable
    opened = plain_text(compose(unstable)).splitlines()
    assert opened[0] == "🔴 main: unstable, token rejected · your move"
    assert pattern in opened
    reopened = plain_text(compose(replace(unstable, kind=NotificationKind.REOPENED))).splitlines()
    assert reopened[0] == "🔴 main: unstable, token rejected again · your move"
    assert reopened[-1].endswith("incident 12 · reopened")
    closed = plain_text(compose(replace(CLOSED, is_unstable=True))).splitlines()
    assert closed[:2] == [
        "🟢 main: recovered after 12 min 4 s",
        "unstable 14:02:09 to 14:14:13 UTC, 9 checks failed",
    ]
