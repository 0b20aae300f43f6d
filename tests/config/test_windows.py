"""When maintenance is: recurring and single windows, in time zones whose clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.config.settings import MaintenanceSettings
from monitor.config.windows import Window

NIGHT = {"cron": "30 2 * * *", "for": "2h", "timezone": "Europe/Berlin"}


def window(values: dict[str, Any], moment: str) -> tuple[str, str] | None:
    found = MaintenanceSettings.model_validate(values).window_after(utc(moment))
    return None if found is None else written(found)


def utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def written(found: Window) -> tuple[str, str]:
    return (f"{found.start.astimezone(UTC):%m-%d %H:%M}", f"{found.end.astimezone(UTC):%m-%d %H:%M}")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-23T00:00", ("11-23 01:30", "11-23 03:30")),
        ("2026-11-23T01:30", ("11-23 01:30", "11-23 03:30")),
        ("2026-11-23T03:29", ("11-23 01:30", "11-23 03:30")),
        ("2026-11-23T03:30", ("11-24 01:30", "11-24 03:30")),
        # 02:30 is left out on this day and comes twice on that one; 2h are two hours that pass.
        ("2026-03-29T00:00", ("03-29 01:00", "03-29 03:00")),
        ("2026-03-29T12:00", ("03-30 00:30", "03-30 02:30")),
        ("2026-10-25T01:10", ("10-25 00:30", "10-25 02:30")),
        ("2026-10-25T02:30", ("10-26 01:30", "10-26 03:30")),
    ],
)
def test_a_recurring_window_is_the_one_that_is_or_the_next(moment: str, expected: tuple[str, str]) -> None:
    """In local time, also where the clock is set; until before its end."""
    assert window(NIGHT, moment) == expected


def test_a_window_may_be_longer_than_a_day() -> None:
    """Moments of its second day are in it."""
    assert window({"cron": "0 0 * * SAT", "for": "2d"}, "2026-11-22T12:00") == ("11-21 00:00", "11-23 00:00")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-12-01T22:00", "2026-12-02T02:00", ("12-01 21:00", "12-02 01:00")),
        # Both of these are two moments, or none: it is the longer window.
        ("2026-10-25T02:15", "2026-10-25T02:45", ("10-25 00:15", "10-25 01:45")),
        ("2026-03-29T02:15", "2026-03-29T02:45", ("03-29 00:15", "03-29 01:45")),
    ],
)
def test_a_single_window_is_in_local_time(start: str, end: str, expected: tuple[str, str]) -> None:
    """It never comes again."""
    values = {"from": start, "to": end, "timezone": "Europe/Berlin"}
    assert window(values, "2026-01-01T00:00") == expected
    assert window(values, "2027-01-01T00:00") is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"cron": "0 3 * * *"},
        {"for": "2h"},
        {"from": "2026-12-01T22:00"},
        {"cron": "0 3 * * *", "for": "2h", "from": "2026-12-01T22:00", "to": "2026-12-02T02:00"},
        {"cron": "0 3 * * *", "for": "24h"},
        {"cron": "0 0 30 2 *", "for": "1h"},
        {"cron": "0 25 * * *", "for": "1h"},
        {"cron": "@daily", "for": "1h"},
        {"cron": "0 3 * * *", "for": "1h", "timezone": "Europe/Berln"},
        {"from": "2026-12-02T22:00", "to": "2026-12-02T02:00"},
        {"from": "2026-12-01T22:00+01:00", "to": "2026-12-02T02:00"},
    ],
)
def test_what_is_no_window_is_refused(values: dict[str, Any]) -> None:
    """Neither half of each kind, nor both, nor one that never begins or never ends."""
    with pytest.raises(ValidationError):
        MaintenanceSettings.model_validate(values)


def test_the_length_is_what_passes() -> None:
    """Two hours on every day of the year."""
    settings, moment = MaintenanceSettings.model_validate(NIGHT), utc("2026-01-01T00:00")
    for _ in range(365):
        found = settings.window_after(moment)
        assert found is not None
        assert found.end - found.start == timedelta(hours=2)
        moment = found.end
