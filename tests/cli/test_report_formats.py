"""`report` on a terminal and piped: what it shows, how wide it is, and that nothing hostile steers it.

Made histories stand in for the file, because the checks have to lie at known times and go wrong in known ways.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from monitor.alerts.notification import Severity
from monitor.checks.observation import Outcome, Phases
from monitor.cli.report.report import Options, chosen_names, command, parse, render, write_report
from monitor.cli.report.terminal import show_claim, show_history
from monitor.report.report import Period, read_claim, read_report
from monitor.store.rollups.model import Gap, Grain, History, Slice, Uptime
from tests.program import ROOT
from tests.report.made_history import (
    MINUTE,
    NOW,
    START,
    MadeArchive,
    Recorded,
    check,
    every_minute,
    incident,
)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HOSTILE = "\x1b]0;owned\x07\x1b[31m<script>alert(1)</script>\u202e[bold]=1+1\r\n" + "x" * 10_000


def made(name: str = "main", detail: str = "") -> MadeArchive:
    """Three days: a timeout of 14 minutes, an hour without checks, a slow hour, an incident that is still open."""
    checks = every_minute(START, START + 3 * DAY)
    at = START + DAY + 2 * HOUR
    for number in range(14):
        checks[1560 + number] = check(at + number * MINUTE, Outcome.RESPONSE_TIMEOUT, detail=detail)
    checks[600:660] = every_minute(START + 10 * HOUR, START + 11 * HOUR, Outcome.SLOW, wait=900.0)
    checks[-5:] = [check(one.at, Outcome.CONNECTION_REFUSED) for one in checks[-5:]]
    gap = Gap(start=checks[2400].at, end=checks[2461].at)
    recorded = Recorded(
        checks=checks[:2401] + checks[2461:],
        gaps=[gap],
        incidents=[
            incident(1, at, at + 14 * MINUTE, Outcome.RESPONSE_TIMEOUT, Outcome.SERVER_ERROR, failed=14),
            incident(2, checks[-5].at, None, Outcome.CONNECTION_REFUSED, failed=5),
        ],
        phases_before=Phases(dns=9.7, connect=8.0, tls=9.9, wait=12.0, read=0.2),
    )
    return MadeArchive(recorded={name: recorded})


def options(environ: Mapping[str, str] = MappingProxyType({}), /, **given: Any) -> Options:
    return parse(now=NOW, environ=environ, **given)


def print_report(archive: MadeArchive, given: Options, name: str = "main") -> None:
    report = read_report(archive, [name], given.period, now=START + 3 * DAY, region=given.region)
    render(report, given)


def shown(history: History, *, terminal: bool = False, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", newline="")
    colours = "standard" if terminal else None
    console = Console(file=stream, width=width, highlight=False, force_terminal=terminal, color_system=colours)  # type: ignore[arg-type]  # a name of a colour system
    show_history(console, history, now=START + 3 * DAY)
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(encoding)


def history(reader: MadeArchive, grain: Grain = Grain.DAY, name: str = "main") -> History:
    return reader.history(name, start=START, end=START + 3 * DAY, grain=grain, compare=True)


def test_a_report_shows_what_a_person_asks(capsys: pytest.CaptureFixture[str]) -> None:
    """Uptime with what it rests on, checks and failures in words, percentiles, phases, days, incidents, gaps."""
    print_report(made(), options(since="2026-10-01", until="2026-10-04"))
    text = capsys.readouterr().out
    folded = " ".join(text.split())
    for line in (
        "main 3 d, 2026-10-01 00:00:00 UTC to 2026-10-04 00:00:00 UTC",
        "99.55 % of 2 d 22 h known; 1 h 1 min unknown",
        "4,260, 19 failed: 14 response timed out, 5 connection refused; 60 slow",
        "p50 12.2 ms, p90 12.2 ms, p95 12.2 ms, p99 900 ms, max 900 ms",
        "dns 1.2 ms, connect 8.0 ms, tls 9.9 ms, wait 12.0 ms, read 0.20 ms (medians)",
        "dns 9.7 ms → 1.2 ms: your lookup got faster",
        "Thu 01 Oct",
        "14 response timed out; 1 h 1 min unknown",
        "response timed out, then server error · since 2026-10-02 02:00:00 UTC",
        "connection refused · since 2026-10-03 23:55:00 UTC · still open after 5 min",
        "nobody checked 1 h 1 min 2026-10-02 16:00:00 UTC to 2026-10-02 17:01:00 UTC",
    ):
        assert line in folded
    assert "\x1b" not in text
    assert all(len(line) <= 80 and line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("grain", Grain)
@pytest.mark.parametrize("width", [44, 60, 80, 160])
def test_it_is_never_wider_than_the_terminal(grain: Grain, width: int) -> None:
    """By hour and by day; a bar for each row that has checks, where there is room; no figure is cut."""
    text = shown(history(made(), grain), width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert width < 60 or text.count("█") >= len(history(made(), grain).slices) - 2
    assert "…" not in text
    assert text.count("100 %") >= len(history(made(), grain).slices) - 5


def test_two_causes_take_two_lines_of_80_columns() -> None:
    """The figures leave room for words: the unit of a column is in its heading."""
    checks = every_minute(START, START + DAY)
    for number, outcome in enumerate([Outcome.RESPONSE_TIMEOUT] * 11 + [Outcome.SERVER_ERROR] * 3):
        checks[600 + number] = check(checks[600 + number].at, outcome)
    made_history = MadeArchive(recorded={"main": Recorded(checks=checks)})
    lines = shown(made_history.history("main", start=START, end=START + DAY, grain=Grain.DAY)).splitlines()
    [row] = [number for number, line in enumerate(lines) if "Thu 01 Oct" in line]
    assert "p99 ms" in lines[row - 1]
    assert lines[row].rstrip().endswith(" 11 response timed")
    assert lines[row + 1].strip() == "out, 3 server error"


def test_the_terminal_and_the_html_report_show_the_same_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shares, latencies and what they rest on are the same text in both, whether there are many digits or few."""
    checks = [check(one.at, wait=0.118) for one in every_minute(START - 27 * DAY, START + 3 * DAY)]
    checks[-5] = check(checks[-5].at, Outcome.SERVER_ERROR)
    phases = Phases(dns=9.7, connect=8.0, tls=9.9, wait=12.0, read=0.2)
    archive = MadeArchive(recorded={"main": Recorded(checks=checks, phases_before=phases)})
    period = {"since": (START - 27 * DAY).isoformat(), "until": "2026-10-04"}
    print_report(archive, options(**period))
    terminal = " ".join(capsys.readouterr().out.split())
    print_report(archive, options(**period, html=str(tmp_path / "report.html")))
    document = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = " ".join(unescape(re.sub(r"<[^>]*>", " ", document.partition("<body")[2])).split())
    for pattern in (
        r"uptime (\S+ %) (of [^;]* known)",
        r"p50 (\S+ ms), p90 (\S+ ms), p95 (\S+ ms), p99 (\S+ ms), max (\S+ ms)",
        r"dns (\S+ ms), connect (\S+ ms), tls (\S+ ms), wait (\S+ ms), read (\S+ ms) \(medians\)",
        r"Sat 03 Oct (\S+ %) 1,440 (\S+) (\S+) ",
    ):
        figures = re.search(pattern, terminal)
        assert figures is not None, pattern
        assert [figure for figure in figures.groups() if figure not in page] == []
    assert {"99.997 %", "99.93 %", "0.32 ms", "12.0 ms"} <= set(re.findall(r"[0-9.]+ (?:%|ms)", terminal))


