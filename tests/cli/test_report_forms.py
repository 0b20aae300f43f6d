"""`report` on a terminal and piped: what stands on it, how wide it is, and that nothing hostile steers it.

Made histories stand in for the file, because the checks have to lie at known times and go wrong in known ways.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from monitor.alerts.notification import Severity
from monitor.checks.observation import Outcome, Phases
from monitor.cli.report.answer import answer, pick, write_whole
from monitor.cli.report.claim_reader import read_claim
from monitor.cli.report.claim_view import show_claim
from monitor.cli.report.options import Typed, understand
from monitor.cli.report.report import command
from monitor.cli.report.view import show
from monitor.store.rollups.model import Gap, Grain, History, Slice, Uptime
from tests.program import ROOT
from tests.report.made_history import (
    MINUTE,
    NOW,
    START,
    MadeReader,
    Recorded,
    check,
    every_minute,
    incident,
)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HOSTILE = "\x1b]0;owned\x07\x1b[31m<script>alert(1)</script>\u202e[bold]=1+1\r\n" + "x" * 10_000


def made(name: str = "main", detail: str = "") -> MadeReader:
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
    return MadeReader(recorded={name: recorded})


def typed(**options: str | bool) -> Typed:
    values: Mapping[str, object] = {name: False if name.startswith("as_") else None for name in Typed.__slots__}
    return Typed(**{**values, **options})  # type: ignore[arg-type]


def shown(history: History, *, terminal: bool = False, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", newline="")
    colours = "standard" if terminal else None
    console = Console(file=stream, width=width, highlight=False, force_terminal=terminal, color_system=colours)  # type: ignore[arg-type]
    show(console, history, now=START + 3 * DAY)
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(encoding)


def history(reader: MadeReader, grain: Grain = Grain.DAY, name: str = "main") -> History:
    return reader.history(name, start=START, end=START + 3 * DAY, grain=grain, compare=True)


def test_a_report_says_what_a_person_asks(capsys: pytest.CaptureFixture[str]) -> None:
    """Uptime with what it rests on, checks and failures in words, percentiles, phases, days, incidents, gaps."""
    asked = understand(typed(since="2026-10-01", until="2026-10-04"), now=NOW, environ={})
    answer(made(), ["main"], asked, now=START + 3 * DAY)
    text = capsys.readouterr().out
    folded = " ".join(text.split())
    for said in (
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
        assert said in folded
    assert "\x1b" not in text
    assert all(len(line) <= 80 and line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("grain", Grain)
@pytest.mark.parametrize("width", [44, 60, 80, 160])
def test_it_is_never_wider_than_the_terminal(grain: Grain, width: int) -> None:
    """By hour and by day; a bar for each row that has looks, where there is room; no figure is cut."""
    text = shown(history(made(), grain), width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert width < 60 or text.count("█") >= len(history(made(), grain).slices) - 2
    assert "…" not in text
    assert text.count("100 %") >= len(history(made(), grain).slices) - 5


def test_failures_and_gaps_have_marks_of_their_own() -> None:
    """A cross where checks failed, a dot and words where nobody checked, an arrow where a bar ends too early."""
    rows = {line[2:14]: line for line in shown(history(made(), Grain.HOUR)).splitlines()}
    assert "✗" in rows["02 Oct 02:00"]
    assert "nobody checked" not in rows["02 Oct 02:00"]
    assert "▸" in rows["01 Oct 10:00"]
    silent = MadeReader(
        recorded={"main": Recorded(checks=[check(START)], gaps=[Gap(start=START, end=START + DAY)])}
    )
    text = shown(silent.history("main", start=START, end=START + DAY, grain=Grain.HOUR))
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
    asked = understand(typed(since="2026-10-01", until="2026-10-04"), now=NOW, environ={})
    answer(made(), ["main"], asked, now=START + 3 * DAY)
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


@pytest.mark.parametrize("options", [{}, {"month": "2026-10"}, {"as_json": True}, {"as_csv": True}], ids=str)
def test_hostile_names_and_details_steer_nothing(
    options: Mapping[str, str | bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """Colours, titles, markup, reversals, line ends and 10 kB, as a name and as a detail, in every form."""
    span = {} if "month" in options else {"since": "2026-10-01", "until": "2026-10-04"}
    asked = understand(typed(**span, **options), now=NOW, environ={"RAILWAY_REPLICA_REGION": HOSTILE})
    answer(made(HOSTILE, HOSTILE), [HOSTILE], asked, now=START + 3 * DAY)
    text = capsys.readouterr().out
    assert not [character for character in text if not character.isprintable() and character not in "\r\n"]
    assert "<script>" in text
    if "as_json" in options:
        assert json.loads(text)["databases"][0]["database"] == HOSTILE
    elif "as_csv" not in options:
        assert max(map(len, text.splitlines())) <= 80
        assert "[bold]" in text


def test_a_claim_reads_as_a_form_to_paste() -> None:
    """Month, vantage point, minutes down, each interval with cause and evidence, unknown time apart."""
    reader = made()
    claim = read_claim(reader, "main", start=START, end=START + 3 * DAY, month_end=START + 31 * DAY)
    stream = io.StringIO()
    show_claim(Console(file=stream, width=100), claim, vantage_point="europe-west4")
    text = stream.getvalue()
    for said in (
        "Availability of main, October 2026",
        "(the month is not over)",
        "europe-west4",
        "19.0 minutes in 2 intervals; 19 min on Upstash's side or the way there",
        "10 % of the month's bill",
        "2026-10-02 02:00:00 to 02:14:00 UTC · 14 min · response timed out",
        "looks: 14 response timed out; no HTTP answer; incident 1",
        "first 2026-10-02 02:00:00 UTC: seen: response timed out",
        "last  2026-10-02 02:13:00 UTC: seen: response timed out",
        "2026-10-02 16:00:00 to 17:01:00 UTC · 1 h 1 min · nobody checked",
    ):
        assert said in text
    assert "our own side (" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"as_json": True, "as_csv": True}, "wanted one of --json, --csv, found both"),
        ({"as_json": True, "html": "x"}, "wanted one of --json, --html, found both"),
        ({"html": ""}, "wanted the name of a file after --html, found nothing"),
        ({"month": "2026-10", "since": "1d"}, "wanted --month or --since, found both"),
        ({"month": "2026-10", "until": "1d"}, "wanted --month or --until, found both"),
        ({"month": "2026-10", "by": "hour"}, "wanted --month or --by, found both"),
        ({"month": "2026-13"}, "wanted a month such as 2026-10, found '2026-13'"),
        ({"month": "2027-01"}, "wanted a month that has begun, found 2027-01. Next: --month 2026-11"),
        ({"vantage": "Mars"}, "wanted --vantage with --month, found it alone"),
        ({"since": "soon"}, "--since: wanted a duration ago such as 7d, or a time"),
        ({"since": "1d", "until": "2d"}, "wanted --since before --until, found '1d'"),
        ({"since": "2027-01-01"}, "wanted --since before now, found '2027-01-01'"),
        ({"until": "2027-01-01"}, "wanted --until in the past, found '2027-01-01'"),
        ({"since": "0001-01-01"}, "wanted a time after 2000"),
        ({"since": "365d", "by": "hour"}, "wanted at most 92 days by hour, found 365"),
    ],
)
def test_what_excludes_each_other_is_refused(
    options: Mapping[str, str | bool], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 3 and one line: wanted, found, next."""
    with pytest.raises(SystemExit) as ended:
        understand(typed(**options), now=NOW, environ={})
    assert ended.value.code == 3
    line = capsys.readouterr().err
    assert said in line
    assert ". Next: " in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "start", "end", "grain"),
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
def test_a_span_is_understood_as_it_is_typed(
    options: Mapping[str, str], start: datetime, end: datetime, grain: Grain
) -> None:
    """Durations ago and times, in UTC unless they say otherwise; by hour up to two days."""
    asked = understand(typed(**options), now=NOW, environ={})
    assert (asked.start, asked.end, asked.grain) == (start, end, grain)


