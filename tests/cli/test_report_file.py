"""The report over a real file, held against a history in memory that was made from the same looks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Look, Outcome
from monitor.cli.report.claim_reader import month_span, read_claim
from monitor.config.settings import AlertSettings, DatabaseSettings, HistorySettings, Settings
from monitor.incidents.rules import advance
from monitor.report.overview import Archive, open_archive
from monitor.store.rollups.model import Gap, Grain
from monitor.store.store import Store
from tests.program import ROOT, Program, database, settings
from tests.report.made_history import NOW, START, MadeReader, Recorded, look

DAY = timedelta(days=1)
INTERVAL = timedelta(minutes=10)
MONTH_END = START + 31 * DAY
# Numbers of looks, of the two days that begin two hours before the month.
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


def looks() -> list[Look]:
    first = START - 12 * INTERVAL
    numbers = (number for number in range(288) if number not in GAP)
    return [look(first + number * INTERVAL, TROUBLE.get(number, Outcome.OK)) for number in numbers]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """The looks recorded one after the other, judged as in `run`, and the file opened to be read."""
    now = [START]
    store = Store(tmp_path / "history.db", channels=(), say=lambda level, text: None, clock=lambda: now[0])
    store.wake()
    for one in looks():
        now[0] = one.at
        store.record(
            one,
            lambda watch, number, one=one: advance(watch, one, AlertSettings(), next_incident=number),  # type: ignore[misc]
            interval=INTERVAL,
        )
    store.close()
    known = Settings(
        databases=(DatabaseSettings(name="main", interval=INTERVAL),),
        history=HistorySettings(path=str(tmp_path / "history.db")),
    )
    with open_archive(known, clock=lambda: now[0]) as opened:
        yield opened


def made() -> MadeReader:
    gap = Gap(start=START + (GAP[0] - 13) * INTERVAL, end=START + (GAP[-1] - 11) * INTERVAL)
    return MadeReader(recorded={"main": Recorded(looks=looks(), gaps=[gap])})


def test_the_file_and_the_looks_make_the_same_claim(archive: Archive) -> None:
    """Every interval, its causes and its evidence, across the month's beginning, a gap, and to the open end."""
    end = looks()[-1].at
    found = read_claim(archive, "main", start=START, end=end, month_end=MONTH_END)
    wanted = read_claim(made(), "main", start=START, end=end, month_end=MONTH_END)
    assert found.uptime == wanted.uptime
    assert found.gaps == wanted.gaps
    assert [replace(one, incident=None) for one in found.outages] == list(wanted.outages)
    assert [replace(one, incident=None) for one in found.blind] == list(wanted.blind)
    assert [one.incident for one in found.outages] == [1, 2, 2, 3, None, 4]
    assert found.outages[0].start == START
    assert found.down_unlisted == found.unknown_unlisted == timedelta(0)


def test_what_follows_the_last_look_is_claimed_when_the_next_one_is_there(archive: Archive) -> None:
    """An outage that is not over ends with its last look; the time since then is unknown and told so."""
    last = looks()[-1]
    claim = read_claim(archive, "main", start=START, end=last.at + INTERVAL, month_end=MONTH_END)
    assert (claim.outages[-1].end, claim.outages[-1].last) == (last.at, last)
    assert sum((one.duration for one in claim.outages), timedelta(0)) == claim.uptime.down
    assert claim.unknown_unlisted == INTERVAL


def test_the_file_and_the_looks_make_the_same_slices(archive: Archive) -> None:
    """By hour and by day, looks by outcome and the time shared out; percentiles within their 1 %."""
    for grain in Grain:
        end = looks()[-1].at
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


def test_a_file_of_the_first_release_is_reported_once_it_is_upgraded(tmp_path: Path) -> None:
    """Its outages add up to the time that was counted as down, month by month."""
    packed = ROOT / "tests" / "store" / "first-release.db.gz"
    (tmp_path / "history.db").write_bytes(gzip.decompress(packed.read_bytes()))
    Store(tmp_path / "history.db", channels=(), say=lambda level, text: None, clock=lambda: NOW).close()
    program = Program(tmp_path, settings(database("main", "https://h.upstash.io")))
    everything = json.loads(program.end("report", "--since", "2026-01-01", "--json").stdout)["databases"][0]
    first, last = (datetime.fromisoformat(everything["slices"][end]["start"]) for end in (0, -1))
    seen = {part["start"][:7] for part in everything["slices"] if part["looks"]}
    assert seen
    for month in sorted(seen):
        start, month_end = month_span(int(month[:4]), int(month[5:]))
        assert first <= month_end
        assert start <= last
        [row] = json.loads(program.end("report", "--month", month, "--json").stdout)["databases"]
        listed = sum(one["seconds"] for one in row["outages"])
        assert listed == pytest.approx(row["uptime"]["down_seconds"], abs=0.01)
        assert listed > 0
