"""The program's own log: what a line looks like, and that no secret is in it."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from loguru import logger

from monitor.cli.logs import set_up
from monitor.cli.options import load_settings
from monitor.config.settings import LogsSettings
from monitor.lib.text import Scrubber

TOKEN = "AXyzSecretTokenOfTheTest=="
scrub = Scrubber([TOKEN])


class Lines(io.StringIO):
    """A stream for the log; called, it returns the lines that were written since."""

    def __call__(self) -> list[str]:
        written = self.getvalue().splitlines()
        self.seek(0)
        self.truncate()
        return written


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Set the logs up to a stream of the test's own."""
    stream = Lines()
    before = (logging.root.handlers[:], logging.root.level, threading.excepthook)
    set_up(LogsSettings(), scrub=scrub, stream=stream)
    yield stream
    logger.remove()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], threading.excepthook = before[0], before[2]
    logging.root.setLevel(before[1])


def as_json(lines: Lines, level: str = "INFO") -> None:
    settings = LogsSettings.model_validate({"level": level, "format": "json"})
    set_up(settings, scrub=scrub, stream=lines)


@pytest.mark.parametrize("name", ["UPSTASH_API_KEY", "RAILWAY_TOKEN", "RAILWAY_API_TOKEN"])
def test_the_doctors_keys_are_taken_out_of_the_log(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """They are in no settings, and the doctor holds them while the monitor runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, TOKEN)
    load_settings(click.Context(click.Command("run")), stream=lines)
    logger.error("the layer failed inside: {}", TOKEN)
    [line] = lines()
    assert "the layer failed inside" in line
    assert TOKEN not in line


def test_a_line_of_text_begins_with_time_and_level(lines: Lines) -> None:
    """Time with its offset, level, message; colours only on a terminal."""
    logger.warning("{}: nobody checked for {}", "main", "3 min")
    [line] = lines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}"
    assert re.fullmatch(rf"{stamp} WARNING main: nobody checked for 3 min", line)


def test_a_line_of_json_is_what_railway_reads(lines: Lines) -> None:
    """One object a line with `message` and a lower-case `level`; extra fields stand beside them, scrubbed."""
    as_json(lines)
    logger.bind(database="main", what=TOKEN).error("two\nlines")
    [line] = lines()
    fields = json.loads(line)
    assert (fields["level"], fields["message"], fields["database"], fields["what"]) == (
        "error",
        "two\nlines",
        "main",
        "***",
    )


@pytest.mark.parametrize("shape", ["text", "json"])
def test_a_secret_is_not_in_a_message_nor_in_a_traceback(lines: Lines, shape: str) -> None:
    """Not as an argument, not in an exception's text, not as the value of a variable of a frame."""
    if shape == "json":
        as_json(lines)

    def fails(secret: str) -> None:
        raise ValueError(f"Illegal header value b'Bearer {secret}\\n'")

    try:
        fails(TOKEN)
    except ValueError as error:
        logger.opt(exception=error).error("it failed with {}", TOKEN)
    text = "\n".join(lines())
    assert "***" in text
    assert "ValueError" in text
    assert "SecretToken" not in text


def test_a_line_of_text_cannot_steer_a_terminal(lines: Lines) -> None:
    """Escape sequences in foreign text are shown, not obeyed."""
    logger.info("{}", "\x1b[2Jgone\x07\u009b31m")
    assert lines()[0].endswith("\\x1b[2Jgone\\x07\\x9b31m")


def test_other_libraries_speak_through_the_same_sink(lines: Lines) -> None:
    """Warnings of the standard library's logging arrive, scrubbed; chatter at INFO does not."""
    logging.getLogger("apscheduler.scheduler").info("Running job")
    logging.getLogger("httpx").info("HTTP Request: POST https://host")
    logging.getLogger("urllib3").warning("retrying https://host/%s", TOKEN)
    logging.getLogger("someone").log(35, "between the levels")
    first, second = lines()
    assert first.endswith("WARNING retrying https://host/***")
    assert second.endswith("between the levels")


def test_warnings_of_python_become_lines_of_the_log(lines: Lines) -> None:
    """They would go to stderr past the scrubber otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"deprecated, {TOKEN}", DeprecationWarning, stacklevel=1)
    text = "\n".join(lines())
    assert "deprecated, ***" in text


def test_a_thread_that_crashes_leaves_one_scrubbed_entry(lines: Lines) -> None:
    """Python's own hook would print the traceback with whatever its message holds."""

    def crash() -> None:
        raise RuntimeError(TOKEN)

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    text = "\n".join(lines())
    assert "CRITICAL the program failed inside" in text
    assert "RuntimeError: ***" in text


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_cannot_be_written_to_costs_lines_and_nothing_else() -> None:
    """A log on a full disk must not end the watch."""
    set_up(LogsSettings(), scrub=scrub, stream=Broken())
    logger.error("lost")
    closed = io.StringIO()
    set_up(LogsSettings(), scrub=scrub, stream=closed)
    closed.close()
    logger.error("lost as well")
    logger.remove()
