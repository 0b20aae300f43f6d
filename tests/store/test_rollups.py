"""Rollups equal what the single checks add up to, for any span and in whatever order the checks came in."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import MaintenanceSettings
from monitor.incidents.state import IncidentState, Transition
from monitor.lib.times import from_ms, to_ms
from monitor.store.queries import history_of
from monitor.store.rollups.model import BLOCK_MS, HOUR_MS, Grain, Slice
from monitor.store.tables.checks import read_checks
from monitor.store.tables.recording import LENGTH_MS, RowGrain
from monitor.store.tables.rollups import RollupReader, cover
from monitor.store.tables.spans import read_gaps, read_maintenance
from tests.store.conftest import START, StoreSetup
from tests.store.timeline import check, expected

T = TypeVar("T")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BLOCK, DAILY, HOURLY = RowGrain.BLOCK, RowGrain.DAY, RowGrain.HOUR
OK, SLOW, TIMEOUT, OFFLINE = Outcome.OK, Outcome.SLOW, Outcome.RESPONSE_TIMEOUT, Outcome.OFFLINE


# 14:00 to 14:30, 15:00 to 15:30, …
HALF_HOURS = MaintenanceSettings.model_validate({"cron": "0 * * * *", "for": "30m"})


class History:
    """A store that takes any check, and what must be read from it."""

    def __init__(self, path: Path, *maintenance: MaintenanceSettings) -> None:
        self.setup = StoreSetup(path, maintenance=maintenance)

    def check(
        self, at: datetime, outcome: Outcome = OK, latency_ms: float = 20.0, *, interval: timedelta = MINUTE
    ) -> None:
        phases = Phases(dns=0.5, connect=5.0, tls=9.0, wait=latency_ms, read=0.0, total=latency_ms + 15)
        check = Check(database="main", at=at, outcome=outcome, http_status=200, phases=phases)
        self.setup.now = at
        self.setup.store.record(check, _judge, interval=interval)

    def checks(self) -> list[Check]:
        """Single checks, as they stand in the file."""
        return self.setup.store.read(lambda connection: list(read_checks(connection, 1)))

    def gaps(self) -> list[tuple[datetime, datetime]]:
        found = self.setup.store.read(lambda c: read_gaps(c, 1, start_ms=0, end_ms=1 << 50))
        return [(from_ms(begun), from_ms(over)) for begun, over in found]

    def maintenance(self) -> list[tuple[datetime, datetime]]:
        found = self.setup.store.read(lambda c: read_maintenance(c, 1, start_ms=0, end_ms=1 << 50))
        return [(from_ms(begun), from_ms(over)) for begun, over in found]

    def slices(self, start: datetime, end: datetime, grain: Grain = Grain.HOUR) -> tuple[Slice, ...]:
        return self.setup.store.read(
            lambda connection: RollupReader(
                connection, 1, start_ms=to_ms(start), end_ms=to_ms(end), grain=grain
            ).slices()
        )

    def whole(self, start: datetime, end: datetime, grain: Grain = Grain.HOUR) -> Slice:
        return self.setup.store.read(
            lambda connection: RollupReader(
                connection, 1, start_ms=to_ms(start), end_ms=to_ms(end), grain=grain
            ).whole()
        )

    def phases(self, start: datetime, end: datetime) -> Phases | None:
        return self.setup.store.read(
            lambda connection: history_of(connection, 1, "main", start=start, end=end, grain=Grain.DAY).phases
        )

    def compare(self, start: datetime, end: datetime) -> None:
        """Both grains, each slice and all of it, against the single checks."""
        checks, gaps, maintenance = self.checks(), self.gaps(), self.maintenance()
        for grain in Grain:
            slices = self.slices(start, end, grain)
            assert [each.start for each in slices] == [start, *(each.end for each in slices[:-1])]
            assert slices[-1].end == end
            for each in (*slices, self.whole(start, end, grain)):
                check(each, expected(checks, each.start, each.end, gaps=gaps, maintenance=maintenance))


def _judge(state: IncidentState, _number: int) -> Transition:
    """Incidents have no part in this."""
    return Transition(state=state)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.db")
    yield history
    history.setup.store.close()


def test_a_state_holds_until_the_next_check(history: History) -> None:
    """Down from the first failing check to the first fine one, as an incident lasts; what comes last is
    unknown.
    """
    for minute, outcome in ((0, OK), (10, TIMEOUT), (11, TIMEOUT), (13, SLOW), (15, OK)):
        history.check(START + minute * MINUTE, outcome, interval=10 * MINUTE)
    whole = history.whole(START, START + 20 * MINUTE)
    assert (whole.uptime.up, whole.uptime.down, whole.uptime.unknown) == (12 * MINUTE, 3 * MINUTE, 5 * MINUTE)
    assert whole.uptime.share == 12 / 15
    assert (whole.checks, whole.checks_failed) == (5, 2)


def test_a_gap_is_neither_up_nor_down(history: History) -> None:
    """Nor is the time after a check that found our own network offline, until the next one."""
    for minute, outcome in ((0, OK), (3, OK), (63, TIMEOUT), (64, OFFLINE), (66, OK), (67, OK)):
        history.check(START + minute * MINUTE, outcome)
    whole = history.whole(START, START + 67 * MINUTE)
    assert (whole.uptime.up, whole.uptime.down, whole.uptime.unknown) == (4 * MINUTE, 1 * MINUTE, 62 * MINUTE)


@pytest.mark.parametrize("outcome", [OK, TIMEOUT])
def test_what_the_clock_was_set_forward_by_is_a_gap(history: History, outcome: Outcome) -> None:
    """Nobody checked at those times: eight hours are neither up nor down for the sake of one check."""
    for minute in (0, 1):
        history.check(START + minute * MINUTE, outcome)
    history.setup.store.move_times(8 * HOUR)
    for minute in (2, 3):
        history.check(START + 8 * HOUR + minute * MINUTE, outcome)
    end = START + 8 * HOUR + 3 * MINUTE
    assert history.gaps() == [(START + MINUTE, START + MINUTE + 8 * HOUR)]
    assert history.whole(START, end).uptime.known == 2 * MINUTE
    history.compare(START, end)


def test_maintenance_is_apart(tmp_path: Path) -> None:
    """To the moment at which a window begins and ends, and for as long as the settings have it."""
    history = History(tmp_path / "history.db", HALF_HOURS)
    for minute in range(20, 65):
        history.check(START + minute * MINUTE + timedelta(seconds=30), TIMEOUT if 25 < minute < 40 else OK)
    start, end = START + 20 * MINUTE, START + 65 * MINUTE
    uptime = history.whole(start, end).uptime
    assert (uptime.down, uptime.maintenance) == (10 * MINUTE + timedelta(seconds=30), 15 * MINUTE)
    history.compare(start, end)
    history.setup._options["maintenance"] = ()
    history.setup.restart()
    history.check(START + 66 * MINUTE)
    assert history.maintenance()[-1] == (START + 60 * MINUTE, START + 66 * MINUTE)
    history.compare(start, START + 70 * MINUTE)
    history.setup.store.close()


def test_intervals_longer_than_an_hour_fill_the_hours_between(history: History) -> None:
    """A check every six hours is four checks a day and no gap."""
    for number in range(6):
        history.check(START + number * 6 * HOUR, TIMEOUT if number == 2 else OK, interval=6 * HOUR)
    history.compare(START, START + 30 * HOUR)
    down = [each for each in history.slices(START, START + 30 * HOUR) if each.uptime.down]
    assert [each.start for each in down] == [START + number * HOUR for number in range(12, 18)]
    assert all(each.uptime.down == HOUR for each in down)


def test_checks_since_the_watermark_are_read_too(history: History) -> None:
    """After each single check of two hours, the rollups are those of all checks so far."""
    dice = random.Random(1)
    for minute in range(130):
        history.check(START + minute * MINUTE, dice.choice((OK, OK, TIMEOUT)), dice.lognormvariate(3, 0.4))
        if minute % 7 == 0 or minute in (59, 60, 61):
            history.compare(START - HOUR, START + (minute + 2) * MINUTE)


def test_a_clock_set_back_changes_what_is_past(history: History) -> None:
    """Checks that come in late find their place, in hours and days that are long summed up too."""
    for minute in range(0, 3 * 24 * 60, 15):
        history.check(START + minute * MINUTE, TIMEOUT if 200 < minute < 300 else OK, interval=15 * MINUTE)
    for minute in (95, 96, 230, 231, 24 * 60 + 7, 24 * 60 + 7):
        history.check(START + minute * MINUTE, SLOW, 700.0, interval=15 * MINUTE)
    history.check(START - 10 * MINUTE, TIMEOUT, interval=15 * MINUTE)
    assert len(history.checks()) == 288 + 7
    history.compare(START - HOUR, START + 3 * DAY)


def test_a_late_check_within_a_gap_ends_it_there(history: History) -> None:
    """The clock ran ahead and was set right: what was noted as a gap meanwhile is checked after all."""
    history.check(START)
    history.check(START + 3 * HOUR)
    assert history.gaps() == [(START, START + 3 * HOUR)]
    for minute in range(1, 61):
        history.check(START + minute * MINUTE)
    assert history.gaps() == [(START + HOUR, START + 3 * HOUR)]
    history.compare(START, START + 4 * HOUR)


STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 200), st.sampled_from((-7200, -600, -60, 0, 1800, 4000, 90_000))),
        st.sampled_from((OK, OK, OK, SLOW, TIMEOUT, OFFLINE, Outcome.TOKEN_REJECTED)),
        st.floats(0.001, 10_000).map(lambda ms: round(ms, 3)),
    ),
    min_size=1,
    max_size=60,
)


@given(STEPS, st.integers(-100, 100_000), st.integers(1, 200_000), st.integers(0, 3), st.booleans())
@settings(max_examples=25)
def test_rollups_equal_what_the_checks_add_up_to(
    steps: list[tuple[int, Outcome, float]], offset: int, seconds: int, restarts: int, is_maintained: bool
) -> None:
    """Whatever was seen, however the clock went, wherever a span begins and ends."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.db", *([HALF_HOURS] if is_maintained else []))
        now = START
        for number, (transition, outcome, latency_ms) in enumerate(steps):
            now += timedelta(seconds=transition)
            history.check(now, outcome, latency_ms)
            if restarts and number % (restarts * 10) == 9:
                history.setup.restart()
        for start in (
            START + timedelta(seconds=offset),
            START.replace(hour=0),
            min(check.at for check in history.checks()),
        ):
            history.compare(start, start + timedelta(seconds=seconds))
        assert all(begun < over for begun, over in (*history.gaps(), *history.maintenance()))
        history.setup.store.close()


