"""A line that repeats itself: a few are written, the rest is counted."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from loguru import logger

from monitor.cli.logs import RepeatedLines


class Log:
    """A log with the filter in it; `now` is its clock, a call returns the lines that were written since."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._stream = io.StringIO()
        self._repeated = RepeatedLines(lambda: self.now)
        logger.remove()
        logger.add(self._stream, format="{message}", filter=self._repeated)

    def __call__(self) -> list[str]:
        written = self._stream.getvalue().splitlines()
        self._stream.seek(0)
        self._stream.truncate()
        return written


@pytest.fixture
def log() -> Iterator[Log]:
    yield Log()
    logger.remove()


def test_a_line_is_written_a_few_times_a_minute(log: Log) -> None:
    """The last one says that more are left out, the first one a minute later how many."""
    for _ in range(10_000):
        logger.warning("no place for {}", "a visitor")
    assert log() == ["no place for a visitor"] * 5 + [
        "no place for a visitor (more of these within a minute are left out)"
    ]
    log.now += 60
    for _ in range(3):
        logger.warning("no place for {}", "a visitor")
    assert log() == ["no place for a visitor (9994 more of these were left out)"] + ["no place for a visitor"] * 2


def test_lines_that_differ_are_all_written(log: Log) -> None:
    """Also those that differ only in a number or in their level, however many there are."""
    for number in range(2000):
        logger.info("incident {} opened", number)
        logger.error("incident {} opened", number)
    assert len(log()) == 4000


@pytest.mark.parametrize(
    "line",
    [
        "main: a check was left out, the last one still runs ({} so far)",
        "main: server error in {}.4 ms - HTTP 503",
        "main: no check for {} min 4 s",
        "slack: incident 7 opened not delivered: refused; it asks to wait {} s",
    ],
)
def test_what_was_measured_or_counted_makes_no_other_line(log: Log, line: str) -> None:
    """Else a check that fails each second, or a schedule that cannot be kept, is in no minute the same line."""
    for number in range(1000):
        logger.warning(line, number)
    assert len(log()) == 6
    logger.warning(line.replace("main", "db2").replace("7", "8"), 1)
    assert len(log()) == 1


def test_another_line_is_written_while_one_is_left_out(log: Log) -> None:
    """A flood hides nothing else, and what is remembered of it stays small."""
    for _ in range(100):
        logger.warning("flood")
    logger.warning("incident 12 opened")
    assert log()[-1] == "incident 12 opened"
