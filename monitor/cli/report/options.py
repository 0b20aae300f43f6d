"""The options of `report`: a period or a month, a format, and which of them exclude each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.cli.options import fail
from monitor.lib.times import parse_duration
from monitor.report.formatting import format_name
from monitor.report.report import Period
from monitor.store.rollups.model import Grain

DEFAULT_SINCE = "7d"
REGION_VARIABLE = "RAILWAY_REPLICA_REGION"

_BY_HOUR_UP_TO = timedelta(days=2)
# Every slice is a row that a person or a spreadsheet has to take.
_MOST_BY_HOUR = timedelta(days=92)
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_MOMENT_WANTED = "a duration ago such as 7d, or a time such as 2026-11-01 or 2026-11-01T14:00Z"
_EARLIEST_YEAR = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the options of `report` come to. At most one format is set, none for the terminal."""

    period: Period
    as_json: bool = False
    as_csv: bool = False
    html: Path | None = None
    region: str | None = None


def parse(
    *,
    now: datetime,
    environ: Mapping[str, str],
    configured_region: str | None = None,
    since: str | None = None,
    until: str | None = None,
    by: str | None = None,
    month: str | None = None,
    region: str | None = None,
    as_json: bool = False,
    as_csv: bool = False,
    html: str | None = None,
) -> Options:
    """The options made into a period and a format. A mistake ends the program with status 3.

    `configured_region` is that of the settings: it counts where no `region` is given, and before the platform's.
    """
    formats = {"--json": as_json, "--csv": as_csv, "--html": html is not None}
    given = [option for option, is_given in formats.items() if is_given]
    if len(given) > 1:
        found = "both" if len(given) == 2 else "all of them"
        fail(f"wanted one of {', '.join(given)}, found {found}. Next: leave all but one out")
    if html == "":
        fail("wanted the name of a file after --html, found nothing. Next: --html report.html")
    if month is None:
        if region is not None:
            fail("wanted --region with --month, found it alone. Next: add --month 2026-10, or leave it out")
        period = _period(since, until, by, now)
    else:
        for option, value in (("--since", since), ("--until", until), ("--by", by)):
            if value is not None:
                fail(f"wanted --month or {option}, found both. Next: leave one out")
        period = _month(month, now)
        region = format_name(region or configured_region or environ.get(REGION_VARIABLE, "")) or None
    path = None if html is None else Path(html)
    return Options(period=period, as_json=as_json, as_csv=as_csv, html=path, region=region)


def _period(since: str | None, until: str | None, by: str | None, now: datetime) -> Period:
    end = now if until is None else _moment("--until", until, now)
    start = _moment("--since", since or DEFAULT_SINCE, now if since else end)
    if end > now:
        fail(f"wanted --until in the past, found {until!r}. Next: leave it out for a report up to now")
    if start >= end:
        fail(
            f"wanted --since before {'--until' if until else 'now'}, found {since!r}. "
            "Next: --since 7d, or a time further back"
        )
    length = end - start
    grain = (Grain.HOUR if length <= _BY_HOUR_UP_TO else Grain.DAY) if by is None else Grain(by)
    if grain is Grain.HOUR and length > _MOST_BY_HOUR:
        fail(
            f"wanted at most {_MOST_BY_HOUR.days} days by hour, found {length.days}. Next: --by day, or less time"
        )
    return Period(start=start, end=end, grain=grain)


def _moment(option: str, text: str, now: datetime) -> datetime:
    """A time, or a duration ago; a time without a zone is UTC."""
    try:
        moment = now - parse_duration(text)
    except (ValueError, OverflowError):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            fail(f"{option}: wanted {_MOMENT_WANTED}, found {text!r}. Next: {option} 7d")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if moment.year < _EARLIEST_YEAR:
        fail(f"{option}: wanted a time after {_EARLIEST_YEAR}, found {text!r}. Next: {option} 365d")
    return moment.astimezone(UTC)


def _month(text: str, now: datetime) -> Period:
    """From the first instant of a month in UTC until the first of the next, or until now while it runs."""
    match = _MONTH.fullmatch(text)
    if match is None or not _EARLIEST_YEAR <= int(match[1]) < 9999:
        fail(f"--month: wanted a month such as 2026-10, found {text!r}. Next: --month 2026-10")
    year, month = int(match[1]), int(match[2])
    start = datetime(year, month, 1, tzinfo=UTC)
    month_end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    if start >= now:
        fail(f"wanted a month that has begun, found {text}. Next: --month {now:%Y-%m}")
    return Period(start=start, end=min(month_end, now), grain=Grain.DAY, month_end=month_end)
