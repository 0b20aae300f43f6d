"""When a maintenance window is: cron expressions and local times become moments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

from monitor.config.channel_values import WrongValueError

# Where the pattern of an expression is asked for, any year will do that has a 29 February.
_ANY_YEAR = datetime(2028, 1, 1, tzinfo=UTC)
_SHOWS_THE_PATTERN = 100
# A clock that is set back repeats an hour, in which a local time is two moments; none does by more than that.
_LONGEST_SHIFT = timedelta(hours=3)
_FIELDS = 5
# What may be shown: a secret that stands here by mistake is longer, or has no such form.
_LIKE_CRON = re.compile(r"[0-9A-Za-z*/,#-]{1,12}( [0-9A-Za-z*/,#-]{1,12}){1,6}")
_LIKE_ZONE = re.compile(r"[A-Za-z_]{1,20}([/+-][A-Za-z0-9_]{1,20}){0,2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """From `start` until before `end`, both aware."""

    start: datetime
    end: datetime


def require_cron(expression: str) -> str:
    """The expression, with single spaces; raises `WrongValueError` for what is none, or comes never."""
    from cronsim import CronSimError  # for those who have a window that recurs

    text = " ".join(expression.split())
    found = repr(text) if _LIKE_CRON.fullmatch(text) else "another text"
    if len(text.split()) != _FIELDS:
        wanted = "minute, hour, day of month, month and day of week, such as 0 3 * * SUN"
        raise WrongValueError(wanted, found)
    try:
        is_ever = next(_starts(text, _ANY_YEAR), None) is not None
    except CronSimError as error:
        wanted, field = "a cron expression such as 0 3 * * SUN", str(error).removeprefix("Bad ")
        raise WrongValueError(wanted, found, f"correct its {field}") from None
    if not is_ever:
        raise WrongValueError("a cron expression such as 0 3 * * SUN", f"{found}, which is never")
    return text


def require_zone(name: str) -> str:
    """The name of a time zone; raises `WrongValueError` for what is none."""
    if name not in (zones := available_timezones()):
        from difflib import get_close_matches  # 0.2 MB, for those who mistype

        near = next(iter(get_close_matches(name, zones, 1)), "")
        found = repr(name) if _LIKE_ZONE.fullmatch(name) else "another text"
        step = f"did you mean {near}?" if near else ""
        raise WrongValueError("the name of a time zone such as Europe/Berlin or UTC", found, step)
    return name


def shortest_pause(expression: str) -> timedelta:
    """The least time from one start to the next."""
    starts = list(islice(_starts(expression, _ANY_YEAR), _SHOWS_THE_PATTERN))
    return min((after - before for before, after in pairwise(starts)), default=timedelta.max)


def recurring_after(expression: str, length: timedelta, timezone: str, moment: datetime) -> Window | None:
    """The first of the windows of that length that ends after a moment.

    Local times as Debian's cron takes them: one that the clock leaves out is where it goes on, one that comes
    twice is the first. The length is that of the time that passes.
    """
    window = _recurring_after(expression, length, timezone, moment.replace(second=0, microsecond=0))
    if window is not None and window.end <= moment:
        return _recurring_after(expression, length, timezone, moment)
    return window


@lru_cache(maxsize=1024)
def _recurring_after(expression: str, length: timedelta, timezone: str, moment: datetime) -> Window | None:
    """Cached, since each check and each message asks for it, of a thousand databases within a minute."""
    since = (moment - length - _LONGEST_SHIFT).astimezone(ZoneInfo(timezone))
    for start in _starts(expression, since):
        if start + length > moment:
            return Window(start=start, end=start + length)
    return None


def local_window(start: datetime, end: datetime, timezone: str) -> Window:
    """The window between two local times; where one of them is two moments, so that it is the longer."""
    zone = ZoneInfo(timezone)
    begins, ends = (
        [one.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)] for one in (start, end)
    )
    return Window(start=min(begins), end=max(ends))


def _starts(expression: str, since: datetime) -> Iterator[datetime]:
    """In UTC."""
    from cronsim import CronSim  # as above

    for start in CronSim(expression, since):
        yield start.astimezone(UTC)
