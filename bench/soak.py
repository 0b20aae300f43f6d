"""`python -m bench.soak [MINUTES]`: a hundred databases and all faults in rotation, with what the program costs.

The program runs as it is, checked every five seconds, with its page, three channels and stand-ins. Each phase of
the rotation is followed by one in which all is well, and each tenth sample asks for the page. In the end the file
and what the channels heard must agree. Writes docs/bench/soak.md and docs/bench/soak.svg.
"""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from bench.over_time import PROCESS, RSS, Figure, Sample, look, plot, rows
from bench.plan import say
from bench.ports import free_port
from bench.told import incidents, untold, wait_for_calm
from monitor import __version__
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn

DATABASES, STAND_INS = 100, 10
SAMPLE_SECONDS = 2.0
TOKEN = "AXsoakToken0123456789=="
PAGE = Path("docs/bench/soak.md")
# What is left to open incidents and waiting messages after the last fault.
CALM_WITHIN_SECONDS = 900.0


@dataclass(kw_only=True)
class Setting:
    """What the faults are done to."""

    folder: Path
    has_own_disk: bool
    port: int
    process: subprocess.Popen[bytes]
    stand_ins: list[UpstashStandIn]
    inboxes: list[MessagingStandIn]
    chance: random.Random

    @property
    def file(self) -> Path:
        return self.folder / "history.db"


@contextmanager
def databases_fail(on: Setting, fault: UpstashFault) -> Iterator[None]:
    some = on.chance.sample(on.stand_ins, 4)
    for each in some:
        each.fault = fault
    try:
        yield
    finally:
        for each in some:
            each.fault = UpstashFault.NONE


@contextmanager
def tokens_rotate(on: Setting) -> Iterator[None]:
    some = on.chance.sample(on.stand_ins, 4)
    for each in some:
        each.token = "rotated"
    try:
        yield
    finally:
        for each in some:
            each.token = TOKEN


@contextmanager
def answers_are_slow(on: Setting) -> Iterator[None]:
    for each in on.stand_ins:
        each.delay_seconds = 0.8
    try:
        yield
    finally:
        for each in on.stand_ins:
            each.delay_seconds = 0.0


@contextmanager
def channels_fail(on: Setting, fault: MessagingFault) -> Iterator[None]:
    """While databases fail, so that there is something to tell."""
    on.inboxes[0].fault = fault
    try:
        with databases_fail(on, UpstashFault.SERVER_ERROR):
            yield
    finally:
        on.inboxes[0].fault = MessagingFault.NONE


@contextmanager
def file_is_locked(on: Setting) -> Iterator[None]:
    """By another process, while databases fail."""
    with closing(sqlite3.connect(on.file, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        with databases_fail(on, UpstashFault.QUOTA):
            yield
        other.execute("ROLLBACK")


@contextmanager
def disk_is_full(on: Setting) -> Iterator[None]:
    """Where the history could be given a small disk of its own."""
    ballast = on.folder / "ballast"
    if on.has_own_disk:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 65536) == 65536:
                pass
    try:
        with databases_fail(on, UpstashFault.SUSPENDED):
            yield
    finally:
        ballast.unlink(missing_ok=True)


@contextmanager
def stopped(on: Setting) -> Iterator[None]:
    on.process.send_signal(signal.SIGSTOP)
    sleep(12)
    on.process.send_signal(signal.SIGCONT)
    yield


@contextmanager
def a_flood(on: Setting) -> Iterator[None]:
    """Visitors who connect and say nothing."""
    with ExitStack() as stack:
        for _ in range(200):
            with suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", on.port), timeout=1))
        yield


Fault = Callable[[Setting], AbstractContextManager[None]]
CHANNEL_FAULTS = (
    MessagingFault.DOWN,
    MessagingFault.FLAKY,
    MessagingFault.RATE_LIMITED,
    MessagingFault.DRIP,
    MessagingFault.HANG,
    MessagingFault.REFUSE,
)
ROTATION: tuple[tuple[str, Fault], ...] = (
    *(
        (f"databases: {one.value}", partial(databases_fail, fault=one))
        for one in UpstashFault
        if one.value != "none"
    ),
    ("databases: rotated tokens", tokens_rotate),
    ("databases: slow", answers_are_slow),
    *((f"channels: {one.value}", partial(channels_fail, fault=one)) for one in CHANNEL_FAULTS),
    ("file: locked by another process", file_is_locked),
    ("disk: full", disk_is_full),
    ("process: SIGSTOP, SIGCONT", stopped),
    ("page: 200 visitors who say nothing", a_flood),
)


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        has_own_disk = _mount(folder)
        if has_own_disk:
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)
        on = _start(folder, stack, has_own_disk=has_own_disk)
        samples: list[Sample] = []
        rounds = _rotate(on, samples, minutes * 60)
        wrong = _agree(on)
        on.process.send_signal(signal.SIGTERM)
        status = on.process.wait(60)
        if status != 0:
            wrong.append(f"it ended with {status}")
    report = _report(samples, rounds, wrong, has_own_disk=has_own_disk)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(report, encoding="utf-8")
    strips = plot(samples, FIGURES, title="A soak: what the program uses over time")
    PAGE.with_suffix(".svg").write_text(strips + "\n", encoding="utf-8")
    print(report)
    return 1 if wrong else 0


def _mount(folder: Path) -> bool:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    return done.returncode == 0


