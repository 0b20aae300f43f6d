"""`python -m bench.incidents [MINUTES]`: what `run` takes over hours with ten incidents, each with a diagnosis.

One database over TLS, checked every second, with the page on, Slack and Telegram. The incidents are spread over
five sixths of the time; with each of them the page is read once, as somebody does who was told. The last sixth is
undisturbed: an hour of six. Writes docs/bench/incidents.md and docs/bench/incidents.svg.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from statistics import median
from time import monotonic, sleep

from bench.certificates import make_certificates
from bench.goals import MEMORY_OF_RUN
from bench.over_time import MEMORY, PROCESS, Sample, look, plot, rows
from bench.plan import say
from bench.ports import free_port
from bench.program import Program, database, watching
from bench.server import TOKEN_PREFIX
from bench.told import incidents, untold, wait_for_calm
from monitor import __version__
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn

INCIDENTS = 10
PAGE = Path("docs/bench/incidents.md")
TOKEN = TOKEN_PREFIX + "main"
_SAMPLE_SECONDS = 30.0
_TOLD_WITHIN_SECONDS = 60.0
_FAULTS = (
    UpstashFault.REFUSE,
    UpstashFault.HANG,
    UpstashFault.SERVER_ERROR,
    UpstashFault.QUOTA,
    UpstashFault.SUSPENDED,
    UpstashFault.RATE_LIMIT,
    UpstashFault.HTML,
    UpstashFault.NO_PERMISSION,
)


@dataclass(kw_only=True)
class _Run:
    """The program under way, and what was seen of it so far. `moments`: when each incident began, in seconds."""

    program: Program
    database: UpstashStandIn
    inbox: MessagingStandIn
    port: int
    sample_seconds: float
    started: float = field(default_factory=monotonic)
    samples: list[Sample] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return monotonic() - self.started

    def pass_until(self, seconds: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Until that moment, or until it is over; with a sample whenever one is due."""
        while self.seconds < seconds and not is_over():
            if self.seconds >= len(self.samples) * self.sample_seconds:
                self._read("/healthz")
                self.samples.append({"seconds": self.seconds, **look(self.program.pid)})
            sleep(0.2)

    def have_incident(self, number: int) -> None:
        """A fault until both channels were told, then health until they were told again; the page is read."""
        self.moments.append(self.seconds)
        if number % INCIDENTS == INCIDENTS - 1:
            self.database.token = "rotated"
        elif number % INCIDENTS == INCIDENTS - 2:
            self.database.silent_on = frozenset({"PING"})
        else:
            self.database.fault = _FAULTS[number % len(_FAULTS)]
        say(f"{self.seconds:6.0f} s  incident {number + 1}")
        self._until_both_hear("opened")
        self._read("/")
        self.database.token, self.database.silent_on = TOKEN, frozenset()
        self.database.fault = UpstashFault.NONE
        self._until_both_hear("closed")

    def _until_both_hear(self, kind: str) -> None:
        wanted = 2 * len(self.moments)
        self.pass_until(self.seconds + _TOLD_WITHIN_SECONDS, lambda: self._heard(kind) >= wanted)
        if self._heard(kind) < wanted:
            raise RuntimeError(f"no message that it {kind} within {_TOLD_WITHIN_SECONDS:.0f} s")

    def _heard(self, kind: str) -> int:
        return sum(f" · {kind}" in message.text for message in self.inbox.messages)

    def _read(self, path: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            answer.read()


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 360.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = _start(folder, stack, sample_seconds=min(_SAMPLE_SECONDS, minutes * 60 / 100))
        for number in range(INCIDENTS):
            run.pass_until((number + 0.5) * minutes * 60 * 5 / 6 / INCIDENTS)
            run.have_incident(number)
        run.pass_until(minutes * 60)
        wrong = [*filter(None, [wait_for_calm(folder / "history.db", 60)])]
        messages = {
            service: [each.text for each in run.inbox.messages if each.service == service]
            for service in ("slack", "telegram")
        }
        numbers = incidents(folder / "history.db")
        wrong += untold(numbers, messages)
        wrong += [] if len(numbers) == INCIDENTS else [f"the file has {len(numbers)} incidents"]
        told = [text for texts in messages.values() for text in texts if " · opened" in text]
        wrong += [f"a message without a diagnosis:\n{text}" for text in told if "did not pass" not in text]
        run.program.stop()
    report = _report(run, wrong)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(report, encoding="utf-8")
    picture = plot(run.samples, (*MEMORY, *PROCESS), title="Memory over ten incidents", moments=run.moments)
    PAGE.with_suffix(".svg").write_text(picture + "\n", encoding="utf-8")
    print(report)
    return 1 if wrong else 0


def _start(folder: Path, stack: ExitStack, *, sample_seconds: float) -> _Run:
    certificates = make_certificates(folder)
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.chain)
    server = stack.enter_context(UpstashStandIn(TOKEN, tls=tls))
    inbox = stack.enter_context(MessagingStandIn())
    port = free_port()
    config = {
        "databases": [database("main", f"https://localhost:{server.port}", interval="1s", timeout="1s")],
        # Each incident is one of its own, however short the run.
        "alerts": {
            "failing": {"failures": 3, "for": "0s"},
            "recovery": {"checks": 2, "for": "0s"},
            "flapping": {"within": "0s"},
        },
        "channels": [
            {"type": "slack", "webhook_url": inbox.slack_url},
            {
                "type": "telegram",
                "bot_token": inbox.bot_token,
                "chat_id": inbox.chat_id,
                "api_url": inbox.telegram_api_url,
            },
        ],
        "connectivity": [],
        "page": {"host": "127.0.0.1", "port": port},
    }
    program = stack.enter_context(watching(folder, config, trusted=certificates.trusted))
    return _Run(program=program, database=server, inbox=inbox, port=port, sample_seconds=sample_seconds)


def _report(run: _Run, wrong: list[str]) -> str:
    last = run.samples[-1]["seconds"]
    calm = [sample["rss_mb"] for sample in run.samples if sample["seconds"] > last * 5 / 6]
    before = [sample["rss_mb"] for sample in run.samples if sample["seconds"] <= run.moments[0]]
    return f"""# Ten incidents

One database over TLS, checked every second, the page on, Slack and Telegram; {len(run.moments)} incidents,
each with the doctor's diagnosis and one visit of the page, then a sixth of the time undisturbed;
{last / 60:.0f} minutes.

Made by `make incidents` on {datetime.now(UTC).date().isoformat()}: {os.cpu_count()} processors,
{platform.system()} {platform.release()}, Python {platform.python_version()}, version {__version__} of the program.

Memory (RSS) before the first incident: {median(before):.1f} MB; in the last sixth: {median(calm):.1f} MB
({min(calm):.1f} to {max(calm):.1f}). Wanted: {MEMORY_OF_RUN.wanted}.

{rows(run.samples, (*MEMORY, *PROCESS))}

{"Each incident was told to each channel, from beginning to end." if not wrong else "Not as it should be:"}
{chr(10).join(f"- {each}" for each in wrong)}
![memory, descriptors and threads over time, a line at each incident](incidents.svg)
"""


if __name__ == "__main__":
    sys.exit(main())
