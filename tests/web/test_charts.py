"""Charts: bars that show downtime however short, a band with its gaps left open, scales that fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.observation import Check, Family, Outcome, Phases
from monitor.store.rollups.model import Gap, Grain, History, Slice, Spread, Uptime
from monitor.web.pages.charts import check_bars, day_bars, latency_band
from monitor.web.pages.summary import day_rows, slice_rows
from monitor.web.pages.svg import TimeScale, latency_scale, legend_shape, polygon, tag, worst_outcome

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def spread(p50: float, p99: float) -> Spread:
    return Spread(checks=60, p50_ms=p50, p90_ms=(p50 + p99) / 2, p95_ms=p99, p99_ms=p99, max_ms=p99 * 2)


def piece(number: int, length: timedelta = DAY, *, up: float = 1.0, down: float = 0.0, p99: float = 4.0) -> Slice:
    """The `number`th slice from the start; `up` and `down` are shares of it, the rest is unknown."""
    outcomes = {}
    if up:
        outcomes[Outcome.OK] = 50
    if down:
        outcomes[Outcome.TLS_FAILED] = 10
    return Slice(
        start=START + number * length,
        end=START + (number + 1) * length,
        outcomes=outcomes,
        uptime=Uptime(up=up * length, down=down * length, unknown=(1 - up - down) * length),
        latency=spread(2.0, p99) if up else None,
    )


def history(*slices: Slice, gaps: tuple[Gap, ...] = ()) -> History:
    whole = replace(slices[0], end=slices[-1].end, latency=spread(2, 4))
    return History(database="main", grain=Grain.HOUR, whole=whole, slices=slices, gaps=gaps)


def read(drawing: str) -> ET.Element:
    """The drawing as any XML parser reads it."""
    return ET.fromstring(drawing)


def paths(drawing: str, kind: str) -> list[str]:
    return [one.attrib["d"] for one in read(drawing).iter("path") if one.attrib.get("class") == kind]


def test_a_minute_of_downtime_can_be_seen_in_its_day() -> None:
    """A share of 1/1440 would be no pixel; it gets a part of the bar that an eye finds."""
    minute = piece(1, up=1 - 1 / 1440, down=1 / 1440)
    [down] = paths(day_bars([piece(0), minute], name="main"), "down")
    height = float(down.partition("v")[2].partition("h")[0])
    assert height >= 15
    assert down.startswith("M360 0h")


def test_time_without_a_check_is_drawn_as_unknown() -> None:
    """Neither green nor red: a day without a check is all unknown, half a day is half."""
    drawing = day_bars([piece(0, up=0), piece(1, up=0.5)], name="main")
    [unknown] = paths(drawing, "unknown")
    assert [part.partition("v")[2].partition("h")[0] for part in unknown.split("M")[1:]] == ["100", "50"]
    [up] = paths(drawing, "up")
    assert up.count("M") == 1


def test_the_first_minutes_of_a_day_can_be_seen() -> None:
    """A monitor that was started just now shows that it runs."""
    drawing = day_bars([piece(0, up=1 / 1440)], name="main")
    [up] = paths(drawing, "up")
    [unknown] = paths(drawing, "unknown")
    assert (up, unknown) == ("M0 0h718v16h-718z", "M0 16h718v84h-718z")


def test_bars_are_described_in_words_too() -> None:
    """A name, a description, and a line on each day for the script."""
    found = read(day_bars([piece(0), piece(1, up=0.9, down=0.1)], name="main"))
    assert found.attrib["role"] == "img"
    assert found.findtext("title") == "main: the last 2 days"
    assert found.findtext("desc") == "2 days are known, 1 of them with downtime; the worst day was 90.00 % up."
    first, second = found.attrib["data-labels"].split("\n")
    assert first == "2026-11-01 · 100 % up · p50 2.0 ms, p99 4.0 ms"
    assert second.startswith("2026-11-02 · 90.00 % up · 2 h 24 min down")


def test_any_number_of_days_fills_the_width() -> None:
    """Two or a year of them, with something left between the bars."""
    for number in (1, 2, 90, 365):
        [up] = paths(day_bars([piece(day) for day in range(number)], name="main"), "up")
        last = up.rpartition("M")[2]
        left, width = float(last.partition(" ")[0]), float(last.partition("h")[2].partition("v")[0])
        assert 716 < left + width < 720


def test_the_last_checks_are_bars_as_high_as_they_took_long() -> None:
    """From the left on; a failed one is whole, an unknown one low, and a pause leaves a place open."""
    outcomes = [Outcome.OK, Outcome.OK, Outcome.SLOW, Outcome.TLS_FAILED, Outcome.OFFLINE]
    latencies_ms = [2.0, 4.0, 8.0, None, None]
    checks = [
        Check(
            database="main",
            # Ten minutes between the second and the third.
            at=START + timedelta(minutes=number + 9 * (number > 1)),
            outcome=outcome,
            phases=Phases(wait=latency_ms, read=None if latency_ms is None else 0.0),
        )
        for number, (outcome, latency_ms) in enumerate(zip(outcomes, latencies_ms, strict=True))
    ]
    drawing = check_bars(checks[::-1], gaps=[Gap(start=checks[1].at, end=checks[2].at)], name="main")
    assert {kind: paths(drawing, kind) for kind in ("up", "slow", "down", "unknown")} == {
        "up": ["M0 75h6v25h-6zM8 50h6v50h-6z"],
        "slow": ["M24 0h6v100h-6z"],
        "down": ["M32 0h6v100h-6z"],
        "unknown": ["M40 80h6v20h-6z"],
    }
    found = read(drawing)
    assert found.findtext("desc") == "5 of them, 1 failed and 1 slow; the latest: monitor offline."
    labels = found.attrib["data-labels"].split("\n")
    assert len(labels) == 40
    assert labels[:3] == [
        "2026-11-01 00:00:00 UTC · ok · 2.0 ms",
        "2026-11-01 00:01:00 UTC · ok · 4.0 ms",
        "2026-11-01 00:01:00 UTC · nobody checked for 10 min",
    ]
    assert labels[6:] == [""] * 34
    assert len(paths(check_bars(checks[:1] * 60, gaps=(), name="main"), "up")[0].split("M")) == 41
    assert "No check yet." in check_bars([], gaps=(), name="main")


def test_the_band_is_broken_where_there_was_no_check() -> None:
    """Two runs of slices with a gap between them are two bands; one slice alone still has a width."""
    hours = [piece(number, HOUR, up=0 if number in (2, 3) else 1) for number in range(5)]
    gap = Gap(start=START + 2 * HOUR, end=START + 4 * HOUR)
    drawing = latency_band(history(*hours, gaps=(gap,)))
    medians = paths(drawing, "median")
    assert [(line.split(" ")[0], line.rpartition("L")[2].split(" ")[0]) for line in medians] == [
        ("M0", "400"),
        ("M800", "1000"),
    ]
    [hatched] = [one for one in read(drawing).iter("rect") if one.attrib.get("class") == "gap"]
    assert (hatched.attrib["x"], hatched.attrib["width"]) == ("40%", "40%")


def test_failures_have_the_shape_of_their_family_and_the_words_of_their_outcome() -> None:
    """The shape below its slice, the outcome in the label of the slice."""
    hours = [piece(0, HOUR), piece(1, HOUR, up=0.8, down=0.2)]
    drawing = latency_band(history(*hours))
    [shape] = paths(drawing, "family-network")
    areas = [one for one in read(drawing).iter("rect") if one.attrib.get("class") == "hover-area"]
    assert [(one.attrib["x"], one.attrib["width"]) for one in areas] == [("0%", "50%"), ("50%", "50%")]
    assert (areas[1].findtext("title") or "").endswith("10 of 60 checks failed, most of them TLS failed")
    assert shape in legend_shape(Outcome.TLS_FAILED)


def test_every_failing_family_has_a_shape_of_its_own() -> None:
    """Nobody has to tell them apart by colour."""
    failing = {outcome.family: outcome for outcome in Outcome if outcome.family.is_failing}
    shapes = {legend_shape(outcome).partition(' d="')[2] for outcome in failing.values()}
    assert len(shapes) == len(failing) == len([family for family in Family if family.is_failing])


def test_the_worst_outcome_is_the_most_frequent_failing_one() -> None:
    """Slow, fine and unknown checks are no failures."""
    counts = {
        Outcome.OK: 90,
        Outcome.SLOW: 80,
        Outcome.OFFLINE: 70,
        Outcome.SERVER_ERROR: 2,
        Outcome.TLS_FAILED: 3,
    }
    assert worst_outcome(counts) is Outcome.TLS_FAILED
    assert worst_outcome({Outcome.OK: 1, Outcome.SLOW: 2}) is None


def test_an_empty_history_is_drawn() -> None:
    """Before the first check there are pictures too, and they say that nothing is known."""
    empty = [piece(number, up=0) for number in range(3)]
    assert "Nothing is known of them." in day_bars(empty, name="main")
    band = latency_band(replace(history(*empty), whole=replace(empty[0], end=empty[-1].end)))
    assert "no answer in this time" in band
    assert "No answer from 2026-11-01 00:00 UTC to 2026-11-04 00:00 UTC." in band
    assert paths(band, "median") == []
    assert day_bars([], name="main")


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50))
def test_every_latency_is_on_the_scale(tops: list[float]) -> None:
    """Any latencies: ticks rise from the bottom to the top, the highest fits, and order is kept."""
    scale = latency_scale([top / 2 for top in tops], tops)
    assert list(scale.ticks_ms) == sorted(set(scale.ticks_ms))
    assert 2 <= len(scale.ticks_ms) <= 16
    assert scale.top_ms >= max(tops) * 0.999
    heights = [scale.height(top) for top in sorted(tops)]
    assert heights == sorted(heights)
    assert all(0 <= height <= 1 for height in heights)


def test_one_bad_hour_does_not_flatten_the_rest() -> None:
    """An outlier far above the usual makes the scale logarithmic; else it begins at nothing."""
    assert not latency_scale([2.0] * 9, [4.0] * 8 + [30.0]).is_logarithmic
    scale = latency_scale([2.0] * 9, [4.0] * 8 + [4000.0])
    assert scale.is_logarithmic
    assert scale.height(4.0) > 0.1


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=1), ["03:00", "06:00", "09:00"]),
        (timedelta(days=7), ["1 Nov", "2 Nov", "3 Nov"]),
        (timedelta(days=30), ["1 Nov", "5 Nov"]),
        (timedelta(days=365), ["1 Nov", "1 Jan"]),
    ],
)
def test_time_is_written_in_round_steps(span: timedelta, words: list[str]) -> None:
    """Hours within a day, days beyond; never more than was asked for."""
    labels = [text for _, text in TimeScale(start=START, end=START + span).ticks(8)]
    assert set(words) <= set(labels)
    assert len(labels) <= 8


def test_a_moment_outside_is_drawn_at_the_edge() -> None:
    """A gap that began before the span does not reach out of the picture."""
    scale = TimeScale(start=START, end=START + DAY)
    assert (scale.across(START - DAY), scale.across(START + 2 * DAY)) == (0.0, 1.0)


def test_days_with_the_same_summary_share_a_row() -> None:
    """A quarter without trouble is one row; a day with trouble has its own, with its figures."""
    days = [
        *(piece(number, up=0) for number in range(3)),
        *(piece(number) for number in range(3, 6)),
        piece(6, up=0.9, down=0.1),
        piece(7),
    ]
    rows = day_rows(days)
    assert [(row.first.start.day, row.last.start.day, row.summary) for row in rows] == [
        (8, 8, "up, no failed check"),
        (7, 7, None),
        (4, 6, "up, no failed check"),
        (1, 3, "no check"),
    ]
    assert [row.last for row in slice_rows(days)] == days[::-1]


def test_elements_are_escaped_and_hold_no_character_that_xml_forbids() -> None:
    """Texts and attributes are foreign by default; control characters and lone surrogates are replaced."""
    drawing = tag("text", "<b>&\"'\x00\x1b\ud800\uffff", class_='a"b<c>\x07', x=1.008, y=None)
    found = read(drawing)
    assert found.text == "<b>&\"'����"
    assert found.attrib == {"class": 'a"b<c>�', "x": "1.01"}


def test_a_band_goes_there_and_back() -> None:
    """Upper edge from left to right, lower edge back, closed."""
    assert polygon([(0, 1), (10, 2)], [(0, 5), (10, 6)]) == "M0 1L10 2L10 6L0 5Z"
