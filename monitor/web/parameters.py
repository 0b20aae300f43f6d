"""The query parameters of an address, read strictly and within bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from monitor.lib.text import one_line
from monitor.lib.times import parse_duration
from monitor.store.rollups.model import Grain

MOST_SLICES = 1000
MOST_CHECKS = 1000
_DEFAULT_CHECKS = 100
_DEFAULT_SINCE = timedelta(hours=24)
_HOURS_UP_TO = timedelta(days=7)
_LENGTHS = {Grain.HOUR: timedelta(hours=1), Grain.DAY: timedelta(days=1)}
_NAMES = ("since", "until", "grain", "limit", "before")
_NUMBER = re.compile(r"[0-9]{1,6}")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
Choice = TypeVar("Choice", bound=Enum)


class ParameterError(Exception):
    """A parameter that cannot be used as it is; the text says what was wanted, found, and what is next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryQuery:
    """Which part of a history is wanted: slices of `grain` from `start` until before `end`, and some checks."""

    start: datetime
    end: datetime
    grain: Grain
    limit: int
    before: datetime | None


def history_query(query: Mapping[str, str], now: datetime) -> HistoryQuery:
    """Read `since`, `until`, `grain`, `limit` and `before`; raises `ParameterError`."""
    for name in query:
        if name not in _NAMES:
            raise _wrong("parameter", f"one of {', '.join(_NAMES)}", name, "leave it out")
    start = _moment(query, "since", now) or now - _DEFAULT_SINCE
    end = _moment(query, "until", now) or now
    if start >= end:
        raise ParameterError(
            "wanted since to be further back than until, found it is not. Next: ask for ?since=24h&until=1h"
        )
    default = Grain.HOUR if end - start <= _HOURS_UP_TO else Grain.DAY
    grain = choice(query, "grain", default)
    if (end - start) / _LENGTHS[grain] > MOST_SLICES:
        step = "ask with grain=day, or for less" if grain is Grain.HOUR else "ask for less, with since and until"
        raise ParameterError(
            f"wanted at most {MOST_SLICES} slices in one answer, found more than that between since and until. "
            f"Next: {step}"
        )
    return HistoryQuery(
        start=start, end=end, grain=grain, limit=_limit(query), before=_moment(query, "before", now)
    )


def choice(query: Mapping[str, str], name: str, default: Choice) -> Choice:
    """The member of the default's enum that this parameter names; raises `ParameterError`."""
    text = query.get(name)
    if text is None:
        return default
    kinds = type(default)
    try:
        return kinds(text)
    except ValueError:
        values = [kind.value for kind in kinds]
        wanted = f"{', '.join(values[:-1])} or {values[-1]}"
        raise _wrong(name, wanted, text, f"ask for ?{name}={default.value}") from None


def _moment(query: Mapping[str, str], name: str, now: datetime) -> datetime | None:
    """A duration means so long ago, anything else is a time in ISO 8601."""
    text = query.get(name)
    if text is None:
        return None
    try:
        back = parse_duration(text)
    except ValueError:
        back = None
    moment = now - back if back is not None else _time(name, text)
    return min(now, max(_EARLIEST, moment))


def _time(name: str, text: str) -> datetime:
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):
        wanted = "a duration such as 24h or 7d, or a time such as 2026-11-23T14:00:00Z"
        raise _wrong(name, wanted, text, f"ask for ?{name}=24h") from None


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit")
    if text is None:
        return _DEFAULT_CHECKS
    if not _NUMBER.fullmatch(text) or not 0 <= int(text) <= MOST_CHECKS:
        step = f"ask for ?limit={MOST_CHECKS}, and go on with before"
        raise _wrong("limit", f"a whole number from 0 to {MOST_CHECKS}", text, step)
    return int(text)


def _wrong(name: str, wanted: str, found: str, step: str) -> ParameterError:
    return ParameterError(f"{name}: wanted {wanted}, found {one_line(found, 40)!r}. Next: {step}")
