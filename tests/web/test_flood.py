"""Strangers with a thousand sockets: /healthz answers, checks and alerts go on, nothing is used up."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from monitor.web import server
from monitor.web.guard import network_of
from tests.program import LONGEST_WAIT_SECONDS, Program, database, settings, slack, told, until
from tests.web.conftest import Site, build, serving
from tests.web.made import DATABASES, NOW, MadeOverview

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
KINDS = {
    "silent": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "a head without end": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
    "never reads": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    "kept alive": HEALTHZ,
    "a body without end": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 100_000,
    "TLS": bytes.fromhex("16030100f5010000f10303") + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
}


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    """For the strangers of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 4096:
        pytest.skip("wanted 4096 file descriptors, found fewer. Next: ulimit -Hn 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def strangers(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have said so much, as far as it is taken, and do nothing more."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=LONGEST_WAIT_SECONDS)
            found.append(stack.enter_context(stranger))
            stranger.setblocking(False)
            try:
                stranger.send(said)
            except OSError:
                continue
        yield found


def health(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def crowded() -> Iterator[Site]:
    overview = MadeOverview(DATABASES[-1:], now=NOW)
    with serving(build(overview)) as port:
        yield Site(port=port, overview=overview)


@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_of_strangers_leaves_a_place_for_healthz(crowded: Site, kind: str) -> None:
    """More of them than there are places, and the deadlines far away."""
    with strangers(crowded.port, 400, KINDS[kind]):
        assert [health(crowded.port) for _ in range(5)] == [200] * 5


def test_a_request_behind_ten_thousand_others_does_not_wait_for_them(crowded: Site) -> None:
    """Requests that were sent ahead on one connection are answered in turn with everybody else's."""
    with strangers(crowded.port, 4, HEALTHZ * 10_000):
        assert health(crowded.port) == 200


def test_those_who_wait_for_the_application_leave_healthz_alone() -> None:
    """A crowd whose answers take long gets 503 from some number on; `/healthz` is answered all the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            await healthy(scope, receive, send)
        else:
            await forever.wait()

    healthy, forever = PlainTextResponse("fine"), asyncio.Event()
    with serving(app) as port, strangers(port, 400, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") as waiting:
        assert health(port) == 200
        waiting[-1].settimeout(LONGEST_WAIT_SECONDS)
        assert waiting[-1].recv(12) == b"HTTP/1.1 503"


def test_a_visitor_from_elsewhere_keeps_its_place(crowded: Site) -> None:
    """Those of the network that has most are dropped, however long the other one has waited."""
    with socket.create_connection(("127.0.0.1", crowded.port), source_address=("127.0.0.9", 0)) as visitor:
        visitor.settimeout(LONGEST_WAIT_SECONDS)
        visitor.sendall(HEALTHZ[:-2])
        with strangers(crowded.port, 600, b"GET / HT"):
            assert health(crowded.port) == 200
            visitor.sendall(HEALTHZ[-2:])
            assert visitor.recv(12) == b"HTTP/1.1 200"


def test_no_more_are_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a process may have few file descriptors, and many arrive at once."""
    monkeypatch.setattr(server, "_most_connections", lambda: 16)
    app = PlainTextResponse("fine")
    with serving(app) as port, strangers(port, 200, b"GET / HT") as found:
        assert health(port) == 200
        until(lambda: sum(not is_cut_off(one) for one in found) <= 16, "the others to be dropped")


def is_cut_off(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_visitor_is_known_by_its_network(address: str, network: str) -> None:
    """Anybody with IPv6 has as many addresses as they like."""
    assert network_of(address) == network


@pytest.mark.faults("a flood of visitors")
def test_the_program_goes_on_in_a_flood(tmp_path: Path) -> None:
    """1,100 sockets with half a line each, 1,024 file descriptors, soft and hard: nothing is used up, the log is
    short, an outage is told meanwhile.
    """
    with UpstashStandIn("t0ken") as upstash, MessagingStandIn() as people:
        config = settings(
            database("main", upstash.url), channels=slack(people), page={"host": "127.0.0.1", "port": 0}
        )
        with Program(tmp_path, config).running() as running:
            began = monotonic()
            number = running.process.pid
            resource.prlimit(number, resource.RLIMIT_NOFILE, (1024, 1024))
            running.wait_for("/healthz on port")
            [line] = [line for line in running.lines if "/healthz on port" in line]
            port = int(line.rpartition(" ")[2])
            with strangers(port, 1100, b"GET / HT"):
                assert health(port) == 200
                assert len([*Path(f"/proc/{number}/fd").iterdir()]) < 400
                upstash.stop()
                until(lambda: told(people), "the alert to be sent")
                assert health(port) == 200
            assert running.end().status == 0
            # A check of a database that is down is a line or two, each second.
            assert len(running.lines) < 40 + 2 * (monotonic() - began)
            assert "offline" not in running.said
