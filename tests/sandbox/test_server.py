"""The server under every stand-in: it is up at once, misbehaves as it is told to, and leaves nothing behind."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from time import monotonic

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.sandbox.server import Drip, HangUp, LoopbackServer
from tests.checks.faulty_server import Certificates


def ask(server: LoopbackServer, method: str = "GET", target: str = "/", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection(server.address, timeout=10)
    try:
        connection.request(method, target, body, {"X-Name": "value"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_from_the_moment_it_is_made_and_is_back_on_the_same_port() -> None:
    """Stopped, it refuses; started again, it has its address and what it was sent before."""
    with LoopbackServer(PlainTextResponse("ok")) as server:
        for _ in range(20):
            assert ask(server) == (200, b"ok")
            server.stop()
            with pytest.raises(ConnectionRefusedError):
                ask(server)
            server.start()
        assert len(server.requests) == 20


def test_a_port_that_refuses_is_given_to_nobody_else() -> None:
    """The system would give it to an outgoing connection, and the server could not come back."""
    with LoopbackServer(PlainTextResponse("ok")) as server:
        server.refuse()
        with pytest.raises(ConnectionRefusedError):
            ask(server)
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", server.port))
        server.start()
        assert ask(server) == (200, b"ok")


def test_a_request_is_recorded_as_it_arrived() -> None:
    """Percent-encoding and query as they were sent; the application can read the body as well."""

    async def echo(request: Request) -> Response:
        return Response(await request.body())

    with LoopbackServer(Starlette(routes=[Route("/{path:path}", echo, methods=["POST"])])) as server:
        assert ask(server, "POST", "/a%2Fb?c=%20", b"the body") == (200, b"the body")
        [request] = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/a%2Fb?c=%20", b"the body")
    assert request.headers["x-name"] == "value"


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_nothing_is_left_when_it_stops(*, is_encrypted: bool) -> None:
    """Neither its thread nor a connection: idle, in the middle of a handshake, or dripping."""
    before = set(threading.enumerate())
    certificates = Certificates()
    tls = certificates.server("127.0.0.1") if is_encrypted else None
    server = LoopbackServer(Drip(0.01), tls=tls)
    silent = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    dripping = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    if is_encrypted:
        dripping = certificates.client().wrap_socket(dripping, server_hostname="127.0.0.1")
    with silent, dripping:
        dripping.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert dripping.recv(1) == b"H"
        began = monotonic()
        server.stop()
        assert monotonic() - began < 5
        assert set(threading.enumerate()) == before
        for connection in (silent, dripping):
            with suppress(ConnectionResetError):  # an orderly end is as good
                while connection.recv(100):
                    pass


def test_who_is_hung_up_on_gets_no_byte() -> None:
    """The request was read and recorded."""
    with LoopbackServer(HangUp()) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server, "POST", body=b"x")
        assert [request.body for request in server.requests] == [b"x"]


def test_one_request_that_waits_holds_up_no_other() -> None:
    """It goes on when its condition holds and the server is notified."""
    is_released = False

    async def wait(_request: Request) -> Response:
        await server.wait_until(lambda: is_released)
        return PlainTextResponse("released")

    async def answer(_request: Request) -> Response:
        return PlainTextResponse("at once")

    with LoopbackServer(Starlette(routes=[Route("/wait", wait), Route("/", answer)])) as server:
        answers: list[bytes] = []
        waiting = threading.Thread(target=lambda: answers.append(ask(server, target="/wait")[1]))
        waiting.start()
        assert ask(server) == (200, b"at once")
        assert answers == []
        is_released = True
        server.notify()
        waiting.join(10)
        assert answers == [b"released"]
