"""Which connectivity hosts accept a connection now, which tells whether our own network is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from monitor.checks.connection import ProbeError, Resolver, connect
from monitor.checks.observation import ProbeFault
from monitor.lib.limits import own_limit

# A host that answered within this and does not now says that our network is gone; another says nothing.
COUNTS_FOR = timedelta(days=1)


class ConnectivityProbe:
    """Tries hosts written as `HOST:PORT`. Callers that come while a try is under way share its result."""

    def __init__(self, hosts: Sequence[str], *, resolver: Resolver | None = None) -> None:
        self._hosts = tuple(hosts)
        self._resolver = resolver or Resolver()
        self._under_way: asyncio.Task[frozenset[str]] | None = None

    async def reachable(self, timeout: timedelta) -> frozenset[str]:
        """The hosts that accept a TCP connection now, known after at most `timeout`.

        Raises `ProbeError` where none does and a limit of our own may be why.
        """
        if not self._hosts:
            return frozenset()
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._try_all(timeout.total_seconds()))
        return await asyncio.shield(self._under_way)

    async def _try_all(self, seconds: float) -> frozenset[str]:
        errors = await asyncio.gather(*(self._try(host, seconds) for host in self._hosts))
        accepted = frozenset(host for host, error in zip(self._hosts, errors, strict=True) if error is None)
        for error in filter(None, errors):
            limit = own_limit(error)
            if limit is not None and not accepted:
                raise ProbeError(ProbeFault.OURS, limit) from error
        return accepted

    async def _try(self, address: str, seconds: float) -> OSError | None:
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolver.resolve(host.strip("[]"), int(port))
                sock = await connect(addresses)
        except OSError as error:  # TimeoutError and socket.gaierror are OSErrors too
            return error
        sock.close()
        return None