def test_failures_and_gaps_have_marks_of_their_own() -> None:
    """A cross where checks failed, a dot and words where nobody checked, an arrow where a bar ends too early."""
    rows = {line[2:14]: line for line in shown(history(made(), Grain.HOUR)).splitlines()}
    assert "✗" in rows["02 Oct 02:00"]
    assert "nobody checked" not in rows["02 Oct 02:00"]
    assert "▸" in rows["01 Oct 10:00"]
    unchecked = MadeArchive(
        recorded={"main": Recorded(checks=[check(START)], gaps=[Gap(start=START, end=START + DAY)])}
    )
    text = shown(unchecked.history("main", start=START, end=START + DAY, grain=Grain.HOUR))
    assert text.count("nobody checked") == 23 + 1
    assert "none: no check" not in text


def test_time_that_the_check_before_accounts_for_is_not_without_anybody() -> None:
    """A check every two hours leaves hours without one of their own; their uptime is known all the same."""
    empty = Slice(
        start=START,
        end=START + timedelta(hours=1),
        outcomes={},
        uptime=Uptime(up=timedelta(hours=1), down=timedelta(0), unknown=timedelta(0)),
    )
    text = shown(History(database="main", grain=Grain.HOUR, whole=empty, slices=(empty, empty)))
    assert "100 %" in text
    assert "nobody checked" not in text


