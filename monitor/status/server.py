"""Listens on a port and serves an application in the loop that is already there, without getting in its way."""

from __future__ import annotations

import errno
import socket

import uvicorn
from starlette.applications import Starlette

_KEEP_ALIVE_SECONDS = 5
_MOST_CONNECTIONS = 200


class CannotListenError(Exception):
    """The address cannot be listened on; the text says what was wanted, found, and what to do next."""


class StatusServer:
    """Binds when made, so that a port that is taken is known before the first look. Raises `CannotListenError`."""

    def __init__(self, host: str, port: int, app: Starlette) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
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
        """Serve until cancelled."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()


class _Quiet(uvicorn.Server):
    """Signals belong to the daemon."""

    def install_signal_handlers(self) -> None:
        """Leave them alone (uvicorn before 0.29)."""

    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave them alone (uvicorn since 0.29)."""
        from contextlib import nullcontext  # noqa: PLC0415 - one line's use

        return nullcontext()


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
            f"wanted to listen on {host} port {port}, found {found}. Next: set status_page.port (PORT) to another"
        ) from error
