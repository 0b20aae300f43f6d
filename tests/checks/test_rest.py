"""What one check sends, what it measures and what it leaves alone; strange answers are in test_outcomes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from monitor.checks.observation import Observation, ProbeFault
from monitor.checks.rest import RestProbe, RestProbeFactory
from monitor.lib.text import Scrubber
from tests.checks.faulty_server import (
    Certificates,
    FaultyServer,
    ServerConnection,
    answer,
    echo,
    echo_of,
    faulty_server,
    http,
)

TOKEN = "AXt0kenOfTheLookTests_77=="
LONG = timedelta(seconds=10)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(echo) as server:
        yield server


def probe(url: str) -> RestProbe:
    return RestProbeFactory(scrub=Scrubber([TOKEN])).probe(url=url, token=TOKEN)


def ping(url: str, *, times: int = 1, timeout: timedelta = LONG) -> list[Observation]:
    async def all_of_them() -> list[Observation]:
        one = probe(url)
        return [await one.ping(timeout=timeout) for _ in range(times)]

    return asyncio.run(all_of_them())


def test_a_check_is_one_ping_with_a_nonce_and_the_token_in_one_header(server: FaultyServer) -> None:
    """POST to the root, `["PING", nonce]`, the token in Authorization and nowhere else, no telemetry."""
    ping(server.url)
    [request] = server.requests
    head, _, body = request.decode().partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    assert first in ("POST / HTTP/1.1", "POST // HTTP/1.1")
    assert re.fullmatch(r'\["PING", ?"[0-9a-f]{32}"\]', body)
    assert [line for line in headers if TOKEN in line] == [f"Authorization: Bearer {TOKEN}"]
    assert request.count(TOKEN.encode()) == 1
    assert "telemetry" not in head.lower()
    assert "upstash-encoding: base64" in head.lower()


def test_each_check_has_a_nonce_and_a_connection_of_its_own(server: FaultyServer) -> None:
    """Lookup, connection and encryption are tested each time; no cache can know the answer."""
    ping(server.url, times=5)
    assert server.connections == 5
    assert len({request.partition(b"\r\n\r\n")[2] for request in server.requests}) == 5


def test_cookies_are_not_kept() -> None:
    """Nothing of an answer goes along with the next request, or to other hosts of the domain, and none fails."""

    def behaviour(connection: ServerConnection) -> None:
        said = connection.read_request()
        head = "Set-Cookie: a=b; Path=/\r\nSet-Cookie: x=\u65e5\u672c; Path=/\r\n"
        connection.send(echo_of(said).replace(b"Content-Length", head.encode() + b"Content-Length"))

    with faulty_server(behaviour) as server:
        assert [each.as_expected for each in ping(server.url, times=3)] == [True, True, True]
    assert [request for request in server.requests if b"\r\ncookie:" in request.lower()] == []


def test_a_sync_token_that_no_header_can_hold_is_left_out() -> None:
    """The canary is read back without it."""

    def behaviour(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(http('{"result": "OK"}', head="Upstash-Sync-Token: \u00e9 x\r\n"))

    with faulty_server(behaviour) as server:
        steps = asyncio.run(probe(server.url).write("canary:", timeout=LONG))
    assert [*steps] == ["SET", "GET", "DEL"]
    assert all(b"sync-token" not in request.lower() for request in server.requests)


def test_a_long_text_of_our_own_is_read_whole() -> None:
    """As `state` is, which grows with databases and messages; what answers a check is parsed to 8 KiB."""
    text = "incident " * 10_000
    value = base64.b64encode(text.encode()).decode()
    with faulty_server(answer(json.dumps({"result": value}))) as server:
        observation, found = asyncio.run(probe(server.url).get("state", timeout=LONG))
    assert observation.as_expected
    assert found == text


def test_a_failing_check_is_one_request() -> None:
    """The client's hidden retry is off: what is measured happened once."""
    with faulty_server(answer("no", 502)) as server:
        [observation] = ping(server.url)
        assert observation.http_status == 502
        assert len(server.requests) == 1


