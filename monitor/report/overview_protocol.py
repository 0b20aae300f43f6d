"""What the page is told: the databases now, and their history. Who reads it, and from where, is not known here."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from monitor.checks.observation import Check
from monitor.store.rollups.model import DatabaseStatus, Grain, History


class Overview(Protocol):
    """Reads the history for people. An unknown name raises a `KeyError`."""

    async def statuses(self) -> tuple[DatabaseStatus, ...]:
        """Every database now, in the order of the settings."""

    async def history(
        self, database: str, *, start: datetime, end: datetime, grain: Grain, compare: bool = False
    ) -> History:
        """One database from `start` until before `end`; with `compare` the span before it as well."""

    async def checks(
        self, database: str, *, start: datetime, end: datetime, before: datetime | None, limit: int
    ) -> tuple[Check, ...]:
        """At most `limit` looks from `start` until before `end`, the newest first; only those before `before`."""
