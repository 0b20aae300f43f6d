"""`report` as a person types it: the real program over the real file that `check` has written."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.sandbox.upstash import UpstashStandIn
from tests.program import Program, database, settings

TOKEN = "AXreportWords0Token=="


def checked_at(folder: Path, *, token: str = TOKEN) -> Program:
    """A program whose file holds a few checks of `main` and at `cache`."""
    with UpstashStandIn(TOKEN) as upstash:
        both = database("main", upstash.url, token), database("cache", upstash.url, TOKEN)
        program = Program(folder, settings(*both))
        program.end("check", "--no-alerts")
    return program


def test_without_a_history_there_is_no_report_and_no_file(tmp_path: Path) -> None:
    """Status 3 and one line; whoever only asks begins no history."""
    program = Program(tmp_path, settings(database("main", "https://h.upstash.io", TOKEN)))
    for words in ((), ("--json",), ("--month", "2026-10")):
        ended = program.end("report", *words)
        assert (ended.status, ended.stdout) == (3, "")
        assert ended.stderr.count("\n") == 1
        assert "wanted" in ended.stderr
        assert ". Next: " in ended.stderr
    assert not program.file.exists()


def test_what_was_checked_is_reported_in_every_format(tmp_path: Path) -> None:
    """The same figures on a terminal, as JSON, as CSV and as a claim; nothing but the document on stdout."""
    program = checked_at(tmp_path, token="a wrong one".replace(" ", "-"))
    shown = program.end("report")
    assert (shown.status, shown.stderr) == (0, "")
    assert "main 7 d, " in shown.stdout
    assert "cache 7 d, " in shown.stdout
    assert "token rejected · since " in shown.stdout
    [main, cache] = json.loads(program.end("report", "--json").stdout)["databases"]
    assert (main["database"], cache["database"]) == ("main", "cache")
    failed = main["whole"]["outcomes"]["token_rejected"]
    assert failed == main["whole"]["checks_failed"] == main["incidents"][0]["checks_failed"] > 1
    assert cache["whole"]["latency"]["p50_ms"] > 0
    assert f"{failed:,} token rejected" in shown.stdout
    rows = list(csv.DictReader(io.StringIO(program.end("report", "main", "--since", "1h", "--csv").stdout)))
    assert sum(int(row["token_rejected"]) for row in rows) == failed
    assert {row["database"] for row in rows} == {"main"}
    month = main["incidents"][0]["opened_at"][:7]
    claim = json.loads(program.end("report", "main", "--month", month, "--region", "here", "--json").stdout)
    assert (claim["month"], claim["region"]) == (month, "here")
    [outage] = claim["databases"][0]["outages"]
    assert (outage["cause"], outage["side"], outage["incident"]) == ("token_rejected", "own", 1)
    assert outage["first"]["http_status"] == 401
    assert outage["seconds"] == pytest.approx(claim["databases"][0]["uptime"]["down_seconds"], abs=0.002)
    assert TOKEN not in shown.stdout


def test_a_name_is_known_to_the_settings_or_to_the_history(tmp_path: Path) -> None:
    """A database that has left the settings is reported when it is named; one that nobody knows is a mistake."""
    program = checked_at(tmp_path)
    program.set(settings(database("main", "https://h.upstash.io", TOKEN)))
    assert "cache" not in program.end("report").stdout
    named = program.end("report", "cache")
    assert (named.status, named.stdout.split()[0]) == (0, "cache")
    wrong = program.end("report", "cahce")
    assert wrong.status == 3
    assert "found 'cahce'. Next: did you mean cache?" in wrong.stderr
    excluded = program.end("report", "--by", "week")
    assert excluded.status == 3


def test_a_page_is_written_into_one_file_and_never_over_the_history(tmp_path: Path) -> None:
    """It names the databases and the span; the history file is refused as a place for it."""
    program = checked_at(tmp_path)
    ended = program.end("report", "--html", "report.html")
    assert (ended.status, ended.stdout) == (0, "report.html written\n")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "main" in page
    assert TOKEN not in page
    assert "For a claim" not in page
    month = datetime.fromtimestamp(program.file.stat().st_mtime, UTC).strftime("%Y-%m")
    monthly = program.end("report", "--month", month, "--html", "month.html")
    assert monthly.status == 0, monthly.stderr
    claim = (tmp_path / "month.html").read_text(encoding="utf-8").partition('<pre class="claim">')[2]
    assert claim.startswith("Availability of main, ")
    assert "Upstash&#39;s SLA (https://upstash.com/docs/common/help/sla" in claim
    before = program.file.stat().st_size
    refused = program.end("report", "--html", "history.db")
    assert refused.status == 3
    assert "found history.db, which is the history" in refused.stderr
    assert program.file.stat().st_size == before