def test_a_terminal_without_blocks_gets_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in ASCII is an escape of something that cannot be shown."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    print_report(made(), options(since="2026-10-01", until="2026-10-04"))
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    text = raw.getvalue().decode("ascii")
    assert "##" in text
    assert "dns 9.7 ms -> 1.2 ms" in text
    assert "\\" not in text


def test_colours_are_for_terminals_and_no_color_turns_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red where something failed; none at all with NO_COLOR."""
    assert "\x1b[31m" in shown(history(made()), terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown(history(made()), terminal=True)


@pytest.mark.parametrize("given", [{}, {"month": "2026-10"}, {"as_json": True}, {"as_csv": True}], ids=str)
def test_hostile_names_and_details_steer_nothing(
    given: Mapping[str, str | bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """Colours, titles, markup, reversals, line ends and 10 kB, as a name and as a detail, in every format."""
    span = {} if "month" in given else {"since": "2026-10-01", "until": "2026-10-04"}
    print_report(
        made(HOSTILE, HOSTILE), options({"RAILWAY_REPLICA_REGION": HOSTILE}, **span, **given), name=HOSTILE
    )
    text = capsys.readouterr().out
    assert not [character for character in text if not character.isprintable() and character not in "\r\n"]
    assert "<script>" in text
    if "as_json" in given:
        assert json.loads(text)["databases"][0]["database"] == HOSTILE
    elif "as_csv" not in given:
        assert max(map(len, text.splitlines())) <= 80
        assert "[bold]" in text


def test_a_claim_is_text_to_paste() -> None:
    """Month, region, minutes down, each interval with cause and evidence, unknown time apart."""
    period = Period(start=START, end=START + 3 * DAY, grain=Grain.DAY)
    claim = read_claim(made(), "main", period, month_end=START + 31 * DAY)
    stream = io.StringIO()
    show_claim(Console(file=stream, width=100), "main", claim, region="europe-west4")
    text = stream.getvalue()
    for line in (
        "Availability of main, October 2026",
        "(the month is not over)",
        "europe-west4",
        "19.0 minutes in 2 intervals; 19 min on Upstash's side or the way there",
        "10 % of the month's bill",
        "2026-10-02 02:00:00 to 02:14:00 UTC · 14 min · response timed out",
        "checks: 14 response timed out; no HTTP answer; incident 1",
        "first 2026-10-02 02:00:00 UTC: seen: response timed out",
        "last  2026-10-02 02:13:00 UTC: seen: response timed out",
        "2026-10-02 16:00:00 to 17:01:00 UTC · 1 h 1 min · nobody checked",
    ):
        assert line in text
    assert "our own side (" not in text


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"as_json": True, "as_csv": True}, "wanted one of --json, --csv, found both"),
        ({"as_json": True, "html": "x"}, "wanted one of --json, --html, found both"),
        ({"html": ""}, "wanted the name of a file after --html, found nothing"),
        ({"month": "2026-10", "since": "1d"}, "wanted --month or --since, found both"),
        ({"month": "2026-10", "until": "1d"}, "wanted --month or --until, found both"),
        ({"month": "2026-10", "by": "hour"}, "wanted --month or --by, found both"),
        ({"month": "2026-13"}, "wanted a month such as 2026-10, found '2026-13'"),
        ({"month": "2027-01"}, "wanted a month that has begun, found 2027-01. Next: --month 2026-11"),
        ({"region": "Mars"}, "wanted --region with --month, found it alone"),
        ({"since": "soon"}, "--since: wanted a duration ago such as 7d, or a time"),
        ({"since": "1d", "until": "2d"}, "wanted --since before --until, found '1d'"),
        ({"since": "2027-01-01"}, "wanted --since before now, found '2027-01-01'"),
        ({"until": "2027-01-01"}, "wanted --until in the past, found '2027-01-01'"),
        ({"since": "0001-01-01"}, "wanted a time after 2000"),
        ({"since": "365d", "by": "hour"}, "wanted at most 92 days by hour, found 365"),
    ],
)
def test_what_excludes_each_other_is_refused(
    given: Mapping[str, str | bool], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 3 and one line: wanted, found, next."""
    with pytest.raises(SystemExit) as ended:
        options(**given)
    assert ended.value.code == 3
    line = capsys.readouterr().err
    assert error in line
    assert ". Next: " in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "start", "end", "grain"),
    [
        ({}, NOW - 7 * DAY, NOW, Grain.DAY),
        ({"since": "2d"}, NOW - 2 * DAY, NOW, Grain.HOUR),
        ({"since": "49h"}, NOW - 49 * HOUR, NOW, Grain.DAY),
        ({"since": "2d", "by": "day"}, NOW - 2 * DAY, NOW, Grain.DAY),
        ({"since": "3d", "until": "1d"}, NOW - 3 * DAY, NOW - DAY, Grain.HOUR),
        ({"until": "1d"}, NOW - 8 * DAY, NOW - DAY, Grain.DAY),
        ({"since": "2026-10-01T02:00+02:00", "until": "2026-10-08"}, START, START + 7 * DAY, Grain.DAY),
        ({"month": "2026-10"}, START, START + 31 * DAY, Grain.DAY),
        ({"month": "2026-11"}, START + 31 * DAY, NOW, Grain.DAY),
    ],
)
def test_a_period_is_a_duration_ago_two_times_or_a_month(
    given: Mapping[str, str], start: datetime, end: datetime, grain: Grain
) -> None:
    """Durations ago and times, in UTC unless they say otherwise; by hour up to two days."""
    period = options(**given).period
    assert (period.start, period.end, period.grain) == (start, end, grain)


