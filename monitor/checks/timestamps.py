"""A connection that knows when its last bytes left and when they arrived, by the kernel's clock.

Between the arrival of an answer and our reading of it lies whatever else this process does at that moment:
other checks, a page being drawn, a thread that holds the interpreter. None of that is the database's latency
(docs/decisions/0013-the-kernels-clock.md).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, cast

from aiohappyeyeballs import start_connection

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from monitor.checks.resolver import AddressInfo

# What the kernel hands over beside the bytes: level, type, data.
Ancillary = Sequence[tuple[int, int, bytes]]

_NEXT_ADDRESS_AFTER_SECONDS = 0.25
# Linux, asm-generic/socket.h; Python has no name for it. Where the number is unknown, no stamp comes.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


class StampedSocket(socket.socket):
    """`sent_at` and `arrived_at` are seconds of `perf_counter`, and `None` until bytes went that way.

    asyncio's selector loop reads and writes through `recv`, `recv_into` and `send`; a loop that does not leaves
    both at `None`. Made as any socket is.
    """

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:  # noqa: A002 - as it is called there
        super().__init__(family, type, proto, fileno)
        self.sent_at: float | None = None
        self.arrived_at: float | None = None
        with suppress(OSError):  # another system than Linux
            self.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        # Before and not after: a thread may have the interpreter when the call comes back.
        self.sent_at = perf_counter()
        return super().send(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data, ancillary, *_ = self.recvmsg(size, _ANCILLARY_BYTES, flags)
        self._note(ancillary)
        return data

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer)
        count, ancillary, *_ = self.recvmsg_into([view[:nbytes] if nbytes else view], _ANCILLARY_BYTES, flags)
        self._note(ancillary)
        return count

    def _note(self, ancillary: Ancillary) -> None:
        self.arrived_at = arrival(
            ancillary, now=perf_counter(), now_ns=time.time_ns(), not_before=self.sent_at or 0.0
        )


@cache
def keep_stamping() -> socket.socket | None:
    """Have the kernel stamp arriving packets from now until this process ends; `None` where it cannot.

    It stamps only while some socket of the system asks for it, and begins and ends from a work queue: some
    milliseconds after the first one asked, tens of them on a busy machine. A packet that arrives before that has
    no stamp. Each check has a connection of its own, so without a socket that stays open most checks would be the
    first. It must be an internet socket: for a Unix one the kernel takes no stamps (net/core/sock.c,
    sock_needs_netstamp).
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:  # another system than Linux
        sock.close()
        return None
    return sock


def arrival(ancillary: Ancillary, *, now: float, now_ns: int, not_before: float) -> float:
    """The moment the kernel noted, on the scale of `now`; `now` itself where it noted none.

    The kernel goes by the time of day, `now_ns`. A stamp from before `not_before` or from after `now` comes of a
    clock that was set in between, and is not believed.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            moment: float = now - (now_ns - seconds * 1_000_000_000 - nanoseconds) / 1e9
            if not_before <= moment <= now:
                return moment
    return now


async def connect(addresses: Sequence[AddressInfo]) -> StampedSocket:
    """Connect to the first address that answers, a later one having its turn soon; raises `OSError`."""
    sock = await start_connection(
        addresses,
        happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_SECONDS,
        socket_factory=lambda info: StampedSocket(*info[:3]),
    )
    return cast("StampedSocket", sock)
