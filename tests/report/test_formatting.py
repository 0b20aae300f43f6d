"""Figures as text, and which phase is named when one moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.checks.observation import Outcome, Phases
from monitor.report.formatting import (
    Phase,
    format_checks,
    format_counts,
    format_name,
    format_share,
    format_uptime,
    shifts,
)
from monitor.store.rollups.model import Slice, Uptime

HOUR = timedelta(hours=1)
START = datetime(2026, 10, 1, tzinfo=UTC)
USUAL = Phases(dns=1.2, connect=8.0, tls=9.9, wait=10.0, read=0.2, total=29.3)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100 %"),
        (0.9999999, "99.999 %"),
        (0.9995, "99.95 %"),
        (0.999949, "99.994 %"),
        (0.58, "58.00 %"),
        (0.0, "0.00 %"),
        (None, "–"),
    ],
)
def test_a_share_is_cut_and_never_rounded_up(share: float | None, text: str) -> None:
    """Only what was never down is 100 %, and a binary fraction takes nothing away."""
    assert format_share(share) == text


def test_uptime_comes_with_the_time_it_rests_on() -> None:
    """Known and unknown time stand beside the share; without known time there is no share."""
    week = Uptime(up=timedelta(hours=165, minutes=55), down=timedelta(minutes=5), unknown=2 * HOUR)
    assert format_uptime(week) == "of 6 d 22 h known; 2 h unknown"
    assert format_uptime(Uptime(up=HOUR, down=timedelta(0), unknown=timedelta(0))) == "of 1 h known"
    nothing = Uptime(up=timedelta(0), down=timedelta(0), unknown=HOUR)
    assert format_uptime(nothing) == "nothing is known"


def test_checks_are_counted_by_outcome_and_offline_ones_apart() -> None:
    """Failures the most frequent first; slow and unknown checks are not among the failed."""
    outcomes = {
        Outcome.OK: 1000,
        Outcome.SLOW: 12,
        Outcome.CONNECTION_REFUSED: 2,
        Outcome.RESPONSE_TIMEOUT: 3,
        Outcome.OFFLINE: 4,
    }
    uptime = Uptime(up=HOUR, down=timedelta(0), unknown=timedelta(0))
    whole = Slice(start=START, end=START + HOUR, outcomes=outcomes, uptime=uptime)
    assert format_checks(whole) == (
        "1,021, 5 failed: 3 response timed out, 2 connection refused; 12 slow; 4 monitor offline (not counted)"
    )
    assert format_counts(outcomes, most=1) == "1,000 ok, 21 others"


def test_a_name_that_steers_a_terminal_is_made_plain() -> None:
    """Colours, new lines, reversals and 10 kB do not reach a line of text."""
    name = format_name("\x1b[31mmain\r\n\u202e" + "x" * 10_000)
    assert name.startswith("main xxx")
    assert len(name) == 200
    assert name.isprintable()


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (Phases(dns=8.9, connect=8.1, tls=9.9, wait=10.1, read=0.2),
         ["dns 1.2 ms → 8.9 ms: your lookup got slower, Upstash's wait did not"]),
        (Phases(dns=1.2, connect=8.0, tls=9.9, wait=42.0, read=0.2),
         ["wait 10.0 ms → 42.0 ms: Upstash got slower to answer"]),
        (Phases(dns=1.2, connect=28.0, tls=9.9, wait=31.0, read=0.2),
         ["connect 8.0 ms → 28.0 ms: the way to Upstash got longer",
          "wait 10.0 ms → 31.0 ms: the way to Upstash got longer, Upstash itself did not get slower"]),
        (Phases(dns=1.2, connect=12.0, tls=9.9, wait=60.0, read=0.2),
         ["connect 8.0 ms → 12.0 ms: the way to Upstash got longer",
          "wait 10.0 ms → 60.0 ms: Upstash got slower to answer"]),
        (Phases(dns=1.2, connect=8.0, tls=30.0, wait=4.0, read=9.0),
         ["tls 9.9 ms → 30.0 ms: the encryption handshake got slower",
          "wait 10.0 ms → 4.0 ms: Upstash got faster to answer",
          "read 0.20 ms → 9.0 ms: reading the answer got slower"]),
        (Phases(dns=1.2, connect=8.0, tls=9.9, wait=12.2, read=0.2), []),
        (Phases(dns=2.9, connect=9.0, tls=10.5, wait=11.5, read=1.2), []),
        (Phases(dns=None, connect=None, tls=None, wait=10.0, read=0.2), []),
    ],
)  # fmt: skip
def test_the_phase_that_moved_is_named_with_whose_part_it_is(now: Phases, text: list[str]) -> None:
    """A longer way explains a longer wait; what moves by itself, and what was not measured, is not named."""
    assert [str(shift) for shift in shifts(now, USUAL)] == text


def test_without_a_span_before_nothing_has_moved() -> None:
    """Neither where nobody checked then, nor where nobody checks now."""
    assert shifts(USUAL, None) == shifts(None, USUAL) == ()
    assert [shift.phase for shift in shifts(Phases(dns=40.0), USUAL)] == [Phase.DNS]
