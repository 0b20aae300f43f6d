"""The comma-separated values: what a spreadsheet and a CSV reader make of it, hostile texts included."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.observation import Outcome
from monitor.report.report import Period, read_report
from monitor.report.values import SLICE_COLUMNS, inert, report_csv, table
from monitor.store.rollups.model import Grain
from tests.report.made_history import MINUTE, START, MadeArchive, Recorded, check, every_minute

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("main", "main"),
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("\r=1", "'=1"),
        ("\tplain", "'plain"),
        (" \u200b =1", "'=1"),
        ("\x1b[31m=1", "'=1"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("two\r\nlines\x00", "two lines"),
        ("", ""),
    ],
)
def test_a_cell_that_would_be_a_formula_is_made_inert(text: str, cell: str) -> None:
    """An apostrophe before it, also where blanks or control characters hide its beginning."""
    assert inert(text) == cell


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_whatever_stands_in_a_cell_a_reader_finds_one_row(texts: list[str]) -> None:
    """Quotes, commas and line ends inside a text do not make cells or rows, and nothing starts a formula."""
    written = table([str(number) for number in range(len(texts))], [texts])
    head, *rows = list(csv.reader(io.StringIO(written, newline="")))
    assert len(rows) == 1
    assert len(rows[0]) == len(head) == len(texts)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in rows[0])
    assert written.count("\r\n") == 2


def test_each_slice_is_a_row_with_the_checks_by_outcome() -> None:
    """Times as in the contract, an empty cell where nothing is known, every outcome a column of its own."""
    checks = every_minute(START, START + HOUR)
    checks[7] = check(START + 7 * MINUTE, Outcome.RESPONSE_TIMEOUT)
    name = '=HYPERLINK("http://evil")'
    archive = MadeArchive(recorded={name: Recorded(checks=checks)})
    period = Period(start=START - HOUR, end=START + HOUR, grain=Grain.HOUR)
    text = report_csv(read_report(archive, [name], period, now=START + HOUR))
    assert text.splitlines()[0] == ",".join(SLICE_COLUMNS)
    before, during = list(csv.DictReader(io.StringIO(text, newline="")))
    assert before["database"] == "'" + name
    assert (before["start"], before["end"]) == ("2026-09-30T23:00:00.000Z", "2026-10-01T00:00:00.000Z")
    assert (before["checks"], before["uptime_share"], before["unknown_seconds"], before["p99_ms"]) == (
        "0",
        "",
        "3600.0",
        "",
    )
    assert (during["checks"], during["checks_failed"], during["ok"], during["response_timeout"]) == (
        "60",
        "1",
        "59",
        "1",
    )
    assert (during["uptime_share"], during["down_seconds"], during["max_ms"]) == ("0.983333", "60.0", "12.2")
