"""An inbox, the channels that write to it, and a notification of each kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from monitor.alerts.channel import Channel
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.slack import SlackChannel
from monitor.alerts.telegram import TelegramChannel
from monitor.alerts.text import NO_ORIGIN, Origin
from monitor.checks.observation import Outcome
from monitor.diagnosis.verdicts import Verdict, VerdictCode
from monitor.lib.text import Scrubber
from monitor.sandbox.messaging import MessagingStandIn
from tests.judging import PROFILE, explain

# Far longer than loopback ever takes; a test that runs into it has failed.
LONG = timedelta(seconds=20)
SINCE = datetime(2026, 11, 23, 14, 2, 9, tzinfo=UTC)
TIMEOUT, REJECTED = Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
OPENED = Notification(
    kind=NotificationKind.OPENED,
    created_at=SINCE + timedelta(seconds=10),
    database="main",
    incident=12,
    cause=REJECTED,
    causes=(REJECTED,),
    since=SINCE,
    checks_failed=2,
    detail="WRONGPASS invalid or missing auth token",
    verdict=explain(REJECTED),
)
CHANGED = replace(
    OPENED, kind=NotificationKind.CHANGED, causes=(TIMEOUT, REJECTED), before=TIMEOUT, checks_failed=9
)
REMINDER = replace(OPENED, kind=NotificationKind.REMINDER, created_at=SINCE + timedelta(hours=1), checks_failed=62)
REOPENED = replace(
    CHANGED,
    kind=NotificationKind.REOPENED,
    is_unstable=True,
    fails_for=timedelta(seconds=60),
    fails_every=timedelta(seconds=150),
)
CLOSED = replace(CHANGED, kind=NotificationKind.CLOSED, until=SINCE + timedelta(minutes=12, seconds=4), detail="")
MISSED = replace(CLOSED, kind=NotificationKind.MISSED)
ONGOING = replace(REMINDER, kind=NotificationKind.ONGOING)
UNWATCHED = replace(REMINDER, kind=NotificationKind.UNWATCHED)
DIAGNOSED = replace(OPENED, layers="did not pass: token, rediss:// · not tried: PING · not known: Railway")
SLOW = replace(
    OPENED,
    severity=Severity.WARNING,
    cause=Outcome.SLOW,
    causes=(Outcome.SLOW,),
    checks_failed=5,
    detail="812 ms, above 500 ms",
    verdict=explain(Outcome.SLOW),
)
WORSE = replace(CHANGED, causes=(Outcome.SLOW, REJECTED), before=Outcome.SLOW, checks_failed=1369)
WARNING = Notification(
    kind=NotificationKind.WARNING,
    created_at=SINCE,
    database="main",
    title="the certificate ends in 13 days (2026-12-06)",
    severity=Severity.WARNING,
    verdict=Verdict(code=VerdictCode.CERTIFICATE_ENDS_SOON, outcome=Outcome.OK, profile=PROFILE),
)
MONITOR = Notification(
    kind=NotificationKind.MONITOR,
    created_at=SINCE,
    title="upstash-monitor: the channel slack is broken",
    severity=Severity.WARNING,
    detail="Slack refused it (404 no_service): the webhook was removed; make a new one and set webhook_url",
    steps=("Correct the settings of slack and restart: what it missed is told then.",),
)
TEST = Notification(
    kind=NotificationKind.TEST,
    created_at=SINCE,
    title="upstash-monitor: a test message for slack; nothing is wrong",
    severity=Severity.WARNING,
    detail="If you can read this, alerts will arrive here.",
)
MISSED_MANY = Notification(
    kind=NotificationKind.MISSED,
    created_at=SINCE + timedelta(days=1, hours=2),
    title="you missed this: 4 messages in 1 d 2 h, 1 still open",
    verdict=explain(REJECTED),
    includes=(
        replace(REMINDER, kind=NotificationKind.MISSED, created_at=SINCE + timedelta(days=1), verdict=None),
        replace(MISSED, incident=13, database="cache", verdict=None),
    ),
)
ORIGIN = Origin(environment="staging", region="fra", page_url="https://monitor.example")


@pytest.fixture(autouse=True)
def _direct(direct: None) -> None:
    """All tests here."""


@pytest.fixture
def inbox() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as inbox:
        yield inbox


def slack(inbox: MessagingStandIn, *, mention: str = "", origin: Origin = NO_ORIGIN) -> SlackChannel:
    return SlackChannel(
        name="slack",
        webhook_url=inbox.slack_url,
        mention=mention,
        scrub=Scrubber([inbox.slack_url]),
        origin=origin,
    )


def telegram(inbox: MessagingStandIn, *, topic: int | None = None, origin: Origin = NO_ORIGIN) -> TelegramChannel:
    return TelegramChannel(
        name="telegram",
        bot_token=inbox.bot_token,
        chat_id=inbox.chat_id,
        topic=topic,
        api_url=inbox.telegram_api_url,
        scrub=Scrubber([inbox.bot_token]),
        origin=origin,
    )


def both(inbox: MessagingStandIn) -> tuple[Channel, Channel]:
    return slack(inbox), telegram(inbox)


APPRISE_URL = "discord://1234567890123456789/AppriseTokenOfTests-0123456789"


class AppriseLibrary:
    """Takes messages, and answers as it is told to. Apprise is an extra; this has its interface."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.answer: Callable[[], bool | None] = lambda: True

    def add(self, url: str) -> bool:
        return url.startswith("discord://")

    def notify(self, **message: Any) -> bool | None:
        self.sent.append(message)
        return self.answer()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> AppriseLibrary:
    library, module = AppriseLibrary(), ModuleType("apprise")
    names = SimpleNamespace(FAILURE="failure", WARNING="warning", SUCCESS="success", TEXT="text")
    vars(module).update(Apprise=lambda: library, NotifyType=names, NotifyFormat=names)
    monkeypatch.setitem(sys.modules, "apprise", module)
    return library
