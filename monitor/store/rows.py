"""Moments and figures as the file holds them: integers of milliseconds and microseconds, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970; exact, unlike a float."""
    return (moment - _EPOCH) // _MS


def from_ms(value: int) -> datetime:
    return _EPOCH + value * _MS


def from_ms_or_none(value: int | None) -> datetime | None:
    return None if value is None else from_ms(value)


def to_us(milliseconds: float | None) -> int | None:
    """Microseconds are as fine as a figure here is true."""
    return None if milliseconds is None else round(milliseconds * 1000)
