"""The report over a real file, compared with a history in memory that was made from the same checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Check, Outcome
from monitor.config.settings import DatabaseSettings, HistorySettings, Settings
from monitor.report.overview import Archive, open_archive
from monitor.report.report import Period, read_claim
from monitor.store.rollups.model import Gap, Grain
from monitor.store.store import Store
from tests.judging import judge
from tests.report.made_history import START, MadeArchive, Recorded, check

DAY = timedelta(days=1)
INTERVAL = timedelta(minutes=10)
MONTH_END = START + 31 * DAY
# Numbers of checks, of the two days that begin two hours before the month.
TROUBLE = {
    **dict.fromkeys(range(10, 15), Outcome.SERVER_ERROR),
    **dict.fromkeys(range(80, 83), Outcome.RESPONSE_TIMEOUT),
    83: Outcome.OFFLINE,
    84: Outcome.RESPONSE_TIMEOUT,
    **dict.fromkeys(range(130, 134), Outcome.TOKEN_REJECTED),
    200: Outcome.SLOW,
    230: Outcome.CONNECTION_LOST,
    **dict.fromkeys(range(284, 288), Outcome.DNS_FAILED),
}
GAP = range(134, 160)


def checks() -> list[Check]:
    first = START - 12 * INTERVAL
    numbers = (number for number in range(288) if number not in GAP)
    return [check(first + number * INTERVAL, TROUBLE.get(number, Outcome.OK)) for number in numbers]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """The checks recorded one after the other, judged as in `run`, and the file opened to be read."""
    now = [START]
    store = Store(tmp_path / "history.db", channels=(), log=lambda level, text: None, clock=lambda: now[0])
    for one in checks():
        now[0] = one.at
        store.record(
            one,
            judge(one),
            interval=INTERVAL,
        )
    store.close()
    known = Settings(
        databases=(DatabaseSettings(name="main", interval=INTERVAL),),
        history=HistorySettings(path=str(tmp_path / "history.db")),
    )
    with open_archive(known, clock=lambda: now[0]) as opened:
        yield opened


def made() -> MadeArchive:
    gap = Gap(start=START + (GAP[0] - 13) * INTERVAL, end=START + (GAP[-1] - 11) * INTERVAL)
    return MadeArchive(recorded={"main": Recorded(checks=checks(), gaps=[gap])})


def test_the_file_and_the_checks_make_the_same_claim(archive: Archive) -> None:
    """Every interval, its causes and its evidence, across the month's beginning, a gap, and to the open end."""
    end = checks()[-1].at
    found = read_claim(archive, "main", Period(start=START, end=end, grain=Grain.DAY), month_end=MONTH_END)
    wanted = read_claim(made(), "main", Period(start=START, end=end, grain=Grain.DAY), month_end=MONTH_END)
    assert found.month.uptime == wanted.month.uptime
    assert found.gaps == wanted.gaps
    assert [replace(one, incident=None) for one in found.outages] == list(wanted.outages)
    assert [replace(one, incident=None) for one in found.unknown] == list(wanted.unknown)
    assert [one.incident for one in found.outages] == [1, 2, 2, 3, None, 4]
    assert found.outages[0].start == START
    assert found.down_unlisted == found.unknown_unlisted == timedelta(0)


def test_what_follows_the_last_check_is_claimed_when_the_next_one_is_there(archive: Archive) -> None:
    """An outage that is not over ends with its last check; the time since then is unknown and counted as that."""
    last = checks()[-1]
    claim = read_claim(
        archive, "main", Period(start=START, end=last.at + INTERVAL, grain=Grain.DAY), month_end=MONTH_END
    )
    assert (claim.outages[-1].end, claim.outages[-1].last) == (last.at, last)
    assert sum((one.duration for one in claim.outages), timedelta(0)) == claim.month.uptime.down
    assert claim.unknown_unlisted == INTERVAL


def test_the_file_and_the_checks_make_the_same_slices(archive: Archive) -> None:
    """By hour and by day, checks by outcome and the time shared out; percentiles within their 1 %."""
    for grain in Grain:
        end = checks()[-1].at
        found = archive.history("main", start=START, end=end, grain=grain, compare=True)
        wanted = made().history("main", start=START, end=end, grain=grain)
        assert [replace(part, latency=None) for part in found.slices] == [
            replace(part, latency=None) for part in wanted.slices
        ]
        for part, other in zip(found.slices, wanted.slices, strict=True):
            assert (part.latency is None) is (other.latency is None)
            if part.latency is not None and other.latency is not None:
                assert part.latency.p99_ms == pytest.approx(other.latency.p99_ms, rel=0.011)
        assert found.before is not None
