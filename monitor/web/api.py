"""The JSON of the page: the parameters it takes, read strictly and within bounds, and the page's figures.

Times and names are those of `check --json`.

Documents are of version 1: keys may be added to it, none is taken away or changes its meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from monitor.checks.observation import Check
from monitor.diagnosis.advice import word
from monitor.lib.text import one_line
from monitor.lib.times import iso, parse_duration, write_duration
from monitor.report.values import (
    VERSION,
    advice_values,
    check_values,
    gap_values,
    incident_values,
    slice_values,
    span_values,
    spread_values,
    uptime_values,
)
from monitor.store.rollups.model import DatabaseStatus, Grain, History, Schedule
from monitor.web.pages.summary import card_of

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
# Of a database before its first check all of them are `null`.
_KEYS_OF_A_CHECK = ("at", "outcome", "family", "ok", "latency_ms", "phases_ms", "http_status", "detail")


def databases_document(
    statuses: Sequence[DatabaseStatus], *, now: datetime, redact: Callable[[str], str]
) -> dict[str, Any]:
    """All databases now, in the order of the settings; `uptime` is of the last 90 days."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        "databases": [_database_values(status, now, redact) for status in statuses],
    }


def history_document(
    history: History,
    *,
    now: datetime,
    checks: Sequence[Check],
    next_before: datetime | None,
    redact: Callable[[str], str],
) -> dict[str, Any]:
    """One database over a span. `next_before` is where the next page of checks begins, `None` on the last one."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        **span_values(history),
        "next_before": None if next_before is None else iso(next_before),
        "slices": [slice_values(part) for part in history.slices],
        "gaps": [gap_values(gap) for gap in history.gaps],
        "maintenance": [gap_values(window) for window in history.maintenance],
        "incidents": [incident_values(incident, now=now) for incident in history.incidents],
        "checks": [_check_values(check, redact) for check in checks],
    }


def refusal_document(text: str) -> dict[str, Any]:
    """The answer to a request that is refused."""
    return {"version": VERSION, "error": text}


def to_json(document: dict[str, Any]) -> str:
    """The document as compact UTF-8 text."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _database_values(status: DatabaseStatus, now: datetime, redact: Callable[[str], str]) -> dict[str, Any]:
    card, latest = card_of(status, now), status.latest
    check = dict.fromkeys(_KEYS_OF_A_CHECK) if latest is None else _check_values(latest, redact)
    return {
        "database": status.database,
        "state": card.state.code,
        "checked_at": check.pop("at"),
        **check,
        **advice_values(None if status.verdict is None else word(status.verdict)),
        "incident": None if status.incident is None else incident_values(status.incident, now=now),
        "uptime": uptime_values(card.uptime),
        "latency_today": spread_values(card.today),
        "certificate_ends_at": None if status.certificate_ends_at is None else iso(status.certificate_ends_at),
        "schedule": _schedule_values(status.schedule),
    }


def _check_values(check: Check, redact: Callable[[str], str]) -> dict[str, Any]:
    return {**check_values(check), "detail": redact(check.detail)}


def _schedule_values(schedule: Schedule) -> dict[str, Any]:
    budget = schedule.budget
    return {
        "interval": write_duration(schedule.interval),
        "timeout": write_duration(schedule.timeout),
        "slow": None if schedule.slow is None else write_duration(schedule.slow),
        "canary": None if schedule.canary is None else write_duration(schedule.canary),
        "worker": schedule.worker,
        "commands_30d": {"checks": budget.checks, "sent_at_worst": budget.sent, "billed": budget.billed},
    }


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
