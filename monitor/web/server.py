"""The web server: it listens early, counts its visitors, and always has a place for one more."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections import Counter

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.lib.limits import OUR_LIMITS
from monitor.web.connection import Connection, Deadlines, Stage
from monitor.web.guard import network_of

_log = logging.getLogger(__name__)
# Who connects while the loop is busy waits in the kernel, and costs no file descriptor. A queue that is full makes
# a visitor wait for the next try of its own kernel, a second later.
_BACKLOG = 1024
_MOST_CONNECTIONS = 256
_LEAST_CONNECTIONS = 16
# Of the file descriptors at most this part is for visitors; checks, alerts and the history need the rest.
_PART_OF_DESCRIPTORS = 4
# At most this part of the connections waits for the application; the other ones can be dropped at any time.
_PART_AT_WORK = 0.75
_ACCEPTED_AT_ONCE = 16
_PAUSE_WITHOUT_DESCRIPTORS_SECONDS = 0.5


_BUSY = PlainTextResponse(
    "wanted to answer, found too many who ask at once. Next: try again\n",
    status_code=503,
    headers={"Cache-Control": "no-store", "Connection": "close", "Retry-After": "1"},
)


class CannotListenError(Exception):
    """The address cannot be listened on; the text says what was wanted, found, and what to do next."""


class PageServer:
    """Binds when made, so that a port in use is known before the first check. Raises `CannotListenError`.

    Holds at most 256 connections, or a quarter of the file descriptors. When all are taken, some that wait for
    their clients are dropped: of the network that has most of them those that have waited longest. When too many
    wait for the application, paths other than `always` are answered with 503.
    """

    def __init__(
        self,
        host: str,
        port: int,
        app: ASGIApp,
        *,
        always: frozenset[str] = frozenset({"/healthz"}),
        deadlines: Deadlines | None = None,
    ) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._app = app
        self._always = always
        self._deadlines = deadlines or Deadlines()
        self._most = _most_connections()
        self._connections: set[Connection] = set()
        self._turn = asyncio.Lock()

    async def serve(self) -> None:
        """Serve until cancelled; open connections are cut then."""
        try:
            while True:
                await self._accept()
        finally:
            self._socket.close()
            for connection in list(self._connections):
                connection.abort()

    async def _accept(self) -> None:
        """Take in those who wait, some at a time, so that nobody waits long behind a crowd."""
        loop = asyncio.get_running_loop()
        arrived: list[socket.socket] = []
        try:
            arrived.append((await loop.sock_accept(self._socket))[0])
            while len(arrived) < _ACCEPTED_AT_ONCE:
                arrived.append(self._socket.accept()[0])
        except BlockingIOError:
            pass  # that was all
        except OSError as error:
            if error.errno in OUR_LIMITS:
                # What waits for its client is not worth a check or an alert.
                _log.warning("no file descriptor for a visitor; those that wait are dropped")
                self._drop_waiting(self._most // 8)
                await asyncio.sleep(_PAUSE_WITHOUT_DESCRIPTORS_SECONDS)
            else:  # the visitor has left already
                await asyncio.sleep(0)
        too_many = len(self._connections) + len(arrived) - self._most
        if too_many > 0:
            self._drop_waiting(max(too_many, self._most // 8))
        await asyncio.gather(*(self._connect(sock) for sock in arrived))

    async def _connect(self, sock: socket.socket) -> None:
        try:
            network = network_of(sock.getpeername()[0])
            sock.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(
                    self._app_for, network=network, deadlines=self._deadlines, held=self._connections
                ),
                sock,
            )
        except OSError:  # the same
            sock.close()

    def _drop_waiting(self, count: int) -> None:
        """End so many of the connections that wait for their clients. To choose is work: take some at a time."""
        held = Counter(one.network for one in self._connections)
        waiting = [one for one in self._connections if one.stage is not Stage.APPLICATION]
        waiting.sort(key=lambda one: (-held[one.network], one.since))
        for connection in waiting[:count]:
            connection.abort()

    def _app_for(self, path: str, is_early: bool) -> ASGIApp:  # noqa: FBT001 - called by the connection only
        if path in self._always and not is_early:
            return self._app
        at_work = sum(one.stage is Stage.APPLICATION for one in self._connections)
        if at_work < _PART_AT_WORK * self._most:
            return self._in_turn
        return _BUSY

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin one in each round of the loop: what a crowd asks for must not stand before a check."""
        async with self._turn:
            await asyncio.sleep(0)
        await self._app(scope, receive, send)


def _most_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(_LEAST_CONNECTIONS, min(_MOST_CONNECTIONS, soft // _PART_OF_DESCRIPTORS))


def _listen(host: str, port: int) -> socket.socket:
    if host == "::" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104 - every address that there is, as `::` asks for
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server(
            (host, port),
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=host == "::",
        )
    except OSError as error:
        found = {
            errno.EADDRINUSE: "it in use by another program",
            errno.EACCES: "that only root may listen there",
            errno.EADDRNOTAVAIL: "that this machine has no such address",
        }.get(error.errno or 0, "that it cannot be listened on")
        raise CannotListenError(
            f"wanted to listen on {host} port {port}, found {found}. Next: set page.port (PORT) to another"
        ) from error
    listening.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return listening
