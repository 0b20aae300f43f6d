"""How moments and figures stand in the file, and what a row that cannot be understood becomes.

Moments are integers of milliseconds since 1970, UTC; figures are integers of microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from monitor.store.errors import DamagedError

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


@contextmanager
def reading(what: str) -> Iterator[None]:
    """A row that we wrote and cannot read back is damage of the file: SQLite keeps no checksums of its own."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise DamagedError(f"{what} cannot be read") from error
