"""What an SLA claim comes to: what is claimed, which share, which credit, and the documents it is given in."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.checks.observation import Outcome
from monitor.report.claim import Claim, Outage
from monitor.report.report import Period, Report, read_report
from monitor.report.values import CLAIM_COLUMNS, report_csv, report_document
from monitor.store.rollups.model import Gap, Grain
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
MONTH_END = START + 31 * DAY


def october(*, down: int = 10, hostile: str = "") -> MadeArchive:
    """Two days from the third on: `down` minutes down, a token rejected for 5, offline for 2, a gap of an hour."""
    checks = every_minute(START + 2 * DAY, START + 4 * DAY)
    at = START + 2 * DAY + HOUR
    for number in range(down):
        checks[60 + number] = check(at + number * MINUTE, Outcome.SERVER_ERROR, detail=hostile)
    for number in range(5):
        checks[900 + number] = check(checks[900 + number].at, Outcome.TOKEN_REJECTED)
    for number in range(2):
        checks[1500 + number] = check(checks[1500 + number].at, Outcome.OFFLINE)
    gap = Gap(start=checks[2000].at, end=checks[2060].at)
    known = incident(12, at, at + down * MINUTE, Outcome.SERVER_ERROR, failed=down)
    return MadeArchive(
        recorded={"main": Recorded(checks=checks[:2001] + checks[2060:], gaps=[gap], incidents=[known])}
    )


def report_of(archive: MadeArchive, *, region: str | None = None) -> Report:
    period = Period(start=START, end=START + 4 * DAY, grain=Grain.DAY, month_end=MONTH_END)
    return read_report(archive, ["main"], period, now=NOW, region=region)


def claim_of(archive: MadeArchive) -> Claim:
    claim = report_of(archive).databases[0].claim
    assert claim is not None
    return claim


def is_claimed(outcome: Outcome) -> bool:
    troubled = check(START, outcome)
    one = Outage(start=START, end=START + MINUTE, outcomes={outcome: 1}, first=troubled, last=troubled)
    return one.is_claimed


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.family.is_failing])
def test_a_failure_is_claimed_unless_only_we_can_put_it_right(outcome: Outcome) -> None:
    """Credentials, plan and our own network are ours; timeouts, lost connections and server errors are claimed."""
    theirs = {
        Outcome.CONNECTION_REFUSED,
        Outcome.CONNECTION_TIMEOUT,
        Outcome.TLS_TIMEOUT,
        Outcome.TLS_FAILED,
        Outcome.CONNECTION_LOST,
        Outcome.RESPONSE_TIMEOUT,
        Outcome.SERVER_ERROR,
        Outcome.UNAVAILABLE,
        Outcome.STALE_READ,
        Outcome.COMMAND_ERROR,
    }
    assert is_claimed(outcome) is (outcome in theirs)


def test_only_upstashs_side_lowers_the_share_that_is_claimed() -> None:
    """Of 47 h less 2 min known; at best of all of October."""
    claim = claim_of(october())
    known = 2 * DAY - HOUR - 2 * MINUTE
    assert claim.month.uptime.known == known
    assert claim.down(claimed=True) == 10 * MINUTE
    assert claim.down(claimed=False) == 5 * MINUTE
    assert claim.share == pytest.approx(1 - 10 * MINUTE / known)
    assert claim.share_at_best == pytest.approx(1 - 10 / (31 * 1440))
    assert claim.down_unlisted == timedelta(0)
    assert claim.unknown_unlisted == 2 * DAY


@pytest.mark.parametrize(("minutes", "percent"), [(4, 0), (5, 10), (446, 10), (447, 30)])
def test_the_credit_is_that_of_the_table_for_the_share_at_best(minutes: int, percent: int) -> None:
    """99.99 % of October's 44,640 minutes leaves 4.464 of them, 99 % leaves 446.4, and is not less than 99 %."""
    claim = claim_of(october(down=minutes))
    assert claim.credit_percent == percent
    [outage] = [one for one in claim.outages if one.is_claimed]
    for down, credit in ((31 * DAY / 100, 10), (3 * DAY, 60)):
        longer = replace(outage, end=outage.start + down)
        month = replace(claim.month, uptime=replace(claim.month.uptime, down=down))
        assert replace(claim, outages=(longer,), month=month).credit_percent == credit
    assert replace(claim, outages=(longer,)).down(claimed=True) == claim.month.uptime.down


