"""`run` while its file descriptors are used up: it says so, blames nobody, and goes on afterwards."""

from __future__ import annotations

import resource
import socket
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import Program, database, settings, slack, told, until


@pytest.mark.faults("no file descriptor left")
def test_nobody_is_blamed_for_descriptors_that_are_used_up(tmp_path: Path) -> None:
    """Checks are monitor errors, not outages and not offline; a visitor waits; the log is no flood.

    The outage that comes meanwhile is told once there are descriptors again.
    """
    with (
        UpstashStandIn("t0ken") as upstash,
        MessagingStandIn() as people,
        socket.create_server(("127.0.0.1", 0), backlog=64) as connectivity,
    ):
        config = settings(
            database("main", upstash.url), channels=slack(people), page={"host": "127.0.0.1", "port": 0}
        )
        config["connectivity"] = [f"127.0.0.1:{connectivity.getsockname()[1]}"]
        with Program(tmp_path, config).running() as running:
            running.wait_for("/healthz on port")
            [line] = [line for line in running.lines if "/healthz on port" in line]
            until(lambda: len(upstash.requests) >= 2, "two checks")
            began, number = monotonic(), running.process.pid
            before = resource.prlimit(number, resource.RLIMIT_NOFILE)
            least = before[0]

            def is_used_up() -> bool:
                # Counted again each time: the first count may be that of a moment with a check under way.
                nonlocal least
                least = min(least, len([*Path(f"/proc/{number}/fd").iterdir()]) - 1)
                resource.prlimit(number, resource.RLIMIT_NOFILE, (least, before[1]))
                return running.said.count("main: monitor error - this process has no file descriptor left") >= 2

            until(is_used_up, "two checks without a descriptor")
            with closing(HTTPConnection("127.0.0.1", int(line.rpartition(" ")[2]), timeout=30)) as visitor:
                visitor.connect()
                upstash.stop()
                assert not told(people)
                resource.prlimit(number, resource.RLIMIT_NOFILE, before)
                visitor.request("GET", "/healthz")
                assert visitor.getresponse().status == 200
            until(lambda: told(people), "the outage to be told")
            assert running.end().status == 0
        assert "offline" not in running.said
        assert "failed inside" not in running.said
        # A line for each check, which is due each second.
        most = max(Counter(line.split(" ", 1)[-1] for line in running.lines).values())
        assert most <= 6 + monotonic() - began
