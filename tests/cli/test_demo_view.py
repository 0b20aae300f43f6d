"""What the demo prints: colours where they belong, panels that close, plain characters where others fail."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len

from monitor.alerts.channel import Channel
from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.alerts.slack import SlackChannel
from monitor.alerts.telegram import TelegramChannel
from monitor.checks.observation import Outcome
from monitor.cli.demo.steps import SLACK, STEPS, TELEGRAM
from monitor.cli.demo.view import View, open_console
from monitor.sandbox.messaging import MessagingStandIn, ReceivedMessage
from tests.judging import explain

NOW = datetime(2026, 11, 23, 14, 2, 9, tzinfo=UTC)
OPENED = Notification(
    kind=NotificationKind.OPENED,
    created_at=NOW,
    database="main",
    incident=12,
    cause=Outcome.TOKEN_REJECTED,
    causes=(Outcome.TOKEN_REJECTED,),
    since=NOW - timedelta(seconds=10),
    checks_failed=2,
    detail="WRONGPASS <b>& *co</b>",
    verdict=explain(Outcome.TOKEN_REJECTED),
)
LONG = timedelta(seconds=20)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def received(service: str, notification: Notification = OPENED) -> ReceivedMessage:
    """A message as the channel sends it and the service takes it."""
    with MessagingStandIn() as messaging:
        channel: Channel = SlackChannel(name=SLACK, webhook_url=messaging.slack_url, scrub=str)
        if service == TELEGRAM:
            channel = TelegramChannel(
                name=TELEGRAM,
                bot_token=messaging.bot_token,
                chat_id=messaging.chat_id,
                api_url=messaging.telegram_api_url,
                scrub=str,
            )
        assert channel.send(notification, timeout=LONG).status is DeliveryStatus.CONFIRMED
        [message] = messaging.messages
        return message


def shown(stream: io.StringIO, message: ReceivedMessage) -> str:
    View(open_console(stream)).message(message, replace(STEPS[1], shown_in=message.service), 4.1)
    return stream.getvalue()


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a pipe or a file, none with NO_COLOR, none on a dumb terminal; not bold or dim either."""

    def is_styled(stream: io.StringIO) -> bool:
        View(open_console(stream)).note("text", "red")
        assert "text" in stream.getvalue()
        return "\x1b" in stream.getvalue()

    assert is_styled(Terminal())
    assert not is_styled(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_styled(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_styled(Terminal())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not is_styled(io.StringIO())


@pytest.mark.parametrize("columns", ["40", "80", "120", "500"])
def test_every_line_of_a_panel_ends_in_the_same_column(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Wide symbols, long words and wrapped steps included, between 50 columns and 100."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    text = "\n".join(("🔴 main: down", "1. " + "a step of many words " * 9, "x" * 300, "incident 1 · opened"))
    message = ReceivedMessage(service=SLACK, text=text, mentions=(), payload={}, at=NOW)
    lines = shown(Terminal(), message).splitlines()
    assert {cell_len(line) for line in lines} == {max(50, min(int(columns), 100))}
    assert "─ Slack ─" in lines[0]
    assert "─ arrived 4.1 s after the hang began ─" in lines[-1]


def test_a_step_hangs_under_its_first_word() -> None:
    """The number stands alone at the left."""
    text = "headline\n1. " + "word " * 20 + "\nend"
    message = ReceivedMessage(service=SLACK, text=text, mentions=(), payload={}, at=NOW)
    lines = shown(io.StringIO(), message).splitlines()
    assert lines[2].startswith("    │ 1. word word")
    assert lines[3].startswith("    │    word")


@pytest.mark.parametrize("service", [SLACK, TELEGRAM])
def test_a_message_reads_as_its_service_shows_it(service: str) -> None:
    """Line by line from headline to incident, without tags, markup and entities."""
    lines = [line.strip(" │") for line in shown(io.StringIO(), received(service)).splitlines()]
    assert lines[1] == "🔴 main: token rejected · your move"
    assert "WRONGPASS <b>& *co</b>" in lines
    assert lines[-2] == "incident 12 · opened"
    down = [line.strip(" │") for line in shown(io.StringIO(), received(service, DOWN)).splitlines()]
    assert "1. See whether Upstash knows of it: https://status.upstash.com." in down


DOWN = replace(OPENED, cause=Outcome.SERVER_ERROR, verdict=explain(Outcome.SERVER_ERROR))


@pytest.fixture
def ascii_file(tmp_path: Path) -> Iterator[io.TextIOWrapper]:
    """As `main` prepares stdout: what the encoding lacks is written as an escape."""
    with (tmp_path / "log").open("w+", encoding="ascii", errors="backslashreplace") as stream:
        yield stream


def test_an_encoding_without_frames_gets_plain_ones(ascii_file: io.TextIOWrapper) -> None:
    """Nothing fails, and what is left can be read."""
    view = View(open_console(ascii_file))
    view.step(1, STEPS[0])
    view.message(
        ReceivedMessage(service=SLACK, text="größer\nend", mentions=(), payload={}, at=NOW), STEPS[0], 4.1
    )
    ascii_file.seek(0)
    written = ascii_file.read()
    assert "Both databases answer ---" in written
    assert "+- Slack ---" in written
    assert r"| gr\xf6\xdfer" in written


def test_without_a_stream_nothing_is_printed() -> None:
    """Started with its output closed, a program has none."""
    View(open_console(None)).note("nobody reads this")
