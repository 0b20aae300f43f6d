"""Started in a network namespace of its own by `tests.faults.link`: makes another and joins the two.

    near (the monitor runs here)      far (this process)
    near0 10.66.0.1  ── near1 ~~ the wire ~~ far1 ── far0 10.66.0.2, 10.66.0.3

What it opens is handed over through the socket that is its argument: the two ends of the wire, and what listens
at the far addresses. Sockets belong to the namespace in which they were made, whoever uses them. It ends with its
input.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
import subprocess
import sys
from pathlib import Path
from time import sleep

NEAR, FAR, DATABASE = "10.66.0.1", "10.66.0.2", "10.66.0.3"
_EVERY_PROTOCOL = 0x0003
_SIOCETHTOOL, _SET_TX_CHECKSUM = 0x8946, 0x17


def main(hand_over: socket.socket) -> None:
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        near = Path(f"/proc/{holder.pid}/ns/net")
        while near.readlink() == Path("/proc/self/ns/net").readlink():
            sleep(0.005)
        for name in ("near", "far"):
            run("ip", "link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1")
            complete_checksums(f"{name}0")
            # The kernel must not answer for what only passes through.
            run("ip", "link", "set", f"{name}1", "arp", "off", "up")
        run("ip", "link", "set", "near0", "netns", str(holder.pid))
        inside = ("nsenter", f"--target={holder.pid}", "--net")
        for where, name, address in ((inside, "near0", NEAR), ((), "far0", FAR)):
            run(*where, "ip", "link", "set", "lo", "up")
            run(*where, "ip", "address", "add", f"{address}/24", "dev", name)
            run(*where, "ip", "link", "set", name, "up")
        run("ip", "address", "add", f"{DATABASE}/24", "dev", "far0")
        run(*inside, "ip", "route", "add", "default", "via", FAR)
        sockets = [
            *(wire_end(f"{name}1") for name in ("near", "far")),
            *(socket.create_server((address, 0), backlog=128) for address in (FAR, DATABASE)),
            name_server(),
            socket.create_server((FAR, 53)),
        ]
        socket.send_fds(hand_over, [str(holder.pid).encode()], [each.fileno() for each in sockets])
        sys.stdin.read()
    finally:
        holder.kill()
        holder.wait()


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def complete_checksums(name: str) -> None:
    """Have the kernel compute them: veth leaves that to hardware, and without them the far end drops packets."""
    off = ctypes.create_string_buffer(struct.pack("II", _SET_TX_CHECKSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP16x", name.encode(), ctypes.addressof(off)))


def wire_end(name: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    end.bind((name, 0))
    return end


def name_server() -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind((FAR, 53))
    return listening


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
