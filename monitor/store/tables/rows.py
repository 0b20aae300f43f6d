"""How moments stand in the file, and what a row that cannot be read back becomes.

Moments are integers of milliseconds since 1970, UTC.
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


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise `DamagedError` for a row that we wrote and cannot read back: SQLite keeps no checksums of its own."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise DamagedError(f"{what} cannot be read") from error
