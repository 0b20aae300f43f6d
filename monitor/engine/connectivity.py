"""Is the trouble on our own side? Asks the connectivity hosts and knows which of them count (design, 4.3).

Connecting to them is done in `probes/surroundings`; remembering when they answered, in `store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from monitor.checks.connectivity import ConnectivityProbe
from monitor.store.store import Store
from monitor.store.thread import StoreThread

COUNTS_FOR = timedelta(days=1)
_REFRESH_AFTER = timedelta(hours=12)
_ASK_FOR = timedelta(seconds=2)
_HEAD_START = timedelta(seconds=1)
# A check ends within its timeout + 0.5 s; the rest of that half second belongs to the disk and the machine.
_GRACE = timedelta(seconds=0.3)


class Connectivity:
    """What all databases share: one question at a time to the connectivity hosts, whoever asks."""

    def __init__(
        self,
        connectivity: Sequence[str],
        *,
        connectivity_probe: ConnectivityProbe,
        store: Store,
        store_thread: StoreThread,
        clock: Callable[[], datetime],
    ) -> None:
        self._hosts = frozenset(connectivity)
        self._connectivity_probe = connectivity_probe
        self._store = store
        self._store_thread = store_thread
        self._clock = clock
        self._refreshed_at: datetime | None = None
        self._asking: asyncio.Task[frozenset[str]] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def patience(self, timeout: timedelta) -> timedelta:
        """How long a check may hang before the connectivity hosts are asked on the side."""
        return max(timeout / 2, timeout - _HEAD_START)

    def rest(self, timeout: timedelta, elapsed: timedelta) -> timedelta:
        """How long a check that has failed may still wait for the connectivity hosts."""
        return max(timedelta(0), min(_ASK_FOR, timeout + _GRACE - elapsed))

    def ask(self) -> asyncio.Task[frozenset[str]]:
        """Ask the connectivity hosts, or join the question that is on its way."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._connectivity_probe.reachable(_ASK_FOR))
        return self._asking

    async def is_offline(self, now: datetime, within: timedelta) -> bool:
        """True when connectivity hosts that answered within the last day do not answer now."""
        if not self._hosts:
            return False
        asked = self.ask()
        await asyncio.wait({asked}, timeout=within.total_seconds())
        answered = asked.result() if asked.done() else frozenset[str]()
        if answered:
            await self._store_thread.run(self._store.note_connectivity, answered, now)
            return False
        heard = await self._store_thread.run(self._store.connectivity_heard, now - COUNTS_FOR)
        return bool(heard & self._hosts)

    def remember_connectivity(self, now: datetime) -> None:
        """While the network is there, see twice a day which connectivity hosts can be asked at all."""
        last = self._refreshed_at
        if not self._hosts or (last is not None and timedelta(0) <= now - last < _REFRESH_AFTER):
            return
        self._refreshed_at = now
        task = asyncio.create_task(self._refresh())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def settled(self) -> None:
        """Wait for what goes on in the background; a program that ends at once calls this before."""
        if self._background:
            await asyncio.wait(set(self._background))

    def stop(self) -> None:
        """Break off what goes on in the background; the store is about to be closed."""
        for task in self._background:
            task.cancel()

    async def _refresh(self) -> None:
        answered = await self.ask()
        if answered:
            await self._store_thread.run(self._store.note_connectivity, answered, self._clock())
