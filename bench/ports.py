"""A port that nobody listens on, for programs that must be told one before they start."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Free a moment ago; the system does not hand it out again at once."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
