"""A name server that lies, hangs, refuses, or knows thousands of addresses: the real resolver asks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.faults.link import link
from tests.faults.name_server import NXDOMAIN, REFUSED, SERVFAIL, NameServer
from tests.faults.namespaces import DATABASE
from tests.program import Program, database, settings, slack, told, until

pytestmark = pytest.mark.long


def error(code: int) -> Callable[[NameServer], None]:
    return lambda server: setattr(server, "code", code)


def leads_to(*addresses: str) -> Callable[[NameServer], None]:
    return lambda server: setattr(server, "addresses", addresses)


# Nobody has these here.
DEAD = [f"10.67.{number // 250}.{number % 250}" for number in range(3000)]
# What it does, what people are told, and what is added to it.
FAULTS = [
    ("NXDOMAIN", error(NXDOMAIN), "host name not found", ""),
    ("SERVFAIL", error(SERVFAIL), "host name lookup failed", ""),
    ("REFUSED", error(REFUSED), "host name lookup failed", ""),
    ("noise", lambda server: setattr(server, "is_garbled", True), "host name lookup failed", ""),
    ("hangs", lambda server: setattr(server, "hangs", True), "host name lookup failed", ""),
    ("no address", leads_to(), "host name not found", ""),
    (
        "filtered",
        leads_to("127.0.0.1"),
        "connection refused",
        "leads to 127.0.0.1, which is this machine",
    ),
    ("a lie", leads_to("10.66.0.77"), "network unreachable", ""),
    ("thousands of dead addresses", leads_to(*DEAD), "connection timed out", ""),
]


@pytest.mark.faults("a resolver that lies, hangs, fails, knows no or thousands of addresses")
def test_whatever_the_name_server_does_is_told_by_its_name(tmp_path: Path) -> None:
    """One fault after the other: each opens one incident of the right cause, and ends it when the name leads to
    the database again; checks go on, and no thread is left behind."""
    with UpstashStandIn("t0ken") as upstash, MessagingStandIn() as people, link() as linked:
        server = NameServer(linked.udp, linked.tcp, DATABASE)
        where = linked.publish(upstash.port, is_database=True)
        port = int(people.slack_url.split("/")[2].rpartition(":")[2])
        [channel] = slack(people)
        channel["webhook_url"] = channel["webhook_url"].replace(f"127.0.0.1:{port}", linked.publish(port))
        url = f"http://merry-cat.faults.example:{where.rpartition(':')[2]}"
        config = settings(database("main", url, timeout="4s"), channels=[channel], logs={"level": "DEBUG"})
        program = Program(tmp_path, config)
        program.before = linked.inside(tmp_path)
        with program.running() as running:
            running.wait_for("main: ok")
            threads = Path(f"/proc/{running.process.pid}/task")
            for number, (what, begin, cause, detail) in enumerate(FAULTS, start=1):
                begin(server)
                until(lambda: len(told(people)) == 2 * number - 1, what)  # noqa: B023 - called at once
                text = people.messages[-1].text
                assert cause in text.splitlines()[0], (what, text)
                assert detail in text
                server.addresses, server.code = (DATABASE,), 0
                server.hangs = server.is_garbled = False
                until(lambda: len(told(people)) == 2 * number, f"the end of {what}")  # noqa: B023
            # Thousands of addresses of which one answers: it is found.
            server.addresses = (*(f"10.67.0.{n}" for n in range(3)), DATABASE)
            before = len(upstash.requests)
            until(lambda: len(upstash.requests) >= before + 3, "checks by the address that answers")
            until(lambda: len([*threads.iterdir()]) < 20, "threads to end")
            assert running.end().status == 0
            assert "Traceback" not in running.said
        kinds = [kind for _, kind in told(people)]
        assert kinds == ["opened", "closed"] * len(FAULTS)
