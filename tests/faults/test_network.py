"""A network that loses, holds back, reorders, swallows: the real program behind a wire that we hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.checks.faulty_server import Certificates
from tests.faults.link import Link, link
from tests.faults.namespaces import DATABASE
from tests.program import Program, Running, database, settings, told, until

pytestmark = pytest.mark.long
certificates = Certificates()


@contextmanager
def monitored(
    folder: Path, upstash: UpstashStandIn, people: MessagingStandIn, linked: Link, **knobs: str
) -> Iterator[Running]:
    """The program at the near end; the database and Slack at the far end, at an address each."""
    scheme = upstash.url.partition(":")[0]
    url = f"{scheme}://{linked.publish(upstash.port, is_database=True)}"
    port = int(people.slack_url.split("/")[2].rpartition(":")[2])
    elsewhere = linked.publish(port)
    channel = {"type": "slack", "webhook_url": people.slack_url.replace(f"127.0.0.1:{port}", elsewhere)}
    config = settings(database("main", url, **knobs), channels=[channel], logs={"level": "DEBUG"})
    # Slack's host tells our own network's trouble from a database's.
    program = Program(folder, {**config, "connectivity": [elsewhere]})
    program.before = linked.inside(folder)
    program.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    certificates.save(str(folder / "ca.pem"))
    with program.running() as running:
        running.wait_for("main: ok")
        yield running
        assert running.end().status == 0
        assert "Traceback" not in running.said


def is_long_and_the_databases(packet: bytes) -> bool:
    """As a router behaves whose ICMP somebody filters."""
    return len(packet) > 14 + 576 and socket.inet_aton(DATABASE) in packet[26:34]


def checks_go_on(upstash: UpstashStandIn, number: int) -> None:
    before = len(upstash.requests)
    until(lambda: len(upstash.requests) >= before + number, f"{number} checks more")


@pytest.mark.faults("loss, delay, reordering of packets")
def test_a_bad_line_is_no_outage(tmp_path: Path) -> None:
    """A tenth of the packets lost, the rest late and out of order: TCP copes, checks pass, nobody is told."""
    with UpstashStandIn("t0ken") as upstash, MessagingStandIn() as people, link() as linked:
        with monitored(tmp_path, upstash, people, linked, timeout="20s"):
            linked.wire.loss, linked.wire.delay_seconds, linked.wire.jitter_seconds = 0.1, 0.03, 0.05
            checks_go_on(upstash, 25)
            assert linked.wire.lost > 5
            linked.wire.heal()
            checks_go_on(upstash, 3)
        assert told(people) == []


@pytest.mark.faults("black-hole routes")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("blackhole", "a route of this machine drops what goes there"),
        ("unreachable", "no route to the host"),
        ("prohibit", "this machine does not permit it"),
        ("dropped on the way", "the host did not answer within 1 s"),
    ],
)
def test_a_route_that_swallows_packets_is_told_and_so_is_its_end(tmp_path: Path, kind: str, words: str) -> None:
    """Only the database is out of reach, so Slack hears of it; checks go on, and the end comes by itself."""
    with UpstashStandIn("t0ken") as upstash, MessagingStandIn() as people, link() as linked:
        with monitored(tmp_path, upstash, people, linked, timeout="1s"):
            if kind == "dropped on the way":
                linked.run("ip", "route", "add", f"{DATABASE}/32", "via", "10.66.0.77")
                linked.run("ip", "neigh", "add", "10.66.0.77", "lladdr", "02:00:00:00:00:77", "dev", "near0")
            else:
                linked.run("ip", "route", "add", kind, f"{DATABASE}/32")
            until(lambda: told(people), "the outage to be told")
            linked.run("ip", "route", "del", f"{DATABASE}/32")
            until(lambda: len(told(people)) == 2, "the end to be told")
        assert told(people) == [(1, "opened"), (1, "closed")]
        assert words in people.messages[0].text.splitlines()


@pytest.mark.faults("a wire that is cut")
def test_a_cut_wire_is_our_own_trouble(tmp_path: Path) -> None:
    """Nothing at all answers: that is no outage of the database, and nobody hears of one."""
    with UpstashStandIn("t0ken") as upstash, MessagingStandIn() as people, link() as linked:
        with monitored(tmp_path, upstash, people, linked, timeout="1s") as running:
            linked.wire.swallows = lambda _packet: True
            running.wait_for("main: monitor offline", times=3)
            linked.wire.heal()
            checks_go_on(upstash, 3)
        assert told(people) == []


@pytest.mark.faults("a small MTU, and one that is not told")
def test_packets_that_are_too_long_are_told_from_a_host_that_is_down(tmp_path: Path) -> None:
    """A link with a small MTU is fine. Where long packets are dropped without a word, the handshake stands still:
    that is what is told, with the MTU among the next steps; and the end comes by itself."""
    with (
        UpstashStandIn("t0ken", tls=certificates.server(DATABASE)) as upstash,
        MessagingStandIn() as people,
        link() as linked,
    ):
        with monitored(tmp_path, upstash, people, linked, timeout="1500ms"):
            linked.run("ip", "link", "set", "near0", "mtu", "576")
            checks_go_on(upstash, 3)
            linked.run("ip", "link", "set", "near0", "mtu", "1500")
            assert told(people) == []
            linked.wire.swallows = is_long_and_the_databases
            until(lambda: told(people), "the outage to be told")
            linked.wire.heal()
            until(lambda: len(told(people)) == 2, "the end to be told")
        assert "main: TLS handshake timed out" in people.messages[0].text
        assert "MTU" in people.messages[0].text
