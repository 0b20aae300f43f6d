"""The real program as a process of its own in a folder of its own: how it is started, read and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from monitor.sandbox.inbox import InboxStandIn

_TELLS = re.compile(r"incident (\d+) · (\w+)")
ROOT = Path(__file__).parents[1]
# Generous: the machine may be busy. A test that waits this long has failed.
PATIENCE_SECONDS = 30.0


def until(condition: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until it holds; say what did not when it does not."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"waited {seconds:g} s in vain for {what}"
        sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended: its status, what it said, and how long it took."""

    status: int
    stdout: str
    stderr: str
    seconds: float


class Running:
    """A process that is under way; what it says is read along."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until it has said that, so many times."""

        def has_said() -> bool:
            return self.said.count(text) >= times or self.process.poll() is not None

        until(has_said, f"{text!r} in the log")
        assert self.said.count(text) >= times, f"it ended without saying {text!r}:\n{self.said}"

    def end(self, *signs: signal.Signals) -> Ended:
        """Send the signals, SIGTERM unless others are named, and wait for the end."""
        started = monotonic()
        for sign in signs or (signal.SIGTERM,):
            self.process.send_signal(sign)
        status = self.process.wait(PATIENCE_SECONDS)
        seconds = monotonic() - started
        self._reader.join(PATIENCE_SECONDS)
        return Ended(status=status, stdout=self.said, stderr="", seconds=seconds)

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)


class Program:
    """`python -m monitor` with these settings; nothing of this machine's environment but what a process needs."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], **environ: str) -> None:
        self.folder = folder
        self.file = folder / "history.db"
        self.environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
        self.set(settings)

    def set(self, settings: Mapping[str, Any]) -> None:
        """Write config.yaml; JSON is YAML."""
        (self.folder / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")

    @contextmanager
    def running(self, *words: str) -> Iterator[Running]:
        """`run`, or other words, until the block is left; killed there if it still runs."""
        running = Running(
            subprocess.Popen(
                [sys.executable, "-m", "monitor", *(words or ("run",))],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        try:
            yield running
        finally:
            running.kill()
            assert running.process.stdout is not None
            running.process.stdout.close()

    def end(self, *words: str) -> Ended:
        """Run to the end."""
        started = monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "monitor", *words],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS + 60,
            check=False,
        )
        return Ended(status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=monotonic() - started)


def database(name: str, url: str, token: str = "t0ken", **knobs: Any) -> dict[str, Any]:
    """An entry of `databases`, looked at every second."""
    return {"name": name, "url": url, "token": token, "interval": "1s", **knobs}


def slack(inbox: InboxStandIn) -> list[dict[str, str]]:
    """An entry of `channels` for that inbox."""
    return [{"type": "slack", "webhook_url": inbox.slack_url}]


def told(inbox: InboxStandIn) -> list[tuple[int, str]]:
    """Incident and kind of each message that arrived, in order; messages without an incident are left out."""
    found = (_TELLS.search(message.text) for message in inbox.messages)
    return [(int(match[1]), match[2]) for match in found if match]


def settings(*databases: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """Settings without control hosts, with the shortest pauses, and without anybody outside whom the doctor asks.

    The doctor itself is left out too, unless `alerts` says otherwise: it has its own tests.
    """
    return {
        "databases": list(databases),
        "controls": [],
        "alerts": {"confirm_interval": "50ms", "verdict": False},
        "doctor": {"status_url": ""},
        **rest,
    }
