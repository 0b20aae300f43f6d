"""What the demo writes: frames that close, colours where they belong, plain characters where others fail."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.slack import payload
from monitor.alerts.telegram import as_html
from monitor.alerts.text import compose
from monitor.checks.observation import Outcome
from monitor.cli.demo.screen import Line, Screen, Tone, slack_lines, sparkline, telegram_lines, width_of, wrapped

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
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_colour_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("columns", ["40", "80", "120", "500"])
def test_every_line_of_a_frame_ends_in_the_same_column(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Wide symbols, long words and wrapped steps included, on any terminal."""
    monkeypatch.setenv("COLUMNS", columns)
    stream = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(stream)
    lines = [Line("🔴 main: down"), Line(""), Line("1. " + "a step of many words " * 9), Line("x" * 300)]
    screen.frame("Slack", lines, note="4.1 s after the fault")
    written = stream.getvalue().splitlines()
    assert len({width_of(line) for line in written}) == 1
    assert width_of(written[0]) <= 100
    assert "Slack" in written[0]
    assert "4.1 s after the fault" in written[-1]
    assert written[-2].startswith("    │ xxx")


def test_a_step_hangs_under_its_first_word() -> None:
    """The number stands alone at the left."""
    assert wrapped("1. one two three", 9) == ["1. one", "   two", "   three"]
    assert wrapped("", 9) == [""]


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a pipe or a file, none with NO_COLOR, none on a dumb terminal."""

    def painted(stream: io.StringIO) -> bool:
        Screen(stream).write(Line("red", Tone.BAD))
        return "\x1b[31mred\x1b[0m" in stream.getvalue()

    assert painted(Terminal())
    assert not painted(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not painted(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not painted(Terminal())


@pytest.fixture
def ascii_file(tmp_path: Path) -> Iterator[io.TextIOWrapper]:
    with (tmp_path / "log").open("w+", encoding="ascii") as stream:
        yield stream


def test_an_encoding_without_frames_gets_plain_ones(ascii_file: io.TextIOWrapper) -> None:
    """Nothing fails, and what is left can be read."""
    screen = Screen(ascii_file)
    screen.rule("Act 1 · all is well")
    screen.frame("Slack", [Line("🔴 main: down"), Line("größer")])
    screen.write(sparkline([1.0, None, 80.0], top=80.0, length=4))
    ascii_file.seek(0)
    written = ascii_file.read().splitlines()
    assert written[1].startswith("-- Act 1 . all is well ---")
    assert "+- Slack ---" in written[2]
    assert "| * main: down" in written[3]
    assert "gr??er" in written[4]
    assert written[-1] == " .x@"


def test_without_a_stream_nothing_is_said() -> None:
    """Started with its output closed, a program has none."""
    Screen(None).frame("Slack", [Line("nobody reads this")])


def test_a_sparkline_shows_the_last_values() -> None:
    """The newest on the right, a cross where nothing came back, the top for all that is above it."""
    assert sparkline([0.0, 40.0, 79.0, 999.0, None], top=80.0, length=6) == " ▁▅██×"
    assert sparkline([0.0] * 5 + [79.0], top=80.0, length=3) == "▁▁█"


def test_a_slack_message_reads_as_slack_shows_it() -> None:
    """Blocks with space between them, the headline bold, the tail small, no markup and no entities left."""
    lines = slack_lines(payload(compose(OPENED)))
    assert lines[0] == Line("🔴 main: token rejected", Tone.BOLD)
    assert lines[1] == Line("")
    assert Line("WRONGPASS <b>& *co</b>") in lines
    assert Line("Next", Tone.BOLD) in lines
    assert lines[-2:] == [Line(""), Line("incident 12 · opened", Tone.DIM)]
    assert slack_lines({"text": "a &lt;b&gt;\nc"}) == [Line("a <b>"), Line("c")]
    down = replace(OPENED, cause=Outcome.SERVER_ERROR)
    link = Line("1. See whether Upstash knows of it: https://status.upstash.com.")
    assert link in slack_lines(payload(compose(down)))


def test_a_telegram_message_reads_as_telegram_shows_it() -> None:
    """Line by line, without tags and entities."""
    lines = telegram_lines({"text": as_html(compose(OPENED)), "parse_mode": "HTML"})
    assert lines[0] == Line("🔴 main: token rejected", Tone.BOLD)
    assert Line("WRONGPASS <b>& *co</b>", Tone.DIM) in lines
    assert lines[-1] == Line("incident 12 · opened", Tone.DIM)
    assert telegram_lines({"text": "a <b>"}) == [Line("a <b>")]
