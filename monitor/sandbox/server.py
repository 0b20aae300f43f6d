"""Runs an ASGI application on a loopback port, on a thread of its own; faults of HTTP and below can be set."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Self, TypeVar

import uvicorn
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_BACKLOG = 512
_ROUNDS_TO_END = 5
# Only a client or `stop` ends a connection; uvicorn's own five seconds could meet a request on its way.
_KEEP_ALIVE_SECONDS = 3600
_FaultT = TypeVar("_FaultT", bound=Enum)
_DRIPPING = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10000\r\n\r\n".ljust(10_000)


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """One request as it arrived, secrets included; `headers` by lower-case name, `target` with the query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class HangUp(Response):
    """Ends the connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["transport"].close()
        # uvicorn would answer 500 for an application that returns before the connection is known to be lost.
        while (await receive())["type"] != "http.disconnect":
            pass


class Drip(HangUp):
    """Sends a byte every `seconds`, beginning with the status line; the answer never comes to its end."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"]["transport"]
        for byte in _DRIPPING:
            if transport.is_closing():
                break
            transport.write(bytes((byte,)))
            await asyncio.sleep(self._seconds)
        await super().__call__(scope, receive, send)


class LoopbackServer:
    """Serves `app` on 127.0.0.1 from `start` to `stop`, always on the same port, with TLS where `tls` is given.

    It listens when it is made. `app` may be replaced at any time; a Starlette `Response` is an application too.
    `requests` is all that arrived. Used as a context manager, or closed with `stop`.
    """

    def __init__(self, app: ASGIApp, *, tls: ssl.SSLContext | None = None) -> None:
        self.app = app
        self.port = 0
        self.requests: list[RecordedRequest] = []
        self._tls = tls
        self._thread: threading.Thread | None = None
        self._reserved: socket.socket | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. Who connects before the thread runs waits in the backlog, so nobody has to wait here."""
        if self._thread is not None:
            return
        self._reserve()
        listening = socket.create_server(("127.0.0.1", self.port), backlog=_BACKLOG)
        self._loop = asyncio.new_event_loop()
        self._stopping, self._changed = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="sandbox server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections and cut those that stand. When this returns, nothing is left running."""
        self.refuse()
        self._release()

    def refuse(self) -> None:
        """As `stop`, and the port stays ours: bound but not listening, so no outgoing connection is given it."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        if thread is not threading.current_thread():
            thread.join()

    def _reserve(self) -> None:
        """Bind the port, a free one at first, until the end: given back for an instant, it may be another's."""
        if self._reserved is None:
            self._reserved = socket.socket()
            # With this, a second socket may be bound to it, as long as only one of the two listens (socket(7)).
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind(("127.0.0.1", self.port))
            self.port = self._reserved.getsockname()[1]

    def _release(self) -> None:
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            reserved.close()

    def notify(self) -> None:
        """Have each `wait_until` test its condition again; may be called from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and with it all who waited
            self._loop.call_soon_threadsafe(self._wake)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """For applications: wait without holding up other requests."""
        while not condition():
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _run(self, listening: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listening))

    async def _serve(self, listening: socket.socket) -> None:
        # uvicorn's own `Server` would look every 100 ms whether it should end, and take as long again to do so.
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http="h11",
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        state = ServerState()
        server = await self._loop.create_server(
            lambda: _Connection(config, state, {}), sock=listening, ssl=self._tls
        )
        await self._stopping.wait()
        # Accept no more, and let those that were accepted just now get their transport: made for a server that is
        # closed it fails (an assertion in asyncio's `Server._attach`) and leaves its socket open.
        self._loop.remove_reader(listening)
        await asyncio.sleep(0)
        server.close()
        # Connections are told of their end in the loop's next round; a new one has its protocol a few rounds
        # later.
        for _ in range(_ROUNDS_TO_END):
            for connection in state.connections.copy():
                connection.transport.abort()
            for task in state.tasks.copy():
                task.cancel()
            await asyncio.sleep(0)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
            query = f"?{request.url.query}" if request.url.query else ""
            recorded = RecordedRequest(
                method=request.method,
                target=scope["raw_path"].decode("ascii") + query,
                headers=dict(request.headers),
                body=body,
            )
            self.requests.append(recorded)
            await self.respond(recorded, scope, _replayed(body, receive), send)
        except asyncio.CancelledError:
            # `stop` has cut the connection; uvicorn would log the cancellation as a fault of the application's.
            return

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that was recorded."""
        await self.app(scope, receive, send)


class FaultyServer(LoopbackServer, Generic[_FaultT]):
    """A service with a `fault` that may be switched at any time from any thread.

    A fault with the value `refuse` closes its port. Whoever waits for one to end is woken by each switch.
    """

    def __init__(self, app: ASGIApp, fault: _FaultT, *, tls: ssl.SSLContext | None = None) -> None:
        self._fault = fault
        super().__init__(app, tls=tls)

    @property
    def fault(self) -> _FaultT:
        return self._fault

    @fault.setter
    def fault(self, fault: _FaultT) -> None:
        self._fault = fault
        if fault.value == "refuse":
            self.refuse()
        else:
            self.start()
            self.notify()


class _Connection(H11Protocol):
    """Lets applications reach the transport under HTTP, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state["transport"] = transport
        # asyncio sets it only on sockets it made itself. Without it the body waits 40 ms for the client's ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, for the application, and after it what really comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


class WebFault(Enum):
    """What a web service does instead of answering. A request that hangs is hung up on when the fault changes."""

    NONE = "none"
    HANG = "hang"
    DRIP = "drip"
    CUT = "cut"
    HTML = "html"
    NOT_JSON = "not_json"
    DEEP = "deep"
    OTHER_SHAPE = "other_shape"
    REDIRECT = "redirect"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"


_RESPONSES: dict[WebFault, Response] = {
    WebFault.DRIP: Drip(0.05),
    WebFault.CUT: HangUp(),
    WebFault.HTML: HTMLResponse("<html>Log in to this network</html>"),
    WebFault.NOT_JSON: Response('{"cut": "sho'),
    WebFault.DEEP: Response("[" * 200_000),
    WebFault.OTHER_SHAPE: Response('{"hello": ["world", null, 1]}'),
    WebFault.REDIRECT: RedirectResponse("http://127.0.0.1:1/elsewhere", 302),
    WebFault.FORBIDDEN: PlainTextResponse("Forbidden", 403),
    WebFault.NOT_FOUND: PlainTextResponse("Not Found", 404),
    WebFault.RATE_LIMITED: PlainTextResponse("Too Many Requests", 429, {"Retry-After": "7"}),
    WebFault.SERVER_ERROR: PlainTextResponse("Internal Server Error", 500),
    WebFault.UNAVAILABLE: PlainTextResponse("upstream connect error", 503),
}


class WebService(FaultyServer[WebFault]):
    """One service. `fault_of` has faults for the requests whose target or body holds a text, before `fault`."""

    def __init__(self, app: ASGIApp) -> None:
        self.fault_of: dict[str, WebFault] = {}
        super().__init__(app, WebFault.NONE)

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """The fault that is set for this request, or the service's own answer."""
        fault = self._fault_for(request)
        if fault is WebFault.HANG:
            await self.wait_until(lambda: self._fault_for(request) is not WebFault.HANG)
            fault = WebFault.CUT
        await _RESPONSES.get(fault, self.app)(scope, receive, send)

    def _fault_for(self, request: RecordedRequest) -> WebFault:
        text = f"{request.target} {request.body.decode('utf-8', 'replace')}"
        return next((fault for part, fault in self.fault_of.items() if part in text), self.fault)
