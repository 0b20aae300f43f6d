"""The web server against clients that are slow, silent or do not read: they are cut off, others are served."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
from starlette.responses import PlainTextResponse

from monitor.web.server import Deadlines, PageServer
from tests.program import LONGEST_WAIT_SECONDS, until
from tests.web.conftest import Site, build, serving
from tests.web.made import DATABASES, NOW, MadeOverview


@pytest.fixture
def hasty() -> Iterator[Site]:
    """Its deadlines for clients are a fifth of a second."""
    overview = MadeOverview(DATABASES[-1:], now=NOW)
    with serving(build(overview), deadlines=Deadlines(request=0.2, idle=0.2, answer=0.2)) as port:
        yield Site(port=port, overview=overview)


def is_cut_off(visitor: socket.socket) -> bool:
    """Reads what is there; true once the other side has closed."""
    try:
        return visitor.recv(1 << 20) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def is_served(site: Site) -> bool:
    """On a machine that is busy even an honest visitor may need more than a fifth of a second."""
    try:
        return site.ask("/healthz").status == 200
    except ConnectionError:
        return False


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="half a line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", id="half a head"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", id="half a body"),
    ],
)
def test_a_client_that_does_not_finish_is_cut_off(hasty: Site, said: bytes) -> None:
    """However far its request came."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=0.05) as visitor:
        visitor.sendall(said)
        until(lambda: is_cut_off(visitor), "the server to cut it off")
    until(lambda: is_served(hasty), "another visitor to be served")


def test_a_client_that_does_not_read_is_cut_off(hasty: Site) -> None:
    """Answers that nobody takes do not pile up: the connection is cut, not only closed."""
    with socket.socket() as visitor:
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        visitor.settimeout(LONGEST_WAIT_SECONDS)
        visitor.connect(("127.0.0.1", hasty.port))
        visitor.setblocking(False)

        def is_cut() -> bool:
            try:
                visitor.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        until(is_cut, "the server to cut the connection")
    until(lambda: is_served(hasty), "another visitor to be served")


def test_a_connection_can_be_used_again(site: Site) -> None:
    """As browsers do."""
    with closing(HTTPConnection("127.0.0.1", site.port, timeout=LONGEST_WAIT_SECONDS)) as visitor:
        visitor.connect()
        one = visitor.sock.getsockname()
        for _ in range(5):
            visitor.request("GET", "/healthz")
            answer = visitor.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            assert visitor.sock.getsockname() == one


@pytest.mark.parametrize("turns", range(12))
def test_a_visitor_who_comes_as_it_ends_leaves_no_socket_open(turns: int) -> None:
    """However far the loop has come with it, so many turns after it came."""

    async def play() -> None:
        page = PageServer("127.0.0.1", 0, PlainTextResponse("fine"))
        serving = asyncio.create_task(page.serve())
        await asyncio.sleep(0)
        with (
            socket.create_connection(("127.0.0.1", page.port)),
            socket.create_connection(("127.0.0.1", page.port)),
        ):
            for _ in range(turns):
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.wait([serving])
            for _ in range(3):  # connections that were cut learn of it
                await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(play())
        gc.collect()
    assert [str(each.message) for each in warned] == []
