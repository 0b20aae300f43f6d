"""A real redis-server on loopback, with TLS as a rule, with the users that a database at Upstash has."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pytest
import trustme

from tests.program import LONGEST_WAIT_SECONDS


@dataclass(frozen=True, kw_only=True)
class RedisServer:
    """Where it listens, what lets one in, and a client's context that trusts its certificate."""

    port: int
    token: str
    read_only_token: str
    trust: ssl.SSLContext


@contextmanager
def redis_server(
    folder: Path,
    *,
    token: str = "AStandardToken-of_the_test",
    read_only_token: str = "AReadOnlyToken-of_the_test",
    names: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    ca: trustme.CA | None = None,
    rights: str = "on +@all",
    is_encrypted: bool = True,
    most_clients: int = 100,
) -> Iterator[RedisServer]:
    """A server for as long as the block lasts; skips the test where redis-server is not installed.

    `default` has all rights, unless `rights` says otherwise; `default_ro` may read and `PING`.
    """
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("wanted redis-server, found none. Next: apt-get install redis-server")
    ca = ca or trustme.CA()
    _write_certificates(folder, ca, names)
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    users = (
        f"user default >{token} ~* &* {rights}\n"
        f"user default_ro on >{read_only_token} ~* resetchannels -@all +@read +ping\n"
    )
    # A free port may be taken by somebody else between finding and using it.
    for _ in range(5):
        port = _free_port()
        ports = f"port 0\ntls-port {port}" if is_encrypted else f"port {port}"
        process = _start(program, folder, port, f"{ports}\nmaxclients {most_clients}\n{users}")
        if process is not None:
            break
    else:
        pytest.fail((folder / "redis.log").read_text(encoding="utf-8", errors="replace"))
    try:
        yield RedisServer(port=port, token=token, read_only_token=read_only_token, trust=trust)
    finally:
        process.kill()
        process.wait()


def _write_certificates(folder: Path, ca: trustme.CA, names: Sequence[str]) -> None:
    certificate = ca.issue_cert(*names)
    certificate.private_key_pem.write_to_path(folder / "redis.key")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    chain = folder / "redis.pem"
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))


def _start(program: str, folder: Path, port: int, special: str) -> subprocess.Popen[bytes] | None:
    """The server once it accepts connections; `None` when it ended instead."""
    settings = folder / "redis.conf"
    settings.write_text(
        "bind 127.0.0.1 -::1\n"
        f"tls-cert-file {folder / 'redis.pem'}\ntls-key-file {folder / 'redis.key'}\n"
        f"tls-ca-cert-file {folder / 'ca.pem'}\ntls-auth-clients no\n"
        f'save ""\nappendonly no\ndir {folder}\nlogfile {folder / "redis.log"}\n{special}',
        encoding="utf-8",
    )
    said = folder / "redis.log"
    said.write_bytes(b"")
    with said.open("ab") as log:
        process = subprocess.Popen([program, str(settings)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    end = monotonic() + LONGEST_WAIT_SECONDS
    # A connection would not tell: another program may have been quicker to take the port.
    while process.poll() is None and monotonic() < end:
        if b"Ready to accept connections" in said.read_bytes():
            return process
        sleep(0.02)
    process.kill()
    process.wait()
    return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
