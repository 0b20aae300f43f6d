"""Whether our own network is there, and whether a host that fails is reached another way.

The other ways are the worker's port, and each address family by itself. The doctor examines them as well, so that
a check that failed on the network comes to the same verdict.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta

from monitor.checks.connection import AddressInfo, ProbeError, Resolver, Stopwatch, connect
from monitor.checks.credentials import Endpoint, host_of, inspect_for_worker, legacy_port
from monitor.checks.observation import NO_CONNECTION, NOT_THROUGH, Fact, Outcome, ProbeFault
from monitor.checks.rest import TimedConnection
from monitor.lib.process import own_limit

# A host that answered within this and does not now says that our network is gone; another says nothing.
COUNTS_FOR = timedelta(days=1)
_TRY_FOR = timedelta(seconds=2)
_FAILS = {int(socket.AF_INET): Fact.IPV4_FAILS, int(socket.AF_INET6): Fact.IPV6_FAILS}


class ConnectivityProbe:
    """Tries hosts written as `HOST:PORT`. Callers that come while a try is under way share its result."""

    def __init__(self, hosts: Sequence[str], *, resolver: Resolver | None = None) -> None:
        self.hosts = tuple(hosts)
        self._resolver = resolver or Resolver()
        self._under_way: asyncio.Task[frozenset[str]] | None = None
        self._accepted: set[str] = set()

    @property
    def accepted_so_far(self) -> frozenset[str]:
        """Those of the try that is under way, or of the last: one that drops packets keeps it waiting for all."""
        return frozenset(self._accepted)

    async def reachable(self, timeout: timedelta) -> frozenset[str]:
        """The hosts that accept a TCP connection now, known after at most `timeout`.

        Raises `ProbeError` where none does and a limit of our own may be why.
        """
        if not self.hosts:
            return frozenset()
        if self._under_way is None or self._under_way.done():
            self._accepted = set()
            self._under_way = asyncio.create_task(self._try_all(timeout.total_seconds()))
        return await asyncio.shield(self._under_way)

    async def _try_all(self, seconds: float) -> frozenset[str]:
        errors = await asyncio.gather(*(self._try(host, seconds) for host in self.hosts))
        for error in filter(None, errors):
            limit = own_limit(error)
            if limit is not None and not self._accepted:
                raise ProbeError(ProbeFault.OURS, limit) from error
        return self.accepted_so_far

    async def _try(self, address: str, seconds: float) -> OSError | None:
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolver.resolve(host.strip("[]"), int(port))
                sock = await connect(addresses)
        except OSError as error:  # TimeoutError and socket.gaierror are OSErrors too
            return error
        sock.close()
        self._accepted.add(address)
        return None


async def handshake(
    host: str, addresses: Sequence[AddressInfo], tls: ssl.SSLContext, watch: Stopwatch
) -> ssl.SSLObject | ProbeError:
    """The TLS session with one of these addresses, which is closed at once, or why there is none."""
    port = addresses[0][4][1]
    try:
        connection = await TimedConnection.open(Resolver(lambda _host, _port: addresses), host, port, watch)
    except ProbeError as error:
        return error
    try:
        await connection.encrypt(tls, host)
    except ProbeError as error:
        return error
    finally:
        connection.abort()
    return connection.session


def worker_ports(url: str, token: str, port: int) -> list[int]:
    """Where a worker may get in: `port`, and that of an older database. None where it could not read its URL."""
    if inspect_for_worker(url, token, port) is not None:
        return []
    older = legacy_port(host_of(url) or "")
    return [port] if older is None else [port, older]


class OtherWays:
    """Tries the other ways to a host while a check hangs, or once it has failed; one check at a time.

    `worker_ports` are tried for a connection alone, and are empty where no worker's way belongs to REST.
    """

    def __init__(
        self, endpoint: Endpoint, *, worker_ports: Collection[int], tls: ssl.SSLContext, resolver: Resolver
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._resolver = resolver
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        self._ports = ConnectivityProbe([f"{host}:{port}" for port in worker_ports], resolver=resolver)
        self._has_ports = bool(worker_ports)
        self._connecting: asyncio.Task[frozenset[str]] | None = None
        self._encrypting: asyncio.Task[None] | None = None
        self._watches: dict[int, Stopwatch] = {}
        self._ended: dict[int, ssl.SSLObject | ProbeError] = {}

    def start(self) -> None:
        """Begin, where nothing is under way."""
        if self._has_ports and self._connecting is None:
            self._connecting = asyncio.create_task(self._ports.reachable(_TRY_FOR))
        if self._endpoint.is_encrypted and self._encrypting is None:
            self._encrypting = asyncio.create_task(self._encrypt_by_family())

    async def facts(self, outcome: Outcome, within: timedelta) -> frozenset[Fact]:
        """What is known `within` so long, beside a REST check that ended in this outcome."""
        if outcome not in NO_CONNECTION and outcome not in NOT_THROUGH:
            return frozenset()
        self.start()
        trying = {task for task in (self._connecting, self._encrypting) if task is not None}
        if trying:
            await asyncio.wait(trying, timeout=within.total_seconds())
        of_port = self._facts_of_port() if outcome in NO_CONNECTION else frozenset[Fact]()
        return of_port | (self._facts_of_families() if outcome in NOT_THROUGH else frozenset())

    def stop(self) -> None:
        """Break off what is under way; the next check begins anew."""
        for task in (self._connecting, self._encrypting):
            if task is not None:
                task.cancel()
                # Asked for, since nobody may have waited for it, which asyncio would log.
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._connecting = self._encrypting = None
        self._watches, self._ended = {}, {}

    def _facts_of_port(self) -> frozenset[Fact]:
        if self._connecting is None:
            return frozenset()
        if not self._connecting.done():
            return frozenset({Fact.WORKER_NOT_CONNECTED})
        if self._connecting.exception() is not None:  # a limit of ours tells nothing
            return frozenset()
        accepts = bool(self._connecting.result())
        return frozenset({Fact.WORKER_PORT_ACCEPTS if accepts else Fact.WORKER_NOT_CONNECTED})

    def _facts_of_families(self) -> frozenset[Fact]:
        """A family fails where a connection stood by it and no handshake ended, while the other's did."""
        through = {family for family, end in self._ended.items() if isinstance(end, ssl.SSLObject)}
        stood = {family for family, watch in self._watches.items() if watch.connected is not None}
        return frozenset(_FAILS[family] for family in stood - through) if through else frozenset()

    async def _encrypt_by_family(self) -> None:
        with suppress(OSError):
            addresses = await self._resolver.resolve(self._endpoint.host, self._endpoint.port)
            families = dict.fromkeys(int(address[0]) for address in addresses)
            self._watches = {family: Stopwatch() for family in families}
            if len(families) > 1:
                await asyncio.gather(*(self._encrypt(family, addresses) for family in families))

    async def _encrypt(self, family: int, addresses: Sequence[AddressInfo]) -> None:
        of_family = [address for address in addresses if int(address[0]) == family]
        self._ended[family] = await handshake(self._endpoint.host, of_family, self._tls, self._watches[family])