def test_the_vantage_point_is_what_was_said_or_railways_region() -> None:
    """What was typed counts before the environment; without either none is stated."""
    railway = {"RAILWAY_REPLICA_REGION": "europe-west4"}
    month = typed(month="2026-10")
    assert understand(typed(month="2026-10", vantage="Paris"), now=NOW, environ=railway).vantage_point == "Paris"
    assert understand(month, now=NOW, environ=railway).vantage_point == "europe-west4"
    assert understand(month, now=NOW, environ={}).vantage_point is None


def test_the_databases_are_those_named_or_those_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """In their order and once each; one that left the settings only when it is named; the nearest name is told."""
    known = {"configured": ["main", "cache"], "known": ["main", "cache", "old"]}
    assert pick((), **known) == ("main", "cache")
    assert pick(("old", "cache", "old"), **known) == ("old", "cache")
    for name, said in (("mian", "did you mean main?"), ("zzz", "known are main, cache, old")):
        with pytest.raises(SystemExit) as ended:
            pick((name,), **known)
        assert ended.value.code == 3
        assert f"wanted the name of a database, found {name!r}. Next: {said}" in capsys.readouterr().err


def test_a_span_without_a_check_is_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 3 and one line that names the span, for a report and for a claim."""
    for options in ({"since": "1d"}, {"month": "2026-11"}):
        with pytest.raises(SystemExit) as ended:
            answer(made(), ["main"], understand(typed(**options), now=NOW, environ={}), now=NOW)
        assert ended.value.code == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert "wanted looks at main, 2026-1" in said.err
        assert said.err.count("\n") == 1


def test_a_slow_incident_is_not_called_a_failure() -> None:
    """`looks slow`, in words; many incidents are cut with a line that says so."""
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
    write_whole(tmp_path / "link.html", "new – \ud800")
    assert target.read_text(encoding="utf-8") == "new – \\ud800"
    assert target.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link.html").is_symlink()
    for place in (tmp_path / "none" / "report.html", tmp_path, Path("/dev/null"), tmp_path / ("x" * 300)):
        with pytest.raises(SystemExit) as ended:
            write_whole(place, "new")
        assert ended.value.code == 3
        assert "wanted" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "report.html"]


def test_every_option_is_in_the_paper() -> None:
    """docs/report.md has a row for each option of the word."""
    paper = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in options if f"| `{option}`" not in paper and option != "--config"] == []