def test_the_document_holds_the_whole_claim() -> None:
    """Version, month, region, shares, every interval with its evidence; null for what is absent."""
    document = json.loads(json.dumps(report_document(report_of(october()))))
    assert (document["version"], document["month"], document["region"]) == (1, "2026-10", None)
    [row] = document["databases"]
    assert (row["database"], row["start"], row["month_end"]) == (
        "main",
        "2026-10-01T00:00:00.000Z",
        "2026-11-01T00:00:00.000Z",
    )
    assert row["claim"]["down_upstash_seconds"] == 600.0
    assert [(one["cause"], one["side"], one["incident"]) for one in row["outages"]] == [
        ("server_error", "upstash", 12),
        ("token_rejected", "own", None),
    ]
    first = row["outages"][0]
    assert (first["start"], first["end"], first["seconds"]) == (
        "2026-10-03T01:00:00.000Z",
        "2026-10-03T01:10:00.000Z",
        600.0,
    )
    assert first["first"] == {
        "at": "2026-10-03T01:00:00.000Z",
        "outcome": "server_error",
        "http_status": 503,
        "detail": "seen: server error",
    }
    assert first["http_statuses"] == [503]
    assert [(one["cause"], one["side"], one["checks"]) for one in row["unknown"]] == [("offline", None, 2)]
    assert [gap["seconds"] for gap in row["gaps"]] == [3600.0]


def test_the_rows_hold_the_same_and_hostile_evidence_is_inert() -> None:
    """Outages, then times without a check; a detail that is a formula is none any more."""
    report = report_of(october(hostile='=cmd|"/C calc"!A0\r\nsecond,line'), region="+Mars")
    rows = list(csv.DictReader(io.StringIO(report_csv(report), newline="")))
    assert [(row["kind"], row["seconds"], row["cause"]) for row in rows] == [
        ("down", "600.0", "server_error"),
        ("down", "300.0", "token_rejected"),
        ("unknown", "120.0", "offline"),
        ("gap", "3600.0", ""),
    ]
    assert tuple(rows[0]) == CLAIM_COLUMNS
    assert rows[0]["first_detail"] == '\'=cmd|"/C calc"!A0 second,line'
    assert {row["region"] for row in rows} == {"'+Mars"}


def test_the_document_of_a_span_holds_its_figures_and_null_for_what_is_absent() -> None:
    """Whole, slices, the span before, phases, incidents with their duration, gaps."""
    period = Period(start=START + DAY, end=START + 4 * DAY, grain=Grain.DAY)
    document = json.loads(json.dumps(report_document(read_report(october(), ["main"], period, now=NOW))))
    [row] = document["databases"]
    assert (document["version"], row["grain"], row["whole"]["checks_failed"]) == (1, "day", 15)
    assert row["whole"]["outcomes"]["server_error"] == 10
    assert row["whole"]["latency"]["p50_ms"] == 12.2
    assert row["whole"]["latency"]["checks"] == row["whole"]["outcomes"]["ok"]
    assert row["before"]["uptime"]["share"] is None
    assert row["before"]["latency"] is row["phases_before_ms"] is None
    assert row["phases_ms"]["dns"] == 1.2
    assert [part["checks"] for part in row["slices"]] == [0, 1440, 1381]
    assert row["slices"][0]["latency"] is None
    [found] = row["incidents"]
    assert (found["id"], found["state"], found["duration_seconds"]) == (12, "closed", 600.0)
    assert row["gaps"] == [
        {"start": "2026-10-04T09:20:00.000Z", "end": "2026-10-04T10:20:00.000Z", "seconds": 3600.0}
    ]
