"""Host names become addresses, on threads that nothing waits for longer than it wants to.

`getaddrinfo` cannot be cancelled and may block for half a minute, so a lookup has a daemon thread of its own:
a stuck resolver holds up neither other checks nor the end of the process. No connection is made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
Lookup = Callable[[str, int], Sequence[AddressInfo]]

# A check that comes later than this asks again: the resolver may have recovered meanwhile.
_SHARE_FOR_SECONDS = 1.0
_MOST_THREADS = 256


def system_lookup(host: str, port: int) -> Sequence[AddressInfo]:
    """Ask the system's resolver; blocks, raises `socket.gaierror`."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Flight:
    begun: float
    answer: asyncio.Future[Sequence[AddressInfo]]


class Resolver:
    """Looks names up; checks that come together share one lookup. Used from one event loop only."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._flights: dict[tuple[str, int], _Flight] = {}
        self._threads = 0

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return the addresses of a host; raises `socket.gaierror`. Cancelling leaves the lookup to itself."""
        with contextlib.suppress(OSError):
            # An address needs no resolver, and no thread.
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # type: ignore[return-value]
        flight = self._flights.get((host, port))
        stale = flight is None or flight.answer.done() or perf_counter() - flight.begun > _SHARE_FOR_SECONDS
        if flight is None or (stale and self._threads < _MOST_THREADS):
            flight = self._start(host, port)
        return await asyncio.shield(flight.answer)

    def _start(self, host: str, port: int) -> _Flight:
        loop = asyncio.get_running_loop()
        flight = _Flight(begun=perf_counter(), answer=loop.create_future())
        self._flights[host, port] = flight
        self._threads += 1

        def settle(addresses: Sequence[AddressInfo] | None, error: OSError | None) -> None:
            self._threads -= 1
            if self._flights.get((host, port)) is flight:
                del self._flights[host, port]
            if error is not None:
                flight.answer.set_exception(error)
                flight.answer.exception()  # nobody may be waiting any more; that is no fault
            else:
                flight.answer.set_result(addresses or ())

        def work() -> None:
            addresses: Sequence[AddressInfo] | None = None
            error: OSError | None = None
            try:
                addresses = self._lookup(host, port)
            except OSError as caught:
                error = caught
            except UnicodeError:
                error = socket.gaierror(socket.EAI_NONAME, "not a host name")
            with contextlib.suppress(RuntimeError):  # the loop ended before the resolver did
                loop.call_soon_threadsafe(settle, addresses, error)

        threading.Thread(target=work, name="lookup", daemon=True).start()
        return flight
