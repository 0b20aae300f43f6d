"""Host names become addresses, on threads that nothing waits for longer than it wants to.

`getaddrinfo` cannot be cancelled and may block for half a minute, so a lookup has a daemon thread of its own:
a stuck resolver holds up neither other checks nor the end of the process. No connection is made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from monitor.lib.threads import on_daemon_thread

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
Lookup = Callable[[str, int], Sequence[AddressInfo]]

# A check that comes later than this asks again: the resolver may have recovered meanwhile.
_SHARE_FOR_SECONDS = 1.0
_MOST_THREADS = 256


def system_lookup(host: str, port: int) -> Sequence[AddressInfo]:
    """Ask the system's resolver; blocks, raises `socket.gaierror`."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lookup:
    """One lookup under way; `began` is in seconds of `perf_counter`."""

    began: float
    answer: asyncio.Task[Sequence[AddressInfo]]


class Resolver:
    """Looks names up; checks that come together share one lookup. Used from one event loop only."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._under_way: dict[tuple[str, int], _Lookup] = {}
        self._threads = 0

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return the addresses of a host; raises `socket.gaierror`. Cancelling leaves the lookup to itself."""
        with contextlib.suppress(OSError):
            # An address needs no resolver, and no thread.
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # type: ignore[return-value]
        lookup = self._under_way.get((host, port))
        stale = lookup is None or perf_counter() - lookup.began > _SHARE_FOR_SECONDS
        if lookup is None or (stale and self._threads < _MOST_THREADS):
            lookup = self._start(host, port)
        return await asyncio.shield(lookup.answer)

    def _start(self, host: str, port: int) -> _Lookup:
        answer = asyncio.create_task(on_daemon_thread(partial(self._look_up, host, port), name="lookup"))
        lookup = _Lookup(began=perf_counter(), answer=answer)
        self._under_way[host, port] = lookup
        self._threads += 1
        answer.add_done_callback(partial(self._forget, (host, port)))
        return lookup

    def _look_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        try:
            return self._lookup(host, port)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None

    def _forget(self, name: tuple[str, int], answer: asyncio.Task[Sequence[AddressInfo]]) -> None:
        self._threads -= 1
        lookup = self._under_way.get(name)
        if lookup is not None and lookup.answer is answer:
            del self._under_way[name]
        if not answer.cancelled():
            answer.exception()  # asked for, since nobody may be waiting any more, which asyncio would log
