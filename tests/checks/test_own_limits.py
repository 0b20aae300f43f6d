"""A limit of this process or machine is our own fault: never the database's, and no sign that we are offline."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys

import pytest

from monitor.checks import connection
from monitor.checks.classify import classify
from monitor.checks.connection import (
    ProbeError,
    Resolver,
    Stopwatch,
    connection_error,
    look_up_and_connect,
    lost_connection_error,
)
from monitor.checks.observation import Observation, Outcome, ProbeFault
from tests.program import ROOT

NONE_LEFT = "this process has no file descriptor left"
# One check with every file descriptor of the process taken, and the connectivity hosts tried.
WITHOUT_DESCRIPTORS = """
import asyncio, os, resource, sys
from datetime import timedelta
from monitor.checks.classify import classify
from monitor.checks.connection import ProbeError
from monitor.checks.connectivity import ConnectivityProbe
from monitor.checks.rest import RestProbeFactory
from monitor.lib.bounded_http import NoAnswerError, ask
import requests, encodings.idna

async def main():
    probes = RestProbeFactory(scrub=str)
    held, within = [], timedelta(seconds=5)
    probe = probes.probe(url="http://127.0.0.1:1", token="t")
    print(classify(await probe.ping(timeout=within), slow=None).outcome.value)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True: held.append(os.dup(0))
    except OSError: pass
    for url in ("https://127.0.0.1:1", "https://localhost:1", "https://no.such.host.invalid"):
        result = classify(await probes.probe(url=url, token="t").ping(timeout=within), slow=None)
        print(result.outcome.value, result.detail, sep=": ")
    try: print(await ConnectivityProbe(["127.0.0.1:1"]).reachable(within))
    except ProbeError as error: print(error.fault.value, error.description, sep=": ")
    try: ask("GET", "https://127.0.0.1:1", timeout=within)
    except NoAnswerError as error: print("message", error, sep=": ")
    for one in held: os.close(one)

asyncio.run(main())
"""


def test_without_a_file_descriptor_nothing_is_said_of_anybody_else() -> None:
    """A database by address or by name, a connectivity host, a channel: all say whose fault it is."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines() == [
        "connection_refused",
        *[f"monitor_error: {NONE_LEFT}"] * 3,
        f"ours: {NONE_LEFT}",
        f"message: {NONE_LEFT}",
    ]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_one_address_of_several_that_met_our_limit_is_enough(number: int) -> None:
    """What the others said may come of the same."""
    text = f"Multiple exceptions: [Errno {number}] no, [Errno {errno.ECONNREFUSED}] Connect call failed"
    for error in (OSError(number, "no"), OSError(text)):
        assert connection_error(error).fault is ProbeFault.OURS


@pytest.mark.faults("no memory left")
def test_a_connection_that_ended_for_want_of_memory_is_ours() -> None:
    """asyncio ends it where it has no memory for what arrived."""
    found = lost_connection_error(MemoryError())
    assert (found.fault, found.description) == (ProbeFault.OURS, "this machine has no memory left")
    assert lost_connection_error(ConnectionResetError()).fault is ProbeFault.LOST


def test_a_route_that_drops_everything_is_called_that() -> None:
    """The kernel calls an address behind a black-hole route an invalid argument (ip-route(8))."""
    found = connection_error(OSError(errno.EINVAL, "Invalid argument"))
    wanted = (ProbeFault.UNREACHABLE, "a route of this machine drops what goes there")
    assert (found.fault, found.description) == wanted


@pytest.mark.parametrize(
    ("family", "outcome"),
    [(socket.AF_INET, Outcome.MONITOR_ERROR), (socket.AF_INET6, Outcome.NETWORK_UNREACHABLE)],
)
@pytest.mark.faults("no port left")
def test_ports_that_are_used_up_are_ours(monkeypatch: pytest.MonkeyPatch, family: int, outcome: Outcome) -> None:
    """For IPv6 the same number tells that this machine has no address of that kind."""
    address = "192.0.2.1" if family is socket.AF_INET else "2001:db8::1"

    async def refuse(_addresses: object) -> None:
        # Not over real sockets: the range of ports is the whole machine's.
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(connection, "connect", refuse)
    with pytest.raises(ProbeError) as raised:
        asyncio.run(look_up_and_connect(Resolver(), address, 443, Stopwatch()))
    observation = Observation(fault=raised.value.fault, description=raised.value.description)
    assert classify(observation, slow=None).outcome is outcome
