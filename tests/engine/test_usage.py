"""What is nearly used up is told once a month, with the day on which it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.alerts.text import compose
from monitor.config.settings import DatabaseSettings, DoctorSettings, HistorySettings, Settings
from monitor.doctor.console import ConsoleKey, Usage
from monitor.engine.usage import warn, warning_of
from monitor.engine.wiring import Monitor, build
from monitor.lib.text import Secret
from monitor.sandbox.console import ConsoleStandIn
from monitor.sandbox.server import WebFault

NOW = datetime(2026, 11, 16, tzinfo=UTC)  # half of the month
KEY = ConsoleKey(email="me@example.com", api_key=Secret("a-key-of-the-test-0123456789"))
COMMANDS = {"resource": "commands", "unit": "commands", "limit": 500_000, "is_monthly": True}


@pytest.mark.parametrize(
    ("used", "ends"),
    [
        (400_000, "at this pace it is used up on 2026-11-19"),
        (490_000, "at this pace it is used up on 2026-11-16"),
        (500_000, "it is used up"),
        (600_000, "it is used up"),
    ],
)
def test_the_day_is_said_on_which_it_ends(used: float, ends: str) -> None:
    """By the part of the month that is over."""
    told = warning_of(Usage(used=used, **COMMANDS), "main", NOW)  # type: ignore[arg-type]  # any values of a test
    assert told.detail.endswith(f"; {ends}")


def test_what_lasts_until_the_month_ends_says_so() -> None:
    """The month begins anew before it is used up."""
    late = datetime(2026, 11, 30, 12, tzinfo=UTC)
    told = warning_of(Usage(used=400_000, **COMMANDS), "main", late)  # type: ignore[arg-type]  # as above
    message = compose(told)
    assert message.first_line.endswith("main: at least 80% of the month's commands used")
    assert "400,000 of 500,000 commands used, 80%; at this pace it lasts until the month ends" in message.detail


@pytest.mark.parametrize(
    ("used", "figures"),
    [
        (512_345, "512,345 of 500,000 commands used, 102%; it is used up"),
        (499_999.99, "499,999.9 of 500,000 commands used, 99%; "),
    ],
)
def test_what_is_used_up_reads_so_and_what_is_not_does_not(used: float, figures: str) -> None:
    """The share is the true one, and nothing is rounded up to the limit."""
    told = warning_of(Usage(used=used, **COMMANDS), "main", NOW)  # type: ignore[arg-type]  # as above
    assert told.detail.startswith(figures)


@pytest.fixture
def console(direct: None) -> Iterator[ConsoleStandIn]:
    with ConsoleStandIn(email=KEY.email, api_key=KEY.api_key.reveal()) as running:
        yield running


def monitored(folder: Path, console: ConsoleStandIn) -> Monitor:
    main = DatabaseSettings(name="main", url=Secret("https://some-host-1.upstash.io"), token=Secret("t"))
    settings = Settings(
        databases=(main,),
        connectivity=(),
        doctor=DoctorSettings(console_url=console.url, status_url=""),
        history=HistorySettings(path=str(folder / "history.db")),
    )
    return build(settings, environ={})


def titles(monitor: Monitor) -> list[str]:
    rows = monitor.store.read(lambda c: c.execute("SELECT notification FROM outbox ORDER BY id").fetchall())
    return [json.loads(text)["title"] for (text,) in rows]


def read_at(folder: Path, console: ConsoleStandIn, *moments: datetime) -> list[str]:
    """What was enqueued by a program that read the usage at these moments."""
    monitor = monitored(folder, console)
    try:
        for moment in moments:
            asyncio.run(warn(monitor, monitor.settings.databases[0], KEY, moment))
        return titles(monitor)
    finally:
        monitor.close()


def test_each_resource_is_told_once_a_month_and_not_again_after_a_restart(
    tmp_path: Path, console: ConsoleStandIn
) -> None:
    """From 80 % on; the next month begins anew, a day late: till then the figures may be of the last.

    With eviction a full storage makes room by itself.
    """
    database = console.add("some-host-1", rest_token="AXtokenOfTheTest0123456789")
    database.commands_used, database.storage_used = 399_999, database.storage_limit
    database.eviction = True
    assert read_at(tmp_path, console, NOW) == []
    database.commands_used, database.eviction = 400_000, False
    once = ["at least 80% of the month's commands used", "at least 80% of the storage used"]
    assert read_at(tmp_path, console, NOW, NOW + timedelta(hours=6)) == once
    assert read_at(tmp_path, console, NOW + timedelta(days=2)) == once
    december = datetime(2026, 12, 1, tzinfo=UTC)
    moments = [december + timedelta(hours=hours) for hours in (0, 23, 24, 30)]
    assert read_at(tmp_path, console, *moments) == [*once, once[1], once[0]]


def test_a_console_that_says_nothing_warns_of_nothing(tmp_path: Path, console: ConsoleStandIn) -> None:
    """No such database, a key that is not accepted, a fault of its own: no message, and nothing breaks."""
    assert read_at(tmp_path, console, NOW) == []
    console.add("some-host-1", rest_token="AXtokenOfTheTest0123456789").commands_used = 500_000
    for console.fault in (WebFault.FORBIDDEN, WebFault.NOT_JSON, WebFault.OTHER_SHAPE, WebFault.SERVER_ERROR):
        assert read_at(tmp_path, console, NOW) == []
