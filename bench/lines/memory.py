"""Memory of `run` with the page on and one database over TLS, before and after its first incident.

The first message reads in the library that sends it, so both figures are shown and the larger one is judged. The
goal asks for an hour, which `--memory-seconds 3600` measures; the table says how long it was. `check` is weighed
in the line `check`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from bench.certificates import make_certificates
from bench.goals import MEMORY_OF_RUN
from bench.inbox import Inbox
from bench.load import serving
from bench.plan import Plan, say
from bench.ports import free_port
from bench.program import Program, database, watching
from bench.server import Options
from bench.table import Row

_VISIT_EVERY_SECONDS = 5.0


def measure(plan: Plan) -> Iterator[Row]:
    """One row."""
    seconds = plan.choose(plan.memory_seconds, 3)
    say(f"  one database every second for {seconds:.0f} s, /healthz asked every {_VISIT_EVERY_SECONDS:.0f} s")
    folder = plan.scratch("memory")
    certificates = make_certificates(folder)
    port = free_port()
    with serving(Options(chain=str(certificates.chain))) as load, Inbox() as inbox:
        config = {
            "databases": [database("main", load.url, interval="1s")],
            "channels": [{"type": "slack", "webhook_url": inbox.webhook_url}],
            "connectivity": [load.host],
            "page": {"host": "127.0.0.1", "port": port},
        }
        with watching(folder, config, trusted=certificates.trusted) as program:
            _be_visited(port, seconds)
            quiet = program.resident_mb()
            load.reject_tokens()
            told = inbox.wait_for("· opened", seconds=30) is not None
            _be_visited(port, min(seconds, _VISIT_EVERY_SECONDS))
            after, peak = program.resident_mb(), program.peak_mb()
            checks = _stopped(program)
    incident = f"{after:.1f} MB after an incident was told" if told else "and no message came"
    yield Row(
        what="memory of `run`, page on, one database over TLS",
        measured=f"{quiet:.1f} MB after {seconds:.0f} s\n{incident}, peak {peak:.1f} MB",
        count=f"{checks} checks",
        goal=MEMORY_OF_RUN,
        reached=plan.judged(reached=told and MEMORY_OF_RUN.is_reached(max(quiet, after))),
    )


def _stopped(program: Program) -> int:
    program.stop()
    return len(program.checks())


def _be_visited(port: int, seconds: float) -> None:
    """Ask for the page now and then, as a platform's health check does."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as visitor:
            visitor.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            if b" 200 " not in visitor.recv(65536):
                raise RuntimeError("/healthz did not answer 200")
        time.sleep(min(left, _VISIT_EVERY_SECONDS))