def test_proxies_of_the_environment_do_not_change_what_is_measured(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy variable, even one that leads nowhere, is left alone."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    [observation] = ping(server.url)
    assert observation.as_expected


def test_the_latency_is_the_servers_and_not_the_connections() -> None:
    """`latency_ms` is wait and read: a server that thinks for a quarter of a second shows there, a slow
    handshake does not."""
    certificates = Certificates()

    def think(connection: ServerConnection) -> None:
        command = connection.read_request()
        connection.server.closing.wait(0.25)
        connection.send(echo_of(command))

    with faulty_server(think, tls=certificates.server()) as server:
        probes = RestProbeFactory(scrub=Scrubber([TOKEN]), tls=certificates.client())
        observation = asyncio.run(probes.probe(url=server.url, token=TOKEN).ping(timeout=LONG))
    phases = observation.phases
    assert phases.latency_ms is not None
    assert phases.latency_ms >= 240
    assert None not in (phases.dns, phases.connect, phases.tls, phases.wait, phases.read, phases.total)
    assert phases.total is not None
    assert phases.total >= phases.latency_ms


def test_two_hundred_checks_at_a_host_that_hangs_take_no_longer_than_one() -> None:
    """A dead host costs its neighbours nothing: all of them end at the same deadline."""
    timeout = timedelta(seconds=1)
    with faulty_server(ServerConnection.wait) as server:

        async def all_at_once() -> list[Observation]:
            probes = RestProbeFactory(scrub=Scrubber([TOKEN]))
            return await asyncio.gather(
                *(probes.probe(url=server.url, token=TOKEN).ping(timeout=timeout) for _ in range(200))
            )

        started = monotonic()
        observations = asyncio.run(all_at_once())
        took = monotonic() - started
    assert len(observations) == 200
    assert all(observation.fault is not None for observation in observations)
    assert took < 20  # one after the other they would take 200 s


def test_a_step_of_a_canary_that_no_time_was_left_for_blames_no_resolver() -> None:
    """Where a step ends that could not even begin tells of our own clock; so nothing is asked."""
    with faulty_server(echo) as server:
        probe = RestProbeFactory(scrub=Scrubber([])).probe(url=server.url, token="t0ken")
        steps = asyncio.run(probe.write("canary:", timeout=timedelta(0)))
    assert steps["DEL"].fault is ProbeFault.RESPONSE_TIMEOUT
    assert steps["DEL"].description == "what came before it left no time for it"


def test_a_cancelled_check_leaves_nothing_open() -> None:
    """Whoever stops the program stops the check: no task and no connection stays behind."""
    with faulty_server(ServerConnection.wait) as server:

        async def look_and_leave() -> int:
            checking = asyncio.create_task(probe(server.url).ping(timeout=LONG))
            await asyncio.to_thread(server.was_visited.wait, 10)
            checking.cancel()
            await asyncio.wait({checking})
            assert checking.cancelled()
            return len(asyncio.all_tasks()) - 1

        assert asyncio.run(look_and_leave(), debug=True) == 0


_CHILD = """
import asyncio, sys
from datetime import timedelta
from monitor.checks.rest import RestProbeFactory
probes = RestProbeFactory(scrub=str)
observation = asyncio.run(probes.probe(url=sys.argv[1], token="t").ping(timeout=timedelta(seconds=20)))
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(observation.as_expected, observation.fault, peak)
"""


def child(url: str, **environment: str) -> list[str]:
    """One check in a process of its own; what it found, and the most memory it ever took, in kB."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


def test_an_endless_answer_costs_no_memory(server: FaultyServer) -> None:
    """A server that never stops is hung up on after a megabyte."""

    def endless(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        connection.flood(b"x" * 65536)

    usual = int(child(server.url)[-1])
    server.behaviour = endless
    _, fault, peak = child(server.url)
    assert fault == "ProbeFault.OVERSIZED"
    assert int(peak) < usual + 16 * 1024


def test_certificates_named_by_the_environment_are_trusted(tmp_path: Path) -> None:
    """`SSL_CERT_FILE` names the authority; without it the same server is refused."""
    certificates = Certificates()
    certificates.save(str(tmp_path / "ca.pem"))
    with faulty_server(echo, tls=certificates.server()) as server:
        assert child(server.url, SSL_CERT_FILE=str(tmp_path / "ca.pem"))[0] == "True"
        assert child(server.url)[:2] == ["False", "ProbeFault.TLS"]
