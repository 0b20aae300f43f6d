"""The web server: it listens early, counts its visitors, and always has a place for one more.

Requests are read with h11. A visitor costs little memory whatever it does: what it sends is read in pieces of
16 KiB, of a request's head no more is kept, its body is thrown away, and an answer is written no faster than it is
taken.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.lib.process import OUR_LIMITS
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
_PIECE_BYTES = 16 * 1024
# All connections of a thread read into the same one: what came is passed on before another is read.
_RECEIVED = memoryview(bytearray(_PIECE_BYTES))
_MOST_HEAD_BYTES = 16 * 1024
_MOST_BODY_BYTES = 64 * 1024
_WRITTEN_AT_ONCE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """Seconds: until a request is there as a whole, until one begins on a connection that was used already, until
    the answer is taken, and until a client that was refused hangs up.
    """

    request: float = 10.0
    idle: float = 5.0
    answer: float = 30.0
    hang_up: float = 2.0


class Stage(Enum):
    """What a connection waits for."""

    REQUEST = "request"
    APPLICATION = "application"
    ANSWER_TAKEN = "answer_taken"
    HANG_UP = "hang_up"


class Connection(asyncio.BufferedProtocol):
    """Reads one request after another and has each answered.

    `app_for` gives the application that answers a path; its second argument is true for a request that was sent
    before the last one was answered. The connection is in `held` for as long as it stands.
    `network` is where it comes from; `since` is when its stage began, in the loop's time.
    """

    def __init__(
        self, app_for: Callable[[str, bool], ASGIApp], *, network: str, deadlines: Deadlines, held: set[Connection]
    ) -> None:
        self._app_for = app_for
        self._deadlines = deadlines
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD_BYTES)
        self._wire: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._is_idle = False
        self._is_early = False
        self._request: h11.Request | None = None
        self._body_bytes = 0
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.network = network
        self.stage = Stage.REQUEST
        self.since = self._loop.time()

    def abort(self) -> None:
        """End it now, whatever it is doing."""
        self._held.discard(self)
        self._wire.abort()  # not close(): that would wait for the client to read what is buffered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        # Writing pauses while anything is left in this process, so an answer is taken once it does not.
        self._wire.set_write_buffer_limits(high=0)
        self._held.add(self)
        self._enter(Stage.REQUEST, self._deadlines.request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        if self.stage is Stage.HANG_UP:
            return
        self._http.receive_data(bytes(_RECEIVED[:nbytes]))
        if self.stage is Stage.REQUEST:
            if self._is_idle:
                self._enter(Stage.REQUEST, self._deadlines.request)
            self._read()
        else:  # a request behind the one that is being answered; more of them wait in the kernel
            self._wire.pause_reading()

    def eof_received(self) -> bool:
        if self.stage is Stage.HANG_UP:
            return False
        self._http.receive_data(b"")
        return self.stage is not Stage.REQUEST  # it sends no more, and may still read

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._answering is not None:
            self._answering.cancel()
        self._held.discard(self)

    def _enter(self, stage: Stage, seconds: float | None, *, is_idle: bool = False) -> None:
        """Begin a stage, which may take so long."""
        self.stage, self.since, self._is_idle = stage, self._loop.time(), is_idle
        self._stop_timer()
        if seconds is not None:
            self._timer = self._loop.call_later(seconds, self.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        """Take what has come; begin to answer once a request is whole."""
        try:
            while True:
                match self._http.next_event():
                    case h11.Request() as request:
                        self._request, self._body_bytes = request, 0
                        if request.http_version not in (b"1.0", b"1.1"):
                            self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
                            return
                        if self._http.they_are_waiting_for_100_continue:  # the body makes no difference
                            self._answer(request)
                            return
                    case h11.Data() as data:
                        self._body_bytes += len(data.data)
                        if self._body_bytes > _MOST_BODY_BYTES:
                            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                            return
                    case h11.EndOfMessage() if self._request is not None:
                        self._answer(self._request)
                        return
                    case h11.ConnectionClosed():
                        self._wire.close()
                        return
                    case _:  # more is needed
                        self._wire.resume_reading()
                        return
        except h11.RemoteProtocolError as error:
            # No line in the log: any stranger could write it as often as they like.
            self._refuse(HTTPStatus(error.error_status_hint))

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what is no request of ours; nothing more is read after it."""
        text = f"wanted a request of HTTP/1.1, found {status.phrase.lower()}. Next: use a browser\n"
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        self._wire.write(f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        self._hang_up()

    def _hang_up(self) -> None:
        """Close, but read on for a moment: with something left unread the kernel would take the answer back."""
        self._enter(Stage.HANG_UP, self._deadlines.hang_up)
        self._wire.write_eof()
        self._wire.resume_reading()

    def _answer(self, request: h11.Request) -> None:
        raw_path, _, query = request.target.partition(b"?")
        path = unquote(raw_path.decode("ascii"))
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode("ascii"),
            "method": request.method.decode("ascii"),
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            "client": self._wire.get_extra_info("peername", ("", 0))[:2],
            "server": self._wire.get_extra_info("sockname", ("", 0))[:2],
        }
        app = self._app_for(path, self._is_early)
        self._enter(Stage.APPLICATION, None)
        self._answering = self._loop.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        sender = _Sender(self._http, self._write, is_head=scope["method"] == "HEAD")
        try:
            await app(scope, _receive_nothing, sender.send)
        except Exception as error:  # noqa: BLE001 - a bug in one answer must not end the others
            _log.error("answering %s failed inside", scope["path"][:80], exc_info=error)
            if not sender.has_begun:
                failed = PlainTextResponse("the monitor failed inside; its log says why\n", status_code=500)
                await failed(scope, _receive_nothing, sender.send)
        if sender.is_complete:
            self._after_answer()
        else:
            self.abort()

    async def _write(self, data: bytes) -> None:
        """Write as fast as the client takes it; returns once the kernel has all."""
        if self.stage is not Stage.ANSWER_TAKEN:
            self._enter(Stage.ANSWER_TAKEN, self._deadlines.answer)
        for start in range(0, len(data), _WRITTEN_AT_ONCE_BYTES):
            self._wire.write(data[start : start + _WRITTEN_AT_ONCE_BYTES])
            await self._writable.wait()

    def _after_answer(self) -> None:
        if self._http.our_state is h11.MUST_CLOSE and self._http.their_state is not h11.SEND_BODY:
            self._wire.close()
        elif self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._hang_up()
        else:
            self._http.start_next_cycle()
            self._request = None
            self._is_early = bool(self._http.trailing_data[0])
            seconds = self._deadlines.request if self._is_early else self._deadlines.idle
            self._enter(Stage.REQUEST, seconds, is_idle=not self._is_early)
            self._read()


