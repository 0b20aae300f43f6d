"""What the parts remember for each other from one start of the program to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.alerts.notification import Notification, NotificationKind
from monitor.config.settings import Settings
from monitor.engine.wiring import build
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagingStandIn]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with MessagingStandIn() as inbox:
        yield inbox


def tell(folder: Path, inbox: MessagingStandIn, chat_id: str) -> int:
    """One start of the program with one message; how many requests that took."""
    settings = Settings.model_validate(
        {
            "databases": [{"name": "main", "url": "https://x.upstash.io", "token": "t0ken"}],
            "channels": [
                {
                    "type": "telegram",
                    "bot_token": inbox.bot_token,
                    "chat_id": chat_id,
                    "api_url": inbox.telegram_api_url,
                }
            ],
            "history": {"path": str(folder / "history.db")},
        }
    )
    before = inbox.requests
    monitor = build(settings)
    try:
        monitor.store.enqueue(
            Notification(kind=NotificationKind.MONITOR, created_at=datetime.now(UTC), title="a word")
        )
        asyncio.run(monitor.deliverer.send_due())
    finally:
        monitor.close()
    return inbox.requests - before


def test_a_chat_that_moved_is_found_at_once_after_a_restart(tmp_path: Path, inbox: MessagingStandIn) -> None:
    """The first message is sent on to the new number; from then on every start goes there directly."""
    inbox.telegram_fault = MessagingFault.MIGRATED
    assert tell(tmp_path, inbox, inbox.chat_id) == 2
    assert tell(tmp_path, inbox, inbox.chat_id) == 1
    assert [message.payload["chat_id"] for message in inbox.messages] == [inbox.migrated_chat_id] * 2


def test_another_chat_in_the_settings_is_meant(tmp_path: Path, inbox: MessagingStandIn) -> None:
    """Whoever sets a new chat_id gets messages there, whatever became of the old chat."""
    inbox.telegram_fault = MessagingFault.MIGRATED
    tell(tmp_path, inbox, inbox.chat_id)
    inbox.telegram_fault = MessagingFault.NONE
    inbox.migrated_chat_id, other = "-1009999", inbox.migrated_chat_id
    tell(tmp_path, inbox, "-1009999")
    assert [message.payload["chat_id"] for message in inbox.messages] == [other, "-1009999"]
