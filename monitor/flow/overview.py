"""Reads the history back: for now the totals that metrics are made of.

Rows are read in `store`; what the figures are called outside is decided in `status`.
"""

from __future__ import annotations

from monitor.core.totals import Totals
from monitor.settings import Settings
from monitor.store.keeper import Keeper
from monitor.store.store import Store


class Overview:
    """What the file knows of the databases of the settings. All reading happens on the store's thread."""

    def __init__(self, settings: Settings, *, store: Store, keeper: Keeper) -> None:
        self._names = tuple(database.name for database in settings.databases)
        self._store = store
        self._keeper = keeper

    async def totals(self) -> Totals:
        """One entry per database, in the order of the settings."""
        return await self._keeper.run(self._store.totals, self._names)
