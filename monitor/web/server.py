"""The web server: uvicorn in the event loop of `run`, bound early, with deadlines for slow clients."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

_KEEP_ALIVE_SECONDS = 5
_MOST_CONNECTIONS = 200
_CLIENT_TIMEOUT_SECONDS = 30.0


class CannotListenError(Exception):
    """The address cannot be listened on; the text says what was wanted, found, and what to do next."""


class PageServer:
    """Binds when made, so that a port in use is known before the first check. Raises `CannotListenError`.

    A client that has not sent its request and read the whole answer within `client_timeout_seconds` is cut off.
    """

    def __init__(
        self, host: str, port: int, app: ASGIApp, *, client_timeout_seconds: float = _CLIENT_TIMEOUT_SECONDS
    ) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=_with_deadline(client_timeout_seconds),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            ws="none",
            loop="none",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            limit_concurrency=_MOST_CONNECTIONS,
        )
        self._server = _WithoutSignals(config)

    async def serve(self) -> None:
        """Serve until cancelled; open connections are cut then."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()
            for connection in list(self._server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()


class _WithoutSignals(uvicorn.Server):
    """Signals are handled by `run`, not by the web server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _with_deadline(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol with one deadline for everything that a client can be slow at.

    uvicorn waits without end for the rest of a request and for an answer to be read: clients that do nothing would
    take all the connections that are allowed.
    """

    class WithDeadline(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # ours are always TCP
            super().connection_made(transport)
            self._start_deadline()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._start_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_deadline()
            super().connection_lost(exc)

        def _start_deadline(self) -> None:
            self._stop_deadline()
            # Not close(): that would wait for the client to read what is buffered.
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

        def _stop_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()

    return WithDeadline


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server(
            (host, port), family=family, backlog=128, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6()
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