def test_rollups_of_months_equal_what_the_checks_add_up_to(history: History) -> None:
    """Wherever a span of weeks begins and ends: at a block of days, within one, within a day of one."""
    dice = random.Random(3)
    for number in range(60 * 8):
        outcome = dice.choice((OK, OK, SLOW, TIMEOUT))
        history.check(START + number * 3 * HOUR, outcome, dice.lognormvariate(3, 0.4), interval=3 * HOUR)
    block = timedelta(milliseconds=BLOCK_MS)
    edge = START - (START - from_ms(0)) % block + block
    for start in (edge, edge + DAY, edge - 5 * HOUR, edge + 40 * MINUTE):
        for end in (edge + block, edge + 2 * block, start + 15 * DAY, start + 40 * DAY + 70 * MINUTE):
            history.compare(start, end)


@given(st.integers(0, 2000), st.integers(0, 30_000), st.sampled_from(((BLOCK, DAILY, HOURLY), (DAILY, HOURLY))))
def test_rows_cover_a_span_once_and_are_as_few_as_can_be(first: int, length: int, grains: list[RowGrain]) -> None:
    """No hour is left out or counted twice, and never are there so many finer rows that a coarser one fits in."""
    begin, end = first * HOUR_MS, (first + length) * HOUR_MS
    spans = list(cover(begin, end, grains))
    assert [start for _, start, _ in spans] == [begin, *(stop for _, _, stop in spans)][: len(spans)]
    assert not spans or spans[-1][2] == end
    assert bool(spans) == bool(length)
    for grain, start, stop in spans:
        assert start < stop
        assert start % LENGTH_MS[grain] == stop % LENGTH_MS[grain] == 0
        for coarser in grains[: grains.index(grain)]:
            assert -(-start // LENGTH_MS[coarser]) >= stop // LENGTH_MS[coarser]


def test_pruned_checks_stay_in_the_rollups(history: History) -> None:
    """To the hour: of what was deleted no minute is known, so the span is widened to whole hours."""
    dice = random.Random(2)
    for minute in range(0, 4 * 24 * 60, 3):
        history.check(START + minute * MINUTE, dice.choice((OK, OK, TIMEOUT)), dice.lognormvariate(3, 0.4))
    checks, end = history.checks(), START + 4 * DAY
    before = history.slices(START, end, Grain.DAY), history.slices(START, end, Grain.HOUR)
    assert history.setup.store.prune(end, DAY) > 900
    assert (history.slices(START, end, Grain.DAY), history.slices(START, end, Grain.HOUR)) == before
    widened = history.whole(START + 90 * MINUTE, START + 150 * MINUTE)
    assert (widened.start, widened.end) == (START + HOUR, START + 3 * HOUR)
    check(widened, expected(checks, widened.start, widened.end))
    assert {check.outcome for check in history.checks() if check.at < end - DAY} == {TIMEOUT}


def test_checks_go_on_after_pruning_as_before(history: History) -> None:
    """Late ones too: what is entered twice or taken out of nothing would show."""
    for minute in range(0, 5 * 60, 1):
        history.check(START + minute * MINUTE, TIMEOUT if minute % 50 == 0 else OK)
    history.setup.store.prune(START + 5 * HOUR, 2 * HOUR)
    for minute in (150, 179, 200, 290, 301, 302):
        history.check(START + minute * MINUTE + timedelta(seconds=20), SLOW)
    for each in history.slices(START, START + 6 * HOUR):
        assert each.uptime.known <= each.end - each.start
    history.compare(START + 3 * HOUR, START + 6 * HOUR)
    whole = history.whole(START, START + 6 * HOUR)
    assert whole.checks == 306
    assert history.gaps() == []
    assert whole.uptime.known == 302 * MINUTE + timedelta(seconds=20)


def test_a_retention_shorter_than_an_hour_loses_no_figure(history: History) -> None:
    """What is deleted before its hour is over was summed up before."""
    for minute in range(125):
        history.check(START + minute * MINUTE, TIMEOUT if minute % 9 == 0 else OK)
        if minute % 20 == 0:
            history.setup.store.prune(START + minute * MINUTE + timedelta(seconds=30), 10 * MINUTE)
    whole = history.whole(START, START + 125 * MINUTE)
    assert whole.outcomes == {OK: 111, TIMEOUT: 14}
    assert (whole.uptime.up, whole.uptime.down) == (110 * MINUTE, 14 * MINUTE)


def test_the_phases_of_a_day_stay_when_its_checks_are_pruned(history: History) -> None:
    """As medians of the whole day, within 5 %; failures are not in them."""
    for minute in range(0, 48 * 60, 10):
        history.check(START + minute * MINUTE, OK, 50.0 if minute % 60 else 9_000.0, interval=10 * MINUTE)
    end = START + 2 * DAY
    spans = ((START, end), (START + HOUR, START + 2 * HOUR))
    before = [history.phases(start, stop) for start, stop in spans]
    history.setup.store.prune(end + 300 * DAY, DAY)
    assert history.checks() == []
    after = [history.phases(start, stop) for start, stop in spans]
    for phases in (*before, *after):
        assert phases is not None
        assert phases.wait == pytest.approx(50.0, rel=0.05)
        assert phases.tls == pytest.approx(9.0, rel=0.05)


def test_recording_a_check_is_the_same_work_at_the_end_of_an_hour(history: History) -> None:
    """What the hour already holds is not read again, so that a check every second costs no more than the first.

    Work is counted in steps of SQLite's virtual machine, which no load of the computer changes.
    """
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    history.setup.store.read(lambda connection: connection.set_progress_handler(count, 1))
    second, found = timedelta(seconds=1), []
    for number in range(400):
        steps = 0
        history.check(START + number * second, interval=second)
        found.append(steps)
    # Those that bring the rollups up to date, one in 65, do more.
    assert sorted(found[-65:])[32] <= 1.05 * sorted(found[:65])[32]
    assert max(found[-65:]) <= 1.05 * max(found[65:130])
