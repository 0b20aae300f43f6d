"""Many databases behind one port, in a process of its own: `python -m bench.server OPTIONS` (see `Options`).

It answers PING, after a random delay where one is asked for, and writes down how long each answer really took from
the arrival of the request's last byte, by the kernel's clock, to the answer's departure. One lives behind `load`,
which starts and asks it.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import random
import socket
import ssl
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter, time
from typing import Any, cast

from monitor.checks.connection import StampedSocket

TOKEN_PREFIX = "token-of-"
_REJECTED = b'{"error":"WRONGPASS invalid or missing auth token"}'
_BACKLOG = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """One JSON argument. `chain`: a certificate file, or plain HTTP. Delays are drawn evenly from `delay_ms`."""

    chain: str | None = None
    delay_ms: tuple[float, float] = (0.0, 0.0)
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class _SharedState:
    """What all connections share: the chance, the notes, whether tokens are still accepted."""

    def __init__(self, options: Options) -> None:
        self._rng = random.Random(options.seed)
        self._delay_ms = options.delay_ms
        self.is_rejecting = False
        self.commands: Counter[str] = Counter()
        self.answers: dict[str, list[tuple[float, float]]] = {}

    def delay_seconds(self) -> float:
        return self._rng.uniform(*self._delay_ms) / 1000

    def note(self, database: str, arrived: float, delay_ms: float) -> None:
        self.answers.setdefault(database, []).append((arrived, delay_ms))

    def report(self) -> str:
        return json.dumps({"commands": self.commands, "answers": self.answers})


class _StampedListener(socket.socket):
    """A listening socket whose connections know when bytes arrived; `connections` has them by file number."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.connections: dict[int, StampedSocket] = {}

    def accept(self) -> tuple[StampedSocket, Any]:
        connection, address = super().accept()
        stamped = StampedSocket(fileno=connection.detach())
        self.connections[stamped.fileno()] = stamped
        return stamped, address


class _Connection(asyncio.Protocol):
    """One client. A request is a POST with a JSON list and a bearer token; others are hung up on."""

    def __init__(self, state: _SharedState, listener: _StampedListener) -> None:
        self._state = state
        self._listener = listener
        self._connection: StampedSocket | None = None
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # asyncio leaves it off for sockets that were made elsewhere; an answer would wait for the client's ACK.
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = self._listener.connections[connection.fileno()]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        at = (self._connection and self._connection.arrived_at) or perf_counter()
        arrived = time() - perf_counter() + at
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        headers = dict(line.lower().partition(b": ")[::2] for line in head.split(b"\r\n")[1:])
        if not found or len(body) < int(headers.get(b"content-length", 0)):
            return
        self._received = b""
        token = head.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()
        delay = self._state.delay_seconds()
        loop = asyncio.get_running_loop()
        if delay:
            loop.call_later(delay, self._answer, token, json.loads(body), arrived, at)
        else:
            self._answer(token, json.loads(body), arrived, at)

    def _answer(self, token: str, command: list[str], arrived: float, at: float) -> None:
        if self._transport is None or self._connection is None:
            return
        self._state.commands[command[0].upper()] += 1
        if self._state.is_rejecting:
            status, body = b"401 Unauthorized", _REJECTED
        else:
            status, body = b"200 OK", b'{"result":"%s"}' % base64.b64encode(command[-1].encode())
        answer = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        self._transport.write(answer % (status, len(body), body))
        left = self._connection.sent_at or perf_counter()
        self._state.note(token.removeprefix(TOKEN_PREFIX), arrived, (left - at) * 1000)


def _open(host: str, port: int) -> _StampedListener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _StampedListener(fileno=socket.create_server((host, port), family=family, backlog=_BACKLOG).detach())


def _black_hole() -> tuple[int, list[socket.socket]]:
    """A port on which the system drops every attempt to connect: its queue is full and nobody serves it."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port: int = full.getsockname()[1]
    held = [full]
    for _ in range(2):
        waiting = socket.socket()
        waiting.settimeout(0)
        waiting.connect_ex(("127.0.0.1", port))
        held.append(waiting)
    return port, held


async def _serve(options: Options) -> None:
    state = _SharedState(options)
    tls = None
    if options.chain is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.chain)
    loop = asyncio.get_running_loop()
    listeners = [_open("127.0.0.1", 0)]
    port = listeners[0].getsockname()[1]
    if socket.has_ipv6:
        # A name such as localhost stands for both.
        listeners.append(_open("::1", port))
    servers = [
        await loop.create_server(partial(_Connection, state, listener), sock=listener, ssl=tls, backlog=_BACKLOG)
        for listener in listeners
    ]
    black_hole, held = _black_hole()
    _print_json({"port": port, "black_hole": black_hole})
    # A pause for collecting garbage would look like a delay of the monitor's.
    gc.disable()
    requests = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    # The end of our input is the end of whoever started us, however it ended.
    while request := (await requests.readline()).strip():
        if request == b"reject":
            state.is_rejecting = True
        print(state.report() if request == b"report" else "{}", flush=True)
    for server in servers:
        server.close()
    for connection in held:
        connection.close()


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    logging.disable()  # a connectivity host's connection ends before the handshake, which asyncio would report
    asyncio.run(_serve(Options(**json.loads(sys.argv[1]))))
