"""Is our own network there? Connects to connectivity hosts, says which of them accepted, and nothing more.

Which of them count, and what follows from their silence, is decided in `flow/ourside`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from aiohappyeyeballs import start_connection

from monitor.checks.connection import Resolver


class ConnectivityProbe:
    """The connectivity hosts, as `HOST:PORT`. Callers that ask while a question is under way share its answer."""

    def __init__(self, connectivity: Sequence[str], *, resolver: Resolver | None = None) -> None:
        self._hosts = tuple(connectivity)
        self._resolver = resolver or Resolver()
        self._underway: asyncio.Task[frozenset[str]] | None = None

    async def reachable(self, timeout: timedelta) -> frozenset[str]:
        """The connectivity hosts that accept a TCP connection now, known after at most `timeout`."""
        if not self._hosts:
            return frozenset()
        if self._underway is None or self._underway.done():
            self._underway = asyncio.create_task(self._ask_all(timeout.total_seconds()))
        return await asyncio.shield(self._underway)

    async def _ask_all(self, seconds: float) -> frozenset[str]:
        answers = await asyncio.gather(*(self._accepts(host, seconds) for host in self._hosts))
        return frozenset(host for host, yes in zip(self._hosts, answers, strict=True) if yes)

    async def _accepts(self, host: str, seconds: float) -> bool:
        host, _, port = host.rpartition(":")
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolver.resolve(host.strip("[]"), int(port))
                sock = await start_connection(addresses)
        except OSError:  # TimeoutError and socket.gaierror are OSErrors: whatever it was, no connection stood
            return False
        sock.close()
        return True