class _Sender:
    """ASGI's `send` for one answer. The head goes out with the first piece of the body, in one packet."""

    def __init__(self, http: h11.Connection, write: Callable[[bytes], Awaitable[None]], *, is_head: bool) -> None:
        self._http = http
        self._write = write
        self._is_head = is_head
        self._head = b""
        self.has_begun = False
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status = HTTPStatus(message["status"])
            self.has_begun = True
            self._head = self._bytes(
                h11.Response(status_code=status, headers=message.get("headers", []), reason=status.phrase.encode())
            )
            return
        data, self._head = self._head, b""
        body = message.get("body", b"")
        if body and not self._is_head:
            data += self._bytes(h11.Data(data=body))
        if not message.get("more_body", False):
            data += self._bytes(h11.EndOfMessage())
        await self._write(data)
        self.is_complete = not message.get("more_body", False)

    def _bytes(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""


async def _receive_nothing() -> Message:
    """ASGI's `receive`: the body of a request is not looked at."""
    return {"type": "http.request", "body": b"", "more_body": False}


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
        # Accepted, and not yet a connection that would close its socket.
        self._arrived: set[socket.socket] = set()
        self._turn = asyncio.Lock()

    async def serve(self) -> None:
        """Serve until cancelled; open connections are cut then."""
        try:
            while True:
                await self._accept()
        finally:
            self._socket.close()
            for sock in self._arrived:
                sock.close()
            for connection in list(self._connections):
                connection.abort()

    async def _accept(self) -> None:
        """Take in those who wait, some at a time, so that nobody waits long behind a crowd."""
        await self._wait_for_somebody()
        try:
            while len(self._arrived) < _ACCEPTED_AT_ONCE:
                self._arrived.add(self._socket.accept()[0])
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
        too_many = len(self._connections) + len(self._arrived) - self._most
        if too_many > 0:
            self._drop_waiting(max(too_many, self._most // 8))
        await asyncio.gather(*(self._connect(sock) for sock in self._arrived))

    async def _wait_for_somebody(self) -> None:
        """Not by `sock_accept` of the loop: who cancels it may lose the socket that it has accepted."""
        loop, has_come = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, has_come.set)
        try:
            await has_come.wait()
        finally:
            loop.remove_reader(self._socket)

    async def _connect(self, sock: socket.socket) -> None:
        self._arrived.discard(sock)
        try:
            network = network_of(sock.getpeername()[0])
            sock.settimeout(0)
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
    listening.settimeout(0)
    return listening
