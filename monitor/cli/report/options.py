"""What may be asked of `report`: a span, a month, a form; and which of them exclude each other.

What comes of it is told in `report`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

from monitor.cli.options import fail
from monitor.cli.report.claim_reader import month_span
from monitor.lib.times import parse_duration
from monitor.report.formatting import format_name
from monitor.store.rollups.model import Grain

DEFAULT_SINCE = "7d"
VANTAGE_VARIABLE = "RAILWAY_REPLICA_REGION"

_HOURS_UP_TO = timedelta(days=2)
# Every slice is a row, and a person or a spreadsheet has to take them.
_MOST_HOURS = timedelta(days=92)
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_MOMENT_WANTED = "a duration ago such as 7d, or a time such as 2026-11-01 or 2026-11-01T14:00Z"
_EARLIEST_YEAR = 2000


class Form(Enum):
    """How the answer is given; on a terminal unless one is named."""

    TERMINAL = ""
    JSON = "--json"
    CSV = "--csv"
    HTML = "--html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was typed after `report`, understood. `end` is never after now.

    `month` is set where a month was asked for, as it was typed; `month_end` is its end then.
    """

    start: datetime
    end: datetime
    grain: Grain
    form: Form
    html: Path | None = None
    month: str | None = None
    month_end: datetime | None = None
    vantage_point: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    """The options as they were typed; `None` and `False` for those that were not."""

    since: str | None
    until: str | None
    by: str | None
    month: str | None
    vantage: str | None
    as_json: bool
    as_csv: bool
    html: str | None


def understand(typed: Typed, *, now: datetime, environ: Mapping[str, str]) -> Asked:
    """The options understood. A mistake ends the program with status 3."""
    form = _form(typed)
    html = _file(typed.html)
    if typed.month is None:
        if typed.vantage is not None:
            fail("wanted --vantage with --month, found it alone. Next: add --month 2026-10, or leave it out")
        start, end = _span(typed, now)
        return Asked(start=start, end=end, grain=_grain(typed.by, end - start), form=form, html=html)
    for option, value in (("--since", typed.since), ("--until", typed.until), ("--by", typed.by)):
        if value is not None:
            fail(f"wanted --month or {option}, found both. Next: leave one out")
    start, month_end = _month(typed.month)
    if start >= now:
        fail(f"wanted a month that has begun, found {typed.month}. Next: --month {now:%Y-%m}")
    return Asked(
        start=start,
        end=min(month_end, now),
        grain=Grain.DAY,
        form=form,
        html=html,
        month=typed.month,
        month_end=month_end,
        vantage_point=format_name(typed.vantage or environ.get(VANTAGE_VARIABLE, "")) or None,
    )


def _form(typed: Typed) -> Form:
    chosen = {Form.JSON: typed.as_json, Form.CSV: typed.as_csv, Form.HTML: typed.html is not None}
    forms = [form for form, is_chosen in chosen.items() if is_chosen]
    if len(forms) > 1:
        words = [form.value for form in forms]
        found = "both" if len(words) == 2 else "all of them"
        fail(f"wanted one of {', '.join(words)}, found {found}. Next: leave all but one out")
    return forms[0] if forms else Form.TERMINAL


def _file(name: str | None) -> Path | None:
    if name == "":
        fail("wanted the name of a file after --html, found nothing. Next: --html report.html")
    return None if name is None else Path(name)


def _span(typed: Typed, now: datetime) -> tuple[datetime, datetime]:
    end = now if typed.until is None else _moment("--until", typed.until, now)
    start = _moment("--since", typed.since or DEFAULT_SINCE, now if typed.since else end)
    if end > now:
        fail(f"wanted --until in the past, found {typed.until!r}. Next: leave it out for a report up to now")
    if start >= end:
        fail(
            f"wanted --since before {'--until' if typed.until else 'now'}, found {typed.since!r}. "
            "Next: --since 7d, or a time further back"
        )
    return start, end


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


def _grain(by: str | None, length: timedelta) -> Grain:
    if by is None:
        return Grain.HOUR if length <= _HOURS_UP_TO else Grain.DAY
    grain = Grain(by)
    if grain is Grain.HOUR and length > _MOST_HOURS:
        fail(f"wanted at most {_MOST_HOURS.days} days by hour, found {length.days}. Next: --by day, or less time")
    return grain


def _month(text: str) -> tuple[datetime, datetime]:
    match = _MONTH.fullmatch(text)
    if match is None or not _EARLIEST_YEAR <= int(match[1]) < 9999:
        fail(f"--month: wanted a month such as 2026-10, found {text!r}. Next: --month 2026-10")
    return month_span(int(match[1]), int(match[2]))
