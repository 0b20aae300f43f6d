"""When bytes left and when they arrived, by the kernel's clock."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic, perf_counter, sleep

import pytest

from monitor.checks.connection import StampedSocket, arrival, keep_stamping
from monitor.checks.observation import Observation
from monitor.checks.rest import RestProbeFactory
from monitor.lib.text import Scrubber
from tests.checks.faulty_server import Certificates, ServerConnection, faulty_server, http

LONG = timedelta(seconds=30)
NANOSECONDS = 1_000_000_000
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux notes when bytes arrived on a TCP socket"
)


@dataclass
class Pause:
    """Holds the loop up from before the answer leaves until a while after it."""

    asked: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    said: threading.Event = field(default_factory=threading.Event)
    said_at: float = 0.0

    def behaviour(self, connection: ServerConnection) -> None:
        nonce = connection.read_request()[1]
        self.asked.set()
        assert self.held.wait(20)
        connection.send(http(json.dumps({"result": base64.b64encode(nonce.encode()).decode()})))
        self.said_at = perf_counter()
        self.said.set()

    async def hold(self) -> None:
        assert await asyncio.to_thread(self.asked.wait, 20)
        self.held.set()
        assert self.said.wait(20)
        sleep(0.2)  # noqa: ASYNC251 - the loop is to be held up


def is_stamped_at_once() -> bool:
    """Whether the first packet that a new connection on loopback receives has a stamp of the kernel's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sender,
        StampedSocket(fileno=server.accept()[0].detach()) as receiver,
    ):
        sender.send(b"x")
        _, ancillary, *_ = receiver.recvmsg(1, socket.CMSG_SPACE(16))
        return bool(ancillary)


def wait_for_stamps() -> None:
    """The kernel begins a moment after it was first asked, from a work queue."""
    end = monotonic() + 20
    while not is_stamped_at_once():
        assert monotonic() < end, "the kernel does not stamp packets"
        sleep(0.001)


@linux_only
def test_once_there_are_probes_every_connection_is_stamped_from_its_first_packet() -> None:
    """One socket asks for stamps as long as the process lives, so no check is the first that asks."""
    RestProbeFactory(scrub=Scrubber([]))
    assert keep_stamping() is keep_stamping()
    wait_for_stamps()
    assert [is_stamped_at_once() for _ in range(50)] == [True] * 50


@linux_only
def test_an_answer_that_waits_for_a_busy_loop_is_not_later_for_it() -> None:
    """What the loop does between the arrival of the answer and our reading is no latency, over TLS too."""
    certificates, pause = Certificates(), Pause()

    probes = RestProbeFactory(scrub=Scrubber([]), tls=certificates.client())
    wait_for_stamps()

    async def check(url: str) -> Observation:
        holding = asyncio.create_task(pause.hold())
        observation = await probes.probe(url=url, token="token").ping(timeout=LONG)
        await holding
        return observation

    with faulty_server(pause.behaviour, tls=certificates.server()) as server:
        began = perf_counter()
        observation = asyncio.run(check(server.url))
    assert observation.as_expected
    assert observation.phases.total is not None
    assert observation.phases.total <= (pause.said_at - began) * 1000


def stamp(moment_ns: int, *, level: int = socket.SOL_SOCKET, kind: int = 35) -> tuple[int, int, bytes]:
    return level, kind, struct.pack("@ll", *divmod(moment_ns, NANOSECONDS))


def test_a_stamp_is_told_on_the_scale_of_our_own_clock() -> None:
    """Thirty milliseconds before now by the time of day are thirty milliseconds before now on any scale."""
    now_ns = 1_790_000_000 * NANOSECONDS
    moment = arrival([stamp(now_ns - 30_000_000)], now=500.0, now_ns=now_ns, not_before=499.0)
    assert moment == pytest.approx(499.97)


@pytest.mark.parametrize(
    "ancillary",
    [
        [],
        [stamp(1_789_999_998 * NANOSECONDS)],
        [stamp(1_790_000_003 * NANOSECONDS)],
        [stamp(1_789_999_999 * NANOSECONDS + 970_000_000, kind=29)],
        [(socket.SOL_SOCKET, 35, b"short")],
    ],
    ids=["none", "before the request", "after now", "of another kind", "of another shape"],
)
def test_a_stamp_that_cannot_be_is_not_believed(ancillary: list[tuple[int, int, bytes]]) -> None:
    """A clock that is set during a check must make no latency of minutes, nor one below nought."""
    now_ns = 1_790_000_000 * NANOSECONDS
    assert arrival(ancillary, now=500.0, now_ns=now_ns, not_before=499.0) == 500.0