def _start(folder: Path, stack: ExitStack, *, has_own_disk: bool) -> Setting:
    inboxes = [stack.enter_context(MessagingStandIn()) for _ in range(2)]
    stand_ins = [stack.enter_context(UpstashStandIn(TOKEN)) for _ in range(STAND_INS)]
    port = free_port()
    settings = {
        "databases": [
            {
                "name": f"db{number:02}",
                "url": stand_ins[number % STAND_INS].url,
                "token": TOKEN,
                "interval": "5s",
                "timeout": "2s",
                "slow": "500ms",
                "canary": "1h",
            }
            for number in range(DATABASES)
        ],
        # Short incidents, so that one phase of the rotation sees them open and close.
        "alerts": {
            "confirm_interval": "1s",
            "failing": {"failures": 3, "for": "0s"},
            "recovery": {"checks": 2, "for": "0s"},
            "flapping": {"times": 8, "within": "1m"},
            "group_within": "10s",
        },
        "channels": [
            {"type": "slack", "webhook_url": inboxes[0].slack_url},
            {
                "type": "telegram",
                "bot_token": inboxes[0].bot_token,
                "chat_id": inboxes[0].chat_id,
                "api_url": inboxes[0].telegram_api_url,
            },
            {"type": "slack", "name": "ops", "webhook_url": inboxes[1].slack_url},
        ],
        "connectivity": [],
        "doctor": {"status_url": ""},
        "history": {"path": str(folder / "history.db")},
        "page": {"host": "127.0.0.1", "port": port},
    }
    (folder / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "run", "--config", str(folder / "config.yaml")],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.kill)
    return Setting(
        folder=folder,
        has_own_disk=has_own_disk,
        process=process,
        port=port,
        stand_ins=stand_ins,
        inboxes=inboxes,
        chance=random.Random(17),
    )


def _rotate(on: Setting, samples: list[Sample], seconds: float) -> int:
    """A fault for 20 s, then 20 s in which all is well, and so on; how many there were."""
    started, rounds = monotonic(), 0

    def watch(for_seconds: float) -> None:
        end = monotonic() + for_seconds
        while monotonic() < end:
            sleep(SAMPLE_SECONDS)
            if on.process.poll() is not None:
                raise SystemExit(f"the program ended by itself with {on.process.returncode}")
            samples.append(_sample(on, monotonic() - started, with_page=len(samples) % 10 == 0))

    watch(30)
    while monotonic() - started < seconds:
        name, fault = ROTATION[rounds % len(ROTATION)]
        say(f"{monotonic() - started:6.0f} s  {name}")
        with fault(on):
            watch(20)
        watch(20)
        rounds += 1
    return rounds


def _sample(on: Setting, seconds: float, *, with_page: bool) -> Sample:
    """Memory and more of the process, the answer of /healthz, the file's size and the requests so far."""
    began = monotonic()
    # A flood of visitors may keep this one out; that is then its time.
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{on.port}/healthz", timeout=10) as answer:
        answer.read()
    healthz_ms = (monotonic() - began) * 1000
    if with_page:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{on.port}/", timeout=30) as answer:
            answer.read()
    size = sum(each.stat().st_size for each in on.folder.glob("history.db*") if each.exists())
    return {
        "seconds": seconds,
        **look(on.process.pid),
        "file_mb": size / 2**20,
        "healthz_ms": healthz_ms,
        "checks": float(sum(len(each.requests) for each in on.stand_ins)),
    }


def _agree(on: Setting) -> list[str]:
    """What the file and the channels disagree about, once nothing is open and nothing waits any more."""
    say("waiting for the last message")
    left = wait_for_calm(on.file, CALM_WITHIN_SECONDS)
    if left:
        return [left]
    with closing(sqlite3.connect(on.file, timeout=30)) as shell:
        [(sound,)] = shell.execute("PRAGMA integrity_check").fetchall()
    wrong = [] if sound == "ok" else [f"the file: {sound}"]
    numbers = incidents(on.file)
    say(f"{len(numbers)} incidents")
    heard = {
        name: [each.text for each in inbox.messages if each.service == service]
        for name, inbox, service in (
            ("slack", on.inboxes[0], "slack"),
            ("telegram", on.inboxes[0], "telegram"),
            ("ops", on.inboxes[1], "slack"),
        )
    }
    return [*wrong, *untold(numbers, heard)]


FIGURES = (
    RSS,
    *PROCESS,
    Figure(key="file_mb", words="file with its log, MB"),
    Figure(key="healthz_ms", words="answer of /healthz, ms"),
)


def _report(samples: Sequence[Sample], rounds: int, wrong: list[str], *, has_own_disk: bool) -> str:
    first, last = samples[0], samples[-1]
    took, checks = last["seconds"] - first["seconds"], last["checks"] - first["checks"]
    per_thousand = (last["cpu_seconds"] - first["cpu_seconds"]) / checks * 1000
    tenth = samples[len(samples) // 10]
    growth = (last["file_mb"] - tenth["file_mb"]) * 2**20 / (last["checks"] - tenth["checks"])
    disk = "with" if has_own_disk else "without"
    return f"""# A soak

{DATABASES} databases, checked every 5 s, three channels, the page asked for every 20 s; each 20 s another fault of
{len(ROTATION)} in rotation, then 20 s in which all is well; {disk} a disk that fills up. {rounds} faults in
{took / 60:.0f} minutes, {checks:.0f} requests to databases.

Made by `make soak` on {datetime.now(UTC).date().isoformat()}: {os.cpu_count()} processors, {platform.system()}
{platform.release()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, version {__version__} of
the program.

{rows(samples, FIGURES)}

CPU: {per_thousand:.2f} s for each thousand requests, the page and messages included. The file grew by
{growth:.0f} bytes a request.

In the end file and channels {"disagreed:" if wrong else "agreed: each channel was told of each incident whole."}
{chr(10).join(f"- {each}" for each in wrong[:20])}
![memory, descriptors, threads, file and answers over time](soak.svg)
"""


if __name__ == "__main__":
    sys.exit(main())
