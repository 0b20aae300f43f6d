"""Listens on a port and serves an application in the loop that is already there, without getting in its way."""

from __future__ import annotations

import asyncio
import errno
import socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

_KEEP_ALIVE_SECONDS = 5
_MOST_CONNECTIONS = 200
_PATIENCE_SECONDS = 30.0


class CannotListenError(Exception):
    """The address cannot be listened on; the text says what was wanted, found, and what to do next."""


class StatusServer:
    """Binds when made, so that a port that is taken is known before the first check. Raises `CannotListenError`.

    A visitor who has not asked, been answered and read the answer within `patience_seconds` is hung up on.
    """

    def __init__(self, host: str, port: int, app: ASGIApp, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=_impatient(patience_seconds),
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
        self._server = _Quiet(config)

    async def serve(self) -> None:
        """Serve until cancelled; visitors are hung up on then."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()
            for connection in list(self._server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()


class _Quiet(uvicorn.Server):
    """Signals belong to the daemon."""

    def install_signal_handlers(self) -> None:
        """Leave them alone (uvicorn before 0.29)."""

    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave them alone (uvicorn since 0.29)."""
        from contextlib import nullcontext

        return nullcontext()


def _impatient(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol with one deadline for all that a visitor can be slow at.

    uvicorn itself waits without end for a request that began, and for an answer to be read: two hundred visitors
    who do nothing would shut everybody else out.
    """

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._stop_waiting()
            # Not a close: that would wait for the visitor once more.
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()

    return Impatient


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