def test_the_region_is_the_options_the_settings_or_railways() -> None:
    """The option counts before the settings, and these before the environment; without any none is stated."""
    railway = {"RAILWAY_REPLICA_REGION": "europe-west4"}
    assert options(railway, month="2026-10", region="Paris").region == "Paris"
    assert options(railway, month="2026-10", configured_region="fra").region == "fra"
    assert options(railway, month="2026-10").region == "europe-west4"
    assert options(month="2026-10").region is None


def test_december_ends_with_the_year() -> None:
    """A month is one of UTC."""
    january = datetime(2026, 1, 1, tzinfo=UTC)
    assert options(month="2025-12").period.month_end == january
    assert options(month="2026-10").period.month_end == START + 31 * DAY


def test_the_databases_are_those_named_or_those_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """In their order and once each; one that left the settings only when named; a wrong name is a mistake."""
    known = {"configured": ["main", "cache"], "known": ["main", "cache", "old"]}
    assert chosen_names((), **known) == ("main", "cache")
    assert chosen_names(("old", "cache", "old"), **known) == ("old", "cache")
    for name, hint in (("mian", "did you mean main?"), ("zzz", "name one of main, cache, old")):
        with pytest.raises(SystemExit) as ended:
            chosen_names((name,), **known)
        assert ended.value.code == 3
        assert f"wanted the name of a database, found {name!r}. Next: {hint}" in capsys.readouterr().err


def test_a_span_without_a_check_is_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 3 and one line that names the span, for a report and for a claim."""
    for given in ({"since": "1d"}, {"month": "2026-11"}):
        with pytest.raises(SystemExit) as ended:
            print_report(made(), options(**given))
        assert ended.value.code == 3
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "wanted checks of main, 2026-1" in printed.err
        assert printed.err.count("\n") == 1


def test_a_slow_incident_is_not_called_a_failure() -> None:
    """It has `checks slow`; many incidents are cut, with a line for the rest."""
    reader = made()
    slow = incident(3, START, START + HOUR, Outcome.SLOW, failed=60)
    slow = type(slow)(**{**{name: getattr(slow, name) for name in slow.__slots__}, "severity": Severity.WARNING})
    reader.recorded["main"].incidents = [slow] * 30
    text = shown(history(reader))
    assert "60 checks slow" in text
    assert "and 10 more: --json has them all" in text


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The old one stays until the new one is complete; a place that is none ends with 3 and leaves nothing."""
    target = tmp_path / "report.html"
    target.write_text("old", encoding="utf-8")
    target.chmod(0o640)
    (tmp_path / "link.html").symlink_to(target)
    write_report(tmp_path / "link.html", "new – \ud800")
    assert target.read_text(encoding="utf-8") == "new – \\ud800"
    assert target.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link.html").is_symlink()
    for place in (tmp_path / "none" / "report.html", tmp_path, Path("/dev/null"), tmp_path / ("x" * 300)):
        with pytest.raises(SystemExit) as ended:
            write_report(place, "new")
        assert ended.value.code == 3
        assert "wanted" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "report.html"]


def test_every_option_is_documented() -> None:
    """docs/report.md has a row for each option of the command."""
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    known = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in known if f"| `{option}`" not in page and option != "--config"] == []
