"""A network between the monitor and everything else: two namespaces, and a wire between them in user space.

The kernel here has no netem, so the wire itself loses, holds back and reorders whole packets; both ends are the
kernel's own TCP. What a test listens to at the far end are its ordinary stand-ins.
"""

from __future__ import annotations

import heapq
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from time import monotonic

import pytest

from tests.faults.namespaces import FAR
from tests.program import ROOT

_NEW = ("unshare", "--net", "--map-root-user")
_OUTGOING = 4  # linux/if_packet.h: what we sent ourselves is seen as well


def nothing(_packet: bytes) -> bool:
    return False


class Wire(threading.Thread):
    """Carries packets both ways. The attributes may be changed at any time from any thread.

    `loss` is the share that never arrives. Each of the rest is `delay_seconds` under way, and up to
    `jitter_seconds` more, by which they overtake each other. What `swallows` says of a packet, Ethernet's header
    included, is dropped without a word.
    """

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        super().__init__(daemon=True)
        self.loss = self.delay_seconds = self.jitter_seconds = 0.0
        self.swallows: Callable[[bytes], bool] = nothing
        self.lost = self.carried = 0
        self._other = {near: far, far: near}
        self._chance = random.Random(17)
        self._over = threading.Event()

    def heal(self) -> None:
        self.loss = self.delay_seconds = self.jitter_seconds = 0.0
        self.swallows = nothing

    def run(self) -> None:
        under_way: list[tuple[float, int, socket.socket, bytes]] = []
        order = count()
        while not self._over.is_set():
            wait = min(0.1, max(0.0, under_way[0][0] - monotonic())) if under_way else 0.1
            for end in select.select([*self._other], [], [], wait)[0]:
                packet, (_, _, kind, *_) = end.recvfrom(65536)
                if kind == _OUTGOING:
                    continue
                if self.swallows(packet) or self._chance.random() < self.loss:
                    self.lost += 1
                    continue
                at = monotonic() + self.delay_seconds + self._chance.random() * self.jitter_seconds
                heapq.heappush(under_way, (at, next(order), self._other[end], packet))
            while under_way and under_way[0][0] <= monotonic():
                _, _, end, packet = heapq.heappop(under_way)
                self.carried += 1
                with suppress(OSError):
                    end.send(packet)

    def close(self) -> None:
        self._over.set()
        self.join()


class Link:
    """`wire` is between the monitor and the rest; `udp` and `tcp` listen for name servers at the far end."""

    def __init__(self, holder: int, sockets: Sequence[socket.socket]) -> None:
        near, far, self._elsewhere, self._database, self.udp, self.tcp = sockets
        self.wire = Wire(near, far)
        self.wire.start()
        self._inside = ["nsenter", f"--target={holder}", "--user", "--net", "--preserve-credentials", "--"]

    def inside(self, folder: Path) -> list[str]:
        """What a command begins with to run at the near end, asking the name server at the far end."""
        (folder / "resolv.conf").write_text(f"nameserver {FAR}\noptions timeout:1 attempts:1\n")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        binds = "".join(
            f"mount --bind {folder / name} $(realpath /etc/{name}) && "
            for name in ("resolv.conf", "nsswitch.conf")
        )
        return [*self._inside, "unshare", "--mount", "sh", "-c", binds + 'exec "$0" "$@"']

    def run(self, *words: str) -> None:
        """At the near end."""
        subprocess.run([*self._inside, *words], check=True)

    def publish(self, port: int, *, is_database: bool = False) -> str:
        """Let what listens on that port of our own loopback be reached at the far end; where that is.

        One database and one other service can be, each at an address of its own.
        """
        listening = self._database if is_database else self._elsewhere
        threading.Thread(target=_accept, args=(listening, port), daemon=True).start()
        return "{}:{}".format(*listening.getsockname())


@contextmanager
def link() -> Iterator[Link]:
    """Skipped where the tests may make no namespaces."""
    _need_namespaces()
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            [
                *_NEW,
                sys.executable,
                "-m",
                "tests.faults.namespaces",
                f"{theirs.fileno()}",
            ],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,
        ),
    ):
        theirs.close()
        said, numbers, _, _ = socket.recv_fds(ours, 100, 10)
        assert said, "the namespaces could not be made"
        sockets = [socket.socket(fileno=number) for number in numbers]
        made = Link(int(said), sockets)
        try:
            yield made
        finally:
            made.wire.close()
            for each in sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()


def _need_namespaces() -> None:
    for name in ("unshare", "nsenter", "ip"):
        if shutil.which(name) is None:
            pytest.skip(f"wanted {name}, found none. Next: apt-get install util-linux iproute2")
    tried = [*_NEW, "ip", "link", "add", "near0", "type", "veth", "peer", "near1"]
    if subprocess.run(tried, check=False, capture_output=True).returncode != 0:
        pytest.skip("wanted network namespaces of our own, found that this kernel or container forbids them")


def _accept(listening: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_relay, args=(connection, port), daemon=True).start()


def _relay(connection: socket.socket, port: int) -> None:
    with suppress(OSError), connection, socket.create_connection(("127.0.0.1", port)) as onward:
        back = threading.Thread(target=_copy, args=(onward, connection), daemon=True)
        back.start()
        _copy(connection, onward)
        back.join()


def _copy(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
